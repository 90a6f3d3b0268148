/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app_env.h - the environment of scripts, apps and turns: nothing of the agent's own leaks into it.
 *
 * Later settings over earlier ones:
 *
 *   HOME USER PATH LANG TERM       initial values, which the template may set otherwise
 *   the agent's own environment    with inherits_env
 *   the manifest's env             from the template
 *   the secrets
 *   the app's own env
 *   STINT_*, CODER_*, CODER=true   the task; always true
 *   AGENTAPI_*                     with AgentAPI: the built-in server and the real one read the
 *                                  same variables; with inherits_env templates set their own
 *
 * In values of env the word ${AGENTAPI_PORT} stands for AgentAPI's port.
 */
#ifndef AGENT_APP_ENV_H
#define AGENT_APP_ENV_H

#include "agent/manifest.h"
#include "core/base/vec.h"

/* A larger text is not handed over in the environment (execve bounds one at 128 KiB). */
#define PROMPT_IN_ENV_MAX (96 * 1024)

struct app_env {
    VEC(char *) v; /* NULL at the end */
};

/* `more`: of the app; NULL: none.  `control_path`: of the agent's socket. */
void app_env_init(struct app_env *env, const struct manifest *m, const struct env_pairs *more,
    const char *control_path);
/* What a turn, or an app that gets its prompt itself, is about: CODER_TASK_PROMPT, and
 * STINT_PROMPT_FILE unless that is NULL. */
void app_env_add_prompt(struct app_env *env, const char *prompt, const char *prompt_file);
void app_env_done(struct app_env *env);

/* NULL when it is not set. */
const char *app_env_get(const struct app_env *env, const char *name);

/* `text` with AgentAPI's port in it; the caller frees it. */
char *app_env_expand(const struct manifest *m, const char *text);

#endif
