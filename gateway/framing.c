/* SPDX-License-Identifier: Apache-2.0 */
/*
 * framing.c - one state, one byte, one step.
 */
#include "gateway/framing.h"

#include <string.h>

#include "core/base/cleanup.h"

#define LENGTH_DIGITS_MAX 15

static const struct framing_fault_row fault_rows[] = {
#define FAULT(name, status, phrase, message, detail) \
    [FRAMING_##name] = {status, phrase, message, detail},
#include "gateway/framing.def"
};

const struct framing_fault_row *framing_fault_row(enum framing_fault f)
{
    return &fault_rows[f];
}

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

enum header { HEADER_OTHER, HEADER_LENGTH, HEADER_CODING, HEADER_HOST, HEADER_UPGRADE };

static const struct {
    const char *name;
    enum header header;
} headers[] = {
    {"content-length",    HEADER_LENGTH },
    {"transfer-encoding", HEADER_CODING },
    {"host",              HEADER_HOST   },
    {"upgrade",           HEADER_UPGRADE},
};

static const char *const *known;
static size_t n_known;

void framing_know_names(const char *const *names, size_t n)
{
    known = names;
    n_known = n;
}

/* ---- bytes ---- */

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 'a' - 'A') : c;
}

static bool is_hex(unsigned char c)
{
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f');
}

/* RFC 9110's tchar. */
static bool is_token(unsigned char c)
{
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_control(unsigned char c)
{
    return (c < ' ' && c != '\t') || c == 0x7f;
}

/* ---- the word that is being read ---- */

static void word_add(struct framing *f, unsigned char c)
{
    if (f->n_word < sizeof(f->word))
        f->word[f->n_word] = (char)c;
    if (f->n_word <= sizeof(f->word))
        f->n_word++; /* one more than fits: it is none that we know */
}

static bool word_is(const struct framing *f, const char *text)
{
    size_t n = strlen(text);
    return f->n_word == n && memcmp(f->word, text, n) == 0;
}

static void word_trim(struct framing *f)
{
    while (f->n_word > 0 && f->n_word <= sizeof(f->word) &&
           (f->word[f->n_word - 1] == ' ' || f->word[f->n_word - 1] == '\t'))
        f->n_word--;
}

/* ---- the request line ---- */

static enum framing_fault begin(struct framing *f, unsigned char c)
{
    *f = (struct framing){.state = FRAMING_METHOD_PART};
    word_add(f, c);
    return is_token(c) ? FRAMING_OK : FRAMING_URL;
}

static enum framing_fault method_byte(struct framing *f, unsigned char c)
{
    if (c != ' ') {
        word_add(f, c);
        return !is_token(c) ? FRAMING_URL : f->n_word > 16 ? FRAMING_METHOD : FRAMING_OK;
    }
    for (size_t i = 0; i < COUNT(methods); i++)
        if (word_is(f, methods[i])) {
            f->state = FRAMING_TARGET_PART;
            f->n_word = 0;
            return FRAMING_OK;
        }
    return FRAMING_METHOD;
}

/* A byte after '%': a digit.  %00 would end texts too early further in; and at %0a and %0d
 * libwebsockets 4.1 ends the line, and reads headers from the rest of the URL. */
static bool escape_byte(struct framing *f, unsigned char c)
{
    f->escape--;
    if (f->escape == 1)
        f->body_left = c == '0';
    bool ends = f->escape == 0 && f->body_left != 0 && strchr("0ad", lower(c)) != NULL;
    return is_hex(c) && !ends;
}

/* Known before the end, so that what is wrong further on is answered in the right shape. */
static void look_for_prefix(struct framing *f)
{
    static const char own[] = "/api/stint/v1";
    f->is_own_prefix = f->n_word >= sizeof(own) - 1 && memcmp(f->word, own, sizeof(own) - 1) == 0;
}

static enum framing_fault target_end(struct framing *f)
{
    f->state = FRAMING_VERSION_PART;
    f->n_word = 0;
    f->body_left = 0;
    return f->target_bytes > 0 && f->escape == 0 ? FRAMING_OK : FRAMING_URL;
}

static enum framing_fault target_byte(struct framing *f, unsigned char c)
{
    if (c == ' ')
        return target_end(f);
    word_add(f, c);
    look_for_prefix(f);
    if (is_control(c) || c == '\t' || (f->target_bytes == 0 && c != '/'))
        return FRAMING_URL;
    if (f->escape > 0 && !escape_byte(f, c))
        return FRAMING_URL;
    if (c == '%')
        f->escape = 2;
    f->n_parts = (uint16_t)(f->n_parts + (c == '&' || c == ';'));
    return ++f->target_bytes > FRAMING_TARGET_MAX || f->n_parts > FRAMING_PARTS_MAX
               ? FRAMING_URL_LONG
               : FRAMING_OK;
}

static enum framing_fault version_byte(struct framing *f, unsigned char c)
{
    if (c != '\r') {
        word_add(f, c);
        return is_control(c) ? FRAMING_LINE : f->n_word > 8 ? FRAMING_VERSION : FRAMING_OK;
    }
    f->is_version_1_0 = word_is(f, "HTTP/1.0");
    f->state = FRAMING_LINE_LF;
    return f->is_version_1_0 || word_is(f, "HTTP/1.1") ? FRAMING_OK : FRAMING_VERSION;
}

/* ---- headers ---- */

static enum framing_fault line_begin(struct framing *f, unsigned char c)
{
    f->n_word = 0;
    if (c == '\r') {
        f->state = FRAMING_HEAD_LF;
        return FRAMING_OK;
    }
    if (c == ' ' || c == '\t' || c == '\n')
        return FRAMING_LINE;
    f->state = FRAMING_NAME_PART;
    word_add(f, lower(c));
    if (++f->n_headers > FRAMING_HEADERS_MAX)
        return FRAMING_LARGE;
    return is_token(c) ? FRAMING_OK : FRAMING_NAME;
}

static bool is_only_a_begin(const struct framing *f)
{
    bool is_begin = false;
    for (size_t i = 0; i < n_known && f->n_word <= sizeof(f->word); i++)
        if (strncmp(known[i], f->word, f->n_word) == 0) {
            if (known[i][f->n_word] == ':')
                return false;
            is_begin = true;
        }
    return is_begin;
}

static enum framing_fault name_byte(struct framing *f, unsigned char c)
{
    if (c != ':') {
        word_add(f, lower(c));
        return is_token(c) ? FRAMING_OK : FRAMING_NAME;
    }
    if (is_only_a_begin(f))
        return FRAMING_BEGIN;
    f->header = HEADER_OTHER;
    for (size_t i = 0; i < COUNT(headers); i++)
        if (word_is(f, headers[i].name))
            f->header = (uint8_t)headers[i].header;
    f->state = FRAMING_VALUE_BEGIN;
    f->n_word = 0;
    return FRAMING_OK;
}

static void read_length(struct framing *f)
{
    f->n_lengths++;
    f->body_left = 0;
    f->is_bad_length |= f->n_word == 0 || f->n_word > LENGTH_DIGITS_MAX;
    for (size_t i = 0; i < f->n_word && !f->is_bad_length; i++) {
        f->is_bad_length |= !is_digit((unsigned char)f->word[i]);
        f->body_left = f->body_left * 10 + f->word[i] - '0';
    }
}

static enum framing_fault value_end(struct framing *f)
{
    word_trim(f);
    f->state = FRAMING_LINE_LF;
    switch ((enum header)f->header) {
    case HEADER_LENGTH:
        read_length(f);
        return f->n_lengths > 1 || f->is_bad_length ? FRAMING_LENGTH : FRAMING_OK;
    case HEADER_CODING:
        return ++f->n_codings > 1 || !word_is(f, "chunked") ? FRAMING_LENGTH : FRAMING_OK;
    case HEADER_HOST:
        return ++f->n_hosts > 1 ? FRAMING_HOST : FRAMING_OK;
    case HEADER_UPGRADE:
        f->wants_upgrade = word_is(f, "websocket"); /* any other is passed over */
        break;
    case HEADER_OTHER:
        break;
    }
    return FRAMING_OK;
}

static enum framing_fault value_byte(struct framing *f, unsigned char c)
{
    if (c == '\r')
        return value_end(f);
    if (c == '\n')
        return FRAMING_LINE;
    if (f->state == FRAMING_VALUE_BEGIN && (c == ' ' || c == '\t'))
        return FRAMING_OK;
    f->state = FRAMING_VALUE_PART;
    word_add(f, lower(c));
    return is_control(c) ? FRAMING_VALUE : FRAMING_OK;
}

static enum framing_fault head_end(struct framing *f)
{
    bool chunked = f->n_codings > 0;
    if (chunked && (f->n_lengths > 0 || f->is_version_1_0))
        return FRAMING_LENGTH;
    if (f->n_hosts == 0 && !f->is_version_1_0)
        return FRAMING_HOST;
    f->state = chunked            ? FRAMING_REST
               : f->wants_upgrade ? FRAMING_UPGRADE
               : f->body_left > 0 ? FRAMING_BODY
                                  : FRAMING_BETWEEN;
    return FRAMING_OK;
}

static enum framing_fault end_of_line(struct framing *f, unsigned char c)
{
    bool is_head = f->state == FRAMING_HEAD_LF;
    f->state = FRAMING_LINE_BEGIN;
    if (c != '\n')
        return FRAMING_LINE;
    return is_head ? head_end(f) : FRAMING_OK;
}

/* ---- all of it ---- */

static enum framing_fault step(struct framing *f, unsigned char c)
{
    switch (f->state) {
    case FRAMING_BETWEEN:
        return begin(f, c);
    case FRAMING_METHOD_PART:
        return method_byte(f, c);
    case FRAMING_TARGET_PART:
        return target_byte(f, c);
    case FRAMING_VERSION_PART:
        return version_byte(f, c);
    case FRAMING_LINE_BEGIN:
        return line_begin(f, c);
    case FRAMING_NAME_PART:
        return name_byte(f, c);
    case FRAMING_VALUE_BEGIN:
    case FRAMING_VALUE_PART:
        return value_byte(f, c);
    case FRAMING_LINE_LF:
    case FRAMING_HEAD_LF:
        return end_of_line(f, c);
    case FRAMING_UPGRADE:
        return FRAMING_PIPELINED;
    case FRAMING_BODY:
    case FRAMING_REST:
        break;
    }
    return FRAMING_OK;
}

static size_t take_body(struct framing *f, size_t n)
{
    if ((int64_t)n < f->body_left) {
        f->body_left -= (int64_t)n;
        return n;
    }
    size_t taken = (size_t)f->body_left;
    f->body_left = 0;
    f->state = FRAMING_BETWEEN;
    return taken;
}

enum framing_fault framing_feed(
    struct framing *f, const unsigned char *data, size_t n, size_t *ret_used)
{
    enum framing_fault fault = FRAMING_OK;
    size_t i = 0;
    *ret_used = 0;
    while (i < n && fault == FRAMING_OK) {
        if (f->state == FRAMING_REST)
            i = n;
        else if (f->state == FRAMING_BODY)
            i += take_body(f, n - i);
        else if ((fault = step(f, data[i])) == FRAMING_OK)
            i++;
        if (fault == FRAMING_OK && f->state < FRAMING_BODY && f->state != FRAMING_BETWEEN &&
            ++f->head_bytes > FRAMING_HEAD_MAX)
            fault = FRAMING_LARGE;
        if (f->state == FRAMING_BETWEEN || f->state >= FRAMING_BODY)
            *ret_used = i;
    }
    return fault;
}

bool framing_is_inside(const struct framing *f)
{
    return f->state != FRAMING_BETWEEN && f->state < FRAMING_REST;
}
