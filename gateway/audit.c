/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit.c - GET /audit: who has changed what, from where, newest first, in Coder's shape.
 *
 * Nothing is written here: the database does that in the transaction of the change (ask.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/json_out.h"
#include "gateway/search.h"
#include "gateway/user.h"

#define BAD_QUERY "Invalid audit search query."
#define PAGE_MAX  1000
#define DAY_US    INT64_C(86400000000)

/* Columns of audit_list. */
enum column {
    ID,
    AT,
    ACTION,
    TYPE,
    RESOURCE_ID,
    TARGET,
    IP,
    USER_AGENT,
    REQUEST_ID,
    DIFF,
    USER_ID,
    USERNAME,
    EMAIL,
    NAME,
    AVATAR_URL,
    STATUS,
    ROLES,
    CREATED_AT,
    UPDATED_AT,
    LAST_SEEN_AT,
    LOGIN_TYPE,
};

struct audit_filter {
    struct search search;
    struct uuid resource_id;
    int64_t from, to; /* INT64_MIN: no bound */
    int64_t limit, offset;
};

/* ---- showing ---- */

static void write_user(
    const struct gateway *gw, const struct db_result *a, size_t i, struct strbuf *out)
{
    struct uuid id = db_uuid(a, i, USER_ID);
    if (uuid_is_nil(&id)) {
        json_put_null(out, "user");
        return;
    }
    json_key(out, "user");
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_text(out, "username", db_text(a, i, USERNAME));
    json_put_text(out, "name", db_text(a, i, NAME));
    json_put_text(out, "avatar_url", db_text(a, i, AVATAR_URL));
    json_put_text(out, "email", db_text(a, i, EMAIL));
    json_put_time(out, "created_at", db_time_us(a, i, CREATED_AT));
    json_put_time(out, "updated_at", db_time_us(a, i, UPDATED_AT));
    json_put_time(out, "last_seen_at", db_time_us(a, i, LAST_SEEN_AT));
    json_put_text(out, "status", db_text(a, i, STATUS));
    json_put_text(out, "login_type", db_text(a, i, LOGIN_TYPE));
    json_key(out, "organization_ids"), json_open(out, '[');
    json_uuid(out, &gw->organization.id), json_close(out, ']');
    user_write_roles(out, "roles", db_text(a, i, ROLES));
    json_close(out, '}');
}

static void write_organization(const struct organization *o, struct strbuf *out)
{
    json_put_uuid(out, "organization_id", &o->id);
    json_key(out, "organization");
    json_open(out, '{');
    json_put_uuid(out, "id", &o->id);
    json_put_text(out, "name", o->name);
    json_put_text(out, "display_name", o->display_name);
    json_put_text(out, "icon", o->icon);
    json_close(out, '}');
}

/* Clients want uuids where Stint counts: numbers, in a uuid's last bytes. */
static void put_number(struct strbuf *out, const char *key, uint64_t n)
{
    struct uuid u = {0};
    for (size_t i = 0; i < sizeof(n); i++)
        u.b[sizeof(u.b) - 1 - i] = (uint8_t)(n >> (8 * i));
    json_put_uuid(out, key, &u);
}

/* "{user} created task fix-login": clients put names for the words in braces. */
static void put_description(const struct db_result *a, size_t i, struct strbuf *out)
{
    struct strbuf text;
    strbuf_init(&text);
    strbuf_addf(&text, "%s: %s %s", db_is_null(a, i, USER_ID) ? "Stint" : "{user}",
        db_text(a, i, ACTION), db_text(a, i, TYPE));
    for (char *p = text.s; *p != '\0'; p++)
        if (*p == '_')
            *p = ' ';
    if (db_text(a, i, TARGET)[0] != '\0')
        strbuf_addf(&text, " %s", "{target}");
    json_put_text(out, "description", text.s);
    strbuf_done(&text);
}

static void write_entry(
    const struct gateway *gw, const struct db_result *a, size_t i, struct strbuf *out)
{
    struct uuid resource_id = db_uuid(a, i, RESOURCE_ID);
    const char *diff = db_is_null(a, i, DIFF) ? "{}" : db_text(a, i, DIFF);
    json_open(out, '{');
    put_number(out, "id", (uint64_t)db_int(a, i, ID));
    put_number(out, "request_id", strtoull(db_text(a, i, REQUEST_ID), NULL, 16));
    json_put_time(out, "time", db_time_us(a, i, AT));
    write_organization(&gw->organization, out);
    json_put_text(out, "ip", db_text(a, i, IP));
    json_put_text(out, "user_agent", db_text(a, i, USER_AGENT));
    json_put_text(out, "resource_type", db_text(a, i, TYPE));
    json_put_uuid(out, "resource_id", &resource_id);
    json_put_text(out, "resource_target", db_text(a, i, TARGET));
    json_put_text(out, "resource_icon", "");
    json_put_text(out, "action", db_text(a, i, ACTION));
    json_key(out, "diff"), json_raw(out, diff, strlen(diff));
    json_put_int(out, "status_code", 200); /* what was refused has changed nothing */
    json_key(out, "additional_fields"), json_open(out, '{'), json_close(out, '}');
    put_description(a, i, out);
    json_put_text(out, "resource_link", "");
    json_put_bool(out, "is_deleted", false);
    write_user(gw, a, i, out);
    json_close(out, '}');
}

static void on_entries(struct request *r, const struct db_result *const *results)
{
    json_open(&r->out, '{');
    json_key(&r->out, "audit_logs");
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(results[0]); i++)
        write_entry(r->gw, results[0], i, &r->out);
    json_close(&r->out, ']');
    json_put_int(&r->out, "count", db_int(results[1], 0, 0));
    json_close(&r->out, '}');
    answer_json(r, 200);
}

/* ---- asking ---- */

static bool bad_value(struct request *r, const char *key, const char *value, const char *wanted)
{
    char detail[256];
    snprintf(detail, sizeof(detail), "Query param \"%s\" has invalid value: \"%.64s\" is not %s",
        key, value, wanted);
    answer_invalid(r, 400, BAD_QUERY, key, detail);
    return false;
}

/* "2026-11-21", or with "T10:15:00Z" behind it; queries are lower-cased. */
static bool read_time(
    struct request *r, const char *key, const char *text, bool is_end, int64_t *ret)
{
    struct tm tm = {0};
    *ret = INT64_MIN;
    if (text == NULL)
        return true;
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    bool has_time = end != NULL && *end == 't';
    if (has_time)
        end = strptime(end, "t%H:%M:%S", &tm);
    if (end == NULL || strcmp(end, has_time ? "z" : "") != 0)
        return bad_value(r, key, text, "a date such as 2026-11-21 or 2026-11-21T10:15:00Z");
    *ret = (int64_t)timegm(&tm) * 1000000 + (is_end && !has_time ? DAY_US : 0);
    return true;
}

static bool read_number(struct request *r, const char *key, int64_t max, int64_t *ret)
{
    const char *text = request_query(r, key);
    char *end;
    if (text == NULL || *text == '\0')
        return true;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || v < 0) {
        answer_invalid(r, 400, "Query parameters have invalid values.", key,
            "must be a whole number that is not negative");
        return false;
    }
    *ret = v < max ? v : max;
    return true;
}

static bool read_filter(struct request *r, struct audit_filter *f)
{
    static const char *const keys[] = {"resource_target", "resource_type", "resource_id", "action",
        "username", "email", "date_from", "date_to", "request_id", NULL};
    const char *query = request_query(r, "q");
    struct search_error e;
    if (!search_parse(query != NULL ? query : "", "resource_target", keys, &f->search, &e)) {
        answer_invalid(r, 400, BAD_QUERY, e.field, e.detail);
        return false;
    }
    const char *id = search_get(&f->search, "resource_id");
    if (id != NULL && !uuid_parse(id, &f->resource_id))
        return bad_value(r, "resource_id", id, "a valid UUID");
    f->limit = 100;
    return read_time(r, "date_from", search_get(&f->search, "date_from"), false, &f->from) &&
           read_time(r, "date_to", search_get(&f->search, "date_to"), true, &f->to) &&
           read_number(r, "limit", PAGE_MAX, &f->limit) &&
           read_number(r, "offset", INT32_MAX, &f->offset);
}

/* As it is stored: 16 digits, which are the end of the uuid that is shown. */
static const char *request_id_of(const char *text, char buf[static 17])
{
    size_t n = 0;
    if (text == NULL)
        return NULL;
    size_t len = strlen(text);
    for (size_t i = len > 17 ? len - 17 : 0; i < len && n < 16; i++)
        if (text[i] != '-')
            buf[n++] = text[i];
    buf[n] = '\0';
    return buf;
}

static void add_filter(struct db_batch *b, const struct audit_filter *f)
{
    char request_id[17];
    db_add_text(b, search_get(&f->search, "resource_type"));
    db_add_uuid(b, &f->resource_id);
    db_add_text(b, search_get(&f->search, "resource_target"));
    db_add_text(b, search_get(&f->search, "action"));
    db_add_text(b, search_get(&f->search, "username"));
    db_add_text(b, search_get(&f->search, "email"));
    db_add_time(b, f->from);
    db_add_time(b, f->to);
    db_add_text(b, request_id_of(search_get(&f->search, "request_id"), request_id));
}

void audit_list(struct request *r)
{
    struct audit_filter *f = request_state(r, sizeof(*f), NULL);
    if (!rights_may(&r->who, OBJECT_AUDIT, ACTION_READ, NULL)) {
        answer_forbidden(r);
        return;
    }
    if (!read_filter(r, f))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_AUDIT_LIST);
    add_filter(b, f);
    db_add_int8(b, f->limit > 0 ? f->limit : PAGE_MAX);
    db_add_int8(b, f->offset);
    db_batch_add(b, SQL_AUDIT_COUNT);
    add_filter(b, f);
    ask_db_bulk(r, b, on_entries);
}
