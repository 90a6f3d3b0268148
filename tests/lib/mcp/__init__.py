# SPDX-License-Identifier: Apache-2.0
"""Clients of the MCP server: one that sends any bytes, and the official ones."""

import json
import os
import select
import shutil
import signal
import subprocess
import time

import pytest

from .. import npm

SDK = "@modelcontextprotocol/sdk@1.32.2"
INSPECTOR = "@modelcontextprotocol/inspector@0.15.0"
HERE = os.path.dirname(os.path.abspath(__file__))


class RawClient:
    """A server process, and lines to and from it."""

    def __init__(self, argv, env):
        self.process = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.buffer = b""
        self.last_id = 0
        self.stderr = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None and self.stderr is None:
            self.end()

    def send(self, message):
        data = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read(self, deadline=15):
        """The next message; None at the end of the output."""
        until = time.monotonic() + deadline
        fd = self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            wait = until - time.monotonic()
            assert wait > 0 and select.select([fd], [], [], wait)[0], "the server says nothing"
            data = os.read(fd, 1 << 20)
            if not data:
                assert not self.buffer, f"half a line: {self.buffer[:200]!r}"
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def ask(self, method, params=None, deadline=15):
        """The whole answer to a request."""
        self.last_id += 1
        request = {"jsonrpc": "2.0", "id": self.last_id, "method": method}
        self.send(request | ({"params": params} if params is not None else {}))
        answer = self.read(deadline)
        assert answer["jsonrpc"] == "2.0" and answer["id"] == self.last_id, answer
        return answer

    def initialize(self, version="2025-06-18"):
        answer = self.ask("initialize", {"protocolVersion": version, "capabilities": {},
                                         "clientInfo": {"name": "raw", "version": "1"}})
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer["result"]

    def call(self, tool, **arguments):
        """(text, is_error) of a tool's call."""
        answer = self.ask("tools/call", {"name": tool, "arguments": arguments}, deadline=60)
        return text_of(answer["result"])

    def tools(self):
        return [tool["name"] for tool in self.ask("tools/list")["result"]["tools"]]

    def end(self, deadline=20):
        """Close its stdin; gives (exit status, rest of stdout, stderr)."""
        out, err = self.process.communicate(timeout=deadline)
        self.stderr = err.decode()
        return self.process.returncode, self.buffer + out, self.stderr

    def terminate(self, deadline=10):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(deadline)
        self.end()
        return status


def text_of(result):
    assert [part["type"] for part in result["content"]] == ["text"], result
    return result["content"][0]["text"], result.get("isError", False)


def node():
    path = shutil.which("node")
    if not path:
        pytest.skip("Node is not installed: apt-get install nodejs")
    return path


def run_sdk(argv, env, steps):
    """The official SDK's client: steps are ["list"] or ["call", name, arguments]."""
    prefix = npm.install(SDK)
    spec = {"prefix": prefix, "command": argv[0], "args": argv[1:], "env": env, "steps": steps}
    done = subprocess.run([node(), os.path.join(HERE, "client.mjs")], input=json.dumps(spec),
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return json.loads(done.stdout)


def run_inspector(argv, env, method, *flags):
    """MCP Inspector in its CLI mode: the result of one method."""
    prefix = npm.install(INSPECTOR)
    variables = [word for key, value in env.items() for word in ("-e", f"{key}={value}")]
    done = subprocess.run(
        [node(), os.path.join(prefix, "node_modules/@modelcontextprotocol/inspector/cli/build/cli.js"),
         "--cli", *variables, *argv, "--method", method, *flags],
        capture_output=True, text=True, timeout=120, cwd=prefix)
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return json.loads(done.stdout)
