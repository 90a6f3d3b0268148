/* SPDX-License-Identifier: Apache-2.0 */
/*
 * taint.h - which resources of a state in the middle of an apply are really done.
 *
 * Terraform writes its whole state whenever one resource is done, and then it has others in it that
 * were made but whose provisioners have not run yet.  Cut short there, it would take them for done.
 * So what goes to Postgres while an apply runs has every such resource marked as tainted, which is
 * what Terraform itself does when a provisioner fails: the next apply makes it anew.
 *
 * Done is what the state had before, and what Terraform says is complete.
 */
#ifndef WORKER_PROVISIONER_TERRAFORM_TAINT_H
#define WORKER_PROVISIONER_TERRAFORM_TAINT_H

#include <jansson.h>

#include "core/base/strbuf.h"

/* A set of addresses. */
struct done_set {
    json_t *addresses;
};

void done_set_init(struct done_set *s);
void done_set_free(struct done_set *s);
/* All of a state that are not tainted. */
void done_set_add_state(struct done_set *s, const struct strbuf *state);
/* Lines of addresses. */
void done_set_add_lines(struct done_set *s, const char *lines);
/* What Terraform says: "apply_start" and "apply_complete" of an address.  True: it is done now, and
 * was not. */
bool done_set_hear(struct done_set *s, const char *type, const char *address, const char *action);

/* A copy with all others tainted. */
void taint_others(const struct done_set *s, const struct strbuf *state, struct strbuf *ret);

#endif
