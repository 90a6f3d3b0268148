/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - children, and what they leave in shared memory. */
#include "tests/sim/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"

#define JOBS_MAX 64

static void *shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("mmap");
        exit(71);
    }
    return p;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void add_figures(struct figures *sum, const struct figures *f)
{
    sum->events += f->events;
    sum->commits += f->commits;
    sum->crashes += f->crashes;
    sum->jobs += f->jobs;
    sum->reports += f->reports;
    sum->prompts += f->prompts;
    sum->messages += f->messages;
    sum->builds += f->builds;
    sum->elections += f->elections;
    sum->virtual_us += f->virtual_us;
    sum->digest += f->digest;
}

/* ---- one ---- */

struct outcome run_one(const struct options *o)
{
    struct outcome *out = shared(sizeof(*out));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        out->good = world_run(o, &out->figures, out->why, sizeof(out->why));
        _exit(0);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) {
        out->good = false;
        snprintf(out->why, sizeof(out->why), "the program ended with %s %d",
            WIFSIGNALED(status) ? "signal" : "status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    struct outcome copy = *out;
    munmap(out, sizeof(*out));
    return copy;
}

/* ---- many ---- */

/* What a child tells its parent. */
struct board {
    uint64_t next, stop; /* seeds to come, for all children */
    struct {
        pid_t pid;
        uint64_t at; /* the seed it is at */
        struct sum sum;
    } child[JOBS_MAX];
};

static void note_failure(struct sum *s, uint64_t seed, const char *why)
{
    printf("seed %llu: %s\n", (unsigned long long)seed, why);
    fflush(stdout);
    if (s->failed++ == 0 || seed < s->first_failed) {
        s->first_failed = seed;
        snprintf(s->why, sizeof(s->why), "%s", why);
    }
}

static void work(const struct many *m, struct board *b, unsigned i)
{
    for (;;) {
        struct options o = m->options;
        o.seed = __atomic_fetch_add(&b->next, 1, __ATOMIC_SEQ_CST);
        if (o.seed >= __atomic_load_n(&b->stop, __ATOMIC_SEQ_CST))
            return;
        b->child[i].at = o.seed;
        struct figures f;
        char why[512];
        bool good = world_run(&o, &f, why, sizeof(why));
        struct sum *s = &b->child[i].sum;
        s->worlds++;
        s->lives += o.tasks;
        add_figures(&s->figures, &f);
        if (!good)
            note_failure(s, o.seed, why);
        if (!good && m->until_found)
            __atomic_store_n(&b->stop, 0, __ATOMIC_SEQ_CST);
    }
}

static void begin_child(const struct many *m, struct board *b, unsigned i)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        work(m, b, i);
        fflush(NULL);
        _exit(0);
    }
    b->child[i].pid = pid;
}

/* A child that did not end well: its seed has failed, another child goes on. */
static void bury_child(const struct many *m, struct board *b, unsigned i, int status)
{
    b->child[i].pid = 0;
    if (status == 0)
        return;
    char why[64];
    snprintf(why, sizeof(why), "the program ended with signal %d", WTERMSIG(status));
    note_failure(&b->child[i].sum, b->child[i].at, why);
    if (m->until_found)
        b->stop = 0;
    else
        begin_child(m, b, i);
}

static struct sum add_up(const struct board *b, unsigned jobs)
{
    struct sum all = {0};
    for (unsigned i = 0; i < jobs; i++) {
        const struct sum *s = &b->child[i].sum;
        if (s->failed > 0 && (all.failed == 0 || s->first_failed < all.first_failed)) {
            all.first_failed = s->first_failed;
            memcpy(all.why, s->why, sizeof(all.why));
        }
        all.failed += s->failed;
        all.worlds += s->worlds;
        all.lives += s->lives;
        add_figures(&all.figures, &s->figures);
    }
    return all;
}

struct sum run_many(const struct many *m)
{
    struct board *b = shared(sizeof(*b));
    unsigned jobs = m->jobs < JOBS_MAX ? m->jobs : JOBS_MAX;
    double began = now_s();
    b->next = m->options.seed;
    b->stop = b->next + m->seeds;
    for (unsigned i = 0; i < jobs; i++)
        begin_child(m, b, i);
    int status;
    for (pid_t pid; (pid = wait(&status)) > 0;)
        for (unsigned i = 0; i < jobs; i++)
            if (b->child[i].pid == pid)
                bury_child(m, b, i, status);
    struct sum all = add_up(b, jobs);
    all.seconds = now_s() - began;
    munmap(b, sizeof(*b));
    return all;
}
