/* SPDX-License-Identifier: Apache-2.0 */
/* profile.c - URL and token: environment first, then the file of `stint login`. */
#include "cli/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"

/* ---- URLs ---- */

static bool is_local_name(const char *host)
{
    return strncmp(host, "localhost", 9) == 0 || strncmp(host, "127.", 4) == 0 ||
           strncmp(host, "[::1]", 5) == 0;
}

char *profile_clean_url(const char *text)
{
    struct strbuf url;
    strbuf_init(&url);
    if (strstr(text, "://") == NULL)
        strbuf_addstr(&url, is_local_name(text) ? "http://" : "https://");
    strbuf_addstr(&url, text);
    while (url.len > 0 && url.s[url.len - 1] == '/')
        url.s[--url.len] = '\0';

    const char *host = strncmp(url.s, "http://", 7) == 0    ? url.s + 7
                       : strncmp(url.s, "https://", 8) == 0 ? url.s + 8
                                                            : "";
    bool fine = host[0] != '\0' && host[0] != '/' && strpbrk(url.s, " \t\r\n?#") == NULL;
    char *clean = fine ? strbuf_detach(&url) : NULL;
    strbuf_done(&url);
    return clean;
}

/* ---- the file ---- */

static char *config_path(void)
{
    struct strbuf path;
    strbuf_init(&path);
    const char *base = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    if (base != NULL && base[0] == '/')
        strbuf_addstr(&path, base);
    else
        strbuf_addf(&path, "%s/.config", home != NULL && home[0] != '\0' ? home : "");
    strbuf_addstr(&path, "/stint/config.json");
    return strbuf_detach(&path);
}

static char *get_string(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s != NULL && s[0] != '\0' ? mem_strdup(s) : NULL;
}

static const char *environment(const char *first, const char *second, const char **ret_name)
{
    const char *names[] = {first, second};
    for (size_t i = 0; i < COUNT(names); i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0') {
            *ret_name = names[i];
            return value;
        }
    }
    return NULL;
}

static void take_url(struct cli *cli, char *take_url, const char *origin)
{
    free(cli->url);
    free(cli->url_origin);
    cli->url = take_url;
    cli->url_origin = mem_strdup(origin);
}

static void load_file(struct cli *cli)
{
    json_t *file = json_load_file(cli->config_path, 0, NULL);
    scoped_free char *url = get_string(file, "url");
    char *clean = url != NULL ? profile_clean_url(url) : NULL;
    if (clean != NULL) {
        take_url(cli, clean, cli->config_path);
        cli->token = get_string(file, "token");
    }
    json_decref(file);
}

void profile_load(struct cli *cli)
{
    const char *name = NULL;
    cli->config_path = config_path();
    load_file(cli);

    const char *url = environment("STINT_URL", "CODER_URL", &name);
    if (url != NULL && profile_set_url(cli, url, name) != ERR_OK) {
        cli_say(cli, "stint: warning: %s is no http:// or https:// URL and is not used", name);
        cli_forgive(cli);
    }
    const char *token = environment("STINT_TOKEN", "CODER_SESSION_TOKEN", &name);
    if (token != NULL) {
        free(cli->token);
        cli->token = mem_strdup(token);
    }
}

enum err profile_set_url(struct cli *cli, const char *url, const char *origin)
{
    char *clean = profile_clean_url(url);
    if (clean == NULL)
        return cli_fail(cli, ERR_USAGE, "\"%s\" is no http:// or https:// URL", url);

    bool other = cli->url == NULL || strcmp(cli->url, clean) != 0;
    bool token_of_file = cli->url_origin != NULL && strcmp(cli->url_origin, cli->config_path) == 0;
    if (other && token_of_file && getenv("STINT_TOKEN") == NULL &&
        getenv("CODER_SESSION_TOKEN") == NULL) {
        free(cli->token);
        cli->token = NULL;
    }
    take_url(cli, clean, origin);
    return ERR_OK;
}

static enum err make_parents(struct cli *cli, const char *path)
{
    scoped_free char *part = mem_strdup(path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST) {
            enum err e = cli_fail(cli, ERR_IO, "cannot make %s: %s", part, strerror(errno));
            cli_hint(cli, "set XDG_CONFIG_HOME to a directory that can be written");
            return e;
        }
        *slash = '/';
    }
    return ERR_OK;
}

/* fsync, then rename: the file is the old one or the new one, never half of it. */
static enum err write_atomically(struct cli *cli, const char *text)
{
    struct strbuf next;
    strbuf_init(&next);
    strbuf_addf(&next, "%s.XXXXXX", cli->config_path);
    int fd = mkostemp(next.s, O_CLOEXEC); /* 0600 */
    size_t n = strlen(text);
    bool fine = fd >= 0 && write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
    int cause = errno;
    if (fd >= 0)
        (void)close(fd);
    if (fine && rename(next.s, cli->config_path) != 0) {
        fine = false;
        cause = errno;
    }
    if (!fine && fd >= 0)
        (void)unlink(next.s);
    strbuf_done(&next);
    return fine ? ERR_OK
                : cli_fail(cli, cause == ENOSPC ? ERR_NO_SPACE : ERR_IO, "cannot write %s: %s",
                      cli->config_path, strerror(cause));
}

static enum err write_profile(struct cli *cli, const char *url, const char *token)
{
    enum err e = make_parents(cli, cli->config_path);
    if (e != ERR_OK)
        return e;
    json_t *file = json_pack("{s:s}", "url", url);
    if (token != NULL)
        json_object_set_new(file, "token", json_string(token));
    char *text = json_dumps(file, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(file);
    e = write_atomically(cli, text);
    explicit_bzero(text, strlen(text));
    free(text);
    return e;
}

enum err profile_store(struct cli *cli)
{
    return write_profile(cli, cli->url, cli->token);
}

enum err profile_forget(struct cli *cli)
{
    json_t *file = json_load_file(cli->config_path, 0, NULL);
    scoped_free char *url = get_string(file, "url");
    json_decref(file);
    return url != NULL ? write_profile(cli, url, NULL) : ERR_OK;
}
