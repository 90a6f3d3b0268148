/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reports.c - "stint-bench reports": hands app states over to Redis as workers do, as fast as Redis
 * takes them.
 *
 * Agents' ids come on standard input, one per line, and take turns; each agent's reports are
 * numbered from --first without gaps.  One entry carries --per-entry reports of one agent.
 */
#include "tests/bench/reports.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/vec.h"
#include "core/wire/wire.h"
#include "tests/bench/opts.h"

#define PER_ENTRY_MAX 1000
#define IN_FLIGHT     128 /* XADDs on the way */

struct agent {
    struct uuid id;
    uint64_t next;
};

struct run {
    const char *redis_url;
    int64_t rows, per_entry, first;
    VEC(struct agent) agents;
    redisContext *redis;
    struct entry *entry;
};

/* One hand-over, filled anew each time. */
struct entry {
    Stint__V1__AgentReports reports;
    Stint__V1__Report report[PER_ENTRY_MAX], *pointer[PER_ENTRY_MAX];
    Stint__V1__AppState state[PER_ENTRY_MAX];
    char message[PER_ENTRY_MAX][64];
    uint8_t packed[PER_ENTRY_MAX * 200];
};

static size_t fill(struct entry *e, struct agent *a, size_t n)
{
    e->reports = (Stint__V1__AgentReports)STINT__V1__AGENT_REPORTS__INIT;
    e->reports.agent_id = wire_uuid(&a->id);
    e->reports.n_report = n;
    e->reports.report = e->pointer;
    int64_t now = clock_wall_us();
    for (size_t i = 0; i < n; i++) {
        snprintf(e->message[i], sizeof(e->message[i]), "Step %llu: reading the tests that fail",
            (unsigned long long)a->next);
        e->state[i] = (Stint__V1__AppState)STINT__V1__APP_STATE__INIT;
        e->state[i].app_slug = (char *)"bench";
        e->state[i].state = (char *)"working";
        e->state[i].message = e->message[i];
        e->state[i].uri = (char *)"https://example.com/pull/1";
        e->report[i] = (Stint__V1__Report)STINT__V1__REPORT__INIT;
        e->report[i].seq = a->next++;
        e->report[i].at_us = now;
        e->report[i].what_case = STINT__V1__REPORT__WHAT_APP_STATE;
        e->report[i].app_state = &e->state[i];
        e->pointer[i] = &e->report[i];
    }
    return stint__v1__agent_reports__pack(&e->reports, e->packed);
}

static bool take_answer(struct run *r)
{
    redisReply *reply = NULL;
    bool ok = redisGetReply(r->redis, (void **)&reply) == REDIS_OK && reply != NULL &&
              reply->type != REDIS_REPLY_ERROR;
    if (!ok)
        fprintf(stderr, "stint-bench: Redis: %s\n", reply != NULL ? reply->str : r->redis->errstr);
    if (reply != NULL)
        freeReplyObject(reply);
    return ok;
}

static bool hand_over(struct run *r)
{
    size_t n_entries = (size_t)(r->rows / r->per_entry);
    size_t asked = 0, answered = 0;
    while (answered < n_entries) {
        while (asked < n_entries && asked - answered < IN_FLIGHT) {
            struct agent *a = &r->agents.v[asked % r->agents.n];
            size_t n = fill(r->entry, a, (size_t)r->per_entry);
            const char *argv[] = {"XADD", "stint:reports", "MAXLEN", "~", "1000000", "*", "r",
                (const char *)r->entry->packed};
            size_t lens[] = {4, 13, 6, 1, 7, 1, 1, n};
            redisAppendCommandArgv(r->redis, COUNT(lens), argv, lens);
            asked++;
        }
        /* Half of them before the next ones, so that commands leave in large writes. */
        size_t until = asked == n_entries ? asked : asked - IN_FLIGHT / 2;
        for (; answered < until; answered++)
            if (!take_answer(r))
                return false;
    }
    return true;
}

static void read_agents(struct run *r)
{
    char line[128];
    struct uuid id;
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (uuid_parse(line, &id))
            *vec_push(&r->agents) = (struct agent){id, (uint64_t)r->first};
    }
}

int reports_main(int argc, char **argv)
{
    struct run r = {.per_entry = 1, .first = 1};
    const struct opt opts[] = {
        {"first",     OPT_INT,  &r.first    },
        {"per-entry", OPT_INT,  &r.per_entry},
        {"redis-url", OPT_TEXT, &r.redis_url},
        {"rows",      OPT_INT,  &r.rows     },
    };
    if (!opts_parse(argc, argv, opts, COUNT(opts)))
        return 64;
    read_agents(&r);
    if (r.redis_url == NULL || strncmp(r.redis_url, "unix://", 7) != 0 || r.agents.n == 0 ||
        r.per_entry < 1 || r.per_entry > PER_ENTRY_MAX || r.rows < r.per_entry) {
        fprintf(stderr,
            "stint-bench reports: --redis-url unix://…, --rows, --per-entry up to %d, and "
            "agents on standard input\n",
            PER_ENTRY_MAX);
        return 64;
    }
    r.redis = redisConnectUnix(r.redis_url + 7);
    if (r.redis == NULL || r.redis->err != 0) {
        fprintf(stderr, "stint-bench: Redis cannot be reached\n");
        return 69;
    }
    r.entry = mem_alloc(sizeof(*r.entry));
    int64_t begun = clock_mono_us();
    bool ok = hand_over(&r);
    double seconds = (double)(clock_mono_us() - begun) / 1e6;
    printf("{\"rows\":%lld,\"entries\":%lld,\"begun_mono_us\":%lld,\"seconds\":%.6f}\n",
        (long long)(r.rows / r.per_entry * r.per_entry), (long long)(r.rows / r.per_entry),
        (long long)begun, seconds);
    redisFree(r.redis);
    free(r.entry);
    vec_done(&r.agents);
    return ok ? 0 : 1;
}
