# SPDX-License-Identifier: Apache-2.0
"""A real agent, Claude Code from the npm registry, with the template that Stint ships and a stub of
its model: it works, reports over MCP, is talked to, and comes back from a pause where it was."""

import glob
import os

import pytest

from lib import npm
from lib.api import Template, pack
from lib.model_stub import ModelStub, text_of, without_reminders
from lib.talk import assert_in_order, entries, inputs, wait_rest, wait_said
from lib.wait import wait_until

PACKAGE = "@anthropic-ai/claude-code@2.1.197"
KEY = "sk-ant-test-0123456789-abcdefghij-KLMNOPQRSTUV"
TEMPLATES = os.path.join(os.path.dirname(__file__), "..", "..", "deploy", "templates")


@pytest.fixture(scope="module")
def packages():
    return npm.install(PACKAGE)


@pytest.fixture(scope="module")
def model():
    with ModelStub(reports=[("working", "Reading the code"), ("complete", "All is well")]) as model:
        yield model


@pytest.fixture(scope="module")
def cluster(session, packages, model, tmp_path_factory):
    secrets = tmp_path_factory.mktemp("secrets")
    for name, value in (("anthropic-api-key", KEY), ("anthropic-base-url", model.url)):
        (secrets / name).write_text(value + "\n")
        (secrets / name).chmod(0o600)
    # The template limits memory, which an agent with sanitizers cannot bear.
    cluster = session.cluster("claude", workers=1, worker={
        "mounts": f"agents={packages}", "secrets_dir": secrets} | session.build.limited_agent())
    cluster.start()
    cluster.claude = push(cluster.api())
    yield cluster
    session.close_cluster(cluster)


def push(api):
    version = api.import_version(pack(os.path.join(TEMPLATES, "claude-code")), deadline=60)
    assert version["job"]["status"] == "succeeded", version
    template = api.post(f"/organizations/{api.organization_id()}/templates",
                        {"name": "claude-code", "template_version_id": version["id"]}, expect=201).json()
    return Template("claude-code", template["id"], version["id"], version["file_id"])


def statuses(cluster, task):
    return cluster.sql("SELECT s.state, s.message FROM app_statuses s JOIN agents a ON a.id = s.agent_id "
                       "JOIN builds b ON b.id = a.build_id WHERE a.task_id = %s "
                       "ORDER BY b.build_number, s.seq", task["id"])


def asked(request):
    """What the person has said in the conversation that this request shows to the model."""
    said = [without_reminders(text_of(m["content"])) for m in request["messages"] if m["role"] == "user"]
    return [text for text in said if text]


def conversations(model, word):
    """The requests with tools whose conversation has `word` in it."""
    return [r for r in list(model.requests) if r.get("tools") and any(word in text for text in asked(r))]


def wait_heard(model, word, deadline=60):
    wait_until(lambda: conversations(model, word), f"{word!r} reaches the model", deadline,
               say=lambda: [asked(r) for r in model.requests][-5:])


@pytest.mark.timeout(300)
def test_a_task_from_its_prompt_to_a_resumed_session(cluster, api, model, stint):
    """Goal: claude starts, gets the prompt once, calls coder_report_task, its states arrive in order;
    a message from the command line reaches it and its answer is in the log; after pause and resume it
    knows the whole conversation, and is told nothing twice."""
    prompt, message, question = "Mend the parser, bug 4711", "And write a test, case 4712", "What was it, 4713"
    task = api.create(cluster.claude, prompt, name="by-claude")
    api.wait_complete(task, deadline=90)
    wait_said(api, task, f"I heard: {prompt}")
    told = statuses(cluster, task)
    assert told[0][0] == "working"
    reading, well = ("working", "Reading the code"), ("complete", "All is well")
    assert reading in told and well in told and told.index(reading) < told.index(well), told
    assert api.task(task)["current_state"]["message"] == "All is well"
    assert asked(conversations(model, "4711")[-1]) == [prompt]

    stint("task", "send", "by-claude", message)
    wait_heard(model, "4712")
    wait_said(api, task, f"I heard: {message}")
    api.wait_complete(task)
    assert f"I heard: {message}" in stint("task", "logs", "by-claude").stdout
    assert asked(conversations(model, "4712")[-1]) == [prompt, message]
    assert inputs(api, task) == [prompt, message], entries(api, task)

    n = len(statuses(cluster, task))
    api.pause(task)
    api.wait_status(task, "paused", deadline=60)
    assert_in_order(api, task, prompt, f"I heard: {prompt}", message, f"I heard: {message}")
    before = len(model.prompts())
    api.resume(task)
    wait_rest(api, task, deadline=90)
    assert len(model.prompts()) == before, "nothing is delivered again"
    stint("task", "send", "by-claude", question)
    wait_heard(model, "4713")
    wait_said(api, task, f"I heard: {question}")
    assert asked(conversations(model, "4713")[-1]) == [prompt, message, question], "its session goes on"
    assert inputs(api, task) == [prompt, message, question], entries(api, task)
    assert_in_order(api, task, prompt, f"I heard: {prompt}", message, f"I heard: {message}",
                    question, f"I heard: {question}")
    wait_until(lambda: well in statuses(cluster, task)[n:], "it reports after the resume, too")
    assert_secret(cluster, task, model)
    api.remove(task)


def assert_secret(cluster, task, model):
    """The key has reached the model, and nobody else."""
    assert any(KEY in key for key in model.keys)
    for pid in cluster.sandbox_processes(task["workspace_id"]):
        with open(f"/proc/{pid}/cmdline") as f:
            assert KEY not in f.read()
    for path in glob.glob(f"{cluster.data_dir}/**", recursive=True, include_hidden=True) + glob.glob(
            f"{cluster.log_dir}/*"):
        if os.path.isfile(path):
            with open(path, errors="replace") as f:
                assert KEY not in f.read(), path
    for table in ("messages", "agent_logs", "app_statuses", "build_logs", "jobs", "builds", "agents"):
        [(n,)] = cluster.sql(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%%' || %s || '%%'", KEY)
        assert n == 0, table


@pytest.mark.timeout(300)
def test_wrong_reports_are_told_what_is_right(cluster, api, model):
    """Goal: a wrong state, a summary of 161 characters and one with a line break are tool errors that
    say what is allowed; the agent goes on, and nothing wrong is shown."""
    reports = model.reports
    model.reports = [("busy", "A state that is none"), ("working", "s" * 161), ("working", "two\nlines"),
                     ("complete", "Learnt it")]
    try:
        task = api.create(cluster.claude, "Report wrongly, 4720")
        api.wait_complete(task, deadline=90)
        wait_said(api, task, "I heard: Report wrongly, 4720")
    finally:
        model.reports = reports
    last = conversations(model, "4720")[-1]
    results = [b for m in last["messages"] if isinstance(m["content"], list)
               for b in m["content"] if b.get("type") == "tool_result"]
    assert [bool(r.get("is_error")) for r in results] == [True, True, True, False], results
    assert all(word in str(results[0]["content"]) for word in ("working", "complete", "idle", "failure"))
    assert "160" in str(results[1]["content"])
    assert ("complete", "Learnt it") in statuses(cluster, task)
    assert "busy" not in [state for state, _ in statuses(cluster, task)]
    api.remove(task)
