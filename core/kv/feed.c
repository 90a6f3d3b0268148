/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed.c - XADD on one side, a blocking XREAD on the other.
 *
 *   reader:  lost --up--> placing --oldest and newest entry are known--> reading --+
 *                            ^                                             |  ^---'  entries
 *                            '------------- BLOCK_MS of silence -----------'
 *
 * Placing compares our last place with what the stream reaches over: a stream that begins behind
 * it, or ends before it, is not the one that we read (Redis was emptied, or came back with an older
 * copy of itself).  That is looked at in every silence too, so that an emptied Redis is noticed
 * within a second even when nobody writes.
 */
#include "core/kv/feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/vec.h"

#define BLOCK_MS    "1000"
#define READ_MAX    "512"
#define PAUSE_MS    200
#define RETRY_MS    1000
#define ENTRIES_MAX 100000
/* Entries with more ids than that take the room of several. */
#define IDS_USUAL 16

/* ---- places ---- */

static const char *parse_number(const char *s, const char *end, uint64_t *ret)
{
    const char *start = s;
    uint64_t v = 0;
    for (; s < end && *s >= '0' && *s <= '9' && s - start < 19; s++)
        v = v * 10 + (uint64_t)(*s - '0');
    *ret = v;
    return s > start ? s : NULL;
}

bool feed_id_parse(const char *text, size_t n, struct feed_id *ret_id)
{
    struct feed_id id;
    const char *end = text + n;
    const char *s = parse_number(text, end, &id.ms);
    if (s == NULL || s == end || *s != '-')
        return false;
    s = parse_number(s + 1, end, &id.seq);
    if (s != end)
        return false;
    *ret_id = id;
    return true;
}

void feed_id_format(struct feed_id id, char ret_text[static FEED_ID_SIZE])
{
    snprintf(ret_text, FEED_ID_SIZE, "%" PRIu64 "-%" PRIu64, id.ms, id.seq);
}

int feed_id_compare(struct feed_id a, struct feed_id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.seq == b.seq ? 0 : a.seq < b.seq ? -1 : 1;
}

/* ---- writing ---- */

struct feed_writer {
    struct kv *kv;
    char name;
    struct timer *retry;
    bool owes; /* an entry did not arrive: "anything" is to be said */
    uint64_t epoch, n;
    void (*on_state)(void *arg, bool up);
    void *arg;
};

static void on_added(void *arg, enum err code, const struct redisReply *reply)
{
    struct feed_writer *w = arg;
    if (code == ERR_OK)
        return;
    w->owes = true;
    if (reply == NULL)
        return; /* said when the connection is back */
    timer_start(w->retry, RETRY_MS, 0);
    log_warn("a change cannot be told, readers will read everything error=%s", LOG_Q(reply->str));
    static const char *const argv[] = {"DEL", FEED_STREAM};
    if (strncmp(reply->str, "WRONGTYPE", 9) == 0)
        kv_command(w->kv, NULL, NULL, COUNT(argv), argv, NULL);
}

static void add(struct feed_writer *w, const struct uuid *ids, size_t n)
{
    char most[16], who[64];
    snprintf(most, sizeof(most), "%zu", ENTRIES_MAX * IDS_USUAL / (n > IDS_USUAL ? n : IDS_USUAL));
    snprintf(who, sizeof(who), "%c:%" PRIu64 ":%" PRIu64, w->name, w->epoch, ++w->n);
    const char *argv[] = {"XADD", FEED_STREAM, "MAXLEN", "~", most, "*", "t",
        n > 0 ? (const char *)ids : "", "w", who};
    size_t lens[] = {
        4, strlen(FEED_STREAM), 6, 1, strlen(most), 1, 1, n * sizeof(*ids), 1, strlen(who)};
    kv_command(w->kv, on_added, w, COUNT(argv), argv, lens);
}

static void pay(struct feed_writer *w)
{
    if (!w->owes || w->epoch == 0 || !kv_is_up(w->kv))
        return;
    w->owes = false;
    add(w, NULL, 0);
}

static void on_retry(void *arg)
{
    pay(arg);
}

static void on_writer_state(void *arg, bool up)
{
    struct feed_writer *w = arg;
    if (up)
        pay(w);
    if (w->on_state != NULL)
        w->on_state(w->arg, up);
}

struct feed_writer *feed_writer_new(
    struct loop *l, const char *url, char name, void (*on_state)(void *arg, bool up), void *arg)
{
    struct feed_writer *w = mem_alloc(sizeof(*w));
    *w = (struct feed_writer){.name = name, .on_state = on_state, .arg = arg};
    w->retry = timer_new(l, on_retry, w);
    w->kv = kv_new(l, url, on_writer_state, w);
    return w;
}

void feed_writer_free(struct feed_writer *w)
{
    if (w == NULL)
        return;
    kv_free(w->kv);
    timer_free(w->retry);
    free(w);
}

const char *feed_writer_why(const struct feed_writer *w)
{
    return kv_why(w->kv);
}

void feed_writer_begin(struct feed_writer *w, uint64_t epoch)
{
    w->epoch = epoch;
    w->n = 0;
    w->owes = epoch != 0;
    pay(w);
}

void feed_writer_tell(struct feed_writer *w, const struct uuid *ids, size_t n)
{
    if (n == 0)
        return;
    if (!kv_is_up(w->kv)) {
        w->owes = true;
        return;
    }
    pay(w);
    add(w, ids, n);
}

/* ---- reading ---- */

#define WRITERS_MAX 4

/* What each writer said last. */
struct writers {
    struct known_writer {
        char name;
        uint64_t epoch, n;
    } v[WRITERS_MAX];
};

struct feed {
    struct kv *kv;
    struct feed_sink sink;
    struct timer *pause;
    struct feed_id last;
    bool is_placed; /* `last` is a place of ours, not of nobody */
    bool is_heard;
    struct feed_id oldest; /* of the stream, while placing */
    bool is_empty;
    struct writers writers;
};

static void read_on(struct feed *f);
static void place(struct feed *f);

static void set_heard(struct feed *f, bool heard)
{
    if (f->is_heard == heard)
        return;
    f->is_heard = heard;
    f->sink.on_state(f->sink.arg, heard);
}

static void gap(struct feed *f)
{
    f->sink.on_gap(f->sink.arg, f->last);
}

/* Reads what went before it and after it; false: something in between is missing. */
static bool follows(struct writers *writers, const char *who)
{
    char name;
    uint64_t epoch, n;
    if (sscanf(who, "%c:%" SCNu64 ":%" SCNu64, &name, &epoch, &n) != 3)
        return false;
    struct known_writer *w = writers->v;
    while (w < writers->v + WRITERS_MAX - 1 && w->name != '\0' && w->name != name)
        w++;
    bool is_known = w->name == name;
    bool ok = !is_known || (w->epoch == epoch && w->n + 1 == n);
    *w = (struct known_writer){name, epoch, n};
    return ok;
}

static const redisReply *field(const redisReply *fields, char name)
{
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (fields->element[i]->len == 1 && fields->element[i]->str[0] == name)
            return fields->element[i + 1];
    return NULL;
}

struct entry {
    struct feed_id id;
    const char *ids, *who; /* NULL: of a stranger */
    size_t n;              /* ids; 0: anything */
};

static bool parse_entry(const redisReply *reply, struct entry *e)
{
    *e = (struct entry){.n = 0};
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        !feed_id_parse(reply->element[0]->str, (size_t)reply->element[0]->len, &e->id))
        return false;
    const redisReply *fields = reply->element[1];
    const redisReply *ids = fields->type == REDIS_REPLY_ARRAY ? field(fields, 't') : NULL;
    const redisReply *who = ids != NULL ? field(fields, 'w') : NULL;
    if (who != NULL)
        *e = (struct entry){e->id, ids->str, who->str, (size_t)ids->len / sizeof(struct uuid)};
    return true;
}

static void take_entry(struct feed *f, const redisReply *reply)
{
    struct entry e;
    if (!parse_entry(reply, &e))
        return;
    f->last = e.id;
    if (e.who == NULL)
        return;
    if (!follows(&f->writers, e.who) || e.n == 0) {
        gap(f);
        return;
    }
    scoped_free struct uuid *copy = mem_calloc(e.n, sizeof(*copy));
    memcpy(copy, e.ids, e.n * sizeof(*copy));
    f->sink.on_change(f->sink.arg, e.id, copy, e.n);
}

static void pause_reading(struct feed *f)
{
    set_heard(f, false);
    timer_start(f->pause, PAUSE_MS, 0);
}

static void on_read(void *arg, enum err code, const struct redisReply *reply)
{
    struct feed *f = arg;
    if (f->pause == NULL || code == ERR_KV_DOWN)
        return; /* on_kv_state() goes on */
    if (code != ERR_OK) {
        pause_reading(f);
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1) {
        place(f);
        return;
    }
    const redisReply *entries = reply->element[0]->element[1];
    for (size_t i = 0; i < entries->elements; i++)
        take_entry(f, entries->element[i]);
    read_on(f);
}

static void read_on(struct feed *f)
{
    char last[FEED_ID_SIZE];
    feed_id_format(f->last, last);
    const char *argv[] = {
        "XREAD", "COUNT", READ_MAX, "BLOCK", BLOCK_MS, "STREAMS", FEED_STREAM, last};
    kv_command(f->kv, on_read, f, COUNT(argv), argv, NULL);
}

/* ---- finding our place ---- */

/* False: there is none. */
static bool first_id(const redisReply *reply, struct feed_id *ret_id)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
        return false;
    const redisReply *id = reply->element[0]->element[0];
    return feed_id_parse(id->str, (size_t)id->len, ret_id);
}

static void on_oldest(void *arg, enum err code, const struct redisReply *reply)
{
    struct feed *f = arg;
    if (code == ERR_OK)
        f->is_empty = !first_id(reply, &f->oldest);
}

static bool is_our_stream(const struct feed *f, struct feed_id newest)
{
    if (!f->is_placed || f->last.ms == 0)
        return f->is_placed; /* it was empty, and all that there is came later */
    return !f->is_empty && feed_id_compare(f->oldest, f->last) <= 0 &&
           feed_id_compare(f->last, newest) <= 0;
}

static void on_newest(void *arg, enum err code, const struct redisReply *reply)
{
    struct feed *f = arg;
    struct feed_id newest = {0};
    if (f->pause == NULL || code == ERR_KV_DOWN)
        return;
    if (code != ERR_OK) {
        pause_reading(f);
        return;
    }
    if (!first_id(reply, &newest))
        f->is_empty = true;
    if (!is_our_stream(f, newest)) {
        f->last = newest;
        f->is_placed = true;
        f->writers = (struct writers){0};
        gap(f);
    }
    set_heard(f, true);
    read_on(f);
}

/* The newest is asked for last: then what we have not read is behind it. */
static void place(struct feed *f)
{
    static const char *const oldest[] = {"XRANGE", FEED_STREAM, "-", "+", "COUNT", "1"};
    static const char *const newest[] = {"XREVRANGE", FEED_STREAM, "+", "-", "COUNT", "1"};
    kv_command(f->kv, on_oldest, f, COUNT(oldest), oldest, NULL);
    kv_command(f->kv, on_newest, f, COUNT(newest), newest, NULL);
}

/* ---- looking back ---- */

struct look {
    feed_history_fn done;
    void *arg;
    struct feed_id after;
    size_t most;
    VEC(struct uuid) ids;
    struct map seen;
    struct writers writers;
};

static void add_ids(struct look *l, const struct entry *e)
{
    for (size_t i = 0; i < e->n; i++) {
        struct uuid id;
        memcpy(&id, e->ids + i * sizeof(id), sizeof(id));
        if (uuid_is_nil(&id) || map_get(&l->seen, &id) != NULL)
            continue;
        map_put(&l->seen, &id, l);
        *vec_push(&l->ids) = id;
    }
}

/* The entry at which the reader was is the first, or it is there no more. */
static bool look_through(struct look *l, const redisReply *reply)
{
    struct entry e;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 || reply->elements > l->most)
        return false;
    for (size_t i = 0; i < reply->elements; i++) {
        if (!parse_entry(reply->element[i], &e) || (i == 0 && feed_id_compare(e.id, l->after) != 0))
            return false;
        if (e.who == NULL)
            continue;
        if (!follows(&l->writers, e.who) || (e.n == 0 && i > 0))
            return false;
        if (i > 0)
            add_ids(l, &e);
    }
    return true;
}

static void on_history(void *arg, enum err code, const struct redisReply *reply)
{
    struct look *l = arg;
    bool is_whole = code == ERR_OK && look_through(l, reply);
    l->done(l->arg, is_whole, l->ids.v, is_whole ? l->ids.n : 0);
    vec_done(&l->ids);
    map_done(&l->seen);
    free(l);
}

void feed_history(struct kv *kv, struct feed_id after, size_t most, feed_history_fn done, void *arg)
{
    struct look *l = mem_alloc(sizeof(*l));
    *l = (struct look){.done = done, .arg = arg, .after = after, .most = most};
    char from[FEED_ID_SIZE], count[24];
    feed_id_format(after, from);
    snprintf(count, sizeof(count), "%zu", most + 1);
    const char *argv[] = {"XRANGE", FEED_STREAM, from, "+", "COUNT", count};
    kv_command(kv, on_history, l, COUNT(argv), argv, NULL);
}

/* ---- life ---- */

static void on_pause_over(void *arg)
{
    struct feed *f = arg;
    if (kv_is_up(f->kv))
        place(f);
}

static void on_kv_state(void *arg, bool up)
{
    struct feed *f = arg;
    timer_stop(f->pause);
    if (up)
        place(f);
    else
        set_heard(f, false);
}

struct feed *feed_new(struct loop *l, const char *url, const struct feed_sink *sink)
{
    struct feed *f = mem_alloc(sizeof(*f));
    f->sink = *sink;
    f->pause = timer_new(l, on_pause_over, f);
    f->kv = kv_new(l, url, on_kv_state, f);
    return f;
}

void feed_free(struct feed *f)
{
    if (f == NULL)
        return;
    timer_free(steal(f->pause));
    kv_free(f->kv);
    free(f);
}

const char *feed_why(const struct feed *f)
{
    return kv_why(f->kv);
}

struct feed_id feed_last(const struct feed *f)
{
    return f->last;
}
