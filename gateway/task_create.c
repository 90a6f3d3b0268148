/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_create.c - POST /tasks/{user}: the checks in Coder's order, then the scheduler.
 */
#include <string.h>

#include "core/base/rng.h"
#include "core/base/text.h"
#include "gateway/parameters.h"
#include "gateway/task_load.h"
#include "gateway/task_template.h"

#define NO_VERSION "Template version not found or you do not have access to this resource"

/* A name made from the prompt may be taken; another suffix is not. */
#define NAME_TRIES 8

struct creation {
    struct uuid task_id, owner_id, version_id, preset_id;
    struct task_template template;
    struct parameters parameters;
    char owner_name[33];
    char name[TASK_NAME_MAX + 1];
    char display_name[TASK_DISPLAY_NAME_MAX + 1];
    const char *prompt;  /* borrowed from r->json */
    unsigned names_left; /* to be tried; 0: the name was given */
};

static void creation_done(void *state)
{
    struct creation *c = state;
    parameters_done(&c->parameters);
}

/* ---- 5. the answer ---- */

static void show_created(struct request *r)
{
    const struct task_set *set = r->state;
    if (set->blobs[0] == NULL)
        answer_not_found(r); /* deleted already */
    else
        task_answer(r, 201);
}

static void ask_scheduler(struct request *r);

static void on_created(struct request *r, const Stint__V1__Envelope *reply)
{
    struct creation *c = r->state;
    struct uuid id = c->task_id;
    uint32_t code = REFUSAL_MALFORMED;
    const char *detail = "";
    if (reply->body_case == STINT__V1__ENVELOPE__BODY_TASK_REPLY) {
        code = reply->task_reply->code;
        detail = reply->task_reply->detail;
    } else if (reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS) {
        code = reply->status->code;
        detail = reply->status->detail;
    }
    if (code == REFUSAL_NAME_TAKEN && c->names_left > 0) {
        ask_scheduler(r);
        return;
    }
    if (code != REFUSAL_NONE) {
        answer_refusal(r, code, detail, c->name);
        return;
    }
    task_cache_drop(r->gw->cache, &id);
    struct task_set *set = request_state(r, sizeof(*set), task_set_done);
    *vec_push(&set->ids) = id;
    task_load(r, show_created);
}

/* ---- 4. the names, and the scheduler ---- */

static void make_name(struct creation *c)
{
    uint32_t random;
    if (c->names_left > 0) {
        c->names_left--;
        rng_bytes(&random, sizeof(random));
        text_name_from_prompt(c->prompt, random, c->name);
    }
    if (c->display_name[0] == '\0')
        text_display_from_name(c->name, c->display_name);
}

static void ask_scheduler(struct request *r)
{
    struct creation *c = r->state;
    Stint__V1__TaskCreate m = STINT__V1__TASK_CREATE__INIT;
    make_name(c);
    c->task_id = uuid_random();
    task_template_fill(&c->template, &m);
    m.task_id = wire_uuid(&c->task_id);
    m.owner_id = wire_uuid(&c->owner_id);
    m.owner_name = c->owner_name;
    m.initiator_id = wire_uuid(&r->who.id);
    m.template_version_id = wire_uuid(&c->version_id);
    m.name = c->name;
    m.display_name = c->display_name;
    m.prompt = (char *)(uintptr_t)c->prompt;
    m.template_version_preset_id = wire_uuid(&c->preset_id);
    m.parameter = c->parameters.list;
    m.n_parameter = c->parameters.n;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_CREATE);
    e.task_create = &m;
    ask_bus(r, &e, ASK_BUS_TIMEOUT_MS, on_created);
}

/* ---- 3. the parameters: those of the preset, else the defaults ---- */

static struct parameters_want wanted(const struct creation *c)
{
    return (struct parameters_want){.version_id = c->version_id, .preset_id = c->preset_id};
}

static void on_parameters(struct request *r, const struct db_result *const *results)
{
    struct creation *c = r->state;
    struct parameters_wrong wrong;
    const struct parameters_want w = wanted(c);
    if (parameters_resolve(&w, results, &c->parameters, &wrong))
        ask_scheduler(r);
    else
        answer_error(r, 400, wrong.message, wrong.detail);
}

/* Most templates have none: no question then. */
static void settle_parameters(struct request *r, bool has_parameters)
{
    const struct parameters_want w = wanted(r->state);
    if (!has_parameters && uuid_is_nil(&w.preset_id)) {
        ask_scheduler(r);
        return;
    }
    struct db_batch *b = db_batch_new();
    parameters_read(&w, b);
    ask_db(r, b, on_parameters);
}

static void create(struct request *r, const struct db_result *version)
{
    struct creation *c = r->state;
    task_template_read(&c->template, version);
    if (c->name[0] == '\0')
        c->names_left = NAME_TRIES;
    if (c->display_name[0] == '\0')
        text_display_from_prompt(c->prompt, c->display_name);
    settle_parameters(r, db_bool(version, 0, 14));
}

/* ---- 2. the version ---- */

/* The columns: organization, template, its name, deprecated, version's name, provisioner, slug,
 * file, archived, has_ai_task, state and error of the import, the template's idle timeout and
 * activity bump, whether it has parameters. */
static bool check_version(struct request *r, const struct db_result *v)
{
    const char *import = db_text(v, 0, 10);
    if (strcmp(import, "pending") == 0 || strcmp(import, "running") == 0)
        answer_errorf(r, 406, NULL,
            "The provided template version is %s. Wait for it to complete importing!", import);
    else if (strcmp(import, "succeeded") != 0)
        answer_errorf(r, 400, db_text(v, 0, 11),
            "The provided template version \"%s\" has failed to import. You cannot build "
            "workspaces "
            "with it!",
            db_text(v, 0, 4));
    else if (!db_bool(v, 0, 9))
        answer_error(r, 400, "Template does not have a valid \"coder_ai_task\" resource.", NULL);
    return !r->is_over;
}

static bool check_template(struct request *r, const struct db_result *v)
{
    if (db_text(v, 0, 2)[0] == '\0')
        answer_error(r, 400, "The provided template version is not part of a template.",
            "Create a template from it first.");
    else if (db_text(v, 0, 3)[0] != '\0')
        answer_errorf(r, 400, db_text(v, 0, 3),
            "Template \"%s\" has been deprecated, and cannot be used to create a new workspace.",
            db_text(v, 0, 2));
    else if (db_bool(v, 0, 8))
        answer_invalid(r, 500, "Archived template versions cannot be used to make a workspace.",
            "template_version_id", "template version archived");
    return !r->is_over;
}

static const char *why_no_name(const char *name)
{
    if (strlen(name) > TASK_NAME_MAX)
        return "must be <= 32 characters";
    if (strcmp(name, "new") == 0)
        return "cannot use \"new\" as a name";
    if (strcmp(name, "create") == 0)
        return "cannot use \"create\" as a name";
    return text_is_name(name) ? NULL : "must be alphanumeric with hyphens";
}

static bool check_names(struct request *r, struct creation *c)
{
    const char *name, *display, *why;
    if (!request_text(r, "name", &name) || !request_text(r, "display_name", &display))
        return false;
    if (name[0] != '\0' && (why = why_no_name(name)) != NULL) {
        answer_error(r, 400, "Unable to create a Task with the provided name.", why);
        return false;
    }
    display += strspn(display, " \t\r\n");
    size_t n = strlen(display);
    while (n > 0 && strchr(" \t\r\n", display[n - 1]) != NULL)
        n--;
    if (n > TASK_DISPLAY_NAME_MAX) {
        answer_error(r, 400, "Display name must be 64 characters or less.", NULL);
        return false;
    }
    snprintf(c->name, sizeof(c->name), "%s", name);
    snprintf(c->display_name, sizeof(c->display_name), "%.*s", (int)n, display);
    return true;
}

static void on_version(struct request *r, const struct db_result *const *results)
{
    const struct db_result *v = results[0];
    if (db_rows(v) == 0)
        answer_error(r, 400, NO_VERSION, NULL);
    else if (check_version(r, v) && check_names(r, r->state) && check_template(r, v))
        create(r, v);
}

/* ---- 1. the body ---- */

static void read_body(struct request *r, const struct uuid *owner_id, const char *owner_name)
{
    struct creation *c = request_state(r, sizeof(*c), creation_done);
    c->owner_id = *owner_id;
    snprintf(c->owner_name, sizeof(c->owner_name), "%s", owner_name);
    if (request_json(r) == NULL || !request_uuid(r, "template_version_id", &c->version_id) ||
        !request_uuid(r, "template_version_preset_id", &c->preset_id) ||
        !request_text(r, "input", &c->prompt) || !task_check_prompt(r, c->prompt))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_VERSION_FOR_TASK);
    db_add_uuid(b, &c->version_id);
    ask_db(r, b, on_version);
}

void task_create(struct request *r)
{
    find_user(r, read_body);
}
