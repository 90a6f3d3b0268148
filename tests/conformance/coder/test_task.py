# SPDX-License-Identifier: Apache-2.0
"""One task: how it is named in a path, who sees it, and every field of its JSON."""

import uuid

import pytest

from lib import shapes
from lib.api import NIL_UUID
from lib.shapes import refusal

CLUSTER = dict(workers=1)

NOT_FOUND = "Resource not found or you do not have access to this resource"
SOME_UUID = "7d0bd6d9-35d4-4a3c-9a0e-0f1fd1a1c9b2"


@pytest.fixture(scope="module")
def task(cluster):
    """One that is active and has reported."""
    api = cluster.api()
    return api.wait_complete(api.create(
        cluster.shell, "stint-agent report --state complete --message done --uri https://example.com/1",
        name="Some-Task", display_name="Some task"))


@pytest.fixture(scope="module")
def bobs(cluster):
    bob = cluster.api("bob")
    return bob.wait_complete(bob.create(cluster.shell, "echo bob", name="private"))


# ---------------------------------------------------------------- the JSON

def test_every_field_of_an_active_task(cluster, api, task):
    got = shapes.check(shapes.task, api.get(f"/tasks/me/{task['id']}"))
    assert got["owner_id"] == cluster.session.user_ids["admin"] and got["owner_name"] == "admin"
    assert got["organization_id"] == api.organization_id()
    assert (got["name"], got["display_name"]) == ("Some-Task", "Some task")
    assert got["template_id"] == cluster.shell.id and got["template_name"] == "shell"
    assert got["template_version_id"] == cluster.shell.version_id
    assert got["workspace_name"] == "Some-Task" and got["workspace_status"] == "running"
    assert got["workspace_build_number"] == 1
    assert got["workspace_agent_lifecycle"] == "ready"
    assert got["workspace_agent_health"] == {"healthy": True}
    assert uuid.UUID(got["workspace_agent_id"]) and uuid.UUID(got["workspace_app_id"])
    assert got["status"] == "active"
    assert got["current_state"] | {"timestamp": None} == {
        "timestamp": None, "state": "complete", "message": "done", "uri": "https://example.com/1"}


def test_an_avatar_that_is_not_there_is_left_out(api, task):
    assert "owner_avatar_url" not in api.task(task)


def test_an_avatar_is_shown(cluster, api, bobs):
    cluster.sql("UPDATE users SET avatar_url = 'https://example.com/b.png' WHERE username = 'bob'")
    other = api.create(cluster.shell, "true", user="bob")
    assert shapes.check(shapes.task, api.get(f"/tasks/bob/{other['id']}"))[
        "owner_avatar_url"] == "https://example.com/b.png"
    cluster.sql("UPDATE users SET avatar_url = '' WHERE username = 'bob'")


def test_what_a_paused_task_still_shows(cluster, api):
    """No agent, no app, the last state; the build's number has grown."""
    task = api.wait_complete(api.create(cluster.shell, "echo last words"))
    api.pause(task)
    api.wait_status(task, "paused")
    got = shapes.check(shapes.task, api.get(f"/tasks/me/{task['id']}"))
    assert got["workspace_status"] == "stopped" and got["workspace_build_number"] == 2
    for field in ("workspace_agent_id", "workspace_agent_lifecycle", "workspace_agent_health",
                  "workspace_app_id"):
        assert got[field] is None, field
    assert (got["current_state"]["state"], got["current_state"]["message"]) == ("complete", "last words")


def test_updated_at_is_the_workspaces(cluster, api):
    """It moves with each build, while created_at stays."""
    task = api.wait_complete(api.create(cluster.shell, "true"))
    api.pause(task)
    paused = api.wait_status(task, "paused")
    assert paused["updated_at"] > task["updated_at"] and paused["created_at"] == task["created_at"]
    workspace = api.get(f"/workspaces/{task['workspace_id']}").json()
    assert paused["updated_at"] == workspace["updated_at"]


def test_the_template_version_stays_the_tasks_own(cluster, api, v2):
    """Not the template's active one, not the workspace's current one."""
    task = api.create(cluster.shell, "true")
    version = v2.post(f"/organizations/{v2.organization_id()}/templateversions", {
        "storage_method": "file", "file_id": cluster.shell.file_id, "provisioner": "local",
        "template_id": cluster.shell.id}, expect=201).json()
    assert version["id"] != cluster.shell.version_id
    assert api.wait_complete(task)["template_version_id"] == cluster.shell.version_id


def test_both_prefixes_show_the_same(api, task):
    one = api.request("GET", f"/tasks/me/{task['id']}", prefix="/api/v2").json()
    other = api.request("GET", f"/tasks/me/{task['id']}", prefix="/api/experimental").json()
    assert one == other


# ---------------------------------------------------------------- naming a task

@pytest.mark.parametrize("name", ["Some-Task", "some-task", "SOME-TASK"])
def test_by_name_in_any_case(api, task, name):
    assert api.get(f"/tasks/me/{name}", expect=200).json()["id"] == task["id"]


def test_by_id_in_any_case(api, task):
    for spelled in (task["id"], task["id"].upper()):
        assert api.get(f"/tasks/me/{spelled}", expect=200).json()["id"] == task["id"], spelled


@pytest.mark.parametrize("user", ["me", "admin", "Admin"])
def test_by_owner_and_name(api, task, user):
    assert api.get(f"/tasks/{user}/some-task", expect=200).json()["id"] == task["id"]


def test_by_the_owners_id(cluster, api, task):
    admin = cluster.session.user_ids["admin"]
    assert api.get(f"/tasks/{admin}/some-task", expect=200).json()["id"] == task["id"]


def test_an_id_does_not_ask_for_its_owner(api, users, bobs):
    """The command line sends `me` with the id of anybody's task."""
    for user in ("me", "carol", "bob"):
        got = api.get(f"/tasks/{user}/{bobs['id']}", expect=200).json()
        assert (got["id"], got["owner_name"]) == (bobs["id"], "bob")
    for suffix in ("/logs",):
        api.get(f"/tasks/me/{bobs['id']}{suffix}", expect=200)


def test_a_name_is_looked_up_among_the_owners_tasks(api, bobs):
    refusal(api.get("/tasks/me/private"), 404, NOT_FOUND)
    assert api.get("/tasks/bob/private", expect=200).json()["id"] == bobs["id"]


def test_a_name_that_looks_like_an_id(cluster, api):
    """An id of nothing is looked up as a name."""
    name = uuid.uuid4().hex  # 32 characters: a good name, and a uuid without hyphens
    task = api.create(cluster.shell, "true", name=name)
    assert api.get(f"/tasks/me/{name}", expect=200).json()["id"] == task["id"]


def test_a_deleted_task_is_not_found(cluster, api):
    task = api.wait_complete(api.create(cluster.shell, "true"))
    api.remove(task)
    for named in (task["id"], task["name"]):
        refusal(api.get(f"/tasks/me/{named}"), 404, NOT_FOUND, detail=False, validations=[])


# ---------------------------------------------------------------- not found

EVERY = [("GET", ""), ("DELETE", ""), ("PATCH", "/input"), ("POST", "/send"), ("GET", "/logs"),
         ("POST", "/pause"), ("POST", "/resume")]


@pytest.mark.parametrize("method, verb", EVERY)
@pytest.mark.parametrize("named", [SOME_UUID, NIL_UUID, "no-such-task"])
def test_an_unknown_task(api, method, verb, named):
    refusal(api.request(method, f"/tasks/me/{named}{verb}", json={"input": "x"}), 404, NOT_FOUND)


@pytest.mark.parametrize("method, verb", EVERY)
@pytest.mark.parametrize("user", ["nobody-here", SOME_UUID])
def test_an_unknown_user(api, task, method, verb, user):
    """404 even for the id of a task that is there: the user is looked at first."""
    refusal(api.request(method, f"/tasks/{user}/some-task{verb}", json={"input": "x"}), 404, NOT_FOUND)


@pytest.mark.parametrize("method, verb", EVERY)
def test_a_task_that_is_not_mine_to_see(users, bobs, method, verb):
    """404, not 403, however it is named."""
    for path in (f"/tasks/me/{bobs['id']}", f"/tasks/bob/{bobs['id']}", "/tasks/bob/private"):
        refusal(users("carol").request(method, path + verb, json={"input": "x"}), 404, NOT_FOUND)


def test_an_unknown_task_comes_before_a_bad_body(api):
    for method, verb in EVERY[2:4]:
        refusal(api.request(method, f"/tasks/me/no-such-task{verb}", data=b"{"), 404, NOT_FOUND)
