/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - parts sealed and opened, put and got. */
#include "scheduler/state.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#define FORMAT        1
#define NAME_BYTES    8
#define KEY_BYTES     crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_BYTES   crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES     crypto_aead_xchacha20poly1305_ietf_ABYTES
#define HEAD_BYTES    (1 + NAME_BYTES + NONCE_BYTES)
#define KEYS_MAX      16
#define FILE_BYTES    4096
#define PART_BYTES    (1024 * 1024)
#define PARTS_MAX     256
#define VERSIONS_KEPT 5

struct state_keys {
    size_t n;
    struct {
        uint8_t name[NAME_BYTES]; /* the beginning of its hash */
        uint8_t key[KEY_BYTES];
    } key[KEYS_MAX];
};

/* ---- keys ---- */

/* A line of 64 hexadecimal digits; empty ones and comments do not count. */
static bool take_line(struct state_keys *k, const char *line)
{
    line += strspn(line, " \t");
    if (line[0] == '\0' || line[0] == '#')
        return true;
    size_t n = 0;
    const char *end = NULL;
    uint8_t *key = k->key[k->n].key;
    if (k->n == KEYS_MAX ||
        sodium_hex2bin(key, KEY_BYTES, line, strlen(line), NULL, &n, &end) != 0 || n != KEY_BYTES ||
        end[strspn(end, " \t\r")] != '\0')
        return false;
    uint8_t hash[crypto_generichash_BYTES];
    crypto_generichash(hash, sizeof(hash), key, KEY_BYTES, NULL, 0);
    memcpy(k->key[k->n++].name, hash, NAME_BYTES);
    return true;
}

static enum err take_lines(struct state_keys *k, char *text, const char *path, struct errctx *ctx)
{
    unsigned number = 1;
    for (char *line; (line = strsep(&text, "\n")) != NULL; number++)
        if (!take_line(k, line))
            return err_set(ctx, ERR_CONFIG,
                "state_key_file: line %u of %s is no key: a key is 64 hexadecimal digits "
                "(openssl rand -hex 32 makes one)",
                number, path);
    return k->n > 0 ? ERR_OK : err_set(ctx, ERR_CONFIG, "state_key_file: no key in %s", path);
}

enum err state_keys_load(const char *path, struct state_keys **ret_keys, struct errctx *ctx)
{
    *ret_keys = NULL;
    if (path == NULL || path[0] == '\0')
        return ERR_OK;
    if (sodium_init() < 0)
        return err_set(ctx, ERR_INTERNAL, "libsodium does not start");
    char text[FILE_BYTES + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, FILE_BYTES);
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return err_set(ctx, ERR_CONFIG, "state_key_file: cannot read %s: %s", path, strerror(why));
    text[n] = '\0';
    struct state_keys *k = sodium_malloc(sizeof(*k));
    if (k == NULL)
        return err_set(ctx, ERR_NOMEM, "state_key_file");
    memset(k, 0, sizeof(*k));
    enum err e = take_lines(k, text, path, ctx);
    sodium_memzero(text, sizeof(text));
    if (e == ERR_OK)
        *ret_keys = k;
    else
        state_keys_free(k);
    return e;
}

void state_keys_free(struct state_keys *k)
{
    sodium_free(k);
}

/* ---- sealing ---- */

struct bound {
    char text[120];
    size_t n;
};

static struct bound bound_to(const struct state_place *p)
{
    struct bound b;
    b.n = (size_t)snprintf(b.text, sizeof(b.text), "%s/%lld/%d/%d", uuid_format(&p->workspace_id).s,
        (long long)p->version, (int)p->part, (int)p->parts);
    return b;
}

void *state_seal(const struct state_keys *keys, const struct state_place *place, const void *data,
    size_t n, size_t *ret_n)
{
    struct bound ad = bound_to(place);
    uint8_t *out = mem_alloc(HEAD_BYTES + n + TAG_BYTES);
    uint8_t *nonce = out + 1 + NAME_BYTES;
    out[0] = FORMAT;
    memcpy(out + 1, keys->key[0].name, NAME_BYTES);
    randombytes_buf(nonce, NONCE_BYTES);
    crypto_aead_xchacha20poly1305_ietf_encrypt(out + HEAD_BYTES, NULL, data, n,
        (const uint8_t *)ad.text, ad.n, NULL, nonce, keys->key[0].key);
    *ret_n = HEAD_BYTES + n + TAG_BYTES;
    return out;
}

static const uint8_t *find_key(const struct state_keys *keys, const uint8_t *name)
{
    for (size_t i = 0; i < keys->n; i++)
        if (memcmp(keys->key[i].name, name, NAME_BYTES) == 0)
            return keys->key[i].key;
    return NULL;
}

void *state_open(const struct state_keys *keys, const struct state_place *place, const void *sealed,
    size_t n, size_t *ret_n, struct errctx *ctx)
{
    const uint8_t *in = sealed;
    enum err ignored;
    if (n < HEAD_BYTES + TAG_BYTES || in[0] != FORMAT) {
        ignored =
            err_set(ctx, ERR_FAILED, "the kept state has a form that this version does not know");
        return NULL;
    }
    const uint8_t *key = find_key(keys, in + 1);
    if (key == NULL) {
        ignored = err_set(ctx, ERR_CONFIG,
            "the key that the state was kept with is not in the scheduler's state_key_file any "
            "more: put it back, on a line below the newest");
        return NULL;
    }
    struct bound ad = bound_to(place);
    uint8_t *out = mem_alloc(n - HEAD_BYTES - TAG_BYTES + 1);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, in + HEAD_BYTES, n - HEAD_BYTES,
            (const uint8_t *)ad.text, ad.n, in + 1 + NAME_BYTES, key) != 0) {
        free(out);
        ignored =
            err_set(ctx, ERR_FAILED, "the kept state is not what was written: it was altered");
        return NULL;
    }
    (void)ignored;
    *ret_n = n - HEAD_BYTES - TAG_BYTES;
    return out;
}

/* ---- put ---- */

struct put {
    struct bus_call *call;
};

static void on_put(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    scoped_free struct put *put = arg;
    if (code != ERR_OK || n < 2)
        bus_reply_status(put->call, REFUSAL_STORE_DOWN, ctx->text);
    else
        bus_reply_status(
            put->call, db_rows(results[1]) > 0 ? REFUSAL_NONE : REFUSAL_LEASE_OVER, NULL);
}

static bool read_place(const Stint__V1__StatePut *m, struct state_place *ret)
{
    *ret = (struct state_place){
        .version = (int64_t)m->version, .part = (int32_t)m->part, .parts = (int32_t)m->parts};
    return wire_get_uuid(&m->workspace_id, &ret->workspace_id) && m->version > 0 &&
           m->version < INT64_MAX && m->part < m->parts && m->parts <= PARTS_MAX &&
           m->data.len <= PART_BYTES;
}

static struct db_batch *put_batch(const struct state_keys *keys, uint64_t epoch,
    const Stint__V1__StatePut *m, const struct state_place *place, const struct uuid *job,
    const struct uuid *worker)
{
    size_t n;
    scoped_free void *sealed = state_seal(keys, place, m->data.data, m->data.len, &n);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_LEADER_ASSERT_EPOCH);
    db_add_int8(b, (int64_t)epoch);
    db_batch_add(b, SQL_STATE_PUT);
    db_add_uuid(b, job);
    db_add_int8(b, (int64_t)m->token);
    db_add_uuid(b, worker);
    db_add_int8(b, place->version);
    db_add_int4(b, place->part);
    db_add_int4(b, place->parts);
    db_add_bytes(b, sealed, n);
    db_add_uuid(b, &place->workspace_id);
    if (place->part == place->parts - 1) {
        db_batch_add(b, SQL_STATE_PRUNE);
        db_add_uuid(b, job);
        db_add_int8(b, VERSIONS_KEPT);
    }
    return b;
}

void state_put(const struct state_keys *keys, struct db *db, uint64_t epoch, struct bus_call *call,
    const Stint__V1__StatePut *m)
{
    struct uuid job, worker;
    struct state_place place;
    if (!wire_get_uuid(&m->job_id, &job) || !wire_get_uuid(&m->worker_id, &worker) ||
        !read_place(m, &place)) {
        bus_reply_status(call, REFUSAL_MALFORMED, "StatePut has a bad id or part");
        return;
    }
    if (keys == NULL) {
        bus_reply_status(call, REFUSAL_STATE_KEY, NULL);
        return;
    }
    struct put *put = mem_alloc(sizeof(*put));
    *put = (struct put){call};
    db_send(db, put_batch(keys, epoch, m, &place, &job, &worker), on_put, put);
}

/* ---- get ---- */

struct get {
    struct bus_call *call;
    const struct state_keys *keys;
    int32_t part;
};

static void reply_chunk(
    struct bus_call *call, const struct state_place *place, void *data, size_t n)
{
    Stint__V1__StateChunk chunk = STINT__V1__STATE_CHUNK__INIT;
    chunk.version = (uint64_t)place->version;
    chunk.parts = (uint32_t)place->parts;
    chunk.data = (ProtobufCBinaryData){n, data};
    Stint__V1__Envelope out = wire_envelope(STINT__V1__ENVELOPE__BODY_STATE_CHUNK);
    out.state_chunk = &chunk;
    bus_reply(call, &out);
}

static void reply_row(const struct get *get, const struct db_result *r)
{
    struct state_place place = {.workspace_id = db_uuid(r, 0, 0),
        .version = db_int(r, 0, 1),
        .part = get->part,
        .parts = (int32_t)db_int(r, 0, 2)};
    if (place.version == 0) {
        reply_chunk(get->call, &place, NULL, 0);
        return;
    }
    size_t n, n_sealed;
    const void *sealed = db_bytes(r, 0, 3, &n_sealed);
    struct errctx ctx;
    scoped_free void *data = state_open(get->keys, &place, sealed, n_sealed, &n, &ctx);
    if (data != NULL) {
        reply_chunk(get->call, &place, data, n);
        return;
    }
    log_error("a workspace's Terraform state cannot be read workspace=%s why=%s",
        uuid_format(&place.workspace_id).s, LOG_Q(ctx.text));
    bus_reply_status(get->call, REFUSAL_STATE_KEY, ctx.text);
}

static void on_get(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    scoped_free struct get *get = arg;
    if (code != ERR_OK || n == 0)
        bus_reply_status(get->call, REFUSAL_STORE_DOWN, ctx->text);
    else if (db_rows(results[0]) == 0)
        bus_reply_status(get->call, REFUSAL_LEASE_OVER, NULL);
    else
        reply_row(get, results[0]);
}

void state_get(const struct state_keys *keys, struct db *db, struct bus_call *call,
    const Stint__V1__StateGet *m)
{
    struct uuid job, worker;
    if (!wire_get_uuid(&m->job_id, &job) || !wire_get_uuid(&m->worker_id, &worker) ||
        m->version > INT64_MAX || m->part > PARTS_MAX) {
        bus_reply_status(call, REFUSAL_MALFORMED, "StateGet has a bad id or part");
        return;
    }
    if (keys == NULL) {
        bus_reply_status(call, REFUSAL_STATE_KEY, NULL);
        return;
    }
    struct get *get = mem_alloc(sizeof(*get));
    *get = (struct get){call, keys, (int32_t)m->part};
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_STATE_GET);
    db_add_uuid(b, &job);
    db_add_int8(b, (int64_t)m->token);
    db_add_uuid(b, &worker);
    db_add_int8(b, (int64_t)m->version);
    db_add_int4(b, (int32_t)m->part);
    db_send(db, b, on_get, get);
}
