# SPDX-License-Identifier: Apache-2.0
"""The life of a task over REST, from create to complete, and what a reader sees at each step."""

import os
import re
import uuid
from datetime import datetime

import pytest

from lib.api import EXPERIMENTAL, NIL_UUID, STABLE
from lib.wait import wait_until

# A frozen worker keeps its jobs for the length of a test.
CLUSTER = dict(workers=1, scheduler={"lease": "60s"})

# Waits in the sandbox until the test lets it go on (see let_go()).
GATED = "until [ -e ~/go ]; do sleep 0.1; done; "

ALWAYS = {
    "id", "organization_id", "owner_id", "owner_name", "name", "display_name", "template_id",
    "template_version_id", "template_name", "template_display_name", "template_icon",
    "workspace_id", "workspace_name", "workspace_agent_id", "workspace_agent_lifecycle",
    "workspace_agent_health", "workspace_app_id", "initial_prompt", "status", "current_state",
    "created_at", "updated_at",
}
LIFECYCLES = {None, "created", "starting", "start_timeout", "start_error", "ready", "shutting_down",
              "shutdown_timeout", "shutdown_error", "off"}


def let_go(cluster, task):
    open(cluster.home(task, "go"), "w").close()


def time_of(text):
    """RFC 3339 with up to nanoseconds."""
    whole, fraction, zone = re.fullmatch(r"([^.]+?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", text).groups()
    micros = ((fraction or "") + "000000")[:6]
    return datetime.fromisoformat(f"{whole}.{micros}{zone.replace('Z', '+00:00')}")


def check_shape(task):
    assert ALWAYS <= set(task), f"missing: {ALWAYS - set(task)}"
    for key in ("id", "organization_id", "owner_id", "template_id", "template_version_id",
                "workspace_id"):
        assert str(uuid.UUID(task[key])) == task[key], key
    assert task["status"] in ("pending", "initializing", "active", "paused", "unknown", "error")
    assert task["workspace_agent_lifecycle"] in LIFECYCLES
    assert task.get("owner_avatar_url") != "", "an empty avatar is left out"
    time_of(task["created_at"]), time_of(task["updated_at"])
    if task["current_state"] is not None:
        assert set(task["current_state"]) == {"timestamp", "state", "message", "uri"}
        assert task["current_state"]["state"] in ("working", "idle", "complete", "failed")
        time_of(task["current_state"]["timestamp"])


def test_a_task_from_create_to_complete(cluster, api):
    """Goal: status, current_state and workspace_status follow Coder's rules at every step.
    Method: the worker is frozen to hold the start job, and the prompt waits for a file."""
    worker = cluster.workers[0]
    worker.freeze()
    try:
        # The poll that the frozen worker left behind at the scheduler takes the first job; nobody
        # is there for the second.
        first = api.create(cluster.shell, "echo first")
        api.wait_status(first, "initializing", deadline=10)
        task = api.create(cluster.shell, GATED + "echo all done")
        check_shape(task)
        assert task["status"] == "pending"
        assert task["workspace_status"] == "pending"
        assert task["current_state"] is None
        assert task["workspace_build_number"] == 1
        assert task["workspace_agent_id"] is None and task["workspace_app_id"] is None
        assert task["initial_prompt"] == GATED + "echo all done"
        assert task["owner_name"] == "admin" and task["template_name"] == "shell"
        assert task["workspace_name"] == task["name"]

        starting = api.task(first)
        check_shape(starting)
        assert starting["workspace_status"] == "starting"
        assert starting["workspace_agent_id"] is None
        assert starting["current_state"]["state"] == "working"
        assert starting["current_state"]["uri"] == ""
        assert starting["current_state"]["message"] in (
            "Workspace is starting", "Agent is connecting", "Initializing workspace",
            "Initializing workspace agent")
    finally:
        worker.thaw()

    task = api.wait_state(task, "working")
    check_shape(task)
    assert task["workspace_status"] == "running"
    assert task["workspace_agent_lifecycle"] == "ready"
    assert task["workspace_agent_health"]["healthy"] is True
    assert uuid.UUID(task["workspace_agent_id"]) and uuid.UUID(task["workspace_app_id"])
    working_since = time_of(task["current_state"]["timestamp"])

    let_go(cluster, task)
    task = api.wait_complete(task)
    check_shape(task)
    assert task["status"] == "active", "a task that is complete still holds its workspace"
    assert task["current_state"]["message"] == "all done"
    assert time_of(task["current_state"]["timestamp"]) >= working_since
    assert time_of(task["updated_at"]) >= time_of(task["created_at"])


def test_a_failing_command_is_failed(cluster, api):
    """Goal: exit status other than 0 is `failed`, with the status and the last line."""
    task = api.create(cluster.shell, "echo first; echo this broke; exit 3")
    task = api.wait_state(task, "failed")
    assert "3" in task["current_state"]["message"]
    assert "this broke" in task["current_state"]["message"]
    assert task["status"] == "active"


def test_the_logs_are_the_conversation(cluster, api):
    """Goal: the prompt is the first entry (input), then the output in order, stdout and stderr."""
    prompt = "for i in 1 2 3; do echo line $i; done; echo oops >&2"
    task = api.create(cluster.shell, prompt)
    api.wait_complete(task)
    body = api.logs(task)
    assert "snapshot" not in body and "snapshot_at" not in body, "of an active task they are live"
    entries = body["logs"]
    assert [e["id"] for e in entries] == list(range(len(entries)))
    assert all(set(e) == {"id", "content", "type", "time"} for e in entries)
    assert (entries[0]["type"], entries[0]["content"]) == ("input", prompt)
    assert {e["type"] for e in entries[1:]} == {"output"}
    out = api.output(task)
    assert [line for line in out.split("\n") if line] == ["line 1", "line 2", "line 3", "oops"]


def test_long_output_arrives_whole(cluster, api):
    """Goal: 2 MB of lines come out of the logs in order with nothing lost or doubled."""
    task = api.create(cluster.shell, "seq -f 'row %012.0f of a long story' 1 60000")
    api.wait_complete(task, deadline=60)
    rows = re.findall(r"row (\d{12}) of a long story", api.output(task))
    assert [int(r) for r in rows] == list(range(1, 60001))


def test_output_that_is_no_text(cluster, api):
    """Goal: bytes that are not UTF-8, NULs, escapes and one endless line do no harm."""
    task = api.create(cluster.shell, r"printf 'a\xff\xfe\x00b\x1b[31mred\x1b[0m\n'; "
                                     "head -c 100000 /dev/zero | tr '\\0' x; echo; echo fine")
    task = api.wait_complete(task)
    assert task["current_state"]["message"] == "fine"
    assert api.output(task).count("x") == 100000


@pytest.mark.parametrize("prompt, name, display", [
    ("Fix the login page", "fix-the-login-page", "Fix the login page"),
    ("fix THE\n\tbug: #42!", "fix-the-bug-42", None),
    ("one two three four five six seven eight nine", "one-two-three-four-five-six", None),
    ("a" * 70, None, None),
    ("多言語", None, None),
])
def test_generated_names(cluster, api, prompt, name, display):
    """Goal: names come from the prompt: at most 27 characters on a word's end, lower case, [a-z0-9-],
    and four hex digits; the display name has at most 64 runes and begins with a capital."""
    task = api.create(cluster.shell, prompt)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*-[0-9a-f]{4}", task["name"]), task["name"]
    assert len(task["name"]) <= 32
    if name is not None:
        assert task["name"][:-5] == name
    if display is not None:
        assert task["display_name"] == display
    assert task["display_name"] and len(task["display_name"]) <= 65
    first = task["display_name"][0]
    assert first == first.upper()
    api.remove(task, expect=(202, 409))


def test_given_names(cluster, api):
    """Goal: a name and a display name that are given are kept; the display name is trimmed."""
    task = api.create(cluster.shell, "echo hi", name="Given-Name-1", display_name="  My task ")
    assert (task["name"], task["display_name"]) == ("Given-Name-1", "My task")
    assert api.get("/tasks/me/given-name-1", expect=200).json()["id"] == task["id"], "any case"
    assert api.get("/tasks/admin/Given-Name-1", expect=200).json()["id"] == task["id"]
    by_user_id = api.get(f"/tasks/{task['owner_id']}/{task['id']}", expect=200).json()
    assert by_user_id["id"] == task["id"]


def test_an_empty_prompt_is_idle(cluster, api):
    """Goal: the server takes an empty input; nothing runs and the agent waits for a message."""
    task = api.create(cluster.shell, "")
    task = api.wait_state(task, "idle")
    assert task["initial_prompt"] == ""


def test_the_nil_preset_is_no_preset(cluster, api):
    """Goal: what Go's clients send for "no preset" is taken as such."""
    api.create(cluster.shell, "echo hi", template_version_preset_id=NIL_UUID)


def test_both_prefixes_are_one_api(cluster, api):
    """Goal: /api/v2 and /api/experimental answer every task route with the same."""
    task = api.create(cluster.shell, "echo twice", prefix=EXPERIMENTAL)
    api.wait_complete(task)
    for path in (f"/tasks/me/{task['id']}", f"/tasks/me/{task['id']}/logs", "/tasks?q=owner:me"):
        old, new = (api.get(path, prefix=p, expect=200).json() for p in (EXPERIMENTAL, STABLE))
        assert old == new
    for prefix in (EXPERIMENTAL, STABLE):
        api.post(f"/tasks/me/{task['id']}/send", {"input": "echo again"}, prefix=prefix, expect=204)
        wait_until(lambda: api.task(task)["current_state"]["message"] == "again", "the turn is over")
        api.wait_complete(task)
    api.post(f"/tasks/me/{task['id']}/pause", prefix=EXPERIMENTAL, expect=202)
    api.wait_status(task, "paused")
    api.patch(f"/tasks/me/{task['id']}/input", {"input": "echo b"}, prefix=EXPERIMENTAL, expect=204)
    api.post(f"/tasks/me/{task['id']}/resume", prefix=EXPERIMENTAL, expect=202)
    api.wait_complete(task)
    api.delete(f"/tasks/me/{task['id']}", prefix=EXPERIMENTAL, expect=202)


def test_list_and_query(cluster, api):
    """Goal: the list is newest first, counts itself, and understands q as Coder's parser does."""
    bob = cluster.api("bob")
    mine = api.wait_complete(api.create(cluster.shell, "echo mine"))
    his = bob.wait_complete(bob.create(cluster.shell, "echo his"))

    everything = api.tasks()
    ids = [t["id"] for t in everything["tasks"]]
    assert everything["count"] == len(ids) and mine["id"] in ids and his["id"] in ids
    ages = [time_of(t["created_at"]) for t in everything["tasks"]]
    assert ages == sorted(ages, reverse=True)
    for task in everything["tasks"]:
        check_shape(task)

    def found(query, client=api):
        return {t["id"] for t in client.tasks(query)["tasks"]}

    me = api.me()
    for query in ("owner:me", 'owner:"me"', "owner:admin", "OWNER:Admin", f"owner:{me['id']}", "me",
                  "admin", "owner:me,", 'owner:"me" status:"active"', "owner:me, status:active",
                  "organization:default owner:me", f"organization:{me['organization_ids'][0]} me"):
        assert mine["id"] in found(query), query
        assert his["id"] not in found(query), query
    assert his["id"] in found("owner:bob")
    assert mine["id"] not in found("owner:me status:paused")
    assert mine["id"] not in found("owner:me status:pending")
    assert found("owner:me", bob) == {his["id"]}
    assert mine["id"] not in found("", bob), "a member sees what is their own"


@pytest.mark.parametrize("query, why", [
    (":x", None), ("owner:", None), ("owner:a:b", None), ("owner:me owner:bob", None),
    ("colour:red", '"colour" is not a valid query param'),
    ("owner:nobody-here", 'Query param "owner" has invalid value: user "nobody-here" either does '
                          "not exist, or you are unauthorized to view them"),
    ("organization:nowhere", None),
])
def test_queries_that_are_wrong(cluster, api, query, why):
    """Goal: 400 with Coder's message and a validation that says what is wrong."""
    body = api.tasks(query, expect=400)
    assert body["message"] == "Invalid task search query."
    assert body["validations"], body
    if why:
        assert why in [v["detail"] for v in body["validations"]]


def test_a_status_that_is_none(cluster, api):
    """Goal: an unknown status is the asker's mistake, not the server's."""
    api.tasks("status:sleeping", expect=400)


def test_one_megabyte_of_prompt(cluster, api):
    """Goal: a prompt of 1 MiB is kept byte for byte and reaches the command."""
    head = "wc -c < $STINT_PROMPT_FILE; echo ${#CODER_TASK_PROMPT}; exit 0\n"
    prompt = head + "é" * ((1024 * 1024 - len(head)) // 2)
    prompt += "x" * (1024 * 1024 - len(prompt.encode()))
    assert len(prompt.encode()) == 1024 * 1024
    task = api.create(cluster.shell, prompt)
    task = api.wait_complete(task)
    assert api.task(task)["initial_prompt"] == prompt
    assert api.output(task).split() == [str(1024 * 1024), "0"]


def test_the_prompt_of_the_shell_template(session, clusters):
    """Goal: deploy/templates/shell does what it says."""
    cluster = clusters(workers=1, worker=session.build.limited_agent())
    api = cluster.api()
    here = os.path.dirname(os.path.abspath(__file__))
    template = api.push_template(
        "shipped", os.path.join(here, "..", "..", "deploy", "templates", "shell"))
    task = api.wait_complete(api.create(template, "pwd; echo $HOME; whoami; echo bye"))
    assert api.output(task).split() == ["/home/agent", "/home/agent", "agent", "bye"]
    assert task["template_name"] == "shipped"
    task = api.wait_complete(api.create(template, "#!/usr/bin/env perl\nprint \"by perl\\n\";"))
    assert api.output(task) == "by perl\n"
