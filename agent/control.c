/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket.  A connection lives through: reading a line -> answering -> closing. Whatever
 * goes wrong is answered where an answer can be had, and closed in any case.
 */
#include "agent/control.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

struct control {
    struct loop *loop;
    uv_pipe_t *listener;
    control_report_fn on_report;
    void *arg;
    struct list connections;
    unsigned n_connections;
};

struct connection {
    struct list item;
    struct control *control;
    uv_pipe_t pipe;
    uv_write_t write;
    struct timer *silence;
    struct strbuf line;
    char *answer;
    bool has_answered;
};

/* ---- operations ---- */

struct operation {
    const char *name;
    enum err (*run)(struct control *c, const json_t *request, struct errctx *ctx);
};

static enum err text_of(const json_t *request, const char *key, const char *initial,
    const char **ret_text, struct errctx *ctx)
{
    const json_t *value = json_object_get(request, key);
    if (value == NULL && initial == NULL)
        return err_set(ctx, ERR_INVALID, "\"%s\" is missing", key);
    if (value != NULL && !json_is_string(value))
        return err_set(ctx, ERR_INVALID, "\"%s\" must be a text", key);
    *ret_text = value != NULL ? json_string_value(value) : initial;
    return ERR_OK;
}

static enum err op_report(struct control *c, const json_t *request, struct errctx *ctx)
{
    struct control_report r;
    enum err e = text_of(request, "state", NULL, &r.state, ctx);
    if (e == ERR_OK)
        e = text_of(request, "message", NULL, &r.message, ctx);
    if (e == ERR_OK)
        e = text_of(request, "uri", "", &r.uri, ctx);
    if (e == ERR_OK)
        e = text_of(request, "slug", "", &r.slug, ctx);
    if (e != ERR_OK)
        return e;
    if (json_object_get(request, "slug") == NULL)
        r.slug = NULL;
    return c->on_report(c->arg, &r, ctx);
}

static const struct operation operations[] = {
    {"report", op_report},
};

static enum err run(struct control *c, const char *line, size_t n, struct errctx *ctx)
{
    json_error_t error;
    json_t *request = json_loadb(line, n, JSON_REJECT_DUPLICATES, &error);
    if (request == NULL)
        return err_set(ctx, ERR_INVALID, "not a line of JSON: %s", error.text);
    const char *op;
    enum err e = text_of(request, "op", NULL, &op, ctx);
    size_t i = 0;
    while (e == ERR_OK && i < COUNT(operations) && strcmp(op, operations[i].name) != 0)
        i++;
    if (e == ERR_OK)
        e = i < COUNT(operations)
                ? operations[i].run(c, request, ctx)
                : err_set(ctx, ERR_INVALID, "the operation \"%.40s\" is not known", op);
    json_decref(request);
    return e;
}

/* ---- connections ---- */

static void on_closed(uv_handle_t *handle)
{
    struct connection *n = handle->data;
    strbuf_done(&n->line);
    free(n->answer);
    free(n);
}

static void hang_up(struct connection *n)
{
    if (uv_is_closing((uv_handle_t *)&n->pipe))
        return;
    list_unlink(&n->item);
    n->control->n_connections--;
    timer_free(n->silence);
    uv_close((uv_handle_t *)&n->pipe, on_closed);
}

static void on_written(uv_write_t *write, int status)
{
    (void)status;
    hang_up(container_of(write, struct connection, write));
}

static void answer(struct connection *n, enum err e, const char *error)
{
    if (n->has_answered)
        return;
    n->has_answered = true;
    json_t *reply = e == ERR_OK
                        ? json_pack("{s:b}", "ok", 1)
                        : json_pack("{s:b, s:s, s:s}", "ok", 0, "err", err_name(e), "error", error);
    struct strbuf line;
    strbuf_init(&line);
    char *text = reply != NULL ? json_dumps(reply, JSON_COMPACT) : NULL;
    strbuf_addf(&line, "%s\n", text != NULL ? text : "{\"ok\":false}");
    free(text);
    json_decref(reply);
    uv_read_stop((uv_stream_t *)&n->pipe);
    uv_buf_t buf = uv_buf_init(line.s, (unsigned)line.len);
    n->answer = strbuf_detach(&line);
    buf.base = n->answer;
    if (uv_write(&n->write, (uv_stream_t *)&n->pipe, &buf, 1, on_written) != 0)
        hang_up(n);
}

static void on_silence(void *arg)
{
    struct connection *n = arg;
    if (n->has_answered)
        hang_up(n);
    else
        answer(n, ERR_TIMEOUT, "no whole line came in time");
}

static void on_line(struct connection *n, size_t bytes)
{
    struct errctx ctx = {0};
    enum err e = run(n->control, n->line.s, bytes, &ctx);
    answer(n, e, ctx.text[0] != '\0' ? ctx.text : err_text(e));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct connection *n = handle->data;
    strbuf_reserve(&n->line, 4096);
    *ret_buf = uv_buf_init(n->line.s + n->line.len, 4096);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    (void)buf;
    struct connection *n = stream->data;
    if (got == UV_EOF && n->line.len > 0) {
        on_line(n, n->line.len); /* the last line may lack its end */
        return;
    }
    if (got < 0) {
        hang_up(n);
        return;
    }
    n->line.len += (size_t)got;
    n->line.s[n->line.len] = '\0';
    const char *end = memchr(n->line.s, '\n', n->line.len);
    if (end != NULL)
        on_line(n, (size_t)(end - n->line.s));
    else if (n->line.len > CONTROL_LINE_MAX)
        answer(n, ERR_TOO_LARGE, "the line is longer than 16 KiB");
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct control *c = listener->data;
    if (status != 0)
        return;
    struct connection *n = mem_alloc(sizeof(*n));
    n->control = c;
    n->pipe.data = n;
    strbuf_init(&n->line);
    n->silence = timer_new(c->loop, on_silence, n);
    list_append(&c->connections, &n->item);
    c->n_connections++;
    uv_pipe_init(loop_uv(c->loop), &n->pipe, 0);
    if (uv_accept(listener, (uv_stream_t *)&n->pipe) != 0) {
        hang_up(n);
        return;
    }
    timer_start(n->silence, CONTROL_SILENCE_MS, 0);
    if (c->n_connections > CONTROL_CONNECTIONS_MAX)
        answer(n, ERR_FULL, "too many connections at once, try again");
    else if (uv_read_start((uv_stream_t *)&n->pipe, on_alloc, on_read) != 0)
        hang_up(n);
}

/* ---- the socket ---- */

static void on_listener_closed(uv_handle_t *handle)
{
    free(handle);
}

enum err control_listen(struct loop *l, const char *path, control_report_fn on_report, void *arg,
    struct control **ret_control, struct errctx *ctx)
{
    struct control *c = mem_alloc(sizeof(*c));
    c->loop = l;
    c->on_report = on_report;
    c->arg = arg;
    list_init(&c->connections);
    c->listener = mem_alloc(sizeof(*c->listener));
    c->listener->data = c;
    uv_pipe_init(loop_uv(l), c->listener, 0);
    unlink(path);
    int error = uv_pipe_bind(c->listener, path);
    if (error == 0)
        error = uv_listen((uv_stream_t *)c->listener, 2 * CONTROL_CONNECTIONS_MAX, on_connection);
    if (error != 0) {
        control_free(c);
        return err_set(ctx, ERR_IO, "cannot listen on %s: %s", path, uv_strerror(error));
    }
    *ret_control = c;
    return ERR_OK;
}

void control_free(struct control *c)
{
    if (c == NULL)
        return;
    list_for_safe(item, &c->connections) hang_up(container_of(item, struct connection, item));
    uv_close((uv_handle_t *)c->listener, on_listener_closed);
    free(c);
}
