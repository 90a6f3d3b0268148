/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest_batch_test.c - the numbers decide: the next report counts, and only that one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "scheduler/ingest_batch.h"

static const struct uuid agent_id =
                             {
                                 {1, 2, 3}
},
                         task_id = {{9}};

struct stage {
    struct map agents;
    struct known known;
    struct ingest_batch batch;
};

static void stage_open(struct stage *s, int64_t watermark)
{
    *s = (struct stage){
        .known = {.id = agent_id, .task_id = task_id, .watermark = watermark}
    };
    s->known.exists = true;
    map_put(&s->agents, &agent_id, &s->known);
}

static void stage_close(struct stage *s)
{
    ingest_batch_done(&s->batch);
    map_done(&s->agents);
}

/* One entry with these reports, numbered from `first`. */
static void add_list(struct stage *s, uint64_t first, Stint__V1__Report *reports, size_t n)
{
    Stint__V1__Report *list[16];
    assert_true(n <= COUNT(list));
    for (size_t i = 0; i < n; i++) {
        reports[i].seq = first + i;
        list[i] = &reports[i];
    }
    Stint__V1__AgentReports m = STINT__V1__AGENT_REPORTS__INIT;
    m.agent_id = wire_uuid(&agent_id);
    m.n_report = n;
    m.report = list;
    uint8_t *bytes = mem_alloc(stint__v1__agent_reports__get_packed_size(&m));
    size_t len = stint__v1__agent_reports__pack(&m, bytes);
    ingest_batch_add_reports(&s->batch, "1-1", bytes, len);
    free(bytes);
}

static char *lend(const char *s)
{
    return (char *)(uintptr_t)s;
}

/* One entry with `n` reports of this state, numbered from `first`. */
static void add_states(struct stage *s, uint64_t first, size_t n, const char *state)
{
    Stint__V1__AppState what[8];
    Stint__V1__Report reports[8];
    assert_true(n <= COUNT(what));
    for (size_t i = 0; i < n; i++) {
        stint__v1__app_state__init(&what[i]);
        what[i].app_slug = lend("shell");
        what[i].state = lend(state);
        stint__v1__report__init(&reports[i]);
        reports[i].what_case = STINT__V1__REPORT__WHAT_APP_STATE;
        reports[i].app_state = &what[i];
    }
    add_list(s, first, reports, n);
}

/* How many statements it takes. */
static size_t pack(struct stage *s, bool skip)
{
    struct db_batch *b = db_batch_new();
    ingest_batch_pack(&s->batch, &s->agents, skip, b);
    size_t n = db_batch_count(b);
    db_batch_free(b);
    return n;
}

static void the_next_numbers_count(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 4);
    add_states(&s, 5, 2, "working");
    add_states(&s, 7, 1, "idle");
    assert_int_equal(pack(&s, false), 2); /* the statuses, the agents */
    assert_int_equal(s.batch.n_new, 3);
    assert_int_equal(s.known.watermark, 7);
    assert_string_equal(s.known.state, "idle");
    stage_close(&s);
}

static void what_has_been_is_dropped_and_the_watermark_said_again(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 6);
    add_states(&s, 5, 2, "working");
    assert_int_equal(pack(&s, false), 1); /* the agent's row alone */
    assert_int_equal(s.batch.n_repeated, 2);
    assert_int_equal(s.batch.touched.n, 1);
    assert_null(s.known.state);
    stage_close(&s);
}

static void a_gap_waits_until_the_agent_sends_again(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 4);
    add_states(&s, 6, 2, "working"); /* 5 was lost on the way */
    assert_int_equal(pack(&s, false), 0);
    assert_int_equal(s.batch.n_gaps, 2);
    assert_int_equal(s.known.watermark, 4);
    ingest_batch_clear(&s.batch);
    add_states(&s, 5, 3, "complete");
    pack(&s, false);
    assert_int_equal(s.known.watermark, 7);
    stage_close(&s);
}

static void a_report_that_makes_no_sense_is_passed_over(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 0);
    add_states(&s, 1, 1, "dancing");
    add_states(&s, 2, 1, "working");
    add_states(&s, 3, 1, "\xff\xfe");
    pack(&s, false);
    assert_int_equal(s.batch.n_skipped, 2);
    assert_int_equal(s.batch.n_new, 1);
    assert_int_equal(s.known.watermark, 3); /* the agent need not keep it */
    stage_close(&s);
}

static void a_refused_batch_is_passed_over_as_a_whole(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 0);
    add_states(&s, 1, 3, "working");
    assert_int_equal(pack(&s, true), 1);
    assert_int_equal(s.batch.n_skipped, 3);
    assert_int_equal(s.known.watermark, 3);
    stage_close(&s);
}

/* A state that agent `of` has said as its number 9, from this agent. */
static void add_carried(struct stage *s, uint64_t seq, const struct uuid *of)
{
    Stint__V1__AppState what = STINT__V1__APP_STATE__INIT;
    what.app_slug = lend("shell");
    what.state = lend("complete");
    Stint__V1__Report report = STINT__V1__REPORT__INIT;
    report.what_case = STINT__V1__REPORT__WHAT_APP_STATE;
    report.app_state = &what;
    report.of_agent_id = wire_uuid(of);
    report.of_seq = 9;
    add_list(s, seq, &report, 1);
}

static void words_of_an_earlier_agent_are_history(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 0);
    struct known before = {.id = {{7}}, .task_id = task_id, .watermark = 8, .exists = true};
    struct known stranger = {.id = {{8}}, .task_id = {{10}}, .exists = true};
    add_carried(&s, 1, &before.id);
    struct db_array *ids = ingest_batch_unknown(&s.batch, &s.agents);
    assert_non_null(ids); /* the other one is asked for */
    db_array_free(ids);
    map_put(&s.agents, &before.id, &before);
    map_put(&s.agents, &stranger.id, &stranger);
    add_carried(&s, 2, &stranger.id);
    assert_int_equal(pack(&s, false), 2);
    assert_int_equal(s.batch.n_new, 1);
    assert_int_equal(s.batch.n_skipped, 1); /* of another task */
    assert_int_equal(s.known.watermark, 2);
    assert_null(s.known.state); /* not what this agent's app is doing */
    assert_int_equal(before.watermark, 8);
    stage_close(&s);
}

static void an_entry_that_cannot_be_read_is_dead_and_acknowledged(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 0);
    ingest_batch_add_reports(&s.batch, "7-1", "\xff\xff\xff", 3);
    ingest_batch_add_logs(&s.batch, "7-2", "\x0a\x02zz", 4); /* an id of two bytes */
    ingest_batch_add_reports(&s.batch, "7-3", NULL, 0);      /* trimmed away */
    assert_int_equal(s.batch.dead_ids.n, 2);
    assert_int_equal(s.batch.report_ids.n, 2);
    assert_int_equal(s.batch.log_ids.n, 1);
    assert_int_equal(pack(&s, false), 0);
    stage_close(&s);
}

static void agents_that_are_not_known_are_asked_for(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 0);
    add_states(&s, 1, 1, "working");
    assert_null(ingest_batch_unknown(&s.batch, &s.agents));
    map_remove(&s.agents, &agent_id);
    struct db_array *ids = ingest_batch_unknown(&s.batch, &s.agents);
    assert_non_null(ids);
    db_array_free(ids);
    assert_int_equal(pack(&s, false), 0); /* and dropped when there is no such agent */
    stage_close(&s);
}

static void lines_of_scripts_and_apps_are_bounded(void **state)
{
    (void)state;
    char *long_line = mem_alloc(5000);
    memset(long_line, 'x', 4999);
    const struct {
        uint64_t id;
        const char *level, *source, *output;
        bool is_good;
    } rows[] = {
        {1,             "info",  "setup",   "hello",   true },
        {2,             "error", "claude",  long_line, true }, /* cut */
        {3,             "info",  long_line, "hello",   true }, /* cut */
        {0,             "info",  "setup",   "hello",   false},
        {(1 << 20) + 1, "info",  "setup",   "hello",   false},
        {4,             "loud",  "setup",   "hello",   false},
        {UINT64_MAX,    "info",  "setup",   "hello",   false},
        {5,             "info",  "setup",   "\xff",    false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stage s;
        stage_open(&s, 0);
        Stint__V1__AgentLog line = STINT__V1__AGENT_LOG__INIT;
        line.id = rows[i].id;
        line.level = lend(rows[i].level);
        line.source = lend(rows[i].source);
        line.output = lend(rows[i].output);
        Stint__V1__Report r = STINT__V1__REPORT__INIT;
        r.what_case = STINT__V1__REPORT__WHAT_AGENT_LOG;
        r.agent_log = &line;
        add_list(&s, 1, &r, 1);
        assert_int_equal(pack(&s, false), rows[i].is_good ? 2 : 1);
        assert_int_equal(s.batch.n_new, rows[i].is_good);
        assert_int_equal(s.known.watermark, 1);
        stage_close(&s);
    }
    free(long_line);
}

static void metadata_has_short_keys_and_bounded_values(void **state)
{
    (void)state;
    char *long_text = mem_alloc(5000);
    memset(long_text, 'k', 4999);
    const struct {
        const char *key, *value, *error;
        bool is_good;
    } rows[] = {
        {"branch",  "main",    "",        true },
        {"branch",  "",        "timeout", true },
        {"branch",  long_text, long_text, true }, /* cut */
        {"",        "main",    "",        false},
        {long_text, "main",    "",        false},
        {"branch",  "\xff",    "",        false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stage s;
        stage_open(&s, 0);
        Stint__V1__Metadata value = STINT__V1__METADATA__INIT;
        value.key = lend(rows[i].key);
        value.value = lend(rows[i].value);
        value.error = lend(rows[i].error);
        Stint__V1__Report r = STINT__V1__REPORT__INIT;
        r.what_case = STINT__V1__REPORT__WHAT_METADATA;
        r.metadata = &value;
        add_list(&s, 1, &r, 1);
        assert_int_equal(pack(&s, false), rows[i].is_good ? 2 : 1);
        assert_int_equal(s.batch.n_skipped, !rows[i].is_good);
        stage_close(&s);
    }
    free(long_text);
}

static void health_is_told_app_by_app(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 0);
    static const char *const said[][2] = {
        {"claude",  "initializing"},
        {"preview", "healthy"     },
        {"claude",  "unwell"      }, /* no such health */
        {"claude",  "healthy"     }
    };
    Stint__V1__AppHealth healths[COUNT(said)];
    Stint__V1__Report reports[COUNT(said)];
    for (size_t i = 0; i < COUNT(said); i++) {
        stint__v1__app_health__init(&healths[i]);
        healths[i].app_slug = lend(said[i][0]);
        healths[i].health = lend(said[i][1]);
        stint__v1__report__init(&reports[i]);
        reports[i].what_case = STINT__V1__REPORT__WHAT_APP_HEALTH;
        reports[i].app_health = &healths[i];
    }
    add_list(&s, 1, reports, COUNT(said));
    assert_int_equal(pack(&s, false), 2);
    assert_int_equal(s.batch.healths.n, 3);
    assert_string_equal(s.batch.healths.v[2].slug, "claude");
    assert_string_equal(s.batch.healths.v[2].health, "healthy");
    ingest_batch_clear(&s.batch);
    assert_int_equal(s.batch.healths.n, 0);
    stage_close(&s);
}

/* What comes and goes within a batch is work all the same. */
static void work_that_has_ended_within_the_batch_is_not_overlooked(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 0);
    add_states(&s, 1, 1, "working");
    add_states(&s, 2, 1, "complete");
    pack(&s, false);
    assert_string_equal(s.known.state, "complete");
    assert_true(s.known.worked);
    ingest_batch_clear(&s.batch);
    add_states(&s, 3, 1, "idle");
    pack(&s, false);
    assert_false(s.known.worked);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_numbers_count),
        cmocka_unit_test(what_has_been_is_dropped_and_the_watermark_said_again),
        cmocka_unit_test(a_gap_waits_until_the_agent_sends_again),
        cmocka_unit_test(a_report_that_makes_no_sense_is_passed_over),
        cmocka_unit_test(a_refused_batch_is_passed_over_as_a_whole),
        cmocka_unit_test(words_of_an_earlier_agent_are_history),
        cmocka_unit_test(an_entry_that_cannot_be_read_is_dead_and_acknowledged),
        cmocka_unit_test(agents_that_are_not_known_are_asked_for),
        cmocka_unit_test(lines_of_scripts_and_apps_are_bounded),
        cmocka_unit_test(metadata_has_short_keys_and_bounded_values),
        cmocka_unit_test(health_is_told_app_by_app),
        cmocka_unit_test(work_that_has_ended_within_the_batch_is_not_overlooked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
