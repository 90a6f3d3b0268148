/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one line per fact on stderr, as logfmt or JSON.
 *
 *   log_info("leased job=%s worker=%s", ...)
 *   -> ts=2026-11-20T16:01:02.5Z level=info part=scheduler msg="leased" job=... worker=...
 *
 * The text up to the first " key=" is the message; what follows are fields, which the caller writes
 * as key=value (values with spaces in double quotes, see log_quote()).  Any thread may log; a line
 * is written with one write(2).  Secrets never go into a log line.
 */
#ifndef CORE_BASE_LOG_H
#define CORE_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Call once, first thing in main().  `part` is kept, not copied.  Format: "logfmt" or "json". */
void log_init(const char *part);
void log_set_level(enum log_level level);
void log_set_json(bool json);
bool log_level_parse(const char *text, enum log_level *ret_level);
/* Both as a daemon's settings log_level and log_format have them; on a wrong one nothing changes.
 */
enum err must_check log_configure(const char *level, const char *format, struct errctx *ctx);

void log_at(enum log_level level, const char *fmt, ...) printf_like(2, 3);
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)

/* `text` in double quotes, escaped for a field value, cut to fit; returns `buf`. */
const char *log_quote(char *buf, size_t size, const char *text);
/* For one value inside a log call: log_info("x error=%s", LOG_Q(ctx.text)) */
#define LOG_Q(text) log_quote((char[512]){0}, 512, (text))

#endif
