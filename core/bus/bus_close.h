/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus_close.h - closing what is nng's, and coming back.
 *
 * nng 1.5 (Debian's) forgets a receive for ever when its pipe is closed between the head and the
 * body of a message: the closing waits for it on nng's only reaper thread, and from then on no
 * nng_close() of this process ends (docs/decisions/0016).
 *
 * So closing is done on a thread of its own and waited for, BUS_CLOSE_MS at most.  After that it is
 * given up: the thread, and what nng and its callbacks refer to, stay as they are until the process
 * ends.  Everything else of nng goes on working.
 */
#ifndef CORE_BUS_BUS_CLOSE_H
#define CORE_BUS_BUS_CLOSE_H

#include <nng/nng.h>
#include <stdbool.h>

#define BUS_CLOSE_MS 1000

/* Calls close(owner), on another thread.  False: given up; `owner` must not be freed, and is kept
 * reachable. */
bool bus_close(void (*close)(void *owner), void *owner);

/* For nng to send.  When its pipe closes at that moment, nng 1.5 forgets it: whoever looks for
 * leaks passes over what this function has allocated (tests/lib/leaks.txt). */
nng_msg *bus_message_new(size_t n);

#endif
