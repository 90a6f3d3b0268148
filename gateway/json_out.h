/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_out.h - writing JSON straight into a strbuf, as Coder's clients expect it.
 *
 * Commas set themselves from the byte before; brackets are the caller's.  Text is escaped as Go's
 * encoder does (<, >, & and the two line separators too) and is valid UTF-8 already.
 *
 *   json_open(b, '{');
 *   json_put_text(b, "name", task->name);
 *   json_key(b, "tags"), json_open(b, '['), json_text(b, "a"), json_close(b, ']');
 *   json_close(b, '}');
 */
#ifndef GATEWAY_JSON_OUT_H
#define GATEWAY_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/strbuf.h"
#include "core/base/uuid.h"

/* Values: an element of an array, or what follows json_key(). */
void json_open(struct strbuf *b, char bracket);
void json_close(struct strbuf *b, char bracket);
void json_text(struct strbuf *b, const char *s);
void json_textn(struct strbuf *b, const char *s, size_t n);
void json_int(struct strbuf *b, int64_t v);
void json_uuid(struct strbuf *b, const struct uuid *u);
/* JSON made elsewhere. */
void json_raw(struct strbuf *b, const char *s, size_t n);

/* Members of an object. `key` is a plain word. */
void json_key(struct strbuf *b, const char *key);
void json_put_text(struct strbuf *b, const char *key, const char *s);
/* Left out when empty. */
void json_put_text_if(struct strbuf *b, const char *key, const char *s);
void json_put_int(struct strbuf *b, const char *key, int64_t v);
void json_put_bool(struct strbuf *b, const char *key, bool v);
void json_put_null(struct strbuf *b, const char *key);
void json_put_uuid(struct strbuf *b, const char *key, const struct uuid *u);
/* nil: null. */
void json_put_uuid_or_null(struct strbuf *b, const char *key, const struct uuid *u);
/* RFC 3339; INT64_MIN: Go's zero time. */
void json_put_time(struct strbuf *b, const char *key, int64_t wall_us);
/* INT64_MIN: null. */
void json_put_time_or_null(struct strbuf *b, const char *key, int64_t wall_us);
/* Left out when INT64_MIN. */
void json_put_time_if(struct strbuf *b, const char *key, int64_t wall_us);

#endif
