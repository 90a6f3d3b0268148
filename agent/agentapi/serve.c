/* SPDX-License-Identifier: Apache-2.0 */
/* The parts put together; none of them knows another one. */
#include "agent/agentapi/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agentapi/api.h"
#include "agent/agentapi/dirs.h"
#include "agent/agentapi/pid_file.h"
#include "agent/agentapi/state.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#define STOP_HTTP_MS    5000
#define STOP_COMMAND_MS 5000
#define STDIN_MS        10000
#define STDIN_MAX       (1024 * 1024)
#define LAST_WORDS      400 /* bytes of the screen that a failed command leaves in the log */

struct serve {
    const struct flags *flags;
    struct loop *loop;
    struct api api;
    struct http_server *http;
    struct timer *tick;
    uv_signal_t *on_usr1;
    char upload_dir[64];
    struct strbuf piped; /* the prompt from standard input */
    struct strbuf shown; /* the last screen that was told */
    bool is_unsaved;     /* since the last save that went well */
    bool is_loaded;      /* the state file was looked at: from now on it may be replaced */
    bool cannot_save;
    bool is_ticking, is_stopping, has_ended;
    int wait_status;
};

/* ---- the state file ---- */

static void warn(struct serve *s, const char *sentence)
{
    log_warn("%s", sentence);
    events_error(s->api.events, true, sentence, clock_wall_us());
}

static void save(struct serve *s)
{
    struct errctx ctx = {0};
    s->is_unsaved |= tracker_take_dirty(s->api.tracker);
    if (!s->flags->save_state || s->cannot_save || !s->is_loaded || !s->is_unsaved)
        return;
    if (state_save(s->flags->state_file, s->api.tracker, &ctx) == ERR_OK)
        s->is_unsaved = false;
    else
        warn(s, ctx.text);
}

/* What cannot be read is moved aside even when nobody wants to read it: it would be overwritten. */
static void look_at_state(struct serve *s)
{
    struct errctx ctx = {0};
    struct state state = {0};
    s->is_loaded = true;
    if (!s->flags->load_state && !s->flags->save_state)
        return;
    enum err e = state_load(s->flags->state_file, &state, &ctx);
    if (e == ERR_OK && s->flags->load_state) {
        tracker_restore(s->api.tracker, state.messages, state.n, state.prompt, state.prompt_sent);
        log_info("state loaded messages=%zu", state.n);
        if (state.n > 0)
            state.n = 0; /* their texts have been taken over */
    } else if (e != ERR_OK && e != ERR_NOT_FOUND) {
        s->cannot_save = e == ERR_IO;
        warn(s, ctx.text);
    }
    state_done(&state);
}

/* ---- the conversation's side ---- */

/* Snapshots go on: a server whose agent stands still costs nothing. */
static void wake(struct serve *s)
{
    if (!s->is_ticking && !s->has_ended)
        timer_start(s->tick, SNAPSHOT_MS, SNAPSHOT_MS);
    s->is_ticking = true;
}

/* Control characters would end the paste and be keys. */
static void on_type(void *arg, const char *text, size_t n)
{
    struct serve *s = arg;
    scoped_free char *copy = mem_strndup(text, n);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)copy[i] < ' ' && copy[i] != '\n' && copy[i] != '\t' && copy[i] != '\r')
            copy[i] = ' ';
    wake(s);
    screen_paste(s->api.screen, copy, n);
}

static void type_raw(void *arg, const char *data, size_t n)
{
    struct serve *s = arg;
    if (s->api.pty != NULL && pty_write(s->api.pty, data, n) != ERR_OK)
        log_debug("the terminal takes no more input");
}

static void on_enter(void *arg)
{
    type_raw(arg, "\r", 1);
}

static bool is_drained(void *arg)
{
    struct serve *s = arg;
    return pty_is_drained(s->api.pty);
}

static void on_ready(void *arg)
{
    look_at_state(arg);
}

static void on_prompt(void *arg)
{
    save(arg);
}

static void on_message(void *arg, const struct tracker_message *m)
{
    struct serve *s = arg;
    events_message(s->api.events, m);
}

static void on_status(void *arg, enum tracker_status status)
{
    struct serve *s = arg;
    events_status(s->api.events, status);
    if (status == STATUS_STABLE)
        save(s); /* a crash loses no more than what is being said */
}

static void on_trouble(void *arg, const char *sentence)
{
    struct serve *s = arg;
    log_warn("%s", sentence);
    events_error(s->api.events, false, sentence, clock_wall_us());
}

static void on_tick(void *arg)
{
    struct serve *s = arg;
    const struct strbuf *screen = screen_text(s->api.screen);
    if (screen->len != s->shown.len || memcmp(screen->s, s->shown.s, screen->len) != 0) {
        strbuf_clear(&s->shown);
        strbuf_add(&s->shown, screen->s, screen->len);
        events_screen(s->api.events, screen);
    }
    tracker_snapshot(s->api.tracker, clock_mono_ms(), clock_wall_us(), screen);
    if (tracker_is_settled(s->api.tracker)) {
        timer_stop(s->tick);
        s->is_ticking = false;
    }
}

/* ---- the end ---- */

static void on_http_stopped(void *arg)
{
    struct serve *s = arg;
    if (s->has_ended)
        loop_stop(s->loop);
    else
        pty_end(s->api.pty, STOP_COMMAND_MS);
}

static void stop(struct serve *s)
{
    if (s->is_stopping)
        return;
    s->is_stopping = true;
    save(s);
    http_server_stop(s->http, STOP_HTTP_MS, on_http_stopped, s);
}

static void on_terminate(void *arg)
{
    log_info("stopping");
    stop(arg);
}

static void on_usr1(uv_signal_t *handle, int number)
{
    (void)number;
    save(handle->data);
}

static void on_output(void *arg, const char *data, size_t n)
{
    struct serve *s = arg;
    screen_feed(s->api.screen, data, n);
    wake(s);
}

static void on_exit_of_command(void *arg, int wait_status)
{
    struct serve *s = arg;
    bool was_stopping = s->is_stopping;
    s->has_ended = true;
    s->wait_status = was_stopping ? 0 : wait_status;
    timer_stop(s->tick);
    on_tick(s); /* its last words */
    tracker_end(s->api.tracker);
    s->is_stopping = false;
    stop(s);
}

/* ---- the beginning ---- */

static void read_piped(struct serve *s)
{
    struct stat st;
    if (s->flags->prompt != NULL || fstat(0, &st) != 0 ||
        (!S_ISFIFO(st.st_mode) && !S_ISREG(st.st_mode)))
        return;
    int64_t until = clock_mono_ms() + STDIN_MS;
    struct pollfd in = {.fd = 0, .events = POLLIN};
    char block[4096];
    ssize_t n = 1;
    while (n > 0 && s->piped.len < STDIN_MAX) {
        int64_t left = until - clock_mono_ms();
        if (left <= 0 || (poll(&in, 1, (int)left) <= 0 && errno != EINTR))
            break;
        if ((n = read(0, block, sizeof(block))) > 0)
            strbuf_add(&s->piped, block, (size_t)n);
    }
    s->piped.len = strlen(s->piped.s);
}

static enum err listen_at(struct serve *s, struct errctx *ctx)
{
    struct errctx unheard = {0};
    int port = (int)s->flags->port;
    bool is_loopback = s->flags->listen[0] == '\0';
    enum err e =
        http_server_listen(s->http, is_loopback ? "127.0.0.1" : s->flags->listen, &port, ctx);
    if (e != ERR_OK)
        return e;
    if (is_loopback && http_server_listen(s->http, "::1", &port, &unheard) != ERR_OK)
        log_debug("no IPv6 loopback error=%s", LOG_Q(unheard.text));
    if (s->flags->port == 0) {
        printf("http://localhost:%d\n", port);
        fflush(stdout);
    }
    log_info("ready url=http://localhost:%d type=%s", port, agent_type_name(s->flags->agent_type));
    return ERR_OK;
}

static enum err make_uploads(struct serve *s, struct errctx *ctx)
{
    const char *tmp = getenv("TMPDIR");
    if (tmp == NULL || tmp[0] != '/' || strlen(tmp) > 30)
        tmp = "/tmp";
    snprintf(s->upload_dir, sizeof(s->upload_dir), "%s/agentapi-uploads-XXXXXX", tmp);
    if (mkdtemp(s->upload_dir) == NULL)
        return err_set(ctx, ERR_IO, "cannot make %s: %s", s->upload_dir, strerror(errno));
    s->api.upload_dir = s->upload_dir;
    return ERR_OK;
}

static void make_parts(struct serve *s)
{
    const struct flags *f = s->flags;
    const struct tracker_conf conf = {
        .type = f->agent_type,
        .prompt = f->prompt != NULL ? f->prompt : s->piped.s,
        .io = {on_type, on_enter, is_drained, on_ready, on_prompt, on_message, on_status,
               on_trouble, s},
    };
    const struct http_handler handler = {api_body_max, api_handle, &s->api};
    s->loop = loop_new();
    s->api.flags = f;
    s->api.events = events_new(f->agent_type);
    s->api.screen = screen_new((int)f->height, (int)f->width, type_raw, s);
    s->api.tracker = tracker_new(&conf, clock_mono_ms(), clock_wall_us());
    s->http = http_server_new(s->loop, &handler);
    s->tick = timer_new(s->loop, on_tick, s);
    s->on_usr1 = mem_alloc(sizeof(*s->on_usr1));
    s->on_usr1->data = s;
    uv_signal_init(loop_uv(s->loop), s->on_usr1);
    uv_signal_start(s->on_usr1, on_usr1, SIGUSR1);
    loop_on_terminate(s->loop, on_terminate, s);
    loop_on_hangup(s->loop, on_terminate, s);
}

static enum err start(struct serve *s, struct errctx *ctx)
{
    const struct pty_spec spec = {.argv = s->flags->command,
        .rows = (int)s->flags->height,
        .cols = (int)s->flags->width,
        .on_output = on_output,
        .on_exit = on_exit_of_command,
        .arg = s};
    enum err e = make_uploads(s, ctx);
    if (e == ERR_OK)
        e = listen_at(s, ctx);
    if (e == ERR_OK)
        e = pty_start(s->loop, &spec, &s->api.pty, ctx);
    if (e == ERR_OK)
        wake(s);
    return e;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void done(struct serve *s)
{
    http_server_free(s->http); /* first: those who wait are told off by the parts below */
    pty_free(s->api.pty);
    timer_free(s->tick);
    uv_close((uv_handle_t *)s->on_usr1, on_closed);
    tracker_free(s->api.tracker);
    screen_free(s->api.screen);
    events_free(s->api.events);
    loop_free(s->loop);
    strbuf_done(&s->piped);
    strbuf_done(&s->shown);
    if (s->api.upload_dir != NULL)
        dirs_remove(s->upload_dir);
}

static enum err outcome(const struct serve *s, struct errctx *ctx)
{
    int status = s->wait_status;
    if (status == 0)
        return ERR_OK;
    size_t n = s->shown.len < LAST_WORDS ? s->shown.len : LAST_WORDS;
    if (n > 0)
        fprintf(stderr, "%.*s\n", (int)n, s->shown.s + s->shown.len - n);
    if (WIFSIGNALED(status))
        return err_set(ctx, ERR_FAILED, "the command was killed by signal %d", WTERMSIG(status));
    return err_set(ctx, ERR_FAILED, "the command ended with %d", WEXITSTATUS(status));
}

static enum err serve_parts(const struct flags *f, struct errctx *ctx)
{
    struct serve s = {.flags = f};
    strbuf_init(&s.piped);
    strbuf_init(&s.shown);
    read_piped(&s);
    make_parts(&s);
    enum err e = start(&s, ctx);
    if (e == ERR_OK) {
        loop_run(s.loop);
        e = outcome(&s, ctx);
    }
    done(&s);
    return e;
}

enum err agentapi_serve(const struct flags *f, struct errctx *ctx)
{
    bool has_pid_file = f->pid_file != NULL && f->pid_file[0] != '\0';
    enum err e = has_pid_file ? pid_file_take(f->pid_file, ctx) : ERR_OK;
    if (e != ERR_OK)
        return e;
    e = serve_parts(f, ctx);
    if (has_pid_file)
        pid_file_drop(f->pid_file);
    return e;
}
