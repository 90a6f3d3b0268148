/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions.c - tokens: by password, by another token, and their end.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "gateway/attempt.h"
#include "gateway/auth.h"
#include "gateway/json_out.h"

#define SESSION_DAYS 30
#define WRONG_LOGIN  "Incorrect email or password."

/* The key that is being made. */
struct new_key {
    struct token token;
    const char *member; /* of the answer */
    struct uuid user_id;
    bool is_session;
};

static void on_key_made(struct request *r, const struct db_result *const *results)
{
    (void)results;
    const struct new_key *k = r->state;
    char text[TOKEN_LEN + 1];
    token_format(&k->token, text);
    if (k->is_session) {
        struct strbuf cookie;
        strbuf_init(&cookie);
        strbuf_addf(&cookie, "coder_session_token=%s; Path=/; HttpOnly; SameSite=Lax", text);
        r->cookie = strbuf_detach(&cookie);
    }
    json_open(&r->out, '{');
    json_put_text(&r->out, k->member, text);
    json_close(&r->out, '}');
    answer_json(r, 201);
}

static void make_key(struct request *r, const struct uuid *user_id, bool is_session)
{
    struct uuid id = *user_id;
    struct new_key *k = request_state(r, sizeof(*k), NULL);
    uint8_t hash[TOKEN_HASH_BYTES];
    k->is_session = is_session;
    k->member = is_session ? "session_token" : "key";
    token_make(&k->token);
    token_hash(&k->token, hash);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_API_KEY_CREATE);
    db_add_text(b, k->token.id);
    db_add_uuid(b, &id);
    db_add_bytes(b, hash, sizeof(hash));
    db_add_text(b, is_session ? "session" : "key");
    db_add_int8(b, is_session ? SESSION_DAYS : 0);
    ask_db(r, b, on_key_made);
}

/* ---- POST /users/login ---- */

struct login {
    const char *email, *password; /* borrowed from r->json */
    struct uuid user_id;          /* nil: nobody has that address */
    bool is_active;
};

static void on_verified(struct request *r, bool ok, const char *hash)
{
    (void)hash;
    const struct login *l = r->state;
    if (ok)
        attempt_succeeded(r, l->email);
    if (!ok)
        answer_error(r, 401, WRONG_LOGIN, NULL);
    else if (!l->is_active)
        answer_error(r, 401,
            "Your account is suspended. Contact an admin to reactivate your account.", NULL);
    else
        make_key(r, &l->user_id, true);
}

static void on_email(struct request *r, const struct db_result *const *results)
{
    const struct db_result *u = results[0];
    struct login *l = r->state;
    const char *hash = NULL;
    if (db_rows(u) == 1 && !db_is_null(u, 0, 1)) {
        l->user_id = db_uuid(u, 0, 0);
        l->is_active = strcmp(db_text(u, 0, 2), "active") == 0;
        hash = db_text(u, 0, 1);
    }
    password_verify(r, l->password, hash, on_verified);
}

static void find_account(struct request *r)
{
    const struct login *l = r->state;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_USER_BY_EMAIL);
    db_add_text(b, l->email);
    ask_db(r, b, on_email);
}

void user_login(struct request *r)
{
    struct login *l = request_state(r, sizeof(*l), NULL);
    if (request_json(r) != NULL && request_text(r, "email", &l->email) &&
        request_text(r, "password", &l->password))
        attempt_begin(r, l->email, find_account);
}

/* ---- POST /users/{user}/keys ---- */

static void on_owner(struct request *r, const struct uuid *user_id, const char *username)
{
    (void)username;
    make_key(r, user_id, false);
}

void user_key_create(struct request *r)
{
    find_user(r, on_owner);
}

/* ---- POST /users/logout ---- */

static void on_revoked(struct request *r, const struct db_result *const *results)
{
    (void)results;
    auth_forget(r->gw->auth, r->who.key_id);
    r->cookie = mem_strdup("coder_session_token=; Path=/; Max-Age=0");
    answer_error(r, 200, "Logged out!", NULL);
}

void user_logout(struct request *r)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_API_KEY_REVOKE);
    db_add_text(b, r->who.key_id);
    ask_db(r, b, on_revoked);
}
