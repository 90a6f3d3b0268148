/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.h - what the app prints, as messages of the conversation.
 *
 * One pipe (stdout and stderr together) is read on the loop.  A piece goes out when 16 KiB are
 * there or the first of it is 250 ms old, cut behind a line end where there is one, and never
 * inside a UTF-8 character or a terminal sequence.  While the store of reports is full or the disk
 * takes nothing, the pipe is not read: the app waits in its write.  Nothing is dropped.
 *
 * A pipe may outlive the process it was made for (a server that a script left running holds it):
 * such output still comes in until the last writer is gone.
 */
#ifndef AGENT_OUTPUT_H
#define AGENT_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/status.h"
#include "core/loop/loop.h"

struct output;

/* `take_fd`: the pipe's reading end. */
struct output *output_new(struct loop *l, struct status *status, int take_fd);
void output_free(struct output *o);

/* The process is gone: what it left in the pipe is read and said, then drained(arg) is called once,
 * never from inside this call. */
void output_finish(struct output *o, loop_fn drained, void *arg);

/* The last line that was not empty, cleaned; "" if there was none.  Borrowed until the next call.
 */
const char *output_last_line(struct output *o);

/* There may be room again: go on.  Cheap when there is nothing to do. */
void output_pump(struct output *o);
/* All writers are gone and all is said. */
bool output_is_over(const struct output *o);

/* How many of the `n` bytes make a good piece: up to a line end, else up to the end of a whole
 * character and terminal sequence; all of them when `is_last` or when nothing better can be found.
 * Never 0 for n > 0, unless more may complete it (n is small and not `is_last`). */
size_t output_cut(const char *s, size_t n, bool is_last);

#define OUTPUT_PIECE_BYTES (16 * 1024)
#define OUTPUT_FLUSH_MS    250

#endif
