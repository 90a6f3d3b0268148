/* SPDX-License-Identifier: Apache-2.0 */
/* Statements, made into reports. */
#include "agent/status.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/base/text.h"

struct status {
    struct reports *reports;
    const char *slug;
    bool are_last_words;
    bool has_last;
    enum app_state last_state;
    char *last_message, *last_uri;
};

static const char *const state_names[APP_STATE_COUNT] = {
    [APP_WORKING] = "working",
    [APP_IDLE] = "idle",
    [APP_COMPLETE] = "complete",
    [APP_FAILURE] = "failure",
};

const char *app_state_to_str(enum app_state state)
{
    return state_names[state];
}

bool app_state_from_str(const char *text, enum app_state *ret_state)
{
    for (enum app_state s = 0; s < APP_STATE_COUNT; s++)
        if (strcmp(text, state_names[s]) == 0) {
            *ret_state = s;
            return true;
        }
    return false;
}

struct status *status_new(struct reports *reports, const char *app_slug)
{
    struct status *s = mem_alloc(sizeof(*s));
    s->reports = reports;
    s->slug = app_slug;
    return s;
}

void status_free(struct status *s)
{
    if (s == NULL)
        return;
    free(s->last_message);
    free(s->last_uri);
    free(s);
}

static Stint__V1__Report report_of(Stint__V1__Report__WhatCase what)
{
    Stint__V1__Report report = STINT__V1__REPORT__INIT;
    report.at_us = clock_wall_us();
    report.what_case = what;
    return report;
}

/* ---- app states ---- */

static bool is_repetition(
    const struct status *s, enum app_state state, const char *message, const char *uri)
{
    return s->has_last && s->last_state == state && strcmp(s->last_message, message) == 0 &&
           strcmp(s->last_uri, uri) == 0;
}

static void remember(struct status *s, enum app_state state, const char *message, const char *uri)
{
    free(s->last_message);
    free(s->last_uri);
    s->has_last = true;
    s->last_state = state;
    s->last_message = mem_strdup(message);
    s->last_uri = mem_strdup(uri);
}

static enum err say_app(
    struct status *s, enum app_state state, const char *message, const char *uri, bool always)
{
    if (is_repetition(s, state, message, uri))
        return ERR_OK;
    Stint__V1__AppState app = STINT__V1__APP_STATE__INIT;
    app.app_slug = (char *)(uintptr_t)s->slug;
    app.state = (char *)(uintptr_t)state_names[state];
    app.message = (char *)(uintptr_t)message;
    app.uri = (char *)(uintptr_t)uri;
    Stint__V1__Report report = report_of(STINT__V1__REPORT__WHAT_APP_STATE);
    report.app_state = &app;
    enum err e = ERR_OK;
    if (always)
        reports_add_always(s->reports, &report);
    else
        e = reports_add(s->reports, &report);
    if (e == ERR_OK)
        remember(s, state, message, uri);
    return e;
}

void status_app(struct status *s, enum app_state state, const char *message)
{
    status_app_linked(s, state, message, "");
}

void status_app_linked(struct status *s, enum app_state state, const char *message, const char *uri)
{
    scoped(strbuf_done) struct strbuf clean;
    strbuf_init(&clean);
    text_add_sanitized(&clean, message);
    char text[REPORT_MESSAGE_MAX + 1];
    size_t n = text_utf8_prefix(clean.s, clean.len, REPORT_MESSAGE_MAX);
    memcpy(text, clean.s, n);
    text[n] = '\0';
    /* Cannot fail when it must be said. */
    enum err e = say_app(s, state, text, uri, true);
    (void)e;
}

enum err status_check_state(const char *text, enum app_state *ret_state, struct errctx *ctx)
{
    if (app_state_from_str(text, ret_state))
        return ERR_OK;
    return err_set(ctx, ERR_INVALID,
        "the state \"%.40s\" is not known; allowed are working, idle, complete, failure", text);
}

static bool has_white_space_or_control(const char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s <= ' ' || *s == 0x7f)
            return true;
    return false;
}

enum err status_check(const char *message, const char *uri, struct errctx *ctx)
{
    size_t n = strlen(message);
    if (!text_is_utf8(message, n))
        return err_set(ctx, ERR_INVALID, "the message is not valid UTF-8");
    if (n == 0)
        return err_set(
            ctx, ERR_INVALID, "the message is empty: say in a few words what is going on");
    if (n > REPORT_MESSAGE_MAX)
        return err_set(ctx, ERR_INVALID, "the message has %zu bytes; at most %d are allowed", n,
            REPORT_MESSAGE_MAX);
    if (strpbrk(message, "\r\n") != NULL)
        return err_set(ctx, ERR_INVALID, "the message has a line break; one line is allowed");
    n = strlen(uri);
    if (n > URI_BYTES_MAX)
        return err_set(
            ctx, ERR_INVALID, "the uri has %zu bytes; at most %d are allowed", n, URI_BYTES_MAX);
    if (!text_is_utf8(uri, n) || has_white_space_or_control(uri))
        return err_set(ctx, ERR_INVALID, "the uri has white space or control characters in it");
    return ERR_OK;
}

static enum err refused(struct errctx *ctx, enum err e)
{
    if (e == ERR_FULL)
        return err_set(ctx, e,
            "too many reports wait to be taken by a worker; nothing is lost, try again later");
    if (e != ERR_OK)
        return err_set(ctx, e, "the report cannot be written: %s", err_text(e));
    return ERR_OK;
}

enum err status_app_says(struct status *s, enum app_state state, const char *message,
    const char *uri, struct errctx *ctx)
{
    enum err e = status_check(message, uri, ctx);
    if (e != ERR_OK)
        return e;
    scoped(strbuf_done) struct strbuf clean;
    strbuf_init(&clean);
    text_add_sanitized(&clean, message);
    if (clean.len == 0)
        return err_set(ctx, ERR_INVALID, "the message has no text in it");
    return refused(ctx, say_app(s, state, clean.s, uri, false));
}

bool status_last(const struct status *s, enum app_state *ret_state)
{
    if (s->has_last)
        *ret_state = s->last_state;
    return s->has_last;
}

/* ---- life cycle ---- */

void status_lifecycle(struct status *s, const char *state)
{
    Stint__V1__Lifecycle lifecycle = STINT__V1__LIFECYCLE__INIT;
    lifecycle.state = (char *)(uintptr_t)state;
    Stint__V1__Report report = report_of(STINT__V1__REPORT__WHAT_LIFECYCLE);
    report.lifecycle = &lifecycle;
    reports_add_always(s->reports, &report);
}

/* ---- beside the conversation ---- */

enum err status_health(struct status *s, const char *health)
{
    Stint__V1__AppHealth app_health = STINT__V1__APP_HEALTH__INIT;
    app_health.app_slug = (char *)(uintptr_t)s->slug;
    app_health.health = (char *)(uintptr_t)health;
    Stint__V1__Report report = report_of(STINT__V1__REPORT__WHAT_APP_HEALTH);
    report.app_health = &app_health;
    return reports_add(s->reports, &report);
}

enum err status_metadata(struct status *s, const char *key, const char *value, const char *error)
{
    Stint__V1__Metadata metadata = STINT__V1__METADATA__INIT;
    metadata.key = (char *)(uintptr_t)key;
    metadata.value = (char *)(uintptr_t)value;
    metadata.error = (char *)(uintptr_t)error;
    Stint__V1__Report report = report_of(STINT__V1__REPORT__WHAT_METADATA);
    report.metadata = &metadata;
    return reports_add(s->reports, &report);
}

enum err status_log(struct status *s, const char *source, const char *level, const char *line)
{
    Stint__V1__AgentLog log = STINT__V1__AGENT_LOG__INIT;
    log.id = reports_next_log_id(s->reports);
    log.source = (char *)(uintptr_t)source;
    log.level = (char *)(uintptr_t)level;
    log.output = (char *)(uintptr_t)line;
    Stint__V1__Report report = report_of(STINT__V1__REPORT__WHAT_AGENT_LOG);
    report.agent_log = &log;
    return reports_add(s->reports, &report);
}

/* ---- the conversation ---- */

static enum err say_chat(
    struct status *s, uint64_t id, const char *role, const char *text, size_t n, bool always)
{
    scoped_free char *content = mem_strndup(text, n);
    Stint__V1__ChatMessage chat = STINT__V1__CHAT_MESSAGE__INIT;
    chat.role = (char *)(uintptr_t)role;
    chat.content = content;
    Stint__V1__Report report = report_of(STINT__V1__REPORT__WHAT_CHAT_MESSAGE);
    report.chat_message = &chat;
    chat.id = id;
    if (!always)
        return reports_add(s->reports, &report);
    reports_add_always(s->reports, &report);
    return ERR_OK;
}

void status_input(struct status *s, const char *text, size_t n)
{
    while (n > 0) {
        size_t piece = text_utf8_prefix(text, n, CHAT_CONTENT_BYTES_MAX);
        if (piece == 0)
            piece = n < CHAT_CONTENT_BYTES_MAX ? n : CHAT_CONTENT_BYTES_MAX;
        enum err e = say_chat(s, status_next_chat_id(s), "user", text, piece, true);
        (void)e;
        text += piece;
        n -= piece;
    }
}

enum err status_output(struct status *s, const char *text, size_t n)
{
    return say_chat(s, status_next_chat_id(s), "agent", text, n, s->are_last_words);
}

enum err status_chat(struct status *s, uint64_t id, const char *role, const char *text, size_t n)
{
    return say_chat(s, id, role, text, n, s->are_last_words);
}

uint64_t status_next_chat_id(const struct status *s)
{
    return reports_next_message_id(s->reports);
}

void status_last_words(struct status *s)
{
    s->are_last_words = true;
}

bool status_has_room(const struct status *s)
{
    return s->are_last_words || !reports_is_full(s->reports);
}
