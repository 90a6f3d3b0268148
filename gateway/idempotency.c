/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idempotency.c - claims, answers kept, answers said again.
 */
#include "gateway/idempotency.h"

#include <sodium.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "gateway/http.h"
#include "gateway/task_cache.h"

#define HASH_BYTES 32
#define FULL_S     "60" /* some of the oldest may be over by then */

/* The columns of idempotency_get, in order. */
enum column { IS_SAME, STATUS, TYPE, HEAD, BODY };

/* What a request that holds a claim knows of it; freed with the request. */
struct idempotency {
    struct uuid seed;
    bool is_again;
};

/* ---- ids ---- */

struct uuid idempotency_id(const struct request *r, uint32_t n)
{
    if (r->idempotency == NULL)
        return uuid_random();
    struct uuid id;
    uint8_t number[] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};
    crypto_generichash(
        id.b, sizeof(id.b), number, sizeof(number), r->idempotency->seed.b, sizeof(id.b));
    uuid_make_v4(&id);
    return id;
}

bool idempotency_is_again(const struct request *r)
{
    return r->idempotency != NULL && r->idempotency->is_again;
}

/* ---- the answer ---- */

static void on_stored(void *arg, enum err code, const struct db_result *const *results,
    size_t n_results, const struct errctx *ctx)
{
    (void)results, (void)n_results;
    struct request *r = arg;
    /* What was done is done: the client is told all the same, and a second try finds it by id. */
    if (code != ERR_OK)
        log_warn("an answer could not be kept for its Idempotency-Key error=%s", LOG_Q(ctx->text));
    r->is_kept_back = false;
    http_answer(r);
}

static void add_answer(struct db_batch *b, const struct request *r)
{
    const char *body = r->blob != NULL ? r->blob->json : r->out.s;
    db_batch_add(b, SQL_IDEMPOTENCY_STORE);
    db_add_uuid(b, &r->who.id);
    db_add_text(b, r->idempotency_key);
    db_add_int4(b, r->status);
    db_add_text(b, r->type != NULL ? r->type : "");
    db_add_bytes(b, r->head.s, r->head.len);
    db_add_bytes(b, body, r->blob != NULL ? r->blob->n : r->out.len);
}

bool idempotency_keep(struct request *r)
{
    struct db_batch *b;
    if (r->idempotency == NULL || r->is_kept_back)
        return false;
    b = db_batch_new();
    if (r->status < 500) {
        add_answer(b, r);
    } else {
        db_batch_add(b, SQL_IDEMPOTENCY_LET_GO);
        db_add_uuid(b, &r->who.id);
        db_add_text(b, r->idempotency_key);
    }
    r->is_kept_back = true;
    db_send(r->gw->db, b, on_stored, r);
    return true;
}

static void replay(struct request *r, const struct db_result *row)
{
    size_t n;
    const void *data = db_bytes(row, 0, HEAD, &n);
    strbuf_clear(&r->head);
    strbuf_add(&r->head, data, n);
    answer_header(r, "idempotency-replayed:", "true");
    data = db_bytes(row, 0, BODY, &n);
    strbuf_add(&r->out, data, n);
    answer_stored(r, (int)db_int(row, 0, STATUS), db_text(row, 0, TYPE));
}

/* ---- the claim ---- */

static void on_claim(struct request *r, const struct db_result *const *results)
{
    const struct db_result *claim = results[2], *row = results[3];
    if (db_rows(claim) == 1) {
        r->idempotency = mem_alloc(sizeof(*r->idempotency));
        r->idempotency->seed = db_uuid(claim, 0, 0);
        r->idempotency->is_again = db_bool(claim, 0, 1);
        r->route->handler(r);
    } else if (db_rows(row) == 1 && !db_bool(row, 0, IS_SAME)) {
        answer_problem(r, 422, "idempotency-key-reused",
            "The Idempotency-Key was used for another request.",
            "Method, path and body must be the same; a new request needs a new key.");
    } else if (db_rows(row) == 1 && !db_is_null(row, 0, STATUS)) {
        replay(r, row);
    } else if (db_rows(row) == 0) {
        metric_add(&r->gw->metrics.idempotency_full, 1);
        answer_header(r, "retry-after:", FULL_S);
        answer_problem(r, 429, "idempotency-keys-exhausted",
            "There are too many Idempotency-Keys of the last 24 hours.",
            "Each is kept for a day, 10,000 of one person at most. Send the request without one, "
            "or "
            "later.");
    } else {
        answer_header(r, "retry-after:", "1");
        answer_problem(r, 409, "idempotency-key-in-use",
            "The first request with this Idempotency-Key is still being worked on.",
            "Try again in a moment.");
    }
}

/* Method, path, query and body; the path has been cut into words by NULs. */
static void hash_request(const struct request *r, uint8_t ret_hash[static HASH_BYTES])
{
    crypto_generichash_state s;
    const uint64_t sizes[] = {r->method, r->path.len, r->query.len, r->body.len};
    crypto_generichash_init(&s, NULL, 0, HASH_BYTES);
    crypto_generichash_update(&s, (const uint8_t *)sizes, sizeof(sizes));
    crypto_generichash_update(&s, (const uint8_t *)r->path.s, r->path.len);
    crypto_generichash_update(&s, (const uint8_t *)r->query.s, r->query.len);
    crypto_generichash_update(&s, (const uint8_t *)r->body.s, r->body.len);
    crypto_generichash_final(&s, ret_hash, HASH_BYTES);
}

static void add_key(struct db_batch *b, const struct request *r, enum sql_id id)
{
    db_batch_add(b, id);
    db_add_uuid(b, &r->who.id);
    db_add_text(b, r->idempotency_key);
}

static bool is_key(const char *s)
{
    size_t n = 0;
    for (; s[n] != '\0'; n++)
        if (s[n] < 0x20 || s[n] > 0x7e)
            return false;
    return n > 0 && n <= IDEMPOTENCY_KEY_MAX;
}

void idempotency_run(struct request *r)
{
    uint8_t hash[HASH_BYTES];
    struct uuid seed = uuid_random();
    if (!is_key(r->idempotency_key)) {
        answer_problem(r, 400, "invalid-request", "The Idempotency-Key cannot be used.",
            "It must have 1 to 255 printable ASCII characters.");
        return;
    }
    hash_request(r, hash);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_IDEMPOTENCY_PURGE);
    add_key(b, r, SQL_IDEMPOTENCY_FORGET);
    add_key(b, r, SQL_IDEMPOTENCY_CLAIM);
    db_add_bytes(b, hash, sizeof(hash));
    db_add_uuid(b, &seed);
    add_key(b, r, SQL_IDEMPOTENCY_GET);
    db_add_bytes(b, hash, sizeof(hash));
    ask_db(r, b, on_claim);
}
