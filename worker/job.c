/* SPDX-License-Identifier: Apache-2.0 */
/* job.c - a job by itself; slots.c has them all. */
#include "worker/job.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"

#define LINES_MAX 2000

static const struct {
    const char *text;
    bool takes_slot, is_named;
} states[] = {
#define STATE(symbol, takes_slot_, is_named_, text_) \
    [JOB_##symbol] = {text_, takes_slot_, is_named_},
#include "worker/job_state.def"
};

const char *job_state_to_str(enum job_state s)
{
    return states[s].text;
}

bool job_takes_slot(enum job_state s)
{
    return states[s].takes_slot;
}

bool job_is_named(enum job_state s)
{
    return states[s].is_named;
}

const char *job_kind_to_str(enum job_kind k)
{
    static const char *const names[JOB_KIND_COUNT] = {"none", "start", "stop", "delete", "import"};
    return names[k];
}

const char *job_outcome_to_str(enum job_outcome o)
{
    static const char *const names[] = {
        "none", "succeeded", "failed", "failed_for_good", "canceled", "handed_back"};
    return names[o];
}

/* Every string of a spec. */
static const size_t texts[] = {
    offsetof(struct job_spec, provisioner),
    offsetof(struct job_spec, workspace_name),
    offsetof(struct job_spec, task_name),
    offsetof(struct job_spec, owner_name),
    offsetof(struct job_spec, prompt),
    offsetof(struct job_spec, agent_token),
    offsetof(struct job_spec, app_slug),
    offsetof(struct job_spec, template_name),
    offsetof(struct job_spec, template_dir),
};

static char no_text[] = "";

static char **text_at(struct job_spec *spec, size_t i)
{
    return (char **)(void *)((char *)spec + texts[i]);
}

struct job *job_new(struct job_spec *take_spec, const struct provisioner *p)
{
    struct job *j = mem_alloc(sizeof(*j));
    j->spec = *take_spec;
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (*text_at(&j->spec, i) == NULL)
            *text_at(&j->spec, i) = no_text;
    }
    j->provisioner = p;
    j->io.call_fd = p == NULL || p->immediate ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    list_init(&j->node);
    return j;
}

void job_free(struct job *j)
{
    if (j == NULL)
        return;
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (*text_at(&j->spec, i) != no_text)
            free(*text_at(&j->spec, i));
    }
    job_texts_free(j->spec.parameters, j->spec.n_parameters);
    job_texts_free(j->spec.facts, j->spec.n_facts);
    job_commit_lines(j, UINT64_MAX);
    vec_done(&j->lines);
    job_found_done(&j->found);
    if (j->io.call_fd >= 0)
        close(j->io.call_fd);
    free(j);
}

enum job_outcome job_outcome_of(enum err code)
{
    switch (code) {
    case ERR_OK:
        return OUTCOME_SUCCEEDED;
    case ERR_CANCELED:
        return OUTCOME_CANCELED;
    case ERR_LEASE_LOST:
        return OUTCOME_FAILED;
    default:
        return err_is_retryable(code) ? OUTCOME_FAILED : OUTCOME_FAILED_FOR_GOOD;
    }
}

uint64_t job_add_line(
    struct job *j, int64_t at_us, const char *level, char *take_stage, char *take_output)
{
    if (j->lines.n >= LINES_MAX) {
        free(take_stage);
        free(take_output);
        return 0;
    }
    *vec_push(&j->lines) = (struct job_line){.seq = ++j->line_seq,
        .at_us = at_us,
        .level = level,
        .stage = take_stage,
        .output = take_output};
    j->lines_dirty = true;
    return j->line_seq;
}

void job_commit_lines(struct job *j, uint64_t seq)
{
    size_t n = 0;
    while (n < j->lines.n && j->lines.v[n].seq <= seq) {
        free(j->lines.v[n].stage);
        free(j->lines.v[n].output);
        n++;
    }
    if (n == 0)
        return;
    j->lines.n -= n;
    memmove(j->lines.v, j->lines.v + n, j->lines.n * sizeof(*j->lines.v));
}

void job_call(struct job *j, enum job_call call)
{
    if (atomic_load(&j->io.call) >= (int)call)
        return;
    atomic_store(&j->io.call, (int)call);
    uint64_t one = 1;
    if (j->io.call_fd >= 0) {
        ssize_t ignored = write(j->io.call_fd, &one, sizeof(one));
        (void)ignored;
    }
}
