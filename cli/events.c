/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.c - one stream after another, until enough.
 *
 *   connect --> events ... --> the stream ends --> connect, with the id of the last event
 *      ^                                              |  nobody answers
 *      '--------- wait, longer each time <------------'
 *
 * A gateway that is told to stop ends its streams in order, and another one goes on with them: that
 * is not worth a word.  A connection that is lost is.
 */
#include "cli/events.h"

#include <string.h>

#include "cli/api.h"
#include "cli/interrupt.h"
#include "core/base/clock.h"
#include "core/base/rng.h"
#include "core/base/sse.h"

#define WAIT_MS_MIN 250
#define WAIT_MS_MAX 5000

struct follow {
    struct cli *cli;
    const char *path;
    const struct events *events;
    struct sse sse;
    enum err e; /* of a callback */
    bool is_done;
    bool is_up;    /* this connection has brought an event */
    bool was_up;   /* some connection has */
    bool has_said; /* that the connection is lost */
    int64_t wait_ms, down_since_mono_ms;
};

static void say(struct follow *f, const char *text, const char *cause)
{
    if (f->events->on_say != NULL)
        f->events->on_say(f->events->arg);
    cli_say(
        f->cli, "%s%s%s%s", text, cause[0] != '\0' ? " (" : "", cause, cause[0] != '\0' ? ")" : "");
}

/* ---- while it is up ---- */

static void came_up(struct follow *f)
{
    f->is_up = f->was_up = true;
    f->wait_ms = 0;
    f->down_since_mono_ms = 0;
    if (f->has_said)
        say(f, "Connected again.", "");
    f->has_said = false;
}

static bool on_event(void *arg, const char *name, const char *data, size_t n)
{
    struct follow *f = arg;
    scoped(json_unrefp) json_t *value = json_loadb(data, n, JSON_DECODE_ANY, NULL);
    if (!f->is_up)
        came_up(f);
    f->e = f->events->on_event(f->events->arg, name, value, &f->is_done);
    return f->e == ERR_OK && !f->is_done;
}

static bool on_data(void *arg, const char *data, size_t n)
{
    struct follow *f = arg;
    return sse_feed(&f->sse, data, n);
}

static bool on_tick(void *arg)
{
    struct follow *f = arg;
    if (f->events->on_tick != NULL)
        f->e = f->events->on_tick(f->events->arg, &f->is_done);
    return f->e == ERR_OK && !f->is_done && !interrupt_seen();
}

/* ---- when it is not ---- */

static bool may_come_back(long status)
{
    return status == 429 || status >= 500;
}

/* An answer that is no stream.  ERR_OK: try again. */
static enum err judge(struct follow *f, const struct http_reply *reply, bool *ret_exists)
{
    bool is_other = reply->status < 400 || reply->status == 400 || reply->status == 404 ||
                    reply->status == 405 || reply->status == 426;
    if (!f->was_up && is_other) {
        *ret_exists = false;
        return ERR_OK;
    }
    return may_come_back(reply->status) && f->was_up ? ERR_OK : api_refused(f->cli, reply);
}

/* Over for good?  The first time, a gateway that has not answered this command yet is not waited
 * for. */
static bool is_hopeless(struct follow *f)
{
    int64_t now = clock_mono_ms();
    if (f->down_since_mono_ms == 0)
        f->down_since_mono_ms = now;
    return (!f->was_up && !f->cli->has_answered) ||
           now - f->down_since_mono_ms >= EVENTS_OUTAGE_MS_MAX;
}

static void wait_a_while(struct follow *f, const char *cause)
{
    if (!f->has_said)
        say(f, "The connection to the gateway was lost, trying again.", cause);
    f->has_said = true;
    f->wait_ms = f->wait_ms == 0 ? WAIT_MS_MIN : f->wait_ms * 2;
    if (f->wait_ms > WAIT_MS_MAX)
        f->wait_ms = WAIT_MS_MAX;
    /* Not all who were thrown out come back in the same instant. */
    uint8_t salt;
    rng_bytes(&salt, sizeof(salt));
    f->cli->wait_ms(f->cli, f->wait_ms * 3 / 4 + f->wait_ms * salt / 512);
}

/* ---- the circle ---- */

static enum err open_stream(struct follow *f, struct http_reply *reply, struct errctx *ctx)
{
    const struct http_sink sink = {.on_data = on_data, .on_tick = on_tick, .arg = f};
    struct http_request request = {
        .method = "GET", .token = f->cli->token, .last_event_id = f->sse.id};
    struct strbuf url;
    strbuf_init(&url);
    strbuf_addf(&url, "%s%s", f->cli->url, f->path);
    request.url = url.s;
    sse_reset(&f->sse);
    f->is_up = false;
    enum err e = f->cli->http->stream(f->cli->http, &request, &sink, reply, ctx);
    strbuf_done(&url);
    return e;
}

static enum err turn(struct follow *f, bool *ret_exists)
{
    struct http_reply reply = {0};
    struct errctx ctx = {0};
    strbuf_init(&reply.body);
    enum err e = open_stream(f, &reply, &ctx);
    if (f->e != ERR_OK || f->is_done)
        e = f->e;
    else if (interrupt_seen())
        e = cli_fail(f->cli, ERR_CANCELED, "interrupted");
    else if (e == ERR_OK && !reply.is_stream) {
        e = judge(f, &reply, ret_exists);
        if (e == ERR_OK && *ret_exists && is_hopeless(f))
            e = api_refused(f->cli, &reply);
        else if (e == ERR_OK && *ret_exists)
            wait_a_while(f, "");
    } else if (e != ERR_OK && is_hopeless(f)) {
        e = api_unreachable(f->cli, e, ctx.text);
    } else {
        if (e != ERR_OK || !f->is_up)
            wait_a_while(f, ctx.text);
        else /* an end in order: soon again, but not in a circle */
            f->cli->wait_ms(f->cli, WAIT_MS_MIN);
        e = ERR_OK;
    }
    http_reply_done(&reply);
    return e;
}

enum err events_follow(
    struct cli *cli, const char *path, const struct events *events, bool *ret_exists)
{
    struct follow f = {.cli = cli, .path = path, .events = events};
    *ret_exists = true;
    enum err e = api_check_login(cli);
    interrupt_catch();
    sse_init(&f.sse, on_event, &f);
    while (e == ERR_OK && *ret_exists && !f.is_done)
        e = turn(&f, ret_exists);
    sse_done(&f.sse);
    return e;
}
