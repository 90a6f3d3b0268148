/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries by the app's numbers.  Only what has not been said yet is kept as text; of the rest a
 * hash is enough to know it again.
 */
#include "agent/mirror.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/file.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/base/text.h"
#include "core/base/vec.h"

#define NAME           "mirror.json"
#define ENTRY_HEX      32
#define FILE_BYTES_MAX ((CONVERSATION_MESSAGES_MAX * (ENTRY_HEX + 1)) + 4096)

struct entry {
    uint64_t hash, task_id;
    bool is_user, is_said, is_dirty;
    bool is_doubted;    /* said, perhaps not with this content */
    struct strbuf text; /* while dirty */
    int64_t said_mono_ms;
};

struct entries {
    struct entry *v;
    size_t n, room;
};

struct mirror {
    struct loop *loop;
    struct status *status;
    int dir;
    struct entries now;
    /* What was known before the app seemed to have forgotten it, until it has a new conversation.
     */
    struct entries past;
    uint64_t next_id;
    size_t first_dirty; /* none before it is */
    struct timer *timer;
    bool is_timer_on, is_unsaved, is_at_rest, disk_has_failed;
};

static void on_timer(void *arg);

/* ---- hashes ---- */

/* Of a message's time, what every program keeps: digits up to the second. */
static void add_time(unsigned char key[static crypto_shorthash_KEYBYTES], const char *time)
{
    size_t n = 1;
    for (; *time != '\0' && *time != '.' && n < 15; time++)
        if (*time >= '0' && *time <= '9')
            key[n++] = (unsigned char)*time;
}

static uint64_t hash_of(const struct conversation_message *message)
{
    unsigned char key[crypto_shorthash_KEYBYTES] = {message->is_user ? 'u' : 'a'};
    unsigned char hash[crypto_shorthash_BYTES];
    uint64_t number;
    if (message->is_user)
        add_time(key, message->time);
    crypto_shorthash(hash, (const unsigned char *)message->content, message->n, key);
    static_assert(sizeof(number) == sizeof(hash), "eight bytes");
    memcpy(&number, hash, sizeof(number));
    /* The role can be read from it. */
    return message->is_user ? number | 1 : number & ~(uint64_t)1;
}

/* ---- disk ---- */

static bool read_entry(const char *hex, struct entry *e)
{
    char number[17] = "", *end;
    memcpy(number, hex, 16);
    e->hash = strtoull(number, &end, 16);
    if (*end != '\0')
        return false;
    memcpy(number, hex + 16, 16);
    e->task_id = strtoull(number, &end, 16);
    e->is_user = (e->hash & 1) != 0;
    return *end == '\0';
}

static bool read_entries(struct mirror *m, const char *json, size_t n)
{
    json_t *root = json_loadb(json, n, 0, NULL);
    const json_t *list = json_object_get(root, "entries");
    const char *hex = json_string_value(list);
    bool ok = json_integer_value(json_object_get(root, "version")) == 1 && hex != NULL &&
              strspn(hex, "0123456789abcdef ") == json_string_length(list) &&
              json_string_length(list) <= CONVERSATION_MESSAGES_MAX * (size_t)(ENTRY_HEX + 1);
    size_t unsaid = (size_t)json_integer_value(json_object_get(root, "unsaid"));
    while (ok && *hex != '\0') {
        ok = strcspn(hex, " ") == ENTRY_HEX && read_entry(hex, vec_push(&m->now));
        if (ok)
            hex += ENTRY_HEX + (hex[ENTRY_HEX] == ' ');
    }
    json_decref(root);
    /* The last two may have changed between the writing of this and their saying. */
    for (size_t i = 0; i < m->now.n; i++)
        m->now.v[i].is_doubted = i >= unsaid || i + 2 >= m->now.n;
    return ok;
}

static enum err load(struct mirror *m, struct errctx *ctx)
{
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    enum err e = file_read(m->dir, NAME, FILE_BYTES_MAX, &text, ctx);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e != ERR_OK && e != ERR_TOO_LARGE)
        return e;
    if (e == ERR_TOO_LARGE || !read_entries(m, text.s, text.len)) {
        log_error("the record of the conversation is damaged, the conversation is said anew");
        m->now.n = 0;
    }
    for (size_t i = 0; i < m->now.n; i++) {
        strbuf_init(&m->now.v[i].text);
        m->now.v[i].is_said = m->now.v[i].task_id < status_next_chat_id(m->status);
    }
    return ERR_OK;
}

/* A disk that fails costs a repetition after a crash, no message. */
static void save(struct mirror *m)
{
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    strbuf_addf(&text, "{\"version\": 1, \"unsaid\": %zu, \"entries\": \"", m->first_dirty);
    for (size_t i = 0; i < m->now.n; i++)
        strbuf_addf(&text, "%s%016llx%016llx", i > 0 ? " " : "",
            (unsigned long long)m->now.v[i].hash, (unsigned long long)m->now.v[i].task_id);
    strbuf_addstr(&text, "\"}\n");
    struct errctx ctx = {0};
    bool has_failed = file_replace(m->dir, NAME, text.s, text.len, &ctx) != ERR_OK;
    if (has_failed && !m->disk_has_failed)
        log_warn("the conversation's record cannot be written, parts of it may be said twice after "
                 "a crash error=%s",
            LOG_Q(ctx.text));
    m->disk_has_failed = has_failed;
    m->is_unsaved = false;
}

/* ---- life ---- */

static void find_next_id(struct mirror *m)
{
    m->next_id = 0;
    for (size_t i = 0; i < m->now.n; i++)
        if (m->next_id <= m->now.v[i].task_id)
            m->next_id = m->now.v[i].task_id + 1;
}

static uint64_t fresh_id(struct mirror *m)
{
    uint64_t said = status_next_chat_id(m->status);
    if (m->next_id < said)
        m->next_id = said;
    return m->next_id++;
}

enum err mirror_open(
    struct loop *l, struct status *status, int dir, struct mirror **ret_mirror, struct errctx *ctx)
{
    struct mirror *m = mem_alloc(sizeof(*m));
    m->loop = l;
    m->status = status;
    m->dir = dir;
    m->timer = timer_new(l, on_timer, m);
    enum err e = load(m, ctx);
    if (e != ERR_OK) {
        mirror_free(m);
        return e;
    }
    find_next_id(m);
    m->first_dirty = m->now.n;
    *ret_mirror = m;
    return ERR_OK;
}

static void truncate_to(struct entries *list, size_t n)
{
    while (list->n > n)
        strbuf_done(&list->v[--list->n].text);
}

void mirror_free(struct mirror *m)
{
    if (m == NULL)
        return;
    truncate_to(&m->now, 0);
    truncate_to(&m->past, 0);
    vec_done(&m->now);
    vec_done(&m->past);
    timer_free(m->timer);
    free(m);
}

size_t mirror_count(const struct mirror *m)
{
    return m->now.n;
}

uint64_t mirror_id(const struct mirror *m, size_t i)
{
    return m->now.v[i].task_id;
}

bool mirror_has_user(const struct mirror *m)
{
    for (size_t i = 0; i < m->now.n; i++)
        if (m->now.v[i].is_user)
            return true;
    return false;
}

/* ---- saying ---- */

static void add_cut(struct strbuf *out, const struct strbuf *text, bool is_user, size_t bytes_max)
{
    char note[64];
    int n = snprintf(note, sizeof(note), "[%zu bytes in all, cut here]", text->len);
    size_t room = bytes_max - (size_t)n - 1;
    if (is_user) {
        strbuf_add(out, text->s, text_utf8_prefix(text->s, text->len, room));
        strbuf_addf(out, "\n%s", note);
        return;
    }
    const char *tail = text->s + text->len - room;
    while (((unsigned char)*tail & 0xc0) == 0x80)
        tail++;
    strbuf_addf(out, "%s\n%s", note, tail);
}

void mirror_add_content(
    struct strbuf *out, const char *content, size_t n, bool is_user, size_t bytes_max)
{
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    text_add_output(&text, content, n);
    if (text.len <= bytes_max)
        strbuf_add(out, text.s, text.len);
    else
        add_cut(out, &text, is_user, bytes_max);
}

static bool say(struct mirror *m, struct entry *e)
{
    if (e->text.len > 0 || e->is_said) {
        if (status_chat(m->status, e->task_id, e->is_user ? "user" : "agent", e->text.s,
                e->text.len) != ERR_OK)
            return false;
        e->is_said = true;
        e->said_mono_ms = clock_mono_ms();
    }
    e->is_dirty = false;
    strbuf_done(&e->text);
    strbuf_init(&e->text);
    return true;
}

static bool has_user_message(const struct entries *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].is_user)
            return true;
    return false;
}

/* A greeting that may give way to the past. */
static bool is_held(const struct mirror *m)
{
    return m->past.n > 0 && !m->is_at_rest && !has_user_message(&m->now);
}

/* In order, each in its time. */
static void say_entries(struct mirror *m, bool is_now)
{
    int64_t now = clock_mono_ms();
    for (; m->first_dirty < m->now.n; m->first_dirty++) {
        struct entry *e = &m->now.v[m->first_dirty];
        if (!e->is_dirty)
            continue;
        bool is_last = m->first_dirty + 1 == m->now.n;
        if (!is_now && is_last && e->is_said && now - e->said_mono_ms < MIRROR_SAY_MS)
            break;
        if (m->is_unsaved)
            save(m);
        if (!say(m, e))
            break;
    }
}

/* The timer comes for what is left. */
static void say_due(struct mirror *m, bool is_now)
{
    if (is_held(m))
        return;
    say_entries(m, is_now);
    bool is_left = m->first_dirty < m->now.n;
    if (is_left && !m->is_timer_on) {
        int64_t age = clock_mono_ms() - m->now.v[m->first_dirty].said_mono_ms;
        timer_start(m->timer, age < MIRROR_SAY_MS ? MIRROR_SAY_MS - age : MIRROR_SAY_MS, 0);
    } else if (!is_left) {
        timer_stop(m->timer);
    }
    m->is_timer_on = is_left;
}

static void on_timer(void *arg)
{
    struct mirror *m = arg;
    m->is_timer_on = false;
    say_due(m, false);
}

void mirror_flush(struct mirror *m)
{
    m->is_at_rest = true;
    say_due(m, true);
}

/* ---- looking ---- */

static void set_content(struct mirror *m, size_t i, const struct conversation_message *message)
{
    struct entry *e = &m->now.v[i];
    e->hash = hash_of(message);
    e->is_user = message->is_user;
    e->is_dirty = true;
    e->is_doubted = false;
    strbuf_clear(&e->text);
    mirror_add_content(
        &e->text, message->content, message->n, message->is_user, CHAT_CONTENT_BYTES_MAX);
    if (m->first_dirty > i)
        m->first_dirty = i;
}

static struct entries copy_of(const struct entries *list)
{
    struct entries copy = {0};
    for (size_t i = 0; i < list->n; i++) {
        struct entry *e = vec_push(&copy);
        *e = list->v[i];
        strbuf_init(&e->text);
        strbuf_add(&e->text, list->v[i].text.s, list->v[i].text.len);
    }
    return copy;
}

static void replace(struct entries *list, struct entries with)
{
    truncate_to(list, 0);
    vec_done(list);
    *list = with;
}

static void append(struct mirror *m, const struct conversation_message *message)
{
    struct entry *e = vec_push(&m->now);
    strbuf_init(&e->text);
    e->task_id = fresh_id(m);
    m->is_unsaved = true;
    set_content(m, m->now.n - 1, message);
    /* A conversation of its own has begun: the past does not come back. */
    if (message->is_user)
        replace(&m->past, (struct entries){0});
}

/* How many messages of `c` are those of `list`.  The last of `list` was the app's and may have
 * grown; but when the app is new and this is all there is, nothing says that it is the same. */
static size_t count_same(const struct entries *list, const struct conversation *c, bool is_new_app)
{
    size_t same = 0;
    while (same < list->n && same < c->n && list->v[same].hash == hash_of(&c->v[same]))
        same++;
    bool has_grown = same + 1 == list->n && same < c->n && !list->v[same].is_user &&
                     !c->v[same].is_user && (same > 0 || !is_new_app || !list->v[same].is_said);
    return same + has_grown;
}

/* It has remembered: as it was, then. */
static void return_to_past(struct mirror *m)
{
    replace(&m->now, m->past);
    m->past = (struct entries){0};
    find_next_id(m); /* what was held back has not used its number */
    m->first_dirty = 0;
    m->is_unsaved = true;
}

static void forget_from(struct mirror *m, size_t same)
{
    log_info("the app does not show all of the conversation that is known known=%zu shown=%zu",
        m->now.n, same);
    if (m->past.n == 0)
        m->past = copy_of(&m->now);
    mirror_flush(m); /* what is cut off must have been said */
    truncate_to(&m->now, same);
    if (m->first_dirty > same)
        m->first_dirty = same;
    m->is_at_rest = false;
    m->is_unsaved = true;
}

size_t mirror_sync(struct mirror *m, const struct conversation *c, bool is_new_app)
{
    size_t same = count_same(&m->now, c, is_new_app);
    size_t past_same = count_same(&m->past, c, is_new_app);
    if (past_same > same || (past_same == same && same > 0 && is_held(m))) {
        return_to_past(m);
        same = past_same;
    }
    if (same < m->now.n)
        forget_from(m, same);
    for (size_t i = 0; i < same; i++) {
        const struct entry *e = &m->now.v[i];
        if (e->hash != hash_of(&c->v[i]) || e->is_doubted || !e->is_said)
            set_content(m, i, &c->v[i]);
    }
    for (size_t i = same; i < c->n; i++)
        append(m, &c->v[i]);
    say_due(m, false);
    return same;
}

/* The app begins to show what was known before. */
static bool is_of_the_past(const struct mirror *m, size_t i, uint64_t hash)
{
    return i < m->past.n && m->past.v[i].hash == hash &&
           (i >= m->now.n || m->now.v[i].hash != hash);
}

bool mirror_update(struct mirror *m, const struct conversation_message *message)
{
    size_t i = (size_t)message->id;
    uint64_t hash = hash_of(message);
    if (i > m->now.n || is_of_the_past(m, i, hash))
        return false;
    if (i == m->now.n) {
        append(m, message);
    } else if (m->now.v[i].hash != hash) {
        if (message->is_user || m->now.v[i].is_user || i + 1 < m->now.n)
            return false;
        set_content(m, i, message);
    }
    say_due(m, false);
    return true;
}

void mirror_add_lost(struct mirror *m, const char *content, size_t n)
{
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    mirror_add_content(&text, content, n, true, CHAT_CONTENT_BYTES_MAX);
    if (status_chat(m->status, fresh_id(m), "user", text.s, text.len) != ERR_OK)
        log_warn("a message that the app has lost is not in the conversation, there is no room");
}
