# SPDX-License-Identifier: Apache-2.0
"""The GitHub action that makes a task of an issue: its calls in order, its schemas, its own prefix."""

import json
from urllib.parse import quote

import pytest
import requests

import zod
from lib import templates
from lib.wait import wait_until

CLUSTER = dict(workers=1)

GITHUB_ID = 424242

User = zod.object(id=zod.uuid, username=zod.string, email=zod.email, organization_ids=zod.array(zod.uuid),
                  github_com_user_id=zod.optional(zod.number))
Users = zod.object(users=zod.array(User))
Template = zod.object(id=zod.uuid, name=zod.string, organization_id=zod.uuid, active_version_id=zod.uuid)
Presets = zod.array(zod.object(ID=zod.uuid, Name=zod.string, Default=zod.boolean))
Task = zod.object(
    id=zod.uuid, name=zod.string, owner_id=zod.uuid, template_id=zod.uuid, created_at=zod.string,
    updated_at=zod.string, status=zod.enum("pending", "initializing", "active", "paused", "unknown", "error"),
    current_state=zod.nullable(zod.object(state=zod.enum("working", "idle", "complete", "failed"))))
Tasks = zod.object(tasks=zod.array(Task))


class Failed(Exception):
    pass


class Action:
    def __init__(self, url, token, idle_for=3):
        """`idle_for`: how many looks in a row must find the task idle (30 seconds of them in life)."""
        self.url, self.token, self.idle_for = url, token, idle_for
        self.session = requests.Session()
        self.session.trust_env = False

    def request(self, schema, method, path, body=None):
        answer = self.session.request(
            method, self.url + path, data=json.dumps(body) if body is not None else None, timeout=30,
            headers={"Coder-Session-Token": self.token, "Content-Type": "application/json",
                     "User-Agent": "node", "Accept": "*/*"})
        if not answer.ok:
            raise Failed(answer.status_code, answer.text)
        return schema(answer.json()) if schema else None

    def user(self, github_id):
        users = self.request(Users, "GET", "/api/v2/users?q=" + quote(f"github_com_user_id:{github_id}", safe=""))["users"]
        if len(users) != 1:
            raise Failed(len(users), f"users with GitHub id {github_id}")
        return users[0]

    def find(self, username, name):
        found = self.request(Tasks, "GET", "/api/experimental/tasks?q=" + quote(f"owner:{username}", safe=""))["tasks"]
        return next((task for task in found if task["name"] == name), None)

    def wait_idle(self, username, task_id):
        seen, absent = 0, 0

        def look():
            nonlocal seen, absent
            try:
                task = self.request(Task, "GET", f"/api/experimental/tasks/{username}/{task_id}")
            except Failed as failed:
                if failed.args[0] != 404:
                    raise
                absent += 1
                return "gone" if absent == 2 else None
            absent = 0
            if task["status"] == "error":
                raise Failed("the task has failed")
            is_idle = task["status"] == "active" and (task["current_state"] or {}).get("state") == "idle"
            seen = seen + 1 if is_idle else 0
            return "idle" if seen >= self.idle_for else None

        return wait_until(look, "the task is idle for a while", 30, interval=0.1)

    def run(self, issue, prompt, organization="default", template="shell", preset=None, github_id=None, username=None,
            prefix="gh"):
        if username is None:
            username = self.user(github_id)["username"]
        found = self.request(Template, "GET", f"/api/v2/organizations/{organization}/templates/{template}")
        presets = self.request(Presets, "GET", f"/api/v2/templateversions/{found['active_version_id']}/presets")
        body = {"name": f"{prefix}-{issue}", "template_version_id": found["active_version_id"], "input": prompt}
        if preset is not None:
            body["template_version_preset_id"] = next(p["ID"] for p in presets if p["Name"] == preset)
        task = self.find(username, body["name"])
        if task and self.wait_idle(username, task["id"]) == "idle":
            self.request(None, "POST", f"/api/experimental/tasks/{username}/{task['id']}/send", {"input": prompt})
            return task, False
        task = self.request(Task, "POST", f"/api/experimental/tasks/{username}", body)
        return task, True


@pytest.fixture
def action(cluster):
    return Action(cluster.gateway.url, cluster.session.tokens["admin"])


def test_an_issue_becomes_a_task(cluster, action):
    """Named after the issue, for the user that the workflow names."""
    task, is_new = action.run(7, "echo fixed", username="bob")
    assert is_new and task["name"] == "gh-7"
    assert cluster.api("bob").wait_complete(task["id"])["owner_name"] == "bob"


def test_a_second_comment_goes_to_the_same_task(cluster, action):
    """It waits until the task has been idle for a while, and sends."""
    idle = "stint-agent report --state idle --message waiting"
    chat = cluster.api().push_template("chatty", templates.chat())
    task, is_new = action.run(8, "first words", username="carol", template="chatty")
    assert is_new and chat.name == "chatty"
    wait_until(lambda: cluster.api().task(task["id"])["status"] == "active", "it is active", 30)
    again, is_new = action.run(8, "second words", username="carol", template="chatty")
    assert not is_new and again["id"] == task["id"], idle
    wait_until(lambda: "second words" in str(cluster.api().logs(task["id"])), "the second comment was heard")


def test_a_task_that_was_deleted_is_made_anew(cluster, action):
    task, _ = action.run(9, "true", username="bob")
    cluster.api().wait_complete(task["id"])
    cluster.api().remove(task["id"])
    assert action.find("bob", "gh-9") is None
    assert action.wait_idle("bob", task["id"]) == "gone"
    again = wait_until(lambda: _unless_taken(lambda: action.run(9, "true", username="bob")), "the name is free")
    assert again[1] and again[0]["id"] != task["id"]


def _unless_taken(make):
    try:
        return make()
    except Failed as failed:
        assert failed.args[0] == 409, failed
        return None


def test_a_failed_task_ends_the_wait(cluster, action):
    broken = cluster.api().push_template("broken", templates.shell(env=[{"name": "K", "secret": "nowhere"}]))
    task, _ = action.run(10, "true", username="bob", template=broken.name)
    cluster.api().wait_status(task["id"], "error")
    with pytest.raises(Failed, match="failed"):
        action.wait_idle("bob", task["id"])


def test_states_are_those_of_the_schema(cluster, action):
    """A failure is told as `failed`; `failure` would break the action."""
    task, _ = action.run(11, "exit 3", username="bob")
    cluster.api().wait_state(task["id"], "failed")
    assert action.request(Task, "GET", f"/api/experimental/tasks/bob/{task['id']}")["current_state"] == {"state": "failed"}


def test_an_unknown_template_or_user(action):
    for arguments, status in ((dict(username="bob", template="nothing"), 404), (dict(username="nobody-here"), 400)):
        with pytest.raises(Failed) as refused:
            action.run(12, "true", **arguments)
        assert refused.value.args[0] == status


def test_the_user_is_found_by_the_github_id(cluster, action):
    """Exactly one, with the fields that the action reads."""
    cluster.sql("UPDATE users SET github_com_user_id = %s WHERE username = 'bob'", GITHUB_ID)
    user = action.user(GITHUB_ID)
    assert (user["username"], user["email"]) == ("bob", "bob@example.com")
    assert user.get("github_com_user_id", GITHUB_ID) == GITHUB_ID
    with pytest.raises(Failed, match="0"):
        action.user(GITHUB_ID + 1)
    task, _ = action.run(13, "true", github_id=GITHUB_ID)
    assert cluster.api().task(task["id"])["owner_name"] == "bob"


def test_a_preset_by_its_name(cluster, action):
    """Keys of presets are capitalised."""
    files = templates.shell(
        parameters=[{"name": "region", "type": "string", "default": "eu"}],
        presets=[{"name": "Large", "default": True, "parameters": [{"name": "region", "value": "us"}]}])
    template = cluster.api().push_template("with-presets", files)
    task, _ = action.run(14, "true", username="bob", template=template.name, preset="Large")
    assert cluster.api().wait_complete(task["id"])["template_name"] == "with-presets"
