/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agents.c - what agents say over REST, in Coder's way.  The token says which agent.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/text.h"
#include "gateway/agent_manifest.h"
#include "gateway/json_out.h"
#include "gateway/request.h"
#include "gateway/task_cache.h"

#define SNAPSHOT_BYTES_MAX 65536
#define URI_BYTES_MAX      2048

/* ---- PATCH /workspaceagents/me/app-status ---- */

struct app_status {
    const char *slug, *state, *uri; /* borrowed */
    struct strbuf message;
};

static void app_status_done(void *state)
{
    strbuf_done(&((struct app_status *)state)->message);
}

static void on_reported(struct request *r, const Stint__V1__Envelope *reply)
{
    const struct app_status *s = r->state;
    if (reply->body_case != STINT__V1__ENVELOPE__BODY_STATUS) {
        answer_refusal(r, REFUSAL_MALFORMED, "", "");
        return;
    }
    char detail[160];
    snprintf(detail, sizeof(detail), "No app found with slug \"%.64s\"", s->slug);
    switch (reply->status->code) {
    case REFUSAL_NONE:
        task_cache_drop(r->gw->cache, &r->who.task_id);
        json_raw(&r->out, "null", 4);
        answer_json(r, 200);
        break;
    case REFUSAL_SLUG_UNKNOWN:
        answer_refusal(r, REFUSAL_SLUG_UNKNOWN, detail, "");
        break;
    default:
        answer_refusal(r, reply->status->code, reply->status->detail, "");
    }
}

/* Its canonical spelling; NULL: no such state. */
static const char *state_of(const char *text)
{
    static const char *const states[] = {"working", "idle", "complete", "failure"};
    for (size_t i = 0; i < COUNT(states); i++)
        if (strcasecmp(states[i], text) == 0)
            return states[i];
    return NULL;
}

static bool read_status(struct request *r, struct app_status *s)
{
    const char *message, *state;
    if (request_json(r) == NULL || !request_text(r, "app_slug", &s->slug) ||
        !request_text(r, "state", &state) || !request_text(r, "message", &message) ||
        !request_text(r, "uri", &s->uri))
        return false;
    s->state = state_of(state);
    if (strlen(message) > REPORT_MESSAGE_MAX)
        answer_invalid(
            r, 400, "Message is too long.", "message", "Message must be less than 160 characters.");
    else if (s->state == NULL)
        answer_invalid(r, 400, "Invalid state provided.", "state",
            "State must be one of: complete, failure, idle, working.");
    else if (strlen(s->uri) > URI_BYTES_MAX)
        answer_invalid(r, 400, "URI is too long.", "uri", "URI must have at most 2048 bytes.");
    else
        text_add_sanitized(&s->message, message);
    return !r->is_over;
}

void agent_app_status(struct request *r)
{
    struct app_status *s = request_state(r, sizeof(*s), app_status_done);
    strbuf_init(&s->message);
    if (!read_status(r, s))
        return;
    Stint__V1__AppStatusReport m = STINT__V1__APP_STATUS_REPORT__INIT;
    m.agent_id = wire_uuid(&r->who.id);
    m.app_slug = (char *)(uintptr_t)s->slug;
    m.state = (char *)(uintptr_t)s->state;
    m.message = s->message.s;
    m.uri = (char *)(uintptr_t)s->uri;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_APP_STATUS_REPORT);
    e.app_status_report = &m;
    ask_bus(r, &e, ASK_BUS_TIMEOUT_MS, on_reported);
}

/* ---- GET /api/stint/v1/agent/manifest ---- */

/* The columns of agent_manifest, in order. */
enum manifest_column {
    AGENT_ID,
    AGENT_TOKEN,
    TASK_ID,
    WORKSPACE_ID,
    BUILD_ID,
    BUILD_NUMBER,
    TASK_NAME,
    WORKSPACE_NAME,
    OWNER_NAME,
    TEMPLATE_NAME,
    PROMPT,
    APP_SLUG,
    AGENT,
    IS_STARTING,
};

static json_t *identity_of(const struct db_result *a)
{
    static const struct {
        enum manifest_column column;
        const char *key;
    } ids[] =
        {
            {AGENT_ID,     "agent_id"    },
            {AGENT_TOKEN,  "agent_token" },
            {TASK_ID,      "task_id"     },
            {WORKSPACE_ID, "workspace_id"},
            {BUILD_ID,     "build_id"    },
    },
      texts[] = {
          {TASK_NAME, "task_name"},
          {WORKSPACE_NAME, "workspace_name"},
          {OWNER_NAME, "owner_name"},
          {TEMPLATE_NAME, "template_name"},
          {PROMPT, "prompt"},
      };
    json_t *m = json_object();
    json_object_set_new(m, "version", json_integer(1));
    for (size_t i = 0; i < COUNT(ids); i++) {
        struct uuid id = db_uuid(a, 0, (int)ids[i].column);
        json_object_set_new(m, ids[i].key, json_string(uuid_format(&id).s));
    }
    for (size_t i = 0; i < COUNT(texts); i++)
        json_object_set_new(m, texts[i].key, json_string(db_text(a, 0, (int)texts[i].column)));
    json_object_set_new(m, "build_number", json_integer(db_int(a, 0, BUILD_NUMBER)));
    return m;
}

static json_t *workers_of(const struct db_result *rows)
{
    json_t *list = json_array();
    for (size_t i = 0; i < db_rows(rows); i++)
        json_array_append_new(list, json_string(db_text(rows, i, 0)));
    return list;
}

/* The agent asks as soon as its container runs; the build says what it is to run when it is over.
 */
static void answer_no_manifest(struct request *r, bool is_starting)
{
    if (!is_starting) {
        answer_problem(r, 404, "manifest-unknown", "There is no manifest for this agent here.",
            "It is for agents of terraform templates; one that a worker has started has its "
            "manifest in a file, and is run with --manifest.");
        return;
    }
    answer_header(r, "retry-after:", "1");
    answer_problem(r, 503, "manifest-not-yet", "The build of this workspace is not over yet.",
        "Ask again in a second.");
}

static void on_manifest(struct request *r, const struct db_result *const *results)
{
    const struct db_result *a = results[0];
    json_t *agent = db_rows(a) == 1 && !db_is_null(a, 0, AGENT)
                        ? json_loads(db_text(a, 0, AGENT), 0, NULL)
                        : NULL;
    if (!json_is_object(agent)) {
        json_decref(agent);
        answer_no_manifest(r, db_rows(a) == 1 && db_bool(a, 0, IS_STARTING));
        return;
    }
    json_t *m = identity_of(a);
    agent_manifest_put(m, agent, db_text(a, 0, APP_SLUG));
    json_object_set_new(m, "workers", workers_of(results[1]));
    char *text = json_dumps(m, JSON_COMPACT);
    strbuf_addstr(&r->out, text);
    free(text);
    json_decref(m);
    json_decref(agent);
    answer_header(r, "cache-control:", "no-store");
    answer_json(r, 200);
}

void agent_manifest(struct request *r)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_AGENT_MANIFEST);
    db_add_uuid(b, &r->who.id);
    db_batch_add(b, SQL_AGENT_WORKERS);
    ask_db(r, b, on_manifest);
}

/* ---- POST /workspaceagents/me/tasks/{task}/log-snapshot ---- */

static void on_kept(struct request *r, const struct db_result *const *results)
{
    (void)results;
    answer_empty(r, 204);
}

static bool check_parameters(struct request *r)
{
    const char *format = request_query(r, "format");
    size_t n = 0;
    for (const char *s = r->query.s, *end = s + r->query.len; s < end; s += strlen(s) + 1)
        n += strncmp(s, "coder_session_token=", 20) != 0 && strncmp(s, "access_token=", 13) != 0;
    if (format == NULL || n != 1)
        answer_invalid(r, 400, "Invalid query parameters.", "format",
            "\"format\" is required, and the only parameter");
    else if (strcmp(format, "agentapi") != 0)
        answer_invalid(
            r, 400, "Invalid query parameters.", "format", "\"format\" must be agentapi");
    return !r->is_over;
}

/* What a reader of the snapshot relies on. */
static bool is_message(const json_t *m)
{
    const json_t *id = json_object_get(m, "id"), *content = json_object_get(m, "content");
    const json_t *role = json_object_get(m, "role"), *time = json_object_get(m, "time");
    return json_is_object(m) && (id == NULL || json_is_integer(id)) &&
           (content == NULL || json_is_string(content)) && (role == NULL || json_is_string(role)) &&
           (time == NULL || json_is_string(time));
}

static bool check_messages(struct request *r, const json_t *messages)
{
    size_t i;
    json_t *m;
    if (!json_is_array(messages)) {
        answer_error(
            r, 400, "Invalid agentapi payload structure.", "\"messages\" must be an array.");
        return false;
    }
    json_array_foreach(messages, i, m)
    {
        if (is_message(m))
            continue;
        char detail[96];
        snprintf(detail, sizeof(detail), "Message %zu is not {id, content, role, time}.", i);
        answer_error(r, 400, "Failed to decode request payload.", detail);
        return false;
    }
    return true;
}

/* The envelope in which it is kept; NULL: answered. */
static char *wrap_snapshot(struct request *r)
{
    json_error_t e;
    if (r->body.len > SNAPSHOT_BYTES_MAX) {
        answer_error(r, 400, "Failed to decode request payload.", "It is longer than 65536 bytes.");
        return NULL;
    }
    r->json = json_loadb(r->body.s, r->body.len, 0, &e);
    if (!json_is_object(r->json)) {
        answer_error(r, 400, "Failed to decode request payload.", e.text);
        return NULL;
    }
    if (!check_messages(r, json_object_get(r->json, "messages")))
        return NULL;
    json_t *envelope = json_pack("{s:s, s:{s:O}}", "format", "agentapi", "data", "messages",
        json_object_get(r->json, "messages"));
    char *text = json_dumps(envelope, JSON_COMPACT);
    json_decref(envelope);
    return text;
}

void agent_log_snapshot(struct request *r)
{
    struct uuid task_id;
    if (!uuid_parse(request_param(r, 0), &task_id)) {
        answer_error(r, 400, "Invalid task ID format.", NULL);
        return;
    }
    if (!check_parameters(r))
        return;
    if (!uuid_eq(&task_id, &r->who.task_id)) {
        answer_not_found(r);
        return;
    }
    char *text = wrap_snapshot(r);
    if (text == NULL)
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_LOG_SNAPSHOT_PUT);
    db_add_uuid(b, &task_id);
    db_add_text(b, text);
    free(text);
    ask_db(r, b, on_kept);
}
