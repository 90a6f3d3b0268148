/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pg_door.c - core/db/db.h: a connection here, a session there, and what is between them.
 *
 *   db_send ──arrival──> in the session's line ──carried out──> answer ──> done()
 *                 lost                  refused, ended      lost: written, and nobody knows
 *
 * The two ends of a connection learn of its end each at its own time: so there are sessions whose
 * clients are dead, which still carry out what they had been given, and clients whose sessions are
 * gone, which still believe to lead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "tests/sim/check.h"
#include "tests/sim/part.h"
#include "tests/sim/pg.h"

#define RETRY_US_MIN (50 * MS)
#define RETRY_US_MAX (2 * SECOND)
#define SILENT_US    (12 * SECOND) /* until an end notices that the other one is gone */

struct session {
    unsigned refs;
    bool alive;
    struct db *db; /* NULL: the client is gone */
    struct proc *proc;
    int64_t busy_until_us; /* or since then it waits for its client */
    bool is_loading;
    char url[40]; /* registered; "": not */
};

struct statement {
    enum sql_id id;
    size_t first, n;
};

struct db_batch {
    VEC(struct statement) statements;
    VEC(struct value) params;
};

struct db {
    struct proc *proc;
    void (*on_state)(void *arg, bool up);
    void *arg;
    bool up, freed, broken; /* broken: nothing passes any more, it does not know yet */
    unsigned refs, generation;
    int64_t retry_us, last_arrival_us, last_answer_us;
    struct session *session;
    int64_t alive_ms; /* when the youngest answered batch was sent */
    struct list flights;
    size_t in_flight;
};

struct flight {
    unsigned refs; /* of the list and of the event */
    struct db *db;
    unsigned generation;
    struct session *session;
    struct db_batch *batch;
    db_done_fn done;
    void *arg;
    int64_t sent_ms;
    enum err code;
    struct db_result *results;
    size_t n_results;
    struct list link;
};

/* ---- values ---- */

static void value_done(struct value *v)
{
    free(v->text);
    db_array_free(v->array);
}

static struct value value_of_text(const char *s, size_t n)
{
    struct value v = {VALUE_NULL};
    if (s == NULL)
        return v;
    v.kind = VALUE_TEXT;
    v.text = mem_alloc(n + 1);
    memcpy(v.text, s, n);
    v.i = (int64_t)n;
    return v;
}

static struct value value_of_uuid(const struct uuid *u)
{
    struct value v = {VALUE_NULL};
    if (u == NULL || uuid_is_nil(u))
        return v;
    v.kind = VALUE_UUID;
    v.uuid = *u;
    return v;
}

static struct value value_of_int(int64_t i)
{
    return (struct value){.kind = VALUE_INT, .i = i};
}

static struct value value_of_time(int64_t us)
{
    return us == INT64_MIN ? (struct value){VALUE_NULL} : value_of_int(us);
}

struct db_array *db_array_new(enum db_type type)
{
    struct db_array *a = mem_alloc(sizeof(*a));
    a->type = type;
    return a;
}

void db_array_free(struct db_array *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->values.n; i++)
        value_done(&a->values.v[i]);
    vec_done(&a->values);
    free(a);
}

void db_array_uuid(struct db_array *a, const struct uuid *u)
{
    *vec_push(&a->values) = value_of_uuid(u);
}

void db_array_int8(struct db_array *a, int64_t v)
{
    *vec_push(&a->values) = value_of_int(v);
}

void db_array_int4(struct db_array *a, int32_t v)
{
    *vec_push(&a->values) = value_of_int(v);
}

void db_array_bool(struct db_array *a, bool v)
{
    *vec_push(&a->values) = value_of_int(v);
}

void db_array_text(struct db_array *a, const char *s)
{
    *vec_push(&a->values) = value_of_text(s, s != NULL ? strlen(s) : 0);
}

void db_array_textn(struct db_array *a, const char *s, size_t n)
{
    *vec_push(&a->values) = value_of_text(s, n);
}

void db_array_bytes(struct db_array *a, const void *data, size_t n)
{
    *vec_push(&a->values) = value_of_text(data, n);
}

void db_array_time(struct db_array *a, int64_t wall_us)
{
    *vec_push(&a->values) = value_of_time(wall_us);
}

/* ---- batches ---- */

struct db_batch *db_batch_new(void)
{
    return mem_alloc(sizeof(struct db_batch));
}

void db_batch_free(struct db_batch *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < b->params.n; i++)
        value_done(&b->params.v[i]);
    vec_done(&b->params);
    vec_done(&b->statements);
    free(b);
}

size_t db_batch_count(const struct db_batch *b)
{
    return b->statements.n;
}

bool db_batch_writes(const struct db_batch *b)
{
    for (size_t i = 0; i < b->statements.n; i++)
        if (sql_queries[b->statements.v[i].id].writes)
            return true;
    return false;
}

void db_batch_append(struct db_batch *b, struct db_batch *take_tail)
{
    for (size_t i = 0; i < take_tail->statements.n; i++) {
        struct statement s = take_tail->statements.v[i];
        s.first += b->params.n;
        *vec_push(&b->statements) = s;
    }
    for (size_t i = 0; i < take_tail->params.n; i++)
        *vec_push(&b->params) = take_tail->params.v[i];
    take_tail->params.n = 0;
    db_batch_free(take_tail);
}

void db_batch_add(struct db_batch *b, enum sql_id id)
{
    *vec_push(&b->statements) = (struct statement){id, b->params.n, 0};
}

static void add(struct db_batch *b, struct value v)
{
    *vec_push(&b->params) = v;
    b->statements.v[b->statements.n - 1].n++;
}

void db_add_null(struct db_batch *b)
{
    add(b, (struct value){VALUE_NULL});
}

void db_add_uuid(struct db_batch *b, const struct uuid *u)
{
    add(b, value_of_uuid(u));
}

void db_add_int8(struct db_batch *b, int64_t v)
{
    add(b, value_of_int(v));
}

void db_add_int4(struct db_batch *b, int32_t v)
{
    add(b, value_of_int(v));
}

void db_add_bool(struct db_batch *b, bool v)
{
    add(b, value_of_int(v));
}

void db_add_text(struct db_batch *b, const char *s)
{
    add(b, value_of_text(s, s != NULL ? strlen(s) : 0));
}

void db_add_bytes(struct db_batch *b, const void *data, size_t n)
{
    add(b, value_of_text(data, n));
}

void db_add_time(struct db_batch *b, int64_t wall_us)
{
    add(b, value_of_time(wall_us));
}

void db_add_array(struct db_batch *b, struct db_array *take_array)
{
    add(b, (struct value){.kind = VALUE_ARRAY, .array = take_array});
}

/* ---- results ---- */

static const struct value *cell(const struct db_result *r, size_t row, int col)
{
    return &r->values.v[row * (size_t)r->columns + (size_t)col];
}

size_t db_rows(const struct db_result *r)
{
    return r->columns > 0 ? r->values.n / (size_t)r->columns : 0;
}

int64_t db_affected(const struct db_result *r)
{
    return r->affected;
}

bool db_is_null(const struct db_result *r, size_t row, int col)
{
    return cell(r, row, col)->kind == VALUE_NULL;
}

struct uuid db_uuid(const struct db_result *r, size_t row, int col)
{
    return cell(r, row, col)->uuid;
}

int64_t db_int(const struct db_result *r, size_t row, int col)
{
    return cell(r, row, col)->i;
}

bool db_bool(const struct db_result *r, size_t row, int col)
{
    return cell(r, row, col)->i != 0;
}

const char *db_text(const struct db_result *r, size_t row, int col)
{
    const char *s = cell(r, row, col)->text;
    return s != NULL ? s : "";
}

const void *db_bytes(const struct db_result *r, size_t row, int col, size_t *ret_n)
{
    *ret_n = (size_t)cell(r, row, col)->i;
    return db_text(r, row, col);
}

int64_t db_time_us(const struct db_result *r, size_t row, int col)
{
    return db_is_null(r, row, col) ? INT64_MIN : db_int(r, row, col);
}

const char *db_error_constraint(const struct db *db)
{
    (void)db;
    return "";
}

/* ---- what statements ask ---- */

static struct value *param(struct query *q, size_t i)
{
    if (i > q->n) {
        fprintf(stderr, "%s has %zu parameters, the model reads $%zu\n", sql_queries[q->id].name,
            q->n, i);
        abort();
    }
    q->read = i > q->read ? i : q->read;
    return &q->params[i - 1];
}

void query_skip(struct query *q, size_t i)
{
    (void)param(q, i);
}

size_t query_rows(struct query *q, size_t i)
{
    return param(q, i)->array->values.n;
}

struct uuid query_uuid(struct query *q, size_t i)
{
    return param(q, i)->uuid;
}

int64_t query_int(struct query *q, size_t i)
{
    return param(q, i)->i;
}

bool query_is_null(struct query *q, size_t i)
{
    return param(q, i)->kind == VALUE_NULL;
}

const char *query_text(struct query *q, size_t i)
{
    return param(q, i)->text;
}

static const struct value *element(struct query *q, size_t i, size_t row)
{
    return &param(q, i)->array->values.v[row];
}

struct uuid array_uuid(struct query *q, size_t i, size_t row)
{
    return element(q, i, row)->uuid;
}

int64_t array_int(struct query *q, size_t i, size_t row)
{
    const struct value *v = element(q, i, row);
    return v->kind == VALUE_NULL ? INT64_MIN : v->i;
}

const char *array_text(struct query *q, size_t i, size_t row)
{
    return element(q, i, row)->text;
}

void put_columns(struct query *q, int n)
{
    q->result->columns = n;
}

void put_uuid(struct query *q, const struct uuid *u)
{
    *vec_push(&q->result->values) = value_of_uuid(u);
}

void put_int(struct query *q, int64_t v)
{
    *vec_push(&q->result->values) = value_of_int(v);
}

void put_text(struct query *q, const char *s)
{
    *vec_push(&q->result->values) = value_of_text(s, s != NULL ? strlen(s) : 0);
}

void put_null(struct query *q)
{
    *vec_push(&q->result->values) = (struct value){VALUE_NULL};
}

/* ---- sessions ---- */

static void session_unref(struct session *s)
{
    if (s != NULL && --s->refs == 0)
        free(s);
}

static void session_drop(void *arg)
{
    session_unref(arg);
}

static void session_end(struct session *s)
{
    if (!s->alive)
        return;
    s->alive = false;
    if (sim->pg->lock == s)
        sim->pg->lock = NULL;
    for (size_t i = 0; i < sim->pg->sessions.n; i++) {
        if (sim->pg->sessions.v[i] != s)
            continue;
        vec_remove_swap(&sim->pg->sessions, i);
        session_unref(s);
        return;
    }
}

static void on_session_end(void *arg)
{
    struct session *s = arg;
    if (s->busy_until_us >= sim->now_us) { /* what it was given it carries out */
        sim_after(s->busy_until_us - sim->now_us + 1, NULL, on_session_end, session_drop, s);
        return;
    }
    session_end(s);
    session_unref(s);
}

/* The client has closed, or died. */
static void session_left(struct session *s)
{
    if (sim->over || !s->alive)
        return;
    bool open = net_is_open(s->proc->node, NODE_POSTGRES);
    s->db = NULL;
    s->refs++;
    sim_after(open ? sim_between(50, 500) : sim_between(MS, SILENT_US), NULL, on_session_end,
        session_drop, s);
}

bool pg_session_has_lock(const struct session *s)
{
    return sim->pg->lock == s;
}

void pg_session_take_lock(struct session *s)
{
    sim->pg->lock = s;
}

void pg_session_say(struct session *s, const char *application_name)
{
    s->is_loading = strstr(application_name, "loading") != NULL;
}

void pg_session_register(struct session *s, const char *url)
{
    snprintf(s->url, sizeof(s->url), "%s", url);
}

int64_t pg_sessions_beside(const char *url)
{
    int64_t n = 0;
    for (size_t i = 0; i < sim->pg->sessions.n; i++) {
        const struct session *s = sim->pg->sessions.v[i];
        n += s->url[0] != '\0' && strcmp(s->url, url) != 0;
    }
    return n;
}

static void terminate(struct session *s);

bool pg_end_silent(const struct session *asker, int64_t silence_ms)
{
    struct session *s = sim->pg->lock;
    int64_t most_us = silence_ms * MS * (s != NULL && s->is_loading ? 10 : 1);
    if (s == NULL || s == asker || sim->now_us - s->busy_until_us <= most_us)
        return false;
    sim_trace("a silent leader's session is ended");
    terminate(s);
    return true;
}

/* ---- connections ---- */

static void flight_unref(struct flight *f);

static void db_unref(struct db *db)
{
    if (--db->refs == 0)
        free(db);
}

struct wake {
    struct db *db;
    unsigned generation;
};

static void wake_free(void *arg)
{
    struct wake *w = arg;
    db_unref(w->db);
    free(w);
}

static void wake(struct db *db, int64_t after_us, sim_fn fn)
{
    struct wake *w = mem_alloc(sizeof(*w));
    *w = (struct wake){db, db->generation};
    db->refs++;
    sim_after(after_us, db->proc, fn, wake_free, w);
}

static bool wake_is_due(const struct wake *w)
{
    return !w->db->freed && w->db->generation == w->generation;
}

static void on_connect(void *arg);

static void connect_later(struct db *db)
{
    wake(db, sim_between(db->retry_us / 2, db->retry_us), on_connect);
    db->retry_us = db->retry_us * 2 < RETRY_US_MAX ? db->retry_us * 2 : RETRY_US_MAX;
}

static void begin_session(struct db *db)
{
    struct session *s = mem_alloc(sizeof(*s));
    *s = (struct session){
        .refs = 2, .alive = true, .db = db, .proc = db->proc, .busy_until_us = sim->now_us};
    *vec_push(&sim->pg->sessions) = s;
    db->session = s;
    db->up = true;
    db->broken = false;
    db->alive_ms = 0;
    db->retry_us = RETRY_US_MIN;
}

static void on_connect(void *arg)
{
    struct wake *w = arg;
    struct db *db = w->db;
    if (wake_is_due(w)) {
        bool open = net_is_open(db->proc->node, NODE_POSTGRES) &&
                    net_is_open(NODE_POSTGRES, db->proc->node) &&
                    sim->pg->stalled_until_us <= sim->now_us;
        if (!open) {
            connect_later(db);
        } else {
            begin_session(db);
            if (db->on_state != NULL)
                db->on_state(db->arg, true);
        }
    }
    wake_free(w);
}

static void answer_all(struct db *db, enum err code)
{
    struct errctx ctx = {.text = "simulated"};
    struct list *it;
    while ((it = list_pop(&db->flights)) != NULL) {
        struct flight *f = container_of(it, struct flight, link);
        db->in_flight--;
        f->done(f->arg, code, NULL, 0, &ctx);
        flight_unref(f);
    }
}

/* The client lets go of its connection. */
static void part(struct db *db)
{
    db->up = false;
    db->generation++;
    if (db->session != NULL) {
        session_left(db->session);
        session_unref(db->session);
    }
    db->session = NULL;
}

static void db_lose(struct db *db)
{
    bool was_up = db->up;
    part(db);
    connect_later(db);
    answer_all(db, ERR_DB_DOWN);
    if (was_up && db->on_state != NULL && !db->freed)
        db->on_state(db->arg, false);
}

static void on_lost(void *arg)
{
    struct wake *w = arg;
    if (wake_is_due(w))
        db_lose(w->db);
    wake_free(w);
}

/* Something was lost on the way: each end will notice some time. */
static void break_connection(struct db *db)
{
    if (db->broken || db->freed || !db->up || sim->over)
        return;
    db->broken = true;
    wake(db, sim_between(MS, SILENT_US), on_lost);
    db->session->refs++;
    sim_after(sim_between(MS, SILENT_US), NULL, on_session_end, session_drop, db->session);
}

/* The server ends a session and says so. */
static void terminate(struct session *s)
{
    struct db *db = s->db;
    s->refs++;
    session_end(s);
    if (db != NULL && db->session == s && !db->freed)
        wake(db,
            net_is_open(NODE_POSTGRES, db->proc->node) ? sim_between(50, 500)
                                                       : sim_between(MS, SILENT_US),
            on_lost);
    session_unref(s);
}

/* ---- flights ---- */

static void results_free(struct flight *f)
{
    for (size_t i = 0; i < f->n_results; i++) {
        for (size_t k = 0; k < f->results[i].values.n; k++)
            value_done(&f->results[i].values.v[k]);
        vec_done(&f->results[i].values);
    }
    free(f->results);
}

static void flight_unref(struct flight *f)
{
    if (--f->refs > 0)
        return;
    db_batch_free(f->batch);
    results_free(f);
    session_unref(f->session);
    db_unref(f->db);
    free(f);
}

static void flight_drop(void *arg)
{
    flight_unref(arg);
}

static void on_answer(void *arg)
{
    struct flight *f = arg;
    struct db *db = f->db;
    if (!db->freed && db->up && db->generation == f->generation) {
        struct errctx ctx = {.text = "simulated"};
        const struct db_result **list =
            mem_calloc(f->n_results + 1, sizeof(const struct db_result *));
        for (size_t i = 0; i < f->n_results; i++)
            list[i] = &f->results[i];
        list_unlink(&f->link);
        db->in_flight--;
        db->alive_ms = f->sent_ms;
        bool good = f->code == ERR_OK;
        f->done(f->arg, f->code, good ? list : NULL, good ? f->n_results : 0, &ctx);
        free(list);
        flight_unref(f);
    }
    flight_unref(f);
}

static statement_fn statement_of(enum sql_id id)
{
    statement_fn fn = pg_store_statement(id);
    if (fn == NULL)
        fn = pg_load_statement(id);
    return fn != NULL ? fn : pg_report_statement(id);
}

static enum err carry_out(struct flight *f, size_t i)
{
    const struct statement *s = &f->batch->statements.v[i];
    struct query q = {.id = s->id,
        .params = &f->batch->params.v[s->first],
        .n = s->n,
        .session = f->session,
        .result = &f->results[i]};
    statement_fn fn = statement_of(s->id);
    if (fn == NULL) {
        fprintf(stderr, "the model of Postgres does not know %s: add it to tests/sim/pg_*.c\n",
            sql_queries[s->id].name);
        abort();
    }
    fn(&q);
    if (q.error == ERR_OK && q.read != q.n) {
        fprintf(stderr,
            "%s has %zu parameters, the model of Postgres (tests/sim/pg_*.c) reads %zu\n",
            sql_queries[s->id].name, q.n, q.read);
        abort();
    }
    return q.error;
}

/* An epoch is asserted first, so a batch that fails has done nothing. */
static void apply(struct flight *f)
{
    f->n_results = f->batch->statements.n;
    f->results = mem_calloc(f->n_results, sizeof(*f->results));
    if (db_batch_writes(f->batch) && sim_happens(FAULT_REFUSAL, 100)) {
        f->code = sim_between(0, 1) == 0 ? ERR_NO_SPACE : ERR_TIMEOUT;
        return;
    }
    for (size_t i = 0; i < f->n_results && f->code == ERR_OK; i++)
        f->code = carry_out(f, i);
    sim->figures.commits++;
    sim_digest(f->n_results);
    check_after_commit();
}

static void on_execute(void *arg)
{
    struct flight *f = arg;
    struct db *db = f->db;
    if (!f->session->alive) {
        flight_unref(f);
        return;
    }
    apply(f);
    int64_t delay = net_delay(NODE_POSTGRES, db->proc->node, false);
    bool lost = delay < 0 || db->broken || sim_happens(FAULT_LOST, 200);
    if (lost) {
        if (db->generation == f->generation)
            break_connection(db);
        flight_unref(f);
        return;
    }
    int64_t at = sim->now_us + delay;
    db->last_answer_us = at > db->last_answer_us ? at : db->last_answer_us;
    sim_after(db->last_answer_us - sim->now_us, db->proc, on_answer, flight_drop, f);
}

static int64_t service_us(const struct flight *f)
{
    if (!db_batch_writes(f->batch))
        return sim_between(80, 300);
    return sim->pg->slow_until_us > sim->now_us ? sim_between(5 * MS, 400 * MS)
                                                : sim_between(300, 1200);
}

static void on_arrival(void *arg)
{
    struct flight *f = arg;
    struct session *s = f->session;
    if (!s->alive) {
        flight_unref(f);
        return;
    }
    int64_t from = sim->now_us > s->busy_until_us ? sim->now_us : s->busy_until_us;
    if (from < sim->pg->stalled_until_us)
        from = sim->pg->stalled_until_us;
    s->busy_until_us = from + service_us(f);
    sim_after(s->busy_until_us - sim->now_us, NULL, on_execute, flight_drop, f);
}

void db_send(struct db *db, struct db_batch *take_batch, db_done_fn done, void *arg)
{
    if (!db->up) {
        struct errctx ctx = {.text = "simulated"};
        db_batch_free(take_batch);
        done(arg, ERR_DB_DOWN, NULL, 0, &ctx);
        return;
    }
    struct flight *f = mem_alloc(sizeof(*f));
    *f = (struct flight){.refs = 1,
        .db = db,
        .generation = db->generation,
        .session = db->session,
        .batch = take_batch,
        .done = done,
        .arg = arg,
        .sent_ms = sim->now_us / MS};
    db->refs++;
    db->session->refs++;
    list_append(&db->flights, &f->link);
    db->in_flight++;
    proc_may_die(db->proc);
    if (!proc_is_heard(db->proc))
        return;
    int64_t delay = db->broken ? -1 : net_delay(db->proc->node, NODE_POSTGRES, false);
    if (delay < 0) {
        break_connection(db);
        return;
    }
    f->refs++;
    int64_t at = sim->now_us + delay;
    db->last_arrival_us = at > db->last_arrival_us ? at : db->last_arrival_us;
    sim_after(db->last_arrival_us - sim->now_us, NULL, on_arrival, flight_drop, f);
}

/* ---- life ---- */

struct db *db_new(struct loop *l, const char *url, const char *application_name,
    void (*on_state)(void *arg, bool up), void *arg)
{
    (void)l, (void)url, (void)application_name;
    struct db *db = mem_alloc(sizeof(*db));
    *db = (struct db){.proc = sim->at_work,
        .on_state = on_state,
        .arg = arg,
        .refs = 1,
        .retry_us = RETRY_US_MIN};
    list_init(&db->flights);
    wake(db, sim_between(200, 3 * MS), on_connect);
    return db;
}

void db_free(struct db *db)
{
    if (db == NULL)
        return;
    db->freed = true;
    part(db);
    answer_all(db, ERR_CANCELED);
    db_unref(db);
}

bool db_is_up(const struct db *db)
{
    return db->up;
}

const char *db_why(const struct db *db)
{
    return db->up ? "" : "simulated";
}

void db_reset(struct db *db)
{
    if (db->up)
        db_lose(db);
}

int64_t db_alive_mono_ms(const struct db *db)
{
    return db->alive_ms;
}

size_t db_in_flight(const struct db *db)
{
    return db->in_flight;
}

/* ---- the world's hands ---- */

void pg_end_sessions(void)
{
    sim_trace("Postgres ends sessions");
    for (size_t i = sim->pg->sessions.n; i-- > 0;)
        if (sim_between(0, 1) == 0 && i < sim->pg->sessions.n)
            terminate(sim->pg->sessions.v[i]);
}

void pg_restart(void)
{
    sim_trace("Postgres restarts");
    while (sim->pg->sessions.n > 0)
        terminate(sim->pg->sessions.v[sim->pg->sessions.n - 1]);
    pg_stall(sim_between(100 * MS, 8 * SECOND));
}

void pg_stall(int64_t us)
{
    if (sim->pg->stalled_until_us < sim->now_us + us)
        sim->pg->stalled_until_us = sim->now_us + us;
}

void pg_proc_died(struct proc *p)
{
    (void)p; /* its db_free() parts */
}

int64_t pg_clock_us(void)
{
    return EPOCH_US + sim->now_us + sim->pg_offset_us;
}

void pg_slow(int64_t us)
{
    sim->pg->slow_until_us = sim->now_us + us;
}
