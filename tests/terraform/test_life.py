# SPDX-License-Identifier: Apache-2.0
"""A template of Coder's, with the real provider: import, start, stop, start again, delete."""

import glob
import hashlib
import os

from lib import terraform

# Every variable that the provider reads (its workspace, owner, task, agent, parameter).
TOLD = {
    "transition": "data.coder_workspace.me.transition",
    "start_count": "data.coder_workspace.me.start_count",
    "workspace_id": "data.coder_workspace.me.id",
    "workspace_name": "data.coder_workspace.me.name",
    "template_id": "data.coder_workspace.me.template_id",
    "template_name": "data.coder_workspace.me.template_name",
    "template_version": "data.coder_workspace.me.template_version",
    "access_url": "data.coder_workspace.me.access_url",
    "owner": "data.coder_workspace_owner.me.name",
    "owner_id": "data.coder_workspace_owner.me.id",
    "owner_email": "data.coder_workspace_owner.me.email",
    "owner_full_name": "data.coder_workspace_owner.me.full_name",
    "login_type": "data.coder_workspace_owner.me.login_type",
    "groups": "data.coder_workspace_owner.me.groups",
    "roles": "data.coder_workspace_owner.me.rbac_roles",
    "task_id": "data.coder_task.me.id",
    "task_enabled": "data.coder_task.me.enabled",
    "prompt": "data.coder_task.me.prompt",
    "size": "data.coder_parameter.size.value",
    "agent_token": "nonsensitive(coder_agent.main.token)",
    "init_script": "coder_agent.main.init_script",
}

PARAMETERS = """
data "coder_parameter" "size" {
  name         = "size"
  display_name = "Size"
  type         = "string"
  default      = "small"
  mutable      = true
  option {
    name  = "Small"
    value = "small"
  }
  option {
    name  = "Large"
    value = "large"
  }
}
data "coder_parameter" "count" {
  name    = "count"
  type    = "number"
  default = 3
  order   = -1
  validation {
    min = 1
    max = 9
  }
}
data "coder_workspace_preset" "big" {
  name       = "Big"
  default    = true
  parameters = { size = "large" }
}
data "coder_external_auth" "git" {
  id       = "github"
  optional = true
}
variable "api_key" {
  type      = string
  sensitive = true
  default   = "no key"
}
resource "coder_script" "hello" {
  agent_id     = coder_agent.main.id
  display_name = "Hello"
  script       = "echo hello"
  run_on_start = true
}
resource "coder_env" "greeting" {
  agent_id = coder_agent.main.id
  name     = "GREETING"
  value    = "hello"
}
resource "coder_metadata" "home" {
  resource_id = terraform_data.home.id
  icon        = "/icon/home.svg"
  daily_cost  = 3
  item {
    key   = "colour"
    value = "blue"
  }
}
"""


def test_an_import_tells_what_the_template_is(cluster, api, world):
    """Goal: parameters, presets, apps, resources, variables, external auth, as Coder's routes show
    them."""
    files = terraform.host(world, extra=PARAMETERS)
    _, version = terraform.push(api, "told", files)
    assert cluster.sql_one("SELECT has_ai_task, app_slug FROM template_versions WHERE id = %s",
                           version["id"]) == (True, "chat")
    parameters = api.get(f"/templateversions/{version['id']}/rich-parameters", expect=200).json()
    assert [p["name"] for p in parameters] == ["count", "size"], parameters
    assert (parameters[0]["validation_min"], parameters[0]["validation_max"]) == (1, 9), parameters
    assert [o["value"] for o in parameters[1]["options"]] == ["small", "large"], parameters
    presets = api.get(f"/templateversions/{version['id']}/presets", expect=200).json()
    assert [p["Name"] for p in presets] == ["Big"], presets
    resources, auth = cluster.sql_one(
        "SELECT resources, external_auth FROM template_versions WHERE id = %s", version["id"])
    assert auth == [{"id": "github", "optional": True}]
    by_address = {r["address"]: r for r in resources}
    assert by_address["terraform_data.home"]["ephemeral"] is False, by_address
    assert by_address["terraform_data.piece[0]"]["ephemeral"] is True, by_address
    assert by_address["terraform_data.home"]["icon"] == "/icon/home.svg", by_address
    assert cluster.sql("SELECT name, sensitive, required, default_value "
                       "FROM template_version_variables WHERE template_version_id = %s",
                       version["id"]) == [("api_key", True, False, "no key")]
    stages = {line["stage"] for line in
              api.get(f"/templateversions/{version['id']}/logs", expect=200).json()}
    assert {"Setting up", "Initializing Terraform Directory", "Detecting persistent resources",
            "Detecting ephemeral resources", "Cleaning Up"} <= stages, stages


def test_a_task_lives_and_leaves_nothing(cluster, api, world):
    """Goal: start, pause, resume, delete change the world as the template says; the state is kept,
    encrypted, its last few versions alone; the provider was told all that it reads."""
    told = {k: v for k, v in TOLD.items() if k != "build_id"}
    files = terraform.host(world, n=2, extra=PARAMETERS + terraform.outputs_file(world, told))
    template, version = terraform.push(api, "whole", files)
    preset = api.get(f"/templateversions/{version['id']}/presets", expect=200).json()[0]["ID"]
    task = api.create(template, "say hello to the world, please", template_version_preset_id=preset)
    terraform.wait_build(api, task, "start", "succeeded")
    workspace = task["workspace_id"]
    here = lambda: sorted(os.path.basename(p) for p in glob.glob(f"{world}/{workspace}.*"))
    assert here() == [f"{workspace}.0", f"{workspace}.1", f"{workspace}.home"]
    said = terraform.read_told(world, workspace, "start")
    token = cluster.sql_one("SELECT auth_token::text FROM agents WHERE workspace_id = %s",
                            workspace)[0]
    me = api.me()
    expected = {
        "transition": "start", "start_count": 1, "workspace_id": workspace,
        "workspace_name": task["name"], "template_id": template.id, "template_name": "whole",
        "template_version": version["name"], "owner": me["username"], "owner_id": me["id"],
        "owner_email": me["email"], "owner_full_name": me["name"] or "default",
        "login_type": "password", "task_id": task["id"], "task_enabled": True,
        "prompt": "say hello to the world, please", "size": "large", "agent_token": token,
    }
    assert {k: said[k] for k in expected} == expected
    assert "stint-agent" in said["init_script"], said["init_script"][:200]
    assert said["roles"][0]["name"], said["roles"]

    agent, resources = cluster.sql_one(
        "SELECT r.agent, r.resources FROM build_resources r JOIN builds b ON b.id = r.build_id "
        "WHERE b.workspace_id = %s", workspace)
    assert agent["name"] == "main" and agent["env"] == {"GREETING": "hello"}, agent
    assert [s["display_name"] for s in agent["scripts"]] == ["Hello"], agent
    assert agent["apps"][0]["healthcheck"]["threshold"] == 20 and agent["task_app"] == "chat", agent
    pieces = [r for r in resources if r["name"] == "piece"]
    assert len(pieces) == 2 and pieces[0]["agents"] == ["main"], resources

    state = cluster.sql("SELECT version, data FROM workspace_states WHERE workspace_id = %s", workspace)
    assert 1 <= len({v for v, _ in state}) <= 5, [v for v, _ in state]
    assert not any(b"terraform" in bytes(data) or token.encode() in bytes(data) for _, data in state)

    api.pause(task)
    terraform.wait_build(api, task, "stop", "succeeded")
    assert here() == [f"{workspace}.home"], terraform.build_logs(api, task)
    assert terraform.read_told(world, workspace, "stop")["start_count"] == 0
    api.resume(task)
    terraform.wait_build(api, task, "start", "succeeded")
    assert here() == [f"{workspace}.0", f"{workspace}.1", f"{workspace}.home"]
    # The agent is another one, and the provider has its token, not the first one's.
    again = cluster.sql_one("SELECT a.auth_token::text FROM agents a JOIN workspaces w "
                            "ON w.latest_agent_id = a.id WHERE w.id = %s", workspace)[0]
    assert again != token
    assert terraform.read_told(world, workspace, "start")["agent_token"] == again
    api.remove(task)
    terraform.wait_deleted(cluster, task)
    assert here() == []
    assert cluster.sql("SELECT 1 FROM workspace_states WHERE workspace_id = %s", workspace) == []
    assert os.listdir(f"{cluster.data_dir}/terraform/work") == []


def test_a_task_that_is_gated_on_being_one(cluster, api, world):
    """Goal: coder_ai_task with count = enabled, as the provider's own example has it, makes a template
    of tasks."""
    files = terraform.host(world)
    files["main.tf"] = files["main.tf"].replace(
        "count  = data.coder_workspace.me.start_count\n  app_id",
        "count  = data.coder_task.me.enabled ? data.coder_workspace.me.start_count : 0\n  app_id")
    _, version = terraform.push(api, "gated", files)
    assert cluster.sql_one("SELECT has_ai_task, app_slug FROM template_versions WHERE id = %s",
                           version["id"]) == (True, "chat")


MODULE = """
variable "agent_id" { type = string }
variable "web" {
  type    = bool
  default = true
}
resource "coder_app" "web" {
  count    = var.web ? 1 : 0
  agent_id = var.agent_id
  slug     = "ccw"
  url      = "http://localhost:3284/"
}
resource "coder_app" "cli" {
  agent_id = var.agent_id
  slug     = "cli"
  command  = "true"
}
output "task_app_id" { value = var.web ? coder_app.web[0].id : "" }
terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}
"""


def test_the_tasks_app_is_found_through_modules(cluster, api, world):
    """Goal: app_id = a module's output, itself a module's output, with a choice and an index."""
    outer = ('module "inner" {\n  source = "./inner"\n  agent_id = var.agent_id\n}\n'
             'variable "agent_id" { type = string }\n'
             'output "task_app_id" { value = module.inner.task_app_id }\n')
    main = terraform.REQUIRED + terraform.AGENT + """
module "claude-code" {
  source   = "./claude-code"
  count    = data.coder_workspace.me.start_count
  agent_id = coder_agent.main.id
}
resource "coder_ai_task" "task" {
  count  = data.coder_workspace.me.start_count
  app_id = module.claude-code[count.index].task_app_id
}
"""
    _, version = terraform.push(api, "modules", {
        "main.tf": main, "claude-code/main.tf": outer, "claude-code/inner/main.tf": MODULE})
    assert cluster.sql_one("SELECT app_slug FROM template_versions WHERE id = %s",
                           version["id"]) == ("ccw",)


def test_an_old_template_with_its_prompt_in_a_parameter(cluster, api, world):
    """Goal: "AI Prompt" of before 2.28, with sidebar_app: it works, and the log says how to migrate."""
    files = terraform.host(world, extra="""
data "coder_parameter" "prompt" {
  name = "AI Prompt"
  type = "string"
}
""" + terraform.outputs_file(world, {"prompt": "data.coder_parameter.prompt.value"}))
    files["main.tf"] = files["main.tf"].replace(
        "app_id = coder_app.chat.id", "sidebar_app {\n    id = coder_app.chat.id\n  }")
    template, version = terraform.push(api, "old", files)
    assert any("data.coder_task.me.prompt" in line for line in terraform.import_logs(api, version))
    task = api.create(template, "an old prompt in a new place")
    terraform.wait_build(api, task, "start", "succeeded")
    said = terraform.read_told(world, task["workspace_id"], "start")
    assert said == {"prompt": "an old prompt in a new place"}
    api.remove(task)
    terraform.wait_deleted(cluster, task)
