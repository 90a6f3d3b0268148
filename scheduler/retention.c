/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention.c - rounds.  A round does every step once, each a short transaction of its own under
 * the epoch (rule 4): a new leader waits for it.  While a round finds anything to do the next one
 * follows, else there is a pause.  A step that fails, or finds a table in use, is tried in the next
 * round.
 */
#include "scheduler/retention.h"

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/db/db.h"
#include "scheduler/metric.h"

#define PAUSE_MS     60000
#define PAUSE_MS_MIN 250

/* Without a setting: `field` is SIZE_MAX. */
struct step {
    enum sql_id sql;
    size_t field;
    bool even_for_ever; /* partitions are made also where none is ever dropped */
};

#define FIELD(name) offsetof(struct scheduler_conf, name)

static const struct step steps[] = {
    {SQL_RETENTION_STATUSES,   FIELD(status_retention_ms),   true },
    {SQL_RETENTION_AGENT_LOGS, FIELD(log_retention_ms),      true },
    {SQL_RETENTION_BUILD_LOGS, FIELD(log_retention_ms),      true },
    {SQL_RETENTION_KEPT_LOGS,  FIELD(log_retention_ms),      false},
    {SQL_RETENTION_BUILDS,     FIELD(build_retention_ms),    false},
    {SQL_RETENTION_TASKS,      FIELD(task_retention_ms),     false},
    {SQL_RETENTION_TEMPLATES,  FIELD(template_retention_ms), false},
    {SQL_RETENTION_MESSAGES,   FIELD(message_retention_ms),  false},
    {SQL_RETENTION_AUDIT,      FIELD(audit_retention_ms),    false},
    {SQL_RETENTION_SMALL,      SIZE_MAX,                     false},
};

struct retention {
    const struct scheduler_conf *conf;
    struct db *db;
    uint64_t epoch;
    size_t next; /* step of the round under way; COUNT(steps): none is */
    bool failed;
    int64_t n_done;                  /* in this round */
    int64_t pause_ms, round_mono_ms; /* when the next round may begin */
};

static void do_step(struct retention *r);

static int64_t keep_ms(const struct retention *r, const struct step *s)
{
    return *(const int64_t *)(const void *)((const char *)r->conf + s->field);
}

/* Times that are shorter than minutes, as tests have them, are looked at more often. */
static int64_t pause_of(const struct retention *r)
{
    int64_t pause = PAUSE_MS;
    for (size_t i = 0; i < COUNT(steps); i++) {
        int64_t keep = steps[i].field != SIZE_MAX ? keep_ms(r, &steps[i]) : 0;
        if (keep > 0 && keep / 12 < pause)
            pause = keep / 12;
    }
    return pause > PAUSE_MS_MIN ? pause : PAUSE_MS_MIN;
}

static void on_db_state(void *arg, bool up)
{
    (void)arg;
    (void)up;
}

struct retention *retention_new(struct loop *loop, const struct scheduler_conf *conf)
{
    struct retention *r = mem_alloc(sizeof(*r));
    *r = (struct retention){.conf = conf, .next = COUNT(steps)};
    r->pause_ms = pause_of(r);
    r->db = db_new(loop, conf->database_url, "stint-scheduler retention", on_db_state, r);
    return r;
}

void retention_free(struct retention *r)
{
    if (r == NULL)
        return;
    db_free(r->db);
    free(r);
}

static void count(struct retention *r, const struct db_result *done)
{
    int64_t n = db_rows(done) > 0 ? db_int(done, 0, 0) : 0;
    if (n < 0) {
        METRIC_ADD(retention_postponed, 1);
        return;
    }
    METRIC_ADD(retention_rows, n);
    r->n_done += n;
}

static void on_step(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct retention *r = arg;
    if (code == ERR_CANCELED)
        return;
    if (code == ERR_OK && n == 2) {
        count(r, results[1]);
    } else {
        METRIC_ADD(retention_failures, 1);
        r->failed = true;
        log_warn("old rows stay for now, trying again with the next round step=%zu error=%s",
            r->next, LOG_Q(ctx->text));
    }
    bool goes_on = code != ERR_DB_DOWN && code != ERR_STALE_EPOCH;
    r->next = goes_on ? r->next + 1 : COUNT(steps);
    do_step(r);
}

static void end_round(struct retention *r)
{
    if (r->n_done > 0 && !r->failed) {
        log_debug("old rows are gone n=%lld", (long long)r->n_done);
        r->round_mono_ms = 0;
    }
    r->n_done = 0;
    r->failed = false;
}

static bool is_wanted(const struct retention *r, const struct step *s)
{
    return s->field == SIZE_MAX || s->even_for_ever || keep_ms(r, s) > 0;
}

static void do_step(struct retention *r)
{
    while (r->next < COUNT(steps) && !is_wanted(r, &steps[r->next]))
        r->next++;
    if (r->next == COUNT(steps)) {
        end_round(r);
        return;
    }
    const struct step *s = &steps[r->next];
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_LEADER_ASSERT_EPOCH);
    db_add_int8(b, (int64_t)r->epoch);
    db_batch_add(b, s->sql);
    if (s->field != SIZE_MAX)
        db_add_int8(b, keep_ms(r, s));
    db_send(r->db, b, on_step, r);
}

void retention_tick(struct retention *r, uint64_t epoch, int64_t now_mono_ms)
{
    if (r->next < COUNT(steps) || now_mono_ms < r->round_mono_ms || !db_is_up(r->db))
        return;
    r->epoch = epoch;
    r->next = 0;
    r->round_mono_ms = now_mono_ms + r->pause_ms;
    do_step(r);
}
