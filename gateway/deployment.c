/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deployment.c - what this installation is and can do, as Coder's clients ask for it at their
 * start: entitlements, regions, whether there is a newer version; and documents that never change
 * (document.def).
 */
#include "core/base/clock.h"
#include "gateway/json_out.h"
#include "gateway/request.h"

/* ---- documents ---- */

static void answer_document(struct request *r, const char *json)
{
    for (; *json != '\0'; json++)
        strbuf_addch(&r->out, *json == '\'' ? '"' : *json);
    answer_json(r, 200);
}

#define DOCUMENT(handler, json)     \
    void handler(struct request *r) \
    {                               \
        answer_document(r, json);   \
    }
#include "gateway/document.def"

/* ---- GET /entitlements ---- */

static void put_feature(struct strbuf *out, const char *name, bool is_on)
{
    json_key(out, name);
    json_open(out, '{');
    json_put_text(out, "entitlement", is_on ? "entitled" : "not_entitled");
    json_put_bool(out, "enabled", is_on);
    json_close(out, '}');
}

void entitlements_get(struct request *r)
{
    struct strbuf *out = &r->out;
    json_open(out, '{');
    json_key(out, "features");
    json_open(out, '{');
#define FEATURE(name, is_on) put_feature(out, #name, is_on);
#include "gateway/feature.def"
    json_close(out, '}');
    json_key(out, "warnings"), json_open(out, '['), json_close(out, ']');
    json_key(out, "errors"), json_open(out, '['), json_close(out, ']');
    json_put_bool(out, "has_license", true); /* else clients look at no feature */
    json_put_bool(out, "trial", false);
    json_put_bool(out, "require_telemetry", false);
    json_put_time(out, "refreshed_at", clock_wall_us());
    json_close(out, '}');
    answer_json(r, 200);
}

/* ---- GET /updatecheck, /regions, /deployment/config ---- */

/* Stint does not call home. */
void updatecheck_get(struct request *r)
{
    json_open(&r->out, '{');
    json_put_bool(&r->out, "current", true);
    json_put_text(&r->out, "version", BUILD_VERSION);
    json_put_text(&r->out, "url", "");
    json_close(&r->out, '}');
    answer_json(r, 200);
}

void region_list(struct request *r)
{
    struct strbuf *out = &r->out;
    json_open(out, '{');
    json_key(out, "regions");
    json_open(out, '[');
    json_open(out, '{');
    json_put_uuid(out, "id", &r->gw->organization.id);
    json_put_text(out, "name", "primary");
    json_put_text(out, "display_name", "Default");
    json_put_text(out, "icon_url", "");
    json_put_bool(out, "healthy", true);
    json_put_text(out, "path_app_url", r->gw->conf.access_url);
    json_put_text(out, "wildcard_hostname", "");
    json_close(out, '}');
    json_close(out, ']');
    json_close(out, '}');
    answer_json(r, 200);
}

/* Only what clients read of it; the settings of the daemons are in their files. */
void deployment_config_get(struct request *r)
{
    struct strbuf *out = &r->out;
    json_open(out, '{');
    json_key(out, "config");
    json_open(out, '{');
    json_put_text(out, "access_url", r->gw->conf.access_url);
    json_put_bool(out, "hide_ai_tasks", false);
    json_key(out, "experiments"), json_open(out, '['), json_close(out, ']');
    json_close(out, '}');
    json_key(out, "options"), json_open(out, '['), json_close(out, ']');
    json_close(out, '}');
    answer_json(r, 200);
}

/* ---- what is shown of people's notifications and preferences ---- */

static void on_preferences(struct request *r, const struct uuid *user_id, const char *username)
{
    (void)user_id, (void)username;
    answer_document(r, "{'task_notification_alert_dismissed':true}");
}

void user_preferences_get(struct request *r)
{
    find_user(r, on_preferences);
}

static void on_notifications(struct request *r, const struct uuid *user_id, const char *username)
{
    (void)user_id, (void)username;
    answer_document(r, "[]");
}

void user_notification_preferences(struct request *r)
{
    find_user(r, on_notifications);
}

void inbox_mark_read(struct request *r)
{
    answer_empty(r, 204);
}
