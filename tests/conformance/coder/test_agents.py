# SPDX-License-Identifier: Apache-2.0
"""What agents and scripts in a workspace say over HTTP: app statuses and snapshots of the conversation."""

import json
import uuid

import pytest

from lib import shapes
from lib.api import EXPERIMENTAL, message_of
from lib.shapes import refusal
from lib.wait import wait_until

CLUSTER = dict(workers=1)

APP_STATUS = "/workspaceagents/me/app-status"
SIGNED_OUT = "You are signed out or your session has expired. Please sign in again to continue."


class Agent:
    """A script in a task's workspace."""

    def __init__(self, cluster, task):
        self.task = task
        self.cluster = cluster
        token = cluster.sql_one("SELECT auth_token FROM agents WHERE task_id = %s ORDER BY created_at DESC LIMIT 1",
                                task["id"])[0]
        self.api = cluster.api().with_token(str(token))

    def say(self, **body):
        return self.api.patch(APP_STATUS, {"app_slug": "shell", "state": "working", "message": "m", "uri": ""} | body)

    def snapshot(self, body, task=None, query="?format=agentapi", **arguments):
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self.api.request("POST", f"/workspaceagents/me/tasks/{task or self.task['id']}/log-snapshot{query}",
                                data=data, **arguments)

    def rows(self):
        return self.cluster.sql("SELECT s.state::text, s.message, s.uri FROM app_statuses s JOIN agents a ON a.id = s.agent_id "
                                "WHERE a.task_id = %s ORDER BY s.created_at, seq DESC", self.task["id"])


@pytest.fixture(scope="module")
def agent(cluster):
    api = cluster.api()
    return Agent(cluster, api.wait_complete(api.create(cluster.shell, "echo up")))


@pytest.fixture
def shown(cluster, agent):
    """Wait until the task shows this as its state."""
    def shown(**wanted):
        state = wait_until(
            lambda: (lambda s: s if wanted.items() <= s.items() else None)(cluster.api().task(agent.task)["current_state"]),
            f"the state is {wanted}", say=lambda: cluster.api().task(agent.task)["current_state"])
        return state
    return shown


# ---------------------------------------------------------------- app status

def test_a_status_is_answered_with_null(agent, shown):
    answer = agent.say(state="working", message="reading", uri="https://example.com/1")
    shapes.check(shapes.null, answer)
    shown(state="working", message="reading", uri="https://example.com/1")


@pytest.mark.parametrize("state, told", [("working", "working"), ("idle", "idle"), ("complete", "complete"),
                                         ("failure", "failed"), ("WORKING", "working"), ("Idle", "idle")])
def test_states_in_any_case(agent, shown, state, told):
    shapes.check(shapes.null, agent.say(state=state, message=f"as {state}"))
    shown(state=told, message=f"as {state}")


def test_fields_of_older_agents_are_passed_over(agent, shown):
    shapes.check(shapes.null, agent.say(message="older", icon="/x.png", needs_user_attention=True))
    shown(message="older")


def test_each_status_is_a_row(agent, shown):
    """The same one twice is two."""
    agent.say(message="row before")
    shown(message="row before")
    before = len(agent.rows())
    for _ in range(2):
        shapes.check(shapes.null, agent.say(message="twice"))
    wait_until(lambda: len(agent.rows()) == before + 2, "two rows more")


@pytest.mark.parametrize("sent, kept", [
    ("<b>bold</b> words", "bold words"), ("\x1b[31mred\x1b[0m", "red"), ("two\n\n lines\tand  blanks ", "two lines and blanks"),
    ("bell\x07", "bell")])
def test_a_message_is_cleaned(agent, shown, sent, kept):
    """Without HTML, terminal sequences, control characters; white space is one blank."""
    shapes.check(shapes.null, agent.say(message=sent))
    shown(message=kept)


def test_a_message_of_160_bytes(agent, shown):
    shapes.check(shapes.null, agent.say(message="m" * 160))
    shown(message="m" * 160)


@pytest.mark.parametrize("text", ["m" * 161, "\u00e9" * 81])
def test_a_longer_message(agent, text):
    body = shapes.check(shapes.error, agent.say(message=text), 400)
    assert body["message"] == "Message is too long."
    assert [row["field"] for row in body["validations"]] == ["message"]


@pytest.mark.parametrize("state", ["", "busy", "done", "failed"])
def test_a_state_that_is_not_known(agent, state):
    shapes.check(shapes.error, agent.say(state=state), 400)


def test_an_app_that_is_not_known(agent):
    refusal(agent.say(app_slug="nothing"), 400, "Failed to get workspace app.", 'No app found with slug "nothing"')


def test_a_status_that_is_not_json(agent):
    refusal(agent.api.request("PATCH", APP_STATUS, data=b"{"), 400, "Request body must be valid JSON.")


@pytest.mark.parametrize("token", [None, "", str(uuid.UUID(int=7)), "nonsense", "admin"])
def test_whose_token_it_is(cluster, token):
    """An agent's, and nobody else's."""
    api = cluster.api().with_token(cluster.session.tokens["admin"] if token == "admin" else token)
    message_of(api.patch(APP_STATUS, {"app_slug": "shell", "state": "idle", "message": ""}, expect=401))


def test_an_agents_token_opens_nothing_else(agent):
    for path in ("/users/me", "/tasks"):
        refusal(agent.api.get(path), 401, SIGNED_OUT)


# ---------------------------------------------------------------- snapshots

MESSAGES = {"messages": [{"id": 0, "content": "hello", "role": "agent", "time": "2026-01-01T00:00:00Z"},
                         {"id": 1, "content": "do it", "role": "user", "time": "2026-01-01T00:00:01Z"}]}


def test_a_snapshot_is_kept(agent):
    """204 without a body; again is well, too."""
    for _ in range(2):
        answer = agent.snapshot(MESSAGES)
        assert (answer.status_code, answer.content) == (204, b"")


def test_a_snapshot_without_messages(agent):
    assert agent.snapshot({"messages": []}).status_code == 204


@pytest.mark.parametrize("task", ["nonsense", "1", "7d0bd6d9-35d4-4a3c-9a0e"])
def test_a_snapshot_of_no_task_id(agent, task):
    """Names are not looked up here."""
    refusal(agent.snapshot(MESSAGES, task=task), 400, "Invalid task ID format.")


@pytest.mark.parametrize("query", ["", "?format=agentapi&more=1", "?other=agentapi"])
def test_a_snapshot_with_bad_query(agent, query):
    refusal(agent.snapshot(MESSAGES, query=query), 400, "Invalid query parameters.")


@pytest.mark.parametrize("query", ["?format=", "?format=text", "?format=AGENTAPI"])
def test_a_snapshot_in_another_format(agent, query):
    shapes.check(shapes.error, agent.snapshot(MESSAGES, query=query), 400)


@pytest.mark.parametrize("body", [b"", b"{", b"text", b'["messages"]'])
def test_a_snapshot_that_is_not_json(agent, body):
    refusal(agent.snapshot(body), 400, "Failed to decode request payload.")


def test_a_snapshot_beyond_the_limit(agent):
    """65,536 bytes fit, one more does not."""
    def of(n):
        text = json.dumps({"messages": [{"id": 0, "content": "", "role": "agent", "time": "2026-01-01T00:00:00Z"}]})
        return text.replace('""', '"' + "x" * (n - len(text)) + '"', 1)
    assert len(of(65536)) == 65536
    assert agent.snapshot(of(65536)).status_code == 204
    refusal(agent.snapshot(of(65537)), 400, "Failed to decode request payload.")
    refusal(agent.snapshot(of(2 << 20)), 400, "Failed to decode request payload.")


@pytest.mark.parametrize("body", [{}, {"messages": None}, {"message": []}])
def test_a_snapshot_without_the_field(agent, body):
    refusal(agent.snapshot(body), 400, "Invalid agentapi payload structure.")


def test_a_snapshot_of_another_shape(agent):
    """Coder would store it; here what could not be shown is refused."""
    refusal(agent.snapshot({"messages": [7]}), 400, "Failed to decode request payload.")


def test_a_snapshot_of_another_task(cluster, agent):
    """Unknown, another workspace's, deleted: 404."""
    api = cluster.api()
    other = api.wait_complete(api.create(cluster.shell, "true"))
    message_of(agent.snapshot(MESSAGES, task=other["id"], expect=404))
    message_of(agent.snapshot(MESSAGES, task=str(uuid.uuid4()), expect=404))
    gone = Agent(cluster, other)
    api.remove(other)
    assert gone.snapshot(MESSAGES).status_code in (401, 404)


def test_agents_have_only_the_stable_prefix(agent):
    for method, path in (("PATCH", APP_STATUS), ("POST", f"/workspaceagents/me/tasks/{agent.task['id']}/log-snapshot")):
        refusal(agent.api.request(method, path, prefix=EXPERIMENTAL, data=b"{}"), 404, "Route not found.")


def test_a_snapshot_is_the_logs_of_a_task_that_has_no_others(cluster):
    """What the app never told the server, an uploaded snapshot tells while the task is paused."""
    api = cluster.api()
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    assert Agent(cluster, task).snapshot(MESSAGES).status_code == 204
    cluster.sql("DELETE FROM messages WHERE task_id = %s", task["id"])
    api.pause(task)
    api.wait_status(task, "paused")
    body = shapes.check(shapes.task_logs, api.get(f"/tasks/me/{task['id']}/logs"))
    assert body["snapshot"] is True and "snapshot_at" in body
    assert [(e["type"], e["content"]) for e in body["logs"]] == [("output", "hello"), ("input", "do it")]
