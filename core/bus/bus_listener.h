/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus_listener.h - a listener of nng's that stays alive.
 *
 * An ipc path left over from a dead process is replaced, one that a living process serves is not.
 *
 * nng 1.5 (Debian's) takes EPIPE while greeting a peer for the end of the listener itself: from
 * then on connections are accepted by the kernel and never served.  Any process that can connect
 * can do that by hanging up at once, by accident or not.  Linked with this file, the process has a
 * sendmsg() that tells nng ECONNRESET instead, which it takes for what it is.
 */
#ifndef CORE_BUS_BUS_LISTENER_H
#define CORE_BUS_BUS_LISTENER_H

#include <nng/nng.h>

#include "core/base/err.h"

struct bus_listener;

/* Listens with `socket` (a REP one), which is borrowed; errors as bus_listen(). */
enum err must_check bus_listener_new(
    nng_socket socket, const char *url, struct bus_listener **ret_listener, struct errctx *ctx);
/* After nng_close() of the socket, which ends the listening. */
void bus_listener_free(struct bus_listener *b);
/* The URL with the real port. */
const char *bus_listener_url(const struct bus_listener *b);

#endif
