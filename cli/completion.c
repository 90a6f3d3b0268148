/* SPDX-License-Identifier: Apache-2.0 */
/* completion.c - `stint completion bash`, `stint version`: what the tree says about itself. */
#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"

#include <string.h>

/* ---- completion ---- */

static void print_words(FILE *f, const struct command *c)
{
    const struct flag *flag;
    for (const struct command *const *k = c->children; k != NULL && *k != NULL; k++)
        fprintf(f, "%s ", (*k)->name);
    for (size_t i = 0; (flag = command_flag_at(c, i)) != NULL; i++)
        fprintf(f, "--%s ", flag->name);
}

/* One case for each command: its path -> the words that may follow. */
static void print_cases(FILE *f, const struct command *c, const char *path)
{
    fprintf(f, "            '%s') words='", path);
    print_words(f, c);
    fputs("'; break ;;\n", f);
    for (const struct command *const *k = c->children; k != NULL && *k != NULL; k++) {
        struct strbuf deeper;
        strbuf_init(&deeper);
        strbuf_addf(&deeper, "%s %s", path, (*k)->name);
        print_cases(f, *k, deeper.s);
        strbuf_done(&deeper);
    }
}

static enum err run_bash(struct cli *cli, const struct call *call)
{
    (void)call;
    fputs("# bash completion of stint\n"
          "_stint() {\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} path=stint words='' i\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        [[ ${COMP_WORDS[i]} == -* ]] || path+=\" ${COMP_WORDS[i]}\"\n"
          "    done\n"
          "    while :; do\n"
          "        case $path in\n",
        cli->out);
    print_cases(cli->out, &stint_root, "stint");
    fputs("        esac\n"
          "        path=${path% *}\n"
          "    done\n"
          "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
          "}\n"
          "complete -o default -F _stint stint\n",
        cli->out);
    return ERR_OK;
}

static const struct example bash_examples[] = {
    EXAMPLE("In this shell", "eval \"$(stint completion bash)\""),
    EXAMPLE("In every shell",
        "stint completion bash >~/.local/share/bash-completion/completions/stint"),
    {0},
};

static const struct command bash_command = {
    .name = "bash",
    .summary = "Print completion for bash.",
    .examples = bash_examples,
    .run = run_bash,
};

static const struct command *const completions[] = {&bash_command, NULL};

const struct command completion_command = {
    .name = "completion",
    .summary = "Completion for shells.",
    .children = completions,
};

/* ---- version ---- */

static enum err run_version(struct cli *cli, const struct call *call)
{
    if (call_wants_json(call)) {
        scoped(json_unrefp) json_t *v = json_pack("{s:s}", "version", STINT_VERSION);
        table_print_json(cli, v);
    } else {
        fprintf(cli->out, "stint %s\n", STINT_VERSION);
    }
    return ERR_OK;
}

static const struct example version_examples[] = {
    EXAMPLE("For scripts", "stint version --json"),
    {0},
};

const struct command version_command = {
    .name = "version",
    .summary = "Show the version of this program.",
    .traits = COMMAND_PRINTS_DATA,
    .examples = version_examples,
    .run = run_version,
};
