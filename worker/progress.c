/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c - a queue under a mutex on one side, Redis on the other. */
#include "worker/progress.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/wire/wire.h"
#include "worker/metric.h"

#define STAGE_BYTES_MAX  128
#define OUTPUT_BYTES_MAX 1024

/* A line that no loop has seen yet. */
struct written {
    struct uuid job_id;
    uint64_t token;
    int64_t at_us;
    const char *level;
    char *stage, *output;
};

struct progress {
    struct loop *loop;
    struct kv *redis;
    struct slots *slots;
    bool any_dirty; /* some job has lines that were not handed over */

    pthread_mutex_t lock;
    VEC(struct written) queue; /* under lock */
    bool posted;               /* under lock: the loop will come and look */
};

struct progress *progress_new(struct loop *l, struct kv *redis, struct slots *slots)
{
    struct progress *p = mem_alloc(sizeof(*p));
    *p = (struct progress){.loop = l, .redis = redis, .slots = slots};
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

void progress_free(struct progress *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->queue.n; i++) {
        free(p->queue.v[i].stage);
        free(p->queue.v[i].output);
    }
    vec_done(&p->queue);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* ---- writing ---- */

static void on_posted(void *arg)
{
    progress_drain(arg);
}

static char *cut(const char *s, size_t max)
{
    return mem_strndup(s, text_utf8_prefix(s, strlen(s), max));
}

void progress_line(void *arg, const struct job_spec *spec, const char *level, const char *stage,
    const char *output)
{
    struct progress *p = arg;
    const struct written w = {.job_id = spec->job_id,
        .token = spec->token,
        .at_us = clock_wall_us(),
        .level = level,
        .stage = cut(stage, STAGE_BYTES_MAX),
        .output = cut(output, OUTPUT_BYTES_MAX)};
    pthread_mutex_lock(&p->lock);
    *vec_push(&p->queue) = w;
    bool post = !p->posted;
    p->posted = true;
    pthread_mutex_unlock(&p->lock);
    if (post)
        loop_post(p->loop, on_posted, p);
}

void progress_drain(struct progress *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->queue.n;
    struct written *queue = p->queue.v;
    p->queue.v = NULL;
    p->queue.n = p->queue.room = 0;
    p->posted = false;
    pthread_mutex_unlock(&p->lock);

    for (size_t i = 0; i < n; i++) {
        struct written *w = &queue[i];
        struct job *j = slots_find(p->slots, &w->job_id, w->token);
        if (j != NULL && job_add_line(j, w->at_us, w->level, w->stage, w->output) != 0) {
            p->any_dirty = true;
            METRIC_ADD(log_lines, 1);
        } else if (j != NULL) {
            METRIC_ADD(log_lines_dropped, 1);
        } else { /* its lease is lost */
            free(w->stage);
            free(w->output);
        }
    }
    free(queue);
}

/* ---- handing over ---- */

static void on_handed_over(void *arg, enum err code, const struct redisReply *reply)
{
    (void)arg, (void)code, (void)reply;
    /* Not taken: progress_again() comes when Redis is back, and the result has what is left. */
}

static void hand_over(struct progress *p, struct job *j)
{
    size_t first = 0;
    while (first < j->lines.n && j->lines.v[first].seq <= j->line_sent)
        first++;
    size_t n = j->lines.n - first;
    j->lines_dirty = false;
    if (n == 0)
        return;

    Stint__V1__LogLine *lines = mem_calloc(n, sizeof(*lines));
    Stint__V1__LogLine **pointers = mem_calloc(n, sizeof(*pointers));
    for (size_t i = 0; i < n; i++) {
        const struct job_line *from = &j->lines.v[first + i];
        stint__v1__log_line__init(&lines[i]);
        lines[i].seq = from->seq;
        lines[i].at_us = from->at_us;
        lines[i].level = (char *)(uintptr_t)from->level;
        lines[i].stage = from->stage;
        lines[i].output = from->output;
        pointers[i] = &lines[i];
    }
    Stint__V1__JobResult result = STINT__V1__JOB_RESULT__INIT;
    result.job_id = wire_uuid(&j->spec.job_id);
    result.token = j->spec.token;
    result.n_log = n;
    result.log = pointers;
    size_t bytes = stint__v1__job_result__get_packed_size(&result);
    uint8_t *packed = mem_alloc(bytes);
    stint__v1__job_result__pack(&result, packed);

    const char *const argv[] = {
        "XADD", "stint:logs", "MAXLEN", "~", "1000000", "*", "l", (const char *)packed};
    const size_t lens[] = {4, 10, 6, 1, 7, 1, 1, bytes};
    kv_command(p->redis, on_handed_over, p, (int)COUNT(argv), argv, lens);
    j->line_sent = j->line_seq;
    free(packed);
    free(pointers);
    free(lines);
}

void progress_flush(struct progress *p)
{
    static const enum job_state states[] = {JOB_WAITING, JOB_RUNNING};
    if (!p->any_dirty || !kv_is_up(p->redis))
        return;
    p->any_dirty = false;
    for (size_t i = 0; i < COUNT(states); i++) {
        list_for(it, &p->slots->list[states[i]])
        {
            struct job *j = container_of(it, struct job, node);
            if (j->lines_dirty)
                hand_over(p, j);
        }
    }
}

/* ---- committed ---- */

void progress_committed(struct progress *p, const struct uuid *job_id, uint64_t number)
{
    struct job *j = map_get(&p->slots->by_id, job_id);
    if (j == NULL)
        return;
    /* As build_logs.id has it, token and line in one, or the line's number alone. */
    uint64_t token = number >> 20;
    if (token == 0 || token == j->spec.token)
        job_commit_lines(j, number & 0xfffff);
}

void progress_again(struct progress *p)
{
    list_for(it, &p->slots->list[JOB_RUNNING])
    {
        struct job *j = container_of(it, struct job, node);
        j->line_sent = 0;
        j->lines_dirty = j->lines.n > 0;
        p->any_dirty = p->any_dirty || j->lines_dirty;
    }
}
