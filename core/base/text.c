/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c - names, prompts and program output, one character at a time.
 *
 * Two small lexers carry everything: utf8_size() says how many bytes the character at hand has (0:
 * it is none), escape_size() how many bytes a terminal would swallow without showing anything.
 */
#include "core/base/text.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"

#define NAME_WORDS_MAX 27
#define ESC            0x1b
#define REPLACEMENT    "\xef\xbf\xbd"
#define ELLIPSIS       "\xe2\x80\xa6"

/* ---- UTF-8 ---- */

static bool continues(const unsigned char *s, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return false;
    return true;
}

/* Bytes of the well-formed character at s (no overlong form, no surrogate, at most U+10FFFF). */
static size_t utf8_size(const unsigned char *s, size_t n)
{
    if (n == 0)
        return 0;
    unsigned char c = s[0];
    if (c < 0x80)
        return 1;
    size_t size = c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (size == 0 || size > n || !continues(s, size))
        return 0;
    bool overlong = (c == 0xe0 && s[1] < 0xa0) || (c == 0xf0 && s[1] < 0x90);
    bool beyond = (c == 0xed && s[1] >= 0xa0) || (c == 0xf4 && s[1] >= 0x90);
    return overlong || beyond ? 0 : size;
}

/* Eight bytes, all ASCII and none of them NUL. */
static bool plain_word(const unsigned char *s)
{
    const uint64_t high = UINT64_C(0x8080808080808080), ones = UINT64_C(0x0101010101010101);
    uint64_t w;
    memcpy(&w, s, sizeof(w));
    return ((w | (w - ones)) & high) == 0;
}

bool text_is_utf8(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    while (n > 0) {
        if (n >= 8 && plain_word(p)) {
            p += 8;
            n -= 8;
            continue;
        }
        size_t size = *p == '\0' ? 0 : utf8_size(p, n);
        if (size == 0)
            return false;
        p += size;
        n -= size;
    }
    return true;
}

size_t text_utf8_prefix(const char *s, size_t n, size_t max)
{
    if (n <= max)
        return n;
    size_t cut = max;
    while (cut > 0 && max - cut < 3 && ((unsigned char)s[cut] & 0xc0) == 0x80)
        cut--;
    /* Bytes that are no character at all have no boundary to respect. */
    return ((unsigned char)s[cut] & 0xc0) == 0x80 ? max : cut;
}

/* ---- terminal sequences ---- */

/* A string that runs to BEL or ESC \, or, unfinished, to the end of the line. */
static size_t escape_string_size(const unsigned char *s, size_t n, size_t at)
{
    for (; at < n && s[at] != '\n'; at++) {
        if (s[at] == '\a')
            return at + 1;
        if (s[at] == ESC)
            return at + 1 < n && s[at + 1] == '\\' ? at + 2 : at;
    }
    return at;
}

static size_t csi_size(const unsigned char *s, size_t n, size_t at)
{
    while (at < n && s[at] >= 0x20 && s[at] < 0x40)
        at++;
    return at < n && s[at] >= 0x40 && s[at] < 0x7f ? at + 1 : at;
}

/* Bytes of the escape sequence at s; 0 when there is none.  An unfinished one ends where it breaks.
 */
static size_t escape_size(const unsigned char *s, size_t n)
{
    if (n >= 2 && s[0] == 0xc2 && s[1] == 0x9b)
        return csi_size(s, n, 2);
    if (n == 0 || s[0] != ESC)
        return 0;
    if (n == 1)
        return 1;
    if (s[1] == '[')
        return csi_size(s, n, 2);
    if (strchr("]PX^_", s[1]) != NULL && s[1] != '\0')
        return escape_string_size(s, n, 2);
    size_t at = 1;
    while (at < n && s[at] >= 0x20 && s[at] < 0x30)
        at++;
    return at < n && s[at] >= 0x30 && s[at] < 0x7f ? at + 1 : at;
}

/* A control character, C1 ones (U+0080-U+009F) included. */
static bool is_control(const unsigned char *s, size_t size)
{
    return size == 1 ? s[0] < 0x20 || s[0] == 0x7f : size == 2 && s[0] == 0xc2 && s[1] < 0xa0;
}

/* Runs of bytes that go over unchanged are added at once. */
static size_t ordinary_run(const unsigned char *s, size_t n)
{
    size_t i = 0;
    while (i < n && ((s[i] >= 0x20 && s[i] < 0x7f) || s[i] == '\n' || s[i] == '\t'))
        i++;
    return i;
}

void text_add_output(struct strbuf *out, const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    strbuf_reserve(out, n);
    while (n > 0) {
        size_t size = ordinary_run(s, n);
        if (size > 0) {
            strbuf_add(out, s, size);
        } else if ((size = escape_size(s, n)) == 0) {
            size = *s == '\0' ? 0 : utf8_size(s, n);
            if (size == 0)
                strbuf_add(out, REPLACEMENT, 3);
            else if (!is_control(s, size))
                strbuf_add(out, s, size);
            size += size == 0;
        }
        s += size;
        n -= size;
    }
}

/* Bytes of the HTML tag or comment at s; 0 for a '<' that begins none. */
static size_t tag_size(const unsigned char *s, size_t n)
{
    if (n < 3 || s[0] != '<' || !(isalpha(s[1]) || s[1] == '/' || s[1] == '!' || s[1] == '?'))
        return 0;
    if (n >= 4 && memcmp(s, "<!--", 4) == 0) {
        const unsigned char *end = memmem(s + 4, n - 4, "-->", 3);
        return end != NULL ? (size_t)(end - s) + 3 : 0;
    }
    const unsigned char *end = memchr(s, '>', n);
    return end != NULL ? (size_t)(end - s) + 1 : 0;
}

void text_add_sanitized(struct strbuf *out, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t n = strlen(text), begin = out->len;
    bool space = false;
    while (n > 0) {
        size_t size = escape_size(s, n);
        if (size == 0)
            size = tag_size(s, n);
        if (size == 0) {
            size = utf8_size(s, n);
            bool blank = size == 1 && isspace(*s);
            if (!blank && (size == 0 || !is_control(s, size))) {
                if (space && out->len > begin)
                    strbuf_addch(out, ' ');
                strbuf_add(out, size > 0 ? (const void *)s : REPLACEMENT, size > 0 ? size : 3);
                space = false;
            }
            space |= blank;
            size += size == 0;
        }
        s += size;
        n -= size;
    }
}

/* ---- names ---- */

bool text_is_name(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > TASK_NAME_MAX || strcmp(s, "new") == 0 || strcmp(s, "create") == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool dash_inside = s[i] == '-' && i > 0 && i + 1 < n && s[i - 1] != '-';
        if (!dash_inside && (!isalnum((unsigned char)s[i]) || (unsigned char)s[i] >= 0x80))
            return false;
    }
    return true;
}

/* Where to cut s so that at most `max` bytes remain and no word is broken, if it has a boundary. */
static size_t word_boundary(const char *s, size_t n, size_t max)
{
    if (n <= max)
        return n;
    if (s[max] == ' ')
        return max;
    for (size_t i = max; i > 0; i--)
        if (s[i - 1] == ' ')
            return i - 1;
    return text_utf8_prefix(s, n, max);
}

/* As word_boundary(), but counting characters. */
static size_t word_boundary_chars(const char *s, size_t n, size_t max)
{
    size_t at = 0;
    while (at < n && max-- > 0) {
        size_t size = utf8_size((const unsigned char *)s + at, n - at);
        at += size > 0 ? size : 1;
    }
    return word_boundary(s, n, at);
}

/* The beginning of the prompt on one line: white space collapsed, nothing but text.  Much longer
 * than either name needs, much shorter than a prompt can be. */
static void prompt_line(struct strbuf *out, const char *prompt)
{
    char head[1025];
    while (isspace((unsigned char)*prompt))
        prompt++;
    size_t n = strnlen(prompt, sizeof(head));
    n = text_utf8_prefix(prompt, n, sizeof(head) - 1);
    memcpy(head, prompt, n);
    head[n] = '\0';
    text_add_sanitized(out, head);
}

/* Two of these and a hyphen are at most 27 characters. */
static const char *const ADJECTIVES[] = {"able", "amber", "brave", "bright", "brisk", "calm",
    "clear", "clever", "daring", "eager", "fair", "gentle", "golden", "happy", "honest", "jolly",
    "keen", "kind", "lively", "lucky", "merry", "nimble", "patient", "proud", "quick", "quiet",
    "sharp", "silver", "steady", "swift", "warm", "wise"};
static const char *const SURNAMES[] = {"allen", "babbage", "backus", "boole", "borg", "cerf",
    "church", "clarke", "dijkstra", "easley", "engelbart", "feinler", "goldberg", "hamilton",
    "hopper", "iverson", "johnson", "kay", "kernighan", "knuth", "lamarr", "lamport", "liskov",
    "lovelace", "mccarthy", "noether", "perlman", "ritchie", "shannon", "thompson", "turing",
    "wirth"};

static size_t name_from_nothing(unsigned random, char ret_name[static TASK_NAME_MAX + 1])
{
    return (size_t)snprintf(ret_name, TASK_NAME_MAX, "%s-%s",
        ADJECTIVES[random % COUNT(ADJECTIVES)], SURNAMES[(random >> 8) % COUNT(SURNAMES)]);
}

void text_name_from_prompt(
    const char *prompt, uint32_t random, char ret_name[static TASK_NAME_MAX + 1])
{
    struct strbuf line;
    strbuf_init(&line);
    prompt_line(&line, prompt);
    size_t cut = word_boundary_chars(line.s, line.len, NAME_WORDS_MAX), n = 0;
    for (size_t i = 0; i < cut && n < NAME_WORDS_MAX; i++) {
        unsigned char c = (unsigned char)line.s[i];
        if (c < 0x80 && isalnum(c))
            ret_name[n++] = (char)tolower(c);
        else if ((c == ' ' || c == '-') && n > 0 && ret_name[n - 1] != '-')
            ret_name[n++] = '-';
    }
    while (n > 0 && ret_name[n - 1] == '-')
        n--;
    strbuf_done(&line);
    if (n == 0)
        n = name_from_nothing(random >> 16, ret_name);
    snprintf(ret_name + n, TASK_NAME_MAX + 1 - n, "-%04x", random & 0xffff);
}

void text_display_from_name(const char *name, char ret_name[static TASK_DISPLAY_NAME_MAX + 1])
{
    const char *last = strrchr(name, '-');
    bool has_suffix =
        last != NULL && strlen(last) == 5 && strspn(last + 1, "0123456789abcdef") == 4;
    size_t n = has_suffix ? (size_t)(last - name) : strlen(name);
    snprintf(ret_name, TASK_DISPLAY_NAME_MAX + 1, "%.*s", (int)n, name);
    for (char *c = ret_name; *c != '\0'; c++)
        *c = *c == '-' ? ' ' : *c;
    ret_name[0] = (char)toupper((unsigned char)ret_name[0]);
}

void text_display_from_prompt(const char *prompt, char ret_name[static TASK_DISPLAY_NAME_MAX + 1])
{
    struct strbuf line;
    strbuf_init(&line);
    prompt_line(&line, prompt);
    size_t n = line.len;
    bool cut = n > TASK_DISPLAY_NAME_MAX;
    if (cut)
        n = word_boundary(line.s, n, TASK_DISPLAY_NAME_MAX - strlen(ELLIPSIS));
    memcpy(ret_name, line.s, n);
    strcpy(ret_name + n, cut ? ELLIPSIS : "");
    ret_name[0] = (char)toupper((unsigned char)ret_name[0]);
    strbuf_done(&line);
}
