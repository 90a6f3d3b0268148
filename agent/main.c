/* SPDX-License-Identifier: Apache-2.0 */
/* stint-agent: a table of commands.  Other names that the binary is called by can map to rows. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/command.h"
#include "agent/self_digest.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"

static int command_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    puts("stint-agent " STINT_VERSION);
    return 0;
}

/* For the init script, where there is no sha256sum. */
static int command_verify(int argc, char **argv)
{
    struct errctx ctx = {0};
    char digest[SELF_DIGEST_SIZE];
    enum err e = argc == 2 && strcmp(argv[1], "--help") != 0
                     ? self_digest(digest, &ctx)
                     : err_set(&ctx, ERR_USAGE,
                           "Usage: stint-agent verify SHA256 (exit status 0: this program has it)");
    if (e == ERR_OK && strcmp(digest, argv[1]) != 0)
        e = err_set(&ctx, ERR_INVALID, "this program's digest is %s, not %.80s", digest, argv[1]);
    return e == ERR_OK ? 0 : command_fail("verify", e, &ctx);
}

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"agentapi", command_agentapi, "a terminal agent behind the HTTP API of agentapi"      },
    {"run",      command_run,      "run a workspace's apps from its manifest, as its pid 1"},
    {"report",   command_report,   "report how the work is going, from inside a workspace" },
    {"mcp",      command_mcp,      "the MCP server for agents, and its configuration"      },
    {"exp",      command_exp,      "mcp, as scripts made for Coder call it"                },
    {"verify",   command_verify,   "check this program against a SHA-256"                  },
    {"version",  command_version,  "print the version"                                     },
};

static void print_help(FILE *out)
{
    fputs("stint-agent: the part of Stint that lives inside a workspace.\n\n"
          "Usage: stint-agent COMMAND [--help]\n\nCommands:\n",
        out);
    for (size_t i = 0; i < COUNT(commands); i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
}

enum err command_flags(int argc, char **argv, const struct command_flag *flags, size_t n_flags,
    bool *ret_help, struct errctx *ctx)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *ret_help = true;
            return ERR_OK;
        }
        size_t n = strcspn(argv[i], "="), f = 0;
        while (
            f < n_flags && (strlen(flags[f].name) != n || strncmp(argv[i], flags[f].name, n) != 0))
            f++;
        if (f == n_flags)
            return err_set(
                ctx, ERR_USAGE, "\"%s\" is not a flag of this command, see --help", argv[i]);
        if (argv[i][n] == '=')
            *flags[f].value = argv[i] + n + 1;
        else if (i + 1 < argc)
            *flags[f].value = argv[++i];
        else
            return err_set(ctx, ERR_USAGE, "%s needs a value", argv[i]);
    }
    return ERR_OK;
}

int command_fail(const char *command, enum err e, const struct errctx *ctx)
{
    fprintf(
        stderr, "stint-agent %s: %s\n", command, ctx->text[0] != '\0' ? ctx->text : err_text(e));
    return err_exit_status(e);
}

/* A parent may have closed them; then a socket of ours would become somebody's stdout. */
static void have_std_files(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
}

int main(int argc, char **argv)
{
    have_std_files();
    log_init("agent");
    if (argc > 0 && strcmp(basename(argv[0]), "coder") == 0)
        return command_coder(argc, argv);
    if (argc < 2) {
        print_help(stderr);
        return err_exit_status(ERR_USAGE);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0)
        return command_version(0, NULL);
    for (size_t i = 0; i < COUNT(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "stint-agent: \"%s\" is not a command, see stint-agent --help\n", argv[1]);
    return err_exit_status(ERR_USAGE);
}
