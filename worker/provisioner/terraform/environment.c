/* SPDX-License-Identifier: Apache-2.0 */
/* environment.c - variables by the table, parameters by the hash of their names. */
#include "worker/provisioner/terraform/environment.h"

#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "worker/file.h"
#include "worker/provisioner/terraform/init_script.h"
#include "worker/provisioner/terraform/start.h"

#define SECRET_BYTES_MIN 6  /* shorter ones would blot out ordinary words */
#define PROMPT_BYTES_MIN 16 /* likewise */
#define NO_TASK          "00000000-0000-0000-0000-000000000000"
#define SOME_TASK        "5717a5c0-0000-4000-8000-000000000000"
#define LEGACY_PROMPT    "AI Prompt"

/* ---- what is Terraform's ---- */

/* Of the worker's own environment: how to get out of the house, and what the setting terraform_env
 * names. */
static void add_passed(struct run *r)
{
    static const char *const always[] = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy",
        "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"};
    for (size_t i = 0; i < COUNT(always); i++)
        if (getenv(always[i]) != NULL)
            environment_add(&r->env, always[i], "%s", getenv(always[i]));
    for (const char *p = r->tf->pass; *p != '\0';) {
        size_t n = strcspn(p, ", ");
        char name[128];
        snprintf(name, sizeof(name), "%.*s", (int)n, p);
        if (n > 0 && n < sizeof(name) && getenv(name) != NULL)
            environment_add(&r->env, name, "%s", getenv(name));
        p += n;
        p += strspn(p, ", ");
    }
}

static void add_terraform(struct run *r)
{
    const char *dir = start_inner_dir(r);
    environment_add(
        &r->env, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    environment_add(&r->env, "LANG", "C.UTF-8");
    environment_add(&r->env, "HOME", "%s/home", dir);
    environment_add(&r->env, "TMPDIR", "%s/tmp", dir);
    environment_add(&r->env, "TF_IN_AUTOMATION", "1");
    environment_add(&r->env, "TF_INPUT", "0");
    environment_add(&r->env, "CHECKPOINT_DISABLE", "1");
    environment_add(&r->env, "TF_CLI_CONFIG_FILE", "%s/home/terraform.rc", dir);
    environment_add(&r->env, "TF_PLUGIN_CACHE_DIR", "%s/plugins", r->tf->root);
    environment_add(&r->env, "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE", "1");
    add_passed(r);
}

/* ---- what is the provider's ---- */

/* [{"name": ..., "org_id": ""}], of a list of names. */
static char *roles_json(const char *names)
{
    json_t *in = json_loads(names, 0, NULL), *out = json_array();
    size_t i;
    json_t *name;
    json_array_foreach(in, i, name)
        json_array_append_new(out, json_pack("{s:O, s:s}", "name", name, "org_id", ""));
    char *text = json_dumps(out, JSON_COMPACT);
    json_decref(in);
    json_decref(out);
    return text;
}

static void add_owner(struct run *r)
{
    static const struct {
        const char *name, *fact;
    } rows[] = {
        {"CODER_WORKSPACE_OWNER",            "owner_name"      },
        {"CODER_WORKSPACE_OWNER_ID",         "owner_id"        },
        {"CODER_WORKSPACE_OWNER_EMAIL",      "owner_email"     },
        {"CODER_WORKSPACE_OWNER_NAME",       "owner_full_name" },
        {"CODER_WORKSPACE_OWNER_LOGIN_TYPE", "owner_login_type"},
        {"CODER_WORKSPACE_TEMPLATE_ID",      "template_id"     },
        {"CODER_WORKSPACE_TEMPLATE_NAME",    "template_name"   },
        {"CODER_WORKSPACE_TEMPLATE_VERSION", "template_version"},
    };
    /* Stint has none of these; the provider takes an empty one for "there is none". */
    static const char *const empty[] = {"CODER_WORKSPACE_OWNER_OIDC_ACCESS_TOKEN",
        "CODER_WORKSPACE_OWNER_SSH_PUBLIC_KEY", "CODER_WORKSPACE_OWNER_SSH_PRIVATE_KEY",
        "CODER_WORKSPACE_OWNER_SESSION_TOKEN"};
    for (size_t i = 0; i < COUNT(rows); i++)
        environment_add(&r->env, rows[i].name, "%s", job_fact(r->spec, rows[i].fact));
    for (size_t i = 0; i < COUNT(empty); i++)
        environment_add(&r->env, empty[i], "%s", "");
    scoped_free char *roles = roles_json(job_fact(r->spec, "owner_roles"));
    environment_add(&r->env, "CODER_WORKSPACE_OWNER_GROUPS", "%s", "[]");
    environment_add(&r->env, "CODER_WORKSPACE_OWNER_RBAC_ROLES", "%s", roles);
}

/* As the provider names them: by the SHA-256 of what they are called. */
static void add_hashed(struct run *r, const char *prefix, const char *name, const char *value)
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof(hash) + 1], full[160];
    crypto_hash_sha256(hash, (const uint8_t *)name, strlen(name));
    sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
    snprintf(full, sizeof(full), "%s%s", prefix, hex);
    environment_add(&r->env, full, "%s", value);
}

static const char *prompt_of(const struct job_spec *spec)
{
    return spec->prompt[0] != '\0' ? spec->prompt : job_fact(spec, "prompt");
}

static void add_parameters(struct run *r)
{
    static const char previous[] = "previous.";
    bool has_legacy = false;
    for (size_t i = 0; i < r->spec->n_parameters; i++) {
        const struct job_text *p = &r->spec->parameters[i];
        bool is_legacy = strcmp(p->name, LEGACY_PROMPT) == 0;
        if (is_legacy && p->value[0] == '\0')
            continue; /* its default */
        add_hashed(r, "CODER_PARAMETER_", p->name, p->value);
        has_legacy = has_legacy || is_legacy;
    }
    for (size_t i = 0; i < r->spec->n_facts; i++) {
        const struct job_text *f = &r->spec->facts[i];
        if (strncmp(f->name, previous, sizeof(previous) - 1) == 0)
            add_hashed(r, "CODER_PARAMETER_PREVIOUS_", f->name + sizeof(previous) - 1, f->value);
    }
    /* Templates from before Coder 2.28 have the prompt from a parameter of this name. */
    if (!has_legacy && r->spec->kind != JOB_IMPORT)
        add_hashed(r, "CODER_PARAMETER_", LEGACY_PROMPT, prompt_of(r->spec));
}

static void add_secret(struct run *r, const char *text, size_t bytes_min)
{
    if (strlen(text) >= bytes_min)
        *vec_push(&r->secrets) = text;
}

static void add_variables(struct run *r)
{
    static const char variable[] = "variable.";
    for (size_t i = 0; i < r->spec->n_facts; i++) {
        const struct job_text *f = &r->spec->facts[i];
        if (strncmp(f->name, variable, sizeof(variable) - 1) != 0)
            continue;
        char name[300];
        snprintf(name, sizeof(name), "TF_VAR_%s", f->name + sizeof(variable) - 1);
        environment_add(&r->env, name, "%s", f->value);
        add_secret(r, f->value, SECRET_BYTES_MIN);
    }
}

static void add_workspace(struct run *r)
{
    const struct job_spec *s = r->spec;
    environment_add(&r->env, "CODER_WORKSPACE_ID", "%s", uuid_format(&s->workspace_id).s);
    environment_add(&r->env, "CODER_WORKSPACE_NAME", "%s", s->workspace_name);
    environment_add(&r->env, "CODER_WORKSPACE_BUILD_ID", "%s", uuid_format(&s->build_id).s);
    environment_add(&r->env, "CODER_TASK_ID", "%s", uuid_format(&s->task_id).s);
    environment_add(&r->env, "CODER_TASK_PROMPT", "%s", prompt_of(s));
    add_secret(r, prompt_of(s), PROMPT_BYTES_MIN);
    /* The agent's token is the scheduler's, so that it is good from the first moment on; this is
     * how the provider is told to take it over. */
    if (s->agent_token[0] != '\0') {
        add_hashed(r, "CODER_RUNNING_WORKSPACE_AGENT_TOKEN_", "", s->agent_token);
        add_secret(r, s->agent_token, SECRET_BYTES_MIN);
    }
}

static void add_agent(struct run *r)
{
    static const char *const arches[] = {"amd64", "arm64"};
    environment_add(&r->env, "CODER_AGENT_URL", "%s", r->tf->access_url);
    for (size_t i = 0; i < COUNT(arches); i++) {
        char name[64];
        snprintf(name, sizeof(name), "CODER_AGENT_SCRIPT_linux_%s", arches[i]);
        environment_add(&r->env, name, "%s", terraform_init_script("linux", arches[i]));
    }
}

void environment_fill(struct run *r, const char *transition, bool as_task)
{
    environment_done(&r->env);
    vec_clear(&r->secrets);
    add_terraform(r);
    add_owner(r);
    add_agent(r);
    add_variables(r);
    add_parameters(r);
    environment_add(&r->env, "CODER_WORKSPACE_TRANSITION", "%s", transition);
    if (r->spec->kind != JOB_IMPORT)
        add_workspace(r);
    else
        environment_add(&r->env, "CODER_TASK_ID", "%s", as_task ? SOME_TASK : NO_TASK);
}

/* ---- Terraform's settings ---- */

enum err environment_write_config(const struct run *r, struct errctx *ctx)
{
    struct strbuf b;
    char home[1100];
    const char *mirror = r->tf->mirror;
    scoped_fd int fd = -1;
    const struct file_write how = {.mode = 0600};
    strbuf_init(&b);
    strbuf_addstr(&b, "disable_checkpoint = true\n");
    if (mirror != NULL && mirror[0] == '/')
        strbuf_addf(&b,
            "provider_installation {\n  filesystem_mirror {\n    path = \"%s\"\n  }\n}\n", mirror);
    else if (mirror != NULL)
        strbuf_addf(
            &b, "provider_installation {\n  network_mirror {\n    url = \"%s\"\n  }\n}\n", mirror);
    snprintf(home, sizeof(home), "%s/home", r->place.dir);
    enum err e = file_open_dir(AT_FDCWD, home, &fd, ctx);
    if (e == ERR_OK)
        e = file_write(fd, "terraform.rc", b.s, b.len, &how, ctx);
    strbuf_done(&b);
    return e;
}
