/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provisioners.c - workers and jobs, as Coder's provisioner daemons and jobs.
 */
#include <string.h>

#include "gateway/build.h"
#include "gateway/json_out.h"
#include "gateway/organization.h"
#include "gateway/query.h"
#include "gateway/queue.h"

#define JOBS_LIMIT     50
#define JOBS_MAX       1000
#define WORKERS_MAX    1000
#define STATES_MAX     8
#define BAD_PARAMETERS "Query parameters have invalid values."

/* ?ids= as an array parameter; NULL when it is not given. */
static bool read_ids(struct request *r, struct uuid *ret_ids, size_t *ret_n)
{
    return query_uuids(r, "ids", ret_ids, ret_n);
}

static void add_ids(struct db_batch *b, const struct uuid *ids, size_t n)
{
    if (n == 0) {
        db_add_null(b);
        return;
    }
    struct db_array *a = db_array_new(DB_UUID);
    for (size_t i = 0; i < n; i++)
        db_array_uuid(a, &ids[i]);
    db_add_array(b, a);
}

/* Jobs and workers have the tags of job_write_tags(): does ?tags= ask for others?  -1: a 400 has
 * been answered. */
static int asks_other_tags(struct request *r)
{
    const char *text = request_query(r, "tags"), *key;
    if (text == NULL || text[0] == '\0')
        return 0;
    json_t *tags = json_loads(text, 0, NULL), *value;
    bool is_other = false;
    json_object_foreach(tags, key, value)
    {
        const char *wanted = strcmp(key, "scope") == 0 ? "organization" : "";
        bool known = strcmp(key, "scope") == 0 || strcmp(key, "owner") == 0;
        is_other |=
            !known || !json_is_string(value) || strcmp(json_string_value(value), wanted) != 0;
    }
    bool ok = json_is_object(tags);
    json_decref(tags);
    if (ok)
        return is_other;
    answer_invalid(
        r, 400, BAD_PARAMETERS, "tags", "Query param \"tags\" must be a JSON object of texts");
    return -1;
}

static void answer_none(struct request *r)
{
    json_open(&r->out, '[');
    json_close(&r->out, ']');
    answer_json(r, 200);
}

/* ---- GET /organizations/{organization}/provisionerdaemons ---- */

/* The columns of worker_list, in order; the job has five. */
enum worker_column {
    WORKER_ID,
    WORKER_NAME,
    VERSION,
    PROVISIONERS,
    STATE,
    FIRST_SEEN_AT,
    LAST_SEEN_AT,
    CURRENT_JOB,
};

static void put_job(struct strbuf *out, const struct db_result *w, size_t i)
{
    struct uuid id = db_uuid(w, i, CURRENT_JOB);
    if (uuid_is_nil(&id))
        return;
    json_key(out, "current_job");
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_text(out, "status", db_text(w, i, CURRENT_JOB + 1));
    json_put_text(out, "template_name", db_text(w, i, CURRENT_JOB + 2));
    json_put_text(out, "template_display_name", db_text(w, i, CURRENT_JOB + 3));
    json_put_text(out, "template_icon", db_text(w, i, CURRENT_JOB + 4));
    json_close(out, '}');
}

static const char *worker_status(const struct db_result *w, size_t i)
{
    if (strcmp(db_text(w, i, STATE), "gone") == 0)
        return "offline";
    return db_is_null(w, i, CURRENT_JOB) ? "idle" : "busy";
}

static void write_worker(struct request *r, const struct db_result *w, size_t i)
{
    struct strbuf *out = &r->out;
    struct uuid id = db_uuid(w, i, WORKER_ID), nil = {0};
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_uuid(out, "organization_id", &r->gw->organization.id);
    json_put_uuid(out, "key_id", &nil);
    json_put_time(out, "created_at", db_time_us(w, i, FIRST_SEEN_AT));
    json_put_time(out, "last_seen_at", db_time_us(w, i, LAST_SEEN_AT));
    json_put_text(out, "name", db_text(w, i, WORKER_NAME));
    json_put_text(out, "version", db_text(w, i, VERSION));
    json_put_text(out, "api_version", "1.0");
    json_key(out, "provisioners");
    json_raw(out, db_text(w, i, PROVISIONERS), strlen(db_text(w, i, PROVISIONERS)));
    job_write_tags(out);
    json_put_text(out, "key_name", "built-in");
    json_put_text(out, "status", worker_status(w, i));
    put_job(out, w, i);
    json_close(out, '}');
}

static void on_workers(struct request *r, const struct db_result *const *results)
{
    const char *wanted = request_query(r, "status");
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(results[0]); i++)
        if (wanted == NULL || wanted[0] == '\0' ||
            strstr(wanted, worker_status(results[0], i)) != NULL)
            write_worker(r, results[0], i);
    json_close(&r->out, ']');
    answer_json(r, 200);
}

void provisioner_daemon_list(struct request *r)
{
    struct uuid ids[QUERY_IDS_MAX];
    size_t n;
    struct query_page page;
    bool with_gone;
    if (!organization_check(r) || !read_ids(r, ids, &n) ||
        !query_page(r, WORKERS_MAX, WORKERS_MAX, &page) || !query_bool(r, "offline", &with_gone))
        return;
    int others = asks_other_tags(r);
    if (others != 0) {
        if (others > 0)
            answer_none(r);
        return;
    }
    const char *status = request_query(r, "status");
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_WORKER_LIST);
    add_ids(b, ids, n);
    db_add_bool(b, with_gone || (status != NULL && strstr(status, "offline") != NULL));
    db_add_int8(b, page.limit);
    ask_db_bulk(r, b, on_workers);
}

/* ---- GET /organizations/{organization}/provisionerjobs ---- */

/* The columns of job_list, in order. */
enum job_column {
    JOB_ID,
    JOB_CREATED_AT,
    JOB_STARTED_AT,
    JOB_COMPLETED_AT,
    JOB_CANCELED_AT,
    JOB_ERROR,
    JOB_STATE,
    JOB_WORKER_ID,
    JOB_WORKER_NAME,
    JOB_FILE_ID,
    JOB_ORGANIZATION_ID,
    JOB_INITIATOR_ID,
    JOB_IS_IMPORT,
    JOB_INPUT_ID,
    JOB_VERSION_NAME,
    JOB_TEMPLATE_ID,
    JOB_TEMPLATE_NAME,
    JOB_TEMPLATE_DISPLAY_NAME,
    JOB_TEMPLATE_ICON,
    JOB_WORKSPACE_ID,
    JOB_WORKSPACE_NAME,
    JOB_TASK_ID,
    JOB_KIND,
};

struct job_question {
    struct uuid ids[QUERY_IDS_MAX];
    size_t n_ids;
    char states[192]; /* ended by NULs, as many as n_states */
    size_t n_states;
    struct uuid initiator_id;
    int64_t limit;
    bool is_one, knows_places;
};

static bool job_waits(const struct db_result *j, size_t i)
{
    return strcmp(db_text(j, i, JOB_STATE), "pending") == 0 &&
           strcmp(db_text(j, i, JOB_KIND), "start") == 0;
}

static void write_job(struct request *r, const struct db_result *j, size_t i)
{
    struct uuid task_id = db_uuid(j, i, JOB_TASK_ID);
    struct queue_place place = {0};
    if (job_waits(j, i))
        place = queue_place(r->gw->queue, &task_id);
    bool is_import = db_bool(j, i, JOB_IS_IMPORT);
    const struct job_view v = {
        .id = db_uuid(j, i, JOB_ID),
        .worker_id = db_uuid(j, i, JOB_WORKER_ID),
        .file_id = db_uuid(j, i, JOB_FILE_ID),
        .organization_id = db_uuid(j, i, JOB_ORGANIZATION_ID),
        .initiator_id = db_uuid(j, i, JOB_INITIATOR_ID),
        .state = db_text(j, i, JOB_STATE),
        .error = db_text(j, i, JOB_ERROR),
        .worker_name = db_text(j, i, JOB_WORKER_NAME),
        .created_at = db_time_us(j, i, JOB_CREATED_AT),
        .started_at = db_time_us(j, i, JOB_STARTED_AT),
        .completed_at = db_time_us(j, i, JOB_COMPLETED_AT),
        .canceled_at = db_time_us(j, i, JOB_CANCELED_AT),
        .queue_position = place.position,
        .queue_size = place.size,
        .type = is_import ? "template_version_import" : "workspace_build",
        .input_key = is_import ? "template_version_id" : "workspace_build_id",
        .input_id = db_uuid(j, i, JOB_INPUT_ID),
        .template_version_name = db_text(j, i, JOB_VERSION_NAME),
        .template_id = db_uuid(j, i, JOB_TEMPLATE_ID),
        .template_name = db_text(j, i, JOB_TEMPLATE_NAME),
        .template_display_name = db_text(j, i, JOB_TEMPLATE_DISPLAY_NAME),
        .template_icon = db_text(j, i, JOB_TEMPLATE_ICON),
        .workspace_id = db_uuid(j, i, JOB_WORKSPACE_ID),
        .workspace_name = db_text(j, i, JOB_WORKSPACE_NAME),
    };
    job_write(&v, &r->out);
}

static void ask_jobs(struct request *r);

static void on_places(void *arg)
{
    ask_jobs(arg);
}

static bool asks_queue(struct request *r, const struct db_result *j)
{
    struct job_question *q = r->state;
    struct uuid waiting[JOBS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < db_rows(j) && !q->knows_places; i++)
        if (job_waits(j, i))
            waiting[n++] = db_uuid(j, i, JOB_TASK_ID);
    q->knows_places = true;
    if (n > 0)
        queue_ask(r->gw->queue, waiting, n, on_places, r);
    return n > 0;
}

static void on_jobs(struct request *r, const struct db_result *const *results)
{
    const struct job_question *q = r->state;
    const struct db_result *j = results[0];
    if (q->is_one && db_rows(j) == 0) {
        answer_not_found(r);
        return;
    }
    if (asks_queue(r, j))
        return;
    if (!q->is_one)
        json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(j); i++)
        write_job(r, j, i);
    if (!q->is_one)
        json_close(&r->out, ']');
    answer_json(r, 200);
}

static void ask_jobs(struct request *r)
{
    const struct job_question *q = r->state;
    bool sees_all = rights_may(&r->who, OBJECT_TASK, ACTION_READ, NULL);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_JOB_LIST);
    add_ids(b, q->ids, q->n_ids);
    if (q->n_states == 0) {
        db_add_null(b);
    } else {
        struct db_array *states = db_array_new(DB_TEXT);
        const char *s = q->states;
        for (size_t i = 0; i < q->n_states; i++, s += strlen(s) + 1)
            db_array_text(states, s);
        db_add_array(b, states);
    }
    db_add_uuid(b, &q->initiator_id);
    db_add_uuid(b, sees_all ? NULL : &r->who.id);
    db_add_int8(b, q->limit);
    ask_db_bulk(r, b, on_jobs);
}

static bool is_state(const char *s, size_t n)
{
    static const char *const known[] = {
        "pending", "running", "succeeded", "canceling", "canceled", "failed", "unknown"};
    for (size_t i = 0; i < COUNT(known); i++)
        if (strlen(known[i]) == n && memcmp(known[i], s, n) == 0)
            return true;
    return false;
}

/* ?status=pending,running */
static bool read_states(struct request *r, struct job_question *q)
{
    const char *text = request_query(r, "status");
    size_t used = 0;
    for (size_t n; text != NULL && *text != '\0'; text += n + (text[n] == ',')) {
        n = strcspn(text, ",");
        if (!is_state(text, n) || q->n_states == STATES_MAX) {
            answer_invalid(r, 400, BAD_PARAMETERS, "status",
                "Query param \"status\" has invalid values: they are pending, running, succeeded, "
                "canceling, canceled, failed and unknown");
            return false;
        }
        memcpy(q->states + used, text, n);
        used += n + 1;
        q->n_states++;
    }
    return true;
}

void provisioner_job_list(struct request *r)
{
    struct query_page page;
    struct job_question *q = request_state(r, sizeof(*q), NULL);
    if (!organization_check(r) || !read_ids(r, q->ids, &q->n_ids) || !read_states(r, q) ||
        !query_page(r, JOBS_LIMIT, JOBS_MAX, &page))
        return;
    const char *initiator = request_query(r, "initiator");
    if (initiator != NULL && find_is_self(r, initiator))
        q->initiator_id = r->who.id;
    else if (!query_uuid(r, "initiator", &q->initiator_id))
        return;
    q->limit = page.limit;
    int others = asks_other_tags(r);
    if (others > 0)
        answer_none(r);
    else if (others == 0)
        ask_jobs(r);
}

void provisioner_job_get(struct request *r)
{
    struct job_question *q = request_state(r, sizeof(*q), NULL);
    if (!organization_check(r) || !request_param_uuid(r, 1, &q->ids[0]))
        return;
    q->n_ids = 1;
    q->limit = 1;
    q->is_one = true;
    ask_jobs(r);
}
