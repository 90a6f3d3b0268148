/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watermark.pml - reports from an agent's disk to Postgres, each once and in order (rule 8), while
 * Redis may be emptied (rule 9), messages are lost, doubled and late, and the agent dies and
 * starts again (agent/reports.h, agent/session.h, scheduler/ingest_batch.c).
 *
 * No report is lost: a state from which nothing moves on although Postgres has not all of them is
 * an error (an invalid end state).
 *
 * Each of FORGET_EARLY (the agent forgets what the worker took), NO_SEQUENCE (ingest takes
 * whatever comes) and DISK_LATE (a number is sent before it is on disk) must make it fail.
 */
#define N      4   /* reports */
#define WINDOW 2
#define CRASHES 2
#define FLUSHES 2

/* What a report says: its content, apart from its number.  After a crash that lost it, the agent
 * says something else under the next free number. */
byte said;                 /* contents said so far: 1, 2, 3, ... */

/* ---- the agent's disk ---- */
byte disk[N + 1];          /* content under each number, 0: none */
byte disk_last;            /* newest number on disk */
byte forgotten;            /* numbers up to this one were dropped */

/* ---- Redis: a stream of (number, content) ---- */
chan stream = [WINDOW] of { byte, byte };

/* ---- Postgres ---- */
byte watermark;
byte row[N + 1];

byte crashes, flushes;
bool over;

proctype agent()
{
    byte last, next, known, i;

start:
    atomic { last = disk_last; known = forgotten; next = forgotten + 1; }
    do
    :: last < N -> /* say something: to disk, then it may go */
        atomic {
            last++;
            said++;
#ifndef DISK_LATE
            disk[last] = said;
            disk_last = last;
#endif
        }
#ifdef DISK_LATE
        if
        :: nfull(stream) -> atomic { stream!last, said; next = last + 1; }
        :: skip
        fi;
        if
        :: crashes < CRASHES -> crashes++; goto start;
        :: atomic { disk[last] = said; disk_last = last; }
        fi;
#endif
    :: atomic { next <= last && next <= disk_last && nfull(stream) -> /* send */
            assert(disk[next] != 0);        /* what may be needed again is still there */
            stream!next, disk[next];
#ifdef FORGET_EARLY
            disk[next] = 0;
            forgotten = next;
#endif
            next++;
        }
    :: atomic { known < watermark -> /* the watermark comes by */
            known = watermark;
            i = forgotten;
            do
            :: i < known -> i++; disk[i] = 0;
            :: else -> break;
            od;
            forgotten = (forgotten < known -> known : forgotten);
            i = 0;
            if
            :: next <= known -> next = known + 1;
            :: else
            fi;
            if
            :: last < known -> last = known; /* its disk was behind: numbers go on from there */
            :: else
            fi;
        }
    :: atomic { next > known + 1 && next > forgotten + 1 -> /* it stood still: again from there */
            next = (known > forgotten -> known : forgotten) + 1;
        }
    :: crashes < CRASHES -> crashes++; goto start;
    :: watermark == N -> break;
    od
}

/* A worker puts what it got into the stream; it may do so twice, or lose it: both are the same as
 * an agent that sends again and a stream that is emptied, so there is no process for it. */
proctype redis()
{
    byte n, c;
    do
    :: flushes < FLUSHES ->
        atomic {
            flushes++;
            do
            :: stream?n, c
            :: empty(stream) -> break;
            od;
        }
    :: atomic { stream?n, c -> stream!n, c; } /* taken and put again: late, and out of order */
    :: watermark == N -> break;
    od
}

proctype ingest()
{
    byte n, c;
    do
    :: stream?n, c ->
        atomic { /* one transaction */
#ifdef NO_SEQUENCE
            if
            :: true ->
#else
            if
            :: n == watermark + 1 ->
#endif
                assert(row[n] == 0 && n == watermark + 1);  /* once, and in order */
                row[n] = c;
                watermark = n;
#ifndef NO_SEQUENCE
            :: n <= watermark -> assert(row[n] == c);       /* the same number says the same */
            :: else
#endif
            fi;
        }
    :: watermark == N -> break;
    od
}

init { atomic { run agent(); run redis(); run ingest(); } }
