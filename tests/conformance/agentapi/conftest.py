# SPDX-License-Identifier: Apache-2.0
"""One AgentAPI server per test, ours or the real one.

ours   stint-agent agentapi of $STINT_BUILD (initially build/asan)
real   $STINT_AGENTAPI_REAL, or coder/agentapi built with Go into build/agentapi-real: v0.12.1, or
       where the module proxy does not have that, v0.11.8, which keeps no state and no pid file
"""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest
import requests

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(os.path.dirname(HERE))
ROOT = os.path.dirname(TESTS)
sys.path.insert(0, TESTS)

from lib.cluster import SANITIZER_ENVIRONMENT  # noqa: E402
from lib.procs import Process  # noqa: E402
from lib.wait import wait_until  # noqa: E402

MODULE = "github.com/coder/agentapi"
VERSIONS = ["v0.12.1", "v0.11.8"]
BOT = os.path.join(HERE, "bot.py")


def our_program():
    build = os.environ.get("STINT_BUILD", "build/asan")
    return [os.path.join(ROOT, build, "agent", "stint-agent"), "agentapi"]


def install_real():
    """(path, None) or (None, why not)."""
    if os.environ.get("STINT_AGENTAPI_REAL"):
        return os.environ["STINT_AGENTAPI_REAL"], None
    directory = os.path.join(ROOT, "build", "agentapi-real")
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "lock"), "w") as lock:  # several processes run the tests
        fcntl.flock(lock, fcntl.LOCK_EX)
        return build_once(directory)


def build_once(directory):
    path = os.path.join(directory, "agentapi")
    if os.path.exists(path):
        return path, None
    if not shutil.which("go"):
        return None, "the real agentapi: there is no Go here to build it with"
    for version in VERSIONS:
        why = build_real(version, directory, path)
        if why is None:
            return path, None
    return None, f"the real agentapi cannot be built: … {why}"


def build_real(version, directory, path):
    """None, or why not.  Not `go install`, which wants more of a module proxy than the module."""
    environment = dict(os.environ, GOFLAGS="-mod=mod", GOWORK="off")
    with open(os.path.join(directory, "go.mod"), "w") as f:
        f.write(f"module real\n\nrequire {MODULE} {version}\n")
    try:
        done = subprocess.run(["go", "build", "-o", path, MODULE], cwd=directory, env=environment,
                              capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        return f"{version} took too long"
    return None if done.returncode == 0 else " ".join(done.stderr.split())[-120:]


@pytest.fixture(scope="session")
def real_program():
    path, why = install_real()
    if path is None:
        pytest.skip(why)
    return [path]


@pytest.fixture(params=["ours", "real"])
def kind(request):
    return request.param


@pytest.fixture
def program(kind, request):
    if kind == "ours":
        return our_program()
    return [*request.getfixturevalue("real_program"), "server"]


@pytest.fixture
def since_0_12(program):
    """What older ones do not have."""
    done = subprocess.run([*program, "--help"], capture_output=True, text=True, timeout=20)
    if "--state-file" not in done.stdout:
        pytest.skip("the real agentapi here is older than 0.12, which brought this")


def plain(text):
    """Without the blanks with which the real one fills its lines."""
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip("\n")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Events:
    """Server-sent events, collected as they come."""

    def __init__(self, response):
        self.response = response
        self.items = []
        self.is_over = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        name, data = "message", []
        try:
            for line in self.response.iter_lines(decode_unicode=True):
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    data.append(line[5:].strip())
                elif not line and data:
                    self.items.append((name, json.loads("\n".join(data))))
                    name, data = "message", []
        except Exception:  # however it ends: it is over
            pass
        self.is_over = True

    def named(self, name):
        return [dict(value, message=plain(value["message"])) if "message" in value else value
                for n, value in list(self.items) if n == name]

    def close(self):
        self.response.close()


class Server:
    def __init__(self, kind, program, tmp_path, bot=(), flags=(), env=None, bot_name=None):
        self.kind = kind
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        agent = [sys.executable, BOT, *bot]
        if bot_name:
            link = str(tmp_path / bot_name)
            if not os.path.exists(link):
                with open(link, "w") as f:
                    f.write(f"#!/bin/sh\nexec {sys.executable} {BOT} \"$@\"\n")
                os.chmod(link, 0o755)
            agent = [bot_name, *bot]
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "LANG": "C.UTF-8",
                       **SANITIZER_ENVIRONMENT, **(env or {})}
        self.process = Process(kind, [*program, "--port", self.port, *flags, "--", *agent],
                               str(tmp_path / "server.log"), env=environment)
        self.streams = []

    def start(self):
        self.process.start()
        wait_until(self.is_up, "the server answers", 20, say=self.process.log)
        return self

    def is_up(self):
        assert self.process.is_running(), self.process.log()
        try:
            return self.get("/status").status_code == 200
        except requests.ConnectionError:
            return False

    def get(self, path, **arguments):
        return requests.get(self.url + path, timeout=20, **arguments)

    def post(self, path, **arguments):
        return requests.post(self.url + path, timeout=40, **arguments)

    def send(self, content, kind="user"):
        return self.post("/message", json={"content": content, "type": kind})

    def status(self):
        return self.get("/status").json()["status"]

    def messages(self):
        return [dict(m, content=plain(m["content"]))
                for m in self.get("/messages").json()["messages"]]

    def stable(self, deadline=30):
        wait_until(lambda: self.status() == "stable", "stable", deadline,
                   say=lambda: self.messages())
        return self

    def ask(self, content):
        """Send it, wait for the answer and return that."""
        sent = self.send(content)
        assert sent.status_code == 200, sent.text
        self.stable()
        last = self.messages()[-1]
        assert last["role"] == "agent"
        return last["content"]

    def events(self, path="/events"):
        response = requests.get(self.url + path, stream=True, timeout=60)
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        self.streams.append(Events(response))
        return self.streams[-1]

    def agents(self):
        """Pids of the command."""
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
                return [int(word) for word in f.read().split()]
        except FileNotFoundError:
            return []

    def close(self):
        for stream in self.streams:
            stream.close()
        if self.process.is_running():
            self.process.stop()
        unclean = [] if self.kind == "real" else self.process.unclean
        return unclean + self.process.sanitizer_reports()


@pytest.fixture
def serve(kind, program, tmp_path):
    """A factory: serve(bot=[…], flags=[…]) is a running server."""
    servers = []

    def start(**arguments):
        servers.append(Server(kind, program, tmp_path, **arguments))
        return servers[-1].start()

    yield start
    problems = [p for s in servers for p in s.close()]
    assert not problems, "\n".join(problems)


@pytest.fixture
def server(serve):
    return serve().stable()
