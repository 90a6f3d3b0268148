/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provisioner.h - what carries out a job: a struct of functions over a job spec that has
 * everything.
 *
 * A function runs on a thread of the pool (or, for an `immediate` provisioner, on the loop's
 * thread) and may block; it looks at its io whenever it waits.  Carried out twice, a job converges:
 * the second time finds what the first one did.  A provisioner keeps nothing about jobs in memory:
 * another worker may do the second half.
 */
#ifndef WORKER_PROVISIONER_PROVISIONER_H
#define WORKER_PROVISIONER_PROVISIONER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/strbuf.h"
#include "core/base/uuid.h"

enum job_kind { JOB_NONE, JOB_START, JOB_STOP, JOB_DELETE, JOB_IMPORT, JOB_KIND_COUNT };

/* A name with its text: a parameter and its value. */
struct job_text {
    char *name, *value;
};

/* The scheduler's JobSpec as we hold it.  Strings are never NULL. */
struct job_spec {
    struct uuid job_id;
    uint64_t token; /* grows with every lease of this job */
    enum job_kind kind;
    unsigned attempt;
    struct uuid file_id;
    struct uuid build_id;
    unsigned build_number; /* grows with every build of the workspace */
    unsigned series; /* grows with every series of tries that somebody asked for, within a build */
    struct uuid workspace_id;
    struct uuid task_id;
    struct uuid agent_id; /* nil: the template has no agent */
    char *provisioner;
    char *workspace_name;
    char *task_name;
    char *owner_name;
    char *prompt;
    char *agent_token;
    char *app_slug;
    char *template_name;
    char *template_dir;          /* the unpacked archive; empty for stop and delete */
    struct job_text *parameters; /* malloc'd, with its texts */
    size_t n_parameters;
    struct job_text *facts; /* of JobSpec.fact; malloc'd, with its texts */
    size_t n_facts;
};
/* A fact by its name, "" if there is none. */
const char *job_fact(const struct job_spec *spec, const char *name);

/* What the worker asks of a job under way.  It only ever grows. */
enum job_call {
    JOB_GO_ON,
    JOB_CANCEL,  /* stop, undo, and say so */
    JOB_ABANDON, /* the lease is lost: stop and touch nothing more */
};

/* The leases of a worker's jobs are certain until this time of clock_mono_ms(); later another
 * worker may have them, unless the scheduler says otherwise.  INT64_MAX: nothing is known of an
 * end. */
struct job_lease {
    _Atomic int64_t until_mono_ms;
};

struct job_io {
    _Atomic int call;
    const struct job_lease *lease; /* NULL: it has none */
    int call_fd; /* readable once the call is no longer JOB_GO_ON; -1 for immediate provisioners */
    void (*line)(void *arg, const struct job_spec *spec, const char *level, const char *stage,
        const char *output);
    void *arg;
    const struct job_states *states; /* NULL: there are none */
};

/*
 * The workspace's Terraform state, kept by the scheduler for whoever holds the lease.  Both block,
 * and end early with ERR_LEASE_LOST when the job is abandoned.
 */
struct job_states {
    /* The newest one goes into `out`; *ret_version is 0 when there is none. */
    enum err (*get)(void *arg, const struct job_spec *spec, struct job_io *io, struct strbuf *out,
        uint64_t *ret_version, struct errctx *ctx);
    /* It is in Postgres when this returns ERR_OK. */
    enum err (*put)(void *arg, const struct job_spec *spec, struct job_io *io, uint64_t version,
        const void *data, size_t n, struct errctx *ctx);
    void *arg;
};

/* A line of progress for people.  Never the prompt, never a token. */
void job_io_line(struct job_io *io, const struct job_spec *spec, enum log_level level,
    const char *stage, const char *fmt, ...) printf_like(5, 6);
/* ERR_OK while the job shall go on, ERR_CANCELED or ERR_LEASE_LOST when not.  While the lease is in
 * doubt (this process was stopped, or the scheduler is not heard of) it waits for the answer:
 * before every step that touches something, ask. */
enum err job_io_check(struct job_io *io, struct errctx *ctx);
/* Wait until fd (-1: none) is readable, the call changes, or the time is over: true if fd is
 * readable. */
bool job_io_wait(struct job_io *io, int fd, int timeout_ms);

/* Texts are NULL or malloc'd, here and below. */
struct import_app {
    char *slug;
    char *display_name;
    char *icon;
    char *url;
    bool has_health_check;
};

struct import_option {
    char *name;
    char *value;
    char *description;
    char *icon;
};

struct import_parameter {
    char *name;
    char *display_name;
    char *description;
    char *icon;
    char *type;
    char *default_value;
    char *regex;
    char *error;
    bool is_mutable, required, has_min, has_max;
    int64_t min, max;
    struct import_option *option; /* malloc'd */
    size_t n_option;
};

struct import_preset {
    char *name;
    char *description;
    char *icon;
    bool is_default;
    struct job_text *value; /* malloc'd */
    size_t n_value;
};

/* What a template asks of whoever pushes it. */
struct import_variable {
    char *name;
    char *description;
    char *type;
    char *default_value;
    bool required, sensitive;
};

struct import_found {
    bool has_ai_task;
    char *app_slug; /* of the task's app */
    char *display_name;
    char *description;
    char *icon;
    struct import_app *app; /* all of them, the task's among them; malloc'd */
    size_t n_app;
    struct import_parameter *parameter; /* in the template's order; malloc'd */
    size_t n_parameter;
    struct import_preset *preset; /* malloc'd */
    size_t n_preset;
    struct import_variable *variable; /* malloc'd */
    size_t n_variable;
    char *resources;     /* JSON, as column template_versions.resources says */
    char *external_auth; /* JSON, likewise */
};

/* What there is after a build; JSON as table build_resources says. */
struct build_found {
    char *resources;
    char *agent; /* the task's; NULL: none */
    struct import_app *app;
    size_t n_app;
};

/* What a provisioner tells beside success or failure. */
struct job_found {
    bool clean;   /* on failure: all is undone, no compute is held */
    bool on_host; /* this host's storage holds the workspace */
    struct import_found import;
    struct build_found build;
};
void job_found_done(struct job_found *f);
/* Frees the list with its texts. */
void job_texts_free(struct job_text *list, size_t n);

typedef enum err (*provisioner_fn)(void *self, const struct job_spec *spec, struct job_io *io,
    struct job_found *found, struct errctx *ctx);

/*
 * On failure the code says what another try would do: a retryable one (err.def) is worth it, others
 * are for good; ERR_CANCELED and ERR_LEASE_LOST answer the call.
 */
struct provisioner {
    const char *name;
    bool immediate; /* needs no thread, no template directory, no strings of the spec */
    /* Stops and deletes are given the template too; an empty template_dir when it cannot be had. */
    bool template_for_all;
    provisioner_fn action[JOB_KIND_COUNT];
    void *self;
};

/* Succeeds at once at everything: for benches of what lies around it. */
struct provisioner provisioner_null(void);

#endif
