/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_sql.c - between us and libpq.
 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "tests/fault/fault.h"

#define QUIET_MS 50 /* so long nothing has come: the server has said all it has to say */

static _Atomic(PGconn *) unanswered;

#define REAL(name) ((__typeof__(name) *)fault_real(#name))

/* An error of the server's, in place of the statement. */
static int send_error(PGconn *c)
{
    return REAL(PQsendQueryParams)(
        c, "SELECT 1 / (count(*) - count(*)) FROM pg_class", 0, NULL, NULL, NULL, NULL, 1);
}

/* Before the statement: true when another one goes in its place. */
static bool befall(PGconn *c)
{
    enum fault_way way = fault_at(POINT_SQL);
    if (way == WAY_ENDED)
        shutdown(PQsocket(c), SHUT_RDWR);
    if (way == WAY_UNANSWERED)
        atomic_store(&unanswered, c);
    return way == WAY_REFUSED;
}

int PQsendPrepare(PGconn *c, const char *name, const char *query, int n, const Oid *types)
{
    return befall(c) ? send_error(c) : REAL(PQsendPrepare)(c, name, query, n, types);
}

int PQsendQueryPrepared(PGconn *c, const char *name, int n, const char *const *values,
    const int *lengths, const int *formats, int result)
{
    return befall(c) ? send_error(c)
                     : REAL(PQsendQueryPrepared)(c, name, n, values, lengths, formats, result);
}

PGresult *PQexec(PGconn *c, const char *query)
{
    switch (fault_at(POINT_SQL)) {
    case WAY_REFUSED:
        return REAL(PQexec)(c, "SELECT 1 / (count(*) - count(*)) FROM pg_class");
    case WAY_ENDED:
        shutdown(PQsocket(c), SHUT_RDWR);
        break;
    case WAY_UNANSWERED:
        PQclear(REAL(PQexec)(c, query));
        shutdown(PQsocket(c), SHUT_RDWR);
        break;
    default:
        break;
    }
    return REAL(PQexec)(c, query);
}

/* Here the answers come in; these never do, though the server has done what it was asked. */
int PQconsumeInput(PGconn *c)
{
    PGconn *wanted = c;
    if (!atomic_compare_exchange_strong(&unanswered, &wanted, NULL))
        return REAL(PQconsumeInput)(c);
    struct pollfd fd = {.fd = PQsocket(c), .events = POLLIN};
    do {
        PQflush(c);
        REAL(PQconsumeInput)(c);
    } while (poll(&fd, 1, QUIET_MS) > 0 && PQstatus(c) == CONNECTION_OK);
    shutdown(PQsocket(c), SHUT_RDWR);
    return REAL(PQconsumeInput)(c);
}
