/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.c - counting, and saying which one it is.
 */
#include "tests/fault/fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATHS_MAX  (1 << 16) /* a power of two */
#define FRAMES_MAX 24

static const char *const point_names[] = {
#define POINT(symbol, text) #symbol,
#include "tests/fault/fault.def"
};

static const struct {
    enum fault_point point;
    enum fault_way way;
    const char *name;
} ways[] = {
#define WAY(point, symbol, text) {POINT_##point, WAY_##symbol, #symbol},
#include "tests/fault/fault.def"
};

static struct fault_board own, *board = &own;
static bool is_on, is_traced;
static int paths = -1;
static int depth_wanted = FRAMES_MAX;
static uint64_t seen[PATHS_MAX];
static __thread bool inside; /* what this library does itself does not count */

void *fault_real(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);
    if (f == NULL)
        abort();
    return f;
}

/* ---- saying so ---- */

static const char *way_name(enum fault_point point, enum fault_way way)
{
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
        if (ways[i].point == point && ways[i].way == way)
            return ways[i].name;
    return "?";
}

static void tell(enum fault_point point, enum fault_way way, uint64_t n)
{
    char line[96];
    int size = snprintf(line, sizeof(line), "fault: %s:%s:%llu\n", point_names[point],
        way_name(point, way), (unsigned long long)n);
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)size);
    (void)ignored;
    if (is_traced) {
        void *frames[FRAMES_MAX];
        backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDERR_FILENO);
    }
}

enum fault_way fault_at(enum fault_point point)
{
    if (!is_on || inside)
        return WAY_NONE;
    uint64_t n = atomic_fetch_add(&board->count[point], 1) + 1;
    if (point == POINT_ALLOC && paths >= 0)
        fault_note_path(n);
    if (atomic_load(&board->n) != n || atomic_load(&board->point) != point)
        return WAY_NONE;
    enum fault_way way = (enum fault_way)atomic_load(&board->way);
    atomic_store(&board->n, 0);
    atomic_fetch_add(&board->fired, 1);
    inside = true;
    tell(point, way, n);
    inside = false;
    return way;
}

/* ---- paths ---- */

static bool is_new(uint64_t hash)
{
    for (size_t i = hash % PATHS_MAX, tries = 0; tries < PATHS_MAX;
         i = (i + 1) % PATHS_MAX, tries++) {
        uint64_t there = __atomic_load_n(&seen[i], __ATOMIC_RELAXED);
        if (there == hash)
            return false;
        if (there == 0) {
            __atomic_store_n(&seen[i], hash, __ATOMIC_RELAXED);
            return true;
        }
    }
    return false;
}

void fault_note_path(uint64_t n)
{
    void *frames[FRAMES_MAX];
    char line[32];
    inside = true;
    int depth = backtrace(frames, depth_wanted);
    uint64_t hash = 14695981039346656037u;
    for (int i = 2; i < depth; i++)
        hash = (hash ^ (uint64_t)(uintptr_t)frames[i]) * 1099511628211u;
    if (is_new(hash | 1)) {
        int size = snprintf(line, sizeof(line), "%llu\n", (unsigned long long)n);
        ssize_t ignored = write(paths, line, (size_t)size);
        (void)ignored;
    }
    inside = false;
}

/* ---- the beginning ---- */

static void arm(const char *text)
{
    char point[16], way[16];
    unsigned long long n;
    if (sscanf(text, "%15[a-zA-Z]:%15[a-zA-Z]:%llu", point, way, &n) != 3)
        return;
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
        if (strcasecmp(point_names[ways[i].point], point) == 0 &&
            strcasecmp(ways[i].name, way) == 0) {
            atomic_store(&board->point, ways[i].point);
            atomic_store(&board->way, ways[i].way);
            atomic_store(&board->n, n);
        }
}

static void map_board(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *p = mmap(NULL, sizeof(own), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p != MAP_FAILED)
        board = p;
}

/* The variables go: what this process starts is not under test. */
__attribute__((constructor)) static void begin(void)
{
    const char *program = getenv("STINT_FAULT_PROGRAM"), *fault = getenv("STINT_FAULT");
    const char *board_path = getenv("STINT_FAULT_BOARD"), *paths_path = getenv("STINT_FAULT_PATHS");
    if (program == NULL || strcmp(program, program_invocation_short_name) != 0)
        return;
    if (board_path != NULL)
        map_board(board_path);
    if (fault != NULL)
        arm(fault);
    if (paths_path != NULL) {
        const char *depth = getenv("STINT_FAULT_DEPTH");
        depth_wanted = depth != NULL ? atoi(depth) : FRAMES_MAX;
        depth_wanted = depth_wanted < FRAMES_MAX ? depth_wanted : FRAMES_MAX;
        void *frames[2];
        backtrace(frames, 2); /* loads what it needs */
        paths = open(paths_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    is_traced = getenv("STINT_FAULT_TRACE") != NULL;
    unsetenv("LD_PRELOAD");
    is_on = true;
}
