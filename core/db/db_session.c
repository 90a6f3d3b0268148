/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_session.c - a blocking connection for what happens before the loop runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/db/db_internal.h"

struct db_session {
    PGconn *conn;
};

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

enum err db_session_open(const char *url, struct db_session **ret, struct errctx *ctx)
{
    const char *const keys[] = {"application_name", "connect_timeout", "dbname", NULL};
    const char *const values[] = {"stint", "5", url, NULL};
    PGconn *conn = PQconnectdbParams(keys, values, 1);
    if (PQstatus(conn) != CONNECTION_OK) {
        char why[200];
        db_one_line(why, sizeof(why), PQerrorMessage(conn));
        PQfinish(conn);
        return err_set(ctx, ERR_DB_DOWN, "the database cannot be reached: %s", why);
    }
    PQsetNoticeProcessor(conn, ignore_notice, NULL);
    *ret = mem_alloc(sizeof(**ret));
    (*ret)->conn = conn;
    return ERR_OK;
}

void db_session_close(struct db_session *s)
{
    if (s == NULL)
        return;
    PQfinish(s->conn);
    free(s);
}

static enum err run(
    struct db_session *s, const char *sql, PGresult **ret_result, struct errctx *ctx)
{
    PGresult *res = PQexec(s->conn, sql);
    ExecStatusType status = PQresultStatus(res);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY) {
        *ret_result = res;
        return ERR_OK;
    }
    char why[200];
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    enum err code = PQstatus(s->conn) == CONNECTION_OK ? db_code_of(state) : ERR_DB_DOWN;
    db_one_line(
        why, sizeof(why), res != NULL ? PQresultErrorMessage(res) : PQerrorMessage(s->conn));
    PQclear(res);
    return err_set(ctx, code, "%s", why);
}

enum err db_session_exec(struct db_session *s, const char *sql, struct errctx *ctx)
{
    PGresult *res;
    enum err e = run(s, sql, &res, ctx);
    if (e == ERR_OK)
        PQclear(res);
    return e;
}

enum err db_session_value(
    struct db_session *s, const char *sql, char *buf, size_t size, struct errctx *ctx)
{
    PGresult *res;
    buf[0] = '\0';
    enum err e = run(s, sql, &res, ctx);
    if (e != ERR_OK)
        return e;
    if (PQntuples(res) > 0 && PQnfields(res) > 0)
        snprintf(buf, size, "%s", PQgetvalue(res, 0, 0));
    PQclear(res);
    return ERR_OK;
}
