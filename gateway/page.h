/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page.h - what the lists of Stint's own routes share: limits, plain cursors, problems.
 */
#ifndef GATEWAY_PAGE_H
#define GATEWAY_PAGE_H

#include "gateway/request.h"

/* 400 with the type urn:stint:problem:invalid-request, which names the parameter or member. */
void page_answer_invalid(struct request *r, const char *field, const char *detail);

/* `known` ends with NULL.  False: the query has another parameter, and 400 has been answered. */
bool page_check_parameters(struct request *r, const char *const *known);
/* ?limit= ; false: answered. */
bool page_read_limit(struct request *r, int64_t *ret_limit);

/* A cursor of n numbers, as opaque text; `kind` tells lists apart. */
#define PAGE_NUMBERS_MAX 4
#define PAGE_CURSOR_SIZE 64
void page_cursor_format(
    char kind, const int64_t *numbers, size_t n, char ret_text[static PAGE_CURSOR_SIZE]);
bool page_cursor_parse(const char *text, char kind, int64_t *ret_numbers, size_t n);
/* ?cursor= ; without one the numbers stay as they are.  False: answered. */
bool page_read_cursor(struct request *r, char kind, int64_t *numbers, size_t n);

/* "next_cursor": the text, or null. */
void page_put_next(struct request *r, const char *cursor);

#endif
