/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_title.h - how a sandbox's supervisor (bubblewrap outside the sandbox) is named. */
#ifndef WORKER_PROVISIONER_SANDBOX_TITLE_H
#define WORKER_PROVISIONER_SANDBOX_TITLE_H

#include "worker/provisioner/workspace.h"

/* "stint-sandbox/<workspace_id>/<build_id>", as `ps` shows it. */
struct sandbox_title {
    char s[14 + 2 * (UUID_STR_LEN + 1)];
};
struct sandbox_title sandbox_title(const struct workspace *ws, const struct sandbox_record *record);

#endif
