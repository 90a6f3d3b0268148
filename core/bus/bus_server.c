/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus_server.c - a pool of REP contexts that go round.
 *
 *            +-------------------- free <----------------+
 *            v                                           |  enough are receiving
 *        receiving --message--> held --bus_reply()--> replying
 *            ^                                           |
 *            +-------------------------------------------+
 *
 * Up to RECEIVE_AHEAD contexts receive at any time; a held call costs one context and no thread.
 * The short way round, from replying back to receiving, runs on nng's threads alone; the loop only
 * sees requests, already unpacked there.  New contexts are made by the loop when the free ones are
 * used up, until there are calls_max.
 *
 * The pool is under `lock`.  A call's other fields belong to whoever has the call: nng while it
 * receives or replies, the loop while it is held; nng's own locks order the hand-overs.
 */
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/bus/bus.h"
#include "core/bus/bus_close.h"
#include "core/bus/bus_listener.h"

#define RECEIVE_AHEAD 32

enum phase { RECEIVING, HELD, REPLYING };

struct bus_call {
    struct bus_server *server;
    struct list pool; /* free list, under lock */
    nng_ctx ctx;
    nng_aio *aio;
    enum phase phase;
    uint64_t request_id;
    unsigned version;             /* of the request, and so of the reply */
    Stint__V1__Envelope *request; /* NULL: it was malformed */
};

struct bus_server {
    struct loop *loop;
    nng_socket socket;
    struct bus_listener *listener;
    bus_request_fn on_request;
    void *arg;
    struct wire_versions versions;
    bool closed; /* the loop's */

    pthread_mutex_t lock;
    struct list free;
    unsigned receiving;
    struct bus_call **calls; /* all of them; the loop's */
    unsigned n_calls, calls_max;
};

static void on_call(void *arg);
static void on_aio(void *arg);

/* ---- the pool ---- */

/* A free call becomes a receiving one, if there is one and one more is wanted. */
static struct bus_call *take_to_receive(struct bus_server *s)
{
    pthread_mutex_lock(&s->lock);
    struct list *item = s->receiving < RECEIVE_AHEAD ? list_pop(&s->free) : NULL;
    s->receiving += item != NULL;
    pthread_mutex_unlock(&s->lock);
    return item != NULL ? container_of(item, struct bus_call, pool) : NULL;
}

static void receive(struct bus_call *call)
{
    call->phase = RECEIVING;
    nng_ctx_recv(call->ctx, call->aio);
}

/* The call has come round: it receives again, or waits for its turn. */
static void give_back(struct bus_call *call)
{
    struct bus_server *s = call->server;
    pthread_mutex_lock(&s->lock);
    bool again = s->receiving < RECEIVE_AHEAD;
    if (again)
        s->receiving++;
    else
        list_append(&s->free, &call->pool);
    pthread_mutex_unlock(&s->lock);
    if (again)
        receive(call);
}

static struct bus_call *call_new(struct bus_server *s)
{
    struct bus_call *call = mem_alloc(sizeof(*call));
    call->server = s;
    list_init(&call->pool);
    if (nng_ctx_open(&call->ctx, s->socket) != 0) {
        free(call);
        return NULL;
    }
    if (nng_aio_alloc(&call->aio, on_aio, call) != 0)
        mem_out();
    s->calls[s->n_calls++] = call;
    return call;
}

/* On the loop: keep enough contexts receiving, making them while there may be more. */
static void keep_receiving(struct bus_server *s)
{
    struct bus_call *call;
    while ((call = take_to_receive(s)) != NULL)
        receive(call);
    while (s->n_calls < s->calls_max) {
        pthread_mutex_lock(&s->lock);
        bool more = s->receiving < RECEIVE_AHEAD;
        s->receiving += more;
        pthread_mutex_unlock(&s->lock);
        if (!more)
            return;
        call = call_new(s);
        if (call == NULL) {
            pthread_mutex_lock(&s->lock);
            s->receiving--;
            pthread_mutex_unlock(&s->lock);
            return;
        }
        receive(call);
    }
}

/* ---- nng's threads ---- */

static void on_received(struct bus_call *call)
{
    struct bus_server *s = call->server;
    nng_msg *m = nng_aio_get_msg(call->aio);
    call->phase = HELD;
    call->request = wire_unpack(nng_msg_body(m), nng_msg_len(m));
    call->request_id = call->request != NULL ? call->request->request_id : 0;
    nng_msg_free(m);

    pthread_mutex_lock(&s->lock);
    s->receiving--;
    pthread_mutex_unlock(&s->lock);
    struct bus_call *next = take_to_receive(s);
    if (next != NULL)
        receive(next);
    loop_post(s->loop, on_call, call);
}

static void on_aio(void *arg)
{
    struct bus_call *call = arg;
    int rv = nng_aio_result(call->aio);
    if (call->phase == REPLYING && rv != 0)
        nng_msg_free(nng_aio_get_msg(call->aio));
    if (rv == NNG_ECLOSED || rv == NNG_ECANCELED)
        return; /* the server is being freed */
    if (call->phase == REPLYING)
        give_back(call);
    else if (rv == 0)
        on_received(call);
    else
        receive(call);
}

/* ---- the loop ---- */

/* What the asker speaks is spoken back to it. */
static void take(struct bus_call *call, const Stint__V1__Envelope *request)
{
    call->version = request->version;
    call->server->on_request(call->server->arg, call, request);
}

static void on_call(void *arg)
{
    struct bus_call *call = arg;
    struct bus_server *s = call->server;
    Stint__V1__Envelope *request = call->request;
    call->request = NULL;
    call->version = s->versions.max;
    if (s->closed) {
        wire_free(request);
        return;
    }
    if (request == NULL)
        bus_reply_status(call, REFUSAL_MALFORMED, "");
    else if (request->version < s->versions.min || request->version > s->versions.max)
        bus_reply_status(call, REFUSAL_VERSION, "");
    else
        take(call, request);
    wire_free(request);
    if (!s->closed)
        keep_receiving(s);
}

void bus_reply(struct bus_call *call, Stint__V1__Envelope *reply)
{
    if (call->server->closed)
        return; /* its connection is gone */
    reply->version = call->version;
    reply->request_id = call->request_id;
    size_t n = stint__v1__envelope__get_packed_size(reply);
    if (n > BUS_MESSAGE_BYTES_MAX) { /* the other side would only hang up on it */
        log_error("a reply is larger than the bus carries body=%d bytes=%zu", reply->body_case, n);
        bus_reply_status(call, REFUSAL_OVERLOADED, "The answer is larger than the bus carries.");
        return;
    }
    nng_msg *m = bus_message_new(n);
    stint__v1__envelope__pack(reply, nng_msg_body(m));
    call->phase = REPLYING;
    nng_aio_set_msg(call->aio, m);
    nng_ctx_send(call->ctx, call->aio);
}

static void reply_status(struct bus_call *call, Stint__V1__Status *status)
{
    Stint__V1__Envelope reply = wire_envelope(STINT__V1__ENVELOPE__BODY_STATUS);
    reply.status = status;
    bus_reply(call, &reply);
}

void bus_reply_status(struct bus_call *call, enum refusal code, const char *detail)
{
    Stint__V1__Status status = STINT__V1__STATUS__INIT;
    status.code = (uint32_t)code;
    status.detail = (char *)(uintptr_t)(detail != NULL ? detail : "");
    reply_status(call, &status);
}

void bus_reply_not_leader(struct bus_call *call, const char *leader_url, bool was_taken)
{
    Stint__V1__Status status = STINT__V1__STATUS__INIT;
    status.code = REFUSAL_NOT_LEADER;
    status.leader_url = (char *)(uintptr_t)leader_url;
    status.was_taken = was_taken;
    reply_status(call, &status);
}

/* ---- life ---- */

static void server_done(void *arg)
{
    struct bus_server *s = arg;
    for (unsigned i = 0; i < s->n_calls; i++) {
        nng_aio_free(s->calls[i]->aio);
        wire_free(s->calls[i]->request);
        free(s->calls[i]);
    }
    pthread_mutex_destroy(&s->lock);
    free(s->calls);
    free(s);
}

/* Run by bus_close(). */
static void close_socket(void *arg)
{
    struct bus_server *s = arg;
    nng_close(s->socket);
}

void bus_server_free(struct bus_server *s)
{
    if (s == NULL)
        return;
    s->closed = true;
    /* First: nng 1.5 does not bear nng_close() beside an nng_ctx_recv() of its own threads.  What a
     * callback begins on a stopped aio is dropped. */
    for (unsigned i = 0; i < s->n_calls; i++)
        nng_aio_stop(s->calls[i]->aio);
    bool is_closed = bus_close(close_socket, s);
    bus_listener_free(s->listener);
    if (!is_closed)
        return;
    /* Requests that came in before are in the mailbox; they go first. */
    loop_post(s->loop, server_done, s);
}

enum err bus_listen(struct loop *l, const char *url, unsigned calls_max, bus_request_fn on_request,
    void *arg, struct bus_server **ret_server, struct errctx *ctx)
{
    struct bus_server *s = mem_alloc(sizeof(*s));
    s->loop = l;
    s->on_request = on_request;
    s->arg = arg;
    s->versions = wire_versions;
    s->calls_max = calls_max;
    s->calls = mem_calloc(calls_max, sizeof(struct bus_call *));
    list_init(&s->free);
    pthread_mutex_init(&s->lock, NULL);
    if (nng_rep0_open(&s->socket) != 0)
        mem_out();
    nng_socket_set_size(s->socket, NNG_OPT_RECVMAXSZ, BUS_MESSAGE_BYTES_MAX);

    enum err e = bus_listener_new(s->socket, url, &s->listener, ctx);
    if (e != ERR_OK) {
        bus_server_free(s);
        return e;
    }
    keep_receiving(s);
    *ret_server = s;
    return ERR_OK;
}

const char *bus_server_url(const struct bus_server *s)
{
    return bus_listener_url(s->listener);
}

void bus_server_speak(struct bus_server *s, const struct wire_versions *versions)
{
    s->versions = *versions;
}
