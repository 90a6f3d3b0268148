/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.c - tokens.  The database has SHA-256 of secrets; what is compared is compared in constant
 * time.
 *
 * Memory is a cache: a good key is believed for GOOD_MS.  Whoever ends a key, or changes its user,
 * tells all gateways on the channel stint:revoked ("k<key id>", "u<user id>"), after the commit.
 * A look-up that was on its way when such a word came in is not remembered: it may have read what
 * was before.
 *
 * A stream is asked who it is when it begins.  It ends with its key: at such a word, and once a
 * minute, or when words may have been missed, the database is asked which keys have ended.
 */
#include "gateway/auth.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/vec.h"
#include "gateway/rate.h"
#include "gateway/stream.h"

#define GOOD_MS  5000
#define KEYS_MAX 10000
#define CHANNEL  "stint:revoked"
/* last_used_at is as old as this at most, and written together with others'. */
#define USED_EVERY_MS    60000
#define USED_BATCH_MS    1000
#define STREAMS_CHECK_MS 60000

#define SIGNED_OUT \
    "You are signed out or your session has expired. Please sign in again to continue."

struct key {
    struct principal who;
    uint8_t hash[TOKEN_HASH_BYTES];
    int64_t good_until_mono_ms;
    int64_t used_mono_ms; /* when that was last said */
};

struct auth {
    struct gateway *gw;
    struct map keys;      /* by the begin of their hash */
    uint64_t n_forgotten; /* words heard: look-ups from before are not remembered */
    struct kv *ears;
    VEC(char *) used; /* ids of keys, until the timer */
    struct timer *timer, *check;
};

static void forget_all(struct auth *a)
{
    struct key *k;
    for (size_t i = 0; (k = map_next(&a->keys, &i)) != NULL;)
        free(k);
    map_done(&a->keys);
    a->keys = (struct map){0};
    a->n_forgotten++;
}

static struct uuid place_of(const uint8_t hash[static TOKEN_HASH_BYTES])
{
    struct uuid place;
    memcpy(place.b, hash, sizeof(place.b));
    return place;
}

/* ---- what has ended ---- */

static void forget(struct auth *a, const char *key_id, const struct uuid *user_id)
{
    a->n_forgotten++;
    struct key *k;
    for (size_t i = 0; (k = map_next(&a->keys, &i)) != NULL;) {
        bool is_it =
            key_id != NULL ? strcmp(k->who.key_id, key_id) == 0 : uuid_eq(&k->who.id, user_id);
        if (!is_it)
            continue;
        struct uuid place = place_of(k->hash);
        free(map_remove(&a->keys, &place));
        i = 0; /* removing moves others */
    }
    stream_revoke(a->gw, key_id, user_id);
}

static void tell_all(struct auth *a, const char *word)
{
    const char *const argv[] = {"PUBLISH", CHANNEL, word};
    kv_command(a->gw->counts, NULL, NULL, (int)COUNT(argv), argv, NULL);
}

void auth_forget(struct auth *a, const char *key_id)
{
    char word[64];
    forget(a, key_id, NULL);
    snprintf(word, sizeof(word), "k%s", key_id);
    tell_all(a, word);
}

void auth_forget_user(struct auth *a, const struct uuid *user_id)
{
    char word[64];
    forget(a, NULL, user_id);
    snprintf(word, sizeof(word), "u%s", uuid_format(user_id).s);
    tell_all(a, word);
}

static void on_ended(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct auth *a = arg;
    (void)n, (void)ctx;
    for (size_t i = 0; code == ERR_OK && i < db_rows(results[1]); i++)
        stream_revoke(a->gw, db_text(results[1], i, 0), NULL);
}

/* Which of the streams' keys have ended?  The others are in use. */
static void check_streams(void *arg)
{
    struct auth *a = arg;
    struct db_array *used = db_array_new(DB_TEXT), *ids = db_array_new(DB_TEXT);
    if (stream_add_keys(a->gw, used) == 0) {
        db_array_free(used), db_array_free(ids);
        return;
    }
    stream_add_keys(a->gw, ids);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_API_KEY_USED);
    db_add_array(b, used);
    db_batch_add(b, SQL_API_KEY_LIST_ENDED);
    db_add_array(b, ids);
    db_send(a->gw->db, b, on_ended, a);
}

static void on_word(void *arg, const char *channel, const char *data, size_t len)
{
    (void)channel;
    struct auth *a = arg;
    char word[64];
    struct uuid user_id;
    if (data == NULL || len == 0 || len >= sizeof(word)) {
        forget_all(a); /* (re)subscribed: what was said meanwhile is not known */
        check_streams(a);
        return;
    }
    memcpy(word, data, len);
    word[len] = '\0';
    if (word[0] == 'k')
        forget(a, word + 1, NULL);
    else if (word[0] == 'u' && uuid_parse(word + 1, &user_id))
        forget(a, NULL, &user_id);
}

/* ---- what is used ---- */

static void drop_used(struct auth *a)
{
    for (size_t i = 0; i < a->used.n; i++)
        free(a->used.v[i]);
    a->used.n = 0;
}

static void on_used_written(void *arg, enum err code, const struct db_result *const *results,
    size_t n, const struct errctx *ctx)
{
    (void)arg, (void)code, (void)results, (void)n, (void)ctx; /* it is a courtesy */
}

static void write_used(void *arg)
{
    struct auth *a = arg;
    struct db_array *ids = db_array_new(DB_TEXT);
    for (size_t i = 0; i < a->used.n; i++)
        db_array_text(ids, a->used.v[i]);
    drop_used(a);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_API_KEY_USED);
    db_add_array(b, ids);
    db_send(a->gw->db, b, on_used_written, NULL);
}

static void note_use(struct auth *a, struct key *k)
{
    int64_t now = clock_mono_ms();
    if (k->used_mono_ms != 0 && now - k->used_mono_ms < USED_EVERY_MS)
        return;
    k->used_mono_ms = now;
    if (a->used.n == 0)
        timer_start(a->timer, USED_BATCH_MS, 0);
    *vec_push(&a->used) = mem_strdup(k->who.key_id);
}

/* ---- what is remembered ---- */

static struct key *remember(
    struct auth *a, const struct principal *who, const uint8_t *hash, int64_t left_ms)
{
    if (a->keys.n >= KEYS_MAX)
        forget_all(a);
    struct uuid place = place_of(hash);
    struct key *k = map_get(&a->keys, &place);
    if (k == NULL) {
        k = mem_alloc(sizeof(*k));
        memcpy(k->hash, hash, sizeof(k->hash));
        map_put(&a->keys, &place, k);
    }
    k->who = *who;
    k->good_until_mono_ms = clock_mono_ms() + (left_ms < GOOD_MS ? left_ms : GOOD_MS);
    return k;
}

static struct key *remembered(struct auth *a, const struct token *t, const uint8_t *hash)
{
    struct uuid place = place_of(hash);
    struct key *k = map_get(&a->keys, &place);
    if (k == NULL || sodium_memcmp(k->hash, hash, sizeof(k->hash)) != 0 ||
        strcmp(k->who.key_id, t->id) != 0 || clock_mono_ms() >= k->good_until_mono_ms)
        return NULL;
    return k;
}

/* ---- life ---- */

struct auth *auth_new(struct gateway *gw)
{
    struct auth *a = mem_alloc(sizeof(*a));
    a->gw = gw;
    a->timer = timer_new(gw->loop, write_used, a);
    a->check = timer_new(gw->loop, check_streams, a);
    timer_start(a->check, STREAMS_CHECK_MS, STREAMS_CHECK_MS);
    a->ears = kv_new(gw->loop, gw->conf.redis_url, NULL, NULL);
    kv_subscribe(a->ears, CHANNEL, on_word, a);
    return a;
}

void auth_free(struct auth *a)
{
    if (a == NULL)
        return;
    forget_all(a);
    drop_used(a);
    vec_done(&a->used);
    kv_free(a->ears);
    timer_free(a->timer);
    timer_free(a->check);
    free(a);
}

/* ---- people ---- */

static void refuse(struct request *r, const char *detail)
{
    answer_error(r, 401, SIGNED_OUT, detail);
}

static void admit(struct request *r, request_fn then)
{
    if ((r->route->auth == AUTH_OWNER && (r->who.roles & ROLE_OWNER) == 0) ||
        !rights_scope_allows(r->who.scope, r->route))
        answer_forbidden(r);
    else if (rate_admit(r))
        then(r);
}

/* Columns of api_key_get. */
enum key_column { HASH, USER_ID, USERNAME, ROLES, SCOPE, LEFT_MS, STATUS };

static bool is_its_secret(const struct db_result *row, const uint8_t hash[static TOKEN_HASH_BYTES])
{
    size_t n = 0;
    const void *stored = db_rows(row) == 1 ? db_bytes(row, 0, HASH, &n) : NULL;
    return stored != NULL && n == TOKEN_HASH_BYTES && sodium_memcmp(stored, hash, n) == 0;
}

/* Before it expires. */
static int64_t left_ms(const struct db_result *row)
{
    return db_is_null(row, 0, LEFT_MS) ? INT64_MAX : db_int(row, 0, LEFT_MS);
}

/* Known to be who it says, but is it let in? */
static bool check_key(struct request *r, const struct db_result *row)
{
    const char *status = db_text(row, 0, STATUS);
    if (left_ms(row) <= 0)
        refuse(r, "API key is expired.");
    else if (strcmp(status, "active") != 0)
        answer_errorf(r, 401, NULL,
            "User is not active (status = \"%s\"). Contact an admin to reactivate your account.",
            status);
    return !r->is_over;
}

static void on_key(struct request *r, const struct db_result *const *results)
{
    const struct db_result *row = results[0];
    struct token t;
    uint8_t hash[TOKEN_HASH_BYTES];
    token_parse(r->token, &t);
    token_hash(&t, hash);
    if (!is_its_secret(row, hash)) {
        if (rate_admit_stranger(r))
            refuse(r, "API key is invalid.");
        return;
    }
    if (!check_key(r, row))
        return;
    r->who.id = db_uuid(row, 0, USER_ID);
    snprintf(r->who.username, sizeof(r->who.username), "%s", db_text(row, 0, USERNAME));
    r->who.roles = rights_roles_parse(db_text(row, 0, ROLES));
    if (!rights_scope_parse(db_text(row, 0, SCOPE), &r->who.scope))
        r->who.scope = SCOPE_NOTHING;
    memcpy(r->who.key_id, t.id, sizeof(r->who.key_id));
    if (r->auth_mark == r->gw->auth->n_forgotten)
        note_use(r->gw->auth, remember(r->gw->auth, &r->who, hash, left_ms(row)));
    admit(r, r->then);
}

static void check_person(struct request *r, request_fn then)
{
    struct token t;
    uint8_t hash[TOKEN_HASH_BYTES];
    token_parse(r->token, &t);
    token_hash(&t, hash);
    r->auth_mark = r->gw->auth->n_forgotten;
    struct key *k = remembered(r->gw->auth, &t, hash);
    if (k != NULL) {
        r->who = k->who;
        note_use(r->gw->auth, k);
        admit(r, then);
        return;
    }
    metric_add(&r->gw->metrics.key_lookups, 1);
    r->then = then;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_API_KEY_GET);
    db_add_text(b, t.id);
    ask_db(r, b, on_key);
}

/* ---- agents ---- */

static void on_agent(struct request *r, const struct db_result *const *results)
{
    const struct db_result *row = results[0];
    if (db_rows(row) == 0) {
        if (rate_admit_stranger(r))
            answer_error(r, 401, "Workspace agent not authorized.",
                "The agent cannot authenticate until the workspace provision job has been "
                "completed. If the job is no longer running, this agent is invalid.");
        return;
    }
    r->who.id = db_uuid(row, 0, 0);
    r->who.task_id = db_uuid(row, 0, 1);
    r->who.workspace_id = db_uuid(row, 0, 2);
    if (rate_admit(r))
        r->then(r);
}

static void check_agent(struct request *r, request_fn then)
{
    struct uuid token;
    uuid_parse(r->token, &token);
    r->then = then;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_AGENT_BY_TOKEN);
    db_add_uuid(b, &token);
    ask_db(r, b, on_agent);
}

/* ---- both ---- */

static bool check_agent_form(struct request *r)
{
    struct uuid token;
    if (r->token[0] == '\0')
        answer_error(r, 401, "Cookie \"coder_session_token\" must be provided.", NULL);
    else if (!uuid_parse(r->token, &token) || uuid_is_nil(&token))
        answer_error(
            r, 401, "Workspace agent token invalid.", "An agent token must be a valid UUID.");
    return !r->is_over;
}

bool auth_check_form(struct request *r)
{
    struct token t;
    if (r->route->auth == AUTH_NONE)
        return true;
    if (r->route->auth == AUTH_AGENT)
        return check_agent_form(r);
    if (r->token[0] == '\0')
        refuse(r, "Cookie \"coder_session_token\" or query parameter must be provided.");
    else if (!token_parse(r->token, &t))
        refuse(r, "Invalid \"coder_session_token\" cookie API key format: unexpected length or "
                  "characters.");
    return !r->is_over;
}

bool auth_is_current(const struct request *r)
{
    return r->auth_mark == r->gw->auth->n_forgotten;
}

void auth_check(struct request *r, request_fn then)
{
    if (r->route->auth == AUTH_AGENT)
        check_agent(r, then);
    else if (r->route->auth != AUTH_NONE)
        check_person(r, then);
    else if (rate_admit(r))
        then(r);
}
