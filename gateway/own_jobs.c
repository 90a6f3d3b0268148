/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_jobs.c - /api/stint/v1/jobs: what is being done and what nobody tries any more, and another
 * series of tries for that.
 *
 * A job belongs to its task's owner; an import to whoever may write templates (who asked for it may
 * see it).  "Dead" stands beside the status, which is Coder's: such a job has failed.
 */
#include <string.h>

#include "gateway/json_out.h"
#include "gateway/page.h"

/* The columns of jobs_shown. */
enum column {
    ID,
    KIND,
    STATE,
    IS_DEAD,
    CAUSE,
    ERROR,
    ATTEMPTS,
    LEASES,
    RETRIES,
    WORKER_ID,
    WORKER_NAME,
    CREATED_AT,
    STARTED_AT,
    COMPLETED_AT,
    DIED_AT,
    RETRIED_AT,
    TASK_ID,
    TASK_NAME,
    IS_NEWEST,
    BUILD_ID,
    BUILD_NUMBER,
    VERSION_ID,
    VERSION_NAME,
    TEMPLATE_NAME,
    INITIATOR_ID,
    OWNER_ID,
    OWNER_NAME,
};

static bool is_import(const struct db_result *j, size_t i)
{
    return strcmp(db_text(j, i, KIND), "import") == 0;
}

static bool can_retry(const struct db_result *j, size_t i)
{
    return db_bool(j, i, IS_DEAD) && (is_import(j, i) || db_bool(j, i, IS_NEWEST));
}

/* ---- showing ---- */

static void put_time(
    struct strbuf *out, const char *key, const struct db_result *j, size_t i, int c)
{
    if (db_is_null(j, i, c))
        json_put_null(out, key);
    else
        json_put_time(out, key, db_time_us(j, i, c));
}

/* An object with id and name; null without an id. */
static void put_named(struct strbuf *out, const char *key, const struct db_result *j, size_t i,
    int id_at, int name_at)
{
    struct uuid id = db_uuid(j, i, id_at);
    if (uuid_is_nil(&id)) {
        json_put_null(out, key);
        return;
    }
    json_key(out, key);
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_text(out, "name", db_text(j, i, name_at));
    json_close(out, '}');
}

static void put_build(struct strbuf *out, const struct db_result *j, size_t i)
{
    struct uuid id = db_uuid(j, i, BUILD_ID);
    if (uuid_is_nil(&id)) {
        json_put_null(out, "build");
        return;
    }
    json_key(out, "build");
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_int(out, "number", db_int(j, i, BUILD_NUMBER));
    json_close(out, '}');
}

static void write_job(struct strbuf *out, const struct db_result *j, size_t i)
{
    struct uuid id = db_uuid(j, i, ID);
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_text(out, "kind", db_text(j, i, KIND));
    json_put_text(out, "status", db_text(j, i, STATE));
    json_put_bool(out, "dead", db_bool(j, i, IS_DEAD));
    json_put_bool(out, "can_retry", can_retry(j, i));
    if (db_is_null(j, i, CAUSE))
        json_put_null(out, "cause");
    else
        json_put_text(out, "cause", db_text(j, i, CAUSE));
    json_put_text(out, "error", db_text(j, i, ERROR));
    json_put_int(out, "attempts", db_int(j, i, ATTEMPTS));
    json_put_int(out, "leases", db_int(j, i, LEASES));
    json_put_int(out, "retries", db_int(j, i, RETRIES));
    put_named(out, "worker", j, i, WORKER_ID, WORKER_NAME);
    put_named(out, "task", j, i, TASK_ID, TASK_NAME);
    put_build(out, j, i);
    put_named(out, "template_version", j, i, VERSION_ID, VERSION_NAME);
    json_put_text(out, "template_name", db_text(j, i, TEMPLATE_NAME));
    put_named(out, "owner", j, i, OWNER_ID, OWNER_NAME);
    put_time(out, "created_at", j, i, CREATED_AT);
    put_time(out, "started_at", j, i, STARTED_AT);
    put_time(out, "completed_at", j, i, COMPLETED_AT);
    put_time(out, "died_at", j, i, DIED_AT);
    put_time(out, "retried_at", j, i, RETRIED_AT);
    json_close(out, '}');
}

/* ---- GET /jobs ---- */

struct listing {
    bool dead;
    int64_t limit;
    int64_t at[3]; /* time and id of the last one seen; time INT64_MIN: from the beginning */
};

static struct uuid id_of(const int64_t *halves)
{
    struct uuid id;
    memcpy(id.b, halves, sizeof(id.b));
    return id;
}

static void on_list(struct request *r, const struct db_result *const *results)
{
    struct listing *l = r->state;
    const struct db_result *j = results[0];
    char cursor[PAGE_CURSOR_SIZE];
    size_t n = db_rows(j) < (size_t)l->limit ? db_rows(j) : (size_t)l->limit;
    json_open(&r->out, '{');
    json_key(&r->out, "jobs");
    json_open(&r->out, '[');
    for (size_t i = 0; i < n; i++)
        write_job(&r->out, j, i);
    json_close(&r->out, ']');
    bool has_more = db_rows(j) > n;
    if (has_more) {
        struct uuid id = db_uuid(j, n - 1, ID);
        l->at[0] = db_time_us(j, n - 1, l->dead ? DIED_AT : CREATED_AT);
        memcpy(&l->at[1], id.b, sizeof(id.b));
        page_cursor_format(l->dead ? 'd' : 'j', l->at, 3, cursor);
    }
    page_put_next(r, has_more ? cursor : NULL);
    json_close(&r->out, '}');
    answer_json(r, 200);
}

static bool read_dead(struct request *r, bool *ret_dead)
{
    const char *text = request_query(r, "dead");
    *ret_dead = text != NULL && strcmp(text, "true") == 0;
    if (text == NULL || *ret_dead || strcmp(text, "false") == 0)
        return true;
    page_answer_invalid(r, "dead", "\"dead\" must be true or false.");
    return false;
}

void own_job_list(struct request *r)
{
    static const char *const known[] = {"limit", "cursor", "dead", NULL};
    struct listing *l = request_state(r, sizeof(*l), NULL);
    l->at[0] = INT64_MIN;
    if (!page_check_parameters(r, known) || !page_read_limit(r, &l->limit) ||
        !read_dead(r, &l->dead) || !page_read_cursor(r, l->dead ? 'd' : 'j', l->at, 3))
        return;
    bool sees_all = rights_may(&r->who, OBJECT_TASK, ACTION_READ, NULL);
    struct uuid after = id_of(&l->at[1]);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, l->dead ? SQL_OWN_JOB_LIST_DEAD : SQL_OWN_JOB_LIST);
    db_add_time(b, l->at[0]);
    db_add_uuid(b, &after);
    db_add_uuid(b, sees_all ? NULL : &r->who.id);
    db_add_bool(b, rights_may(&r->who, OBJECT_TEMPLATE, ACTION_UPDATE, NULL));
    db_add_uuid(b, &r->who.id);
    db_add_int8(b, l->limit + 1);
    ask_db_bulk(r, b, on_list);
}

/* ---- GET /jobs/{job}, POST /jobs/{job}/retry ---- */

/* False: answered. */
static bool may_touch(struct request *r, const struct db_result *j)
{
    struct uuid owner = db_rows(j) > 0 ? db_uuid(j, 0, OWNER_ID) : (struct uuid){0};
    bool import = db_rows(j) > 0 && is_import(j, 0);
    bool may = import ? rights_may(&r->who, OBJECT_TEMPLATE, ACTION_UPDATE, NULL)
                      : db_rows(j) > 0 && request_may_touch(r, &owner);
    bool may_see = may || (import && uuid_eq(&owner, &r->who.id));
    if (!may_see)
        answer_not_found(r);
    else if (!may && r->method != METHOD_GET)
        answer_forbidden(r);
    return !r->is_over;
}

static void find(struct request *r, ask_db_fn then)
{
    static const char *const none[] = {NULL};
    struct uuid id;
    if (!request_param_uuid(r, 0, &id) || !page_check_parameters(r, none))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_OWN_JOB_READ);
    db_add_uuid(b, &id);
    ask_db(r, b, then);
}

static void show(struct request *r, const struct db_result *const *results)
{
    if (!may_touch(r, results[0]))
        return;
    write_job(&r->out, results[0], 0);
    answer_json(r, 200);
}

void own_job_get(struct request *r)
{
    find(r, show);
}

static void on_retried(struct request *r, const Stint__V1__Envelope *reply)
{
    bool is_status = reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS;
    uint32_t code = is_status ? reply->status->code : (uint32_t)REFUSAL_MALFORMED;
    if (code == REFUSAL_NONE)
        find(r, show);
    else
        answer_refusal(r, code, is_status ? reply->status->detail : "", "");
}

static void retry(struct request *r, const struct db_result *const *results)
{
    if (!may_touch(r, results[0]))
        return;
    const struct uuid job_id = db_uuid(results[0], 0, ID),
                      task_id = db_uuid(results[0], 0, TASK_ID);
    const struct uuid command_id = uuid_random();
    Stint__V1__JobRetry m = STINT__V1__JOB_RETRY__INIT;
    m.job_id = wire_uuid(&job_id);
    if (!uuid_is_nil(&task_id))
        m.task_id = wire_uuid(&task_id);
    m.initiator_id = wire_uuid(&r->who.id);
    m.command_id = wire_uuid(&command_id);
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_JOB_RETRY);
    e.job_retry = &m;
    ask_bus(r, &e, ASK_BUS_TIMEOUT_MS, on_retried);
}

void own_job_retry(struct request *r)
{
    find(r, retry);
}
