/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest.c - the thread, and the circle it goes round:
 *
 *        .--> READ --entries--> LOOK UP --> COMMIT --> ACK, publish --.
 *        `------------------------------------------------------------'
 *
 * One batch at a time: while one commits, the next gathers in Redis, so batches grow with the load
 * by themselves.  Whatever fails, the circle begins anew at READ with the entries that were read
 * but not acknowledged (id 0 of the consumer group); numbers make twice once.
 *
 * A batch that Postgres refuses is tried again entry by entry, and the entry at fault goes to the
 * stream stint:dead and its reports are passed over, so one bad entry never blocks the rest.
 */
#include "scheduler/ingest.h"

#include <stdio.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/kv/feed.h"
#include "scheduler/ingest_batch.h"
#include "scheduler/metric.h"

#define GROUP          "ingest"
#define STREAM_REPORTS "stint:reports"
#define STREAM_LOGS    "stint:logs"
#define STREAM_DEAD    "stint:dead"
#define ENTRIES_MIN    256
#define ENTRIES_MAX    4096
#define ROUND_BYTES    (1024 * 1024)
#define BLOCK_MS       "500"
#define PAUSE_MS       200
#define KNOWN_MAX      200000

struct ingest {
    struct loop *home, *loop;
    const struct scheduler_conf *conf;
    void (*on_said)(void *arg, const struct agent_said *events, size_t n);
    void *arg;
    uv_thread_t thread;

    /* the thread's own */
    struct kv *reader, *writer; /* a blocking read would hold up everything else */
    struct feed_writer *feed;
    struct db *db;
    struct timer *pause;
    uint64_t epoch; /* 0: not leading */
    uint64_t round; /* answers of an earlier one are ignored */
    bool busy;      /* a round is under way */
    bool groups_made;
    bool pending;   /* read what was read before and not acknowledged */
    int entries;    /* how many to ask for; follows the load */
    size_t bytes;   /* of the round at hand */
    size_t careful; /* rounds of one entry to go, after a refused batch */
    bool skip_next; /* the next round is the entry that was refused: pass it over */
    struct map agents;
    struct ingest_batch batch;
};

static void next_round(struct ingest *in);

static void begin_again(struct ingest *in)
{
    in->round++;
    in->busy = false;
    in->pending = true;
    ingest_batch_clear(&in->batch);
    timer_start(in->pause, PAUSE_MS, 0);
}

static void forget_agents(struct ingest *in)
{
    struct known *k;
    for (size_t i = 0; (k = map_next(&in->agents, &i)) != NULL;)
        free(k);
    map_done(&in->agents);
}

static void command(struct kv *kv, kv_done_fn done, void *arg, int argc, const char **argv)
{
    size_t lens[16];
    for (int i = 0; i < argc; i++)
        lens[i] = strlen(argv[i]);
    kv_command(kv, done, arg, argc, argv, lens);
}

/* ---- the end of a round: acknowledge, tell ---- */

static void acknowledge(struct ingest *in, const char *stream, char **ids, size_t n)
{
    if (n == 0)
        return;
    scoped_free const char **argv = mem_calloc(n + 3, sizeof(*argv));
    scoped_free size_t *lens = mem_calloc(n + 3, sizeof(*lens));
    argv[0] = "XACK";
    argv[1] = stream;
    argv[2] = GROUP;
    for (size_t i = 0; i < n; i++)
        argv[i + 3] = ids[i];
    for (size_t i = 0; i < n + 3; i++)
        lens[i] = strlen(argv[i]);
    kv_command(in->writer, NULL, NULL, (int)n + 3, argv, lens);
    argv[0] = "XDEL"; /* what is in Postgres need not stay in Redis */
    for (size_t i = 2; i < n + 2; i++) {
        argv[i] = ids[i - 2];
        lens[i] = strlen(argv[i]);
    }
    kv_command(in->writer, NULL, NULL, (int)n + 2, argv, lens);
}

static void bury(struct ingest *in)
{
    for (size_t i = 0; i < in->batch.dead_ids.n; i++) {
        const char *argv[] = {
            "XADD", STREAM_DEAD, "MAXLEN", "~", "1000", "*", "entry", in->batch.dead_ids.v[i]};
        command(in->writer, NULL, NULL, COUNT(argv), argv);
        log_warn("an entry cannot be read and is passed over entry=%s stream=" STREAM_DEAD,
            in->batch.dead_ids.v[i]);
    }
    METRIC_ADD(ingest_dead, in->batch.dead_ids.n);
}

static void put_mark(struct strbuf *out, const struct uuid *id, int64_t number)
{
    uint8_t be[8];
    for (int i = 0; i < 8; i++)
        be[i] = (uint8_t)((uint64_t)number >> (56 - 8 * i));
    strbuf_add(out, id->b, sizeof(id->b));
    strbuf_add(out, be, sizeof(be));
}

static void publish(struct ingest *in, const char *channel, const struct strbuf *what)
{
    if (what->len == 0)
        return;
    const char *argv[] = {"PUBLISH", channel, what->s};
    size_t lens[] = {7, strlen(channel), what->len};
    kv_command(in->writer, NULL, NULL, COUNT(argv), argv, lens);
}

/* `logged`: whose build logs have grown. */
static void tell_others(struct ingest *in, const struct db_result *logged)
{
    struct strbuf marks;
    VEC(struct uuid) changed = {0};
    strbuf_init(&marks);
    for (size_t i = 0; i < in->batch.touched.n; i++) {
        const struct known *k = in->batch.touched.v[i];
        put_mark(&marks, &k->id, k->watermark);
        *vec_push(&changed) = k->task_id;
    }
    for (size_t i = 0; i < in->batch.log_marks.n; i++)
        put_mark(&marks, &in->batch.log_marks.v[i].job_id, in->batch.log_marks.v[i].seq);
    publish(in, "stint:watermark", &marks);
    for (size_t i = 0; logged != NULL && i < db_rows(logged); i++)
        *vec_push(&changed) = db_uuid(logged, i, 0);
    feed_writer_tell(in->feed, changed.v, changed.n);
    strbuf_done(&marks);
    vec_done(&changed);
}

struct said {
    struct ingest *in;
    VEC(struct agent_said) events;
};

static void on_home(void *arg)
{
    struct said *said = arg;
    said->in->on_said(said->in->arg, said->events.v, said->events.n);
    for (size_t i = 0; i < said->events.n; i++)
        free(said->events.v[i].slug);
    vec_done(&said->events);
    free(said);
}

static void tell_core(struct ingest *in)
{
    struct said *said = mem_alloc(sizeof(*said));
    said->in = in;
    for (size_t i = 0; i < in->batch.touched.n; i++) {
        const struct known *k = in->batch.touched.v[i];
        if (k->worked && strcmp(k->state, "working") != 0)
            *vec_push(&said->events) = (struct agent_said){k->id, .state = "working"};
        if (k->state != NULL || k->lifecycle != NULL)
            *vec_push(&said->events) =
                (struct agent_said){k->id, .state = k->state, .lifecycle = k->lifecycle};
    }
    for (size_t i = 0; i < in->batch.healths.n; i++) {
        const struct health_said *h = &in->batch.healths.v[i];
        *vec_push(&said->events) =
            (struct agent_said){h->agent_id, .health = h->health, .slug = mem_strdup(h->slug)};
    }
    if (said->events.n > 0)
        loop_post(in->home, on_home, said);
    else
        free(said);
}

static void count(const struct ingest_batch *b)
{
    METRIC_ADD(ingest_batches, 1);
    METRIC_ADD(ingest_reports, b->n_new);
    METRIC_ADD(ingest_repeated, b->n_repeated);
    METRIC_ADD(ingest_gaps, b->n_gaps);
    METRIC_ADD(ingest_lines, b->n_lines);
}

static void finish_round(struct ingest *in, const struct db_result *logged)
{
    if (in->skip_next)
        for (size_t i = 0; i < in->batch.report_ids.n; i++)
            *vec_push(&in->batch.dead_ids) = mem_strdup(in->batch.report_ids.v[i]);
    in->skip_next = false;
    if (in->careful > 0)
        in->careful--;
    bury(in);
    acknowledge(in, STREAM_REPORTS, in->batch.report_ids.v, in->batch.report_ids.n);
    acknowledge(in, STREAM_LOGS, in->batch.log_ids.v, in->batch.log_ids.n);
    tell_others(in, logged);
    tell_core(in);
    count(&in->batch);
    ingest_batch_clear(&in->batch);
    in->busy = false;
    next_round(in);
}

/* ---- commit ---- */

/* Callbacks of a round carry its number. */
struct step {
    struct ingest *in;
    uint64_t round;
};

static struct step *new_step(struct ingest *in)
{
    struct step *s = mem_alloc(sizeof(*s));
    *s = (struct step){in, in->round};
    return s;
}

/* Postgres refused the batch: find the entry at fault, and pass it over. */
static void refused(struct ingest *in, const char *why)
{
    bool single = in->batch.report_ids.n <= 1 && in->batch.log_ids.n <= 1;
    if (single) {
        log_error("an entry is refused by Postgres and passed over error=%s", LOG_Q(why));
        in->skip_next = true;
        in->careful = in->careful > 0 ? in->careful : 1;
    } else {
        log_warn("a batch is refused by Postgres, going on entry by entry error=%s", LOG_Q(why));
        in->careful = in->batch.report_ids.n + in->batch.log_ids.n;
    }
}

static void on_commit(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    scoped_free struct step *step = arg;
    struct ingest *in = step->in;
    if (step->round != in->round)
        return;
    if (code == ERR_OK) {
        finish_round(in, in->batch.n_lines > 0 ? results[n - 1] : NULL);
        return;
    }
    if (code == ERR_DB_FAILED || code == ERR_CONFLICT)
        refused(in, ctx->text);
    else
        log_warn("reports wait for Postgres code=%s error=%s", err_name(code), LOG_Q(ctx->text));
    begin_again(in);
    forget_agents(in); /* what the cache believes was not committed */
}

static void commit(struct ingest *in)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_LEADER_ASSERT_EPOCH);
    db_add_int8(b, (int64_t)in->epoch);
    ingest_batch_pack(&in->batch, &in->agents, in->skip_next, b);
    if (db_batch_count(b) == 1) { /* nothing new in it */
        db_batch_free(b);
        finish_round(in, NULL);
        return;
    }
    db_send(in->db, b, on_commit, new_step(in));
}

/* ---- look up ---- */

static void remember(struct ingest *in, const struct db_result *r)
{
    for (size_t i = 0; i < db_rows(r); i++) {
        struct uuid id = db_uuid(r, i, 0);
        struct known *k = mem_alloc(sizeof(*k));
        *k = (struct known){.id = id,
            .watermark = db_int(r, i, 1),
            .task_id = db_uuid(r, i, 2),
            .born_us = db_time_us(r, i, 3),
            .exists = true};
        free(map_remove(&in->agents, &id));
        map_put(&in->agents, &id, k);
    }
}

static void on_watermarks(void *arg, enum err code, const struct db_result *const *results,
    size_t n, const struct errctx *ctx)
{
    scoped_free struct step *step = arg;
    struct ingest *in = step->in;
    if (step->round != in->round)
        return;
    if (code != ERR_OK || n == 0) {
        log_warn("reports wait for Postgres error=%s", LOG_Q(ctx->text));
        begin_again(in);
        return;
    }
    remember(in, results[0]);
    commit(in);
}

static void look_up(struct ingest *in)
{
    if (in->agents.n > KNOWN_MAX)
        forget_agents(in);
    struct db_array *ids = ingest_batch_unknown(&in->batch, &in->agents);
    if (ids == NULL) {
        commit(in);
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_REPORT_WATERMARKS);
    db_add_array(b, ids);
    db_send(in->db, b, on_watermarks, new_step(in));
}

/* ---- read ---- */

static void take_entry(struct ingest *in, bool is_log, const struct redisReply *entry)
{
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2)
        return;
    const char *id = entry->element[0]->str;
    const struct redisReply *fields = entry->element[1];
    const struct redisReply *value =
        fields->type == REDIS_REPLY_ARRAY && fields->elements >= 2 ? fields->element[1] : NULL;
    in->bytes += value ? value->len : 0;
    if (is_log)
        ingest_batch_add_logs(&in->batch, id, value ? value->str : NULL, value ? value->len : 0);
    else
        ingest_batch_add_reports(&in->batch, id, value ? value->str : NULL, value ? value->len : 0);
}

/* Full rounds of small entries grow: the cost of a commit and of an agent's row is shared by more.
 */
static void follow_load(struct ingest *in)
{
    size_t n = in->batch.report_ids.n + in->batch.log_ids.n;
    bool full = n >= (size_t)in->entries;
    if (full && in->bytes < ROUND_BYTES && in->entries < ENTRIES_MAX)
        in->entries *= 2;
    else if (!full || in->bytes > 2 * ROUND_BYTES)
        in->entries = ENTRIES_MIN;
}

static void on_read(void *arg, enum err code, const struct redisReply *reply)
{
    scoped_free struct step *step = arg;
    struct ingest *in = step->in;
    if (step->round != in->round) {
        in->pending = true; /* not wanted any more; what it brought stays unacknowledged */
        return;
    }
    if (code != ERR_OK) {
        in->groups_made = false; /* NOGROUP after a FLUSHALL, or the connection is gone */
        begin_again(in);
        return;
    }
    for (size_t s = 0; reply->type == REDIS_REPLY_ARRAY && s < reply->elements; s++) {
        const struct redisReply *stream = reply->element[s];
        bool is_log = strcmp(stream->element[0]->str, STREAM_LOGS) == 0;
        const struct redisReply *entries = stream->element[1];
        for (size_t i = 0; i < entries->elements; i++)
            take_entry(in, is_log, entries->element[i]);
    }
    follow_load(in);
    if (ingest_batch_is_empty(&in->batch)) {
        in->pending = false;
        in->busy = false;
        next_round(in);
        return;
    }
    look_up(in);
}

static void on_group(void *arg, enum err code, const struct redisReply *reply)
{
    struct ingest *in = arg;
    /* BUSYGROUP: it was there already. */
    in->groups_made = code == ERR_OK || (reply != NULL && strncmp(reply->str, "BUSYGROUP", 9) == 0);
    in->busy = false;
    if (in->groups_made)
        next_round(in);
    else
        timer_start(in->pause, PAUSE_MS, 0);
}

static void make_groups(struct ingest *in)
{
    const char *logs[] = {"XGROUP", "CREATE", STREAM_LOGS, GROUP, "0", "MKSTREAM"};
    const char *reports[] = {"XGROUP", "CREATE", STREAM_REPORTS, GROUP, "0", "MKSTREAM"};
    in->pending = true;
    command(in->writer, NULL, NULL, COUNT(logs), logs);
    command(in->writer, on_group, in, COUNT(reports), reports);
}

static void next_round(struct ingest *in)
{
    if (in->busy || in->epoch == 0)
        return;
    if (!kv_is_up(in->reader) || !kv_is_up(in->writer) || !db_is_up(in->db)) {
        in->groups_made = false;
        timer_start(in->pause, PAUSE_MS, 0);
        return;
    }
    in->busy = true;
    if (!in->groups_made) {
        make_groups(in);
        return;
    }
    const char *from = in->pending ? "0" : ">";
    char most[16];
    snprintf(most, sizeof(most), "%d", in->careful > 0 ? 1 : in->entries);
    in->bytes = 0;
    const char *argv[] = {"XREADGROUP", "GROUP", GROUP, "ingest", "COUNT", most, "BLOCK", BLOCK_MS,
        "STREAMS", STREAM_REPORTS, STREAM_LOGS, from, from};
    command(in->reader, on_read, new_step(in), COUNT(argv), argv);
}

/* ---- the thread ---- */

static void on_pause_over(void *arg)
{
    next_round(arg);
}

static void on_kv_state(void *arg, bool up)
{
    struct ingest *in = arg;
    if (!up)
        in->groups_made = false;
}

static void on_db_state(void *arg, bool up)
{
    (void)arg;
    (void)up;
}

static void run(void *arg)
{
    struct ingest *in = arg;
    in->reader = kv_new(in->loop, in->conf->redis_url, on_kv_state, in);
    in->writer = kv_new(in->loop, in->conf->redis_url, on_kv_state, in);
    in->feed = feed_writer_new(in->loop, in->conf->redis_url, 'i', NULL, NULL);
    in->db = db_new(in->loop, in->conf->database_url, "stint-scheduler ingest", on_db_state, in);
    in->pause = timer_new(in->loop, on_pause_over, in);
    loop_run(in->loop);
    in->round++;
    kv_free(in->reader);
    kv_free(in->writer);
    feed_writer_free(in->feed);
    db_free(in->db);
    timer_free(in->pause);
    ingest_batch_done(&in->batch);
    forget_agents(in);
}

struct lead {
    struct ingest *in;
    uint64_t epoch;
};

static void on_lead(void *arg)
{
    scoped_free struct lead *lead = arg;
    struct ingest *in = lead->in;
    in->epoch = lead->epoch;
    feed_writer_begin(in->feed, lead->epoch);
    begin_again(in);
    forget_agents(in);
}

void ingest_lead(struct ingest *in, uint64_t epoch)
{
    struct lead *lead = mem_alloc(sizeof(*lead));
    *lead = (struct lead){in, epoch};
    loop_post(in->loop, on_lead, lead);
}

struct ingest *ingest_new(struct loop *home, const struct scheduler_conf *conf,
    void (*on_said)(void *arg, const struct agent_said *events, size_t n), void *arg)
{
    struct ingest *in = mem_alloc(sizeof(*in));
    *in = (struct ingest){.home = home,
        .loop = loop_new(),
        .conf = conf,
        .on_said = on_said,
        .arg = arg,
        .entries = ENTRIES_MIN};
    uv_thread_create(&in->thread, run, in);
    return in;
}

static void on_stop(void *arg)
{
    struct ingest *in = arg;
    loop_stop(in->loop);
}

void ingest_free(struct ingest *in)
{
    if (in == NULL)
        return;
    loop_post(in->loop, on_stop, in);
    uv_thread_join(&in->thread);
    loop_free(in->loop);
    free(in);
}
