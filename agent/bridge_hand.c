/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handing over: the prompt and messages, one at a time, each at most once.
 *
 *   mark on disk -> POST /message -> 200                        taken: mark
 *                                    "waiting for user input"   busy: mark away, later again
 *                                    other statuses             refused: counts as taken, text may
 *                                                               stand in the terminal
 *                                    no connection              not sent: mark away
 *                                    broken off, too late       in doubt: the mark stays
 *
 * A doubt ends with the conversation as it is read while the screen is at rest: the text is in it
 * (taken); it is not, in the very app it was sent to (not taken); the app is another one, which
 * cannot know (counts as taken).
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/bridge_private.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

#define POST_MS_MAX    60000
#define POST_BYTES_MAX (64 * 1024)
#define BUSY_MS_MIN    1000
#define BUSY_MS_MAX    30000
#define DISK_AGAIN_MS  5000
#define WHITE_SPACE    " \t\r\n\f\v"

/* AgentAPI takes nothing with white space around it. */
static void trim(const char **text, size_t *n)
{
    while (*n > 0 && strchr(WHITE_SPACE, **text) != NULL)
        (*text)++, (*n)--;
    while (*n > 0 && strchr(WHITE_SPACE, (*text)[*n - 1]) != NULL)
        (*n)--;
}

static void log_mark(enum err e, const struct errctx *ctx)
{
    if (e != ERR_OK)
        log_warn("what became of a message is not on disk, a next start will ask the app error=%s",
            LOG_Q(ctx->text));
}

/* ---- marks ---- */

static void count_as_taken(struct bridge *b)
{
    struct errctx ctx = {0};
    bool was_prompt = b->mark.handing.is_prompt;
    log_mark(turn_mark_handed(&b->mark, &ctx), &ctx);
    if (!was_prompt || b->prompt == NULL ||
        !turn_mark_has_prompt(&b->mark, b->conf.manifest->prompt))
        return;
    free(b->prompt);
    b->prompt = NULL;
}

static void count_as_not_taken(struct bridge *b)
{
    struct errctx ctx = {0};
    log_mark(turn_mark_not_handed(&b->mark, &ctx), &ctx);
}

static void say_idle(struct bridge *b, const char *text)
{
    struct reconcile_word word;
    if (reconcile_app_says(b->reconcile, APP_IDLE, text, "", &word))
        bridge_say(b, &word, "");
}

/* ---- life ---- */

static void settle_damaged(struct bridge *b)
{
    const struct manifest *m = b->conf.manifest;
    struct errctx ctx = {0};
    enum err e = turn_mark_prompt(&b->mark, m->prompt, &m->build_id, &ctx);
    if (e == ERR_OK)
        e = turn_mark_end(&b->mark, &ctx);
    log_mark(e, &ctx);
    say_idle(b, "The record of earlier runs was damaged; send a message to go on.");
}

enum err bridge_hand_init(struct bridge *b, struct errctx *ctx)
{
    const struct manifest *m = b->conf.manifest;
    b->hand.knew_user = mirror_has_user(b->mirror);
    enum err e = turn_mark_load(&b->mark, b->conf.state_dir, ctx);
    if (e != ERR_OK)
        return e;
    if (b->mark.was_damaged) {
        settle_damaged(b);
        return ERR_OK;
    }
    /* A turn of a template that had no AgentAPI then. */
    log_mark(turn_mark_end(&b->mark, ctx), ctx);
    const char *prompt = m->prompt;
    size_t n = strlen(prompt);
    trim(&prompt, &n);
    bool is_in_doubt = b->mark.is_handing && b->mark.handing.is_prompt &&
                       turn_mark_is_handing_text(&b->mark, prompt, n);
    if (m->agentapi.sends_prompt && n > 0 && !is_in_doubt &&
        !turn_mark_has_prompt(&b->mark, m->prompt))
        b->prompt = mem_strndup(prompt, n);
    return ERR_OK;
}

void bridge_hand_done(struct bridge *b)
{
    if (b->hand.call != NULL)
        http_cancel(b->hand.call);
    free(b->prompt);
    free(b->hand.text);
}

bool bridge_hand_is_busy(const struct bridge *b)
{
    return b->mark.is_handing;
}

bool bridge_has_taken(const struct bridge *b, const struct uuid *send_id)
{
    return turn_mark_has_taken(&b->mark, send_id);
}

bool bridge_may_have_taken(const struct bridge *b, const struct uuid *send_id)
{
    return bridge_has_taken(b, send_id) || turn_mark_is_handing_message(&b->mark, send_id);
}

/* ---- what became of it ---- */

static void answer(struct bridge *b, enum refusal code, const char *detail)
{
    /* The callback may hand over the next one. */
    struct uuid send_id = b->hand.send_id;
    if (!b->hand.is_prompt)
        b->conf.on_answer(b->conf.arg, &send_id, code, detail);
}

static void on_taken(struct bridge *b)
{
    log_info("handed over what=%s", b->hand.is_prompt ? "prompt" : "message");
    count_as_taken(b);
    b->hand.n_busy = 0;
    /* The screen moves from now on, or has come to rest again already. */
    bridge_doubt_status(b, 0);
    answer(b, REFUSAL_NONE, "");
}

static void on_busy(struct bridge *b)
{
    int64_t ms = BUSY_MS_MIN << (b->hand.n_busy < 5 ? b->hand.n_busy : 5);
    b->hand.n_busy++;
    count_as_not_taken(b);
    reconcile_took_back(b->reconcile);
    bridge_doubt_status(b, ms < BUSY_MS_MAX ? ms : BUSY_MS_MAX);
    answer(b, REFUSAL_APP_BUSY, "");
}

static void say_refused(struct bridge *b, const char *why)
{
    struct reconcile_word word;
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    strbuf_addf(&text, "The app refused the prompt: %s", why);
    if (reconcile_app_says(b->reconcile, APP_FAILURE, text.s, "", &word))
        bridge_say(b, &word, "");
}

static void on_refused(struct bridge *b, int status, const char *why)
{
    char plain[40];
    snprintf(plain, sizeof(plain), "status %d", status);
    why = why[0] != '\0' ? why : plain;
    log_warn("refused what=%s status=%d why=%s", b->hand.is_prompt ? "prompt" : "message", status,
        LOG_Q(why));
    count_as_taken(b);
    if (b->hand.is_prompt)
        say_refused(b, why);
    bridge_doubt_status(b, 0);
    answer(b, REFUSAL_APP_REJECTED, why);
}

static void on_failed(struct bridge *b, const struct http_answer *a)
{
    bridge_complain(b, "nothing could be handed over to the app", a->why);
    if (!a->was_sent) {
        count_as_not_taken(b);
        reconcile_took_back(b->reconcile);
    }
    b->must_read = true;
    bridge_doubt_status(b, 0);
    answer(b, REFUSAL_APP_UNREACHABLE, a->why);
}

static bool is_busy(const struct http_answer *a, const char *why)
{
    return a->status == 409 || a->status == 429 || a->status == 503 ||
           strstr(why, "waiting for user input") != NULL;
}

static void on_posted(void *arg, const struct http_answer *a)
{
    struct bridge *b = arg;
    char why[160] = "";
    b->hand.call = NULL;
    if (a->code == ERR_OK && a->status != 200)
        conversation_explain(a->body, a->n, why);
    if (a->code != ERR_OK && !(a->status >= 200 && a->status < 300))
        on_failed(b, a);
    else if (a->status >= 200 && a->status < 300)
        on_taken(b);
    else if (is_busy(a, why))
        on_busy(b);
    else
        on_refused(b, a->status, why);
}

/* ---- handing over ---- */

static struct http_call *post(struct bridge *b, const char *text, size_t n)
{
    json_t *root = json_pack("{s:o, s:s}", "content", json_stringn(text, n), "type", "user");
    scoped_free char *body = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (body == NULL)
        return NULL;
    scoped_free char *url = bridge_url(b, "/message");
    const char *const headers[] = {
        "Content-Type", "application/json", "Accept", "application/json", NULL};
    const struct http_request request = {.method = "POST",
        .url = url,
        .headers = headers,
        .body = body,
        .body_n = strlen(body),
        .timeout_ms = POST_MS_MAX,
        .bytes_max = POST_BYTES_MAX,
        .done = on_posted,
        .arg = b};
    return http_start(b->conf.loop, &request);
}

/* `send_id` NULL: the prompt. */
static enum err hand_over(
    struct bridge *b, const struct uuid *send_id, const char *text, size_t n, struct errctx *ctx)
{
    enum err e = turn_mark_hand_over(
        &b->mark, send_id, b->conf.manifest->prompt, text, n, mirror_count(b->mirror), ctx);
    if (e != ERR_OK)
        return e;
    b->hand.is_prompt = b->hand.echoes_prompt = send_id == NULL;
    b->hand.send_id = send_id != NULL ? *send_id : (struct uuid){0};
    b->hand.is_of_this_life = true;
    b->hand.n_starts = b->n_starts;
    free(b->hand.text);
    b->hand.text = mem_dup(text, n);
    b->hand.n = n;
    reconcile_hands_over(b->reconcile);
    b->hand.call = post(b, text, n);
    if (b->hand.call == NULL) {
        count_as_taken(b);
        return err_set(ctx, ERR_INVALID, "the text is not valid UTF-8");
    }
    bridge_note_stable(b);
    return ERR_OK;
}

void bridge_hand_prompt(struct bridge *b)
{
    if (b->prompt == NULL || bridge_hand_is_busy(b))
        return;
    struct errctx ctx = {0};
    enum err e = hand_over(b, NULL, b->prompt, strlen(b->prompt), &ctx);
    if (e == ERR_OK)
        return;
    bridge_complain(b, "the prompt is not delivered, it cannot be marked", ctx.text);
    bridge_doubt_status(b, DISK_AGAIN_MS);
}

static void refuse(
    struct bridge *b, const struct uuid *send_id, enum refusal code, const char *detail)
{
    b->conf.on_answer(b->conf.arg, send_id, code, detail);
}

void bridge_message(struct bridge *b, const struct uuid *send_id, const char *content, size_t n)
{
    struct errctx ctx = {0};
    trim(&content, &n);
    if (bridge_has_taken(b, send_id))
        refuse(b, send_id, REFUSAL_NONE, "");
    else if (n == 0)
        refuse(b, send_id, REFUSAL_APP_REJECTED, "The message is empty.");
    else if (b->state == BRIDGE_STOPPING || b->state == BRIDGE_STOPPED)
        refuse(b, send_id, REFUSAL_APP_REJECTED, "The workspace is stopping.");
    else if (b->state != BRIDGE_LIVE || bridge_may_have_taken(b, send_id))
        refuse(b, send_id, REFUSAL_APP_UNREACHABLE, "The app does not answer.");
    else if (!bridge_is_stable(b))
        refuse(b, send_id, REFUSAL_APP_BUSY, "");
    else if (hand_over(b, send_id, content, n, &ctx) != ERR_OK)
        refuse(b, send_id, REFUSAL_APP_UNREACHABLE, ctx.text);
}

/* ---- doubts ---- */

static bool is_in(const struct bridge *b, const struct conversation *c, size_t from)
{
    for (size_t i = from; i < c->n; i++)
        if (c->v[i].is_user && turn_mark_is_handing_text(&b->mark, c->v[i].content, c->v[i].n))
            return true;
    return false;
}

/* The one it was sent to, with all it knew then. */
static bool is_same_app(const struct bridge *b, size_t known)
{
    return b->hand.is_of_this_life && b->hand.n_starts == b->n_starts &&
           known >= b->mark.handing.at;
}

static bool shows(const struct conversation *c, const char *text, size_t n)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->v[i].is_user && c->v[i].n == n && memcmp(c->v[i].content, text, n) == 0)
            return true;
    return false;
}

static void note_prompt_is_shown(struct bridge *b)
{
    struct errctx ctx = {0};
    log_mark(turn_mark_prompt_is_shown(&b->mark, &ctx), &ctx);
}

/* An agent that was killed right behind the handing-over has not seen it in the conversation, and
 * an app without a memory of its own does not show it any more. */
static void look_for_prompt(struct bridge *b, const struct conversation *c, bool is_at_rest)
{
    const struct manifest *m = b->conf.manifest;
    const char *prompt = m->prompt;
    size_t n = strlen(prompt);
    trim(&prompt, &n);
    if (b->mark.prompt_is_shown || b->mark.was_damaged || b->mark.is_handing || n == 0 ||
        !m->agentapi.sends_prompt || !turn_mark_has_prompt(&b->mark, m->prompt))
        return;
    bool is_shown = b->hand.knew_user || shows(c, prompt, n);
    if (!is_shown && (b->hand.is_of_this_life || !is_at_rest || b->state == BRIDGE_STOPPING))
        return;
    if (!is_shown)
        mirror_add_lost(b->mirror, prompt, n);
    note_prompt_is_shown(b);
}

void bridge_hand_look(struct bridge *b, const struct conversation *c, size_t known)
{
    size_t at = b->mark.handing.at < known ? (size_t)b->mark.handing.at : known;
    bool is_at_rest = b->has_status && !b->is_running && !b->is_doubted;
    look_for_prompt(b, c, is_at_rest);
    if (!b->mark.is_handing || b->hand.call != NULL)
        return;
    if (is_in(b, c, at)) {
        log_info("what was in doubt has been handed over");
        count_as_taken(b);
    } else if (b->state == BRIDGE_STOPPING || !is_at_rest) {
        return;
    } else if (is_same_app(b, known)) {
        log_info("what was in doubt has not been handed over");
        count_as_not_taken(b);
    } else {
        bool is_prompt = b->mark.handing.is_prompt;
        log_warn("nobody knows whether the app had it, it is not handed over again what=%s",
            is_prompt ? "prompt" : "message");
        count_as_taken(b);
        if (b->hand.is_of_this_life)
            mirror_add_lost(b->mirror, b->hand.text, b->hand.n);
        if (b->hand.is_of_this_life && is_prompt)
            note_prompt_is_shown(b);
        if (is_prompt)
            say_idle(b, "It is not known whether the app got the prompt; send it again if not.");
    }
}
