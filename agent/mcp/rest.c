/* SPDX-License-Identifier: Apache-2.0 */
/* rest.c - one request, one answer; the token goes in Coder's header. */
#include "agent/mcp/rest.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/http.h"
#include "core/base/cleanup.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

#define ANSWER_BYTES_MAX ((size_t)32 * 1024 * 1024)
/* A send waits for the app to take it in. */
#define ANSWER_TIMEOUT_MS 60000

struct rest_job {
    struct mcp_job job;
    struct http_call *call;
    mcp_ask_done_fn done;
    void *arg;
};

static void on_answer(void *arg, const struct http_answer *a)
{
    struct rest_job *j = arg;
    json_t *body = a->code == ERR_OK && a->n > 0 ? json_loadb(a->body, a->n, 0, NULL) : NULL;
    const struct mcp_reply reply = {
        .code = a->code, .why = a->why, .status = a->status, .body = body};
    mcp_ask_done_fn done = j->done;
    void *done_arg = j->arg;
    free(j);
    done(done_arg, &reply);
    json_decref(body);
}

static void cancel(struct mcp_job *job)
{
    struct rest_job *j = container_of(job, struct rest_job, job);
    http_cancel(j->call);
    free(j);
}

struct mcp_job *rest_ask(
    const struct mcp_rest *r, const struct mcp_ask *ask, mcp_ask_done_fn done, void *done_arg)
{
    struct rest_job *j = mem_alloc(sizeof(*j));
    j->job.cancel = cancel;
    j->done = done;
    j->arg = done_arg;
    scoped(strbuf_done) struct strbuf url;
    strbuf_init(&url);
    strbuf_addf(&url, "%s%s", r->url, ask->path);
    scoped_free char *body = ask->body != NULL ? json_dumps(ask->body, JSON_COMPACT) : NULL;
    const char *const headers[] = {"Coder-Session-Token", r->token, "Accept", "application/json",
        body != NULL ? "Content-Type" : NULL, "application/json", NULL};
    const struct http_request request = {
        .method = ask->method,
        .url = url.s,
        .headers = headers,
        .body = body,
        .body_n = body != NULL ? strlen(body) : 0,
        .timeout_ms = ANSWER_TIMEOUT_MS,
        .bytes_max = ANSWER_BYTES_MAX,
        .done = on_answer,
        .arg = j,
    };
    j->call = http_start(r->loop, &request);
    return &j->job;
}
