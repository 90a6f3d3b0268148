/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core.c - birth and death of the core, the small things its parts share, and how what has gathered
 * is handed out.
 *
 * Handing out goes: plan the queue -> turn outboxes of workers with a held poll into dispatches ->
 * write the rows of every object marked as changed -> swap the gathered batch with the caller's.
 */
#include <ctype.h>

#include "core/base/cleanup.h"
#include "scheduler/core/model.h"

#define HEARTBEAT_MS 1000

void core_set_conf(struct core *c, const struct core_conf *conf)
{
    c->conf = *conf;
    if (c->conf.heartbeat_ms <= 0)
        c->conf.heartbeat_ms = HEARTBEAT_MS;
    if (c->conf.heartbeat_ms > c->conf.lease_ms / 3)
        c->conf.heartbeat_ms = c->conf.lease_ms / 3;
}

struct core *core_new(const struct core_conf *conf)
{
    struct core *c = mem_alloc(sizeof(*c));
    core_set_conf(c, conf);
    c->out = mem_alloc(sizeof(*c->out));
    list_init(&c->retries);
    list_init(&c->resting);
    list_init(&c->timed);
    list_init(&c->mailboxes);
    list_init(&c->sleeping);
    list_init(&c->limited);
    return c;
}

static void free_all(struct map *m, void (*free_one)(void *))
{
    void *v;
    for (size_t i = 0; (v = map_next(m, &i)) != NULL;)
        free_one(v);
    map_done(m);
}

static void free_owner(void *o)
{
    struct owner *owner = o;
    vec_done(&owner->lanes);
    free(owner);
}

static void free_worker(void *w)
{
    worker_free(w);
}

static void free_task(void *t)
{
    task_free(t);
}

/* Objects that are over live through one more batch: the one that names them last. */
static void free_over(struct core *c, size_t n_jobs, size_t n_tasks)
{
    for (size_t i = 0; i < n_jobs; i++) {
        struct job *j = c->over.v[i];
        free(j->error);
        free(j->task != NULL ? (void *)j : container_of(j, struct import, job));
    }
    for (size_t i = 0; i < n_tasks; i++)
        task_free(c->forgotten.v[i]);
    c->over.n -= n_jobs;
    c->forgotten.n -= n_tasks;
    if (c->over.n > 0)
        memmove(c->over.v, c->over.v + n_jobs, c->over.n * sizeof(*c->over.v));
    if (c->forgotten.n > 0)
        memmove(c->forgotten.v, c->forgotten.v + n_tasks, c->forgotten.n * sizeof(*c->forgotten.v));
}

/* Imports under way are owned by the map of jobs alone. */
static void free_imports(struct core *c)
{
    struct job *j;
    for (size_t i = 0; (j = map_next(&c->jobs, &i)) != NULL;) {
        if (j->task != NULL)
            continue;
        free(j->error);
        free(container_of(j, struct import, job));
    }
    map_done(&c->jobs);
}

void core_free(struct core *c)
{
    if (c == NULL)
        return;
    free_over(c, c->over.n, c->forgotten.n);
    free_imports(c);
    free_all(&c->tasks, free_task);
    free_all(&c->workers, free_worker);
    queue_done(c);
    free_all(&c->owners, free_owner);
    free_all(&c->versions, free);
    free_all(&c->sends, send_free);
    map_done(&c->messages);
    map_done(&c->names);
    map_done(&c->agents);
    free_all(&c->words, free);
    vec_done(&c->dirty_jobs);
    vec_done(&c->dirty_workspaces);
    vec_done(&c->forgotten);
    vec_done(&c->over);
    effects_done(c->out);
    free(c->out);
    free(c);
}

void core_set_now(struct core *c, int64_t mono_ms)
{
    c->now_ms = mono_ms;
}

/* 128 bits of a word: two FNV-1a sums with different seeds, going on from `key`. */
static struct uuid hash_word(struct uuid key, const char *word, bool fold_case)
{
    uint64_t a, b;
    memcpy(&a, key.b, sizeof(a));
    memcpy(&b, key.b + sizeof(a), sizeof(b));
    a ^= UINT64_C(0xcbf29ce484222325);
    b ^= UINT64_C(0x84222325cbf29ce4);
    for (; *word != '\0'; word++) {
        uint8_t ch = (uint8_t)(fold_case ? tolower((unsigned char)*word) : *word);
        a = (a ^ ch) * UINT64_C(0x100000001b3);
        b = (b ^ (uint64_t)(ch + 1)) * UINT64_C(0x100000001b3);
    }
    memcpy(key.b, &a, sizeof(a));
    memcpy(key.b + sizeof(a), &b, sizeof(b));
    return key;
}

const char *core_intern(struct core *c, const char *s)
{
    if (s == NULL)
        return NULL;
    struct uuid key = hash_word((struct uuid){0}, s, false);
    char *word;
    while ((word = map_get(&c->words, &key)) != NULL) {
        if (strcmp(word, s) == 0)
            return word;
        key.b[0]++; /* two words with one sum: the later one lives next door */
    }
    word = mem_strdup(s);
    map_put(&c->words, &key, word);
    return word;
}

struct uuid core_uuid(struct core *c)
{
    struct uuid u;
    c->conf.random(u.b, sizeof(u.b));
    uuid_make_v4(&u);
    return u;
}

void core_reply(struct core *c, void *ticket, enum refusal code)
{
    if (ticket != NULL)
        *vec_push(&c->out->replies) =
            (struct reply){.ticket = ticket, .kind = REPLY_STATUS, .code = code};
}

void core_answer(struct core *c, void *ticket, enum refusal code)
{
    core_reply(c, ticket, code);
}

void core_reply_task(struct core *c, void *ticket, enum refusal code, const struct task *t)
{
    struct reply r = {.ticket = ticket, .kind = REPLY_TASK, .code = code};
    if (t != NULL) {
        r.task_id = t->id;
        r.workspace_id = t->workspace_id;
        r.build_id = t->build_id;
    }
    *vec_push(&c->out->replies) = r;
}

void core_set_origin(struct core *c, const struct origin *origin)
{
    c->origin = *origin;
}

void core_audit(struct core *c, const struct uuid *actor, const char *action,
    const char *resource_type, const struct uuid *resource)
{
    const struct task *t = map_get(&c->tasks, resource);
    *vec_push(&c->out->audits) = (struct row_audit){.actor_id = *actor,
        .resource_id = *resource,
        .action = action,
        .resource_type = resource_type,
        .target = t != NULL ? effects_strdup(c->out, t->name) : NULL,
        .ip = effects_strdup(c->out, c->origin.ip),
        .user_agent = effects_strdup(c->out, c->origin.user_agent),
        .request_id = effects_strdup(c->out, c->origin.request_id)};
}

void core_command_id(struct core *c, const struct uuid *id)
{
    c->command_id = *id;
}

struct uuid core_take_command_id(struct core *c)
{
    struct uuid id = c->command_id;
    c->command_id = (struct uuid){0};
    return id;
}

bool command_is_done(const struct uuid *command_id, const struct uuid *newest)
{
    return !uuid_is_nil(command_id) && uuid_eq(command_id, newest);
}

void core_unless_done(struct core *c, const struct uuid *job_id, const struct uuid *command_id)
{
    struct reply *r = &c->out->replies.v[c->out->replies.n - 1];
    if (uuid_is_nil(command_id))
        return;
    r->job_id = *job_id;
    r->command_id = *command_id;
}

struct owner *core_owner(struct core *c, const struct uuid *id, const char *name)
{
    struct owner *o = map_get(&c->owners, id);
    if (o == NULL) {
        o = mem_alloc(sizeof(*o));
        o->id = *id;
        o->name = core_intern(c, name);
        map_put(&c->owners, id, o);
    }
    return o;
}

struct version *core_version(
    struct core *c, const struct uuid *id, const struct uuid *file_id, const char *template_name)
{
    struct version *v = map_get(&c->versions, id);
    if (v == NULL) {
        v = mem_alloc(sizeof(*v));
        *v = (struct version){*id, *file_id, core_intern(c, template_name)};
        map_put(&c->versions, id, v);
    }
    return v;
}

struct uuid core_name_key(const struct uuid *owner_id, const char *name)
{
    return hash_word(*owner_id, name, true);
}

/* ---- what has changed ---- */

void task_mark_changed(struct core *c, struct task *t)
{
    if (t->changed)
        return;
    t->changed = true;
    *vec_push(&c->out->changed) = t->id;
}

void task_mark_workspace(struct core *c, struct task *t)
{
    task_mark_changed(c, t);
    if (t->workspace_dirty)
        return;
    t->workspace_dirty = true;
    *vec_push(&c->dirty_workspaces) = t;
}

void job_mark(struct core *c, struct job *j)
{
    if (j->task != NULL)
        task_mark_changed(c, j->task);
    if (j->dirty)
        return;
    j->dirty = true;
    if (j->task == NULL) /* an import: whoever follows it knows it by its own id */
        *vec_push(&c->out->changed) = j->id;
    *vec_push(&c->dirty_jobs) = j;
}

static void flush_job(struct core *c, struct job *j)
{
    struct row_job row = {.id = j->id,
        .state = j->state,
        .token = j->token,
        .token_was = j->token_was,
        .command_id = j->command_id,
        .attempt = j->attempt,
        .holds_compute = j->holds_compute,
        .cancel_requested = j->cancel_requested,
        .error = effects_strdup(c->out, j->error)};
    if (j->worker != NULL)
        row.worker_id = j->worker->id;
    *vec_push(&c->out->jobs) = row;
    j->token_was = j->token;
    j->dirty = false;
}

void job_write_now(struct core *c, struct job *j)
{
    if (!j->dirty)
        return;
    for (size_t i = 0; i < c->dirty_jobs.n; i++) {
        if (c->dirty_jobs.v[i] != j)
            continue;
        vec_remove_swap(&c->dirty_jobs, i);
        break;
    }
    flush_job(c, j);
}

static void flush_workspace(struct core *c, struct task *t)
{
    struct row_workspace row = {.id = t->workspace_id,
        .latest_build_id = t->build_id,
        .build_number = t->build_number,
        .host = t->host,
        .deleted = t->workspace_deleted};
    if (t->agent != NULL)
        row.latest_agent_id = t->agent->id;
    *vec_push(&c->out->workspaces) = row;
    t->workspace_dirty = false;
}

static void clear_changed(struct core *c)
{
    for (size_t i = 0; i < c->out->changed.n; i++) {
        struct task *t = map_get(&c->tasks, &c->out->changed.v[i]);
        if (t != NULL)
            t->changed = false;
    }
}

void core_take_effects(struct core *c, struct effects *ret)
{
    free_over(c, c->n_over_named, c->n_forgotten_named);
    queue_plan(c);
    worker_flush(c);

    for (size_t i = 0; i < c->dirty_jobs.n; i++)
        flush_job(c, c->dirty_jobs.v[i]);
    vec_clear(&c->dirty_jobs);
    for (size_t i = 0; i < c->dirty_workspaces.n; i++)
        flush_workspace(c, c->dirty_workspaces.v[i]);
    vec_clear(&c->dirty_workspaces);
    clear_changed(c);
    c->n_over_named = c->over.n;
    c->n_forgotten_named = c->forgotten.n;

    effects_clear(ret);
    struct effects gathered = *c->out;
    *c->out = *ret;
    *ret = gathered;
}

void core_tick(struct core *c)
{
    worker_tick(c);
    job_retry_due(c);
    agent_tick_sends(c);
    agent_tick_silent(c);
    message_tick(c);
    earliest_tick(c);
    idle_tick(c);
    limit_tick(c);
    if (c->conf.make_room)
        task_pause_to_make_room(c);
}

struct core_counts core_counts(const struct core *c)
{
    struct core_counts n = c->counts;
    n.tasks = c->tasks.n;
    n.holding = c->n_holding;
    n.cap = (size_t)c->conf.cap;
    n.waiting = c->n_waiting;
    n.sleeping = c->n_sleeping;
    n.messages = c->messages.n;
    n.workers = c->workers.n;
    struct worker *w;
    for (size_t i = 0; (w = map_next(&c->workers, &i)) != NULL;)
        list_for(it, &w->jobs) n.jobs_running++;
    return n;
}
