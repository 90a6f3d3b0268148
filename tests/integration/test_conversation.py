# SPDX-License-Identifier: Apache-2.0
"""The conversation with an app that speaks AgentAPI: nothing of it is lost and nothing said twice,
over pause, resume and crashes."""

import os
import random
import signal

import pytest

from lib import sandboxes, templates
from lib.talk import (assert_in_order, entries, exists, heard, inputs, starts, touch, wait_heard, wait_rest,
                      wait_said)
from lib.wait import Stopwatch, stays, wait_until

CLUSTER = dict(workers=1)


@pytest.fixture(scope="module")
def pushed(cluster):
    """{name: Template}"""
    api = cluster.api()
    return {"chat": api.push_template("chat", templates.chat()),
            "chat-persist": api.push_template("chat-persist", templates.chat(persist=True)),
            "fake": api.push_template("fake", templates.fake())}


def pause(api, task):
    api.pause(task)
    return api.wait_status(task, "paused", deadline=40)


def resume(api, task):
    api.resume(task)
    return wait_rest(api, task)


def say(cluster, api, task, text):
    """Send a message as Coder's clients do: wait for a stable app, then send."""
    wait_until(lambda: api.send(task, text, expect=(204, 409)).status_code == 204,
               "the app takes a message", 30, interval=0.2)
    wait_heard(cluster, task, text)


def kill_sandbox(cluster, task):
    os.kill(cluster.agent_pid(task), signal.SIGKILL)
    cluster.wait_gone(task)


@pytest.mark.parametrize("kind", ["chat", "chat-persist", "fake"])
def test_the_prompt_reaches_the_app_once(cluster, api, pushed, kind):
    """Goal: prompt in, answer out, idle; one entry of each."""
    task = wait_rest(api, api.create(pushed[kind], "good morning"))
    wait_said(api, task, "you said: good morning")
    assert heard(cluster, task) == ["good morning"]
    assert inputs(api, task) == ["good morning"]
    assert api.task(task)["current_state"]["state"] == "idle"


@pytest.mark.parametrize("kind", ["chat", "chat-persist"])
def test_a_conversation_over_pause_and_resume(cluster, api, pushed, kind):
    """Goal: messages before, during and after a pause are all there, each once, and the prompt was
    delivered once."""
    task = wait_rest(api, api.create(pushed[kind], "the prompt"))
    say(cluster, api, task, "before")
    wait_said(api, task, "you said: before")
    wait_rest(api, task)
    pause(api, task)
    log = api.logs(task)
    assert log["snapshot"] is True
    assert_in_order(api, task, "the prompt", "you said: the prompt", "before", "you said: before")
    api.queue(task, "during")
    resume(api, task)
    wait_heard(cluster, task, "during")
    wait_said(api, task, "you said: during")
    say(cluster, api, task, "after")
    wait_said(api, task, "you said: after")
    assert heard(cluster, task) == ["the prompt", "before", "during", "after"]
    assert len(starts(cluster, task)) == 2
    assert inputs(api, task) == ["the prompt", "before", "during", "after"]
    assert_in_order(api, task, "the prompt", "you said: the prompt", "before", "you said: before",
                    "during", "you said: during", "after", "you said: after")
    for word in ("the prompt", "before", "during", "after"):
        said = [c for k, c in entries(api, task) if k == "output" and f"you said: {word}" in c]
        assert len(said) == 1, f"the answer to {word!r} is there {len(said)} times: {entries(api, task)}"


@pytest.mark.parametrize("kind", ["chat", "chat-persist"])
def test_a_pause_in_the_middle_of_an_answer(cluster, api, pushed, kind):
    """Goal: a task that is paused while its app works shows the whole conversation, is not `working`
    any more, and is not told again what it was told."""
    task = api.create(pushed[kind], "wait for-ever")
    api.wait_state(task, "working")
    wait_said(api, task, "waiting for for-ever")
    paused = pause(api, task)
    assert (paused["current_state"] or {}).get("state") != "working", "left standing"
    assert_in_order(api, task, "wait for-ever", "waiting for for-ever")
    resume(api, task)
    assert heard(cluster, task) == ["wait for-ever"]
    say(cluster, api, task, "and now")
    wait_said(api, task, "you said: and now")
    assert_in_order(api, task, "wait for-ever", "waiting for for-ever", "and now", "you said: and now")
    assert inputs(api, task) == ["wait for-ever", "and now"]


def test_many_pauses_tell_it_nothing_twice(cluster, api, pushed):
    """Goal: the same after each of several pauses, with an app that remembers its conversation."""
    task = wait_rest(api, api.create(pushed["chat-persist"], "number 0"))
    for i in range(1, 4):
        wait_said(api, task, f"you said: number {i - 1}")
        pause(api, task)
        resume(api, task)
        say(cluster, api, task, f"number {i}")
    wait_said(api, task, "you said: number 3")
    assert heard(cluster, task) == [f"number {i}" for i in range(4)]
    assert inputs(api, task) == [f"number {i}" for i in range(4)]


def test_a_changed_prompt_is_delivered(cluster, api, pushed):
    """Goal: a prompt that was changed while the task was paused goes to the app at the resume, once;
    the same one again does not."""
    task = wait_rest(api, api.create(pushed["chat-persist"], "first prompt"))
    pause(api, task)
    api.set_input(task, "second prompt")
    resume(api, task)
    wait_said(api, task, "you said: second prompt")
    pause(api, task)
    resume(api, task)
    assert heard(cluster, task) == ["first prompt", "second prompt"]
    assert_in_order(api, task, "first prompt", "you said: first prompt", "second prompt",
                    "you said: second prompt")


@pytest.mark.parametrize("content", ['{"version":1,"messages":[{"id":0,"mess', '{"version":99,"messages":[]}', ""])
def test_a_state_file_that_is_no_good(cluster, api, pushed, content):
    """Goal: cut short, of another version, empty: it is kept aside as it was, a warning says so, the
    app starts without it and the conversation is all there."""
    task = wait_rest(api, api.create(pushed["chat-persist"], "the prompt"))
    wait_said(api, task, "you said: the prompt")
    pause(api, task)
    assert exists(cluster, task, ".stint/agentapi-state.json")
    touch(cluster, task, ".stint/agentapi-state.json", content)
    resume(api, task)
    say(cluster, api, task, "after")
    wait_said(api, task, "you said: after")
    assert heard(cluster, task) == ["the prompt", "after"]
    assert_in_order(api, task, "the prompt", "you said: the prompt", "after", "you said: after")
    aside = [name for name in os.listdir(cluster.home(task, ".stint"))
             if name.startswith("agentapi-state.json.") and cluster.read_home(task, ".stint", name) == content]
    assert aside, os.listdir(cluster.home(task, ".stint"))
    wait_until(lambda: any("state" in line and (level in ("warn", "error") or "warn" in line)
                           for _, level, line in api.agent_logs(task)), "a warning is logged",
               say=lambda: api.agent_logs(task))


def test_an_empty_prompt_is_not_delivered(cluster, api, pushed):
    """Goal: the app is started and waits."""
    task = wait_rest(api, api.create(pushed["fake"], ""))
    stays(lambda: heard(cluster, task) == [], "silence")
    say(cluster, api, task, "a first word")
    wait_said(api, task, "you said: a first word")
    assert inputs(api, task) == ["a first word"]


@pytest.mark.parametrize("kind", ["chat", "fake"])
def test_a_crash_of_the_workspace_leaves_the_conversation(cluster, api, pushed, kind):
    """Goal: kill -9 of the whole sandbox: the conversation is readable at once, while the task is
    paused, and after the resume; the prompt is not delivered again."""
    task = wait_rest(api, api.create(pushed[kind], "the prompt"))
    say(cluster, api, task, "before")
    wait_said(api, task, "you said: before")
    kill_sandbox(cluster, task)
    words = ("the prompt", "you said: the prompt", "before", "you said: before")
    assert_in_order(api, task, *words)
    pause(api, task)
    assert api.logs(task)["snapshot"] is True
    assert_in_order(api, task, *words)
    resume(api, task)
    say(cluster, api, task, "after")
    wait_said(api, task, "you said: after")
    assert_in_order(api, task, *words, "after", "you said: after")
    assert heard(cluster, task) == ["the prompt", "before", "after"]


def test_a_crash_in_the_middle_of_an_answer(cluster, api, pushed):
    """Goal: what the app had said up to the crash is kept, although nobody could save it."""
    task = api.create(pushed["chat"], "wait for-ever")
    wait_said(api, task, "waiting for for-ever")
    kill_sandbox(cluster, task)
    assert_in_order(api, task, "wait for-ever", "waiting for for-ever")
    pause(api, task)
    resume(api, task)
    assert heard(cluster, task) == ["wait for-ever"]
    assert_in_order(api, task, "wait for-ever", "waiting for for-ever")


def test_a_crash_of_the_app(cluster, api, pushed):
    """Goal: an app that crashes is started again; the conversation goes on behind the old one and the
    prompt is not delivered again."""
    task = wait_rest(api, api.create(pushed["chat"], "the prompt"))
    wait_said(api, task, "you said: the prompt")
    say(cluster, api, task, "crash")
    wait_until(lambda: len(starts(cluster, task)) == 2, "it is started again", 20)
    api.queue(task, "after")
    wait_said(api, task, "you said: after")
    assert heard(cluster, task) == ["the prompt", "crash", "after"]
    assert_in_order(api, task, "the prompt", "you said: the prompt", "crash", "after", "you said: after")


@pytest.mark.parametrize("victim", ["worker", "agent"])
def test_kills_around_the_delivery(clusters, victim):
    """Goal: kill -9 at a random moment of a start: the prompt is delivered once, never twice.

    A prompt whose delivery was cut in two by the agent's own death may have been heard or not; who
    did not hear it before the crash hears it after the resume, unless the app had been given it."""
    cluster = clusters(workers=2, scheduler={"lease": "2s", "attempts_max": 10})
    api = cluster.api()
    template = api.push_template("fake", templates.fake())
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    tasks = [api.create(template, f"prompt {i}", name=f"around-{i}") for i in range(8)]
    for i, task in enumerate(tasks):
        wait_until(lambda: cluster.sandbox_processes(task["workspace_id"]), "its sandbox is there", 60)
        watch, moment = Stopwatch(), dice.random() * 1.5
        wait_until(lambda: watch.seconds > moment, "its moment", interval=0.002)
        if victim == "worker":
            worker = cluster.workers[i % 2]
            worker.kill()
            cluster.start_worker(worker)
            continue
        pid = sandboxes.agent_pid(cluster.sandbox_processes(task["workspace_id"]))
        if pid:
            os.kill(pid, signal.SIGKILL)
    for task in tasks:
        if victim == "agent":
            cluster.wait_gone(task)
            wait_until(lambda: api.pause(task, expect=(202, 409)).status_code == 202, "it can be paused", 30,
                       interval=0.2)
            api.wait_status(task, "paused", deadline=40)
            api.resume(task)
        wait_rest(api, task, deadline=60)
        prompt = task["initial_prompt"]
        assert heard(cluster, task).count(prompt) == 1, (task["name"], heard(cluster, task))
        assert inputs(api, task).count(prompt) == 1, entries(api, task)


def test_a_snapshot_has_a_bound(cluster, api, pushed):
    """Goal: a paused task shows the end of a conversation of any length; an answer of many
    kilobytes arrives whole while the task runs."""
    task = wait_rest(api, api.create(pushed["fake"], "hello"))
    for i in range(12):
        touch(cluster, task, "say", f"part {i} " + "x" * 20000 + f" end of {i}")
        wait_said(api, task, f"end of {i}")
    assert_in_order(api, task, *[f"part {i} " for i in range(12)])
    pause(api, task)
    assert any("end of 11" in content for _, content in entries(api, task))
