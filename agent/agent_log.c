/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes to lines, lines to reports. */
#include "agent/agent_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/file.h"
#include "core/base/cleanup.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/base/text.h"

#define BLOCK_BYTES (16 * 1024)
/* At the end of a process at most as much as a pipe can hold is read at once. */
#define SETTLE_BYTES_MAX (1024 * 1024)
#define OWN_SOURCE       "agent"

struct agent_log {
    struct loop *loop;
    struct status *status;
    size_t bytes;
    bool is_full; /* the last line has been said */
    unsigned n_lost;
    struct list pipes;
};

struct log_pipe {
    struct list item;
    struct agent_log *log;
    const char *source;
    int fd;
    uv_poll_t *poll;
    struct strbuf raw; /* of the line that is being written */
    int copy_fd;       /* -1: none */
    size_t copied;
    bool is_settled;
};

struct agent_log *agent_log_new(struct loop *l, struct status *status)
{
    struct agent_log *a = mem_alloc(sizeof(*a));
    a->loop = l;
    a->status = status;
    list_init(&a->pipes);
    return a;
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void pipe_free(struct log_pipe *p)
{
    list_unlink(&p->item);
    if (p->fd >= 0) {
        uv_close((uv_handle_t *)p->poll, on_poll_closed);
        close(p->fd);
    }
    strbuf_done(&p->raw);
    if (p->copy_fd >= 0)
        close(p->copy_fd);
    free(p);
}

void agent_log_free(struct agent_log *a)
{
    if (a == NULL)
        return;
    list_for_safe(item, &a->pipes) pipe_free(container_of(item, struct log_pipe, item));
    free(a);
}

/* ---- keeping ---- */

static bool keep(struct agent_log *a, const char *source, const char *level, const char *line)
{
    return status_log(a->status, source, level, line) == ERR_OK;
}

/* What is missing is said before what comes after it. */
static bool say_lost(struct agent_log *a)
{
    if (a->n_lost == 0)
        return true;
    char line[96];
    snprintf(line, sizeof(line), "%u lines could not be kept: the disk or the store was full.",
        a->n_lost);
    if (!keep(a, OWN_SOURCE, "warn", line))
        return false;
    a->n_lost = 0;
    return true;
}

static void add(struct agent_log *a, const char *source, const char *level, const char *line)
{
    if (a->is_full)
        return;
    size_t cost = strlen(line) + AGENT_LOG_LINE_COST;
    if (!say_lost(a)) {
        a->n_lost++;
    } else if (a->bytes + cost > AGENT_LOG_BYTES_MAX) {
        a->is_full =
            keep(a, OWN_SOURCE, "warn", "The log is full; what comes after this is not kept.");
    } else if (keep(a, source, level, line)) {
        a->bytes += cost;
    } else {
        a->n_lost++;
    }
}

static void add_pieces(struct agent_log *a, const char *source, const char *s, size_t n)
{
    char line[AGENT_LOG_LINE_MAX + 1];
    while (n > 0) {
        size_t piece = text_utf8_prefix(s, n, AGENT_LOG_LINE_MAX);
        memcpy(line, s, piece);
        line[piece] = '\0';
        add(a, source, "info", line);
        s += piece;
        n -= piece;
    }
}

/* One line without its end, as it was written. */
static void add_raw(struct agent_log *a, const char *source, const char *s, size_t n)
{
    while (n > 0 && s[n - 1] == '\r')
        n--;
    const char *written_over = n > 0 ? memrchr(s, '\r', n) : NULL;
    if (written_over != NULL) {
        n -= (size_t)(written_over + 1 - s);
        s = written_over + 1;
    }
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    text_add_output(&text, s, n);
    if (strspn(text.s, " \t\n") < text.len)
        add_pieces(a, source, text.s, text.len);
}

void agent_log_say(struct agent_log *a, const char *source, const char *level, const char *fmt, ...)
{
    char line[AGENT_LOG_LINE_MAX + 1];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    line[text_utf8_prefix(line, strlen(line), AGENT_LOG_LINE_MAX)] = '\0';
    log_info("script or app source=%s says=%s", LOG_Q(source), LOG_Q(line));
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    text_add_sanitized(&text, line);
    text.s[text_utf8_prefix(text.s, text.len, AGENT_LOG_LINE_MAX)] = '\0';
    add(a, source, level, text.s);
}

/* ---- reading ---- */

/* Whole lines go; so does what is too long to wait for its end, and everything at the end. */
static void take_lines(struct log_pipe *p, bool is_last)
{
    size_t at = 0;
    const char *end;
    while ((end = memchr(p->raw.s + at, '\n', p->raw.len - at)) != NULL) {
        size_t n = (size_t)(end - p->raw.s) - at;
        add_raw(p->log, p->source, p->raw.s + at, n);
        at += n + 1;
    }
    size_t rest = p->raw.len - at;
    if (is_last || rest >= BLOCK_BYTES) {
        add_raw(p->log, p->source, p->raw.s + at, rest);
        at += rest;
    }
    strbuf_consume(&p->raw, at);
}

/* A disk that does not take it ends the copy, not the script. */
static void copy(struct log_pipe *p, const char *data, size_t n)
{
    if (p->copy_fd < 0)
        return;
    p->copied += n;
    if (p->copied <= AGENT_LOG_COPY_MAX && file_write(p->copy_fd, data, n, NULL) == ERR_OK)
        return;
    close(p->copy_fd);
    p->copy_fd = -1;
}

static int open_copy(struct agent_log *a, const char *source, const char *path)
{
    int fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    if (path != NULL && fd < 0)
        agent_log_say(a, source, "warn", "%s: %s", path, strerror(errno));
    return fd;
}

/* Bytes that were there; 0 when there are none now, -1 at the end. */
static ssize_t read_block(struct log_pipe *p)
{
    char block[BLOCK_BYTES];
    ssize_t n = read(p->fd, block, sizeof(block));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return -1;
    copy(p, block, (size_t)n);
    strbuf_add(&p->raw, block, (size_t)n);
    take_lines(p, false);
    return n;
}

static void close_pipe(struct log_pipe *p)
{
    take_lines(p, true);
    uv_close((uv_handle_t *)p->poll, on_poll_closed);
    close(p->fd);
    p->fd = -1;
}

static void on_readable(uv_poll_t *poll, int error, int events)
{
    (void)events;
    struct log_pipe *p = poll->data;
    if (error == 0 && read_block(p) >= 0)
        return;
    close_pipe(p);
    if (p->is_settled)
        pipe_free(p);
}

struct log_pipe *agent_log_read(
    struct agent_log *a, const char *source, int take_fd, const char *copy_path)
{
    struct log_pipe *p = mem_alloc(sizeof(*p));
    p->log = a;
    p->source = source;
    p->fd = take_fd;
    p->copy_fd = open_copy(a, source, copy_path);
    strbuf_init(&p->raw);
    list_append(&a->pipes, &p->item);
    p->poll = mem_alloc(sizeof(*p->poll));
    p->poll->data = p;
    uv_poll_init(loop_uv(a->loop), p->poll, take_fd);
    uv_poll_start(p->poll, UV_READABLE, on_readable);
    return p;
}

void log_pipe_settle(struct log_pipe *take_pipe)
{
    struct log_pipe *p = take_pipe;
    p->is_settled = true;
    ssize_t n = 1;
    for (size_t total = 0; p->fd >= 0 && n > 0 && total < SETTLE_BYTES_MAX; total += (size_t)n)
        if ((n = read_block(p)) < 0)
            close_pipe(p);
    if (p->fd < 0)
        pipe_free(p);
}
