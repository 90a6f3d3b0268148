/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_http_fuzz.c - what the agent takes apart of an app's answers: chunks, streams of events,
 * AgentAPI's JSON.  The first byte chooses; the second says where the rest is cut in two.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/conversation.h"
#include "agent/http_chunks.h"
#include "agent/mirror.h"
#include "core/base/cleanup.h"
#include "core/base/sse.h"
#include "core/base/text.h"

#define CONTENT_BYTES_MAX 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void fuzz_chunks(const char *data, size_t n, size_t cut)
{
    struct http_chunks whole = {0}, halves = {0};
    struct strbuf a, b;
    strbuf_init(&a);
    strbuf_init(&b);
    http_chunks_feed(&whole, data, n, &a);
    http_chunks_feed(&halves, data, cut, &b);
    http_chunks_feed(&halves, data + cut, n - cut, &b);
    if (whole.state != halves.state || a.len != b.len || memcmp(a.s, b.s, a.len) != 0 || a.len > n)
        abort();
    strbuf_done(&a);
    strbuf_done(&b);
}

static bool on_event(void *arg, const char *name, const char *data, size_t n)
{
    struct strbuf *out = arg;
    if (data[n] != '\0' || strlen(name) > SSE_NAME_BYTES_MAX)
        abort();
    strbuf_addf(out, "%s=", name);
    strbuf_add(out, data, n);
    return true;
}

static void fuzz_sse(const char *data, size_t n, size_t cut)
{
    struct strbuf a, b;
    struct sse whole, halves;
    strbuf_init(&a);
    strbuf_init(&b);
    sse_init(&whole, on_event, &a);
    sse_init(&halves, on_event, &b);
    whole.event_bytes_max = halves.event_bytes_max = 64;
    sse_feed(&whole, data, n);
    sse_feed(&halves, data, cut);
    sse_feed(&halves, data + cut, n - cut);
    if (a.len != b.len || memcmp(a.s, b.s, a.len) != 0 || whole.data.len > 64)
        abort();
    sse_done(&whole);
    sse_done(&halves);
    strbuf_done(&a);
    strbuf_done(&b);
}

static void look(const struct conversation *c)
{
    struct strbuf out;
    strbuf_init(&out);
    for (size_t i = 0; i < c->n; i++) {
        const struct conversation_message *m = &c->v[i];
        strbuf_clear(&out);
        mirror_add_content(&out, m->content, m->n, m->is_user, CONTENT_BYTES_MAX);
        if (m->id >= CONVERSATION_MESSAGES_MAX || out.len > CONTENT_BYTES_MAX ||
            !text_is_utf8(out.s, out.len))
            abort();
    }
    strbuf_done(&out);
}

static void fuzz_json(const char *data, size_t n)
{
    struct conversation c;
    bool is_running;
    char text[160];
    if (conversation_parse(data, n, &c)) {
        look(&c);
        conversation_done(&c);
    }
    if (conversation_parse_update(data, n, &c)) {
        look(&c);
        conversation_done(&c);
    }
    conversation_parse_status(data, n, &is_running);
    conversation_explain(data, n, text);
    if (strlen(text) > 159 || !text_is_utf8(text, strlen(text)))
        abort();
}

static void fuzz_content(const char *data, size_t n)
{
    struct strbuf out;
    strbuf_init(&out);
    for (int is_user = 0; is_user < 2; is_user++) {
        strbuf_clear(&out);
        mirror_add_content(&out, data, n, is_user != 0, CONTENT_BYTES_MAX);
        if (out.len > CONTENT_BYTES_MAX || !text_is_utf8(out.s, out.len))
            abort();
    }
    strbuf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    const char *text = (const char *)data + 2;
    size_t cut = data[1] % (n - 1);
    n -= 2;
    switch (data[0] % 4) {
    case 0:
        fuzz_chunks(text, n, cut);
        break;
    case 1:
        fuzz_sse(text, n, cut);
        break;
    case 2:
        fuzz_json(text, n);
        break;
    default:
        fuzz_content(text, n);
        break;
    }
    return 0;
}
