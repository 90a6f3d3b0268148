/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - template.yaml of the local provisioner.
 *
 *   name: shell                      command: [bash, -c, "..."]     (the only key that must be
 * there) display_name, description, icon  env: [{name: K, value: V}] dir: /home/agent limits:
 * {memory: 1GiB, pids: 512, cpus: 1.5, file_size: 1GiB} network: false                   mounts:
 * [{name: source, to: /mnt/source, optional: true}] grace: 10s                       app: {slug:
 * shell, display_name: Shell}
 *
 * An unknown key is an error that names it and its line.
 */
#ifndef WORKER_PROVISIONER_TEMPLATE_H
#define WORKER_PROVISIONER_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "core/base/err.h"

struct template_env {
    char *name;
    char *value;
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

struct template_app {
    char *slug;
    char *display_name;
};

struct template
{
    char *name;
    char *display_name;
    char *description;
    char *icon;
    char **command;
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
};

#define TEMPLATE_FILE      "template.yaml"
#define TEMPLATE_BYTES_MAX (64 * 1024)
#define TEMPLATE_DIR       "/opt/template" /* where a sandbox sees the template's directory */
#define TEMPLATE_HOME      "/home/agent"

/*
 * Parse and check everything that can be checked without a machine.  What is wrong is ERR_CONFIG
 * with a sentence that names the key, and the line where the parser knows it.
 */
enum err must_check template_parse(
    const char *text, size_t n, struct template **ret_template, struct errctx *ctx);
void template_free(struct template *t);
DEFINE_SCOPED(struct template, template_free)

/*
 * Read TEMPLATE_FILE of a template's unpacked directory and check in addition that the command's
 * program exists on this host or in the directory.  A program named by a path in the directory is
 * made absolute (TEMPLATE_DIR/...).
 */
enum err must_check template_load(
    const char *template_dir, struct template **ret_template, struct errctx *ctx);

#endif
