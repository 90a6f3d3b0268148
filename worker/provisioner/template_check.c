/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_check.c - what a template.yaml of the right shape must still fulfil, and the numbers
 * behind its texts.  template_agent.c has the part that the agent carries out.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/conf.h"
#include "core/base/mem.h"
#include "worker/provisioner/template_part.h"

/* ---- kinds of values ---- */

bool template_is_plain_path(const char *s)
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

bool template_is_at_or_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

enum err template_read_bool(
    const struct template_source *s, const char *path, const char *text, bool initial, bool *ret)
{
    int64_t value = initial;
    if (text != NULL && conf_parse_bool(text, &value) != ERR_OK)
        return template_wrong(s, path, "\"%.40s\" is neither true nor false", text);
    *ret = value != 0;
    return ERR_OK;
}

static bool parse_number(const char *text, int64_t min, int64_t max, int64_t *ret)
{
    char *end;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 && *ret >= min && *ret <= max;
}

enum err template_read_number(const struct template_source *s, const char *path, const char *text,
    int64_t initial, int64_t min, int64_t max, int64_t *ret)
{
    *ret = initial;
    if (text != NULL && !parse_number(text, min, max, ret))
        return template_wrong(s, path, "\"%.40s\" is not a number from %lld to %lld", text,
            (long long)min, (long long)max);
    return ERR_OK;
}

enum err template_read_duration(const struct template_source *s, const char *path, const char *text,
    int64_t initial_ms, int64_t min_ms, int64_t max_ms, int64_t *ret_ms)
{
    *ret_ms = initial_ms;
    if (text != NULL &&
        (conf_parse_duration_ms(text, ret_ms) != ERR_OK || *ret_ms < min_ms || *ret_ms > max_ms))
        return template_wrong(s, path, "\"%.40s\" is not a duration from %lldms to %lldm, e.g. 10s",
            text, (long long)min_ms, (long long)(max_ms / 60000));
    return ERR_OK;
}

enum err template_read_word(
    const struct template_source *s, const char *path, const char *words, char **text)
{
    size_t n = *text != NULL ? strlen(*text) : 0;
    for (const char *p = words; *p != '\0'; p += *p == ' ') {
        size_t len = strcspn(p, " ");
        if (*text == NULL)
            *text = mem_strndup(p, n = len);
        if (n == len && strncmp(p, *text, n) == 0)
            return ERR_OK;
        p += len;
    }
    return template_wrong(s, path, "\"%.40s\" is none of these: %s", *text, words);
}

enum err template_check_command(
    const struct template_source *s, const char *path, char *const *command, unsigned n)
{
    if (n > 0 && command[0][0] != '\0')
        return ERR_OK;
    if (!template_has(s, path))
        return template_wrong(s, path, "it is missing");
    return template_wrong(
        s, path, "it is empty; give the program and its arguments, e.g. [bash, -c, \"...\"]");
}

/* ---- environment ---- */

static bool is_variable(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    return n > 0 && name[n] == '\0' && !isdigit((unsigned char)name[0]);
}

static bool is_secret_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return n >= 1 && n <= 64 && name[n] == '\0';
}

static enum err check_variable(
    const struct template_source *s, const char *path, const struct template_env *v)
{
    if (!is_variable(v->name))
        return template_wrong(s, path, "\"%.60s\" is no name of a variable", v->name);
    if (strncmp(v->name, "STINT_", 6) == 0)
        return template_wrong(
            s, path, "%.60s: names that begin with STINT_ are set by Stint", v->name);
    if ((v->value == NULL) == (v->secret == NULL))
        return template_wrong(s, path, "%.60s: give either a value or the name of a secret, not %s",
            v->name, v->value == NULL ? "neither" : "both");
    if (v->secret != NULL && !is_secret_name(v->secret))
        return template_wrong(s, path,
            "%.60s: \"%.64s\" is no name of a secret: 1-64 of a-z, 0-9 and '-'", v->name,
            v->secret);
    if (v->secret == NULL && v->optional)
        return template_wrong(
            s, path, "%.60s: only a secret can be optional; a value is always there", v->name);
    return ERR_OK;
}

enum err template_check_env(const struct template_source *s, const char *path,
    const struct template_env *env, bool may_have_secrets)
{
    enum err e = check_variable(s, path, env);
    if (e == ERR_OK && env->secret != NULL && !may_have_secrets)
        return template_wrong(s, path,
            "%.60s: an app has no secrets of its own: name it in env at the top, which all apps "
            "and scripts see",
            env->name);
    return e;
}

static enum err check_env(const struct template_source *s, struct template *t)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; e == ERR_OK && i < t->env_count; i++) {
        struct template_env *v = &t->env[i];
        e = template_read_bool(
            s, template_path("env[%u].optional", i).s, v->optional_text, false, &v->optional);
        if (e == ERR_OK)
            e = template_check_env(s, template_path("env[%u]", i).s, v, true);
        for (unsigned k = 0; e == ERR_OK && k < i; k++) {
            if (strcmp(t->env[k].name, v->name) == 0)
                return template_wrong(
                    s, template_path("env[%u]", i).s, "%.60s is there twice", v->name);
        }
    }
    return e;
}

/* ---- the sandbox ---- */

static enum err check_mount(
    const struct template_source *s, const char *path, const struct template_mount *m)
{
    static const char *const taken[] = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc",
        "/proc", "/dev", "/sys", "/var/lib/stint", "/opt/stint", TEMPLATE_DIR, "/run/stint",
        "/run/stint-agent", TEMPLATE_HOME};
    if (m->name[0] == '\0')
        return template_wrong(s, path, "a mount without a name");
    if (!template_is_plain_path(m->to))
        return template_wrong(
            s, path, "%.40s: \"%.80s\" is not an absolute path without \"..\"", m->name, m->to);
    for (size_t k = 0; k < COUNT(taken); k++) {
        if (template_is_at_or_below(m->to, taken[k]) || template_is_at_or_below(taken[k], m->to))
            return template_wrong(s, path,
                "%.40s: %.80s belongs to the sandbox; mount it elsewhere, e.g. /mnt/%.40s", m->name,
                m->to, m->name);
    }
    return ERR_OK;
}

static enum err check_mounts(const struct template_source *s, struct template *t)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; e == ERR_OK && i < t->mounts_count; i++) {
        struct template_mount *m = &t->mounts[i];
        e = template_read_bool(
            s, template_path("mounts[%u].optional", i).s, m->optional_text, false, &m->optional);
        if (e == ERR_OK)
            e = check_mount(s, template_path("mounts[%u]", i).s, m);
    }
    return e;
}

static enum err check_cpus(const struct template_source *s, struct template_limits *l)
{
    char *end;
    if (l->cpus == NULL)
        return ERR_OK;
    double cpus = strtod(l->cpus, &end);
    if (end == l->cpus || *end != '\0' || !(cpus >= 0.01 && cpus <= 4096))
        return template_wrong(
            s, "limits.cpus", "\"%.40s\" is not a number from 0.01 to 4096", l->cpus);
    l->cpu_milli = (int64_t)(cpus * 1000 + 0.5);
    return ERR_OK;
}

static enum err read_size(const struct template_source *s, const char *path, const char *text,
    int64_t min_mib, int64_t *ret)
{
    if (text != NULL && (conf_parse_size(text, ret) != ERR_OK || *ret < min_mib << 20))
        return template_wrong(s, path, "\"%.40s\" is not a size of at least %lldMiB, e.g. 1GiB",
            text, (long long)min_mib);
    return ERR_OK;
}

static enum err check_limits(const struct template_source *s, struct template *t)
{
    struct template_limits *l = &t->limits;
    enum err e = read_size(s, "limits.memory", l->memory, 4, &l->memory_bytes);
    if (e == ERR_OK)
        e = read_size(s, "limits.file_size", l->file_size, 1, &l->file_size_bytes);
    if (e == ERR_OK)
        e = template_read_number(s, "limits.pids", l->pids_text, 0, 4, 4000000, &l->pids);
    if (e == ERR_OK)
        e = template_read_duration(s, "grace", t->grace, 10000, 0, 3600 * 1000, &t->grace_ms);
    if (e == ERR_OK)
        e = template_read_bool(s, "network", t->network_text, false, &t->network);
    return e != ERR_OK ? e : check_cpus(s, l);
}

static enum err check_dir(const struct template_source *s, struct template *t)
{
    if (t->dir == NULL)
        t->dir = mem_strdup(TEMPLATE_HOME);
    if (!template_is_plain_path(t->dir))
        return template_wrong(s, "dir", "\"%.80s\" is not an absolute path without \"..\"", t->dir);
    return ERR_OK;
}

enum err template_check(const struct template_source *s, struct template *t)
{
    static enum err (*const checks[])(const struct template_source *, struct template *) = {
        check_limits, check_dir, check_env, check_mounts, template_check_parameters,
        template_check_agent};
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < COUNT(checks); i++)
        e = checks[i](s, t);
    return e;
}
