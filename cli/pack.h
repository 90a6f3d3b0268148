/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack.h - a directory as a tar archive that is the same bytes every time.
 *
 * Names sorted, owner root, times zero, modes 0644 and 0755: pushing an unchanged template again
 * finds the file it has stored already.  .git and what editors leave behind stay out.  Symbolic
 * links are kept when they point inside; sockets, devices and the like are refused.
 */
#ifndef CLI_PACK_H
#define CLI_PACK_H

#include "cli/cli.h"

#define PACK_BYTES_MAX (100u * 1024 * 1024)

/* Write what a tar or zip archive holds below `dir`, which is there and empty.  Names that lead out
 * of it, links that point out of it and everything that is no file, directory or link is refused.
 */
enum err must_check unpack_archive(struct cli *cli, const char *dir, const void *data, size_t n);

/* `tar` is initialised by the caller. */
enum err must_check pack_directory(struct cli *cli, const char *dir, struct strbuf *tar);

#endif
