/* SPDX-License-Identifier: Apache-2.0 */
/* stint-agent run: the workspace's init, or the agent of a workspace that lives elsewhere. */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/command.h"
#include "agent/peers.h"
#include "agent/remote.h"
#include "agent/supervisor.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"

#define TOKEN_SIZE 64

static const char help[] =
    "Usage: stint-agent run --manifest FILE [--run-dir DIR] [--log-level LEVEL]\n"
    "       stint-agent run --url URL [--state-dir DIR] [--run-dir DIR] [--log-level LEVEL]\n"
    "\n"
    "Runs a workspace's app as its manifest says, until SIGTERM.  A provisioner of this host "
    "starts\n"
    "it with --manifest, as pid 1 of the sandbox; state is kept beside the manifest.  In a "
    "container\n"
    "or a virtual machine it asks the gateway at URL for the manifest, by the agent's token.\n"
    "\n"
    "  --manifest FILE    who this agent is and what it runs (JSON)\n"
    "  --url URL          the gateway [CODER_AGENT_URL]; the token is in CODER_AGENT_TOKEN, or in\n"
    "                     the file that CODER_AGENT_TOKEN_FILE names\n"
    "  --state-dir DIR    reports and marks, kept over builds [$HOME/.stint-agent]\n"
    "  --run-dir DIR      for the socket of `stint-agent report` and prompts [/run/stint-agent;\n"
    "                     with --url in the state dir]\n"
    "  --log-level LEVEL  debug, info, warn or error [info]\n"
    "\n"
    "Examples:\n"
    "  CODER_AGENT_TOKEN=... stint-agent run --url https://stint.example.com\n";

struct run_options {
    struct remote_options remote;
    const char *manifest, *log_level;
    char token[TOKEN_SIZE];
};

static enum err read_token(struct run_options *o, struct errctx *ctx)
{
    const char *path = getenv("CODER_AGENT_TOKEN_FILE");
    o->remote.token = getenv("CODER_AGENT_TOKEN");
    if (o->remote.token != NULL || path == NULL)
        return ERR_OK;
    FILE *f = fopen(path, "re");
    if (f == NULL || fgets(o->token, sizeof(o->token), f) == NULL)
        o->token[0] = '\0';
    if (f != NULL)
        fclose(f);
    o->token[strcspn(o->token, " \r\n")] = '\0';
    o->remote.token = o->token;
    return o->token[0] != '\0' ? ERR_OK
                               : err_set(ctx, ERR_USAGE,
                                     "CODER_AGENT_TOKEN_FILE: nothing can be read from %s", path);
}

static enum err read_options(int argc, char **argv, struct run_options *o, bool *ret_help,
    enum log_level *ret_level, struct errctx *ctx)
{
    const struct command_flag flags[] = {
        {"--manifest",  &o->manifest        },
        {"--url",       &o->remote.url      },
        {"--state-dir", &o->remote.state_dir},
        {"--run-dir",   &o->remote.run_dir  },
        {"--log-level", &o->log_level       },
    };
    enum err e = command_flags(argc, argv, flags, COUNT(flags), ret_help, ctx);
    if (e != ERR_OK || *ret_help)
        return e;
    if (!log_level_parse(o->log_level, ret_level))
        return err_set(ctx, ERR_USAGE, "--log-level must be debug, info, warn or error");
    if (o->manifest != NULL)
        return o->remote.url == NULL
                   ? ERR_OK
                   : err_set(ctx, ERR_USAGE, "--manifest and --url exclude each other");
    if (o->remote.url == NULL)
        o->remote.url = getenv("CODER_AGENT_URL");
    if (o->remote.url == NULL)
        return err_set(ctx, ERR_USAGE, "--manifest or --url is missing, see --help");
    return read_token(o, ctx);
}

static enum err run_here(const struct run_options *o, struct errctx *ctx)
{
    const struct supervisor_options options = {.manifest = o->manifest,
        .run_dir = o->remote.run_dir != NULL ? o->remote.run_dir : "/run/stint-agent"};
    return supervisor_run(&options, ctx);
}

static enum err run_elsewhere(const struct run_options *o, struct errctx *ctx)
{
    struct remote remote = {0};
    enum err e = remote_prepare(&o->remote, &remote, ctx);
    if (e == ERR_OK) {
        const struct peers_conf peers = {
            .gateway_url = remote.url, .token = o->remote.token, .workers = remote.workers};
        const struct supervisor_options options = {
            .manifest = remote.manifest, .run_dir = remote.run_dir, .peers = &peers};
        e = supervisor_run(&options, ctx);
    }
    remote_done(&remote);
    return e == ERR_CANCELED ? ERR_OK : e;
}

int command_run(int argc, char **argv)
{
    struct run_options o = {.log_level = "info"};
    struct errctx ctx = {0};
    bool wants_help = false;
    enum log_level level;
    enum err e = read_options(argc, argv, &o, &wants_help, &level, &ctx);
    if (wants_help) {
        fputs(help, stdout);
        return 0;
    }
    if (e != ERR_OK)
        return command_fail("run", e, &ctx);
    log_set_level(level);
    /* Its only use is one sync at a time. */
    setenv("UV_THREADPOOL_SIZE", "1", 1);
    e = o.manifest != NULL ? run_here(&o, &ctx) : run_elsewhere(&o, &ctx);
    return e == ERR_OK ? 0 : command_fail("run", e, &ctx);
}
