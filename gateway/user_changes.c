/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_changes.c - what changes people: profile, roles, status, password, removal.
 *
 * What his keys may do changes with him, so every gateway is told to forget them after the commit.
 */
#include <string.h>

#include "gateway/attempt.h"
#include "gateway/auth.h"
#include "gateway/json_out.h"
#include "gateway/user.h"

#define NAME_BYTES_MAX 128
#define FONT_BYTES_MAX 64

/* Whom a request changes; in the request until its answer. */
struct change {
    struct uuid id;
    char username[33];
    const char *old_password, *password, *status; /* of r->json, or constant */
};

static bool is_self(const struct request *r, const struct uuid *id)
{
    return uuid_eq(&r->who.id, id);
}

static struct change *begin(struct request *r, const struct uuid *id, const char *username)
{
    struct uuid whom = *id;
    char name[33];
    snprintf(name, sizeof(name), "%s", username);
    struct change *c = request_state(r, sizeof(*c), NULL);
    c->id = whom;
    memcpy(c->username, name, sizeof(c->username));
    return c;
}

/* Nobody manages himself, except who may manage everybody; and some of it not even he. */
static bool may_manage(struct request *r, const struct uuid *id)
{
    if (rights_may(&r->who, OBJECT_USER, ACTION_MANAGE, id))
        return true;
    answer_forbidden(r);
    return false;
}

static void on_changed(struct request *r, const struct db_result *const *results)
{
    (void)results;
    struct uuid id = ((struct change *)r->state)->id;
    auth_forget_user(r->gw->auth, &id);
    user_answer(r, &id);
}

/* ---- PUT /users/{user}/profile ---- */

static bool read_github_id(struct request *r, const struct uuid *id, int64_t *ret_id, bool *ret_has)
{
    *ret_has = json_object_get(r->json, "github_com_user_id") != NULL;
    return request_int(r, "github_com_user_id", 0, ret_id) && (!*ret_has || may_manage(r, id));
}

static void on_profile(struct request *r, const struct uuid *id, const char *username)
{
    struct change *c = begin(r, id, username);
    const char *new_username, *name;
    int64_t github_id;
    bool has_github_id;
    if (request_json(r) == NULL || !request_text(r, "username", &new_username) ||
        !request_text(r, "name", &name) || !read_github_id(r, &c->id, &github_id, &has_github_id) ||
        !user_check_username(r, new_username))
        return;
    if (strlen(name) > NAME_BYTES_MAX) {
        answer_invalid(r, 400, "Validation failed.", "name", "must have at most 128 bytes");
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_SET_PROFILE);
    db_add_uuid(b, &c->id);
    db_add_text(b, new_username);
    db_add_text(b, name);
    if (github_id != 0)
        db_add_int8(b, github_id);
    else
        db_add_null(b);
    db_add_bool(b, has_github_id);
    ask_db_or(r, b, on_changed, user_answer_taken);
}

void user_set_profile(struct request *r)
{
    find_user(r, on_profile);
}

/* ---- PUT /users/{user}/appearance ---- */

static void on_appearance_set(struct request *r, const struct db_result *const *results)
{
    (void)results;
    const char *theme, *font;
    if (!request_text(r, "theme_preference", &theme) || !request_text(r, "terminal_font", &font))
        return;
    json_open(&r->out, '{');
    json_put_text(&r->out, "theme_preference", theme);
    json_put_text(&r->out, "terminal_font", font);
    json_close(&r->out, '}');
    answer_json(r, 200);
}

static void on_appearance(struct request *r, const struct uuid *id, const char *username)
{
    struct change *c = begin(r, id, username);
    const char *theme, *font;
    if (request_json(r) == NULL || !request_text(r, "theme_preference", &theme) ||
        !request_text(r, "terminal_font", &font))
        return;
    if (strlen(theme) > FONT_BYTES_MAX || strlen(font) > FONT_BYTES_MAX) {
        answer_invalid(
            r, 400, "Validation failed.", "theme_preference", "must have at most 64 bytes");
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_SET_APPEARANCE);
    db_add_uuid(b, &c->id);
    db_add_text(b, theme);
    db_add_text(b, font);
    ask_db(r, b, on_appearance_set);
}

void user_appearance_set(struct request *r)
{
    find_user(r, on_appearance);
}

/* ---- PUT /users/{user}/roles ---- */

static void on_roles_set(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[1]) == 0)
        answer_forbidden(r);
    else
        on_changed(r, results);
}

static void on_roles(struct request *r, const struct uuid *id, const char *username)
{
    struct change *c = begin(r, id, username);
    char roles[128] = "member";
    if (!may_manage(r, &c->id))
        return;
    if (is_self(r, &c->id)) {
        answer_error(r, 400, "You cannot change your own roles.", NULL);
        return;
    }
    if (request_json(r) == NULL || !user_read_roles(r, roles, sizeof(roles)))
        return;
    if (!json_is_array(json_object_get(r->json, "roles"))) { /* none at all must be meant */
        answer_invalid(r, 400, "Validation failed.", "roles", "must be there");
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_LOCK_OWNERS);
    db_batch_add(b, SQL_USER_SET_ROLES);
    db_add_uuid(b, &c->id);
    db_add_text(b, roles);
    db_add_uuid(b, &r->who.id);
    ask_db(r, b, on_roles_set);
}

void user_roles_set(struct request *r)
{
    find_user(r, on_roles);
}

/* ---- PUT /users/{user}/status/suspend, activate ---- */

static void write_status(struct request *r)
{
    const struct change *c = r->state;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_SET_STATUS);
    db_add_uuid(b, &c->id);
    db_add_text(b, c->status);
    ask_db(r, b, on_changed);
}

/* Columns of user_get: the roles. */
#define ROLES_COLUMN 7

static void on_roles_known(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 0)
        answer_not_found(r);
    else if ((rights_roles_parse(db_text(results[0], 0, ROLES_COLUMN)) & ROLE_OWNER) != 0)
        answer_error(r, 400,
            "You cannot suspend a user with the \"owner\" role. You must remove the role first.",
            NULL);
    else
        write_status(r);
}

static void on_suspend(struct request *r, const struct uuid *id, const char *username)
{
    struct change *c = begin(r, id, username);
    c->status = "suspended";
    if (!may_manage(r, &c->id))
        return;
    if (is_self(r, &c->id)) {
        answer_error(r, 400, "You cannot suspend yourself.", NULL);
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_GET);
    db_add_uuid(b, &c->id);
    db_add_text(b, "");
    ask_db(r, b, on_roles_known);
}

static void on_activate(struct request *r, const struct uuid *id, const char *username)
{
    struct change *c = begin(r, id, username);
    c->status = "active";
    if (may_manage(r, &c->id))
        write_status(r);
}

void user_suspend(struct request *r)
{
    find_user(r, on_suspend);
}

void user_activate(struct request *r)
{
    find_user(r, on_activate);
}

/* ---- PUT /users/{user}/password ---- */

static void on_password_set(struct request *r, const struct db_result *const *results)
{
    (void)results;
    auth_forget_user(r->gw->auth, &((struct change *)r->state)->id);
    answer_empty(r, 204);
}

/* With the old password go all keys: who had it may have made some. */
static void on_hashed(struct request *r, bool ok, const char *hash)
{
    const struct change *c = r->state;
    if (!ok) {
        answer_error(
            r, 503, "The password cannot be hashed.", "There is not enough memory for it.");
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_SET_PASSWORD);
    db_add_uuid(b, &c->id);
    db_add_text(b, hash);
    db_batch_add(b, SQL_API_KEY_REVOKE_ALL);
    db_add_uuid(b, &c->id);
    ask_db(r, b, on_password_set);
}

static void on_old_verified(struct request *r, bool ok, const char *hash)
{
    (void)hash;
    const struct change *c = r->state;
    if (!ok) {
        answer_invalid(
            r, 400, "Old password is incorrect.", "old_password", "Old password is incorrect.");
        return;
    }
    attempt_succeeded(r, uuid_format(&c->id).s);
    if (strcmp(c->password, c->old_password) == 0)
        answer_invalid(r, 400, "New password cannot match old password.", "password",
            "must differ from the old one");
    else
        password_hash(r, c->password, on_hashed);
}

static void on_old(struct request *r, const struct db_result *const *results)
{
    const struct change *c = r->state;
    const struct db_result *u = results[0];
    if (db_rows(u) == 0)
        answer_not_found(r);
    else if (strcmp(db_text(u, 0, 1), "password") != 0)
        answer_error(
            r, 400, "Users without password login type cannot change their password.", NULL);
    else if (is_self(r, &c->id))
        password_verify(
            r, c->old_password, db_is_null(u, 0, 0) ? NULL : db_text(u, 0, 0), on_old_verified);
    else
        password_hash(r, c->password, on_hashed);
}

static void ask_old(struct request *r)
{
    const struct change *c = r->state;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_PASSWORD_GET);
    db_add_uuid(b, &c->id);
    ask_db(r, b, on_old);
}

/* One's own by the old one, so that a borrowed key takes over no account; tries are counted. */
static void on_password(struct request *r, const struct uuid *id, const char *username)
{
    struct change *c = begin(r, id, username);
    if (request_json(r) == NULL || !request_text(r, "old_password", &c->old_password) ||
        !request_text(r, "password", &c->password) || !user_check_password(r, c->password))
        return;
    if (is_self(r, &c->id))
        attempt_begin(r, uuid_format(&c->id).s, ask_old); /* names can be changed */
    else if (may_manage(r, &c->id))
        ask_old(r);
}

void user_set_password(struct request *r)
{
    find_user(r, on_password);
}

/* ---- DELETE /users/{user} ---- */

static void on_deleted(struct request *r, const struct db_result *const *results)
{
    if (db_int(results[1], 0, 0) == 0) {
        answer_error(r, 417,
            "You cannot delete a user that has workspaces. Delete their workspaces and try again!",
            NULL);
        return;
    }
    auth_forget_user(r->gw->auth, &((struct change *)r->state)->id);
    answer_error(r, 200, "User has been deleted!", NULL);
}

static void on_delete(struct request *r, const struct uuid *id, const char *username)
{
    struct change *c = begin(r, id, username);
    if (!may_manage(r, &c->id))
        return;
    if (is_self(r, &c->id)) {
        answer_error(r, 400, "You cannot delete yourself!", NULL);
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_LOCK_OWNERS);
    db_batch_add(b, SQL_USER_DELETE);
    db_add_uuid(b, &c->id);
    db_add_uuid(b, &r->who.id);
    ask_db(r, b, on_deleted);
}

void user_delete(struct request *r)
{
    find_user(r, on_delete);
}
