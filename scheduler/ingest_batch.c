/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/ingest_batch.h"

#include "core/base/cleanup.h"
#include "core/base/text.h"

#define LOG_SEQ_MAX        (1 << 20)
#define AGENT_LOG_ID_MAX   (1 << 20)
#define SOURCE_BYTES_MAX   64
#define OUTPUT_BYTES_MAX   1024
#define METADATA_KEY_MAX   64 /* bytes; a longer one is not cut but passed over */
#define METADATA_VALUE_MAX 2048
#define METADATA_ERROR_MAX 256

typedef Stint__V1__Report report;

/* ---- memory ---- */

static void free_ids(char **v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(v[i]);
}

void ingest_batch_clear(struct ingest_batch *b)
{
    free_ids(b->report_ids.v, b->report_ids.n);
    free_ids(b->log_ids.v, b->log_ids.n);
    free_ids(b->dead_ids.v, b->dead_ids.n);
    for (size_t i = 0; i < b->reports.n; i++)
        stint__v1__agent_reports__free_unpacked(b->reports.v[i], NULL);
    for (size_t i = 0; i < b->logs.n; i++)
        stint__v1__job_result__free_unpacked(b->logs.v[i], NULL);
    for (size_t i = 0; i < b->touched.n; i++)
        b->touched.v[i]->touched = false;
    vec_clear(&b->report_ids);
    vec_clear(&b->log_ids);
    vec_clear(&b->dead_ids);
    vec_clear(&b->reports);
    vec_clear(&b->logs);
    vec_clear(&b->touched);
    vec_clear(&b->healths);
    vec_clear(&b->log_marks);
    b->n_new = b->n_repeated = b->n_gaps = b->n_skipped = b->n_lines = 0;
}

void ingest_batch_done(struct ingest_batch *b)
{
    ingest_batch_clear(b);
    vec_done(&b->report_ids);
    vec_done(&b->log_ids);
    vec_done(&b->dead_ids);
    vec_done(&b->reports);
    vec_done(&b->logs);
    vec_done(&b->touched);
    vec_done(&b->healths);
    vec_done(&b->log_marks);
}

bool ingest_batch_is_empty(const struct ingest_batch *b)
{
    return b->report_ids.n + b->log_ids.n == 0;
}

/* ---- entries ---- */

void ingest_batch_add_reports(struct ingest_batch *b, const char *id, const void *data, size_t n)
{
    *vec_push(&b->report_ids) = mem_strdup(id);
    if (data == NULL)
        return;
    Stint__V1__AgentReports *m = stint__v1__agent_reports__unpack(NULL, n, data);
    if (m != NULL && m->agent_id.len == sizeof(struct uuid))
        *vec_push(&b->reports) = m;
    else
        *vec_push(&b->dead_ids) = mem_strdup(id);
    if (m != NULL && m->agent_id.len != sizeof(struct uuid))
        stint__v1__agent_reports__free_unpacked(m, NULL);
}

void ingest_batch_add_logs(struct ingest_batch *b, const char *id, const void *data, size_t n)
{
    *vec_push(&b->log_ids) = mem_strdup(id);
    if (data == NULL)
        return;
    Stint__V1__JobResult *m = stint__v1__job_result__unpack(NULL, n, data);
    if (m != NULL && m->job_id.len == sizeof(struct uuid))
        *vec_push(&b->logs) = m;
    else
        *vec_push(&b->dead_ids) = mem_strdup(id);
    if (m != NULL && m->job_id.len != sizeof(struct uuid))
        stint__v1__job_result__free_unpacked(m, NULL);
}

static void ask_for(struct db_array **ids, const struct map *agents, const ProtobufCBinaryData *of)
{
    struct uuid id;
    if (of->len == 0 || !wire_get_uuid(of, &id) || map_get(agents, &id) != NULL)
        return;
    if (*ids == NULL)
        *ids = db_array_new(DB_UUID);
    db_array_uuid(*ids, &id);
}

struct db_array *ingest_batch_unknown(const struct ingest_batch *b, const struct map *agents)
{
    struct db_array *ids = NULL;
    for (size_t i = 0; i < b->reports.n; i++) {
        const Stint__V1__AgentReports *m = b->reports.v[i];
        ask_for(&ids, agents, &m->agent_id);
        for (size_t r = 0; r < m->n_report; r++)
            ask_for(&ids, agents, &m->report[r]->of_agent_id);
    }
    return ids;
}

/* ---- rows ---- */

/* The columns of every statement, filled in one pass over the reports. */
struct columns {
    struct db_array *status_agent, *status_seq, *status_at, *status_slug, *status_state,
        *status_message, *status_uri;
    struct db_array *message_task, *message_id, *message_at, *message_role, *message_content;
    struct db_array *app_agent, *app_slug, *app_health;
    struct db_array *log_agent, *log_id, *log_at, *log_source, *log_level, *log_output;
    struct db_array *meta_agent, *meta_at, *meta_key, *meta_value, *meta_error;
    size_t n_status, n_message, n_app, n_log, n_meta;
};

static const char *one_of(const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(words[i], word) == 0)
            return words[i];
    return NULL;
}

static const char *const states[] = {"working", "idle", "complete", "failure"};
static const char *const lifecycles[] = {"created", "starting", "start_timeout", "start_error",
    "ready", "shutting_down", "shutdown_timeout", "shutdown_error", "off"};
static const char *const healths[] = {"disabled", "initializing", "healthy", "unhealthy"};
static const char *const roles[] = {"user", "agent"};
static const char *const levels[] = {"debug", "info", "warn", "error"};

static bool is_text(const char *s)
{
    return text_is_utf8(s, strlen(s));
}

/* Append text, but no more than `max` bytes of it. */
static void put_text(struct db_array *a, const char *s, size_t max)
{
    db_array_textn(a, s, text_utf8_prefix(s, strlen(s), max));
}

/* Whose words these are: the agent's own, or of an earlier one of the same task.  NULL: neither. */
static const struct known *author(const struct map *agents, const struct known *k, const report *r)
{
    struct uuid id;
    if (r->of_agent_id.len == 0)
        return k;
    if (!wire_get_uuid(&r->of_agent_id, &id) || r->of_seq == 0 || r->of_seq > INT64_MAX)
        return NULL;
    const struct known *of = map_get(agents, &id);
    return of != NULL && of->exists && uuid_eq(&of->task_id, &k->task_id) ? of : NULL;
}

/* A report's own time: the same when it is sent again, which keeps it in its partition; but no
 * clock of a workspace makes it older than the agent that wrote it. */
static int64_t said_at(const struct known *author, const report *r)
{
    return r->at_us > author->born_us ? r->at_us : author->born_us;
}

static bool put_state(struct ingest_batch *b, struct columns *c, struct known *k, const report *r)
{
    const Stint__V1__AppState *s = r->app_state;
    const char *state = one_of(s->state, states, COUNT(states));
    const struct known *who = author(b->agents, k, r);
    if (who == NULL || state == NULL || !is_text(s->app_slug) || !is_text(s->message) ||
        !is_text(s->uri))
        return false;
    db_array_uuid(c->status_agent, &who->id);
    db_array_int8(c->status_seq, (int64_t)(who == k ? r->seq : r->of_seq));
    db_array_int8(c->status_at, said_at(who, r));
    db_array_text(c->status_slug, s->app_slug);
    db_array_text(c->status_state, state);
    db_array_text(c->status_message, s->message);
    db_array_text(c->status_uri, s->uri);
    c->n_status++;
    if (who != k)
        return true; /* history: not what this agent's app is doing */
    k->state = state;
    k->worked = k->worked || state == states[0];
    k->message = s->message;
    k->uri = s->uri;
    return true;
}

static bool put_lifecycle(
    struct ingest_batch *b, struct columns *c, struct known *k, const report *r)
{
    (void)b;
    (void)c;
    const char *state = one_of(r->lifecycle->state, lifecycles, COUNT(lifecycles));
    if (state == NULL)
        return false;
    k->lifecycle = state;
    return true;
}

static bool put_message(struct ingest_batch *b, struct columns *c, struct known *k, const report *r)
{
    (void)b;
    const Stint__V1__ChatMessage *m = r->chat_message;
    const char *role = one_of(m->role, roles, COUNT(roles));
    if (role == NULL || !is_text(m->content) || m->id > INT64_MAX)
        return false;
    db_array_uuid(c->message_task, &k->task_id);
    db_array_int8(c->message_id, (int64_t)m->id);
    db_array_int8(c->message_at, r->at_us);
    db_array_text(c->message_role, role);
    db_array_text(c->message_content, m->content);
    c->n_message++;
    return true;
}

static bool put_health(struct ingest_batch *b, struct columns *c, struct known *k, const report *r)
{
    const char *health = one_of(r->app_health->health, healths, COUNT(healths));
    if (health == NULL || !is_text(r->app_health->app_slug))
        return false;
    db_array_uuid(c->app_agent, &k->id);
    db_array_text(c->app_slug, r->app_health->app_slug);
    db_array_text(c->app_health, health);
    c->n_app++;
    *vec_push(&b->healths) = (struct health_said){k->id, r->app_health->app_slug, health};
    return true;
}

static bool put_log(struct ingest_batch *b, struct columns *c, struct known *k, const report *r)
{
    const Stint__V1__AgentLog *l = r->agent_log;
    const char *level = one_of(l->level, levels, COUNT(levels));
    const struct known *who = author(b->agents, k, r);
    if (who == NULL || level == NULL || l->id == 0 || l->id > AGENT_LOG_ID_MAX ||
        !is_text(l->source) || !is_text(l->output))
        return false;
    db_array_uuid(c->log_agent, &who->id);
    db_array_int8(c->log_id, (int64_t)l->id);
    db_array_int8(c->log_at, said_at(who, r));
    put_text(c->log_source, l->source, SOURCE_BYTES_MAX);
    db_array_text(c->log_level, level);
    put_text(c->log_output, l->output, OUTPUT_BYTES_MAX);
    c->n_log++;
    return true;
}

static bool put_metadata(
    struct ingest_batch *b, struct columns *c, struct known *k, const report *r)
{
    (void)b;
    const Stint__V1__Metadata *m = r->metadata;
    size_t n = strlen(m->key);
    if (n == 0 || n > METADATA_KEY_MAX || !is_text(m->key) || !is_text(m->value) ||
        !is_text(m->error))
        return false;
    db_array_uuid(c->meta_agent, &k->id);
    db_array_int8(c->meta_at, r->at_us);
    db_array_text(c->meta_key, m->key);
    put_text(c->meta_value, m->value, METADATA_VALUE_MAX);
    put_text(c->meta_error, m->error, METADATA_ERROR_MAX);
    c->n_meta++;
    return true;
}

static const struct {
    Stint__V1__Report__WhatCase what;
    bool (*put)(struct ingest_batch *b, struct columns *c, struct known *k, const report *r);
} kinds[] = {
    {STINT__V1__REPORT__WHAT_APP_STATE,    put_state    },
    {STINT__V1__REPORT__WHAT_LIFECYCLE,    put_lifecycle},
    {STINT__V1__REPORT__WHAT_CHAT_MESSAGE, put_message  },
    {STINT__V1__REPORT__WHAT_APP_HEALTH,   put_health   },
    {STINT__V1__REPORT__WHAT_AGENT_LOG,    put_log      },
    {STINT__V1__REPORT__WHAT_METADATA,     put_metadata },
};

static bool put(struct ingest_batch *b, struct columns *c, struct known *k, const report *r)
{
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (kinds[i].what == r->what_case)
            return kinds[i].put(b, c, k, r);
    return false; /* a kind of a later version */
}

static void touch(struct ingest_batch *b, struct known *k)
{
    if (k->touched)
        return;
    k->touched = true;
    k->worked = false;
    k->state = k->lifecycle = k->message = k->uri = NULL;
    *vec_push(&b->touched) = k;
}

/* Rule 8: the next number, and only that one. */
static void take(
    struct ingest_batch *b, struct columns *c, struct known *k, const report *r, bool skip)
{
    if ((int64_t)r->seq <= k->watermark) {
        b->n_repeated++;
        touch(b, k); /* say the watermark again: the agent seems not to know it */
        return;
    }
    if ((int64_t)r->seq != k->watermark + 1) {
        b->n_gaps++;
        return;
    }
    touch(b, k);
    k->watermark++;
    if (skip || !put(b, c, k, r))
        b->n_skipped++;
    else
        b->n_new++;
}

static void columns_new(struct columns *c)
{
    c->status_agent = db_array_new(DB_UUID);
    c->status_seq = db_array_new(DB_INT8);
    c->status_at = db_array_new(DB_INT8);
    c->status_slug = db_array_new(DB_TEXT);
    c->status_state = db_array_new(DB_TEXT);
    c->status_message = db_array_new(DB_TEXT);
    c->status_uri = db_array_new(DB_TEXT);
    c->message_task = db_array_new(DB_UUID);
    c->message_id = db_array_new(DB_INT8);
    c->message_at = db_array_new(DB_INT8);
    c->message_role = db_array_new(DB_TEXT);
    c->message_content = db_array_new(DB_TEXT);
    c->app_agent = db_array_new(DB_UUID);
    c->app_slug = db_array_new(DB_TEXT);
    c->app_health = db_array_new(DB_TEXT);
    c->log_agent = db_array_new(DB_UUID);
    c->log_id = db_array_new(DB_INT8);
    c->log_at = db_array_new(DB_INT8);
    c->log_source = db_array_new(DB_TEXT);
    c->log_level = db_array_new(DB_TEXT);
    c->log_output = db_array_new(DB_TEXT);
    c->meta_agent = db_array_new(DB_UUID);
    c->meta_at = db_array_new(DB_INT8);
    c->meta_key = db_array_new(DB_TEXT);
    c->meta_value = db_array_new(DB_TEXT);
    c->meta_error = db_array_new(DB_TEXT);
}

/* Add a statement with these arrays, or free them when there are no rows. */
static void add_statement(
    struct db_batch *out, enum sql_id id, size_t n_rows, struct db_array **arrays, size_t n)
{
    if (n_rows > 0)
        db_batch_add(out, id);
    for (size_t i = 0; i < n; i++) {
        if (n_rows > 0)
            db_add_array(out, arrays[i]);
        else
            db_array_free(arrays[i]);
    }
}

static void add_columns(struct db_batch *out, struct columns *c)
{
    add_statement(out, SQL_REPORT_INSERT_STATUSES, c->n_status,
        (struct db_array *[]){c->status_agent, c->status_seq, c->status_at, c->status_slug,
            c->status_state, c->status_message, c->status_uri},
        7);
    add_statement(out, SQL_REPORT_UPSERT_MESSAGES, c->n_message,
        (struct db_array *[]){
            c->message_task, c->message_id, c->message_at, c->message_role, c->message_content},
        5);
    add_statement(out, SQL_REPORT_UPDATE_APPS, c->n_app,
        (struct db_array *[]){c->app_agent, c->app_slug, c->app_health}, 3);
    add_statement(out, SQL_REPORT_INSERT_AGENT_LOGS, c->n_log,
        (struct db_array *[]){
            c->log_agent, c->log_id, c->log_at, c->log_source, c->log_level, c->log_output},
        6);
    add_statement(out, SQL_REPORT_UPSERT_METADATA, c->n_meta,
        (struct db_array *[]){c->meta_agent, c->meta_at, c->meta_key, c->meta_value, c->meta_error},
        5);
}

static void add_agents(struct db_batch *out, const struct ingest_batch *b)
{
    if (b->touched.n == 0)
        return;
    struct db_array *a[] = {db_array_new(DB_UUID), db_array_new(DB_INT8), db_array_new(DB_TEXT),
        db_array_new(DB_TEXT), db_array_new(DB_TEXT), db_array_new(DB_TEXT)};
    for (size_t i = 0; i < b->touched.n; i++) {
        const struct known *k = b->touched.v[i];
        db_array_uuid(a[0], &k->id);
        db_array_int8(a[1], k->watermark);
        db_array_text(a[2], k->lifecycle);
        db_array_text(a[3], k->state);
        db_array_text(a[4], k->message);
        db_array_text(a[5], k->uri);
    }
    add_statement(out, SQL_REPORT_UPDATE_AGENTS, b->touched.n, a, COUNT(a));
}

static void add_log_lines(struct db_batch *out, struct ingest_batch *b)
{
    struct db_array *a[] = {db_array_new(DB_UUID), db_array_new(DB_INT8), db_array_new(DB_INT8),
        db_array_new(DB_TEXT), db_array_new(DB_TEXT), db_array_new(DB_TEXT)};
    for (size_t i = 0; i < b->logs.n; i++) {
        const Stint__V1__JobResult *m = b->logs.v[i];
        struct log_mark mark = {.seq = 0};
        (void)wire_get_uuid(&m->job_id, &mark.job_id);
        for (size_t k = 0; k < m->n_log; k++) {
            const Stint__V1__LogLine *l = m->log[k];
            mark.seq = (int64_t)l->seq > mark.seq ? (int64_t)l->seq : mark.seq;
            if (l->seq >= LOG_SEQ_MAX || !is_text(l->level) || !is_text(l->stage) ||
                !is_text(l->output))
                continue;
            db_array_uuid(a[0], &mark.job_id);
            db_array_int8(a[1], ((int64_t)m->token << 20) + (int64_t)l->seq);
            db_array_int8(a[2], l->at_us);
            db_array_text(a[3], l->level);
            db_array_text(a[4], l->stage);
            db_array_text(a[5], l->output);
            b->n_lines++;
        }
        *vec_push(&b->log_marks) = mark;
    }
    add_statement(out, SQL_STORE_INSERT_LOGS, b->n_lines, a, COUNT(a));
}

void ingest_batch_pack(struct ingest_batch *b, struct map *agents, bool skip, struct db_batch *out)
{
    struct columns c = {0};
    columns_new(&c);
    b->agents = agents;
    for (size_t i = 0; i < b->reports.n; i++) {
        const Stint__V1__AgentReports *m = b->reports.v[i];
        struct uuid id;
        (void)wire_get_uuid(&m->agent_id, &id);
        struct known *k = map_get(agents, &id);
        if (k == NULL || !k->exists)
            continue; /* an agent of a database that is gone */
        for (size_t r = 0; r < m->n_report; r++)
            take(b, &c, k, m->report[r], skip);
    }
    add_columns(out, &c);
    add_agents(out, b);
    if (!skip)
        add_log_lines(out, b);
}
