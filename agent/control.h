/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - the unix socket by which the app talks to its agent ($STINT_AGENT_SOCKET).
 *
 * One line of JSON in, one line of JSON out, then the agent closes.  Any number at once up to
 * CONTROL_CONNECTIONS_MAX; a line of at most CONTROL_LINE_MAX bytes within CONTROL_SILENCE_MS.
 *
 *   {"op": "report", "state": "working", "message": "Running the tests", "uri": "https://…",
 *    "slug": "claude"}
 *   {"ok": true}
 *   {"ok": false, "err": "INVALID", "error": "the state \"busy\" is not known; …"}
 *
 * "uri" may be left out, "slug" too: then it is the task's app that reports.  "err" is a name of
 * core/base/err.def, "error" a sentence for a human. Operations are rows of a table: others can
 * join.
 */
#ifndef AGENT_CONTROL_H
#define AGENT_CONTROL_H

#include "core/base/err.h"
#include "core/loop/loop.h"

#define CONTROL_LINE_MAX        (16 * 1024)
#define CONTROL_CONNECTIONS_MAX 64
#define CONTROL_SILENCE_MS      5000

struct control_report {
    const char *state, *message;
    const char *uri;  /* "" when there is none */
    const char *slug; /* NULL: the task's app */
};

/* An app reports of itself: checks it and takes it, or says in `ctx` why not. */
typedef enum err (*control_report_fn)(
    void *arg, const struct control_report *report, struct errctx *ctx);

struct control;

/* A socket left over at `path` is replaced. */
enum err must_check control_listen(struct loop *l, const char *path, control_report_fn on_report,
    void *arg, struct control **ret_control, struct errctx *ctx);
void control_free(struct control *c);

#endif
