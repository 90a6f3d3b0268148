/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pg.h - the model of Postgres: rows as far as the daemons look at them, and what its files share.
 *
 *   pg_door.c    core/db/db.h: connections, sessions, batches on their way and back
 *   pg_store.c   the statements of sql/query/store.sql
 *   pg_load.c    those of leader.sql and load.sql
 *   pg_report.c  those of report.sql
 *
 * A batch is applied at one instant, whole or not at all, as Postgres does it for batches that
 * conflict.  A statement that the model does not know, or one with more parameters than the model
 * reads, ends the program with a sentence: the model must follow sql/query.
 */
#ifndef TESTS_SIM_PG_H
#define TESTS_SIM_PG_H

#include "core/base/map.h"
#include "core/db/db.h"
#include "scheduler/core/core.h"
#include "tests/sim/world.h"

/* ---- rows ---- */

struct pg_job {
    struct uuid id, build_id, version_id, organization_id, worker_id, command_id;
    enum job_kind kind;
    enum job_state state;
    int64_t token, created_us, completed_us;
    int32_t attempt, priority, series;
    bool holds_compute, cancel_requested;
    char *provisioner, *error;
    struct pg_task *task; /* NULL: an import */
    bool is_cleanup;
};

struct pg_build {
    struct uuid id, agent_id;
    struct uuid before; /* the build of the number before */
    struct pg_task *task;
    struct pg_job *job;
    enum job_kind kind;
    int32_t number;
    int64_t deadline_us; /* of the database's clock; 0: none */
};

/* A task with its workspace. */
struct pg_task {
    struct uuid id, workspace_id, organization_id, owner_id, template_id, version_id, update_id;
    struct pg_build *build; /* the newest, by the workspace's row */
    struct pg_agent *agent;
    char *name, *prompt, *provisioner, *host;
    int32_t build_number, priority;
    int32_t builds; /* how many there are */
    struct uuid last_build;
    int64_t revision, ttl_ms, bump_ms, start_after_us, time_limit_ms, created_us;
    bool deleted, workspace_deleted, has_parameters;
    int64_t message_seq;
};

struct pg_agent {
    struct uuid id, token;
    struct pg_task *task;
    struct pg_build *build;
    char *app_slug;
    const char *state, *lifecycle, *health; /* literals; NULL: none */
    int64_t watermark, last_seq, rest_seq;  /* of statuses: the newest by report, by REST (< 0) */
    bool connected, disconnected;
};

struct pg_message {
    struct uuid id;
    struct pg_task *task;
    int64_t seq;
    char *content;
    const char *state; /* a literal */
};

struct pg_worker {
    struct uuid id;
    char *name, *host, *provisioners;
    bool gone;
    int64_t lease_until_us;
};

struct session;

struct pg {
    struct map tasks, workspaces, builds, jobs, agents, messages, workers;
    VEC(struct pg_task *) task_list; /* in the order of making; so the others */
    VEC(struct pg_build *) build_list;
    VEC(struct pg_job *) job_list;
    VEC(struct pg_agent *) agent_list;
    VEC(struct pg_message *) message_list;
    VEC(struct pg_worker *) worker_list;
    uint64_t epoch;
    char leader_url[64];
    struct session *lock;
    VEC(struct session *) sessions;
    int64_t stalled_until_us, slow_until_us;
    size_t holding; /* rows of jobs that hold compute */
};

/* ---- statements ---- */

enum value_kind { VALUE_NULL, VALUE_UUID, VALUE_INT, VALUE_TEXT, VALUE_ARRAY };

struct value {
    enum value_kind kind;
    struct uuid uuid;
    int64_t i;
    char *text; /* owned */
    struct db_array *array;
};

struct db_array {
    enum db_type type;
    VEC(struct value) values;
};

struct db_result {
    int columns;
    VEC(struct value) values; /* row by row */
    int64_t affected;
};

/* One statement being carried out. */
struct query {
    enum sql_id id;
    struct value *params;
    size_t n;
    size_t read; /* the furthest parameter that was looked at */
    struct session *session;
    struct db_result *result;
    enum err error; /* ERR_OK so far */
};

/* Parameters from 1, rows of arrays from 0. */
size_t query_rows(struct query *q, size_t param);
struct uuid query_uuid(struct query *q, size_t param);
int64_t query_int(struct query *q, size_t param);
bool query_is_null(struct query *q, size_t param);
const char *query_text(struct query *q, size_t param); /* NULL: NULL */
struct uuid array_uuid(struct query *q, size_t param, size_t row);
int64_t array_int(struct query *q, size_t param, size_t row);
const char *array_text(struct query *q, size_t param, size_t row);
/* The model has no use for this one and those before it. */
void query_skip(struct query *q, size_t param);

/* The next value of the result. */
void put_uuid(struct query *q, const struct uuid *u);
void put_int(struct query *q, int64_t v);
void put_text(struct query *q, const char *s);
void put_null(struct query *q);
/* Columns of the rows to come. */
void put_columns(struct query *q, int n);

typedef void (*statement_fn)(struct query *q);
/* NULL: not of this file. */
statement_fn pg_store_statement(enum sql_id id);
statement_fn pg_load_statement(enum sql_id id);
statement_fn pg_report_statement(enum sql_id id);

/* One of the words that rows may hold, as a literal; ends the program for any other. */
const char *pg_word(const char *word);
enum job_kind pg_kind(const char *name);

/* What pg_stat_activity and table schedulers say of a session. */
void pg_session_say(struct session *s, const char *application_name);
void pg_session_register(struct session *s, const char *url);
/* How many living ones are registered by another URL. */
int64_t pg_sessions_beside(const char *url);
/* End the session that holds the lock, if it has been silent for so long.  True: it was. */
bool pg_end_silent(const struct session *asker, int64_t silence_ms);
bool pg_session_has_lock(const struct session *s);
void pg_session_take_lock(struct session *s);

#endif
