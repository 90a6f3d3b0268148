/* SPDX-License-Identifier: Apache-2.0 */
/*
 * binaries.h - the agent's programs, as workspaces that live elsewhere fetch them: GET /bin/{file}.
 *
 *   stint-agent-linux-amd64, stint-agent-linux-arm64   the static agent, for that machine
 *   coder-linux-amd64, coder-linux-arm64               the same bytes, where Coder's scripts look
 *   <one of these>.sha256                              its digest, in the form of sha256sum
 *
 * The files are in the directory of the setting bin_dir.  Without it they are looked for beside the
 * gateway's own program, where the agent of this machine may have its plain name.
 */
#ifndef GATEWAY_BINARIES_H
#define GATEWAY_BINARIES_H

struct gateway;
struct binaries;

struct binaries *binaries_new(struct gateway *gw);
void binaries_free(struct binaries *b);

#endif
