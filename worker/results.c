/* SPDX-License-Identifier: Apache-2.0 */
/*
 * results.c - a few requests in flight, each with what had gathered when it left.
 *
 * More than one in flight, so that the scheduler's commit of one batch and our making of the next
 * overlap; few, so that batches grow when the scheduler is busy.
 */
#include "worker/results.h"

#include <stdlib.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "worker/metric.h"

#define IN_FLIGHT_MAX     4
#define BATCH_RESULTS_MAX 1000
#define BATCH_BYTES_MAX   (4 * 1024 * 1024)
#define ANSWER_WAIT_MS    5000
#define AGAIN_MS          200

struct results {
    struct loop *loop;
    struct bus_client *scheduler;
    struct slots *slots;
    struct uuid worker_id;
    const char *host;
    struct timer *again;
    unsigned in_flight;
    bool waiting; /* the scheduler did not take a batch: until the timer */
    bool complained;
};

/* One request; jobs by name, because they may be gone when the answer comes. */
struct batch {
    struct results *results;
    size_t n;
    struct {
        struct uuid job_id;
        uint64_t token;
    } job[];
};

static void on_again(void *arg)
{
    struct results *r = arg;
    r->waiting = false;
    results_flush(r);
}

struct results *results_new(struct loop *l, struct bus_client *scheduler, struct slots *slots,
    const struct uuid *worker_id, const char *host)
{
    struct results *r = mem_alloc(sizeof(*r));
    *r = (struct results){
        .loop = l, .scheduler = scheduler, .slots = slots, .worker_id = *worker_id, .host = host};
    r->again = timer_new(l, on_again, r);
    return r;
}

void results_free(struct results *r)
{
    if (r == NULL)
        return;
    timer_free(r->again);
    free(r);
}

/* ---- answers ---- */

static void settle(struct results *r, const struct batch *b, bool taken)
{
    for (size_t i = 0; i < b->n; i++) {
        struct job *j = slots_find(r->slots, &b->job[i].job_id, b->job[i].token);
        if (j == NULL || j->state != JOB_DONE)
            continue;
        j->in_flight = false;
        if (taken)
            slots_ack(r->slots, j);
    }
}

static void complain(struct results *r, enum err code, const Stint__V1__Envelope *reply)
{
    const char *why = err_text(code);
    if (code == ERR_OK && reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS)
        why = refusal_row(reply->status->code)->message;
    if (!r->complained)
        log_warn(
            "the scheduler does not take results; they are kept and sent again why=%s", LOG_Q(why));
    r->complained = true;
}

static void on_answer(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    scoped_free struct batch *b = arg;
    struct results *r = b->results;
    r->in_flight--;
    if (code == ERR_CANCELED) /* the end */
        return;
    bool taken = code == ERR_OK && reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS &&
                 reply->status->code == REFUSAL_NONE;
    settle(r, b, taken);
    if (taken) {
        r->complained = false;
        return;
    }
    complain(r, code, reply);
    r->waiting = true;
    timer_start(r->again, AGAIN_MS, 0);
}

/* ---- requests ---- */

/* A request under construction. */
struct draft {
    struct batch *batch;
    Stint__V1__JobResult *result;
    Stint__V1__JobResult **pointer;
    Stint__V1__ImportResult *import;
    Stint__V1__BuildResult *build;
    VEC(Stint__V1__LogLine) lines;
    VEC(Stint__V1__LogLine *) line_pointers;
    size_t bytes;
};

static void add_lines(struct draft *d, struct job *j, Stint__V1__JobResult *out)
{
    out->n_log = j->lines.n;
    for (size_t i = 0; i < j->lines.n; i++) {
        const struct job_line *from = &j->lines.v[i];
        Stint__V1__LogLine *line = vec_push(&d->lines);
        stint__v1__log_line__init(line);
        line->seq = from->seq;
        line->at_us = from->at_us;
        line->level = (char *)(uintptr_t)from->level;
        line->stage = from->stage;
        line->output = from->output;
        d->bytes += 64 + strlen(from->stage) + strlen(from->output);
    }
}

static char *or_empty(char *s)
{
    static char empty[] = "";
    return s != NULL ? s : empty;
}

/* Imports and builds of Terraform are few: each has a list of its own, freed in drop_imports() and
 * drop_builds(). */
static Stint__V1__ImportedApp **apps_of(const struct import_app *from, size_t n)
{
    if (n == 0)
        return NULL;
    Stint__V1__ImportedApp *app = mem_calloc(n, sizeof(*app));
    Stint__V1__ImportedApp **list = mem_calloc(n, sizeof(Stint__V1__ImportedApp *));
    for (size_t i = 0; i < n; i++) {
        stint__v1__imported_app__init(&app[i]);
        app[i].slug = or_empty(from[i].slug);
        app[i].display_name = or_empty(from[i].display_name);
        app[i].icon = or_empty(from[i].icon);
        app[i].url = or_empty(from[i].url);
        app[i].has_health_check = from[i].has_health_check;
        list[i] = &app[i];
    }
    return list;
}

static void free_apps(Stint__V1__ImportedApp **list, size_t n)
{
    if (n > 0)
        free(list[0]);
    free(list);
}

static void add_variables(const struct import_found *from, Stint__V1__ImportResult *import)
{
    if (from->n_variable == 0)
        return;
    Stint__V1__ImportedVariable *variable = mem_calloc(from->n_variable, sizeof(*variable));
    import->variable = mem_calloc(from->n_variable, sizeof(Stint__V1__ImportedVariable *));
    import->n_variable = from->n_variable;
    for (size_t i = 0; i < from->n_variable; i++) {
        stint__v1__imported_variable__init(&variable[i]);
        variable[i].name = or_empty(from->variable[i].name);
        variable[i].description = or_empty(from->variable[i].description);
        variable[i].type = or_empty(from->variable[i].type);
        variable[i].default_value = or_empty(from->variable[i].default_value);
        variable[i].required = from->variable[i].required;
        variable[i].sensitive = from->variable[i].sensitive;
        import->variable[i] = &variable[i];
    }
}

static void add_options(const struct import_parameter *from, Stint__V1__ImportedParameter *to)
{
    Stint__V1__ImportedOption *option = mem_calloc(from->n_option + 1, sizeof(*option));
    to->option = mem_calloc(from->n_option + 1, sizeof(Stint__V1__ImportedOption *));
    to->option[0] = option; /* freed by it, be there one or not */
    to->n_option = from->n_option;
    for (size_t i = 0; i < from->n_option; i++) {
        stint__v1__imported_option__init(&option[i]);
        option[i].name = or_empty(from->option[i].name);
        option[i].value = or_empty(from->option[i].value);
        option[i].description = or_empty(from->option[i].description);
        option[i].icon = or_empty(from->option[i].icon);
        to->option[i] = &option[i];
    }
}

static void fill_parameter(const struct import_parameter *from, Stint__V1__ImportedParameter *to)
{
    stint__v1__imported_parameter__init(to);
    to->name = or_empty(from->name);
    to->display_name = or_empty(from->display_name);
    to->description = or_empty(from->description);
    to->icon = or_empty(from->icon);
    to->type = or_empty(from->type);
    to->mutable_ = from->is_mutable;
    to->required = from->required;
    to->default_value = or_empty(from->default_value);
    to->validation_regex = or_empty(from->regex);
    to->validation_error = or_empty(from->error);
    to->has_min = from->has_min;
    to->validation_min = from->min;
    to->has_max = from->has_max;
    to->validation_max = from->max;
    add_options(from, to);
}

static void add_parameters(const struct import_found *from, Stint__V1__ImportResult *import)
{
    if (from->n_parameter == 0)
        return;
    Stint__V1__ImportedParameter *parameter = mem_calloc(from->n_parameter, sizeof(*parameter));
    import->parameter = mem_calloc(from->n_parameter, sizeof(Stint__V1__ImportedParameter *));
    import->n_parameter = from->n_parameter;
    for (size_t i = 0; i < from->n_parameter; i++) {
        fill_parameter(&from->parameter[i], &parameter[i]);
        import->parameter[i] = &parameter[i];
    }
}

static void add_values(const struct import_preset *from, Stint__V1__ImportedPreset *to)
{
    Stint__V1__NamedText *text = mem_calloc(from->n_value + 1, sizeof(*text));
    to->parameter = mem_calloc(from->n_value + 1, sizeof(Stint__V1__NamedText *));
    to->parameter[0] = text;
    to->n_parameter = from->n_value;
    for (size_t i = 0; i < from->n_value; i++) {
        stint__v1__named_text__init(&text[i]);
        text[i].name = from->value[i].name;
        text[i].value = from->value[i].value;
        to->parameter[i] = &text[i];
    }
}

static void add_presets(const struct import_found *from, Stint__V1__ImportResult *import)
{
    if (from->n_preset == 0)
        return;
    Stint__V1__ImportedPreset *preset = mem_calloc(from->n_preset, sizeof(*preset));
    import->preset = mem_calloc(from->n_preset, sizeof(Stint__V1__ImportedPreset *));
    import->n_preset = from->n_preset;
    for (size_t i = 0; i < from->n_preset; i++) {
        stint__v1__imported_preset__init(&preset[i]);
        preset[i].name = or_empty(from->preset[i].name);
        preset[i].description = or_empty(from->preset[i].description);
        preset[i].icon = or_empty(from->preset[i].icon);
        preset[i].is_default = from->preset[i].is_default;
        add_values(&from->preset[i], &preset[i]);
        import->preset[i] = &preset[i];
    }
}

static void drop_options(Stint__V1__ImportResult *import)
{
    for (size_t i = 0; i < import->n_parameter; i++) {
        free(import->parameter[i]->option[0]);
        free(import->parameter[i]->option);
    }
    for (size_t i = 0; i < import->n_preset; i++) {
        free(import->preset[i]->parameter[0]);
        free(import->preset[i]->parameter);
    }
    if (import->n_parameter > 0)
        free(import->parameter[0]);
    free(import->parameter);
    if (import->n_preset > 0)
        free(import->preset[0]);
    free(import->preset);
}

static void drop_imports(struct draft *d, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        drop_options(&d->import[i]);
        free_apps(d->import[i].app, d->import[i].n_app);
        if (d->import[i].n_variable > 0)
            free(d->import[i].variable[0]);
        free(d->import[i].variable);
    }
    free(d->import);
}

static void add_import(struct draft *d, struct job *j, size_t i, Stint__V1__JobResult *out)
{
    Stint__V1__ImportResult *import = &d->import[i];
    stint__v1__import_result__init(import);
    import->has_ai_task = j->found.import.has_ai_task;
    import->app_slug = or_empty(j->found.import.app_slug);
    import->display_name = or_empty(j->found.import.display_name);
    import->description = or_empty(j->found.import.description);
    import->icon = or_empty(j->found.import.icon);
    import->app = apps_of(j->found.import.app, j->found.import.n_app);
    import->n_app = j->found.import.n_app;
    import->resources = or_empty(j->found.import.resources);
    import->external_auth = or_empty(j->found.import.external_auth);
    add_variables(&j->found.import, import);
    add_parameters(&j->found.import, import);
    add_presets(&j->found.import, import);
    out->import = import;
}

static void add_build(struct draft *d, struct job *j, size_t i, Stint__V1__JobResult *out)
{
    Stint__V1__BuildResult *build = &d->build[i];
    stint__v1__build_result__init(build);
    build->resources = or_empty(j->found.build.resources);
    build->agent = or_empty(j->found.build.agent);
    build->app = apps_of(j->found.build.app, j->found.build.n_app);
    build->n_app = j->found.build.n_app;
    out->build = build;
    d->bytes += strlen(build->resources) + strlen(build->agent);
}

static void drop_builds(struct draft *d, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free_apps(d->build[i].app, d->build[i].n_app);
    free(d->build);
}

static void add_job(struct results *r, struct draft *d, struct job *j)
{
    size_t i = d->batch->n++;
    d->batch->job[i].job_id = j->spec.job_id;
    d->batch->job[i].token = j->spec.token;
    j->in_flight = true;

    Stint__V1__JobResult *out = &d->result[i];
    stint__v1__job_result__init(out);
    out->job_id = wire_uuid(&j->spec.job_id);
    out->token = j->spec.token;
    out->outcome = (Stint__V1__JobOutcome)j->outcome;
    out->clean = j->found.clean;
    if (j->outcome != OUTCOME_SUCCEEDED)
        out->error = j->ctx.text;
    if (j->found.on_host)
        out->host = (char *)(uintptr_t)r->host;
    add_lines(d, j, out);
    if (j->spec.kind == JOB_IMPORT && j->outcome == OUTCOME_SUCCEEDED)
        add_import(d, j, i, out);
    if (j->found.build.resources != NULL && j->outcome == OUTCOME_SUCCEEDED)
        add_build(d, j, i, out);
    d->pointer[i] = out;
    d->bytes += 80 + strlen(out->error);
}

static void gather(struct results *r, struct draft *d)
{
    list_for(it, &r->slots->list[JOB_DONE])
    {
        struct job *j = container_of(it, struct job, node);
        if (d->batch->n == BATCH_RESULTS_MAX || d->bytes > BATCH_BYTES_MAX)
            break;
        if (!j->in_flight)
            add_job(r, d, j);
    }
    /* Lines have stopped moving in memory. */
    for (size_t i = 0; i < d->lines.n; i++)
        *vec_push(&d->line_pointers) = &d->lines.v[i];
    for (size_t i = 0, at = 0; i < d->batch->n; at += d->result[i++].n_log)
        d->result[i].log = d->line_pointers.v == NULL ? NULL : d->line_pointers.v + at;
}

static void hand_in(struct results *r, struct draft *d)
{
    Stint__V1__JobResults results = STINT__V1__JOB_RESULTS__INIT;
    results.worker_id = wire_uuid(&r->worker_id);
    results.n_result = d->batch->n;
    results.result = d->pointer;
    Stint__V1__Envelope request = wire_envelope(STINT__V1__ENVELOPE__BODY_JOB_RESULTS);
    request.job_results = &results;
    r->in_flight++;
    METRIC_ADD(result_batches, 1);
    bus_send(r->scheduler, &request, ANSWER_WAIT_MS, on_answer, steal(d->batch));
}

void results_flush(struct results *r)
{
    size_t n =
        r->slots->n[JOB_DONE] < BATCH_RESULTS_MAX ? r->slots->n[JOB_DONE] : BATCH_RESULTS_MAX;
    METRIC_SET(results_waiting, r->slots->n[JOB_DONE]);
    if (n == 0 || r->waiting || r->in_flight >= IN_FLIGHT_MAX)
        return;
    struct draft d = {
        .batch = mem_alloc(sizeof(*d.batch) + n * sizeof(d.batch->job[0])),
        .result = mem_calloc(n, sizeof(*d.result)),
        .pointer = mem_calloc(n, sizeof(*d.pointer)),
        .import = mem_calloc(n, sizeof(*d.import)),
        .build = mem_calloc(n, sizeof(*d.build)),
    };
    d.batch->results = r;
    gather(r, &d);
    if (d.batch->n > 0)
        hand_in(r, &d);
    free(d.batch);
    free(d.result);
    free(d.pointer);
    drop_imports(&d, n);
    drop_builds(&d, n);
    vec_done(&d.lines);
    vec_done(&d.line_pointers);
}
