/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench.h - what the tests of scripts, apps and values share: a directory, a loop with processes, a
 * store of reports with a log, and a manifest that is read from JSON.
 */
#ifndef TESTS_UNIT_AGENT_BENCH_H
#define TESTS_UNIT_AGENT_BENCH_H

#include <signal.h>

#include "agent/agent_log.h"
#include "agent/app_env.h"
#include "agent/child.h"
#include "agent/manifest.h"
#include "agent/status.h"
#include "core/base/cleanup.h"
#include "tests/unit/agent/lab.h"

struct bench {
    struct lab lab;
    struct loop *loop;
    struct reports *reports;
    struct status *status;
    struct agent_log *log;
    struct children *children;
    struct manifest *manifest;
    struct app_env env;
    void *mark; /* the test's */
};

static inline void bench_open(struct bench *b)
{
    struct errctx ctx = {0};
    struct uuid agent_id = lab_uuid(1);
    *b = (struct bench){0};
    lab_open(&b->lab);
    b->loop = loop_new();
    assert_int_equal(reports_open(b->lab.dir, &agent_id, &b->reports, &ctx), ERR_OK);
    b->status = status_new(b->reports, "app");
    b->log = agent_log_new(b->loop, b->status);
    b->children = children_new(b->loop);
}

/* The manifest with these keys (JSON without braces), whose texts know $LAB. */
static inline void bench_manifest(struct bench *b, const char *keys)
{
    static const char id[] = "11111111-1111-4111-8111-111111111111";
    struct strbuf json;
    struct errctx ctx = {0};
    strbuf_init(&json);
    strbuf_addf(&json,
        "{\"version\":1,\"agent_id\":\"%s\",\"agent_token\":\"%s\",\"task_id\":\"%s\","
        "\"workspace_id\":\"%s\",\"build_id\":\"%s\",\"task_name\":\"t\",\"workspace_name\":\"t\","
        "\"owner_name\":\"o\",\"template_name\":\"m\",\"app_slug\":\"app\",\"build_number\":1,"
        "\"prompt\":\"p\",\"dir\":\"%s\",\"env\":{\"LAB\":\"%s\"},%s}",
        id, id, id, id, id, b->lab.path, b->lab.path, keys);
    if (manifest_parse(json.s, json.len, &b->manifest, &ctx) != ERR_OK)
        fail_msg("%s", ctx.text);
    strbuf_done(&json);
    app_env_init(&b->env, b->manifest, NULL, "/nowhere");
}

/* Whatever still runs is ended hard. */
static inline void bench_close(struct bench *b)
{
    children_signal(b->children, SIGKILL);
    agent_log_free(b->log);
    children_free(b->children);
    status_free(b->status);
    reports_free(b->reports);
    loop_free(b->loop);
    app_env_done(&b->env);
    manifest_free(b->manifest);
    lab_close(&b->lab);
}

/* ---- looking ---- */

/* The text is among what waits. */
static inline bool bench_has(struct bench *b, const char *text)
{
    scoped_free char *all = lab_waiting(b->reports);
    return strstr(all, text) != NULL;
}

static inline unsigned bench_count(struct bench *b, const char *text)
{
    scoped_free char *all = lab_waiting(b->reports);
    unsigned n = 0;
    for (const char *at = all; (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

struct bench_want {
    struct bench *bench;
    const char *text;
    unsigned n;
};

static inline bool bench_look(void *arg)
{
    struct bench_want *want = arg;
    return bench_count(want->bench, want->text) >= want->n;
}

/* Run the loop until the text is there n times. */
static inline void bench_wait_n(struct bench *b, const char *text, unsigned n)
{
    struct bench_want want = {b, text, n};
    lab_run_until(b->loop, bench_look, &want);
}

static inline void bench_wait(struct bench *b, const char *text)
{
    bench_wait_n(b, text, 1);
}

static inline bool bench_is_set(void *arg)
{
    return *(bool *)arg;
}

#endif
