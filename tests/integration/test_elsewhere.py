# SPDX-License-Identifier: Apache-2.0
"""Agents that no worker has started: they fetch their program and their manifest from the gateway,
find workers by the network, and are in all else like the others."""

import hashlib
import os
import re
import shutil

import pytest

from lib import elsewhere
from lib.api import OWN
from lib.wait import wait_until

CLUSTER = dict(workers=2, worker={"provisioners": "local,null", "agent_listen": "ws://127.0.0.1:0/agents"})
DEADLINE = 60


@pytest.fixture(scope="module")
def program(cluster):
    """The agent as the gateway hands it out: the static one, where there is one."""
    return cluster.session.build.plain.program("stint-agent")


@pytest.fixture(scope="module")
def template(cluster):
    return elsewhere.push(cluster, cluster.api(), "elsewhere")


@pytest.fixture(scope="module", autouse=True)
def bin_dir(cluster, program):
    """The gateway of this module gives out that program, under its name."""
    directory = os.path.join(cluster.directory, "bin")
    os.makedirs(directory)
    shutil.copy(program, os.path.join(directory, "stint-agent-linux-amd64"))
    cluster.gateway.stop()
    cluster.gateway.env["STINT_BIN_DIR"] = directory
    cluster.start_gateway()
    return directory


@pytest.fixture
def place(tmp_path):
    """place(…) makes one; all are gone at the end."""
    made = []

    def make(**arguments):
        made.append(elsewhere.Place(tmp_path / f"p{len(made)}", **arguments))
        return made[-1]

    yield make
    for one in made:
        one.kill()


def fetched(path, cluster, **arguments):
    return cluster.api().with_token(None).get(path, prefix="", **arguments)


# ---- the programs


def test_the_program_and_its_digest(cluster, program):
    """Goal: the bytes, their SHA-256 in ETag, in a header and beside them; 304 for who has them."""
    with open(program, "rb") as f:
        bytes_ = f.read()
    digest = hashlib.sha256(bytes_).hexdigest()
    for name in ("stint-agent-linux-amd64", "coder-linux-amd64"):
        answer = fetched(f"/bin/{name}", cluster, expect=200)
        assert answer.content == bytes_
        assert (answer.headers["ETag"], answer.headers["X-Stint-Sha256"]) == (f'"{digest}"', digest)
        assert fetched(f"/bin/{name}.sha256", cluster, expect=200).text.split()[0] == digest
        fetched(f"/bin/{name}", cluster, expect=304, headers={"If-None-Match": f'"{digest}"'})
        assert cluster.api().request("HEAD", f"/bin/{name}", prefix="", expect=200).content == b""


def test_a_program_that_is_replaced(cluster, bin_dir):
    """Goal: the next answer is the new file; without a file a 404 that names the next step."""
    path = os.path.join(bin_dir, "stint-agent-linux-arm64")
    refused = fetched("/bin/stint-agent-linux-arm64", cluster, expect=404).json()
    assert "linux/arm64" in refused["message"] and bin_dir in refused["detail"]
    for content in (b"one", b"another one"):
        with open(path + ".new", "wb") as f:
            f.write(content)
        os.rename(path + ".new", path)
        assert fetched("/bin/coder-linux-arm64", cluster, expect=200).content == content
    os.unlink(path)
    fetched("/bin/stint-agent-linux-arm64", cluster, expect=404)
    fetched("/bin/passwd", cluster, expect=404)
    fetched("/bin/..%2f..%2fetc%2fpasswd", cluster, expect=(400, 404))


# ---- the manifest

AGENT = {
    "name": "main", "dir": "$HOME/project", "env": {"GREETING": "hello from $HOME", "EMPTY": ""},
    "startup_script": "echo started >started; sleep 0.1", "startup_script_behavior": "blocking",
    "shutdown_script": "echo stopped >stopped",
    "metadata": [{"key": "load", "display_name": "Load", "script": "echo 0.5", "interval": 1, "timeout": 2}],
    "scripts": [
        {"display_name": "Greet", "script": "#!/bin/sh -e\necho \"$GREETING\"; pwd", "run_on_start": True,
         "run_on_stop": True, "start_blocks_login": True, "timeout": 30, "log_path": "~/greet.log"},
        {"display_name": "Greet", "script": "echo each day", "cron": "0 30 2 * * *"},
    ],
    "apps": [{"slug": "main", "display_name": "Main", "url": "http://localhost:13284/"},
             {"slug": "preview", "display_name": "Preview", "url": "http://localhost:9/", "external": False,
              "healthcheck": {"url": "http://localhost:9/health", "interval": 1, "threshold": 2}}],
}


def manifest(api, token, **arguments):
    return api.with_token(token).get("/agent/manifest", prefix=OWN, **arguments)


def test_the_manifest(cluster, api, template):
    """Goal: by the agent's token alone; what the template declares, and workers that are alive."""
    task = api.create(template, "do it")
    token = elsewhere.declare(cluster, task, AGENT)
    got = wait_until(lambda: (m := manifest(api, token)).status_code == 200 and m, "the manifest",
                     say=lambda: manifest(api, token).text).json()
    assert got["task_id"] == task["id"] and got["prompt"] == "do it" and got["build_number"] == 1
    assert got["env"] == AGENT["env"] and got["app_slug"] == "main" and got["dir"] == "$HOME/project"
    assert got["agentapi"]["port"] == 13284 and got["agentapi"]["prompt"] == "none"
    assert [(s["name"], s["run"], s["blocking"]) for s in got["scripts"]] == [
        ("Startup Script", "start", True), ("Shutdown Script", "stop", False), ("Greet", "start", True),
        ("Greet (stop)", "stop", False), ("Greet 2", "cron", False)]
    assert got["scripts"][4]["cron"] == "30 2 * * *"
    assert got["apps"][1]["health"] == {"url": "http://localhost:9/health", "interval_ms": 1000, "threshold": 2}
    assert len(got["workers"]) == 2 and all(w.startswith("ws://127.0.0.1:") for w in got["workers"])
    api.with_token("00000000-0000-4000-8000-000000000001").get("/agent/manifest", prefix=OWN, expect=401)
    api.get("/agent/manifest", prefix=OWN, expect=401)
    api.remove(task)


def test_no_manifest_for_agents_of_workers(cluster, api):
    """Goal: 404 that says where such an agent has its manifest."""
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    token = cluster.sql_one("SELECT auth_token::text FROM agents WHERE task_id = %s", task["id"])[0]
    assert "--manifest" in manifest(api, token, expect=404).json()["detail"]


# ---- whole lives


def run(cluster, api, template, where, agent=AGENT, **env):
    """A task whose agent begins at `where`; gives the task when it is ready."""
    task = api.create(template, "the prompt")
    token = elsewhere.declare(cluster, task, agent)
    where.start(elsewhere.script(cluster.gateway.url), token, **env)
    ready(api, task, where)
    return task


def ready(api, task, where):
    wait_until(lambda: api.agent(task)["lifecycle"] == "ready", "the agent is ready", DEADLINE,
               say=where.said)


def test_a_life(cluster, api, template, place):
    """Goal: scripts, apps, metadata and reports as of local agents; TERM hands all over; a resume
    with a new token finds the home as it was."""
    where = place(tools=elsewhere.TOOLS + ["curl", "sha256sum"])
    task = run(cluster, api, template, where)
    project = os.path.join(where.home, "project")
    assert os.path.exists(os.path.join(project, "started"))
    lines = wait_until(lambda: [l for l in api.agent_logs(task) if l[0] == "Greet"], "its lines")
    assert [l[2] for l in lines] == ["hello from /tmp/home", "/tmp/home/project"]
    with open(os.path.join(where.home, "greet.log")) as f:
        assert f.read() == "hello from /tmp/home\n/tmp/home/project\n"
    wait_until(lambda: {m["key"]: m["value"] for m in api.agent(task)["metadata"]}.get("load") == "0.5",
               "the metadata", DEADLINE)
    wait_until(lambda: api.app(task, "preview")["health"] == "unhealthy", "nobody answers there", DEADLINE)

    api.pause(task)
    api.wait_status(task, "paused", deadline=DEADLINE)
    assert where.stop() == 0, where.said()
    assert os.path.exists(os.path.join(project, "stopped"))
    api.resume(task)
    token = elsewhere.declare(cluster, task, AGENT | {"startup_script": "cat started stopped"})
    where.start(elsewhere.script(cluster.gateway.url), token)
    ready(api, task, where)
    wait_until(lambda: [l[2] for l in api.agent_logs(task) if l[0] == "Startup Script"] ==
               ["started", "stopped"], "what the first run has left", DEADLINE)
    api.remove(task)
    assert where.popen.wait(DEADLINE) == 0, where.said()  # its token is worth nothing any more


REPORTING = AGENT | {"scripts": [{
    "display_name": "Report", "run_on_start": True,
    "script": "while ! [ -e \"$HOME/go\" ]; do sleep 0.1; done\n"
              "coder version; stint-agent report --state working --message 'from elsewhere' --uri https://example.com/1"}]}


def test_reports_while_workers_die(cluster, api, template, place):
    """Goal: a worker that is killed costs nothing: another one is found, also one that began later."""
    where = place(tools=elsewhere.TOOLS + ["wget", "sha256sum"])
    task = run(cluster, api, template, where, REPORTING)
    for worker in list(cluster.workers):
        worker.kill()
    cluster.start_worker(cluster.workers[0])
    cluster.start_worker(cluster.workers[1])
    open(os.path.join(where.home, "go"), "w").close()
    wait_until(lambda: (api.task(task)["current_state"] or {}).get("message") == "from elsewhere",
               "the report", DEADLINE, say=where.said)
    api.remove(task)


def test_with_busybox_alone(cluster, api, template, place, program):
    """Goal: an image of one busybox and nothing else is enough."""
    busybox = os.environ.get("STINT_TEST_BUSYBOX") or shutil.which("busybox")
    if busybox is None or not elsewhere.is_static(busybox):
        pytest.skip("there is no static busybox here (apt-get install busybox-static)")
    if not elsewhere.is_static(program):
        pytest.skip("the agent of this build is not static: set STINT_PLAIN_BUILD to a release build")
    where = place(busybox=busybox, host=False)
    task = run(cluster, api, template, where, AGENT | {"metadata": []})
    api.remove(task)


def test_as_anybody_without_a_home(cluster, api, template, place, program):
    """Goal: any user, no HOME, no sha256sum: the state is in /tmp, the program looks at itself."""
    where = place(tools=elsewhere.TOOLS + ["curl"])
    agent = {"name": "main", "dir": "", "scripts": [], "metadata": [], "apps": AGENT["apps"][:1], "env": {}}
    task = run(cluster, api, template, where, agent, uid=12345, HOME=None)
    api.remove(task)


@pytest.mark.parametrize("arguments, env, words", [
    ({"tools": elsewhere.TOOLS}, {}, "none of curl, wget and busybox"),
    ({"tools": elsewhere.TOOLS + ["curl"]}, {"token": None}, "CODER_AGENT_TOKEN is not set"),
    ({"tools": elsewhere.TOOLS + ["curl"]}, {"auth": "google-instance-identity"}, 'auth = "token"'),
    ({"tools": elsewhere.TOOLS + ["curl"]}, {"arch": "arm64"}, "coder_agent's arch is arm64"),
])
def test_what_is_missing_is_said(cluster, place, arguments, env, words):
    """Goal: a workspace that cannot begin says why in one line, and ends."""
    where = place(**arguments)
    token = env.pop("token", "7b7d5d3c-1111-4111-8111-111111111111")
    where.start(elsewhere.script(cluster.gateway.url, **env), token)
    assert where.popen.wait(DEADLINE) == 1
    assert words in where.said()


def test_a_gateway_that_is_away(cluster, api, template, place):
    """Goal: it is asked again until it is there; a download that is cut short is not run."""
    where = place(tools=elsewhere.TOOLS + ["curl", "sha256sum"])
    task = api.create(template, "x")
    token = elsewhere.declare(cluster, task, {"name": "main", "apps": AGENT["apps"][:1]})
    url = cluster.gateway.url
    port = re.search(r":(\d+)$", url).group(1)
    cluster.gateway.stop()
    where.start(elsewhere.script(url), token)
    wait_until(lambda: "trying again" in where.said(), "it tries again", DEADLINE, say=where.said)
    cluster.gateway.argv = [a for a in cluster.gateway.argv if not a.startswith("--port")] + [f"--port={port}"]
    cluster.start_gateway()
    ready(api, task, where)
    assert where.stop() == 0
