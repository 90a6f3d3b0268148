# SPDX-License-Identifier: Apache-2.0
"""What else the clients of tasks ask for: people, organizations, files, templates, workspaces, builds."""

import io
import zipfile

import pytest

from lib import shapes, templates
from lib.api import NIL_UUID, Api, pack
from lib.shapes import check, refusal
from lib.wait import wait_until
from lib.websocket import WebSocket

CLUSTER = dict(workers=1)

NOT_FOUND = "Resource not found or you do not have access to this resource"
SOME_UUID = "7d0bd6d9-35d4-4a3c-9a0e-0f1fd1a1c9b2"


@pytest.fixture
def api(v2):
    """None of this is below the experimental prefix."""
    return v2


@pytest.fixture(scope="module")
def task(cluster):
    api = cluster.api()
    return api.wait_complete(api.create(cluster.shell, "echo up", name="up"))


@pytest.fixture
def organization(api):
    return api.get("/organizations/default", expect=200).json()


# ---------------------------------------------------------------- people

def test_users_by_me_name_and_id(cluster, api):
    me = check(shapes.user, api.get("/users/me"))
    assert me["username"] == "admin" and me["email"] == "admin@example.com"
    assert "owner" in [role["name"] for role in me["roles"]]
    for user in ("admin", "ADMIN", me["id"]):
        assert check(shapes.user, api.get(f"/users/{user}"))["id"] == me["id"]


def test_unknown_users(api):
    for user in ("nobody-here", SOME_UUID):
        check(shapes.error, api.get(f"/users/{user}"), 404)


def test_a_user_without_an_avatar(api):
    """Left out, or empty."""
    assert api.get("/users/me").json().get("avatar_url", "") == ""


def test_users_by_github_id(cluster, api):
    cluster.sql("UPDATE users SET github_com_user_id = 77 WHERE username = 'carol'")
    body = api.get("/users", params={"q": "github_com_user_id:77"}, expect=200).json()
    assert [user["username"] for user in body["users"]] == ["carol"]
    check(shapes.user, api.get("/users/carol"))
    assert api.get("/users", params={"q": "github_com_user_id:78"}, expect=200).json()["users"] == []


def test_keys(api):
    """Without a body, as many as one likes; each is shown once, and works."""
    keys = [check(shapes.record({"key": shapes.some_string}), api.post("/users/me/keys"), 201)["key"] for _ in range(2)]
    assert len(set(keys)) == 2
    for key in keys:
        assert len(key) == 33 and key[10] == "-"
        assert Api(api.base, key).me()["username"] == "admin"


def test_the_first_user_is_there(api):
    assert api.with_token(None).get("/users/first").status_code == 200


def test_login_and_logout(cluster, api):
    user = {"username": "walter", "email": "walter@example.com", "password": "correct-horse-battery-9",
            "login_type": "password", "organization_ids": [api.organization_id()]}
    made = check(shapes.user, api.post("/users", user), 201)
    nobody = Api(api.base, None)
    answer = nobody.post("/users/login", {"email": "walter@example.com", "password": "correct-horse-battery-9"})
    token = check(shapes.record({"session_token": shapes.some_string}), answer, 201)["session_token"]
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"coder_session_token={token};") and "httponly" in cookie.lower()
    walter = Api(api.base, token)
    assert walter.me()["id"] == made["id"]
    walter.post("/users/logout", expect=200)
    wait_until(lambda: walter.get("/users/me").status_code == 401, "the session is over")


def test_login_with_a_wrong_password(api):
    """The same answer whether the user exists or not."""
    answers = [Api(api.base, None).post("/users/login", {"email": email, "password": "wrong-wrong-9"})
               for email in ("admin@example.com", "nobody@example.com")]
    for answer in answers:
        check(shapes.error, answer, 401)
    assert answers[0].json() == answers[1].json()


def test_ways_to_log_in(api):
    body = Api(api.base, None).get("/users/authmethods", expect=200).json()
    assert body["password"]["enabled"] is True and "oidc" in body and "github" in body


# ---------------------------------------------------------------- organizations

def test_my_organizations(api, organization):
    mine = check(shapes.array(shapes.organization), api.get("/users/me/organizations"))
    assert [o["id"] for o in mine] == [organization["id"]]
    assert mine[0]["is_default"] is True


def test_an_organization_by_name_and_id(api, organization):
    for name in ("default", "DEFAULT", organization["id"]):
        assert check(shapes.organization, api.get(f"/organizations/{name}"))["id"] == organization["id"]
    for name in ("nowhere", SOME_UUID):
        check(shapes.error, api.get(f"/organizations/{name}"), 404)


def test_all_organizations(api, organization):
    assert [o["id"] for o in check(shapes.array(shapes.organization), api.get("/organizations"))] == [organization["id"]]


# ---------------------------------------------------------------- files

def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def test_files(api):
    """201 with the file's id under the name `hash`; 200 with the same when it is there already."""
    archive = pack({"template.yaml": "name: once\n"})
    first = check(shapes.record({"hash": shapes.uuid}), api.request(
        "POST", "/files", data=archive, headers={"Content-Type": "application/x-tar"}), 201)
    again = check(shapes.record({"hash": shapes.uuid}), api.request(
        "POST", "/files", data=archive, headers={"Content-Type": "application/x-tar"}), 200)
    assert first == again


def test_files_that_are_zipped(api):
    answer = api.request("POST", "/files", data=zipped(templates.shell()), headers={"Content-Type": "application/zip"})
    check(shapes.record({"hash": shapes.uuid}), answer, (201 if answer.status_code == 201 else 200))


def test_files_of_another_type(api):
    check(shapes.error, api.request("POST", "/files", data=b"hello", headers={"Content-Type": "text/plain"}), 400)


# ---------------------------------------------------------------- templates

def test_templates_are_a_plain_array(cluster, api):
    found = check(shapes.array(shapes.template), api.get("/templates"))
    assert cluster.shell.id in [t["id"] for t in found]
    assert "has_ai_task" not in found[0], "only the filter exists"


@pytest.mark.parametrize("query, is_there", [
    ("has-ai-task:true", True), ("has-ai-task:false", False), ("name:shell", True), ("name:hel", True),
    ("exact_name:shell", True), ("exact_name:hel", False), ("organization:default", True), ("deprecated:false", True),
    ("deprecated:true", False), ('organization:"default" has-ai-task:true', True), ("shell", True), ("other", False),
    ("", True)])
def test_templates_by_a_query(cluster, api, query, is_there):
    found = check(shapes.array(shapes.template), api.get("/templates", params={"q": query}))
    assert (cluster.shell.id in [t["id"] for t in found]) == is_there


def test_templates_by_the_organizations_id(cluster, api, organization):
    query = f'organization:"{organization["id"]}" has-ai-task:true'
    assert cluster.shell.id in [t["id"] for t in api.get("/templates", params={"q": query}, expect=200).json()]
    check(shapes.array(shapes.template), api.get(f"/organizations/{organization['id']}/templates"))


def test_templates_by_a_bad_query(api):
    assert check(shapes.error, api.get("/templates", params={"q": "x:1"}), 400)["validations"]


def test_a_template_by_id_and_by_name(cluster, api, organization):
    by_id = check(shapes.template, api.get(f"/templates/{cluster.shell.id}"))
    for where in (organization["id"], "default"):
        for name in ("shell", "SHELL"):
            assert check(shapes.template, api.get(f"/organizations/{where}/templates/{name}")) == by_id
    assert by_id["active_version_id"] == cluster.shell.version_id
    refusal(api.get(f"/templates/{SOME_UUID}"), 404, NOT_FOUND)
    check(shapes.error, api.get("/organizations/default/templates/nothing"), 404)


def test_a_template_made_without_a_ttl(cluster, api):
    """Its tasks never pause by themselves."""
    assert api.get(f"/templates/{cluster.shell.id}").json()["default_ttl_ms"] == 0


def test_a_version_by_id_and_by_name(cluster, api):
    version = check(shapes.template_version, api.get(f"/templateversions/{cluster.shell.version_id}"))
    assert version["job"]["status"] == "succeeded" and version["job"]["type"] == "template_version_import"
    assert version["template_id"] == cluster.shell.id
    assert "has_ai_task" not in version
    named = api.get(f"/organizations/default/templates/shell/versions/{version['name']}")
    assert check(shapes.template_version, named) == version
    refusal(api.get(f"/templateversions/{SOME_UUID}"), 404, NOT_FOUND)


def test_what_belongs_to_a_version(cluster, api):
    """Asked for by create and push."""
    where = f"/templateversions/{cluster.shell.version_id}"
    assert check(shapes.array(shapes.preset), api.get(where + "/presets")) == []
    assert check(shapes.array(shapes.any_object), api.get(where + "/rich-parameters")) == []
    assert check(shapes.array(shapes.any_object), api.get(where + "/variables")) == []
    assert check(shapes.array(shapes.any_object), api.get(where + "/external-auth")) == []
    check(shapes.array(shapes.resource), api.get(where + "/resources"))
    lines = check(shapes.array(shapes.build_log), api.get(where + "/logs"))
    assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)


def test_a_push_from_begin_to_end(api, organization):
    """File, version, its log while it is imported, resources, template; then a second version."""
    file_id = api.upload(pack(templates.shell("echo pushed")))

    def version(**more):
        made = check(shapes.template_version, api.post(f"/organizations/{organization['id']}/templateversions", {
            "storage_method": "file", "file_id": file_id, "provisioner": "terraform", "tags": {},
            "user_variable_values": [], **more}), 201)
        assert made["job"]["status"] in ("pending", "running", "succeeded")  # it may be quick
        with WebSocket(f"{api.base()}/api/v2/templateversions/{made['id']}/logs?follow", api.token) as ws:
            for line in iter(ws.json, None):
                shapes.build_log(line)
            assert ws.close_code == 1000
        done = check(shapes.template_version, api.get(f"/templateversions/{made['id']}"))
        assert done["job"]["status"] == "succeeded", done
        check(shapes.array(shapes.resource), api.get(f"/templateversions/{made['id']}/resources"))
        return done

    first = version(name="one", message="the first")
    assert (first["name"], first["message"]) == ("one", "the first")
    template = check(shapes.template, api.post(f"/organizations/{organization['id']}/templates", {
        "name": "pushed", "display_name": "Pushed", "description": "", "icon": "", "template_version_id": first["id"],
        "default_ttl_ms": 3600000}), 201)
    assert template["default_ttl_ms"] == 3600000 and template["active_version_id"] == first["id"]
    second = version(name="two", template_id=template["id"])
    assert api.patch(f"/templates/{template['id']}/versions", {"id": second["id"]}, expect=200)
    assert api.get(f"/templates/{template['id']}").json()["active_version_id"] == second["id"]


def test_a_template_of_a_name_in_use(cluster, api, organization):
    refused = api.post(f"/organizations/{organization['id']}/templates", {
        "name": "SHELL", "template_version_id": cluster.shell.version_id})
    assert refused.status_code in (400, 409), refused.text
    shapes.error(refused.json())


def test_archived_versions(api, organization):
    """A version that is not the active one can be archived; tasks cannot be made of it then."""
    template = api.push_template("archive", templates.shell("echo archived"))
    other = api.import_version(pack(templates.shell("echo other")), template_id=template.id)
    api.post(f"/templateversions/{other['id']}/archive", expect=200)
    assert api.get(f"/templateversions/{other['id']}").json()["archived"] is True
    refused = api.post("/tasks/me", {"template_version_id": other["id"], "input": "true"})
    assert refused.status_code in (400, 500)
    body = check(shapes.error, refused, refused.status_code)
    assert body["message"] == "Archived template versions cannot be used to make a workspace."
    assert [row["field"] for row in body["validations"]] == ["template_version_id"]
    api.post(f"/templateversions/{other['id']}/unarchive", expect=200)
    api.create(other["id"], "true")


# ---------------------------------------------------------------- workspaces and builds

def test_the_workspace_of_a_task(api, task):
    workspace = check(shapes.workspace, api.get(f"/workspaces/{task['workspace_id']}"))
    assert (workspace["name"], workspace["owner_name"], workspace["task_id"]) == ("up", "admin", task["id"])
    build = workspace["latest_build"]
    assert (build["transition"], build["status"], build["reason"], build["build_number"]) == (
        "start", "running", "initiator", 1)
    agents = [agent for resource in build["resources"] for agent in resource["agents"]]
    assert [agent["id"] for agent in agents] == [task["workspace_agent_id"]]
    assert task["workspace_app_id"] in [app["id"] for app in agents[0]["apps"]]
    assert workspace["latest_app_status"]["state"] == "complete"


def test_a_workspace_by_owner_and_name(api, task):
    for owner in ("me", "admin"):
        for name in ("up", "UP"):
            found = check(shapes.workspace, api.get(f"/users/{owner}/workspace/{name}"))
            assert found["id"] == task["workspace_id"]
    check(shapes.error, api.get("/users/bob/workspace/up"), 404)
    refusal(api.get(f"/workspaces/{SOME_UUID}"), 404, NOT_FOUND)


def test_builds_by_id_and_of_a_workspace(api, task):
    builds = check(shapes.array(shapes.build), api.get(f"/workspaces/{task['workspace_id']}/builds"))
    assert [build["build_number"] for build in builds] == sorted((b["build_number"] for b in builds), reverse=True)
    assert check(shapes.build, api.get(f"/workspacebuilds/{builds[-1]['id']}"))["build_number"] == 1
    refusal(api.get(f"/workspacebuilds/{SOME_UUID}"), 404, NOT_FOUND)


def test_the_log_of_a_build(api, task):
    """As JSON and as text, whole and after a line; text does not follow."""
    build = api.get(f"/workspaces/{task['workspace_id']}").json()["latest_build"]["id"]
    where = f"/workspacebuilds/{build}/logs"
    lines = check(shapes.array(shapes.build_log), api.get(where))
    assert lines and [line["id"] for line in lines] == sorted({line["id"] for line in lines})
    after = check(shapes.array(shapes.build_log), api.get(where, params={"after": lines[0]["id"]}))
    assert after == lines[1:]
    text = api.get(where, params={"format": "text"}, expect=200)
    assert text.headers["Content-Type"].startswith("text/plain")
    assert len(text.text.strip().splitlines()) == len(lines)
    check(shapes.error, api.get(where + "?follow&format=text"), 400)
    check(shapes.error, api.get(where, params={"format": "xml"}), 400)


def test_the_log_of_an_agent(api, task):
    where = f"/workspaceagents/{task['workspace_agent_id']}/logs"
    check(shapes.array(shapes.agent_log), api.get(where))
    check(shapes.error, api.get(where + "?follow&format=text"), 400)
    refusal(api.get(f"/workspaceagents/{SOME_UUID}/logs"), 404, NOT_FOUND)


@pytest.mark.parametrize("reason", [None, "dashboard", "cli", "vscode_connection", "task_manual_pause"])
def test_a_build_by_hand(cluster, api, reason):
    """Stop and start; the reason is the client's."""
    task = api.wait_complete(api.create(cluster.shell, "true"))
    body = {"transition": "stop"} | ({"reason": reason} if reason else {})
    build = check(shapes.build, api.post(f"/workspaces/{task['workspace_id']}/builds", body), 201)
    assert (build["transition"], build["reason"]) == ("stop", reason or "initiator")
    api.wait_status(task, "paused")


@pytest.mark.parametrize("body", [{}, {"transition": "pause"}, {"transition": "stop", "reason": "autostart-by-moon"}])
def test_a_build_that_makes_no_sense(api, task, body):
    check(shapes.error, api.post(f"/workspaces/{task['workspace_id']}/builds", body), 400)


def test_a_build_while_another_is_active(cluster, api):
    task = api.wait_complete(api.create(cluster.shell, "true"))
    cluster.workers[0].freeze()
    try:
        api.pause(task)
        refusal(api.post(f"/workspaces/{task['workspace_id']}/builds", {"transition": "start"}), 409,
                "A workspace build is already active.")
    finally:
        cluster.workers[0].thaw()


def test_a_delete_build_deletes_the_task(cluster, api):
    """When it has succeeded."""
    task = api.wait_complete(api.create(cluster.shell, "true"))
    check(shapes.build, api.post(f"/workspaces/{task['workspace_id']}/builds", {"transition": "delete"}), 201)
    wait_until(lambda: api.get(f"/tasks/me/{task['id']}").status_code == 404, "the task is gone")


def test_canceling_a_build(cluster, api):
    """Not in the expected state: 412; a pending one is canceled; done or canceled: 400."""
    task = api.wait_complete(api.create(cluster.shell, "true"))
    cluster.workers[0].freeze()
    try:
        api.create(cluster.shell, "true")
        waiting = api.create(cluster.shell, "true")
        build = api.get(f"/workspaces/{waiting['workspace_id']}").json()["latest_build"]["id"]
        refusal(api.patch(f"/workspacebuilds/{build}/cancel?expect_status=running"), 412,
                "Job is not in the expected state.")
        answer = api.patch(f"/workspacebuilds/{build}/cancel?expect_status=pending")
        refusal(answer, 200, "Job has been marked as canceled...")
        check(shapes.error, api.patch(f"/workspacebuilds/{build}/cancel"), 400)
        assert api.task(waiting)["status"] == "error"
    finally:
        cluster.workers[0].thaw()
    done = api.get(f"/workspaces/{task['workspace_id']}").json()["latest_build"]["id"]
    check(shapes.error, api.patch(f"/workspacebuilds/{done}/cancel"), 400)
    check(shapes.error, api.patch(f"/workspacebuilds/{done}/cancel?expect_status=soon"), 400)


# ---------------------------------------------------------------- provisioners and the rest

def test_provisioner_jobs(api, task):
    jobs = api.get("/organizations/default/provisionerjobs", expect=200).json()
    assert isinstance(jobs, list) and jobs
    found = api.get("/organizations/default/provisionerjobs", params={"status": "succeeded", "limit": "1"}, expect=200)
    assert len(found.json()) == 1 and found.json()[0]["status"] == "succeeded"
    one = api.get("/organizations/default/provisionerjobs", params={"ids": jobs[0]["id"]}, expect=200).json()
    assert [job["id"] for job in one] == [jobs[0]["id"]]


def test_provisioner_daemons(api, task):
    daemons = api.get("/organizations/default/provisionerdaemons", expect=200).json()
    assert [d["name"] for d in daemons] == ["w0"]
    assert daemons[0]["status"] in ("idle", "busy", "offline")


def test_what_clients_ask_for_at_the_start(api):
    assert api.get("/experiments", expect=200).json() == []
    entitlements = api.get("/entitlements", expect=200).json()
    assert {"features", "warnings", "errors", "has_license", "trial", "require_telemetry"} <= set(entitlements)
    assert entitlements["warnings"] == [] and entitlements["errors"] == []
    assert "application_name" in api.get("/appearance", expect=200).json()
    assert set(api.get("/updatecheck", expect=200).json()) == {"current", "version", "url"}


def test_the_cap_among_the_entitlements(api):
    """The one limit that there is, in the words of Coder's feature."""
    feature = api.get("/entitlements", expect=200).json()["features"].get("managed_agent_limit")
    if feature is not None:
        assert isinstance(feature["enabled"], bool) and feature.get("limit", 0) >= 0


def test_nil_ids_are_of_nothing(api):
    for path in (f"/templates/{NIL_UUID}", f"/templateversions/{NIL_UUID}", f"/workspaces/{NIL_UUID}",
                 f"/workspacebuilds/{NIL_UUID}", f"/workspaceagents/{NIL_UUID}"):
        check(shapes.error, api.get(path), 404)
