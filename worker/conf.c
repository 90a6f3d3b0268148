/* SPDX-License-Identifier: Apache-2.0 */
/* conf.c - settings, and the defaults that depend on the machine. */
#include "worker/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "worker/file.h"

static const struct conf_key keys[] = {
#define KEY(...) CONF_KEY_ROW(struct worker_conf, __VA_ARGS__)
#include "worker/conf.def"
};

const struct conf_spec worker_conf_spec = {
    .program = "stint-worker",
    .summary = "The hands of Stint: runs jobs, keeps the agents' sessions, streams their reports.",
    .usage =
        "  stint-worker [flags]\n"
        "\n"
        "Examples:\n"
        "  stint-worker --scheduler-url tcp://127.0.0.1:7081 --redis-url redis://127.0.0.1:6379\n"
        "  stint-worker --data-dir /var/lib/stint --slots 16 --mounts source=/srv/source\n",
    .keys = keys,
    .n_keys = COUNT(keys),
};

static char *host_name(void)
{
    char name[HOST_NAME_MAX + 1] = "";
    if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0')
        return mem_strdup("localhost");
    return mem_strdup(name);
}

static char *name_from(const char *host)
{
    char name[HOST_NAME_MAX + 32];
    snprintf(name, sizeof(name), "%.64s-%d", host, (int)getpid());
    return mem_strdup(name);
}

/* stint-agent beside our own binary, or (in a build tree) in the folder of that name. */
static char *agent_beside_us(void)
{
    char self[PATH_MAX], tried[PATH_MAX + 32];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0)
        return mem_strdup("stint-agent");
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(tried, sizeof(tried), "%s/../agent/stint-agent", self);
    if (access(tried, X_OK) != 0)
        snprintf(tried, sizeof(tried), "%s/stint-agent", self);
    return mem_strdup(tried);
}

char *worker_conf_agent_url(const struct worker_conf *c, const char *listen_url)
{
    static const char any[] = "://0.0.0.0:";
    if (listen_url[0] == '\0' || (c->agent_url != NULL && c->agent_url[0] != '\0'))
        return mem_strdup(listen_url[0] == '\0' ? "" : c->agent_url);
    const char *at = strstr(listen_url, any);
    if (at == NULL)
        return mem_strdup(listen_url);
    struct strbuf url;
    strbuf_init(&url);
    strbuf_add(&url, listen_url, (size_t)(at - listen_url));
    strbuf_addf(&url, "://%s:%s", c->host, at + strlen(any));
    return strbuf_detach(&url);
}

static enum err make_path(const char *path, struct errctx *ctx)
{
    scoped_free char *copy = mem_strdup(path);
    for (char *slash = copy; (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
        *slash = '\0';
        if (mkdir(copy, 0755) != 0 && errno != EEXIST)
            return file_errno(ctx, "data_dir: cannot make %s", copy);
    }
    if (mkdir(copy, 0711) != 0 && errno != EEXIST)
        return file_errno(ctx, "data_dir: cannot make %s", copy);
    return ERR_OK;
}

static enum err make_folders(struct worker_conf *c, struct errctx *ctx)
{
    /* Sandboxes reach the sockets in agents/ through a mount of that directory alone. */
    static const struct {
        const char *name;
        mode_t mode;
    } folders[] = {
        {"agents",     0755},
        {"templates",  0711},
        {"workspaces", 0711},
        {"etc",        0755}
    };

    enum err e = make_path(c->data_dir, ctx);
    char *real = e == ERR_OK ? realpath(c->data_dir, NULL) : NULL;
    if (e == ERR_OK && real == NULL)
        return file_errno(ctx, "data_dir: cannot open %s", c->data_dir);
    if (e != ERR_OK)
        return e;
    free(c->data_dir);
    c->data_dir = real;
    scoped_fd int fd = -1;
    e = file_open_dir(AT_FDCWD, c->data_dir, &fd, ctx);
    for (size_t i = 0; e == ERR_OK && i < COUNT(folders); i++) {
        e = file_make_dir(fd, folders[i].name, folders[i].mode, ctx);
        if (e == ERR_OK && fchmodat(fd, folders[i].name, folders[i].mode, 0) != 0)
            e = file_errno(
                ctx, "data_dir: cannot set the mode of %s/%s", c->data_dir, folders[i].name);
    }
    return e;
}

enum err worker_conf_complete(struct worker_conf *c, struct errctx *ctx)
{
    if (c->redis_url == NULL || c->redis_url[0] == '\0')
        return err_set(ctx, ERR_CONFIG,
            "redis_url is not set: give --redis-url or STINT_REDIS_URL, e.g. "
            "redis://127.0.0.1:6379");
    if (c->host == NULL)
        c->host = host_name();
    if (c->name == NULL)
        c->name = name_from(c->host);
    if (c->agent_path == NULL)
        c->agent_path = agent_beside_us();
    return make_folders(c, ctx);
}
