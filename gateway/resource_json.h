/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resource_json.h - what Terraform's templates and builds consist of, as Coder's WorkspaceResource.
 *
 * The rows are JSON of template_versions.resources and build_resources.resources.  Values that the
 * template calls sensitive are left out.
 */
#ifndef GATEWAY_RESOURCE_JSON_H
#define GATEWAY_RESOURCE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/strbuf.h"
#include "core/base/uuid.h"

struct resource_set {
    const char *json;
    struct uuid owner_id, job_id; /* owner: the build or version; the agent's resource has its id */
    int64_t created_at;
    const char *transition;
    bool only_kept; /* those that a stop leaves */
    /* Writes the agent into the one that has it; NULL: none has. */
    void (*write_agent)(void *arg, struct strbuf *out);
    void *arg;
};

/* Elements of an array that is open; false: there are none in the rows. */
bool resources_write(const struct resource_set *set, struct strbuf *out);

#endif
