/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.h - the n-th allocation, statement, command or message of a process goes wrong.
 *
 * libstint-fault.so is loaded before the libraries of a program (LD_PRELOAD) and stands between it
 * and them.  The program itself is the one that ships.  Its environment says what to do:
 *
 *   STINT_FAULT_PROGRAM  the program's name; in any other nothing happens
 *   STINT_FAULT          point:way:n  the n-th from the start fails (see fault.def); once
 *   STINT_FAULT_BOARD    a file of sizeof(struct fault_board) bytes, mapped by the process and by
 *                        who tests it: counts are read there, and a fault may be armed there later
 *   STINT_FAULT_PATHS    a file that gets a line "n" for each allocation whose way there, through
 *                        the program's functions, is a new one
 *   STINT_FAULT_DEPTH    how many functions of that way count (initially 24)
 *   STINT_FAULT_TRACE    if it is there, the way to the fault is said, too
 *
 * What it did is said on stderr, in one line: "fault: point:way:n".
 */
#ifndef TESTS_FAULT_FAULT_H
#define TESTS_FAULT_FAULT_H

#include <stdatomic.h>
#include <stdint.h>

enum fault_point {
#define POINT(symbol, text) POINT_##symbol,
#include "tests/fault/fault.def"
    POINT_COUNT
};

enum fault_way { WAY_NONE, WAY_REFUSED, WAY_ENDED, WAY_UNANSWERED };

/* What the tester reads and writes; 64-bit little numbers all of them. */
struct fault_board {
    _Atomic uint64_t count[POINT_COUNT];
    _Atomic uint64_t point, way, n; /* armed: n is set last; 0: nothing is */
    _Atomic uint64_t fired;
};

/* One more; what is to befall it. */
enum fault_way fault_at(enum fault_point point);

/* The function of that name in the library itself. */
void *fault_real(const char *name);

/* Called with each allocation's number when the paths are wanted. */
void fault_note_path(uint64_t n);

#endif
