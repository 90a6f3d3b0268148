/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentapi_fuzz.c - what strangers send to the built-in AgentAPI: bodies of messages, forms, state
 * files, host lists, and an agent's terminal output with messages typed in between.  The first byte
 * chooses.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "agent/agentapi/answer.h"
#include "agent/agentapi/api.h"
#include "agent/agentapi/hosts.h"
#include "agent/agentapi/screen.h"
#include "agent/agentapi/state.h"
#include "agent/agentapi/tracker.h"
#include "agent/agentapi/upload.h"
#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool is_true)
{
    if (!is_true)
        abort();
}

static void fuzz_message(const char *text, size_t n)
{
    struct api_message m = {0};
    json_t *errors = json_array();
    bool is_good = api_read_message(text, n, &m, errors);
    check(is_good == (json_array_size(errors) == 0));
    if (is_good)
        api_message_done(&m);
    json_decref(errors);
}

/* The first line is the content type, the rest the body. */
static void fuzz_form(const char *text, size_t n)
{
    struct upload_part part;
    struct strbuf name;
    const char *line = memchr(text, '\n', n);
    if (line == NULL)
        return;
    scoped_free char *type = mem_strndup(text, (size_t)(line - text));
    size_t body_n = n - (size_t)(line + 1 - text);
    if (upload_find(type, line + 1, body_n, &part, NULL) != ERR_OK)
        return;
    check(part.data >= line + 1 && part.data + part.n <= text + n);
    strbuf_init(&name);
    upload_name(part.name, part.name_n, &name);
    check(name.len > 0 && strchr(name.s, '/') == NULL && strcmp(name.s, "..") != 0);
    strbuf_done(&name);
}

static void fuzz_state(const char *text, size_t n)
{
    struct state s = {0};
    if (state_parse(text, n, &s, NULL) == ERR_OK)
        state_done(&s);
}

static void fuzz_hosts(const char *text)
{
    struct strbuf list;
    strbuf_init(&list);
    if (hosts_parse(text, &list, NULL) == ERR_OK)
        check(list.len > 0);
    hosts_allow("localhost, [::1]", text);
    origins_allow("http://localhost", text);
    strbuf_done(&list);
}

/* ---- a terminal ---- */

struct world {
    struct tracker *tracker;
    struct screen *screen;
    size_t answered;
};

static void on_answer(void *arg, const char *data, size_t n)
{
    struct world *w = arg;
    (void)data;
    w->answered += n;
}

static void on_type(void *arg, const char *text, size_t n)
{
    screen_feed(((struct world *)arg)->screen, text, n); /* its echo */
}

static void nothing(void *arg)
{
    (void)arg;
}

static bool is_drained(void *arg)
{
    (void)arg;
    return true;
}

static void on_message(void *arg, const struct tracker_message *m)
{
    (void)arg;
    check(text_is_utf8(m->text, m->n) && strlen(m->text) == m->n);
}

static void on_status(void *arg, enum tracker_status status)
{
    (void)arg, (void)status;
}

static void on_trouble(void *arg, const char *sentence)
{
    (void)arg, (void)sentence;
}

/* Byte 0: the type; a piece of output ends at 0xff, and time passes; 0xfe sends a message. */
static void fuzz_terminal(const char *bytes, size_t n)
{
    if (n < 1)
        return;
    struct world w = {0};
    struct tracker_conf conf = {
        .type = (enum agent_type)((unsigned char)bytes[0] % (AGENT_CUSTOM + 1)),
        .prompt = (bytes[0] & 0x40) != 0 ? "first" : NULL,
        .io = {on_type, nothing, is_drained, nothing, nothing, on_message, on_status, on_trouble,
               &w},
    };
    int64_t now = 0;
    w.screen = screen_new(12, 30, on_answer, &w);
    w.tracker = tracker_new(&conf, 0, 0);
    for (size_t i = 1, from = 1; i <= n; i++) {
        bool is_end = i == n || (unsigned char)bytes[i] >= 0xfe;
        if (!is_end)
            continue;
        screen_feed(w.screen, bytes + from, i - from);
        for (int tick = 0; tick < 90; tick++, now += SNAPSHOT_MS)
            tracker_snapshot(w.tracker, now, now, screen_text(w.screen));
        if (i < n && (unsigned char)bytes[i] == 0xfe &&
            tracker_send(w.tracker, now, now, "hello", 5, NULL, NULL, NULL) == ERR_OK)
            check(tracker_status(w.tracker) == STATUS_RUNNING);
        from = i + 1;
    }
    check(text_is_utf8(screen_text(w.screen)->s, screen_text(w.screen)->len));
    tracker_free(w.tracker);
    screen_free(w.screen);
}

/* Two screens, divided by a byte 1, and what was said on the first line of the second. */
static void fuzz_answer(const char *text, size_t n)
{
    const char *second = memchr(text, '\1', n);
    if (n < 1 || second == NULL)
        return;
    struct strbuf before = {
        .s = (char *)(uintptr_t)text + 1, .len = second > text ? (size_t)(second - text) - 1 : 0};
    struct strbuf now = {
        .s = (char *)(uintptr_t)second + 1, .len = n - (size_t)(second - text) - 1};
    struct strbuf out;
    strbuf_init(&out);
    scoped_free char *said = mem_strndup(now.s, strcspn(now.s, "\n"));
    answer_tell(
        (enum agent_type)((unsigned char)text[0] % (AGENT_CUSTOM + 1)), &before, &now, said, &out);
    check(out.len <= now.len);
    strbuf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    scoped_free char *text = mem_strndup((const char *)data + 1, n - 1);
    switch (data[0] % 6) {
    case 0:
        fuzz_message(text, strlen(text));
        break;
    case 1:
        fuzz_form((const char *)data + 1, n - 1);
        break;
    case 2:
        fuzz_state(text, strlen(text));
        break;
    case 3:
        fuzz_hosts(text);
        break;
    case 4:
        fuzz_terminal((const char *)data + 1, n - 1);
        break;
    default:
        fuzz_answer(text, strlen(text));
        break;
    }
    return 0;
}
