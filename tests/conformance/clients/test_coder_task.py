# SPDX-License-Identifier: Apache-2.0
"""`coder login` and `coder task …`, each command as the calls that it makes."""

import pytest
import requests

import golang as go
from cli import Coder, Failed
from lib import templates
from lib.wait import wait_until

CLUSTER = dict(workers=1)


@pytest.fixture
def coder(cluster):
    return Coder(cluster.gateway.url, cluster.session.tokens["admin"])


@pytest.fixture
def task(cluster):
    api = cluster.api()
    return api.wait_complete(api.create(cluster.shell, "echo up"))


# ---------------------------------------------------------------- coder login

def test_login_with_a_token(cluster, coder):
    """A key of its own is made from the token, and works."""
    token = coder.token
    assert coder.login_with_token(token) == "admin"
    assert coder.token != token and len(coder.token) == 33
    assert isinstance(coder.task_list(), list)


def test_login_with_a_token_as_the_session(coder):
    token = coder.token
    assert coder.login_with_token(token, use_token_as_session=True) == "admin"
    assert coder.token == token


def test_login_with_a_bad_token(coder):
    """The sentence to which the command line adds its hint."""
    with pytest.raises(go.SDKError) as refused:
        coder.login_with_token("0123456789-" + "x" * 22)
    assert refused.value.status == 401
    assert refused.value.message == (
        "You are signed out or your session has expired. Please sign in again to continue.")


def test_the_page_for_a_browser(cluster):
    """Which the command line opens, for a person to copy a token from: who is logged in is shown one,
    others are asked to log in."""
    page = requests.get(cluster.gateway.url + "/cli-auth", timeout=10,
                        cookies={"coder_session_token": cluster.session.tokens["admin"]})
    assert page.status_code == 200 and page.headers["Content-Type"].startswith("text/html")
    page = requests.get(cluster.gateway.url + "/cli-auth", timeout=10)
    assert page.status_code == 401 and page.headers["Content-Type"].startswith("text/html")


def test_login_to_a_new_deployment(clusters):
    """Nobody is there yet: the first user is made, and logs in; a second first user is refused."""
    cluster = clusters(workers=0)
    for table in ("api_keys", "users"):
        cluster.sql(f"DELETE FROM {table}")
    coder = Coder(cluster.gateway.url)
    with pytest.raises(Failed):
        coder.login_with_token("whatever")
    assert coder.login_as_first_user("pioneer", "pioneer@example.com", "correct-horse-battery-9") == "pioneer"
    assert coder.task_list() == []
    c = coder.client("coder login")
    assert coder.has_first_user(c)
    with pytest.raises(go.SDKError) as refused:
        c.call(None, 201, "POST", "/api/v2/users/first", {
            "email": "second@example.com", "username": "second", "password": "correct-horse-battery-9"})
    assert refused.value.status in (400, 409)


def test_a_client_of_another_version_is_warned(cluster):
    """It asks for the build info, once, and says so; the same version asks for nothing."""
    for version, warned in (("v2.34.0", False), ("v2.29.4", True), ("v2.36.0", True)):
        coder = Coder(cluster.gateway.url, cluster.session.tokens["admin"], version)
        coder.task_list()
        assert bool(coder.last.warnings) == warned, (version, coder.last.warnings)


# ---------------------------------------------------------------- coder task create

def test_create_with_a_template(cluster, coder):
    said = coder.task_create("echo hello", name="by-template", template="shell")
    assert said.startswith("The task by-template has been created at 20")


def test_create_quietly(cluster, coder):
    created = coder.task_create("echo hello", template="shell", quiet=True)
    assert cluster.api().task(created)["initial_prompt"] == "echo hello"


def test_create_with_the_only_template(clusters):
    """Without --template there must be exactly one that runs tasks."""
    cluster = clusters(workers=1)
    coder = Coder(cluster.gateway.url, cluster.session.tokens["admin"])
    created = coder.task_create("echo hello", quiet=True)
    assert cluster.api().task(created)["template_name"] == "shell"
    version = cluster.api().get(f"/templateversions/{cluster.shell.version_id}").json()["name"]
    coder.task_create("echo hello", template_version=version)
    cluster.api().push_template("another", templates.shell())
    with pytest.raises(Failed, match="2 task templates"):
        coder.task_create("echo hello")


def test_create_with_a_version(cluster, coder):
    version = cluster.api().get(f"/templateversions/{cluster.shell.version_id}").json()["name"]
    created = coder.task_create("echo x", template="shell", template_version=version, quiet=True)
    assert cluster.api().task(created)["template_version_id"] == cluster.shell.version_id
    with pytest.raises(go.SDKError) as refused:
        coder.task_create("echo x", template="shell", template_version="no-such-version")
    assert refused.value.status == 404


def test_create_with_an_unknown_template_or_preset(coder):
    with pytest.raises(go.SDKError) as refused:
        coder.task_create("echo x", template="nothing")
    assert refused.value.status == 404
    with pytest.raises(Failed, match="preset"):
        coder.task_create("echo x", template="shell", preset="nothing")


def test_create_in_an_organization(coder):
    coder.task_create("echo x", template="shell", org="default")
    with pytest.raises(go.SDKError) as refused:
        coder.task_create("echo x", template="shell", org="nowhere")
    assert refused.value.status == 404


def test_create_for_another(cluster, coder):
    created = coder.task_create("echo x", template="shell", owner="bob", quiet=True)
    assert cluster.api("bob").task(created)["owner_name"] == "bob"


def test_create_with_a_name_that_is_taken(coder):
    """What is printed names the field."""
    coder.task_create("echo x", template="shell", name="taken")
    with pytest.raises(go.SDKError) as refused:
        coder.task_create("echo x", template="shell", name="taken")
    assert (refused.value.status, refused.value.message) == (409, 'Workspace "taken" already exists.')
    assert [v.field for v in refused.value.validations] == ["name"]


# ---------------------------------------------------------------- list, status, logs

def test_list(cluster, coder):
    made = coder.task_create("echo listed", template="shell", name="listed", quiet=True)
    cluster.api().wait_complete(made)
    assert coder.task_list()[0][:3] == ("listed", "active", "complete")
    assert made in coder.task_list(quiet=True)
    assert made in coder.task_list(status="active", quiet=True)
    assert made not in coder.task_list(status="paused", quiet=True)
    assert made in coder.task_list(user="admin", quiet=True)
    assert made not in coder.task_list(user="bob", quiet=True)
    assert made in coder.task_list(all=True, quiet=True)


def test_status(task, coder):
    for identifier in (task["id"], task["name"], f"admin/{task['name']}", f"me/{task['name']}"):
        got = coder.task_status(identifier)
        assert (got.id, got.status, got.current_state.state) == (task["id"], "active", "complete")
        assert got.workspace_agent_health.healthy
    with pytest.raises(go.SDKError) as refused:
        coder.task_status("nothing")
    assert refused.value.status == 404


def test_status_watch(cluster, coder):
    """Ends when the task has come to rest."""
    made = coder.task_create("echo watched", template="shell", quiet=True)
    got = coder.task_status(made, watch=True)
    assert got.current_state.state == "complete"
    cluster.api().pause(made)
    cluster.api().wait_status(made, "paused")
    assert coder.task_status(made, watch=True).workspace_status == "stopped"


def test_status_of_anothers_task_by_id(cluster, coder):
    """`me` and the id, also for a task of bob's."""
    bob = cluster.api("bob")
    made = bob.wait_complete(bob.create(cluster.shell, "echo bob"))
    assert coder.task_status(made["id"]).owner_name == "bob"
    assert coder.task_logs(made["id"])[0] == [("input", "echo bob"), ("output", "bob\n")]


def test_logs(task, coder):
    rows, said = coder.task_logs(task["name"])
    assert [(kind, text.strip()) for kind, text in rows] == [("input", "echo up"), ("output", "up")]
    assert said == ""


# ---------------------------------------------------------------- pause, resume, send, delete

def test_pause_and_resume_with_logs(cluster, task, coder):
    """Each streams the log of its build, up to the end of it."""
    paused = coder.task_pause(task["name"])
    assert (paused.build.transition, paused.build.status) == ("stop", "stopped")
    assert coder.task_status(task["id"]).status == "paused"
    with pytest.raises(Failed, match="already paused"):
        coder.task_pause(task["name"])
    rows, said = coder.task_logs(task["name"])
    assert said == f"Task is paused. Showing last {len(rows)} messages from snapshot." and rows
    resumed = coder.task_resume(task["name"])
    assert (resumed.build.transition, resumed.build.status) == ("start", "running")
    assert resumed.lines, "a start has something to tell"
    with pytest.raises(Failed):
        coder.task_resume(task["name"])


def test_resume_without_waiting(cluster, task, coder):
    coder.task_pause(task["id"])
    assert coder.task_resume(task["id"], no_wait=True) is None
    cluster.api().wait_status(task, "active")


def test_send(cluster, task, coder):
    coder.task_send(task["name"], "echo sent")
    wait_until(lambda: ("output", "sent\n") in coder.task_logs(task["name"])[0], "it was run")


def test_send_resumes_a_paused_task(cluster, task, coder):
    """It is resumed first."""
    coder.task_pause(task["name"])
    coder.task_send(task["name"], "echo sent")
    wait_until(lambda: ("output", "sent\n") in coder.task_logs(task["name"])[0], "it was run")


def test_send_to_a_task_that_starts(cluster, coder):
    """Its build is streamed first."""
    wait = ["bash", "-c", "until [ -e ~/go ]; do sleep 0.02; done"]
    slow = cluster.api().push_template("slow", templates.shell(
        scripts=[{"name": "wait", "command": wait, "blocking": True}]))
    made = coder.task_create("echo one", template="slow", quiet=True)
    task = cluster.api().wait_status(made, "initializing")
    wait_until(lambda: cluster.sandbox_processes(task["workspace_id"]), "its sandbox is there")
    with open(cluster.home(task, "go"), "w"):
        pass
    coder.task_send(made, "echo two")
    wait_until(lambda: ("output", "two\n") in coder.task_logs(made)[0], "it was run")
    assert slow.name == "slow"


def test_delete_several(cluster, coder):
    made = [coder.task_create("true", template="shell", quiet=True) for _ in range(3)]
    names = [cluster.api().wait_complete(task)["name"] for task in made]
    coder.task_delete(names[0], made[1], f"admin/{names[2]}")
    assert not set(made) & set(coder.task_list(quiet=True))
    with pytest.raises(go.SDKError) as refused:
        coder.task_delete(names[0])
    assert refused.value.status == 404
