/* SPDX-License-Identifier: Apache-2.0 */
/* setup.c - which Terraform, which sandbox, which directories. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "worker/file.h"
#include "worker/provisioner/bwrap.h"
#include "worker/provisioner/terraform/run.h"

/* ---- the program ---- */

static enum err find_program(struct terraform *t, const char *path, struct errctx *ctx)
{
    static const char *const names[] = {"terraform", "tofu"};
    if (path != NULL && path[0] != '\0') {
        t->path = realpath(path, NULL);
        return t->path != NULL && access(t->path, X_OK) == 0
                   ? ERR_OK
                   : err_set(ctx, ERR_CONFIG, "terraform_path: %s is no program", path);
    }
    for (size_t i = 0; t->path == NULL && i < COUNT(names); i++) {
        scoped_free char *found = file_find_program(names[i]);
        if (found != NULL)
            t->path = realpath(found, NULL);
    }
    return t->path != NULL
               ? ERR_OK
               : err_set(ctx, ERR_UNAVAILABLE,
                     "neither terraform nor tofu is on the PATH: install one, name it in "
                     "terraform_path, or take terraform out of provisioners");
}

/* {"terraform_version": "1.11.4", ...} */
static enum err ask_version(struct terraform *t, struct errctx *ctx)
{
    char command[4300], text[8192];
    snprintf(command, sizeof(command),
        "CHECKPOINT_DISABLE=1 TF_CLI_CONFIG_FILE=/dev/null '%.4000s' "
        "version -json 2>/dev/null",
        t->path);
    FILE *out = popen(command, "re");
    if (out == NULL)
        return file_errno(ctx, "cannot start %s", t->path);
    size_t n = fread(text, 1, sizeof(text) - 1, out);
    text[n] = '\0';
    pclose(out);
    json_t *o = json_loads(text, 0, NULL);
    const char *version = json_string_value(json_object_get(o, "terraform_version"));
    t->version = version != NULL ? mem_strdup(version) : NULL;
    json_decref(o);
    return t->version != NULL
               ? ERR_OK
               : err_set(ctx, ERR_UNAVAILABLE, "%s does not tell its version", t->path);
}

/* ---- settings ---- */

/* "/from", "/from:/to", each maybe with ":rw" behind it. */
static enum err take_bind(struct terraform *t, char *text, struct errctx *ctx)
{
    char *from = strsep(&text, ":"), *to = strsep(&text, ":"), *mode = strsep(&text, ":");
    if (to != NULL && strcmp(to, "rw") == 0) {
        mode = to;
        to = NULL;
    }
    if (to == NULL)
        to = from;
    if (from[0] != '/' || to[0] != '/' || (mode != NULL && strcmp(mode, "rw") != 0))
        return err_set(ctx, ERR_CONFIG,
            "terraform_binds: \"%s\" is not /from, /from:/to or one of them with :rw", from);
    *vec_push(&t->binds) = (struct bind){mem_strdup(from), mem_strdup(to), mode != NULL};
    return ERR_OK;
}

static enum err take_binds(struct terraform *t, const char *binds, struct errctx *ctx)
{
    scoped_free char *copy = mem_strdup(binds != NULL ? binds : "");
    char *rest = copy, *one;
    enum err e = ERR_OK;
    while (e == ERR_OK && (one = strsep(&rest, ", ")) != NULL)
        if (one[0] != '\0')
            e = take_bind(t, one, ctx);
    return e;
}

static char *copy_or_null(const char *s)
{
    return s != NULL && s[0] != '\0' ? mem_strdup(s) : NULL;
}

static enum err check_mirror(const struct terraform *t, struct errctx *ctx)
{
    const char *m = t->mirror;
    if (m == NULL || strncmp(m, "https://", 8) == 0)
        return ERR_OK;
    if (strpbrk(m, "\"\\\n$%") != NULL || m[0] != '/' || access(m, R_OK | X_OK) != 0)
        return err_set(
            ctx, ERR_CONFIG, "terraform_mirror: %s is neither a directory nor an https:// URL", m);
    return ERR_OK;
}

static enum err make_dirs(struct terraform *t, const char *data_dir, struct errctx *ctx)
{
    static const char *const dirs[] = {"work", "warm", "plugins"};
    struct strbuf root;
    strbuf_init(&root);
    strbuf_addf(&root, "%s/terraform", data_dir);
    t->root = strbuf_detach(&root);
    scoped_fd int fd = -1;
    enum err e = file_make_dir(AT_FDCWD, t->root, 0700, ctx);
    if (e == ERR_OK)
        e = file_open_dir(AT_FDCWD, t->root, &fd, ctx);
    for (size_t i = 0; e == ERR_OK && i < COUNT(dirs); i++)
        e = file_make_dir(fd, dirs[i], 0700, ctx);
    return e;
}

static enum err find_sandbox(struct terraform *t, bool wanted, struct errctx *ctx)
{
    struct bwrap b = {0};
    if (!wanted)
        return ERR_OK;
    enum err e = bwrap_init(&b, ctx);
    if (e == ERR_OK) {
        t->bwrap = mem_strdup(b.path);
        t->has_disable_userns = b.has_disable_userns;
    }
    bwrap_done(&b);
    return e;
}

enum err terraform_new(
    const struct terraform_conf *conf, struct terraform **ret_terraform, struct errctx *ctx)
{
    if (sodium_init() < 0)
        return err_set(ctx, ERR_INTERNAL, "libsodium does not start");
    struct terraform *t = mem_alloc(sizeof(*t));
    t->mirror = copy_or_null(conf->mirror);
    t->access_url =
        mem_strdup(conf->access_url != NULL ? conf->access_url : "http://127.0.0.1:7080");
    t->pass = mem_strdup(conf->pass != NULL ? conf->pass : "");
    t->time_limit_ms = conf->time_limit_ms;
    t->memory_mb = conf->memory_mb;
    enum err e = find_program(t, conf->path, ctx);
    if (e == ERR_OK)
        e = ask_version(t, ctx);
    if (e == ERR_OK)
        e = check_mirror(t, ctx);
    if (e == ERR_OK)
        e = take_binds(t, conf->binds, ctx);
    if (e == ERR_OK)
        e = make_dirs(t, conf->data_dir, ctx);
    if (e == ERR_OK)
        e = find_sandbox(t, conf->sandbox, ctx);
    if (e != ERR_OK) {
        terraform_free(t);
        return e;
    }
    const char *name = strrchr(t->path, '/') + 1;
    snprintf(t->text, sizeof(t->text), "%.40s %.40s%s%s", name, t->version,
        t->bwrap != NULL ? ", in a sandbox" : ", without a sandbox",
        t->mirror != NULL ? ", providers from a mirror" : "");
    *ret_terraform = t;
    return ERR_OK;
}

void terraform_free(struct terraform *t)
{
    if (t == NULL)
        return;
    char *const texts[] = {
        t->path, t->mirror, t->access_url, t->bwrap, t->root, t->version, t->pass};
    for (size_t i = 0; i < COUNT(texts); i++)
        free(texts[i]);
    for (size_t i = 0; i < t->binds.n; i++) {
        free(t->binds.v[i].from);
        free(t->binds.v[i].to);
    }
    vec_done(&t->binds);
    free(t);
}

const char *terraform_text(const struct terraform *t)
{
    return t->text;
}
