/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_scheduler.c - /api/stint/v1/scheduler and …/scheduler/step-down: who leads, who stands by,
 * and a change of leaders that is asked for.
 *
 * Who leads is read from Postgres, so it can be told while nobody does.  A request to step down
 * names the leadership that it means: sent again, it does not end the next one.
 */
#include <string.h>

#include "gateway/json_out.h"
#include "gateway/page.h"

/* A successor is given three seconds, after three for what is under way. */
#define STEP_DOWN_TIMEOUT_MS 10000

/* Columns of scheduler_list; those of a scheduler are NULL when none lives. */
enum column { EPOCH, LEADER_URL, LED_SINCE, IS_LED, URL, VERSION, CONNECTED };

static void write_scheduler(struct strbuf *out, const struct db_result *s, size_t i)
{
    bool is_leader =
        db_bool(s, i, IS_LED) && strcmp(db_text(s, i, URL), db_text(s, i, LEADER_URL)) == 0;
    json_open(out, '{');
    json_put_text(out, "url", db_text(s, i, URL));
    json_put_text(out, "role", is_leader ? "leader" : "standby");
    json_put_text(out, "version", db_text(s, i, VERSION));
    json_put_time(out, "connected_at", db_time_us(s, i, CONNECTED));
    json_close(out, '}');
}

static void on_list(struct request *r, const struct db_result *const *results)
{
    const struct db_result *s = results[0];
    struct strbuf *out = &r->out;
    json_open(out, '{');
    json_put_bool(out, "is_led", db_bool(s, 0, IS_LED));
    json_put_int(out, "epoch", db_int(s, 0, EPOCH));
    if (db_bool(s, 0, IS_LED))
        json_put_text(out, "leader_url", db_text(s, 0, LEADER_URL));
    else
        json_put_null(out, "leader_url");
    json_put_time(out, "since", db_time_us(s, 0, LED_SINCE));
    json_key(out, "schedulers");
    json_open(out, '[');
    for (size_t i = 0; i < db_rows(s); i++)
        if (!db_is_null(s, i, URL))
            write_scheduler(out, s, i);
    json_close(out, ']');
    json_close(out, '}');
    answer_json(r, 200);
}

static void read_list(struct request *r, ask_db_fn then)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_SCHEDULER_LIST);
    ask_db(r, b, then);
}

void own_scheduler_get(struct request *r)
{
    static const char *const none[] = {NULL};
    if (page_check_parameters(r, none))
        read_list(r, on_list);
}

/* ---- step down ---- */

static void on_stepped_down(struct request *r, const Stint__V1__Envelope *reply)
{
    bool is_status = reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS;
    uint32_t code = is_status ? reply->status->code : (uint32_t)REFUSAL_MALFORMED;
    if (code == REFUSAL_NONE)
        read_list(r, on_list);
    else
        answer_refusal(r, code, is_status ? reply->status->detail : "", "");
}

static void ask_leader(struct request *r, const struct db_result *const *results)
{
    Stint__V1__SchedulerStepDown m = STINT__V1__SCHEDULER_STEP_DOWN__INIT;
    m.initiator_id = wire_uuid(&r->who.id);
    m.epoch = (uint64_t)db_int(results[0], 0, EPOCH);
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_SCHEDULER_STEP_DOWN);
    e.scheduler_step_down = &m;
    ask_bus(r, &e, STEP_DOWN_TIMEOUT_MS, on_stepped_down);
}

void own_scheduler_step_down(struct request *r)
{
    static const char *const none[] = {NULL};
    if (page_check_parameters(r, none))
        read_list(r, ask_leader);
}
