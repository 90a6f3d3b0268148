/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work_message.c - the core's plain structs as one WorkerWork.
 *
 * protobuf-c wants arrays of pointers; all of a message's parts stand in a few arrays (a parcel),
 * so that hundreds of jobs cost a few allocations.
 */
#include "scheduler/work_message.h"

#include "core/base/cleanup.h"

#define WORK_BYTES_MAX (4 * 1024 * 1024)

/* NULL: there is no row of this id. */
static const char *text_of(const struct db_result *rows, const struct uuid *want)
{
    for (size_t i = 0; rows != NULL && i < db_rows(rows); i++) {
        struct uuid id = db_uuid(rows, i, 0);
        if (uuid_eq(&id, want))
            return db_text(rows, i, 1);
    }
    return NULL;
}

/* Strings borrowed from the core are const; protobuf-c wants them writable and does not write. */
static char *lend(const char *s)
{
    return (char *)(uintptr_t)(s != NULL ? s : "");
}

/* Rows of names with texts as messages, and how far they have been handed out. */
struct text_pool {
    const struct db_result *rows;
    Stint__V1__NamedText *texts, **list;
    size_t n, next;
};

static size_t rows_of(const struct db_result *rows)
{
    return rows != NULL ? db_rows(rows) : 0;
}

static bool row_is_of(const struct db_result *rows, size_t i, const struct uuid *task_id)
{
    struct uuid id = db_uuid(rows, i, 0);
    return uuid_eq(&id, task_id);
}

static struct text_pool text_pool_new(const struct db_result *rows)
{
    size_t n = rows_of(rows);
    return (struct text_pool){.rows = rows,
        .texts = mem_calloc(n, sizeof(Stint__V1__NamedText)),
        .list = mem_calloc(n, sizeof(Stint__V1__NamedText *))};
}

static void text_pool_done(struct text_pool *p)
{
    free(p->texts);
    free(p->list);
}

/* Those of `id`; the bytes of them.  Jobs come in the order of the rows, so that the search is
 * short. */
static size_t put_texts(
    Stint__V1__NamedText ***ret_list, size_t *ret_n, const struct uuid *id, struct text_pool *pool)
{
    size_t n_rows = rows_of(pool->rows), bytes = 0, i = pool->next;
    while (i < n_rows && !row_is_of(pool->rows, i, id))
        i++;
    *ret_list = pool->list + pool->n;
    for (; i < n_rows && row_is_of(pool->rows, i, id); i++) {
        Stint__V1__NamedText *t = &pool->texts[pool->n];
        stint__v1__named_text__init(t);
        t->name = lend(db_text(pool->rows, i, 1));
        t->value = lend(db_text(pool->rows, i, 2));
        bytes += strlen(t->name) + strlen(t->value) + 8;
        pool->list[pool->n++] = t;
        ++*ret_n;
        pool->next = i + 1;
    }
    return bytes;
}

static void fill_spec(Stint__V1__JobSpec *m, const struct job_spec *j, struct uuid_str *token,
    const struct db_result *prompts)
{
    stint__v1__job_spec__init(m);
    m->job_id = wire_uuid(&j->job_id);
    m->token = (uint64_t)j->token;
    m->kind = (Stint__V1__JobKind)j->kind;
    m->attempt = (uint32_t)j->attempt;
    m->provisioner = lend(j->provisioner);
    m->template_version_id = wire_uuid(&j->version_id);
    m->file_id = wire_uuid(&j->file_id);
    if (j->kind == JOB_IMPORT)
        return;
    m->build_id = wire_uuid(&j->build_id);
    m->build_number = (uint32_t)j->build_number;
    m->series = (uint32_t)j->series;
    m->workspace_id = wire_uuid(&j->workspace_id);
    m->workspace_name = m->task_name = lend(j->workspace_name);
    m->task_id = wire_uuid(&j->task_id);
    m->owner_id = wire_uuid(&j->owner_id);
    m->owner_name = lend(j->owner_name);
    m->template_name = lend(j->template_name);
    m->app_slug = lend(j->app_slug);
    if (uuid_is_nil(&j->agent_id))
        return;
    m->agent_id = wire_uuid(&j->agent_id);
    *token = uuid_format(&j->agent_token);
    m->agent_token = token->s;
    if (j->wants_prompt)
        m->prompt = lend(text_of(prompts, &j->task_id));
}

/* What the answer to one poll is made of; freed in one go. */
struct parcel {
    Stint__V1__JobSpec *specs;
    struct uuid_str *tokens;
    Stint__V1__JobRef *refs;
    Stint__V1__AgentMessage *messages;
    struct text_pool parameters, facts;
    void **lists;
};

static Stint__V1__JobRef **put_refs(
    struct parcel *p, size_t *at, void ***list, const job_ref_vec *refs)
{
    Stint__V1__JobRef **first = (Stint__V1__JobRef **)(void *)*list;
    for (size_t i = 0; i < refs->n; i++) {
        Stint__V1__JobRef *m = &p->refs[(*at)++];
        stint__v1__job_ref__init(m);
        m->job_id = wire_uuid(&refs->v[i].id);
        m->token = (uint64_t)refs->v[i].token;
        *(*list)++ = m;
    }
    return first;
}

static void put_jobs(Stint__V1__WorkerWork *m, struct parcel *p, void ***list, const struct work *w,
    const struct work_texts *texts)
{
    size_t bytes = 0;
    m->job = (Stint__V1__JobSpec **)(void *)*list;
    for (size_t i = 0; i < w->jobs.n; i++) {
        const struct job_spec *j = &w->jobs.v[i];
        fill_spec(&p->specs[i], j, &p->tokens[i], texts->prompts);
        bytes += strlen(p->specs[i].prompt) + 512;
        if (j->wants_parameters)
            bytes += put_texts(
                &p->specs[i].parameter, &p->specs[i].n_parameter, &j->task_id, &p->parameters);
        if (j->wants_facts)
            bytes += put_texts(&p->specs[i].fact, &p->specs[i].n_fact, &j->job_id, &p->facts);
        if (i > 0 && bytes > WORK_BYTES_MAX)
            break; /* the next poll does not name the rest, so they are sent then */
        *(*list)++ = &p->specs[i];
        m->n_job++;
    }
}

static void put_messages(Stint__V1__WorkerWork *m, struct parcel *p, void ***list,
    const struct work *w, const struct db_result *contents)
{
    m->message = (Stint__V1__AgentMessage **)(void *)*list;
    for (size_t i = 0; i < w->messages.n; i++) {
        const struct agent_message *from = &w->messages.v[i];
        const char *content = from->when_stable ? text_of(contents, &from->send_id) : from->content;
        if (from->when_stable && content == NULL)
            continue;
        Stint__V1__AgentMessage *a = &p->messages[i];
        stint__v1__agent_message__init(a);
        a->agent_id = wire_uuid(&from->agent_id);
        a->send_id = wire_uuid(&from->send_id);
        a->content = lend(content);
        a->when_stable = from->when_stable;
        a->withdraw = from->withdraw;
        *(*list)++ = a;
        m->n_message++;
    }
}

void work_reply(
    struct bus_call *call, const struct work *w, uint64_t epoch, const struct work_texts *texts)
{
    size_t n_refs = w->cancels.n + w->abandons.n;
    struct parcel p = {
        .specs = mem_calloc(w->jobs.n, sizeof(*p.specs)),
        .tokens = mem_calloc(w->jobs.n, sizeof(*p.tokens)),
        .refs = mem_calloc(n_refs, sizeof(*p.refs)),
        .messages = mem_calloc(w->messages.n, sizeof(*p.messages)),
        .parameters = text_pool_new(texts->parameters),
        .facts = text_pool_new(texts->facts),
        .lists = mem_calloc(w->jobs.n + n_refs + w->messages.n, sizeof(*p.lists)),
    };
    scoped_free ProtobufCBinaryData *revoked = mem_calloc(w->revoked.n, sizeof(*revoked));
    Stint__V1__WorkerWork m = STINT__V1__WORKER_WORK__INIT;
    void **list = p.lists;
    size_t at = 0;

    m.epoch = epoch;
    m.resync = w->resync;
    m.lease_ms = w->lease_ms > 0 ? (uint32_t)w->lease_ms : 0;
    put_jobs(&m, &p, &list, w, texts);
    m.n_cancel = w->cancels.n;
    m.cancel = put_refs(&p, &at, &list, &w->cancels);
    m.n_abandon = w->abandons.n;
    m.abandon = put_refs(&p, &at, &list, &w->abandons);
    put_messages(&m, &p, &list, w, texts->contents);
    for (size_t i = 0; i < w->revoked.n; i++)
        revoked[i] = wire_uuid(&w->revoked.v[i]);
    m.n_revoked_agent_id = w->revoked.n;
    m.revoked_agent_id = revoked;

    Stint__V1__Envelope out = wire_envelope(STINT__V1__ENVELOPE__BODY_WORKER_WORK);
    out.worker_work = &m;
    bus_reply(call, &out);
    free(p.specs);
    free(p.tokens);
    free(p.refs);
    free(p.messages);
    text_pool_done(&p.parameters);
    text_pool_done(&p.facts);
    free(p.lists);
}
