/* SPDX-License-Identifier: Apache-2.0 */
/* The durable marks of turns. */
#include "agent/turn_mark.h"

#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "agent/file.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

#define NAME           "turns.json"
#define FILE_BYTES_MAX (64 * 1024)

/* ---- reading ---- */

static bool read_taken(struct turn_mark *m, const json_t *list)
{
    if (list != NULL && !json_is_array(list))
        return false;
    size_t n = json_array_size(list);
    for (size_t i = n > TURN_TAKEN_MAX ? n - TURN_TAKEN_MAX : 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL || !uuid_parse(text, &m->taken[m->n_taken++]))
            return false;
    }
    return true;
}

static bool read_hash(const json_t *object, const char *key, char ret_hex[static 65])
{
    const json_t *hex = json_object_get(object, key);
    if (json_string_length(hex) != 64)
        return false;
    memcpy(ret_hex, json_string_value(hex), 65);
    return true;
}

static bool read_handing(struct turn_mark *m, const json_t *handing)
{
    m->is_handing = handing != NULL;
    if (!m->is_handing)
        return true;
    struct turn_handing *h = &m->handing;
    const char *send_id = json_string_value(json_object_get(handing, "send_id"));
    const json_t *at = json_object_get(handing, "at");
    h->is_prompt = send_id == NULL;
    if (!json_is_integer(at) || json_integer_value(at) < 0)
        return false;
    h->at = (uint64_t)json_integer_value(at);
    return read_hash(handing, "text_sha256", h->text_sha256) &&
           (h->is_prompt ? read_hash(handing, "prompt_sha256", h->prompt_sha256)
                         : uuid_parse(send_id, &h->send_id));
}

static bool read_root(struct turn_mark *m, const json_t *root)
{
    if (json_integer_value(json_object_get(root, "version")) != 1)
        return false;
    const json_t *prompt = json_object_get(root, "prompt_sha256");
    if (prompt != NULL && json_string_length(prompt) != sizeof(m->prompt_sha256) - 1)
        return false;
    m->has_prompt = prompt != NULL;
    m->prompt_is_shown = json_is_true(json_object_get(root, "prompt_is_shown"));
    if (m->has_prompt)
        memcpy(m->prompt_sha256, json_string_value(prompt), sizeof(m->prompt_sha256));
    const json_t *running = json_object_get(root, "running_build_id");
    m->is_running = running != NULL;
    if (m->is_running &&
        (!json_is_string(running) || !uuid_parse(json_string_value(running), &m->running_build_id)))
        return false;
    return read_taken(m, json_object_get(root, "taken")) &&
           read_handing(m, json_object_get(root, "handing"));
}

/* It stays where it is until the next mark replaces it: until then nothing is known any better. */
static enum err not_understood(struct turn_mark *m)
{
    log_error("the record of earlier turns is damaged, the prompt counts as delivered");
    *m = (struct turn_mark){.dir = m->dir, .was_damaged = true};
    return ERR_OK;
}

enum err turn_mark_load(struct turn_mark *m, int dir, struct errctx *ctx)
{
    *m = (struct turn_mark){.dir = dir};
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    enum err e = file_read(dir, NAME, FILE_BYTES_MAX, &text, ctx);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e == ERR_TOO_LARGE)
        return not_understood(m);
    if (e != ERR_OK)
        return e;
    json_t *root = json_loadb(text.s, text.len, 0, NULL);
    bool ok = root != NULL && read_root(m, root);
    json_decref(root);
    return ok ? ERR_OK : not_understood(m);
}

/* ---- writing ---- */

static json_t *taken_list(const struct turn_mark *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->n_taken; i++)
        json_array_append_new(list, json_string(uuid_format(&m->taken[i]).s));
    return list;
}

static json_t *handing_object(const struct turn_handing *h)
{
    json_t *object =
        json_pack("{s:s, s:I}", "text_sha256", h->text_sha256, "at", (json_int_t)h->at);
    if (h->is_prompt)
        json_object_set_new(object, "prompt_sha256", json_string(h->prompt_sha256));
    else
        json_object_set_new(object, "send_id", json_string(uuid_format(&h->send_id).s));
    return object;
}

static enum err save(const struct turn_mark *m, struct errctx *ctx)
{
    json_t *root = json_pack("{s:i, s:o}", "version", 1, "taken", taken_list(m));
    if (m->has_prompt)
        json_object_set_new(root, "prompt_sha256", json_string(m->prompt_sha256));
    if (m->prompt_is_shown)
        json_object_set_new(root, "prompt_is_shown", json_true());
    if (m->is_running)
        json_object_set_new(
            root, "running_build_id", json_string(uuid_format(&m->running_build_id).s));
    if (m->is_handing)
        json_object_set_new(root, "handing", handing_object(&m->handing));
    scoped_free char *text = json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(root);
    return file_replace(m->dir, NAME, text, strlen(text), ctx);
}

static enum err replace(struct turn_mark *m, struct turn_mark *changed, struct errctx *ctx)
{
    enum err e = save(changed, ctx);
    if (e == ERR_OK)
        *m = *changed;
    return e;
}

static enum err begin(
    struct turn_mark *m, struct turn_mark *changed, const struct uuid *build_id, struct errctx *ctx)
{
    changed->is_running = true;
    changed->running_build_id = *build_id;
    return replace(m, changed, ctx);
}

static void digest(const char *text, size_t n, char ret_hex[static 65])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)text, n);
    sodium_bin2hex(ret_hex, 65, hash, sizeof(hash));
}

bool turn_mark_has_prompt(const struct turn_mark *m, const char *prompt)
{
    char hex[65];
    digest(prompt, strlen(prompt), hex);
    return m->was_damaged || (m->has_prompt && strcmp(hex, m->prompt_sha256) == 0);
}

bool turn_mark_has_taken(const struct turn_mark *m, const struct uuid *send_id)
{
    for (size_t i = 0; i < m->n_taken; i++)
        if (uuid_eq(&m->taken[i], send_id))
            return true;
    return false;
}

enum err turn_mark_prompt(
    struct turn_mark *m, const char *prompt, const struct uuid *build_id, struct errctx *ctx)
{
    struct turn_mark changed = *m;
    changed.has_prompt = true;
    digest(prompt, strlen(prompt), changed.prompt_sha256);
    return begin(m, &changed, build_id, ctx);
}

static void add_taken(struct turn_mark *m, const struct uuid *send_id)
{
    if (m->n_taken == TURN_TAKEN_MAX)
        memmove(&m->taken[0], &m->taken[1], --m->n_taken * sizeof(m->taken[0]));
    m->taken[m->n_taken++] = *send_id;
}

enum err turn_mark_message(struct turn_mark *m, const struct uuid *send_id,
    const struct uuid *build_id, struct errctx *ctx)
{
    struct turn_mark changed = *m;
    add_taken(&changed, send_id);
    return begin(m, &changed, build_id, ctx);
}

enum err turn_mark_end(struct turn_mark *m, struct errctx *ctx)
{
    if (!m->is_running)
        return ERR_OK;
    m->is_running = false;
    return save(m, ctx);
}

/* ---- handing over ---- */

enum err turn_mark_hand_over(struct turn_mark *m, const struct uuid *send_id, const char *prompt,
    const char *text, size_t n, uint64_t at, struct errctx *ctx)
{
    struct turn_mark changed = *m;
    changed.is_handing = true;
    changed.handing = (struct turn_handing){.is_prompt = send_id == NULL, .at = at};
    digest(text, n, changed.handing.text_sha256);
    if (send_id != NULL)
        changed.handing.send_id = *send_id;
    else
        digest(prompt, strlen(prompt), changed.handing.prompt_sha256);
    return replace(m, &changed, ctx);
}

/* What is known in memory holds even if the disk does not take it. */
enum err turn_mark_handed(struct turn_mark *m, struct errctx *ctx)
{
    if (!m->is_handing)
        return ERR_OK;
    m->is_handing = false;
    if (m->handing.is_prompt) {
        m->has_prompt = true;
        m->prompt_is_shown = false;
        memcpy(m->prompt_sha256, m->handing.prompt_sha256, sizeof(m->prompt_sha256));
    } else {
        add_taken(m, &m->handing.send_id);
    }
    return save(m, ctx);
}

enum err turn_mark_not_handed(struct turn_mark *m, struct errctx *ctx)
{
    if (!m->is_handing)
        return ERR_OK;
    m->is_handing = false;
    return save(m, ctx);
}

enum err turn_mark_prompt_is_shown(struct turn_mark *m, struct errctx *ctx)
{
    m->prompt_is_shown = true;
    return save(m, ctx);
}

bool turn_mark_is_handing_text(const struct turn_mark *m, const char *text, size_t n)
{
    char hex[65];
    digest(text, n, hex);
    return m->is_handing && strcmp(hex, m->handing.text_sha256) == 0;
}

bool turn_mark_is_handing_message(const struct turn_mark *m, const struct uuid *send_id)
{
    return m->is_handing && !m->handing.is_prompt && uuid_eq(&m->handing.send_id, send_id);
}
