/* SPDX-License-Identifier: Apache-2.0 */
/* Making the supervisor's parts, in the order in which they need each other, and releasing them. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/file.h"
#include "agent/supervisor_private.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

/* Over a network, before another worker is tried. */
#define REMOTE_SILENCE_MS 8000

/* ---- places ---- */

static enum err open_state_dir(struct supervisor *s, const char *manifest, struct errctx *ctx)
{
    scoped_free char *path = mem_strdup(manifest);
    enum err e = file_open_dir(dirname(path), &s->state_dir, ctx);
    if (e == ERR_OK && unlinkat(s->state_dir, "started", 0) != 0 && errno != ENOENT)
        return err_set(ctx, ERR_IO, "cannot remove the old \"started\": %s", strerror(errno));
    return e;
}

static char *in_run_dir(const struct supervisor *s, const char *name)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/%s", s->run_dir, name);
    return strbuf_detach(&path);
}

static enum err make_run_dir(struct supervisor *s, const char *path, struct errctx *ctx)
{
    if ((mkdir(path, 0700) != 0 && errno != EEXIST) || chmod(path, 0700) != 0)
        return err_set(ctx, file_err(errno), "%s: %s", path, strerror(errno));
    /* Commands are told of it and run elsewhere. */
    s->run_dir = realpath(path, NULL);
    if (s->run_dir == NULL)
        return err_set(ctx, ERR_IO, "%s: %s", path, strerror(errno));
    s->control_path = in_run_dir(s, "agent.sock");
    return ERR_OK;
}

/* ---- AgentAPI ---- */

/* One that is free now; whoever listens there next is meant to be the app. */
static enum err pick_port(int64_t *port, struct errctx *ctx)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    enum err e = ERR_OK;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, n) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        e = err_set(ctx, ERR_IO, "no port for AgentAPI on 127.0.0.1: %s", strerror(errno));
    else
        *port = ntohs(address.sin_port);
    if (fd >= 0)
        close(fd);
    return e;
}

/* For the app that gets it by itself. */
static enum err write_prompt(struct supervisor *s, struct errctx *ctx)
{
    const char *prompt = s->manifest->prompt;
    s->prompt_file = in_run_dir(s, "prompt");
    int fd = open(s->prompt_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(ctx, file_err(errno), "%s: %s", s->prompt_file, strerror(errno));
    enum err e = file_write(fd, prompt, strlen(prompt), ctx);
    close(fd);
    return e;
}

/* Its pid file and its state are kept there; whoever writes them says what is wrong with it. */
static void make_agentapi_dir(const struct supervisor *s)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/.stint", app_env_get(&s->env, "HOME"));
    if (mkdir(path.s, 0700) != 0 && errno != EEXIST)
        log_warn("cannot make a directory path=%s error=%s", path.s, LOG_Q(strerror(errno)));
    strbuf_done(&path);
}

static enum err prepare_agentapi(struct supervisor *s, struct errctx *ctx)
{
    struct manifest_agentapi *api = &s->manifest->agentapi;
    enum err e = ERR_OK;
    if (api->is_on && api->port == 0)
        e = pick_port(&api->port, ctx);
    if (e == ERR_OK && api->is_on && !api->sends_prompt)
        e = write_prompt(s, ctx);
    if (e != ERR_OK)
        return e;
    app_env_init(&s->env, s->manifest, NULL, s->control_path);
    if (s->prompt_file != NULL)
        app_env_add_prompt(&s->env, s->manifest->prompt, s->prompt_file);
    if (api->is_on)
        make_agentapi_dir(s);
    return ERR_OK;
}

/* ---- parts ---- */

static void watch_signals(struct supervisor *s)
{
    static const int forwarded[SUPERVISOR_SIGNALS] = SUPERVISOR_FORWARDED;
    loop_on_terminate(s->loop, supervisor_on_terminate, s);
    for (size_t i = 0; i < SUPERVISOR_SIGNALS; i++) {
        s->signals[i].data = s;
        uv_signal_init(loop_uv(s->loop), &s->signals[i]);
        uv_signal_start(&s->signals[i], supervisor_on_forwarded, forwarded[i]);
    }
}

static void open_loop(struct supervisor *s)
{
    s->loop = loop_new();
    s->deadline = timer_new(s->loop, supervisor_on_deadline, s);
    s->children = children_new(s->loop);
    s->own_log = own_log_new(s->loop);
    watch_signals(s);
}

static enum err open_task_app(struct supervisor *s, struct errctx *ctx)
{
    enum err e = reports_open(s->state_dir, &s->manifest->agent_id, &s->reports, ctx);
    if (e != ERR_OK)
        return e;
    s->status = status_new(s->reports, s->manifest->app_slug);
    supervisor_move(s, LIFECYCLE_STARTING);
    const struct task_app_conf conf = {.loop = s->loop,
        .manifest = s->manifest,
        .status = s->status,
        .children = s->children,
        .state_dir = s->state_dir,
        .run_dir = s->run_dir,
        .control_path = s->control_path,
        .answer = supervisor_on_answer,
        .hear_out = supervisor_hear_out,
        .arg = s};
    return task_app_new(&conf, &s->task_app, ctx);
}

static void open_words(struct supervisor *s)
{
    const struct words_conf conf = {.loop = s->loop,
        .manifest = s->manifest,
        .reports = s->reports,
        .status = s->status,
        .on_task_app = supervisor_on_word,
        .arg = s};
    s->words = words_new(&conf);
    s->health = mem_calloc(s->manifest->n_apps, sizeof(struct health *));
}

static void open_scripts(struct supervisor *s)
{
    s->log = agent_log_new(s->loop, s->status);
    const struct scripts_conf scripts = {.loop = s->loop,
        .children = s->children,
        .log = s->log,
        .manifest = s->manifest,
        .env = s->env.v.v};
    s->scripts = scripts_new(&scripts);
    const struct apps_conf apps = {.loop = s->loop,
        .children = s->children,
        .log = s->log,
        .manifest = s->manifest,
        .control_path = s->control_path,
        .prompt_file = s->prompt_file,
        .on_started = supervisor_on_app_started,
        .on_ended = supervisor_on_app_ended,
        .arg = s};
    s->apps = apps_new(&apps);
}

static void open_session(struct supervisor *s, const struct peers_conf *elsewhere)
{
    if (elsewhere != NULL)
        s->peers = peers_new(s->loop, elsewhere);
    const struct session_conf conf = {.loop = s->loop,
        .reports = s->reports,
        .agent_id = s->manifest->agent_id,
        .token = s->manifest->agent_token,
        .workers_dir = s->manifest->workers_dir,
        .peers = s->peers,
        .silence_ms = s->peers != NULL ? REMOTE_SILENCE_MS : 0,
        .on_message = supervisor_on_message,
        .on_withdraw = supervisor_on_withdraw,
        .on_superseded = supervisor_on_superseded,
        .arg = s};
    s->session = session_new(&conf);
    loop_on_turn(s->loop, supervisor_on_turn_of_loop, s);
}

static enum err open_places(
    struct supervisor *s, const struct supervisor_options *options, struct errctx *ctx)
{
    enum err e = manifest_load(options->manifest, &s->manifest, ctx);
    if (e == ERR_OK)
        e = open_state_dir(s, options->manifest, ctx);
    if (e == ERR_OK)
        e = manifest_load_secrets(s->manifest, ctx);
    if (e == ERR_OK)
        e = make_run_dir(s, options->run_dir, ctx);
    return e == ERR_OK ? prepare_agentapi(s, ctx) : e;
}

enum err supervisor_open(
    struct supervisor *s, const struct supervisor_options *options, struct errctx *ctx)
{
    enum err e = open_places(s, options, ctx);
    if (e != ERR_OK)
        return e;
    open_loop(s);
    e = open_task_app(s, ctx);
    if (e != ERR_OK)
        return e;
    open_words(s);
    open_scripts(s);
    e = control_listen(s->loop, s->control_path, supervisor_on_report, s, &s->control, ctx);
    if (e != ERR_OK)
        return e;
    struct uuid_str build_id = uuid_format(&s->manifest->build_id);
    e = file_replace(s->state_dir, "started", build_id.s, strlen(build_id.s), ctx);
    if (e == ERR_OK)
        open_session(s, options->peers);
    return e;
}

/* ---- the end ---- */

static void close_loop(struct supervisor *s)
{
    for (size_t i = 0; i < SUPERVISOR_SIGNALS; i++)
        uv_close((uv_handle_t *)&s->signals[i], NULL);
    timer_free(s->deadline);
    own_log_free(s->own_log);
    children_free(s->children);
    loop_free(s->loop);
}

static void close_parts(struct supervisor *s)
{
    session_free(s->session);
    peers_free(s->peers);
    control_free(s->control);
    for (size_t i = 0; s->health != NULL && i < s->manifest->n_apps; i++)
        health_free(s->health[i]);
    free(s->health);
    metadata_free(s->metadata);
    apps_free(s->apps);
    scripts_free(s->scripts);
    agent_log_free(s->log);
    task_app_free(s->task_app);
    words_free(s->words);
    status_free(s->status);
    reports_free(s->reports);
}

void supervisor_close(struct supervisor *s)
{
    if (s->reports != NULL && reports_is_syncing(s->reports))
        return; /* the disk hangs: the process ends as it is */
    close_parts(s);
    if (s->loop != NULL)
        close_loop(s);
    if (s->state_dir >= 0)
        close(s->state_dir);
    app_env_done(&s->env);
    free(s->prompt_file);
    free(s->control_path);
    free(s->run_dir);
    manifest_free(s->manifest);
}
