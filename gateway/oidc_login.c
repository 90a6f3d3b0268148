/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oidc_login.c - GET /users/oidc/callback: the way to the provider, and back.
 *
 *   browser                          gateway                               provider
 *     | GET …/callback?redirect=/x      |                                      |
 *     |-------------------------------->| cookie: a secret, and /x             |
 *     |<------- 307 authorize?state,nonce,challenge                            |
 *     |----------------------------------------------------------------------->| who are you?
 *     |<------- 307 …/callback?code,state --------------------------------------|
 *     |-------------------------------->| state is the cookie's? code once?    |
 *     |                                 |---- code, verifier ----------------->|
 *     |                                 |<--- ID token: nonce is the cookie's? |
 *     |<------- 307 /x, session cookie  |                                      |
 *
 * State, nonce and verifier are hashes of the one secret in the browser's cookie, so that nothing
 * is kept here, any gateway can finish what another began, and nobody can who has only seen the
 * URLs.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "gateway/key.h"
#include "gateway/oidc.h"

#define COOKIE_S      600
#define PATH_MAX_     1024
#define SECRET_BYTES  32
#define EMAIL_MAX     254
#define URLSAFE       sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define SECRET_TEXT   sodium_base64_ENCODED_LEN(SECRET_BYTES, URLSAFE)
#define SUSPENDED     "Your account is suspended. Contact an admin to reactivate your account."
#define DELETE_COOKIE OIDC_COOKIE "=; Path=" OIDC_CALLBACK "; HttpOnly; SameSite=Lax; Max-Age=0"

struct oidc_login {
    char secret[SECRET_TEXT], state[SECRET_TEXT], nonce[SECRET_TEXT], verifier[SECRET_TEXT];
    char path[PATH_MAX_ + 1]; /* where to go in the end */
    struct uuid user_id;
    char *subject, *email, *username, *name;
};

static void login_done(void *login)
{
    struct oidc_login *l = login;
    free(l->subject), free(l->email), free(l->username), free(l->name);
}

/* ---- the secret and what is made of it ---- */

static void derive(const char *secret, const char *what, char ret[static SECRET_TEXT])
{
    unsigned char hash[SECRET_BYTES];
    crypto_generichash(hash, sizeof(hash), (const unsigned char *)what, strlen(what),
        (const unsigned char *)secret, strlen(secret));
    sodium_bin2base64(ret, SECRET_TEXT, hash, sizeof(hash), URLSAFE);
}

static void derive_all(struct oidc_login *l)
{
    derive(l->secret, "state", l->state);
    derive(l->secret, "nonce", l->nonce);
    derive(l->secret, "verifier", l->verifier);
}

/* A path of this site: browsers take // and /\ for another one. */
static bool is_own_path(const char *path)
{
    if (path == NULL || path[0] != '/' || path[1] == '/' || strlen(path) > PATH_MAX_)
        return false;
    for (const char *c = path; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || *c == '\\' || (unsigned char)*c >= 0x7f)
            return false;
    return true;
}

/* <secret>.<path>, the path in base64.  False: it is not there, or not ours. */
static bool read_cookie(struct request *r, struct oidc_login *l)
{
    const char *text = r->oauth_state, *dot = text != NULL ? strchr(text, '.') : NULL;
    size_t n = 0;
    if (dot == NULL || dot - text != (long)SECRET_TEXT - 1)
        return false;
    memcpy(l->secret, text, SECRET_TEXT - 1);
    if (sodium_base642bin((unsigned char *)l->path, PATH_MAX_, dot + 1, strlen(dot + 1), NULL, &n,
            NULL, URLSAFE) != 0)
        return false;
    l->path[n] = '\0';
    if (!is_own_path(l->path))
        snprintf(l->path, sizeof(l->path), "/");
    return true;
}

/* ---- to the provider ---- */

static void set_cookie(struct request *r, const struct oidc_login *l)
{
    char path[sodium_base64_ENCODED_LEN(PATH_MAX_, URLSAFE)];
    struct strbuf cookie;
    strbuf_init(&cookie);
    sodium_bin2base64(path, sizeof(path), (const unsigned char *)l->path, strlen(l->path), URLSAFE);
    strbuf_addf(&cookie,
        OIDC_COOKIE "=%s.%s; Path=" OIDC_CALLBACK "; HttpOnly; SameSite=Lax; Max-Age=%d%s",
        l->secret, path, COOKIE_S,
        strncmp(r->gw->conf.access_url, "https:", 6) == 0 ? "; Secure" : "");
    answer_header(r, "set-cookie:", cookie.s);
    strbuf_done(&cookie);
}

static void begin(struct request *r)
{
    struct oidc_login *l = request_state(r, sizeof(*l), login_done);
    unsigned char secret[SECRET_BYTES];
    const char *path = request_query(r, "redirect");
    struct strbuf url;
    randombytes_buf(secret, sizeof(secret));
    sodium_bin2base64(l->secret, sizeof(l->secret), secret, sizeof(secret), URLSAFE);
    snprintf(l->path, sizeof(l->path), "%s", is_own_path(path) ? path : "/");
    derive_all(l);
    set_cookie(r, l);
    strbuf_init(&url);
    oidc_add_authorize_url(r->gw->oidc, l->state, l->nonce, l->verifier, &url);
    answer_redirect(r, url.s);
    strbuf_done(&url);
}

/* ---- who it is ---- */

static void go_on(struct request *r)
{
    const struct oidc_login *l = r->state;
    struct uuid id = l->user_id;
    char path[PATH_MAX_ + 1];
    snprintf(path, sizeof(path), "%s", l->path);
    session_make_and_go(r, &id, "oidc", path);
}

static void on_linked(struct request *r, const struct db_result *const *results)
{
    (void)results;
    go_on(r);
}

/* Two logins of somebody new at the same moment, or a name or address that was taken meanwhile. */
static void on_not_linked(struct request *r, enum err code, const char *constraint)
{
    (void)constraint;
    if (code == ERR_CONFLICT)
        answer_error(r, 409, "Somebody else has just logged in as this user.", "Try again.");
    else
        answer_db_failed(r, code);
}

static void add_link(struct request *r, struct db_batch *b)
{
    const struct oidc_login *l = r->state;
    db_batch_add(b, SQL_OIDC_LINK);
    db_add_text(b, r->gw->conf.oidc_issuer_url);
    db_add_text(b, l->subject);
    db_add_uuid(b, &l->user_id);
}

static void make_user(struct request *r)
{
    struct oidc_login *l = r->state;
    char other[33];
    l->user_id = uuid_random();
    snprintf(other, sizeof(other), "%.27s-%02x%02x", l->username, l->user_id.b[0], l->user_id.b[1]);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_OIDC_USER_CREATE);
    db_add_uuid(b, &l->user_id);
    db_add_text(b, l->username);
    db_add_text(b, other);
    db_add_text(b, l->email);
    db_add_text(b, l->name);
    add_link(r, b);
    ask_db_or(r, b, on_linked, on_not_linked);
}

static void link_user(struct request *r)
{
    struct db_batch *b = db_batch_new();
    add_link(r, b);
    ask_db_or(r, b, on_linked, on_not_linked);
}

static void on_found(struct request *r, const struct db_result *const *results)
{
    const struct db_result *u = results[0];
    struct oidc_login *l = r->state;
    bool is_known = db_rows(u) == 1;
    r->audit_action = "register";
    if (is_known)
        l->user_id = db_uuid(u, 0, 0);
    if (is_known && strcmp(db_text(u, 0, 1), "active") != 0)
        answer_error(r, 401, SUSPENDED, NULL);
    else if (is_known && db_bool(u, 0, 3))
        go_on(r);
    else if (is_known && db_bool(u, 0, 2))
        answer_error(r, 403, "The OIDC provider knows this user by another account.",
            "An email address that has changed hands does not give access.");
    else if (is_known)
        link_user(r);
    else if (l->email[0] == '\0')
        answer_error(r, 403, "Your email address is not verified with the OIDC provider.", NULL);
    else if (!r->gw->conf.oidc_allow_signups)
        answer_error(r, 403, "Signups are disabled for OIDC.", "Ask an owner for an account.");
    else
        make_user(r);
}

/* ---- what the claims say ---- */

static const char *text_claim(const json_t *claims, const char *name)
{
    const char *text = json_string_value(json_object_get(claims, name));
    return text != NULL ? text : "";
}

/* Only one that the provider vouches for, in so many words. */
static const char *email_claim(const json_t *claims)
{
    const json_t *v = json_object_get(claims, "email_verified");
    const char *email = text_claim(claims, "email"), *at = strchr(email, '@');
    bool verified = json_is_true(v) || strcmp(text_claim(claims, "email_verified"), "true") == 0;
    bool well_formed = at != NULL && at != email && at[1] != '\0' && strchr(at + 1, '@') == NULL &&
                       strlen(email) <= EMAIL_MAX && strpbrk(email, " \t\r\n<>,;\"") == NULL;
    return verified && well_formed ? email : "";
}

static bool is_domain_allowed(const char *list, const char *email)
{
    const char *at = strrchr(email, '@');
    bool any = false;
    for (const char *s = list; s != NULL && *s != '\0';) {
        s += strspn(s, ", ");
        size_t n = strcspn(s, ", ");
        any |= n > 0;
        if (n > 0 && at != NULL && strlen(at + 1) == n && strncasecmp(at + 1, s, n) == 0)
            return true;
        s += n;
    }
    return !any;
}

/* Letters and digits, single hyphens for anything else; the part before an @. */
static char *username_of(const char *wanted, const char *email)
{
    char name[33] = "";
    size_t n = 0;
    if (wanted[0] == '\0' || wanted[0] == '@')
        wanted = email;
    for (const char *c = wanted; *c != '\0' && *c != '@' && n < sizeof(name) - 1; c++) {
        bool plain =
            (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        if (plain)
            name[n++] = *c;
        else if (n > 0 && name[n - 1] != '-')
            name[n++] = '-';
    }
    while (n > 0 && name[n - 1] == '-')
        n--;
    name[n] = '\0';
    return mem_strdup(text_is_name(name) ? name : "user");
}

static void on_claims(struct request *r, const json_t *claims)
{
    struct oidc_login *l = r->state;
    const char *field = r->gw->conf.oidc_username_field;
    l->subject = mem_strdup(text_claim(claims, "sub"));
    l->email = mem_strdup(email_claim(claims));
    l->username = username_of(text_claim(claims, field), l->email);
    const char *name = text_claim(claims, "name");
    l->name = mem_strdup(strlen(name) <= 128 ? name : "");
    if (!is_domain_allowed(r->gw->conf.oidc_email_domain, l->email)) {
        answer_error(r, 403, "Your email address is not from an authorized domain.",
            "Please contact your administrator.");
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_OIDC_USER_FIND);
    db_add_text(b, r->gw->conf.oidc_issuer_url);
    db_add_text(b, l->subject);
    db_add_text(b, l->email);
    ask_db(r, b, on_found);
}

/* ---- from the provider ---- */

static void exchange(struct request *r)
{
    const struct oidc_login *l = r->state;
    oidc_exchange(r, request_query(r, "code"), l->nonce, l->verifier, on_claims);
}

/* One try for each state, on whichever gateway.  Without Redis the provider alone sees to it that a
 * code is good for one. */
static void on_first_use(void *arg, enum err code, const struct redisReply *reply)
{
    struct request *r = arg;
    if (code == ERR_OK && reply->type == REDIS_REPLY_NIL)
        answer_error(r, 401, "This login has been tried before.", "Begin anew.");
    else
        oidc_know(r, exchange);
}

static void complete(struct request *r)
{
    const char *state = request_query(r, "state");
    struct oidc_login *l = request_state(r, sizeof(*l), login_done);
    char name[64 + SECRET_TEXT], seconds[16];
    if (state == NULL || state[0] == '\0') {
        answer_error(r, 400, "State must be provided.", NULL);
        return;
    }
    if (!read_cookie(r, l)) {
        answer_error(r, 401, "Cookie \"" OIDC_COOKIE "\" must be provided.", NULL);
        return;
    }
    derive_all(l);
    if (strlen(state) != strlen(l->state) || sodium_memcmp(state, l->state, strlen(state)) != 0) {
        answer_error(r, 401, "State mismatched.", NULL);
        return;
    }
    answer_header(r, "set-cookie:", DELETE_COOKIE);
    snprintf(name, sizeof(name), "stint:oidc:used:%s", l->state);
    snprintf(seconds, sizeof(seconds), "%d", COOKIE_S);
    const char *argv[] = {"SET", name, "1", "NX", "EX", seconds};
    kv_command(r->gw->counts, on_first_use, r, (int)COUNT(argv), argv, NULL);
}

void user_oidc_callback(struct request *r)
{
    const char *error = request_query(r, "error"), *code = request_query(r, "code");
    if (r->gw->oidc == NULL)
        answer_error(r, 400, "The oauth2 method requested is not configured!", NULL);
    else if (error != NULL && error[0] != '\0')
        answer_errorf(r, 400, request_query(r, "error_description"),
            "The OIDC provider refuses the login: %.100s.", error);
    else if (code != NULL && code[0] != '\0')
        complete(r);
    else
        oidc_know(r, begin);
}
