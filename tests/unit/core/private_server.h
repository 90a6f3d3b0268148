/* SPDX-License-Identifier: Apache-2.0 */
/*
 * private_server.h - a Postgres or a Redis of a test's own, on a socket in a directory of its own.
 *
 * Both stop with the test, however it ends.  As root, they run as postgres or nobody.
 */
#ifndef TESTS_UNIT_CORE_PRIVATE_SERVER_H
#define TESTS_UNIT_CORE_PRIVATE_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct private_server {
    char dir[64];
    char url[160]; /* for db_new() or kv_new() */
    char program[256];
    pid_t pid; /* 0: not running */
    bool is_postgres;
};

/* False when the program is not installed. */
bool private_postgres_make(struct private_server *s);
bool private_redis_make(struct private_server *s);
/* Run it; returns when its socket is there. */
void private_server_start(struct private_server *s);
/* Kill it with `signal` and wait. */
void private_server_stop(struct private_server *s, int signal);
/* Stop it and remove all it has left. */
void private_server_done(struct private_server *s);

#endif
