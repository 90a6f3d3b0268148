/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf.h - settings as rows.
 *
 * Each daemon has a conf.def: one row per setting.  A value comes from, in falling order: a flag
 * (--lease=5s or --lease 5s), the environment (STINT_LEASE), a file (--config FILE: `key = value`
 * lines, # comments), the row's initial value.  `--help` and `--print-config` (each value with its
 * origin, secrets masked) are made from the rows.
 *
 * A SECRET may be given as the name of a file instead, whose first line it is: --token-file FILE,
 * STINT_TOKEN_FILE, `token_file = FILE`.  Of both in one source, the file counts.
 *
 * Types: STRING (char *, owned by the struct, may be NULL), INT, DURATION ("250ms", "5s", "10m",
 * "2h"; stored in milliseconds), SIZE ("64KiB", "1MiB", "512"; stored in bytes), BOOL ("true",
 * "false", "on", "off", "yes", "no", "1", "0"; stored as int64_t 0 or 1).  Every numeric field is
 * an int64_t.
 *
 * KEY(type, "name", field, "initial" or NULL, min, max, flags, "help")
 */
#ifndef CORE_BASE_CONF_H
#define CORE_BASE_CONF_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum conf_type { CONF_STRING, CONF_INT, CONF_DURATION, CONF_SIZE, CONF_BOOL };
enum conf_flag {
    CONF_NONE = 0,
    CONF_RELOADABLE = 1 << 0,
    CONF_SECRET = 1 << 1,
    CONF_REQUIRED = 1 << 2,
};

struct conf_key {
    const char *name; /* lower_case; flag --lower-case, environment STINT_LOWER_CASE */
    enum conf_type type;
    size_t offset;
    const char *initial;
    int64_t min, max; /* of the stored value; both 0: no limit */
    unsigned flags;
    const char *help;
};

struct conf_spec {
    const char *program; /* "stint-scheduler" */
    const char *summary; /* one line for --help */
    const char *usage;   /* examples and commands for --help, may be NULL */
    const struct conf_key *keys;
    size_t n_keys;
};

/* Use as: static const struct conf_key keys[] = { CONF_KEYS(struct scheduler_conf) with KEY rows };
 */
#define CONF_KEY_ROW(struct_, type_, name_, field_, initial_, min_, max_, flags_, help_) \
    {name_, CONF_##type_, offsetof(struct_, field_), initial_, min_, max_, CONF_##flags_, help_},

enum conf_next {
    CONF_GO,   /* run */
    CONF_EXIT, /* --help, --version or --print-config was served on stdout: exit 0 */
};

/*
 * Fill `conf` (zeroed by the caller) from argv, the environment and the file.  Arguments that are
 * not flags come to argv[1..*ret_n_args], in order (a command such as "migrate").  An unknown
 * flag or key, or a value out of range, is ERR_USAGE/ERR_CONFIG with a sentence in ctx.
 */
enum err must_check conf_load(const struct conf_spec *spec, int argc, char **argv, void *conf,
    int *ret_n_args, enum conf_next *ret_next, struct errctx *ctx);

/*
 * The same once more, from the same arguments, into a struct that is in use: settings whose row
 * says RELOADABLE take their new value, which is logged; of others it is logged that they need a
 * restart. After an error nothing has changed.  Reloadable strings are replaced: nobody keeps a
 * pointer.
 */
enum err must_check conf_reload(
    const struct conf_spec *spec, int argc, char **argv, void *conf, struct errctx *ctx);

/* Free the strings. */
void conf_done(const struct conf_spec *spec, void *conf);

/* The parsers behind the types, for CLI flags and template.yaml. */
enum err must_check conf_parse_duration_ms(const char *text, int64_t *ret_ms);
enum err must_check conf_parse_size(const char *text, int64_t *ret_bytes);
enum err must_check conf_parse_bool(const char *text, int64_t *ret_bool);

#endif
