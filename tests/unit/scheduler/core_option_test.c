/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_option_test.c - options of tasks in virtual time: priority, earliest start, time limit, idle
 * timeout, labels, parameters; and a world of them that breaks, by seed.
 *
 * Postgres is played by a clock of its own, which may be set while tasks sleep.
 */
#include "tests/unit/scheduler/core_stage.h"

#define MINUTE 60000
#define HOUR   (60 * MINUTE)

static struct task_create creation(unsigned task, char name[static 16])
{
    snprintf(name, 16, "task-%u", task);
    return (struct task_create){.task_id = id_of(task),
        .organization_id = id_of(901),
        .owner_id = id_of(800),
        .initiator_id = id_of(800),
        .version_id = id_of(903),
        .provisioner = "local",
        .app_slug = "shell",
        .owner_name = "ann",
        .template_name = "shell",
        .name = name,
        .display_name = "",
        .prompt = ""};
}

/* ---- earliest start ---- */

static void create_later(struct stage *s, unsigned task, int64_t start_after_us)
{
    char name[16];
    struct task_create r = creation(task, name);
    r.start_after_us = start_after_us;
    core_task_create(s->c, &r, ticket(task));
    take(s);
}

/* What Postgres says at `at_us` to all that is asked. */
static void postgres_says(struct stage *s, int64_t start_after_us, int64_t at_us)
{
    int64_t left_ms = (start_after_us - at_us + 999) / 1000;
    VEC(struct uuid) asked = {0};
    for (size_t i = 0; i < s->e.starts.n; i++)
        *vec_push(&asked) = s->e.starts.v[i];
    for (size_t i = 0; i < asked.n; i++)
        core_start_in(s->c, &asked.v[i], start_after_us, left_ms);
    vec_done(&asked);
    take(s);
}

static enum refusal update(struct stage *s, struct task_update r)
{
    r.task_id = id_of(1);
    r.initiator_id = id_of(800);
    core_task_update(s->c, &r, ticket(88));
    take(s);
    return last_refusal(s);
}

static void it_waits_outside_the_queue(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct uuid one = id_of(1);
    create_later(&s, 1, 10 * INT64_C(1000000));
    assert_int_equal(last_refusal(&s), REFUSAL_NONE);
    assert_true(s.e.tasks_new.v[0].has_options);
    assert_int_equal(s.e.tasks_new.v[0].start_after_us, 10000000);
    assert_int_equal(s.e.starts.n, 1);
    assert_int_equal(core_counts(s.c).waiting, 0);
    assert_int_equal(core_counts(s.c).sleeping, 1);
    assert_int_equal(core_queue_place(s.c, &one).starts_in_ms, 0); /* not known yet */
    postgres_says(&s, 10000000, 0);
    assert_int_equal(core_queue_place(s.c, &one).starts_in_ms, 10000);
    assert_int_equal(core_queue_place(s.c, &one).position, 0);

    poll(&s, 1, 1);
    pass(&s, 9999);
    assert_int_equal(s.e.starts.n, 0);
    assert_int_equal(core_queue_place(s.c, &one).starts_in_ms, 1);
    poll(&s, 1, 1);
    pass(&s, 100); /* it asks; Postgres' clock is behind by a second */
    assert_int_equal(s.e.starts.n, 1);
    assert_int_equal(jobs_given(&s), 0);
    postgres_says(&s, 10000000, 9000000);
    assert_int_equal(jobs_given(&s), 0);
    poll(&s, 1, 1);
    pass(&s, 1000);
    poll(&s, 1, 1);
    postgres_says(&s, 10000000, 10000000);
    assert_int_equal(jobs_given(&s), 1);
    assert_int_equal(core_counts(s.c).sleeping, 0);
    stage_close(&s);
}

static void postgres_is_asked_again_in_a_long_wait(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create_later(&s, 1, HOUR * INT64_C(1000));
    postgres_says(&s, HOUR * INT64_C(1000), 0);
    pass(&s, 599999);
    assert_int_equal(s.e.starts.n, 0);
    pass(&s, 1);
    assert_int_equal(s.e.starts.n, 1);
    poll(&s, 1, 1);
    postgres_says(&s, HOUR * INT64_C(1000), HOUR * INT64_C(1000)); /* it was set forward */
    assert_int_equal(jobs_given(&s), 1);
    stage_close(&s);
}

static void an_answer_about_an_earlier_wish_says_nothing(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create_later(&s, 1, 1000000);
    struct task_update later = {.set = 1u << TASK_OPTION_START_AFTER, .start_after_us = 9000000};
    assert_int_equal(update(&s, later), REFUSAL_NONE);
    assert_int_equal(s.e.starts.n, 1);
    assert_int_equal(s.e.options.v[0].start_after_us, 9000000);
    struct uuid one = id_of(1);
    poll(&s, 1, 1);
    core_start_in(s.c, &one, 1000000, 0); /* for the first wish */
    take(&s);
    assert_int_equal(jobs_given(&s), 0);
    core_start_in(s.c, &one, 9000000, 0);
    take(&s);
    assert_int_equal(jobs_given(&s), 1);
    assert_int_equal(update(&s, later), REFUSAL_START_BEGUN);
    assert_int_equal(s.e.options.n, 0);
    stage_close(&s);
}

static void a_waiting_task_can_be_sent_to_sleep_and_woken(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create(&s, 1);
    take(&s);
    assert_int_equal(core_counts(s.c).waiting, 1);
    struct task_update later = {.set = 1u << TASK_OPTION_START_AFTER, .start_after_us = 9000000};
    assert_int_equal(update(&s, later), REFUSAL_NONE);
    assert_int_equal(core_counts(s.c).waiting, 0);
    struct task_update now = {.set = 1u << TASK_OPTION_START_AFTER};
    assert_int_equal(update(&s, now), REFUSAL_NONE);
    assert_int_equal(s.e.options.v[0].start_after_us, INT64_MIN);
    assert_int_equal(core_counts(s.c).waiting, 1);
    assert_int_equal(core_counts(s.c).sleeping, 0);
    assert_int_equal(update(&s, now), REFUSAL_NONE); /* it waits already: nothing */
    assert_int_equal(core_counts(s.c).waiting, 1);
    stage_close(&s);
}

static void sleepers_are_deleted_and_canceled_like_others(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create_later(&s, 1, 1000000);
    struct uuid build = s.e.builds_new.v[0].id;
    assert_int_equal(command(&s, TASK_PAUSE, 1, 500), REFUSAL_BUILD_ACTIVE);
    assert_int_equal(command(&s, TASK_RESUME, 1, 500), REFUSAL_BUILD_ACTIVE);
    struct uuid t = id_of(1), who = id_of(800);
    core_task_command(s.c, TASK_CANCEL, &t, &who, &build, "", ticket(7));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_NONE);
    assert_int_equal(core_counts(s.c).sleeping, 0);
    poll(&s, 1, 1);
    assert_int_equal(command(&s, TASK_RESUME, 1, 501), REFUSAL_NONE);
    assert_int_equal(jobs_given(&s), 1); /* a resume does not wait */
    create_later(&s, 2, 1000000);
    assert_int_equal(command(&s, TASK_DELETE, 2, 502), REFUSAL_NONE);
    assert_int_equal(core_counts(s.c).sleeping, 0);
    stage_close(&s);
}

static void sleepers_count_in_the_length_of_the_queue_and_not_in_the_cap(void **state)
{
    (void)state;
    struct core_conf conf = default_conf();
    conf.queue_max = 2;
    conf.cap = 1;
    conf.cap_policy = CAP_REJECT;
    struct stage s;
    stage_open(&s, conf);
    create_later(&s, 1, 1000000);
    create_later(&s, 2, 1000000);
    assert_int_equal(last_refusal(&s), REFUSAL_NONE);
    create_later(&s, 3, 1000000);
    assert_int_equal(last_refusal(&s), REFUSAL_QUEUE_FULL);
    stage_close(&s);
}

/* ---- priority ---- */

static void a_new_priority_moves_what_waits_and_keeps_its_age(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create_as(&s, 1, 800, 0);
    create_as(&s, 2, 800, 10);
    create_as(&s, 3, 800, 10);
    take(&s);
    struct task_update up = {.set = 1u << TASK_OPTION_PRIORITY, .priority = 10};
    assert_int_equal(update(&s, up), REFUSAL_NONE);
    assert_int_equal(s.e.options.v[0].priority, 10);
    assert_string_equal(s.e.options.v[0].audit.action, "write");
    assert_int_equal(s.e.audits.n, 0);
    poll(&s, 1, 3);
    take(&s);
    static const unsigned order[] = {1, 2, 3}; /* 1 is the oldest */
    for (size_t i = 0; i < COUNT(order); i++) {
        struct uuid want = id_of(order[i]), got = given(&s, i).task_id;
        assert_true(uuid_eq(&got, &want));
    }
    struct task_update down = {.set = 1u << TASK_OPTION_PRIORITY, .priority = -100};
    assert_int_equal(update(&s, down), REFUSAL_NONE); /* of a task that runs: for its next start */
    stage_close(&s);
}

/* ---- time limit ---- */

static struct job_spec started(struct stage *s, int64_t time_limit_ms, int64_t ttl_ms)
{
    char name[16];
    struct task_create r = creation(1, name);
    r.time_limit_ms = time_limit_ms;
    r.ttl_ms = ttl_ms;
    core_task_create(s->c, &r, ticket(1));
    poll(s, 1, 1);
    take(s);
    struct job_spec j = given(s, 0);
    struct uuid one = id_of(1);
    core_agent_open(s->c, &one, &j.agent_id, &j.agent_token, ticket(6));
    result_of(s, 1, &j, OUTCOME_SUCCEEDED, false);
    return j;
}

static bool paused_within(struct stage *s, int64_t ms)
{
    for (int64_t gone = 0; gone < ms; gone += 1000) {
        poll(s, 1, 0);
        pass(s, 1000);
        if (s->e.builds_new.n > 0)
            return true;
    }
    return false;
}

static void a_run_is_paused_at_its_limit_busy_or_not(void **state)
{
    (void)state;
    static const char *const says[] = {"working", "idle", NULL};
    for (size_t i = 0; i < COUNT(says); i++) {
        struct stage s;
        stage_open(&s, default_conf());
        struct job_spec j = started(&s, 10 * MINUTE, 0);
        core_agent_said(s.c, &j.agent_id, says[i], NULL);
        take(&s);
        assert_false(paused_within(&s, 10 * MINUTE - 1000));
        assert_true(paused_within(&s, 2000));
        assert_string_equal(s.e.builds_new.v[0].reason, "task_auto_pause");
        assert_string_equal(s.e.audits.v[0].action, "time_limit");
        assert_string_equal(s.e.logs.v[0].output, "The run has reached its time limit of 600 s.");
        assert_true(uuid_eq(&s.e.logs.v[0].job_id, &s.e.builds_new.v[0].job_id));
        assert_int_equal(core_counts(s.c).time_limited, 1);
        poll(&s, 1, 1);
        take(&s);
        struct job_spec stop = given(&s, 0);
        result_of(&s, 1, &stop, OUTCOME_SUCCEEDED, true);
        poll(&s, 1, 1);
        assert_int_equal(command(&s, TASK_RESUME, 1, 501), REFUSAL_NONE);
        struct job_spec start = given(&s, 0);
        result_of(&s, 1, &start, OUTCOME_SUCCEEDED, false);
        assert_false(paused_within(&s, 10 * MINUTE - 1000)); /* the whole limit again */
        assert_true(paused_within(&s, 2000));
        stage_close(&s);
    }
}

static void the_limit_may_be_changed_while_it_runs(void **state)
{
    (void)state;
    static const struct {
        int64_t was_ms, then_ms, lives_ms; /* after five minutes; INT64_MAX: for good */
    } rows[] = {
        {0,           6 * MINUTE,  MINUTE     },
        {10 * MINUTE, 20 * MINUTE, 15 * MINUTE},
        {10 * MINUTE, 2 * MINUTE,  0          },
        {10 * MINUTE, 0,           INT64_MAX  },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stage s;
        stage_open(&s, default_conf());
        started(&s, rows[i].was_ms, 0);
        assert_false(paused_within(&s, 5 * MINUTE));
        struct task_update r = {
            .set = 1u << TASK_OPTION_TIME_LIMIT, .time_limit_ms = rows[i].then_ms};
        assert_int_equal(update(&s, r), REFUSAL_NONE);
        bool for_good = rows[i].lives_ms == INT64_MAX;
        assert_false(paused_within(&s, for_good ? HOUR : rows[i].lives_ms - 1000));
        assert_int_equal(paused_within(&s, 2000), !for_good);
        stage_close(&s);
    }
}

static void an_idle_timeout_given_late_counts_from_then(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    started(&s, 0, 0);
    assert_false(paused_within(&s, 10 * MINUTE));
    struct task_update r = {.set = 1u << TASK_OPTION_TTL, .ttl_ms = 5 * MINUTE};
    assert_int_equal(update(&s, r), REFUSAL_NONE);
    assert_int_equal(s.e.deadlines.v[0].left_ms, 5 * MINUTE);
    assert_false(paused_within(&s, 4 * MINUTE));
    r.ttl_ms = 0;
    assert_int_equal(update(&s, r), REFUSAL_NONE);
    assert_int_equal(s.e.deadlines.v[0].left_ms, -1); /* never */
    assert_false(paused_within(&s, HOUR));
    stage_close(&s);
}

/* ---- parameters, labels ---- */

static void texts_go_out_as_they_came(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    char name[16];
    struct named_text parameters[] =
        {
            {"model", "large"},
            {"fast",  ""     }
    },
                      labels[] = {{"team", "w"}};
    struct task_create r = creation(1, name);
    r.parameters = parameters;
    r.n_parameters = 2;
    r.labels = labels;
    r.n_labels = 1;
    poll(&s, 1, 1);
    core_task_create(s.c, &r, ticket(1));
    take(&s);
    const struct row_task_new *row = &s.e.tasks_new.v[0];
    assert_true(row->has_options);
    assert_int_equal(row->parameters.n, 2);
    assert_string_equal(s.e.texts.v[row->parameters.at + 1].name, "fast");
    assert_string_equal(s.e.texts.v[row->labels.at].value, "w");
    assert_true(s.e.builds_new.v[0].has_parameters);
    struct job_spec j = given(&s, 0);
    assert_true(j.wants_parameters);
    result_of(&s, 1, &j, OUTCOME_SUCCEEDED, false);
    struct task_update u = {.set = 1u << TASK_OPTION_LABELS};
    assert_int_equal(update(&s, u), REFUSAL_NONE);
    assert_int_equal(s.e.options.v[0].labels.n, 0);
    stage_close(&s);
}

static void a_plain_task_has_no_options(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    poll(&s, 1, 1);
    create(&s, 1);
    take(&s);
    assert_false(s.e.tasks_new.v[0].has_options);
    assert_false(s.e.builds_new.v[0].has_parameters);
    assert_false(given(&s, 0).wants_parameters);
    assert_int_equal(s.e.starts.n, 0);
    struct task_update unknown = {.set = 1u << TASK_OPTION_PRIORITY};
    unknown.task_id = id_of(9);
    core_task_update(s.c, &unknown, ticket(2));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_TASK_UNKNOWN);
    stage_close(&s);
}

/* ---- a world by seed ---- */

#define TASKS  12
#define ROUNDS 400
#define SEEDS  200

/* What Postgres has of a task. */
struct row {
    bool exists, has_started, is_over;
    int64_t start_after_us;
    int32_t priority;
    struct uuid build_id, job_id;
};

struct world {
    struct stage s;
    uint64_t dice;
    int64_t db_us;     /* its clock; set now and then */
    int64_t latest_us; /* it has shown */
    struct row rows[TASKS + 1];
    VEC(struct uuid) asked; /* whose answers are under way */
    unsigned n_workers;     /* each polls once and is busy for good */
};

static unsigned roll(struct world *w, unsigned sides)
{
    w->dice ^= w->dice << 13;
    w->dice ^= w->dice >> 7;
    w->dice ^= w->dice << 17;
    return (unsigned)(w->dice % sides);
}

static struct row *row_of(struct world *w, const struct uuid *id)
{
    return &w->rows[id->b[15]];
}

static void load(struct world *w)
{
    for (unsigned n = 1; n <= TASKS; n++) {
        const struct row *row = &w->rows[n];
        if (!row->exists || row->is_over)
            continue;
        char name[16];
        snprintf(name, sizeof(name), "task-%u", n);
        struct load_task t = {.id = id_of(n),
            .owner_id = id_of(800),
            .version_id = id_of(903),
            .workspace_id = id_of(100 + n),
            .build_id = row->build_id,
            .job_id = row->job_id,
            .name = name,
            .provisioner = "local",
            .owner_name = "ann",
            .template_name = "shell",
            .build_number = 1,
            .priority = row->priority,
            .start_after_us = row->start_after_us > w->db_us ? row->start_after_us : 0,
            .kind = JOB_START,
            .state = JOB_PENDING};
        core_load_task(w->s.c, &t);
    }
    core_load_done(w->s.c);
}

static void commit(struct world *w)
{
    const struct effects *e = &w->s.e;
    for (size_t i = 0; i < e->tasks_new.n; i++) {
        struct row *row = row_of(w, &e->tasks_new.v[i].id);
        int64_t us = e->tasks_new.v[i].start_after_us;
        *row = (struct row){.exists = true,
            .start_after_us = us == INT64_MIN ? 0 : us,
            .priority = e->tasks_new.v[i].priority,
            .build_id = e->builds_new.v[i].id,
            .job_id = e->builds_new.v[i].job_id};
    }
    for (size_t i = 0; i < e->options.n; i++) {
        struct row *row = row_of(w, &e->options.v[i].id);
        if ((e->options.v[i].set & 1u << TASK_OPTION_START_AFTER) != 0)
            row->start_after_us =
                e->options.v[i].start_after_us == INT64_MIN ? 0 : e->options.v[i].start_after_us;
        if ((e->options.v[i].set & 1u << TASK_OPTION_PRIORITY) != 0)
            row->priority = e->options.v[i].priority;
    }
}

/* Every start is of a task whose time had come by Postgres' clock, and by priority. */
static void look_at_starts(struct world *w)
{
    int32_t last = INT32_MAX;
    for (size_t i = 0; i < jobs_given(&w->s); i++) {
        struct job_spec j = given(&w->s, i);
        struct row *row = row_of(w, &j.task_id);
        assert_true(row->exists && !row->has_started);
        assert_true(row->start_after_us <= w->latest_us);
        assert_true(row->priority <= last);
        last = row->priority;
        row->has_started = row->is_over = true;
    }
}

static void batch(struct world *w)
{
    take(&w->s);
    bool dies = roll(w, 60) == 0, before = roll(w, 2) == 0;
    if (!dies || !before) {
        commit(w);
        look_at_starts(w);
    }
    for (size_t i = 0; i < w->s.e.starts.n; i++)
        *vec_push(&w->asked) = w->s.e.starts.v[i];
    if (!dies)
        return;
    core_free(w->s.c);
    w->s.c = core_new(&w->s.conf);
    core_set_now(w->s.c, w->s.now_ms);
    vec_clear(&w->asked);
    w->s.in_hand.n = 0;
    load(w);
}

static void answers_arrive(struct world *w)
{
    for (size_t i = w->asked.n; i-- > 0;) {
        if (roll(w, 3) == 0)
            continue; /* later */
        struct uuid id = w->asked.v[i];
        const struct row *row = row_of(w, &id);
        int64_t left_us = row->start_after_us - w->db_us;
        core_start_in(w->s.c, &id, row->start_after_us, left_us > 0 ? (left_us + 999) / 1000 : 0);
        vec_remove_swap(&w->asked, i);
    }
}

static void people_act(struct world *w)
{
    unsigned n = 1 + roll(w, TASKS);
    struct uuid id = id_of(n);
    if (!w->rows[n].exists) {
        char name[16];
        struct task_create r = creation(n, name);
        r.app_slug = "";
        r.priority = (int32_t)roll(w, 5) - 2;
        r.start_after_us = roll(w, 2) == 0 ? 0 : w->db_us + roll(w, 60000000);
        core_task_create(w->s.c, &r, ticket(n));
        return;
    }
    struct task_update u = {.task_id = id, .initiator_id = id_of(800)};
    u.set = 1u << (roll(w, 2) == 0 ? TASK_OPTION_PRIORITY : TASK_OPTION_START_AFTER);
    u.priority = (int32_t)roll(w, 5) - 2;
    u.start_after_us = roll(w, 3) == 0 ? 0 : w->db_us + roll(w, 60000000);
    core_task_update(w->s.c, &u, ticket(n));
}

static void round_of(struct world *w, bool calm)
{
    if (!calm && roll(w, 3) == 0)
        people_act(w);
    batch(w);
    answers_arrive(w);
    batch(w);
    int64_t ms = 1 + roll(w, 2000);
    w->s.now_ms += ms;
    w->db_us += ms * 1000;
    if (!calm && roll(w, 40) == 0)
        w->db_us += (int64_t)roll(w, 40000000) - 20000000; /* somebody sets its clock */
    if (w->db_us > w->latest_us)
        w->latest_us = w->db_us;
    core_set_now(w->s.c, w->s.now_ms);
    core_tick(w->s.c);
    if (roll(w, 2) == 0)
        poll_as(&w->s, ++w->n_workers, (int32_t)roll(w, 3), NULL, 0);
    batch(w);
}

static void live(uint64_t seed)
{
    struct core_conf conf = default_conf();
    conf.lease_ms = INT32_MAX; /* what was started is out of this world */
    struct world w = {.dice = seed * UINT64_C(0x9e3779b97f4a7c15) + 1, .db_us = 1000000000};
    stage_open(&w.s, conf);
    for (int i = 0; i < ROUNDS; i++)
        round_of(&w, i > ROUNDS / 2);
    for (unsigned n = 1; n <= TASKS; n++)
        assert_true(!w.rows[n].exists || w.rows[n].has_started);
    vec_done(&w.asked);
    stage_close(&w.s);
}

static void all_start_none_too_early(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        live(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_waits_outside_the_queue),
        cmocka_unit_test(postgres_is_asked_again_in_a_long_wait),
        cmocka_unit_test(an_answer_about_an_earlier_wish_says_nothing),
        cmocka_unit_test(a_waiting_task_can_be_sent_to_sleep_and_woken),
        cmocka_unit_test(sleepers_are_deleted_and_canceled_like_others),
        cmocka_unit_test(sleepers_count_in_the_length_of_the_queue_and_not_in_the_cap),
        cmocka_unit_test(a_new_priority_moves_what_waits_and_keeps_its_age),
        cmocka_unit_test(a_run_is_paused_at_its_limit_busy_or_not),
        cmocka_unit_test(the_limit_may_be_changed_while_it_runs),
        cmocka_unit_test(an_idle_timeout_given_late_counts_from_then),
        cmocka_unit_test(texts_go_out_as_they_came),
        cmocka_unit_test(a_plain_task_has_no_options),
        cmocka_unit_test(all_start_none_too_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
