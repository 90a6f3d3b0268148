/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab.h - what the agent's tests share: a directory that is gone afterwards, a store of reports
 * that can be read as text, and a loop that runs until something is true.
 */
#ifndef TESTS_UNIT_AGENT_LAB_H
#define TESTS_UNIT_AGENT_LAB_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/reports.h"
#include "core/base/clock.h"
#include "core/base/strbuf.h"
#include "core/loop/loop.h"

#define LAB_DEADLINE_MS 20000

struct lab {
    char path[64];
    int dir;
};

static inline void lab_open(struct lab *lab)
{
    strcpy(lab->path, "/tmp/stint-agent-test-XXXXXX");
    assert_non_null(mkdtemp(lab->path));
    lab->dir = open(lab->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(lab->dir >= 0);
}

static inline void lab_close(struct lab *lab)
{
    char command[128];
    close(lab->dir);
    snprintf(command, sizeof(command), "rm -rf '%s'", lab->path);
    assert_int_equal(system(command), 0);
}

static inline void lab_write(struct lab *lab, const char *name, const void *data, size_t n)
{
    int fd = openat(lab->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), (ssize_t)n);
    close(fd);
}

static inline off_t lab_size(struct lab *lab, const char *name)
{
    struct stat st;
    return fstatat(lab->dir, name, &st, 0) == 0 ? st.st_size : -1;
}

/* An id that is the same in every run: 01010101-… for 1. */
static inline struct uuid lab_uuid(int n)
{
    struct uuid u;
    memset(u.b, n, sizeof(u.b));
    return u;
}

/* ---- reports as text ---- */

static inline void lab_add_report(struct strbuf *out, const Stint__V1__Report *r)
{
    switch (r->what_case) {
    case STINT__V1__REPORT__WHAT_APP_STATE:
        strbuf_addf(out, "%s \"%s\"", r->app_state->state, r->app_state->message);
        if (r->app_state->uri[0] != '\0')
            strbuf_addf(out, " <%s>", r->app_state->uri);
        break;
    case STINT__V1__REPORT__WHAT_LIFECYCLE:
        strbuf_addf(out, "lifecycle %s", r->lifecycle->state);
        break;
    case STINT__V1__REPORT__WHAT_CHAT_MESSAGE:
        strbuf_addf(out, "%s #%llu \"%s\"", r->chat_message->role,
            (unsigned long long)r->chat_message->id, r->chat_message->content);
        break;
    case STINT__V1__REPORT__WHAT_APP_HEALTH:
        strbuf_addf(out, "health of %s: %s", r->app_health->app_slug, r->app_health->health);
        break;
    case STINT__V1__REPORT__WHAT_AGENT_LOG:
        strbuf_addf(out, "log %llu %s %s \"%s\"", (unsigned long long)r->agent_log->id,
            r->agent_log->source, r->agent_log->level, r->agent_log->output);
        break;
    case STINT__V1__REPORT__WHAT_METADATA:
        strbuf_addf(out, "metadata %s=\"%s\"", r->metadata->key, r->metadata->value);
        if (r->metadata->error[0] != '\0')
            strbuf_addf(out, " error \"%s\"", r->metadata->error);
        break;
    default:
        strbuf_addstr(out, "?");
    }
    strbuf_addch(out, '\n');
}

/* Everything that waits, one line per report; the caller frees it. */
static inline char *lab_waiting(struct reports *reports)
{
    struct strbuf out;
    strbuf_init(&out);
    assert_int_equal(reports_sync_now(reports), ERR_OK);
    uint64_t next = reports_committed(reports) + 1;
    while (next <= reports_last(reports)) {
        struct report_batch batch;
        assert_int_equal(reports_read(reports, next, 7, 1000, &batch), ERR_OK);
        for (size_t i = 0; i < batch.n; i++) {
            assert_int_equal(batch.v[i]->seq, next++);
            lab_add_report(&out, batch.v[i]);
        }
        report_batch_done(&batch);
    }
    return strbuf_detach(&out);
}

#define assert_waiting(reports, expected)       \
    do {                                        \
        char *text_ = lab_waiting(reports);     \
        assert_string_equal(text_, (expected)); \
        free(text_);                            \
    } while (0)

/* ---- waiting ---- */

struct lab_wait {
    struct loop *loop;
    bool (*is_true)(void *arg);
    void *arg;
    int64_t deadline;
};

static inline void lab_look(void *arg)
{
    struct lab_wait *wait = arg;
    if (wait->is_true(wait->arg) || clock_mono_ms() > wait->deadline)
        loop_stop(wait->loop);
}

/* Run the loop until it is true; the test fails when that takes too long. */
static inline void lab_run_until(struct loop *l, bool (*is_true)(void *arg), void *arg)
{
    struct lab_wait wait = {l, is_true, arg, clock_mono_ms() + LAB_DEADLINE_MS};
    struct timer *timer = timer_new(l, lab_look, &wait);
    timer_start(timer, 0, 1);
    loop_run(l);
    timer_free(timer);
    assert_true(is_true(arg));
}

#endif
