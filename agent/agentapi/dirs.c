/* SPDX-License-Identifier: Apache-2.0 */
/* By nftw, children first. */
#include "agent/agentapi/dirs.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"

#define OPEN_MAX_DEPTH 8

void dirs_make_parents(const char *path)
{
    if (path[0] == '\0')
        return;
    scoped_free char *copy = mem_strdup(path);
    for (char *p = copy + 1; (p = strchr(p, '/')) != NULL; *p++ = '/') {
        *p = '\0';
        mkdir(copy, 0700);
    }
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    remove(path);
    return 0;
}

void dirs_remove(const char *path)
{
    nftw(path, remove_one, OPEN_MAX_DEPTH, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
