/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis.c - core/kv/kv.h on a Redis that knows streams with one consumer group, and channels.
 *
 * It forgets everything at will (FLUSHALL, a restart without its data), and a restart with its data
 * may lose the last seconds.  Commands of a connection are carried out in order, each at once; an
 * answer may be lost with the connection.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/kv/kv.h"
#include "tests/sim/part.h"

#define RETRY_US_MIN (50 * MS)
#define RETRY_US_MAX (2 * SECOND)
#define CHANGES_MAX  1000

struct entry {
    uint64_t id;
    char *data;
    size_t n;
    bool given; /* to the group, and not acknowledged */
};

struct stream {
    const char *name;
    bool has_group;
    VEC(struct entry) entries;
};

struct redis {
    struct stream streams[4];
    uint64_t next_id;
    struct list connections;
    VEC(struct kv *) waiting; /* for entries */
};

struct subscription {
    char *channel;
    kv_message_fn on_message;
    void *arg;
};

struct kv {
    struct proc *proc;
    void (*on_state)(void *arg, bool up);
    void *arg;
    bool up, freed;
    unsigned generation, refs;
    int64_t retry_us, last_arrival_us, last_answer_us;
    struct list link;      /* in redis->connections while up */
    struct list in_flight; /* commands, oldest first */
    VEC(struct subscription) subscriptions;
    struct command *blocked; /* waits at the server for entries */
};

struct command {
    struct kv *kv;
    unsigned generation;
    kv_done_fn done;
    void *arg;
    int argc;
    char **argv;
    size_t *lens;
    struct redisReply *reply;
    unsigned refs;    /* of kv->in_flight, and of the event or the wait that it is in */
    struct list link; /* in kv->in_flight until done() is called */
};

static const char *const names[] = {"stint:reports", "stint:logs", "stint:dead", "stint:changes"};

/* ---- replies ---- */

static struct redisReply *reply_new(int type)
{
    struct redisReply *r = mem_alloc(sizeof(*r));
    r->type = type;
    return r;
}

static struct redisReply *reply_text(int type, const void *s, size_t n)
{
    struct redisReply *r = reply_new(type);
    r->str = mem_alloc(n + 1);
    memcpy(r->str, s, n);
    r->len = n;
    return r;
}

static struct redisReply *reply_array(size_t n)
{
    struct redisReply *r = reply_new(REDIS_REPLY_ARRAY);
    r->elements = n;
    r->element = mem_calloc(n + 1, sizeof(*r->element));
    return r;
}

static void reply_free(struct redisReply *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->elements; i++)
        reply_free(r->element[i]);
    free(r->element);
    free(r->str);
    free(r);
}

/* ---- commands ---- */

static void unref(struct command *c)
{
    if (--c->refs > 0)
        return;
    for (int i = 0; i < c->argc; i++)
        free(c->argv[i]);
    free(c->argv);
    free(c->lens);
    reply_free(c->reply);
    if (--c->kv->refs == 0)
        free(c->kv);
    free(c);
}

static void command_drop(void *arg)
{
    unref(arg);
}

/* ---- streams ---- */

static struct stream *find_stream(const char *name)
{
    for (size_t i = 0; i < 4; i++)
        if (strcmp(names[i], name) == 0)
            return &sim->redis->streams[i];
    abort(); /* a stream that the model does not know */
}

static void drop_entry(struct stream *s, size_t i)
{
    free(s->entries.v[i].data);
    s->entries.n--;
    memmove(&s->entries.v[i], &s->entries.v[i + 1], (s->entries.n - i) * sizeof(*s->entries.v));
}

static void clear_stream(struct stream *s, size_t keep)
{
    while (s->entries.n > keep)
        drop_entry(s, s->entries.n - 1);
}

static void serve_waiting(void);

static struct redisReply *do_xadd(struct command *c)
{
    struct stream *s = find_stream(c->argv[1]);
    int at = 2;
    while (strcmp(c->argv[at], "*") != 0)
        at++;
    struct entry *e = vec_push(&s->entries);
    *e = (struct entry){.id = ++sim->redis->next_id, .n = c->lens[at + 2]};
    e->data = mem_alloc(e->n + 1);
    memcpy(e->data, c->argv[at + 2], e->n);
    if (s == &sim->redis->streams[3] && s->entries.n > CHANGES_MAX)
        drop_entry(s, 0);
    serve_waiting();
    return reply_text(REDIS_REPLY_STRING, "1-1", 3);
}

static struct redisReply *do_xgroup(struct command *c)
{
    struct stream *s = find_stream(c->argv[2]);
    if (s->has_group)
        return reply_text(REDIS_REPLY_ERROR, "BUSYGROUP there", 15);
    s->has_group = true;
    return reply_text(REDIS_REPLY_STATUS, "OK", 2);
}

static struct redisReply *do_xack(struct command *c)
{
    return reply_new(c->argc > 0 ? REDIS_REPLY_INTEGER : REDIS_REPLY_NIL);
}

static struct redisReply *do_xdel(struct command *c)
{
    struct stream *s = find_stream(c->argv[1]);
    for (int i = 2; i < c->argc; i++)
        for (size_t k = 0; k < s->entries.n; k++)
            if (s->entries.v[k].id == strtoull(c->argv[i], NULL, 10)) {
                drop_entry(s, k);
                break;
            }
    return reply_new(REDIS_REPLY_INTEGER);
}

static struct redisReply *entry_reply(const struct entry *e)
{
    char id[32];
    int n = snprintf(id, sizeof(id), "%llu-0", (unsigned long long)e->id);
    struct redisReply *r = reply_array(2);
    r->element[0] = reply_text(REDIS_REPLY_STRING, id, (size_t)n);
    r->element[1] = reply_array(2);
    r->element[1]->element[0] = reply_text(REDIS_REPLY_STRING, "r", 1);
    r->element[1]->element[1] = reply_text(REDIS_REPLY_STRING, e->data, e->n);
    return r;
}

static struct redisReply *stream_reply(struct stream *s, bool again, size_t most)
{
    size_t n = 0;
    struct redisReply *r = reply_array(2);
    r->element[0] = reply_text(REDIS_REPLY_STRING, s->name, strlen(s->name));
    r->element[1] = reply_array(s->entries.n);
    for (size_t i = 0; i < s->entries.n && n < most; i++) {
        struct entry *e = &s->entries.v[i];
        if (e->given != again)
            continue;
        e->given = true;
        r->element[1]->element[n++] = entry_reply(e);
    }
    r->element[1]->elements = n;
    return r;
}

/* XREADGROUP GROUP g c COUNT n BLOCK ms STREAMS a b from from: NULL: wait for entries. */
static struct redisReply *do_xreadgroup(struct command *c)
{
    struct stream *a = find_stream(c->argv[9]), *b = find_stream(c->argv[10]);
    bool again = strcmp(c->argv[11], "0") == 0;
    size_t most = (size_t)strtoul(c->argv[5], NULL, 10);
    if (!a->has_group || !b->has_group)
        return reply_text(REDIS_REPLY_ERROR, "NOGROUP", 7);
    struct redisReply *r = reply_array(2);
    r->element[0] = stream_reply(a, again, most);
    r->element[1] = stream_reply(b, again, most);
    size_t n = r->element[0]->element[1]->elements + r->element[1]->element[1]->elements;
    if (n > 0 || again)
        return r;
    reply_free(r);
    return NULL;
}

/* ---- channels ---- */

struct published {
    struct kv *kv;
    unsigned generation;
    size_t sub, n;
    char data[];
};

static void published_drop(void *arg)
{
    struct published *p = arg;
    if (--p->kv->refs == 0)
        free(p->kv);
    free(p);
}

static void on_published(void *arg)
{
    struct published *p = arg;
    if (!p->kv->freed && p->kv->generation == p->generation) {
        struct subscription *s = &p->kv->subscriptions.v[p->sub];
        s->on_message(s->arg, s->channel, p->n > 0 ? p->data : NULL, p->n);
    }
    published_drop(p);
}

static void publish_to(struct kv *kv, size_t sub, const void *data, size_t n)
{
    int64_t delay = net_delay(NODE_REDIS, kv->proc->node, false);
    if (delay < 0)
        return; /* seen as a break by and by, or never: Redis tells once */
    struct published *p = mem_alloc(sizeof(*p) + n + 1);
    *p = (struct published){kv, kv->generation, sub, n};
    if (n > 0)
        memcpy(p->data, data, n);
    kv->refs++;
    int64_t at = sim->now_us + delay;
    kv->last_answer_us = at > kv->last_answer_us ? at : kv->last_answer_us;
    sim_after(kv->last_answer_us - sim->now_us, kv->proc, on_published, published_drop, p);
}

static struct redisReply *do_publish(struct command *c)
{
    list_for(it, &sim->redis->connections)
    {
        struct kv *kv = container_of(it, struct kv, link);
        for (size_t i = 0; i < kv->subscriptions.n; i++)
            if (strcmp(kv->subscriptions.v[i].channel, c->argv[1]) == 0)
                publish_to(kv, i, c->argv[2], c->lens[2]);
    }
    return reply_new(REDIS_REPLY_INTEGER);
}

static struct redisReply *do_del(struct command *c)
{
    clear_stream(find_stream(c->argv[1]), 0);
    return reply_new(REDIS_REPLY_INTEGER);
}

/* ---- the server ---- */

static const struct {
    const char *name;
    struct redisReply *(*run)(struct command *c);
} table[] = {
    {"XADD",       do_xadd      },
    {"XGROUP",     do_xgroup    },
    {"XACK",       do_xack      },
    {"XDEL",       do_xdel      },
    {"XREADGROUP", do_xreadgroup},
    {"PUBLISH",    do_publish   },
    {"DEL",        do_del       },
};

static void on_answer(void *arg)
{
    struct command *c = arg;
    struct kv *kv = c->kv;
    bool is_ours = !kv->freed && kv->up && kv->generation == c->generation;
    if (is_ours) {
        list_unlink(&c->link);
        unref(c);
        if (c->done != NULL)
            c->done(c->arg, c->reply->type == REDIS_REPLY_ERROR ? ERR_FAILED : ERR_OK, c->reply);
    }
    unref(c);
}

static void lose(struct kv *kv, int64_t within_us);

static void answer(struct command *c, struct redisReply *reply)
{
    struct kv *kv = c->kv;
    c->reply = reply;
    int64_t delay = net_delay(NODE_REDIS, kv->proc->node, false);
    if (delay < 0) {
        lose(kv, 5 * SECOND);
        unref(c);
        return;
    }
    int64_t at = sim->now_us + delay;
    kv->last_answer_us = at > kv->last_answer_us ? at : kv->last_answer_us;
    sim_after(kv->last_answer_us - sim->now_us, kv->proc, on_answer, command_drop, c);
}

static void on_block_over(void *arg)
{
    struct command *c = arg;
    if (c->kv->blocked == c) {
        c->kv->blocked = NULL;
        answer(c, reply_new(REDIS_REPLY_NIL));
    }
    unref(c);
}

static void serve_waiting(void)
{
    list_for_safe(it, &sim->redis->connections)
    {
        struct kv *kv = container_of(it, struct kv, link);
        struct command *c = kv->blocked;
        struct redisReply *r = c != NULL ? do_xreadgroup(c) : NULL;
        if (r == NULL)
            continue;
        kv->blocked = NULL;
        answer(c, r);
    }
}

static void on_arrival(void *arg)
{
    struct command *c = arg;
    if (c->kv->freed || !c->kv->up || c->kv->generation != c->generation) {
        unref(c);
        return;
    }
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcasecmp(table[i].name, c->argv[0]) != 0)
            continue;
        struct redisReply *r = table[i].run(c);
        if (r != NULL) {
            answer(c, r);
            return;
        }
        c->kv->blocked = c;
        c->refs++;
        sim_after(500 * MS, NULL, on_block_over, command_drop, c);
        return;
    }
    fprintf(
        stderr, "the model of Redis does not know %s: add it to tests/sim/redis.c\n", c->argv[0]);
    abort();
}

/* ---- connections ---- */

static void connect_later(struct kv *kv);

struct wake {
    struct kv *kv;
    unsigned generation;
};

static void wake_free(void *arg)
{
    struct wake *w = arg;
    if (--w->kv->refs == 0)
        free(w->kv);
    free(w);
}

static struct wake *wake_new(struct kv *kv)
{
    struct wake *w = mem_alloc(sizeof(*w));
    *w = (struct wake){kv, kv->generation};
    kv->refs++;
    return w;
}

static bool wake_is_due(const struct wake *w)
{
    return !w->kv->freed && w->kv->generation == w->generation;
}

static void on_connect(void *arg)
{
    struct wake *w = arg;
    struct kv *kv = w->kv;
    if (wake_is_due(w)) {
        bool open =
            net_is_open(kv->proc->node, NODE_REDIS) && net_is_open(NODE_REDIS, kv->proc->node);
        if (open) {
            kv->up = true;
            kv->retry_us = RETRY_US_MIN;
            list_append(&sim->redis->connections, &kv->link);
            for (size_t i = 0; i < kv->subscriptions.n; i++)
                publish_to(kv, i, NULL, 0);
            if (kv->on_state != NULL)
                kv->on_state(kv->arg, true);
        } else {
            connect_later(kv);
        }
    }
    wake_free(w);
}

static void connect_later(struct kv *kv)
{
    sim_after(
        sim_between(kv->retry_us / 2, kv->retry_us), kv->proc, on_connect, wake_free, wake_new(kv));
    kv->retry_us = kv->retry_us * 2 < RETRY_US_MAX ? kv->retry_us * 2 : RETRY_US_MAX;
}

/* At the server it is over; the commands in flight are answered when the client knows. */
static void cut(struct kv *kv)
{
    kv->up = false;
    kv->generation++;
    list_unlink(&kv->link);
    if (kv->blocked != NULL)
        unref(kv->blocked);
    kv->blocked = NULL;
}

static void fail_all(struct kv *kv)
{
    struct list *it;
    while ((it = list_pop(&kv->in_flight)) != NULL) {
        struct command *c = container_of(it, struct command, link);
        if (c->done != NULL)
            c->done(c->arg, ERR_KV_DOWN, NULL);
        unref(c);
    }
}

static void on_lost(void *arg)
{
    struct wake *w = arg;
    struct kv *kv = w->kv;
    if (wake_is_due(w)) {
        cut(kv);
        connect_later(kv);
        fail_all(kv);
        if (kv->on_state != NULL)
            kv->on_state(kv->arg, false);
    }
    wake_free(w);
}

static void lose(struct kv *kv, int64_t within_us)
{
    if (kv->freed || !kv->up || sim->over)
        return;
    sim_after(sim_between(100, within_us), kv->proc, on_lost, wake_free, wake_new(kv));
}

struct kv *kv_new(struct loop *l, const char *url, void (*on_state)(void *arg, bool up), void *arg)
{
    (void)l, (void)url;
    struct kv *kv = mem_alloc(sizeof(*kv));
    *kv = (struct kv){.proc = sim->at_work,
        .on_state = on_state,
        .arg = arg,
        .refs = 1,
        .retry_us = RETRY_US_MIN};
    list_init(&kv->link);
    list_init(&kv->in_flight);
    sim_after(sim_between(200, 2 * MS), kv->proc, on_connect, wake_free, wake_new(kv));
    return kv;
}

void kv_free(struct kv *kv)
{
    if (kv == NULL)
        return;
    cut(kv);
    kv->freed = true;
    fail_all(kv);
    for (size_t i = 0; i < kv->subscriptions.n; i++)
        free(kv->subscriptions.v[i].channel);
    vec_done(&kv->subscriptions);
    if (--kv->refs == 0)
        free(kv);
}

bool kv_is_up(const struct kv *kv)
{
    return kv->up;
}

const char *kv_why(const struct kv *kv)
{
    return kv->up ? "" : "simulated";
}

static struct command *command_new(struct kv *kv, kv_done_fn done, void *arg, int argc,
    const char *const *argv, const size_t *lens)
{
    struct command *c = mem_alloc(sizeof(*c));
    *c = (struct command){
        .kv = kv, .generation = kv->generation, .done = done, .arg = arg, .argc = argc, .refs = 1};
    c->argv = mem_calloc((size_t)argc, sizeof(*c->argv));
    c->lens = mem_calloc((size_t)argc, sizeof(*c->lens));
    for (int i = 0; i < argc; i++) {
        c->lens[i] = lens != NULL ? lens[i] : strlen(argv[i]);
        c->argv[i] = mem_alloc(c->lens[i] + 1);
        memcpy(c->argv[i], argv[i], c->lens[i]);
    }
    kv->refs++;
    return c;
}

void kv_command(struct kv *kv, kv_done_fn done, void *arg, int argc, const char *const *argv,
    const size_t *lens)
{
    if (!kv->up) {
        if (done != NULL)
            done(arg, ERR_KV_DOWN, NULL);
        return;
    }
    struct command *c = command_new(kv, done, arg, argc, argv, lens);
    list_append(&kv->in_flight, &c->link);
    proc_may_die(kv->proc);
    int64_t delay = proc_is_heard(kv->proc) ? net_delay(kv->proc->node, NODE_REDIS, false) : -1;
    if (delay < 0) {
        lose(kv, 5 * SECOND);
        return;
    }
    c->refs++;
    int64_t at = sim->now_us + delay;
    kv->last_arrival_us = at > kv->last_arrival_us ? at : kv->last_arrival_us;
    sim_after(kv->last_arrival_us - sim->now_us, NULL, on_arrival, command_drop, c);
}

void kv_subscribe(struct kv *kv, const char *channel, kv_message_fn on_message, void *arg)
{
    *vec_push(&kv->subscriptions) = (struct subscription){mem_strdup(channel), on_message, arg};
}

/* ---- the world's hands ---- */

struct redis *redis_new(void)
{
    struct redis *r = mem_alloc(sizeof(*r));
    for (size_t i = 0; i < 4; i++)
        r->streams[i].name = names[i];
    list_init(&r->connections);
    return r;
}

void redis_free(struct redis *r)
{
    for (size_t i = 0; i < 4; i++) {
        clear_stream(&r->streams[i], 0);
        vec_done(&r->streams[i].entries);
    }
    free(r);
}

void redis_forget(void)
{
    sim_trace("Redis forgets everything");
    for (size_t i = 0; i < 4; i++) {
        clear_stream(&sim->redis->streams[i], 0);
        sim->redis->streams[i].has_group = false;
    }
}

void redis_restart(void)
{
    sim_trace("Redis restarts");
    if (sim_between(0, 1) == 0)
        redis_forget();
    else
        for (size_t i = 0; i < 4; i++)
            clear_stream(&sim->redis->streams[i],
                (size_t)sim_between(0, (int64_t)sim->redis->streams[i].entries.n));
    list_for(it, &sim->redis->connections) lose(container_of(it, struct kv, link), 2 * MS);
}

void redis_proc_died(struct proc *p)
{
    (void)p; /* its kv_free() cuts */
}
