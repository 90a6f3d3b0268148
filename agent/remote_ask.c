/* SPDX-License-Identifier: Apache-2.0 */
/* One question after the other, on a loop of its own. */
#include "agent/remote_ask.h"

#include <stdio.h>
#include <string.h>

#include "agent/http.h"
#include "agent/peers.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/rng.h"
#include "core/base/strbuf.h"
#include "core/loop/loop.h"

#define ASK_TIMEOUT_MS 20000
#define PAUSE_MS_MIN   500
#define PAUSE_MS_MAX   15000
#define SAY_EVERY      20
/* The build is over a moment after its container has begun: that is not worth a word. */
#define SAY_FIRST 3

struct asking {
    struct loop *loop;
    struct timer *timer;
    struct http_call *call;
    const char *url, *token;
    unsigned n_failures;
    json_t *manifest;
    enum err outcome;
    char why[256];
};

static void ask(void *arg);

static void over(struct asking *a, enum err outcome)
{
    a->outcome = outcome;
    loop_stop(a->loop);
}

/* Half to all of a time that doubles with each failure. */
static int64_t pause_ms(const struct asking *a)
{
    int64_t ms = PAUSE_MS_MIN << (a->n_failures < 5 ? a->n_failures : 5);
    ms = ms < PAUSE_MS_MAX ? ms : PAUSE_MS_MAX;
    uint32_t dice;
    rng_bytes(&dice, sizeof(dice));
    return ms / 2 + dice % (ms / 2 + 1);
}

static void again(struct asking *a, const char *why)
{
    int64_t ms = pause_ms(a);
    enum log_level level = a->n_failures % SAY_EVERY == SAY_FIRST ? LOG_WARN : LOG_DEBUG;
    a->n_failures++;
    log_at(level, "no manifest yet, asking again why=%s url=%s in_ms=%lld tries=%u", LOG_Q(why),
        a->url, (long long)ms, a->n_failures);
    timer_start(a->timer, ms, 0);
}

/* What an answer that is no manifest means, for whoever reads the container's log. */
static const char *meaning(int status)
{
    static const struct {
        int status;
        const char *text;
    } rows[] = {
        {401, "the gateway does not know this token: the build is not finished yet, or the task is "
              "gone"                                           },
        {404, "that is no Stint gateway, or one without terraform templates"},
        {429, "the gateway has too many requests"                           },
        {503, "the gateway is not ready, or the build is not over yet"      },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].status == status)
            return rows[i].text;
    return status / 100 == 3 ? "the gateway is elsewhere: CODER_AGENT_URL must be its final URL"
                             : "the gateway has answered with an error";
}

static void on_answer(void *arg, const struct http_answer *answer)
{
    struct asking *a = arg;
    a->call = NULL;
    if (answer->code == ERR_INVALID && !answer->was_sent) {
        snprintf(a->why, sizeof(a->why), "%s", answer->why);
        over(a, ERR_USAGE);
        return;
    }
    if (answer->code != ERR_OK) {
        again(a, answer->why);
        return;
    }
    json_t *manifest = answer->status == 200 ? json_loadb(answer->body, answer->n, 0, NULL) : NULL;
    if (json_is_object(manifest)) {
        a->manifest = manifest;
        over(a, ERR_OK);
        return;
    }
    json_decref(manifest);
    char why[160];
    snprintf(why, sizeof(why), "status %d: %s", answer->status, meaning(answer->status));
    again(a, why);
}

static void ask(void *arg)
{
    struct asking *a = arg;
    const char *const headers[] = {
        "Coder-Session-Token", a->token, "Accept", "application/json", NULL};
    const struct http_request request = {.method = "GET",
        .url = a->url,
        .headers = headers,
        .timeout_ms = ASK_TIMEOUT_MS,
        .bytes_max = PEERS_ANSWER_MAX,
        .done = on_answer,
        .arg = a};
    a->call = http_start(a->loop, &request);
}

static void on_terminate(void *arg)
{
    over(arg, ERR_CANCELED);
}

enum err remote_ask(
    const char *gateway_url, const char *token, json_t **ret_manifest, struct errctx *ctx)
{
    scoped(strbuf_done) struct strbuf url;
    strbuf_init(&url);
    strbuf_addf(&url, "%s%s", gateway_url, PEERS_MANIFEST_PATH);
    struct asking a = {.loop = loop_new(), .url = url.s, .token = token};
    a.timer = timer_new(a.loop, ask, &a);
    loop_on_terminate(a.loop, on_terminate, &a);
    timer_start(a.timer, 0, 0);
    loop_run(a.loop);
    if (a.call != NULL)
        http_cancel(a.call);
    timer_free(a.timer);
    loop_free(a.loop);
    *ret_manifest = a.manifest;
    if (a.outcome == ERR_CANCELED)
        return err_set(ctx, ERR_CANCELED, "told to stop before the gateway had given a manifest");
    return a.outcome == ERR_OK ? ERR_OK : err_set(ctx, a.outcome, "%s", a.why);
}
