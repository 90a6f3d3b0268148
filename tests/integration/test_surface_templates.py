# SPDX-License-Identifier: Apache-2.0
"""Templates and their versions as Coder's clients use them: lists, searches, changes, parts."""

import pytest

from lib import templates
from lib.api import NIL_UUID, message_of, pack
from lib.wait import wait_until

CLUSTER = dict(workers=1)

VERSION = {"id", "template_id", "organization_id", "created_at", "updated_at", "name", "message",
           "job", "readme", "created_by", "archived", "has_external_agent"}
TEMPLATE = {"id", "created_at", "updated_at", "organization_id", "organization_name",
            "organization_display_name", "organization_icon", "name", "display_name",
            "provisioner", "active_version_id", "active_user_count", "build_time_stats",
            "description", "deprecated", "deprecation_message", "deleted", "icon",
            "default_ttl_ms", "activity_bump_ms", "autostop_requirement", "autostart_requirement",
            "created_by_id", "created_by_name", "allow_user_autostart", "allow_user_autostop",
            "allow_user_cancel_workspace_jobs", "failure_ttl_ms", "time_til_dormant_ms",
            "time_til_dormant_autodelete_ms", "require_active_version", "max_port_share_level",
            "cors_behavior", "use_classic_parameter_flow", "disable_module_cache"}


@pytest.fixture(scope="module")
def pushed(cluster):
    """A template of three versions, the first one active."""
    api = cluster.api()
    template = api.push_template("three", templates.shell(description="1"),
                                 display_name="Third of all")
    versions = [template.version_id]
    for i in (2, 3):
        versions.append(api.import_version(pack(templates.shell(description=str(i))), name=f"v{i}",
                                           message=f"the {i}.", template_id=template.id)["id"])
    return template, versions


def names(api, q, path="/templates"):
    found = api.get(path, params={"q": q}, expect=200).json()
    assert isinstance(found, list) and all(set(t) == TEMPLATE for t in found)
    return [t["name"] for t in found]


def test_the_search_for_templates(cluster, api, pushed):
    """Goal: each key finds what it names; what is no query is 400 and says which key."""
    organization = api.organization_id()
    old = api.push_template("old-one", templates.shell(description="old"))
    api.patch(f"/templates/{old.id}", {"deprecation_message": "use three"}, expect=200)
    shell = next(n for n in names(api, "") if n != "three")
    everything = sorted([shell, "three"])
    for path in ("/templates", "/organizations/default/templates",
                 f"/organizations/{organization}/templates"):
        assert names(api, "", path) == everything
        assert names(api, "deprecated:true", path) == ["old-one"]
        assert names(api, "exact_name:three", path) == ["three"]
    assert names(api, f'organization:"{organization}" has-ai-task:true') == everything
    assert names(api, "has-ai-task:false") == []
    assert names(api, "name:THRE") == ["three"] and names(api, "exact_name:thre") == []
    assert names(api, "third of") == ["three"] and names(api, "hre") == ["three"]
    assert names(api, 'exact_display_name:"third of all"') == ["three"]
    assert names(api, "display_name:ird") == ["three"]
    assert names(api, "author:me") == everything and names(api, "author:bob") == []
    assert names(api, "organization:default, exact_name:three,") == ["three"]
    for q, field in (("has-ai-task:perhaps", "has-ai-task"), ("deprecated:x", "deprecated"),
                     ("organization:nope", "organization"), ("colour:red", "colour"),
                     ("a:b:c", "q"), (":a", "q"), ("name:a name:b", "q")):
        body = api.get("/templates", params={"q": q}, expect=400).json()
        assert body["message"] == "Invalid template search query."
        assert body["validations"][0]["field"] == field, body
    api.get("/organizations/nope/templates", expect=404)
    assert names(cluster.api("bob"), "") == everything


def test_versions_of_a_template(api, pushed):
    """Goal: listed oldest first, by page and by name; the same object from every side."""
    template, ids = pushed
    path = f"/templates/{template.id}/versions"
    listed = api.get(path, expect=200).json()
    assert [v["id"] for v in listed] == ids
    assert all(set(v) == VERSION for v in listed)
    assert listed[1]["name"] == "v2" and listed[1]["message"] == "the 2."
    assert listed[0]["job"]["metadata"]["template_name"] == "three"
    assert [v["id"] for v in api.get(path, params={"limit": 1, "offset": 1}).json()] == ids[1:2]
    assert [v["id"] for v in api.get(path, params={"after_id": ids[0]}).json()] == ids[1:]
    by_id = api.get(f"/templateversions/{ids[1]}", expect=200).json()
    assert by_id == listed[1] == api.get(path + "/V2", expect=200).json()
    organization = api.organization_id()
    assert by_id == api.get(f"/organizations/{organization}/templates/three/versions/v2",
                            expect=200).json()
    api.get(path + "/v9", expect=404)
    api.get(f"/templates/{NIL_UUID[:-1]}7/versions", expect=404)
    api.get(f"/templates/{NIL_UUID[:-1]}7/versions/v2", expect=404)
    api.get("/templates/x/versions", expect=400)


def test_a_version_is_renamed(cluster, api, pushed):
    """Goal: PATCH changes what is given; a name that is taken is 409, a bad one 400."""
    _, ids = pushed
    path = f"/templateversions/{ids[2]}"
    assert api.patch(path, {"message": "new"}, expect=200).json()["message"] == "new"
    changed = api.patch(path, {"name": "v3.1"}, expect=200).json()
    assert (changed["name"], changed["message"]) == ("v3.1", "new")
    taken = api.patch(path, {"name": "V2"}, expect=409)
    assert message_of(taken) == 'A template version with name "V2" already exists for this template.'
    message_of(api.patch(path, {"name": "no spaces"}, expect=400))
    message_of(api.patch(path, {"name": 7}, expect=400))
    api.patch(f"/templateversions/{NIL_UUID[:-1]}7", {"name": "x"}, expect=404)
    message_of(cluster.api("bob").patch(path, {"name": "mine"}, expect=403))


def test_archive(cluster, api, pushed):
    """Goal: what nobody uses can be archived, is hidden then, makes no task; and back again."""
    template, ids = pushed
    path = f"/templateversions/{ids[1]}"
    active = api.post(f"/templateversions/{ids[0]}/archive", expect=400)
    assert message_of(active) == "Unable to archive specified version."
    message_of(api.post(path + "/archive", expect=200))
    message_of(api.post(path + "/archive", expect=200))
    assert api.get(path, expect=200).json()["archived"] is True
    listing = f"/templates/{template.id}/versions"
    assert ids[1] not in [v["id"] for v in api.get(listing).json()]
    assert ids[1] in [v["id"] for v in api.get(listing, params={"include_archived": "true"}).json()]
    refused = api.create(ids[1], "echo no", expect=500)
    assert message_of(refused) == "Archived template versions cannot be used to make a workspace."
    message_of(cluster.api("bob").post(path + "/unarchive", expect=403))
    message_of(api.post(path + "/unarchive", expect=200))
    assert api.get(path, expect=200).json()["archived"] is False
    many = api.post(listing + "/archive", {"all": True}, expect=200).json()
    assert many["template_id"] == template.id and set(many["archived_ids"]) == set(ids[1:])
    for version_id in ids[1:]:
        api.post(f"/templateversions/{version_id}/unarchive", expect=200)
    assert api.post(listing + "/archive", {}, expect=200).json()["archived_ids"] == []


def test_parts_of_a_version(api, pushed):
    """Goal: resources, presets, parameters, variables, external auth: arrays, always."""
    _, ids = pushed
    path = f"/templateversions/{ids[0]}"
    resources = api.get(path + "/resources", expect=200).json()
    assert [r["workspace_transition"] for r in resources] == ["start"]
    agent = resources[0]["agents"][0]
    assert agent["name"] == "main" and len(agent["apps"]) == 1
    for part in ("presets", "rich-parameters", "variables", "external-auth"):
        assert api.get(f"{path}/{part}", expect=200).json() == [], part
    for part in ("", "/resources", "/presets", "/rich-parameters", "/variables", "/external-auth",
                 "/logs"):
        api.get(f"/templateversions/{NIL_UUID[:-1]}7{part}", expect=404)
        api.get(f"/templateversions/x{part}", expect=400)


def test_parameters_and_presets(cluster, api, pushed):
    """Goal: what the import has found is shown in Coder's words, presets with capital letters."""
    _, ids = pushed
    preset = "6b2a1c9e-0000-4000-8000-000000000001"
    cluster.sql(
        "INSERT INTO template_version_parameters (template_version_id, name, position,"
        " display_name, description, type, mutable, required, default_value, options,"
        " validation_min, validation_max) VALUES"
        " (%s, 'size', 1, 'Size', 'how big', 'number', true, false, '3', '[]', 1, 9),"
        " (%s, 'where', 0, '', '', 'string', false, true, '',"
        " '[{\"name\": \"Here\", \"value\": \"h\"}]', NULL, NULL)", ids[2], ids[2])
    cluster.sql("INSERT INTO template_version_presets VALUES (%s, %s, 'Small', 0, 'd', '', true)",
                preset, ids[2])
    cluster.sql("INSERT INTO template_version_preset_parameters VALUES (%s, 'size', '1')", preset)
    found = api.get(f"/templateversions/{ids[2]}/rich-parameters", expect=200).json()
    assert [p["name"] for p in found] == ["where", "size"]
    where, size = found
    assert where["options"] == [{"name": "Here", "value": "h", "description": "", "icon": ""}]
    assert where["required"] is True and where["form_type"] == "radio"
    assert "validation_min" not in where
    assert (size["validation_min"], size["validation_max"]) == (1, 9)
    assert (size["default_value"], size["mutable"], size["type"]) == ("3", True, "number")
    assert api.get(f"/templateversions/{ids[2]}/presets", expect=200).json() == [{
        "ID": preset, "Name": "Small", "Parameters": [{"Name": "size", "Value": "1"}],
        "Default": True, "DesiredPrebuildInstances": None, "Description": "d", "Icon": ""}]


def test_coders_way_to_push(api):
    """Goal: `templates push` says terraform, tags and variables; a version that can run comes of it."""
    version = api.import_version(pack(templates.shell(description="pushed")), provisioner="terraform",
                                 tags={"scope": "organization"}, user_variable_values=[])
    assert version["job"]["status"] == "succeeded", version["job"]
    organization = api.organization_id()
    where = f"/organizations/{organization}/templateversions"
    good = {"storage_method": "file", "file_id": version["file_id"], "provisioner": "local"}
    for bad in ({"tags": []}, {"user_variable_values": {}}, {"provisioner": "echo"},
                {"storage_method": "git"}, {"name": "a b"}, {"file_id": None}):
        message_of(api.post(where, good | bad, expect=400))
    canceled = api.patch(f"/templateversions/{version['id']}/cancel", expect=400)
    assert message_of(canceled) == "Job has already completed!"


def test_an_import_is_canceled(cluster, api, pushed):
    """Goal: an import that waits for a worker is canceled at once, a second time is refused."""
    _, ids = pushed
    file_id = api.get(f"/templateversions/{ids[0]}", expect=200).json()["job"]["file_id"]
    cluster.workers[0].stop()
    try:
        version = api.post(f"/organizations/{api.organization_id()}/templateversions",
                           {"storage_method": "file", "file_id": file_id, "provisioner": "local"},
                           expect=201).json()
        assert version["job"]["status"] == "pending"
        path = f"/templateversions/{version['id']}"
        message_of(cluster.api("bob").patch(path + "/cancel", expect=403))
        said = message_of(api.patch(path + "/cancel", expect=200))
        assert said == "Job has been marked as canceled..."
        assert api.get(path, expect=200).json()["job"]["status"] == "canceled"
        message_of(api.patch(path + "/cancel", expect=400))
    finally:
        cluster.workers[0].start()
    again = api.import_version(pack(templates.shell(description="after the cancel")))
    assert again["job"]["status"] == "succeeded", "the worker is back"


def test_a_template_is_removed(cluster, api):
    """Goal: DELETE refuses while a task uses it, frees the name, is the writers' alone."""
    template = api.push_template("short-lived", templates.shell(description="short"))
    task = api.create(template, "echo once")
    api.wait_complete(task)
    used = api.delete(f"/templates/{template.id}", expect=400)
    assert message_of(used) == "All workspaces must be deleted before a template can be removed."
    api.remove(task)
    message_of(cluster.api("bob").delete(f"/templates/{template.id}", expect=403))
    wait_until(lambda: api.delete(f"/templates/{template.id}").status_code == 200, "removed", 15)
    api.get(f"/templates/{template.id}", expect=404)
    api.delete(f"/templates/{template.id}", expect=404)
    assert "short-lived" not in names(api, "")
    api.push_template("short-lived", templates.shell(description="again"))
