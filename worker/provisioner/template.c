/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.c - the schema as rows for libcyaml, and the checks as rows beside it.
 *
 * libcyaml reports through a log callback, several lines per error (what, then where, innermost
 * first): the first line and the first "line:" are what a person needs, the rest is left out.
 */
#include "worker/provisioner/template.h"

#include <ctype.h>
#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/conf.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "worker/file.h"

/* ---- schema ---- */

/* Numbers and yes-or-no are read as text: libcyaml would take "5x" for 5 and any word for true. */

#define TEXT(key, struct_, member) \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct_, member, 0, 4096)
#define TEXT_NEEDED(key, struct_, member) \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, struct_, member, 0, 16384)

static const cyaml_schema_field_t env_fields[] = {
    TEXT_NEEDED("name", struct template_env, name),
    TEXT_NEEDED("value", struct template_env, value),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t mount_fields[] = {
    TEXT_NEEDED("name", struct template_mount, name),
    TEXT_NEEDED("to", struct template_mount, to),
    TEXT("optional", struct template_mount, optional_text),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t limit_fields[] = {
    TEXT("memory", struct template_limits, memory),
    TEXT("file_size", struct template_limits, file_size),
    TEXT("cpus", struct template_limits, cpus),
    TEXT("pids", struct template_limits, pids_text),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t app_fields[] = {
    TEXT_NEEDED("slug", struct template_app, slug),
    TEXT("display_name", struct template_app, display_name),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t argument_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, 32768)};
static const cyaml_schema_value_t env_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct template_env, env_fields)};
static const cyaml_schema_value_t mount_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct template_mount, mount_fields)};

static const cyaml_schema_field_t template_fields[] = {
    TEXT("name", struct template, name),
    TEXT("display_name", struct template, display_name),
    TEXT("description", struct template, description),
    TEXT("icon", struct template, icon),
    CYAML_FIELD_SEQUENCE(
        "command", CYAML_FLAG_POINTER, struct template, command, &argument_schema, 0, 256),
    CYAML_FIELD_SEQUENCE(
        "env", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct template, env, &env_schema, 0, 256),
    TEXT("dir", struct template, dir),
    CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct template, limits, limit_fields),
    TEXT("network", struct template, network_text),
    CYAML_FIELD_SEQUENCE("mounts", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct template,
        mounts, &mount_schema, 0, 64),
    TEXT("grace", struct template, grace),
    CYAML_FIELD_MAPPING_PTR(
        "app", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct template, app, app_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t template_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct template, template_fields)};

/* ---- parsing ---- */

struct complaint {
    char what[160];
    char where[80];
};

/* "Load: Unexpected key: netwrok", then "  in mapping field 'x' (line: 3, column: 1)". */
static void note_complaint(cyaml_log_t level, void *arg, const char *fmt, va_list ap)
{
    struct complaint *c = arg;
    char line[256];
    if (level < CYAML_LOG_ERROR)
        return;
    vsnprintf(line, sizeof(line), fmt, ap);
    line[strcspn(line, "\n")] = '\0';

    const char *place = strstr(line, "line: ");
    unsigned number;
    if (place != NULL && c->where[0] == '\0' && sscanf(place, "line: %u", &number) == 1)
        snprintf(c->where, sizeof(c->where), "line %u: ", number);
    const char *what = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
    if (c->what[0] == '\0' && what[0] != ' ' && strncmp(what, "Backtrace", 9) != 0)
        snprintf(c->what, sizeof(c->what), "%.159s", what);
}

/* libcyaml tells where the mapping begins that has the key; better is where the key stands. */
static void find_key(struct complaint *c, const char *text, size_t n)
{
    static const char unexpected[] = "Unexpected key: ";
    if (strncmp(c->what, unexpected, sizeof(unexpected) - 1) != 0)
        return;
    const char *key = c->what + sizeof(unexpected) - 1;
    size_t len = strlen(key);
    unsigned line = 1;
    for (size_t i = 0; i + len < n; line += text[i++] == '\n') {
        bool begins = i == 0 || strchr(" \n{,\"'", text[i - 1]) != NULL;
        if (begins && memcmp(text + i, key, len) == 0 && strchr(": \"'", text[i + len]) != NULL) {
            snprintf(c->where, sizeof(c->where), "line %u: ", line);
            return;
        }
    }
}

static void *cyaml_memory(void *ctx, void *p, size_t n)
{
    (void)ctx;
    if (n == 0) {
        free(p);
        return NULL;
    }
    return mem_realloc(p, n);
}

static cyaml_config_t config_for(struct complaint *c)
{
    return (cyaml_config_t){
        .log_fn = note_complaint,
        .log_ctx = c,
        .log_level = CYAML_LOG_ERROR,
        .mem_fn = cyaml_memory,
        .flags = CYAML_CFG_NO_ALIAS,
    };
}

void template_free(struct template *t)
{
    struct complaint ignored = {0};
    const cyaml_config_t config = config_for(&ignored);
    if (t != NULL)
        (void)cyaml_free(&config, &template_schema, t, 0);
}

static enum err parse_yaml(
    const char *text, size_t n, struct template **ret_template, struct errctx *ctx)
{
    struct complaint c = {0};
    const cyaml_config_t config = config_for(&c);
    void *loaded = NULL;
    cyaml_err_t failure =
        cyaml_load_data((const uint8_t *)text, n, &config, &template_schema, &loaded, NULL);
    find_key(&c, text, n);
    if (failure != CYAML_OK || loaded == NULL)
        return err_set(ctx, ERR_CONFIG, TEMPLATE_FILE ": %s%s", c.where,
            c.what[0] != '\0'     ? c.what
            : failure == CYAML_OK ? "the file is empty"
                                  : cyaml_strerror(failure));
    *ret_template = loaded;
    return ERR_OK;
}

/* ---- checks ---- */

#define WRONG(...) err_set(ctx, ERR_CONFIG, TEMPLATE_FILE ": " __VA_ARGS__)

static bool is_slug(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > 32 || s[0] == '-' || s[n - 1] == '-' || strstr(s, "--") != NULL)
        return false;
    return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* Absolute, and says what it means: no "..", no "." and no empty component. */
static bool is_plain_path(const char *s)
{
    if (s[0] != '/' || strlen(s) > 1024)
        return false;
    for (const char *p = s; *p == '/';) {
        size_t len = strcspn(++p, "/");
        if (len == 0 || (len <= 2 && strncmp(p, "..", len) == 0))
            return false;
        p += len;
    }
    return true;
}

static bool is_at_or_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* Unset: false. */
static enum err read_bool(const char *key, const char *text, bool *ret, struct errctx *ctx)
{
    int64_t value = 0;
    if (text != NULL && conf_parse_bool(text, &value) != ERR_OK)
        return WRONG("%s: \"%.40s\" is neither true nor false", key, text);
    *ret = value != 0;
    return ERR_OK;
}

static enum err read_bools(struct template *t, struct errctx *ctx)
{
    enum err e = read_bool("network", t->network_text, &t->network, ctx);
    for (unsigned i = 0; e == ERR_OK && i < t->mounts_count; i++)
        e = read_bool("mounts: optional", t->mounts[i].optional_text, &t->mounts[i].optional, ctx);
    return e;
}

static enum err check_command(struct template *t, struct errctx *ctx)
{
    if (t->command_count == 0 || t->command[0][0] == '\0')
        return WRONG(
            "command: it is empty; give the program and its arguments, e.g. [bash, -c, \"...\"]");
    if (t->app != NULL && !is_slug(t->app->slug))
        return WRONG("app.slug: \"%.40s\" is not 1-32 of a-z, 0-9 and single '-' between them",
            t->app->slug);
    if (t->dir == NULL)
        t->dir = mem_strdup(TEMPLATE_HOME);
    if (!is_plain_path(t->dir))
        return WRONG("dir: \"%.80s\" is not an absolute path without \"..\"", t->dir);
    return ERR_OK;
}

static enum err check_env(const struct template *t, struct errctx *ctx)
{
    for (unsigned i = 0; i < t->env_count; i++) {
        const char *name = t->env[i].name;
        size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
        if (n == 0 || name[n] != '\0' || isdigit((unsigned char)name[0]))
            return WRONG("env: \"%.60s\" is no name of a variable", name);
        if (strncmp(name, "STINT_", 6) == 0)
            return WRONG("env: %.60s: names that begin with STINT_ are set by Stint", name);
    }
    return ERR_OK;
}

static enum err check_mounts(const struct template *t, struct errctx *ctx)
{
    static const char *const taken[] = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc",
        "/proc", "/dev", "/sys", "/var/lib/stint", "/opt/stint", TEMPLATE_DIR, "/run/stint",
        "/run/stint-agent", TEMPLATE_HOME};
    for (unsigned i = 0; i < t->mounts_count; i++) {
        const struct template_mount *m = &t->mounts[i];
        if (m->name[0] == '\0')
            return WRONG("mounts: a mount without a name");
        if (!is_plain_path(m->to))
            return WRONG(
                "mounts: %.40s: \"%.80s\" is not an absolute path without \"..\"", m->name, m->to);
        for (size_t k = 0; k < COUNT(taken); k++) {
            if (is_at_or_below(m->to, taken[k]) || is_at_or_below(taken[k], m->to))
                return WRONG("mounts: %.40s: %.80s belongs to the sandbox; mount it elsewhere, "
                             "e.g. /mnt/%.40s",
                    m->name, m->to, m->name);
        }
    }
    return ERR_OK;
}

static enum err check_cpus(struct template_limits *l, struct errctx *ctx)
{
    char *end;
    if (l->cpus == NULL)
        return ERR_OK;
    double cpus = strtod(l->cpus, &end);
    if (end == l->cpus || *end != '\0' || !(cpus >= 0.01 && cpus <= 4096))
        return WRONG("limits.cpus: \"%.40s\" is not a number from 0.01 to 4096", l->cpus);
    l->cpu_milli = (int64_t)(cpus * 1000 + 0.5);
    return ERR_OK;
}

static bool parse_number(const char *text, int64_t min, int64_t max, int64_t *ret)
{
    char *end;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 && *ret >= min && *ret <= max;
}

static enum err check_limits(struct template *t, struct errctx *ctx)
{
    struct template_limits *l = &t->limits;
    if (l->memory != NULL &&
        (conf_parse_size(l->memory, &l->memory_bytes) != ERR_OK || l->memory_bytes < 4 << 20))
        return WRONG(
            "limits.memory: \"%.40s\" is not a size of at least 4MiB, e.g. 1GiB", l->memory);
    if (l->file_size != NULL && (conf_parse_size(l->file_size, &l->file_size_bytes) != ERR_OK ||
                                    l->file_size_bytes < 1 << 20))
        return WRONG(
            "limits.file_size: \"%.40s\" is not a size of at least 1MiB, e.g. 1GiB", l->file_size);
    if (l->pids_text != NULL && !parse_number(l->pids_text, 4, 4000000, &l->pids))
        return WRONG("limits.pids: \"%.40s\" is not a number from 4 to 4000000", l->pids_text);
    t->grace_ms = 10000;
    if (t->grace != NULL && (conf_parse_duration_ms(t->grace, &t->grace_ms) != ERR_OK ||
                                t->grace_ms < 0 || t->grace_ms > 3600 * 1000))
        return WRONG("grace: \"%.40s\" is not a duration up to 1h, e.g. 10s", t->grace);
    return check_cpus(l, ctx);
}

enum err template_parse(
    const char *text, size_t n, struct template **ret_template, struct errctx *ctx)
{
    if (n > TEMPLATE_BYTES_MAX)
        return WRONG("larger than %d KiB", TEMPLATE_BYTES_MAX / 1024);
    if (!text_is_utf8(text, n))
        return WRONG("not UTF-8");
    scoped(template_freep) struct template *t = NULL;
    enum err e = parse_yaml(text, n, &t, ctx);
    if (e == ERR_OK)
        e = read_bools(t, ctx);
    if (e == ERR_OK)
        e = check_command(t, ctx);
    if (e == ERR_OK)
        e = check_env(t, ctx);
    if (e == ERR_OK)
        e = check_mounts(t, ctx);
    if (e == ERR_OK)
        e = check_limits(t, ctx);
    if (e == ERR_OK)
        *ret_template = steal(t);
    return e;
}

/* ---- the command's program ---- */

static bool is_program(int dir_fd, const char *path)
{
    struct stat st;
    return fstatat(dir_fd, path, &st, 0) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0;
}

static bool is_on_host(const char *name)
{
    static const char *const dirs[] = {
        "/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"};
    for (size_t i = 0; i < COUNT(dirs); i++) {
        char path[1200];
        snprintf(path, sizeof(path), "%s/%.1100s", dirs[i], name);
        if (is_program(AT_FDCWD, path))
            return true;
    }
    return false;
}

/* Only what a sandbox sees of the host counts. */
static bool is_visible_on_host(const char *path)
{
    static const char *const dirs[] = {"/usr", "/bin", "/sbin", "/lib", "/lib64"};
    for (size_t i = 0; i < COUNT(dirs); i++) {
        if (is_at_or_below(path, dirs[i]) && is_program(AT_FDCWD, path))
            return true;
    }
    return false;
}

/* A relative path without "..". */
static bool is_inside(const char *path)
{
    for (const char *p = path; *p != '\0'; p += strcspn(p, "/"), p += *p == '/') {
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return false;
    }
    return true;
}

static enum err check_program(struct template *t, int dir_fd, struct errctx *ctx)
{
    const char *program = t->command[0];
    if (program[0] == '/') {
        if (is_at_or_below(program, TEMPLATE_DIR) && program[sizeof(TEMPLATE_DIR) - 1] == '/' &&
            is_program(dir_fd, program + sizeof(TEMPLATE_DIR)))
            return ERR_OK;
        if (is_plain_path(program) && is_visible_on_host(program))
            return ERR_OK;
    } else if (strchr(program, '/') == NULL && is_on_host(program)) {
        return ERR_OK;
    } else if (is_inside(program) && is_program(dir_fd, program)) {
        while (strncmp(program, "./", 2) == 0)
            program += 2;
        char *path = mem_alloc(strlen(program) + sizeof(TEMPLATE_DIR) + 1);
        snprintf(path, strlen(program) + sizeof(TEMPLATE_DIR) + 1, TEMPLATE_DIR "/%s", program);
        free(t->command[0]);
        t->command[0] = path;
        return ERR_OK;
    }
    return err_set(ctx, ERR_CONFIG,
        "command \"%.80s\" is not there: install it on the workers' hosts (below /usr), or put it "
        "into the template's directory and make it executable",
        program);
}

enum err template_load(const char *template_dir, struct template **ret_template, struct errctx *ctx)
{
    scoped_fd int dir_fd = -1;
    enum err e = file_open_dir(AT_FDCWD, template_dir, &dir_fd, ctx);
    if (e != ERR_OK)
        return e;
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    e = file_read(dir_fd, TEMPLATE_FILE, TEMPLATE_BYTES_MAX + 1, &text, ctx);
    if (e == ERR_NOT_FOUND)
        return err_set(ctx, ERR_CONFIG,
            "the archive has no " TEMPLATE_FILE
            " at its top; pack the directory's content, not the directory");
    if (e != ERR_OK)
        return e;
    scoped(template_freep) struct template *t = NULL;
    e = template_parse(text.s, text.len, &t, ctx);
    if (e == ERR_OK)
        e = check_program(t, dir_fd, ctx);
    if (e == ERR_OK)
        *ret_template = steal(t);
    return e;
}
