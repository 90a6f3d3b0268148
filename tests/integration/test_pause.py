# SPDX-License-Identifier: Apache-2.0
"""Pause, resume, send, delete: what happens to the processes, the files and the status."""

import os

import pytest

from lib import sandboxes
from lib.api import message_of
from lib.wait import wait_until

CLUSTER = dict(workers=1, scheduler={"lease": "60s"})

# Appends a line per run, shows all of them, and waits for ~/go if ~/wait is there.
COUNTED = 'echo run >> ~/runs; echo "runs: $(wc -l < ~/runs)"; '
FOREVER = "trap '' TERM; echo busy; while :; do sleep 0.1; done"


def runs(cluster, task):
    return cluster.read_home(task, "runs").count("run\n")


def relatives(cluster, task):
    """The sandbox's processes and those that keep it on the host (bubblewrap itself)."""
    inside = cluster.sandbox_processes(task["workspace_id"])
    agent = sandboxes.agent_pid(inside)
    parent = int(sandboxes.status(agent).get("PPid", 0)) if agent else 0
    if parent > 1 and sandboxes.status(parent).get("Name") == "bwrap":
        inside = inside + [parent]
    return inside


def test_pause_frees_compute_and_keeps_the_home(cluster, api):
    """Goal: `unknown` while pausing, then `paused`; no process is left; files are kept; the last
    state stays visible.  Method: the worker is frozen to hold the stop job."""
    left_behind = "(while :; do sleep 0.1; done) >/dev/null 2>&1 & disown; "
    task = api.wait_complete(api.create(
        cluster.shell, "echo kept > ~/file; " + left_behind + "echo ok"))
    before = relatives(cluster, task)
    assert len(before) >= 2, "the agent and the loop that it left behind"

    worker = cluster.workers[0]
    worker.freeze()
    try:
        answer = api.pause(task).json()
        build = answer["workspace_build"]
        assert (build["transition"], build["reason"]) == ("stop", "task_manual_pause")
        assert build["build_number"] == 2 and build["workspace_id"] == task["workspace_id"]
        pausing = api.task(task)
        assert pausing["status"] == "unknown"
        assert pausing["workspace_status"] in ("pending", "stopping")
        wait_until(lambda: api.task(task)["workspace_status"] == "stopping", "the stop job runs")
        assert message_of(api.pause(task, expect=409)) == "A workspace build is already active."
        assert message_of(api.resume(task, expect=409)) == "A workspace build is already active."
    finally:
        worker.thaw()

    paused = api.wait_status(task, "paused")
    assert not cluster.sandbox_processes(task["workspace_id"])
    # bubblewrap, outside, ends a moment after the last process inside.
    wait_until(lambda: all(sandboxes.is_dead(pid) for pid in before), "all of it is gone", 2)
    assert not cluster.sandbox_processes(task["workspace_id"])
    assert paused["workspace_status"] == "stopped"
    assert paused["workspace_agent_id"] is None and paused["workspace_app_id"] is None
    assert paused["workspace_agent_lifecycle"] is None
    assert paused["current_state"]["state"] == "complete"
    assert paused["workspace_build_number"] == 2
    assert cluster.read_home(task, "file") == "kept\n"

    body = api.logs(task)
    assert body["snapshot"] is True
    assert any("ok" in entry["content"] for entry in body["logs"])


def test_pause_in_the_middle_of_a_turn(cluster, api):
    """Goal: a command that ignores SIGTERM is gone after the grace time all the same."""
    task = api.wait_state(api.create(cluster.shell, FOREVER), "working")
    before = relatives(cluster, task)
    api.pause(task)
    api.wait_status(task, "paused")
    assert all(sandboxes.is_dead(pid) for pid in before)


def test_a_command_gets_its_grace(cluster, api):
    """Goal: SIGTERM reaches the command, and what it does within the grace time is kept."""
    task = api.wait_state(api.create(
        cluster.shell, "trap 'echo saved > ~/saved; exit 0' TERM; echo up; "
                       "while :; do sleep 0.1; done"), "working")
    wait_until(lambda: "up" in api.output(task), "the trap is set")
    api.pause(task)
    api.wait_status(task, "paused")
    assert cluster.read_home(task, "saved") == "saved\n"


def test_resume_runs_nothing_again(cluster, api):
    """Goal: a resume with the same prompt delivers nothing; the agent is idle and takes messages."""
    task = api.wait_complete(api.create(cluster.shell, COUNTED))
    api.pause(task)
    api.wait_status(task, "paused")
    build = api.resume(task).json()["workspace_build"]
    assert (build["transition"], build["reason"], build["build_number"]) == ("start", "task_resume", 3)
    resumed = api.wait_state(task, "idle")
    assert resumed["workspace_agent_id"] != task["workspace_agent_id"]
    assert runs(cluster, task) == 1

    api.send(task, COUNTED)
    api.wait_complete(task)
    assert runs(cluster, task) == 2
    assert "runs: 1" in api.output(task) and "runs: 2" in api.output(task), "one conversation"
    ids = [e["id"] for e in api.logs(task)["logs"]]
    assert ids == list(range(len(ids)))


def test_resume_with_a_new_prompt_runs_it(cluster, api):
    """Goal: only a paused task's input can be changed; the new one runs at the next start, once."""
    task = api.create(cluster.shell, COUNTED)
    api.wait_complete(task)
    refused = api.set_input(task, "echo other", expect=409)
    assert message_of(refused) == "Unable to update task input, task must be paused."
    assert refused.json()["detail"] == "Please stop the task's workspace before updating the input."

    api.pause(task)
    api.wait_status(task, "paused")
    assert message_of(api.set_input(task, " \n\t", expect=400)) == "Task input is required."
    api.set_input(task, COUNTED + "echo anew")
    assert api.task(task)["initial_prompt"] == COUNTED + "echo anew"
    api.resume(task)
    task = api.wait_complete(task)
    assert task["current_state"]["message"] == "anew"
    assert runs(cluster, task) == 2

    api.pause(task)
    api.wait_status(task, "paused")
    api.resume(task)
    api.wait_state(task, "idle")
    assert runs(cluster, task) == 2, "the changed prompt was delivered already"


def test_resume_of_a_running_task(cluster, api):
    """Goal: 409 with Coder's words."""
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    refused = api.resume(task, expect=409)
    assert message_of(refused) == "Task workspace is already running."
    assert refused.json()["detail"] == 'Workspace status is "running".'


def test_many_pauses_and_resumes(cluster, api):
    """Goal: a task survives going back and forth; the prompt has run once in the end."""
    task = api.wait_complete(api.create(cluster.shell, COUNTED))
    for _ in range(4):
        api.pause(task)
        api.wait_status(task, "paused")
        api.resume(task)
        api.wait_state(task, "idle")
    assert runs(cluster, task) == 1
    alive = cluster.sandbox_processes(task["workspace_id"])
    assert len([p for p in alive if sandboxes.is_inside(p)]) == 1, "the agent alone"
    assert api.task(task)["workspace_build_number"] == 9


def test_send_is_a_turn(cluster, api):
    """Goal: a message to a stable app is a turn: input and output in the logs, working, complete."""
    task = api.wait_complete(api.create(cluster.shell, "echo one"))
    api.send(task, "echo two")
    wait_until(lambda: api.task(task)["current_state"]["message"] == "two", "the second turn is over")
    entries = [(e["type"], e["content"].strip()) for e in api.logs(task)["logs"]]
    assert entries == [("input", "echo one"), ("output", "one"),
                       ("input", "echo two"), ("output", "two")]


def test_send_to_a_busy_app(cluster, api):
    """Goal: 409 while a turn runs; nothing is queued."""
    task = api.wait_state(api.create(cluster.shell, FOREVER), "working")
    wait_until(lambda: "busy" in api.output(task), "the command runs")
    refused = api.send(task, "echo no", expect=409)
    assert message_of(refused) == "Task app is not ready to accept input."
    assert refused.json()["detail"] == "Status: running"
    assert "echo no" not in str(api.logs(task))
    api.remove(task)


def test_send_to_a_task_that_is_not_there(cluster, api):
    """Goal: pending and initializing: 409 with Coder's words; paused: 409; no input: 400."""
    worker = cluster.workers[0]
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    assert message_of(api.send(task, "", expect=400)) == "Task input is required."
    api.pause(task)
    api.wait_status(task, "paused")
    refused = api.send(task, "hello", expect=409)
    assert message_of(refused) == "Task is paused."
    assert refused.json()["detail"] == "Resume the task to send messages."
    worker.freeze()
    try:
        waiting = api.create(cluster.shell, "echo later")
        refused = api.send(waiting, "hello", expect=409)
        assert message_of(refused) in ("Task is pending.", "Task is initializing.")
        assert refused.json()["detail"] == (
            "The task is resuming. Wait for the task to become active before sending messages.")
        body = api.logs(waiting)
        assert body == {"logs": [], "snapshot": True}
    finally:
        worker.thaw()
    api.wait_complete(waiting)


def test_a_large_message(cluster, api):
    """Goal: a message of 1 MiB reaches the command; one byte more does not reach the agent."""
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    head = "wc -c < $STINT_PROMPT_FILE; exit 0\n"
    api.send(task, head + "y" * (1024 * 1024 - len(head)))
    wait_until(lambda: api.task(task)["current_state"]["message"] == str(1024 * 1024), "it ran", 20)
    api.send(task, "z" * (1024 * 1024 + 1), expect=(400, 413))


def test_delete_leaves_nothing(cluster, api):
    """Goal: a deleted task is gone at once for its owner; its processes and files go too; its name
    can be used again when the delete build is over."""
    task = api.wait_complete(api.create(cluster.shell, "echo x > ~/x; echo up", name="mortal"))
    before = relatives(cluster, task)
    assert api.remove(task).text == ""
    api.get(f"/tasks/me/{task['id']}", expect=404)
    api.get("/tasks/me/mortal", expect=404)
    assert task["id"] not in [t["id"] for t in api.tasks()["tasks"]]
    cluster.wait_gone(task)
    wait_until(lambda: all(sandboxes.is_dead(pid) for pid in before), "all of it is dead")
    wait_until(lambda: not os.path.exists(cluster.home(task)), "the home directory is gone")
    again = wait_until(
        lambda: api.create(cluster.shell, "echo new", name="mortal", expect=(201, 409)), "create")
    if not isinstance(again, dict):
        assert message_of(again) == 'Workspace "mortal" already exists.'
        again = wait_until(lambda: _created(api, cluster, "mortal"), "the name is free again")
    api.wait_complete(again)


def _created(api, cluster, name):
    answer = api.create(cluster.shell, "echo new", name=name, expect=(201, 409))
    return answer if isinstance(answer, dict) else None


def test_delete_of_a_paused_task(cluster, api):
    """Goal: a paused task's files go with it."""
    task = api.wait_complete(api.create(cluster.shell, "echo x > ~/x"))
    api.pause(task)
    api.wait_status(task, "paused")
    api.remove(task)
    wait_until(lambda: not os.path.exists(cluster.home(task)), "the home directory is gone")


@pytest.mark.parametrize("verb", ["pause", "resume", "send"])
def test_verbs_on_a_deleted_task(cluster, api, verb):
    """Goal: 404, as if it had never been."""
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    api.remove(task)
    body = {"input": "x"} if verb == "send" else None
    refused = api.post(f"/tasks/me/{task['id']}/{verb}", body, expect=404)
    assert message_of(refused) == "Resource not found or you do not have access to this resource"


def test_pause_of_a_paused_task(cluster, api):
    """Goal: as Coder's server does, another stop build is made and does no harm."""
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    for number in (2, 3):
        assert api.pause(task).json()["workspace_build"]["build_number"] == number
        wait_until(lambda: api.task(task)["workspace_status"] == "stopped", "stopped")
    assert api.task(task)["status"] == "paused"
