/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf.c - settings: gather, then parse.
 *
 * First every key gets its text and where that came from, each source overwriting a weaker one;
 * only the text that won is parsed and checked.  So a wrong line in a file does no harm where a
 * flag overrides it, and --print-config can say where each value came from.
 */
#include "core/base/conf.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

enum origin { FROM_INITIAL, FROM_FILE, FROM_ENVIRONMENT, FROM_FLAG };

struct setting {
    char *text;   /* NULL: not set */
    bool is_file; /* the text is the name of a file with the value */
    enum origin origin;
    unsigned line; /* of the file */
};

struct loader {
    const struct conf_spec *spec;
    struct setting *settings; /* as many as keys */
    const char *file;
    bool help, version, print;
};

#define FILE_SUFFIX     "_file"
#define FILE_SUFFIX_LEN (sizeof(FILE_SUFFIX) - 1)

/* *ret_is_file: named with "_file" behind it, as secrets may be. */
static struct setting *find(struct loader *l, const char *name, size_t n, bool *ret_is_file)
{
    *ret_is_file = false;
    for (size_t i = 0; i < l->spec->n_keys; i++) {
        const struct conf_key *key = &l->spec->keys[i];
        size_t len = strlen(key->name);
        if (n < len || memcmp(key->name, name, len) != 0)
            continue;
        *ret_is_file = (key->flags & CONF_SECRET) != 0 && n == len + FILE_SUFFIX_LEN &&
                       memcmp(name + len, FILE_SUFFIX, FILE_SUFFIX_LEN) == 0;
        if (n == len || *ret_is_file)
            return &l->settings[i];
    }
    return NULL;
}

static const struct conf_key *key_of(const struct loader *l, const struct setting *s)
{
    return &l->spec->keys[s - l->settings];
}

static void set(struct setting *s, const char *text, bool is_file, enum origin origin)
{
    if (s->origin == origin && s->is_file && !is_file)
        return;
    free(s->text);
    s->text = text != NULL ? mem_strdup(text) : NULL;
    s->is_file = is_file;
    s->origin = origin;
}

/* "stint_lease" -> "STINT_LEASE", "lease_max" -> "lease-max" */
static const char *renamed(char *buf, size_t size, const char *prefix, const char *name, bool flag)
{
    snprintf(buf, size, "%s%s", prefix, name);
    for (char *p = buf + strlen(prefix); *p != '\0'; p++)
        *p = flag ? (*p == '_' ? '-' : *p) : (char)toupper((unsigned char)*p);
    return buf;
}
#define FLAG_OF(key) renamed((char[96]){0}, 96, "--", (key)->name, true)
#define ENV_OF(key)  renamed((char[96]){0}, 96, "STINT_", (key)->name, false)

/* ---- the command line ---- */

/* The setting that --flag[=value] names; `text` is after the dashes. */
static struct setting *find_flag(struct loader *l, const char *text, bool *ret_is_file)
{
    char name[96];
    size_t n = strcspn(text, "=");
    if (n >= sizeof(name))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '_')
            return NULL;
        name[i] = text[i] == '-' ? '_' : text[i];
    }
    return find(l, name, n, ret_is_file);
}

static bool is_word(const char *flag, const char *name)
{
    size_t n = strlen(name);
    return strncmp(flag, name, n) == 0 && (flag[n] == '\0' || flag[n] == '=');
}

/* The flag's value: after '=', or the next argument, which *i then passes over. */
static const char *value_of(int argc, char **argv, int *i, bool is_bool)
{
    const char *equals = strchr(argv[*i], '=');
    if (equals != NULL)
        return equals + 1;
    int64_t ignored;
    if (is_bool && (*i + 1 >= argc || conf_parse_bool(argv[*i + 1], &ignored) != ERR_OK))
        return "true";
    return *i + 1 < argc ? argv[++*i] : NULL;
}

static enum err read_flag(struct loader *l, int argc, char **argv, int *i, struct errctx *ctx)
{
    const char *arg = argv[*i];
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
        l->help = true;
    } else if (strcmp(arg, "--version") == 0) {
        l->version = true;
    } else if (strcmp(arg, "--print-config") == 0) {
        l->print = true;
    } else if (is_word(arg, "--config")) {
        l->file = value_of(argc, argv, i, false);
        if (l->file == NULL)
            return err_set(ctx, ERR_USAGE, "--config needs the name of a file");
    } else {
        bool is_file = false;
        struct setting *s = arg[1] == '-' ? find_flag(l, arg + 2, &is_file) : NULL;
        if (s == NULL)
            return err_set(ctx, ERR_USAGE, "there is no flag %.*s; see %s --help",
                (int)strcspn(arg, "="), arg, l->spec->program);
        const char *value = value_of(argc, argv, i, key_of(l, s)->type == CONF_BOOL);
        if (value == NULL)
            return err_set(ctx, ERR_USAGE, "%s needs a value", arg);
        set(s, value, is_file, FROM_FLAG);
    }
    return ERR_OK;
}

static enum err read_flags(
    struct loader *l, int argc, char **argv, int *ret_n_args, struct errctx *ctx)
{
    int n_args = 0;
    bool flags = true;
    for (int i = 1; i < argc; i++) {
        if (flags && strcmp(argv[i], "--") == 0) {
            flags = false;
        } else if (flags && argv[i][0] == '-' && argv[i][1] != '\0') {
            enum err e = read_flag(l, argc, argv, &i, ctx);
            if (e != ERR_OK)
                return e;
        } else { /* to the front; the flags keep their order, for conf_reload() */
            char *arg = argv[i];
            n_args++;
            memmove(&argv[n_args + 1], &argv[n_args], (size_t)(i - n_args) * sizeof(*argv));
            argv[n_args] = arg;
        }
    }
    *ret_n_args = n_args;
    return ERR_OK;
}

/* ---- the environment and the file ---- */

static void read_environment(struct loader *l)
{
    for (size_t i = 0; i < l->spec->n_keys; i++) {
        const struct conf_key *key = &l->spec->keys[i];
        char name[96];
        snprintf(name, sizeof(name), "%s_FILE", ENV_OF(key));
        const char *file = (key->flags & CONF_SECRET) != 0 ? getenv(name) : NULL;
        const char *value = file != NULL ? file : getenv(ENV_OF(key));
        if (value != NULL && l->settings[i].origin < FROM_ENVIRONMENT)
            set(&l->settings[i], value, file != NULL, FROM_ENVIRONMENT);
    }
    if (l->file == NULL)
        l->file = getenv("STINT_CONFIG");
}

static char *trimmed(char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    size_t n = strlen(s);
    while (n > 0 && isspace((unsigned char)s[n - 1]))
        n--;
    s[n] = '\0';
    return s;
}

/* The value of a line: in double quotes as it stands, else up to a '#' after white space. */
static char *value_in_line(char *s)
{
    s = trimmed(s);
    char *end = s[0] == '"' ? strchr(s + 1, '"') : NULL;
    if (end != NULL) {
        *end = '\0';
        return s + 1;
    }
    for (char *p = s; *p != '\0'; p++)
        if (*p == '#' && (p == s || isspace((unsigned char)p[-1])))
            *p-- = '\0';
    return trimmed(s);
}

static enum err read_line(struct loader *l, char *line, unsigned number, struct errctx *ctx)
{
    line = trimmed(line);
    if (*line == '\0' || *line == '#')
        return ERR_OK;
    char *equals = strchr(line, '=');
    if (equals == NULL)
        return err_set(ctx, ERR_CONFIG, "%s:%u: expected key = value", l->file, number);
    *equals = '\0';
    const char *key = trimmed(line);
    bool is_file;
    struct setting *s = find(l, key, strlen(key), &is_file);
    if (s == NULL)
        return err_set(ctx, ERR_CONFIG, "%s:%u: there is no setting %s", l->file, number, key);
    if (s->origin <= FROM_FILE) {
        set(s, value_in_line(equals + 1), is_file, FROM_FILE);
        s->line = number;
    }
    return ERR_OK;
}

static enum err read_file(struct loader *l, struct errctx *ctx)
{
    if (l->file == NULL || *l->file == '\0')
        return ERR_OK;
    FILE *f = fopen(l->file, "re");
    if (f == NULL)
        return err_set(ctx, ERR_CONFIG, "cannot read %s: %s", l->file, strerror(errno));
    enum err e = ERR_OK;
    char *line = NULL;
    size_t room = 0;
    for (unsigned number = 1; e == ERR_OK && getline(&line, &room, f) >= 0; number++)
        e = read_line(l, line, number, ctx);
    free(line);
    fclose(f);
    return e;
}

/* ---- values ---- */

static enum err parse_int(const char *text, int64_t *ret_value)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || isspace((unsigned char)*text))
        return ERR_INVALID;
    *ret_value = v;
    return ERR_OK;
}

static enum err parse(enum conf_type type, const char *text, int64_t *ret_value)
{
    switch (type) {
    case CONF_DURATION:
        return conf_parse_duration_ms(text, ret_value);
    case CONF_SIZE:
        return conf_parse_size(text, ret_value);
    case CONF_BOOL:
        return conf_parse_bool(text, ret_value);
    default:
        return parse_int(text, ret_value);
    }
}

static const char *const type_words[] = {
    [CONF_STRING] = "a text",
    [CONF_INT] = "a whole number",
    [CONF_DURATION] = "a duration such as 250ms, 5s, 10m or 2h",
    [CONF_SIZE] = "a size such as 512, 64KiB or 1MiB",
    [CONF_BOOL] = "true or false",
};

static const char *value_words(char *buf, size_t size, enum conf_type type, int64_t v)
{
    const char *unit = type == CONF_DURATION ? "ms" : type == CONF_SIZE ? " bytes" : "";
    if (type == CONF_DURATION && v % 1000 == 0) {
        unit = "s";
        v /= 1000;
    }
    snprintf(buf, size, "%" PRId64 "%s", v, unit);
    return buf;
}
#define VALUE_WORDS(type, v) value_words((char[40]){0}, 40, (type), (v))

/* "environment STINT_LEASE" */
static const char *origin_of(
    const struct loader *l, const struct setting *s, char *buf, size_t size)
{
    const struct conf_key *key = key_of(l, s);
    if (s->origin == FROM_FLAG)
        snprintf(buf, size, "flag %s%s", FLAG_OF(key), s->is_file ? "-file" : "");
    else if (s->origin == FROM_ENVIRONMENT)
        snprintf(buf, size, "environment %s%s", ENV_OF(key), s->is_file ? "_FILE" : "");
    else if (s->origin == FROM_FILE)
        snprintf(buf, size, "%s:%u", l->file, s->line);
    else
        snprintf(buf, size, "initial");
    return buf;
}
#define ORIGIN_OF(l, s) origin_of((l), (s), (char[256]){0}, 256)

/* The first line of the file that is named, in place of the name. */
static enum err read_secret(struct loader *l, struct setting *s, struct errctx *ctx)
{
    const struct conf_key *key = key_of(l, s);
    char *line = NULL;
    size_t room = 0;
    FILE *f = fopen(s->text, "re");
    int why = errno;
    ssize_t n = f != NULL ? getline(&line, &room, f) : -1;
    if (f != NULL)
        fclose(f);
    while (n > 0 && isspace((unsigned char)line[n - 1]))
        line[--n] = '\0';
    if (n <= 0) {
        free(line);
        return err_set(ctx, ERR_CONFIG, "%s (%s): cannot read %s: %s", key->name, ORIGIN_OF(l, s),
            s->text, f == NULL ? strerror(why) : "its first line is empty");
    }
    free(s->text);
    s->text = line;
    return ERR_OK;
}

static enum err apply(struct loader *l, struct setting *s, void *conf, struct errctx *ctx)
{
    const struct conf_key *key = key_of(l, s);
    void *field = (char *)conf + key->offset;
    if (key->type == CONF_STRING) {
        *(char **)field = s->text;
        s->text = NULL;
        return ERR_OK;
    }
    int64_t v = 0;
    const char *shown = (key->flags & CONF_SECRET) != 0 ? "what is given" : s->text;
    enum err code = s->origin == FROM_FLAG ? ERR_USAGE : ERR_CONFIG;
    if (s->text != NULL && parse(key->type, s->text, &v) != ERR_OK)
        return err_set(ctx, code, "%s (%s): \"%s\" is not %s", key->name, ORIGIN_OF(l, s), shown,
            type_words[key->type]);
    if ((key->min != 0 || key->max != 0) && (v < key->min || v > key->max))
        return err_set(ctx, code, "%s (%s): %s is not between %s and %s", key->name,
            ORIGIN_OF(l, s), shown != NULL ? shown : "0", VALUE_WORDS(key->type, key->min),
            VALUE_WORDS(key->type, key->max));
    *(int64_t *)field = v;
    return ERR_OK;
}

static enum err check_required(struct loader *l, struct errctx *ctx)
{
    for (size_t i = 0; i < l->spec->n_keys; i++) {
        const struct conf_key *key = &l->spec->keys[i];
        const char *text = l->settings[i].text;
        if ((key->flags & CONF_REQUIRED) != 0 && (text == NULL || *text == '\0'))
            return err_set(ctx, ERR_CONFIG,
                "%s is not set: give %s, or %s in the environment, or a line in the --config file",
                key->name, FLAG_OF(key), ENV_OF(key));
    }
    return ERR_OK;
}

static enum err apply_all(struct loader *l, void *conf, struct errctx *ctx)
{
    enum err e = check_required(l, ctx);
    for (size_t i = 0; e == ERR_OK && i < l->spec->n_keys; i++) {
        if (l->settings[i].is_file && l->settings[i].text != NULL)
            e = read_secret(l, &l->settings[i], ctx);
        if (e == ERR_OK)
            e = apply(l, &l->settings[i], conf, ctx);
    }
    if (e != ERR_OK)
        conf_done(l->spec, conf);
    return e;
}

/* ---- what --help and --print-config say ---- */

static void print_help(const struct conf_spec *spec)
{
    static const char *const words[] = {"TEXT", "N", "DURATION", "SIZE", "BOOL"};
    printf("%s - %s\n\n", spec->program, spec->summary);
    printf("usage: %s [flags] [command]\n", spec->program);
    if (spec->usage != NULL)
        printf("\n%s\n", spec->usage);
    puts("\nSettings (a flag, or the environment, or `key = value` in the file of --config):\n");
    for (size_t i = 0; i < spec->n_keys; i++) {
        const struct conf_key *key = &spec->keys[i];
        printf("  %s %s\n      %s", FLAG_OF(key), words[key->type], key->help);
        if ((key->flags & CONF_REQUIRED) != 0)
            printf(" Required.");
        if (key->initial != NULL && *key->initial != '\0')
            printf(" Initially %s.", key->initial);
        printf(" [%s]\n", ENV_OF(key));
        if ((key->flags & CONF_SECRET) != 0)
            printf("  %s-file FILE\n      A file whose first line it is. [%s_FILE]\n", FLAG_OF(key),
                ENV_OF(key));
    }
    puts("  --config FILE\n      Read settings from FILE. [STINT_CONFIG]\n"
         "  --print-config\n      Show every setting and where it comes from.\n"
         "  --version\n  --help");
}

/* A URL's password is not for the eye: scheme://user:***@host */
static void print_masked(const char *text)
{
    const char *user = strstr(text, "://");
    const char *end = user != NULL ? user + 3 + strcspn(user + 3, "/") : NULL;
    const char *at = user != NULL ? memrchr(user, '@', (size_t)(end - user)) : NULL;
    const char *colon = at != NULL ? memchr(user + 3, ':', (size_t)(at - user - 3)) : NULL;
    if (colon != NULL)
        printf("%.*s***%s", (int)(colon + 1 - text), text, at);
    else
        fputs(text, stdout);
}

static void print_config(const struct loader *l)
{
    for (size_t i = 0; i < l->spec->n_keys; i++) {
        const struct conf_key *key = &l->spec->keys[i];
        const struct setting *s = &l->settings[i];
        if (s->text == NULL) {
            printf("# %s is not set\n", key->name);
            continue;
        }
        printf("%s%s = ", key->name, s->is_file ? FILE_SUFFIX : "");
        bool quote = key->type == CONF_STRING;
        fputs(quote ? "\"" : "", stdout);
        if ((key->flags & CONF_SECRET) != 0 && !s->is_file)
            fputs("***", stdout);
        else
            print_masked(s->text);
        printf("%s # %s\n", quote ? "\"" : "", ORIGIN_OF(l, s));
    }
}

static bool serve(const struct loader *l)
{
    if (l->help)
        print_help(l->spec);
    else if (l->version)
        printf("%s %s\n", l->spec->program, STINT_VERSION);
    else if (l->print)
        print_config(l);
    else
        return false;
    fflush(stdout);
    return true;
}

static enum err gather(struct loader *l, int argc, char **argv, int *ret_n_args, struct errctx *ctx)
{
    for (size_t i = 0; i < l->spec->n_keys; i++)
        set(&l->settings[i], l->spec->keys[i].initial, false, FROM_INITIAL);
    enum err e = read_flags(l, argc, argv, ret_n_args, ctx);
    if (e != ERR_OK || l->help || l->version)
        return e;
    read_environment(l);
    return read_file(l, ctx);
}

enum err conf_load(const struct conf_spec *spec, int argc, char **argv, void *conf, int *ret_n_args,
    enum conf_next *ret_next, struct errctx *ctx)
{
    struct loader l = {.spec = spec};
    l.settings = mem_calloc(spec->n_keys, sizeof(*l.settings));
    int n_args = 0;
    enum err e = gather(&l, argc, argv, &n_args, ctx);
    if (e == ERR_OK) {
        *ret_n_args = n_args;
        *ret_next = serve(&l) ? CONF_EXIT : CONF_GO;
        if (*ret_next == CONF_GO)
            e = apply_all(&l, conf, ctx);
    }
    for (size_t i = 0; i < spec->n_keys; i++)
        free(l.settings[i].text);
    free(l.settings);
    return e;
}

/* ---- once more ---- */

static bool is_same(const struct conf_key *key, const void *a, const void *b)
{
    if (key->type != CONF_STRING)
        return *(const int64_t *)a == *(const int64_t *)b;
    const char *s = *(char *const *)a, *t = *(char *const *)b;
    return s == NULL || t == NULL ? s == t : strcmp(s, t) == 0;
}

static const char *shown(const struct conf_key *key, const void *field, char *buf, size_t size)
{
    if ((key->flags & CONF_SECRET) != 0)
        return "***";
    if (key->type == CONF_BOOL)
        return *(const int64_t *)field != 0 ? "true" : "false";
    if (key->type != CONF_STRING)
        return value_words(buf, size, key->type, *(const int64_t *)field);
    const char *text = *(char *const *)field;
    return text != NULL ? text : "";
}
#define SHOWN(key, field) shown((key), (field), (char[40]){0}, 40)

/* The strings change places: what was in use is freed with `fresh`. */
static void take(const struct conf_key *key, void *old, void *fresh)
{
    if (is_same(key, old, fresh))
        return;
    if ((key->flags & CONF_RELOADABLE) == 0) {
        log_warn("setting needs a restart name=%s now=%s new=%s", key->name, LOG_Q(SHOWN(key, old)),
            LOG_Q(SHOWN(key, fresh)));
        return;
    }
    log_info("setting changed name=%s from=%s to=%s", key->name, LOG_Q(SHOWN(key, old)),
        LOG_Q(SHOWN(key, fresh)));
    if (key->type == CONF_STRING) {
        char *text = *(char **)old;
        *(char **)old = *(char **)fresh;
        *(char **)fresh = text;
    } else {
        *(int64_t *)old = *(int64_t *)fresh;
    }
}

enum err conf_reload(
    const struct conf_spec *spec, int argc, char **argv, void *conf, struct errctx *ctx)
{
    size_t size = 0;
    for (size_t i = 0; i < spec->n_keys; i++)
        if (spec->keys[i].offset + sizeof(int64_t) > size)
            size = spec->keys[i].offset + sizeof(int64_t);
    char *fresh = mem_calloc(1, size);
    int n_args;
    enum conf_next next;
    enum err e = conf_load(spec, argc, argv, fresh, &n_args, &next, ctx);
    for (size_t i = 0; e == ERR_OK && i < spec->n_keys; i++)
        take(&spec->keys[i], (char *)conf + spec->keys[i].offset, fresh + spec->keys[i].offset);
    conf_done(spec, fresh);
    free(fresh);
    return e;
}

void conf_done(const struct conf_spec *spec, void *conf)
{
    for (size_t i = 0; i < spec->n_keys; i++) {
        if (spec->keys[i].type != CONF_STRING)
            continue;
        char **field = (char **)(void *)((char *)conf + spec->keys[i].offset);
        free(*field);
        *field = NULL;
    }
}
