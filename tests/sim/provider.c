/* SPDX-License-Identifier: Apache-2.0 */
/* provider.c - start, stop and delete, each a ladder that may have been climbed before. */
#include "tests/sim/provider.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "tests/sim/check.h"
#include "tests/sim/part.h"
#include "worker/provisioner/provisioner.h"

struct provider {
    struct map places, records;
    VEC(struct place *) place_list;
    VEC(struct record *) record_list;
    size_t running;
};

struct provider *provider_new(void)
{
    return mem_alloc(sizeof(struct provider));
}

void provider_free(struct provider *p)
{
    for (size_t i = 0; i < p->place_list.n; i++) {
        struct place *place = p->place_list.v[i];
        if (place->agent != NULL)
            proc_kill(place->agent);
        vec_done(&place->prompted);
        vec_done(&place->heard);
        free(place);
    }
    for (size_t i = 0; i < p->record_list.n; i++) {
        vec_done(&p->record_list.v[i]->said);
        free(p->record_list.v[i]);
    }
    vec_done(&p->place_list);
    vec_done(&p->record_list);
    map_done(&p->places);
    map_done(&p->records);
    free(p);
}

struct place *provider_place(const struct uuid *workspace_id)
{
    return map_get(&sim->provider->places, workspace_id);
}

struct record *provider_record(const struct uuid *agent_id)
{
    return map_get(&sim->provider->records, agent_id);
}

size_t provider_running(void)
{
    return sim->provider->running;
}

struct place *provider_running_at(size_t i)
{
    for (size_t k = 0; k < sim->provider->place_list.n; k++)
        if (sim->provider->place_list.v[k]->running && i-- == 0)
            return sim->provider->place_list.v[k];
    return NULL;
}

int64_t provider_takes_us(void)
{
    if (sim_happens(FAULT_ACTION, 10))
        return sim_between(SECOND, 15 * SECOND);
    return sim_between(2 * MS, 400 * MS);
}

static struct place *place_of(const struct job_spec *spec, int host)
{
    struct place *place = provider_place(&spec->workspace_id);
    if (place != NULL)
        return place;
    place = mem_alloc(sizeof(*place));
    place->workspace_id = spec->workspace_id;
    place->task_id = spec->task_id;
    place->host = host;
    map_put(&sim->provider->places, &place->workspace_id, place);
    *vec_push(&sim->provider->place_list) = place;
    return place;
}

/* ---- sandboxes ---- */

static void sandbox_stop(struct place *place)
{
    if (!place->running)
        return;
    place->running = false;
    place->record->closed = true;
    sim->provider->running--;
    proc_kill(place->agent);
    place->agent = NULL;
}

void provider_sandbox_dies(struct place *place)
{
    place->record->dead = true;
    sandbox_stop(place);
}

static void on_agent_again(void *arg)
{
    struct record *r = arg;
    if (r->place->running && r->place->record == r)
        proc_start(r->place->agent);
}

/* An agent dies alone: whatever watches over it starts it again. */
void provider_proc_died(struct proc *p)
{
    if (p->kind != PROC_AGENT || sim->over)
        return;
    for (size_t i = 0; i < sim->provider->place_list.n; i++) {
        struct place *place = sim->provider->place_list.v[i];
        if (place->agent == p && place->running)
            sim_after(
                sim_between(SECOND / 2, 4 * SECOND), NULL, on_agent_again, NULL, place->record);
    }
}

static struct record *record_new(const struct job_spec *spec, struct place *place)
{
    struct record *r = provider_record(&spec->agent_id);
    if (r != NULL) { /* its files are there from an earlier try */
        r->closed = r->dead = false;
        return r;
    }
    r = mem_alloc(sizeof(*r));
    r->agent_id = spec->agent_id;
    r->place = place;
    snprintf(r->token, sizeof(r->token), "%s", spec->agent_token);
    map_put(&sim->provider->records, &r->agent_id, r);
    *vec_push(&sim->provider->record_list) = r;
    return r;
}

static struct proc *agent_proc(struct place *place)
{
    struct proc *p = mem_alloc(sizeof(*p));
    p->kind = PROC_AGENT;
    p->host = place->host;
    p->index = (unsigned)sim->agents.n;
    p->node = NODE_FIRST_PROC + SCHEDULERS;
    snprintf(p->name, sizeof(p->name), "agent-%u", p->index);
    *vec_push(&sim->agents) = p;
    return p;
}

static void sandbox_start(struct place *place, const struct job_spec *spec)
{
    place->running = true;
    place->build_id = spec->build_id;
    place->record = record_new(spec, place);
    place->agent = agent_proc(place);
    sim->provider->running++;
    check_sandbox(place);
    agent_init(place->agent, place->record);
    proc_start(place->agent);
}

/* ---- the ladder ---- */

static bool is_stale(const struct place *p, const struct job_spec *spec)
{
    bool ends = spec->kind != JOB_START;
    if (!p->is_fenced)
        return false;
    if (spec->build_number != p->build_number)
        return spec->build_number < p->build_number;
    if (spec->series != p->series)
        return spec->series < p->series;
    if (ends != p->ends)
        return ends < p->ends;
    return uuid_eq(&spec->job_id, &p->job_id) && spec->token < p->token;
}

static enum err fence(struct place *p, const struct job_spec *spec, struct errctx *ctx)
{
    if (is_stale(p, spec) && !sim_is_variant(VARIANT_NO_FENCE))
        return err_set(ctx, ERR_LEASE_LOST, "stale");
    p->is_fenced = true;
    p->build_number = spec->build_number;
    p->series = spec->series;
    p->ends = spec->kind != JOB_START;
    p->job_id = spec->job_id;
    p->token = spec->token;
    return ERR_OK;
}

static enum err look_at_call(struct job_io *io, struct errctx *ctx)
{
    int call = atomic_load(&io->call);
    if (call == JOB_CANCEL)
        return err_set(ctx, ERR_CANCELED, "canceled");
    return call == JOB_ABANDON ? err_set(ctx, ERR_LEASE_LOST, "abandoned") : ERR_OK;
}

/* A retryable failure, or one for good. */
static enum err trouble(struct errctx *ctx, unsigned one_in)
{
    if (!sim_happens(FAULT_ACTION, one_in))
        return ERR_OK;
    return sim_between(0, 3) > 0 ? err_set(ctx, ERR_IO, "simulated trouble")
                                 : err_set(ctx, ERR_CONFIG, "simulated trouble for good");
}

/* What there is of a sandbox goes, if that can be done. */
static enum err undo(struct place *place, struct job_found *found, enum err why)
{
    found->clean = !sim_happens(FAULT_ACTION, 3);
    if (found->clean)
        sandbox_stop(place);
    return why;
}

static enum err start_in(struct place *place, const struct job_spec *spec, struct job_io *io,
    struct job_found *found, struct errctx *ctx)
{
    enum err e = fence(place, spec, ctx);
    found->on_host = e == ERR_OK;
    if (e != ERR_OK)
        return e;
    if (place->running && !uuid_eq(&place->build_id, &spec->build_id))
        sandbox_stop(place);
    e = look_at_call(io, ctx);
    if (e == ERR_LEASE_LOST)
        return e;
    if (e != ERR_OK)
        return undo(place, found, e);
    if (!place->running)
        sandbox_start(place, spec);
    e = trouble(ctx, 10);
    return e == ERR_OK ? e : undo(place, found, e);
}

static enum err do_start(void *self, const struct job_spec *spec, struct job_io *io,
    struct job_found *found, struct errctx *ctx)
{
    const struct proc *worker = self;
    sim->figures.jobs++;
    found->clean = true;
    enum err e = trouble(ctx, 20); /* before anything is begun */
    if (e != ERR_OK)
        return e;
    struct place *place = place_of(spec, worker->host);
    if (place->gone)
        return err_set(ctx, ERR_LEASE_LOST, "deleted");
    found->clean = false;
    job_io_line(io, spec, LOG_INFO, "Starting workspace", "It starts");
    return start_in(place, spec, io, found, ctx);
}

static enum err do_stop(void *self, const struct job_spec *spec, struct job_io *io,
    struct job_found *found, struct errctx *ctx)
{
    (void)self;
    sim->figures.jobs++;
    struct place *place = provider_place(&spec->workspace_id);
    found->on_host = place != NULL && !place->gone;
    if (!found->on_host)
        return ERR_OK;
    enum err e = fence(place, spec, ctx);
    if (e == ERR_OK)
        e = look_at_call(io, ctx);
    if (e == ERR_OK)
        e = trouble(ctx, 10);
    if (e != ERR_OK)
        return e;
    sandbox_stop(place);
    return trouble(ctx, 20);
}

static enum err do_delete(void *self, const struct job_spec *spec, struct job_io *io,
    struct job_found *found, struct errctx *ctx)
{
    const struct proc *worker = self;
    struct place *place = place_of(spec, worker->host);
    if (place->gone)
        return ERR_OK;
    enum err e = do_stop(self, spec, io, found, ctx);
    found->on_host = e != ERR_OK;
    if (e == ERR_OK)
        place->gone = true;
    return e;
}

static enum err do_import(void *self, const struct job_spec *spec, struct job_io *io,
    struct job_found *found, struct errctx *ctx)
{
    (void)self, (void)spec, (void)io, (void)found;
    return trouble(ctx, 10);
}

void provider_offer(struct provisioner *ret, struct proc *worker)
{
    *ret = (struct provisioner){
        .name = "local",
        .action = {[JOB_START] = do_start,
                   [JOB_STOP] = do_stop,
                   [JOB_DELETE] = do_delete,
                   [JOB_IMPORT] = do_import},
        .self = worker
    };
}
