/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interrupt.h - Ctrl-C in the middle of a wait: the wait ends, the terminal is left in order, and
 * then the program dies of the signal, so that a script around it ends too.
 *
 * The one thing of the command line that is the process's and not a `struct cli`'s.
 */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include <stdbool.h>

/* What a shell shows of a program that died of SIGINT. */
#define INTERRUPT_EXIT_STATUS 130

/* From now on SIGINT is noted; a second one kills at once.  Harmless when repeated. */
void interrupt_catch(void);
bool interrupt_seen(void);
/* Forget it, and catch no more. */
void interrupt_done(void);
/* Die of it.  Does not return. */
void interrupt_die(void);

#endif
