/* SPDX-License-Identifier: Apache-2.0 */
/* pg_report.c - the statements of sql/query/report.sql: what ingest writes. */
#include "tests/sim/check.h"
#include "tests/sim/part.h"
#include "tests/sim/pg.h"

static void watermarks(struct query *q)
{
    put_columns(q, 3);
    for (size_t i = 0; i < query_rows(q, 1); i++) {
        struct uuid id = array_uuid(q, 1, i);
        const struct pg_agent *a = map_get(&sim->pg->agents, &id);
        if (a == NULL)
            continue;
        put_uuid(q, &id);
        put_int(q, a->watermark);
        put_uuid(q, &a->task->id);
    }
}

/* ON CONFLICT DO NOTHING: what is there stays. */
static void insert_statuses(struct query *q)
{
    query_skip(q, 7);
    for (size_t i = 0; i < query_rows(q, 1); i++) {
        struct uuid id = array_uuid(q, 1, i);
        struct pg_agent *a = map_get(&sim->pg->agents, &id);
        int64_t seq = array_int(q, 2, i);
        if (a == NULL || seq <= a->last_seq)
            continue;
        check_status(a, seq, array_text(q, 5, i), array_text(q, 6, i));
        a->last_seq = seq;
        sim->figures.reports++;
    }
}

static void update_agents(struct query *q)
{
    query_skip(q, 6);
    for (size_t i = 0; i < query_rows(q, 1); i++) {
        struct uuid id = array_uuid(q, 1, i);
        struct pg_agent *a = map_get(&sim->pg->agents, &id);
        if (a == NULL)
            continue;
        int64_t watermark = array_int(q, 2, i);
        a->watermark = watermark > a->watermark ? watermark : a->watermark;
        if (array_text(q, 3, i) != NULL)
            a->lifecycle = pg_word(array_text(q, 3, i));
        if (array_text(q, 4, i) != NULL)
            a->state = pg_word(array_text(q, 4, i));
        check_watermark(a);
    }
}

static void update_apps(struct query *q)
{
    query_skip(q, 3);
    for (size_t i = 0; i < query_rows(q, 1); i++) {
        struct uuid id = array_uuid(q, 1, i);
        struct pg_agent *a = map_get(&sim->pg->agents, &id);
        if (a != NULL)
            a->health = pg_word(array_text(q, 3, i));
    }
}

static void skip_all(struct query *q)
{
    if (q->n > 0)
        query_skip(q, q->n);
}

static const statement_fn statements[SQL_COUNT] = {
    [SQL_REPORT_WATERMARKS] = watermarks,
    [SQL_REPORT_INSERT_STATUSES] = insert_statuses,
    [SQL_REPORT_UPDATE_AGENTS] = update_agents,
    [SQL_REPORT_UPDATE_APPS] = update_apps,
    [SQL_REPORT_INSERT_AGENT_LOGS] = skip_all,
    [SQL_REPORT_UPSERT_METADATA] = skip_all,
    [SQL_REPORT_UPSERT_MESSAGES] = skip_all,
};

statement_fn pg_report_statement(enum sql_id id)
{
    return statements[id];
}
