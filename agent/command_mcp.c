/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MCP server and its configuration, under the names by which agents and scripts made for Coder
 * call them:
 *
 *   stint-agent mcp …  =  stint-agent exp mcp …  =  coder exp mcp …
 *
 * Called by the name `coder`, this program knows those and no more, and says so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/command.h"
#include "agent/mcp/configure.h"
#include "agent/mcp/options.h"
#include "agent/mcp/serve.h"
#include "core/base/cleanup.h"
#include "core/base/strbuf.h"

/* The version whose command line this one stands in for. */
#define CODER_VERSION "v2.34.2+stint." STINT_VERSION

#define SERVER_HELP                                                                                \
    "Usage: coder exp mcp server [FLAGS]     (also: stint-agent mcp server)\n\n"                   \
    "Speaks the Model Context Protocol on stdin and stdout: an agent reports its progress by\n"    \
    "the tool coder_report_task and, with a user's session, handles tasks.  Reports go to the\n"   \
    "agent of the workspace by its socket; without one to CODER_AGENT_URL with "                   \
    "CODER_AGENT_TOKEN\n"                                                                          \
    "(or CODER_AGENT_TOKEN_FILE).  The session is that of CODER_URL and CODER_SESSION_TOKEN, of\n" \
    "STINT_URL and STINT_TOKEN, of `stint login` or of `coder login`.\n\n"

#define CLAUDE_HELP                                                                            \
    "Usage: coder exp mcp configure claude-code PROJECT_DIRECTORY [FLAGS]\n\n"                 \
    "Makes this program the MCP server \"coder\" of Claude Code in that directory, lets it "   \
    "report "                                                                                  \
    "without\nasking, and writes the prompts into CLAUDE.md.  Run again, it changes what has " \
    "changed.\n\n"

static int usage(const char *command, const char *sentence)
{
    struct errctx ctx = {0};
    return command_fail(command, err_set(&ctx, ERR_USAGE, "%s", sentence), &ctx);
}

/* ---- mcp server ---- */

static int mcp_server(int argc, char **argv)
{
    struct serve_conf conf = {0};
    const struct option_row rows[] = {
#define OPTION(flag, field, variables, help) {flag, variables, &conf.field, help, false},
#include "agent/mcp/serve_option.def"
    };
    struct errctx ctx = {0};
    struct option_words words;
    bool wants_help;
    enum err e = options_read(argc, argv, rows, COUNT(rows), &words, &wants_help, &ctx);
    if (e == ERR_OK && wants_help) {
        fputs(SERVER_HELP "Flags:\n", stdout);
        options_print(stdout, rows, COUNT(rows));
        return 0;
    }
    if (e == ERR_OK && words.n > 0)
        e = err_set(&ctx, ERR_USAGE, "\"%.80s\" is one word too many, see --help", words.words[0]);
    if (e == ERR_OK)
        e = serve(&conf, &ctx);
    return e == ERR_OK ? 0 : command_fail("mcp server", e, &ctx);
}

/* ---- mcp configure claude-code ---- */

struct claude_options {
    struct claude_conf conf;
    const char *slug, *agentapi_url, *binary, *bedrock;
    const char *socket_path, *agent_url, *agent_token, *agent_token_file;
};

static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static void set_if_given(json_t *env, const char *name, const char *value)
{
    if (is_given(value))
        json_object_set_new(env, name, json_string(value));
}

static bool is_socket(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/*
 * What the server must know even if its client gives it an environment of its own.  Tokens are not
 * written into files: the server has them from the environment, or from the file named here.
 */
static json_t *server_env(const struct claude_options *o)
{
    json_t *env = json_object();
    set_if_given(env, "CODER_MCP_APP_STATUS_SLUG", o->slug);
    set_if_given(env, "CODER_MCP_AI_AGENTAPI_URL", o->agentapi_url);
    set_if_given(env, "CODER_AGENT_SOCKET_PATH", o->socket_path);
    set_if_given(env, "CODER_AGENT_URL", o->agent_url);
    set_if_given(env, "CODER_AGENT_TOKEN_FILE", o->agent_token_file);
    return env;
}

static bool can_report(const struct claude_options *o)
{
    bool has_token = is_given(o->agent_token) || is_given(o->agent_token_file);
    return is_given(o->slug) && (is_given(o->socket_path) || is_socket(SERVE_SOCKET_INITIAL) ||
                                    (is_given(o->agent_url) && has_token));
}

static enum err write_claude(struct claude_options *o, struct errctx *ctx)
{
    scoped(strbuf_done) struct strbuf config, md;
    const char *home = getenv("HOME");
    strbuf_init(&config);
    strbuf_init(&md);
    strbuf_addf(&config, "%s/.claude.json", home != NULL ? home : "");
    strbuf_addf(&md, "%s/.claude/CLAUDE.md", home != NULL ? home : "");
    if (!is_given(o->conf.config_path))
        o->conf.config_path = config.s;
    if (!is_given(o->conf.md_path))
        o->conf.md_path = md.s;
    if (can_report(o))
        o->conf.report_prompt =
            "Keep the people who wait for this work informed: report with the tool "
            "\"coder_report_task\" as its description says.";
    enum err e = configure_claude(&o->conf, configure_server(o->binary, server_env(o)), ctx);
    if (e == ERR_OK) {
        fprintf(stderr, "Wrote config to %s\n", o->conf.config_path);
        e = configure_claude_md(&o->conf, ctx);
    }
    if (e == ERR_OK)
        fprintf(stderr, "Wrote CLAUDE.md to %s\n", o->conf.md_path);
    return e;
}

static int configure_claude_code(int argc, char **argv)
{
    struct claude_options o = {
        .conf.system_prompt = "When you are ready for input, say so by a status report, and wait."};
    const struct option_row rows[] = {
#define OPTION(flag, field, variables, help) {flag, variables, &o.field, help, false},
#include "agent/mcp/claude_option.def"
    };
    struct errctx ctx = {0};
    struct option_words words;
    bool wants_help;
    enum err e = options_read(argc, argv, rows, COUNT(rows), &words, &wants_help, &ctx);
    if (e == ERR_OK && wants_help) {
        fputs(CLAUDE_HELP "Flags:\n", stdout);
        options_print(stdout, rows, COUNT(rows));
        return 0;
    }
    if (e == ERR_OK && words.n != 1)
        e = err_set(&ctx, ERR_USAGE,
            words.n == 0 ? "project directory is required: where Claude Code is going to be run"
                         : "one project directory is enough, see --help");
    if (e == ERR_OK) {
        o.conf.project = words.words[0];
        e = write_claude(&o, &ctx);
    }
    return e == ERR_OK ? 0 : command_fail("mcp configure claude-code", e, &ctx);
}

/* ---- mcp configure claude-desktop, cursor ---- */

static int configure_one_file(const char *command, const char *directory, const char *name)
{
    struct errctx ctx = {0};
    scoped(strbuf_done) struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/%s", directory, name);
    enum err e = configure_json(path.s, configure_server(NULL, json_object()), &ctx);
    if (e != ERR_OK)
        return command_fail(command, e, &ctx);
    fprintf(stderr, "Wrote config to %s\n", path.s);
    return 0;
}

static int configure_claude_desktop(int argc, char **argv)
{
    if (argc > 1) {
        bool wants_help = strcmp(argv[1], "--help") == 0;
        fputs("Usage: coder exp mcp configure claude-desktop\n", wants_help ? stdout : stderr);
        return wants_help ? 0 : err_exit_status(ERR_USAGE);
    }
    const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    scoped(strbuf_done) struct strbuf directory;
    strbuf_init(&directory);
    if (base != NULL && base[0] == '/')
        strbuf_addstr(&directory, base);
    else
        strbuf_addf(&directory, "%s/.config", home != NULL ? home : "");
    return configure_one_file(
        "mcp configure claude-desktop", directory.s, "Claude/claude_desktop_config.json");
}

static int configure_cursor(int argc, char **argv)
{
    const char *project = NULL, *home = getenv("HOME");
    const struct option_row rows[] = {
        {"--project", "CODER_MCP_CURSOR_PROJECT", &project,
         "For the project in this directory, instead of for everything.", true},
    };
    struct errctx ctx = {0};
    struct option_words words;
    bool wants_help;
    enum err e = options_read(argc, argv, rows, COUNT(rows), &words, &wants_help, &ctx);
    if (e != ERR_OK || words.n > 0)
        return e != ERR_OK ? command_fail("mcp configure cursor", e, &ctx)
                           : usage("mcp configure cursor", "it takes no words, see --help");
    if (wants_help) {
        fputs("Usage: coder exp mcp configure cursor [FLAGS]\n\nFlags:\n", stdout);
        options_print(stdout, rows, COUNT(rows));
        return 0;
    }
    bool is_project =
        is_given(project) && strcmp(project, "false") != 0 && strcmp(project, "0") != 0;
    return configure_one_file("mcp configure cursor",
        is_project     ? "."
        : home != NULL ? home
                       : "",
        ".cursor/mcp.json");
}

/* ---- the tree of names ---- */

struct node {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

/* Runs the node that argv[1] names; else says what there is. */
static int choose(int argc, char **argv, const char *command, const struct node *nodes, size_t n)
{
    bool wants_help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    for (size_t i = 0; argc > 1 && i < n; i++)
        if (strcmp(argv[1], nodes[i].name) == 0)
            return nodes[i].run(argc - 1, argv + 1);
    FILE *out = wants_help ? stdout : stderr;
    if (!wants_help && argc > 1)
        fprintf(out, "%s: there is no \"%s\" here; there are:\n", command, argv[1]);
    else
        fprintf(out, "Usage: %s COMMAND [--help]\n\nCommands:\n", command);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "  %-15s %s\n", nodes[i].name, nodes[i].summary);
    return wants_help ? 0 : err_exit_status(ERR_USAGE);
}

static int mcp_configure(int argc, char **argv)
{
    static const struct node nodes[] = {
        {"claude-code",    configure_claude_code,    "Claude Code, for one project"       },
        {"claude-desktop", configure_claude_desktop, "Claude Desktop"                     },
        {"cursor",         configure_cursor,         "Cursor, for everything or a project"},
    };
    return choose(argc, argv, "coder exp mcp configure", nodes, COUNT(nodes));
}

int command_mcp(int argc, char **argv)
{
    static const struct node nodes[] = {
        {"server",    mcp_server,    "serve MCP on stdin and stdout"               },
        {"configure", mcp_configure, "make this the MCP server of an agent program"},
    };
    return choose(argc, argv, "coder exp mcp", nodes, COUNT(nodes));
}

int command_exp(int argc, char **argv)
{
    static const struct node nodes[] = {
        {"mcp", command_mcp, "the MCP server, and its configuration"},
    };
    return choose(argc, argv, "coder exp", nodes, COUNT(nodes));
}

/* ---- the name `coder` ---- */

static int coder_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    puts("Coder " CODER_VERSION "\n"
         "This is stint-agent " STINT_VERSION
         ", which stands in for Coder's command line inside a workspace of Stint.");
    return 0;
}

/* Recipes for agents log in before they report; here the workspace's agent reports for them. */
static int coder_login(int argc, char **argv)
{
    (void)argv;
    const char *socket_path = getenv("CODER_AGENT_SOCKET_PATH");
    if (argc == 1 && serve_finds_agent(socket_path)) {
        puts("Nothing to do: inside this workspace agents report without logging in.");
        return 0;
    }
    return usage("login",
        "logging in is not done by this program: run `stint login URL` where stint is installed, "
        "or set CODER_URL and CODER_SESSION_TOKEN");
}

int command_coder(int argc, char **argv)
{
    static const struct node nodes[] = {
        {"exp",     command_exp,   "exp mcp server, exp mcp configure …"      },
        {"login",   coder_login,   "says that no login is needed here to report"},
        {"version", coder_version, "print the version"                          },
    };
    if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-v") == 0))
        return coder_version(argc, argv);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        puts("stint-agent " STINT_VERSION " in the place of Coder's command line: what agents in a "
             "workspace of\nStint call.  People use the program `stint`.\n");
    return choose(argc, argv, "coder", nodes, COUNT(nodes));
}
