/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.c - keys of people: logins, which live on by being used, and tokens, which have names, a
 * scope and an end.  The secret half is shown once, when it is made.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "gateway/auth.h"
#include "gateway/json_out.h"
#include "gateway/key.h"

#define DAY_S           (24 * 60 * 60)
#define SESSION_S       (30 * DAY_S)
#define TOKEN_S_INITIAL (30 * DAY_S)
#define TOKEN_S_MAX     (876600 * INT64_C(3600)) /* a hundred years */
#define NS_PER_S        INT64_C(1000000000)
/* Of one user, that can be used. */
#define KEYS_MAX 1000
#define LIST_MAX 10000
/* What a key says that has no end. */
#define NEVER_US (INT64_C(253402300799) * 1000000) /* 9999-12-31T23:59:59Z */

/* ---- making ---- */

/* The key that is being made. */
struct new_key {
    struct token token;
    struct uuid user_id;
    char name[65];
    const char *login_type;
    enum key_scope scope;
    int64_t lifetime_s;
    bool is_session;                                    /* who asks logs in by it */
    void (*show)(struct request *r, const char *token); /* NULL: the answer is JSON */
    char *location; /* and goes there; NULL: the answer is JSON */
};

static void forget_location(void *key)
{
    free(((struct new_key *)key)->location);
}

void session_set_cookie(struct request *r, const char *token)
{
    struct strbuf cookie;
    strbuf_init(&cookie);
    strbuf_addf(&cookie, "coder_session_token=%s; Path=/; HttpOnly; SameSite=Lax%s", token,
        strncmp(r->gw->conf.access_url, "https:", 6) == 0 ? "; Secure" : "");
    free(r->cookie);
    r->cookie = strbuf_detach(&cookie);
}

static void on_made(struct request *r, const struct db_result *const *results)
{
    const struct new_key *k = r->state;
    if (db_rows(results[0]) == 0) {
        answer_errorf(r, 409, "Revoke those that are not needed any more.",
            "There may be no more than %d keys of one user.", KEYS_MAX);
        return;
    }
    char text[TOKEN_LEN + 1];
    token_format(&k->token, text);
    if (k->is_session)
        session_set_cookie(r, text);
    if (k->show != NULL) {
        k->show(r, text);
        return;
    }
    if (k->location != NULL) {
        answer_redirect(r, k->location);
        return;
    }
    json_open(&r->out, '{');
    json_put_text(&r->out, k->is_session ? "session_token" : "key", text);
    json_close(&r->out, '}');
    answer_json(r, 201);
}

static void on_not_made(struct request *r, enum err code, const char *constraint)
{
    const struct new_key *k = r->state;
    char message[128];
    (void)constraint;
    if (code != ERR_CONFLICT) {
        answer_db_failed(r, code);
        return;
    }
    snprintf(message, sizeof(message), "A token with name \"%s\" already exists.", k->name);
    answer_invalid(
        r, 409, message, "token_name", "This value is already in use and should be unique.");
}

static void make(struct request *r)
{
    struct new_key *k = r->state;
    uint8_t hash[TOKEN_HASH_BYTES];
    token_make(&k->token);
    token_hash(&k->token, hash);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_API_KEY_CREATE);
    db_add_text(b, k->token.id);
    db_add_uuid(b, &k->user_id);
    db_add_bytes(b, hash, sizeof(hash));
    db_add_text(b, k->name);
    db_add_text(b, k->login_type);
    db_add_text(b, rights_scope_name(k->scope));
    db_add_int8(b, k->lifetime_s);
    db_add_int8(b, KEYS_MAX);
    ask_db_or(r, b, on_made, on_not_made);
}

static struct new_key *begin(struct request *r, const struct uuid *user_id, const char *login_type)
{
    struct uuid id = *user_id;
    struct new_key *k = request_state(r, sizeof(*k), forget_location);
    k->user_id = id;
    k->login_type = login_type;
    k->scope = SCOPE_ALL;
    k->lifetime_s = SESSION_S;
    return k;
}

void session_make(struct request *r, const struct uuid *user_id, const char *login_type)
{
    struct new_key *k = begin(r, user_id, login_type);
    k->is_session = true;
    snprintf(k->name, sizeof(k->name), "session");
    r->audit_action = "login";
    make(r);
}

void session_make_and_go(
    struct request *r, const struct uuid *user_id, const char *login_type, const char *location)
{
    char *copy = mem_strdup(location);
    struct new_key *k = begin(r, user_id, login_type);
    k->is_session = true;
    k->location = copy;
    snprintf(k->name, sizeof(k->name), "session");
    r->audit_action = "login";
    make(r);
}

static bool may(struct request *r, const struct uuid *user_id)
{
    if (rights_may(&r->who, OBJECT_KEY, rights_action_of(r), user_id))
        return true;
    answer_not_found(r);
    return false;
}

static void on_login_key(struct request *r, const struct uuid *user_id, const char *username)
{
    (void)username;
    if (!may(r, user_id))
        return;
    struct new_key *k = begin(r, user_id, "password");
    snprintf(k->name, sizeof(k->name), "key");
    make(r);
}

void key_make_for_page(struct request *r, void (*show)(struct request *r, const char *token))
{
    struct new_key *k = begin(r, &r->who.id, "password");
    snprintf(k->name, sizeof(k->name), "key");
    k->show = show;
    make(r);
}

void user_key_create(struct request *r)
{
    find_user(r, on_login_key);
}

/* ---- POST /users/{user}/keys/tokens ---- */

static bool read_name(struct request *r, struct new_key *k)
{
    const char *name;
    if (!request_text(r, "token_name", &name))
        return false;
    if (name[0] == '\0') {
        struct token t;
        token_make(&t);
        snprintf(k->name, sizeof(k->name), "token-%s", t.id);
        return true;
    }
    if (strlen(name) >= sizeof(k->name) || !text_is_name(name)) {
        answer_invalid(r, 400, "Failed to validate token name.", "token_name",
            "must be 1 to 32 letters and digits, in groups joined by single hyphens");
        return false;
    }
    snprintf(k->name, sizeof(k->name), "%s", name);
    return true;
}

static bool refuse_scope(struct request *r, const char *field, const char *value, const char *why)
{
    char detail[160];
    snprintf(detail, sizeof(detail), "\"%.64s\": %s", value, why);
    answer_invalid(r, 400, "Invalid scope.", field, detail);
    return false;
}

/* Limits to single objects, which we do not have: who asks for them must not get more. */
static bool check_allow_list(struct request *r)
{
    const json_t *list;
    if (!request_texts(r, "allow_list", &list))
        return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *what = json_string_value(json_array_get(list, i));
        if (strcmp(what, "*:*") != 0)
            return refuse_scope(r, "allow_list", what, "keys are for all objects, *:*");
    }
    return true;
}

/* Older clients send one, newer ones a list of which one is meant. */
static bool read_scope(struct request *r, struct new_key *k)
{
    const char *scope;
    const json_t *scopes;
    if (!request_text(r, "scope", &scope) || !request_texts(r, "scopes", &scopes) ||
        !check_allow_list(r))
        return false;
    const char *first = json_string_value(json_array_get(scopes, 0));
    if (json_array_size(scopes) > 1 ||
        (first != NULL && scope[0] != '\0' && strcmp(first, scope) != 0))
        return refuse_scope(r, "scopes", first, "a key has one scope");
    if (first != NULL)
        scope = first;
    if (scope[0] == '\0' || rights_scope_parse(scope, &k->scope))
        return true;
    return refuse_scope(r, "scope", scope, "there are all, application_connect and read");
}

/* A lifetime is Go's: nanoseconds. */
static bool read_lifetime(struct request *r, struct new_key *k)
{
    int64_t ns;
    if (!request_int(r, "lifetime", 0, &ns))
        return false;
    k->lifetime_s = ns == 0 ? TOKEN_S_INITIAL : (ns + NS_PER_S - 1) / NS_PER_S;
    if (ns >= 0 && k->lifetime_s <= TOKEN_S_MAX)
        return true;
    answer_invalid(r, 400, "Failed to validate create API key request.", "lifetime",
        "must be positive nanoseconds, at most 876600 hours");
    return false;
}

static void on_token(struct request *r, const struct uuid *user_id, const char *username)
{
    (void)username;
    if (!may(r, user_id))
        return;
    struct new_key *k = begin(r, user_id, "token");
    if (r->body.len > 0 && request_json(r) == NULL)
        return;
    if (read_name(r, k) && read_scope(r, k) && read_lifetime(r, k))
        make(r);
}

void user_token_create(struct request *r)
{
    find_user(r, on_token);
}

static void on_config(struct request *r, const struct uuid *user_id, const char *username)
{
    (void)username;
    if (!may(r, user_id))
        return;
    json_open(&r->out, '{');
    json_put_int(&r->out, "max_token_lifetime", TOKEN_S_MAX * NS_PER_S);
    json_close(&r->out, '}');
    answer_json(r, 200);
}

void user_token_config(struct request *r)
{
    find_user(r, on_config);
}

/* ---- showing ---- */

/* Columns of api_key_list and api_key_find. */
enum column {
    ID,
    USER_ID,
    USERNAME,
    NAME,
    SCOPE,
    LOGIN_TYPE,
    CREATED_AT,
    USED_AT,
    EXPIRES_AT,
    LIFETIME
};

/* Coder's APIKeyWithOwner. */
static void write_key(const struct db_result *k, size_t i, struct strbuf *out)
{
    struct uuid user_id = db_uuid(k, i, USER_ID);
    bool is_token = strcmp(db_text(k, i, LOGIN_TYPE), "token") == 0;
    json_open(out, '{');
    json_put_text(out, "id", db_text(k, i, ID));
    json_put_uuid(out, "user_id", &user_id);
    json_put_time(out, "last_used", db_time_us(k, i, USED_AT));
    json_put_time(
        out, "expires_at", db_is_null(k, i, EXPIRES_AT) ? NEVER_US : db_time_us(k, i, EXPIRES_AT));
    json_put_time(out, "created_at", db_time_us(k, i, CREATED_AT));
    json_put_time(out, "updated_at", db_time_us(k, i, CREATED_AT));
    json_put_text(out, "login_type", db_text(k, i, LOGIN_TYPE));
    json_put_text(out, "scope", db_text(k, i, SCOPE));
    json_key(out, "scopes"), json_open(out, '[');
    json_text(out, db_text(k, i, SCOPE)), json_close(out, ']');
    json_put_text(out, "token_name", is_token ? db_text(k, i, NAME) : "");
    json_put_int(out, "lifetime_seconds", db_int(k, i, LIFETIME));
    json_put_text(out, "username", db_text(k, i, USERNAME));
    json_close(out, '}');
}

static void on_list(struct request *r, const struct db_result *const *results)
{
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(results[0]); i++)
        write_key(results[0], i, &r->out);
    json_close(&r->out, ']');
    answer_json(r, 200);
}

static void on_lister(struct request *r, const struct uuid *user_id, const char *username)
{
    (void)username;
    const char *all = request_query(r, "include_all");
    bool of_all = all != NULL && strcmp(all, "true") == 0 &&
                  rights_may(&r->who, OBJECT_KEY, ACTION_READ, NULL);
    if (!may(r, user_id))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_API_KEY_LIST);
    db_add_uuid(b, of_all ? NULL : user_id);
    db_add_int8(b, LIST_MAX);
    ask_db_bulk(r, b, on_list);
}

void user_token_list(struct request *r)
{
    find_user(r, on_lister);
}

static void on_found(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 0) {
        answer_not_found(r);
        return;
    }
    write_key(results[0], 0, &r->out);
    answer_json(r, 200);
}

static void ask_key(struct request *r, const struct uuid *user_id, const char *id, const char *name)
{
    if (!may(r, user_id))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_API_KEY_FIND);
    db_add_uuid(b, user_id);
    db_add_text(b, id);
    db_add_text(b, name);
    ask_db(r, b, on_found);
}

static void on_owner_of_id(struct request *r, const struct uuid *user_id, const char *username)
{
    (void)username;
    ask_key(r, user_id, request_param(r, 1), NULL);
}

void user_key_get(struct request *r)
{
    find_user(r, on_owner_of_id);
}

static void on_owner_of_name(struct request *r, const struct uuid *user_id, const char *username)
{
    (void)username;
    ask_key(r, user_id, NULL, request_param(r, 1));
}

void user_token_get(struct request *r)
{
    find_user(r, on_owner_of_name);
}

/* ---- ending ---- */

static void on_revoked(struct request *r, const struct db_result *const *results)
{
    if (db_int(results[0], 0, 0) == 0) {
        answer_not_found(r);
        return;
    }
    auth_forget(r->gw->auth, request_param(r, 1));
    answer_empty(r, 204);
}

static void on_revoker(struct request *r, const struct uuid *user_id, const char *username)
{
    (void)username;
    if (!may(r, user_id))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_API_KEY_REVOKE_OF_USER);
    db_add_uuid(b, user_id);
    db_add_text(b, request_param(r, 1));
    ask_db(r, b, on_revoked);
}

void user_key_delete(struct request *r)
{
    find_user(r, on_revoker);
}
