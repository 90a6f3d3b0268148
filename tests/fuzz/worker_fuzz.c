/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_fuzz.c - what people push: archives, unpacked into a directory of their own, and
 * template.yaml.  The first byte chooses.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "worker/file.h"
#include "worker/provisioner/template.h"
#include "worker/unpack.h"

#define BYTES_MAX   (1 << 20)
#define ENTRIES_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char dir[64], beside[80];

static int drop(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type;
    return at->level > 0 ? remove(path) : 0;
}

static void clear(void)
{
    nftw(dir, drop, 8, FTW_DEPTH | FTW_PHYS);
}

static int64_t total;

static int weigh(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)path, (void)at;
    total += type == FTW_F ? (int64_t)st->st_size : 0;
    return 0;
}

/* Nothing beside the directory, and no more than the limit in it. */
static void check(void)
{
    if (access(beside, F_OK) == 0)
        abort();
    total = 0;
    nftw(dir, weigh, 8, FTW_PHYS);
    if (total > BYTES_MAX)
        abort();
}

static void make_dir(void)
{
    if (dir[0] != '\0')
        return;
    snprintf(dir, sizeof(dir), "/dev/shm/stint-fuzz-%d", (int)getpid());
    snprintf(beside, sizeof(beside), "%s-evil", dir);
    mkdir(dir, 0700);
}

static void fuzz_archive(const uint8_t *data, size_t n)
{
    struct errctx ctx = {0};
    make_dir();
    scoped_fd int archive = memfd_create("archive", MFD_CLOEXEC);
    scoped_fd int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (write(archive, data, n) != (ssize_t)n)
        abort();
    lseek(archive, 0, SEEK_SET);
    const struct unpack_limit limit = {.entries_max = ENTRIES_MAX, .bytes_max = BYTES_MAX};
    enum err e = unpack_archive(archive, at, &limit, &ctx);
    if (e != ERR_OK && ctx.text[0] == '\0')
        abort(); /* whatever is wrong is said */
    check();
    clear();
}

static void fuzz_template(const uint8_t *data, size_t n)
{
    struct template *t = NULL;
    struct errctx ctx = {0};
    enum err e = template_parse((const char *)data, n, &t, &ctx);
    if ((e == ERR_OK) != (t != NULL) || (e != ERR_OK && ctx.text[0] == '\0'))
        abort();
    template_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    log_set_level(LOG_ERROR);
    if (n == 0)
        return 0;
    if (data[0] % 4 == 0)
        fuzz_archive(data + 1, n - 1);
    else
        fuzz_template(data + 1, n - 1);
    return 0;
}
