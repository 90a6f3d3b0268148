# SPDX-License-Identifier: Apache-2.0
"""One AgentAPI server per test, ours or the real one.

ours   stint-agent agentapi of $STINT_BUILD (initially build/asan)
real   $STINT_AGENTAPI_REAL, or coder/agentapi v0.12.1 built by `go install` into build/agentapi-real
"""

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

MODULE = "github.com/coder/agentapi@v0.12.1"
BOT = os.path.join(HERE, "bot.py")


def our_program():
    build = os.environ.get("STINT_BUILD", "build/asan")
    return [os.path.join(ROOT, build, "agent", "stint-agent"), "agentapi"]


def install_real():
    """(path, None) or (None, why not)."""
    if os.environ.get("STINT_AGENTAPI_REAL"):
        return os.environ["STINT_AGENTAPI_REAL"], None
    directory = os.path.join(ROOT, "build", "agentapi-real")
    path = os.path.join(directory, "agentapi")
    if os.path.exists(path):
        return path, None
    if not shutil.which("go"):
        return None, "the real agentapi: there is no Go here to build it with"
    try:
        done = subprocess.run(["go", "install", MODULE], capture_output=True, text=True, timeout=300,
                              env=dict(os.environ, GOBIN=directory))
    except subprocess.TimeoutExpired:
        return None, f"the real agentapi: go install {MODULE} took too long"
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[-120:]
        return None, f"the real agentapi cannot be installed: … {said}"
    return path, None


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
        return [value for n, value in list(self.items) if n == name]

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
            agent = [link, *bot]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8",
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
        return self.get("/messages").json()["messages"]

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
        return self.process.unclean + self.process.sanitizer_reports()


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
