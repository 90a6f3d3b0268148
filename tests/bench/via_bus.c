/* SPDX-License-Identifier: Apache-2.0 */
/* via_bus.c - TaskCreate as gateways send it. */
#include <stdio.h>

#include "core/base/err.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/bus/bus.h"
#include "tests/bench/via.h"

#define TIMEOUT_MS 60000

struct via_bus {
    struct via via;
    struct bus_client *client;
    const struct what *what;
};

struct sent {
    struct via_bus *v;
    struct create *create;
};

static bool is_ready(const struct via *via)
{
    return bus_client_is_up(container_of(via, struct via_bus, via)->client);
}

static void on_reply(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    struct sent *sent = arg;
    struct via *via = &sent->v->via;
    const char *why = err_name(code);
    bool ok = false;
    if (code == ERR_OK && reply->body_case == STINT__V1__ENVELOPE__BODY_TASK_REPLY) {
        ok = reply->task_reply->code == REFUSAL_NONE;
        why = refusal_row(reply->task_reply->code)->name;
    } else if (code == ERR_OK && reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS) {
        why = refusal_row(reply->status->code)->name;
    }
    via->done(via->arg, sent->create, ok, why);
    free(sent);
}

static void send_create(struct via *via, struct create *c)
{
    struct via_bus *v = container_of(via, struct via_bus, via);
    const struct what *w = v->what;
    c->task_id = uuid_random();
    char name[32];
    snprintf(name, sizeof(name), "bench-%.23s", uuid_format(&c->task_id).s);

    Stint__V1__TaskCreate m = STINT__V1__TASK_CREATE__INIT;
    m.task_id = wire_uuid(&c->task_id);
    m.organization_id = wire_uuid(&w->organization_id);
    m.owner_id = m.initiator_id = wire_uuid(&w->owner_id);
    m.template_id = wire_uuid(&w->template_id);
    m.template_version_id = wire_uuid(&w->version_id);
    m.file_id = wire_uuid(&w->file_id);
    m.provisioner = (char *)"null";
    m.app_slug = (char *)w->app_slug;
    m.owner_name = (char *)w->owner_name;
    m.template_name = (char *)w->template_name;
    m.prompt = (char *)w->prompt;
    m.name = name;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_CREATE);
    e.task_create = &m;

    struct sent *sent = mem_alloc(sizeof(*sent));
    *sent = (struct sent){v, c};
    bus_send(v->client, &e, TIMEOUT_MS, on_reply, sent);
}

static void via_free(struct via *via)
{
    struct via_bus *v = container_of(via, struct via_bus, via);
    bus_client_free(v->client);
    free(v);
}

struct via *via_bus(struct loop *l, const char *url, const struct what *what)
{
    struct via_bus *v = mem_alloc(sizeof(*v));
    struct errctx ctx = {0};
    *v = (struct via_bus){
        .via = {is_ready, send_create, via_free, NULL, NULL},
          .what = what
    };
    if (bus_connect(l, url, &v->client, &ctx) != ERR_OK) {
        fprintf(stderr, "stint-bench: %s\n", ctx.text);
        exit(err_exit_status(ctx.code));
    }
    return &v->via;
}
