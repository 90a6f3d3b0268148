/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus.h - nng REQ/REP with contexts: requests, replies, long-poll.
 *
 * Every message is a packed stint.v1.Envelope.  nng's own threads only hand messages over to the
 * loop's mailbox; all calls and callbacks here are on the loop's thread.
 *
 * A request is sent again, with the same request_id, when its connection breaks, to the leader or
 * the next server when this one says it does not lead (Status NOT_LEADER), and to the leader when
 * this one is silent and another one leads; until its timeout: handlers are idempotent.
 *
 * Each message carries a version.  A server answers in that of the request, and refuses one that
 * it does not know with VERSION and the newest that it does; the client then speaks that one to it,
 * if it knows it, for as long as the connection lasts.  So both speak the newer of what both know.
 *
 * URLs: ipc:///path, tcp://host:port, ws://host:port/path, tls+tcp://, wss://.  A listener on
 * tcp://host:0 gets a free port, see bus_server_url().
 */
#ifndef CORE_BUS_BUS_H
#define CORE_BUS_BUS_H

#include <stdint.h>

#include "core/base/err.h"
#include "core/loop/loop.h"
#include "core/wire/wire.h"

#define BUS_MESSAGE_BYTES_MAX (8 * 1024 * 1024)

/* ---- serving ---- */

struct bus_server;
/* One request that waits for its reply.  It may be held for as long as needed. */
struct bus_call;

/* `request` is valid until the callback returns.  A message that cannot be unpacked or has an
 * unknown version is answered by the bus itself (MALFORMED, VERSION). */
typedef void (*bus_request_fn)(
    void *arg, struct bus_call *call, const Stint__V1__Envelope *request);

/*
 * Listen on `url` (an ipc path left over from a dead process is replaced; ERR_CONFLICT with a
 * sentence when a living one has it).  `calls_max` bounds the requests held at once; at the limit
 * further ones wait in nng.
 */
enum err must_check bus_listen(struct loop *l, const char *url, unsigned calls_max,
    bus_request_fn on_request, void *arg, struct bus_server **ret_server, struct errctx *ctx);
/* Held calls are dropped without an answer (requesters send again elsewhere). */
void bus_server_free(struct bus_server *s);
/* The URL with the real port. */
const char *bus_server_url(const struct bus_server *s);
/* Know other versions than this build does: for tests of how versions meet. */
void bus_server_speak(struct bus_server *s, const struct wire_versions *versions);

/* Answer and free the call.  request_id and version are filled in here. */
void bus_reply(struct bus_call *call, Stint__V1__Envelope *reply);
/* The common short answer. */
void bus_reply_status(struct bus_call *call, enum refusal code, const char *detail);
/* `was_taken`: the request was taken in while it led, and may have been done. */
void bus_reply_not_leader(struct bus_call *call, const char *leader_url, bool was_taken);

/* ---- asking ---- */

struct bus_client;
struct bus_request;

/* `reply` is NULL unless code is ERR_OK (ERR_TIMEOUT, ERR_CANCELED, ERR_BUS_DOWN, ERR_FAILED for a
 * reply that cannot be unpacked); valid until the callback returns. */
typedef void (*bus_reply_fn)(void *arg, enum err code, const Stint__V1__Envelope *reply);

/* `urls`: comma-separated servers of which one leads.  Connects in the background.  Servers that
 * these name as the leader are learned, up to eight. */
enum err must_check bus_connect(
    struct loop *l, const char *urls, struct bus_client **ret_client, struct errctx *ctx);
/* Open requests are answered ERR_CANCELED. */
void bus_client_free(struct bus_client *c);
/* As bus_server_speak(). */
void bus_client_speak(struct bus_client *c, const struct wire_versions *versions);
/* Some server is connected at this moment. */
bool bus_client_is_up(const struct bus_client *c);

/* Sends (packs at once; `request` is borrowed during the call).  done() is called exactly once,
 * never from inside this call.  request_id and version are filled in here. */
struct bus_request *bus_send(struct bus_client *c, Stint__V1__Envelope *request, int64_t timeout_ms,
    bus_reply_fn done, void *arg);
/* done() will not be called any more. */
void bus_request_cancel(struct bus_request *r);

#endif
