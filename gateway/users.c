/* SPDX-License-Identifier: Apache-2.0 */
/*
 * users.c - people: the first one, further ones, who they are.
 */
#include <string.h>

#include "core/base/text.h"
#include "gateway/auth.h"
#include "gateway/json_out.h"

#define PASSWORD_MIN    8
#define PASSWORD_MAX    256
#define EMAIL_BYTES_MAX 254
#define IN_USE          "This value is already in use and should be unique."

/* ---- showing ---- */

static void write_roles(struct strbuf *out, const char *names)
{
    json_key(out, "roles");
    json_open(out, '[');
    for (size_t n; *names != '\0'; names += n + (names[n] == ',')) {
        n = strcspn(names, ",");
        if (n == strlen("member") && memcmp(names, "member", n) == 0)
            continue; /* everybody is; Coder does not list it */
        json_open(out, '{');
        json_key(out, "name"), json_textn(out, names, n);
        json_key(out, "display_name"), json_textn(out, names, n);
        json_close(out, '}');
    }
    json_close(out, ']');
}

/* A row of user_get. */
static void write_user(const struct gateway *gw, const struct db_result *u, struct strbuf *out)
{
    struct uuid id = db_uuid(u, 0, 0);
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_text(out, "username", db_text(u, 0, 1));
    json_put_text(out, "avatar_url", db_text(u, 0, 4));
    json_put_text(out, "name", db_text(u, 0, 3));
    json_put_text(out, "email", db_text(u, 0, 2));
    json_put_time(out, "created_at", db_time_us(u, 0, 8));
    json_put_time(out, "updated_at", db_time_us(u, 0, 9));
    json_put_time(out, "last_seen_at", db_time_us(u, 0, 10));
    json_put_text(out, "status", db_text(u, 0, 5));
    json_put_text(out, "login_type", db_text(u, 0, 6));
    json_put_text(out, "theme_preference", "");
    json_key(out, "organization_ids");
    json_open(out, '[');
    json_uuid(out, &gw->organization.id);
    json_close(out, ']');
    write_roles(out, db_text(u, 0, 7));
    json_close(out, '}');
}

static void on_user_row(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 0) {
        answer_not_found(r);
        return;
    }
    write_user(r->gw, results[0], &r->out);
    answer_json(r, r->method == METHOD_POST ? 201 : 200);
}

static void show_user(struct request *r, const struct uuid *id)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_GET);
    db_add_uuid(b, id);
    db_add_text(b, "");
    ask_db(r, b, on_user_row);
}

static void on_found(struct request *r, const struct uuid *id, const char *username)
{
    (void)username;
    show_user(r, id);
}

void user_get(struct request *r)
{
    find_user(r, on_found);
}

/* ---- making ---- */

struct new_user {
    struct uuid id;
    const char *username, *email, *name, *password; /* borrowed from r->json */
    bool is_first;
};

static bool check_email(const char *email)
{
    const char *at = strchr(email, '@');
    return at != NULL && at != email && at[1] != '\0' && strlen(email) <= EMAIL_BYTES_MAX &&
           strpbrk(email, " \t\r\n<>") == NULL;
}

static bool check_user(struct request *r, const struct new_user *u)
{
    size_t n = strlen(u->password);
    if (!text_is_name(u->username))
        answer_invalid(r, 400, "Validation failed.", "username",
            "must be 1 to 32 letters and digits, in groups joined by single hyphens");
    else if (!check_email(u->email))
        answer_invalid(r, 400, "Validation failed.", "email", "must be an email address");
    else if (n < PASSWORD_MIN || n > PASSWORD_MAX)
        answer_invalid(r, 400, "Password not strong enough!", "password",
            "must have at least 8 and at most 256 characters");
    return !r->is_over;
}

static void first_exists(struct request *r)
{
    answer_error(r, 409, "The initial user has already been created.", NULL);
}

static void on_first_made(struct request *r, const struct db_result *const *results)
{
    const struct new_user *u = r->state;
    if (db_rows(results[1]) == 0) {
        first_exists(r);
        return;
    }
    json_open(&r->out, '{');
    json_put_uuid(&r->out, "user_id", &u->id);
    json_put_uuid(&r->out, "organization_id", &r->gw->organization.id);
    json_close(&r->out, '}');
    answer_json(r, 201);
}

static void on_made(struct request *r, const struct db_result *const *results)
{
    (void)results;
    struct uuid id = ((struct new_user *)r->state)->id;
    show_user(r, &id);
}

static void on_not_made(struct request *r, enum err code, const char *constraint)
{
    if (code == ERR_CONFLICT)
        answer_invalid(r, 409, "User already exists.",
            strstr(constraint, "email") != NULL ? "email" : "username", IN_USE);
    else
        answer_db_failed(r, code);
}

static void on_hashed(struct request *r, bool ok, const char *hash)
{
    const struct new_user *u = r->state;
    if (!ok) {
        answer_error(
            r, 503, "The password cannot be hashed.", "There is not enough memory for it.");
        return;
    }
    struct db_batch *b = db_batch_new();
    if (u->is_first)
        db_batch_add(b, SQL_USER_LOCK_FIRST);
    db_batch_add(b, u->is_first ? SQL_USER_CREATE_FIRST : SQL_USER_CREATE);
    db_add_uuid(b, &u->id);
    db_add_text(b, u->username);
    db_add_text(b, u->email);
    db_add_text(b, u->name);
    db_add_text(b, hash);
    ask_db_or(r, b, u->is_first ? on_first_made : on_made, on_not_made);
}

static void make_user(struct request *r)
{
    const struct new_user *u = r->state;
    password_hash(r, u->password, on_hashed);
}

static struct new_user *read_user(struct request *r, bool is_first)
{
    struct new_user *u = request_state(r, sizeof(*u), NULL);
    u->is_first = is_first;
    u->id = uuid_random();
    if (request_json(r) == NULL || !request_text(r, "username", &u->username) ||
        !request_text(r, "email", &u->email) || !request_text(r, "name", &u->name) ||
        !request_text(r, "password", &u->password) || !check_user(r, u))
        return NULL;
    return u;
}

void user_create(struct request *r)
{
    if (read_user(r, false) != NULL)
        make_user(r);
}

/* ---- the first ---- */

static void on_any(struct request *r, const struct db_result *const *results)
{
    bool any = db_bool(results[0], 0, 0);
    if (r->method == METHOD_GET)
        answer_error(r, any ? 200 : 404,
            any ? "The initial user has already been created!"
                : "The initial user has not been created!",
            NULL);
    else if (any)
        first_exists(r);
    else
        make_user(r);
}

static void ask_any(struct request *r)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_ANY);
    ask_db(r, b, on_any);
}

void user_first_get(struct request *r)
{
    ask_any(r);
}

void user_first_create(struct request *r)
{
    if (read_user(r, true) != NULL)
        ask_any(r);
}
