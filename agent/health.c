/* SPDX-License-Identifier: Apache-2.0 */
/* Asking, counting, saying. */
#include "agent/health.h"

#include <stdlib.h>

#include "agent/http.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#define TIMEOUT_MS_MIN 1000
#define STATUS_BAD     500
#define BODY_MAX       (64 * 1024)
/* An app that is starting is asked more often, so that nobody waits an interval for it. */
#define EAGER_MS     200
#define EAGER_MS_MAX 15000

struct health {
    struct loop *loop;
    struct status *status;
    char *url;
    const struct manifest_health *check;
    struct timer *timer, *eager;
    int64_t eager_until_mono_ms;
    struct http_call *call; /* NULL: none is out */
    bool call_counts;       /* its failure does; an eager one's does not */
    int64_t n_failures;     /* in a row */
    const char *value;
    const char *said; /* NULL: nothing yet */
};

static void on_timer(void *arg);

/* ---- what it comes to ---- */

static void say(struct health *h)
{
    if (h->said != h->value && status_health(h->status, h->value) == ERR_OK)
        h->said = h->value;
}

static void move(struct health *h, const char *value, const char *why)
{
    if (h->value == value)
        return;
    log_info("health url=%s from=%s to=%s why=%s", h->url, h->value, value, LOG_Q(why));
    h->value = value;
}

static const char initializing[] = "initializing", healthy[] = "healthy", unhealthy[] = "unhealthy";

static void count(struct health *h, bool is_answer, const char *why)
{
    h->call = NULL;
    if (is_answer || h->call_counts)
        h->n_failures = is_answer ? 0 : h->n_failures + 1;
    if (is_answer)
        move(h, healthy, "it answers");
    else if (h->n_failures >= h->check->threshold)
        move(h, unhealthy, why);
    say(h);
}

/* ---- asking ---- */

static void on_answer(void *arg, const struct http_answer *answer)
{
    bool is_answer = answer->code == ERR_OK && answer->status < STATUS_BAD;
    count(arg, is_answer, answer->code != ERR_OK ? answer->why : "it answers with an error");
}

/* The first of the body is enough. */
static void on_data(void *arg, const char *data, size_t n)
{
    (void)data, (void)n;
    struct health *h = arg;
    http_cancel(h->call);
    count(h, true, "");
}

static void ask(struct health *h, bool counts)
{
    int64_t interval_ms = h->check->interval_ms;
    const struct http_request request = {.method = "GET",
        .url = h->url,
        .timeout_ms = interval_ms > TIMEOUT_MS_MIN ? interval_ms : TIMEOUT_MS_MIN,
        .bytes_max = BODY_MAX,
        .on_data = on_data,
        .done = on_answer,
        .arg = h};
    h->call_counts = counts;
    h->call = http_start(h->loop, &request);
}

static void on_timer(void *arg)
{
    struct health *h = arg;
    if (h->call == NULL)
        ask(h, true);
    else
        h->call_counts = true; /* its own time is not over yet */
}

static void on_eager(void *arg)
{
    struct health *h = arg;
    if (h->value != initializing || clock_mono_ms() > h->eager_until_mono_ms)
        timer_stop(h->eager);
    else if (h->call == NULL)
        ask(h, false);
}

struct health *health_new(
    struct loop *l, struct status *status, const char *url, const struct manifest_health *check)
{
    struct health *h = mem_alloc(sizeof(*h));
    h->loop = l;
    h->status = status;
    h->url = mem_strdup(url);
    h->check = check;
    h->value = initializing;
    h->timer = timer_new(l, on_timer, h);
    timer_start(h->timer, 0, check->interval_ms);
    h->eager = timer_new(l, on_eager, h);
    h->eager_until_mono_ms = clock_mono_ms() + EAGER_MS_MAX;
    if (check->interval_ms > EAGER_MS)
        timer_start(h->eager, EAGER_MS, EAGER_MS);
    say(h);
    return h;
}

void health_free(struct health *h)
{
    if (h == NULL)
        return;
    if (h->call != NULL)
        http_cancel(h->call);
    timer_free(h->timer);
    timer_free(h->eager);
    free(h->url);
    free(h);
}
