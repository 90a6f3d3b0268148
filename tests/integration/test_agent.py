# SPDX-License-Identifier: Apache-2.0
"""What agents say over REST (with the agent's token) and from inside the sandbox."""

import os
import uuid

import pytest

from lib import templates
from lib.api import message_of
from lib.wait import wait_until

CLUSTER = dict(workers=1)
PATH = "/workspaceagents/me/app-status"


@pytest.fixture(scope="module")
def agent(cluster):
    """(client with the agent's token, its task)"""
    api = cluster.api()
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    token = cluster.sql_one("SELECT auth_token::text FROM agents WHERE task_id = %s", task["id"])[0]
    return api.with_token(token), task


def said(cluster, task):
    return cluster.sql("SELECT s.slug, s.state, s.message, s.uri FROM app_statuses s JOIN agents a "
                       "ON a.id = s.agent_id WHERE a.task_id = %s AND seq < 0 ORDER BY seq DESC", task["id"])


def test_a_report_over_rest(cluster, api, agent):
    """Goal: 200 with body null; the task shows it at once; each report is a row."""
    client, task = agent
    for state, shown in (("working", "working"), ("idle", "idle"), ("complete", "complete"),
                         ("failure", "failed"), ("WORKING", "working"), ("Complete", "complete")):
        answer = client.patch(PATH, {"app_slug": "shell", "state": state, "message": f"I am {state}",
                                     "uri": "https://example.com/pr/1"}, expect=200)
        assert answer.json() is None
        now = wait_until(lambda: _state(api, task, f"I am {state}"), "the task shows it")
        assert (now["state"], now["uri"]) == (shown, "https://example.com/pr/1")
    rows = said(cluster, task)
    assert [r[1] for r in rows][-6:] == ["working", "idle", "complete", "failure", "working", "complete"]


def _state(api, task, message):
    now = api.task(task)["current_state"]
    return now if now and now["message"] == message else None


def test_ignored_fields_of_old_clients(agent):
    """Goal: icon and needs_user_attention are taken and ignored."""
    client, _ = agent
    client.patch(PATH, {"app_slug": "shell", "state": "idle", "message": "old", "icon": "x",
                        "needs_user_attention": True}, expect=200)


def test_a_message_has_160_bytes(cluster, api, agent):
    """Goal: 160 bytes fit, 161 do not (bytes, not characters)."""
    client, task = agent
    client.patch(PATH, {"app_slug": "shell", "state": "idle", "message": "m" * 160}, expect=200)
    for text in ("m" * 161, "é" * 81):
        refused = client.patch(PATH, {"app_slug": "shell", "state": "idle", "message": text}, expect=400)
        assert message_of(refused) == "Message is too long."
        assert refused.json()["validations"][0]["field"] == "message"


@pytest.mark.parametrize("slug", ["other", "", "SHELL "])
def test_an_unknown_slug(agent, slug):
    """Goal: 400 with Coder's words."""
    client, _ = agent
    refused = client.patch(PATH, {"app_slug": slug, "state": "idle", "message": "x"}, expect=400)
    assert message_of(refused) == "Failed to get workspace app."
    assert refused.json()["detail"] == f'No app found with slug "{slug}"'


@pytest.mark.parametrize("state", ["busy", "", None, 3, "failed"])
def test_an_unknown_state(agent, state):
    """Goal: 400."""
    client, _ = agent
    message_of(client.patch(PATH, {"app_slug": "shell", "state": state, "message": "x"}, expect=400))


def test_messages_are_sanitised(cluster, api, agent):
    """Goal: no HTML, no escapes, no control characters, no line breaks reach a reader."""
    client, task = agent
    client.patch(PATH, {"app_slug": "shell", "state": "working",
                        "message": "a <b>bold</b>\n\tmove \x1b[31mred\x1b[0m\x07  end"}, expect=200)
    text = wait_until(lambda: (api.task(task)["current_state"] or {}).get("message", "").endswith("end")
                      and api.task(task)["current_state"]["message"], "it is shown")
    assert text == "a bold move red end"


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"null"])
def test_malformed_reports(agent, body):
    """Goal: 400 with a message."""
    client, _ = agent
    message_of(client.request("PATCH", PATH, data=body, expect=400))


def test_tokens_of_the_wrong_kind(cluster, api, agent):
    """Goal: a user's token reports nothing, an agent's token reads no tasks; strangers get 401."""
    client, _ = agent
    report = {"app_slug": "shell", "state": "idle", "message": "x"}
    api.patch(PATH, report, expect=401)
    client.get("/tasks", expect=401)
    api.with_token(str(uuid.uuid4())).patch(PATH, report, expect=401)
    api.with_token("").patch(PATH, report, expect=401)


def test_the_token_of_an_old_start(cluster, api):
    """Goal: after pause and resume the first start's token is worth nothing."""
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    old = cluster.sql_one("SELECT auth_token::text FROM agents WHERE task_id = %s", task["id"])[0]
    api.pause(task)
    api.wait_status(task, "paused")
    api.resume(task)
    api.wait_state(task, "idle")
    api.with_token(old).patch(PATH, {"app_slug": "shell", "state": "failure", "message": "ghost"},
                              expect=(401, 404))
    assert api.task(task)["current_state"]["message"] != "ghost"


def test_reports_from_inside(cluster, api):
    """Goal: `stint-agent report` in the sandbox: states, message, link, in order, before `complete`."""
    report = "/opt/stint/bin/stint-agent report"
    task = api.wait_complete(api.create(cluster.shell, f"""
        {report} --state working --message 'half way' --uri https://example.com/1
        {report} --state idle --message 'waiting'
        {report} --state failure --message 'no luck'
        {report} --state complete --message 'after all'
        echo last line"""))
    rows = cluster.sql("SELECT s.state, s.message, s.uri FROM app_statuses s JOIN agents a "
                       "ON a.id = s.agent_id WHERE a.task_id = %s ORDER BY seq", task["id"])
    middle = [r for r in rows if r[1] in ("half way", "waiting", "no luck", "after all")]
    assert middle == [("working", "half way", "https://example.com/1"), ("working", "waiting", ""),
                      ("failure", "no luck", ""), ("complete", "after all", "")]
    assert rows[0][0] == "working" and rows[-1][0] == "complete"


def test_bad_reports_from_inside(cluster, api):
    """Goal: wrong words end with a status other than 0 and a sentence; the agent goes on."""
    report = "/opt/stint/bin/stint-agent report"
    task = api.wait_complete(api.create(cluster.shell, f"""
        {report} --state busy --message x && echo TAKEN
        {report} --message x && echo TAKEN
        {report} && echo TAKEN
        {report} --nonsense && echo TAKEN
        printf 'garbage\\n\\0\\377' > /dev/null
        STINT_AGENT_SOCKET=/nowhere {report} --state idle --message x && echo TAKEN
        echo end"""))
    assert "TAKEN" not in api.output(task)
    assert len(api.output(task).split("\n")) > 5


def test_other_commands_of_the_agent(cluster, api):
    """Goal: --help and --version work inside; an unknown command is an error."""
    task = api.wait_complete(api.create(cluster.shell, """
        a=/opt/stint/bin/stint-agent
        $a --help | head -c 20 | wc -c; $a --version > /dev/null && echo versioned
        $a nonsense && echo TAKEN; echo end"""))
    out = api.output(task)
    assert "20" in out and "versioned" in out and "TAKEN" not in out


def test_logs_of_a_task_in_error(clusters):
    """Goal: 409 with the status in the detail.  Method: the worker's operator takes a mount away that
    the template needs."""
    cluster = clusters(workers=1, worker={"mounts": "share=/usr/share"})
    api = cluster.api()
    template = api.push_template("never", templates.shell(mounts=[{"name": "share", "to": "/mnt/x"}]))
    worker = cluster.workers[0]
    worker.stop()
    worker.argv = [a for a in worker.argv if not a.startswith("--mounts")]
    cluster.start_worker(worker)
    task = api.create(template, "echo never")
    api.wait_status(task, "error")
    error = cluster.sql_one("SELECT error FROM jobs j JOIN builds b ON b.job_id = j.id "
                            "WHERE b.workspace_id = %s", task["workspace_id"])[0]
    assert "share" in error and "mounts" in error, error
    assert not cluster.sandbox_processes()
    refused = api.get(f"/tasks/me/{task['id']}/logs", expect=409)
    assert message_of(refused) == "Cannot fetch logs for task in current state."
    assert refused.json()["detail"] == 'Task status is "error".'
    assert message_of(api.send(task, "x", expect=400)) == "Task must be active."
    # It holds no compute, can be resumed over the API when the mount is back, and deleted.
    assert cluster.queue()["holding"] == 0
    worker.stop()
    worker.argv.append("--mounts=share=/usr/share")
    cluster.start_worker(worker)
    api.resume(task)
    api.wait_state(task, "complete", "idle")
    api.remove(task)


def test_a_revoked_token(clusters):
    """Goal: an agent whose token is not valid any more says so, ends its app and itself, and does not
    go on trying.  Method: the token is changed in the database, and nobody is left who knows it."""
    cluster = clusters(workers=1)
    api = cluster.api()
    task = api.wait_state(api.create(
        cluster.shell, "trap 'echo told >> ~/told; exit' TERM; while :; do sleep 0.1; done"), "working")
    cluster.sql("UPDATE agents SET auth_token = gen_random_uuid() WHERE task_id = %s", task["id"])
    cluster.scheduler.kill()
    cluster.start_scheduler()
    cluster.workers[0].kill()
    cluster.start_worker(cluster.workers[0])
    cluster.wait_gone(task, deadline=30)
    assert cluster.read_home(task, "told") == "told\n"
    with open(os.path.join(cluster.data_dir, "workspaces", task["workspace_id"], "sandbox.log")) as f:
        log = f.read()
    assert any("level=warn" in line and "stopping" in line for line in log.splitlines()), log[-2000:]
