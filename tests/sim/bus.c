/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus.c - core/bus/bus.h on the simulated network.
 *
 * As in bus_client.c a request is tried at one server at a time: at the next one when its
 * connection breaks or is refused, at the leader when it is told who leads, until its deadline.
 * What is lost breaks the connection, which the client notices soon, late, or not at all before the
 * deadline.  Messages travel packed, so that what arrives is what the wire carries.
 */
#include "core/bus/bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "tests/sim/check.h"
#include "tests/sim/part.h"

#define URLS_MAX  4
#define PAUSE_US  (100 * MS)
#define SILENT_US (3 * SECOND)

struct bus_server {
    struct proc *proc;
    char url[64];
    bus_request_fn on_request;
    void *arg;
    struct list calls, link;
};

/* What a message on its way knows of the request it belongs to, which may be over. */
struct handle {
    unsigned refs;
    struct bus_request *request; /* NULL: over */
    struct proc *proc;
    unsigned life;
    uint64_t try;
    bool local;
};

struct bus_call {
    struct bus_server *server;
    struct handle *from;
    uint64_t try, request_id;
    Stint__V1__Envelope__BodyCase asked;
    struct list link;
};

struct bus_client {
    struct proc *proc;
    char *urls[URLS_MAX];
    unsigned n, leader;
    struct list requests;
};

struct bus_request {
    struct bus_client *client;
    struct handle *handle;
    bus_reply_fn done;
    void *arg;
    unsigned at; /* the server it is tried at */
    struct list link;
    size_t n;
    uint8_t *packed;
};

/* A request, a reply, or the news that a connection broke. */
struct message {
    struct handle *handle;
    uint64_t try;
    char url[64];
    size_t n;
    uint8_t data[];
};

static struct list servers;
static uint64_t next_request;

void bus_world_begin(void)
{
    list_init(&servers);
    next_request = 0;
}

void bus_world_end(void)
{
}

static struct bus_server *find_server(const char *url)
{
    list_for(it, &servers)
    {
        struct bus_server *s = container_of(it, struct bus_server, link);
        if (strcmp(s->url, url) == 0 && s->proc->up)
            return s;
    }
    return NULL;
}

static void unref(struct handle *h)
{
    if (--h->refs == 0)
        free(h);
}

static struct message *message_new(struct handle *h, uint64_t try, const void *data, size_t n)
{
    struct message *m = mem_alloc(sizeof(*m) + n);
    *m = (struct message){.handle = h, .try = try, .n = n};
    if (data != NULL)
        memcpy(m->data, data, n);
    h->refs++;
    return m;
}

static void message_free(void *arg)
{
    struct message *m = arg;
    unref(m->handle);
    free(m);
}

/* ---- the end of a try ---- */

static void attempt(struct bus_request *r);

static void on_again(void *arg)
{
    struct message *m = arg;
    struct bus_request *r = m->handle->request;
    if (r != NULL && m->handle->try == m->try)
        attempt(r);
    message_free(m);
}

static void try_later(struct bus_request *r, int64_t after_us)
{
    uint64_t try = ++r->handle->try; /* what comes of the one before comes too late */
    sim_after(
        after_us, r->client->proc, on_again, message_free, message_new(r->handle, try, NULL, 0));
}

static void on_broken(void *arg)
{
    struct message *m = arg;
    struct bus_request *r = m->handle->request;
    if (r != NULL && m->handle->try == m->try) {
        r->client->leader = (r->at + 1) % r->client->n;
        try_later(r, r->client->n > 1 ? 5 * MS : PAUSE_US);
    }
    message_free(m);
}

/* The client hears that the connection of this try is gone. */
static void tell_broken(struct handle *h, uint64_t try, int64_t after_us)
{
    if (sim->over || h->request == NULL)
        return;
    sim_after(after_us, h->proc, on_broken, message_free, message_new(h, try, NULL, 0));
}

static void lose(struct handle *h, uint64_t try)
{
    if (sim_between(0, 2) > 0)
        tell_broken(h, try, sim_between(5 * MS, 3 * SECOND));
}

/* The real client asks the others who leads when one is silent; here it tries the next. */
static void on_silent(void *arg)
{
    struct message *m = arg;
    struct bus_request *r = m->handle->request;
    if (r != NULL && m->handle->try == m->try) {
        r->client->leader = (r->at + 1) % r->client->n;
        try_later(r, 0);
    }
    message_free(m);
}

static void request_free(struct bus_request *r)
{
    list_unlink(&r->link);
    r->handle->request = NULL;
    unref(r->handle);
    free(r->packed);
    free(r);
}

static void finish(struct bus_request *r, enum err code, const Stint__V1__Envelope *reply)
{
    bus_reply_fn done = r->done;
    void *arg = r->arg;
    request_free(r);
    done(arg, code, reply);
}

static void on_deadline(void *arg)
{
    struct message *m = arg;
    if (m->handle->request != NULL)
        finish(m->handle->request, ERR_TIMEOUT, NULL);
    message_free(m);
}

/* ---- replies ---- */

static void follow(struct bus_client *c, unsigned asked, const char *leader_url)
{
    c->leader = (asked + 1) % c->n;
    for (unsigned i = 0; i < c->n; i++)
        if (strcmp(c->urls[i], leader_url) == 0)
            c->leader = i;
}

static void take_reply(struct bus_request *r, const Stint__V1__Envelope *e)
{
    bool status = e->body_case == STINT__V1__ENVELOPE__BODY_STATUS;
    if (status && e->status->code == REFUSAL_NOT_LEADER) {
        follow(r->client, r->at, e->status->leader_url);
        try_later(r, PAUSE_US);
        return;
    }
    r->client->leader = r->at;
    finish(r, ERR_OK, e);
}

static void on_reply(void *arg)
{
    struct message *m = arg;
    struct bus_request *r = m->handle->request;
    if (r != NULL && m->handle->try == m->try) {
        Stint__V1__Envelope *e = wire_unpack(m->data, m->n);
        take_reply(r, e);
        wire_free(e);
    }
    message_free(m);
}

static void call_free(struct bus_call *c)
{
    list_unlink(&c->link);
    unref(c->from);
    free(c);
}

static void send_reply(struct bus_call *c, const Stint__V1__Envelope *e)
{
    struct proc *p = c->server->proc;
    size_t n = stint__v1__envelope__get_packed_size(e);
    struct message *m = message_new(c->from, c->try, NULL, n);
    m->n = n;
    stint__v1__envelope__pack(e, m->data);
    int64_t delay = net_delay(p->node, c->from->proc->node, c->from->local);
    if (delay < 0) {
        lose(c->from, c->try);
        message_free(m);
        return;
    }
    sim_after(delay, c->from->proc, on_reply, message_free, m);
}

void bus_reply(struct bus_call *c, Stint__V1__Envelope *e)
{
    struct proc *p = c->server->proc;
    e->request_id = c->request_id;
    proc_may_die(p);
    if (proc_is_heard(p)) {
        check_reply(p, c->asked, e);
        if (c->from->life == c->from->proc->life)
            send_reply(c, e);
    }
    call_free(c);
}

void bus_reply_status(struct bus_call *c, enum refusal code, const char *detail)
{
    Stint__V1__Status status = STINT__V1__STATUS__INIT;
    status.code = code;
    status.detail = (char *)(uintptr_t)(detail != NULL ? detail : "");
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_STATUS);
    e.status = &status;
    bus_reply(c, &e);
}

void bus_reply_not_leader(struct bus_call *c, const char *leader_url, bool was_taken)
{
    Stint__V1__Status status = STINT__V1__STATUS__INIT;
    status.code = REFUSAL_NOT_LEADER;
    status.leader_url = (char *)(uintptr_t)leader_url;
    status.was_taken = was_taken;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_STATUS);
    e.status = &status;
    bus_reply(c, &e);
}

/* ---- requests ---- */

static void on_request(void *arg)
{
    struct message *m = arg;
    struct bus_server *s = find_server(m->url);
    if (s == NULL) {
        tell_broken(m->handle, m->try, 100);
        message_free(m);
        return;
    }
    Stint__V1__Envelope *e = wire_unpack(m->data, m->n);
    struct bus_call *c = mem_alloc(sizeof(*c));
    *c = (struct bus_call){.server = s,
        .from = m->handle,
        .try = m->try,
        .request_id = e->request_id,
        .asked = e->body_case};
    m->handle->refs++;
    list_append(&s->calls, &c->link);
    s->on_request(s->arg, c, e);
    wire_free(e);
    message_free(m);
}

/* It arrives where nobody lives any more. */
static void request_refused(void *arg)
{
    struct message *m = arg;
    tell_broken(m->handle, m->try, 100);
    message_free(m);
}

static void send_to(struct bus_server *s, struct bus_request *r)
{
    struct handle *h = r->handle;
    unsigned copies = sim_happens(FAULT_DUPLICATE, 50) ? 2 : 1;
    for (; copies > 0; copies--) {
        int64_t delay = net_delay(h->proc->node, s->proc->node, h->local);
        if (delay < 0) {
            lose(h, h->try);
            continue;
        }
        struct message *m = message_new(h, h->try, r->packed, r->n);
        snprintf(m->url, sizeof(m->url), "%s", s->url);
        sim_after(delay, s->proc, on_request, request_refused, m);
    }
}

static void attempt(struct bus_request *r)
{
    struct bus_client *c = r->client;
    if (!proc_is_heard(c->proc))
        return;
    r->at = c->leader;
    struct bus_server *s = find_server(c->urls[r->at]);
    if (s == NULL) {
        tell_broken(r->handle, r->handle->try, sim_between(100, 2 * MS));
        return;
    }
    send_to(s, r);
    if (c->n > 1)
        sim_after(SILENT_US, c->proc, on_silent, message_free,
            message_new(r->handle, r->handle->try, NULL, 0));
}

struct bus_request *bus_send(struct bus_client *c, Stint__V1__Envelope *request, int64_t timeout_ms,
    bus_reply_fn done, void *arg)
{
    struct bus_request *r = mem_alloc(sizeof(*r));
    struct handle *h = mem_alloc(sizeof(*h));
    *h = (struct handle){.refs = 1, .request = r, .proc = c->proc, .life = c->proc->life};
    h->local = strncmp(c->urls[0], "ipc:", 4) == 0;
    *r = (struct bus_request){.client = c, .handle = h, .done = done, .arg = arg};
    request->request_id = ++next_request;
    r->n = stint__v1__envelope__get_packed_size(request);
    r->packed = mem_alloc(r->n);
    stint__v1__envelope__pack(request, r->packed);
    list_append(&c->requests, &r->link);
    sim_after(timeout_ms * MS, c->proc, on_deadline, message_free, message_new(h, 0, NULL, 0));
    proc_may_die(c->proc);
    attempt(r);
    return r;
}

void bus_request_cancel(struct bus_request *r)
{
    request_free(r);
}

/* ---- life ---- */

enum err bus_connect(
    struct loop *l, const char *urls, struct bus_client **ret_client, struct errctx *ctx)
{
    (void)l, (void)ctx;
    struct bus_client *c = mem_alloc(sizeof(*c));
    c->proc = sim->at_work;
    list_init(&c->requests);
    char *copy = mem_strdup(urls), *rest = copy, *url;
    while ((url = strsep(&rest, ",")) != NULL && c->n < URLS_MAX)
        c->urls[c->n++] = mem_strdup(url);
    free(copy);
    *ret_client = c;
    return ERR_OK;
}

void bus_client_free(struct bus_client *c)
{
    if (c == NULL)
        return;
    while (!list_is_empty(&c->requests))
        finish(container_of(c->requests.next, struct bus_request, link), ERR_CANCELED, NULL);
    for (unsigned i = 0; i < c->n; i++)
        free(c->urls[i]);
    free(c);
}

bool bus_client_is_up(const struct bus_client *c)
{
    (void)c;
    return true;
}

enum err bus_listen(struct loop *l, const char *url, unsigned calls_max, bus_request_fn on_request_,
    void *arg, struct bus_server **ret_server, struct errctx *ctx)
{
    (void)l, (void)calls_max, (void)ctx;
    struct bus_server *s = mem_alloc(sizeof(*s));
    *s = (struct bus_server){.proc = sim->at_work, .on_request = on_request_, .arg = arg};
    snprintf(s->url, sizeof(s->url), "%s", url);
    list_init(&s->calls);
    list_append(&servers, &s->link);
    *ret_server = s;
    return ERR_OK;
}

void bus_server_free(struct bus_server *s)
{
    if (s == NULL)
        return;
    while (!list_is_empty(&s->calls))
        call_free(container_of(s->calls.next, struct bus_call, link));
    list_unlink(&s->link);
    free(s);
}

const char *bus_server_url(const struct bus_server *s)
{
    return s->url;
}

void bus_proc_died(struct proc *p)
{
    list_for(it, &servers)
    {
        struct bus_server *s = container_of(it, struct bus_server, link);
        if (s->proc != p)
            continue;
        list_for(call, &s->calls)
        {
            struct bus_call *c = container_of(call, struct bus_call, link);
            tell_broken(c->from, c->try, sim_between(100, MS));
        }
    }
}
