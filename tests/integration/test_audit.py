# SPDX-License-Identifier: Apache-2.0
"""The audit log: every change is in it, with who, from where, before and after, and no secret."""

import json
import re
from itertools import count

import pytest
import requests

from lib import templates
from lib.wait import stays, wait_until

CLUSTER = dict(workers=1)
PASSWORD = "correct horse battery"
numbers = count(1)


def audit(api, query="", expect=200, **params):
    return api.get("/audit", params=params | {"q": query}, expect=expect).json()


def entries(api, query):
    """Oldest first: [(action, resource_type, {field: (old, new)})]."""
    found = audit(api, query, limit=1000)
    assert found["count"] == len(found["audit_logs"])
    return [(e["action"], e["resource_type"], {k: (d["old"], d["new"]) for k, d in e["diff"].items()})
            for e in reversed(found["audit_logs"])]


@pytest.fixture
def user(api):
    name = f"a{next(numbers)}"
    return api.post("/users", {"username": name, "email": f"{name}@example.com", "password": PASSWORD},
                    expect=201).json()


def test_the_life_of_a_task(cluster, api):
    """Goal: create, input, pause, resume, delete are told in order, with prompts before and after."""
    task = api.wait_complete(api.create(cluster.shell, "echo first", name="audited"))
    api.pause(task)
    api.wait_status(task, "paused")
    api.set_input(task, "echo second")
    api.resume(task)
    api.wait_complete(task)
    api.queue(task, "echo third")
    api.wait_messages_over(task)
    api.remove(task)
    found = entries(api, f"resource_id:{task['id']}")
    assert [(a, t) for a, t, _ in found] == [
        ("create", "task"), ("pause", "task"), ("write", "task"), ("resume", "task"),
        ("queue_message", "task"), ("delete", "task")]
    made = found[0][2]
    assert made["prompt"] == ("", "echo first") and made["name"] == ("", "audited"), made
    assert made["owner_id"] == ("", task["owner_id"])
    assert found[2][2] == {"prompt": ("echo first", "echo second")}


def test_a_message_sent_directly(cluster, api):
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    api.send(task, "echo sent")
    assert [a for a, _, _ in entries(api, f"resource_id:{task['id']}")] == ["create", "send"]
    assert "echo sent" not in json.dumps(audit(api, f"resource_id:{task['id']}")), "it may be a secret"


def test_an_entry_in_coders_shape(cluster, api):
    """Goal: every field of Coder's AuditLog; from where and who are told."""
    answer = api.post(f"/tasks/me", {"template_version_id": cluster.shell.version_id, "input": "echo hi"},
                      headers={"User-Agent": "a program/1.0"}, expect=201)
    [entry] = audit(api, f"resource_id:{answer.json()['id']}")["audit_logs"]
    assert set(entry) == {
        "id", "request_id", "time", "organization_id", "organization", "ip", "user_agent",
        "resource_type", "resource_id", "resource_target", "resource_icon", "action", "diff",
        "status_code", "additional_fields", "description", "resource_link", "is_deleted", "user"}
    assert (entry["ip"], entry["user_agent"]) == ("127.0.0.1", "a program/1.0")
    assert entry["resource_target"] == answer.json()["name"]
    assert entry["user"]["username"] == "admin" and entry["user"]["roles"][0]["name"] == "owner"
    assert all(re.fullmatch(r"[0-9a-f-]{36}", entry[k]) for k in ("id", "request_id", "resource_id"))
    assert set(entry["diff"]["prompt"]) == {"old", "new", "secret"}
    assert entry["description"] == "{user}: create task {target}"
    [same] = audit(api, f"request_id:{entry['request_id']}")["audit_logs"]
    assert same["id"] == entry["id"]


def test_people_and_keys(cluster, api, user):
    """Goal: every change of a user and his keys; who, before, after; passwords and keys never."""
    login = requests.post(cluster.gateway.url + "/api/v2/users/login", timeout=20, json={
        "email": user["email"], "password": PASSWORD}).json()["session_token"]
    mine = api.with_token(login)
    path = f"/users/{user['id']}"
    key = mine.post("/users/me/keys/tokens", {"token_name": "ci"}, expect=201).json()["key"]
    mine.delete(f"/users/me/keys/{key.split('-')[0]}", expect=204)
    api.request("PUT", path + "/roles", json={"roles": ["auditor"]}, expect=200)
    mine.request("PUT", path + "/profile", json={"username": user["username"], "name": "Bo"}, expect=200)
    api.request("PUT", path + "/status/suspend", expect=200)
    api.request("PUT", path + "/status/activate", expect=200)
    mine.post("/users/logout", expect=200)
    api.request("PUT", path + "/password", json={"password": "a new password"}, expect=204)
    api.delete(path, expect=200)
    found = entries(api, f"resource_id:{user['id']}")
    assert [(a, t) for a, t, _ in found] == [
        ("create", "user"), ("login", "api_key"), ("create", "api_key"), ("delete", "api_key"),
        ("write", "user"), ("write", "user"), ("write", "user"), ("write", "user"),
        ("logout", "api_key"), ("write", "user"), ("delete", "user")]
    assert found[4][2] == {"roles": (["member"], ["member", "auditor"])}
    assert found[5][2] == {"name": ("", "Bo")}
    assert found[6][2] == {"status": ("active", "suspended")}
    assert found[9][2] == {"hashed_password": ("", "")}
    whole = audit(api, f"resource_id:{user['id']}", limit=100)
    by = [e["user"]["username"] for e in reversed(whole["audit_logs"])]
    assert by == ["admin"] + [user["username"]] * 3 + ["admin", user["username"], "admin", "admin",
                                                     user["username"], "admin", "admin"]
    text = json.dumps(whole) + str(cluster.sql("SELECT * FROM audit_log"))
    for secret in (PASSWORD, "a new password", login.split("-")[1], key.split("-")[1], "argon2", "\\\\x"):
        assert secret not in text, secret
    assert whole["audit_logs"][1]["diff"]["hashed_password"]["secret"] is True


def test_templates(api):
    """Goal: a version, a template and its changes; what the import finds is nobody's change."""
    name = f"audited-{next(numbers)}"
    template = api.push_template(name, templates.shell())
    api.patch(f"/templates/{template.id}", {"display_name": "Shown"}, expect=200)
    found = entries(api, f"resource_id:{template.id}")
    assert [(a, t) for a, t, _ in found] == [("create", "template"), ("write", "template")]
    assert found[1][2] == {"display_name": ("", "Shown")}
    made = entries(api, f"resource_id:{template.version_id}")
    assert made[0][:2] == ("create", "template_version")
    assert ("write", "template_version") == made[-1][:2] and "template_id" in made[-1][2], made


def test_refused_changes_are_none(api, user):
    """Goal: what was refused, or changed nothing, is not in it."""
    before = audit(api)["count"]
    path = f"/users/{user['id']}"
    api.request("PUT", path + "/profile", json={"username": "admin", "name": ""}, expect=409)
    api.request("PUT", path + "/roles", json={"roles": ["king"]}, expect=400)
    api.request("PUT", path + "/roles", json={"roles": []}, expect=200)
    api.post("/tasks/me", {"template_version_id": user["id"], "input": ""}, expect=400)
    assert audit(api)["count"] == before


def test_search_and_pages(api, user):
    """Goal: filters narrow, newest first, count is of all that match."""
    path = f"/users/{user['id']}/profile"
    for name in ("one", "two", "three"):
        api.request("PUT", path, json={"username": user["username"], "name": name}, expect=200)
    mine = f"resource_target:{user['username']} action:write resource_type:user username:admin"
    found = audit(api, mine)
    assert [e["diff"]["name"]["new"] for e in found["audit_logs"]] == ["three", "two", "one"]
    page = audit(api, mine, limit=1, offset=1)
    assert ([e["diff"]["name"]["new"] for e in page["audit_logs"]], page["count"]) == (["two"], 3)
    day = found["audit_logs"][0]["time"][:10]
    assert audit(api, f"{mine} date_from:{day} date_to:{day}")["count"] == 3
    assert audit(api, f"{mine} date_to:2020-01-01")["count"] == 0
    assert audit(api, f"{mine} email:admin@example.com")["count"] == 3
    assert audit(api, mine.replace("username:admin", "username:bob"))["count"] == 0
    for bad in ("date_from:yesterday", "resource_id:x", "color:red", "date_to:2026-13-45"):
        assert audit(api, bad, expect=400)["message"] == "Invalid audit search query."
    audit(api, expect=400, limit="x")


def test_who_may_read_it(cluster, api, user):
    """Goal: owner and auditor; nobody else."""
    api.request("PUT", f"/users/{user['id']}/roles", json={"roles": ["template-admin"]}, expect=200)
    token = requests.post(cluster.gateway.url + "/api/v2/users/login", timeout=20, json={
        "email": user["email"], "password": PASSWORD}).json()["session_token"]
    audit(api.with_token(token), expect=403)
    cluster.api("bob").get("/audit", expect=403)
    api.request("PUT", f"/users/{user['id']}/roles", json={"roles": ["auditor"]}, expect=200)
    assert audit(api.with_token(token))["count"] > 0


def test_with_the_change_or_not_at_all(cluster, api, user):
    """Goal: when the audit cannot be written, the change is not made either."""
    cluster.sql("ALTER TABLE audit_log ADD CONSTRAINT no_more CHECK (target <> %s) NOT VALID",
                user["username"])
    try:
        answer = api.request("PUT", f"/users/{user['id']}/roles", json={"roles": ["auditor"]})
        assert answer.status_code == 500
        assert user["username"] not in answer.text and "no_more" not in answer.text
        assert api.get(f"/users/{user['id']}").json()["roles"] == []
    finally:
        cluster.sql("ALTER TABLE audit_log DROP CONSTRAINT no_more")


def test_retention(clusters):
    """Goal: what is older than the setting goes, what is younger stays."""
    cluster = clusters(start=False, workers=0, scheduler={"audit_retention": "1h"})
    cluster.start()
    cluster.sql("INSERT INTO audit_log (at, action, resource_type, resource_id, target) "
                "SELECT now() - i * interval '1 minute', 'write', 'task', gen_random_uuid(), 'old' "
                "FROM generate_series(3000, 30, -1) AS i RETURNING id")
    cluster.sql("INSERT INTO api_keys (id, user_id, hashed_secret, revoked_at) "
                "SELECT 'long-ago-x', id, sha256('x'), now() - interval '8 days' FROM users LIMIT 1 RETURNING id")
    cluster.scheduler.kill()
    cluster.start_scheduler()
    left = lambda: cluster.sql("SELECT count(*) FROM audit_log WHERE target = 'old'")[0][0]  # noqa: E731
    wait_until(lambda: left() == 30, "the old ones are gone", 10, say=left)
    stays(lambda: left() == 30, "the young ones", 0.5)
    wait_until(lambda: not cluster.sql("SELECT FROM api_keys WHERE id = 'long-ago-x'"), "the key is gone", 5)
