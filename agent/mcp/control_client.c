/* SPDX-License-Identifier: Apache-2.0 */
/* control_client.c - connecting -> writing -> reading -> done; freed when the pipe is closed. */
#include "agent/mcp/control_client.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

#define ANSWER_BYTES_MAX 4096

struct control_call {
    uv_pipe_t pipe;
    uv_connect_t connect;
    uv_write_t write;
    struct timer *timer;
    char *path;
    struct strbuf line;
    char answer[ANSWER_BYTES_MAX];
    size_t n;
    control_done_fn done;
    void *arg;
};

static void on_closed(uv_handle_t *handle)
{
    struct control_call *c = handle->data;
    strbuf_done(&c->line);
    free(c->path);
    free(c);
}

void control_call_cancel(struct control_call *c)
{
    c->done = NULL;
    timer_free(c->timer);
    c->timer = NULL;
    if (!uv_is_closing((uv_handle_t *)&c->pipe))
        uv_close((uv_handle_t *)&c->pipe, on_closed);
}

static void finish(struct control_call *c, enum err e, const char *text, bool was_answered)
{
    control_done_fn done = c->done;
    if (done == NULL)
        return;
    control_call_cancel(c);
    done(c->arg, e, text, was_answered);
}

static void fail(struct control_call *c, enum err e, const char *cause)
{
    char text[240];
    snprintf(text, sizeof(text), "the agent at %.120s does not answer: %s", c->path, cause);
    finish(c, e, text, false);
}

static void on_timeout(void *arg)
{
    fail(arg, ERR_TIMEOUT, "it takes too long");
}

/* ---- its answer ---- */

static enum err err_of(const char *name)
{
    static const enum err all[] = {
#define ERR(sym, exit_status, http_status, retry, text) ERR_##sym,
#include "core/base/err.def"
    };
    for (size_t i = 0; name != NULL && i < COUNT(all); i++)
        if (strcmp(name, err_name(all[i])) == 0)
            return all[i];
    return ERR_FAILED;
}

static void understand(struct control_call *c)
{
    json_t *answer = json_loadb(c->answer, c->n, 0, NULL);
    if (json_is_true(json_object_get(answer, "ok"))) {
        finish(c, ERR_OK, "", true);
    } else if (answer == NULL) {
        fail(c, ERR_FAILED, c->n > 0 ? "what it says is not understood" : "it hung up");
    } else {
        enum err e = err_of(json_string_value(json_object_get(answer, "err")));
        const char *error = json_string_value(json_object_get(answer, "error"));
        finish(c, e != ERR_OK ? e : ERR_FAILED, error != NULL ? error : err_text(e), true);
    }
    json_decref(answer);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct control_call *c = handle->data;
    *ret_buf = uv_buf_init(c->answer + c->n, (unsigned)(sizeof(c->answer) - c->n));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    (void)buf;
    struct control_call *c = stream->data;
    if (got > 0)
        c->n += (size_t)got;
    if (got < 0 || c->n == sizeof(c->answer) || memchr(c->answer, '\n', c->n) != NULL)
        understand(c);
}

/* ---- our line ---- */

static void on_written(uv_write_t *write, int status)
{
    struct control_call *c = container_of(write, struct control_call, write);
    if (status != 0 && c->n == 0)
        fail(c, ERR_UNAVAILABLE, uv_strerror(status));
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct control_call *c = container_of(connect, struct control_call, connect);
    if (c->done == NULL)
        return;
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
    if (status == 0) {
        uv_buf_t buf = uv_buf_init(c->line.s, (unsigned)c->line.len);
        status = uv_write(&c->write, (uv_stream_t *)&c->pipe, &buf, 1, on_written);
    }
    if (status != 0)
        fail(c, ERR_UNAVAILABLE, uv_strerror(status));
}

struct control_call *control_call_start(struct loop *l, const char *path, const char *line,
    int64_t timeout_ms, control_done_fn done, void *arg)
{
    struct control_call *c = mem_alloc(sizeof(*c));
    c->done = done;
    c->arg = arg;
    c->path = mem_strdup(path);
    strbuf_init(&c->line);
    strbuf_addf(&c->line, "%s\n", line);
    uv_pipe_init(loop_uv(l), &c->pipe, 0);
    c->pipe.data = c;
    c->timer = timer_new(l, on_timeout, c);
    timer_start(c->timer, timeout_ms, 0);
    uv_pipe_connect(&c->connect, &c->pipe, c->path, on_connected);
    return c;
}
