/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_task.c - the tools about tasks, as a user.
 *
 * Those that act on one task read it first: so it may be named in any way, and what is done is done
 * to its id.
 */
#include <string.h>

#include "agent/mcp/call.h"
#include "agent/mcp/path.h"
#include "core/base/cleanup.h"

#define TASKS "/api/v2/tasks/"

/* Of the conversation's newest messages: what a model may read and a client's buffer holds. */
#define LOG_BYTES_MAX ((size_t)256 * 1024)

/* ---- the task that is meant ---- */

/* An id (then the owner does not matter), a name, or owner/name. */
static void add_task(struct strbuf *path, const char *task)
{
    const char *slash = strchr(task, '/');
    if (slash == NULL) {
        strbuf_addstr(path, "me/");
        path_add(path, task);
        return;
    }
    scoped(strbuf_done) struct strbuf owner;
    strbuf_init(&owner);
    strbuf_add(&owner, task, (size_t)(slash - task));
    path_add(path, owner.s);
    strbuf_addch(path, '/');
    path_add(path, slash + 1);
}

static void find_task(struct mcp_call *c, call_next_fn found)
{
    scoped(strbuf_done) struct strbuf path;
    strbuf_init(&path);
    strbuf_addstr(&path, TASKS);
    add_task(&path, call_text(c, "task_id"));
    call_ask(c, "GET", path.s, NULL, 200, found);
}

/* Acts on the task that was found: /tasks/<owner>/<id><suffix>. */
static void act(struct mcp_call *c, json_t *task, const char *method, const char *suffix,
    json_t *take_body, int expected, call_next_fn next)
{
    const char *owner = json_string_value(json_object_get(task, "owner_name"));
    const char *id = json_string_value(json_object_get(task, "id"));
    if (owner == NULL || id == NULL) {
        json_decref(take_body);
        call_fail(c, "the gateway's answer is no task");
        return;
    }
    scoped(strbuf_done) struct strbuf path;
    strbuf_init(&path);
    strbuf_addstr(&path, TASKS);
    path_add(&path, owner);
    strbuf_addch(&path, '/');
    path_add(&path, id);
    strbuf_addstr(&path, suffix);
    call_ask(c, method, path.s, take_body, expected, next);
}

static void reply_body(struct mcp_call *c, json_t *body)
{
    call_reply(c, body != NULL ? json_incref(body) : json_object());
}

static void reply_message(struct mcp_call *c, const char *message)
{
    call_reply(c, json_pack("{s:s}", "message", message));
}

/* ---- create, list ---- */

void tool_create_task(struct mcp_call *c)
{
    const char *user = call_text(c, "user"), *preset = call_text(c, "template_version_preset_id");
    scoped(strbuf_done) struct strbuf path;
    strbuf_init(&path);
    strbuf_addstr(&path, TASKS);
    path_add(&path, user[0] != '\0' ? user : "me");
    json_t *body = json_pack("{s:s, s:s}", "template_version_id",
        call_text(c, "template_version_id"), "input", call_text(c, "input"));
    if (preset[0] != '\0')
        json_object_set_new(body, "template_version_preset_id", json_string(preset));
    call_ask(c, "POST", path.s, body, 201, reply_body);
}

static void list_answered(struct mcp_call *c, json_t *body)
{
    json_t *tasks = json_object_get(body, "tasks");
    call_reply(
        c, json_pack("{s:o}", "tasks", json_is_array(tasks) ? json_incref(tasks) : json_array()));
}

void tool_list_tasks(struct mcp_call *c)
{
    const char *user = call_text(c, "user"), *status = call_text(c, "status");
    scoped(strbuf_done) struct strbuf query, path;
    strbuf_init(&query);
    strbuf_init(&path);
    strbuf_addf(&query, "owner:\"%s\"", user[0] != '\0' ? user : "me");
    if (status[0] != '\0')
        strbuf_addf(&query, " status:\"%s\"", status);
    strbuf_addstr(&path, "/api/v2/tasks?q=");
    path_add(&path, query.s);
    call_ask(c, "GET", path.s, NULL, 200, list_answered);
}

/* ---- status, logs ---- */

static void status_answered(struct mcp_call *c, json_t *task)
{
    json_t *status = json_object_get(task, "status"),
           *state = json_object_get(task, "current_state");
    call_reply(c, json_pack("{s:O?, s:O?}", "status", status, "state", state));
}

void tool_get_task_status(struct mcp_call *c)
{
    find_task(c, status_answered);
}

/* The end of a text that is too long, from the begin of a character on. */
static json_t *end_of(const char *text, size_t n)
{
    const char *p = text + n - LOG_BYTES_MAX;
    while (((unsigned char)*p & 0xc0) == 0x80)
        p++;
    return json_string(p);
}

/* The newest messages; at least the last one, cut when it must be. */
static json_t *newest(const json_t *logs, bool *ret_cut)
{
    json_t *kept = json_array();
    size_t bytes = 0;
    *ret_cut = false;
    for (size_t i = json_array_size(logs); i > 0 && !*ret_cut; i--) {
        json_t *entry = json_array_get(logs, i - 1);
        json_t *content = json_object_get(entry, "content");
        size_t n = json_string_length(content);
        *ret_cut = bytes + n > LOG_BYTES_MAX;
        if (*ret_cut && bytes > 0)
            break;
        bytes += n;
        entry = json_copy(entry);
        if (*ret_cut)
            json_object_set_new(entry, "content", end_of(json_string_value(content), n));
        json_array_insert_new(kept, 0, entry);
    }
    return kept;
}

static void logs_answered(struct mcp_call *c, json_t *body)
{
    bool cut;
    json_t *reply = json_copy(body);
    json_t *logs = newest(json_object_get(body, "logs"), &cut);
    if (reply == NULL)
        reply = json_object();
    json_object_set_new(reply, "logs", logs);
    if (cut)
        json_object_set_new(
            reply, "note", json_string("Only the newest part of a long conversation is shown."));
    call_reply(c, reply);
}

static void logs_found(struct mcp_call *c, json_t *task)
{
    act(c, task, "GET", "/logs", NULL, 200, logs_answered);
}

void tool_get_task_logs(struct mcp_call *c)
{
    find_task(c, logs_found);
}

/* ---- send, queue ---- */

static void sent(struct mcp_call *c, json_t *body)
{
    (void)body;
    reply_message(c, "Input sent to task successfully.");
}

static void send_found(struct mcp_call *c, json_t *task)
{
    act(c, task, "POST", "/send", json_pack("{s:s}", "input", call_text(c, "input")), 204, sent);
}

void tool_send_task_input(struct mcp_call *c)
{
    find_task(c, send_found);
}

static void queue_found(struct mcp_call *c, json_t *task)
{
    const char *id = json_string_value(json_object_get(task, "id"));
    if (id == NULL) {
        call_fail(c, "the gateway's answer is no task");
        return;
    }
    scoped(strbuf_done) struct strbuf path;
    strbuf_init(&path);
    strbuf_addstr(&path, "/api/stint/v1/tasks/");
    path_add(&path, id);
    strbuf_addstr(&path, "/messages");
    call_ask(
        c, "POST", path.s, json_pack("{s:s}", "content", call_text(c, "input")), 201, reply_body);
}

void tool_queue_task_input(struct mcp_call *c)
{
    find_task(c, queue_found);
}

/* ---- pause, resume, delete ---- */

static void paused(struct mcp_call *c, json_t *body)
{
    (void)body;
    reply_message(c, "The task is being paused.");
}

static void pause_found(struct mcp_call *c, json_t *task)
{
    act(c, task, "POST", "/pause", NULL, 202, paused);
}

void tool_pause_task(struct mcp_call *c)
{
    find_task(c, pause_found);
}

static void resumed(struct mcp_call *c, json_t *body)
{
    (void)body;
    reply_message(c, "The task is being resumed.");
}

static void resume_found(struct mcp_call *c, json_t *task)
{
    act(c, task, "POST", "/resume", NULL, 202, resumed);
}

void tool_resume_task(struct mcp_call *c)
{
    find_task(c, resume_found);
}

static void deleted(struct mcp_call *c, json_t *body)
{
    (void)body;
    reply_message(c, "Task deleted successfully");
}

static void delete_found(struct mcp_call *c, json_t *task)
{
    act(c, task, "DELETE", "", NULL, 202, deleted);
}

void tool_delete_task(struct mcp_call *c)
{
    find_task(c, delete_found);
}
