/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_batch.c - values on their way to Postgres and back, in its binary formats.
 *
 * A batch keeps its parameters' bytes in one block and knows them by offset, so adding one costs a
 * copy and no allocation.  Arrays are built in the form in which they travel:
 *
 *   | dimensions 1 | has NULLs | element type | length | lower bound 1 |  | size | bytes | ...
 *
 * (an empty array has 0 dimensions and ends after the element type).  Results are libpq's own: a
 * `struct db_result` is a PGresult by another name.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/db/db_internal.h"

/* 2000-01-01, where Postgres' time begins, in microseconds since 1970. */
#define POSTGRES_EPOCH_US INT64_C(946684800000000)
#define HEADER_BYTES      20

static const struct {
    Oid element, array;
} types[] = {
    [DB_UUID] = {2950, 2951},
    [DB_INT8] = {20,   1016},
    [DB_INT4] = {23,   1007},
    [DB_BOOL] = {16,   1000},
    [DB_TEXT] = {25,   1009},
    [DB_BYTEA] = {17,   1001},
    [DB_TIME] = {1184, 1185},
};

struct db_array {
    enum db_type type;
    uint32_t n;
    bool has_null;
    uint8_t *data; /* HEADER_BYTES, filled at the end, then the elements */
    size_t size, room;
};

/* Room for `extra` more items of `size` bytes. */
static void *grown(void *items, size_t n, size_t extra, size_t *room, size_t size)
{
    if (n + extra <= *room)
        return items;
    *room = *room + *room / 2 > n + extra ? *room + *room / 2 : n + extra + 8;
    return mem_realloc(items, *room * size);
}

/* ---- batches ---- */

struct db_batch *db_batch_new(void)
{
    return mem_alloc(sizeof(struct db_batch));
}

void db_batch_sent(struct db_batch *b)
{
    for (size_t i = 0; i < b->n_params; i++)
        db_array_free(b->params[i].array);
    free(b->params);
    free(b->bytes);
    b->params = NULL;
    b->bytes = NULL;
    b->n_params = b->n_bytes = 0;
}

void db_batch_free(struct db_batch *b)
{
    if (b == NULL)
        return;
    db_batch_sent(b);
    for (size_t i = 0; i < b->n_results; i++)
        PQclear(b->results[i]);
    free(b->results);
    free(b->statements);
    free(b);
}

size_t db_batch_count(const struct db_batch *b)
{
    return b->n;
}

bool db_batch_writes(const struct db_batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (sql_queries[b->statements[i].id].writes)
            return true;
    return false;
}

static void append_params(struct db_batch *b, const struct db_batch *tail)
{
    b->params = grown(b->params, b->n_params, tail->n_params, &b->params_room, sizeof(*b->params));
    b->bytes = grown(b->bytes, b->n_bytes, tail->n_bytes, &b->bytes_room, 1);
    for (size_t i = 0; i < tail->n_params; i++) {
        struct db_param p = tail->params[i];
        p.offset += b->n_bytes;
        b->params[b->n_params++] = p;
    }
    if (tail->n_bytes > 0)
        memcpy(b->bytes + b->n_bytes, tail->bytes, tail->n_bytes);
    b->n_bytes += tail->n_bytes;
}

void db_batch_append(struct db_batch *b, struct db_batch *take_tail)
{
    size_t n_params = b->n_params;
    append_params(b, take_tail);
    b->statements = grown(b->statements, b->n, take_tail->n, &b->room, sizeof(*b->statements));
    for (size_t i = 0; i < take_tail->n; i++) {
        struct db_statement s = take_tail->statements[i];
        s.first += n_params;
        b->statements[b->n++] = s;
    }
    take_tail->n_params = 0; /* its arrays are ours now */
    db_batch_free(take_tail);
}

void db_batch_add(struct db_batch *b, enum sql_id id)
{
    b->statements = grown(b->statements, b->n, 1, &b->room, sizeof(*b->statements));
    b->statements[b->n++] = (struct db_statement){.id = id, .first = b->n_params};
}

static void add(struct db_batch *b, Oid type, const void *data, int n, struct db_array *array)
{
    assert(b->n > 0 && b->statements[b->n - 1].n_params < DB_PARAMS_MAX);
    b->params = grown(b->params, b->n_params, 1, &b->params_room, sizeof(*b->params));
    b->params[b->n_params++] =
        (struct db_param){.type = type, .n = n, .offset = b->n_bytes, .array = array};
    b->statements[b->n - 1].n_params++;
    if (data == NULL || n <= 0)
        return;
    b->bytes = grown(b->bytes, b->n_bytes, (size_t)n, &b->bytes_room, 1);
    memcpy(b->bytes + b->n_bytes, data, (size_t)n);
    b->n_bytes += (size_t)n;
}

const char *db_param_value(const struct db_batch *b, const struct db_param *p)
{
    if (p->array != NULL)
        return (const char *)p->array->data;
    return p->n > 0 ? (const char *)b->bytes + p->offset : "";
}

void db_add_null(struct db_batch *b)
{
    add(b, 0, NULL, -1, NULL);
}

void db_add_uuid(struct db_batch *b, const struct uuid *u)
{
    bool null = u == NULL || uuid_is_nil(u);
    add(b, types[DB_UUID].element, null ? NULL : u->b, null ? -1 : 16, NULL);
}

void db_add_int8(struct db_batch *b, int64_t v)
{
    uint64_t net = htobe64((uint64_t)v);
    add(b, types[DB_INT8].element, &net, sizeof(net), NULL);
}

void db_add_int4(struct db_batch *b, int32_t v)
{
    uint32_t net = htonl((uint32_t)v);
    add(b, types[DB_INT4].element, &net, sizeof(net), NULL);
}

void db_add_bool(struct db_batch *b, bool v)
{
    uint8_t byte = v;
    add(b, types[DB_BOOL].element, &byte, 1, NULL);
}

void db_add_text(struct db_batch *b, const char *s)
{
    add(b, types[DB_TEXT].element, s, s != NULL ? (int)strlen(s) : -1, NULL);
}

void db_add_bytes(struct db_batch *b, const void *data, size_t n)
{
    assert(n < INT32_MAX);
    add(b, types[DB_BYTEA].element, data, (int)n, NULL);
}

static uint64_t net_time(int64_t wall_us)
{
    return htobe64((uint64_t)wall_us - (uint64_t)POSTGRES_EPOCH_US);
}

void db_add_time(struct db_batch *b, int64_t wall_us)
{
    bool null = wall_us == INT64_MIN;
    uint64_t net = null ? 0 : net_time(wall_us);
    add(b, types[DB_TIME].element, &net, null ? -1 : (int)sizeof(net), NULL);
}

/* ---- arrays ---- */

struct db_array *db_array_new(enum db_type type)
{
    struct db_array *a = mem_alloc(sizeof(*a));
    a->type = type;
    a->room = 256;
    a->data = mem_realloc(NULL, a->room);
    a->size = HEADER_BYTES;
    return a;
}

void db_array_free(struct db_array *a)
{
    if (a == NULL)
        return;
    free(a->data);
    free(a);
}

static void put32(uint8_t *at, uint32_t v)
{
    uint32_t net = htonl(v);
    memcpy(at, &net, sizeof(net));
}

static void put(struct db_array *a, const void *data, size_t n)
{
    a->data = grown(a->data, a->size, n + 4, &a->room, 1);
    put32(a->data + a->size, (uint32_t)n);
    if (n > 0)
        memcpy(a->data + a->size + 4, data, n);
    a->size += n + 4;
    a->n++;
}

static void put_null(struct db_array *a)
{
    put(a, NULL, 0);
    put32(a->data + a->size - 4, UINT32_MAX); /* size -1 */
    a->has_null = true;
}

void db_array_uuid(struct db_array *a, const struct uuid *u)
{
    assert(a->type == DB_UUID);
    if (u == NULL || uuid_is_nil(u))
        put_null(a);
    else
        put(a, u->b, sizeof(u->b));
}

void db_array_int8(struct db_array *a, int64_t v)
{
    assert(a->type == DB_INT8);
    uint64_t net = htobe64((uint64_t)v);
    put(a, &net, sizeof(net));
}

void db_array_int4(struct db_array *a, int32_t v)
{
    assert(a->type == DB_INT4);
    uint32_t net = htonl((uint32_t)v);
    put(a, &net, sizeof(net));
}

void db_array_bool(struct db_array *a, bool v)
{
    assert(a->type == DB_BOOL);
    uint8_t byte = v;
    put(a, &byte, 1);
}

void db_array_text(struct db_array *a, const char *s)
{
    if (s == NULL)
        put_null(a);
    else
        db_array_textn(a, s, strlen(s));
}

void db_array_textn(struct db_array *a, const char *s, size_t n)
{
    assert(a->type == DB_TEXT);
    put(a, s, n);
}

void db_array_bytes(struct db_array *a, const void *data, size_t n)
{
    assert(a->type == DB_BYTEA);
    put(a, data, n);
}

void db_array_time(struct db_array *a, int64_t wall_us)
{
    assert(a->type == DB_TIME);
    uint64_t net = net_time(wall_us);
    if (wall_us == INT64_MIN)
        put_null(a);
    else
        put(a, &net, sizeof(net));
}

void db_add_array(struct db_batch *b, struct db_array *take_array)
{
    struct db_array *a = take_array;
    assert(a->size < INT32_MAX);
    put32(a->data, a->n > 0 ? 1 : 0);
    put32(a->data + 4, a->has_null);
    put32(a->data + 8, types[a->type].element);
    put32(a->data + 12, a->n);
    put32(a->data + 16, 1);
    add(b, types[a->type].array, NULL, a->n > 0 ? (int)a->size : 12, a);
}

/* ---- results ---- */

static const PGresult *pg(const struct db_result *r)
{
    return (const PGresult *)(const void *)r;
}

size_t db_rows(const struct db_result *r)
{
    return (size_t)PQntuples(pg(r));
}

int64_t db_affected(const struct db_result *r)
{
    const char *n = PQcmdTuples((PGresult *)(uintptr_t)pg(r));
    return *n != '\0' ? strtoll(n, NULL, 10) : 0;
}

bool db_is_null(const struct db_result *r, size_t row, int col)
{
    return PQgetisnull(pg(r), (int)row, col) == 1;
}

static const char *value(const struct db_result *r, size_t row, int col, size_t *ret_n)
{
    assert(row < db_rows(r) && col < PQnfields(pg(r)));
    *ret_n = (size_t)PQgetlength(pg(r), (int)row, col);
    return PQgetvalue(pg(r), (int)row, col);
}

struct uuid db_uuid(const struct db_result *r, size_t row, int col)
{
    struct uuid u = {0};
    size_t n;
    const char *v = value(r, row, col, &n);
    bool ok = uuid_from_bytes(v, n, &u) || n == 0;
    assert(ok && "not a uuid column");
    (void)ok;
    return u;
}

int64_t db_int(const struct db_result *r, size_t row, int col)
{
    size_t n;
    const char *v = value(r, row, col, &n);
    uint16_t small;
    uint32_t medium;
    uint64_t big;
    switch (n) {
    case sizeof(small):
        memcpy(&small, v, n);
        return (int16_t)ntohs(small);
    case sizeof(medium):
        memcpy(&medium, v, n);
        return (int32_t)ntohl(medium);
    case sizeof(big):
        memcpy(&big, v, n);
        return (int64_t)be64toh(big);
    default:
        assert(n == 0 && "not an integer column");
        return 0;
    }
}

bool db_bool(const struct db_result *r, size_t row, int col)
{
    size_t n;
    const char *v = value(r, row, col, &n);
    return n == 1 && *v != 0;
}

const char *db_text(const struct db_result *r, size_t row, int col)
{
    size_t n;
    return value(r, row, col, &n);
}

const void *db_bytes(const struct db_result *r, size_t row, int col, size_t *ret_n)
{
    return value(r, row, col, ret_n);
}

int64_t db_time_us(const struct db_result *r, size_t row, int col)
{
    if (db_is_null(r, row, col))
        return INT64_MIN;
    int64_t v = db_int(r, row, col), us;
    if (__builtin_add_overflow(v, POSTGRES_EPOCH_US, &us))
        return INT64_MAX; /* 'infinity' */
    return us;
}
