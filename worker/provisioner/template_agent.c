/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_agent.c - checks of what the agent is to run: the command or AgentAPI, apps, scripts,
 * metadata.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/cron.h"
#include "core/base/mem.h"
#include "worker/provisioner/template_part.h"

#define DAY_MS             (24 * 3600 * 1000)
#define HOUR_MS            (3600 * 1000)
#define AGENTAPI_PORT      3284
#define FIRST_FREE_PORT    1024 /* those below are root's */
#define HEALTH_INTERVAL_MS 3000
#define HEALTH_THRESHOLD   20

/* ---- words ---- */

static bool is_slug(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > 32 || s[0] == '-' || s[n - 1] == '-' || strstr(s, "--") != NULL)
        return false;
    return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* Of a script or of metadata: it stands in log lines and URLs. */
static bool is_key(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
    return n >= 1 && n <= 64 && s[n] == '\0';
}

static enum err check_key(const struct template_source *s, const char *path, const char *key)
{
    return is_key(key) ? ERR_OK
                       : template_wrong(s, path,
                             "\"%.70s\" is not 1-64 of letters, digits, '_', '.' and '-'", key);
}

static enum err check_url(const struct template_source *s, const char *path, const char *url)
{
    const char *host = strncmp(url, "http://", 7) == 0    ? url + 7
                       : strncmp(url, "https://", 8) == 0 ? url + 8
                                                          : "";
    if (*host == '\0' || *host == '/' || strlen(url) > 1024 || strpbrk(url, " \t\r\n\"<>") != NULL)
        return template_wrong(
            s, path, "\"%.100s\" is no URL that begins with http:// or https://", url);
    return ERR_OK;
}

/* ---- apps ---- */

static enum err check_health(
    const struct template_source *s, const char *path, struct template_health *h)
{
    enum err e = check_url(s, template_path("%s.url", path).s, h->url);
    if (e == ERR_OK)
        e = template_read_duration(s, template_path("%s.interval", path).s, h->interval,
            HEALTH_INTERVAL_MS, 1000, HOUR_MS, &h->interval_ms);
    if (e == ERR_OK)
        e = template_read_number(s, template_path("%s.threshold", path).s, h->threshold_text,
            HEALTH_THRESHOLD, 1, 1000, &h->threshold);
    return e;
}

static enum err check_app_run(
    const struct template_source *s, const char *path, struct template_app *a)
{
    enum err e = ERR_OK;
    struct template_path place = template_path("%s.command", path);
    bool runs = a->command_count > 0 || template_has(s, place.s);
    if (runs)
        e = template_check_command(s, place.s, a->command, a->command_count);
    place = template_path("%s.restart", path);
    if (e == ERR_OK && !runs && a->restart != NULL)
        return template_wrong(s, place.s, "without a command there is nothing to restart");
    if (e == ERR_OK)
        e = template_read_word(s, place.s, "on-failure always never", &a->restart);
    place = template_path("%s.dir", path);
    if (e == ERR_OK && a->dir != NULL && !template_is_plain_path(a->dir))
        return template_wrong(
            s, place.s, "\"%.80s\" is not an absolute path without \"..\"", a->dir);
    for (unsigned i = 0; e == ERR_OK && i < a->env_count; i++)
        e = template_check_env(s, template_path("%s.env[%u]", path, i).s, &a->env[i], false);
    return e;
}

static enum err check_app(const struct template_source *s, const char *path, struct template_app *a)
{
    if (!is_slug(a->slug))
        return template_wrong(s, template_path("%s.slug", path).s,
            "\"%.40s\" is not 1-32 of a-z, 0-9 and single '-' between them", a->slug);
    enum err e = check_app_run(s, path, a);
    if (e == ERR_OK && a->url != NULL)
        e = check_url(s, template_path("%s.url", path).s, a->url);
    if (e == ERR_OK && a->health != NULL)
        e = check_health(s, template_path("%s.health", path).s, a->health);
    return e;
}

static enum err check_apps(const struct template_source *s, struct template *t)
{
    enum err e = t->app != NULL ? check_app(s, "app", t->app) : ERR_OK;
    for (unsigned i = 0; e == ERR_OK && i < t->apps_count; i++) {
        struct template_path path = template_path("apps[%u]", i);
        const char *slug = t->apps[i].slug;
        e = check_app(s, path.s, &t->apps[i]);
        bool taken = t->app != NULL && strcmp(t->app->slug, slug) == 0;
        for (unsigned k = 0; k < i && !taken; k++)
            taken = strcmp(t->apps[k].slug, slug) == 0;
        if (e == ERR_OK && taken)
            return template_wrong(s, template_path("%s.slug", path.s).s,
                "another app has the slug \"%s\" already", slug);
    }
    return e;
}

/* ---- one of two ways ---- */

static enum err check_agentapi(const struct template_source *s, struct template *t)
{
    struct template_agentapi *a = t->agentapi;
    /* In the host's network many workspaces may want a port. */
    enum err e = template_read_number(
        s, "agentapi.port", a->port_text, t->network ? 0 : AGENTAPI_PORT, 0, 65535, &a->port);
    if (e == ERR_OK && a->port != 0 && a->port < FIRST_FREE_PORT)
        return template_wrong(s, "agentapi.port",
            "%lld: ports below %d are not for workspaces; 0 lets the agent pick one",
            (long long)a->port, FIRST_FREE_PORT);
    if (e == ERR_OK)
        e = template_read_word(s, "agentapi.prompt", "send none", &a->prompt);
    if (e == ERR_OK)
        e = template_read_bool(s, "agentapi.enable_state_persistence", a->persistence_text, false,
            &a->enable_state_persistence);
    if (e == ERR_OK && t->app == NULL)
        return template_wrong(
            s, "agentapi", "it needs an app that speaks it: add app: {slug: ..., command: [...]}");
    return e;
}

static enum err check_way(const struct template_source *s, struct template *t)
{
    bool has_command = t->command_count > 0 || template_has(s, "command");
    if (!has_command && t->agentapi == NULL)
        return template_wrong(s, "command",
            "it is missing: say what runs once per prompt, or agentapi: {...} for an app that "
            "takes prompts itself");
    if (has_command && t->agentapi != NULL)
        return template_wrong(s, "agentapi",
            "prompts go either to `command` or to an app with `agentapi`; take one of them away");
    if (t->agentapi != NULL)
        return check_agentapi(s, t);
    enum err e = template_check_command(s, "command", t->command, t->command_count);
    if (e == ERR_OK && t->app != NULL && t->app->command_count > 0)
        return template_wrong(
            s, "app.command", "`command` at the top runs the task's app; take one of them away");
    return e;
}

/* ---- scripts ---- */

static enum err check_cron(const struct template_source *s, const char *path, const char *cron)
{
    struct cron ignored;
    struct errctx why = {0};
    return cron_parse(cron, &ignored, &why) == ERR_OK ? ERR_OK
                                                      : template_wrong(s, path, "%s", why.text);
}

static enum err check_run(
    const struct template_source *s, const char *path, struct template_script *c)
{
    enum err e = template_read_word(s, template_path("%s.run", path).s, "start stop cron", &c->run);
    if (e != ERR_OK)
        return e;
    bool by_clock = strcmp(c->run, "cron") == 0;
    struct template_path place = template_path("%s.cron", path);
    if (by_clock && c->cron == NULL)
        return template_wrong(
            s, path, "\"%.64s\" runs by the clock: say when, e.g. cron: \"*/5 * * * *\"", c->name);
    if (!by_clock && c->cron != NULL)
        return template_wrong(s, place.s, "only a script with run: cron has times");
    e = template_read_bool(
        s, template_path("%s.blocking", path).s, c->blocking_text, false, &c->blocking);
    if (e == ERR_OK && c->blocking && strcmp(c->run, "start") != 0)
        return template_wrong(
            s, template_path("%s.blocking", path).s, "only a start script can hold up the apps");
    return e == ERR_OK && by_clock ? check_cron(s, place.s, c->cron) : e;
}

static enum err check_script(
    const struct template_source *s, const char *path, struct template_script *c)
{
    enum err e = check_key(s, template_path("%s.name", path).s, c->name);
    if (e == ERR_OK)
        e = template_check_command(
            s, template_path("%s.command", path).s, c->command, c->command_count);
    if (e == ERR_OK)
        e = check_run(s, path, c);
    if (e == ERR_OK)
        e = template_read_duration(
            s, template_path("%s.timeout", path).s, c->timeout, 0, 100, DAY_MS, &c->timeout_ms);
    return e;
}

static enum err check_scripts(const struct template_source *s, struct template *t)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; e == ERR_OK && i < t->scripts_count; i++) {
        struct template_path path = template_path("scripts[%u]", i);
        e = check_script(s, path.s, &t->scripts[i]);
        for (unsigned k = 0; e == ERR_OK && k < i; k++) {
            if (strcmp(t->scripts[k].name, t->scripts[i].name) == 0)
                return template_wrong(s, template_path("%s.name", path.s).s,
                    "another script has the name \"%s\" already", t->scripts[i].name);
        }
    }
    return e;
}

/* ---- metadata ---- */

static enum err check_fact(
    const struct template_source *s, const char *path, struct template_metadata *m)
{
    enum err e = check_key(s, template_path("%s.key", path).s, m->key);
    if (e == ERR_OK)
        e = template_check_command(
            s, template_path("%s.command", path).s, m->command, m->command_count);
    if (e == ERR_OK)
        e = template_read_duration(s, template_path("%s.interval", path).s, m->interval, 10000,
            1000, DAY_MS, &m->interval_ms);
    if (e == ERR_OK)
        e = template_read_duration(
            s, template_path("%s.timeout", path).s, m->timeout, 5000, 100, HOUR_MS, &m->timeout_ms);
    return e;
}

static enum err check_metadata(const struct template_source *s, struct template *t)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; e == ERR_OK && i < t->metadata_count; i++) {
        struct template_path path = template_path("metadata[%u]", i);
        e = check_fact(s, path.s, &t->metadata[i]);
        for (unsigned k = 0; e == ERR_OK && k < i; k++) {
            if (strcmp(t->metadata[k].key, t->metadata[i].key) == 0)
                return template_wrong(s, template_path("%s.key", path.s).s,
                    "another one has the key \"%s\" already", t->metadata[i].key);
        }
    }
    return e;
}

enum err template_check_agent(const struct template_source *s, struct template *t)
{
    static enum err (*const checks[])(const struct template_source *, struct template *) = {
        check_way, check_apps, check_scripts, check_metadata};
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < COUNT(checks); i++)
        e = checks[i](s, t);
    return e;
}
