# SPDX-License-Identifier: Apache-2.0
"""Whole lives of tasks from Terraform's templates: the agent comes by the init script, over the
network, and does all that a local one does.  Without an engine: processes of this host."""

import glob
import os
import re
import shutil

import pytest

from lib import terraform
from lib.api import OWN
from lib.wait import wait_until

CLUSTER = dict(workers=1, worker={"terraform_sandbox": "false", "agent_listen": "ws://127.0.0.1:0/agents"})
HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, "..", "..", "deploy", "templates")
DEADLINE = 120


@pytest.fixture(scope="module", autouse=True)
def reached(cluster):
    """The worker knows the gateway's URL; the gateway has the agent's program."""
    directory = os.path.join(cluster.directory, "bin")
    os.makedirs(directory)
    shutil.copy(cluster.session.build.plain.program("stint-agent"),
                os.path.join(directory, "stint-agent-linux-amd64"))
    gateway, worker = cluster.gateway, cluster.workers[0]
    port = re.search(r":(\d+)$", gateway.url).group(1)
    gateway.stop()
    gateway.argv = [a for a in gateway.argv if not a.startswith("--port")] + [f"--port={port}"]
    gateway.env["STINT_BIN_DIR"] = directory
    cluster.start_gateway()
    worker.stop()
    worker.env["STINT_ACCESS_URL"] = gateway.url
    cluster.start_worker(worker)


@pytest.fixture
def root(world, request):
    """The directory in which the template puts its workspaces."""
    path = os.path.join(world, re.sub(r"\W", "", request.node.name))
    os.makedirs(path)
    return path


def processes(directory):
    """Pids of what runs for a workspace in `directory`."""
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as f:
                if f"STINT_HOST_DIR={directory}".encode() in f.read():
                    found.append(int(path.split("/")[2]))
        except OSError:
            continue
    return found


def said(directory):
    text = []
    for path in glob.glob(f"{directory}/.init.log") + glob.glob(f"{directory}/*.log"):
        with open(path, errors="replace") as f:
            text.append(f.read()[-3000:])
    return text


def conversation(api, task):
    return [(e["type"], e["content"]) for e in api.logs(task)["logs"]]


def wait_said(api, task, words, directory):
    return wait_until(lambda: [c for _, c in conversation(api, task) if words in c],
                      f"\"{words}\" in the conversation", DEADLINE, interval=0.1,
                      say=lambda: (conversation(api, task), said(directory)))


def wait_ready(api, task, directory):
    wait_until(lambda: api.agent(task)["lifecycle"] == "ready", "the agent is ready", DEADLINE,
               interval=0.1, say=lambda: (api.agent(task), said(directory), terraform.build_logs(api, task)))


def paused(api, task, directory):
    api.pause(task)
    terraform.wait_build(api, task, "stop", "succeeded", deadline=DEADLINE)
    assert api.wait_status(task, "paused", deadline=DEADLINE)
    none_left(directory)


def none_left(directory):
    wait_until(lambda: not processes(directory), f"no process of {directory} is left", 30, say=lambda: [
        (pid, open(f"/proc/{pid}/cmdline").read()[:200]) for pid in processes(directory)])


def deleted(cluster, api, task, directory):
    api.remove(task)
    terraform.wait_deleted(cluster, task, DEADLINE)
    none_left(directory)
    assert not os.path.exists(directory)
    assert not glob.glob(f"/tmp/stint-agent-{task['workspace_id'][:8]}*")


def test_the_host_example(cluster, api, root):
    """Goal: start, a conversation, pause, resume with the home and the conversation kept, delete with
    nothing left over."""
    template, _ = terraform.push(api, "host", os.path.join(EXAMPLES, "host"), user_variable_values=[
        {"name": "root", "value": root}])
    task = api.create(template, "echo $((6*7)) >>answer; echo the-answer-is-$(tail -n1 answer)")
    directory = os.path.join(root, task["workspace_id"])
    terraform.wait_build(api, task, "start", "succeeded", deadline=DEADLINE)
    wait_ready(api, task, directory)
    wait_said(api, task, "the-answer-is-42", directory)
    api.wait_state(task, "idle", deadline=DEADLINE)
    api.send(task, "echo and-more-$((40+3))")
    wait_said(api, task, "and-more-43", directory)
    assert {m["key"] for m in api.agent(task)["metadata"]} == {"disk"}

    paused(api, task, directory)
    assert conversation(api, task)  # the snapshot
    api.resume(task)
    terraform.wait_build(api, task, "start", "succeeded", deadline=DEADLINE)
    wait_ready(api, task, directory)
    api.wait_state(task, "idle", deadline=DEADLINE)
    with open(os.path.join(directory, "answer")) as f:
        assert f.read() == "42\n"  # kept, and the prompt was not given a second time
    api.send(task, "cat answer; echo after-$((1+1))")
    wait_said(api, task, "after-2", directory)
    assert any("the-answer-is-42" in c for _, c in conversation(api, task))
    deleted(cluster, api, task, directory)


def seed():
    """The template of Coder's documentation as it stands there, with the module of its registry, which
    is out of reach, replaced by one of the same interface; and what a person adds to it: where."""
    files = {}
    for path in glob.glob(os.path.join(HERE, "seed", "**"), recursive=True):
        if os.path.isfile(path):
            with open(path) as f:
                files[os.path.relpath(path, os.path.join(HERE, "seed"))] = f.read()
    with open(os.path.join(EXAMPLES, "host", "process.sh")) as f:
        files["process.sh"] = f.read()
    return files


def test_the_template_of_the_documentation(cluster, api, root):
    """Goal: pushed by Coder's routes it is a template with an AI task; a task from it starts, its agent
    connects, reports over MCP, pauses, resumes with its home kept, is deleted with nothing left."""
    secret = "sk-very-secret-4711"
    template, version = terraform.push(api, "seed", seed(), user_variable_values=[
        {"name": "anthropic_api_key", "value": secret}, {"name": "root", "value": root}])
    assert [t["name"] for t in api.get("/templates", params={"q": "has-ai-task:true"}).json()
            if t["id"] == template.id] == ["seed"]
    parameters = api.get(f"/templateversions/{version['id']}/rich-parameters", expect=200).json()
    assert [p["name"] for p in parameters] == ["setup_script"]
    variables = api.get(f"/templateversions/{version['id']}/variables", expect=200).json()
    key = next(v for v in variables if v["name"] == "anthropic_api_key")
    assert key["sensitive"] and key["required"] and key["value"] == ""

    shown = api.get(f"/templateversions/{version['id']}/resources", expect=200).json()
    assert {(r["workspace_transition"], r["type"], r["name"]) for r in shown} == {
        ("start", "terraform_data", "home"), ("start", "terraform_data", "process"),
        ("stop", "terraform_data", "home")}
    assert [r["name"] for r in shown if r["agents"]] == ["process"]

    task = api.create(template, "say hello")
    directory = os.path.join(root, task["workspace_id"])
    terraform.wait_build(api, task, "start", "succeeded", deadline=DEADLINE)
    wait_ready(api, task, directory)
    now = wait_until(lambda: (s := api.task(task)["current_state"]) and s["message"] == "begun: say hello" and s,
                     "the report over MCP", DEADLINE, interval=0.1, say=lambda: (api.task(task), said(directory)))
    assert now["uri"] == "https://example.com/work"
    made = terraform.build(api, task)["resources"]
    assert sorted(r["name"] for r in made) == ["home", "process"] and sum(len(r["agents"]) for r in made) == 1
    assert api.app(task, "ccw")["slug"] == "ccw"
    wait_until(lambda: api.app(task, "ccw")["health"] == "healthy", "its health", DEADLINE)
    api.wait_state(task, "idle", deadline=DEADLINE)
    api.send(task, "echo key is $ANTHROPIC_API_KEY")
    wait_said(api, task, f"key is {secret}", directory)
    assert secret not in "\n".join(terraform.build_logs(api, task) + terraform.import_logs(api, version))
    for daemon in cluster.daemons:
        assert secret not in daemon.log(whole=True)

    paused(api, task, directory)
    api.resume(task)
    terraform.wait_build(api, task, "start", "succeeded", deadline=DEADLINE)
    wait_ready(api, task, directory)
    with open(os.path.join(directory, "starts")) as f:
        assert len(f.read().splitlines()) == 2
    assert any("say hello" in c for _, c in conversation(api, task))
    deleted(cluster, api, task, directory)


def test_the_examples_are_accepted(api):
    """Goal: the docker and kubernetes examples import where their providers can be had."""
    for name in ("docker", "kubernetes"):
        provider = {"docker": "kreuzwerker/docker", "kubernetes": "hashicorp/kubernetes"}[name]
        if not glob.glob(os.path.join(terraform.MIRROR, "registry.terraform.io", provider, "*")):
            pytest.skip(f"the provider {provider} is not in the mirror ({terraform.MIRROR})")
        _, version = terraform.push(api, f"example-{name}", os.path.join(EXAMPLES, name))
        assert version["job"]["status"] == "succeeded"
