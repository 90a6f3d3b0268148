/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions.c - logging in and out.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "gateway/attempt.h"
#include "gateway/auth.h"
#include "gateway/json_out.h"
#include "gateway/key.h"

#define WRONG_LOGIN "Incorrect email or password."

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
        session_make(r, &l->user_id, "password");
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
    r->audit_action = "logout";
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_API_KEY_REVOKE);
    db_add_text(b, r->who.key_id);
    ask_db(r, b, on_revoked);
}

/* ---- GET /users/authmethods ---- */

static void put_method(struct strbuf *out, const char *name, bool enabled)
{
    json_key(out, name);
    json_open(out, '{');
    json_put_bool(out, "enabled", enabled);
}

void user_auth_methods(struct request *r)
{
    struct strbuf *out = &r->out;
    json_open(out, '{');
    json_put_text(out, "terms_of_service_url", "");
    put_method(out, "password", true);
    json_close(out, '}');
    put_method(out, "github", false);
    json_put_bool(out, "default_provider_configured", false);
    json_close(out, '}');
    put_method(out, "oidc", r->gw->oidc != NULL);
    json_put_text(out, "signInText", r->gw->oidc != NULL ? "OpenID Connect" : "");
    json_put_text(out, "iconUrl", "");
    json_close(out, '}');
    json_close(out, '}');
    answer_json(r, 200);
}
