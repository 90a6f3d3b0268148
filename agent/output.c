/* SPDX-License-Identifier: Apache-2.0 */
/* The app's output: read, cut, cleaned, said. */
#include "agent/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/base/text.h"

/* No terminal sequence that is worth waiting for is longer. */
#define SEQUENCE_MAX 256
/* Of a line, as much as a status message may show. */
#define LINE_KEPT 1024

struct output {
    struct loop *loop;
    struct status *status;
    int fd; /* -1: at its end */
    uv_poll_t *poll;
    bool is_reading;
    bool is_blocked; /* the store refused the piece at the head of `raw` */
    struct strbuf raw;
    struct timer *flush;
    bool flush_is_due, flush_is_set;
    /* The line being written, and the last whole one that was not empty. */
    struct strbuf line, last;
    bool is_finishing;
    size_t left; /* bytes of the process that are still in the pipe */
    struct timer *over;
    loop_fn drained;
    void *arg;
};

static void on_readable(uv_poll_t *poll, int error, int events);
static void on_flush(void *arg);
static void on_over(void *arg);

struct output *output_new(struct loop *l, struct status *status, int take_fd)
{
    struct output *o = mem_alloc(sizeof(*o));
    o->loop = l;
    o->status = status;
    o->fd = take_fd;
    strbuf_init(&o->raw);
    strbuf_init(&o->line);
    strbuf_init(&o->last);
    o->flush = timer_new(l, on_flush, o);
    o->over = timer_new(l, on_over, o);
    o->poll = mem_alloc(sizeof(*o->poll));
    o->poll->data = o;
    uv_poll_init(loop_uv(l), o->poll, take_fd);
    output_pump(o);
    return o;
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void close_pipe(struct output *o)
{
    if (o->fd < 0)
        return;
    uv_close((uv_handle_t *)o->poll, on_poll_closed);
    close(o->fd);
    o->poll = NULL;
    o->fd = -1;
    o->is_reading = false;
    o->left = 0;
}

void output_free(struct output *o)
{
    if (o == NULL)
        return;
    close_pipe(o);
    timer_free(o->flush);
    timer_free(o->over);
    strbuf_done(&o->raw);
    strbuf_done(&o->line);
    strbuf_done(&o->last);
    free(o);
}

bool output_is_over(const struct output *o)
{
    return o->fd < 0 && o->raw.len == 0;
}

/* ---- cutting ---- */

/* Does the terminal sequence at `s` (an ESC) end within the `n` bytes? */
static bool sequence_is_whole(const char *s, size_t n)
{
    if (n < 2)
        return false;
    if (s[1] == '[') {
        for (size_t i = 2; i < n; i++)
            if (s[i] >= '@' && s[i] <= '~')
                return true;
        return false;
    }
    if (strchr("]PX^_", s[1]) != NULL)
        return memchr(s, '\a', n) != NULL || memmem(s + 1, n - 1, "\033\\", 2) != NULL;
    return strchr("()*+ #%", s[1]) == NULL || n > 2;
}

static size_t without_open_sequence(const char *s, size_t n)
{
    const char *esc = memrchr(s, '\033', n);
    if (esc == NULL)
        return n;
    size_t tail = n - (size_t)(esc - s);
    return tail >= SEQUENCE_MAX || sequence_is_whole(esc, tail) ? n : n - tail;
}

/* A UTF-8 character that has begun and is not whole is at most three bytes. */
static size_t without_open_character(const char *s, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char c = (unsigned char)s[n - back];
        if ((c & 0xc0) == 0x80)
            continue;
        size_t size = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        return size > back ? n - back : n;
    }
    return n;
}

size_t output_cut(const char *s, size_t n, bool is_last)
{
    if (is_last)
        return n;
    const char *line_end = memrchr(s, '\n', n);
    if (line_end != NULL)
        return (size_t)(line_end - s) + 1;
    return without_open_character(s, without_open_sequence(s, n));
}

/* ---- saying ---- */

static void note_line(struct output *o, const char *s, size_t n, bool is_whole)
{
    if (o->line.len < LINE_KEPT)
        strbuf_add(&o->line, s, n < LINE_KEPT ? n : LINE_KEPT);
    if (!is_whole)
        return;
    if (strspn(o->line.s, " \t") < o->line.len) {
        strbuf_clear(&o->last);
        strbuf_add(&o->last, o->line.s, o->line.len);
    }
    strbuf_clear(&o->line);
}

static void note_lines(struct output *o, const char *s, size_t n)
{
    while (n > 0) {
        const char *end = memchr(s, '\n', n);
        size_t bytes = end != NULL ? (size_t)(end - s) : n;
        note_line(o, s, bytes, end != NULL);
        bytes += end != NULL;
        s += bytes;
        n -= bytes;
    }
}

const char *output_last_line(struct output *o)
{
    note_line(o, "", 0, true);
    return o->last.s;
}

/* Says one piece; false when the store refuses. */
static bool say(struct output *o, size_t n)
{
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    text_add_output(&text, o->raw.s, n);
    if (text.len > CHAT_CONTENT_BYTES_MAX) {
        /* Bytes that are no text grow threefold. */
        n = CHAT_CONTENT_BYTES_MAX / 4;
        strbuf_clear(&text);
        text_add_output(&text, o->raw.s, n);
    }
    if (text.len > 0 && status_output(o->status, text.s, text.len) != ERR_OK)
        return false;
    note_lines(o, text.s, text.len);
    strbuf_consume(&o->raw, n);
    return true;
}

static bool is_at_end(const struct output *o)
{
    return o->fd < 0 || (o->is_finishing && o->left == 0);
}

static void say_due(struct output *o)
{
    o->is_blocked = false;
    while (
        o->raw.len > 0 && (o->raw.len >= OUTPUT_PIECE_BYTES || o->flush_is_due || is_at_end(o))) {
        size_t n = output_cut(o->raw.s, o->raw.len, is_at_end(o));
        if (n == 0 && o->raw.len < OUTPUT_PIECE_BYTES)
            break;
        if (!say(o, n > 0 ? n : o->raw.len)) {
            o->is_blocked = true;
            return;
        }
        o->flush_is_due = false;
    }
}

static void set_flush_timer(struct output *o)
{
    if (o->raw.len == 0) {
        timer_stop(o->flush);
        o->flush_is_set = false;
    } else if (!o->flush_is_set) {
        timer_start(o->flush, OUTPUT_FLUSH_MS, 0);
        o->flush_is_set = true;
    }
}

static void on_flush(void *arg)
{
    struct output *o = arg;
    o->flush_is_set = false;
    o->flush_is_due = true;
    output_pump(o);
}

/* ---- reading ---- */

static void set_reading(struct output *o)
{
    bool want = o->fd >= 0 && !o->is_blocked && o->raw.len < OUTPUT_PIECE_BYTES;
    if (want == o->is_reading)
        return;
    o->is_reading = want;
    if (want)
        uv_poll_start(o->poll, UV_READABLE, on_readable);
    else if (o->fd >= 0)
        uv_poll_stop(o->poll);
}

void output_pump(struct output *o)
{
    if (o->is_blocked && !status_has_room(o->status))
        return;
    say_due(o);
    set_flush_timer(o);
    set_reading(o);
    if (o->is_finishing && o->drained != NULL && is_at_end(o) && o->raw.len == 0)
        timer_start(o->over, 0, 0);
}

static void on_over(void *arg)
{
    struct output *o = arg;
    loop_fn drained = o->drained;
    o->drained = NULL;
    o->is_finishing = false;
    if (drained != NULL)
        drained(o->arg);
}

static void on_readable(uv_poll_t *poll, int error, int events)
{
    (void)events;
    struct output *o = poll->data;
    char block[OUTPUT_PIECE_BYTES];
    size_t room = OUTPUT_PIECE_BYTES - o->raw.len;
    ssize_t n = error != 0 ? 0 : read(o->fd, block, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close_pipe(o);
    } else {
        strbuf_add(&o->raw, block, (size_t)n);
        o->left -= o->left < (size_t)n ? o->left : (size_t)n;
    }
    output_pump(o);
}

void output_finish(struct output *o, loop_fn drained, void *arg)
{
    int waiting = 0;
    if (o->fd >= 0 && ioctl(o->fd, FIONREAD, &waiting) != 0)
        waiting = 0;
    o->left = (size_t)waiting;
    o->is_finishing = true;
    o->drained = drained;
    o->arg = arg;
    output_pump(o);
}
