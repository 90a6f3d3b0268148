/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api.h - the routes: what is asked over HTTP, answered from the conversation.
 */
#ifndef AGENT_AGENTAPI_API_H
#define AGENT_AGENTAPI_API_H

#include "agent/agentapi/events.h"
#include "agent/agentapi/flags.h"
#include "agent/agentapi/http_server.h"
#include "agent/agentapi/pty.h"
#include "agent/agentapi/screen.h"
#include "agent/agentapi/tracker.h"

#define MESSAGE_BODY_MAX (8 * 1024 * 1024)

/* What the routes work on; borrowed. */
struct api {
    const struct flags *flags;
    struct tracker *tracker;
    struct screen *screen;
    struct pty *pty;
    struct events *events;
    const char *upload_dir;
    size_t uploaded; /* bytes */
};

/* `arg` of both: a struct api. */
size_t api_body_max(void *arg, const struct exchange *x);
void api_handle(void *arg, struct exchange *x);

/* The body of POST /message, checked.  Problems are added to `errors`, a JSON array; false then. */
struct api_message {
    const char *content; /* lives in `root` */
    size_t content_n;
    bool is_raw;
    void *root; /* json_t */
};
bool api_read_message(const char *body, size_t n, struct api_message *ret_message, void *errors);
void api_message_done(struct api_message *m);

#endif
