# SPDX-License-Identifier: Apache-2.0
"""Messages that wait, over REST and on the command line, and what is shown of an agent and changed
in a template.  Apps are commands that wait for a file, so that each is busy for as long as a test
wants."""

import json
import re
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import templates
from lib.api import OWN, message_of, pack, problem_of
from lib.talk import touch
from lib.wait import stays, wait_until

CLUSTER = dict(workers=1)

BUSY = "until [ -e ~/go ]; do sleep 0.05; done; echo prompt >> ~/said"


@pytest.fixture
def busy(cluster, api):
    """A task that is at work until it is told to go on."""
    task = api.wait_state(api.create(cluster.shell, BUSY), "working")
    yield task
    api.remove(task, expect=(202, 409, 404))


def path(task, *more):
    return "/".join([f"/tasks/{task['id']}/messages", *more])


def let_go(cluster, task):
    touch(cluster, task, "go")


def said(cluster, task):
    return cluster.read_home(task, "said").split()


# ---- REST

def test_shape_and_place(cluster, api, busy):
    """Goal: each message shows its place while it waits, and none when it is over; the list has those
    that wait first to last, then the others, newest first."""
    made = [api.queue(busy, f"echo {i} >> ~/said") for i in range(3)]
    for i, message in enumerate(made):
        assert message["position"] == i + 1 and message["state"] == "queued"
        assert message["task_id"] == busy["id"] and message["finished_at"] is None
        assert api.get(path(busy, message["id"]), prefix=OWN, expect=200).json() == message
    assert api.messages(busy) == made
    api.unsend(busy, made[0])
    assert [(m["id"], m["position"]) for m in api.messages(busy)] == [
        (made[1]["id"], 1), (made[2]["id"], 2), (made[0]["id"], None)]
    let_go(cluster, busy)
    assert set(api.wait_messages_over(busy).values()) == {"withdrawn", "delivered"}
    over = api.messages(busy)
    assert [m["id"] for m in over] == [made[2]["id"], made[1]["id"], made[0]["id"]]
    assert all(m["finished_at"] and m["position"] is None for m in over)
    wait_until(lambda: said(cluster, busy) == ["prompt", "1", "2"], "they have run, in order")


def test_the_same_id_is_the_same_message(cluster, api, busy):
    """Goal: sent again under its id it is one message, however often and at once; of another task the
    id is refused."""
    chosen = str(uuid.uuid4())
    body = {"id": chosen, "content": "echo once >> ~/said"}
    first = api.post(path(busy), body, prefix=OWN, expect=201).json()
    assert first["id"] == chosen
    assert api.post(path(busy), body, prefix=OWN, expect=200).json() == first
    again = str(uuid.uuid4())

    def send(_):
        return api.post(path(busy), {"id": again, "content": "echo twice >> ~/said"}, prefix=OWN,
                        expect=(200, 201)).json()["id"]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(24))) == {again}
    assert [m["id"] for m in api.messages(busy)] == [chosen, again]
    other = api.create(cluster.shell, "echo other")
    problem_of(api.post(path(other), body, prefix=OWN, expect=409))
    let_go(cluster, busy)
    assert set(api.wait_messages_over(busy).values()) == {"delivered"}
    wait_until(lambda: said(cluster, busy) == ["prompt", "once", "twice"], "each has run once")
    assert api.post(path(busy), body, prefix=OWN, expect=200).json()["state"] == "delivered"


@pytest.mark.parametrize("body, status", [
    ({}, 400), ({"content": ""}, 400), ({"content": None}, 400), ({"content": " \n\t\r"}, 400),
    ({"content": 3}, 400), ({"content": ["x"]}, 400), ([], 400), ("text", 400), (None, 400),
    ({"content": "x", "id": "no-uuid"}, 400), ({"content": "x", "id": 7}, 400),
    ({"content": "x" * (1 << 20) + "y"}, 413), ({"content": "é" * (1 << 19) + "y"}, 413)])
def test_what_is_no_message(api, busy, body, status):
    """Goal: a problem document that says what is wrong; nothing is queued."""
    assert len(problem_of(api.post(path(busy), body, prefix=OWN, expect=status))) > 5
    assert api.messages(busy) == []


@pytest.mark.parametrize("raw", [
    b"{", b"", b'{"content": "a\\u0000b"}', b'{"content": "\xff\xfe"}', b'{"content": "\xed\xa0\x80"}',
    b'{"content": "a\x00b"}', b'\x00'])
def test_bytes_that_are_no_text(api, busy, raw):
    """Goal: NUL and broken UTF-8 are 400."""
    problem_of(api.request("POST", path(busy), prefix=OWN, data=raw, expect=400))
    assert api.messages(busy) == []


def test_a_message_as_long_as_it_may_be(cluster, api, busy):
    """Goal: 1 MiB is taken and delivered whole; the list shows its beginning, the message itself all."""
    script = "wc -c < $STINT_PROMPT_FILE >> ~/said\n"
    content = script + "#" * ((1 << 20) - len(script))
    message = api.queue(busy, content)
    assert message["content"] == content
    [listed] = api.messages(busy)
    assert listed["content_is_cut"] and content.startswith(listed["content"])
    assert api.get(path(busy, message["id"]), prefix=OWN, expect=200).json()["content"] == content
    let_go(cluster, busy)
    assert api.wait_messages_over(busy) == {listed["content"]: "delivered"}
    wait_until(lambda: said(cluster, busy) == ["prompt", str(1 << 20)], "it has run whole")


def test_words_that_need_escapes(cluster, api, busy):
    """Goal: quotes, line ends, angle brackets and every plane of Unicode come out as they went in."""
    content = "cat <<'E' >> ~/text\n<b>\"it's\" \\ & é 漢 🎉\u2028\x07\tend\nE\n"
    assert api.queue(busy, content)["content"] == content
    let_go(cluster, busy)
    api.wait_messages_over(busy)
    wait_until(lambda: cluster.read_home(busy, "text") == content.split("\n")[1] + "\n", "as it went in")


def test_problems_are_problems(cluster, api, busy):
    """Goal: errors below /api/stint/v1 are problem documents with a type, also of routes, methods and
    tokens; elsewhere they stay in Coder's shape."""
    for answer in (api.get("/nothing", prefix=OWN, expect=404), api.get("", prefix=OWN, expect=404),
                   api.request("PUT", path(busy), prefix=OWN, expect=405),
                   api.with_token(None).get(path(busy), prefix=OWN, expect=401),
                   api.with_token("x" * 33).get(path(busy), prefix=OWN, expect=401),
                   api.get("/tasks/me/messages", prefix=OWN, expect=400),
                   api.get(path(busy, "x"), prefix=OWN, expect=400)):
        problem_of(answer)
        assert answer.json()["type"] == "about:blank"
    refused = api.get(path(busy, str(uuid.uuid4())), prefix=OWN, expect=404)
    problem_of(refused)
    assert refused.json()["type"] == "urn:stint:problem:message-unknown"
    message_of(api.get("/stint/v1/tasks", expect=404))


def test_others_see_nothing(cluster, api, busy):
    """Goal: another member gets 404 for all of it, another task's path does not reach a message."""
    message = api.queue(busy, "echo mine")
    bob = cluster.api("bob")
    problem_of(bob.get(path(busy), prefix=OWN, expect=404))
    problem_of(bob.get(path(busy, message["id"]), prefix=OWN, expect=404))
    problem_of(bob.queue(busy, "echo bob's", expect=404))
    problem_of(bob.unsend(busy, message, expect=404))
    problem_of(bob.get(f"/tasks/{busy['id']}/agent", prefix=OWN, expect=404))
    own = bob.create(cluster.shell, "echo own")
    problem_of(bob.get(path(own, message["id"]), prefix=OWN, expect=404))
    problem_of(bob.unsend(own, message, expect=404))
    agent_id = api.agent(busy)["id"]
    message_of(bob.get(f"/workspaceagents/{agent_id}", expect=404))
    message_of(bob.get(f"/workspaceagents/{agent_id}/logs", expect=404))
    assert [m["id"] for m in api.messages(busy)] == [message["id"]]


def test_taking_back(cluster, api, busy):
    """Goal: 204, twice is 204 too; one that was delivered is 409 with a name."""
    message = api.queue(busy, "echo never >> ~/said")
    api.unsend(busy, message)
    api.unsend(busy, message)
    delivered = api.queue(busy, "echo ever >> ~/said")
    let_go(cluster, busy)
    api.wait_messages_over(busy)
    refused = api.unsend(busy, delivered, expect=409)
    assert refused.json()["type"] == "urn:stint:problem:message-delivered"
    wait_until(lambda: said(cluster, busy) == ["prompt", "ever"], "only that has run")


def test_the_newest_fifty_of_the_others(cluster, api, busy):
    """Goal: the list stays short however many were sent."""
    for i in range(60):
        api.unsend(busy, api.queue(busy, f"echo {i}"))
    waits = api.queue(busy, "echo waits")
    listed = api.messages(busy)
    assert len(listed) == 51 and listed[0]["id"] == waits["id"]
    assert [m["content"] for m in listed[1:]] == [f"echo {i}" for i in range(59, 9, -1)]


# ---- Coder's send and logs by state

def test_send_and_logs_by_state(cluster, api, busy):
    """Goal: Coder's status codes: 409 while it works, is pausing or paused; logs of each state."""
    refused = api.send(busy, "now", expect=409)
    assert message_of(refused) == "Task app is not ready to accept input."
    assert refused.json()["detail"] == "Status: running"
    api.pause(busy)
    api.wait_status(busy, "paused")
    assert message_of(api.send(busy, "now", expect=409)) == "Task is paused."
    assert api.logs(busy)["snapshot"] is True


@pytest.mark.parametrize("health, lifecycle, status, send, logs", [
    ("initializing", "ready", "initializing", (409, "Task is initializing."), 200),
    ("unhealthy", "ready", "error", (400, "Task must be active."), 409),
    ("healthy", "off", "unknown", (400, "Task must be active."), 409),
])
def test_health_decides(clusters, health, lifecycle, status, send, logs):
    """Goal: §1.8 and §1.9 for what an app's health makes of a task.  Method: the row is set by hand,
    and a new leader reads it."""
    cluster = clusters(workers=1)
    api = cluster.api()
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    cluster.sql("UPDATE apps p SET health = %s FROM agents a WHERE a.id = p.agent_id AND a.task_id = %s",
                health, task["id"])
    cluster.sql("UPDATE agents SET lifecycle = %s WHERE task_id = %s", lifecycle, task["id"])
    cluster.scheduler.kill()
    cluster.start_scheduler()
    api.wait_status(task, status)
    refused = api.send(task, "x", expect=send[0])
    assert message_of(refused) == send[1]
    answer = api.get(f"/tasks/me/{task['id']}/logs", expect=logs)
    if logs == 409:
        assert message_of(answer) == "Cannot fetch logs for task in current state."
        assert answer.json()["detail"] == f'Task status is "{status}".'


# ---- agents

def test_the_agent_of_a_task(cluster, api):
    """Goal: Stint's and Coder's view of an agent, running and paused; workspace and build show the
    same agent with all its apps."""
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    agent = api.agent(task)
    assert (agent["lifecycle"], agent["connection"]) == ("ready", "connected")
    assert agent["health"] == {"healthy": True} and agent["deadline"] is None
    assert [(a["slug"], a["display_name"], a["health"]) for a in agent["apps"]] == [
        ("shell", "Shell", "disabled")]
    assert agent["metadata"] == []
    coders = api.get(f"/workspaceagents/{agent['id']}", expect=200).json()
    assert (coders["id"], coders["name"], coders["status"], coders["lifecycle_state"]) == (
        agent["id"], "main", "connected", "ready")
    assert coders["apps"] == agent["apps"] and coders["health"] == {"healthy": True}
    workspace = api.get(f"/workspaces/{task['workspace_id']}", expect=200).json()
    [shown] = workspace["latest_build"]["resources"][0]["agents"]
    statuses = shown["apps"][0].pop("statuses")
    assert [(s["state"], s["message"]) for s in statuses] == [("complete", "up")]
    assert shown["id"] == agent["id"] and shown["apps"] == [
        {k: v for k, v in app.items() if k != "statuses"} for app in agent["apps"]]
    assert workspace["latest_build"]["deadline"] is None and workspace["ttl_ms"] is None
    api.pause(task)
    api.wait_status(task, "paused")
    paused = api.wait_agent(task, lambda a: a["connection"] == "disconnected", "it is gone")
    assert paused["id"] == agent["id"] and paused["health"]["healthy"] is False
    assert api.get(f"/workspaceagents/{agent['id']}", expect=200).json()["status"] == "disconnected"


def test_a_task_that_waits_has_no_agent_yet(clusters):
    """Goal: before its start an agent is `connecting`, and nothing fails."""
    cluster = clusters(workers=1, scheduler={"cap": 1})
    api = cluster.api()
    api.wait_complete(api.create(cluster.shell, "echo first", name="first"))
    task = api.create(cluster.shell, "echo second")
    agent = api.agent(task)
    assert agent["connection"] in (None, "connecting", "connected") and agent["metadata"] == []


def test_logs_of_an_agent(cluster, api, busy):
    """Goal: lines by id with after and before, as JSON and as text; bad parameters are 400.  Method:
    rows are put in by hand."""
    agent_id = api.agent(busy)["id"]
    cluster.sql("DELETE FROM agent_logs WHERE agent_id = %s", agent_id)
    for i in range(1, 31):
        cluster.sql("INSERT INTO agent_logs (agent_id, id, source, level, output, created_at) "
                    "VALUES (%s, %s, %s, 'info', %s, now())", agent_id, 100 + i,
                    "start" if i % 2 else "shell", f"line {i} <&>")
    where = f"/workspaceagents/{agent_id}/logs"
    lines = api.get(where, expect=200).json()
    assert [line["id"] for line in lines] == list(range(101, 131))
    assert set(lines[0]) == {"id", "created_at", "output", "level", "source_id", "source"}
    assert (lines[0]["output"], lines[0]["level"], lines[0]["source"]) == ("line 1 <&>", "info", "start")
    sources = {s["id"]: s["display_name"] for s in
               api.get(f"/workspaceagents/{agent_id}", expect=200).json()["log_sources"]}
    assert all(sources[line["source_id"]] == line["source"] for line in lines)

    def ids(query):
        return [line["id"] for line in api.get(where + query, expect=200).json()]

    assert ids("?after=128") == [129, 130] and ids("?after=130") == [] and ids("?before=103") == [101, 102]
    assert ids("?after=101&before=104") == [102, 103]
    text = api.get(where + "?format=text&after=129", expect=200)
    assert text.headers["Content-Type"].startswith("text/plain")
    assert re.fullmatch(r"\S+Z \[info\] \[agent\.main\|shell\] line 30 <&>\n", text.text), text.text
    for query in ("?after=x", "?after=-1", "?before=1x", "?format=xml", "?format=text&follow",
                  "?after=99999999999999999999"):
        message_of(api.get(where + query, expect=400))
    assert [line["id"] for line in api.agent(busy)["logs"]] == list(range(111, 131))
    message_of(api.get(f"/workspaceagents/{uuid.uuid4()}/logs", expect=404))
    message_of(api.get("/workspaceagents/nonsense", expect=400))


def test_build_logs_as_text(cluster, api):
    """Goal: ?format=text of a build's log."""
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    build = api.get(f"/workspaces/{task['workspace_id']}", expect=200).json()["latest_build"]["id"]
    wait_until(lambda: api.get(f"/workspacebuilds/{build}/logs", expect=200).json(), "there are lines")
    text = api.get(f"/workspacebuilds/{build}/logs?format=text", expect=200).text
    assert re.match(r"\S+Z \[\w+\] \[provisioner\|[^]]+\] ", text), text
    message_of(api.get(f"/workspacebuilds/{build}/logs?after=-5", expect=400))


def test_snapshots_that_are_none(cluster, api, busy):
    """Goal: messages of another shape are refused like JSON that is none."""
    token = cluster.sql_one("SELECT auth_token::text FROM agents WHERE task_id = %s", busy["id"])[0]
    agent = api.with_token(token)
    where = f"/workspaceagents/me/tasks/{busy['id']}/log-snapshot?format=agentapi"
    for messages in (["x"], [3], [None], [{"id": "1"}], [{"content": 4}], [{"role": []}]):
        refused = agent.post(where, {"messages": messages}, expect=400)
        assert message_of(refused) == "Failed to decode request payload."
    for body in ({}, {"messages": None}, {"messages": {}}):
        assert message_of(agent.post(where, body, expect=400)) == "Invalid agentapi payload structure."
    agent.post(where, {"messages": [{"id": 0, "content": "hi", "role": "agent",
                                     "time": "2026-01-02T03:04:05Z"}]}, expect=204)


# ---- templates

def test_a_template_changes(cluster, api):
    """Goal: only what is named changes; nothing to change is 304; times reach new tasks."""
    template = api.push_template("changes", templates.shell(description="changes"))
    where = f"/templates/{template.id}"
    before = api.get(where, expect=200).json()
    assert (before["default_ttl_ms"], before["activity_bump_ms"]) == (0, 3600000)
    after = api.patch(where, {"display_name": "Changes", "default_ttl_ms": 3600000,
                              "activity_bump_ms": 60000}, expect=200).json()
    assert after["updated_at"] > before["updated_at"]
    differs = {k for k in after if after[k] != before[k]}
    assert differs == {"display_name", "default_ttl_ms", "activity_bump_ms", "updated_at"}
    for body in ({}, {"name": ""}, {"display_name": "Changes"}, {"default_ttl_ms": 3600000, "icon": None}):
        again = api.patch(where, body, expect=304)
        assert again.text == ""
    task = api.wait_complete(api.create(template, "echo up"))
    assert cluster.sql("SELECT ttl_ms, activity_bump_ms FROM workspaces WHERE task_id = %s",
                       task["id"]) == [(3600000, 60000)]
    workspace = api.get(f"/workspaces/{task['workspace_id']}", expect=200).json()
    assert workspace["ttl_ms"] == 3600000 and workspace["latest_build"]["deadline"] is not None
    assert api.agent(task)["deadline"] == workspace["latest_build"]["deadline"]
    api.patch(where, {"name": "changed", "deprecation_message": "no more"}, expect=200)
    assert api.get(where, expect=200).json()["deprecated"] is True
    message_of(api.create(template, "echo no", expect=400))
    api.patch(where, {"deprecation_message": ""}, expect=200)
    api.wait_complete(api.create(template, "echo again"))


@pytest.mark.parametrize("body, field", [
    ({"default_ttl_ms": -1}, "default_ttl_ms"), ({"activity_bump_ms": -5}, "activity_bump_ms"),
    ({"default_ttl_ms": 1 << 60}, "default_ttl_ms"), ({"name": "not ok"}, "name"),
    ({"display_name": "x" * 65}, "display_name"), ({"description": "x" * 1025}, "description"),
    ({"default_ttl_ms": "1h"}, None), ({"name": 3}, None), ([], None)])
def test_changes_that_are_none(cluster, api, body, field):
    """Goal: 400 that names the field; the template stays as it is."""
    where = f"/templates/{cluster.shell.id}"
    before = api.get(where, expect=200).json()
    refused = api.patch(where, body, expect=400)
    message_of(refused)
    if field:
        assert refused.json()["validations"][0]["field"] == field
    assert api.get(where, expect=200).json() == before


def test_who_may_change_a_template(cluster, api):
    """Goal: not everybody; a name that is taken is 409; one that does not exist 404."""
    message_of(cluster.api("bob").patch(f"/templates/{cluster.shell.id}", {"icon": "x"}, expect=403))
    other = api.push_template("other-name", templates.shell(description="other name"))
    taken = api.patch(f"/templates/{other.id}", {"name": "SHELL"}, expect=409)
    assert message_of(taken) == 'Template with name "SHELL" already exists.'
    message_of(api.patch(f"/templates/{uuid.uuid4()}", {"icon": "x"}, expect=404))
    message_of(api.patch("/templates/x", {"icon": "x"}, expect=400))


def test_a_template_made_with_times(cluster, api):
    """Goal: POST stores the times; without them a task never pauses by itself."""
    version = api.import_version(pack(templates.shell(description="made with times")))
    where = f"/organizations/{api.organization_id()}/templates"
    body = {"name": "timed", "template_version_id": version["id"], "default_ttl_ms": 7200000}
    message_of(api.post(where, body | {"default_ttl_ms": -1}, expect=400))
    made = api.post(where, body, expect=201).json()
    assert (made["default_ttl_ms"], made["activity_bump_ms"]) == (7200000, 3600000)


# ---- the command line

def test_send_on_the_command_line(cluster, api, stint, busy):
    """Goal: send waits until it is delivered and says so; --no-wait leaves it; messages, status and
    unsend show and take back."""
    name = busy["name"]
    left = stint("task", "send", name, "echo one >> ~/said", "--no-wait")
    assert "queued at place 1" in left.stderr and left.stdout == ""
    made = json.loads(stint("task", "send", name, "echo two >> ~/said", "--no-wait", "--json").stdout)
    assert made["position"] == 2
    status = stint("task", "status", name).stdout
    assert "1. echo one" in status and "2. echo two" in status and "ready, connected" in status
    everything = json.loads(stint("task", "status", name, "--json").stdout)
    assert len(everything["queued_messages"]) == 2 and everything["agent"]["lifecycle"] == "ready"
    listed = stint("task", "messages", name).stdout
    assert re.search(rf"{made['id']}\s+queued\s+2\s", listed), listed
    stint("task", "unsend", name, made["id"][:8])
    assert [m["state"] for m in json.loads(stint("task", "messages", name, "--json").stdout)] == [
        "queued", "withdrawn"]
    refused = stint("task", "send", name, "now", "--direct", check=75)
    assert "not ready" in refused.stderr and "without --direct" in refused.stderr
    done = []
    waits = threading.Thread(
        target=lambda: done.append(stint("task", "send", name, "echo three >> ~/said")))
    waits.start()
    wait_until(lambda: len(api.messages(busy)) == 3, "the third is queued")
    stays(lambda: not done, "the waiting", 0.5)
    let_go(cluster, busy)
    waits.join(30)
    assert done[0].stdout == f"The message has been sent to {name}.\n", done[0]
    wait_until(lambda: said(cluster, busy) == ["prompt", "one", "three"], "all have run")


def test_send_and_watch_behind_others(cluster, api, stint, busy):
    """Goal: --watch shows the answer to this message, not to those before it, and ends with it."""
    api.queue(busy, "echo before")
    done = []
    waits = threading.Thread(
        target=lambda: done.append(stint("task", "send", busy["name"], "echo mine; exit 3", "--watch", check=1)))
    waits.start()
    wait_until(lambda: len(api.messages(busy)) == 2, "it is queued")
    let_go(cluster, busy)
    waits.join(30)
    assert done[0].stdout == "mine\n", done[0]


def test_watch_of_fast_answers(cluster, api, stint):
    """Goal: send --watch ends with its own answer, also when that is there at once."""
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    for i in range(5):
        assert stint("task", "send", task["name"], f"echo answer {i}", "--watch").stdout == f"answer {i}\n"


def test_send_resumes(cluster, api, stint):
    """Goal: a message for a paused task resumes it; with --no-wait it waits for the resume."""
    task = api.wait_complete(api.create(cluster.shell, "echo prompt >> ~/said"))
    api.pause(task)
    api.wait_status(task, "paused")
    left = stint("task", "send", task["name"], "echo one >> ~/said", "--no-wait")
    assert f"stint task resume {task['name']}" in left.stderr
    assert "queued" in stint("task", "messages", task["name"]).stdout
    stint("task", "send", task["name"], "echo two >> ~/said")
    wait_until(lambda: said(cluster, task) == ["prompt", "one", "two"], "both have run")


def test_mistakes_on_the_command_line(cluster, api, stint, busy):
    """Goal: a status other than 0, one sentence, and the next step."""
    name = busy["name"]
    for arguments in (["task", "messages", "no-such-task"], ["task", "unsend", name],
                      ["task", "unsend", name, "ffff"], ["task", "unsend", name, str(uuid.uuid4())],
                      ["task", "send", name, ""], ["task", "send", name, "x", "--no-wait", "--watch"],
                      ["task", "messages", name, "-c", "colour"],
                      ["template", "edit", "shell"], ["template", "edit", "nothing", "--icon", "x"],
                      ["template", "edit", "shell", "--idle-timeout", "soon"]):
        done = stint(*arguments, check=None)
        assert done.returncode not in (0, 99) and done.returncode > 0, (arguments, done)
        assert len(done.stderr) > 10 and done.stdout == "", (arguments, done)
    for command in ("messages", "unsend", "send", "status"):
        assert "$ stint " in stint("task", command, "--help").stdout
    assert "messages unsend" in stint("completion", "bash").stdout


def test_edit_a_template_on_the_command_line(cluster, api, stint):
    """Goal: edit changes times and texts, says when nothing changes, and status shows the deadline."""
    api.push_template("edited", templates.shell(description="edited"))
    stint("template", "edit", "edited", "--idle-timeout", "1h", "--activity-bump", "30m",
          "--display-name", "An edited one")
    row = stint("template", "list", "-c", "name,idle timeout,activity bump,display name").stdout
    assert re.search(r"edited\s+1h\s+30m\s+An edited one", row), row
    assert "is so already" in stint("template", "edit", "edited", "--idle-timeout", "60m").stdout
    made = stint("task", "create", "-t", "edited", "--name", "idles", "echo up", "--watch")
    assert "up" in made.stdout
    assert re.search(r"Pauses\s+in (1h|\d+m) unless it works", stint("task", "status", "idles").stdout)
    assert stint("template", "edit", "edited", "--idle-timeout", "never", "--json").stdout.startswith("{")


def test_logs_of_the_agent_on_the_command_line(cluster, api, stint, busy):
    """Goal: --agent shows lines of scripts and apps."""
    agent_id = api.agent(busy)["id"]
    cluster.sql("INSERT INTO agent_logs (agent_id, id, source, level, output, created_at) "
                "VALUES (%s, 1000001, 'start', 'error', 'it failed', now())", agent_id)
    assert re.search(r"\d\d:\d\d:\d\d  start: it failed\n",
                     stint("task", "logs", busy["name"], "--agent").stdout)
    lines = json.loads(stint("task", "logs", busy["name"], "--agent", "--json").stdout)
    assert lines[-1]["output"] == "it failed"
