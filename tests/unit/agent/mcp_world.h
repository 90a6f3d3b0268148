/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcp_world.h - a world for the MCP server in which nothing is done: what it asks for is written
 * down, and answered when the test says so.
 */
#ifndef TESTS_UNIT_AGENT_MCP_WORLD_H
#define TESTS_UNIT_AGENT_MCP_WORLD_H

#include <stdlib.h>

#include "agent/mcp/server.h"
#include "agent/mcp/world.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

#define FAKE_JOBS_MAX 600

struct fake_job {
    struct mcp_job job;
    struct fake_world *world;
    size_t at; /* in jobs */
    mcp_report_done_fn on_report;
    mcp_ask_done_fn on_ask;
    void *arg;
};

struct fake_world {
    struct mcp_world world;
    struct strbuf out;   /* lines that were written */
    struct strbuf deeds; /* what was asked for, one line each */
    struct fake_job *jobs[FAKE_JOBS_MAX];
    size_t n_jobs, n_cancelled;
};

static inline void fake_cancel(struct mcp_job *job)
{
    struct fake_job *j = container_of(job, struct fake_job, job);
    j->world->jobs[j->at] = NULL;
    j->world->n_cancelled++;
    free(j);
}

static inline struct fake_job *fake_job_new(struct fake_world *w, void *arg)
{
    struct fake_job *j = mem_alloc(sizeof(*j));
    if (w->n_jobs == FAKE_JOBS_MAX)
        abort();
    j->job.cancel = fake_cancel;
    j->world = w;
    j->arg = arg;
    j->at = w->n_jobs;
    w->jobs[w->n_jobs++] = j;
    return j;
}

static inline void fake_write(void *arg, const char *line, size_t n)
{
    struct fake_world *w = arg;
    strbuf_add(&w->out, line, n);
}

static inline struct mcp_job *fake_report(
    void *arg, const struct mcp_report *report, mcp_report_done_fn done, void *done_arg)
{
    struct fake_world *w = arg;
    struct fake_job *j = fake_job_new(w, done_arg);
    j->on_report = done;
    strbuf_addf(&w->deeds, "report %s \"%s\" <%s>\n", report->state, report->summary, report->link);
    return &j->job;
}

static inline struct mcp_job *fake_ask(
    void *arg, const struct mcp_ask *ask, mcp_ask_done_fn done, void *done_arg)
{
    struct fake_world *w = arg;
    struct fake_job *j = fake_job_new(w, done_arg);
    j->on_ask = done;
    char *body = ask->body != NULL ? json_dumps(ask->body, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    strbuf_addf(&w->deeds, "%s %s%s%s\n", ask->method, ask->path, body != NULL ? " " : "",
        body != NULL ? body : "");
    free(body);
    return &j->job;
}

static inline void fake_open(struct fake_world *w, bool can_report, bool has_user)
{
    *w = (struct fake_world){0};
    strbuf_init(&w->out);
    strbuf_init(&w->deeds);
    w->world = (struct mcp_world){.arg = w,
        .can_report = can_report,
        .has_user = has_user,
        .write = fake_write,
        .report = fake_report,
        .ask = fake_ask};
}

static inline void fake_close(struct fake_world *w)
{
    for (size_t i = 0; i < w->n_jobs; i++)
        free(w->jobs[i]);
    strbuf_done(&w->out);
    strbuf_done(&w->deeds);
}

/* The job, which is over; the caller frees it. */
static inline struct fake_job *fake_take(struct fake_world *w, size_t i)
{
    struct fake_job *j = w->jobs[i];
    if (j == NULL)
        abort();
    w->jobs[i] = NULL;
    return j;
}

static inline void fake_reported(struct fake_world *w, size_t i, enum err e, const char *text)
{
    struct fake_job *j = fake_take(w, i);
    j->on_report(j->arg, e, text);
    free(j);
}

static inline void fake_answered(struct fake_world *w, size_t i, int status, const char *body)
{
    struct fake_job *j = fake_take(w, i);
    json_t *value = json_loads(body, JSON_DECODE_ANY, NULL);
    const struct mcp_reply reply = {.status = status, .why = "", .body = value};
    j->on_ask(j->arg, &reply);
    json_decref(value);
    free(j);
}

#endif
