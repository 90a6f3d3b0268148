/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to memory: one reader per type. */
#include "agent/manifest_key.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/uuid.h"

/* What is being read. */
struct place {
    void *field;
    const struct key *key;
    const char *where;
    struct errctx *ctx;
};

enum err manifest_bad(struct errctx *ctx, const char *where, const char *name, const char *what)
{
    return err_set(ctx, ERR_CONFIG, "%s: \"%s\" %s", where, name, what);
}

static enum err bad(const struct place *p, const char *what)
{
    return manifest_bad(p->ctx, p->where, p->key->name, what);
}

/* ---- numbers, flags, choices ---- */

static enum err read_number(const struct place *p, const json_t *value)
{
    const struct key *key = p->key;
    if (!json_is_integer(value))
        return bad(p, "must be a whole number");
    json_int_t n = json_integer_value(value);
    if (n < key->min || n > key->max)
        return err_set(p->ctx, ERR_CONFIG, "%s: \"%s\" must be from %lld to %lld, not %lld",
            p->where, key->name, (long long)key->min, (long long)key->max, (long long)n);
    *(int64_t *)p->field = n;
    return ERR_OK;
}

static enum err read_flag(const struct place *p, const json_t *value)
{
    if (!json_is_boolean(value))
        return bad(p, "must be true or false");
    *(bool *)p->field = json_is_true(value);
    return ERR_OK;
}

/* The place of `word` among "a|b|c"; -1 if it is not there. */
static int choice_of(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (int i = 0; *words != '\0'; i++) {
        size_t size = strcspn(words, "|");
        if (size == n && strncmp(words, word, n) == 0)
            return i;
        words += size + (words[size] == '|');
    }
    return -1;
}

static enum err read_choice(const struct place *p, const json_t *value)
{
    int i = json_is_string(value) ? choice_of(p->key->words, json_string_value(value)) : -1;
    if (i < 0)
        return err_set(p->ctx, ERR_CONFIG, "%s: \"%s\" must be one of %s", p->where, p->key->name,
            p->key->words);
    *(int *)p->field = i;
    return ERR_OK;
}

/* ---- texts ---- */

static bool is_url(const char *text)
{
    return strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
}

static enum err check_length(const struct place *p, size_t n)
{
    json_int_t max = p->key->max;
    if (max == 0 || n <= (size_t)max)
        return ERR_OK;
    return err_set(p->ctx, ERR_CONFIG, "%s: \"%s\" must not be longer than %lld bytes", p->where,
        p->key->name, (long long)max);
}

static enum err check_text(const struct place *p, const char *text, size_t n)
{
    struct uuid ignored;
    enum key_type type = p->key->type;
    if (type == KEY_UUID_TEXT && !uuid_parse(text, &ignored))
        return bad(p, "must be a uuid");
    if (type == KEY_WORD && n == 0)
        return bad(p, "must not be empty");
    if (type == KEY_PATH && text[0] != '/')
        return bad(p, "must be an absolute path");
    if (type == KEY_URL && !is_url(text))
        return bad(p, "must begin with http:// or https://");
    return check_length(p, n);
}

static enum err read_text(const struct place *p, const json_t *value)
{
    if (!json_is_string(value))
        return bad(p, "must be a text");
    const char *text = json_string_value(value);
    if (p->key->type == KEY_UUID)
        return uuid_parse(text, p->field) ? ERR_OK : bad(p, "must be a uuid");
    enum err e = check_text(p, text, json_string_length(value));
    if (e == ERR_OK)
        *(char **)p->field = mem_strdup(text);
    return e;
}

static enum err read_argv(const struct place *p, const json_t *value)
{
    size_t n = json_array_size(value);
    if (n == 0)
        return bad(p, "must be a list of at least one text");
    char **argv = mem_calloc(n + 1, sizeof(*argv));
    *(char ***)p->field = argv;
    for (size_t i = 0; i < n; i++) {
        const char *word = json_string_value(json_array_get(value, i));
        if (word == NULL || (i == 0 && word[0] == '\0'))
            return bad(p, "must be a list of texts, the first not empty");
        argv[i] = mem_strdup(word);
    }
    return ERR_OK;
}

/* ---- keys ---- */

static void put_initial(const struct place *p)
{
    const char *initial = p->key->initial;
    switch (p->key->type) {
    case KEY_NUMBER:
        *(int64_t *)p->field = strtoll(initial, NULL, 10);
        break;
    case KEY_FLAG:
        *(bool *)p->field = strcmp(initial, "true") == 0;
        break;
    case KEY_CHOICE:
        *(int *)p->field = choice_of(p->key->words, initial);
        break;
    case KEY_UUID_TEXT:
    case KEY_WORD:
    case KEY_TEXT:
        *(char **)p->field = mem_strdup(initial);
        break;
    case KEY_PATH:
    case KEY_URL:
        *(char **)p->field = initial[0] != '\0' ? mem_strdup(initial) : NULL;
        break;
    case KEY_UUID:
    case KEY_ARGV:
        break;
    }
}

static enum err read_value(const struct place *p, const json_t *value)
{
    switch (p->key->type) {
    case KEY_NUMBER:
        return read_number(p, value);
    case KEY_FLAG:
        return read_flag(p, value);
    case KEY_CHOICE:
        return read_choice(p, value);
    case KEY_ARGV:
        return read_argv(p, value);
    case KEY_UUID:
    case KEY_UUID_TEXT:
    case KEY_WORD:
    case KEY_TEXT:
    case KEY_PATH:
    case KEY_URL:
        break;
    }
    return read_text(p, value);
}

enum err manifest_keys_read(void *to, const struct key *keys, size_t n_keys, const json_t *object,
    const char *where, struct errctx *ctx)
{
    for (size_t i = 0; i < n_keys; i++) {
        struct place p = {(char *)to + keys[i].offset, &keys[i], where, ctx};
        const json_t *value = json_object_get(object, keys[i].name);
        enum err e = ERR_OK;
        if (value != NULL)
            e = read_value(&p, value);
        else if (keys[i].initial != NULL)
            put_initial(&p);
        else
            e = bad(&p, "is missing");
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

void manifest_keys_done(void *of, const struct key *keys, size_t n_keys)
{
    for (size_t i = 0; i < n_keys; i++) {
        void *field = (char *)of + keys[i].offset;
        enum key_type type = keys[i].type;
        if (type == KEY_UUID || type == KEY_NUMBER || type == KEY_FLAG || type == KEY_CHOICE)
            continue;
        char **words = type == KEY_ARGV ? *(char ***)field : NULL;
        for (size_t w = 0; words != NULL && words[w] != NULL; w++)
            free(words[w]);
        free(*(void **)field);
    }
}
