/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio.h - lines from stdin, lines to stdout, whatever these are: pipes, sockets, terminals,
 * files.
 *
 * No more is read while the taker has enough to do (may_take) or while the reader of stdout is
 * behind by more than STDIO_BEHIND_BYTES_MAX: so memory stays bounded and nothing is lost.
 */
#ifndef AGENT_MCP_STDIO_H
#define AGENT_MCP_STDIO_H

#include <stdbool.h>
#include <stddef.h>

#include "core/loop/loop.h"

#define STDIO_BEHIND_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct stdio;

struct stdio_conf {
    struct loop *loop;
    int fd_in, fd_out;
    size_t line_bytes_max;
    bool (*may_take)(void *arg);
    void (*on_line)(void *arg, const char *line, size_t n); /* without its end */
    void (*on_too_long)(void *arg);
    /* All of stdin has been given; or stdout has no reader any more (is_broken). */
    void (*on_end)(void *arg, bool is_broken);
    void *arg;
};

struct stdio *stdio_open(const struct stdio_conf *conf);
void stdio_free(struct stdio *s);

/* Give on what was held back, if it may be taken now.  Call it when may_take() may have changed. */
void stdio_pump(struct stdio *s);

void stdio_write(struct stdio *s, const char *data, size_t n);
/* All that was written has left this process. */
bool stdio_is_drained(const struct stdio *s);

#endif
