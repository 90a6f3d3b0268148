# SPDX-License-Identifier: Apache-2.0
"""Agents that live elsewhere: workspaces in a bubblewrap of the tests' own, which no worker knows.

What Terraform's provisioner would have stored of a build is put into the database by hand, so that
these tests need no Terraform; the agent and the script that fetches it are the real ones.
"""

import json
import os
import shutil
import signal
import subprocess

from .api import Template, pack
from .wait import wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "worker", "provisioner", "terraform", "init_script.sh")
TOOLS = ["sh", "chmod", "cat", "ln", "mkdir", "rm", "sleep", "uname"]


def is_static(program):
    with open(program, "rb") as f:
        head = f.read(4096)
    return b"/ld-linux" not in head


def script(url, arch="amd64", auth="token"):
    with open(SCRIPT) as f:
        text = f.read()
    return (text.replace("@ARCH@", arch).replace("${ACCESS_URL}", url + "/")
            .replace("${AUTH_TYPE}", auth))


def push(cluster, api, name):
    """A template whose workspaces nobody makes."""
    version = api.import_version(pack({"main.tf": ""}), provisioner="null")
    assert version["job"]["status"] == "succeeded", version
    cluster.sql("UPDATE template_versions SET has_ai_task = true, app_slug = 'main' WHERE id = %s",
                version["id"])
    template = api.post(f"/organizations/{api.organization_id()}/templates",
                        {"name": name, "template_version_id": version["id"]}, expect=201).json()
    return Template(name, template["id"], version["id"], version["file_id"])


def declare(cluster, task, agent):
    """What the newest start of `task` has made; gives the agent's token."""
    row = wait_until(lambda: cluster.sql_one(
        "SELECT a.auth_token::text, a.build_id, a.id FROM agents a JOIN workspaces w ON w.latest_agent_id = a.id "
        "WHERE w.task_id = %s AND a.build_id = w.latest_build_id", task["id"]), "the start has an agent", 30)
    cluster.sql("INSERT INTO build_resources (build_id, resources, agent) VALUES (%s, '[]', %s)",
                row[1], json.dumps(agent))
    for app in agent.get("apps", []):
        cluster.sql("INSERT INTO apps (id, agent_id, slug, health) VALUES (gen_random_uuid(), %s, %s, %s) "
                    "ON CONFLICT DO NOTHING", row[2], app["slug"],
                    "initializing" if app.get("healthcheck") else "disabled")
    return row[0]


class Place:
    """Where one workspace lives: a root of its own with some tools, and a home that is kept."""

    def __init__(self, directory, tools=TOOLS, busybox=None, host=True):
        self.directory = str(directory)
        self.home = os.path.join(self.directory, "home")
        self.bin = os.path.join(self.directory, "bin")
        self.log = os.path.join(self.directory, "log")
        self.host = host
        self.popen = None
        os.makedirs(self.home)
        os.makedirs(self.bin)
        if busybox:
            shutil.copy(busybox, os.path.join(self.bin, "busybox"))
            os.symlink("busybox", os.path.join(self.bin, "sh"))
        else:
            for tool in tools:
                os.symlink(shutil.which(tool), os.path.join(self.bin, tool))

    def _root(self):
        if not self.host:  # nothing but the tools
            return ["--ro-bind", self.bin, "/bin", "--dir", "/etc", "--ro-bind", "/etc/hosts", "/etc/hosts"]
        return ["--ro-bind", "/", "/", "--tmpfs", "/run", "--ro-bind", self.bin, "/run/tools"]

    def command(self, argv, env, uid):
        path = "/bin" if not self.host else "/run/tools"
        flags = ["--unshare-pid", "--die-with-parent", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
                 "--bind", self.home, "/tmp/home", "--clearenv", "--setenv", "PATH", path]
        for name, value in ({"HOME": "/tmp/home"} | env).items():
            flags += ["--setenv", name, value] if value is not None else ["--unsetenv", name]
        user = ["--unshare-user", "--uid", str(uid), "--gid", str(uid)] if uid else []
        return ["bwrap", *user, *self._root(), *flags, "--", *argv]

    def start(self, init_script, token, uid=0, **env):
        """As `sh -c "$init_script"` of a container is started."""
        if token:
            env = {"CODER_AGENT_TOKEN": token} | env
        if uid:
            os.chmod(self.home, 0o777)
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(
                self.command([os.path.join("/bin" if not self.host else "/run/tools", "sh"), "-c", init_script],
                             env, uid),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        return self

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def _agent(self):
        """The pid (outside) of what bwrap runs."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    parent = int(f.read().rsplit(")", 1)[1].split()[1])
                with open(f"/proc/{pid}/comm") as f:
                    comm = f.read().strip()
            except (OSError, IndexError):
                continue
            if parent == self.popen.pid and comm != "bwrap":
                return int(pid)
            if parent == self.popen.pid:  # bwrap's own pid 1, whose child it is
                with open(f"/proc/{pid}/task/{pid}/children") as f:
                    children = f.read().split()
                if children:
                    return int(children[0])
        return None

    def stop(self, number=signal.SIGTERM, deadline=60):
        """As a container is stopped: a signal to its first process; gives the exit status."""
        if self.popen is None or self.popen.poll() is not None:
            return self.popen and self.popen.returncode
        os.kill(wait_until(self._agent, "the workspace's first process"), number)
        return self.popen.wait(deadline)

    def kill(self):
        if self.popen is not None and self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
