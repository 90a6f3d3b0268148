/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buildinfo.c - what clients and probes ask first.
 */
#include "gateway/json_out.h"
#include "gateway/request.h"

void buildinfo_get(struct request *r)
{
    const struct gateway *gw = r->gw;
    json_open(&r->out, '{');
    json_put_text(&r->out, "external_url", gw->conf.access_url);
    json_put_text(&r->out, "version", BUILD_VERSION);
    json_put_text(&r->out, "dashboard_url", gw->conf.access_url);
    json_put_bool(&r->out, "telemetry", false);
    json_put_bool(&r->out, "workspace_proxy", false);
    json_put_text(&r->out, "agent_api_version", "1.0");
    json_put_text(&r->out, "provisioner_api_version", "1.0");
    json_put_text(&r->out, "upgrade_message", "");
    json_put_uuid(&r->out, "deployment_id", &gw->organization.id);
    json_close(&r->out, '}');
    answer_json(r, 200);
}

#define PLAIN "text/plain; charset=utf-8"

void probe_live(struct request *r)
{
    strbuf_addstr(&r->out, "OK\n");
    answer_text(r, 200, PLAIN);
}

void probe_health(struct request *r)
{
    probe_live(r);
}

void probe_ready(struct request *r)
{
    const struct gateway *gw = r->gw;
    bool db = db_is_up(gw->db) && gw->is_ready, bus = bus_client_is_up(gw->bus);
    if (!db)
        strbuf_addstr(&r->out, "not ready: the database cannot be reached\n");
    if (!bus)
        strbuf_addstr(&r->out, "not ready: no scheduler can be reached\n");
    if (db && bus)
        strbuf_addstr(&r->out, "ready\n");
    answer_text(r, db && bus ? 200 : 503, PLAIN);
}

void probe_metrics(struct request *r)
{
    struct gateway_metrics *m = &r->gw->metrics;
    metric_render(&r->out, (struct metric *)m, sizeof(*m) / sizeof(struct metric));
    answer_text(r, 200, "text/plain; version=0.0.4; charset=utf-8");
}
