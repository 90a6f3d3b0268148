/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - template.yaml of the local provisioner.
 *
 *   name, display_name, description, icon     texts for people
 *   command: [bash, -c, "..."]                turn mode: run once per prompt and per message;
 *   agentapi: {port, prompt, ...}             or: the app speaks AgentAPI.  One of the two.
 *   app: {slug: shell, ...}, apps: [{...}]    the task's app, and further ones
 *   scripts: [{name, run, command, ...}]      at start, at stop, by the clock
 *   metadata: [{key, command, ...}]           facts of the workspace, looked up now and then
 *   env: [{name: K, value: V}, {name: K, secret: name-of-a-file, optional: true}]
 *   parameters: [{name, type, ...}]           what a task may or must be given
 *   presets: [{name, parameters, ...}]        sets of such values
 *   dir, limits, network, mounts, grace       the sandbox
 *
 * docs/TEMPLATES.md says what each key means.  An unknown key is an error that names it and its
 * line.
 *
 *   template.c          schema and parsing        template_check.c    checks of the whole
 *   template_line.c     where a key stands        template_agent.c    checks of what the agent runs
 *   template_program.c  are the programs there
 *   template_parameter.c  checks of parameters and presets
 */
#ifndef WORKER_PROVISIONER_TEMPLATE_H
#define WORKER_PROVISIONER_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "core/base/err.h"

/* Either a value or the name of a secret. */
struct template_env {
    char *name;
    char *value;
    char *secret;
    char *optional_text;
    bool optional; /* a missing secret is no error: the variable is not set then */
};

struct template_mount {
    char *name;
    char *to;
    char *optional_text;
    bool optional;
};

struct template_limits {
    char *memory;
    char *file_size;
    char *cpus;
    char *pids_text;
    /* From the texts above; 0: no limit. */
    int64_t pids;
    int64_t memory_bytes;
    int64_t file_size_bytes;
    int64_t cpu_milli;
};

struct template_health {
    char *url;
    char *interval;
    char *threshold_text;
    int64_t interval_ms;
    int64_t threshold;
};

struct template_app {
    char *slug;
    char *display_name;
    char *icon;
    char *url;
    char **command; /* NULL: something else runs it, or nothing is to be run */
    unsigned command_count;
    struct template_env *env;
    unsigned env_count;
    char *dir;                      /* NULL: the template's */
    char *restart;                  /* never NULL after parsing */
    struct template_health *health; /* NULL: none of its own */
};

struct template_agentapi {
    char *port_text;
    char *prompt; /* never NULL after parsing */
    char *persistence_text;
    int64_t port; /* 0: the agent picks one */
    bool enable_state_persistence;
};

struct template_script {
    char *name;
    char *run;  /* "start", "stop" or "cron"; never NULL after parsing */
    char *cron; /* NULL unless run by the clock */
    char **command;
    unsigned command_count;
    char *blocking_text;
    char *timeout;
    bool blocking;
    int64_t timeout_ms; /* 0: none */
};

struct template_metadata {
    char *key;
    char *display_name;
    char **command;
    unsigned command_count;
    char *interval;
    char *timeout;
    int64_t interval_ms;
    int64_t timeout_ms;
};

struct template_option {
    char *name;
    char *value;
    char *description;
    char *icon;
};

struct template_validation {
    char *regex;
    char *error; /* not NULL after parsing when there is a regex */
    char *min_text;
    char *max_text;
    int64_t min, max;
};

struct template_parameter {
    char *name;
    char *display_name;
    char *description;
    char *icon;
    char *type;          /* never NULL after parsing */
    char *default_value; /* NULL: none */
    char *required_text;
    char *mutable_text;
    bool required, is_mutable;
    struct template_option *options;
    unsigned options_count;
    struct template_validation *validation; /* NULL: none */
};

struct template_value {
    char *name;
    char *value;
};

struct template_preset {
    char *name;
    char *description;
    char *icon;
    char *default_text;
    bool is_default;
    struct template_value *values;
    unsigned values_count;
};

struct template
{
    char *name;
    char *display_name;
    char *description;
    char *icon;
    char **command; /* NULL with agentapi */
    unsigned command_count;
    struct template_env *env;
    unsigned env_count;
    char *dir;
    struct template_limits limits;
    char *network_text;
    bool network;
    struct template_mount *mounts;
    unsigned mounts_count;
    char *grace;
    int64_t grace_ms;
    struct template_app *app; /* NULL: not for tasks */
    struct template_app *apps;
    unsigned apps_count;
    struct template_agentapi *agentapi; /* NULL: turn mode */
    struct template_script *scripts;
    unsigned scripts_count;
    struct template_metadata *metadata;
    unsigned metadata_count;
    struct template_parameter *parameters;
    unsigned parameters_count;
    struct template_preset *presets;
    unsigned presets_count;
};

#define TEMPLATE_FILE       "template.yaml"
#define TEMPLATE_BYTES_MAX  (64 * 1024)
#define TEMPLATE_MOUNTS_MAX 64
#define TEMPLATE_DIR        "/opt/template" /* where a sandbox sees the template's directory */
#define TEMPLATE_HOME       "/home/agent"
#define TEMPLATE_BIN        "/opt/stint/bin" /* stint-agent, also by the name coder */

/*
 * Parse and check everything that can be checked without a machine.  What is wrong is ERR_CONFIG
 * with a sentence that names the key and its line.
 */
enum err must_check template_parse(
    const char *text, size_t n, struct template **ret_template, struct errctx *ctx);
void template_free(struct template *t);
DEFINE_SCOPED(struct template, template_free)

/* Something that may be right, or not: a sentence for people. */
typedef void (*template_warn_fn)(void *arg, const char *sentence);

/*
 * Read TEMPLATE_FILE of a template's unpacked directory and check in addition that the programs of
 * all its commands exist on this host or in the directory.  One that a start script may yet bring
 * is worth a warning only.  A program named by a path in the directory is made absolute
 * (TEMPLATE_DIR/...).  `warn` may be NULL.
 */
enum err must_check template_load(const char *template_dir, template_warn_fn warn, void *arg,
    struct template **ret_template, struct errctx *ctx);

#endif
