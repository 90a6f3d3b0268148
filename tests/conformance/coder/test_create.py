# SPDX-License-Identifier: Apache-2.0
"""Creating a task: what the body may hold, in which order it is looked at, and the names."""

import re

import pytest

from lib import shapes, templates
from lib.api import NIL_UUID, pack
from lib.shapes import refusal
from lib.wait import wait_until

CLUSTER = dict(workers=1)

SOME_UUID = "7d0bd6d9-35d4-4a3c-9a0e-0f1fd1a1c9b2"  # of nothing
NOT_FOUND = "Resource not found or you do not have access to this resource"
NO_VERSION = "Template version not found or you do not have access to this resource"
NO_AI_TASK = 'Template does not have a valid "coder_ai_task" resource.'
BAD_NAME = "Unable to create a Task with the provided name."
LONG_DISPLAY_NAME = "Display name must be 64 characters or less."
BAD_JSON = "Request body must be valid JSON."
TAKEN = [("name", "This value is already in use and should be unique.")]

IDLE = "true"  # a prompt that is over at once


@pytest.fixture(scope="module")
def not_for_tasks(cluster):
    """A version that was imported well and cannot run tasks."""
    version = cluster.api().import_version(pack(templates.shell()))
    assert version["job"]["status"] == "succeeded"
    cluster.sql("UPDATE template_versions SET has_ai_task = false WHERE id = %s", version["id"])
    template = cluster.api().post(
        f"/organizations/{version['organization_id']}/templates",
        {"name": "not-for-tasks", "template_version_id": version["id"]}, expect=201)
    return version | {"template_id": template.json()["id"]}


@pytest.fixture
def post(cluster, api):
    """post(user="me", **body) with the module's template version unless another is named."""
    def post(user="me", **body):
        body = {"template_version_id": cluster.shell.version_id} | body
        return api.post(f"/tasks/{user}", {k: v for k, v in body.items() if v is not None})
    return post


# ---------------------------------------------------------------- the answer

def test_201_with_the_task_as_it_is_then(api, post):
    """A start is given to a worker in the commit that makes it, where one is free, and then the
    task is not pending any more but initializing; no agent is there yet."""
    name = f"answer-{api.prefix[-1]}"
    task = shapes.check(shapes.task, post(input="true", name=name), 201)
    assert task["name"] == task["workspace_name"] == name
    assert (task["status"], task["workspace_status"]) in (("pending", "pending"), ("initializing", "starting"))
    assert task["workspace_build_number"] == 1
    assert task["initial_prompt"] == "true"
    assert task["workspace_agent_id"] is None and task["workspace_app_id"] is None
    assert task["workspace_agent_lifecycle"] is None and task["workspace_agent_health"] is None


def test_201_with_a_task_that_waits(cluster, api, post):
    """While no worker asks for work the build is pending, and so is the task; without a state."""
    cluster.workers[0].freeze()
    try:
        post(input=IDLE)  # takes what the worker asked for before
        task = shapes.check(shapes.task, post(input=IDLE), 201)
        assert task["status"] == "pending" and task["workspace_status"] == "pending"
        assert task["current_state"] is None
    finally:
        cluster.workers[0].thaw()
    api.wait_complete(task)


def test_the_template_version_is_the_one_that_was_asked_for(cluster, post):
    task = post(input=IDLE).json()
    assert task["template_version_id"] == cluster.shell.version_id
    assert task["template_id"] == cluster.shell.id and task["template_name"] == "shell"


def test_the_owner_is_named_by_me_by_name_or_by_id(cluster, post):
    admin = cluster.session.user_ids["admin"]
    for user in ("me", "admin", "ADMIN", admin, admin.upper()):
        task = post(user, input=IDLE).json()
        assert (task["owner_id"], task["owner_name"]) == (admin, "admin")


def test_an_owner_of_the_deployment_creates_for_others(cluster, post):
    task = post("bob", input=IDLE).json()
    assert (task["owner_id"], task["owner_name"]) == (cluster.session.user_ids["bob"], "bob")


def test_a_member_does_not_create_for_others(users, cluster):
    refused = users("carol").post("/tasks/bob", {"template_version_id": cluster.shell.version_id, "input": IDLE})
    assert refused.status_code in (403, 404), refused.text
    shapes.error(refused.json())


# ---------------------------------------------------------------- the body

def test_an_empty_input_is_accepted(post):
    """Only command line and MCP refuse it."""
    assert shapes.check(shapes.task, post(input=""), 201)["initial_prompt"] == ""


def test_an_absent_input_is_an_empty_one(post):
    assert shapes.check(shapes.task, post(), 201)["initial_prompt"] == ""


def test_the_input_comes_back_as_it_was(api, post):
    text = "a <b> & \u2028 \u00e4\U0001f600 \"quoted\"\ttab\nline"
    task = shapes.check(shapes.task, post(input=text), 201)
    assert task["initial_prompt"] == text == api.task(task)["initial_prompt"]


def test_the_nil_preset_is_no_preset(post):
    """Go cannot leave it out."""
    shapes.check(shapes.task, post(input=IDLE, template_version_preset_id=NIL_UUID), 201)


def test_an_absent_preset_is_no_preset(post):
    shapes.check(shapes.task, post(input=IDLE), 201)


def test_an_unknown_preset_is_refused(post):
    refused = post(input=IDLE, template_version_preset_id=SOME_UUID)
    refusal(refused, 400, "Template version preset not found.")


@pytest.fixture(scope="module")
def wanting(cluster):
    """A template with a parameter that has no default; one of its presets has a value for it."""
    return cluster.api().push_template("wanting", templates.shell(
        'echo "repo is $CODER_PARAMETER_REPO"', parameters=[{"name": "repo", "type": "string", "required": True}],
        presets=[{"name": "Ours", "parameters": [{"name": "repo", "value": "git@ours"}]},
                 {"name": "Empty", "parameters": []}]))


def test_a_required_parameter_without_a_value(post, wanting):
    """Values cannot be given this way; defaults and presets have them, or nobody has."""
    body = shapes.check(shapes.error, post(input=IDLE, template_version_id=wanting.version_id), 400)
    assert body["message"] == 'Unable to validate parameter "repo"', body
    nil = post(input=IDLE, template_version_id=wanting.version_id, template_version_preset_id=NIL_UUID)
    assert shapes.check(shapes.error, nil, 400)["message"] == body["message"]


def test_a_preset_with_a_value(v2, post, wanting):
    """By the id that the list of presets shows; one that is of no help is refused as none would be."""
    presets = shapes.check(shapes.array(shapes.preset), v2.get(f"/templateversions/{wanting.version_id}/presets"))
    ids = {preset["Name"]: preset["ID"] for preset in presets}
    assert {p["Name"]: p["Parameters"] for p in presets} == {
        "Ours": [{"Name": "repo", "Value": "git@ours"}], "Empty": []}
    made = post(input=IDLE, template_version_id=wanting.version_id, template_version_preset_id=ids["Ours"])
    task = shapes.check(shapes.task, made, 201)
    build = v2.get(f"/workspaces/{task['workspace_id']}").json()["latest_build"]
    assert build["template_version_preset_id"] == ids["Ours"]
    empty = post(input=IDLE, template_version_id=wanting.version_id, template_version_preset_id=ids["Empty"])
    shapes.check(shapes.error, empty, 400)
    refusal(post(input=IDLE, template_version_preset_id=ids["Ours"]), 400, "Template version preset not found.")


def test_unknown_fields_are_passed_over(post):
    """Parameters cannot be given this way; whoever tries is not refused."""
    shapes.check(shapes.task, post(
        input=IDLE, rich_parameter_values=[{"name": "a", "value": "b"}], prompt="old name", more=1), 201)


def test_empty_names_are_absent_names(post):
    task = shapes.check(shapes.task, post(input="say hello", name="", display_name=""), 201)
    assert re.fullmatch(r"say-hello-[0-9a-f]{4}", task["name"])


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"input": }', b'{"input": "x"', b"{'input': 1}"])
def test_what_is_not_json(api, body):
    refusal(api.request("POST", "/tasks/me", data=body), 400, BAD_JSON)


@pytest.mark.parametrize("body", [{"input": 7}, {"name": ["x"]}, {"template_version_id": 5},
                                  {"template_version_id": "no-uuid"},
                                  {"template_version_preset_id": "x"}])
def test_json_of_the_wrong_kind(cluster, api, body):
    """What Go could not decode is 400, with the sentence for bad JSON."""
    refused = api.post("/tasks/me", {"template_version_id": cluster.shell.version_id} | body)
    refusal(refused, 400, BAD_JSON)


def test_a_body_over_the_limit(api):
    refusal(api.request("POST", "/tasks/me", data=b'{"input": "' + b"x" * (12 << 20) + b'"}'),
            413, "Request body too large.")


def test_the_content_type_of_the_request_does_not_matter(cluster, api):
    """Clients of Coder send JSON under many names, or none."""
    body = '{"template_version_id": "%s", "input": "true"}' % cluster.shell.version_id
    for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded", ""):
        answer = api.request("POST", "/tasks/me", data=body.encode(), headers={"Content-Type": content_type})
        shapes.check(shapes.task, answer, 201)


# ---------------------------------------------------------------- refusals

@pytest.mark.parametrize("version", [NIL_UUID, SOME_UUID])
def test_an_unknown_template_version(post, version):
    """400, not 404."""
    refusal(post(input=IDLE, template_version_id=version), 400, NO_VERSION)


def test_an_absent_template_version(api):
    """As the nil uuid: of nothing."""
    refused = api.post("/tasks/me", {"input": IDLE})
    assert refused.status_code == 400, refused.text
    shapes.error(refused.json())


def test_a_version_that_cannot_run_tasks(post, not_for_tasks):
    refusal(post(input=IDLE, template_version_id=not_for_tasks["id"]), 400, NO_AI_TASK)


def test_a_version_whose_import_failed(v2, post):
    """400 that says so, before anything else is said of the version; the detail has the reason."""
    version = v2.import_version(pack({"template.yaml": "nonsense: true\n"}))
    assert version["job"]["status"] == "failed"
    body = shapes.check(shapes.error, post(input=IDLE, template_version_id=version["id"]), 400)
    assert "failed to import" in body["message"] and "nonsense" in body["detail"], body


def test_a_version_that_is_being_imported(cluster, v2, post):
    """406: it can be used when its import is over."""
    cluster.workers[0].freeze()
    try:
        file_id = v2.upload(pack(templates.shell(f"echo {id(post)}")))
        version = v2.post(f"/organizations/{v2.organization_id()}/templateversions", {
            "storage_method": "file", "file_id": file_id, "provisioner": "local"}, expect=201).json()
        body = shapes.check(shapes.error, post(input=IDLE, template_version_id=version["id"]), 406)
        assert re.fullmatch(r"The provided template version is (pending|running)\. "
                            r"Wait for it to complete importing!", body["message"]), body
    finally:
        cluster.workers[0].thaw()


@pytest.mark.parametrize("name", ["-a", "a-", "a--b", "a b", "a_b", "a.b", "new", "create", "x" * 33, "\u00e4",
                                  "a/b", "a\n", " a"])
def test_names_outside_the_rule(post, name):
    refusal(post(input=IDLE, name=name), 400, BAD_NAME, detail=True)


@pytest.mark.parametrize("name", ["a", "A1", "Some-Name-2", "7", "x" * 32, "new-one", "created"])
def test_names_within_the_rule(api, post, name):
    """Letters, digits and single hyphens inside; at most 32; as they were written."""
    name = name[:-2] + api.prefix[-1] if len(name) == 32 else f"{name}-{api.prefix[-1]}"
    assert shapes.check(shapes.task, post(input=IDLE, name=name), 201)["name"] == name


def test_a_display_name_of_64_bytes(post):
    for name in ("d" * 64, "\u00e9" * 32):
        assert post(input=IDLE, display_name=name).json()["display_name"] == name


@pytest.mark.parametrize("name", ["d" * 65, "\u00e9" * 33])
def test_a_display_name_of_more_than_64_bytes(post, name):
    """Bytes are counted, whatever the sentence says."""
    refusal(post(input=IDLE, display_name=name), 400, LONG_DISPLAY_NAME)


def test_a_display_name_is_trimmed_before_it_is_measured(post):
    task = post(input=IDLE, display_name=" \t" + "d" * 64 + "\n ").json()
    assert task["display_name"] == "d" * 64


@pytest.mark.parametrize("user", ["nobody-here", SOME_UUID, NIL_UUID])
def test_an_unknown_owner(post, user):
    refusal(post(user, input=IDLE), 404, NOT_FOUND)


def test_a_name_that_is_in_use(cluster, api, post):
    """409 with a validation; whatever the case of its letters, and per owner."""
    name = f"taken-{api.prefix[-1]}"
    assert post(input=IDLE, name=name).status_code == 201
    for again in (name, name.upper()):
        refusal(post(input=IDLE, name=again), 409, f'Workspace "{again}" already exists.', validations=TAKEN)
    assert post("bob", input=IDLE, name=name).status_code == 201


def test_a_deleted_tasks_name_is_in_use_until_its_workspace_is_gone(cluster, api, post):
    """The task is gone at once, its workspace keeps the name until the delete build has ended."""
    name = f"mortal-{api.prefix[-1]}"
    task = post(input=IDLE, name=name).json()
    api.wait_complete(task)
    cluster.workers[0].freeze()
    try:
        api.remove(task)
        api.get(f"/tasks/me/{name}", expect=404)
        refusal(post(input=IDLE, name=name), 409, f'Workspace "{name}" already exists.', validations=TAKEN)
    finally:
        cluster.workers[0].thaw()
    wait_until(lambda: post(input=IDLE, name=name).status_code == 201, "the name is free", 10)


def test_a_deprecated_template(v2, post):
    old = v2.push_template(f"deprecated-{id(post) % 100000}", templates.shell())
    v2.patch(f"/templates/{old.id}", {"deprecation_message": "use the new one"}, expect=200)
    refused = post(input=IDLE, template_version_id=old.version_id)
    body = shapes.check(shapes.error, refused, 400)
    assert "deprecated" in body["message"], body


# ---------------------------------------------------------------- what is looked at first

def test_json_comes_before_the_template_version(api):
    refusal(api.request("POST", "/tasks/me", data=b'{"template_version_id": "' + SOME_UUID.encode()), 400, BAD_JSON)


def test_the_template_version_comes_before_its_kind_and_the_name(post):
    refusal(post(input=IDLE, template_version_id=SOME_UUID, name="a b", display_name="d" * 65), 400, NO_VERSION)


def test_the_versions_kind_comes_before_the_name(post, not_for_tasks):
    refusal(post(input=IDLE, template_version_id=not_for_tasks["id"], name="a b", display_name="d" * 65),
            400, NO_AI_TASK)


def test_the_name_comes_before_the_display_name(post):
    refusal(post(input=IDLE, name="a b", display_name="d" * 65), 400, BAD_NAME, detail=True)


def test_the_display_name_comes_before_the_names_being_taken(api, post):
    name = f"order-{api.prefix[-1]}"
    assert post(input=IDLE, name=name).status_code == 201
    refusal(post(input=IDLE, name=name, display_name="d" * 65), 400, LONG_DISPLAY_NAME)


def test_the_owner_comes_before_the_names_being_taken(api, post):
    name = f"order-of-{api.prefix[-1]}"
    assert post(input=IDLE, name=name).status_code == 201
    refusal(post("nobody-here", input=IDLE, name=name), 404, NOT_FOUND)


# ---------------------------------------------------------------- names that are made up

GENERATED = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*-[0-9a-f]{4}")


def stem(task):
    assert GENERATED.fullmatch(task["name"]) and len(task["name"]) <= 32, task["name"]
    return task["name"][:-5]


@pytest.mark.parametrize("prompt, made", [
    ("Fix the login page", "fix-the-login-page"),
    ("fix\nthe\ttests", "fix-the-tests"),
    ("What's up, Doc?!", "whats-up-doc"),
    ("a  -  b", "a-b"),
    ("--- dashes ---", "dashes"),
    ("UPPER lower 123", "upper-lower-123"),
    ("na\u00efve caf\u00e9 order", "nave-caf-order"),
    ("one two three four five six seven", "one-two-three-four-five-six"),  # 27 characters
    ("one two three four five sixx seven", "one-two-three-four-five"),  # a word is not cut
])
def test_a_name_is_made_of_the_prompt(post, prompt, made):
    """The first 27 characters up to the end of a word, in lower case, hyphens for spaces, nothing
    else than letters and digits; then a hyphen and four hexadecimal digits."""
    assert stem(post(input=prompt).json()) == made


def test_a_first_word_longer_than_a_name(post):
    assert "x" * 27 == stem(post(input="x" * 60).json())


@pytest.mark.parametrize("prompt", ["", "   ", "!!!", "\u65e5\u672c\u8a9e"])
def test_a_prompt_that_gives_no_name(post, prompt):
    """An adjective and a name then."""
    made = stem(post(input=prompt).json())
    assert re.fullmatch(r"[a-z]+-[a-z]+", made) and len(made) <= 27


def test_names_that_are_made_up_differ(post):
    assert post(input="the same").json()["name"] != post(input="the same").json()["name"]


@pytest.mark.parametrize("prompt, made", [
    ("fix the login page", "Fix the login page"),
    ("two\nlines\tand a tab", "Two lines and a tab"),
    ("w" * 64, "W" + "w" * 63),
    (("word " * 20).strip(), "Word " + ("word " * 10) + "word\u2026"),
])
def test_a_display_name_is_made_of_the_prompt(post, prompt, made):
    """At most 64 characters, up to the end of a word, an ellipsis for the rest, a capital first."""
    assert post(input=prompt).json()["display_name"] == made


def test_a_given_name_and_a_made_display_name(api, post):
    name = f"given-{api.prefix[-1]}"
    task = post(input="fix the tests", name=name).json()
    assert (task["name"], task["display_name"]) == (name, "Fix the tests")


def test_a_given_display_name_and_a_made_name(post):
    task = post(input="fix the tests", display_name="Tests!").json()
    assert (stem(task), task["display_name"]) == ("fix-the-tests", "Tests!")
