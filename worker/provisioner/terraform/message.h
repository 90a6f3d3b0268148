/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - what Terraform prints with -json: one JSON object a line; and what it or a shell
 * prints beside that: text.
 */
#ifndef WORKER_PROVISIONER_TERRAFORM_MESSAGE_H
#define WORKER_PROVISIONER_TERRAFORM_MESSAGE_H

#include "core/base/log.h"
#include "core/base/strbuf.h"

/* One line, for a log.  text is NULL when there is nothing to tell. */
struct message {
    enum log_level level;
    char *text; /* malloc'd */
};

/* Of all lines of a command. */
struct message_sum {
    /* A resource's apply_start or apply_complete; NULL: nobody listens. */
    void (*on_hook)(void *arg, const char *type, const char *address, const char *action);
    void *arg;
    struct strbuf error; /* the first error: what, why, where */
    struct strbuf last;  /* the last lines that were no JSON */
    unsigned ai_tasks;   /* coder_ai_task that are to be made */
};

void message_sum_init(struct message_sum *s);
void message_sum_done(struct message_sum *s);

void message_read(struct message_sum *s, const char *line, struct message *ret);
void message_done(struct message *m);

/* A document of `validate -json`: its diagnostics, as if each were a line. */
void message_read_document(struct message_sum *s, const char *json);

#endif
