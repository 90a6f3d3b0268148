/* SPDX-License-Identifier: Apache-2.0 */
/* unpack.h - a template's archive (tar or zip, compressed or not), unpacked as if it were hostile.
 */
#ifndef WORKER_UNPACK_H
#define WORKER_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct unpack_limit {
    size_t entries_max;
    int64_t bytes_max; /* of all files together, unpacked */
};
#define UNPACK_LIMIT ((struct unpack_limit){.entries_max = 20000, .bytes_max = 512LL << 20})

/*
 * Unpack the archive that can be read from archive_fd into the empty directory dir_fd.
 *
 * ERR_INVALID with a sentence for what is no archive, and for absolute paths, "..", links that lead
 * out, devices, and anything else that is neither file, directory nor link; ERR_TOO_LARGE beyond
 * the limits.  The directory may then hold part of it: the caller removes it.  Directories and
 * programs are 0755, other files 0644, and all is on disk on return.
 */
enum err must_check unpack_archive(
    int archive_fd, int dir_fd, const struct unpack_limit *limit, struct errctx *ctx);

#endif
