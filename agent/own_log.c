/* SPDX-License-Identifier: Apache-2.0 */
/* A timer and a truncation: what is appended afterwards begins at the file's begin. */
#include "agent/own_log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"

#define LOOK_MS 60000

struct own_log {
    struct timer *timer;
};

void own_log_look(int fd)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_APPEND) == 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        st.st_size <= OWN_LOG_BYTES_MAX)
        return;
    if (ftruncate(fd, 0) == 0)
        log_warn("this log was too long and begins anew bytes=%lld", (long long)st.st_size);
}

static void on_timer(void *arg)
{
    (void)arg;
    own_log_look(STDERR_FILENO);
}

struct own_log *own_log_new(struct loop *l)
{
    struct own_log *o = mem_alloc(sizeof(*o));
    o->timer = timer_new(l, on_timer, o);
    timer_start(o->timer, LOOK_MS, LOOK_MS);
    return o;
}

void own_log_free(struct own_log *o)
{
    if (o == NULL)
        return;
    timer_free(o->timer);
    free(o);
}
