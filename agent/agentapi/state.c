/* SPDX-License-Identifier: Apache-2.0 */
/* JSON by jansson; <file>.tmp, synced, renamed, and the directory synced after. */
#include "agent/agentapi/state.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/agentapi/dirs.h"
#include "agent/file.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/mem.h"

#define VERSION   1
#define ASIDE_MAX 1000

void state_done(struct state *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->messages[i].text);
    free(s->messages);
    free(s->prompt);
    *s = (struct state){0};
}

/* ---- reading ---- */

/* RFC 3339; 0 for what is none. */
static int64_t time_of(const char *text)
{
    struct tm tm = {0};
    int at = 0, offset_h = 0, offset_m = 0;
    if (text == NULL || sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon,
                            &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &at) != 6)
        return 0;
    int64_t us = 0;
    const char *p = text + at;
    if (*p == '.') {
        int64_t unit = 100000;
        for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
            us += (*p - '0') * unit;
    }
    int sign = *p == '-' ? -1 : 1;
    if ((*p == '+' || *p == '-') && sscanf(p + 1, "%2d:%2d", &offset_h, &offset_m) != 2)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    int64_t s = (int64_t)timegm(&tm) - sign * (offset_h * 3600 + offset_m * 60);
    return s * 1000000 + us;
}

static enum err read_message(json_t *value, struct tracker_message *m, struct errctx *ctx)
{
    json_t *text = json_object_get(value, "message");
    const char *role = json_string_value(json_object_get(value, "role"));
    if (!json_is_string(text) || role == NULL)
        return err_set(ctx, ERR_INVALID, "a message has no text or no role");
    if (strcmp(role, "agent") != 0 && strcmp(role, "user") != 0)
        return err_set(ctx, ERR_INVALID, "a message has the role \"%.20s\"", role);
    m->role = role[0] == 'u' ? ROLE_USER : ROLE_AGENT;
    m->time_us = time_of(json_string_value(json_object_get(value, "time")));
    m->n = json_string_length(text);
    m->text = mem_strndup(json_string_value(text), m->n);
    return ERR_OK;
}

static enum err read_state(json_t *root, struct state *s, struct errctx *ctx)
{
    json_t *version = json_object_get(root, "version");
    json_t *messages = json_object_get(root, "messages");
    if (!json_is_integer(version))
        return err_set(ctx, ERR_INVALID, "it has no version");
    if (json_integer_value(version) != VERSION)
        return err_set(ctx, ERR_INVALID, "its version is %lld, known is %d",
            (long long)json_integer_value(version), VERSION);
    if (!json_is_array(messages) && !json_is_null(messages))
        return err_set(ctx, ERR_INVALID, "it has no messages");
    size_t n = json_array_size(messages);
    s->messages = mem_calloc(n > 0 ? n : 1, sizeof(*s->messages));
    for (; s->n < n; s->n++) {
        enum err e = read_message(json_array_get(messages, s->n), &s->messages[s->n], ctx);
        if (e != ERR_OK)
            return e;
        s->messages[s->n].id = (int64_t)s->n;
    }
    const char *prompt = json_string_value(json_object_get(root, "initial_prompt"));
    s->prompt = mem_strdup(prompt != NULL ? prompt : "");
    s->prompt_sent = json_is_true(json_object_get(root, "initial_prompt_sent"));
    return ERR_OK;
}

enum err state_parse(const char *text, size_t n, struct state *ret_state, struct errctx *ctx)
{
    json_error_t error;
    scoped(json_decrefp) json_t *root = json_loadb(text, n, 0, &error);
    if (root == NULL)
        return err_set(ctx, ERR_INVALID, "it is no JSON (%s)", error.text);
    struct state s = {0};
    enum err e = read_state(root, &s, ctx);
    if (e != ERR_OK)
        state_done(&s);
    else
        *ret_state = s;
    return e;
}

/* ---- what cannot be read ---- */

static enum err move_aside(const char *path, const char *why, struct errctx *ctx)
{
    struct strbuf aside;
    strbuf_init(&aside);
    int status = -1;
    for (int i = 1; i <= ASIDE_MAX && status != 0; i++) {
        strbuf_clear(&aside);
        strbuf_addf(&aside, "%s.unreadable", path);
        if (i > 1)
            strbuf_addf(&aside, ".%d", i);
        status = renameat2(AT_FDCWD, path, AT_FDCWD, aside.s, RENAME_NOREPLACE);
        if (status != 0 && errno != EEXIST)
            break;
    }
    enum err e =
        status == 0
            ? err_set(ctx, ERR_INVALID, "the state file cannot be used: %s; it was kept as %s", why,
                  aside.s)
            : err_set(ctx, ERR_IO, "the state file cannot be used: %s; nothing is saved", why);
    strbuf_done(&aside);
    return e;
}

enum err state_load(const char *path, struct state *ret_state, struct errctx *ctx)
{
    struct errctx why = {0};
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    enum err e = file_read(AT_FDCWD, path, STATE_BYTES_MAX, &text, &why);
    if (e == ERR_NOT_FOUND)
        return e;
    if (e == ERR_IO)
        return err_set(ctx, ERR_IO, "%s; nothing is saved", why.text);
    if (e == ERR_OK)
        e = state_parse(text.s, text.len, ret_state, &why);
    return e == ERR_OK ? ERR_OK : move_aside(path, why.text, ctx);
}

/* ---- writing ---- */

static json_t *message_json(const struct tracker_message *m)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format(m->time_us, time);
    json_t *text = json_stringn(m->text, m->n);
    return json_pack("{s:I, s:o, s:s, s:s}", "id", (json_int_t)m->id, "message",
        text != NULL ? text : json_string(""), "role", m->role == ROLE_USER ? "user" : "agent",
        "time", time);
}

static char *state_text(const struct tracker *t)
{
    scoped(json_decrefp) json_t *root = json_object();
    json_t *messages = json_array();
    for (size_t i = 0; i < tracker_count(t); i++)
        json_array_append_new(messages, message_json(tracker_at(t, i)));
    json_object_set_new(root, "version", json_integer(VERSION));
    json_object_set_new(root, "messages", messages);
    json_object_set_new(root, "initial_prompt", json_string(tracker_prompt(t)));
    json_object_set_new(root, "initial_prompt_sent", json_boolean(tracker_prompt_sent(t)));
    return json_dumps(root, JSON_COMPACT);
}

static enum err sync_parent(const char *path, struct errctx *ctx)
{
    scoped_free char *dir = mem_strdup(path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL)
        slash[slash == dir] = '\0';
    int fd;
    enum err e = file_open_dir(slash != NULL ? dir : ".", &fd, ctx);
    if (e != ERR_OK)
        return e;
    fsync(fd); /* not every file system can */
    close(fd);
    return ERR_OK;
}

static enum err replace(const char *path, const char *text, struct errctx *ctx)
{
    scoped(strbuf_done) struct strbuf tmp;
    strbuf_init(&tmp);
    strbuf_addf(&tmp, "%s.tmp", path);
    int fd = open(tmp.s, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(ctx, file_err(errno), "%s: %s", tmp.s, strerror(errno));
    enum err e = file_write(fd, text, strlen(text), ctx);
    if (e == ERR_OK && (fchmod(fd, 0600) != 0 || fsync(fd) != 0 || rename(tmp.s, path) != 0))
        e = err_set(ctx, file_err(errno), "%s: %s", path, strerror(errno));
    close(fd);
    if (e != ERR_OK)
        unlink(tmp.s);
    return e;
}

enum err state_save(const char *path, const struct tracker *t, struct errctx *ctx)
{
    scoped_free char *text = state_text(t);
    if (text == NULL)
        return err_set(ctx, ERR_INTERNAL, "the conversation is no text");
    dirs_make_parents(path);
    enum err e = replace(path, text, ctx);
    return e != ERR_OK ? e : sync_parent(path, ctx);
}
