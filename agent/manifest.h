/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.h - what the provisioner tells the agent: who it is, what to run, with which prompt.
 *
 * One JSON object; every key is required unless it says otherwise.  Unknown keys are passed over,
 * so that an older agent serves a newer provisioner.  No NUL can be in any text: JSON's \u0000 is
 * refused.  "argv" is an array of at least one text, the first not empty; "env" an object of texts.
 *
 *   version         1
 *   agent_id, agent_token, task_id, workspace_id, build_id      uuids
 *   task_name, workspace_name, owner_name, template_name        not empty
 *   build_number    1 or more
 *   app_slug        the task's app: it reports, and messages go to it
 *   command         argv, run once per prompt or message ("turn mode"); none with "agentapi"
 *   agentapi        optional: the task's app speaks AgentAPI instead.  An object:
 *     port            0 to 65,535; 0: the agent picks a free one; optional, 3284
 *     prompt          "send": the agent hands it over; "none": the app gets it itself; optional,
 *                     "send"
 *     enable_state_persistence   true or false; optional, false
 *     watch           false: an app without a health of its own is not watched at /status;
 *                     optional, true
 *   env             env; optional
 *   dir             absolute path; optional, /home/agent
 *   prompt          up to 1 MiB; may be empty
 *   grace_ms        0 to 3,600,000; optional, 10,000
 *   inherits_env    true: scripts and apps have the agent's own environment too; optional, false
 *   workers_dir     absolute path; optional, /run/stint/workers
 *   secrets_file    absolute path of an env object in memory; optional
 *   apps            optional array; slugs differ.  Objects:
 *     slug            1 to 64 bytes
 *     display_name    optional, the slug
 *     command         argv; optional: without it something else runs the app, a script for example
 *     env             env, beside the manifest's; optional
 *     dir             absolute path; optional, the manifest's
 *     restart         "on-failure", "always" or "never"; optional, "on-failure"
 *     health          optional object: url (http:// or https://), interval_ms (100 to 3,600,000;
 *                     optional, 3,000), threshold (1 to 1,000; optional, 20)
 *   scripts         optional array; names differ.  Objects:
 *     name            1 to 64 bytes
 *     command         argv
 *     run             "start", "stop" or "cron"
 *     cron            five fields, see cron.h; required with "run": "cron"
 *     blocking        the workspace is not ready before it has ended; optional, false
 *     timeout_ms      0 (none) to 86,400,000; optional, 0
 *     log_path        absolute path of a file that gets what it prints, too; optional
 *   metadata        optional array; keys differ.  Objects:
 *     key             1 to 64 bytes
 *     display_name    optional, the key
 *     command         argv; what it prints is the value
 *     interval_ms     1,000 to 86,400,000; optional, 10,000
 *     timeout_ms      100 to 86,400,000; optional, 5,000
 *
 * In health.url and in the values of env the word ${AGENTAPI_PORT} stands for AgentAPI's port; see
 * app_env.h.
 */
#ifndef AGENT_MANIFEST_H
#define AGENT_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/uuid.h"

#define MANIFEST_NAME_MAX 64

struct env_pair {
    char *name, *value;
};

struct env_pairs {
    struct env_pair *v;
    size_t n;
};

struct manifest_agentapi {
    bool is_on;
    int64_t port; /* the manifest's; the supervisor puts the one it has picked in the place of 0 */
    bool sends_prompt;
    bool keeps_state;
    bool is_watched;
};

struct manifest_health {
    char *url; /* NULL: the app is not watched */
    int64_t interval_ms, threshold;
};

enum app_restart { RESTART_ON_FAILURE, RESTART_ALWAYS, RESTART_NEVER };

struct manifest_app {
    char *slug, *display_name;
    char **command; /* NULL at the end; NULL: something else runs it */
    struct env_pairs env;
    char *dir; /* NULL: the manifest's */
    enum app_restart restart;
    struct manifest_health health;
};

enum script_run { SCRIPT_START, SCRIPT_STOP, SCRIPT_CRON };

struct manifest_script {
    char *name;
    char **command;
    enum script_run run;
    char *cron; /* "" unless SCRIPT_CRON; then it is sound */
    bool is_blocking;
    int64_t timeout_ms; /* 0: none */
    char *log_path;     /* NULL: none */
};

struct manifest_metadata {
    char *key, *display_name;
    char **command;
    int64_t interval_ms, timeout_ms;
};

struct manifest {
    struct uuid agent_id, task_id, workspace_id, build_id;
    char *agent_token; /* a secret: never logged */
    char *task_name, *workspace_name, *owner_name, *template_name, *app_slug;
    int64_t build_number;
    char **command; /* NULL at the end; NULL with agentapi */
    struct manifest_agentapi agentapi;
    struct env_pair *env;
    size_t n_env;
    char *dir;
    char *prompt;
    int64_t grace_ms;
    char *workers_dir;
    bool inherits_env;
    char *secrets_file;       /* NULL: none */
    struct env_pairs secrets; /* never logged; see manifest_load_secrets() */
    /* The task's parameters, by the names of their variables; taken as they are. */
    struct env_pairs parameters;
    /* The task's app is always among them: added last, without a command, if the file has not got
     * it.  With agentapi and no health of its own it is watched at /status. */
    struct manifest_app *apps;
    size_t n_apps;
    struct manifest_script *scripts;
    size_t n_scripts;
    struct manifest_metadata *metadata;
    size_t n_metadata;
};

/* ERR_CONFIG with a sentence that names the key; ERR_NOT_FOUND or ERR_IO for the file itself. */
enum err must_check manifest_load(
    const char *path, struct manifest **ret_manifest, struct errctx *ctx);
/* The same from text of `n` bytes. */
enum err must_check manifest_parse(
    const char *json, size_t n, struct manifest **ret_manifest, struct errctx *ctx);
void manifest_free(struct manifest *m);
DEFINE_SCOPED(struct manifest, manifest_free)

/* Reads secrets_file, if there is one, into ->secrets and unlinks it where that is allowed.  Errors
 * name the file and what is wrong with it, never a value. */
enum err must_check manifest_load_secrets(struct manifest *m, struct errctx *ctx);

/* NULL when there is none. */
const struct manifest_app *manifest_find_app(const struct manifest *m, const char *slug);

#endif
