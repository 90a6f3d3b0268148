/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_page.c - limits and cursors of lists below /api/stint/v1.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/text.h"
#include "gateway/json_out.h"
#include "gateway/page.h"
#include "gateway/task_query.h"

void page_answer_invalid(struct request *r, const char *field, const char *detail)
{
    answer_invalid_named(r, 400, "invalid-request", "The request is not valid.", field, detail);
}

static bool is_known(const char *word, size_t n, const char *const *known)
{
    for (; *known != NULL; known++)
        if (strlen(*known) == n && memcmp(*known, word, n) == 0)
            return true;
    return false;
}

bool page_check_parameters(struct request *r, const char *const *known)
{
    static const char *const tokens[] = {"access_token", "coder_session_token", NULL};
    for (const char *s = r->query.s, *end = s + r->query.len; s < end; s += strlen(s) + 1) {
        size_t n = strcspn(s, "=");
        if (is_known(s, n, known) || is_known(s, n, tokens))
            continue;
        char name[64], detail[128];
        snprintf(name, sizeof(name), "%.*s", (int)text_utf8_prefix(s, n, sizeof(name) - 1), s);
        snprintf(detail, sizeof(detail), "There is no parameter \"%s\".", name);
        page_answer_invalid(r, name, detail);
        return false;
    }
    return true;
}

bool page_read_limit(struct request *r, int64_t *ret_limit)
{
    if (page_limit_parse(request_query(r, "limit"), ret_limit))
        return true;
    page_answer_invalid(r, "limit", "\"limit\" must be a number from 1 to 1000.");
    return false;
}

/* ---- cursors ---- */

void page_cursor_format(
    char kind, const int64_t *numbers, size_t n, char ret_text[static PAGE_CURSOR_SIZE])
{
    uint8_t b[1 + PAGE_NUMBERS_MAX * 8] = {(uint8_t)kind};
    memcpy(b + 1, numbers, n * sizeof(*numbers));
    sodium_bin2base64(ret_text, PAGE_CURSOR_SIZE, b, 1 + n * sizeof(*numbers),
        sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool page_cursor_parse(const char *text, char kind, int64_t *ret_numbers, size_t n)
{
    uint8_t b[1 + PAGE_NUMBERS_MAX * 8];
    size_t got = 0;
    if (sodium_base642bin(b, sizeof(b), text, strlen(text), NULL, &got, NULL,
            sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        got != 1 + n * sizeof(*ret_numbers) || b[0] != (uint8_t)kind)
        return false;
    memcpy(ret_numbers, b + 1, n * sizeof(*ret_numbers));
    return true;
}

bool page_read_cursor(struct request *r, char kind, int64_t *numbers, size_t n)
{
    const char *text = request_query(r, "cursor");
    if (text == NULL || page_cursor_parse(text, kind, numbers, n))
        return true;
    page_answer_invalid(
        r, "cursor", "This is no cursor of this list; take the one of an answer as it is.");
    return false;
}

void page_put_next(struct request *r, const char *cursor)
{
    if (cursor != NULL)
        json_put_text(&r->out, "next_cursor", cursor);
    else
        json_put_null(&r->out, "next_cursor");
}
