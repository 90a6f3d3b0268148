/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c - a request's life, and what handlers read from it.
 *
 * Requests are kept for reuse with the memory of their buffers, so that an ordinary one costs no
 * allocation here.
 */
#include "gateway/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "gateway/task_cache.h"

#define POOL_MAX       128
#define KEEP_BYTES_MAX (64 * 1024)
#define JSON_MARKS_MAX 20000
#define MALFORMED      "Request body must be valid JSON."

static struct request *pool[POOL_MAX];
static size_t n_pool;

/* ---- life ---- */

/* A draw from the kernel serves many requests. */
static void set_id(struct request *r)
{
    static uint64_t drawn[64];
    static size_t n_left;
    if (n_left == 0) {
        rng_bytes(drawn, sizeof(drawn));
        n_left = COUNT(drawn);
    }
    snprintf(r->id, sizeof(r->id), "%016" PRIx64, drawn[--n_left]);
}

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
        strbuf_init(&r->head);
    }
    r->gw = gw;
    set_id(r);
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
    free(r->oauth_state);
    free(r->last_event_id);
    free(r->user_agent);
    free(r->if_match);
    free(r->if_none_match);
    free(r->idempotency_key);
    free(r->idempotency);
    json_decref(r->json);
    task_blob_unref(r->blob);
}

void request_free(struct request *r)
{
    metric_add(&r->gw->metrics.requests_open, -1);
    release_owned(r);
    struct strbuf path = r->path, query = r->query, body = r->body, out = r->out, head = r->head;
    recycle(&path), recycle(&query), recycle(&body), recycle(&out), recycle(&head);
    memset(r, 0, sizeof(*r));
    r->path = path, r->query = query, r->body = body, r->out = out, r->head = head;
    if (n_pool < POOL_MAX) {
        pool[n_pool++] = r;
        return;
    }
    strbuf_done(&r->path), strbuf_done(&r->query), strbuf_done(&r->body), strbuf_done(&r->out);
    strbuf_done(&r->head);
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
        if (strncmp(s, key, n) == 0 && (s[n] == '=' || s[n] == '\0'))
            return s + n + (s[n] == '=');
    return NULL;
}

bool request_param_uuid(struct request *r, size_t i, struct uuid *ret_id)
{
    if (!uuid_parse(request_param(r, i), ret_id))
        answer_errorf(r, 400, NULL, "Invalid UUID \"%.64s\".", request_param(r, i));
    else if (uuid_is_nil(ret_id)) /* of nothing; queries take it for "any" */
        answer_not_found(r);
    return !r->is_over;
}

void *request_state(struct request *r, size_t size, void (*done)(void *state))
{
    drop_state(r);
    r->state = mem_alloc(size);
    r->state_done = done;
    return r->state;
}

/* Values take a hundred times the memory of their text.  What stands in strings does not count. */
static bool has_too_many_values(const struct strbuf *body)
{
    size_t n = 0;
    bool is_text = false;
    for (size_t i = 0; i < body->len; i++) {
        char c = body->s[i];
        if (c == '"')
            is_text = !is_text;
        else if (is_text)
            i += c == '\\';
        else
            n += c == ',' || c == '{' || c == '[';
    }
    return n > JSON_MARKS_MAX && (n > 10 * JSON_MARKS_MAX || n > body->len / 16);
}

json_t *request_json(struct request *r)
{
    json_error_t e;
    if (has_too_many_values(&r->body)) {
        answer_error(r, 413, "Request body too large.", "It has too many values.");
        return NULL;
    }
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

bool request_texts(struct request *r, const char *key, const json_t **ret_list)
{
    const json_t *v = json_object_get(r->json, key);
    bool ok = is_absent(v) || json_is_array(v);
    for (size_t i = 0; ok && i < json_array_size(v); i++)
        ok = json_is_string(json_array_get(v, i));
    *ret_list = is_absent(v) ? NULL : v;
    return ok || wrong_type(r, key, "a list of texts");
}

bool request_may_touch(const struct request *r, const struct uuid *owner)
{
    return rights_may(&r->who, OBJECT_TASK, rights_action_of(r), owner);
}
