/* SPDX-License-Identifier: Apache-2.0 */
/*
 * states.c - one question at a time per action, asked on the loop, waited for on the pool.
 *
 * A question belongs to both threads until each has let go of it: an action that is abandoned
 * leaves, and the answer comes to nobody.
 */
#include "worker/states.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"

#define PART_BYTES     (1024 * 1024)
#define STATE_BYTES    (128LL * 1024 * 1024)
#define ANSWER_WAIT_MS 10000
#define AGAIN_MS       500

struct states {
    struct loop *loop;
    struct bus_client *scheduler;
    struct uuid worker_id;
    struct job_states face;
};

struct question {
    struct states *states;
    struct uuid job_id, workspace_id;
    uint64_t token, version;
    uint32_t part, parts;
    bool is_put;
    struct strbuf data; /* of a put: what is sent; of a get: what has come */

    atomic_int holders; /* 2, 1, gone */
    int done_fd;
    enum err code;
    struct errctx ctx;
};

static void let_go(struct question *q)
{
    if (atomic_fetch_sub(&q->holders, 1) > 1)
        return;
    close(q->done_fd);
    strbuf_done(&q->data);
    free(q);
}

/* ---- on the loop ---- */

static enum err refusal_to_err(struct question *q, const Stint__V1__Status *status)
{
    const struct refusal_row *row = refusal_row(status->code);
    const char *detail = status->detail[0] != '\0' ? status->detail : row->detail;
    switch (row->code) {
    case REFUSAL_NONE:
        return ERR_OK;
    case REFUSAL_LEASE_OVER:
        return err_set(&q->ctx, ERR_LEASE_LOST, "another worker has the job now");
    case REFUSAL_STATE_KEY:
        return err_set(&q->ctx, ERR_CONFIG, "%s %s", row->message, detail);
    case REFUSAL_MALFORMED:
        return err_set(&q->ctx, ERR_FAILED, "the scheduler does not take the state: %s", detail);
    default:
        return err_set(&q->ctx, ERR_UNAVAILABLE, "%s %s", row->message, detail);
    }
}

static void take_chunk(struct question *q, const Stint__V1__StateChunk *chunk)
{
    q->version = chunk->version;
    q->parts = chunk->parts;
    strbuf_add(&q->data, chunk->data.data, chunk->data.len);
}

static void on_answer(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    struct question *q = arg;
    if (code != ERR_OK)
        q->code =
            err_set(&q->ctx, ERR_UNAVAILABLE, "the scheduler does not answer: %s", err_text(code));
    else if (reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS)
        q->code = refusal_to_err(q, reply->status);
    else if (reply->body_case == STINT__V1__ENVELOPE__BODY_STATE_CHUNK)
        take_chunk(q, reply->state_chunk);
    else
        q->code = err_set(&q->ctx, ERR_UNAVAILABLE, "the scheduler's answer makes no sense");
    uint64_t one = 1;
    ssize_t ignored = write(q->done_fd, &one, sizeof(one));
    (void)ignored;
    let_go(q);
}

static void send_put(struct question *q)
{
    Stint__V1__StatePut put = STINT__V1__STATE_PUT__INIT;
    put.worker_id = wire_uuid(&q->states->worker_id);
    put.job_id = wire_uuid(&q->job_id);
    put.workspace_id = wire_uuid(&q->workspace_id);
    put.token = q->token;
    put.version = q->version;
    put.part = q->part;
    put.parts = q->parts;
    put.data = (ProtobufCBinaryData){q->data.len, (uint8_t *)q->data.s};
    Stint__V1__Envelope request = wire_envelope(STINT__V1__ENVELOPE__BODY_STATE_PUT);
    request.state_put = &put;
    bus_send(q->states->scheduler, &request, ANSWER_WAIT_MS, on_answer, q);
}

static void send_get(struct question *q)
{
    Stint__V1__StateGet get = STINT__V1__STATE_GET__INIT;
    get.worker_id = wire_uuid(&q->states->worker_id);
    get.job_id = wire_uuid(&q->job_id);
    get.token = q->token;
    get.version = q->version;
    get.part = q->part;
    Stint__V1__Envelope request = wire_envelope(STINT__V1__ENVELOPE__BODY_STATE_GET);
    request.state_get = &get;
    bus_send(q->states->scheduler, &request, ANSWER_WAIT_MS, on_answer, q);
}

static void ask(void *arg)
{
    struct question *q = arg;
    if (q->is_put)
        send_put(q);
    else
        send_get(q);
}

/* ---- on the pool ---- */

static struct question *question_new(const struct states *s, const struct job_spec *spec)
{
    struct question *q = mem_alloc(sizeof(*q));
    q->states = (struct states *)(uintptr_t)s;
    q->job_id = spec->job_id;
    q->workspace_id = spec->workspace_id;
    q->token = spec->token;
    q->done_fd = eventfd(0, EFD_CLOEXEC);
    strbuf_init(&q->data);
    atomic_store(&q->holders, 2);
    return q;
}

static bool is_abandoned(struct job_io *io)
{
    return atomic_load(&io->call) == JOB_ABANDON;
}

/* A cancel does not end the wait, nor does an abandon that of a put: the state is to be kept all
 * the more, and the scheduler knows whether the lease is still ours. */
static enum err wait_for(struct question *q, struct job_io *io, struct errctx *ctx)
{
    bool done = false;
    loop_post(q->states->loop, ask, q);
    while (!done && (q->is_put || !is_abandoned(io))) {
        bool called = atomic_load(&io->call) != JOB_GO_ON;
        struct job_io quiet = {.call_fd = -1};
        done = job_io_wait(called ? &quiet : io, q->done_fd, called ? 100 : 1000);
    }
    if (!done)
        return err_set(ctx, ERR_LEASE_LOST, "another worker has the job now");
    if (q->code != ERR_OK)
        *ctx = q->ctx;
    return q->code;
}

/* Asks until there is an answer that counts. */
static enum err put_part(const struct states *s, const struct job_spec *spec, struct job_io *io,
    const struct question *what, const void *data, size_t n, struct errctx *ctx)
{
    for (;;) {
        struct question *q = question_new(s, spec);
        q->is_put = true;
        q->version = what->version;
        q->part = what->part;
        q->parts = what->parts;
        strbuf_add(&q->data, data, n);
        enum err e = wait_for(q, io, ctx);
        let_go(q);
        if (e != ERR_UNAVAILABLE || is_abandoned(io))
            return e;
        job_io_wait(io, -1, AGAIN_MS);
    }
}

static enum err put(void *arg, const struct job_spec *spec, struct job_io *io, uint64_t version,
    const void *data, size_t n, struct errctx *ctx)
{
    if (n > (size_t)STATE_BYTES)
        return err_set(ctx, ERR_TOO_LARGE,
            "Terraform's state has more than %lld MiB: split the template", STATE_BYTES >> 20);
    struct question what = {
        .version = version, .parts = n == 0 ? 1 : (uint32_t)((n + PART_BYTES - 1) / PART_BYTES)};
    enum err e = ERR_OK;
    for (; e == ERR_OK && what.part < what.parts; what.part++) {
        size_t at = (size_t)what.part * PART_BYTES;
        size_t bytes = n - at < PART_BYTES ? n - at : PART_BYTES;
        e = put_part(arg, spec, io, &what, (const char *)data + at, bytes, ctx);
    }
    return e;
}

static enum err get_part(const struct states *s, const struct job_spec *spec, struct job_io *io,
    struct question *place, struct strbuf *out, struct errctx *ctx)
{
    for (;;) {
        struct question *q = question_new(s, spec);
        q->version = place->version;
        q->part = place->part;
        enum err e = wait_for(q, io, ctx);
        if (e == ERR_OK) {
            strbuf_add(out, q->data.s, q->data.len);
            place->version = q->version;
            place->parts = q->parts;
        }
        let_go(q);
        if (e != ERR_UNAVAILABLE)
            return e;
        e = job_io_check(io, ctx);
        if (e != ERR_OK)
            return e;
        job_io_wait(io, -1, AGAIN_MS);
    }
}

static enum err get(void *arg, const struct job_spec *spec, struct job_io *io, struct strbuf *out,
    uint64_t *ret_version, struct errctx *ctx)
{
    struct question place = {0};
    enum err e;
    do {
        e = get_part(arg, spec, io, &place, out, ctx);
    } while (e == ERR_OK && ++place.part < place.parts);
    *ret_version = place.version;
    return e;
}

/* ---- life ---- */

struct states *states_new(
    struct loop *l, struct bus_client *scheduler, const struct uuid *worker_id)
{
    struct states *s = mem_alloc(sizeof(*s));
    *s = (struct states){.loop = l, .scheduler = scheduler, .worker_id = *worker_id};
    s->face = (struct job_states){.get = get, .put = put, .arg = s};
    return s;
}

void states_free(struct states *s)
{
    free(s);
}

const struct job_states *states_of_jobs(const struct states *s)
{
    return &s->face;
}
