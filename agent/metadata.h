/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metadata.h - values that the template wants shown: each the output of a command, at intervals.
 *
 * A value has at most METADATA_VALUE_MAX bytes, without the white space at its end; when the
 * command fails, runs into its timeout or cannot be run, there is an error instead.  Only changes
 * are said. A run is left out while the last one still goes.
 *
 * All calls on the loop's thread.
 */
#ifndef AGENT_METADATA_H
#define AGENT_METADATA_H

#include "agent/agent_log.h"
#include "agent/child.h"
#include "agent/manifest.h"
#include "agent/status.h"
#include "core/loop/loop.h"

#define METADATA_VALUE_MAX 2048
#define METADATA_ERROR_MAX 256

struct metadata;

struct metadata_conf {
    struct loop *loop;
    struct children *children;
    struct agent_log *log;
    struct status *status;
    const struct manifest *manifest;
    char *const *env;
};

/* `conf` is copied, what it points to borrowed.  Begins at once. */
struct metadata *metadata_new(const struct metadata_conf *conf);
/* Nothing is run any more; what runs goes on without it. */
void metadata_free(struct metadata *m);

#endif
