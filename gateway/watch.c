/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c - GET /workspaces/{workspace}/watch and …/watch-ws, as Coder's clients know them: the
 * whole workspace at first, and again after each change of it or of what its app says.
 *
 *   watch      event: ping | data | error      data: the Workspace
 *   watch-ws   frames {"type": "ping" | "data" | "error", "data": the Workspace}
 */
#include <string.h>

#include "gateway/build.h"
#include "gateway/etag.h"
#include "gateway/json_out.h"
#include "gateway/stream.h"

struct watch {
    struct uuid workspace_id;
    bool is_frames; /* watch-ws */
    bool has_begun;
    struct etag_half said;
};

/* `data` NULL: null. */
static void put(struct request *r, const char *type, const char *data, size_t n)
{
    const struct watch *w = r->state;
    if (!w->is_frames) {
        stream_put(r, type, NULL, data != NULL ? data : "", n);
        return;
    }
    struct strbuf frame;
    strbuf_init(&frame);
    json_open(&frame, '{');
    json_put_text(&frame, "type", type);
    json_key(&frame, "data");
    if (data != NULL)
        json_raw(&frame, data, n);
    else
        json_raw(&frame, "null", 4);
    json_close(&frame, '}');
    stream_put(r, NULL, NULL, frame.s, frame.len);
    strbuf_done(&frame);
}

static void put_gone(struct request *r)
{
    static const char text[] =
        "{\"message\":\"Resource not found or you do not have access to this resource\"}";
    put(r, "error", text, sizeof(text) - 1);
    stream_end(r);
}

static void on_workspace(struct request *r, const struct db_result *const *results)
{
    struct watch *w = r->state;
    if (db_rows(results[0]) != 1) {
        put_gone(r);
        return;
    }
    struct build_head head = build_head(results[0], 0);
    if (!request_may_touch(r, &head.owner_id)) {
        put_gone(r);
        return;
    }
    if (!w->has_begun)
        put(r, "ping", NULL, 0);
    w->has_begun = true;
    workspace_write(r->gw, results, 0, &r->out);
    struct etag_half h = etag_of(r->out.s, r->out.len);
    if (strcmp(h.s, w->said.s) != 0)
        put(r, "data", r->out.s, r->out.len);
    w->said = h;
    strbuf_done(&r->out);
    stream_wait(r);
}

static struct db_batch *read_workspace(const struct watch *w)
{
    const struct build_meant m = {.workspace_id = w->workspace_id};
    struct db_batch *b = db_batch_new();
    build_add_read(b, &m);
    return b;
}

static void pull(struct request *r)
{
    ask_db(r, read_workspace(r->state), on_workspace);
}

static void on_found(struct request *r, const struct db_result *const *results)
{
    struct build_head head = {.transition = ""};
    if (db_rows(results[0]) == 1)
        head = build_head(results[0], 0);
    if (uuid_is_nil(&head.id) || !request_may_touch(r, &head.owner_id)) {
        answer_not_found(r);
        return;
    }
    const struct watch *w = r->state;
    if (w->is_frames && !stream_is_websocket(r)) {
        answer_header(r, "upgrade:", "websocket");
        answer_error(r, 426, "This is a WebSocket.", "Its event stream is at watch.");
        return;
    }
    stream_open(r, pull, 0);
    stream_watch(r, &head.task_id);
}

static void watch(struct request *r, bool is_frames)
{
    struct watch *w = request_state(r, sizeof(*w), NULL);
    w->is_frames = is_frames;
    if (request_param_uuid(r, 0, &w->workspace_id))
        ask_db(r, read_workspace(w), on_found);
}

void workspace_watch(struct request *r)
{
    if (stream_is_websocket(r)) {
        answer_error(r, 400, "This is an event stream.", "Its WebSocket is at watch-ws.");
        return;
    }
    watch(r, false);
}

void workspace_watch_ws(struct request *r)
{
    watch(r, true);
}
