/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_message_world_test.c - waiting messages in a world that breaks, by seed, in virtual time.
 *
 * One task.  Its people queue and take back, and ask again when no answer comes.  Leaders die
 * before a commit, or between a commit and its release, and are loaded anew from the rows.  The
 * agent dies and comes again with what is on its disk; what goes to it and what it answers is lost,
 * doubled or late.  The task is paused and resumed.
 *
 * However it goes: the app hears each message at most once, in the order of the rows; nothing is
 * heard after its withdrawal was granted; and when the world calms down every message is over, and
 * its row says what has become of it.
 */
#include "tests/unit/scheduler/core_stage.h"

#include "core/base/log.h"

#define MESSAGES 99
#define ROUNDS   900 /* the second half in calm */
#define SEEDS    300

enum row_state { ROW_NONE, ROW_QUEUED, ROW_DELIVERED, ROW_WITHDRAWN, ROW_REFUSED };

struct row {
    enum row_state state;
    int64_t seq;
};

struct world {
    struct stage s;
    uint64_t dice;
    struct row rows[MESSAGES];
    /* the people */
    bool asked[MESSAGES], kept[MESSAGES], wants_back[MESSAGES], has_back[MESSAGES];
    /* the agent: on disk, and in its life */
    bool heard[MESSAGES], told_back[MESSAGES], in_inbox[MESSAGES], is_back[MESSAGES];
    int64_t last_heard_seq;
    VEC(unsigned) answers; /* under way: message * 100 + refusal */
    struct uuid agent_id, agent_token;
    bool calm, is_paused;
    bool is_known; /* the leader has heard of the agent's session */
    struct uuid build_id, job_id;
    int32_t build_number;
    unsigned n_builds;
};

static unsigned roll(struct world *w, unsigned sides)
{
    w->dice ^= w->dice << 13;
    w->dice ^= w->dice >> 7;
    w->dice ^= w->dice << 17;
    return (unsigned)(w->dice % sides);
}

static bool happens(struct world *w, unsigned one_in)
{
    return !w->calm && roll(w, one_in) == 0;
}

static unsigned number_of(const struct uuid *id)
{
    return (unsigned)(id->b[14] << 8 | id->b[15]) - 600;
}

/* ---- Postgres ---- */

static enum row_state state_of(const char *name)
{
    if (strcmp(name, "delivered") == 0)
        return ROW_DELIVERED;
    return strcmp(name, "withdrawn") == 0 ? ROW_WITHDRAWN : ROW_REFUSED;
}

static void commit(struct world *w)
{
    const struct effects *e = &w->s.e;
    for (size_t i = 0; i < e->messages_new.n; i++) {
        struct row *row = &w->rows[number_of(&e->messages_new.v[i].id)];
        if (row->state == ROW_NONE)
            *row = (struct row){ROW_QUEUED, e->messages_new.v[i].seq};
    }
    for (size_t i = 0; i < e->messages_over.n; i++) {
        struct row *row = &w->rows[number_of(&e->messages_over.v[i].id)];
        if (row->state == ROW_QUEUED)
            row->state = state_of(e->messages_over.v[i].state);
    }
}

/* What the store finds out with the commit. */
static void learn(struct world *w)
{
    VEC(struct uuid) gone = {0};
    const struct effects *e = &w->s.e;
    for (size_t i = 0; i < e->messages_new.n; i++) {
        const struct row_message_new *m = &e->messages_new.v[i];
        const struct row *row = &w->rows[number_of(&m->id)];
        if (row->seq != m->seq || row->state != ROW_QUEUED)
            *vec_push(&gone) = m->id;
    }
    for (size_t i = 0; i < gone.n; i++)
        core_message_gone(w->s.c, &gone.v[i]);
    vec_done(&gone);
}

/* ---- the agent ---- */

static void say(struct world *w, unsigned n, enum refusal code)
{
    if (happens(w, 4))
        return; /* lost */
    *vec_push(&w->answers) = n * 100 + code;
    if (happens(w, 6))
        *vec_push(&w->answers) = n * 100 + code;
}

static void agent_gets(struct world *w, const struct agent_message *m)
{
    unsigned n = number_of(&m->send_id);
    if (!uuid_eq(&m->agent_id, &w->agent_id) || happens(w, 5))
        return;
    if (w->heard[n]) {
        say(w, n, REFUSAL_NONE);
    } else if (w->is_back[n] || m->withdraw) {
        w->is_back[n] = true;
        w->in_inbox[n] = false;
        say(w, n, REFUSAL_WITHDRAWN);
    } else if (w->rows[n].state != ROW_QUEUED) {
        return; /* the store has found no text for it, and told the core */
    } else if (happens(w, 8)) {
        say(w, n, REFUSAL_OVERLOADED);
    } else {
        w->in_inbox[n] = true;
        if (happens(w, 10)) /* its worker has lost sight of it */
            say(w, n, REFUSAL_APP_UNREACHABLE);
    }
}

/* The app can take what waits. */
static void app_rests(struct world *w)
{
    for (unsigned n = 0; n < MESSAGES; n++) {
        if (!w->in_inbox[n])
            continue;
        w->in_inbox[n] = false;
        assert_false(w->heard[n]);
        assert_false(w->told_back[n]);
        assert_true(w->rows[n].seq > w->last_heard_seq);
        w->heard[n] = true;
        w->last_heard_seq = w->rows[n].seq;
        say(w, n, REFUSAL_NONE);
    }
}

static void agent_begins(struct world *w)
{
    memset(w->in_inbox, 0, sizeof(w->in_inbox));
    memset(w->is_back, 0, sizeof(w->is_back));
    vec_clear(&w->answers);
}

static void agent_comes_to(struct world *w)
{
    struct uuid one = id_of(1);
    w->is_known = true;
    poll(&w->s, 1, 0);
    core_agent_open(w->s.c, &one, &w->agent_id, &w->agent_token, ticket(6));
}

/* ---- the people ---- */

static void hears(struct world *w, const struct reply *r)
{
    unsigned t = (unsigned)(uintptr_t)r->ticket;
    enum refusal code = r->code;
    if (t < 1000 || t >= 3000)
        return;
    unsigned n = t % 1000;
    if (t < 2000) {
        w->kept[n] = w->kept[n] || code == REFUSAL_NONE;
        return;
    }
    if (r->kind == REPLY_MESSAGE)
        code = w->rows[n].state == ROW_WITHDRAWN ? REFUSAL_NONE : REFUSAL_MESSAGE_DELIVERED;
    if (code == REFUSAL_NONE)
        w->told_back[n] = w->has_back[n] = true;
    if (code == REFUSAL_MESSAGE_DELIVERED)
        w->has_back[n] = true; /* an answer all the same */
}

static void ask(struct world *w, unsigned n)
{
    struct uuid t = id_of(1), who = id_of(800), m = id_of(600 + n);
    w->asked[n] = true;
    core_message_queue(w->s.c, &t, &who, &m, "hello", ticket(1000 + n));
}

static void ask_back(struct world *w, unsigned n)
{
    struct uuid t = id_of(1), who = id_of(800), m = id_of(600 + n);
    w->wants_back[n] = true;
    core_message_withdraw(w->s.c, &t, &who, &m, ticket(2000 + n));
}

/* ---- leaders ---- */

static void load(struct world *w)
{
    struct load_task t = {.id = id_of(1),
        .owner_id = id_of(800),
        .version_id = id_of(903),
        .workspace_id = id_of(2),
        .build_id = w->build_id,
        .job_id = w->job_id,
        .agent_id = w->agent_id,
        .agent_token = w->agent_token,
        .name = "one",
        .provisioner = "local",
        .app_slug = "shell",
        .owner_name = "ann",
        .template_name = "shell",
        .lifecycle = "ready",
        .host = "h",
        .build_number = w->build_number,
        .kind = w->is_paused ? JOB_STOP : JOB_START,
        .state = JOB_SUCCEEDED,
        .holds_compute = !w->is_paused};
    for (unsigned n = 0; n < MESSAGES; n++)
        if (w->rows[n].seq > t.message_seq)
            t.message_seq = w->rows[n].seq;
    core_load_task(w->s.c, &t);
    for (int64_t seq = 1; seq <= t.message_seq; seq++)
        for (unsigned n = 0; n < MESSAGES; n++)
            if (w->rows[n].seq == seq && w->rows[n].state == ROW_QUEUED) {
                struct load_message m = {
                    .id = id_of(600 + n), .task_id = id_of(1), .seq = seq, .bytes = 5};
                core_load_message(w->s.c, &m);
            }
    core_load_done(w->s.c);
}

static void leader_dies(struct world *w)
{
    core_free(w->s.c);
    w->s.c = core_new(&w->s.conf);
    core_set_now(w->s.c, w->s.now_ms);
    vec_clear(&w->s.mail);
    w->s.in_hand.n = 0;
    load(w);
    w->is_known = false;
}

/* A batch: gathered, committed, released; each step may be the leader's last. */
static void batch(struct world *w)
{
    take(&w->s);
    if (happens(w, 40)) {
        leader_dies(w);
        return;
    }
    commit(w);
    if (happens(w, 40)) {
        leader_dies(w);
        return;
    }
    learn(w);
    for (size_t i = 0; i < w->s.e.replies.n; i++)
        hears(w, &w->s.e.replies.v[i]);
    for (size_t i = 0; i < w->s.mail.n; i++)
        agent_gets(w, &w->s.mail.v[i]);
    vec_clear(&w->s.mail);
}

/* ---- pauses ---- */

/* A build from the command to its result, in one go; of its batches all are committed. */
static void build(struct world *w, enum task_verb verb)
{
    struct uuid t = id_of(1), who = id_of(800), b = id_of(2000 + ++w->n_builds);
    batch(w);
    poll(&w->s, 1, 1);
    core_task_command(w->s.c, verb, &t, &who, &b, "", ticket(77));
    bool was_calm = w->calm;
    w->calm = true;
    take(&w->s);
    commit(w);
    learn(w);
    struct job_spec j = given(&w->s, 0);
    result_of(&w->s, 1, &j, OUTCOME_SUCCEEDED, true);
    commit(w);
    learn(w);
    for (size_t i = 0; i < w->s.e.replies.n; i++)
        hears(w, &w->s.e.replies.v[i]);
    vec_clear(&w->s.mail);
    w->calm = was_calm;
    w->is_paused = verb == TASK_PAUSE;
    w->build_id = b;
    w->job_id = j.job_id;
    w->build_number = j.build_number;
    if (verb != TASK_RESUME)
        return;
    w->agent_id = j.agent_id;
    w->agent_token = j.agent_token;
}

static void pause_and_resume(struct world *w)
{
    agent_begins(w); /* it dies with all it has */
    if (!w->is_paused)
        build(w, TASK_PAUSE);
    else
        build(w, TASK_RESUME);
    if (!w->is_paused)
        agent_comes_to(w);
}

/* ---- the course of things ---- */

static void people_act(struct world *w)
{
    unsigned n = roll(w, MESSAGES);
    if (!w->kept[n] && (!w->calm || w->asked[n]) && !w->wants_back[n])
        ask(w, n);
    else if (w->kept[n] && !w->has_back[n] && (w->wants_back[n] || happens(w, 12)))
        ask_back(w, n);
    if (happens(w, 20) && w->kept[n])
        ask(w, n); /* an answer that was thought lost */
}

static void answers_arrive(struct world *w)
{
    while (w->answers.n > 0) {
        unsigned at = roll(w, (unsigned)w->answers.n), a = w->answers.v[at];
        vec_remove_swap(&w->answers, at);
        struct uuid m = id_of(600 + a / 100);
        core_send_result(w->s.c, &m, (enum refusal)(a % 100), "");
        if (happens(w, 2))
            return;
    }
}

static void round_of(struct world *w)
{
    people_act(w);
    batch(w);
    if (w->calm || roll(w, 3) == 0)
        app_rests(w);
    answers_arrive(w);
    batch(w);
    if (happens(w, 150)) {
        agent_begins(w);
        w->is_known = false;
    }
    if (!w->is_known && roll(w, 4) == 0)
        agent_comes_to(w);
    if (happens(w, 100) || (w->calm && w->is_paused))
        pause_and_resume(w);
    w->s.now_ms += w->calm ? 1000 : (int64_t)roll(w, 1500);
    core_set_now(w->s.c, w->s.now_ms);
    poll(&w->s, 1, 0);
    core_tick(w->s.c);
    batch(w);
}

static void all_is_told_truly(const struct world *w)
{
    for (unsigned n = 0; n < MESSAGES; n++) {
        if (w->rows[n].state == ROW_NONE) {
            assert_false(w->heard[n] || w->kept[n]);
            continue;
        }
        assert_int_not_equal(w->rows[n].state, ROW_QUEUED);
        if (w->rows[n].state == ROW_DELIVERED)
            assert_true(w->heard[n]);
        if (!w->heard[n])
            assert_int_equal(w->rows[n].state, ROW_WITHDRAWN);
    }
}

static void live(uint64_t seed)
{
    struct world w = {.dice = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    stage_open(&w.s, default_conf());
    w.agent_id = id_of(5);
    w.agent_token = id_of(6);
    w.build_id = id_of(3);
    w.job_id = id_of(4);
    w.build_number = 1;
    load(&w);
    agent_comes_to(&w);
    for (int i = 0; i < ROUNDS; i++) {
        w.calm = i > ROUNDS / 2;
        round_of(&w);
    }
    all_is_told_truly(&w);
    vec_done(&w.answers);
    stage_close(&w.s);
}

static void once_in_order_and_truly_told(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        live(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(once_in_order_and_truly_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
