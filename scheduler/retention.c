/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention.c - one transaction under the epoch (rule 4), then a pause; a failed one is tried after
 * the next pause.
 */
#include "scheduler/retention.h"

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#define PAUSE_MS 60000

struct retention {
    const struct scheduler_conf *conf;
    struct db *db;
    bool is_under_way;
    int64_t next_mono_ms; /* 0: as soon as it can be */
};

struct retention *retention_new(const struct scheduler_conf *conf, struct db *db)
{
    struct retention *r = mem_alloc(sizeof(*r));
    *r = (struct retention){.conf = conf, .db = db};
    return r;
}

void retention_free(struct retention *r)
{
    free(r);
}

static void on_done(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct retention *r = arg;
    (void)ctx;
    r->is_under_way = false;
    if (code != ERR_OK)
        return;
    int64_t rows = 0;
    for (size_t i = 1; i < n; i++)
        rows += db_affected(results[i]);
    if (rows > 0) {
        log_debug("old rows are gone rows=%lld", (long long)rows);
        r->next_mono_ms = 0;
    }
}

void retention_tick(struct retention *r, uint64_t epoch, int64_t now_mono_ms)
{
    if (r->is_under_way || now_mono_ms < r->next_mono_ms)
        return;
    r->is_under_way = true;
    r->next_mono_ms = now_mono_ms + PAUSE_MS;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_LEADER_ASSERT_EPOCH);
    db_add_int8(b, (int64_t)epoch);
    if (r->conf->audit_retention_ms > 0) {
        db_batch_add(b, SQL_AUDIT_PURGE);
        db_add_int8(b, r->conf->audit_retention_ms);
    }
    db_batch_add(b, SQL_API_KEY_PURGE);
    db_send(r->db, b, on_done, r);
}
