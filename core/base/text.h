/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - rules for words that people type.
 */
#ifndef CORE_BASE_TEXT_H
#define CORE_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/strbuf.h"

#define TASK_NAME_MAX         32
#define TASK_DISPLAY_NAME_MAX 64
#define PROMPT_BYTES_MAX      (1024 * 1024)
#define REPORT_MESSAGE_MAX    160

/* Coder's rule: 1-32 of [a-zA-Z0-9] in groups joined by single '-'; not "new" or "create". */
bool text_is_name(const char *s);

/* Names a task from its prompt (CODER rule: lower case, '-' for spaces, [a-z0-9-], at most 27
 * characters on a word boundary), followed by '-' and four hex digits: the low half of `random`.
 * A prompt that leaves nothing gives an adjective and a surname, chosen by the high half. */
void text_name_from_prompt(
    const char *prompt, uint32_t random, char ret_name[static TASK_NAME_MAX + 1]);

/* First 64 bytes of the prompt on a word boundary (never inside a UTF-8 character), with "…" when
 * cut (within the 64), first letter upper-cased; empty for an empty prompt. */
void text_display_from_prompt(const char *prompt, char ret_name[static TASK_DISPLAY_NAME_MAX + 1]);

/* The display name of a task whose prompt gives none: "quiet-lovelace-00ff" is "Quiet lovelace". */
void text_display_from_name(const char *name, char ret_name[static TASK_DISPLAY_NAME_MAX + 1]);

/* Append `s` without ANSI sequences, HTML tags and control characters, white space collapsed to
 * single spaces and trimmed: fit for a status line. */
void text_add_sanitized(struct strbuf *out, const char *s);

/* Append `n` bytes of program output as text fit for JSON and a terminal: ANSI sequences and
 * control characters other than \n and \t dropped, "\r\n" -> "\n", invalid UTF-8 and NUL -> U+FFFD.
 */
void text_add_output(struct strbuf *out, const char *s, size_t n);

/* Valid UTF-8 without NUL? */
bool text_is_utf8(const char *s, size_t n);

/* Largest prefix of s, at most `max` bytes, that does not cut a UTF-8 character. */
size_t text_utf8_prefix(const char *s, size_t n, size_t max);

#endif
