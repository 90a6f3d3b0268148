/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_tasks.c - /api/stint/v1/tasks and …/{task}: pages of tasks, and one.
 *
 * A page is two reads: the ids of a page in one statement (task_page.sql), then the tasks
 * themselves through the cache, as every other reader has them.
 */
#include <string.h>

#include "core/base/vec.h"
#include "gateway/etag.h"
#include "gateway/json_out.h"
#include "gateway/organization.h"
#include "gateway/own_task.h"
#include "gateway/page.h"
#include "gateway/task_query.h"

/* ---- one ---- */

struct etag_half own_task_tag(const struct task_blob *b)
{
    return etag_of(b->json, b->n + b->n_more);
}

void own_task_write(struct request *r, const struct task_blob *b, uint64_t fields)
{
    struct queue_place place = {0};
    if (b->is_pending)
        place = queue_place(r->gw->queue, &b->id);
    if (fields == 0) {
        task_blob_write_own(&r->out, b, place);
        return;
    }
    struct strbuf whole;
    strbuf_init(&whole);
    task_blob_write_own(&whole, b, place);
    task_fields_select(&r->out, whole.s, whole.len, fields);
    strbuf_done(&whole);
}

void own_task_answer(struct request *r, int status, const struct task_blob *b, uint64_t fields)
{
    own_task_write(r, b, fields);
    etag_answer(r, status, own_task_tag(b));
}

static bool read_fields(struct request *r, uint64_t *ret_fields)
{
    const char *text = request_query(r, "fields");
    char unknown[32], detail[96];
    *ret_fields = 0;
    if (text == NULL || task_fields_parse(text, ret_fields, unknown))
        return true;
    snprintf(detail, sizeof(detail), "\"%s\" is no member of a task.", unknown);
    page_answer_invalid(r, "fields", detail);
    return false;
}

static void show(struct request *r)
{
    const struct task_set *set = r->state;
    const struct task_blob *b = set->blobs[0];
    uint64_t fields;
    if (b == NULL || !request_may_touch(r, &b->owner_id))
        answer_not_found(r);
    else if (read_fields(r, &fields))
        own_task_answer(r, 200, b, fields);
}

void own_task_get(struct request *r)
{
    static const char *const known[] = {"fields", NULL};
    struct uuid id;
    if (!request_param_uuid(r, 0, &id) || !page_check_parameters(r, known))
        return;
    struct task_set *set = request_state(r, sizeof(*set), task_set_done);
    *vec_push(&set->ids) = id;
    task_load(r, show);
}

/* ---- pages ---- */

struct page {
    struct task_set set; /* first: r->state is a task_set */
    struct task_query q;
    struct uuid owner; /* nil: everybody's */
    bool has_more;
    struct task_place last;
};

static void page_done(void *state)
{
    struct page *p = state;
    task_set_done(&p->set);
}

static bool is_among(const char *word, const char words[][QUERY_WORD_MAX], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return n == 0;
}

/* It may have changed since its id was read; then it is in no page. */
static bool still_fits(const struct task_query *q, const struct task_blob *b)
{
    return is_among(b->status, q->statuses, q->n_statuses) &&
           is_among(b->state, q->states, q->n_states);
}

static void write_page(struct request *r)
{
    const struct page *p = r->state;
    char cursor[TASK_CURSOR_SIZE];
    size_t bytes = 128;
    for (size_t i = 0; i < p->set.ids.n; i++)
        bytes += p->set.blobs[i] != NULL ? p->set.blobs[i]->n + p->set.blobs[i]->n_more + 96 : 0;
    if (p->q.fields == 0)
        strbuf_reserve(&r->out, bytes);
    json_open(&r->out, '{');
    json_key(&r->out, "tasks");
    json_open(&r->out, '[');
    for (size_t i = 0; i < p->set.ids.n; i++)
        if (p->set.blobs[i] != NULL && still_fits(&p->q, p->set.blobs[i]))
            own_task_write(r, p->set.blobs[i], p->q.fields);
    json_close(&r->out, ']');
    if (p->has_more)
        task_cursor_format(&p->q, &p->last, cursor);
    page_put_next(r, p->has_more ? cursor : NULL);
    json_close(&r->out, '}');
    answer_json(r, 200);
}

static void on_page(struct request *r, const struct db_result *const *results)
{
    struct page *p = r->state;
    size_t n = db_rows(results[0]);
    p->has_more = n > (size_t)p->q.limit;
    n = p->has_more ? (size_t)p->q.limit : n;
    for (size_t i = 0; i < n; i++)
        *vec_push(&p->set.ids) = db_uuid(results[0], i, 0);
    if (n > 0)
        p->last = (struct task_place){.key = db_int(results[0], n - 1, 1),
            .created_us = db_time_us(results[0], n - 1, 2),
            .id = p->set.ids.v[n - 1]};
    task_load(r, write_page);
}

static void add_words(struct db_batch *b, const char words[][QUERY_WORD_MAX], size_t n)
{
    if (n == 0) {
        db_add_null(b);
        return;
    }
    struct db_array *a = db_array_new(DB_TEXT);
    for (size_t i = 0; i < n; i++)
        db_array_text(a, strcmp(words[i], "failed") == 0 ? "failure" : words[i]);
    db_add_array(b, a);
}

/* Labels with a value as JSON, names of those without. */
static void add_labels(struct db_batch *b, const struct task_query *q)
{
    struct strbuf json;
    struct db_array *names = NULL;
    strbuf_init(&json);
    for (size_t i = 0; i < q->n_labels; i++) {
        if (q->labels[i].value != NULL) {
            if (json.len == 0)
                json_open(&json, '{');
            json_textn(&json, q->labels[i].name, q->labels[i].n);
            strbuf_addch(&json, ':');
            json_text(&json, q->labels[i].value);
            continue;
        }
        names = names != NULL ? names : db_array_new(DB_TEXT);
        db_array_textn(names, q->labels[i].name, q->labels[i].n);
    }
    if (json.len > 0)
        json_close(&json, '}');
    db_add_text(b, json.len > 0 ? json.s : NULL);
    if (names != NULL)
        db_add_array(b, names);
    else
        db_add_null(b);
    strbuf_done(&json);
}

static void add_begin(struct db_batch *b, const struct task_query *q)
{
    if (q->has_cursor) {
        db_add_int8(b, q->after.key);
        db_add_time(b, q->after.created_us);
        db_add_uuid(b, &q->after.id);
    } else {
        db_add_null(b), db_add_null(b), db_add_null(b);
    }
    db_add_int8(b, q->limit + 1);
}

static void read_page(struct request *r)
{
    static const enum sql_id statements[] = {[ORDER_CREATED] = SQL_TASK_PAGE_BY_CREATED,
        [ORDER_UPDATED] = SQL_TASK_PAGE_BY_UPDATED,
        [ORDER_PRIORITY] = SQL_TASK_PAGE_BY_PRIORITY};
    const struct page *p = r->state;
    const struct task_query *q = &p->q;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, statements[q->order]);
    db_add_uuid(b, &p->owner);
    db_add_uuid(b, q->organization != NULL ? &r->gw->organization.id : NULL);
    add_words(b, q->statuses, q->n_statuses);
    add_words(b, q->states, q->n_states);
    db_add_text(b, q->template);
    add_labels(b, q);
    db_add_text(b, q->name_prefix);
    db_add_time(b, q->created_after);
    db_add_time(b, q->created_before);
    if (q->has_error < 0)
        db_add_null(b);
    else
        db_add_bool(b, q->has_error != 0);
    add_begin(b, q);
    ask_db_bulk(r, b, on_page);
}

static void unknown_owner(struct request *r)
{
    page_answer_invalid(
        r, "owner", "There is no such user, or you may not see what belongs to him.");
}

static void on_owner(struct request *r, const struct db_result *const *results)
{
    struct page *p = r->state;
    if (db_rows(results[0]) == 0) {
        unknown_owner(r);
        return;
    }
    p->owner = db_uuid(results[0], 0, 0);
    read_page(r);
}

void own_task_list(struct request *r)
{
    struct page *p = request_state(r, sizeof(*p), page_done);
    struct task_query_error e;
    bool sees_all = rights_may(&r->who, OBJECT_TASK, ACTION_READ, NULL);
    if (!task_query_parse(r->query.s, r->query.len, &p->q, &e)) {
        page_answer_invalid(r, e.field, e.detail);
        return;
    }
    if (p->q.organization != NULL && !organization_is(r->gw, p->q.organization)) {
        page_answer_invalid(r, "organization", "There is no such organization.");
        return;
    }
    const char *owner = p->q.owner;
    if (owner != NULL && !find_is_self(r, owner) && !sees_all) {
        unknown_owner(r);
        return;
    }
    if (owner != NULL && !find_is_self(r, owner)) {
        find_user_row(r, owner, on_owner);
        return;
    }
    if (owner != NULL || !sees_all)
        p->owner = r->who.id;
    read_page(r);
}
