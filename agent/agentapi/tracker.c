/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One snapshot at a time: count how long the screen stands still, go on with what is being typed,
 * tell the agent's message, and say so when the status has changed.
 *
 * While a message is being typed, the messages stand: what the box shows is not the agent's word.
 */
#include "agent/agentapi/tracker.h"

#include <stdlib.h>
#include <string.h>

#include "agent/agentapi/answer.h"
#include "core/base/mem.h"

#define ECHO_QUIET_MS \
    400 /* the echo of a message has stood still for so long: all of it is there */
#define ECHO_MS        2000 /* or never mind */
#define ENTER_AGAIN_MS 3000
#define TYPE_MS        15000 /* for the terminal to take the message */
#define START_MS       15000 /* for the agent to begin with it */
/* An agent of no known type may have no box: it is ready when its screen stands for so long. */
#define READY_ANYWAY_MS 10000

enum typing { TYPING_NOTHING, TYPING_TEXT, TYPING_ECHO, TYPING_ENTER };

struct message_list {
    struct tracker_message *v;
    size_t n;
    size_t room;
};

struct tracker {
    enum agent_type type;
    struct tracker_io io;
    struct message_list messages;
    int64_t next_id;
    size_t bytes;      /* of their texts */
    size_t dropped_to; /* messages before this one are markers, or a user's */
    bool is_dirty;

    struct strbuf screen;      /* the last snapshot */
    struct strbuf before;      /* the screen before the last message of a user */
    bool has_before, has_said; /* somebody, in this life */
    int64_t changed_at;        /* when the screen last changed */
    int alike;                 /* snapshots in a row that show it */
    bool is_ready;
    bool is_fresh;   /* nothing was told from the screen since a message or a restore */
    bool has_spoken; /* the last message is the agent's and comes from this screen */
    enum tracker_status status;

    char *prompt;
    bool prompt_waits, prompt_sent;

    enum typing typing;
    struct strbuf draft;      /* what is being typed */
    struct strbuf typed_over; /* the screen before it */
    struct strbuf entered;    /* the screen before Enter */
    int64_t began_us, deadline, enter_again_at;
    tracker_done_fn done;
    void *done_arg;
};

static void copy(struct strbuf *to, const struct strbuf *from)
{
    strbuf_clear(to);
    strbuf_add(to, from->s, from->len);
}

static bool same(const struct strbuf *a, const struct strbuf *b)
{
    return a->len == b->len && memcmp(a->s, b->s, a->len) == 0;
}

/* ---- messages ---- */

static void set_text(struct tracker *t, struct tracker_message *m, const char *text, size_t n)
{
    t->bytes -= m->n;
    free(m->text);
    m->text = mem_strndup(text, n);
    m->n = n;
    t->bytes += n;
}

static void forget_first(struct tracker *t)
{
    struct message_list *list = &t->messages;
    t->bytes -= list->v[0].n;
    free(list->v[0].text);
    list->n--;
    memmove(list->v, list->v + 1, list->n * sizeof(*list->v));
    if (t->dropped_to > 0)
        t->dropped_to--;
}

/* The last message stays whatever it costs: it is bounded by the screen, or by a request. */
static void keep_bounds(struct tracker *t)
{
    struct message_list *list = &t->messages;
    while (list->n > MESSAGES_MAX)
        forget_first(t);
    for (; t->bytes > MESSAGES_BYTES_MAX && t->dropped_to + 1 < list->n; t->dropped_to++) {
        struct tracker_message *m = &list->v[t->dropped_to];
        if (m->role != ROLE_AGENT || m->n <= strlen(MESSAGE_DROPPED))
            continue;
        set_text(t, m, MESSAGE_DROPPED, strlen(MESSAGE_DROPPED));
        t->io.message(t->io.arg, m);
    }
    while (t->bytes > MESSAGES_BYTES_MAX && list->n > 1) /* all of it a user's */
        forget_first(t);
}

static struct tracker_message *add_message(
    struct tracker *t, enum tracker_role role, int64_t time_us, const char *text, size_t n)
{
    struct tracker_message *m = vec_push(&t->messages);
    *m = (struct tracker_message){.id = t->next_id++, .role = role, .time_us = time_us};
    set_text(t, m, text, n);
    t->is_dirty = true;
    keep_bounds(t);
    return &t->messages.v[t->messages.n - 1];
}

static struct tracker_message *last_message(struct tracker *t)
{
    return &t->messages.v[t->messages.n - 1];
}

static const char *last_said(const struct tracker *t)
{
    for (size_t i = t->messages.n; i-- > 0;)
        if (t->messages.v[i].role == ROLE_USER)
            return t->messages.v[i].text;
    return NULL;
}

/* After a message or a restore, an agent that shows nothing has said nothing. */
static void tell(struct tracker *t, int64_t wall_us)
{
    struct strbuf text;
    strbuf_init(&text);
    answer_tell(t->type, t->has_before ? &t->before : NULL, &t->screen,
        t->has_said ? last_said(t) : NULL, &text);
    t->is_fresh = false;
    struct tracker_message *m = t->has_spoken ? last_message(t) : NULL;
    if (m == NULL && text.len > 0) {
        m = add_message(t, ROLE_AGENT, wall_us, text.s, text.len);
        t->has_spoken = true;
        t->io.message(t->io.arg, m);
    } else if (m != NULL && (m->n != text.len || memcmp(m->text, text.s, text.len) != 0)) {
        set_text(t, m, text.s, text.len);
        m->time_us = wall_us;
        t->is_dirty = true;
        keep_bounds(t);
        t->io.message(t->io.arg, last_message(t));
    }
    strbuf_done(&text);
}

/* ---- status ---- */

static enum tracker_status status_now(const struct tracker *t)
{
    bool waits = t->prompt_waits || t->typing != TYPING_NOTHING;
    return t->is_ready && !waits && t->alike >= SNAPSHOTS_STABLE ? STATUS_STABLE : STATUS_RUNNING;
}

static void update_status(struct tracker *t)
{
    enum tracker_status now = status_now(t);
    if (now == t->status)
        return;
    t->status = now;
    t->io.status(t->io.arg, now);
}

static bool has_box(const struct tracker *t)
{
    struct lines lines = {0};
    lines_split(&lines, t->screen.s, t->screen.len);
    bool is = agent_type_is_ready(t->type, &lines);
    lines_done(&lines);
    return is;
}

static bool looks_ready(const struct tracker *t, int64_t now_ms)
{
    if (t->screen.len == 0)
        return false;
    bool anyway = t->type == AGENT_CUSTOM && now_ms - t->changed_at >= READY_ANYWAY_MS;
    return anyway || has_box(t);
}

/* ---- typing ---- */

static void type(struct tracker *t, int64_t now_ms, int64_t wall_us)
{
    t->typing = TYPING_TEXT;
    t->began_us = wall_us;
    t->deadline = now_ms + TYPE_MS;
    copy(&t->typed_over, &t->screen);
    t->io.type(t->io.arg, t->draft.s, t->draft.len);
}

static void typed(struct tracker *t, enum err e)
{
    tracker_done_fn done = t->done;
    t->typing = TYPING_NOTHING;
    t->done = NULL;
    if (e == ERR_OK) {
        struct tracker_message *m =
            add_message(t, ROLE_USER, t->began_us, t->draft.s, t->draft.len);
        copy(&t->before, &t->typed_over);
        t->has_before = t->has_said = true;
        t->is_fresh = true;
        t->has_spoken = false;
        t->alike = 0;
        t->io.message(t->io.arg, m);
    } else if (done == NULL) {
        t->io.trouble(t->io.arg, "the agent did not begin with a message");
    }
    update_status(t);
    if (done != NULL)
        done(t->done_arg, e);
}

static void press_enter(struct tracker *t, int64_t now_ms)
{
    t->enter_again_at = now_ms + ENTER_AGAIN_MS;
    t->io.enter(t->io.arg);
}

static void begin_enter(struct tracker *t, int64_t now_ms)
{
    t->typing = TYPING_ENTER;
    t->deadline = now_ms + START_MS;
    copy(&t->entered, &t->screen);
    press_enter(t, now_ms);
}

static void step_typing(struct tracker *t, int64_t now_ms)
{
    bool is_over = now_ms >= t->deadline;
    switch (t->typing) {
    case TYPING_TEXT:
        if (t->io.is_drained(t->io.arg)) {
            t->typing = TYPING_ECHO;
            t->deadline = now_ms + ECHO_MS;
        } else if (is_over) {
            typed(t, ERR_TIMEOUT);
        }
        break;
    case TYPING_ECHO:
        if (is_over ||
            (!same(&t->screen, &t->typed_over) && now_ms - t->changed_at >= ECHO_QUIET_MS))
            begin_enter(t, now_ms);
        break;
    case TYPING_ENTER:
        if (!same(&t->screen, &t->entered))
            typed(t, ERR_OK);
        else if (is_over)
            typed(t, ERR_TIMEOUT);
        else if (now_ms >= t->enter_again_at)
            press_enter(t, now_ms);
        break;
    case TYPING_NOTHING:
        break;
    }
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static const char *trim(const char *text, size_t *n)
{
    while (*n > 0 && is_blank(text[*n - 1]))
        --*n;
    while (*n > 0 && is_blank(*text))
        text++, --*n;
    return text;
}

enum err tracker_send(struct tracker *t, int64_t now_ms, int64_t wall_us, const char *text,
    size_t n, tracker_done_fn done, void *arg, struct errctx *ctx)
{
    if (status_now(t) != STATUS_STABLE)
        return err_set(
            ctx, ERR_CONFLICT, "message can only be sent when the agent is waiting for user input");
    text = trim(text, &n);
    if (n == 0)
        return err_set(ctx, ERR_INVALID, "message must not be empty");
    strbuf_clear(&t->draft);
    strbuf_add(&t->draft, text, n);
    t->done = done;
    t->done_arg = arg;
    type(t, now_ms, wall_us);
    update_status(t);
    return ERR_OK;
}

void tracker_forget(struct tracker *t, void *arg)
{
    if (t->done_arg == arg)
        t->done = NULL;
}

void tracker_end(struct tracker *t)
{
    if (t->typing != TYPING_NOTHING)
        typed(t, ERR_UNAVAILABLE);
}

/* It counts as sent before it is: an agent that is killed meanwhile is not told twice. */
static void send_prompt(struct tracker *t, int64_t now_ms, int64_t wall_us)
{
    t->prompt_waits = false;
    t->prompt_sent = true;
    t->is_dirty = true;
    t->io.prompt(t->io.arg);
    strbuf_clear(&t->draft);
    strbuf_addstr(&t->draft, t->prompt);
    t->done = NULL;
    type(t, now_ms, wall_us);
}

/* ---- snapshots ---- */

static void note_screen(struct tracker *t, int64_t now_ms, const struct strbuf *screen)
{
    if (same(&t->screen, screen)) {
        if (t->alike < SNAPSHOTS_STABLE)
            t->alike++;
        return;
    }
    copy(&t->screen, screen);
    t->changed_at = now_ms;
    t->alike = 1;
    t->is_fresh = true;
}

static void when_still(struct tracker *t, int64_t now_ms, int64_t wall_us)
{
    if (!t->is_ready && looks_ready(t, now_ms)) {
        t->is_ready = true;
        t->io.ready(t->io.arg);
    }
    if (t->is_ready && t->prompt_waits)
        send_prompt(t, now_ms, wall_us);
}

void tracker_snapshot(
    struct tracker *t, int64_t now_ms, int64_t wall_us, const struct strbuf *screen)
{
    note_screen(t, now_ms, screen);
    if (t->typing != TYPING_NOTHING) {
        step_typing(t, now_ms);
        return;
    }
    if (t->is_fresh)
        tell(t, wall_us);
    if (t->alike >= SNAPSHOTS_STABLE && (!t->is_ready || t->prompt_waits))
        when_still(t, now_ms, wall_us);
    update_status(t);
}

/* ---- life ---- */

struct tracker *tracker_new(const struct tracker_conf *conf, int64_t now_ms, int64_t wall_us)
{
    struct tracker *t = mem_alloc(sizeof(*t));
    t->type = conf->type;
    t->io = conf->io;
    size_t n = conf->prompt != NULL ? strlen(conf->prompt) : 0;
    const char *prompt = trim(conf->prompt, &n);
    t->prompt = n > 0 ? mem_strndup(prompt, n) : mem_strdup("");
    t->prompt_waits = t->prompt[0] != '\0';
    t->changed_at = now_ms;
    struct strbuf *buffers[] = {&t->screen, &t->before, &t->draft, &t->typed_over, &t->entered};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(*buffers); i++)
        strbuf_init(buffers[i]);
    add_message(t, ROLE_AGENT, wall_us, "", 0);
    t->has_spoken = true;
    t->is_dirty = false;
    return t;
}

static void drop_messages(struct tracker *t)
{
    for (size_t i = 0; i < t->messages.n; i++)
        free(t->messages.v[i].text);
    vec_clear(&t->messages);
    t->bytes = t->dropped_to = 0;
}

void tracker_free(struct tracker *t)
{
    if (t == NULL)
        return;
    drop_messages(t);
    vec_done(&t->messages);
    struct strbuf *buffers[] = {&t->screen, &t->before, &t->draft, &t->typed_over, &t->entered};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(*buffers); i++)
        strbuf_done(buffers[i]);
    free(t->prompt);
    free(t);
}

enum tracker_status tracker_status(const struct tracker *t)
{
    return status_now(t);
}

bool tracker_is_ready(const struct tracker *t)
{
    return t->is_ready;
}

bool tracker_is_settled(const struct tracker *t)
{
    bool will_be_ready = !t->is_ready && t->type == AGENT_CUSTOM && t->screen.len > 0;
    return t->typing == TYPING_NOTHING && t->alike >= SNAPSHOTS_STABLE && !t->is_fresh &&
           !will_be_ready && !(t->is_ready && t->prompt_waits);
}

size_t tracker_count(const struct tracker *t)
{
    return t->messages.n;
}

const struct tracker_message *tracker_at(const struct tracker *t, size_t i)
{
    return &t->messages.v[i];
}

/* ---- over restarts ---- */

const char *tracker_prompt(const struct tracker *t)
{
    return t->prompt;
}

bool tracker_prompt_sent(const struct tracker *t)
{
    return t->prompt_sent;
}

bool tracker_take_dirty(struct tracker *t)
{
    bool was = t->is_dirty;
    t->is_dirty = false;
    return was;
}

static void restore_prompt(struct tracker *t, const char *prompt, bool was_sent)
{
    if (t->prompt[0] == '\0') {
        free(t->prompt);
        t->prompt = mem_strdup(prompt);
        t->prompt_sent = was_sent;
        t->prompt_waits = prompt[0] != '\0' && !was_sent;
    } else if (was_sent && strcmp(t->prompt, prompt) == 0) {
        t->prompt_sent = true;
        t->prompt_waits = false;
    }
}

void tracker_restore(struct tracker *t, struct tracker_message *messages, size_t n,
    const char *prompt, bool was_sent)
{
    restore_prompt(t, prompt, was_sent);
    if (n == 0)
        return;
    drop_messages(t);
    for (size_t i = 0; i < n; i++) {
        *vec_push(&t->messages) = messages[i];
        t->bytes += messages[i].n;
        messages[i].id = t->messages.v[i].id = (int64_t)i;
    }
    t->next_id = (int64_t)n;
    copy(&t->before, &t->screen);
    t->has_before = true;
    t->has_spoken = false;
    t->is_fresh = false;
    keep_bounds(t);
    for (size_t i = 0; i < t->messages.n; i++)
        t->io.message(t->io.arg, &t->messages.v[i]);
}
