/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus_client.c - requests that find their way.
 *
 * One REQ socket per server, each with a pool of contexts ("slots"); nng keeps the connections.  A
 * request owns its packed bytes, so that it can be sent as often as needed:
 *
 *      +--> waiting: no server is connected --(one is)--+
 *      |                                                v
 *    bus_send ------------------------------------> in a slot --answer--> done()
 *                                                       |
 *      +-- paused: 50..150 ms <--NOT_LEADER, lost again -+
 *      |                                                |
 *      +--------> in a slot, maybe of the next server <-+ connection lost
 *
 * A server that is connected and silent may be frozen, or slow.  When it owes an answer and has
 * given none for SUSPECT_MS, the others are asked who leads.  If one of them does, what the silent
 * one owes is asked there; else it goes on waiting: a slow answer is not asked for twice.
 *
 * Crowds that lost the same server do not come back in step: nng chooses each pause before it dials
 * again at random, and so are the pauses here.
 *
 * nng's own resending is off: it would wait for the same server to come back and, on its timer,
 * send what a server merely holds (a long-poll, a slow commit) a second time.  With it off, nng
 * tells at once when the connection breaks, and the request goes to whichever server is there.
 *
 * Deadlines and pauses share one timer, set to the nearest of them.
 */
#include <assert.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/bus/bus.h"
#include "core/bus/bus_close.h"

#define PAUSE_MS         100 /* on average */
#define SUSPECT_MS       1500
#define PROBE_MS         500 /* between questions who leads, and for each */
#define LEARNED_MAX      8   /* servers that others have named */
#define RECONNECT_MIN_MS 20
#define RECONNECT_MAX_MS 500

enum phase { SENDING, RECEIVING };

/* A context: free, or carrying one try of one request. */
struct slot {
    struct server *server;
    struct list node;        /* server's free or busy list */
    struct bus_request *req; /* the loop's; NULL when nobody waits any more */
    nng_ctx ctx;
    nng_aio *aio;
    enum phase phase;           /* nng's while busy */
    Stint__V1__Envelope *reply; /* unpacked on nng's thread */
};

struct server {
    struct bus_client *client;
    char *url;
    nng_socket socket;
    int pipes;           /* connections at this moment; the loop's; below 0: an end came first */
    unsigned version;    /* of the messages that it gets: the newest that both know */
    int64_t answered_at; /* last */
    struct list free, busy;
};

struct bus_client {
    struct loop *loop;
    struct timer *timer;
    int64_t timer_at;       /* INT64_MAX: not set */
    struct server *servers; /* room for LEARNED_MAX more than were given */
    unsigned n_servers, servers_max;
    unsigned leader; /* index of the server to ask first */
    struct wire_versions versions;
    int64_t probed_at;
    uint64_t next_id;
    struct list requests; /* all of them */
    bool closed;
    atomic_bool given_up; /* its sockets could not be closed, and the loop may be gone */
};

struct bus_request {
    struct list node;
    struct bus_client *client;
    bus_reply_fn done;
    void *arg;
    struct slot *slot;     /* NULL while waiting or paused */
    struct server *target; /* not NULL: nobody else is asked */
    int64_t deadline;
    int64_t sent_at;
    int64_t resume_at; /* while paused, else INT64_MAX */
    enum err why_late; /* what to say when the deadline passes */
    unsigned version;  /* in which it was sent */
    unsigned breaks;   /* connections lost on the way */
    bool maybe_heard;  /* by a server whose answer never came */
    unsigned refused;  /* by servers that do not lead */
    size_t n;
    uint8_t packed[];
};

static void on_slot(void *arg);
static struct bus_request *send_to(struct bus_client *c, struct server *target,
    Stint__V1__Envelope *request, int64_t timeout_ms, bus_reply_fn done, void *arg);

/* ---- slots ---- */

/* nng's thread: one aio first sends, then receives. */
static void on_aio(void *arg)
{
    struct slot *slot = arg;
    int rv = nng_aio_result(slot->aio);
    nng_msg *m = nng_aio_get_msg(slot->aio);
    if (slot->phase == SENDING && rv == 0) {
        slot->phase = RECEIVING;
        nng_ctx_recv(slot->ctx, slot->aio);
        return;
    }
    if (slot->phase == RECEIVING && rv == 0)
        slot->reply = wire_unpack(nng_msg_body(m), nng_msg_len(m));
    if (slot->phase == SENDING || rv == 0)
        nng_msg_free(m);
    if (!atomic_load(&slot->server->client->given_up))
        loop_post(slot->server->client->loop, on_slot, slot);
}

static struct slot *slot_take(struct server *s)
{
    struct list *item = list_pop(&s->free);
    if (item == NULL) {
        struct slot *slot = mem_alloc(sizeof(*slot));
        slot->server = s;
        if (nng_ctx_open(&slot->ctx, s->socket) != 0 ||
            nng_aio_alloc(&slot->aio, on_aio, slot) != 0)
            mem_out();
        item = &slot->node;
    }
    list_append(&s->busy, item);
    return container_of(item, struct slot, node);
}

/* ---- finding the way ---- */

static void wake_at(struct bus_client *c, int64_t at)
{
    if (at >= c->timer_at)
        return;
    c->timer_at = at;
    timer_start(c->timer, at - clock_mono_ms(), 0);
}

/* The leader's server, or the next one that is connected; NULL when none is. */
static struct server *pick(struct bus_client *c)
{
    for (unsigned i = 0; i < c->n_servers; i++) {
        struct server *s = &c->servers[(c->leader + i) % c->n_servers];
        if (s->pipes > 0)
            return s;
    }
    return NULL;
}

/* The version is the first field of the envelope, and a number of one byte. */
static void stamp_version(uint8_t *packed, unsigned version)
{
    assert(packed[0] == 0x08 && packed[1] < 0x80 && version < 0x80);
    packed[1] = (uint8_t)version;
}

/* When its silence is too long, while it owes an answer to r. */
static int64_t suspect_at(const struct bus_request *r)
{
    const struct bus_client *c = r->client;
    if (r->slot == NULL || r->target != NULL || c->n_servers < 2)
        return INT64_MAX;
    int64_t heard = r->slot->server->answered_at;
    int64_t at = (heard > r->sent_at ? heard : r->sent_at) + SUSPECT_MS;
    return at > c->probed_at + PROBE_MS ? at : c->probed_at + PROBE_MS;
}

/* Envelope.again = true: packed messages may be written one behind the other, and become one. */
static const uint8_t AGAIN[] = {4 << 3, 1};

static void try(struct bus_request *r)
{
    r->resume_at = INT64_MAX;
    struct server *s = r->target != NULL ? r->target : pick(r->client);
    if (s == NULL) {
        r->why_late = ERR_BUS_DOWN;
        return; /* waiting */
    }
    size_t n_again = r->maybe_heard ? sizeof(AGAIN) : 0;
    nng_msg *m = bus_message_new(r->n + n_again);
    memcpy(nng_msg_body(m), r->packed, r->n);
    memcpy((uint8_t *)nng_msg_body(m) + r->n, AGAIN, n_again);
    stamp_version(nng_msg_body(m), s->version);
    r->version = s->version;
    struct slot *slot = slot_take(s);
    slot->req = r;
    slot->phase = SENDING;
    r->slot = slot;
    r->sent_at = clock_mono_ms();
    r->why_late = ERR_TIMEOUT;
    nng_aio_set_msg(slot->aio, m);
    nng_ctx_send(slot->ctx, slot->aio);
    wake_at(r->client, suspect_at(r));
}

static void pause_request(struct bus_request *r)
{
    uint16_t dice;
    rng_bytes(&dice, sizeof(dice));
    r->resume_at = clock_mono_ms() + PAUSE_MS / 2 + dice % PAUSE_MS;
    wake_at(r->client, r->resume_at);
}

static void finish(struct bus_request *r, enum err code, const Stint__V1__Envelope *reply)
{
    list_unlink(&r->node);
    r->done(r->arg, code, reply);
    free(r);
}

/* Nobody waits for the slot's answer any more.  It is free again when nng has let go of it. */
static void let_go(struct bus_request *r)
{
    if (r->slot == NULL)
        return;
    r->slot->req = NULL;
    nng_aio_cancel(r->slot->aio);
    r->slot = NULL;
}

static enum err server_open(struct bus_client *c, const char *url, struct errctx *ctx);

static struct server *server_of(struct bus_client *c, const char *url)
{
    for (unsigned i = 0; i < c->n_servers; i++)
        if (strcmp(c->servers[i].url, url) == 0)
            return &c->servers[i];
    return NULL;
}

/* The server that it names, which may be one that nobody had told us of; else the one behind it. */
static void follow_leader(struct bus_client *c, const struct server *s, const char *leader_url)
{
    c->leader = (unsigned)(s - c->servers + 1) % c->n_servers;
    struct server *leader = server_of(c, leader_url);
    struct errctx ctx;
    if (leader == NULL && leader_url[0] != '\0' && c->n_servers < c->servers_max) {
        if (server_open(c, leader_url, &ctx) == ERR_OK)
            leader = &c->servers[c->n_servers - 1];
        else
            log_warn(
                "the leader is somewhere else, asking those of the list error=%s", LOG_Q(ctx.text));
    }
    if (leader != NULL && leader != s)
        c->leader = (unsigned)(leader - c->servers);
}

static void on_not_leader(struct bus_request *r, const struct server *s, const char *leader_url)
{
    if (s == pick(r->client)) /* nobody has learned it before */
        follow_leader(r->client, s, leader_url);
    r->why_late = ERR_BUS_DOWN;
    const struct server *next = pick(r->client);
    if (r->refused++ == 0 && next != NULL && next != s && strcmp(next->url, leader_url) == 0)
        try(r);
    else
        pause_request(r);
}

/* It knows older messages only, and says so in one. */
static bool lower_version(struct bus_request *r, struct server *s, unsigned theirs)
{
    if (theirs >= r->version || theirs < r->client->versions.min)
        return false;
    if (theirs < s->version) /* else another request has learned it before */
        log_info("speaking to an older server url=%s version=%u", s->url, theirs);
    s->version = theirs < s->version ? theirs : s->version;
    try(r);
    return true;
}

static void on_reply(struct bus_request *r, struct server *s, const Stint__V1__Envelope *reply)
{
    const struct wire_versions *known = &r->client->versions;
    bool status = reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS;
    uint32_t code = status ? reply->status->code : (uint32_t)REFUSAL_NONE;
    if (code == REFUSAL_VERSION && lower_version(r, s, reply->version))
        return;
    if (code != REFUSAL_VERSION && (reply->version < known->min || reply->version > known->max)) {
        finish(r, ERR_FAILED, NULL);
    } else if (code == REFUSAL_NOT_LEADER && r->target == NULL) {
        r->maybe_heard |= reply->status->was_taken;
        on_not_leader(r, s, reply->status->leader_url);
    } else {
        if (r->target == NULL)
            r->client->leader = (unsigned)(s - r->client->servers);
        finish(r, ERR_OK, reply);
    }
}

/* ---- who leads? ---- */

/* Its silence is not that of a slow answer: another one leads. */
static void leave_silent(struct bus_client *c, struct server *leader)
{
    int64_t now = clock_mono_ms();
    c->leader = (unsigned)(leader - c->servers);
    list_for_safe(item, &c->requests)
    {
        struct bus_request *r = container_of(item, struct bus_request, node);
        if (r->slot == NULL || r->target != NULL || r->slot->server == leader ||
            now - r->slot->server->answered_at < SUSPECT_MS)
            continue;
        let_go(r);
        r->maybe_heard = true;
        try(r);
    }
}

static void on_probed(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    struct server *s = arg;
    if (code != ERR_OK || s->client->closed || reply->body_case != STINT__V1__ENVELOPE__BODY_STATUS)
        return;
    /* MALFORMED: it leads, and is too old for the question. */
    uint32_t answer = reply->status->code;
    if (answer == REFUSAL_NONE || answer == REFUSAL_MALFORMED)
        leave_silent(s->client, s);
}

static void probe_others(struct bus_client *c, const struct server *silent)
{
    c->probed_at = clock_mono_ms();
    for (unsigned i = 0; i < c->n_servers; i++) {
        struct server *s = &c->servers[i];
        if (s == silent || s->pipes <= 0)
            continue;
        Stint__V1__LeaderQuery query = STINT__V1__LEADER_QUERY__INIT;
        Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_LEADER_QUERY);
        e.leader_query = &query;
        send_to(c, s, &e, PROBE_MS, on_probed, s);
    }
}

/* The loop: nng has finished with the slot, one way or another. */
static void on_slot(void *arg)
{
    struct slot *slot = arg;
    struct server *s = slot->server;
    struct bus_request *r = slot->req;
    Stint__V1__Envelope *reply = slot->reply;
    int rv = nng_aio_result(slot->aio);
    if (reply != NULL)
        s->answered_at = clock_mono_ms();
    slot->req = NULL;
    slot->reply = NULL;
    list_unlink(&slot->node);
    list_append(&s->free, &slot->node);
    if (r != NULL) {
        r->slot = NULL;
        r->maybe_heard |= rv != 0;
        if (rv == 0 && reply != NULL)
            on_reply(r, s, reply);
        else if (rv == 0)
            finish(r, ERR_FAILED, NULL);
        else if (r->target != NULL)
            finish(r, ERR_BUS_DOWN, NULL);
        else if (r->breaks++ == 0)
            try(r);
        else
            pause_request(r);
    }
    wire_free(reply);
}

/* Deadlines that have passed, pauses that are over.  done() may change the list, but not before
 * what is unlinked here first. */
static void on_timer(void *arg)
{
    struct bus_client *c = arg;
    int64_t now = clock_mono_ms(), next = INT64_MAX;
    const struct server *silent = NULL;
    struct list late;
    list_init(&late);
    c->timer_at = INT64_MAX;
    list_for_safe(item, &c->requests)
    {
        struct bus_request *r = container_of(item, struct bus_request, node);
        if (r->deadline <= now) {
            list_unlink(&r->node);
            list_append(&late, &r->node);
            continue;
        }
        if (r->resume_at <= now)
            try(r);
        int64_t suspect = suspect_at(r);
        if (suspect <= now)
            silent = r->slot->server;
        else
            next = suspect < next ? suspect : next;
        int64_t at = r->resume_at < r->deadline ? r->resume_at : r->deadline;
        next = at < next ? at : next;
    }
    if (silent != NULL) {
        probe_others(c, silent);
        next = now + PROBE_MS < next ? now + PROBE_MS : next;
    }
    if (next < INT64_MAX)
        wake_at(c, next);
    struct list *item;
    while ((item = list_pop(&late)) != NULL) {
        struct bus_request *r = container_of(item, struct bus_request, node);
        let_go(r);
        finish(r, r->why_late, NULL);
    }
}

/* ---- connections ---- */

static void on_up(void *arg)
{
    struct server *s = arg;
    if (s->client->closed || ++s->pipes != 1)
        return;
    s->version = s->client->versions.max; /* it may be a newer one than before */
    list_for_safe(item, &s->client->requests)
    {
        struct bus_request *r = container_of(item, struct bus_request, node);
        if (r->slot == NULL && r->resume_at == INT64_MAX)
            try(r);
    }
}

static void on_down(void *arg)
{
    struct server *s = arg;
    if (s->client->closed || --s->pipes != 0)
        return;
    /* Those that had been sent fail by themselves; the others would wait for this server. */
    list_for(item, &s->busy) nng_aio_cancel(container_of(item, struct slot, node)->aio);
}

static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct server *s = arg;
    (void)pipe;
    if (!atomic_load(&s->client->given_up))
        loop_post(s->client->loop, event == NNG_PIPE_EV_ADD_PRE ? on_up : on_down, s);
}

/* One more of c->servers, which has room for it. */
static enum err server_open(struct bus_client *c, const char *url, struct errctx *ctx)
{
    struct server *s = &c->servers[c->n_servers++];
    s->client = c;
    s->url = mem_strdup(url);
    s->version = c->versions.max;
    list_init(&s->free);
    list_init(&s->busy);
    if (nng_req0_open(&s->socket) != 0)
        mem_out();
    nng_socket_set_size(s->socket, NNG_OPT_RECVMAXSZ, BUS_MESSAGE_BYTES_MAX);
    nng_socket_set_ms(s->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
    nng_socket_set_ms(s->socket, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
    nng_socket_set_ms(s->socket, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
    /* Not ADD_POST: a connection that ends before it has quite begun has none, but has a REM_POST,
     * and the count would be wrong for ever. */
    nng_pipe_notify(s->socket, NNG_PIPE_EV_ADD_PRE, on_pipe, s);
    nng_pipe_notify(s->socket, NNG_PIPE_EV_REM_POST, on_pipe, s);
    int rv = nng_dial(s->socket, url, NULL, NNG_FLAG_NONBLOCK);
    if (rv != 0)
        return err_set(
            ctx, ERR_CONFIG, "cannot use the bus address \"%s\": %s", url, nng_strerror(rv));
    return ERR_OK;
}

static enum err servers_open(struct bus_client *c, const char *urls, struct errctx *ctx)
{
    c->servers_max = 1 + LEARNED_MAX;
    for (const char *p = urls; *p != '\0'; p++)
        c->servers_max += *p == ',' || *p == ' ';
    c->servers = mem_calloc(c->servers_max, sizeof(*c->servers));
    char *list = mem_strdup(urls), *rest = list, *url;
    enum err e = ERR_OK;
    while (e == ERR_OK && (url = strsep(&rest, ", ")) != NULL)
        if (*url != '\0' && server_of(c, url) == NULL)
            e = server_open(c, url, ctx);
    free(list);
    if (c->n_servers == 0)
        e = err_set(ctx, ERR_CONFIG, "no bus address is given");
    return e;
}

enum err bus_connect(
    struct loop *l, const char *urls, struct bus_client **ret_client, struct errctx *ctx)
{
    struct bus_client *c = mem_alloc(sizeof(*c));
    c->loop = l;
    c->timer = timer_new(l, on_timer, c);
    c->timer_at = INT64_MAX;
    c->probed_at = INT64_MIN / 2;
    c->versions = wire_versions;
    list_init(&c->requests);
    rng_bytes(&c->next_id, sizeof(c->next_id));
    enum err e = servers_open(c, urls, ctx);
    if (e != ERR_OK) {
        bus_client_free(c);
        return e;
    }
    *ret_client = c;
    return ERR_OK;
}

static void client_done(void *arg)
{
    struct bus_client *c = arg;
    for (unsigned i = 0; i < c->n_servers; i++) {
        struct server *s = &c->servers[i];
        struct list *item;
        while ((item = list_pop(&s->free)) != NULL || (item = list_pop(&s->busy)) != NULL) {
            struct slot *slot = container_of(item, struct slot, node);
            nng_aio_free(slot->aio);
            wire_free(slot->reply);
            free(slot);
        }
        free(s->url);
    }
    free(c->servers);
    free(c);
}

/* Run by bus_close(). */
static void close_sockets(void *arg)
{
    struct bus_client *c = arg;
    for (unsigned i = 0; i < c->n_servers; i++)
        nng_close(c->servers[i].socket);
}

void bus_client_free(struct bus_client *c)
{
    if (c == NULL)
        return;
    c->closed = true;
    timer_free(c->timer);
    struct list *item;
    while ((item = c->requests.next) != &c->requests) {
        struct bus_request *r = container_of(item, struct bus_request, node);
        let_go(r);
        finish(r, ERR_CANCELED, NULL);
    }
    if (!bus_close(close_sockets, c)) {
        atomic_store(&c->given_up, true);
        return;
    }
    for (unsigned i = 0; i < c->n_servers; i++)
        list_for(busy, &c->servers[i].busy)
            nng_aio_stop(container_of(busy, struct slot, node)->aio);
    /* What nng has posted before goes first. */
    loop_post(c->loop, client_done, c);
}

bool bus_client_is_up(const struct bus_client *c)
{
    for (unsigned i = 0; i < c->n_servers; i++)
        if (c->servers[i].pipes > 0)
            return true;
    return false;
}

/* ---- requests ---- */

static struct bus_request *send_to(struct bus_client *c, struct server *target,
    Stint__V1__Envelope *request, int64_t timeout_ms, bus_reply_fn done, void *arg)
{
    request->version = c->versions.max;
    request->request_id = c->next_id++;
    size_t n = stint__v1__envelope__get_packed_size(request);
    bool too_large = n > BUS_MESSAGE_BYTES_MAX;

    struct bus_request *r = mem_realloc(NULL, sizeof(*r) + (too_large ? 0 : n));
    *r = (struct bus_request){
        .client = c, .target = target, .done = done, .arg = arg, .resume_at = INT64_MAX};
    list_append(&c->requests, &r->node);
    if (too_large) { /* the deadline is now, and this is what it says */
        r->why_late = ERR_TOO_LARGE;
    } else {
        r->n = n;
        stint__v1__envelope__pack(request, r->packed);
        r->deadline = clock_mono_ms() + timeout_ms;
        try(r);
    }
    wake_at(c, r->deadline);
    return r;
}

struct bus_request *bus_send(struct bus_client *c, Stint__V1__Envelope *request, int64_t timeout_ms,
    bus_reply_fn done, void *arg)
{
    return send_to(c, NULL, request, timeout_ms, done, arg);
}

void bus_client_speak(struct bus_client *c, const struct wire_versions *versions)
{
    c->versions = *versions;
    for (unsigned i = 0; i < c->n_servers; i++)
        c->servers[i].version = versions->max;
}

void bus_request_cancel(struct bus_request *r)
{
    let_go(r);
    list_unlink(&r->node);
    free(r);
}
