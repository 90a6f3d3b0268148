/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.c - POST /files, GET /files/{file}: template archives.
 */
#include <sodium.h>
#include <string.h>

#include "gateway/json_out.h"
#include "gateway/request.h"

struct upload {
    struct uuid id;
    const char *mimetype;
    struct request *r;
    uint8_t hash[32];
};

static void on_stored(struct request *r, const struct db_result *const *results)
{
    struct uuid id = db_uuid(results[0], 0, 0);
    json_open(&r->out, '{');
    json_put_uuid(&r->out, "hash", &id);
    json_close(&r->out, '}');
    answer_json(r, db_bool(results[0], 0, 1) ? 201 : 200);
}

/* On a thread: ten megabytes take a while. */
static void hash_body(void *arg)
{
    struct upload *u = arg;
    crypto_hash_sha256(u->hash, (const unsigned char *)u->r->body.s, u->r->body.len);
}

static void store(void *arg)
{
    struct upload *u = arg;
    struct request *r = u->r;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_FILE_CREATE);
    db_add_uuid(b, &u->id);
    db_add_bytes(b, u->hash, sizeof(u->hash));
    db_add_text(b, u->mimetype);
    db_add_bytes(b, r->body.s, r->body.len);
    db_add_uuid(b, &r->who.id);
    ask_db_bulk(r, b, on_stored);
}

/* As it is stored; NULL: nothing that a worker could unpack. */
static const char *mimetype_of(const char *content_type)
{
    static const struct {
        const char *sent, *stored;
    } types[] = {
        {"application/x-tar",            "application/x-tar"},
        {"application/zip",              "application/zip"  },
        {"application/x-zip-compressed", "application/zip"  },
    };
    for (size_t i = 0; i < COUNT(types); i++)
        if (strncmp(content_type, types[i].sent, strlen(types[i].sent)) == 0)
            return types[i].stored;
    return NULL;
}

void file_create(struct request *r)
{
    const char *mimetype = mimetype_of(r->content_type);
    if (!rights_may(&r->who, OBJECT_TEMPLATE, ACTION_UPDATE, NULL)) {
        answer_forbidden(r);
        return;
    }
    if (mimetype == NULL) {
        answer_errorf(r, 400, "Template archives come as application/x-tar or application/zip.",
            "Unsupported content type header \"%.64s\".", r->content_type);
        return;
    }
    if (r->body.len == 0) {
        answer_error(r, 400, "The archive is empty.", NULL);
        return;
    }
    struct upload *u = request_state(r, sizeof(*u), NULL);
    u->id = uuid_random();
    u->mimetype = mimetype;
    u->r = r;
    loop_work(r->gw->loop, hash_body, store, u);
}

/* ---- GET /files/{file} ---- */

/* An archive may hold secrets: it is for those who write templates, and for whom it came from. */
static void on_file(struct request *r, const struct db_result *const *results)
{
    static const char *const types[] = {"application/x-tar", "application/zip"};
    const struct db_result *f = results[0];
    struct uuid author = {0};
    if (db_rows(f) == 1)
        author = db_uuid(f, 0, 2);
    if (uuid_is_nil(&author) || (!uuid_eq(&author, &r->who.id) &&
                                    !rights_may(&r->who, OBJECT_TEMPLATE, ACTION_UPDATE, NULL))) {
        answer_not_found(r);
        return;
    }
    size_t n;
    const void *data = db_bytes(f, 0, 1, &n);
    strbuf_add(&r->out, data, n);
    answer_text(r, 200, types[strcmp(db_text(f, 0, 0), types[1]) == 0]);
}

void file_get(struct request *r)
{
    struct uuid id;
    if (!request_param_uuid(r, 0, &id))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_FILE_GET);
    db_add_uuid(b, &id);
    ask_db_bulk(r, b, on_file);
}
