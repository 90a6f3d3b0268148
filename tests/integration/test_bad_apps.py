# SPDX-License-Identifier: Apache-2.0
"""An AgentAPI that is down, hangs, answers rubbish or closes its stream: its health follows the rule,
reports go on, and everything is well again when it is."""

import os
import signal

import pytest

from lib import templates
from lib.talk import (entries, heard, inputs, lines, remove, starts, touch, wait_heard, wait_rest,
                      wait_said)
from lib.wait import stays, wait_until

CLUSTER = dict(workers=1)

# Says a number every half a second, whatever AgentAPI does.
REPORTER = ("i=0; while :; do sleep 0.5; i=$((i + 1)); "
            f"{templates.AGENT} report --state working --message \"note $i\" && echo $i >> ~/noted; done")


@pytest.fixture(scope="module")
def fake(cluster):
    return cluster.api().push_template("fake", templates.fake(
        scripts=[{"name": "reporter", "run": "start", "command": ["bash", "-c",
                  "until [ -e ~/report ]; do sleep 0.1; done; " + REPORTER]}]))


@pytest.fixture
def task(api, cluster, fake):
    task = wait_rest(api, api.create(fake, "the prompt"))
    wait_heard(cluster, task, "the prompt")
    yield task
    api.remove(task, expect=(202, 409, 404))


def notes(cluster, task):
    """What the app has said of itself, each once: a state told from the screen has the last words
    again."""
    rows = cluster.sql("SELECT s.message FROM app_statuses s JOIN agents a ON a.id = s.agent_id "
                       "WHERE a.task_id = %s AND s.message LIKE 'note %%' ORDER BY s.seq", task["id"])
    return list(dict.fromkeys(row[0] for row in rows))


@pytest.mark.parametrize("mode", ["hang", "rubbish", "error", "reset"])
def test_health_goes_by_the_rule(cluster, api, task, mode):
    """Goal: unhealthy after the threshold, the task in error; the app's own reports go on and arrive;
    healthy and usable again when it answers again, with nothing said twice."""
    touch(cluster, task, "report")
    wait_until(lambda: notes(cluster, task), "reports come")
    touch(cluster, task, "mode", mode)
    if mode == "rubbish":
        # What answers 200 is healthy by Coder's rule, whatever it says.
        stays(lambda: api.app(task, "fake")["health"] == "healthy", "health", 3)
    else:
        api.wait_health(task, "fake", "unhealthy")
        api.wait_status(task, "error")
    n = len(notes(cluster, task))
    wait_until(lambda: len(notes(cluster, task)) >= n + 3, "reports go on", 20,
               say=lambda: notes(cluster, task))
    touch(cluster, task, "mode", "ok")
    api.wait_health(task, "fake", "healthy")
    api.wait_status(task, "active")
    api.queue(task, "still there?")
    wait_said(api, task, "you said: still there?", deadline=60)
    assert heard(cluster, task) == ["the prompt", "still there?"]
    assert inputs(api, task) == ["the prompt", "still there?"], entries(api, task)
    noted = lines(cluster, task, "noted")
    wait_until(lambda: len(notes(cluster, task)) >= len(noted), "all notes have arrived")
    assert notes(cluster, task)[:len(noted)] == [f"note {i}" for i in noted]


def test_a_stream_that_closes_all_the_time(cluster, api, task):
    """Goal: the app is well, its conversation still arrives, and the agent does not spin."""
    touch(cluster, task, "mode", "cut")
    for i in range(3):
        touch(cluster, task, "say", f"thought {i}")
        touch(cluster, task, "mode", "ok")
        wait_said(api, task, f"thought {i}", deadline=60)
        touch(cluster, task, "mode", "cut")
    stays(lambda: api.app(task, "fake")["health"] == "healthy", "health", 2)
    touch(cluster, task, "mode", "ok")
    assert [c for _, c in entries(api, task)].count("thought 1") == 1


def test_an_app_that_is_down_at_first(cluster, api, fake):
    """Goal: an AgentAPI that hangs at the start is waited for: the prompt comes when it answers."""
    task = api.create(fake, "the prompt")
    wait_until(lambda: cluster.sandbox_processes(task["workspace_id"]), "its sandbox is there")
    touch(cluster, task, "mode", "hang")
    wait_until(lambda: starts(cluster, task), "it is started", 30)
    api.wait_lifecycle(task, "ready")
    hung = heard(cluster, task) == []
    if hung:
        stays(lambda: heard(cluster, task) == [], "silence", 2)
    touch(cluster, task, "mode", "ok")
    wait_heard(cluster, task, "the prompt", deadline=60)
    wait_rest(api, task)
    assert heard(cluster, task) == ["the prompt"]


def test_an_app_that_forgets(cluster, api, task):
    """Goal: when the app starts over without its memory, what it says follows the old conversation."""
    before = entries(api, task)
    touch(cluster, task, "mode", "ok")
    program = [pid for pid in cluster.sandbox_processes(task["workspace_id"])
               if "fake_agentapi" in open(f"/proc/{pid}/cmdline").read()]
    os.kill(program[0], signal.SIGKILL)
    wait_until(lambda: len(starts(cluster, task)) == 2, "it is started again", 20)
    wait_said(api, task, "Fake, start 2.")
    assert entries(api, task)[:len(before)] == before
    assert heard(cluster, task) == ["the prompt"]


# ---------------------------------------------------------------- the screen and the app's own word


def state(api, task):
    return (api.task(task)["current_state"] or {}).get("state")


def test_idle_is_not_shown_while_the_app_runs(cluster, api, task):
    """Complaint: a task says idle while its agent still works.
    Goal: an app that says `idle` while its screen moves is `working` until the screen rests."""
    touch(cluster, task, "busy")
    api.wait_state(task, "working")
    touch(cluster, task, "report")
    wait_until(lambda: notes(cluster, task), "reports come")
    stays(lambda: state(api, task) == "working", "working", 2)
    seen = [row[0] for row in cluster.sql(
        "SELECT s.state FROM app_statuses s JOIN agents a ON a.id = s.agent_id "
        "WHERE a.task_id = %s ORDER BY seq DESC LIMIT 3", task["id"])]
    assert set(seen) == {"working"}


def test_a_screen_that_moves_again_is_working(cluster, api, task):
    """Complaint: an agent that goes on by itself stays `idle` for ever.
    Goal: stable to running without a message is `working`; back to rest is `idle`."""
    wait_until(lambda: state(api, task) == "idle", "it rests")
    touch(cluster, task, "busy")
    wait_until(lambda: state(api, task) == "working", "it works by itself")
    remove(cluster, task, "busy")
    wait_until(lambda: state(api, task) == "idle", "it rests again")


def test_working_does_not_outlive_the_workspace(cluster, api, task):
    """Complaint: a stopped workspace says `working` for ever.
    Goal: after a pause, and after the death of the app, the state is not `working`."""
    touch(cluster, task, "busy")
    api.wait_state(task, "working")
    api.pause(task)
    paused = api.wait_status(task, "paused", deadline=40)
    assert paused["current_state"]["state"] != "working", paused["current_state"]
