/* SPDX-License-Identifier: Apache-2.0 */
/* conf.h - the worker's settings; the rows are in conf.def. */
#ifndef WORKER_CONF_H
#define WORKER_CONF_H

#include "core/base/conf.h"

struct worker_conf {
    char *access_url, *admin_address, *agent_listen, *agent_path, *agent_url, *data_dir, *host,
        *log_format, *log_level, *mounts, *name, *provisioners, *redis_url, *scheduler_url,
        *secrets_dir, *terraform_binds, *terraform_env, *terraform_mirror, *terraform_path;
    int64_t drain_timeout_ms, slots, terraform_memory_mb, terraform_sandbox,
        terraform_time_limit_ms;
};

extern const struct conf_spec worker_conf_spec;

/* Fill in what depends on the machine: host, name, agent_path; make data_dir with its folders and
 * its path absolute. */
/* By which agents of other machines come: agent_url, else where we listen ("": nowhere).  free()
 * it. */
char *worker_conf_agent_url(const struct worker_conf *c, const char *listen_url);

enum err must_check worker_conf_complete(struct worker_conf *c, struct errctx *ctx);

#endif
