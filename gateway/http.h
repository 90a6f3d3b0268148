/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - the one door to libwebsockets: connections in, requests out, answers back.
 */
#ifndef GATEWAY_HTTP_H
#define GATEWAY_HTTP_H

#include "gateway/gateway.h"

struct request;
struct http;

/* Listens on gw->conf.address and port; ERR_CONFLICT with a sentence when the port is taken. */
enum err must_check http_listen(struct gateway *gw, struct http **ret_http, struct errctx *ctx);
/* Further answers end their connections; `done` is called when no request is open any more. */
void http_drain(struct http *h, loop_fn done, void *arg);
/* Closes what is left.  The loop must turn a few times more before http_free(). */
void http_close(struct http *h);
void http_free(struct http *h);

/* The port that was taken. */
int http_port(const struct http *h);

/* A request has its answer (answer.c). */
void http_answer(struct request *r);

#endif
