/* SPDX-License-Identifier: Apache-2.0 */
/* Lines out of pieces, events out of lines. */
#include "core/base/sse.h"

#include <string.h>

void sse_init(struct sse *s, sse_event_fn on_event, void *arg)
{
    *s = (struct sse){.on_event = on_event, .arg = arg, .event_bytes_max = SSE_EVENT_BYTES_MAX};
    strbuf_init(&s->line);
    strbuf_init(&s->data);
}

void sse_done(struct sse *s)
{
    strbuf_done(&s->line);
    strbuf_done(&s->data);
}

static void forget_event(struct sse *s)
{
    strbuf_clear(&s->data);
    s->name[0] = '\0';
    s->has_data = s->has_id = s->is_too_long = false;
}

void sse_reset(struct sse *s)
{
    forget_event(s);
    strbuf_clear(&s->line);
    s->was_cr = s->is_past_start = false;
    s->n_mark = 0;
}

static bool end_event(struct sse *s)
{
    bool goes_on = true;
    if (s->has_id)
        memcpy(s->id, s->next_id, sizeof(s->id));
    if (s->is_too_long)
        s->n_skipped++;
    else if (s->has_data)
        goes_on =
            s->on_event(s->arg, s->name[0] != '\0' ? s->name : "message", s->data.s, s->data.len);
    forget_event(s);
    return goes_on;
}

static void add_data(struct sse *s, const char *value, size_t n)
{
    if (s->data.len + n + 1 > s->event_bytes_max) {
        s->is_too_long = true;
        return;
    }
    if (s->has_data)
        strbuf_addch(&s->data, '\n');
    strbuf_add(&s->data, value, n);
    s->has_data = true;
}

static void set_name(struct sse *s, const char *value, size_t n)
{
    if (n > SSE_NAME_BYTES_MAX || memchr(value, '\0', n) != NULL) {
        s->is_too_long = true;
        return;
    }
    memcpy(s->name, value, n);
    s->name[n] = '\0';
}

static void set_id(struct sse *s, const char *value, size_t n)
{
    if (n > SSE_ID_BYTES_MAX || memchr(value, '\0', n) != NULL)
        return;
    memcpy(s->next_id, value, n);
    s->next_id[n] = '\0';
    s->has_id = true;
}

static bool is_field(const char *name, const char *line, size_t n)
{
    return strlen(name) == n && memcmp(name, line, n) == 0;
}

static bool end_line(struct sse *s)
{
    if (s->line.len == 0)
        return end_event(s);
    const char *line = s->line.s, *end = line + s->line.len;
    const char *colon = memchr(line, ':', s->line.len);
    size_t n = (size_t)((colon != NULL ? colon : end) - line);
    const char *value = colon != NULL ? colon + 1 : end;
    if (value < end && *value == ' ')
        value++;
    if (is_field("data", line, n))
        add_data(s, value, (size_t)(end - value));
    else if (is_field("event", line, n))
        set_name(s, value, (size_t)(end - value));
    else if (is_field("id", line, n))
        set_id(s, value, (size_t)(end - value));
    strbuf_clear(&s->line);
    return true;
}

static void add_to_line(struct sse *s, const char *data, size_t n)
{
    /* The rest of a line that is too long is of no interest, but that it is one. */
    if (s->line.len + n > s->event_bytes_max) {
        s->is_too_long = true;
        strbuf_clear(&s->line);
        strbuf_addch(&s->line, ':');
        return;
    }
    strbuf_add(&s->line, data, n);
}

/* A byte order mark in front of all is passed over.  How many bytes of `data` were one. */
static size_t pass_mark(struct sse *s, const char *data, size_t n)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t i = 0;
    while (i < n && s->n_mark < 3 && data[i] == mark[s->n_mark])
        i++, s->n_mark++;
    if (i == n && s->n_mark < 3)
        return i;
    if (s->n_mark < 3)
        add_to_line(s, mark, s->n_mark); /* it only began like one */
    s->is_past_start = true;
    return i;
}

bool sse_feed(struct sse *s, const char *data, size_t n)
{
    const char *end = data + n;
    if (!s->is_past_start)
        data += pass_mark(s, data, n);
    while (data < end) {
        if (s->was_cr && *data == '\n')
            data++;
        s->was_cr = false;
        const char *stop = data;
        while (stop < end && *stop != '\n' && *stop != '\r')
            stop++;
        if (stop > data)
            add_to_line(s, data, (size_t)(stop - data));
        if (stop == end)
            break;
        s->was_cr = *stop == '\r';
        data = stop + 1;
        if (!end_line(s))
            return false;
    }
    return true;
}
