/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.h - what stands between the sockets and libwebsockets.
 *
 * It counts connections, reads every byte before libwebsockets does (framing.h), and looks at the
 * clock for those who send too slowly.  What it refuses it answers itself, in words of its own, and
 * the connection ends.  Only the loop's thread calls it.
 */
#ifndef GATEWAY_GUARD_H
#define GATEWAY_GUARD_H

#include <libwebsockets.h>

#include "gateway/gateway.h"

struct http;
struct guard;
struct connection;

struct guard *guard_new(struct http *h);
/* The clock stops; guard_free() when libwebsockets is gone. */
void guard_stop(struct guard *g);
void guard_free(struct guard *g);
/* Connections, of people and streams alike. */
size_t guard_count(const struct guard *g);

/* Before libwebsockets takes a socket in.  False: it has been told why, close it. */
bool guard_admit(struct guard *g, int fd);
void guard_opened(struct guard *g, struct lws *wsi);
void guard_closed(struct guard *g, struct lws *wsi);
/* From now on it is a WebSocket: no more requests. */
void guard_upgraded(struct guard *g, struct lws *wsi);
/* A request has had its answer and another may follow. */
void guard_answered(struct guard *g, struct lws *wsi);

struct request;
/* Fills in r->client and counts the request for it.  False: 429 or 503 has been answered. */
bool guard_admit_request(struct guard *g, struct request *r, const char *forwarded);
void guard_request_over(struct guard *g, struct request *r);

#endif
