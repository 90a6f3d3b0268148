/* SPDX-License-Identifier: Apache-2.0 */
/* stint-agent run: the workspace's init. */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/command.h"
#include "agent/supervisor.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"

static const char help[] =
    "Usage: stint-agent run --manifest FILE [--run-dir DIR] [--log-level LEVEL]\n"
    "\n"
    "Runs a workspace's app as its manifest says, until SIGTERM.  A provisioner starts this as pid "
    "1\n"
    "of the sandbox; state is kept beside the manifest.\n"
    "\n"
    "  --manifest FILE    who this agent is and what it runs (JSON)\n"
    "  --run-dir DIR      for the socket of `stint-agent report` and prompts [/run/stint-agent]\n"
    "  --log-level LEVEL  debug, info, warn or error [info]\n";

int command_run(int argc, char **argv)
{
    struct supervisor_options options = {.run_dir = "/run/stint-agent"};
    const char *log_level = "info";
    const struct command_flag flags[] = {
        {"--manifest",  &options.manifest},
        {"--run-dir",   &options.run_dir },
        {"--log-level", &log_level       },
    };
    struct errctx ctx = {0};
    bool wants_help = false;
    enum err e = command_flags(argc, argv, flags, COUNT(flags), &wants_help, &ctx);
    if (wants_help) {
        fputs(help, stdout);
        return 0;
    }
    enum log_level level;
    if (e == ERR_OK && options.manifest == NULL)
        e = err_set(&ctx, ERR_USAGE, "--manifest is missing, see --help");
    if (e == ERR_OK && !log_level_parse(log_level, &level))
        e = err_set(&ctx, ERR_USAGE, "--log-level must be debug, info, warn or error");
    if (e != ERR_OK)
        return command_fail("run", e, &ctx);
    log_set_level(level);
    /* Its only use is one sync at a time. */
    setenv("UV_THREADPOOL_SIZE", "1", 1);
    e = supervisor_run(&options, &ctx);
    return e == ERR_OK ? 0 : command_fail("run", e, &ctx);
}
