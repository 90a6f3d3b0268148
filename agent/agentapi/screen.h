/* SPDX-License-Identifier: Apache-2.0 */
/*
 * screen.h - what a person would see: a terminal's bytes as lines of text (libvterm).
 *
 * Colours are forgotten, the alternate screen is followed.  A program that asks its terminal
 * something (where is the cursor, who are you) gets its answer through `answer`.
 */
#ifndef AGENT_AGENTAPI_SCREEN_H
#define AGENT_AGENTAPI_SCREEN_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/strbuf.h"

struct screen;

/* What goes to the program as if it had been typed. */
typedef void (*screen_answer_fn)(void *arg, const char *data, size_t n);

struct screen *screen_new(int rows, int cols, screen_answer_fn answer, void *arg);
void screen_free(struct screen *s);

/* The program's output, in any pieces. */
void screen_feed(struct screen *s, const char *data, size_t n);

/* Lines joined by '\n', without blanks at their ends and without empty lines at the end of the
 * screen.  Valid UTF-8.  The text belongs to the screen and stays until it is fed again. */
const struct strbuf *screen_text(struct screen *s);

/* Hand `n` bytes to the program the way this terminal would when a person pastes them: between
 * brackets when the program has asked for them. */
void screen_paste(struct screen *s, const char *text, size_t n);

#endif
