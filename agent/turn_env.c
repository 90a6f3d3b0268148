/* SPDX-License-Identifier: Apache-2.0 */
/* The command's environment, later settings over earlier ones. */
#include "agent/turn_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/strbuf.h"

static void set(struct turn_env *env, const char *name, const char *value)
{
    struct strbuf pair;
    strbuf_init(&pair);
    strbuf_addf(&pair, "%s=", name);
    size_t n = pair.len;
    strbuf_addstr(&pair, value);
    for (size_t i = 0; i < env->v.n; i++)
        if (strncmp(env->v.v[i], pair.s, n) == 0) {
            free(env->v.v[i]);
            env->v.v[i] = strbuf_detach(&pair);
            return;
        }
    *vec_push(&env->v) = strbuf_detach(&pair);
}

void turn_env_init(struct turn_env *env, const struct manifest *m, const char *prompt,
    const char *prompt_file, const char *control_path)
{
    *env = (struct turn_env){0};
    set(env, "HOME", "/home/agent");
    set(env, "USER", "agent");
    set(env, "PATH", "/opt/stint/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin");
    set(env, "LANG", "C.UTF-8");
    set(env, "TERM", "dumb");
    for (size_t i = 0; i < m->n_env; i++)
        set(env, m->env[i].name, m->env[i].value);

    struct uuid_str task_id = uuid_format(&m->task_id);
    const char *const rows[][2] = {
        {"STINT_TASK_ID",              task_id.s        },
        {"STINT_TASK_NAME",            m->task_name     },
        {"STINT_PROMPT_FILE",          prompt_file      },
        {"STINT_AGENT_SOCKET",         control_path     },
        {"CODER_TASK_ID",              task_id.s        },
        {"CODER_WORKSPACE_NAME",       m->workspace_name},
        {"CODER_WORKSPACE_OWNER_NAME", m->owner_name    },
        {"CODER_AGENT_TOKEN",          m->agent_token   },
        {"CODER_MCP_APP_STATUS_SLUG",  m->app_slug      },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        set(env, rows[i][0], rows[i][1]);
    if (strlen(prompt) <= PROMPT_IN_ENV_MAX)
        set(env, "CODER_TASK_PROMPT", prompt);
    *vec_push(&env->v) = NULL;
}

void turn_env_done(struct turn_env *env)
{
    for (size_t i = 0; i < env->v.n; i++)
        free(env->v.v[i]);
    vec_done(&env->v);
}
