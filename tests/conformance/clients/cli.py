# SPDX-License-Identifier: Apache-2.0
"""The commands of `coder`, as the calls that they make, in their order, with what they read.

A command returns what it would print; where it gives up by itself it raises Failed.
"""

import re
from types import SimpleNamespace

import golang as go
from lib.wait import wait_until

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Failed(Exception):
    """The command ends with this sentence, by its own judgement."""


class Coder:
    def __init__(self, url, token=None, version="v2.34.2"):
        self.url, self.token, self.version = url, token, version
        self.polls = 0

    def client(self, command):
        self.last = go.Client(self.url, self.token, command, self.version)
        return self.last

    # ---- coder login

    def has_first_user(self, c):
        answer = c.request("GET", "/api/v2/users/first")
        if answer.status_code == 404:
            return False
        if answer.status_code != 200:
            raise c.error_of(answer)
        return True

    def login_with_token(self, token, use_token_as_session=False):
        """coder login <url> --token T"""
        c = self.client("coder login")
        if not self.has_first_user(c):
            raise Failed("no first user")
        c.session.headers["Coder-Session-Token"] = token
        self.token = token
        if not use_token_as_session:
            self.token = c.call(go.Struct(key=go.String), (200, 201), "POST", "/api/v2/users/me/keys").key
            c.session.headers["Coder-Session-Token"] = self.token
        return c.call(go.User, 200, "GET", "/api/v2/users/me").username

    def login_as_first_user(self, username, email, password):
        """coder login <url> --first-user-username …"""
        c = self.client("coder login")
        if self.has_first_user(c):
            raise Failed("there is a first user")
        c.call(go.Struct(user_id=go.Uuid, organization_id=go.Uuid), 201, "POST", "/api/v2/users/first", {
            "email": email, "username": username, "name": "", "password": password, "trial": False,
            "trial_info": {"first_name": "", "last_name": "", "phone_number": "", "job_title": "", "company_name": "",
                           "country": "", "developers": ""}})
        self.token = c.call(go.Struct(session_token=go.String), 201, "POST", "/api/v2/users/login", {
            "email": email, "password": password}).session_token
        c.session.headers["Coder-Session-Token"] = self.token
        return c.call(go.User, 200, "GET", "/api/v2/users/me").username

    # ---- coder task create

    def _organization(self, c, name):
        mine = c.call(go.Slice(go.Organization), 200, "GET", "/api/v2/users/me/organizations")
        if not name and len(mine) == 1:
            return mine[0]
        for organization in mine:
            if name in (organization.name, organization.id):
                return organization
        if not name:
            raise Failed("must specify an organization")
        return c.call(go.Organization, 200, "GET", f"/api/v2/organizations/{name}")

    def _version(self, c, organization, template, version):
        if not template:
            query = go.values(q=f'organization:"{organization.id}" has-ai-task:true')
            found = c.call(go.Slice(go.Template), 200, "GET", f"/api/v2/templates?{query}")
            if len(found) != 1:
                raise Failed(f"{len(found)} task templates were found")
            template, active = found[0].name, found[0].active_version_id
            if not version:
                return active
        of_organization = f"/api/v2/organizations/{organization.id}/templates/{template}"
        if version:
            return c.call(go.Version, 200, "GET", f"{of_organization}/versions/{version}").id
        return c.call(go.Template, 200, "GET", of_organization).active_version_id

    def task_create(self, text, name="", owner="me", template="", template_version="", preset="none", org="",
                    quiet=False):
        c = self.client("coder task create")
        organization = self._organization(c, org)
        version = self._version(c, organization, template, template_version)
        preset_id = go.NIL
        if preset != "none":
            presets = c.call(go.Slice(go.Preset), 200, "GET", f"/api/v2/templateversions/{version}/presets")
            preset_id = next((p.ID for p in presets if p.Name == preset), None)
            if preset_id is None:
                raise Failed(f'preset "{preset}" not found')
        # A nil uuid is an array to Go, and never left out.
        body = {"template_version_id": version, "template_version_preset_id": preset_id, "input": text}
        task = c.call(go.Task, 201, "POST", f"/api/v2/tasks/{owner}", body | ({"name": name} if name else {}))
        return task.id if quiet else f"The task {task.name} has been created at {task.created_at}!"

    # ---- the other commands

    def _resolve(self, c, identifier):
        """A uuid, a name, or owner/name."""
        if UUID.fullmatch(identifier):
            return c.call(go.Task, 200, "GET", f"/api/v2/tasks/me/{identifier}")
        owner, _, name = identifier.rpartition("/")
        return c.call(go.Task, 200, "GET", f"/api/v2/tasks/{owner or 'me'}/{name}")

    def task_list(self, status="", user="", all=False, quiet=False):
        c = self.client("coder task list")
        query = []
        if not all:
            query.append(f'owner:"{user or "me"}"')
        if status:
            query.append(f'status:"{status}"')
        path = "/api/v2/tasks" + (f"?{go.values(q=' '.join(query))}" if query else "")
        tasks = c.call(go.TaskList, 200, "GET", path).tasks
        if quiet:
            return [task.id for task in tasks]
        return [(task.name, task.status, task.current_state and task.current_state.state,
                 task.current_state and task.current_state.timestamp, task.current_state and task.current_state.message)
                for task in tasks]

    def task_status(self, identifier, watch=False):
        """Gives the last row that it shows."""
        c = self.client("coder task status")
        task = self._resolve(c, identifier)

        def look():
            self.polls += 1
            fresh = c.call(go.Task, 200, "GET", f"/api/v2/tasks/me/{task.id}")
            return fresh if not watch or self._watch_ends(fresh) else None

        return wait_until(look, "coder task status --watch ends", 30, interval=0.05)

    @staticmethod
    def _watch_ends(task):
        if task.workspace_status == "stopped":
            return True
        if task.workspace_agent_health is None or not task.workspace_agent_health.healthy:
            return False
        if task.workspace_agent_lifecycle in ("created", "starting", "shutting_down"):
            return False
        return task.current_state is not None and task.current_state.state != "working"

    def task_logs(self, identifier):
        """(rows, what is said on stderr)"""
        c = self.client("coder task logs")
        task = self._resolve(c, identifier)
        logs = c.call(go.TaskLogs, 200, "GET", f"/api/v2/tasks/me/{task.id}/logs")
        said = ""
        if logs.snapshot and logs.snapshot_at is None:
            said = "No snapshot available"
        elif logs.snapshot:
            said = f"Task is {task.status}. Showing last {len(logs.logs)} messages from snapshot."
        elif not logs.logs:
            said = "No task logs found."
        return [(entry.type, entry.content) for entry in logs.logs], said

    def _stream_build(self, c, build_id):
        """Polls the job, follows its log over WebSocket, and asks for the job again at the end."""
        build = c.call(go.Build, 200, "GET", f"/api/v2/workspacebuilds/{build_id}")
        lines = []
        with c.websocket(f"/api/v2/workspacebuilds/{build_id}/logs?follow") as ws:
            for frame in iter(ws.json, None):
                lines.append(go.BuildLog(frame, "ProvisionerJobLog"))
            assert ws.close_code == 1000, (ws.close_code, ws.close_reason)
        assert [line.id for line in lines] == sorted({line.id for line in lines})
        build = c.call(go.Build, 200, "GET", f"/api/v2/workspacebuilds/{build_id}")
        assert build.job.completed_at is not None, "the log is at its end, and so is the job"
        if build.job.status != "succeeded":
            raise Failed(f"{build.job.status}: {build.job.error}")
        return SimpleNamespace(build=build, lines=lines)

    def task_pause(self, identifier):
        c = self.client("coder task pause")
        task = self._resolve(c, identifier)
        if task.status == "paused":
            raise Failed("task is already paused")
        answer = c.call(go.PausedOrResumed, 202, "POST", f"/api/v2/tasks/{task.owner_name}/{task.id}/pause")
        if answer.workspace_build is None:
            raise Failed("no build was made")
        return self._stream_build(c, answer.workspace_build.id)

    def task_resume(self, identifier, no_wait=False):
        c = self.client("coder task resume")
        task = self._resolve(c, identifier)
        if task.status != "paused":
            raise Failed(f"task is {task.status}")
        answer = c.call(go.PausedOrResumed, 202, "POST", f"/api/v2/tasks/{task.owner_name}/{task.id}/resume")
        return None if no_wait else self._stream_build(c, answer.workspace_build.id)

    def task_send(self, identifier, text):
        c = self.client("coder task send")
        task = self._resolve(c, identifier)
        if task.status == "paused":
            answer = c.call(go.PausedOrResumed, 202, "POST", f"/api/v2/tasks/{task.owner_name}/{task.id}/resume")
            self._stream_build(c, answer.workspace_build.id)
        elif task.status == "initializing":
            workspace = c.call(go.Workspace, 200, "GET", f"/api/v2/workspaces/{task.workspace_id}")
            self._stream_build(c, workspace.latest_build.id)
        elif task.status != "active":
            raise Failed(f"task is {task.status}")

        def is_ready():
            fresh = c.call(go.Task, 200, "GET", f"/api/v2/tasks/me/{task.id}")
            if fresh.status in ("paused", "unknown"):
                raise Failed(f"task is {fresh.status}")
            state = fresh.current_state and fresh.current_state.state
            return fresh.status == "active" and state in ("idle", "complete", "failed")

        wait_until(is_ready, "the task takes input", 30, interval=0.05)
        c.call(None, 204, "POST", f"/api/v2/tasks/me/{task.id}/send", {"input": text})

    def task_delete(self, *identifiers):
        c = self.client("coder task delete")
        tasks = [self._resolve(c, identifier) for identifier in identifiers]
        for task in tasks:
            c.call(None, 202, "DELETE", f"/api/v2/tasks/{task.owner_name}/{task.id}")
