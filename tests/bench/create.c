/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create.c - "stint-bench create": makes tasks and says how fast, as one line of JSON.
 *
 * Closed loop (--clients N): N creates are out at any time, each sent when the one before it was
 * answered.  Open loop (--rate R): one each 1/R seconds, whether or not earlier ones were answered;
 * a create's time counts from the moment when it was due, so a slow answer delays nobody's clock.
 *
 * With --redis-url each task's way is followed to its end: from the due moment to the last word on
 * the change feed, which the scheduler says after the job's success has been committed.
 */
#include "tests/bench/create.h"

#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/strbuf.h"
#include "core/base/vec.h"
#include "tests/bench/heard.h"
#include "tests/bench/opts.h"
#include "tests/bench/samples.h"
#include "tests/bench/via.h"

#define LOOK_MS  5
#define QUIET_US 1000000
#define LATE_US  60000000

struct run {
    /* asked for */
    const char *url, *redis_url, *out;
    int64_t clients, rate, count, seconds;
    struct what what;

    struct loop *loop;
    struct via *via;
    struct heard *heard; /* NULL: not asked for */
    struct timer *look;
    int clock_fd; /* open loop: readable when a create is due */
    uv_poll_t clock;
    VEC(struct create *) all;
    size_t n_ok, n_failed;
    size_t n_in_time;         /* answered before the end */
    int64_t begun_us, end_us; /* end: no create is sent any more; 0: goes on */
    char first_error[400];
};

static bool is_enough(const struct run *r)
{
    if (r->count > 0 && r->all.n >= (size_t)r->count)
        return true;
    return r->seconds > 0 && clock_mono_us() - r->begun_us >= r->seconds * 1000000;
}

static void send_one(struct run *r, int64_t due_us)
{
    struct create *c = mem_alloc(sizeof(*c));
    c->due_us = due_us;
    *vec_push(&r->all) = c;
    r->via->send(r->via, c);
}

static void end(struct run *r)
{
    if (r->end_us != 0)
        return;
    r->end_us = clock_mono_us();
    r->n_in_time = r->n_ok;
}

static void on_done(void *arg, struct create *c, bool ok, const char *why)
{
    struct run *r = arg;
    if (ok) {
        c->replied_us = clock_mono_us();
        r->n_ok++;
    } else if (r->n_failed++ == 0) {
        snprintf(r->first_error, sizeof(r->first_error), "%s", why);
    }
    if (r->rate > 0)
        return;
    /* With a fixed count the last answer is the end. */
    if (!is_enough(r))
        send_one(r, clock_mono_us());
    else if (r->seconds > 0 || r->n_ok + r->n_failed == r->all.n)
        end(r);
}

/* ---- open loop ---- */

static int64_t due(const struct run *r, size_t nth)
{
    return r->begun_us + (int64_t)nth * 1000000 / r->rate;
}

static void arm(struct run *r)
{
    int64_t at = due(r, r->all.n);
    struct itimerspec when = {
        .it_value = {at / 1000000, at % 1000000 * 1000}
    };
    timerfd_settime(r->clock_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void on_due(uv_poll_t *poll, int status, int events)
{
    struct run *r = poll->data;
    uint64_t n;
    (void)status;
    (void)events;
    if (read(r->clock_fd, &n, sizeof(n)) != sizeof(n))
        return;
    while (!is_enough(r) && due(r, r->all.n) <= clock_mono_us())
        send_one(r, due(r, r->all.n));
    if (!is_enough(r)) {
        arm(r);
        return;
    }
    uv_poll_stop(&r->clock);
    end(r);
}

static void begin(struct run *r)
{
    r->begun_us = clock_mono_us();
    for (int64_t i = 0; r->rate == 0 && i < r->clients; i++)
        send_one(r, r->begun_us);
    if (r->rate == 0)
        return;
    r->clock_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    uv_poll_init(loop_uv(r->loop), &r->clock, r->clock_fd);
    r->clock.data = r;
    uv_poll_start(&r->clock, UV_READABLE, on_due);
    arm(r);
}

/* ---- what is said at the end ---- */

/* One line per task: id, and wall microseconds when it was due and when it was last heard of. */
static void write_times(const struct run *r)
{
    FILE *f = r->out != NULL ? fopen(r->out, "w") : NULL;
    int64_t wall = clock_wall_us() - clock_mono_us();
    for (size_t i = 0; f != NULL && i < r->all.n; i++) {
        const struct create *c = r->all.v[i];
        int64_t at = heard_at(r->heard, &c->task_id);
        if (c->replied_us != 0 && at != 0)
            fprintf(f, "%s %lld %lld\n", uuid_format(&c->task_id).s, (long long)(c->due_us + wall),
                (long long)(at + wall));
    }
    if (f != NULL)
        fclose(f);
}

static void say(struct run *r)
{
    struct samples replied = {0}, settled = {0};
    size_t n_unheard = 0;
    for (size_t i = 0; i < r->all.n; i++) {
        const struct create *c = r->all.v[i];
        if (c->replied_us == 0)
            continue;
        samples_add(&replied, c->replied_us - c->due_us);
        int64_t at = r->heard != NULL ? heard_at(r->heard, &c->task_id) : 0;
        if (at != 0)
            samples_add(&settled, at - c->due_us);
        else
            n_unheard++;
    }
    double seconds = (double)(r->end_us - r->begun_us) / 1e6;
    struct strbuf out;
    strbuf_init(&out);
    strbuf_addf(&out, "{\"sent\":%zu,\"ok\":%zu,\"failed\":%zu,\"seconds\":%.6f,\"rate\":%.1f,",
        r->all.n, r->n_ok, r->n_failed, seconds, (double)r->n_in_time / seconds);
    samples_put(&replied, "replied", &out);
    if (r->heard != NULL) {
        strbuf_addf(&out, ",\"unheard\":%zu,", n_unheard);
        samples_put(&settled, "settled", &out);
    }
    printf("%s}\n", out.s);
    if (r->n_failed > 0)
        fprintf(stderr, "stint-bench: the first create that failed: %s\n", r->first_error);
    strbuf_done(&out);
    samples_done(&replied);
    samples_done(&settled);
}

static bool has_settled(const struct run *r)
{
    if (r->n_ok + r->n_failed < r->all.n)
        return false;
    return r->heard == NULL || clock_mono_us() - heard_last(r->heard) > QUIET_US;
}

static void on_look(void *arg)
{
    struct run *r = arg;
    if (r->begun_us == 0) {
        if (r->via->is_ready(r->via) && (r->heard == NULL || heard_is_ready(r->heard)))
            begin(r);
        return;
    }
    if (r->end_us != 0 && (has_settled(r) || clock_mono_us() - r->end_us > LATE_US))
        loop_stop(r->loop);
}

static bool parse(struct run *r, int argc, char **argv)
{
    const struct opt opts[] = {
        {"app-slug",      OPT_TEXT, &r->what.app_slug       },
        {"clients",       OPT_INT,  &r->clients             },
        {"count",         OPT_INT,  &r->count               },
        {"file",          OPT_UUID, &r->what.file_id        },
        {"organization",  OPT_UUID, &r->what.organization_id},
        {"out",           OPT_TEXT, &r->out                 },
        {"owner",         OPT_UUID, &r->what.owner_id       },
        {"owner-name",    OPT_TEXT, &r->what.owner_name     },
        {"prompt",        OPT_TEXT, &r->what.prompt         },
        {"rate",          OPT_INT,  &r->rate                },
        {"redis-url",     OPT_TEXT, &r->redis_url           },
        {"seconds",       OPT_INT,  &r->seconds             },
        {"template",      OPT_UUID, &r->what.template_id    },
        {"template-name", OPT_TEXT, &r->what.template_name  },
        {"url",           OPT_TEXT, &r->url                 },
        {"version",       OPT_UUID, &r->what.version_id     },
    };
    if (!opts_parse(argc, argv, opts, COUNT(opts)))
        return false;
    if (r->url == NULL || (r->count <= 0 && r->seconds <= 0) || (r->clients <= 0 && r->rate <= 0)) {
        fprintf(
            stderr, "stint-bench create: --url, --clients or --rate, and --count or --seconds\n");
        return false;
    }
    return true;
}

int create_main(int argc, char **argv)
{
    struct run r = {
        .clients = 64,
        .what = {
                 .owner_name = "bench", .template_name = "bench", .app_slug = "", .prompt = "bench"}
    };
    if (!parse(&r, argc, argv))
        return 64;
    r.loop = loop_new();
    if (strncmp(r.url, "http:", 5) == 0)
        r.via = via_http(r.loop, r.url, (unsigned)r.clients, &r.what);
    else
        r.via = via_bus(r.loop, r.url, &r.what);
    r.via->done = on_done;
    r.via->arg = &r;
    if (r.redis_url != NULL)
        r.heard = heard_new(r.loop, r.redis_url);
    r.look = timer_new(r.loop, on_look, &r);
    timer_start(r.look, 0, LOOK_MS);
    loop_run(r.loop);

    say(&r);
    if (r.heard != NULL)
        write_times(&r);
    /* Connections end with the process. */
    return r.n_failed == 0 && r.n_ok == r.all.n ? 0 : 1;
}
