# SPDX-License-Identifier: Apache-2.0
"""Messages that wait: for a busy app, for a paused task, for a start; each delivered once, in order,
unless it is taken back."""

import random
import uuid

import pytest

from lib import templates
from lib.api import OWN, problem_of
from lib.talk import heard, inputs, remove, touch, wait_heard, wait_rest
from lib.wait import stays, wait_until

CLUSTER = dict(workers=1, scheduler={"lease": "2s"})


@pytest.fixture(scope="module")
def fake(cluster):
    return cluster.api().push_template("fake", templates.fake())


@pytest.fixture
def task(api, cluster, fake):
    """A task whose app is at rest, with its prompt heard."""
    task = wait_rest(api, api.create(fake, "the prompt"))
    wait_heard(cluster, task, "the prompt")
    yield task
    api.remove(task, expect=(202, 409, 404))


def make_busy(cluster, api, task):
    touch(cluster, task, "busy")
    api.wait_state(task, "working")


def contents(messages, *states):
    return [m["content"] for m in messages if m["state"] in states]


def test_a_message_for_an_app_at_rest(cluster, api, task):
    """Goal: 201 with the message as it stands; delivered at once; seen as an input."""
    message = api.queue(task, "at once")
    assert set(message) >= {"id", "task_id", "content", "state", "created_at", "finished_at", "detail"}
    assert (message["task_id"], message["content"], message["state"]) == (task["id"], "at once", "queued")
    assert message["finished_at"] is None and message["detail"] == ""
    assert api.wait_messages_over(task) == {"at once": "delivered"}
    assert heard(cluster, task) == ["the prompt", "at once"]
    [over] = api.messages(task)
    assert over["id"] == message["id"] and over["finished_at"] is not None
    wait_until(lambda: inputs(api, task) == ["the prompt", "at once"], "the logs show it")


def test_messages_for_a_busy_app(cluster, api, task):
    """Goal: they wait in order, each shows its place, none is delivered before the app rests, then
    each once; Coder's send keeps its 409."""
    make_busy(cluster, api, task)
    queued = [api.queue(task, f"message {i}") for i in range(5)]
    assert [m.get("position") for m in queued] == [1, 2, 3, 4, 5]
    assert contents(api.messages(task), "queued") == [f"message {i}" for i in range(5)]
    api.send(task, "Coder's", expect=409)
    stays(lambda: heard(cluster, task) == ["the prompt"], "silence")
    remove(cluster, task, "busy")
    states = api.wait_messages_over(task)
    assert set(states.values()) == {"delivered"}
    assert heard(cluster, task) == ["the prompt"] + [f"message {i}" for i in range(5)]


def test_one_that_is_taken_back(cluster, api, task):
    """Goal: 204, and it is never delivered; its neighbours are; a second time and an unknown one are
    refused, a delivered one cannot be taken back."""
    make_busy(cluster, api, task)
    messages = [api.queue(task, f"message {i}") for i in range(3)]
    api.unsend(task, messages[1])
    assert api.message_states(task)["message 1"] == "withdrawn"
    api.unsend(task, messages[0])  # the head, which the agent has been given
    remove(cluster, task, "busy")
    states = api.wait_messages_over(task)
    assert states == {"message 0": "withdrawn", "message 1": "withdrawn", "message 2": "delivered"}
    assert heard(cluster, task) == ["the prompt", "message 2"]
    refused = api.unsend(task, messages[2], expect=409)
    assert "delivered" in problem_of(refused) or "delivered" in refused.text
    problem_of(api.unsend(task, str(uuid.uuid4()), expect=404))
    stays(lambda: heard(cluster, task) == ["the prompt", "message 2"], "what was heard")


def test_taking_back_at_every_moment(cluster, api, task):
    """Goal: while messages flow, each one that was taken back with 204 was never delivered, each
    other one once, in order."""
    dice = random.Random(7)
    taken, kept = [], []
    for i in range(30):
        if i % 6 == 0:
            touch(cluster, task, "busy")
        message = api.queue(task, f"message {i:02}")
        if dice.random() < 0.6:
            answer = api.unsend(task, message, expect=(204, 409))
            (taken if answer.status_code == 204 else kept).append(message["content"])
        else:
            kept.append(message["content"])
        if i % 6 == 4:
            remove(cluster, task, "busy")
    touch(cluster, task, "busy")
    remove(cluster, task, "busy")
    states = api.wait_messages_over(task, deadline=60)
    assert heard(cluster, task) == ["the prompt"] + kept
    assert {c for c, s in states.items() if s == "withdrawn"} == set(taken)
    assert {c for c, s in states.items() if s == "delivered"} == set(kept)


def test_messages_for_a_paused_task(cluster, api, task):
    """Goal: they wait while the task is paused, and while it resumes; all are delivered once, in
    order, after the resume."""
    api.pause(task)
    api.queue(task, "while pausing")
    api.wait_status(task, "paused", deadline=40)
    api.queue(task, "while paused")
    back = api.queue(task, "never")
    assert api.message_states(task) == {
        "while pausing": "queued", "while paused": "queued", "never": "queued"}
    api.unsend(task, back)
    stays(lambda: "queued" in api.message_states(task).values(), "waiting", 0.5)
    api.resume(task)
    api.queue(task, "while resuming")
    states = api.wait_messages_over(task, deadline=60)
    assert states["never"] == "withdrawn"
    assert heard(cluster, task) == ["the prompt", "while pausing", "while paused", "while resuming"]


def test_a_message_before_the_first_start(cluster, api, fake):
    """Goal: one for a task that is still starting comes after the prompt."""
    task = api.create(fake, "the prompt")
    api.queue(task, "early")
    assert api.wait_messages_over(task, deadline=60) == {"early": "delivered"}
    assert heard(cluster, task) == ["the prompt", "early"]
    api.remove(task)


def test_the_turn_mode_queues_too(cluster, api):
    """Goal: an app that is a command per message gets what waits, one after the other."""
    task = api.wait_state(api.create(
        cluster.shell, "until [ -e ~/go ]; do sleep 0.05; done; echo prompt >> ~/said"), "working")
    for i in range(3):
        api.queue(task, f"echo {i} >> ~/said")
    assert set(api.message_states(task).values()) == {"queued"}
    touch(cluster, task, "go")
    api.wait_messages_over(task)
    wait_until(lambda: cluster.read_home(task, "said") == "prompt\n0\n1\n2\n", "all have run")


def test_kills_while_messages_wait(clusters):
    """Goal: scheduler, worker and Redis are killed while messages wait and flow: each is delivered
    once, in order."""
    cluster = clusters(workers=2, scheduler={"lease": "2s"})
    api = cluster.api()
    template = api.push_template("fake", templates.fake())
    tasks = [wait_rest(api, api.create(template, f"prompt {i}", name=f"waits-{i}")) for i in range(3)]
    for task in tasks:
        touch(cluster, task, "busy")

    def kill_scheduler():
        cluster.scheduler.kill()
        cluster.start_scheduler()

    def kill_redis():
        cluster.redis.kill()
        cluster.redis.start()

    def kill_worker(i):
        cluster.workers[i].kill()
        cluster.start_worker(cluster.workers[i])

    blows = [kill_scheduler, lambda: kill_worker(0), kill_redis, lambda: kill_worker(1), kill_scheduler]
    for round_, blow in enumerate(blows):
        for task in tasks:
            api.queue(task, f"a{round_}")
        blow()
        for task in tasks:
            wait_until(lambda: api.queue(task, f"b{round_}", expect=None) is not None, "it is taken")
        if round_ == 2:
            for task in tasks:
                remove(cluster, task, "busy")
    expected = [f"{word}{i}" for i in range(len(blows)) for word in "ab"]
    for i, task in enumerate(tasks):
        states = api.wait_messages_over(task, deadline=60)
        accepted = [content for content in expected if content in states]
        assert len(accepted) >= len(expected) - 2, states
        assert set(states.values()) == {"delivered"}, states
        assert heard(cluster, task) == [f"prompt {i}"] + accepted


def test_messages_of_a_deleted_task(cluster, api, fake):
    """Goal: what waits for a task that is deleted is withdrawn, and can be asked for no more."""
    task = wait_rest(api, api.create(fake, "the prompt"))
    make_busy(cluster, api, task)
    api.queue(task, "too late")
    api.remove(task)
    assert cluster.sql("SELECT state FROM queued_messages WHERE task_id = %s", task["id"]) == [("withdrawn",)]
    problem_of(api.get(f"/tasks/{task['id']}/messages", prefix=OWN, expect=404))
    problem_of(api.queue(task, "still later", expect=404))


def test_a_hundred_may_wait(cluster, api, task):
    """Goal: the 101st is refused with a sentence; after one is taken back there is room again."""
    make_busy(cluster, api, task)
    messages = [api.queue(task, f"message {i}") for i in range(100)]
    assert "wait" in problem_of(api.queue(task, "one too many", expect=409)).lower()
    api.unsend(task, messages[50])
    api.queue(task, "room again")


@pytest.mark.parametrize("body, status", [
    ({}, 400), ({"content": ""}, 400), ({"content": None}, 400), ({"content": 3}, 400), ([], 400),
    ({"content": "x" * (1024 * 1024 + 1)}, (400, 413)), ({"content": " \n\t"}, (201, 400))])
def test_bad_messages(api, task, body, status):
    """Goal: a 4xx that says what is wrong, as a problem document."""
    answer = api.post(f"/tasks/{task['id']}/messages", body, prefix=OWN, expect=status)
    if answer.status_code != 201:
        problem_of(answer)


def test_strangers(cluster, api, task):
    """Goal: who may not see a task learns nothing of it and leaves nothing in it."""
    bob = cluster.api("bob")
    problem_of(bob.get(f"/tasks/{task['id']}/messages", prefix=OWN, expect=404))
    problem_of(bob.queue(task, "let me in", expect=404))
    message = api.queue(task, "mine")
    problem_of(bob.unsend(task, message, expect=404))
    problem_of(api.get(f"/tasks/{uuid.uuid4()}/messages", prefix=OWN, expect=404))
    problem_of(api.get("/tasks/not-a-uuid/messages", prefix=OWN, expect=(400, 404)))
    problem_of(api.with_token("").get(f"/tasks/{task['id']}/messages", prefix=OWN, expect=401))


def test_a_message_that_the_app_refuses(cluster, api, task):
    """Goal: it is not tried for ever: `refused`, with what the app said, and the next one goes on."""
    touch(cluster, task, "mode", "refuse")
    api.queue(task, "unwelcome")
    refused = wait_until(lambda: [m for m in api.messages(task) if m["state"] == "refused"],
                         "it is refused", 60, say=lambda: api.messages(task))
    assert "the terminal does not take that" in refused[0]["detail"], refused
    touch(cluster, task, "mode", "ok")
    api.queue(task, "welcome")
    assert api.wait_messages_over(task) == {"unwelcome": "refused", "welcome": "delivered"}
    assert heard(cluster, task) == ["the prompt", "welcome"]


def test_the_command_line_shows_what_waits(cluster, api, task, stint):
    """Goal: send waits until it is delivered; --no-wait does not; messages lists; unsend takes back;
    --direct is Coder's send."""
    stint("task", "send", task["name"], "by hand")
    assert heard(cluster, task) == ["the prompt", "by hand"]
    make_busy(cluster, api, task)
    stint("task", "send", "--no-wait", task["name"], "one")
    stint("task", "send", "--no-wait", task["name"], "two")
    listed = stint("task", "messages", task["name"]).stdout
    assert "one" in listed and "two" in listed and "queued" in listed, listed
    two = next(m for m in api.messages(task) if m["content"] == "two")
    stint("task", "unsend", task["name"], two["id"])
    assert api.message_states(task)["two"] == "withdrawn"
    direct = stint("task", "send", "--direct", task["name"], "now", check=None)
    assert direct.returncode not in (0, 99) and "not ready" in direct.stderr, direct
    remove(cluster, task, "busy")
    api.wait_messages_over(task)
    assert heard(cluster, task) == ["the prompt", "by hand", "one"]
    again = stint("task", "unsend", task["name"], two["id"], check=None)
    assert again.returncode not in (0, 99) and len(again.stderr) > 10


def test_the_command_line_resumes_for_a_message(cluster, api, task, stint):
    """Goal: a send to a paused task resumes it and is delivered."""
    api.pause(task)
    api.wait_status(task, "paused", deadline=40)
    stint("task", "send", task["name"], "wake up")
    assert heard(cluster, task) == ["the prompt", "wake up"]
