/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_commands.c - what changes a task that exists: all of it is the scheduler's to do.
 */
#include <string.h>

#include "core/base/text.h"
#include "gateway/build.h"
#include "gateway/task_cache.h"
#include "gateway/task_load.h"

#define INPUT_REQUIRED  "Task input is required."
#define SEND_TIMEOUT_MS 30000

/* ---- pause, resume, delete, input ---- */

const Stint__V1__TaskReply *task_accepted(struct request *r, const Stint__V1__Envelope *reply)
{
    uint32_t code = REFUSAL_MALFORMED;
    const char *detail = "";
    if (reply->body_case == STINT__V1__ENVELOPE__BODY_TASK_REPLY) {
        code = reply->task_reply->code;
        detail = reply->task_reply->detail;
    } else if (reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS) {
        code = reply->status->code;
        detail = reply->status->detail;
    }
    if (code == REFUSAL_NONE && reply->body_case == STINT__V1__ENVELOPE__BODY_TASK_REPLY)
        return reply->task_reply;
    answer_refusal(r, code, detail, "");
    return NULL;
}

/* The ids of the command; in the request until the reply. */
struct command {
    struct uuid task_id, build_id;
    Stint__V1__TaskVerb verb;
    char *input; /* borrowed from r->json */
};

static void on_done(struct request *r, const Stint__V1__Envelope *reply)
{
    struct command *c = r->state;
    const Stint__V1__TaskReply *done = task_accepted(r, reply);
    struct uuid build_id = c->build_id, said;
    Stint__V1__TaskVerb verb = c->verb;
    if (done == NULL)
        return;
    task_cache_drop(r->gw->cache, &c->task_id);
    if (verb == STINT__V1__TASK_VERB__TASK_VERB_DELETE) {
        answer_empty(r, 202);
    } else if (verb == STINT__V1__TASK_VERB__TASK_VERB_UPDATE_INPUT) {
        answer_empty(r, 204);
    } else {
        if (wire_get_uuid(&done->build_id, &said) && !uuid_is_nil(&said))
            build_id = said;
        build_answer_made(r, &build_id, true);
    }
}

static void command(struct request *r, const struct uuid *task_id)
{
    struct command *c = r->state;
    c->task_id = *task_id;
    Stint__V1__TaskCommand m = STINT__V1__TASK_COMMAND__INIT;
    m.task_id = wire_uuid(&c->task_id);
    m.initiator_id = wire_uuid(&r->who.id);
    m.verb = c->verb;
    const struct uuid command_id = uuid_random();
    if (c->input != NULL) {
        m.input = c->input;
        m.command_id = wire_uuid(&command_id);
    } else {
        c->build_id = uuid_random();
        m.build_id = wire_uuid(&c->build_id);
    }
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_COMMAND);
    e.task_command = &m;
    ask_bus(r, &e, ASK_BUS_TIMEOUT_MS, on_done);
}

static struct command *begin(struct request *r, Stint__V1__TaskVerb verb)
{
    struct command *c = request_state(r, sizeof(*c), NULL);
    c->verb = verb;
    return c;
}

void task_pause(struct request *r)
{
    begin(r, STINT__V1__TASK_VERB__TASK_VERB_PAUSE);
    find_task(r, command);
}

void task_resume(struct request *r)
{
    begin(r, STINT__V1__TASK_VERB__TASK_VERB_RESUME);
    find_task(r, command);
}

void task_delete(struct request *r)
{
    begin(r, STINT__V1__TASK_VERB__TASK_VERB_DELETE);
    find_task(r, command);
}

bool task_check_prompt(struct request *r, const char *prompt)
{
    if (strlen(prompt) <= PROMPT_BYTES_MAX)
        return true;
    char detail[96];
    snprintf(detail, sizeof(detail), "\"input\" has %zu bytes; the limit is %d.", strlen(prompt),
        PROMPT_BYTES_MAX);
    answer_error(r, 413, "Request body too large.", detail);
    return false;
}

/* The task is looked for first: whoever may not see it is not told what is wrong with a body. */
static void update_input(struct request *r, const struct uuid *task_id)
{
    const char *input;
    if (request_json(r) == NULL || !request_text(r, "input", &input) ||
        !task_check_prompt(r, input))
        return;
    if (input[strspn(input, " \t\r\n\v\f")] == '\0') {
        answer_error(r, 400, INPUT_REQUIRED, NULL);
        return;
    }
    begin(r, STINT__V1__TASK_VERB__TASK_VERB_UPDATE_INPUT)->input = (char *)(uintptr_t)input;
    command(r, task_id);
}

void task_update_input(struct request *r)
{
    find_task(r, update_input);
}

/* ---- send ---- */

static void on_sent(struct request *r, const Stint__V1__Envelope *reply)
{
    if (reply->body_case != STINT__V1__ENVELOPE__BODY_STATUS)
        answer_refusal(r, REFUSAL_MALFORMED, "", "");
    else if (reply->status->code != REFUSAL_NONE)
        answer_refusal(r, reply->status->code, reply->status->detail, "");
    else
        answer_empty(r, 204);
}

static void send_input(struct request *r, const struct uuid *task_id, const char *input)
{
    struct uuid send_id = uuid_random();
    Stint__V1__TaskSend m = STINT__V1__TASK_SEND__INIT;
    m.task_id = wire_uuid(task_id);
    m.initiator_id = wire_uuid(&r->who.id);
    m.input = (char *)(uintptr_t)input;
    m.send_id = wire_uuid(&send_id);
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_SEND);
    e.task_send = &m;
    ask_bus(r, &e, SEND_TIMEOUT_MS, on_sent);
}

static void check_and_send(struct request *r, const struct uuid *task_id)
{
    const char *input;
    if (request_json(r) == NULL || !request_text(r, "input", &input) ||
        !task_check_prompt(r, input))
        return;
    if (input[0] == '\0')
        answer_error(r, 400, INPUT_REQUIRED, NULL);
    else
        send_input(r, task_id, input);
}

void task_send(struct request *r)
{
    find_task(r, check_and_send);
}
