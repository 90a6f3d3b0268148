/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - Terraform's state: kept in Postgres for whoever holds the lease, never in the clear.
 *
 * A state is a list of parts, at most 1 MiB each.  A part is encrypted for itself (XChaCha20 with
 * Poly1305) and bound to its workspace, version and place, so that nobody who can write the table
 * can swap parts:
 *
 *   1 byte format | 8 bytes name of the key | 24 bytes nonce | ciphertext | 16 bytes tag
 *
 * Each put is a transaction of its own, under the epoch (rule 4) and fenced by the job's token
 * (rule 3), answered after its commit (rule 1).
 */
#ifndef SCHEDULER_STATE_H
#define SCHEDULER_STATE_H

#include "core/bus/bus.h"
#include "core/db/db.h"

struct state_keys;

/* From the file of setting state_key_file; NULL or "": no keys, and *ret_keys is NULL. */
enum err must_check state_keys_load(
    const char *path, struct state_keys **ret_keys, struct errctx *ctx);
void state_keys_free(struct state_keys *k);

/* Both answer the call, at once or when Postgres has.  `keys` outlives that; NULL: refused. */
void state_put(const struct state_keys *keys, struct db *db, uint64_t epoch, struct bus_call *call,
    const Stint__V1__StatePut *m);
void state_get(const struct state_keys *keys, struct db *db, struct bus_call *call,
    const Stint__V1__StateGet *m);

/* What a part is bound to. */
struct state_place {
    struct uuid workspace_id;
    int64_t version;
    int32_t part, parts;
};
/* The first key encrypts.  malloc'd. */
void *state_seal(const struct state_keys *keys, const struct state_place *place, const void *data,
    size_t n, size_t *ret_n);
/* Whichever key it was; NULL and a sentence when it is not what was sealed for this place. */
void *state_open(const struct state_keys *keys, const struct state_place *place, const void *sealed,
    size_t n, size_t *ret_n, struct errctx *ctx);

#endif
