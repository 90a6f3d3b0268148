/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn_env.h - the environment of the command: nothing of the agent's own leaks into it.
 *
 * HOME, USER, PATH, LANG and TERM have initial values that the template may set otherwise; the
 * names of the task (STINT_*, CODER_*) are set last and are always true.
 */
#ifndef AGENT_TURN_ENV_H
#define AGENT_TURN_ENV_H

#include "agent/manifest.h"
#include "core/base/vec.h"

/* A larger text is not handed over in the environment (execve bounds one at 128 KiB). */
#define PROMPT_IN_ENV_MAX (96 * 1024)

struct turn_env {
    VEC(char *) v; /* NULL at the end */
};

/* `prompt`: what this turn is about. */
void turn_env_init(struct turn_env *env, const struct manifest *m, const char *prompt,
    const char *prompt_file, const char *control_path);
void turn_env_done(struct turn_env *env);

#endif
