/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tasks.c - reading tasks: one, and lists.
 *
 * Many clients ask for the same list at the same time.  A request that comes while an equal one is
 * being read, and nothing has changed since that one began, waits for it and answers with the same
 * tasks; so a herd costs one read.
 */
#include <string.h>

#include "core/base/mem.h"
#include "gateway/json_out.h"
#include "gateway/organization.h"
#include "gateway/search.h"
#include "gateway/task.h"
#include "gateway/task_load.h"

#define BAD_QUERY "Invalid task search query."

/* ---- GET /tasks/{user}/{task} ---- */

static void show(struct request *r)
{
    const struct task_set *set = r->state;
    const struct task_blob *b = set->blobs[0];
    if (b == NULL || !request_may_touch(r, &b->owner_id))
        answer_not_found(r);
    else
        task_answer(r, 200);
}

static void load_one(struct request *r, const struct uuid *task_id)
{
    struct task_set *set = request_state(r, sizeof(*set), task_set_done);
    *vec_push(&set->ids) = *task_id;
    task_load(r, show);
}

void task_get(struct request *r)
{
    struct uuid id;
    if (uuid_parse(request_param(r, 1), &id) && find_is_self(r, request_param(r, 0)))
        load_one(r, &id);
    else
        find_task(r, load_one);
}

/* ---- GET /tasks ---- */

/* What is asked for, by whom, and who waits for the same. */
struct list_filter {
    struct task_set set;                /* first: r->state is a task_set */
    struct uuid organization, owner_id; /* nil: any */
    char status[16];
    char owner[80];
    struct request *r;
    uint64_t mark;         /* of the cache, when the reading began */
    struct list followers; /* of one that reads */
    struct list link;      /* in gw->lists, or in the followers of another */
};

/* A reading that ends without an answer takes its followers with it. */
static void list_done(void *state)
{
    struct list_filter *f = state;
    struct list *it;
    list_unlink(&f->link);
    while (f->followers.next != NULL && (it = list_pop(&f->followers)) != NULL)
        answer_db_failed(container_of(it, struct list_filter, link)->r, ERR_DB_DOWN);
    task_set_done(&f->set);
}

static void write_list(struct request *r)
{
    const struct task_set *set = r->state;
    int64_t n = 0;
    size_t bytes = 64;
    for (size_t i = 0; i < set->ids.n; i++)
        bytes += set->blobs[i] != NULL ? set->blobs[i]->n : 0;
    strbuf_reserve(&r->out, bytes);
    json_open(&r->out, '{');
    json_key(&r->out, "tasks");
    json_open(&r->out, '[');
    for (size_t i = 0; i < set->ids.n; i++) {
        const struct task_blob *b = set->blobs[i];
        if (b == NULL)
            continue;
        struct queue_place place = {0};
        if (b->is_pending)
            place = queue_place(r->gw->queue, &b->id);
        task_blob_write(&r->out, b, place);
        n++;
    }
    json_close(&r->out, ']');
    json_put_int(&r->out, "count", n);
    json_close(&r->out, '}');
    answer_json(r, 200);
}

static void share(const struct task_set *from, struct task_set *to)
{
    to->blobs = mem_calloc(from->ids.n + 1, sizeof(struct task_blob *));
    for (size_t i = 0; i < from->ids.n; i++) {
        *vec_push(&to->ids) = from->ids.v[i];
        to->blobs[i] = from->blobs[i] != NULL ? task_blob_ref(from->blobs[i]) : NULL;
    }
}

static void show_list(struct request *r)
{
    struct list_filter *f = r->state;
    struct list *it;
    list_unlink(&f->link);
    while ((it = list_pop(&f->followers)) != NULL) {
        struct list_filter *follower = container_of(it, struct list_filter, link);
        share(&f->set, &follower->set);
        write_list(follower->r);
    }
    write_list(r);
}

static void on_ids(struct request *r, const struct db_result *const *results)
{
    struct task_set *set = r->state;
    for (size_t i = 0; i < db_rows(results[0]); i++)
        *vec_push(&set->ids) = db_uuid(results[0], i, 0);
    task_load(r, show_list);
}

/* The one that reads the same, and began after the last change. */
static struct list_filter *find_equal(const struct gateway *gw, const struct list_filter *f)
{
    if (!task_cache_is_valid(gw->cache))
        return NULL;
    list_for(it, &gw->lists)
    {
        struct list_filter *other = container_of(it, struct list_filter, link);
        if (other->mark == f->mark && uuid_eq(&other->owner_id, &f->owner_id) &&
            uuid_eq(&other->organization, &f->organization) &&
            strcmp(other->status, f->status) == 0)
            return other;
    }
    return NULL;
}

static void read_list(struct request *r);

/* `owner` nil: everybody's. */
static void list_of(struct request *r, const struct uuid *owner)
{
    struct list_filter *f = r->state;
    f->r = r;
    f->owner_id = *owner;
    f->mark = task_cache_mark(r->gw->cache);
    list_init(&f->followers);
    struct list_filter *equal = find_equal(r->gw, f);
    if (equal != NULL) {
        list_append(&equal->followers, &f->link);
        metric_add(&r->gw->metrics.lists_joined, 1);
        return;
    }
    list_append(&r->gw->lists, &f->link);
    read_list(r);
}

static void read_list(struct request *r)
{
    const struct list_filter *f = r->state;
    const struct uuid *owner = &f->owner_id;
    bool by_status = f->status[0] != '\0', by_owner = !uuid_is_nil(owner);
    struct db_batch *b = db_batch_new();
    if (by_status)
        db_batch_add(b, by_owner ? SQL_TASK_LIST_OF_OWNER_WITH_STATUS : SQL_TASK_LIST_WITH_STATUS);
    else
        db_batch_add(b, by_owner ? SQL_TASK_LIST_OF_OWNER : SQL_TASK_LIST);
    db_add_uuid(b, &f->organization);
    if (by_owner)
        db_add_uuid(b, owner);
    if (by_status)
        db_add_text(b, f->status);
    ask_db_bulk(r, b, on_ids);
}

static void unknown_owner(struct request *r, const char *owner)
{
    char detail[256];
    snprintf(detail, sizeof(detail),
        "Query param \"owner\" has invalid value: user \"%.64s\" either does not exist, or you are "
        "unauthorized to view them",
        owner);
    answer_invalid(r, 400, BAD_QUERY, "owner", detail);
}

static void on_list_owner(struct request *r, const struct db_result *const *results)
{
    const struct list_filter *f = r->state;
    if (db_rows(results[0]) == 0) {
        unknown_owner(r, f->owner);
        return;
    }
    struct uuid owner = db_uuid(results[0], 0, 0);
    list_of(r, &owner);
}

static void list_by_owner(struct request *r, const char *owner)
{
    struct uuid id = {0};
    if (find_is_self(r, owner)) {
        id = r->who.id;
        list_of(r, &id);
        return;
    }
    if (!rights_may(&r->who, OBJECT_TASK, ACTION_READ, NULL)) {
        unknown_owner(r, owner);
        return;
    }
    struct list_filter *f = r->state;
    snprintf(f->owner, sizeof(f->owner), "%s", owner);
    uuid_parse(owner, &id);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_GET);
    db_add_uuid(b, &id);
    db_add_text(b, owner);
    ask_db(r, b, on_list_owner);
}

static bool read_filter(struct request *r, const struct search *s, struct list_filter *f)
{
    char detail[256];
    const char *organization = search_get(s, "organization"), *status = search_get(s, "status");
    if (organization != NULL && !organization_is(r->gw, organization)) {
        snprintf(detail, sizeof(detail),
            "Query param \"organization\" has invalid value: organization \"%.64s\" either does "
            "not "
            "exist, or you are unauthorized to view it",
            organization);
        answer_invalid(r, 400, BAD_QUERY, "organization", detail);
        return false;
    }
    if (status != NULL && !task_status_is_known(status)) {
        snprintf(detail, sizeof(detail),
            "Query param \"status\" has invalid value: \"%.64s\" is not a valid task status; it is "
            "one of pending, initializing, active, paused, unknown, error",
            status);
        answer_invalid(r, 400, BAD_QUERY, "status", detail);
        return false;
    }
    if (organization != NULL)
        f->organization = r->gw->organization.id;
    if (status != NULL)
        snprintf(f->status, sizeof(f->status), "%s", status);
    return true;
}

void task_list(struct request *r)
{
    static const char *const keys[] = {"owner", "organization", "status", NULL};
    const char *query = request_query(r, "q");
    struct search s;
    struct search_error e;
    if (!search_parse(query != NULL ? query : "", "owner", keys, &s, &e)) {
        answer_invalid(r, 400, BAD_QUERY, e.field, e.detail);
        return;
    }
    struct list_filter *f = request_state(r, sizeof(*f), list_done);
    if (!read_filter(r, &s, f))
        return;
    const char *owner = search_get(&s, "owner");
    struct uuid everybody = {0};
    if (owner != NULL)
        list_by_owner(r, owner);
    else
        list_of(r, rights_may(&r->who, OBJECT_TASK, ACTION_READ, NULL) ? &everybody : &r->who.id);
}
