/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_redis.c - between us and hiredis.
 */
#include <hiredis/async.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fault/fault.h"

#define QUIET_MS 50

static _Atomic(redisAsyncContext *) unanswered;

#define REAL(name) ((__typeof__(name) *)fault_real(#name))

static enum fault_way befall(redisAsyncContext *redis)
{
    enum fault_way way = fault_at(POINT_REDIS);
    if (way == WAY_ENDED)
        shutdown(redis->c.fd, SHUT_RDWR);
    if (way == WAY_UNANSWERED)
        atomic_store(&unanswered, redis);
    return way;
}

/* No command of this name: an error. */
static int send_error(redisAsyncContext *redis, redisCallbackFn *fn, void *arg)
{
    const char *argv[] = {"FAULT"};
    return REAL(redisAsyncCommandArgv)(redis, fn, arg, 1, argv, NULL);
}

int redisAsyncCommandArgv(redisAsyncContext *redis, redisCallbackFn *fn, void *arg, int argc,
    const char **argv, const size_t *lengths)
{
    return befall(redis) == WAY_REFUSED
               ? send_error(redis, fn, arg)
               : REAL(redisAsyncCommandArgv)(redis, fn, arg, argc, argv, lengths);
}

int redisAsyncCommand(
    redisAsyncContext *redis, redisCallbackFn *fn, void *arg, const char *format, ...)
{
    if (befall(redis) == WAY_REFUSED)
        return send_error(redis, fn, arg);
    va_list ap;
    va_start(ap, format);
    int rv = redisvAsyncCommand(redis, fn, arg, format, ap);
    va_end(ap);
    return rv;
}

/* Here the answers come in. */
void redisAsyncHandleRead(redisAsyncContext *redis)
{
    redisAsyncContext *wanted = redis;
    char nowhere[4096];
    if (atomic_compare_exchange_strong(&unanswered, &wanted, NULL)) {
        struct pollfd fd = {.fd = redis->c.fd, .events = POLLIN};
        redisAsyncHandleWrite(redis);
        while (poll(&fd, 1, QUIET_MS) > 0 && read(fd.fd, nowhere, sizeof(nowhere)) > 0)
            continue;
        shutdown(fd.fd, SHUT_RDWR);
    }
    REAL(redisAsyncHandleRead)(redis);
}
