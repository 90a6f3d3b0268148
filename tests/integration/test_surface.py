# SPDX-License-Identifier: Apache-2.0
"""What Coder's clients ask for at their start, and of the installation as a whole."""

import hashlib

import pytest

from lib import templates
from lib.api import EXPERIMENTAL, NIL_UUID, message_of, pack

CLUSTER = dict(workers=1)

# Each with the members that clients read.
STARTS = {
    "/buildinfo": {"external_url", "version", "dashboard_url", "telemetry", "workspace_proxy",
                   "agent_api_version", "provisioner_api_version", "upgrade_message",
                   "deployment_id"},
    "/appearance": {"application_name", "logo_url", "docs_url", "service_banner",
                    "announcement_banners", "support_links"},
    "/applications/host": {"host"},
    "/deployment/config": {"config", "options"},
    "/deployment/ssh": {"hostname_prefix", "hostname_suffix", "ssh_config_options"},
    "/entitlements": {"features", "warnings", "errors", "has_license", "trial",
                      "require_telemetry", "refreshed_at"},
    "/experiments/available": {"safe"},
    "/external-auth": {"providers", "links"},
    "/notifications/dispatch-methods": {"available", "default"},
    "/notifications/inbox": {"notifications", "unread_count"},
    "/notifications/settings": {"notifier_paused"},
    "/regions": {"regions"},
    "/updatecheck": {"current", "version", "url"},
    "/users/me/preferences": {"task_notification_alert_dismissed"},
}
EMPTY_LISTS = ["/experiments", "/templates/examples", "/notifications/templates/system",
               "/users/me/notifications/preferences"]
OPEN = {"/buildinfo", "/appearance", "/updatecheck"}


@pytest.mark.parametrize("path", STARTS)
def test_asked_for_at_the_start(cluster, api, path):
    """Goal: the members that clients read, for whoever may ask, on the one prefix that has it."""
    assert set(api.get(path, expect=200).json()) == STARTS[path]
    api.with_token(None).get(path, expect=200 if path in OPEN else 401)
    assert message_of(api.get(path, prefix=EXPERIMENTAL, expect=404)) == "Route not found."
    cluster.api("bob").get(path, expect=403 if path == "/deployment/config" else 200)


@pytest.mark.parametrize("path", EMPTY_LISTS)
def test_lists_that_are_empty(api, path):
    """Goal: an array, never null."""
    assert api.get(path, expect=200).json() == []
    api.with_token(None).get(path, expect=401)


def test_what_the_dashboard_may_do(api):
    """Goal: the features that Stint has are on, by Coder's names; nothing is asked of a licence."""
    body = api.get("/entitlements", expect=200).json()
    assert body["features"]["task_batch_actions"] == {"entitlement": "entitled", "enabled": True}
    assert body["features"]["scim"]["enabled"] is False
    assert body["warnings"] == body["errors"] == []
    assert api.get("/regions").json()["regions"][0]["healthy"] is True
    api.request("PUT", "/notifications/inbox/mark-all-as-read", expect=204)


def test_authcheck(cluster, api):
    """Goal: what rights say, by the client's own names for it."""
    def check(who, resource, action, owner=None):
        object_ = {"resource_type": resource} | ({"owner_id": owner} if owner else {})
        body = {"checks": {"a b\"c": {"object": object_, "action": action}}}
        return who.post("/authcheck", body, expect=200).json()['a b"c']

    bob = cluster.api("bob")
    assert check(api, "task", "create", "me") and check(api, "user", "create")
    assert check(api, "deployment_config", "update") and check(api, "workspace", "update")
    assert check(bob, "task", "create", "me") and check(bob, "template", "read")
    assert check(bob, "workspace", "update", "bob") and check(bob, "user", "update", "me")
    for resource, action, owner in (("task", "read", None), ("task", "read", NIL_UUID),
                                    ("template", "create", None), ("user", "create", None),
                                    ("deployment_config", "read", None), ("audit_log", "read", None),
                                    ("", "", None), ("user", "delete", "me")):
        assert not check(bob, resource, action, owner), (resource, action, owner)
    assert api.post("/authcheck", {"checks": {}}, expect=200).json() == {}
    assert bob.post("/authcheck", {"checks": {"x": 7, "y": None}}, expect=200).json() == {
        "x": False, "y": False}
    for bad in ({}, {"checks": []}, {"checks": {str(i): {} for i in range(129)}}):
        message_of(api.post("/authcheck", bad, expect=400))


def test_organizations(cluster, api):
    """Goal: the one there is, by its id, its name and the word default, in every list."""
    listed = api.get("/organizations", expect=200).json()
    assert len(listed) == 1 and listed[0]["is_default"] is True
    for name in (listed[0]["id"], listed[0]["name"], "default"):
        assert api.get(f"/organizations/{name}", expect=200).json() == listed[0]
        assert api.get(f"/users/me/organizations/{name}", expect=200).json() == listed[0]
    assert api.get("/users/me/organizations", expect=200).json() == listed
    for path in ("/organizations/nope", "/users/me/organizations/nope",
                 "/organizations/nope/provisionerjobs", "/organizations/nope/provisionerdaemons",
                 f"/organizations/nope/provisionerjobs/{NIL_UUID}"):
        message_of(api.get(path, expect=404))


def test_files_come_back(cluster, api):
    """Goal: an archive is what was uploaded, for those who write templates; for others it is not."""
    archive = pack(templates.shell(description="file"))
    file_id = api.upload(archive)
    answer = api.get(f"/files/{file_id}", expect=200)
    assert answer.headers["Content-Type"] == "application/x-tar"
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(archive).digest()
    api.get(f"/files/{NIL_UUID[:-1]}7", expect=404)
    api.get("/files/x", expect=400)
    cluster.api("bob").get(f"/files/{file_id}", expect=404)


@pytest.fixture(scope="module")
def worked(cluster):
    """Jobs of two people."""
    for who in ("admin", "bob"):
        user = cluster.api(who)
        user.wait_complete(user.create(cluster.shell, "echo job", name=f"job-of-{who}"))
    return cluster


JOBS = "/organizations/default/provisionerjobs"


def test_provisioner_jobs(worked, api):
    """Goal: newest first, by every filter, each as one too; a member sees its own."""
    jobs = api.get(JOBS, expect=200).json()
    assert [j["created_at"] for j in jobs] == sorted((j["created_at"] for j in jobs), reverse=True)
    build = next(j for j in jobs if j["metadata"].get("workspace_name") == "job-of-bob")
    assert build["type"] == "workspace_build" and set(build["input"]) == {"workspace_build_id"}
    assert build["status"] == "succeeded"
    imported = next(j for j in jobs if j["type"] == "template_version_import")
    assert set(imported["input"]) == {"template_version_id"}
    assert api.get(f"{JOBS}/{build['id']}", expect=200).json() == build

    def ids(who=api, **parameters):
        return [j["id"] for j in who.get(JOBS, params=parameters, expect=200).json()]

    everything = [j["id"] for j in jobs]
    assert ids(limit=1) == everything[:1]
    assert ids(ids=f"{build['id']},{imported['id']}") == [build["id"], imported["id"]]
    assert ids(status="succeeded,failed") == everything and ids(status="pending") == []
    assert ids(initiator=build["initiator_id"]) == [build["id"]]
    assert build["id"] not in ids(initiator="me")
    assert ids(tags='{"scope":"organization","owner":""}') == everything
    assert ids(tags='{"scope":"user"}') == [] == ids(tags='{"colour":"red"}')
    bob = worked.api("bob")
    assert ids(bob) == [build["id"]]
    bob.get(f"{JOBS}/{imported['id']}", expect=404)
    api.get(f"{JOBS}/{NIL_UUID[:-1]}7", expect=404)
    for bad in ("status=done", "ids=x", "initiator=x", "limit=x", "tags=x", "tags=[]"):
        body = api.get(f"{JOBS}?{bad}", expect=400).json()
        assert body["validations"][0]["field"] == bad.split("=")[0]


def test_provisioner_daemons(worked, api):
    """Goal: every worker with what it does; those that are gone only for who asks for them."""
    path = "/organizations/default/provisionerdaemons"
    worker, = api.get(path, expect=200).json()
    assert {"id", "organization_id", "key_id", "created_at", "last_seen_at", "name", "version",
            "api_version", "provisioners", "tags", "key_name", "status"} == set(worker)
    assert worker["status"] == "idle" and "local" in worker["provisioners"]
    assert api.get(path, params={"status": "offline"}, expect=200).json() == []
    assert api.get(path, params={"tags": '{"scope":"user"}'}, expect=200).json() == []
    assert api.get(path, params={"ids": NIL_UUID[:-1] + "7"}, expect=200).json() == []
    assert [w["id"] for w in api.get(path, params={"ids": worker["id"]}).json()] == [worker["id"]]
    gone = NIL_UUID[:-1] + "9"
    worked.sql("INSERT INTO workers (id, name, host, provisioners, slots, version, state)"
               " VALUES (%s, 'old', 'h', '{local}', 1, '0', 'gone')", gone)
    assert [w["id"] for w in api.get(path, expect=200).json()] == [worker["id"]]
    shown = {w["id"]: w["status"] for w in api.get(path, params={"offline": "true"}).json()}
    assert shown == {worker["id"]: "idle", gone: "offline"}


STRANGE = ["%ff", "%00", "a%00b", "%c0%af", "..%2f", "%22", "'", "%F0%9F%98%80", "x" * 900, "%0a", "a" * 70000]


@pytest.mark.parametrize("strange", STRANGE, ids=[s[:12] for s in STRANGE])
def test_strange_words_are_answered(cluster, api, strange):
    """Goal: whatever stands where a word or a value is expected gets a 4xx, or finds nothing."""
    version, template = cluster.shell.version_id, cluster.shell.id
    paths = [f"/users/me/workspace/{strange}", f"/users/{strange}/workspace/x",
             f"/users/me/workspace/x/builds/{strange}", f"/organizations/default/templates/{strange}",
             f"/organizations/default/templates/shell/versions/{strange}",
             f"/templates/{template}/versions/{strange}", f"/organizations/{strange}",
             f"/users/me/organizations/{strange}", f"/templateversions/{version}/{strange}",
             f"/organizations/default/provisionerjobs/{strange}", f"/files/{strange}"]
    lists = ["/templates?q=", "/templates?q=name:", "/workspaces?q=", "/workspaces?q=owner:",
             "/workspaces?q=status:", "/workspaces?limit=", "/tasks?q=", "/tasks?q=status:",
             f"/templates/{template}/versions?after_id=", f"/templates/{template}/versions?include_archived=",
             "/organizations/default/provisionerjobs?tags=", "/organizations/default/provisionerjobs?status=",
             "/organizations/default/provisionerjobs?ids=", "/organizations/default/provisionerjobs?initiator=",
             "/organizations/default/provisionerdaemons?status=", "/organizations/default/provisionerdaemons?ids="]
    for path in paths + [query + strange for query in lists]:
        answer = api.get(path)
        assert answer.status_code < 500, (path[:80], answer.status_code, answer.text[:300])
        if path in paths:
            assert answer.status_code >= 400 or strange == "..%2f", (path[:80], answer.status_code)


VALUES = [None, True, 0, -1, 1e308, 2**63, "", "\0", "x" * 40000, "\ud83d\ude00", [], [None], {}, {"": {}},
          [[]] * 50, NIL_UUID]
BODIES = {
    ("POST", "/authcheck"): ["checks"],
    ("POST", "/organizations/default/templates"): ["name", "template_version_id", "default_ttl_ms", "icon"],
    ("POST", "/organizations/default/templateversions"): [
        "name", "message", "file_id", "template_id", "provisioner", "storage_method", "tags",
        "user_variable_values"],
    ("PATCH", "/templates/{template}"): ["name", "display_name", "activity_bump_ms", "deprecation_message"],
    ("PATCH", "/templates/{template}/versions"): ["id"],
    ("POST", "/templates/{template}/versions/archive"): ["all"],
    ("PATCH", "/templateversions/{version}"): ["name", "message"],
    ("POST", "/workspaces/{workspace}/builds"): [
        "transition", "reason", "template_version_id", "rich_parameter_values", "orphan"],
    ("PUT", "/workspaces/{workspace}/ttl"): ["ttl_ms"],
}


@pytest.mark.parametrize("route", BODIES, ids=lambda r: " ".join(r) if isinstance(r, tuple) else r)
def test_strange_bodies_are_answered(cluster, route):
    """Goal: whatever a member of a body is, and whatever stands for a body, is a 4xx or is done."""
    api = cluster.api()
    template = api.push_template(f"strange-{abs(hash(route)) % 10**8}", templates.shell(description=str(route)))
    task = api.create(template, "sleep 1")
    method, path = route
    path = path.format(template=template.id, version=template.version_id, workspace=task["workspace_id"])
    for body in (b"", b"null", b"[]", b"7", b'"x"', b"{", b'{"a":1', b"\xff\xfe", b'{"a":' * 3000,
                 b"[" * 30000, b'{"a":1}{"b":2}', b'{"a":"\xff"}'):
        answer = api.request(method, path, data=body, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500, (body[:40], answer.status_code, answer.text[:200])
    for member in BODIES[route]:
        for value in VALUES:
            answer = api.request(method, path, json={member: value})
            assert answer.status_code < 500, (member, repr(value)[:60], answer.status_code, answer.text[:200])
