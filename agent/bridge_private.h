/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridge_private.h - what bridge.c (saying), bridge_look.c (watching) and bridge_hand.c (handing
 * over) share.
 */
#ifndef AGENT_BRIDGE_PRIVATE_H
#define AGENT_BRIDGE_PRIVATE_H

#include "agent/bridge.h"
#include "agent/conversation.h"
#include "agent/http.h"
#include "agent/mirror.h"
#include "agent/reconcile.h"
#include "agent/turn_mark.h"
#include "core/base/sse.h"

enum bridge_state { BRIDGE_IDLE, BRIDGE_CONNECTING, BRIDGE_LIVE, BRIDGE_STOPPING, BRIDGE_STOPPED };

/* The one handing-over that may be under way. */
struct bridge_hand {
    struct http_call *call;
    bool is_prompt;
    char *text; /* of this life's last one */
    size_t n;
    bool knew_user;     /* the conversation that was known at the begin has words of the user */
    bool echoes_prompt; /* the next message of the user is it */
    struct uuid send_id;
    /* The app it was handed to: the same number of starts, the same agent. */
    bool is_of_this_life;
    unsigned n_starts;
    unsigned n_busy; /* refusals in a row although the app seemed stable */
};

struct bridge {
    struct bridge_conf conf;
    enum bridge_state state;
    struct turn_mark mark;
    struct reconcile *reconcile;
    struct mirror *mirror;
    char *prompt; /* trimmed; NULL when it is not ours to deliver (any more) */

    /* Watching. */
    struct http_call *status_call, *messages_call, *stream;
    struct sse sse;
    struct timer *look;                           /* for the next question */
    unsigned n_failures, n_stream_failures;       /* in a row */
    int64_t eager_until_mono_ms, read_mono_ms;    /* tries follow fast; /messages was read */
    int64_t stream_mono_ms, stream_again_mono_ms; /* it was asked for; it is asked for again */
    bool stream_is_on;                            /* its replay is over */
    bool must_read;                               /* /messages, whatever the stream says */
    bool has_looked;                              /* /messages was read in this life */
    bool is_new_app;                              /* its process may have begun since then */
    unsigned n_starts;

    /* What is known of the screen. */
    bool has_status, is_running;
    unsigned n_status, n_status_asked; /* words on it; how many when /status was asked */
    bool is_doubted, doubt_was_asked;  /* not believed before /status has been asked anew */
    bool rest_is_due;                  /* to be said, once all that was before it has been read */
    bool was_stable;                   /* as told to on_stable */
    int64_t word_mono_ms;              /* when the app or the user spoke */
    struct timer *moving, *gone, *ended;
    int wait_status;
    bool has_summary;

    struct bridge_hand hand;

    int64_t complained_mono_ms;
    unsigned n_complaints; /* kept back */

    loop_fn stopped;
    void *stopped_arg;
    struct timer *over;
};

/* An app that does not answer for so long does not work. */
#define BRIDGE_GONE_MS 120000

/* ---- bridge.c ---- */

/* One line of log each 30 s at most. */
void bridge_complain(struct bridge *b, const char *what, const char *detail);
void bridge_say(struct bridge *b, const struct reconcile_word *word, const char *fallback);
void bridge_see_screen(struct bridge *b, bool is_running);
/* A status that was told or asked; what it leads to once all that is known has been read. */
void bridge_learn_status(struct bridge *b, bool is_running);
void bridge_settle(struct bridge *b);
/* Message i of the conversation is the user's. */
void bridge_note_user_message(struct bridge *b, size_t i);
void bridge_note_stable(struct bridge *b);
/* The conversation has been read for the last time, or cannot be. */
void bridge_finish(struct bridge *b);

/* ---- bridge_look.c ---- */

void bridge_on_look(void *arg);
bool bridge_on_event(void *arg, const char *name, const char *data, size_t n);
/* The next question is asked after `ms`. */
void bridge_look_in(struct bridge *b, int64_t ms);
void bridge_ask_messages(struct bridge *b, int64_t timeout_ms);
void bridge_drop_questions(struct bridge *b);
/* The app is not there (any more); look for it again after a while. */
void bridge_leave(struct bridge *b);
void bridge_retry(struct bridge *b);
/* Ask /status soon; until then the app does not count as stable. */
void bridge_doubt_status(struct bridge *b, int64_t after_ms);
char *bridge_url(const struct bridge *b, const char *path);

/* ---- bridge_hand.c ---- */

enum err must_check bridge_hand_init(struct bridge *b, struct errctx *ctx);
void bridge_hand_done(struct bridge *b);
/* A handing-over is under way or nobody knows yet what became of one. */
bool bridge_hand_is_busy(const struct bridge *b);
/* The conversation as it is, of which `known` messages were known before. */
void bridge_hand_look(struct bridge *b, const struct conversation *c, size_t known);
/* The app is stable: the prompt, if it is to be delivered. */
void bridge_hand_prompt(struct bridge *b);

#endif
