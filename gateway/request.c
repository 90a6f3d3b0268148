/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c - what handlers read from a request, and the questions they ask on its behalf.
 *
 * Requests are kept for reuse with the memory of their buffers, so that an ordinary one costs no
 * allocation here.
 */
#include "gateway/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "gateway/task_cache.h"

#define POOL_MAX       128
#define KEEP_BYTES_MAX (64 * 1024)
#define MALFORMED      "Request body must be valid JSON."
#define SCHEDULER_AWAY "The scheduler cannot be reached."

static struct request *pool[POOL_MAX];
static size_t n_pool;

/* ---- life ---- */

struct request *request_new(struct gateway *gw)
{
    struct request *r;
    if (n_pool > 0) {
        r = pool[--n_pool];
    } else {
        r = mem_alloc(sizeof(*r));
        strbuf_init(&r->path);
        strbuf_init(&r->query);
        strbuf_init(&r->body);
        strbuf_init(&r->out);
    }
    r->gw = gw;
    metric_add(&gw->metrics.requests, 1);
    metric_add(&gw->metrics.requests_open, 1);
    return r;
}

static void recycle(struct strbuf *b)
{
    if (b->room > KEEP_BYTES_MAX)
        strbuf_done(b);
    strbuf_clear(b);
}

static void drop_state(struct request *r)
{
    if (r->state_done != NULL)
        r->state_done(r->state);
    free(r->state);
}

static void release_owned(struct request *r)
{
    drop_state(r);
    free(r->cookie);
    json_decref(r->json);
    task_blob_unref(r->blob);
}

void request_free(struct request *r)
{
    metric_add(&r->gw->metrics.requests_open, -1);
    release_owned(r);
    struct strbuf path = r->path, query = r->query, body = r->body, out = r->out;
    recycle(&path), recycle(&query), recycle(&body), recycle(&out);
    memset(r, 0, sizeof(*r));
    r->path = path, r->query = query, r->body = body, r->out = out;
    if (n_pool < POOL_MAX) {
        pool[n_pool++] = r;
        return;
    }
    strbuf_done(&r->path), strbuf_done(&r->query), strbuf_done(&r->body), strbuf_done(&r->out);
    free(r);
}

/* ---- reading ---- */

const char *request_param(const struct request *r, size_t i)
{
    return r->path.s + r->params.v[i].at;
}

const char *request_query(const struct request *r, const char *key)
{
    size_t n = strlen(key);
    for (const char *s = r->query.s, *end = s + r->query.len; s < end; s += strlen(s) + 1)
        if (strncmp(s, key, n) == 0 && s[n] == '=')
            return s + n + 1;
    return NULL;
}

bool request_param_uuid(struct request *r, size_t i, struct uuid *ret_id)
{
    if (uuid_parse(request_param(r, i), ret_id))
        return true;
    answer_errorf(r, 400, NULL, "Invalid UUID \"%.64s\".", request_param(r, i));
    return false;
}

void *request_state(struct request *r, size_t size, void (*done)(void *state))
{
    drop_state(r);
    r->state = mem_alloc(size);
    r->state_done = done;
    return r->state;
}

json_t *request_json(struct request *r)
{
    json_error_t e;
    r->json = json_loadb(r->body.s, r->body.len, 0, &e);
    if (json_is_object(r->json))
        return r->json;
    answer_error(r, 400, MALFORMED, r->json != NULL ? "An object was expected." : e.text);
    return NULL;
}

static bool is_absent(const json_t *v)
{
    return v == NULL || json_is_null(v);
}

static bool wrong_type(struct request *r, const char *key, const char *wanted)
{
    char detail[128];
    snprintf(detail, sizeof(detail), "\"%s\" must be %s.", key, wanted);
    answer_error(r, 400, MALFORMED, detail);
    return false;
}

bool request_text(struct request *r, const char *key, const char **ret_text)
{
    const json_t *v = json_object_get(r->json, key);
    if (!is_absent(v) && !json_is_string(v))
        return wrong_type(r, key, "a text");
    *ret_text = is_absent(v) ? "" : json_string_value(v);
    return true;
}

bool request_uuid(struct request *r, const char *key, struct uuid *ret_id)
{
    const char *text;
    if (!request_text(r, key, &text))
        return false;
    *ret_id = (struct uuid){0};
    return text[0] == '\0' || uuid_parse(text, ret_id) || wrong_type(r, key, "a UUID");
}

bool request_int(struct request *r, const char *key, int64_t otherwise, int64_t *ret_value)
{
    const json_t *v = json_object_get(r->json, key);
    if (!is_absent(v) && !json_is_integer(v))
        return wrong_type(r, key, "a whole number");
    *ret_value = is_absent(v) ? otherwise : json_integer_value(v);
    return true;
}

bool request_may_touch(const struct request *r, const struct uuid *owner)
{
    return (r->who.roles & ROLE_OWNER) != 0 || uuid_eq(&r->who.id, owner);
}

/* ---- asking ---- */

static void on_db(void *arg, enum err code, const struct db_result *const *results,
    size_t n_results, const struct errctx *ctx)
{
    (void)n_results;
    struct request *r = arg;
    ask_failed_fn failed = r->on_db_failed;
    r->on_db_failed = NULL;
    if (code == ERR_OK) {
        r->on_db(r, results);
        return;
    }
    if (code != ERR_DB_DOWN && code != ERR_CONFLICT)
        log_warn("a statement failed route=%s error=%s", r->route->pattern, LOG_Q(ctx->text));
    if (failed != NULL && code != ERR_DB_DOWN)
        failed(r, code, code == ERR_CONFLICT ? db_error_constraint(r->gw->db) : "");
    else
        answer_db_failed(r, code);
}

void ask_db(struct request *r, struct db_batch *take_batch, ask_db_fn done)
{
    r->on_db = done;
    db_send(r->gw->db, take_batch, on_db, r);
}

void ask_db_bulk(struct request *r, struct db_batch *take_batch, ask_db_fn done)
{
    r->on_db = done;
    db_send(r->gw->db_bulk, take_batch, on_db, r);
}

void ask_db_or(struct request *r, struct db_batch *take_batch, ask_db_fn done, ask_failed_fn failed)
{
    r->on_db_failed = failed;
    ask_db(r, take_batch, done);
}

static void on_bus(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    struct request *r = arg;
    if (code == ERR_OK)
        r->on_bus(r, reply);
    else if (code == ERR_TIMEOUT)
        answer_error(r, 503, SCHEDULER_AWAY,
            "It did not answer in time, so this may or may not have been done. Look before you try "
            "again, and check that stint-scheduler runs.");
    else
        answer_error(r, 503, SCHEDULER_AWAY,
            "Check that stint-scheduler runs and that scheduler_url names it, then try again.");
}

void ask_bus(struct request *r, Stint__V1__Envelope *question, int64_t timeout_ms, ask_bus_fn done)
{
    r->on_bus = done;
    bus_send(r->gw->bus, question, timeout_ms, on_bus, r);
}
