/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest_key.h - keys of a JSON object as rows: where each goes in a struct, what it may be.
 *
 * The same reader serves the manifest itself and the tables in it (apps, scripts, metadata).  What
 * is read is plain memory: manifest_keys_done() frees what the rows own.
 */
#ifndef AGENT_MANIFEST_KEY_H
#define AGENT_MANIFEST_KEY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

enum key_type {
    KEY_UUID,      /* struct uuid */
    KEY_UUID_TEXT, /* char *: a uuid */
    KEY_WORD,      /* char *: not empty, at most `max` bytes if max > 0 */
    KEY_TEXT,      /* char *: at most `max` bytes */
    KEY_PATH,      /* char *: absolute */
    KEY_URL,       /* char *: http:// or https:// */
    KEY_NUMBER,    /* int64_t: from `min` to `max` */
    KEY_FLAG,      /* bool */
    KEY_CHOICE,    /* an enum, as the place of the word in `words` ("a|b|c") */
    KEY_ARGV,      /* char **, NULL at the end */
};

struct key {
    const char *name;
    enum key_type type;
    size_t offset;
    /* As a text; "" leaves NULL for KEY_PATH, KEY_URL and KEY_ARGV.  NULL: the key is required. */
    const char *initial;
    json_int_t min, max;
    const char *words;
};

/* ERR_CONFIG with a sentence that begins with `where` ("manifest", "manifest: apps[0]"). */
enum err must_check manifest_keys_read(void *to, const struct key *keys, size_t n_keys,
    const json_t *object, const char *where, struct errctx *ctx);
void manifest_keys_done(void *of, const struct key *keys, size_t n_keys);

/* "where: "name" what" */
enum err manifest_bad(struct errctx *ctx, const char *where, const char *name, const char *what);

#endif
