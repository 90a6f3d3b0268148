/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/conf.h"

#include "core/base/cleanup.h"

static const struct conf_key keys[] = {
#define KEY(...) CONF_KEY_ROW(struct scheduler_conf, __VA_ARGS__)
#include "scheduler/conf.def"
};

const struct conf_spec scheduler_conf_spec = {
    .program = "stint-scheduler",
    .summary = "The brain of Stint: tasks, the cap, the queue, leases.",
    .usage = "  stint-scheduler [run] [flags]   lead, or stand by until the leader is gone\n"
             "  stint-scheduler migrate         bring the database schema up to date\n"
             "\n"
             "Examples:\n"
             "  stint-scheduler migrate --database-url postgresql:///stint\n"
             "  stint-scheduler --listen tcp://127.0.0.1:7081 --cap 200\n",
    .keys = keys,
    .n_keys = COUNT(keys),
};
