/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes are rows.  Errors are problem+json (RFC 9457) with the words that Coder's agentapi uses:
 * 422 for a body that does not fit the schema, 500 with "unexpected error occurred" and the
 * sentence in `errors` for a message that the agent cannot take now.
 */
#include "agent/agentapi/api.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/agentapi/hosts.h"
#include "agent/agentapi/openapi.h"
#include "agent/agentapi/page.h"
#include "agent/agentapi/upload.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"

static const char text_plain[] = "text/plain; charset=utf-8";

/* ---- answers ---- */

static void reply_text(struct exchange *x, int status, const char *text)
{
    exchange_reply(x, status, text_plain, text, strlen(text));
}

/* Takes `value` over. */
static void reply_json(struct exchange *x, int status, const char *type, json_t *value)
{
    scoped_free char *text = json_dumps(value, JSON_COMPACT);
    json_decref(value);
    if (text != NULL)
        exchange_reply(x, status, type, text, strlen(text));
    else
        reply_text(x, 500, "The answer is no text.\n");
}

static const char *title_of(int status)
{
    return status == 400   ? "Bad Request"
           : status == 403 ? "Forbidden"
           : status == 413 ? "Request Entity Too Large"
           : status == 415 ? "Unsupported Media Type"
           : status == 422 ? "Unprocessable Entity"
           : status == 507 ? "Insufficient Storage"
                           : "Internal Server Error";
}

/* `errors`: an array that is taken over, or NULL. */
static void reply_problem(struct exchange *x, int status, const char *detail, json_t *errors)
{
    json_t *problem =
        json_pack("{s:s, s:i, s:s}", "title", title_of(status), "status", status, "detail", detail);
    if (errors != NULL)
        json_object_set_new(problem, "errors", errors);
    reply_json(x, status, "application/problem+json", problem);
}

static void reply_failure(struct exchange *x, const char *sentence)
{
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    strbuf_addf(&text, "failed to send message: %s", sentence);
    reply_problem(x, 500, "unexpected error occurred", json_pack("[{s:s}]", "message", text.s));
}

static void reply_ok(struct exchange *x)
{
    reply_json(x, 200, "application/json", json_pack("{s:b}", "ok", 1));
}

/* ---- reading the conversation ---- */

static void get_status(struct api *api, struct exchange *x)
{
    reply_json(x, 200, "application/json",
        json_pack("{s:s, s:s, s:s}", "agent_type", agent_type_name(api->flags->agent_type),
            "status", events_status_text(tracker_status(api->tracker)), "transport", "pty"));
}

static void get_messages(struct api *api, struct exchange *x)
{
    json_t *messages = json_array();
    for (size_t i = 0; i < tracker_count(api->tracker); i++) {
        const struct tracker_message *m = tracker_at(api->tracker, i);
        char time[CLOCK_TEXT_SIZE];
        clock_format(m->time_us, time);
        json_t *text = json_stringn(m->text, m->n);
        json_array_append_new(messages, json_pack("{s:I, s:o, s:s, s:s}", "id", (json_int_t)m->id,
                                            "content", text != NULL ? text : json_string(""),
                                            "role", events_role_text(m->role), "time", time));
    }
    reply_json(x, 200, "application/json", json_pack("{s:o}", "messages", messages));
}

static void get_events(struct api *api, struct exchange *x)
{
    events_subscribe(api->events, x, api->tracker);
}

static void get_screen(struct api *api, struct exchange *x)
{
    events_subscribe_screen(api->events, x, screen_text(api->screen));
}

/* ---- POST /message ---- */

static void add_error(json_t *errors, const char *location, const char *message, json_t *value)
{
    json_array_append_new(errors,
        json_pack("{s:s, s:s, s:O?}", "location", location, "message", message, "value", value));
}

static void check_properties(json_t *root, json_t *errors)
{
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "content") != 0 && strcmp(key, "type") != 0 && strcmp(key, "$schema") != 0)
            add_error(errors, "body", "unexpected property", root);
    }
}

static void check_content(json_t *root, json_t *errors)
{
    json_t *content = json_object_get(root, "content");
    if (content == NULL)
        add_error(errors, "body", "expected required property content to be present", root);
    else if (!json_is_string(content))
        add_error(errors, "body.content", "expected string", content);
}

static void check_type(json_t *root, json_t *errors)
{
    json_t *type = json_object_get(root, "type");
    const char *text = json_string_value(type);
    if (type == NULL)
        add_error(errors, "body", "expected required property type to be present", root);
    else if (text == NULL)
        add_error(errors, "body.type", "expected string", type);
    else if (strcmp(text, "user") != 0 && strcmp(text, "raw") != 0)
        add_error(errors, "body.type", "expected value to be one of \"raw, user\"", type);
}

bool api_read_message(const char *body, size_t n, struct api_message *ret_message, void *errors)
{
    json_error_t error;
    json_t *root = json_loadb(body, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (root == NULL) {
        add_error(errors, "body", error.text, NULL);
        return false;
    }
    if (!json_is_object(root)) {
        add_error(errors, "body", "expected object", root);
    } else {
        check_properties(root, errors);
        check_content(root, errors);
        check_type(root, errors);
    }
    if (json_array_size(errors) > 0) {
        json_decref(root);
        return false;
    }
    json_t *content = json_object_get(root, "content");
    *ret_message = (struct api_message){.root = root,
        .content = json_string_value(content),
        .content_n = json_string_length(content),
        .is_raw = strcmp(json_string_value(json_object_get(root, "type")), "raw") == 0};
    return true;
}

void api_message_done(struct api_message *m)
{
    json_decref(m->root);
}

/* A client that waits for the agent to begin with its message. */
struct waiting {
    struct exchange *x;
    struct tracker *tracker;
};

static void on_taken(void *arg, enum err e)
{
    struct waiting *w = arg;
    exchange_on_gone(w->x, NULL, NULL);
    if (e == ERR_OK)
        reply_ok(w->x);
    else
        reply_failure(w->x, "failed to wait for processing to start: timeout");
    free(w);
}

static void on_gone(void *arg)
{
    struct waiting *w = arg;
    tracker_forget(w->tracker, w);
    free(w);
}

static void send_user(struct api *api, struct exchange *x, const struct api_message *m)
{
    struct errctx ctx = {0};
    struct waiting *w = mem_alloc(sizeof(*w));
    *w = (struct waiting){x, api->tracker};
    exchange_on_gone(x, on_gone, w);
    enum err e = tracker_send(api->tracker, clock_mono_ms(), clock_wall_us(), m->content,
        m->content_n, on_taken, w, &ctx);
    if (e == ERR_OK)
        return;
    exchange_on_gone(x, NULL, NULL);
    free(w);
    reply_failure(x, ctx.text);
}

static void send_raw(struct api *api, struct exchange *x, const struct api_message *m)
{
    if (pty_write(api->pty, m->content, m->content_n) == ERR_OK)
        reply_ok(x);
    else
        reply_failure(x, "the terminal takes no more input");
}

static void post_message(struct api *api, struct exchange *x)
{
    const char *type = exchange_header(x, "Content-Type");
    if (type != NULL && strncasecmp(type, "application/json", 16) != 0 &&
        strcasestr(type, "+json") == NULL) {
        reply_problem(x, 415, "unknown content type", NULL);
        return;
    }
    const struct strbuf *body = exchange_body(x);
    if (exchange_is_too_large(x)) {
        reply_problem(x, 413, "request body is too large", NULL);
        return;
    }
    if (body->len == 0) {
        reply_problem(x, 400, "request body is required", NULL);
        return;
    }
    struct api_message m;
    json_t *errors = json_array();
    if (!api_read_message(body->s, body->len, &m, errors)) {
        reply_problem(x, 422, "validation failed", errors);
        return;
    }
    json_decref(errors);
    if (m.is_raw)
        send_raw(api, x, &m);
    else if (memchr(m.content, '\0', m.content_n) != NULL)
        reply_failure(x, "message must not contain NUL");
    else
        send_user(api, x, &m);
    api_message_done(&m);
}

/* ---- POST /upload ---- */

static void save_upload(struct api *api, struct exchange *x, const struct upload_part *part)
{
    struct errctx ctx = {0};
    scoped(strbuf_done) struct strbuf path;
    strbuf_init(&path);
    if (api->uploaded + part->n > UPLOAD_TOTAL_MAX) {
        reply_problem(x, 507, "this server keeps no more than 512MB of files", NULL);
        return;
    }
    enum err e = upload_save(api->upload_dir, part, &path, &ctx);
    if (e != ERR_OK) {
        log_warn("upload failed error=%s", LOG_Q(ctx.text));
        reply_problem(x, err_http_status(e), "failed to write file", NULL);
        return;
    }
    api->uploaded += part->n;
    reply_json(x, 200, "application/json", json_pack("{s:b, s:s}", "ok", 1, "filePath", path.s));
}

static void post_upload(struct api *api, struct exchange *x)
{
    struct errctx ctx = {0};
    struct upload_part part;
    const struct strbuf *body = exchange_body(x);
    enum err e = exchange_is_too_large(x) ? ERR_TOO_LARGE
                                          : upload_find(exchange_header(x, "Content-Type"), body->s,
                                                body->len, &part, &ctx);
    if (e == ERR_OK && part.n > UPLOAD_FILE_MAX)
        e = ERR_TOO_LARGE;
    if (e == ERR_TOO_LARGE)
        reply_problem(x, 400, "file size exceeds 10MB limit", NULL);
    else if (e != ERR_OK)
        reply_problem(x, 422, "validation failed",
            json_pack("[{s:s, s:s}]", "location", "body.file", "message", ctx.text));
    else
        save_upload(api, x, &part);
}

/* ---- pages ---- */

static void redirect_to_page(struct api *api, struct exchange *x)
{
    scoped(strbuf_done) struct strbuf to;
    strbuf_init(&to);
    strbuf_addstr(&to, api->flags->chat_base_path);
    while (to.len > 0 && to.s[to.len - 1] == '/')
        to.s[--to.len] = '\0';
    strbuf_addstr(&to, "/embed");
    exchange_add_header(x, "Location", to.s);
    reply_text(x, 307, "");
}

static void get_page(struct api *api, struct exchange *x)
{
    (void)api;
    exchange_add_header(x, "Content-Security-Policy", PAGE_POLICY);
    exchange_reply(x, 200, "text/html; charset=utf-8", page_text, strlen(page_text));
}

static void get_openapi(struct api *api, struct exchange *x)
{
    (void)api;
    scoped_free char *text = openapi_text();
    exchange_reply(x, 200, "application/openapi+json", text, strlen(text));
}

/* ---- routes ---- */

static const struct route {
    const char *method, *path;
    void (*handle)(struct api *api, struct exchange *x);
    size_t body_max;
} routes[] = {
    {"GET",  "/status",          get_status,       0               },
    {"GET",  "/messages",        get_messages,     0               },
    {"POST", "/message",         post_message,     MESSAGE_BODY_MAX},
    {"POST", "/upload",          post_upload,      UPLOAD_FORM_MAX },
    {"GET",  "/events",          get_events,       0               },
    {"GET",  "/internal/screen", get_screen,       0               },
    {"GET",  "/openapi.json",    get_openapi,      0               },
    {"GET",  "/chat/embed",      get_page,         0               },
    {"GET",  "/",                redirect_to_page, 0               },
    {"GET",  "/chat",            redirect_to_page, 0               },
    {"GET",  "/chat/*",          redirect_to_page, 0               },
};

static bool path_fits(const char *pattern, const char *path)
{
    size_t n = strlen(pattern);
    return pattern[n - 1] == '*' ? strncmp(pattern, path, n - 1) == 0 : strcmp(pattern, path) == 0;
}

/* *ret_known: the path is one of ours, whatever the method. */
static const struct route *find_route(const struct exchange *x, bool *ret_known)
{
    *ret_known = false;
    for (size_t i = 0; i < COUNT(routes); i++) {
        if (!path_fits(routes[i].path, exchange_path(x)))
            continue;
        *ret_known = true;
        if (strcmp(routes[i].method, exchange_method(x)) == 0)
            return &routes[i];
    }
    return NULL;
}

size_t api_body_max(void *arg, const struct exchange *x)
{
    (void)arg;
    bool known;
    const struct route *route = find_route(x, &known);
    return route != NULL ? route->body_max : 0;
}

/* ---- who may ask ---- */

static void refuse_host(struct api *api, struct exchange *x)
{
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    strbuf_addf(&text, "Invalid host header. Allowed hosts: %s\n", api->flags->host_list.s);
    reply_text(x, 400, text.s);
}

/* What browsers need to be told; true when that was all they asked. */
static bool cross_origin(struct api *api, struct exchange *x)
{
    const char *origin = exchange_header(x, "Origin");
    const char *method = exchange_header(x, "Access-Control-Request-Method");
    bool is_preflight = strcmp(exchange_method(x), "OPTIONS") == 0 && method != NULL;
    exchange_add_header(x, "Vary", "Origin");
    if (origin != NULL && origins_allow(api->flags->origin_list.s, origin)) {
        exchange_add_header(x, "Access-Control-Allow-Origin", origin);
        exchange_add_header(x, "Access-Control-Allow-Credentials", "true");
        if (is_preflight) {
            exchange_add_header(
                x, "Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS");
            exchange_add_header(x, "Access-Control-Allow-Headers",
                "Accept, Authorization, Content-Type, X-CSRF-Token");
            exchange_add_header(x, "Access-Control-Max-Age", "300");
        }
    }
    if (is_preflight)
        reply_text(x, 200, "");
    return is_preflight;
}

/* A page from elsewhere that a browser lets write without asking first. */
static bool is_forged(const struct api *api, const struct exchange *x)
{
    const char *site = exchange_header(x, "Sec-Fetch-Site");
    const char *origin = exchange_header(x, "Origin");
    return strcmp(exchange_method(x), "POST") == 0 && site != NULL &&
           strcmp(site, "cross-site") == 0 &&
           (origin == NULL || !origins_allow(api->flags->origin_list.s, origin));
}

void api_handle(void *arg, struct exchange *x)
{
    struct api *api = arg;
    bool is_known;
    const struct route *route = find_route(x, &is_known);
    if (!hosts_allow(api->flags->host_list.s, exchange_header(x, "Host")))
        refuse_host(api, x);
    else if (cross_origin(api, x))
        return;
    else if (is_forged(api, x))
        reply_problem(x, 403, "this page's origin is not allowed", NULL);
    else if (route != NULL)
        route->handle(api, x);
    else if (is_known)
        reply_text(x, 405, "");
    else
        reply_text(x, 404, "404 page not found\n");
}
