/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcp_fuzz.c - lines of a client into the MCP server, in a world where nothing is done.  The first
 * byte chooses who is there; every line is one of the input.  Jobs are answered or cancelled as
 * they come; the rest is cancelled at the end.
 *
 * Whatever comes in: what goes out is one JSON message per line, and no more answers than there
 * were messages.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "agent/mcp/configure.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "tests/unit/agent/mcp_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char task[] =
    "{\"id\":\"11111111-1111-1111-1111-111111111111\",\"owner_name\":\"bob\",\"status\":\"active\","
    "\"active_version_id\":\"v\",\"tasks\":[],\"logs\":[{\"id\":1,\"content\":\"x\"},{}]}";
static const char initialize[] =
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
    "\"2025-03-26\"}}";

static void answer(struct fake_world *w, size_t i, const char *body)
{
    if (w->jobs[i]->on_report != NULL)
        fake_reported(w, i, i % 3 == 0 ? ERR_INVALID : ERR_OK, "why");
    else
        fake_answered(w, i, i % 5 == 0 ? 409 : i % 2 == 0 ? 200 : 202, body);
}

/* Every second job is answered; answers may start further ones. */
static void answer_some(struct fake_world *w, const char *body)
{
    for (size_t i = 0; i < w->n_jobs && w->n_jobs < FAKE_JOBS_MAX - 300; i++)
        if (w->jobs[i] != NULL && i % 2 == 0)
            answer(w, i, body);
}

static void check_output(const struct strbuf *out)
{
    for (const char *p = out->s, *end; *p != '\0'; p = end + 1) {
        end = strchr(p, '\n');
        json_t *value = end != NULL ? json_loadb(p, (size_t)(end - p), JSON_ALLOW_NUL, NULL) : NULL;
        if (value == NULL)
            abort();
        json_decref(value);
    }
}

static void fuzz_server(uint8_t who, const char *text, size_t n)
{
    struct fake_world w;
    fake_open(&w, who & 1, who & 2);
    const struct mcp_server_conf conf = {
        .world = &w.world, .allowed_tools = who & 4 ? "coder_report_task,coder_list_tasks" : NULL};
    struct mcp_server *s = mcp_server_new(&conf);
    if (who & 8)
        mcp_server_line(s, initialize, sizeof(initialize) - 1);
    while (n > 0 && w.n_jobs < FAKE_JOBS_MAX - 300) { /* a batch has up to 256 */
        const char *end = memchr(text, '\n', n);
        size_t line = end != NULL ? (size_t)(end - text) : n;
        mcp_server_line(s, text, line);
        answer_some(&w, who & 16 ? task : "[{\"ID\":1}]");
        text += line;
        n -= line;
        if (n > 0)
            text++, n--;
    }
    check_output(&w.out);
    mcp_server_free(s);
    fake_close(&w);
}

/* Prompts written twice are there once. */
static void fuzz_claude_md(const char *text)
{
    const struct claude_conf conf = {.report_prompt = "R", .system_prompt = "S"};
    scoped_free char *once = claude_md_text(&conf, text), *twice = claude_md_text(&conf, once);
    if (strcmp(once, twice) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    log_set_level(LOG_ERROR);
    if (n == 0)
        return 0;
    scoped_free char *text = mem_strndup((const char *)data + 1, n - 1);
    if (data[0] & 128)
        fuzz_claude_md(text);
    else
        fuzz_server(data[0], (const char *)data + 1, n - 1);
    return 0;
}
