/* SPDX-License-Identifier: Apache-2.0 */
/* Commands to values. */
#include "agent/metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/process.h"
#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/text.h"

struct item {
    struct metadata *metadata;
    const struct manifest_metadata *m;
    struct timer *timer;
    struct process *process; /* NULL: it does not run */
    struct strbuf output;
    char *value, *error; /* said last; NULL: nothing yet */
};

struct metadata {
    struct metadata_conf conf;
    struct item *v;
    size_t n;
};

/* ---- saying ---- */

/* `value` and `error` are fit to be said; only what has changed is. */
static void say(struct item *item, const char *value, const char *error)
{
    if (item->value != NULL && strcmp(item->value, value) == 0 && strcmp(item->error, error) == 0)
        return;
    if (status_metadata(item->metadata->conf.status, item->m->key, value, error) != ERR_OK)
        return; /* with the next run */
    free(item->value);
    free(item->error);
    item->value = mem_strdup(value);
    item->error = mem_strdup(error);
}

static void say_error(struct item *item, const char *text)
{
    scoped(strbuf_done) struct strbuf clean;
    strbuf_init(&clean);
    text_add_sanitized(&clean, text);
    clean.s[text_utf8_prefix(clean.s, clean.len, METADATA_ERROR_MAX)] = '\0';
    say(item, "", clean.s);
}

static void say_value(struct item *item)
{
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    text_add_output(&text, item->output.s, item->output.len);
    size_t n = text_utf8_prefix(text.s, text.len, METADATA_VALUE_MAX);
    while (n > 0 && strchr(" \t\n", text.s[n - 1]) != NULL)
        n--;
    scoped_free char *value = mem_strndup(text.s, n);
    say(item, value, "");
}

static void say_failure(struct item *item, int wait_status, bool has_timed_out)
{
    char how[CHILD_END_TEXT_MAX], text[METADATA_ERROR_MAX + CHILD_END_TEXT_MAX + 2];
    child_end_text(wait_status, how);
    if (has_timed_out)
        snprintf(text, sizeof(text), "no value within %lld ms", (long long)item->m->timeout_ms);
    else
        snprintf(text, sizeof(text), "%s%s%.*s", how, item->output.len > 0 ? ": " : "",
            METADATA_ERROR_MAX, item->output.s);
    say_error(item, text);
}

/* ---- running ---- */

static void on_done(void *arg, int wait_status, bool has_timed_out)
{
    struct item *item = arg;
    item->process = NULL;
    if (child_has_succeeded(wait_status) && !has_timed_out)
        say_value(item);
    else
        say_failure(item, wait_status, has_timed_out);
}

static void on_timer(void *arg)
{
    struct item *item = arg;
    const struct metadata_conf *conf = &item->metadata->conf;
    if (item->process != NULL)
        return;
    strbuf_clear(&item->output);
    const struct process_spec spec = {.loop = conf->loop,
        .children = conf->children,
        .log = conf->log,
        .name = item->m->key,
        .argv = item->m->command,
        .env = conf->env,
        .dir = conf->manifest->dir,
        .timeout_ms = item->m->timeout_ms,
        .capture = &item->output,
        .capture_max = METADATA_VALUE_MAX,
        .done = on_done,
        .arg = item};
    struct errctx ctx = {0};
    if (process_start(&spec, &item->process, &ctx) != ERR_OK)
        say_error(item, ctx.text);
}

struct metadata *metadata_new(const struct metadata_conf *conf)
{
    struct metadata *m = mem_alloc(sizeof(*m));
    m->conf = *conf;
    m->n = conf->manifest->n_metadata;
    m->v = mem_calloc(m->n + 1, sizeof(*m->v));
    for (size_t i = 0; i < m->n; i++) {
        struct item *item = &m->v[i];
        item->metadata = m;
        item->m = &conf->manifest->metadata[i];
        strbuf_init(&item->output);
        item->timer = timer_new(conf->loop, on_timer, item);
        timer_start(item->timer, 0, item->m->interval_ms);
    }
    return m;
}

void metadata_free(struct metadata *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->n; i++) {
        struct item *item = &m->v[i];
        process_forget(item->process);
        timer_free(item->timer);
        strbuf_done(&item->output);
        free(item->value);
        free(item->error);
    }
    free(m->v);
    free(m);
}
