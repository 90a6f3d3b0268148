/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease.pml - leader, epoch, lease, token and commit, as scheduler/ does it, for JOBS starts beyond
 * a cap of CAP.
 *
 * Two schedulers may both believe to lead; a worker may sleep past its lease and wake; every
 * commit's answer may be lost, which ends the leader's reign (it forgets all and is elected again);
 * every message may be lost or come late.  Postgres is one atomic step.
 *
 * What must hold, by the rules of docs/ARCHITECTURE.md:
 *   1  what is dispatched is committed          3  an outcome counts with the newest token only, once
 *   4  a deposed leader commits nothing         5  never more than CAP jobs hold compute
 *
 * Each of NO_FENCE, NO_EPOCH, SPEAK_FIRST and CAP_LATE takes one safeguard away; the model must
 * then fail, or it proves nothing (tests/model/run).
 */
#define JOBS      2
#define CAP       1
#define LEADERS   2
#define WORKERS   2
#define TOKEN_MAX 2
#define EPOCH_MAX 2

mtype = { PENDING, RUNNING, DONE };

/* ---- Postgres ---- */

byte epoch;                   /* the reigning one */
mtype state[JOBS] = PENDING;
byte token[JOBS];             /* of the newest lease */
byte outcomes[JOBS];          /* results that were taken */
byte cap_used;                /* jobs that hold compute */

/* ---- outside ---- */

/* The newest token under which each worker works at each job; 0: not at all.  A dispatch that is
 * late is a worker that is slow, so the wire needs no state of its own. */
byte works[WORKERS * JOBS];
byte result[JOBS];                /* token of a result on its way, 0: none */

#define AT(w, j) ((w) * JOBS + (j))

inline assert_rules()
{
    assert(cap_used <= CAP);                                        /* rule 5 */
    assert(outcomes[0] <= 1 && outcomes[1] <= 1);                   /* rule 3 */
}

/* A commit of the leader of epoch `mine`: it counts only while that epoch reigns (rule 4). */
#ifdef NO_EPOCH
#define REIGNS(mine) true
#else
#define REIGNS(mine) (epoch == (mine))
#endif

proctype leader()
{
    byte mine, j, w;
    byte used;               /* the cap's count, in memory: what is committed and what is under way */
    mtype seen[JOBS];        /* the jobs, in memory */
    byte seen_token[JOBS];
    byte lease_to[JOBS];     /* the batch: 1 + the worker that gets this job, 0: not in it */
    bool some;

elect:
    atomic {
        if
        :: epoch < EPOCH_MAX -> epoch++; mine = epoch;
        :: else -> goto over;
        fi;
        /* rule 2: all it knows, it reads */
        used = cap_used;
        j = 0;
        do
        :: j < JOBS -> seen[j] = state[j]; seen_token[j] = token[j]; j++;
        :: else -> break;
        od;
    }

reign:
    do
    :: /* plan a batch: lease waiting jobs to workers, within the cap */
        atomic {
            some = false;
            j = 0;
            do
            :: j < JOBS ->
                lease_to[j] = 0;
                if
                :: seen[j] == PENDING && seen_token[j] < TOKEN_MAX &&
#ifdef CAP_LATE
                    (cap_used < CAP || seen_token[j] > 0) -> /* as Postgres has it by now */
#else
                    (used < CAP || seen_token[j] > 0) ->
#endif
                    if
                    :: seen_token[j] == 0 -> used++;
                    :: else
                    fi;
                    select (w : 0 .. WORKERS - 1);
                    lease_to[j] = w + 1;
                    some = true;
                    seen[j] = RUNNING;
                    seen_token[j]++;
#ifdef SPEAK_FIRST
                    works[AT(w, j)] = seen_token[j];
#endif
                :: skip
                fi;
                j++;
            :: else -> break;
            od;
        }
        /* between the plan and the commit anything may happen: another leader, a result, a death */
        if
        :: some ->
            atomic {
                if
                :: REIGNS(mine) ->
                    assert(epoch == mine);                          /* rule 4 */
                    j = 0;
                    do
                    :: j < JOBS ->
                        if
                        :: lease_to[j] > 0 ->
                            if
                            :: token[j] == 0 -> cap_used++;
                            :: else
                            fi;
                            state[j] = RUNNING;
                            token[j] = seen_token[j];
                            if
                            :: works[AT(lease_to[j] - 1, j)] = token[j]; /* rule 1 */
                            :: skip                                 /* the dispatch is lost */
                            fi;
                        :: else
                        fi;
                        j++;
                    :: else -> break;
                    od;
                    assert_rules();
                    if
                    :: skip
                    :: goto elect;                                  /* the commit's answer is lost */
                    fi;
                :: else -> goto elect;                              /* deposed */
                fi;
            }
        :: else
        fi;
    :: /* the worker's lease ran out: the job waits again, under a token to come */
        atomic {
            select (j : 0 .. JOBS - 1);
            if
            :: seen[j] == RUNNING && seen_token[j] < TOKEN_MAX ->
                if
                :: REIGNS(mine) ->
                    assert(epoch == mine);                          /* rule 4 */
                    state[j] = PENDING;
                    seen[j] = PENDING;
                :: else -> goto elect;
                fi;
            :: else
            fi;
        }
    :: /* a result has come: fenced by its token */
        atomic {
            select (j : 0 .. JOBS - 1);
            if
            :: result[j] != 0 ->
                if
                :: REIGNS(mine) ->
                    assert(epoch == mine);
#ifdef NO_FENCE
                    if
                    :: true ->
#else
                    if
                    :: state[j] == RUNNING && result[j] == token[j] ->
#endif
                        assert(result[j] == token[j]);              /* rule 3: the newest lease */
                        outcomes[j]++;
                        state[j] = DONE;
                        seen[j] = DONE;
                        seen_token[j] = token[j];
                        cap_used--;
                        used--;
                        assert_rules();
#ifndef NO_FENCE
                    :: else
#endif
                    fi;
                    result[j] = 0;
                :: else -> goto elect;
                fi;
            :: else
            fi;
        }
    :: goto elect;                                                  /* it dies, or is replaced */
    :: state[0] == DONE && state[1] == DONE -> break;
    od;
over:
    skip
}

/* All workers: each does what it was given, however long it sleeps meanwhile, and says so, perhaps
 * more than once. */
proctype workers()
{
    byte w, j;
    do
    :: atomic {
            select (w : 0 .. WORKERS - 1);
            select (j : 0 .. JOBS - 1);
            if
            :: works[AT(w, j)] != 0 ->
                assert(works[AT(w, j)] <= token[j]);                /* rule 1 */
                result[j] = works[AT(w, j)];
            :: else
            fi;
            w = 0;
            j = 0;
        }
    :: state[0] == DONE && state[1] == DONE -> break;
    od
}

init {
    byte n;
    atomic {
        do
        :: n < LEADERS -> run leader(); n++;
        :: else -> break;
        od;
        run workers();
    }
}
