/* SPDX-License-Identifier: Apache-2.0 */
/* door.c - the small doors: clocks, chance, and what the worker asks of its file system. */
#include <stdio.h>
#include <sys/stat.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "tests/sim/part.h"
#include "worker/socket_dir.h"

/* ---- clocks ---- */

int64_t clock_mono_us(void)
{
    return sim->now_us;
}

int64_t clock_mono_ms(void)
{
    return sim->now_us / MS;
}

int64_t clock_wall_us(void)
{
    return EPOCH_US + sim->now_us + (sim->at_work != NULL ? sim->at_work->wall_offset_us : 0);
}

void clock_format(int64_t wall_us, char ret_text[static CLOCK_TEXT_SIZE])
{
    snprintf(ret_text, CLOCK_TEXT_SIZE, "%.6f", (double)wall_us / (double)SECOND);
}

/* ---- chance ---- */

void rng_bytes(void *data, size_t n)
{
    for (uint8_t *at = data; n > 0; n--, at++)
        *at = (uint8_t)dice_roll(&sim->dice);
}

/* ---- sockets of agents ---- */

struct socket_dir {
    char path[40];
};

enum err socket_dir_open(const char *data_dir, const struct uuid *worker_id,
    struct socket_dir **ret_dir, struct errctx *ctx)
{
    (void)data_dir, (void)worker_id, (void)ctx;
    struct socket_dir *d = mem_alloc(sizeof(*d));
    snprintf(d->path, sizeof(d->path), "/agents/%s", sim->at_work->name);
    *ret_dir = d;
    return ERR_OK;
}

void socket_dir_close(struct socket_dir *d)
{
    free(d);
}

const char *socket_dir_socket(const struct socket_dir *d)
{
    return d->path;
}

void socket_dir_sweep(struct socket_dir *d)
{
    (void)d;
}

/* The sockets are none. */
int chmod(const char *path, mode_t mode)
{
    (void)path, (void)mode;
    return 0;
}
