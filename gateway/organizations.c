/* SPDX-License-Identifier: Apache-2.0 */
/*
 * organizations.c - there is one organization today; clients ask for it all the same.
 */
#include <string.h>
#include <strings.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "gateway/json_out.h"
#include "gateway/organization.h"

bool organization_is(const struct gateway *gw, const char *word)
{
    struct uuid id;
    return strcasecmp(word, gw->organization.name) == 0 || strcmp(word, "default") == 0 ||
           (uuid_parse(word, &id) && uuid_eq(&id, &gw->organization.id));
}

bool organization_check(struct request *r)
{
    if (organization_is(r->gw, request_param(r, 0)))
        return true;
    answer_not_found(r);
    return false;
}

/* ---- loading ---- */

#define COPY(to, from) snprintf(to, sizeof(to), "%s", from)

struct loading {
    struct gateway *gw;
    void (*done)(struct gateway *gw);
};

static void on_loaded(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    (void)n;
    struct loading *l = arg;
    struct gateway *gw = l->gw;
    void (*done)(struct gateway * gw) = l->done;
    free(l);
    if (code != ERR_OK) {
        if (code != ERR_CANCELED)
            log_warn("cannot read the organization error=%s", LOG_Q(ctx->text));
        return;
    }
    const struct db_result *row = results[0];
    if (db_rows(row) == 0) {
        log_error("the database has no organization; run stint-scheduler migrate");
        return;
    }
    struct organization *o = &gw->organization;
    o->id = db_uuid(row, 0, 0);
    COPY(o->name, db_text(row, 0, 1));
    COPY(o->display_name, db_text(row, 0, 2));
    COPY(o->description, db_text(row, 0, 3));
    COPY(o->icon, db_text(row, 0, 4));
    o->is_default = db_bool(row, 0, 5);
    o->created_at = db_time_us(row, 0, 6);
    o->updated_at = db_time_us(row, 0, 7);
    done(gw);
}

void organization_load(struct gateway *gw, void (*done)(struct gateway *gw))
{
    struct loading *l = mem_alloc(sizeof(*l));
    *l = (struct loading){gw, done};
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_ORGANIZATION_LIST);
    db_send(gw->db, b, on_loaded, l);
}

/* ---- showing ---- */

void organization_write(const struct organization *o, struct strbuf *out)
{
    json_open(out, '{');
    json_put_uuid(out, "id", &o->id);
    json_put_text(out, "name", o->name);
    json_put_text(out, "display_name", o->display_name);
    json_put_text(out, "description", o->description);
    json_put_text(out, "icon", o->icon);
    json_put_time(out, "created_at", o->created_at);
    json_put_time(out, "updated_at", o->updated_at);
    json_put_bool(out, "is_default", o->is_default);
    json_close(out, '}');
}

void organization_get(struct request *r)
{
    if (!organization_check(r))
        return;
    organization_write(&r->gw->organization, &r->out);
    answer_json(r, 200);
}

static void on_member(struct request *r, const struct uuid *user_id, const char *username)
{
    (void)user_id, (void)username;
    json_open(&r->out, '[');
    organization_write(&r->gw->organization, &r->out);
    json_close(&r->out, ']');
    answer_json(r, 200);
}

void user_organizations(struct request *r)
{
    find_user(r, on_member);
}

static void on_member_of(struct request *r, const struct uuid *user_id, const char *username)
{
    (void)user_id, (void)username;
    if (!organization_is(r->gw, request_param(r, 1))) {
        answer_not_found(r);
        return;
    }
    organization_write(&r->gw->organization, &r->out);
    answer_json(r, 200);
}

void user_organization_get(struct request *r)
{
    find_user(r, on_member_of);
}

void organization_list(struct request *r)
{
    json_open(&r->out, '[');
    organization_write(&r->gw->organization, &r->out);
    json_close(&r->out, ']');
    answer_json(r, 200);
}
