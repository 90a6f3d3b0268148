/* SPDX-License-Identifier: Apache-2.0 */
/* version.h - template versions, for those who make templates of them. */
#ifndef GATEWAY_VERSION_H
#define GATEWAY_VERSION_H

#include "gateway/request.h"

/* By id, or (id NULL) by name within a template.  One row of template_version_get, or none. */
void version_ask(struct request *r, const struct uuid *id, const struct uuid *template_id,
    const char *name, ask_db_fn done);
const char *version_import_state(const struct db_result *v);

#endif
