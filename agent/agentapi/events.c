/* SPDX-License-Identifier: Apache-2.0 */
/* One piece of text per event, shared by all who listen; how far each may be behind is the server's
 * matter. */
#include "agent/agentapi/events.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/mem.h"

struct reader {
    struct list link;
    struct exchange *x;
};

struct events {
    enum agent_type type;
    struct list readers, screen_readers;
    char *errors[EVENTS_ERRORS_MAX]; /* events as text, a ring */
    size_t n_errors, first_error;
};

const char *events_status_text(enum tracker_status status)
{
    return status == STATUS_STABLE ? "stable" : "running";
}

const char *events_role_text(enum tracker_role role)
{
    return role == ROLE_USER ? "user" : "agent";
}

/* ---- texts ---- */

/* Takes `value` over. */
static void add_event(struct strbuf *out, const char *name, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    json_decref(value);
    strbuf_addf(out, "event: %s\ndata: ", name);
    strbuf_addstr(out, text != NULL ? text : "{}");
    strbuf_addstr(out, "\n\n");
    free(text);
}

static void add_message(struct strbuf *out, const struct tracker_message *m)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format(m->time_us, time);
    json_t *text = json_stringn(m->text, m->n);
    add_event(out, "message_update",
        json_pack("{s:I, s:s, s:o, s:s}", "id", (json_int_t)m->id, "role",
            events_role_text(m->role), "message", text != NULL ? text : json_string(""), "time",
            time));
}

static void add_status(struct strbuf *out, enum agent_type type, enum tracker_status status)
{
    add_event(out, "status_change",
        json_pack("{s:s, s:s}", "status", events_status_text(status), "agent_type",
            agent_type_name(type)));
}

static void add_screen(struct strbuf *out, const struct strbuf *screen)
{
    json_t *text = json_stringn(screen->s, screen->len);
    add_event(out, "screen", json_pack("{s:o}", "screen", text != NULL ? text : json_string("")));
}

/* ---- who listens ---- */

static void on_gone(void *arg)
{
    struct reader *r = arg;
    list_unlink(&r->link);
    free(r);
}

static void tell(struct list *readers, struct strbuf *text)
{
    if (!list_is_empty(readers)) {
        struct http_piece *piece = http_piece_new(text->s, text->len);
        list_for(it, readers) exchange_push(container_of(it, struct reader, link)->x, piece);
        http_piece_unref(piece);
    }
    strbuf_done(text);
}

static void begin_stream(struct list *readers, struct exchange *x, struct strbuf *replay)
{
    struct reader *r = mem_alloc(sizeof(*r));
    r->x = x;
    list_append(readers, &r->link);
    exchange_add_header(x, "Cache-Control", "no-cache, no-store, must-revalidate");
    exchange_add_header(x, "X-Accel-Buffering", "no"); /* proxies pass each event on at once */
    exchange_on_gone(x, on_gone, r);
    struct http_piece *piece = http_piece_new(replay->s, replay->len);
    exchange_stream(x, "text/event-stream");
    exchange_push(x, piece);
    http_piece_unref(piece);
    strbuf_done(replay);
}

void events_subscribe(struct events *e, struct exchange *x, const struct tracker *t)
{
    struct strbuf replay;
    strbuf_init(&replay);
    for (size_t i = 0; i < tracker_count(t); i++)
        add_message(&replay, tracker_at(t, i));
    add_status(&replay, e->type, tracker_status(t));
    for (size_t i = 0; i < e->n_errors; i++)
        strbuf_addstr(&replay, e->errors[(e->first_error + i) % EVENTS_ERRORS_MAX]);
    begin_stream(&e->readers, x, &replay);
}

void events_subscribe_screen(struct events *e, struct exchange *x, const struct strbuf *screen)
{
    struct strbuf replay;
    strbuf_init(&replay);
    add_screen(&replay, screen);
    begin_stream(&e->screen_readers, x, &replay);
}

/* ---- what happens ---- */

void events_message(struct events *e, const struct tracker_message *m)
{
    if (list_is_empty(&e->readers))
        return;
    struct strbuf text;
    strbuf_init(&text);
    add_message(&text, m);
    tell(&e->readers, &text);
}

void events_status(struct events *e, enum tracker_status status)
{
    struct strbuf text;
    strbuf_init(&text);
    add_status(&text, e->type, status);
    tell(&e->readers, &text);
}

void events_screen(struct events *e, const struct strbuf *screen)
{
    if (list_is_empty(&e->screen_readers))
        return;
    struct strbuf text;
    strbuf_init(&text);
    add_screen(&text, screen);
    tell(&e->screen_readers, &text);
}

void events_error(struct events *e, bool is_warning, const char *message, int64_t time_us)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format(time_us, time);
    struct strbuf text;
    strbuf_init(&text);
    add_event(&text, "agent_error",
        json_pack("{s:s, s:s, s:s}", "message", message, "level", is_warning ? "warning" : "error",
            "time", time));
    if (e->n_errors == EVENTS_ERRORS_MAX) {
        free(e->errors[e->first_error]);
        e->first_error = (e->first_error + 1) % EVENTS_ERRORS_MAX;
        e->n_errors--;
    }
    e->errors[(e->first_error + e->n_errors++) % EVENTS_ERRORS_MAX] = mem_strdup(text.s);
    tell(&e->readers, &text);
}

/* ---- life ---- */

struct events *events_new(enum agent_type type)
{
    struct events *e = mem_alloc(sizeof(*e));
    e->type = type;
    list_init(&e->readers);
    list_init(&e->screen_readers);
    return e;
}

void events_free(struct events *e)
{
    if (e == NULL)
        return;
    for (size_t i = 0; i < e->n_errors; i++)
        free(e->errors[(e->first_error + i) % EVENTS_ERRORS_MAX]);
    free(e);
}
