/* SPDX-License-Identifier: Apache-2.0 */
/* conf.h - the scheduler's settings; the rows are in conf.def. */
#ifndef SCHEDULER_CONF_H
#define SCHEDULER_CONF_H

#include "core/base/conf.h"

struct scheduler_conf {
    char *admin_address, *advertise_url, *cap_policy, *database_url, *listen, *log_format,
        *log_level, *redis_url, *state_key_file;
    int64_t attempts_max, audit_retention_ms, build_retention_ms, cap, heartbeat_ms, insecure_bus,
        leader_silence_ms, lease_ms, log_retention_ms, make_room, make_room_grace_ms,
        message_retention_ms, queue_max, retry_ms, status_retention_ms, task_retention_ms,
        template_retention_ms;
};

extern const struct conf_spec scheduler_conf_spec;

#endif
