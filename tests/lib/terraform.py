# SPDX-License-Identifier: Apache-2.0
"""The real Coder provider, built once through the Go proxy, in a filesystem mirror; templates for it.

Everything is kept below build/terraform, so that a second run needs neither Go nor the network.
"""

import fcntl
import json
import os
import shutil
import subprocess

from .api import Template, pack
from .wait import wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOME = os.path.join(ROOT, "build", "terraform")
MIRROR = os.path.join(HOME, "mirror")
VERSION = os.environ.get("STINT_CODER_PROVIDER", "2.19.0")
MODULE = "github.com/coder/terraform-provider-coder/v2"
PLATFORM = "linux_" + {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "amd64")


def provider_file():
    return os.path.join(MIRROR, "registry.terraform.io", "coder", "coder", VERSION, PLATFORM,
                        f"terraform-provider-coder_v{VERSION}")


def missing():
    """What a machine lacks for these tests, as a sentence; None: nothing."""
    if not program():
        return "neither terraform nor tofu is on the PATH"
    if os.path.exists(provider_file()):
        return None
    if not shutil.which("go"):
        return "Go is not on the PATH, and the Coder provider was not built before"
    return build_provider()


def program():
    return shutil.which("terraform") or shutil.which("tofu")


def build_provider():
    """Build the provider.  None, or why that did not work."""
    os.makedirs(HOME, exist_ok=True)
    with open(os.path.join(HOME, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(provider_file()):
            return None
        source = os.path.join(HOME, "source")
        os.makedirs(source, exist_ok=True)
        with open(os.path.join(source, "go.mod"), "w") as f:
            f.write("module provider\n\ngo 1.24\n")
        env = os.environ | {"GOFLAGS": "-mod=mod -buildvcs=false"}
        out = provider_file()
        os.makedirs(os.path.dirname(out), exist_ok=True)
        for command in (["go", "get", f"{MODULE}@v{VERSION}"],
                        ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", out + ".new", MODULE]):
            done = subprocess.run(command, cwd=source, env=env, capture_output=True, text=True,
                                  timeout=900)
            if done.returncode != 0:
                return f"{' '.join(command)}: {done.stderr[-500:]}"
        os.rename(out + ".new", out)
    return None


def key_file(directory):
    path = os.path.join(directory, "state.key")
    with open(path, "w") as f:
        f.write("# newest first\n" + "5a" * 32 + "\n")
    os.chmod(path, 0o600)
    return path


REQUIRED = """
terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}
data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}
data "coder_task" "me" {}
"""

AGENT = """
resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
}
resource "coder_app" "chat" {
  agent_id     = coder_agent.main.id
  slug         = "chat"
  display_name = "Chat"
  url          = "http://localhost:3284/"
  healthcheck {
    url       = "http://localhost:3284/status"
    interval  = 3
    threshold = 20
  }
}
"""

TASK = """
resource "coder_ai_task" "task" {
  count  = data.coder_workspace.me.start_count
  app_id = coder_app.chat.id
}
"""


def host(directory, n=1, slow="0", extra=""):
    """A workspace that is a file below `directory` per running piece, and one that stays: volumes of
    the poor.  Created twice, it is there once."""
    return {"main.tf": REQUIRED + AGENT + TASK + f"""
resource "terraform_data" "home" {{
  input = "{directory}/${{data.coder_workspace.me.id}}.home"
  provisioner "local-exec" {{
    command = "echo home > ${{self.input}}"
  }}
  provisioner "local-exec" {{
    when    = destroy
    command = "rm -f ${{self.input}}"
  }}
}}
resource "terraform_data" "piece" {{
  count = data.coder_workspace.me.start_count * {n}
  input = "{directory}/${{data.coder_workspace.me.id}}.${{count.index}}"
  provisioner "local-exec" {{
    command = "sleep {slow}; echo piece > ${{self.input}}; sleep {slow}"
  }}
  provisioner "local-exec" {{
    when    = destroy
    command = "rm -f ${{self.input}}"
  }}
  depends_on = [coder_agent.main]
}}
""" + extra}


def state_versions(cluster, task):
    return cluster.sql("SELECT s.version FROM workspace_states s JOIN tasks t "
                       "ON t.workspace_id = s.workspace_id WHERE t.id = %s ORDER BY 1", task["id"])


def outputs_file(directory, expressions):
    """A piece of a template that writes expressions as JSON where a test can read them."""
    body = ", ".join(f"{name} = {text}" for name, text in expressions.items())
    return f"""
resource "terraform_data" "told" {{
  input = "{directory}/told.${{data.coder_workspace.me.id}}.${{data.coder_workspace.me.transition}}"
  triggers_replace = [timestamp()]
  provisioner "local-exec" {{
    command     = "cat > ${{self.input}} <<'EOF'\\n${{jsonencode({{{body}}})}}\\nEOF"
  }}
}}
"""


def read_told(directory, workspace_id, transition):
    with open(os.path.join(directory, f"told.{workspace_id}.{transition}")) as f:
        return json.load(f)


# ---- talking to Stint

def push(api, name, files, deadline=120, expect="succeeded", **fields):
    """Import, and make a template of it; gives (Template or None, version)."""
    version = api.import_version(pack(files), deadline=deadline, provisioner="terraform", **fields)
    assert version["job"]["status"] == expect, (version["job"], import_logs(api, version))
    if expect != "succeeded":
        return None, version
    template = api.post(f"/organizations/{api.organization_id()}/templates",
                        {"name": name, "template_version_id": version["id"]}, expect=201).json()
    return Template(name, template["id"], version["id"], version["file_id"]), version


def import_logs(api, version):
    return [line["output"] for line in
            api.get(f"/templateversions/{version['id']}/logs", expect=200).json()]


def refused(api, files, **fields):
    """The error of an import that fails."""
    return push(api, "none", files, expect="failed", **fields)[1]["job"]["error"]


def build(api, task):
    """The newest build of the task's workspace."""
    return api.get(f"/workspaces/{task['workspace_id']}", expect=200).json()["latest_build"]


def wait_build(api, task, transition, *statuses, deadline=120):
    """Until the newest build is this one, and over."""
    def look():
        b = build(api, task)
        return b if b["transition"] == transition and b["job"]["status"] in statuses else None
    return wait_until(look, f"a {transition} of {task['name']} is {'/'.join(statuses)}", deadline,
                      interval=0.1, say=lambda: (build(api, task)["job"], build_logs(api, task)[-15:]))


def build_logs(api, task):
    return [line["output"] for line in api.get(
        f"/workspacebuilds/{build(api, task)['id']}/logs", expect=200).json()]


def wait_deleted(cluster, task, deadline=120):
    wait_until(lambda: cluster.sql_one(
        "SELECT deleted_at FROM workspaces WHERE id = %s", task["workspace_id"])[0],
        f"the workspace of {task['name']} is gone", deadline, interval=0.1,
        say=lambda: cluster.sql("SELECT kind, state, error FROM jobs ORDER BY created_at DESC LIMIT 3"))
