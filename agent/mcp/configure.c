/* SPDX-License-Identifier: Apache-2.0 */
/* configure.c - what agent programs want to know of an MCP server. */
#include "agent/mcp/configure.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/mcp/config_file.h"
#include "core/base/cleanup.h"
#include "core/base/strbuf.h"

#define REPORT_TOOL "mcp__coder__coder_report_task"
/* Claude Code knows an approved key again by its end. */
#define KEY_END_BYTES 20

json_t *configure_server(const char *command, json_t *take_env)
{
    char self[PATH_MAX] = "coder";
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0)
        self[n] = '\0';
    bool is_given = command != NULL && command[0] != '\0';
    return json_pack("{s:s, s:[s, s, s], s:o}", "command", is_given ? command : self, "args", "exp",
        "mcp", "server", "env", take_env);
}

enum err configure_json(const char *path, json_t *take_server, struct errctx *ctx)
{
    json_t *config;
    enum err e = config_read(path, &config, ctx);
    if (e != ERR_OK) {
        json_decref(take_server);
        return e;
    }
    json_object_set_new(config_object(config, "mcpServers"), "coder", take_server);
    e = config_write(path, config, ctx);
    json_decref(config);
    return e;
}

/* ---- Claude Code ---- */

/* An array of texts that has this one in it. */
static void add_to_list(json_t *parent, const char *key, const char *text)
{
    json_t *list = json_object_get(parent, key);
    if (!json_is_array(list)) {
        list = json_array();
        json_object_set_new(parent, key, list);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *known = json_string_value(json_array_get(list, i));
        if (known != NULL && strcmp(known, text) == 0)
            return;
    }
    json_array_append_new(list, json_string(text));
}

static void set_true(json_t *object, const char *key)
{
    json_object_set_new(object, key, json_true());
}

/* A key of the environment need not be stored; it is only not asked about. */
static void approve_key(json_t *config, const char *key)
{
    size_t n = key != NULL ? strlen(key) : 0;
    if (n == 0)
        return;
    add_to_list(config_object(config, "customApiKeyResponses"), "approved",
        n > KEY_END_BYTES ? key + n - KEY_END_BYTES : key);
}

static void edit_claude(
    json_t *config, const struct claude_conf *c, const char *directory, json_t *take_server)
{
    if (c->api_key != NULL && c->api_key[0] != '\0')
        json_object_set_new(config, "primaryApiKey", json_string(c->api_key));
    approve_key(config, getenv("ANTHROPIC_API_KEY"));
    set_true(config, "hasCompletedOnboarding");
    set_true(config, "bypassPermissionsModeAccepted");
    set_true(config, "hasAcknowledgedCostThreshold");
    json_object_set_new(config, "autoUpdaterStatus", json_string("disabled"));

    json_t *project = config_object(config_object(config, "projects"), directory);
    add_to_list(project, "allowedTools", REPORT_TOOL);
    set_true(project, "hasTrustDialogAccepted");
    set_true(project, "hasCompletedProjectOnboarding");
    json_object_set_new(config_object(project, "mcpServers"), "coder", take_server);
}

/* As claude will find it: absolute, without links. */
static void absolute(const char *directory, char ret_path[static PATH_MAX])
{
    if (realpath(directory, ret_path) != NULL)
        return;
    char here[PATH_MAX / 2] = "";
    if (directory[0] != '/' && getcwd(here, sizeof(here)) == NULL)
        here[0] = '\0';
    snprintf(ret_path, PATH_MAX, "%s%s%.2000s", here, here[0] != '\0' ? "/" : "", directory);
    size_t n = strlen(ret_path);
    while (n > 1 && ret_path[n - 1] == '/')
        ret_path[--n] = '\0';
}

enum err configure_claude(const struct claude_conf *conf, json_t *take_server, struct errctx *ctx)
{
    json_t *config;
    enum err e = config_read(conf->config_path, &config, ctx);
    if (e != ERR_OK) {
        json_decref(take_server);
        return e;
    }
    char directory[PATH_MAX];
    absolute(conf->project, directory);
    edit_claude(config, conf, directory, take_server);
    e = config_write(conf->config_path, config, ctx);
    json_decref(config);
    return e;
}

/* ---- CLAUDE.md ---- */

/* Takes the first part between these markers out of the text, with them; false when there is none.
 */
static bool take_out(struct strbuf *text, const char *begin, const char *end)
{
    const char *from = strstr(text->s, begin);
    const char *to = from != NULL ? strstr(from, end) : NULL;
    if (to == NULL)
        return false;
    to += strlen(end);
    if (*to == '\n' && (from == text->s || from[-1] == '\n'))
        to++; /* of the line that the marker stood on */
    struct strbuf rest;
    strbuf_init(&rest);
    strbuf_add(&rest, text->s, (size_t)(from - text->s));
    strbuf_addstr(&rest, to);
    strbuf_done(text);
    *text = rest;
    return true;
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

char *claude_md_text(const struct claude_conf *c, const char *old)
{
    static const char begin_coder[] = "<coder-prompt>", end_coder[] = "</coder-prompt>";
    static const char begin_system[] = "<system-prompt>", end_system[] = "</system-prompt>";
    scoped(strbuf_done) struct strbuf rest;
    struct strbuf text;
    strbuf_init(&rest);
    strbuf_init(&text);
    strbuf_addstr(&rest, old);
    while (take_out(&rest, begin_coder, end_coder) || take_out(&rest, begin_system, end_system))
        ;
    const char *report = or_empty(c->report_prompt), *coder = or_empty(c->coder_prompt);
    strbuf_addf(&text, "%s\n%s%s%s\n%s\n", begin_coder, report, coder[0] != '\0' ? "\n\n" : "",
        coder, end_coder);
    strbuf_addf(&text, "%s\n%s\n%s\n", begin_system, or_empty(c->system_prompt), end_system);
    strbuf_addstr(&text, rest.s + strspn(rest.s, " \t\r\n"));
    return strbuf_detach(&text);
}

enum err configure_claude_md(const struct claude_conf *conf, struct errctx *ctx)
{
    scoped(strbuf_done) struct strbuf old;
    enum err e = config_read_text(conf->md_path, &old, ctx);
    if (e != ERR_OK)
        return e;
    if (strlen(old.s) != old.len)
        return err_set(ctx, ERR_INVALID, "%s is left as it is: it is no text", conf->md_path);
    scoped_free char *text = claude_md_text(conf, old.s);
    return config_write_text(conf->md_path, text, strlen(text), ctx);
}
