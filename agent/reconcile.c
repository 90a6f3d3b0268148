/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of reconcile.h, one function per event. */
#include "agent/reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"

enum screen { SCREEN_UNKNOWN, SCREEN_RUNNING, SCREEN_STABLE };

struct reconcile {
    enum screen screen;
    bool has_moved; /* from rest, by itself, and nobody has said why */
    bool has_user_message;
    uint64_t user_message_id;
    /* The app's last word since the last message. */
    bool has_app_word, has_ended;
    bool hands_over, had_app_word; /* a message is out that the conversation does not show yet */
    enum app_state app_word;
    /* What was said last; the summary outlives what it was said with. */
    bool has_said;
    enum app_state said;
    char message[RECONCILE_MESSAGE_MAX + 1];
    char uri[URI_BYTES_MAX + 1];
};

struct reconcile *reconcile_new(void)
{
    return mem_alloc(sizeof(struct reconcile));
}

void reconcile_free(struct reconcile *r)
{
    free(r);
}

static void keep(char *to, size_t size, const char *text)
{
    size_t n = text_utf8_prefix(text, strlen(text), size - 1);
    memmove(to, text, n);
    to[n] = '\0';
}

/* The one way out. */
static bool say(struct reconcile *r, enum app_state state, const char *message, const char *uri,
    struct reconcile_word *ret)
{
    char summary[sizeof(r->message)], link[sizeof(r->uri)];
    bool inherits = message[0] == '\0';
    keep(summary, sizeof(summary), inherits ? r->message : message);
    keep(link, sizeof(link), inherits && uri[0] == '\0' ? r->uri : uri);
    bool is_same = r->has_said && r->said == state && strcmp(summary, r->message) == 0 &&
                   strcmp(link, r->uri) == 0;
    r->has_said = true;
    r->said = state;
    keep(r->message, sizeof(r->message), summary);
    keep(r->uri, sizeof(r->uri), link);
    *ret = (struct reconcile_word){state, r->message, r->uri};
    return !is_same;
}

static bool is_final(enum app_state state)
{
    return state == APP_COMPLETE || state == APP_FAILURE;
}

static bool has_final_word(const struct reconcile *r)
{
    return r->has_app_word && is_final(r->app_word);
}

bool reconcile_app_says(struct reconcile *r, enum app_state state, const char *message,
    const char *uri, struct reconcile_word *ret)
{
    if (r->has_ended && !is_final(state))
        return false;
    r->has_app_word = true;
    r->app_word = state;
    r->has_moved = false;
    if (state == APP_IDLE && r->screen == SCREEN_RUNNING)
        state = APP_WORKING;
    return say(r, state, message, uri, ret);
}

static bool screen_runs(struct reconcile *r, enum screen before, struct reconcile_word *ret)
{
    bool is_first = before == SCREEN_UNKNOWN && !has_final_word(r);
    bool goes_on = before == SCREEN_RUNNING && r->has_moved;
    r->has_moved = before == SCREEN_STABLE;
    return (is_first || goes_on) && say(r, APP_WORKING, "", "", ret);
}

static bool screen_rests(struct reconcile *r, enum screen before, struct reconcile_word *ret)
{
    r->has_moved = false;
    if (before == SCREEN_STABLE && r->has_said && r->said != APP_WORKING)
        return false;
    return say(r, has_final_word(r) ? r->app_word : APP_IDLE, "", "", ret);
}

bool reconcile_screen(struct reconcile *r, bool is_running, struct reconcile_word *ret)
{
    enum screen before = r->screen;
    r->screen = is_running ? SCREEN_RUNNING : SCREEN_STABLE;
    r->has_ended = false;
    return is_running ? screen_runs(r, before, ret) : screen_rests(r, before, ret);
}

bool reconcile_user_message(struct reconcile *r, uint64_t id, struct reconcile_word *ret)
{
    if (r->has_user_message && id <= r->user_message_id)
        return false;
    reconcile_skip_user_messages(r, id);
    bool is_answered = r->hands_over && r->has_app_word;
    r->hands_over = r->has_ended = r->has_moved = false;
    if (is_answered)
        return false;
    r->has_app_word = false;
    return say(r, APP_WORKING, "", "", ret);
}

void reconcile_hands_over(struct reconcile *r)
{
    r->had_app_word = r->has_app_word;
    r->has_app_word = false;
    r->hands_over = true;
}

void reconcile_took_back(struct reconcile *r)
{
    if (r->hands_over)
        r->has_app_word = r->has_app_word || r->had_app_word;
    r->hands_over = false;
}

bool reconcile_ended(
    struct reconcile *r, enum app_state state, const char *message, struct reconcile_word *ret)
{
    r->screen = SCREEN_UNKNOWN;
    r->has_app_word = r->has_moved = false;
    r->has_ended = true;
    return say(r, state, message, "", ret);
}

void reconcile_skip_user_messages(struct reconcile *r, uint64_t id)
{
    if (r->has_user_message && id <= r->user_message_id)
        return;
    r->has_user_message = true;
    r->user_message_id = id;
}

void reconcile_lost_sight(struct reconcile *r)
{
    r->screen = SCREEN_UNKNOWN;
}
