/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terraform.c - import, start, stop and delete as sequences of Terraform's commands.
 *
 *   import   init, validate, plan a start, a stop, and if need be a task's start
 *   build    state, init (warm), plan, apply; the state goes to Postgres as Terraform writes it
 *
 * A stop or delete has to work when the template does not any more: it tries again without a look
 * at the world, then with a stub that names nothing but the providers.
 */
#include "worker/provisioner/terraform/terraform.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "worker/provisioner/terraform/environment.h"
#include "worker/provisioner/terraform/found.h"
#include "worker/provisioner/terraform/message.h"
#include "worker/provisioner/terraform/place.h"
#include "worker/provisioner/terraform/plan.h"
#include "worker/provisioner/terraform/run.h"
#include "worker/provisioner/terraform/warm.h"
#include "worker/provisioner/terraform/watch.h"

#define STAGE_SETUP   "Setting up"
#define STAGE_PARSE   "Parsing template parameters"
#define STAGE_PLAN    "Planning Infrastructure"
#define STAGE_START   "Detecting persistent resources"
#define STAGE_STOP    "Detecting ephemeral resources"
#define STAGE_CLEANUP "Cleaning Up"

static void run_begin(struct run *r, void *self, const struct job_spec *spec, struct job_io *io)
{
    *r = (struct run){.tf = self, .spec = spec, .io = io, .place.lock_fd = -1};
    run_line(r, LOG_INFO, STAGE_SETUP, r->tf->text);
}

static void run_end(struct run *r, bool keep)
{
    run_line(r, LOG_INFO, STAGE_CLEANUP, "Removing the job's files");
    place_close(r, keep);
    environment_done(&r->env);
    vec_done(&r->secrets);
}

/* ---- import ---- */

struct plans {
    json_t *start, *stop, *task;
};

static void plans_done(struct plans *p)
{
    json_decref(p->start);
    json_decref(p->stop);
    json_decref(p->task);
}

static void warn(void *arg, const char *sentence)
{
    run_line(arg, LOG_WARN, STAGE_PARSE, sentence);
}

static enum err validate(struct run *r, struct errctx *ctx)
{
    static const char *const args[] = {"validate", "-json", NULL};
    struct strbuf out;
    struct message_sum sum;
    strbuf_init(&out);
    message_sum_init(&sum);
    struct command c = {.stage = STAGE_PARSE, .args = args, .out = &out};
    enum err e = run_command(r, &c, ctx);
    message_read_document(&sum, out.s);
    if (e == ERR_FAILED && sum.error.len > 0)
        e = err_set(ctx, ERR_FAILED, "%s", sum.error.s);
    message_sum_done(&sum);
    strbuf_done(&out);
    return e;
}

static enum err show(struct run *r, const char *stage, json_t **ret_plan, struct errctx *ctx)
{
    static const char *const args[] = {"show", "-json", "-no-color", "stint.tfplan", NULL};
    struct strbuf out;
    json_error_t why;
    strbuf_init(&out);
    struct command c = {.stage = stage, .args = args, .out = &out};
    enum err e = run_command(r, &c, ctx);
    if (e == ERR_OK) {
        *ret_plan = json_loadb(out.s, out.len, 0, &why);
        if (*ret_plan == NULL)
            e = err_set(ctx, ERR_FAILED, "the plan cannot be read: %.200s", why.text);
    }
    strbuf_done(&out);
    return e;
}

static enum err plan_as(struct run *r, const char *stage, const char *transition, bool as_task,
    json_t **ret_plan, struct errctx *ctx)
{
    static const char *const args[] = {
        "plan", "-json", "-input=false", "-lock=false", "-out=stint.tfplan", NULL};
    struct command c = {.stage = stage, .args = args};
    environment_fill(r, transition, as_task);
    enum err e = run_command(r, &c, ctx);
    return e == ERR_OK ? show(r, stage, ret_plan, ctx) : e;
}

static enum err make_plans(struct run *r, struct plans *p, struct errctx *ctx)
{
    enum err e = plan_as(r, STAGE_START, "start", false, &p->start, ctx);
    if (e == ERR_OK && plan_ai_tasks(p->start) == 0 && plan_mentions_ai_task(p->start)) {
        run_line(r, LOG_INFO, STAGE_START,
            "The template's coder_ai_task is made for tasks alone; planning again as a task");
        e = plan_as(r, STAGE_START, "start", true, &p->task, ctx);
    }
    if (e == ERR_OK)
        e = plan_as(r, STAGE_STOP, "stop", p->task != NULL, &p->stop, ctx);
    if (e == ERR_OK && p->task == NULL)
        p->task = json_incref(p->start);
    return e;
}

static enum err import_in(struct run *r, struct job_found *found, struct errctx *ctx)
{
    scoped(plans_done) struct plans p = {0};
    environment_fill(r, "start", false);
    enum err e = place_make(r, ctx);
    if (e == ERR_OK)
        e = environment_write_config(r, ctx);
    if (e == ERR_OK)
        e = place_fill(r, r->spec->template_dir, ctx);
    if (e == ERR_OK)
        e = warm_up(r, &r->spec->file_id, ctx);
    if (e == ERR_OK)
        e = validate(r, ctx);
    if (e == ERR_OK)
        e = make_plans(r, &p, ctx);
    if (e == ERR_OK)
        e = plan_read(p.start, p.task, p.stop, warn, r, &found->import, ctx);
    return e;
}

static enum err terraform_import(void *self, const struct job_spec *spec, struct job_io *io,
    struct job_found *found, struct errctx *ctx)
{
    struct run r;
    struct strbuf left;
    uint64_t left_after;
    run_begin(&r, self, spec, io);
    warm_sweep(r.tf);
    strbuf_init(&left);
    enum err e = place_open(&r, &spec->job_id, &left, &left_after, ctx);
    if (e == ERR_OK)
        e = import_in(&r, found, ctx);
    run_end(&r, false);
    strbuf_done(&left);
    return e;
}

/* ---- builds ---- */

/* A kind of build, as Terraform and Coder's clients call it. */
struct transition {
    const char *name, *stage;
    bool destroys;
};
static const struct transition transitions[] = {
    [JOB_START] = {"start",   "Starting workspace",   false},
    [JOB_STOP] = {"stop",    "Stopping workspace",   false},
    [JOB_DELETE] = {"destroy", "Destroying workspace", true },
};

struct build {
    struct run *run;
    struct watch watch;
    const struct transition *transition;
    struct job_found *found;
    bool begun; /* the world may have changed */
};

#define ARGS_MAX 300

struct args {
    const char *v[ARGS_MAX + 1];
    size_t n;
};

static void add_arg(struct args *a, const char *arg)
{
    if (a->n < ARGS_MAX)
        a->v[a->n++] = arg;
}

/* How to plan it: by the template and the world, by the template alone, by a stub. */
enum way { WAY_TEMPLATE, WAY_NO_REFRESH, WAY_STUB };

static enum err plan(struct build *b, enum way way, char *const *targets, struct errctx *ctx)
{
    struct args a = {
        {"plan", "-json", "-input=false", "-out=stint.tfplan"},
        4
    };
    if (way != WAY_TEMPLATE)
        add_arg(&a, "-refresh=false");
    if (b->transition->destroys || way == WAY_STUB)
        add_arg(&a, "-destroy");
    for (; targets != NULL && *targets != NULL; targets++)
        add_arg(&a, *targets);
    struct command c = {.stage = STAGE_PLAN, .args = a.v};
    enum err e = run_command(b->run, &c, ctx);
    if (e == ERR_OK && c.ai_tasks > 1)
        e = err_set(ctx, ERR_INVALID,
            "only one 'coder_ai_task' resource can be provisioned per template, found %u",
            c.ai_tasks);
    return e;
}

/* Whatever becomes of it, what it has made of the state is kept. */
static enum err apply(struct build *b, struct errctx *ctx)
{
    static const char *const args[] = {"apply", "-json", "-input=false", "stint.tfplan", NULL};
    struct errctx kept = {0};
    struct command c = {
        .stage = b->transition->stage, .args = args, .watcher = watch_on(&b->watch)};
    b->begun = true;
    enum err e = run_command(b->run, &c, ctx);
    enum err saved = watch_settle(&b->watch, &kept);
    if (saved != ERR_OK && e != ERR_LEASE_LOST && (e == ERR_OK || saved == ERR_LEASE_LOST)) {
        *ctx = kept;
        e = saved;
    }
    return e;
}

static enum err plan_and_apply(
    struct build *b, enum way way, char *const *targets, struct errctx *ctx)
{
    enum err e = plan(b, way, targets, ctx);
    return e == ERR_OK ? apply(b, ctx) : e;
}

static enum err prepare(struct build *b, struct errctx *ctx)
{
    struct run *r = b->run;
    if (r->spec->template_dir[0] == '\0')
        return err_set(
            ctx, ERR_NOT_FOUND, "the template's archive is not in the database any more");
    enum err e = place_fill(r, r->spec->template_dir, ctx);
    return e == ERR_OK ? warm_up(r, &r->spec->file_id, ctx) : e;
}

/* ---- when the template does not work any more ---- */

/* "-target=ADDRESS" of each that a stop removes; NULL-ended. */
static char **targets_of(const struct job_spec *spec)
{
    char **list = mem_calloc(spec->n_facts + 1, sizeof(*list));
    size_t n = 0;
    for (size_t i = 0; i < spec->n_facts; i++) {
        if (strcmp(spec->facts[i].name, "ephemeral") != 0)
            continue;
        struct strbuf b;
        strbuf_init(&b);
        strbuf_addf(&b, "-target=%s", spec->facts[i].value);
        list[n++] = strbuf_detach(&b);
    }
    return list;
}

static void free_targets(char **list)
{
    for (char **t = list; *t != NULL; t++)
        free(*t);
    free(list);
}

/* The template is put away, the state stays. */
static enum err make_stub(struct build *b, struct errctx *ctx)
{
    struct run *r = b->run;
    struct strbuf state;
    strbuf_init(&state);
    enum err e = place_read(r, PLACE_STATE, &state, ctx);
    if (e == ERR_NOT_FOUND)
        e = ERR_OK;
    scoped_free char *stub = found_stub(state.s, state.len);
    if (e == ERR_OK)
        e = place_make(r, ctx);
    if (e == ERR_OK)
        e = environment_write_config(r, ctx);
    if (e == ERR_OK)
        e = place_fill(r, "", ctx);
    if (e == ERR_OK)
        e = place_write(r, "main.tf", stub, strlen(stub), ctx);
    if (e == ERR_OK && state.len > 0)
        e = place_write(r, PLACE_STATE, state.s, state.len, ctx);
    if (e == ERR_OK)
        e = place_mark(r, b->watch.version, ctx);
    if (e == ERR_OK)
        e = warm_once(r, ctx);
    strbuf_done(&state);
    return e;
}

static enum err by_stub(struct build *b, struct errctx *ctx)
{
    char **targets = b->transition->destroys ? NULL : targets_of(b->run->spec);
    enum err e = ERR_OK;
    if (targets == NULL || targets[0] != NULL) {
        run_line(b->run, LOG_WARN, STAGE_PLAN,
            "The template does not work any more; going by the state and its providers alone");
        e = make_stub(b, ctx);
        if (e == ERR_OK)
            e = plan_and_apply(b, WAY_STUB, targets, ctx);
    } else {
        e = err_set(ctx, ERR_FAILED,
            "the template does not plan, and its import did not say which resources a stop "
            "removes: "
            "delete the task, or push a template that plans");
    }
    if (targets != NULL)
        free_targets(targets);
    return e;
}

/* A plan that fails may have another one; an apply that fails has said what is wrong with the
 * world. */
static bool is_worth_another_way(const struct build *b, enum err e)
{
    return !b->begun && b->transition != &transitions[JOB_START] && e != ERR_OK &&
           e != ERR_CANCELED && e != ERR_LEASE_LOST && e != ERR_CONFIG && e != ERR_NO_SPACE;
}

static enum err carry_out(struct build *b, struct errctx *ctx)
{
    struct errctx first = {0};
    enum err e = prepare(b, ctx);
    bool has_template = e == ERR_OK;
    if (e == ERR_OK)
        e = plan_and_apply(b, WAY_TEMPLATE, NULL, ctx);
    if (!is_worth_another_way(b, e))
        return e;
    first = *ctx;
    enum err why = e;
    if (has_template) {
        run_line(b->run, LOG_WARN, STAGE_PLAN, "Trying again without a look at what there is");
        e = plan_and_apply(b, WAY_NO_REFRESH, NULL, ctx);
    }
    if (is_worth_another_way(b, e))
        e = by_stub(b, ctx);
    if (is_worth_another_way(b, e)) { /* the first word is the one that helps */
        *ctx = first;
        e = why;
    }
    return e;
}

/* ---- one build ---- */

static enum err tell(struct build *b, struct errctx *ctx)
{
    struct strbuf state;
    strbuf_init(&state);
    enum err e = place_read(b->run, PLACE_STATE, &state, ctx);
    if (e == ERR_NOT_FOUND)
        e = ERR_OK;
    if (e == ERR_OK)
        e = found_read(
            state.s, state.len, b->transition == &transitions[JOB_START], &b->found->build, ctx);
    strbuf_done(&state);
    return e;
}

/* Nothing was ever made: nothing is to be undone. */
static bool has_nothing_to_do(const struct build *b)
{
    return b->transition != &transitions[JOB_START] &&
           !found_anything(b->watch.kept.s, b->watch.kept.len);
}

static enum err build_in(
    struct build *b, const struct strbuf *left, uint64_t left_after, struct errctx *ctx)
{
    struct run *r = b->run;
    enum err e = watch_begin(&b->watch, r, left, left_after, ctx);
    if (e == ERR_OK)
        e = environment_write_config(r, ctx);
    if (e == ERR_OK && has_nothing_to_do(b)) {
        run_line(r, LOG_INFO, b->transition->stage, "There is nothing of this workspace");
        return ERR_OK;
    }
    if (e == ERR_OK && b->transition->destroys && job_fact(r->spec, "orphan")[0] != '\0') {
        run_line(r, LOG_WARN, b->transition->stage,
            "The workspace is orphaned, as was asked for: what it has made stays where it is");
        return ERR_OK;
    }
    environment_fill(r, b->transition->name, false);
    if (e == ERR_OK)
        e = carry_out(b, ctx);
    if (e == ERR_OK)
        e = tell(b, ctx);
    return e;
}

static enum err terraform_build(void *self, const struct job_spec *spec, struct job_io *io,
    struct job_found *found, struct errctx *ctx)
{
    struct run r;
    struct strbuf left;
    uint64_t left_after;
    struct build b = {
        .run = &r, .transition = &transitions[spec->kind], .found = found, .watch.fd = -1};
    run_begin(&r, self, spec, io);
    strbuf_init(&left);
    strbuf_init(&b.watch.kept);
    enum err e = place_open(&r, &spec->workspace_id, &left, &left_after, ctx);
    if (e == ERR_OK)
        e = build_in(&b, &left, left_after, ctx);
    /* A start that fails before it has touched anything holds nothing, unless an earlier one did.
     */
    found->clean = !b.begun && !found_anything(b.watch.kept.s, b.watch.kept.len);
    run_end(&r, e == ERR_LEASE_LOST);
    watch_end(&b.watch);
    strbuf_done(&left);
    return e;
}

struct provisioner terraform_provisioner(struct terraform *t)
{
    return (struct provisioner){
        .name = "terraform",
        .template_for_all = true,
        .action = {[JOB_START] = terraform_build,
                   [JOB_STOP] = terraform_build,
                   [JOB_DELETE] = terraform_build,
                   [JOB_IMPORT] = terraform_import},
        .self = t,
    };
}
