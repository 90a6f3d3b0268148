/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sequences (start, stop) use the same walker: run the next one, and when it has ended the one
 * after it.  Cron scripts have a timer each.
 */
#include "agent/scripts.h"

#include <stdlib.h>

#include "agent/process.h"
#include "core/base/clock.h"
#include "core/base/cron.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#define LOOK_MS 30000

struct script {
    struct scripts *scripts;
    const struct manifest_script *m;
    struct process *process; /* NULL: it does not run */
    bool is_in_sequence;     /* its end lets the next one run */
    bool is_left_out_said;   /* of the run that goes on */
    struct cron cron;
    struct timer *timer;
    int64_t due_s; /* -1: never */
};

struct scripts {
    struct scripts_conf conf;
    struct script *v;
    size_t n;
    /* The sequence that is going on. */
    enum script_run run;
    size_t next;
    bool is_over;
    enum scripts_outcome outcome;
    struct timer *step;   /* goes on with the sequence */
    struct timer *budget; /* of the stop */
    scripts_done_fn done;
    void *arg;
};

static void on_step(void *arg);
static void on_budget_over(void *arg);
static void on_cron(void *arg);

static int64_t wall_s(void)
{
    return clock_wall_us() / 1000000;
}

struct scripts *scripts_new(const struct scripts_conf *conf)
{
    struct scripts *s = mem_alloc(sizeof(*s));
    s->conf = *conf;
    if (s->conf.now == NULL)
        s->conf.now = wall_s;
    if (s->conf.look_ms == 0)
        s->conf.look_ms = LOOK_MS;
    s->is_over = true;
    s->n = conf->manifest->n_scripts;
    s->v = mem_calloc(s->n + 1, sizeof(*s->v));
    for (size_t i = 0; i < s->n; i++) {
        s->v[i].scripts = s;
        s->v[i].m = &conf->manifest->scripts[i];
    }
    s->step = timer_new(conf->loop, on_step, s);
    s->budget = timer_new(conf->loop, on_budget_over, s);
    return s;
}

void scripts_free(struct scripts *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n; i++) {
        process_forget(s->v[i].process);
        timer_free(s->v[i].timer);
    }
    timer_free(s->step);
    timer_free(s->budget);
    free(s->v);
    free(s);
}

/* ---- one run ---- */

static enum scripts_outcome say_end(
    const struct script *script, int wait_status, bool has_timed_out)
{
    struct agent_log *log = script->scripts->conf.log;
    const struct manifest_script *m = script->m;
    char how[CHILD_END_TEXT_MAX];
    child_end_text(wait_status, how);
    if (has_timed_out) {
        agent_log_say(log, m->name, "error", "The script was ended: its time was over (%s).", how);
        return SCRIPTS_TIMEOUT;
    }
    if (child_has_succeeded(wait_status))
        return SCRIPTS_OK;
    agent_log_say(log, m->name, "error", "The script has failed: %s.", how);
    return SCRIPTS_ERROR;
}

/* The first failure decides. */
static void sequence_goes_on(struct scripts *s, enum scripts_outcome outcome)
{
    if (s->outcome == SCRIPTS_OK)
        s->outcome = outcome;
    timer_start(s->step, 0, 0);
}

static void on_done(void *arg, int wait_status, bool has_timed_out)
{
    struct script *script = arg;
    script->process = NULL;
    script->is_left_out_said = false;
    enum scripts_outcome outcome = say_end(script, wait_status, has_timed_out);
    log_info("a script has ended name=%s wait_status=%d", script->m->name, wait_status);
    if (script->is_in_sequence)
        sequence_goes_on(script->scripts, outcome);
}

static void run(struct script *script, bool is_in_sequence)
{
    struct scripts *s = script->scripts;
    const struct process_spec spec = {.loop = s->conf.loop,
        .children = s->conf.children,
        .log = s->conf.log,
        .name = script->m->name,
        .argv = script->m->command,
        .env = s->conf.env,
        .dir = s->conf.manifest->dir,
        .log_path = script->m->log_path,
        .timeout_ms = script->m->timeout_ms,
        .done = on_done,
        .arg = script};
    struct errctx ctx = {0};
    script->is_in_sequence = is_in_sequence;
    if (process_start(&spec, &script->process, &ctx) == ERR_OK) {
        log_info("a script has begun name=%s", script->m->name);
        return;
    }
    agent_log_say(s->conf.log, script->m->name, "error", "The script did not run: %s.", ctx.text);
    if (is_in_sequence)
        sequence_goes_on(s, SCRIPTS_ERROR);
}

/* ---- sequences ---- */

static bool is_of_sequence(const struct scripts *s, const struct manifest_script *m)
{
    return m->run == s->run && (m->run == SCRIPT_STOP || m->is_blocking);
}

static void on_step(void *arg)
{
    struct scripts *s = arg;
    if (s->is_over)
        return;
    while (s->next < s->n && !is_of_sequence(s, s->v[s->next].m))
        s->next++;
    if (s->next < s->n) {
        run(&s->v[s->next++], true);
        return;
    }
    s->is_over = true;
    timer_stop(s->budget);
    s->done(s->arg, s->outcome);
}

static void begin_sequence(struct scripts *s, enum script_run what, scripts_done_fn done, void *arg)
{
    s->run = what;
    s->next = 0;
    s->is_over = false;
    s->outcome = SCRIPTS_OK;
    s->done = done;
    s->arg = arg;
    timer_start(s->step, 0, 0);
}

void scripts_start(struct scripts *s, scripts_done_fn done, void *arg)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].m->run == SCRIPT_START && !s->v[i].m->is_blocking)
            run(&s->v[i], false);
    begin_sequence(s, SCRIPT_START, done, arg);
}

/* The one that runs is ended, those behind it do not run. */
static void on_budget_over(void *arg)
{
    struct scripts *s = arg;
    s->outcome = SCRIPTS_TIMEOUT;
    s->next = s->n;
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].m->run == SCRIPT_STOP && s->v[i].process != NULL) {
            s->v[i].is_in_sequence = false;
            process_time_out(s->v[i].process);
        }
    timer_start(s->step, 0, 0);
}

void scripts_stop(struct scripts *s, int64_t budget_ms, scripts_done_fn done, void *arg)
{
    for (size_t i = 0; i < s->n; i++) {
        s->v[i].is_in_sequence = false;
        if (s->v[i].timer != NULL)
            timer_stop(s->v[i].timer);
    }
    begin_sequence(s, SCRIPT_STOP, done, arg);
    timer_start(s->budget, budget_ms, 0);
}

/* ---- cron ---- */

static void set_due(struct script *script)
{
    script->due_s = cron_next(&script->cron, (time_t)script->scripts->conf.now());
}

static void wait_for_it(struct script *script)
{
    if (script->due_s < 0)
        return;
    const struct scripts_conf *conf = &script->scripts->conf;
    int64_t ms = (script->due_s - conf->now()) * 1000;
    ms = ms < 0 ? 0 : ms;
    timer_start(script->timer, ms < conf->look_ms ? ms : conf->look_ms, 0);
}

/* Said once, however long it goes on. */
static void leave_out(struct script *script)
{
    if (!script->is_left_out_said)
        agent_log_say(script->scripts->conf.log, script->m->name, "warn",
            "The script is due, but its last run still goes on: it is left out.");
    script->is_left_out_said = true;
}

static void on_cron(void *arg)
{
    struct script *script = arg;
    if (script->scripts->conf.now() >= script->due_s) {
        if (script->process != NULL)
            leave_out(script);
        else
            run(script, false);
        set_due(script);
    }
    wait_for_it(script);
}

void scripts_begin_cron(struct scripts *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct script *script = &s->v[i];
        struct errctx ctx = {0};
        if (script->m->run != SCRIPT_CRON ||
            cron_parse(script->m->cron, &script->cron, &ctx) != ERR_OK)
            continue;
        script->timer = timer_new(s->conf.loop, on_cron, script);
        set_due(script);
        wait_for_it(script);
    }
}
