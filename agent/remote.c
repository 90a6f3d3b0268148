/* SPDX-License-Identifier: Apache-2.0 */
/* Who am I here, what does the manifest mean here, and where is it put. */
#include "agent/remote.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/file.h"
#include "agent/remote_ask.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/base/uuid.h"

/* With the socket's name it has to fit into an address of AF_UNIX. */
#define RUN_DIR_MAX 80

/* What nobody else would take away: it is not in the workspace's home. */
static void empty_run_dir(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(d), entry->d_name, 0);
    if (d != NULL)
        closedir(d);
    (void)rmdir(path);
}

void remote_done(struct remote *r)
{
    if (r->run_dir_is_in_tmp)
        empty_run_dir(r->run_dir);
    free(r->url);
    free(r->manifest);
    free(r->run_dir);
    json_decref(r->workers);
    *r = (struct remote){0};
}

/* ---- this user, on this machine ---- */

/* The user's line of /etc/passwd: name, home, shell.  By hand: a static program has no NSS. */
static bool read_passwd(char *line, size_t size, char *fields[static 7])
{
    FILE *f = fopen("/etc/passwd", "re");
    bool found = false;
    while (f != NULL && !found && fgets(line, (int)size, f) != NULL) {
        char *rest = line;
        size_t n = 0;
        line[strcspn(line, "\n")] = '\0';
        while (n < 7 && (fields[n] = strsep(&rest, ":")) != NULL)
            n++;
        found = n == 7 && strtoul(fields[2], NULL, 10) == getuid();
    }
    if (f != NULL)
        fclose(f);
    return found;
}

static void set_path(void)
{
    char self[PATH_MAX];
    const char *path = getenv("PATH");
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash == NULL)
        return;
    *slash = '\0'; /* there the program is called stint-agent, and coder too */
    struct strbuf all;
    strbuf_init(&all);
    strbuf_addf(&all, "%s:%s", self,
        path != NULL && path[0] != '\0' ? path
                                        : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
                                          "/sbin:/bin");
    setenv("PATH", all.s, 1);
    strbuf_done(&all);
}

static void set_environment(const struct remote_options *o, const char *url)
{
    char line[1024];
    char *fields[7];
    bool known = read_passwd(line, sizeof(line), fields);
    struct strbuf agent_url;
    strbuf_init(&agent_url);
    strbuf_addf(&agent_url, "%s/", url);
    setenv("USER", known ? fields[0] : "user", 0);
    setenv("HOME", known && fields[5][0] == '/' ? fields[5] : "/tmp", 0);
    setenv("SHELL", known && access(fields[6], X_OK) == 0 ? fields[6] : "/bin/sh", 0);
    setenv("CODER_AGENT_URL", agent_url.s, 1);
    setenv("CODER_AGENT_TOKEN", o->token, 1);
    strbuf_done(&agent_url);
    set_path();
}

/* ---- the manifest in terms of this machine ---- */

/* `text` with $NAME, ${NAME} and a "~" at its beginning put in; unknown names become nothing. */
static char *expand(const char *text)
{
    struct strbuf out;
    strbuf_init(&out);
    if (text[0] == '~' && (text[1] == '/' || text[1] == '\0')) {
        strbuf_addstr(&out, getenv("HOME"));
        text++;
    }
    while (*text != '\0') {
        bool braced = text[0] == '$' && text[1] == '{';
        const char *name = text + 1 + braced;
        size_t n = 0;
        while (name[n] == '_' || isalnum((unsigned char)name[n]))
            n++;
        if (text[0] != '$' || n == 0 || (braced && name[n] != '}')) {
            strbuf_addch(&out, *text++);
            continue;
        }
        scoped_free char *key = mem_dup(name, n + 1);
        key[n] = '\0';
        const char *value = getenv(key);
        strbuf_addstr(&out, value != NULL ? value : "");
        text = name + n + braced;
    }
    return strbuf_detach(&out);
}

/* An absolute path of it; "" becomes the home. */
static char *expand_path(const char *text)
{
    char *path = expand(text);
    if (path[0] == '/')
        return path;
    struct strbuf whole;
    strbuf_init(&whole);
    strbuf_addf(&whole, path[0] != '\0' ? "%s/%s" : "%s%s", getenv("HOME"), path);
    free(path);
    return strbuf_detach(&whole);
}

static void make_dirs(const char *path)
{
    scoped_free char *copy = mem_strdup(path);
    for (char *slash = copy; (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
        *slash = '\0';
        (void)mkdir(copy, 0755);
    }
    if (mkdir(copy, 0755) != 0 && errno != EEXIST)
        log_warn("cannot make a directory path=%s error=%s", path, LOG_Q(strerror(errno)));
}

/* The words of a "#!" line, else the shell; then "-c" and the text, as Coder's agent runs it. */
static json_t *command_of(const char *script)
{
    json_t *command = json_array();
    const char *line = script + strspn(script, " \t\r\n");
    if (strncmp(line, "#!", 2) == 0) {
        size_t n = strcspn(line, "\n");
        scoped_free char *words = mem_dup(line, n + 1);
        words[n] = '\0';
        char *rest = words + 2, *word;
        while ((word = strsep(&rest, " \t\r")) != NULL)
            if (word[0] != '\0')
                json_array_append_new(command, json_string(word));
    }
    if (json_array_size(command) == 0)
        json_array_append_new(command, json_string(getenv("SHELL")));
    json_array_append_new(command, json_string("-c"));
    json_array_append_new(command, json_string(script));
    return command;
}

static void localize_rows(json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *script = json_string_value(json_object_get(row, "script"));
        const char *log_path = json_string_value(json_object_get(row, "log_path"));
        if (script != NULL)
            json_object_set_new(row, "command", command_of(script));
        if (log_path != NULL && log_path[0] != '\0') {
            scoped_free char *path = expand_path(log_path);
            json_object_set_new(row, "log_path", json_string(path));
        }
    }
}

static void localize_env(json_t *env)
{
    const char *name;
    json_t *value;
    json_object_foreach(env, name, value)
    {
        if (!json_is_string(value))
            continue;
        scoped_free char *text = expand(json_string_value(value));
        json_string_set(value, text);
    }
}

static void localize(json_t *m)
{
    const char *dir = json_string_value(json_object_get(m, "dir"));
    scoped_free char *path = expand_path(dir != NULL ? dir : "");
    make_dirs(path);
    json_object_set_new(m, "dir", json_string(path));
    json_object_set_new(m, "inherits_env", json_true());
    localize_env(json_object_get(m, "env"));
    localize_rows(json_object_get(m, "scripts"));
    localize_rows(json_object_get(m, "metadata"));
}

/* ---- places ---- */

/* <base>/<workspace>, ours alone. */
static enum err try_base(
    const char *base, const char *workspace, char **ret_dir, struct errctx *ctx)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/%s", base, workspace);
    (void)mkdir(base, 0700);
    struct stat st;
    bool good = (mkdir(path.s, 0700) == 0 || errno == EEXIST) && stat(path.s, &st) == 0 &&
                S_ISDIR(st.st_mode) && st.st_uid == getuid() && access(path.s, W_OK | X_OK) == 0;
    enum err e = good ? ERR_OK
                      : err_set(ctx, ERR_IO, "%s: %s", path.s,
                            errno != 0 ? strerror(errno) : "it is another user's");
    *ret_dir = strbuf_detach(&path);
    if (!good)
        free(steal(*ret_dir));
    return e;
}

static enum err choose_state_dir(
    const struct remote_options *o, const char *workspace, char **ret_dir, struct errctx *ctx)
{
    char in_tmp[64];
    struct strbuf at_home;
    if (o->state_dir != NULL)
        return try_base(o->state_dir, workspace, ret_dir, ctx);
    strbuf_init(&at_home);
    strbuf_addf(&at_home, "%s/.stint-agent", getenv("HOME"));
    enum err e = try_base(at_home.s, workspace, ret_dir, ctx);
    strbuf_done(&at_home);
    if (e == ERR_OK)
        return e;
    log_warn("no state in the home, taking /tmp: what cannot be handed over before a stop is lost "
             "error=%s",
        LOG_Q(ctx->text));
    snprintf(in_tmp, sizeof(in_tmp), "/tmp/stint-agent-%u", (unsigned)getuid());
    return try_base(in_tmp, workspace, ret_dir, ctx);
}

static char *choose_run_dir(const struct remote_options *o, const char *state_dir,
    const char *workspace, bool *ret_is_in_tmp)
{
    *ret_is_in_tmp = false;
    if (o->run_dir != NULL)
        return mem_strdup(o->run_dir);
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/run", state_dir);
    if (path.len > RUN_DIR_MAX) {
        *ret_is_in_tmp = true;
        strbuf_clear(&path);
        strbuf_addf(&path, "/tmp/stint-agent-%.8s-%u", workspace, (unsigned)getuid());
    }
    return strbuf_detach(&path);
}

static enum err write_manifest(
    const json_t *m, const char *dir, struct remote *r, struct errctx *ctx)
{
    int fd = -1;
    enum err e = file_open_dir(dir, &fd, ctx);
    scoped_free char *text = json_dumps(m, JSON_COMPACT);
    if (e == ERR_OK)
        e = file_replace(fd, "manifest.json", text, strlen(text), ctx);
    if (fd >= 0)
        close(fd);
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/manifest.json", dir);
    r->manifest = strbuf_detach(&path);
    return e;
}

/* ---- the whole ---- */

static enum err check_options(const struct remote_options *o, struct errctx *ctx)
{
    struct uuid ignored;
    if (strncmp(o->url, "http://", 7) != 0 && strncmp(o->url, "https://", 8) != 0)
        return err_set(ctx, ERR_USAGE,
            "\"%.200s\" is no URL of a gateway: --url or CODER_AGENT_URL, http:// or https://",
            o->url);
    if (o->token == NULL || !uuid_parse(o->token, &ignored))
        return err_set(ctx, ERR_USAGE,
            o->token == NULL || o->token[0] == '\0'
                ? "CODER_AGENT_TOKEN is not set: the template has to put coder_agent's token into "
                  "the workspace's environment"
                : "CODER_AGENT_TOKEN is no agent's token (a uuid)");
    return ERR_OK;
}

static char *without_slash(const char *url)
{
    char *copy = mem_strdup(url);
    for (size_t n = strlen(copy); n > 0 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    return copy;
}

static enum err place(
    json_t *m, const struct remote_options *o, struct remote *r, struct errctx *ctx)
{
    const char *workspace = json_string_value(json_object_get(m, "workspace_id"));
    struct uuid ignored;
    if (workspace == NULL || !uuid_parse(workspace, &ignored))
        return err_set(ctx, ERR_FAILED, "the gateway's manifest names no workspace");
    scoped_free char *dir = NULL;
    r->workers = json_incref(json_object_get(m, "workers"));
    localize(m);
    enum err e = choose_state_dir(o, workspace, &dir, ctx);
    if (e != ERR_OK)
        return e;
    r->run_dir = choose_run_dir(o, dir, workspace, &r->run_dir_is_in_tmp);
    return write_manifest(m, dir, r, ctx);
}

enum err remote_prepare(
    const struct remote_options *options, struct remote *ret_remote, struct errctx *ctx)
{
    json_t *manifest = NULL;
    enum err e = check_options(options, ctx);
    if (e != ERR_OK)
        return e;
    ret_remote->url = without_slash(options->url);
    set_environment(options, ret_remote->url);
    e = remote_ask(ret_remote->url, options->token, &manifest, ctx);
    if (e == ERR_OK)
        e = place(manifest, options, ret_remote, ctx);
    json_decref(manifest);
    return e;
}
