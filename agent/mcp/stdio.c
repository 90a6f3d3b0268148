/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio.c - libuv's streams where there are streams; files are read on its threads and written at
 * once.
 *
 * The buffer of stdin:   [ given | held back, searched for a line end | not searched ]
 *                        0       at                                   seen         len
 */
#include "agent/mcp/stdio.h"

#include <stdlib.h>
#include <string.h>

#include "agent/file.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

#define READ_BYTES (64 * 1024)

union stream {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_pipe_t pipe;
    uv_tty_t tty;
    uv_tcp_t tcp;
};

/* Freed when nothing of libuv's refers to it any more. */
struct stdio {
    struct stdio_conf conf;
    union stream in, out;
    bool is_in_file, is_out_file;
    uv_fs_t read;
    uv_buf_t read_buf;
    unsigned n_open; /* handles and requests that libuv still has */

    struct strbuf buf;
    size_t at, seen;
    bool is_reading, is_skipping, is_at_end, is_end_told, is_broken, is_freed;
    size_t n_out; /* bytes on their way out */
};

struct output {
    uv_write_t write;
    struct stdio *stdio;
    size_t n;
    char data[];
};

static void release(struct stdio *s)
{
    if (--s->n_open > 0)
        return;
    strbuf_done(&s->buf);
    free(s);
}

static void tell_end(struct stdio *s)
{
    if (s->is_end_told || s->is_freed)
        return;
    s->is_end_told = true;
    s->conf.on_end(s->conf.arg, s->is_broken);
}

/* ---- lines ---- */

static bool may_take(const struct stdio *s)
{
    return !s->is_freed && s->n_out <= STDIO_BEHIND_BYTES_MAX && s->conf.may_take(s->conf.arg);
}

static void give(struct stdio *s, size_t end)
{
    const char *line = s->buf.s + s->at;
    size_t n = end - s->at;
    if (s->is_skipping)
        s->is_skipping = false;
    else if (n > s->conf.line_bytes_max)
        s->conf.on_too_long(s->conf.arg);
    else
        s->conf.on_line(s->conf.arg, line, n);
}

/* Gives whole lines while they may be taken; false when it had to stop before the last one. */
static bool give_lines(struct stdio *s)
{
    for (;;) {
        const char *end = memchr(s->buf.s + s->seen, '\n', s->buf.len - s->seen);
        if (end == NULL) {
            s->seen = s->buf.len;
            return true;
        }
        size_t at = (size_t)(end - s->buf.s);
        s->seen = at;
        if (!may_take(s))
            return false;
        give(s, at);
        s->at = s->seen = at + 1;
    }
}

static void compact(struct stdio *s)
{
    if (s->at == 0)
        return;
    strbuf_consume(&s->buf, s->at);
    s->seen -= s->at;
    s->at = 0;
}

/* The begin of a line that will be too long need not be kept. */
static void drop_too_long(struct stdio *s)
{
    if (s->seen < s->buf.len || s->buf.len <= s->conf.line_bytes_max)
        return;
    if (!s->is_skipping)
        s->conf.on_too_long(s->conf.arg);
    s->is_skipping = true;
    strbuf_clear(&s->buf);
    s->at = s->seen = 0;
}

/* ---- in ---- */

static void read_on(struct stdio *s);

static void on_input(struct stdio *s, ssize_t got)
{
    if (got > 0) {
        s->buf.len += (size_t)got;
        s->buf.s[s->buf.len] = '\0';
    } else if (got < 0) {
        s->is_at_end = true;
    }
    stdio_pump(s);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct stdio *s = handle->data;
    strbuf_reserve(&s->buf, READ_BYTES);
    *ret_buf = uv_buf_init(s->buf.s + s->buf.len, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    (void)buf;
    on_input(stream->data, got);
}

static void on_file_read(uv_fs_t *read)
{
    struct stdio *s = read->data;
    ssize_t got = read->result;
    uv_fs_req_cleanup(read);
    s->is_reading = false;
    if (!s->is_freed)
        on_input(s, got == 0 ? UV_EOF : got);
    release(s);
}

static void read_on(struct stdio *s)
{
    if (s->is_reading || s->is_at_end)
        return;
    s->is_reading = true;
    if (!s->is_in_file) {
        if (uv_read_start(&s->in.stream, on_alloc, on_read) != 0)
            s->is_at_end = true;
        return;
    }
    strbuf_reserve(&s->buf, READ_BYTES);
    s->read_buf = uv_buf_init(s->buf.s + s->buf.len, READ_BYTES);
    s->read.data = s;
    s->n_open++;
    uv_fs_read(loop_uv(s->conf.loop), &s->read, s->conf.fd_in, &s->read_buf, 1, -1, on_file_read);
}

static void pause_reading(struct stdio *s)
{
    if (s->is_reading && !s->is_in_file) {
        uv_read_stop(&s->in.stream);
        s->is_reading = false;
    }
}

/* A file is read into the buffer's end: nothing may move while that goes on. */
static bool is_buffer_lent(const struct stdio *s)
{
    return s->is_in_file && s->is_reading;
}

void stdio_pump(struct stdio *s)
{
    if (s->is_freed || s->is_end_told || is_buffer_lent(s))
        return;
    if (s->is_broken) {
        tell_end(s);
        return;
    }
    if (!give_lines(s)) {
        compact(s);
        pause_reading(s);
        return;
    }
    compact(s);
    drop_too_long(s);
    if (!s->is_at_end) {
        read_on(s);
        return;
    }
    if (s->buf.len > 0) { /* the last line may lack its end */
        if (!may_take(s))
            return;
        give(s, s->buf.len);
        strbuf_clear(&s->buf);
    }
    tell_end(s);
}

/* ---- out ---- */

static void break_off(struct stdio *s)
{
    s->is_broken = true;
    tell_end(s);
}

static void on_written(uv_write_t *write, int status)
{
    struct output *o = container_of(write, struct output, write);
    struct stdio *s = o->stdio;
    s->n_out -= o->n;
    free(o);
    if (status != 0)
        break_off(s);
    release(s);
}

void stdio_write(struct stdio *s, const char *data, size_t n)
{
    struct errctx ctx = {0};
    if (s->is_broken || s->is_freed)
        return;
    if (s->is_out_file) {
        if (file_write(s->conf.fd_out, data, n, &ctx) != ERR_OK)
            s->is_broken = true; /* told by the next pump: we may be inside a line */
        return;
    }
    struct output *o = mem_alloc(sizeof(*o) + n);
    o->stdio = s;
    o->n = n;
    memcpy(o->data, data, n);
    uv_buf_t buf = uv_buf_init(o->data, (unsigned)n);
    s->n_out += n;
    s->n_open++;
    if (uv_write(&o->write, &s->out.stream, &buf, 1, on_written) != 0) {
        s->n_out -= n;
        s->n_open--;
        s->is_broken = true;
        free(o);
    }
}

bool stdio_is_drained(const struct stdio *s)
{
    return s->n_out == 0 || s->is_broken;
}

/* ---- life ---- */

static void on_closed(uv_handle_t *handle)
{
    release(handle->data);
}

/* False: it is read or written as a file. */
static bool open_stream(struct stdio *s, union stream *to, int fd)
{
    uv_loop_t *loop = loop_uv(s->conf.loop);
    int error;
    switch (uv_guess_handle(fd)) {
    case UV_NAMED_PIPE:
        uv_pipe_init(loop, &to->pipe, 0);
        error = uv_pipe_open(&to->pipe, fd);
        break;
    case UV_TCP:
        uv_tcp_init(loop, &to->tcp);
        error = uv_tcp_open(&to->tcp, fd);
        break;
    case UV_TTY:
        error = uv_tty_init(loop, &to->tty, fd, 0);
        break;
    default:
        return false;
    }
    to->handle.data = s;
    s->n_open++;
    if (error == 0)
        return true;
    uv_close(&to->handle, on_closed);
    return false;
}

struct stdio *stdio_open(const struct stdio_conf *conf)
{
    struct stdio *s = mem_alloc(sizeof(*s));
    s->conf = *conf;
    s->n_open = 1; /* ours */
    strbuf_init(&s->buf);
    s->is_in_file = !open_stream(s, &s->in, conf->fd_in);
    s->is_out_file = !open_stream(s, &s->out, conf->fd_out);
    read_on(s);
    return s;
}

void stdio_free(struct stdio *s)
{
    if (s == NULL)
        return;
    s->is_freed = true;
    if (!s->is_in_file)
        uv_close(&s->in.handle, on_closed);
    if (!s->is_out_file)
        uv_close(&s->out.handle, on_closed);
    release(s);
}
