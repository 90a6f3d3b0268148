/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.h - the objects inside the core.  Seen by scheduler/core/ alone.
 *
 * A task and its workspace are one object: they are born together, and the object lives until the
 * workspace's delete build has succeeded.  Of the builds only the newest is kept, with its job.
 * Every change of a row is marked (job_mark, task_mark_workspace) and written once per batch, as
 * the object then stands.
 */
#ifndef SCHEDULER_CORE_MODEL_H
#define SCHEDULER_CORE_MODEL_H

#include "core/base/list.h"
#include "core/base/map.h"
#include "core/base/text.h"
#include "scheduler/core/core.h"

struct lane;
struct pool;

struct owner {
    struct uuid id;
    const char *name;
    size_t holding;      /* of its tasks, how many hold compute */
    uint64_t served_seq; /* when one of them was started last; grows */
    VEC(struct lane *) lanes;
};

struct version {
    struct uuid id, file_id;
    const char *template_name;
};

struct worker {
    struct uuid id;
    const char *name, *host, *version, *agent_url;
    char *provisioners;
    int32_t slots;
    int32_t free_slots; /* as of the held poll, less what was given since */
    bool draining;
    bool known;   /* has spoken to this leader */
    void *ticket; /* the held poll, NULL: none */
    int64_t hold_until_ms;
    int64_t seen_at_ms;     /* its newest poll */
    int64_t row_at_ms;      /* when its row was last written */
    int64_t lease_until_ms; /* as that row has it, as far as one can tell here */
    bool is_asked;          /* Postgres is asked whether the lease is over */
    size_t mail_bytes;      /* of waiting messages in the outbox */
    struct list jobs;       /* leased to it */
    struct work outbox;
};

struct job {
    struct uuid id;
    enum job_kind kind;
    enum job_state state;
    int64_t token, token_was; /* token_was: as Postgres has it */
    struct uuid command_id;   /* the newest cancel or retry, as its sender calls it */
    int32_t attempt, priority;
    int32_t series; /* counts returns from the dead */
    bool holds_compute;
    bool in_doubt; /* before its lease something may have been begun: its "clean" is no proof */
    bool cancel_requested;
    bool dirty;
    bool named;  /* mentioned by the poll at hand */
    bool sleeps; /* waits for its earliest start, in core->sleeping */
    int64_t cancel_sent_ms;
    int64_t ready_at_ms; /* a retry waits until then */
    int64_t waiting_since_ms;
    int64_t wake_at_ms;  /* while it sleeps: when to ask again; INT64_MAX: asked */
    int64_t start_at_ms; /* while it sleeps: when it may start; INT64_MAX: not known yet */
    uint64_t seq;        /* age in the queue */
    uint32_t position;
    struct worker *worker;
    struct task *task; /* NULL: an import */
    struct pool *pool;
    struct lane *lane; /* while it waits for the cap */
    struct list link;  /* worker->jobs, lane->jobs, pool->urgent, core->retries or core->sleeping */
    char *error;       /* owned */
};

enum lifecycle_phase { PHASE_STARTING, PHASE_READY, PHASE_ENDING };

enum app_health { HEALTH_DISABLED, HEALTH_INITIALIZING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };

struct agent {
    struct uuid id, token;
    struct task *task;
    struct worker *session; /* NULL: not connected */
    struct worker *also;    /* says that it has a session with it, too: one of them is over */
    enum lifecycle_phase phase;
    enum app_health health; /* of the task's app */
    bool working;
    bool resting; /* complete, idle or failure: the app has nothing to do */
    int64_t rests_since_ms;
    int64_t alone_since_ms; /* without a session although its start has succeeded; 0: not so */
    bool said_gone;         /* we have said in its name that it is gone */
    bool is_lost;           /* Postgres has been told that it has no session */
    int64_t status_seq;     /* last number given to a status that came over REST; <= 0 */
    struct list rest_link;
};

struct task {
    struct uuid id, workspace_id, organization_id, template_id;
    struct uuid build_id, build_before; /* the newest, and the one before it (nil: none) */
    struct owner *owner;
    struct version *version;
    struct agent *agent; /* of the newest start build; NULL: none */
    const char *provisioner, *app_slug, *host;
    int32_t build_number, priority;
    bool deleted;
    bool workspace_dirty, workspace_deleted;
    bool changed; /* named in this batch's changes */
    bool has_parameters;
    char name[TASK_NAME_MAX + 1];
    struct job job;      /* of the newest build */
    struct job *cleanup; /* after a failed start that may still hold compute */

    int64_t ttl_ms, bump_ms;
    int64_t deadline_ms;    /* while timed_link is linked */
    struct list timed_link; /* in core->timed */

    int64_t start_after_us; /* 0: may start at once */
    int64_t time_limit_ms;  /* 0: none */
    int64_t run_began_ms;   /* when the start has succeeded */
    struct list limit_link; /* in core->limited */

    struct mailbox *mail;  /* NULL: no message waits */
    uint64_t revision;     /* counts changes of its options and its input */
    struct uuid update_id; /* the newest of them, as its sender calls it */
    int64_t message_seq;   /* last number given to one */
};

struct import {
    struct job job;
    struct uuid version_id, organization_id, file_id;
    const char *provisioner;
};

/* A message that waits for an app; what it says is in Postgres alone. */
struct message {
    struct uuid id;
    int64_t seq;
    size_t bytes;
    struct mailbox *box;
    struct list link;
    bool withdrawing;  /* wanted back, for good */
    void *ticket;      /* who waits for that; NULL: nobody any more */
    struct uuid actor; /* who has asked for it */
    int64_t until_ms;  /* how long the ticket waits */
};

/* The waiting messages of one task, first to last.  Only the first is ever with an agent. */
struct mailbox {
    struct task *task;
    struct list messages;
    size_t n;
    struct list link;  /* in core->mailboxes */
    bool maybe_there;  /* the agent may have the first one, or have taken it */
    int64_t try_at_ms; /* the first one is not handed over (again) before */
    int64_t pause_ms;  /* the last one after a refusal */
};

/* A message on its way to an app: somebody waits for what becomes of it. */
struct send {
    struct uuid id, agent_id;
    void *ticket;
    int64_t until_ms;
    char *content; /* owned; for the agent's next worker, should this one die */
};

/* Starts of one owner and priority in one pool, oldest first. */
struct lane {
    struct owner *owner;
    struct pool *pool;
    int32_t priority;
    size_t heap_at;
    struct list jobs;
};

/* Lanes of one priority as a heap: the owner that holds least, then the oldest job, is on top. */
struct level {
    int32_t priority;
    VEC(struct lane *) heap;
};

/* Jobs that the same workers can take. */
struct pool {
    const char *provisioner, *host; /* host NULL: any */
    struct list urgent;             /* stops, deletes, imports, retries that hold compute already */
    VEC(struct level *) levels;     /* highest priority first */
    size_t n_waiting;               /* in the levels */
};

struct core {
    struct core_conf conf;
    int64_t now_ms;
    uint64_t next_seq;
    size_t n_holding, n_waiting, n_sleeping;

    struct map tasks, names, jobs, agents, workers, owners, versions, sends, messages;
    VEC(struct pool *) pools;
    struct map words;    /* interned, by their hash */
    struct list retries; /* pending jobs whose time has not come */
    struct list resting; /* agents, longest rest first */
    struct list timed;   /* tasks that pause by themselves some time */
    struct list mailboxes;
    struct list sleeping; /* jobs that wait for their earliest start */
    struct list limited;  /* tasks whose run has a time limit */

    VEC(struct job *) dirty_jobs;
    VEC(struct task *) dirty_workspaces;
    VEC(struct task *) forgotten;           /* freed when the batch after the next is taken */
    VEC(struct job *) over;                 /* imports and clean-ups, likewise */
    size_t n_forgotten_named, n_over_named; /* of them, named by the batch taken last */

    uint64_t queue_version;  /* changes whenever positions may have */
    uint64_t placed_version; /* of the positions at hand */
    int64_t placed_at_ms;
    int64_t silent_checked_ms, idle_checked_ms, limit_checked_ms;
    int64_t ticked_at_ms;
    int64_t judge_at_ms;  /* no lease is over before: we have not listened for long enough */
    int64_t next_wake_ms; /* nobody sleeps that is to be asked about before */
    int64_t last_start_ms;
    double start_interval_ms; /* between starts while others waited; moving average */

    struct core_counts counts;
    struct origin origin;           /* of the request at hand */
    struct task_condition expected; /* by it; counts with has_expected */
    bool has_expected;
    struct uuid command_id; /* of the request at hand; nil: it has none */
    struct effects *out;    /* what gathers */
};

/* ---- core.c: small things everybody needs ---- */

/* The one copy of a short word (provisioner, host, slug, name of an owner or template). */
const char *core_intern(struct core *c, const char *s);
struct uuid core_uuid(struct core *c);
void core_reply(struct core *c, void *ticket, enum refusal code);
void core_reply_task(struct core *c, void *ticket, enum refusal code, const struct task *t);
void core_audit(struct core *c, const struct uuid *actor, const char *action,
    const char *resource_type, const struct uuid *resource);
struct owner *core_owner(struct core *c, const struct uuid *id, const char *name);
struct version *core_version(
    struct core *c, const struct uuid *id, const struct uuid *file_id, const char *template_name);
/* Key of the map of workspace names: one owner, case-insensitively. */
struct uuid core_name_key(const struct uuid *owner_id, const char *name);

/* Takes the condition of core_expect(): is the task like that? */
bool task_is_expected(struct core *c, const struct task *t);
/* Takes the id of core_command_id(); nil: none. */
struct uuid core_take_command_id(struct core *c);
/* The command of this id is done already: `newest` is what we remember. */
bool command_is_done(const struct uuid *command_id, const struct uuid *newest);
/* Of the newest reply: its code stands unless Postgres knows the command as done. */
void core_unless_done(struct core *c, const struct uuid *job_id, const struct uuid *command_id);
void task_mark_changed(struct core *c, struct task *t);
void task_mark_workspace(struct core *c, struct task *t);
void job_mark(struct core *c, struct job *j);
/* Its row goes out as it is now: the object is about to hold another job. */
void job_write_now(struct core *c, struct job *j);

/* ---- queue.c ---- */

struct pool *queue_pool(struct core *c, const char *provisioner, const char *host);
/* A pending job gets in line; urgent or by the cap, as it is. */
void queue_add(struct core *c, struct job *j);
void queue_remove(struct core *c, struct job *j);
/* Give waiting jobs to workers with room, within the cap. */
void queue_plan(struct core *c);
/* Waiting starts that some worker could take if there was room under the cap. */
size_t queue_waits_for_room(const struct core *c);
/* The number of an owner's tasks that hold compute has changed: its lanes move. */
void queue_owner_changed(struct core *c, struct owner *o);
void queue_done(struct core *c);

/* ---- job.c ---- */

/* The only writer of job->state.  Asserts that the transition is legal. */
void job_move(struct core *c, struct job *j, enum job_event event);
/* Its workspaces live on no worker's host, and its templates are told more. */
bool provisioner_is_terraform(const char *provisioner);
/* Rule 5: the one place where the cap's count changes. */
void job_set_holds(struct core *c, struct job *j, bool holds);
void job_lease(struct core *c, struct job *j, struct worker *w);
/* Its worker fell silent. */
void job_expire(struct core *c, struct job *j);
void job_retry_due(struct core *c);
void job_start_cleanup(struct core *c, struct task *t);
/* Somebody wants it no more: at once when it waits, else when its worker has ended it. */
enum refusal job_cancel(struct core *c, struct job *j, const struct uuid *command_id);
struct job *job_new_import(struct core *c, const struct load_import *i);
struct job_spec job_spec_of(const struct job *j);
void job_set_error(struct job *j, const char *error);

/* ---- dead.c ---- */

/* A try has failed and there will be no other. */
void job_bury(struct core *c, const struct job *j, const struct worker *w, enum job_death cause);

/* ---- import.c ---- */

/* The import has succeeded: what it tells of its template version. */
void import_take(struct core *c, struct job *j, const struct job_result *r);
/* A build has succeeded: what it tells of what there is now. */
void import_take_build(struct core *c, struct job *j, const struct job_result *r);

/* ---- task.c ---- */

/* A build becomes the task's newest one and its job gets in line. */
void task_begin_build(struct core *c, struct task *t, const struct uuid *build_id,
    enum job_kind kind, const char *reason, const struct uuid *initiator_id);
/* May another start get in line?  `later`: it does not ask for compute now. */
enum refusal task_may_start(const struct core *c, bool later);
/* A clean-up that has not begun gives way: the start converges by itself (rule 6). */
bool task_cleanup_gives_way(struct core *c, struct task *t);
/* The job of the newest build is over. */
void task_build_over(struct core *c, struct task *t);
/* A stop build by Stint itself; `action` goes into the audit log. */
void task_pause_by_itself(struct core *c, struct task *t, const char *action);
void task_pause_to_make_room(struct core *c);
void task_forget(struct core *c, struct task *t);
void task_free(struct task *t);

/* ---- agent.c ---- */

void agent_begin(struct core *c, struct task *t, const struct uuid *id, const struct uuid *token);
/* A later build supersedes it, or its workspace is gone. */
void agent_end(struct core *c, struct task *t);
void agent_set_resting(struct core *c, struct agent *a, bool resting);
/* Where its session is; NULL: nowhere.  Messages on their way follow it. */
void agent_set_session(struct core *c, struct agent *a, struct worker *w);
/* A worker names it among its sessions, which may be older than the one that is known. */
void agent_claim(struct core *c, struct agent *a, struct worker *w);
/* Its session with this worker, if it has one, is over. */
void agent_unclaim(struct core *c, struct agent *a, const struct worker *w);
void agent_tick_sends(struct core *c);
/* Agents that work and have not been heard of for long are said to have failed. */
void agent_tick_silent(struct core *c);
/* The start has succeeded: from now on silence counts. */
void agent_expected(struct core *c, struct agent *a);
void send_free(void *send);

/* ---- message.c ---- */

/* Hand over the first one, if the time has come and somebody is there. */
void message_pump(struct core *c, struct task *t);
/* The agent has a new session: whatever was under way is handed over again. */
void message_session_begins(struct core *c, struct task *t);
/* Nothing of the task's compute is there any more. */
void message_agent_gone(struct core *c, struct task *t);
/* The task is deleted. */
void message_withdraw_all(struct core *c, struct task *t);
/* False: it is none of these. */
bool message_result(struct core *c, const struct uuid *id, enum refusal code, const char *detail);
void message_tick(struct core *c);
void mailbox_free(struct mailbox *b);

/* ---- idle.c ---- */

/* A start has succeeded: the idle timeout runs. */
void idle_begin(struct core *c, struct task *t);
/* Another build begins: it does not run any more. */
void idle_end(struct task *t);
/* As `idle_begin`, with what is left. */
void idle_load(struct core *c, struct task *t, int64_t left_ms);
/* The timeout is another now: it begins anew. */
void idle_change(struct core *c, struct task *t, int64_t ttl_ms);
/* Somebody or something is at work: the timeout is pushed on. */
void idle_activity(struct core *c, struct task *t);
void idle_tick(struct core *c);

/* ---- earliest.c ---- */

/* A start that may not begin yet: it sleeps until Postgres says that it may. */
void earliest_sleep(struct core *c, struct job *j);
/* It is taken out of the sleepers, for whatever reason. */
void earliest_forget(struct core *c, struct job *j);
/* The task's earliest start is another now; 0: at once.  Only while it waits for its first start.
 */
void earliest_change(struct core *c, struct task *t, int64_t start_after_us);
bool earliest_may_change(const struct task *t);
void earliest_tick(struct core *c);

/* ---- limit.c ---- */

/* A start has succeeded `ran_ms` ago: the run's time limit counts. */
void limit_begin(struct core *c, struct task *t, int64_t ran_ms);
/* Another build begins: it does not run any more. */
void limit_end(struct task *t);
/* The limit is another now. */
void limit_change(struct core *c, struct task *t, int64_t time_limit_ms);
void limit_tick(struct core *c);

/* ---- worker.c ---- */

void worker_flush(struct core *c);
/* For one heartbeat from now nobody's lease is over. */
void worker_listen(struct core *c);
void worker_tick(struct core *c);
void worker_free(struct worker *w);
bool worker_can(const struct worker *w, const struct pool *p);

#endif
