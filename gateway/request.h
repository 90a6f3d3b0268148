/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.h - one request, from its first header to the last byte of its answer.
 *
 * Life: http.c makes it, finds its route, gathers its body, has auth.c find out who asks, and calls
 * the route's handler.  The handler, at once or in a later callback, calls exactly one answer_*()
 * and touches the request no more.  Meanwhile it may ask the database or the scheduler, one
 * question at a time: ask_*() answer the client themselves when the other side fails.
 *
 * The client may leave at any time.  That is nobody's concern but http.c's: the request lives on
 * until its answer, which then goes nowhere.
 */
#ifndef GATEWAY_REQUEST_H
#define GATEWAY_REQUEST_H

#include <jansson.h>

#include "core/base/strbuf.h"
#include "gateway/chunked.h"
#include "gateway/gateway.h"
#include "gateway/rights.h"
#include "gateway/route.h"

/* Who asks: a person, or an agent. */
struct principal {
    struct uuid id;
    unsigned roles; /* enum role */
    enum key_scope scope;
    char username[33];
    char key_id[11];
    /* Agents: what they work for. */
    struct uuid task_id, workspace_id;
};

typedef void (*ask_db_fn)(struct request *r, const struct db_result *const *results);
typedef void (*ask_failed_fn)(struct request *r, enum err code, const char *constraint);
typedef void (*ask_bus_fn)(struct request *r, const Stint__V1__Envelope *reply);
typedef void (*request_fn)(struct request *r);
typedef void (*user_found_fn)(struct request *r, const struct uuid *user_id, const char *username);
typedef void (*task_found_fn)(struct request *r, const struct uuid *task_id);

#define REQUEST_TOKEN_MAX 128

/* http.c's view of a request: the connection it came in on. */
struct http_link {
    struct lws *wsi; /* NULL: the client has gone */
    size_t sent;     /* bytes of the answer's body that are on their way */
    size_t body_held;
    bool in_callback;   /* an answer given now is written when the handler has returned */
    bool is_dispatched; /* the handler has the request */
    bool has_body;      /* of a length that was told */
    bool drops_body;    /* refused already: the answer waits until the body has passed */
    bool body_is_over;
    bool is_held; /* nothing more is read from the connection until the answer */
    bool is_chunked;
    bool head_sent;
    bool is_counted; /* for its address (guard.c) */
    bool must_close; /* after the answer: where the next request begins cannot be told */
    struct chunked chunked;
};

struct request {
    struct gateway *gw;
    const struct route *route;
    char id[17]; /* what the answer calls it: X-Request-Id, and request_id of problems */
    enum http_method method;
    bool is_head, token_in_cookie, is_over; /* is_over: answered */
    bool is_kept_back;                      /* answered, but not said before it is stored */
    struct principal who;
    struct strbuf path; /* cut into segments by NULs once the route is known */
    struct route_params params;
    struct strbuf query; /* "key=value", each ended by a NUL */
    struct strbuf body;
    char token[REQUEST_TOKEN_MAX];
    char websocket_key[32]; /* "": it asks for no WebSocket */
    bool accepts_events;    /* text/event-stream */
    char *last_event_id;    /* NULL: none */
    char content_type[96];
    struct address client; /* whom the request is from */
    char *oauth_state;     /* the cookie of a login on its way; NULL: none */
    bool wants_bypass;     /* of the limits per minute */
    /* For the audit: `client` as text (ask_origin()), the program of what is no GET; and what is
     * done, NULL: what it looks like. */
    char address[ADDRESS_TEXT_SIZE];
    char *user_agent;
    const char *audit_action;
    /* Headers of Stint's own routes; NULL: not given. */
    char *if_match, *if_none_match, *idempotency_key;
    struct idempotency *idempotency; /* whose answer is kept for its key */

    /* The answer. */
    int status;
    const char *type; /* NULL: no body */
    struct strbuf out;
    struct task_blob *blob; /* instead of out */
    char *cookie;           /* Set-Cookie, NULL: none */
    struct strbuf head;     /* answer_header() */

    /* The handler's own: freed with the request. */
    void *state;
    void (*state_done)(void *state);
    json_t *json;

    /* The question that is open. */
    ask_db_fn on_db;
    ask_db_fn on_found; /* what a finder goes on with */
    size_t n_before;    /* statements of our own before the handler's */
    ask_failed_fn on_db_failed;
    ask_bus_fn on_bus;
    request_fn then;
    uint64_t auth_mark; /* of a key that is looked up (auth.c) */
    user_found_fn on_user;
    task_found_fn on_task;

    /* A question that waits for the database to come back. */
    struct list waiting;
    struct db_batch *waiting_batch;
    int64_t waiting_until_mono_ms;

    struct stream *stream; /* the answer goes on (stream.h) */
    struct http_link link;
};

struct request *request_new(struct gateway *gw);
void request_free(struct request *r);

/* The i-th {word} of the route. */
const char *request_param(const struct request *r, size_t i);
/* NULL: not there; "" for a word without a value. */
const char *request_query(const struct request *r, const char *key);
/* The i-th {word} as an id.  False: a 400 has been answered, or a 404 for the nil one. */
bool request_param_uuid(struct request *r, size_t i, struct uuid *ret_id);
/* Zeroed memory that lives as long as the request, or until it is asked for anew; `done` (may be
 * NULL) runs before it is freed. */
void *request_state(struct request *r, size_t size, void (*done)(void *state));

/* The body as a JSON object, kept by the request.  NULL: a 400 has been answered. */
json_t *request_json(struct request *r);
/* Members of it: "" and nil for what is absent, null, or (ids) the empty text.  False: a 400 has
 * been answered, because it is of another type. */
bool request_text(struct request *r, const char *key, const char **ret_text);
bool request_uuid(struct request *r, const char *key, struct uuid *ret_id);
bool request_int(struct request *r, const char *key, int64_t otherwise, int64_t *ret_value);
/* A list of texts; NULL when it is absent. */
bool request_texts(struct request *r, const char *key, const json_t **ret_list);

/* A prompt or message within its limit?  False: a 413 has been answered. */
bool task_check_prompt(struct request *r, const char *prompt);

/* May this principal do with a task of `owner` what this request is about: see it (GET), or change
 * it? */
bool request_may_touch(const struct request *r, const struct uuid *owner);

/* ---- asking ---- */

/* Takes the batch.  done() has as many results as the batch had statements. */
void ask_db(struct request *r, struct db_batch *take_batch, ask_db_fn done);
/* On the connection for what takes long. */
void ask_db_bulk(struct request *r, struct db_batch *take_batch, ask_db_fn done);
/* With a say in unique violations (the constraint's name) and other refusals of a statement. */
void ask_db_or(
    struct request *r, struct db_batch *take_batch, ask_db_fn done, ask_failed_fn failed);
void ask_bus(struct request *r, Stint__V1__Envelope *question, int64_t timeout_ms, ask_bus_fn done);

#define ASK_BUS_TIMEOUT_MS 10000

/* From where the request comes, for the audit; ask_bus() sends it along.  Borrows from `r`. */
Stint__V1__Origin ask_origin(struct request *r);

/* The database is back; some questions have waited for it long enough. */
void ask_db_is_back(struct gateway *gw);
void ask_give_up(struct gateway *gw);

/* The {user} of the path (word 0): "me", a name or an id.  Goes on, or answers 404: others exist
 * only for owners. */
void find_user(struct request *r, user_found_fn then);
/* The row of user_get of whom this name or id means, if there is one. */
void find_user_row(struct request *r, const char *word, ask_db_fn done);
bool find_is_self(const struct request *r, const char *word);
/* The {user} and {task} of the path (words 0 and 1).  Goes on when the asker may see the task, or
 * answers 404. */
void find_task(struct request *r, task_found_fn then);
/* For a task named by its id alone: the statement goes first into a batch, and its result says
 * whether the asker may see the task.  False: a 404 has been answered. */
void find_add_task(struct db_batch *b, const struct uuid *task_id);
bool find_may_see(struct request *r, const struct db_result *task);

/* ---- answering ---- */

/* A further header of the answer to come; `name` is in lower case and ends with a colon. */
void answer_header(struct request *r, const char *name, const char *value);

/* r->out as JSON; a line end is added. */
void answer_json(struct request *r, int status);
void answer_empty(struct request *r, int status);
/* 307: a browser goes on there. */
void answer_redirect(struct request *r, const char *location);
/* A page: r->out as HTML, kept by nobody and shown in no frame. */
void answer_page(struct request *r, int status);
/* r->out as it is. */
void answer_text(struct request *r, int status, const char *type);
/* r->out as it was once answered; `type` "": no body. */
void answer_stored(struct request *r, int status, const char *type);
/* A rendered task; takes a reference of its own. */
void answer_blob(struct request *r, int status, struct task_blob *blob);
/* The same for any bytes. */
void answer_bytes(struct request *r, int status, struct task_blob *bytes);
/* Coder's error shape, or below /api/stint/v1 problem details; `detail` may be NULL. */
void answer_error(struct request *r, int status, const char *message, const char *detail);
void answer_errorf(struct request *r, int status, const char *detail, const char *fmt, ...)
    printf_like(4, 5);
/* With one entry in `validations`. */
void answer_invalid(
    struct request *r, int status, const char *message, const char *field, const char *detail);
/* The same, a problem with a type of its own. */
void answer_invalid_named(struct request *r, int status, const char *name, const char *message,
    const char *field, const char *detail);
/* A problem with a type of its own: urn:stint:problem:<name>.  For Stint's own routes. */
void answer_problem(
    struct request *r, int status, const char *name, const char *title, const char *detail);
/* The members of a problem, without its braces; `name` and `detail` may be NULL. */
void problem_write(
    struct strbuf *out, int status, const char *name, const char *title, const char *detail);
/* 404 in Coder's words: it does not exist, or is none of your business. */
void answer_not_found(struct request *r);
/* 403 in Coder's words. */
void answer_forbidden(struct request *r);
/* What the scheduler refused. `name` is the one that NAME_TAKEN speaks of. */
void answer_refusal(struct request *r, uint32_t code, const char *detail, const char *name);
void answer_db_failed(struct request *r, enum err code);

/* The scheduler's answer to a TaskCommand (task_commands.c).  NULL: it refused, and the client has
 * been told.  Else what was asked has been done. */
const Stint__V1__TaskReply *task_accepted(struct request *r, const Stint__V1__Envelope *reply);

#endif
