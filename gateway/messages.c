/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages.c - /api/stint/v1/tasks/{task}/messages: messages that wait until the task's app can
 * take them.
 *
 * The scheduler commits, orders and delivers them; what is shown is read from Postgres.  One batch
 * brings whether the asker may see the task, and what is asked for.
 */
#include <string.h>

#include "core/base/text.h"
#include "gateway/idempotency.h"
#include "gateway/json_out.h"
#include "gateway/message.h"
#include "gateway/request.h"

/* The agent has to be asked whether it has had the message. */
#define WITHDRAW_TIMEOUT_MS 30000
#define WHITE_SPACE         " \t\r\n\v\f"

/* The columns of queued_message_get and queued_message_list, in order. */
enum column { ID, TASK_ID, CONTENT, IS_CUT, STATE, DETAIL, CREATED_AT, FINISHED_AT, PLACE };

/* What a request is about; in the request until its answer. */
struct message_ask {
    struct uuid task_id, message_id;
    const char *content; /* borrowed from r->json */
};

/* ---- showing ---- */

void queued_message_write(const struct db_result *m, size_t i, struct strbuf *out)
{
    struct uuid id = db_uuid(m, i, ID), task_id = db_uuid(m, i, TASK_ID);
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_uuid(out, "task_id", &task_id);
    json_put_text(out, "content", db_text(m, i, CONTENT));
    if (db_bool(m, i, IS_CUT))
        json_put_bool(out, "content_is_cut", true);
    json_put_text(out, "state", db_text(m, i, STATE));
    json_put_text(out, "detail", db_text(m, i, DETAIL));
    json_put_time(out, "created_at", db_time_us(m, i, CREATED_AT));
    json_put_time_or_null(out, "finished_at", db_time_us(m, i, FINISHED_AT));
    if (db_is_null(m, i, PLACE))
        json_put_null(out, "position");
    else
        json_put_int(out, "position", db_int(m, i, PLACE));
    json_close(out, '}');
}

bool queued_message_waits(const struct db_result *m, size_t i)
{
    return strcmp(db_text(m, i, STATE), "queued") == 0;
}

static void answer_message(struct request *r, int status, const struct db_result *m)
{
    queued_message_write(m, 0, &r->out);
    answer_json(r, status);
}

static bool is_of_task(const struct db_result *m, const struct uuid *task_id)
{
    if (db_rows(m) != 1)
        return false;
    struct uuid belongs_to = db_uuid(m, 0, TASK_ID);
    return uuid_eq(&belongs_to, task_id);
}

/* ---- asking ---- */

/* The words of the path; NULL: answered. */
static struct message_ask *begin(struct request *r)
{
    struct message_ask *a = request_state(r, sizeof(*a), NULL);
    if (!request_param_uuid(r, 0, &a->task_id))
        return NULL;
    return r->params.n < 2 || request_param_uuid(r, 1, &a->message_id) ? a : NULL;
}

static void add_message(struct db_batch *b, const struct uuid *message_id)
{
    db_batch_add(b, SQL_QUEUED_MESSAGE_GET);
    db_add_uuid(b, message_id);
}

/* The task, and the message when its id is known. */
static void ask_message(struct request *r, ask_db_fn done)
{
    const struct message_ask *a = r->state;
    struct db_batch *b = db_batch_new();
    find_add_task(b, &a->task_id);
    add_message(b, &a->message_id);
    ask_db(r, b, done);
}

/* The message alone: the asker has been found to be in the right. */
static void ask_again(struct request *r, ask_db_fn done)
{
    const struct message_ask *a = r->state;
    struct db_batch *b = db_batch_new();
    add_message(b, &a->message_id);
    ask_db(r, b, done);
}

static uint32_t code_of(const Stint__V1__Envelope *reply)
{
    return reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS ? reply->status->code
                                                                : (uint32_t)REFUSAL_MALFORMED;
}

static void refuse(struct request *r, const Stint__V1__Envelope *reply)
{
    bool has_status = reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS;
    answer_refusal(r, code_of(reply), has_status ? reply->status->detail : "", "");
}

/* ---- GET ---- */

static void on_list(struct request *r, const struct db_result *const *results)
{
    if (!find_may_see(r, results[0]))
        return;
    json_open(&r->out, '{');
    json_key(&r->out, "messages");
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(results[1]); i++)
        queued_message_write(results[1], i, &r->out);
    json_close(&r->out, ']');
    json_close(&r->out, '}');
    answer_json(r, 200);
}

void message_list(struct request *r)
{
    const struct message_ask *a = begin(r);
    if (a == NULL)
        return;
    struct db_batch *b = db_batch_new();
    find_add_task(b, &a->task_id);
    db_batch_add(b, SQL_QUEUED_MESSAGE_LIST);
    db_add_uuid(b, &a->task_id);
    db_add_int4(b, QUEUED_CONTENT_MAX);
    ask_db_bulk(r, b, on_list);
}

static void on_get(struct request *r, const struct db_result *const *results)
{
    const struct message_ask *a = r->state;
    if (!find_may_see(r, results[0]))
        return;
    if (is_of_task(results[1], &a->task_id))
        answer_message(r, 200, results[1]);
    else
        answer_refusal(r, REFUSAL_MESSAGE_UNKNOWN, "", "");
}

void message_get(struct request *r)
{
    if (begin(r) != NULL)
        ask_message(r, on_get);
}

/* ---- POST ---- */

static void answer_id_taken(struct request *r)
{
    answer_invalid(r, 409, "The id belongs to a message of another task.", "id",
        "This value is already in use and should be unique.");
}

static void on_committed(struct request *r, const struct db_result *const *results)
{
    const struct message_ask *a = r->state;
    if (is_of_task(results[0], &a->task_id))
        answer_message(r, 201, results[0]);
    else if (db_rows(results[0]) == 1)
        answer_id_taken(r);
    else
        answer_not_found(r);
}

static void on_queued(struct request *r, const Stint__V1__Envelope *reply)
{
    if (code_of(reply) == REFUSAL_NONE)
        ask_again(r, on_committed);
    else
        refuse(r, reply);
}

static void queue(struct request *r)
{
    const struct message_ask *a = r->state;
    Stint__V1__MessageQueue m = STINT__V1__MESSAGE_QUEUE__INIT;
    m.task_id = wire_uuid(&a->task_id);
    m.initiator_id = wire_uuid(&r->who.id);
    m.message_id = wire_uuid(&a->message_id);
    m.content = (char *)(uintptr_t)a->content;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_MESSAGE_QUEUE);
    e.message_queue = &m;
    ask_bus(r, &e, ASK_BUS_TIMEOUT_MS, on_queued);
}

/* An id that the client chose may be there already: then this is the same message, sent again. */
static void on_looked(struct request *r, const struct db_result *const *results)
{
    struct message_ask *a = r->state;
    if (!find_may_see(r, results[0]))
        return;
    if (is_of_task(results[1], &a->task_id))
        answer_message(r, 200, results[1]);
    else if (db_rows(results[1]) == 1)
        answer_id_taken(r);
    else
        queue(r);
}

static bool read_message(struct request *r, struct message_ask *a)
{
    if (request_json(r) == NULL || !request_text(r, "content", &a->content) ||
        !request_uuid(r, "id", &a->message_id))
        return false;
    size_t n = strlen(a->content);
    char detail[96];
    snprintf(
        detail, sizeof(detail), "\"content\" has %zu bytes; the limit is %d.", n, PROMPT_BYTES_MAX);
    if (a->content[strspn(a->content, WHITE_SPACE)] == '\0')
        answer_error(r, 400, "The message is empty.",
            "\"content\" must be a text of more than white space.");
    else if (n > PROMPT_BYTES_MAX)
        answer_error(r, 413, "The message is too large.", detail);
    return !r->is_over;
}

void message_create(struct request *r)
{
    struct message_ask *a = begin(r);
    if (a == NULL || !read_message(r, a))
        return;
    if (uuid_is_nil(&a->message_id))
        a->message_id = idempotency_id(r, 0);
    ask_message(r, on_looked);
}

/* ---- DELETE ---- */

/* What can be said of a message that waits no more.  Taken back twice is taken back. */
static void answer_over(struct request *r, const struct db_result *m)
{
    const char *state = db_text(m, 0, STATE);
    if (strcmp(state, "withdrawn") == 0)
        answer_empty(r, 204);
    else if (strcmp(state, "refused") == 0)
        answer_error(r, 409, "The app has refused the message already.", db_text(m, 0, DETAIL));
    else
        answer_refusal(r, REFUSAL_MESSAGE_DELIVERED, "", "");
}

static void on_gone(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 1 && strcmp(db_text(results[0], 0, STATE), "queued") != 0)
        answer_over(r, results[0]);
    else
        answer_refusal(r, REFUSAL_MESSAGE_UNKNOWN, "", "");
}

/* The scheduler knows only those that wait: it may have been delivered meanwhile. */
static void on_withdrawn(struct request *r, const Stint__V1__Envelope *reply)
{
    uint32_t code = code_of(reply);
    if (code == REFUSAL_NONE)
        answer_empty(r, 204);
    else if (code == REFUSAL_MESSAGE_UNKNOWN)
        ask_again(r, on_gone);
    else
        refuse(r, reply);
}

static void withdraw(struct request *r)
{
    const struct message_ask *a = r->state;
    Stint__V1__MessageWithdraw m = STINT__V1__MESSAGE_WITHDRAW__INIT;
    m.task_id = wire_uuid(&a->task_id);
    m.initiator_id = wire_uuid(&r->who.id);
    m.message_id = wire_uuid(&a->message_id);
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_MESSAGE_WITHDRAW);
    e.message_withdraw = &m;
    ask_bus(r, &e, WITHDRAW_TIMEOUT_MS, on_withdrawn);
}

static void on_delete(struct request *r, const struct db_result *const *results)
{
    const struct message_ask *a = r->state;
    if (!find_may_see(r, results[0]))
        return;
    if (!is_of_task(results[1], &a->task_id))
        answer_refusal(r, REFUSAL_MESSAGE_UNKNOWN, "", "");
    else if (strcmp(db_text(results[1], 0, STATE), "queued") != 0)
        answer_over(r, results[1]);
    else
        withdraw(r);
}

void message_delete(struct request *r)
{
    if (begin(r) != NULL)
        ask_message(r, on_delete);
}
