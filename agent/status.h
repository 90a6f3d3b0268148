/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.h - what the agent says: app states, its own life cycle, the conversation; as reports.
 *
 * Exact consecutive repetitions of an app state are not said again.
 */
#ifndef AGENT_STATUS_H
#define AGENT_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/reports.h"
#include "core/base/err.h"

#define URI_BYTES_MAX          2048
#define CHAT_CONTENT_BYTES_MAX (32 * 1024)

enum app_state { APP_WORKING, APP_IDLE, APP_COMPLETE, APP_FAILURE, APP_STATE_COUNT };

const char *app_state_to_str(enum app_state state);
bool app_state_from_str(const char *text, enum app_state *ret_state);

struct status;

/* All borrowed for as long as it lives. */
struct status *status_new(struct reports *reports, const char *app_slug);
void status_free(struct status *s);

/* The agent's own word on the app: always said.  `message` is cleaned and cut to 160 bytes. */
void status_app(struct status *s, enum app_state state, const char *message);
/* The same with a link, which is sound. */
void status_app_linked(
    struct status *s, enum app_state state, const char *message, const char *uri);

/*
 * The app's own word.  ERR_INVALID with a sentence that says what is allowed: `message` has 1 to
 * 160 bytes of text and no line break, `uri` at most 2,048 bytes without white space.  ERR_FULL:
 * too much waits to be taken; ERR_NO_SPACE, ERR_IO: the disk.
 */
enum err must_check status_app_says(struct status *s, enum app_state state, const char *message,
    const char *uri, struct errctx *ctx);
/* The rules of it alone, for who wants to know before. */
enum err must_check status_check_state(
    const char *text, enum app_state *ret_state, struct errctx *ctx);
enum err must_check status_check(const char *message, const char *uri, struct errctx *ctx);

/* The state that was said last; false when none was. */
bool status_last(const struct status *s, enum app_state *ret_state);

/* A state of the agent's life: see lifecycle.def. */
void status_lifecycle(struct status *s, const char *state);

/* What the check of the app's health has come to: "initializing", "healthy", "unhealthy"; a value
 * of the template's metadata, or why there is none; a line of a script or app, which has the id
 * reports_next_log_id().  As reports_add(): not said when an error is returned. */
enum err must_check status_health(struct status *s, const char *health);
enum err must_check status_metadata(
    struct status *s, const char *key, const char *value, const char *error);
enum err must_check status_log(
    struct status *s, const char *source, const char *level, const char *line);

/* A prompt or message as the conversation's next entries, role user; always said. */
void status_input(struct status *s, const char *text, size_t n);
/* Output of the app, role agent: at most CHAT_CONTENT_BYTES_MAX.  As reports_add(). */
enum err must_check status_output(struct status *s, const char *text, size_t n);
/* Entry `id` of the conversation, role "user" or "agent": takes the place of an earlier one with
 * this id.  Text as status_output(). */
enum err must_check status_chat(
    struct status *s, uint64_t id, const char *role, const char *text, size_t n);
/* The id behind all that have been said. */
uint64_t status_next_chat_id(const struct status *s);
/* The agent is about to stop: from now on output is said whatever the limit is. */
void status_last_words(struct status *s);
/* The store is not full: output may be said. */
bool status_has_room(const struct status *s);

#endif
