# SPDX-License-Identifier: Apache-2.0
"""What can be done to a task that is there: input, send, logs, pause, resume, delete."""

import re

import pytest

from lib import shapes, templates
from lib.api import message_of
from lib.shapes import refusal
from lib.wait import wait_until

CLUSTER = dict(workers=1)

ACTIVE_BUILD = "A workspace build is already active."
INPUT_REQUIRED = "Task input is required."
RESUMING = "The task is resuming. Wait for the task to become active before sending messages."

# Takes messages while it is stable; busy while ~/busy is there.
FOREVER = "trap '' TERM; echo busy; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def failing(cluster):
    """A template whose start fails for good: a secret is missing."""
    return cluster.api().push_template("failing", templates.shell(env=[{"name": "K", "secret": "nowhere"}]))


@pytest.fixture
def active(cluster, api):
    return api.wait_complete(api.create(cluster.shell, "echo up"))


@pytest.fixture
def paused(api, active):
    api.pause(active)
    return api.wait_status(active, "paused")


@pytest.fixture
def failed(api, failing):
    return api.wait_status(api.create(failing, "true"), "error")


@pytest.fixture
def frozen(cluster):
    """The worker does not ask for work: what begins now stays pending."""
    cluster.workers[0].freeze()
    try:
        yield
    finally:
        cluster.workers[0].thaw()


@pytest.fixture
def waiting(cluster, api, active, frozen):
    """A task whose start waits for a worker."""
    api.create(cluster.shell, "true")  # takes the worker's open question
    task = api.create(cluster.shell, "true")
    assert api.task(task)["status"] == "pending"
    return task


def path(task, verb=""):
    return f"/tasks/me/{task['id']}{verb}"


# ---------------------------------------------------------------- input

def test_input_of_a_paused_task(api, paused):
    """204 without a body; the next start delivers it."""
    answer = api.patch(path(paused, "/input"), {"input": "echo new words"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.task(paused)["initial_prompt"] == "echo new words"
    api.resume(paused)
    wait_until(lambda: "new words" in api.output(paused), "the new prompt is run")


@pytest.mark.parametrize("text", ["", " ", "\n\t \r"])
def test_input_of_white_space(api, paused, text):
    refusal(api.patch(path(paused, "/input"), {"input": text}), 400, INPUT_REQUIRED)


def test_input_that_is_absent(api, paused):
    refusal(api.patch(path(paused, "/input"), {}), 400, INPUT_REQUIRED)


def test_input_of_a_task_that_is_not_paused(api, active):
    refusal(api.patch(path(active, "/input"), {"input": "x"}), 409,
            "Unable to update task input, task must be paused.",
            "Please stop the task's workspace before updating the input.")


def test_input_of_a_failed_task(api, failed):
    """Exactly `paused` is wanted: an error is not enough."""
    refusal(api.patch(path(failed, "/input"), {"input": "x"}), 409,
            "Unable to update task input, task must be paused.",
            "Please stop the task's workspace before updating the input.")


def test_input_of_a_pending_task(api, waiting):
    refusal(api.patch(path(waiting, "/input"), {"input": "x"}), 409,
            "Unable to update task input, task must be paused.",
            "Please stop the task's workspace before updating the input.")


def test_white_space_is_looked_at_before_the_status(api, active):
    refusal(api.patch(path(active, "/input"), {"input": "  "}), 400, INPUT_REQUIRED)


@pytest.mark.parametrize("method, verb", [("PATCH", "/input"), ("POST", "/send")])
def test_input_that_is_not_json(api, paused, method, verb):
    for body in (b"", b"{", b"[1]", b'{"input": 7}'):
        refusal(api.request(method, path(paused, verb), data=body), 400, "Request body must be valid JSON.")


# ---------------------------------------------------------------- send

def test_send_to_an_active_task(api, active):
    """204 without a body; the app has it."""
    answer = api.post(path(active, "/send"), {"input": "echo heard"})
    assert (answer.status_code, answer.content) == (204, b"")
    wait_until(lambda: "heard" in api.output(active), "the message is run")


def test_send_of_nothing(api, active):
    refusal(api.post(path(active, "/send"), {"input": ""}), 400, INPUT_REQUIRED)
    refusal(api.post(path(active, "/send"), {}), 400, INPUT_REQUIRED)


def test_send_of_nothing_is_refused_before_the_status_is(api, paused):
    refusal(api.post(path(paused, "/send"), {"input": ""}), 400, INPUT_REQUIRED)


def test_send_to_a_busy_task(cluster, api):
    """409, and nothing is kept for later."""
    task = api.wait_state(api.create(cluster.shell, FOREVER), "working")
    wait_until(lambda: "busy" in api.output(task), "the command runs")
    refusal(api.post(path(task, "/send"), {"input": "echo no"}), 409,
            "Task app is not ready to accept input.", "Status: running")
    api.remove(task)


def test_send_to_a_paused_task(api, paused):
    refusal(api.post(path(paused, "/send"), {"input": "x"}), 409, "Task is paused.",
            "Resume the task to send messages.")


def test_send_to_a_pending_task(api, waiting):
    refusal(api.post(path(waiting, "/send"), {"input": "x"}), 409, "Task is pending.", RESUMING)


def test_send_to_an_initializing_task(cluster, v2, api):
    slow = _slow_template(v2)
    task = api.wait_status(api.create(slow, "true"), "initializing")
    refusal(api.post(path(task, "/send"), {"input": "x"}), 409, "Task is initializing.", RESUMING)
    _go(cluster, api, task)
    api.wait_complete(task)


def test_send_to_a_failed_task(api, failed):
    refusal(api.post(path(failed, "/send"), {"input": "x"}), 400, "Task must be active.")


def test_send_to_a_task_that_is_being_paused(cluster, api, active, frozen):
    """Its status is unknown then."""
    api.pause(active)
    assert api.task(active)["status"] == "unknown"
    refusal(api.post(path(active, "/send"), {"input": "x"}), 400, "Task must be active.")


# ---------------------------------------------------------------- logs

def logs(api, task):
    return shapes.check(shapes.task_logs, api.get(path(task, "/logs")))


def test_logs_of_an_active_task(api, active):
    """`input` is the person's, `output` the app's; ids count from 0; no word of snapshots."""
    body = logs(api, active)
    assert set(body) == {"logs"}
    assert [(e["id"], e["type"], e["content"].strip()) for e in body["logs"]] == [
        (0, "input", "echo up"), (1, "output", "up")]


def test_logs_of_a_paused_task(api, paused):
    """The snapshot, and when it was taken."""
    body = logs(api, paused)
    assert body["snapshot"] is True and "snapshot_at" in body
    assert [e["content"].strip() for e in body["logs"]] == ["echo up", "up"]


def test_logs_before_there_are_any(api, waiting):
    """200, empty, a snapshot without a time."""
    assert logs(api, waiting) == {"logs": [], "snapshot": True}


def test_logs_of_an_initializing_task(cluster, v2, api):
    task = api.wait_status(api.create(_slow_template(v2), "true"), "initializing")
    assert logs(api, task)["snapshot"] is True
    _go(cluster, api, task)
    api.wait_complete(task)


def test_logs_of_a_failed_task(api, failed):
    refusal(api.get(path(failed, "/logs")), 409, "Cannot fetch logs for task in current state.",
            'Task status is "error".')


def test_logs_of_a_task_that_is_being_paused(api, active, frozen):
    api.pause(active)
    refusal(api.get(path(active, "/logs")), 409, "Cannot fetch logs for task in current state.",
            'Task status is "unknown".')


# ---------------------------------------------------------------- pause

def build(response):
    return shapes.check(shapes.workspace_build_answer, response, 202)["workspace_build"]


def test_pause(api, active):
    """202 with a stop build, of which nothing is done yet."""
    made = build(api.post(path(active, "/pause")))
    assert (made["transition"], made["reason"], made["build_number"]) == ("stop", "task_manual_pause", 2)
    assert made["workspace_id"] == active["workspace_id"]
    assert made["template_version_id"] == active["template_version_id"]
    assert made["initiator_name"] == "admin" and made["workspace_owner_name"] == "admin"
    assert made["status"] in ("pending", "stopping")
    assert made["job"]["type"] == "workspace_build"
    assert made["job"]["input"] == {"workspace_build_id": made["id"]}
    api.wait_status(active, "paused")


def test_pause_says_unknown_until_it_is_done(api, active, frozen):
    api.pause(active)
    got = api.task(active)
    assert (got["status"], got["workspace_build_number"]) == ("unknown", 2)
    assert got["workspace_status"] in ("pending", "stopping")


def test_pause_while_a_build_is_active(api, active, frozen):
    api.pause(active)
    refusal(api.post(path(active, "/pause")), 409, ACTIVE_BUILD)
    refusal(api.post(path(active, "/resume")), 409, ACTIVE_BUILD)


def test_pause_of_a_paused_task(api, paused):
    """The server does not mind: one more stop build."""
    made = build(api.post(path(paused, "/pause")))
    assert (made["transition"], made["build_number"]) == ("stop", 3)
    api.wait_status(paused, "paused")


def test_pause_of_a_failed_task(api, failed):
    """Clears away what the failed start may have left."""
    assert build(api.post(path(failed, "/pause")))["transition"] == "stop"
    api.wait_status(failed, "paused")


# ---------------------------------------------------------------- resume

def test_resume(api, paused):
    made = build(api.post(path(paused, "/resume")))
    assert (made["transition"], made["reason"], made["build_number"]) == ("start", "task_resume", 3)
    assert made["template_version_id"] == paused["template_version_id"], "no upgrade"
    assert made["status"] in ("pending", "starting")
    api.wait_state(paused, "idle")


def test_resume_of_a_running_task(api, active):
    refusal(api.post(path(active, "/resume")), 409, "Task workspace is already running.",
            'Workspace status is "running".')


def test_resume_of_a_failed_task(api, failed):
    """Only the command line wants a paused one."""
    assert build(api.post(path(failed, "/resume")))["transition"] == "start"
    api.wait_status(failed, "error")


def test_resume_of_a_pending_task(api, waiting):
    refusal(api.post(path(waiting, "/resume")), 409, ACTIVE_BUILD)


@pytest.mark.parametrize("body", [b"", b"{}", b"null"])
def test_bodies_of_pause_and_resume_do_not_matter(api, active, body):
    api.request("POST", path(active, "/pause"), data=body, expect=202)
    api.wait_status(active, "paused")
    api.request("POST", path(active, "/resume"), data=body, expect=202)


def test_the_last_state_is_kept_over_a_pause_and_forgotten_by_a_resume(cluster, api, paused):
    assert api.task(paused)["current_state"]["message"] == "up"
    api.resume(paused)
    assert (api.task(paused)["current_state"] or {"message": None})["message"] != "up"


# ---------------------------------------------------------------- delete

def test_delete(api, active):
    """202 without a body, and the task is gone at once."""
    answer = api.delete(path(active))
    assert (answer.status_code, answer.content) == (202, b"")
    assert message_of(api.get(path(active), expect=404))
    assert active["id"] not in [t["id"] for t in api.tasks("owner:me")["tasks"]]


def test_delete_makes_a_delete_build(api, active):
    api.remove(active)
    workspace = api.get(f"/workspaces/{active['workspace_id']}")
    if workspace.status_code == 200:  # not over yet
        latest = workspace.json()["latest_build"]
        assert (latest["transition"], latest["reason"]) == ("delete", "initiator")


def test_delete_of_a_paused_and_of_a_failed_task(api, paused, failed):
    api.remove(paused)
    api.remove(failed)


def test_delete_twice(api, active):
    api.remove(active)
    message_of(api.delete(path(active), expect=404))


def test_delete_while_a_stop_is_under_way(api, active, frozen):
    api.pause(active)
    refusal(api.delete(path(active)), 409, ACTIVE_BUILD)


def test_delete_of_a_task_that_waits_in_the_queue(api, waiting):
    """Coder refuses; here a start that no worker has in hand is canceled and the task deleted."""
    answer = api.delete(path(waiting))
    assert (answer.status_code, answer.content) == (202, b"")


# ---------------------------------------------------------------- helpers

def _slow_template(v2):
    """Its blocking script waits for ~/go."""
    wait = ["bash", "-c", "until [ -e ~/go ]; do sleep 0.02; done"]
    for template in v2.get("/templates", expect=200).json():
        if template["name"] == "slow":
            return template["active_version_id"]
    return v2.push_template("slow", templates.shell(
        scripts=[{"name": "wait", "command": wait, "blocking": True}])).version_id


def _go(cluster, api, task):
    wait_until(lambda: cluster.sandbox_processes(task["workspace_id"]), "its sandbox is there")
    with open(cluster.home(task, "go"), "w"):
        pass


def test_every_word_is_where_it_should_be(api, active):
    """A message never shows through HTML."""
    answer = api.get("/tasks/me/%3Cb%3E")
    shapes.check(shapes.error, answer, 404)
    assert not re.search("[<>]", answer.text)
