/* SPDX-License-Identifier: Apache-2.0 */
/* config_file.c - read, and replace in one step. */
#include "agent/mcp/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/file.h"
#include "core/base/cleanup.h"
#include "core/base/mem.h"

#define NAME_BYTES_MAX 50 /* what file_replace() can put ".new" behind */

enum err config_read_text(const char *path, struct strbuf *ret_text, struct errctx *ctx)
{
    strbuf_init(ret_text);
    enum err e = file_read(AT_FDCWD, path, CONFIG_FILE_BYTES_MAX, ret_text, ctx);
    if (e == ERR_OK)
        return e;
    strbuf_done(ret_text);
    strbuf_init(ret_text);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

enum err config_read(const char *path, json_t **ret_object, struct errctx *ctx)
{
    scoped(strbuf_done) struct strbuf text;
    enum err e = config_read_text(path, &text, ctx);
    if (e != ERR_OK)
        return e;
    if (is_blank(text.s)) {
        *ret_object = json_object();
        return ERR_OK;
    }
    json_error_t error;
    json_t *object = json_loadb(text.s, text.len, JSON_ALLOW_NUL, &error);
    if (json_is_object(object)) {
        *ret_object = object;
        return ERR_OK;
    }
    const char *why = object != NULL ? "it is no object" : error.text;
    e = err_set(ctx, ERR_INVALID, "%s is left as it is: not understood: %.100s", path, why);
    json_decref(object);
    return e;
}

/* ---- writing ---- */

static enum err make_parents(const char *path, struct errctx *ctx)
{
    scoped_free char *part = mem_strdup(path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return err_set(ctx, file_err(errno), "cannot make %s: %s", part, strerror(errno));
        *slash = '/';
    }
    return ERR_OK;
}

static bool is_unchanged(const char *path, const char *text, size_t n)
{
    struct errctx ignored = {0};
    scoped(strbuf_done) struct strbuf old;
    enum err e = config_read_text(path, &old, &ignored);
    return e == ERR_OK && n > 0 && old.len == n && memcmp(old.s, text, n) == 0;
}

enum err config_write_text(const char *path, const char *text, size_t n, struct errctx *ctx)
{
    if (is_unchanged(path, text, n))
        return ERR_OK;
    enum err e = make_parents(path, ctx);
    if (e != ERR_OK)
        return e;
    char real[PATH_MAX];
    if (realpath(path, real) == NULL) { /* not there yet */
        if (strlen(path) >= sizeof(real))
            return err_set(ctx, ERR_INVALID, "the path %.100s is too long", path);
        strcpy(real, path);
    }
    char *slash = strrchr(real, '/');
    const char *name = slash != NULL ? slash + 1 : real;
    if (name[0] == '\0' || strlen(name) > NAME_BYTES_MAX)
        return err_set(ctx, ERR_INVALID, "%.100s is no name for a file", path);
    int dir;
    if (slash != NULL)
        *slash = '\0';
    e = file_open_dir(slash == NULL ? "." : slash == real ? "/" : real, &dir, ctx);
    if (e != ERR_OK)
        return e;
    e = file_replace(dir, name, text, n, ctx);
    close(dir);
    return e;
}

enum err config_write(const char *path, const json_t *object, struct errctx *ctx)
{
    char *text = json_dumps(object, JSON_INDENT(2));
    struct strbuf line;
    strbuf_init(&line);
    strbuf_addf(&line, "%s\n", text != NULL ? text : "{}");
    enum err e = config_write_text(path, line.s, line.len, ctx);
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    explicit_bzero(line.s, line.len);
    free(text);
    strbuf_done(&line);
    return e;
}

json_t *config_object(json_t *parent, const char *key)
{
    json_t *object = json_object_get(parent, key);
    if (json_is_object(object))
        return object;
    object = json_object();
    json_object_set_new(parent, key, object);
    return object;
}
