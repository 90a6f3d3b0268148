/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of what runs in the workspace, later settings over earlier ones. */
#include "agent/app_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

#define PORT_WORD "${AGENTAPI_PORT}"

/* The last element of env->v is the NULL, but while it is being built. */
static void set(struct app_env *env, const char *name, const char *value)
{
    struct strbuf pair;
    strbuf_init(&pair);
    strbuf_addf(&pair, "%s=", name);
    size_t n = pair.len;
    strbuf_addstr(&pair, value);
    for (size_t i = 0; i < env->v.n; i++)
        if (env->v.v[i] != NULL && strncmp(env->v.v[i], pair.s, n) == 0) {
            free(env->v.v[i]);
            env->v.v[i] = strbuf_detach(&pair);
            return;
        }
    *vec_push(&env->v) = strbuf_detach(&pair);
}

static void begin(struct app_env *env)
{
    while (env->v.n > 0 && env->v.v[env->v.n - 1] == NULL)
        env->v.n--;
}

static void end(struct app_env *env)
{
    *vec_push(&env->v) = NULL;
}

const char *app_env_get(const struct app_env *env, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < env->v.n; i++)
        if (env->v.v[i] != NULL && strncmp(env->v.v[i], name, n) == 0 && env->v.v[i][n] == '=')
            return env->v.v[i] + n + 1;
    return NULL;
}

char *app_env_expand(const struct manifest *m, const char *text)
{
    struct strbuf out;
    strbuf_init(&out);
    const char *word;
    while (m->agentapi.is_on && (word = strstr(text, PORT_WORD)) != NULL) {
        strbuf_add(&out, text, (size_t)(word - text));
        strbuf_addf(&out, "%lld", (long long)m->agentapi.port);
        text = word + strlen(PORT_WORD);
    }
    strbuf_addstr(&out, text);
    return strbuf_detach(&out);
}

/* ---- what is in it ---- */

/* What the agent itself was given: of a container, the image's and the template's. */
static void set_inherited(struct app_env *env)
{
    for (char **pair = environ; *pair != NULL; pair++) {
        scoped_free char *name = mem_strdup(*pair);
        char *value = strchr(name, '=');
        if (value == NULL || value == name)
            continue;
        *value++ = '\0';
        set(env, name, value);
    }
}

static void set_initial(struct app_env *env)
{
    set(env, "HOME", "/home/agent");
    set(env, "USER", "agent");
    set(env, "PATH",
        "/home/agent/.local/bin:/opt/stint/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:"
        "/usr/sbin:/sbin");
    set(env, "LANG", "C.UTF-8");
    set(env, "TERM", "dumb");
}

static void set_pairs(
    struct app_env *env, const struct manifest *m, const struct env_pair *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        scoped_free char *value = app_env_expand(m, v[i].value);
        set(env, v[i].name, value);
    }
}

static void set_task(struct app_env *env, const struct manifest *m, const char *control_path)
{
    struct uuid_str task_id = uuid_format(&m->task_id);
    struct uuid_str workspace_id = uuid_format(&m->workspace_id);
    const char *const rows[][2] = {
        {"STINT_TASK_ID",              task_id.s        },
        {"STINT_TASK_NAME",            m->task_name     },
        {"STINT_AGENT_SOCKET",         control_path     },
        {"CODER",                      "true"           },
        {"CODER_AGENT_SOCKET_PATH",    control_path     },
        {"CODER_AGENT_TOKEN",          m->agent_token   },
        {"CODER_MCP_APP_STATUS_SLUG",  m->app_slug      },
        {"CODER_TASK_ID",              task_id.s        },
        {"CODER_WORKSPACE_AGENT_NAME", "main"           },
        {"CODER_WORKSPACE_ID",         workspace_id.s   },
        {"CODER_WORKSPACE_NAME",       m->workspace_name},
        {"CODER_WORKSPACE_OWNER_NAME", m->owner_name    },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        set(env, rows[i][0], rows[i][1]);
}

/* A path in the home of whom it is for. */
static void set_at_home(struct app_env *env, const char *name, const char *file)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/%s", app_env_get(env, "HOME"), file);
    set(env, name, path.s);
    strbuf_done(&path);
}

static void set_agentapi(struct app_env *env, const struct manifest *m)
{
    scoped_free char *port = app_env_expand(m, PORT_WORD);
    scoped_free char *url = app_env_expand(m, "http://localhost:" PORT_WORD);
    set(env, "AGENTAPI_PORT", port);
    set(env, "AGENTAPI_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]");
    set(env, "CODER_MCP_AI_AGENTAPI_URL", url);
    set_at_home(env, "AGENTAPI_PID_FILE", ".stint/agentapi.pid");
    if (!m->agentapi.keeps_state)
        return;
    set_at_home(env, "AGENTAPI_STATE_FILE", ".stint/agentapi-state.json");
    set(env, "AGENTAPI_SAVE_STATE", "true");
    set(env, "AGENTAPI_LOAD_STATE", "true");
}

void app_env_init(struct app_env *env, const struct manifest *m, const struct env_pairs *more,
    const char *control_path)
{
    *env = (struct app_env){0};
    set_initial(env);
    if (m->inherits_env)
        set_inherited(env);
    set_pairs(env, m, m->env, m->n_env);
    set_pairs(env, m, m->secrets.v, m->secrets.n);
    if (more != NULL)
        set_pairs(env, m, more->v, more->n);
    for (size_t i = 0; i < m->parameters.n; i++)
        set(env, m->parameters.v[i].name, m->parameters.v[i].value);
    set_task(env, m, control_path);
    if (m->agentapi.is_on && !m->inherits_env)
        set_agentapi(env, m);
    end(env);
}

void app_env_add_prompt(struct app_env *env, const char *prompt, const char *prompt_file)
{
    begin(env);
    if (prompt_file != NULL)
        set(env, "STINT_PROMPT_FILE", prompt_file);
    if (strlen(prompt) <= PROMPT_IN_ENV_MAX)
        set(env, "CODER_TASK_PROMPT", prompt);
    end(env);
}

void app_env_done(struct app_env *env)
{
    for (size_t i = 0; i < env->v.n; i++)
        free(env->v.v[i]);
    vec_done(&env->v);
}
