# SPDX-License-Identifier: Apache-2.0
"""An agent of one's own, as docs/AGENTS.md has it: thirty lines of shell on a terminal, which report
over MCP; and the other templates that Stint ships."""

import os
import re

import pytest

from lib.api import pack
from lib.talk import assert_in_order, inputs, wait_rest, wait_said
from lib.templates import template_yaml
from lib.wait import wait_until

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TEMPLATES = os.path.join(ROOT, "deploy", "templates")


@pytest.fixture(scope="module")
def cluster(session):
    # The template limits memory, which an agent with sanitizers cannot bear.
    cluster = session.cluster("custom", workers=1, worker=session.build.limited_agent())
    cluster.start()
    cluster.custom = cluster.api().push_template("custom-agent", os.path.join(TEMPLATES, "custom-agent"))
    yield cluster
    session.close_cluster(cluster)


def read(*path):
    with open(os.path.join(*path)) as f:
        return f.read()


def blocks(text, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S)


def test_the_document_shows_what_is_run():
    """Goal: docs/AGENTS.md has the template's agent word for word, and it is thirty lines long."""
    agent = read(TEMPLATES, "custom-agent", "agent")
    assert agent in blocks(read(ROOT, "docs", "AGENTS.md"), "sh")
    assert len(agent.splitlines()) <= 30


def test_the_shown_template_is_a_good_one(cluster, api):
    """Goal: the shorter template.yaml of the document imports as it stands there."""
    [shown] = [block for block in blocks(read(ROOT, "docs", "AGENTS.md"), "yaml")
               if "name: custom-agent" in block]
    version = api.import_version(pack({"template.yaml": shown,
                                       "agent": read(TEMPLATES, "custom-agent", "agent")}))
    assert version["job"]["status"] == "succeeded", version


def test_all_apps_of_a_version_are_known(cluster, api):
    """Goal: the import stores every app of the template, the task's marked, with what watches it."""
    more = {"slug": "preview", "display_name": "Preview", "icon": "/icon/web.svg",
            "url": "http://localhost:8000/", "health": {"url": "http://localhost:8000/up"}}
    files = {"template.yaml": template_yaml({"agentapi": {}, "app": {"slug": "a", "command": ["cat"]},
                                             "apps": [more, {"slug": "plain"}]})}
    version = api.import_version(pack(files))
    assert version["job"]["status"] == "succeeded", version
    assert cluster.sql("SELECT slug, display_name, icon, url, has_health_check, is_task_app FROM "
                       "template_version_apps WHERE template_version_id = %s ORDER BY slug",
                       version["id"]) == [
        ("a", "", "", "", True, True),
        ("plain", "", "", "", False, False),
        ("preview", "Preview", "/icon/web.svg", "http://localhost:8000/", True, False)]


@pytest.mark.timeout(120)
def test_it_works_reports_and_comes_back(cluster, api):
    """Goal: prompt and messages reach it, what it reports arrives in order, the conversation is whole
    after a pause, and nothing is delivered twice."""
    task = api.create(cluster.custom, "echo one | tee -a made.txt")
    api.wait_complete(task)
    wait_said(api, task, "one")
    assert cluster.read_home(task, "made.txt") == "one\n"

    wait_until(lambda: send_if_stable(api, task, "no-such-program"), "it takes a message")
    wait_until(lambda: ("failure", "Did: no-such-program") in statuses(cluster, task), "it reports a failure",
               say=lambda: statuses(cluster, task))
    wait_said(api, task, "not found")
    told = statuses(cluster, task)
    wanted = [("working", "Doing: echo one tee -a made.txt"), ("complete", "Did: echo one tee -a made.txt"),
              ("working", "Doing: no-such-program"), ("failure", "Did: no-such-program")]
    at = [told.index(row) for row in wanted]
    assert at == sorted(at), told

    api.pause(task)
    api.wait_status(task, "paused")
    assert_in_order(api, task, "echo one", "one", "no-such-program", "not found")
    api.resume(task)
    wait_rest(api, task)
    wait_until(lambda: send_if_stable(api, task, "echo two | tee -a made.txt"), "it takes a message again")
    wait_said(api, task, "two")
    assert cluster.read_home(task, "made.txt") == "one\ntwo\n"
    assert inputs(api, task) == ["echo one | tee -a made.txt", "no-such-program",
                                 "echo two | tee -a made.txt"]
    api.remove(task)


def send_if_stable(api, task, text):
    return api.send(task, text, expect=(204, 409)).status_code == 204


def statuses(cluster, task):
    return cluster.sql("SELECT s.state, s.message FROM app_statuses s JOIN agents a ON a.id = s.agent_id "
                       "JOIN builds b ON b.id = a.build_id WHERE a.task_id = %s "
                       "ORDER BY b.build_number, s.seq", task["id"])


# Those of the local provisioner; Terraform's are with its tests.
LOCAL = sorted(name for name in os.listdir(TEMPLATES)
               if os.path.exists(os.path.join(TEMPLATES, name, "template.yaml")))


@pytest.mark.parametrize("name", LOCAL)
def test_every_template_imports(cluster, api, name):
    """Goal: what Stint ships is good, and warns of nothing but secrets that are not here."""
    version = api.import_version(pack(os.path.join(TEMPLATES, name)))
    assert version["job"]["status"] == "succeeded", version
    warnings = cluster.sql("SELECT output FROM build_logs WHERE job_id = %s AND level = 'warn'",
                           version["job"]["id"])
    assert all("secret" in line for (line,) in warnings), warnings
    assert all(not line.startswith(("line", "agentapi")) for (line,) in warnings), warnings
