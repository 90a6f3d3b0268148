/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus_listener.h - a listener of nng's that stays alive.
 *
 * nng 1.5 (Debian's) takes a peer that hangs up in the middle of the handshake for the end of the
 * listener itself: from then on connections are accepted by the kernel and never served.  Any
 * process that can connect can do that, by accident or not.  So the listener is watched: once a
 * second a canary shakes hands with it, and when no pipe comes of that it is replaced by a new one.
 *
 * Watched are ipc:// and tcp://.  All calls on the loop's thread.
 */
#ifndef CORE_BUS_BUS_LISTENER_H
#define CORE_BUS_BUS_LISTENER_H

#include <nng/nng.h>

#include "core/base/err.h"
#include "core/loop/loop.h"

struct bus_listener;

/* Listens with `socket` (a REP one), which is borrowed; errors as bus_listen(). */
enum err must_check bus_listener_new(struct loop *l, nng_socket socket, const char *url,
    struct bus_listener **ret_listener, struct errctx *ctx);
/* Before nng_close() of the socket: no more watching. */
void bus_listener_stop(struct bus_listener *b);
/* After nng_close() of the socket, which ends the listening. */
void bus_listener_free(struct bus_listener *b);
/* The URL with the real port. */
const char *bus_listener_url(const struct bus_listener *b);

#endif
