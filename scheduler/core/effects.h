/* SPDX-License-Identifier: Apache-2.0 */
/*
 * effects.h - what the core wants done: rows to write, then things to say.
 *
 * One `struct effects` is one batch.  The store writes all rows in one transaction (rule 1: commit,
 * then speak) and only after the commit are replies and dispatches released and changes published.
 * If the commit fails, nothing of it is said.
 *
 * Strings are borrowed: from the batch's own arena, or from the core, which keeps what a batch
 * names until the next one is taken.  The store therefore packs the rows at once.
 */
#ifndef SCHEDULER_CORE_EFFECTS_H
#define SCHEDULER_CORE_EFFECTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/uuid.h"
#include "core/base/vec.h"
#include "core/wire/wire.h"
#include "scheduler/core/job_state.h"

/* Values match Stint__V1__JobKind; names are those of the SQL type job_kind. */
enum job_kind { JOB_START = 1, JOB_STOP = 2, JOB_DELETE = 3, JOB_IMPORT = 4 };
const char *job_kind_name(enum job_kind kind);

/* A name with its text: a parameter and its value, a label. */
struct named_text {
    const char *name, *value;
};

/* ---- rows ---- */

/* Some of a batch's `texts`. */
struct text_range {
    size_t at, n;
};

struct row_task_new {
    struct uuid id, organization_id, owner_id, workspace_id, template_id, version_id;
    struct uuid preset_id; /* nil: none */
    const char *name, *display_name, *prompt, *provisioner;
    int64_t ttl_ms, activity_bump_ms;
    int64_t start_after_us; /* INT64_MIN: at once */
    int64_t time_limit_ms;
    int32_t priority;
    bool has_options; /* any that is not as the table has it anyway */
    struct text_range parameters, labels;
};

/* Values match Stint__V1__TaskOption; the last is no part of it: a resume brings parameters. */
enum task_option {
    TASK_OPTION_DISPLAY_NAME = 1,
    TASK_OPTION_PRIORITY = 2,
    TASK_OPTION_START_AFTER = 3,
    TASK_OPTION_TIME_LIMIT = 4,
    TASK_OPTION_TTL = 5,
    TASK_OPTION_LABELS = 6,
    TASK_OPTION_PARAMETERS = 7,
};

struct row_audit {
    struct uuid actor_id, resource_id;
    const char *action, *resource_type;
    /* What it is called, from where it was asked for, the prompt it gets.  Each may be NULL. */
    const char *target, *ip, *user_agent, *request_id, *prompt;
};

/* Options of a task that is there. */
struct row_task_options {
    struct uuid id, workspace_id;
    struct uuid update_id; /* nil: as it was */
    unsigned set;          /* 1u << enum task_option: those that change */
    const char *display_name;
    int32_t priority;
    int64_t start_after_us; /* INT64_MIN: none */
    int64_t time_limit_ms, ttl_ms;
    struct text_range labels, parameters;
    struct row_audit audit; /* goes out with before and after; action NULL: none */
};

/* A build with its job, and its agent and app where the template has one. */
struct row_build_new {
    struct uuid id, workspace_id, task_id, organization_id, initiator_id, version_id, job_id;
    struct uuid agent_id, agent_token, app_id; /* nil: none */
    int32_t number, priority;
    enum job_kind kind;
    enum job_state job_state;
    bool holds_compute;
    bool has_parameters; /* the task has; the row gets a copy of them */
    const char *reason, *provisioner, *app_slug;
};

/* A job without a build of its own: an import, or the clean-up after a failed start. */
struct row_job_new {
    struct uuid id, organization_id, initiator_id, build_id, version_id;
    enum job_kind kind;
    const char *provisioner;
};

struct row_job {
    struct uuid id, worker_id;
    struct uuid command_id; /* nil: as it was */
    enum job_state state;
    int64_t token, token_was; /* the write is fenced by token_was (rule 3) */
    int32_t attempt;
    bool holds_compute, cancel_requested;
    const char *error;
};

/* Values match the SQL type job_death by name. */
enum job_death { DEATH_FOR_GOOD = 1, DEATH_ATTEMPTS, DEATH_LEASE };
const char *job_death_name(enum job_death cause);

/* Nobody tries it any more. */
struct row_job_dead {
    struct uuid id, worker_id;
    enum job_death cause;
    int32_t attempts;
};

/* Somebody wants it tried again; its row_job has the rest. */
struct row_job_revived {
    struct uuid id, actor_id;
};

/* A dead import, which memory does not have: if Postgres has it, core_import_revived() is told. */
struct row_import_retry {
    struct uuid id, actor_id, command_id;
    struct row_audit audit;
};

/* What a workspace's row says about its newest build. */
struct row_workspace {
    struct uuid id, latest_build_id, latest_agent_id;
    int32_t build_number;
    const char *host; /* NULL: none yet */
    bool deleted;
};

struct row_task_change {
    struct uuid id;
    struct uuid update_id; /* nil: as it was */
    bool deleted;
    const char *prompt; /* NULL: as it was */
};

struct row_version_done {
    struct uuid id;
    bool has_ai_task;
    const char *app_slug;
    const char *resources, *external_auth; /* JSON; NULL: none */
};

/* What a template version asks of whoever pushes it. */
struct row_version_variable {
    struct uuid version_id;
    const char *name, *description, *type, *default_value;
    bool required, sensitive;
    int32_t position;
};

/* What a build has left in the world: JSON, for those who read it; agent NULL: none. */
struct row_build_found {
    struct uuid build_id;
    const char *resources, *agent;
};

/* An app of an agent as its build has made it. */
struct row_agent_app {
    struct uuid agent_id;
    const char *slug, *display_name, *icon, *url;
    bool has_health_check;
};

/* An app that a template version brings. */
struct row_version_app {
    struct uuid version_id;
    const char *slug, *display_name, *icon, *url;
    bool has_health_check, is_task_app;
};

/* What a task of a template version may or must be given. */
struct row_version_parameter {
    struct uuid version_id;
    const char *name, *display_name, *description, *icon, *type, *default_value;
    const char *regex, *error;
    bool is_mutable, required, has_min, has_max;
    int64_t min, max;
    int32_t position;
};

/* A value that a parameter may have. */
struct row_version_option {
    struct uuid version_id;
    const char *parameter, *name, *value, *description, *icon;
};

struct row_version_preset {
    struct uuid version_id, id;
    const char *name, *description, *icon;
    bool is_default;
    int32_t position;
    struct text_range parameters;
};

/* When a build's workspace is to pause by itself, counted from the commit; below zero: never. */
struct row_deadline {
    struct uuid build_id;
    int64_t left_ms;
};

struct row_message_new {
    struct uuid id, task_id, initiator_id;
    int64_t seq;
    const char *content;
};

struct row_message_over {
    struct uuid id, task_id;
    const char *state, *detail; /* state: a name of the SQL type message_state */
};

struct row_worker {
    struct uuid id;
    const char *name, *host, *version, *state, *agent_url;
    const char *provisioners; /* comma-separated */
    int32_t slots;
    int64_t lease_left_ms;
};

struct row_status {
    struct uuid agent_id;
    int64_t seq;
    const char *slug, *state, *message, *uri;
};

struct row_log {
    struct uuid job_id;
    int64_t id, at_us; /* at_us 0: as it is written */
    const char *level, *stage, *output;
};

/* ---- said after the commit ---- */

/* REPLY_MESSAGE: a withdrawal, answered by what Postgres knows of message_id of task_id. */
enum reply_kind { REPLY_STATUS, REPLY_TASK, REPLY_AGENT_OPENED, REPLY_MESSAGE };

struct reply {
    void *ticket;
    enum reply_kind kind;
    enum refusal code;
    const char *detail; /* NULL: the refusal's own */
    struct uuid task_id, workspace_id, build_id, message_id;
    /* Not nil: it is done, whatever the code, if Postgres knows command_id as the job's newest. */
    struct uuid job_id, command_id;
    struct uuid watermark_of; /* REPLY_AGENT_OPENED: read this agent's watermark */
};

struct job_ref {
    struct uuid id;
    int64_t token;
};

/* All of JobSpec but the prompt, the parameters and the facts, which the store reads from Postgres
 * when they are wanted. */
struct job_spec {
    struct uuid job_id, version_id, file_id, build_id, workspace_id, task_id, owner_id;
    struct uuid agent_id, agent_token;
    int64_t token;
    enum job_kind kind;
    int32_t attempt, build_number, series;
    bool wants_prompt, wants_parameters, wants_facts;
    const char *provisioner, *workspace_name, *owner_name, *app_slug, *template_name;
};

struct agent_message {
    struct uuid agent_id, send_id, task_id;
    bool when_stable; /* one that waits: the store reads its content from Postgres */
    bool withdraw;
    char *content; /* owned; NULL with when_stable and with withdraw */
};

typedef VEC(struct job_spec) job_spec_vec;
typedef VEC(struct job_ref) job_ref_vec;
typedef VEC(struct agent_message) agent_message_vec;
typedef VEC(struct uuid) uuid_vec;

/* The answer to a worker's poll. */
struct work {
    job_spec_vec jobs;
    job_ref_vec cancels, abandons;
    agent_message_vec messages;
    uuid_vec revoked;
    bool resync;
    int64_t lease_ms; /* from when the poll came; 0: nothing is said about it */
};
bool work_is_empty(const struct work *w);
void work_done(struct work *w);

struct dispatch {
    void *ticket;
    struct work work;
};

struct effects {
    VEC(struct row_task_new) tasks_new;
    VEC(struct row_build_new) builds_new;
    VEC(struct row_job_new) jobs_new;
    VEC(struct row_job) jobs;
    VEC(struct row_job_dead) jobs_dead;
    VEC(struct row_job_revived) jobs_revived;
    VEC(struct row_import_retry) import_retries;
    VEC(struct row_workspace) workspaces;
    VEC(struct row_task_change) tasks;
    VEC(struct row_task_options) options;
    VEC(struct row_version_done) versions;
    VEC(struct row_version_app) version_apps;
    VEC(struct row_version_parameter) version_parameters;
    VEC(struct row_version_option) version_options;
    VEC(struct row_version_preset) version_presets;
    VEC(struct row_version_variable) version_variables;
    VEC(struct row_build_found) builds_found;
    VEC(struct row_agent_app) agent_apps;
    VEC(struct row_deadline) deadlines;
    VEC(struct row_message_new) messages_new;
    VEC(struct row_message_over) messages_over;
    VEC(struct row_worker) workers;
    VEC(struct row_status) statuses;
    uuid_vec agents_lost; /* without a session for long */
    uuid_vec starts;      /* tasks whose earliest start is to be looked up: core_start_in() */
    uuid_vec silent;      /* workers whose lease is to be looked up: core_worker_lease() */
    VEC(struct row_log) logs;
    VEC(struct row_audit) audits;

    VEC(struct reply) replies;
    VEC(struct dispatch) dispatches;
    uuid_vec changed; /* tasks (and imports) whose reading has changed */

    VEC(struct named_text) texts; /* that rows name by a text_range */

    VEC(char *) arena;
};

void effects_clear(struct effects *e); /* ready for use again, memory kept */
void effects_done(struct effects *e);
/* A copy that lives as long as the batch; NULL stays NULL. */
const char *effects_strdup(struct effects *e, const char *s);
/* Copies of them, likewise. */
struct text_range effects_texts(struct effects *e, const struct named_text *list, size_t n);
/* There is something to commit. */
bool effects_have_rows(const struct effects *e);
bool effects_are_empty(const struct effects *e);

#endif
