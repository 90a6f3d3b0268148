/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flags.h - the command line of `stint-agent agentapi`, as rows (flag.def).
 *
 * A value comes from, in falling order: a flag, the environment (AGENTAPI_<NAME>), the row.
 */
#ifndef AGENT_AGENTAPI_FLAGS_H
#define AGENT_AGENTAPI_FLAGS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/agentapi/agent_type.h"
#include "core/base/err.h"
#include "core/base/strbuf.h"

/* Text of flags and of the environment is borrowed. */
struct flags {
    const char *type, *listen, *prompt, *hosts, *origins, *chat_base_path, *state_file, *pid_file;
    int64_t port, width, height;
    int64_t load_state, save_state, print_openapi, acp; /* -1: nobody said */

    char *const *command; /* NULL: none was given */
    bool wants_help;

    /* Made from them. */
    enum agent_type agent_type;
    struct strbuf host_list, origin_list;
};

/* argv[0] is skipped, and so is the word "server" behind it; "--" or the first word that is no flag
 * begins the command.  ERR_USAGE with a sentence. */
enum err must_check flags_parse(int argc, char **argv, struct flags *f, struct errctx *ctx);
void flags_done(struct flags *f);

void flags_help(struct strbuf *out);

#endif
