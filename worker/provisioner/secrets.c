/* SPDX-License-Identifier: Apache-2.0 */
/* secrets.c - from a file of the host to a file in memory. */
#include "worker/provisioner/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/text.h"
#include "worker/file.h"

#define SECRET_BYTES_MAX (64 * 1024)
#define ALL_BYTES_MAX    (1024 * 1024) /* as the agent takes them */

static void json_freep(json_t **j)
{
    json_decref(*j);
}

/* Memory that held a value is wiped before it goes. */
static void wipe(struct strbuf *value)
{
    if (value->room > 0)
        explicit_bzero(value->s, value->room);
    strbuf_done(value);
}

bool secrets_are_named(const struct template *t)
{
    for (unsigned i = 0; i < t->env_count; i++) {
        if (t->env[i].secret != NULL)
            return true;
    }
    return false;
}

/* A regular file for nobody but its owner. */
static enum err check_file(int fd, const char *dir, const char *name, struct errctx *ctx)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return file_errno(ctx, "secret %.64s", name);
    if (!S_ISREG(st.st_mode))
        return err_set(ctx, ERR_CONFIG, "secret %.64s: %.80s/%.64s is not a file", name, dir, name);
    if ((st.st_mode & 077) != 0)
        return err_set(ctx, ERR_CONFIG,
            "secret %.64s: %.60s/%.64s is open to others than its owner: chmod 600 it", name, dir,
            name);
    if (st.st_size > SECRET_BYTES_MAX)
        return err_set(
            ctx, ERR_CONFIG, "secret %.64s: longer than %d KiB", name, SECRET_BYTES_MAX / 1024);
    return ERR_OK;
}

/* `value` has room for all, so that no copy is left behind by its growing. */
static enum err read_file(int fd, const char *name, struct strbuf *value, struct errctx *ctx)
{
    strbuf_reserve(value, SECRET_BYTES_MAX + 1);
    ssize_t n = pread(fd, value->s, SECRET_BYTES_MAX, 0);
    if (n < 0)
        return file_errno(ctx, "secret %.64s", name);
    value->len = (size_t)n;
    if (n > 0 && value->s[n - 1] == '\n')
        value->len--;
    value->s[value->len] = '\0';
    if (!text_is_utf8(value->s, value->len))
        return err_set(ctx, ERR_CONFIG, "secret %.64s: not UTF-8 text", name);
    return ERR_OK;
}

/* ERR_NOT_FOUND without a sentence when there is none.  A link is followed: it is the operator's,
 * and orchestrators mount secrets so. */
static enum err read_secret(
    int dir_fd, const char *dir, const char *name, struct strbuf *value, struct errctx *ctx)
{
    if (dir_fd < 0)
        return ERR_NOT_FOUND;
    scoped_fd int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == EACCES)
        return err_set(ctx, ERR_CONFIG, "secret %.64s: the worker's user may not read %.60s/%.64s",
            name, dir, name);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND
                               : file_errno(ctx, "secret %.64s: cannot open it", name);
    enum err e = check_file(fd, dir, name, ctx);
    return e == ERR_OK ? read_file(fd, name, value, ctx) : e;
}

static enum err open_dir(const char *dir, int *ret_fd, struct errctx *ctx)
{
    if (dir == NULL || dir[0] == '\0')
        return ERR_OK;
    *ret_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd >= 0 ? ERR_OK : file_errno(ctx, "secrets_dir: cannot open %.100s", dir);
}

static enum err missing(const char *dir, const struct template_env *v, struct errctx *ctx)
{
    if (dir == NULL || dir[0] == '\0')
        return err_set(ctx, ERR_CONFIG,
            "env %.40s needs the secret \"%.64s\", and this worker's setting secrets_dir is not "
            "set",
            v->name, v->secret);
    return err_set(ctx, ERR_CONFIG,
        "env %.40s needs the secret \"%.64s\", which is not in the worker's secrets_dir (%.80s)",
        v->name, v->secret, dir);
}

/* One variable: into `map` when there is one. */
static enum err take(
    int dir_fd, const char *dir, const struct template_env *v, json_t *map, struct errctx *ctx)
{
    scoped(wipe) struct strbuf value;
    strbuf_init(&value);
    enum err e = read_secret(dir_fd, dir, v->secret, &value, ctx);
    if (e == ERR_NOT_FOUND)
        return v->optional ? ERR_OK : missing(dir, v, ctx);
    if (e == ERR_OK && map != NULL)
        json_object_set_new(map, v->name, json_stringn(value.s, value.len));
    return e;
}

/* In memory only, and closed by exec. */
static enum err pour(const char *text, size_t n, int *ret_fd, struct errctx *ctx)
{
    if (n > ALL_BYTES_MAX)
        return err_set(ctx, ERR_CONFIG, "env: its secrets are longer than %d KiB together",
            ALL_BYTES_MAX / 1024);
    scoped_fd int fd = memfd_create("secrets", MFD_CLOEXEC);
    if (fd < 0 || pwrite(fd, text, n, 0) != (ssize_t)n)
        return file_errno(ctx, "cannot hold the secrets in memory");
    *ret_fd = fd;
    fd = -1;
    return ERR_OK;
}

static enum err pour_json(const json_t *map, int *ret_fd, struct errctx *ctx)
{
    char *text = json_dumps(map, JSON_COMPACT);
    if (text == NULL)
        return err_set(ctx, ERR_INTERNAL, "the secrets cannot be written as JSON");
    size_t n = strlen(text);
    enum err e = pour(text, n, ret_fd, ctx);
    explicit_bzero(text, n);
    free(text);
    return e;
}

enum err secrets_open(const char *dir, const struct template *t, int *ret_fd, struct errctx *ctx)
{
    scoped_fd int dir_fd = -1;
    scoped(json_freep) json_t *map = json_object();
    enum err e = open_dir(dir, &dir_fd, ctx);
    for (unsigned i = 0; e == ERR_OK && i < t->env_count; i++) {
        if (t->env[i].secret != NULL)
            e = take(dir_fd, dir, &t->env[i], map, ctx);
    }
    return e == ERR_OK ? pour_json(map, ret_fd, ctx) : e;
}

void secrets_look(const char *dir, const struct template *t, template_warn_fn warn, void *arg)
{
    scoped_fd int dir_fd = -1;
    struct errctx ctx = {0};
    if (secrets_are_named(t) && open_dir(dir, &dir_fd, &ctx) != ERR_OK) {
        warn(arg, ctx.text);
        return;
    }
    for (unsigned i = 0; i < t->env_count; i++) {
        if (t->env[i].secret != NULL && take(dir_fd, dir, &t->env[i], NULL, &ctx) != ERR_OK)
            warn(arg, ctx.text);
    }
}
