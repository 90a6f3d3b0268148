/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core.h - the brain: tasks, the cap, the queue, leases.  No I/O, no clock, no randomness of its
 * own.
 *
 * Events go in by the functions below; effects (effects.h) come out by core_take_effects().  The
 * core changes its memory at once and trusts that the effects are committed; when a commit fails,
 * whoever runs the core throws it away and loads a new one from Postgres (rule 2).  So everything
 * here may be forgotten at any instant, and nothing may be said before it is committed.
 *
 * Time is handed in by core_set_now(): monotonic milliseconds, whatever their origin.  Tickets are
 * opaque to the core: whoever asked; each is answered at most once, by a reply or a dispatch.
 * Strings in requests are borrowed during the call.
 *
 * One thread.  Used by the scheduler, by its unit tests, and by simulations.
 */
#ifndef SCHEDULER_CORE_CORE_H
#define SCHEDULER_CORE_CORE_H

#include "scheduler/core/effects.h"

struct core;

enum cap_policy { CAP_QUEUE, CAP_REJECT };

struct core_conf {
    int64_t cap;          /* tasks that may hold compute at once */
    int64_t queue_max;    /* starts that may wait */
    int64_t lease_ms;     /* silence after which a worker's jobs are given to others */
    int64_t heartbeat_ms; /* how long a poll is held; at most a third of the lease, 0: a second */
    int64_t attempts_max;
    int64_t retry_ms; /* first pause before another try; doubles, up to 30 s */
    int64_t make_room_grace_ms;
    bool make_room;
    enum cap_policy cap_policy;
    void (*random)(void *data, size_t n);
};

struct core *core_new(const struct core_conf *conf);
void core_free(struct core *c);
/* Other settings from now on.  Tasks beyond a smaller cap keep their compute; nobody else starts
 * until there is room again. */
void core_set_conf(struct core *c, const struct core_conf *conf);

/* Before each round of events. */
void core_set_now(struct core *c, int64_t mono_ms);

/* After each round: plan (who starts next), then hand out everything that has gathered since the
 * last call.  `ret` is cleared first. */
void core_take_effects(struct core *c, struct effects *ret);

/* A tick, every 100 ms or so: held polls, silent workers, retries, make-room. */
void core_tick(struct core *c);

/* ---- requests of gateways ---- */

/* From where a person asks, for the audit. */
struct origin {
    const char *ip, *user_agent, *request_id; /* NULL: nowhere, Stint itself */
};
/* Of the requests that follow; borrowed until the next call. */
void core_set_origin(struct core *c, const struct origin *origin);

struct task_create {
    struct uuid task_id, organization_id, owner_id, initiator_id, template_id, version_id, file_id;
    const char *provisioner, *app_slug, *owner_name, *template_name; /* app_slug "": no agent */
    const char *name, *display_name, *prompt;
    int32_t priority;
    int64_t ttl_ms, activity_bump_ms; /* idle timeout; 0: never, no bump */
    const struct named_text *parameters, *labels;
    size_t n_parameters, n_labels;
    struct uuid preset_id;  /* nil: none */
    int64_t start_after_us; /* the database's wall clock; 0: at once */
    int64_t time_limit_ms;  /* of one run; 0: none */
};
void core_task_create(struct core *c, const struct task_create *r, void *ticket);

enum task_verb { /* values match Stint__V1__TaskVerb */
    TASK_PAUSE = 1,
    TASK_RESUME = 2,
    TASK_DELETE = 3,
    TASK_UPDATE_INPUT = 4,
    TASK_CANCEL = 5,
};
/* `text`: the new input, or the reason of the build that a pause or resume makes ("": the verb's).
 */
void core_task_command(struct core *c, enum task_verb verb, const struct uuid *task_id,
    const struct uuid *initiator_id, const struct uuid *build_id, const char *text, void *ticket);

/* The next command, resumption or update is done only if the task is like this; else it is refused
 * with CHANGED. */
struct task_condition {
    struct uuid build_id; /* its newest; nil: any */
    uint64_t revision;
};
void core_expect(struct core *c, const struct task_condition *only_if);
/* The next input, update, cancel or retry is known by this id, which its sender has chosen: sent
 * again, it is answered as done, whatever has become of its condition.  The newest of each task or
 * job is remembered, in Postgres too. */
void core_command_id(struct core *c, const struct uuid *id);

/* TASK_RESUME with other parameters from now on. */
struct task_resume {
    struct uuid task_id, initiator_id, build_id;
    const char *reason; /* of the build; "" or NULL: task_resume */
    const struct named_text *parameters;
    size_t n_parameters;
};
void core_task_resume(struct core *c, const struct task_resume *r, void *ticket);

/* Options of a task that is there: those of `set` (1u << enum task_option), all or none. */
struct task_update {
    struct uuid task_id, initiator_id;
    unsigned set;
    const char *display_name;
    int32_t priority;
    int64_t start_after_us, time_limit_ms, ttl_ms; /* 0: none */
    const struct named_text *labels;
    size_t n_labels;
};
void core_task_update(struct core *c, const struct task_update *r, void *ticket);
/* What Postgres says of a task named in effects.starts: when it may start, and how long that is
 * from now. */
void core_start_in(
    struct core *c, const struct uuid *task_id, int64_t start_after_us, int64_t left_ms);

void core_task_send(struct core *c, const struct uuid *task_id, const struct uuid *initiator_id,
    const struct uuid *send_id, const char *content, void *ticket);

/* A message that waits until the app can take it; answered when it is kept.  Once is enough. */
void core_message_queue(struct core *c, const struct uuid *task_id, const struct uuid *initiator_id,
    const struct uuid *message_id, const char *content, void *ticket);
/* Take it back: NONE, or MESSAGE_DELIVERED, MESSAGE_UNKNOWN, APP_UNREACHABLE (nobody can tell). */
void core_message_withdraw(struct core *c, const struct uuid *task_id,
    const struct uuid *initiator_id, const struct uuid *message_id, void *ticket);
/* Postgres has no such message that waits: it was over before it was asked for again. */
void core_message_gone(struct core *c, const struct uuid *message_id);

void core_app_status(struct core *c, const struct uuid *agent_id, const char *slug,
    const char *state, const char *message, const char *uri, void *ticket);

struct template_import {
    struct uuid version_id, job_id, organization_id, initiator_id, file_id;
    const char *provisioner;
};
void core_template_import(struct core *c, const struct template_import *r, void *ticket);
/* Answered like a command: NONE, JOB_OVER, JOB_CANCELED. */
void core_import_cancel(
    struct core *c, const struct uuid *job_id, const struct uuid *initiator_id, void *ticket);

/* A dead job gets another series of tries.  Answered by NONE, JOB_NOT_DEAD, JOB_SUPERSEDED, or why
 * the start may not get in line. */
struct job_retry {
    struct uuid job_id, initiator_id;
    struct uuid task_id; /* whose build it is of; nil: an import */
};
void core_job_retry(struct core *c, const struct job_retry *r, void *ticket);
/* Postgres had an import of effects.import_retries as dead; now it waits. */
struct load_import;
void core_import_revived(struct core *c, const struct load_import *i);

struct queue_place {
    uint32_t position;     /* 0: does not wait in the queue */
    uint64_t eta_ms;       /* 0: cannot be told */
    uint64_t starts_in_ms; /* waits outside the queue for its earliest start; 0: does not */
};
struct queue_place core_queue_place(struct core *c, const struct uuid *task_id);

/* The first `max` waiting tasks behind place `after`, in order, of one owner (NULL: all); how many
 * there are.  ret_size: how many of the owner wait, wherever. */
struct queue_entry {
    struct uuid task_id;
    struct queue_place place;
};
size_t core_queue_list(struct core *c, const struct uuid *owner_id, uint32_t after,
    struct queue_entry *ret, size_t max, size_t *ret_size);

struct core_counts {
    size_t tasks, holding, cap, waiting, workers, jobs_running;
    size_t sleeping; /* tasks that wait for their earliest start */
    size_t messages; /* that wait for apps */
    uint64_t dead, revived;
    uint64_t stale_results, leases_lost, retries, made_room, auto_paused, time_limited, delivered;
};
struct core_counts core_counts(const struct core *c);

/* ---- requests of workers ---- */

struct worker_poll {
    struct uuid worker_id;
    const char *name, *host, *version;
    const char *provisioners; /* comma-separated */
    const char *agent_url;    /* for agents of other machines; "": none */
    int32_t slots, free_slots;
    bool draining;
    bool knows_us; /* it has heard of this leader's epoch */
    bool sessions_complete;
    const struct job_ref *running;
    size_t n_running;
    const struct uuid *sessions, *closed;
    size_t n_sessions, n_closed;
};
/* Held until there is work, or until the tick after a heartbeat. */
void core_worker_poll(struct core *c, const struct worker_poll *p, void *ticket);
/* What Postgres says of a worker named in effects.silent: how much is left of its lease. */
void core_worker_lease(struct core *c, const struct uuid *worker_id, int64_t left_ms);

enum job_outcome { /* values match Stint__V1__JobOutcome */
    OUTCOME_SUCCEEDED = 1,
    OUTCOME_FAILED = 2,
    OUTCOME_FAILED_FOR_GOOD = 3,
    OUTCOME_CANCELED = 4,
    OUTCOME_HANDED_BACK = 5,
};
/* The rows' version_id and position are filled in. */
struct import_parameter {
    struct row_version_parameter row;
    const struct row_version_option *options;
    size_t n_options;
};
struct import_preset {
    struct row_version_preset row;
    const struct named_text *parameters;
    size_t n_parameters;
};
struct job_result {
    struct job_ref job;
    enum job_outcome outcome;
    const char *error, *host;
    bool clean;
    bool has_ai_task; /* imports */
    const char *app_slug;
    /* Imports, where version_id and is_task_app are filled in, and builds of Terraform. */
    const struct row_version_app *apps;
    size_t n_apps;
    const struct import_parameter *parameters; /* imports */
    size_t n_parameters;
    const struct import_preset *presets; /* imports */
    size_t n_presets;
    const struct row_version_variable *variables; /* imports */
    size_t n_variables;
    const char *resources;      /* JSON, imports and builds; NULL or "": none */
    const char *external_auth;  /* JSON, imports */
    const char *agent;          /* JSON, builds */
    const struct row_log *logs; /* id: the worker's number of the line */
    size_t n_logs;
};
/* One by one; core_answer() when all of a request are in. */
void core_job_result(struct core *c, const struct uuid *worker_id, const struct job_result *r);
/* Answer with the batch at hand: after all that was done so far is committed. */
void core_answer(struct core *c, void *ticket, enum refusal code);

void core_agent_open(struct core *c, const struct uuid *worker_id, const struct uuid *agent_id,
    const struct uuid *token, void *ticket);
void core_send_result(
    struct core *c, const struct uuid *send_id, enum refusal code, const char *detail);

/* ---- from ingest, after its commit ---- */

/* The agent's app now is in `state` (or NULL), its life cycle in `lifecycle` (or NULL). */
void core_agent_said(
    struct core *c, const struct uuid *agent_id, const char *state, const char *lifecycle);
/* How this app of the agent's is doing (slug NULL: the task's): a name of the SQL type app_health.
 */
void core_agent_health(
    struct core *c, const struct uuid *agent_id, const char *slug, const char *health);

/* ---- loading, before the first event ---- */

struct load_task {
    struct uuid id, organization_id, owner_id, template_id, version_id, workspace_id;
    struct uuid file_id, build_id, job_id, worker_id;
    struct uuid agent_id, agent_token; /* of the newest start build */
    struct uuid command_id, update_id;
    struct uuid build_before; /* the build before the newest */
    const char *name, *provisioner, *app_slug, *owner_name, *template_name, *host;
    const char *app_state, *app_health, *lifecycle, *error;
    int32_t build_number, priority, attempt, series;
    int64_t token, status_seq, message_seq, revision;
    int64_t ttl_ms, activity_bump_ms, deadline_left_ms; /* the last counts with has_deadline */
    int64_t start_after_us;                             /* 0: none, or it is over */
    int64_t time_limit_ms, ran_ms;                      /* ran_ms: since the start has succeeded */
    enum job_kind kind;
    enum job_state state;
    bool deleted, holds_compute, cancel_requested, has_deadline, has_parameters;
};
void core_load_task(struct core *c, const struct load_task *t);

struct load_import {
    struct uuid job_id, version_id, organization_id, file_id, worker_id, command_id;
    const char *provisioner;
    enum job_state state;
    int64_t token;
    int32_t attempt;
};
void core_load_import(struct core *c, const struct load_import *i);

/* Messages that wait, first to last within their task; after the tasks. */
struct load_message {
    struct uuid id, task_id;
    int64_t seq;
    size_t bytes;
};
void core_load_message(struct core *c, const struct load_message *m);

/* A worker with a lease: it keeps its jobs until the lease is over. */
void core_load_worker(struct core *c, const struct uuid *id, const char *name, const char *host,
    const char *provisioners, int64_t lease_left_ms);

/* All is loaded: take up what was left (clean-ups, jobs whose workers are unknown). */
void core_load_done(struct core *c);

#endif
