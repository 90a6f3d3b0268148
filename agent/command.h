/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - the commands of the binary, one row each in main.c, one file each.
 *
 * A command gets its own arguments (argv[0] is its name) and returns the process's exit status,
 * having told stderr in one sentence what was wrong.
 */
#ifndef AGENT_COMMAND_H
#define AGENT_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

int command_run(int argc, char **argv);
int command_report(int argc, char **argv);
int command_agentapi(int argc, char **argv);
int command_mcp(int argc, char **argv);
int command_exp(int argc, char **argv);   /* mcp, by Coder's path to it */
int command_coder(int argc, char **argv); /* all of it, when called by the name coder */

/* One "--name VALUE" or "--name=VALUE" that a command takes. */
struct command_flag {
    const char *name; /* with its dashes */
    const char **value;
};

/* Reads flags into their values; "--help" or "-h" sets *ret_help.  ERR_USAGE for anything else. */
enum err must_check command_flags(int argc, char **argv, const struct command_flag *flags,
    size_t n_flags, bool *ret_help, struct errctx *ctx);

/* Says on stderr what went wrong; the exit status for it. */
int command_fail(const char *command, enum err e, const struct errctx *ctx);

#endif
