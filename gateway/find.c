/* SPDX-License-Identifier: Apache-2.0 */
/*
 * find.c - {user} and {task} of a path.
 *
 * A task's id speaks for itself, whoever {user} is; a name is looked for among {user}'s tasks.
 */
#include <string.h>
#include <strings.h>

#include "gateway/request.h"

bool find_is_self(const struct request *r, const char *word)
{
    struct uuid id;
    return strcmp(word, "me") == 0 || strcasecmp(word, r->who.username) == 0 ||
           (uuid_parse(word, &id) && uuid_eq(&id, &r->who.id));
}

void find_user_row(struct request *r, const char *word, ask_db_fn done)
{
    struct uuid id = {0};
    uuid_parse(word, &id);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_GET);
    db_add_uuid(b, &id);
    db_add_text(b, word);
    ask_db(r, b, done);
}

static void on_user(struct request *r, const struct db_result *const *results)
{
    const struct db_result *row = results[0];
    if (db_rows(row) == 0) {
        answer_not_found(r);
        return;
    }
    struct uuid id = db_uuid(row, 0, 0);
    r->on_user(r, &id, db_text(row, 0, 1));
}

void find_user(struct request *r, user_found_fn then)
{
    const char *word = request_param(r, 0);
    if (find_is_self(r, word)) {
        struct uuid self = r->who.id;
        then(r, &self, r->who.username);
        return;
    }
    if (!rights_may(&r->who, OBJECT_USER, rights_action_of(r), NULL)) {
        answer_not_found(r);
        return;
    }
    r->on_user = then;
    find_user_row(r, word, on_user);
}

void find_add_task(struct db_batch *b, const struct uuid *task_id)
{
    db_batch_add(b, SQL_TASK_FIND);
    db_add_uuid(b, task_id);
    db_add_null(b);
    db_add_null(b);
}

bool find_may_see(struct request *r, const struct db_result *task)
{
    struct uuid owner = {0};
    if (db_rows(task) == 1)
        owner = db_uuid(task, 0, 1);
    if (!uuid_is_nil(&owner) && request_may_touch(r, &owner))
        return true;
    answer_not_found(r);
    return false;
}

static void on_task(struct request *r, const struct db_result *const *results)
{
    if (!find_may_see(r, results[0]))
        return;
    struct uuid id = db_uuid(results[0], 0, 0);
    r->on_task(r, &id);
}

static void on_owner(struct request *r, const struct uuid *user_id, const char *username)
{
    (void)username;
    const char *word = request_param(r, 1);
    struct uuid id = {0};
    uuid_parse(word, &id);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TASK_FIND);
    db_add_uuid(b, &id);
    db_add_uuid(b, user_id);
    db_add_text(b, word);
    ask_db(r, b, on_task);
}

void find_task(struct request *r, task_found_fn then)
{
    r->on_task = then;
    find_user(r, on_owner);
}
