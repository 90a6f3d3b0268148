/* SPDX-License-Identifier: Apache-2.0 */
/* user.c - environment first, then files. */
#include "agent/mcp/user.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/file.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

#define FILE_BYTES_MAX 16384

static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool is_here(const char *host)
{
    return strncmp(host, "localhost", 9) == 0 || strncmp(host, "127.", 4) == 0 ||
           strncmp(host, "[::1]", 5) == 0;
}

char *user_clean_url(const char *text)
{
    struct strbuf url;
    strbuf_init(&url);
    if (strstr(text, "://") == NULL)
        strbuf_addstr(&url, is_here(text) ? "http://" : "https://");
    strbuf_addstr(&url, text);
    while (url.len > 0 && url.s[url.len - 1] == '/')
        url.s[--url.len] = '\0';
    const char *host = strncasecmp(url.s, "http://", 7) == 0    ? url.s + 7
                       : strncasecmp(url.s, "https://", 8) == 0 ? url.s + 8
                                                                : "";
    bool is_fine = host[0] != '\0' && host[0] != '/' && strpbrk(url.s, " \t\r\n?#") == NULL;
    char *clean = is_fine ? strbuf_detach(&url) : NULL;
    strbuf_done(&url);
    return clean;
}

/* ---- files ---- */

/* The file's content, without white space at its end; NULL when there is none. */
static char *read_file(const char *path)
{
    struct strbuf text;
    struct errctx ctx = {0};
    strbuf_init(&text);
    if (file_read(AT_FDCWD, path, FILE_BYTES_MAX, &text, &ctx) == ERR_OK)
        while (text.len > 0 && strchr(" \t\r\n", text.s[text.len - 1]) != NULL)
            text.s[--text.len] = '\0';
    else
        strbuf_clear(&text);
    char *content = text.len > 0 ? strbuf_detach(&text) : NULL;
    strbuf_done(&text);
    return content;
}

static void add_config_dir(struct strbuf *path, const char *name)
{
    const char *base = env("XDG_CONFIG_HOME"), *home = env("HOME");
    if (base != NULL && base[0] == '/')
        strbuf_addf(path, "%s/%s", base, name);
    else
        strbuf_addf(path, "%s/.config/%s", home != NULL ? home : "", name);
}

static void take(struct mcp_user *u, const char *url, char *take_token)
{
    user_done(u);
    u->url = url != NULL ? user_clean_url(url) : NULL;
    u->token = u->url != NULL ? take_token : NULL;
    if (u->url == NULL)
        free(take_token);
}

static void load_stints_file(struct mcp_user *u)
{
    scoped(strbuf_done) struct strbuf path;
    strbuf_init(&path);
    add_config_dir(&path, "stint/config.json");
    scoped_free char *text = read_file(path.s);
    json_t *file = text != NULL ? json_loads(text, 0, NULL) : NULL;
    const char *token = json_string_value(json_object_get(file, "token"));
    take(u, json_string_value(json_object_get(file, "url")),
        token != NULL && token[0] != '\0' ? mem_strdup(token) : NULL);
    json_decref(file);
}

static void load_coders_files(struct mcp_user *u)
{
    scoped(strbuf_done) struct strbuf url_path, token_path;
    strbuf_init(&url_path);
    strbuf_init(&token_path);
    if (env("CODER_CONFIG_DIR") != NULL)
        strbuf_addstr(&url_path, env("CODER_CONFIG_DIR"));
    else
        add_config_dir(&url_path, "coderv2");
    strbuf_addf(&token_path, "%s/session", url_path.s);
    strbuf_addstr(&url_path, "/url");
    scoped_free char *url = read_file(url_path.s);
    take(u, url, read_file(token_path.s));
}

/* ---- all of it ---- */

static void override_url(struct mcp_user *u, const char *name, const char *text)
{
    char *url = user_clean_url(text);
    if (url == NULL) {
        log_warn("variable is not used name=%s cause=\"no http:// or https:// URL\"", name);
        return;
    }
    if (u->url == NULL || strcmp(u->url, url) != 0) { /* a stored token is not for this one */
        free(u->token);
        u->token = NULL;
    }
    free(u->url);
    u->url = url;
}

void user_load(struct mcp_user *u)
{
    *u = (struct mcp_user){0};
    load_stints_file(u);
    if (!user_is_logged_in(u))
        load_coders_files(u);
    const char *names[] = {"STINT_URL", "CODER_URL"};
    for (size_t i = 0; i < COUNT(names); i++)
        if (env(names[i]) != NULL) {
            override_url(u, names[i], env(names[i]));
            break;
        }
    const char *token =
        env("STINT_TOKEN") != NULL ? env("STINT_TOKEN") : env("CODER_SESSION_TOKEN");
    if (token != NULL) {
        free(u->token);
        u->token = mem_strdup(token);
    }
}

void user_done(struct mcp_user *u)
{
    free(u->url);
    free(u->token);
    *u = (struct mcp_user){0};
}

bool user_is_logged_in(const struct mcp_user *u)
{
    return u->url != NULL && u->token != NULL;
}
