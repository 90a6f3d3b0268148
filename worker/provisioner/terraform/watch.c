/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - inotify, and a version number that grows. */
#include "worker/provisioner/terraform/watch.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "worker/file.h"
#include "worker/provisioner/terraform/place.h"

#define STAGE "Setting up"

/* Terraform writes in place: what is half written is no JSON, and comes again. */
static bool is_whole(const struct strbuf *state)
{
    json_t *o = json_loadb(state->s, state->len, 0, NULL);
    bool whole = json_is_object(o);
    json_decref(o);
    return whole;
}

static bool same(const struct strbuf *a, const struct strbuf *b)
{
    return a->len == b->len && memcmp(a->s, b->s, a->len) == 0;
}

static enum err put(struct watch *w, const struct strbuf *state, struct errctx *ctx)
{
    const struct run *r = w->run;
    enum err e = r->io->states->put(
        r->io->states->arg, r->spec, r->io, w->version + 1, state->s, state->len, ctx);
    if (e != ERR_OK)
        return e;
    w->version++;
    strbuf_clear(&w->kept);
    strbuf_add(&w->kept, state->s, state->len);
    return place_mark(w->run, w->version, ctx);
}

/* What is in the file now, if it is new.  `over`: the command has ended, and the file is its last
 * word. */
static enum err keep_what_is_there(struct watch *w, bool over, struct errctx *ctx)
{
    struct strbuf state;
    strbuf_init(&state);
    enum err e = place_read(w->run, PLACE_STATE, &state, ctx);
    bool whole = e == ERR_OK && is_whole(&state);
    if (whole && !over)
        taint_others(&w->done, &state, &state);
    if (e == ERR_NOT_FOUND)
        e = ERR_OK;
    else if (e == ERR_OK && !same(&state, &w->kept)) {
        if (whole)
            e = put(w, &state, ctx);
        else if (over)
            e = err_set(ctx, ERR_FAILED,
                "Terraform was stopped while it wrote its state; the state before that is kept");
    }
    strbuf_done(&state);
    return e;
}

static void on_change(void *arg)
{
    struct watch *w = arg;
    char events[4096];
    while (read(w->fd, events, sizeof(events)) > 0)
        continue;
    if (w->code == ERR_OK)
        w->code = keep_what_is_there(w, false, &w->ctx);
    if (w->code != ERR_OK && w->code != ERR_LEASE_LOST)
        w->code = ERR_OK; /* the next change, or the end, tries again */
}

/* Kept beside the state, for whoever finds it when we were killed. */
static void on_hook(void *arg, const char *type, const char *address, const char *action)
{
    struct watch *w = arg;
    if (done_set_hear(&w->done, type, address, action))
        place_note_done(w->run, address);
}

/* Before the directory is emptied: from then on the scheduler has it. */
static enum err take_left(struct watch *w, const struct strbuf *left, struct errctx *ctx)
{
    struct strbuf lines, state;
    strbuf_init(&lines);
    strbuf_init(&state);
    place_read_done(w->run, &lines);
    done_set_add_lines(&w->done, lines.s);
    taint_others(&w->done, left, &state);
    run_line(w->run, LOG_WARN, STAGE,
        "A build of this workspace was cut short here; going on from the state that it has left");
    enum err e = put(w, &state, ctx);
    strbuf_done(&lines);
    strbuf_done(&state);
    return e;
}

enum err watch_begin(struct watch *w, struct run *r, const struct strbuf *left, uint64_t left_after,
    struct errctx *ctx)
{
    *w = (struct watch){.run = r, .fd = -1};
    strbuf_init(&w->kept);
    if (r->io->states == NULL)
        return err_set(ctx, ERR_INTERNAL, "there is nowhere to keep Terraform's state");
    const struct job_states *s = r->io->states;
    done_set_init(&w->done);
    enum err e = s->get(s->arg, r->spec, r->io, &w->kept, &w->version, ctx);
    done_set_add_state(&w->done, &w->kept);
    if (e == ERR_OK && left->len > 0 && left_after == w->version && !same(left, &w->kept) &&
        is_whole(left))
        e = take_left(w, left, ctx);
    if (e == ERR_OK)
        e = place_make(r, ctx);
    if (e == ERR_OK && w->kept.len > 0)
        e = place_write(r, PLACE_STATE, w->kept.s, w->kept.len, ctx);
    return e == ERR_OK ? place_mark(r, w->version, ctx) : e;
}

const struct watcher *watch_on(struct watch *w)
{
    char src[1100];
    if (w->fd < 0)
        w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    snprintf(src, sizeof(src), "%s/src", w->run->place.dir);
    if (w->fd < 0 || inotify_add_watch(w->fd, src, IN_CLOSE_WRITE | IN_MOVED_TO | IN_MODIFY) < 0)
        return NULL; /* the end will do */
    w->watcher = (struct watcher){w->fd, on_change, on_hook, w};
    return &w->watcher;
}

enum err watch_settle(struct watch *w, struct errctx *ctx)
{
    return keep_what_is_there(w, true, ctx);
}

void watch_end(struct watch *w)
{
    file_closep(&w->fd);
    done_set_free(&w->done);
    strbuf_done(&w->kept);
}
