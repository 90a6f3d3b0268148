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

/* `tar` is initialised by the caller. */
enum err must_check pack_directory(struct cli *cli, const char *dir, struct strbuf *tar);

#endif
