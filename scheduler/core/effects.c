/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/effects.h"

const char *job_kind_name(enum job_kind kind)
{
    static const char *const names[] = {[JOB_START] = "start",
        [JOB_STOP] = "stop",
        [JOB_DELETE] = "delete",
        [JOB_IMPORT] = "import"};
    return names[kind];
}

const char *job_death_name(enum job_death cause)
{
    static const char *const names[] = {
        [DEATH_FOR_GOOD] = "for_good", [DEATH_ATTEMPTS] = "attempts", [DEATH_LEASE] = "lease"};
    return names[cause];
}

bool work_is_empty(const struct work *w)
{
    return w->jobs.n + w->cancels.n + w->abandons.n + w->messages.n + w->revoked.n == 0 &&
           !w->resync;
}

void work_done(struct work *w)
{
    for (size_t i = 0; i < w->messages.n; i++)
        free(w->messages.v[i].content);
    vec_done(&w->jobs);
    vec_done(&w->cancels);
    vec_done(&w->abandons);
    vec_done(&w->messages);
    vec_done(&w->revoked);
    w->resync = false;
    w->lease_ms = 0;
}

/* Every array of rows, so that clearing, freeing and counting cannot forget one. */
#define EACH_ROWS(DO)      \
    DO(tasks_new)          \
    DO(builds_new)         \
    DO(jobs_new)           \
    DO(jobs)               \
    DO(jobs_dead)          \
    DO(jobs_revived)       \
    DO(import_retries)     \
    DO(workspaces)         \
    DO(tasks)              \
    DO(options)            \
    DO(versions)           \
    DO(version_apps)       \
    DO(version_parameters) \
    DO(version_options)    \
    DO(version_presets)    \
    DO(version_variables)  \
    DO(builds_found)       \
    DO(agent_apps)         \
    DO(deadlines)          \
    DO(messages_new)       \
    DO(messages_over)      \
    DO(workers)            \
    DO(statuses)           \
    DO(agents_lost)        \
    DO(starts)             \
    DO(silent)             \
    DO(logs)               \
    DO(audits)

void effects_clear(struct effects *e)
{
#define CLEAR(rows) vec_clear(&e->rows);
    EACH_ROWS(CLEAR)
#undef CLEAR
    for (size_t i = 0; i < e->dispatches.n; i++)
        work_done(&e->dispatches.v[i].work);
    for (size_t i = 0; i < e->arena.n; i++)
        free(e->arena.v[i]);
    vec_clear(&e->replies);
    vec_clear(&e->dispatches);
    vec_clear(&e->changed);
    vec_clear(&e->texts);
    vec_clear(&e->arena);
}

void effects_done(struct effects *e)
{
    effects_clear(e);
#define DONE(rows) vec_done(&e->rows);
    EACH_ROWS(DONE)
#undef DONE
    vec_done(&e->replies);
    vec_done(&e->dispatches);
    vec_done(&e->changed);
    vec_done(&e->texts);
    vec_done(&e->arena);
}

const char *effects_strdup(struct effects *e, const char *s)
{
    if (s == NULL)
        return NULL;
    char *copy = mem_strdup(s);
    *vec_push(&e->arena) = copy;
    return copy;
}

struct text_range effects_texts(struct effects *e, const struct named_text *list, size_t n)
{
    struct text_range r = {e->texts.n, n};
    for (size_t i = 0; i < n; i++)
        *vec_push(&e->texts) =
            (struct named_text){effects_strdup(e, list[i].name), effects_strdup(e, list[i].value)};
    return r;
}

bool effects_have_rows(const struct effects *e)
{
    size_t n = 0;
#define ADD(rows) n += e->rows.n;
    EACH_ROWS(ADD)
#undef ADD
    return n > 0;
}

bool effects_are_empty(const struct effects *e)
{
    return !effects_have_rows(e) && e->replies.n + e->dispatches.n + e->changed.n == 0;
}
