/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.c - puts the parts together.
 *
 *   find the agent -> find the user -> is the user's token good? -> serve -> last answers -> end
 *
 * The client may write before that is settled: its lines wait in the pipe.
 */
#include "agent/mcp/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent/file.h"
#include "agent/mcp/reporter.h"
#include "agent/mcp/server.h"
#include "agent/mcp/stdio.h"
#include "agent/mcp/tool.h"
#include "agent/mcp/user.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/loop/loop.h"

#define SOCKET_WAIT_MS       3000
#define SOCKET_LOOK_MS       50
#define USER_CHECK_MS        5000
#define LAST_ANSWERS_MS      15000
#define TOKEN_FILE_BYTES_MAX 4096

struct serve {
    const struct serve_conf *conf;
    struct loop *loop;
    struct mcp_user user;
    struct mcp_rest user_rest, agent_rest;
    char *agent_url, *agent_token;
    const char *socket_path; /* NULL: nobody listens there */

    struct mcp_job *check;
    struct timer *timer; /* of the check, then of the last answers */
    struct mcp_world world;
    struct mcp_reporter *reporter;
    struct mcp_server *server;
    struct stdio *stdio;
    bool is_ending;
    enum err result;
    struct errctx *ctx;
};

static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* ---- the agent ---- */

static bool can_connect(const char *path, bool *ret_may_come)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *ret_may_come = false;
    if (strlen(path) >= sizeof(address.sun_path))
        return false;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool is_there = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    *ret_may_come = errno == ENOENT || errno == ECONNREFUSED;
    close(fd);
    return is_there;
}

bool serve_finds_agent(const char *socket_path)
{
    const struct timespec pause = {.tv_nsec = SOCKET_LOOK_MS * 1000 * 1000};
    int64_t wait_ms = is_given(socket_path) ? SOCKET_WAIT_MS : 0;
    int64_t until = clock_mono_ms() + wait_ms;
    const char *path = is_given(socket_path) ? socket_path : SERVE_SOCKET_INITIAL;
    bool may_come;
    while (!can_connect(path, &may_come)) {
        if (!may_come || clock_mono_ms() >= until)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

static char *read_token_file(const char *path)
{
    struct strbuf text;
    struct errctx ctx = {0};
    strbuf_init(&text);
    if (file_read(AT_FDCWD, path, TOKEN_FILE_BYTES_MAX, &text, &ctx) != ERR_OK) {
        log_warn("token file is not read cause=%s", LOG_Q(ctx.text));
        strbuf_clear(&text);
    }
    while (text.len > 0 && strchr(" \t\r\n", text.s[text.len - 1]) != NULL)
        text.s[--text.len] = '\0';
    char *token = text.len > 0 ? strbuf_detach(&text) : NULL;
    strbuf_done(&text);
    return token;
}

/* The control socket, or the older way: the gateway with the agent's token. */
static void find_agent(struct serve *s)
{
    const struct serve_conf *c = s->conf;
    if (serve_finds_agent(c->socket_path)) {
        s->socket_path = is_given(c->socket_path) ? c->socket_path : SERVE_SOCKET_INITIAL;
        return;
    }
    if (!is_given(c->agent_url))
        return;
    s->agent_url = user_clean_url(c->agent_url);
    s->agent_token = is_given(c->agent_token)        ? mem_strdup(c->agent_token)
                     : is_given(c->agent_token_file) ? read_token_file(c->agent_token_file)
                                                     : NULL;
    s->agent_rest = (struct mcp_rest){s->loop, s->agent_url, s->agent_token};
}

static bool has_agent(const struct serve *s)
{
    return s->socket_path != NULL || (s->agent_url != NULL && s->agent_token != NULL);
}

/* ---- the world of the tools ---- */

static void world_write(void *arg, const char *line, size_t n)
{
    struct serve *s = arg;
    stdio_write(s->stdio, line, n);
}

static struct mcp_job *world_report(
    void *arg, const struct mcp_report *report, mcp_report_done_fn done, void *done_arg)
{
    struct serve *s = arg;
    return reporter_report(s->reporter, report, done, done_arg);
}

static struct mcp_job *world_ask(
    void *arg, const struct mcp_ask *ask, mcp_ask_done_fn done, void *done_arg)
{
    struct serve *s = arg;
    return rest_ask(&s->user_rest, ask, done, done_arg);
}

/* ---- the session ---- */

static void stop(struct serve *s, enum err e)
{
    s->result = e;
    loop_stop(s->loop);
}

static void on_terminate(void *arg)
{
    stop(arg, ERR_OK);
}

static void on_patience_over(void *arg)
{
    log_warn("stdin has ended; calls that are still running are given up");
    stop(arg, ERR_OK);
}

static bool may_take(void *arg)
{
    struct serve *s = arg;
    return mcp_server_n_calls(s->server) < MCP_CALLS_MAX;
}

static void on_line(void *arg, const char *line, size_t n)
{
    struct serve *s = arg;
    mcp_server_line(s->server, line, n);
}

static void on_too_long(void *arg)
{
    struct serve *s = arg;
    mcp_server_line_too_long(s->server);
}

static void on_end(void *arg, bool is_broken)
{
    struct serve *s = arg;
    s->is_ending = true;
    timer_start(s->timer, is_broken ? 0 : LAST_ANSWERS_MS, 0);
}

static void on_turn(void *arg)
{
    struct serve *s = arg;
    if (s->stdio == NULL)
        return;
    stdio_pump(s->stdio);
    if (s->is_ending && mcp_server_n_calls(s->server) == 0 && stdio_is_drained(s->stdio))
        stop(s, ERR_OK);
}

static void warn_of_unknown_tools(const char *allowed)
{
    for (const char *p = allowed; p != NULL && *p != '\0';) {
        char name[64];
        p += strspn(p, ", ");
        size_t n = strcspn(p, ", ");
        if (n > 0 && n < sizeof(name)) {
            memcpy(name, p, n);
            name[n] = '\0';
            if (tool_find(name) == NULL)
                log_warn("allowed tool is not known tool=%s", LOG_Q(name));
        }
        p += n;
    }
}

static void log_start(const struct serve *s)
{
    const struct serve_conf *c = s->conf;
    log_info("serving MCP on stdio reports_to=%s slug=%s gateway=%s",
        LOG_Q(!s->world.can_report     ? "nobody"
              : s->socket_path != NULL ? s->socket_path
                                       : s->agent_url),
        LOG_Q(is_given(c->slug) ? c->slug : ""), LOG_Q(s->world.has_user ? s->user.url : ""));
    if (has_agent(s) && !is_given(c->slug))
        log_warn("task reporting is off cause=\"CODER_MCP_APP_STATUS_SLUG is not set\"");
    if (is_given(c->agentapi_url))
        log_info("the agent of the workspace watches AgentAPI url=%s", LOG_Q(c->agentapi_url));
}

static void begin(struct serve *s)
{
    bool has_user = user_is_logged_in(&s->user);
    if (!has_user && !has_agent(s)) {
        stop(s, err_set(s->ctx, ERR_UNAUTHORIZED,
                    "You are not logged in, and no agent of a workspace is here to report to. Run "
                    "`stint login URL` or set CODER_URL and CODER_SESSION_TOKEN; inside a "
                    "workspace set "
                    "CODER_AGENT_SOCKET_PATH"));
        return;
    }
    const struct serve_conf *c = s->conf;
    s->world = (struct mcp_world){.arg = s,
        .can_report = has_agent(s) && is_given(c->slug),
        .has_user = has_user,
        .write = world_write,
        .report = world_report,
        .ask = world_ask};
    log_start(s);
    warn_of_unknown_tools(c->allowed_tools);
    s->reporter = reporter_new(&(struct mcp_reporter_conf){.loop = s->loop,
        .slug = is_given(c->slug) ? c->slug : "",
        .socket_path = s->socket_path,
        .rest = &s->agent_rest});
    s->server = mcp_server_new(&(struct mcp_server_conf){
        .world = &s->world, .instructions = c->instructions, .allowed_tools = c->allowed_tools});
    s->stdio = stdio_open(&(struct stdio_conf){.loop = s->loop,
        .fd_in = STDIN_FILENO,
        .fd_out = STDOUT_FILENO,
        .line_bytes_max = MCP_LINE_BYTES_MAX,
        .may_take = may_take,
        .on_line = on_line,
        .on_too_long = on_too_long,
        .on_end = on_end,
        .arg = s});
}

/* ---- the user ---- */

static void checked(struct serve *s)
{
    timer_free(s->timer);
    s->timer = timer_new(s->loop, on_patience_over, s);
    begin(s);
}

static void forget_user(struct serve *s)
{
    user_done(&s->user);
    checked(s);
}

static void on_check_answered(void *arg, const struct mcp_reply *reply)
{
    struct serve *s = arg;
    const char *name = json_string_value(json_object_get(reply->body, "username"));
    s->check = NULL;
    if (reply->code == ERR_OK && reply->status == 401) {
        log_warn("the user's session is not valid and is not used gateway=%s", LOG_Q(s->user.url));
        forget_user(s);
        return;
    }
    if (reply->code != ERR_OK)
        log_warn("the user's session could not be checked gateway=%s cause=%s", LOG_Q(s->user.url),
            LOG_Q(reply->why));
    else
        log_info("logged in gateway=%s user=%s", LOG_Q(s->user.url), LOG_Q(name ? name : "?"));
    checked(s);
}

static void on_check_late(void *arg)
{
    struct serve *s = arg;
    s->check->cancel(s->check);
    s->check = NULL;
    log_warn("the user's session could not be checked gateway=%s cause=\"it takes too long\"",
        LOG_Q(s->user.url));
    checked(s);
}

static void find_user(struct serve *s)
{
    user_load(&s->user);
    s->user_rest = (struct mcp_rest){s->loop, s->user.url, s->user.token};
    s->timer = timer_new(s->loop, on_check_late, s);
    if (!user_is_logged_in(&s->user)) {
        forget_user(s);
        return;
    }
    const struct mcp_ask ask = {.method = "GET", .path = "/api/v2/users/me"};
    s->check = rest_ask(&s->user_rest, &ask, on_check_answered, s);
    timer_start(s->timer, USER_CHECK_MS, 0);
}

/* ---- life ---- */

static void serve_done(struct serve *s)
{
    if (s->check != NULL)
        s->check->cancel(s->check);
    mcp_server_free(s->server);
    reporter_free(s->reporter);
    stdio_free(s->stdio);
    timer_free(s->timer);
    loop_free(s->loop);
    user_done(&s->user);
    free(s->agent_url);
    free(s->agent_token);
}

static void start(void *arg)
{
    struct serve *s = arg;
    find_user(s);
}

enum err serve(const struct serve_conf *conf, struct errctx *ctx)
{
    struct serve s = {.conf = conf, .ctx = ctx};
    s.loop = loop_new();
    find_agent(&s);
    loop_on_terminate(s.loop, on_terminate, &s);
    loop_on_turn(s.loop, on_turn, &s);
    loop_post(s.loop, start, &s);
    loop_run(s.loop);
    serve_done(&s);
    return s.result;
}
