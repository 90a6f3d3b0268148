# SPDX-License-Identifier: Apache-2.0
"""Workspaces and builds as Coder's clients read them: every field, from every side."""

import pytest

from lib.api import message_of

CLUSTER = dict(workers=1)

JOB = {"id", "created_at", "status", "file_id", "tags", "queue_position", "queue_size",
       "organization_id", "initiator_id", "input", "type", "metadata", "logs_overflowed"}
BUILD = {"id", "created_at", "updated_at", "workspace_id", "workspace_name", "workspace_owner_id",
         "workspace_owner_name", "template_version_id", "template_version_name", "build_number",
         "transition", "initiator_id", "initiator_name", "job", "reason", "resources", "deadline",
         "max_deadline", "status", "daily_cost", "template_version_preset_id", "has_ai_task",
         "has_external_agent"}
WORKSPACE = {"id", "created_at", "updated_at", "owner_id", "owner_name", "owner_avatar_url",
             "organization_id", "organization_name", "template_id", "template_name",
             "template_display_name", "template_icon", "template_active_version_id",
             "template_allow_user_cancel_workspace_jobs", "template_require_active_version",
             "template_use_classic_parameter_flow", "latest_build", "latest_app_status",
             "outdated", "name", "autostart_schedule", "ttl_ms", "last_used_at", "deleting_at",
             "dormant_at", "health", "automatic_updates", "allow_renames", "favorite",
             "next_start_at", "is_prebuild", "task_id", "shared_with"}


@pytest.fixture(scope="module")
def task(cluster):
    api = cluster.api()
    return api.wait_complete(api.create(cluster.shell, "echo seen", name="seen"))


def test_a_workspace_from_every_side(cluster, api, task):
    """Goal: by id and by owner and name it is the same object, with all its fields."""
    by_id = api.get(f"/workspaces/{task['workspace_id']}", expect=200).json()
    assert set(by_id) == WORKSPACE
    assert set(by_id["latest_build"]) == BUILD
    assert JOB <= set(by_id["latest_build"]["job"])
    assert by_id["latest_build"]["job"]["tags"] == {"owner": "", "scope": "organization"}
    assert by_id["task_id"] == task["id"] and by_id["health"]["healthy"] is True
    for user in ("me", "admin", "ADMIN", task["owner_id"]):
        for name in ("seen", "SEEN"):
            assert api.get(f"/users/{user}/workspace/{name}", expect=200).json() == by_id
    message_of(api.get("/users/me/workspace/unseen", expect=404))
    message_of(api.get("/users/nobody/workspace/seen", expect=404))


def test_what_the_app_said_last(api, task):
    """Goal: latest_app_status is the newest report, and stands with its app too."""
    workspace = api.get(f"/workspaces/{task['workspace_id']}", expect=200).json()
    said = workspace["latest_app_status"]
    assert set(said) == {"id", "created_at", "workspace_id", "agent_id", "app_id", "state",
                         "message", "uri", "icon", "needs_user_attention"}
    assert said["state"] == "complete" and said["workspace_id"] == workspace["id"]
    agent = workspace["latest_build"]["resources"][0]["agents"][0]
    assert said["agent_id"] == agent["id"]
    app = next(a for a in agent["apps"] if a["id"] == said["app_id"])
    assert app["statuses"] == [said]


def test_builds_by_number_and_their_parts(api, task):
    """Goal: a build by its number; its resources, parameters; its state is nobody's."""
    workspace = api.get(f"/workspaces/{task['workspace_id']}", expect=200).json()
    first = api.get("/users/me/workspace/seen/builds/1", expect=200).json()
    assert first == workspace["latest_build"]
    message_of(api.get("/users/me/workspace/seen/builds/99", expect=404))
    for bad in ("0", "-1", "x", "1x", "99999999999999999999"):
        said = message_of(api.get(f"/users/me/workspace/seen/builds/{bad}", expect=400))
        assert said.startswith("Failed to parse build number as integer")
    build = f"/workspacebuilds/{first['id']}"
    assert api.get(build + "/resources", expect=200).json() == first["resources"]
    assert api.get(build + "/parameters", expect=200).json() == []
    assert message_of(api.get(build + "/state", expect=403)) == "Forbidden."
    for part in ("", "/resources", "/parameters", "/state"):
        api.get(f"/workspacebuilds/{task['id']}{part}", expect=404)


def test_others_see_nothing(cluster, task):
    """Goal: for another member all of it is 404."""
    other = cluster.api("bob")
    workspace = cluster.api().get(f"/workspaces/{task['workspace_id']}", expect=200).json()
    build = workspace["latest_build"]["id"]
    for path in (f"/workspaces/{task['workspace_id']}", "/users/admin/workspace/seen",
                 "/users/admin/workspace/seen/builds/1", f"/workspacebuilds/{build}",
                 f"/workspacebuilds/{build}/resources", f"/workspacebuilds/{build}/parameters",
                 f"/workspacebuilds/{build}/state"):
        other.get(path, expect=404)


def test_builds_through_the_workspace(cluster, api):
    """Goal: stop, start and delete builds with the client's reason; the list tells the story."""
    task = api.wait_complete(api.create(cluster.shell, "echo story", name="story"))
    builds = f"/workspaces/{task['workspace_id']}/builds"
    stop = api.post(builds, {"transition": "stop", "reason": "dashboard"}, expect=201).json()
    assert set(stop) == BUILD and stop["build_number"] == 2
    assert (stop["transition"], stop["reason"]) == ("stop", "dashboard")
    api.wait_status(task, "paused")
    same = {"transition": "start", "template_version_id": stop["template_version_id"],
            "rich_parameter_values": [], "log_level": ""}
    start = api.post(builds, same, expect=201).json()
    assert (start["transition"], start["reason"]) == ("start", "initiator")
    api.wait_status(task, "active")
    again = api.post(builds, {"transition": "start"}, expect=409)
    assert message_of(again) == "Task workspace is already running."

    listed = api.get(builds, expect=200).json()
    assert [b["build_number"] for b in listed] == [3, 2, 1]
    assert [b["reason"] for b in listed] == ["initiator", "dashboard", "initiator"]
    assert all(set(b) == BUILD for b in listed)

    def numbers(**parameters):
        return [b["build_number"] for b in api.get(builds, params=parameters, expect=200).json()]

    assert numbers(limit=2) == [3, 2] and numbers(limit=2, offset=2) == [1]
    assert numbers(limit=0) == [3, 2, 1] and numbers(offset=9) == []
    assert numbers(after_id=listed[0]["id"]) == [2, 1]
    assert numbers(since=listed[1]["created_at"]) == [3, 2]
    gone = api.post(builds, {"transition": "delete"}, expect=201).json()
    assert gone["transition"] == "delete"
    api.get(f"/tasks/me/{task['id']}", expect=404)


def test_builds_that_cannot_be(cluster, api, task):
    """Goal: what a build cannot be asked for is said, and nothing is done."""
    builds = f"/workspaces/{task['workspace_id']}/builds"
    before = len(api.get(builds, expect=200).json())
    for body in ({}, {"transition": "restart"}, {"transition": 1}, {"transition": "stop", "reason": "x"},
                 {"transition": "stop", "reason": "task_auto_pause"},
                 {"transition": "start", "template_version_id": task["id"]},
                 {"transition": "delete", "orphan": True},
                 {"transition": "start", "rich_parameter_values": [{"name": "a", "value": "b"}]}):
        message_of(api.post(builds, body, expect=400))
    assert len(api.get(builds, expect=200).json()) == before
    message_of(cluster.api("bob").post(builds, {"transition": "stop"}, expect=404))
    message_of(cluster.api("bob").get(builds, expect=404))
    api.get(f"/workspaces/{task['id']}/builds", expect=404)
    for query in ("limit=-1", "limit=x", "offset=-1", "after_id=x", "since=yesterday"):
        body = api.get(f"{builds}?{query}", expect=400).json()
        assert body["message"] == "Query parameters have invalid values."
        assert body["validations"][0]["field"] == query.split("=")[0]


def test_the_list_of_workspaces(cluster, api, task):
    """Goal: every key of the search finds what it names; a member finds its own."""
    bobs = cluster.api("bob")
    other = bobs.create(cluster.shell, "echo bob", name="bobs-thing")
    bobs.wait_complete(other)
    paused = api.create(cluster.shell, "echo p", name="at-rest")
    api.wait_complete(paused)
    api.pause(paused)
    api.wait_status(paused, "paused")

    def names(q, who=api, **parameters):
        body = who.get("/workspaces", params={"q": q} | parameters, expect=200).json()
        assert set(body) == {"workspaces", "count"}
        assert all(set(w) == WORKSPACE for w in body["workspaces"])
        return [w["name"] for w in body["workspaces"]], body["count"]

    assert names("owner:me") == (["seen", "at-rest"], 2)
    assert names("owner:me", limit=1) == (["seen"], 2)
    assert names("owner:me", limit=1, offset=1) == (["at-rest"], 2)
    assert names("owner:me", limit=1, offset=9) == ([], 2)
    assert names("") == (["seen", "bobs-thing", "at-rest"], 3)
    assert names("owner:bob") == (["bobs-thing"], 1)
    assert names("bob/thing") == (["bobs-thing"], 1)
    assert names("status:stopped") == (["at-rest"], 1)
    assert names("status:running owner:me") == (["seen"], 1)
    assert names("EEN") == (["seen"], 1) and names("name:rest") == (["at-rest"], 1)
    assert names(f"template:{task['template_name']} owner:me")[1] == 2
    assert names("template:nope") == ([], 0) and names("owner:nobody") == ([], 0)
    assert names(f"id:{task['workspace_id']}") == (["seen"], 1)
    assert names("outdated:true") == ([], 0) and names("has-ai-task:false") == ([], 0)
    assert names("", bobs) == (["bobs-thing"], 1)
    assert names("owner:admin", bobs) == ([], 0)
    for q in ("status:sideways", "id:x", "colour:red", "outdated:perhaps", "organization:nope"):
        body = api.get("/workspaces", params={"q": q}, expect=400).json()
        assert body["message"] == "Invalid workspace search query."
        assert body["validations"][0]["field"] == q.split(":")[0]


def test_the_idle_timeout(cluster, api, task):
    """Goal: PUT ttl sets it, 0 and null take it away, what is too short or long is refused."""
    path = f"/workspaces/{task['workspace_id']}"
    for said, shown in ((3600000, 3600000), (0, None), (60000, 60000), (None, None)):
        api.request("PUT", path + "/ttl", json={"ttl_ms": said}, expect=204)
        assert api.get(path, expect=200).json()["ttl_ms"] == shown
    for bad in (1, 59999, -1, 10**12, "1h", 1.5):
        message_of(api.request("PUT", path + "/ttl", json={"ttl_ms": bad}, expect=400))
    cluster.api("bob").request("PUT", path + "/ttl", json={"ttl_ms": 0}, expect=404)
    api.request("PUT", f"/workspaces/{task['id']}/ttl", json={"ttl_ms": 0}, expect=404)
