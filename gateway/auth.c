/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.c - tokens.  The database has SHA-256 of secrets; what is compared is compared in constant
 * time.
 */
#include "gateway/auth.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "gateway/rate.h"

#define GOOD_MS  5000
#define KEYS_MAX 10000

#define SIGNED_OUT \
    "You are signed out or your session has expired. Please sign in again to continue."

struct key {
    struct principal who;
    uint8_t hash[TOKEN_HASH_BYTES];
    int64_t good_until_mono_ms;
};

struct auth {
    struct map keys; /* by the begin of their hash */
};

struct auth *auth_new(void)
{
    return mem_alloc(sizeof(struct auth));
}

static void forget_all(struct auth *a)
{
    struct key *k;
    for (size_t i = 0; (k = map_next(&a->keys, &i)) != NULL;)
        free(k);
    map_done(&a->keys);
    a->keys = (struct map){0};
}

void auth_free(struct auth *a)
{
    if (a == NULL)
        return;
    forget_all(a);
    free(a);
}

static struct uuid place_of(const uint8_t hash[static TOKEN_HASH_BYTES])
{
    struct uuid place;
    memcpy(place.b, hash, sizeof(place.b));
    return place;
}

void auth_forget(struct auth *a, const char *key_id)
{
    struct key *k, *found = NULL;
    for (size_t i = 0; found == NULL && (k = map_next(&a->keys, &i)) != NULL;)
        if (strcmp(k->who.key_id, key_id) == 0)
            found = k;
    if (found == NULL)
        return;
    struct uuid place = place_of(found->hash);
    free(map_remove(&a->keys, &place));
}

static void remember(struct auth *a, const struct principal *who, const uint8_t *hash)
{
    if (a->keys.n >= KEYS_MAX)
        forget_all(a);
    struct key *k = mem_alloc(sizeof(*k));
    k->who = *who;
    memcpy(k->hash, hash, sizeof(k->hash));
    k->good_until_mono_ms = clock_mono_ms() + GOOD_MS;
    struct uuid place = place_of(hash);
    free(map_get(&a->keys, &place));
    map_put(&a->keys, &place, k);
}

static const struct key *remembered(struct auth *a, const struct token *t, const uint8_t *hash)
{
    struct uuid place = place_of(hash);
    const struct key *k = map_get(&a->keys, &place);
    if (k == NULL || sodium_memcmp(k->hash, hash, sizeof(k->hash)) != 0 ||
        strcmp(k->who.key_id, t->id) != 0 || clock_mono_ms() >= k->good_until_mono_ms)
        return NULL;
    return k;
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

static void on_key(struct request *r, const struct db_result *const *results)
{
    const struct db_result *row = results[0];
    struct token t;
    uint8_t hash[TOKEN_HASH_BYTES];
    token_parse(r->token, &t);
    token_hash(&t, hash);
    size_t n = 0;
    const void *stored = db_rows(row) == 1 ? db_bytes(row, 0, 0, &n) : NULL;
    if (stored == NULL || n != sizeof(hash) || sodium_memcmp(stored, hash, sizeof(hash)) != 0) {
        rate_strike(r);
        refuse(r, "API key is invalid.");
        return;
    }
    r->who.id = db_uuid(row, 0, 1);
    snprintf(r->who.username, sizeof(r->who.username), "%s", db_text(row, 0, 2));
    r->who.roles = rights_roles_parse(db_text(row, 0, 3));
    memcpy(r->who.key_id, t.id, sizeof(r->who.key_id));
    remember(r->gw->auth, &r->who, hash);
    admit(r, r->then);
}

static void check_person(struct request *r, request_fn then)
{
    struct token t;
    uint8_t hash[TOKEN_HASH_BYTES];
    token_parse(r->token, &t);
    token_hash(&t, hash);
    const struct key *k = remembered(r->gw->auth, &t, hash);
    if (k != NULL) {
        r->who = k->who;
        admit(r, then);
        return;
    }
    if (!rate_admit_stranger(r))
        return;
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
        rate_strike(r);
        answer_error(r, 401, "Workspace agent not authorized.",
            "The agent cannot authenticate until the workspace provision job has been completed. "
            "If "
            "the job is no longer running, this agent is invalid.");
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
    if (!rate_admit_stranger(r))
        return;
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

void auth_check(struct request *r, request_fn then)
{
    if (r->route->auth == AUTH_AGENT)
        check_agent(r, then);
    else if (r->route->auth != AUTH_NONE)
        check_person(r, then);
    else if (rate_admit(r))
        then(r);
}
