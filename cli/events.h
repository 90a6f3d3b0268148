/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h - an event stream of the gateway, kept up: over lost connections and restarts of the
 * gateway it goes on behind the last event that was read.
 */
#ifndef CLI_EVENTS_H
#define CLI_EVENTS_H

#include <jansson.h>

#include "cli/cli.h"

/* An outage longer than this ends the command. */
#define EVENTS_OUTAGE_MS_MAX (10 * 60 * 1000)

struct events {
    /* `data` is the event's JSON, null when it is none.  An error or *ret_done ends the stream. */
    enum err (*on_event)(void *arg, const char *name, const json_t *data, bool *ret_done);
    /* Four times a second; may be NULL. */
    enum err (*on_tick)(void *arg, bool *ret_done);
    /* Something is about to be said on stderr: make room; may be NULL. */
    void (*on_say)(void *arg);
    void *arg;
};

/*
 * Until a callback ends it.  *ret_exists false, and ERR_OK: this gateway has no such stream,
 * nothing was called.  ERR_CANCELED: Ctrl-C.  ERR_NOT_FOUND: it is no longer there.
 */
enum err must_check events_follow(
    struct cli *cli, const char *path, const struct events *events, bool *ret_exists);

#endif
