/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv.h - Redis: commands, streams and pub/sub on one connection (hiredis, asynchronous).
 *
 * A `struct kv` connects, and connects again with back-off (50 ms doubling to 2 s, with jitter).
 * All calls and callbacks are on the loop's thread.  A connection that subscribes does nothing
 * else: use two objects.
 *
 * Commands sent while down are answered at once with ERR_KV_DOWN; those in flight when the
 * connection breaks likewise.  Nothing is queued: Redis is a way, not a store (rule 9).
 */
#ifndef CORE_KV_KV_H
#define CORE_KV_KV_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"
#include "core/loop/loop.h"

struct kv;

/* `reply` is NULL unless code is ERR_OK; a Redis error reply comes as ERR_FAILED with the reply
 * set. It belongs to kv and is gone after the call. */
typedef void (*kv_done_fn)(void *arg, enum err code, const struct redisReply *reply);

/* `url`: "unix:///path/to.sock" or "redis://[:password@]host:port[/db]".  `on_state` as in db.h. */
struct kv *kv_new(struct loop *l, const char *url, void (*on_state)(void *arg, bool up), void *arg);
void kv_free(struct kv *kv);
bool kv_is_up(const struct kv *kv);
const char *kv_why(const struct kv *kv);

/* Commands of one turn leave in one write.  `done` may be NULL. */
void kv_command(struct kv *kv, kv_done_fn done, void *arg, int argc, const char *const *argv,
    const size_t *lens);

/* Subscribe now and again after every reconnect.  `on_message` may be called with len 0 and NULL
 * data to say "(re)subscribed: what came before may have been missed". */
typedef void (*kv_message_fn)(void *arg, const char *channel, const char *data, size_t len);
void kv_subscribe(struct kv *kv, const char *channel, kv_message_fn on_message, void *arg);

#endif
