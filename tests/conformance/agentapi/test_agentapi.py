# SPDX-License-Identifier: Apache-2.0
"""AgentAPI, fact by fact, against ours and the real one (conftest.py)."""

import datetime
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys

import pytest
import requests

from lib.wait import Stopwatch, stays, wait_until


def problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    body = answer.json()
    assert body["status"] == status and body["title"]
    return body


def rejection(answer):
    """The sentence of a message that was not taken."""
    body = problem(answer, 500)
    assert body["title"] == "Internal Server Error"
    assert body["detail"] == "unexpected error occurred"
    return body["errors"][0]["message"]


# ---- the command line

def run(program, *words, env=None):
    return subprocess.run([*program, *map(str, words)], capture_output=True, text=True, timeout=20,
                          env={"PATH": os.environ["PATH"], **(env or {})}, stdin=subprocess.DEVNULL)


def test_help(program):
    done = run(program, "--help")
    assert done.returncode == 0
    for flag in ("type", "port", "print-openapi", "chat-base-path", "term-width", "term-height",
                 "allowed-hosts", "allowed-origins", "initial-prompt"):
        assert f"--{flag}" in done.stdout


@pytest.mark.usefixtures("since_0_12")
def test_help_of_what_is_kept(program):
    done = run(program, "--help")
    for flag in ("state-file", "load-state", "save-state", "pid-file", "experimental-acp"):
        assert f"--{flag}" in done.stdout


def test_openapi(program):
    done = run(program, "--print-openapi", "dummy")
    paths = json.loads(done.stdout)["paths"]
    assert {"/status", "/messages", "/message", "/upload", "/events"} <= set(paths)
    assert "/internal/screen" not in paths


@pytest.mark.parametrize("flags", [
    ("--term-width", "9"), ("--type", "emacs"), ("--save-state",), ("--load-state",),
    ("--no-such-flag",), ("--port", "x"),
    ("--allowed-hosts", "http://localhost"), ("--allowed-hosts", "localhost:80")])
def test_wrong_flags_are_refused(program, flags):
    done = run(program, *flags, "--", "true")
    assert done.returncode != 0 and done.stderr


def test_environment(serve):
    server = serve(env={"AGENTAPI_TYPE": "goose", "AGENTAPI_ALLOWED_HOSTS": "*"})
    assert server.get("/status", headers={"Host": "anybody"}).json()["agent_type"] == "goose"


# ---- status

def test_status_becomes_stable(serve):
    server = serve()
    first = server.get("/status").json()
    assert (first["status"], first["agent_type"]) == ("running", "custom")
    server.stable(10)


@pytest.mark.usefixtures("since_0_12")
def test_status_tells_the_transport(server):
    assert server.get("/status").json()["transport"] == "pty"


def test_not_stable_before_the_screen_stood_for_two_seconds(server):
    sent = server.send("slow 10")
    assert sent.status_code == 200
    stays(lambda: server.status() == "running", "running", 2.5)
    server.stable(10)


@pytest.mark.parametrize("name", ["claude", "aider"])
def test_type_is_told_from_the_command(serve, name):
    assert serve(bot_name=name).get("/status").json()["agent_type"] == name


# ---- messages

def test_first_message_is_the_greeting(server):
    messages = server.messages()
    assert [(m["id"], m["role"], m["content"]) for m in messages] == [(0, "agent", "Welcome")]
    then = datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*|Z$", r"\1", messages[0]["time"])[:26])
    assert abs((datetime.datetime.utcnow() - then).total_seconds()) < 26 * 3600


def test_conversation(server):
    sent = server.send("hello")
    assert sent.status_code == 200 and sent.json()["ok"] is True
    assert server.status() == "running"  # right after it
    server.stable()
    assert server.ask("say second") == "second"
    assert [(m["id"], m["role"], m["content"]) for m in server.messages()] == [
        (0, "agent", "Welcome"), (1, "user", "hello"), (2, "agent", "heard: hello"),
        (3, "user", "say second"), (4, "agent", "second")]


def test_message_of_several_lines(server):
    assert server.ask("say one\ntwo\nthree") == "one\ntwo\nthree"


def test_long_message(server):
    words = " ".join(f"word{i}" for i in range(400))
    server.ask(words)
    assert server.messages()[1]["content"] == words


def test_answers_as_they_look(server):
    assert server.ask("twice") == "done 100%"
    assert server.ask("wide") == "你好 世界 – ünïcödé"
    assert server.ask("alt") == "back again"
    assert server.ask("long 150") == "\n".join(f"row {i} of many" for i in range(150))


def test_answer_grows(server):
    events = server.events()
    assert server.send("slow 8").status_code == 200
    server.stable()
    said = [m["message"] for m in events.named("message_update") if m["id"] == 2]
    assert len(said) >= 4 and said[-1] == "\n".join(f"line {i}" for i in range(8))


def test_width(serve):
    server = serve(flags=["--term-width", "40"]).stable()
    assert server.ask("say " + "x" * 50) == "x" * 40 + "\n" + "x" * 10


def test_rejected_while_running(server):
    assert server.send("slow 15").status_code == 200
    assert "waiting for user input" in rejection(server.send("too early"))
    server.stable()
    assert "too early" not in [m["content"] for m in server.messages()]


@pytest.mark.parametrize("content", ["", "   "])
def test_empty_message_is_rejected(server, content):
    rejection(server.send(content))


def test_message_is_trimmed(server):
    assert server.ask(" \t say trimmed \n\n") == "trimmed"
    assert server.messages()[1]["content"] == "say trimmed"


@pytest.mark.parametrize("body", [
    {"content": "x"}, {"type": "user"}, {"content": "x", "type": "shout"},
    {"content": 1, "type": "user"}, {"content": "x", "type": "user", "more": 1}])
def test_schema_violations(server, body):
    told = problem(server.post("/message", json=body), 422)
    assert told["title"] == "Unprocessable Entity" and told["detail"] == "validation failed"
    assert all(error.get("message") or error["location"] for error in told["errors"])


def test_body_that_is_no_json(server):
    answer = server.post("/message", data="{", headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)


def test_agent_that_does_not_begin(serve):
    server = serve(bot=["--mute"]).stable()
    watch = Stopwatch()
    # Older ones give up on a screen that does not show what is typed, newer ones press Enter.
    assert re.search("failed to wait for (processing to start|screen to stabilize)",
                     rejection(server.send("hello")))
    assert 14 < watch.seconds < 25
    assert len(server.messages()) == 1


def test_raw_is_typed_and_not_recorded(server):
    for key in "say x":
        assert server.send(key, "raw").status_code == 200
    server.stable()
    assert server.send("\r", "raw").json()["ok"] is True
    wait_until(lambda: "x" in server.messages()[-1]["content"].splitlines(), "the answer")
    assert server.send("\x03", "raw").status_code == 200
    wait_until(lambda: "interrupted" in server.messages()[-1]["content"], "the interrupt")
    assert {m["role"] for m in server.messages()} == {"agent"}


# ---- initial prompt

def test_initial_prompt(serve):
    server = serve(bot=["--late"], flags=["--initial-prompt", "say prompted"])
    wait_until(lambda: [(m["role"], m["content"]) for m in server.messages()[1:]] == [
        ("user", "say prompted"), ("agent", "prompted")], "the prompt's answer", 20)


@pytest.mark.usefixtures("since_0_12")
def test_status_with_an_initial_prompt(serve):
    server = serve(bot=["--late"], flags=["--initial-prompt", "say prompted"])
    events = server.events()
    server.stable()
    assert server.messages()[1]["content"] == "say prompted"
    wait_until(lambda: [e["status"] for e in events.named("status_change")] == ["running", "stable"],
               "never stable before it was said", say=lambda: events.items)


def test_prompt_from_a_pipe(kind, program, tmp_path):
    port = socket.socket()
    port.bind(("127.0.0.1", 0))
    number = port.getsockname()[1]
    port.close()
    bot = os.path.join(os.path.dirname(__file__), "bot.py")
    child = subprocess.Popen([*program, "--port", str(number), "--", sys.executable, bot],
                             stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    try:
        child.stdin.write(b"say piped\n")
        child.stdin.close()

        def answered():
            try:
                messages = requests.get(f"http://localhost:{number}/messages", timeout=5).json()
            except requests.ConnectionError:
                return False
            said = [m["content"].rstrip() for m in messages["messages"][1:]]
            return said == ["say piped", "piped"]

        wait_until(answered, "the prompt's answer", 20)
    finally:
        child.terminate()
        child.wait(15)


# ---- upload

def test_upload(server):
    answer = server.post("/upload", files={"file": ("notes.txt", b"some text")})
    assert answer.status_code == 200 and answer.json()["ok"] is True
    path = answer.json()["filePath"]
    assert os.path.basename(path) == "notes.txt"
    with open(path, "rb") as f:
        assert f.read() == b"some text"
    server.process.stop()
    assert not os.path.exists(path)


@pytest.mark.parametrize("name", ["../../../../tmp/escaped", "/tmp/escaped", "a/../../escaped"])
def test_upload_that_climbs_out(server, name):
    answer = server.post("/upload", files={"file": (name, b"x")})
    assert answer.status_code == 200
    path = os.path.realpath(answer.json()["filePath"])
    assert os.path.basename(path) == "escaped"
    assert "agentapi-uploads" in path and not os.path.exists("/tmp/escaped")


def test_upload_of_10_mb(server):
    size = 10 * 1024 * 1024
    answer = server.post("/upload", files={"file": ("b", os.urandom(size))})
    assert answer.status_code == 200 and os.path.getsize(answer.json()["filePath"]) == size
    told = server.post("/upload", files={"file": ("b", b"x" * (size + 1))})
    assert told.status_code == 400 and "10MB" in told.json()["detail"]
    told = server.post("/upload", files={"file": ("b", b"x" * (2 * size))})
    assert told.status_code == 400


def test_upload_without_a_file(server):
    assert server.post("/upload", files={"other": ("b", b"x")}).status_code == 422


# ---- events

def test_events_are_replayed(server):
    server.ask("hello")
    events = server.events()
    wait_until(lambda: events.named("status_change")[-1:] == [
        {"status": "stable", "agent_type": "custom"}], "the replay", say=lambda: events.items)
    updates = events.named("message_update")
    assert [(u["id"], u["role"], u["message"]) for u in updates] == [
        (0, "agent", "Welcome"), (1, "user", "hello"), (2, "agent", "heard: hello")]
    assert all(u["time"] for u in updates)


def test_events_as_they_happen(server):
    first, second = server.events(), server.events()
    server.ask("hello")
    # The real one looks at its screen now and then, and may be stable again before it looks.
    least = ["stable", "running", "stable"] if server.kind == "ours" else ["running", "stable"]
    for events in (first, second):
        wait_until(lambda: [s["status"] for s in events.named("status_change")][-len(least):] == least,
                   "the status", say=lambda: events.items)
        wait_until(lambda: [(u["id"], u["message"]) for u in events.named("message_update")][-1:] ==
                   [(2, "heard: hello")], "the answer", say=lambda: events.items)
        assert ("user", "hello") in [(u["role"], u["message"]) for u in events.named("message_update")]


def test_screen(server):
    events = server.events("/internal/screen")
    wait_until(lambda: any("Welcome" in s["screen"] for s in events.named("screen")), "the screen")
    server.send("z", "raw")
    wait_until(lambda: any("> z" in s["screen"] for s in events.named("screen")), "the key")


# ---- pages, hosts, origins

def test_page(serve):
    server = serve(flags=["--chat-base-path", "/somewhere/chat"])
    answer = server.get("/", allow_redirects=False)
    assert answer.status_code in (301, 302, 307, 308)
    assert answer.headers["Location"] == "/somewhere/chat/embed"
    if server.kind == "ours":  # the real one has its page only in its releases
        assert "html" in server.get("/chat/embed").headers["Content-Type"]


@pytest.mark.parametrize("path", ["/nothing", "/internal/nothing"])
def test_unknown_path(server, path):
    assert server.get(path).status_code == 404


def test_wrong_method(server):
    assert server.get("/message").status_code == 405
    assert server.post("/status").status_code == 405


@pytest.mark.parametrize("host,is_allowed", [
    ("localhost", True), ("LOCALHOST:80", True), ("127.0.0.1:3284", True), ("[::1]:3284", True),
    ("evil.example", False), ("localhost.evil.example", False), ("evil.example:3284", False)])
def test_hosts(server, host, is_allowed):
    answer = server.get("/status", headers={"Host": host})
    assert answer.status_code == (200 if is_allowed else 400)
    if not is_allowed:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "Invalid host header" in answer.text


def test_origins(serve):
    server = serve(flags=["--allowed-origins", "https://good.example"])
    good = server.get("/status", headers={"Origin": "https://good.example"})
    assert good.headers["Access-Control-Allow-Origin"] == "https://good.example"
    bad = server.get("/status", headers={"Origin": "https://bad.example"})
    assert "Access-Control-Allow-Origin" not in bad.headers
    asked = requests.options(server.url + "/message", timeout=10, headers={
        "Origin": "https://good.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type"})
    assert asked.status_code in (200, 204)
    assert "POST" in asked.headers["Access-Control-Allow-Methods"]
    assert "content-type" in asked.headers["Access-Control-Allow-Headers"].lower()


# ---- signals and ends

@pytest.mark.usefixtures("since_0_12")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_server_and_command(server, number):
    agents = server.agents()
    assert agents
    server.process.signal(number)
    assert server.process.wait_exit(12) == 0
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in agents), "the agent's end")


def test_command_that_ignores_the_signal_is_killed(serve):
    server = serve(bot=["--deaf-to-term"]).stable()
    agents = server.agents()
    watch = Stopwatch()
    server.process.signal(signal.SIGTERM)
    server.process.wait_exit(15)
    assert watch.seconds < 12
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in agents), "the agent's end")


@pytest.mark.usefixtures("since_0_12")
@pytest.mark.parametrize("status", [0, 3])
def test_end_of_the_command_ends_the_server(server, status):
    server.send(f"exit {status}")
    code = server.process.wait_exit(15)
    assert (code == 0) == (status == 0)


@pytest.mark.usefixtures("since_0_12")
def test_pid_file(serve, program, tmp_path):
    path = tmp_path / "agentapi.pid"
    server = serve(flags=["--pid-file", path])
    assert path.read_text() == f"{server.process.pid}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = run(program, "--port", 0, "--pid-file", path, "--", "cat")
    assert second.returncode != 0 and str(server.process.pid) in second.stderr
    server.process.stop()
    assert not path.exists()


@pytest.mark.usefixtures("since_0_12")
def test_pid_file_of_a_dead_process(serve, tmp_path):
    path = tmp_path / "agentapi.pid"
    dead = subprocess.Popen(["true"])
    dead.wait()
    path.write_text(f"{dead.pid}\n")
    server = serve(flags=["--pid-file", path])
    assert path.read_text() == f"{server.process.pid}\n"


# ---- the state file

def kept(server, path):
    """The state that SIGUSR1 writes."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    server.process.signal(signal.SIGUSR1)
    wait_until(lambda: path.exists() and (path.stat().st_mtime_ns > before or server.kind == "ours"),
               "the state file")
    return json.loads(path.read_text())


@pytest.mark.usefixtures("since_0_12")
def test_state_is_saved_on_usr1(serve, tmp_path):
    path = tmp_path / "new" / "state.json"
    server = serve(flags=["--state-file", path]).stable()
    server.ask("hello")
    state = kept(server, path)
    assert state["version"] == 1
    assert [(m["id"], m["role"], m["message"]) for m in state["messages"]] == [
        (0, "agent", "Welcome"), (1, "user", "hello"), (2, "agent", "heard: hello")]
    assert all(m["time"] for m in state["messages"])
    assert state["initial_prompt_sent"] in (True, False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert server.status() == "stable"  # it goes on
    assert not os.path.exists(f"{path}.tmp")


@pytest.mark.usefixtures("since_0_12")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_state_is_saved_at_the_end_and_loaded(serve, tmp_path, number):
    path = tmp_path / "state.json"
    flags = ["--state-file", path, "--initial-prompt", "say prompted"]
    server = serve(flags=flags).stable()
    server.ask("hello")
    server.process.signal(number)
    server.process.wait_exit(12)
    state = json.loads(path.read_text())
    assert state["initial_prompt"] == "say prompted" and state["initial_prompt_sent"] is True
    before = [(m["role"], m["message"]) for m in state["messages"]]
    again = serve(flags=flags).stable()
    assert [(m["role"], m["content"]) for m in again.messages()[:len(before)]] == before
    assert again.ask("say more") == "more"
    said = [m["content"] for m in again.messages() if m["role"] == "user"]
    assert said == ["say prompted", "hello", "say more"]  # the same prompt is not sent again


@pytest.mark.usefixtures("since_0_12")
def test_another_prompt_is_sent(serve, tmp_path):
    path = tmp_path / "state.json"
    server = serve(flags=["--state-file", path, "--initial-prompt", "say one"]).stable()
    server.process.stop()
    again = serve(flags=["--state-file", path, "--initial-prompt", "say two"]).stable()
    assert [m["content"] for m in again.messages() if m["role"] == "user"] == ["say one", "say two"]


@pytest.mark.usefixtures("since_0_12")
def test_state_is_not_loaded_when_nobody_wants_it(serve, tmp_path):
    path = tmp_path / "state.json"
    server = serve(flags=["--state-file", path]).stable()
    server.ask("hello")
    server.process.stop()
    again = serve(flags=["--state-file", path, "--load-state=false"]).stable()
    assert len(again.messages()) == 1


@pytest.mark.usefixtures("since_0_12")
def test_state_is_not_saved_when_nobody_wants_it(serve, tmp_path):
    path = tmp_path / "state.json"
    server = serve(flags=["--state-file", path, "--save-state=false"]).stable()
    server.ask("hello")
    server.process.stop()
    assert not path.exists()


BAD_STATES = {"cut short": '{"version":1,"messages":[{"id":0,"mess', "of version 2":
              '{"version":2,"messages":[]}', "empty": ""}


@pytest.mark.usefixtures("since_0_12")
@pytest.mark.parametrize("name", BAD_STATES)
def test_bad_state_is_a_warning(serve, tmp_path, name):
    path = tmp_path / "state.json"
    path.write_text(BAD_STATES[name])
    server = serve(flags=["--state-file", path]).stable()
    events = server.events()
    wait_until(lambda: events.named("agent_error"), "the warning", say=lambda: events.items)
    error = events.named("agent_error")[0]
    assert error["level"] == "warning" and error["message"] and error["time"]


# ---- what Stint adds

class TestOurs:
    @pytest.fixture(params=["ours"])
    def kind(self, request):
        return request.param

    @pytest.mark.parametrize("name", BAD_STATES)
    def test_bad_state_is_kept_aside(self, serve, tmp_path, name):
        path = tmp_path / "state.json"
        path.write_text(BAD_STATES[name])
        server = serve(flags=["--state-file", path]).stable()
        server.ask("hello")
        server.process.stop()
        assert (tmp_path / "state.json.unreadable").read_text() == BAD_STATES[name]
        assert len(json.loads(path.read_text())["messages"]) == 3

    def test_state_survives_a_start_that_never_got_ready(self, serve, tmp_path):
        path = tmp_path / "state.json"
        server = serve(flags=["--state-file", path]).stable()
        server.ask("hello")
        server.process.stop()
        before = path.read_text()
        serve(flags=["--state-file", path], bot=["--late"]).process.stop()
        assert path.read_text() == before

    def test_kill_loses_nothing_that_was_stable(self, serve, tmp_path):
        path = tmp_path / "state.json"
        server = serve(flags=["--state-file", path]).stable()
        server.ask("hello")
        wait_until(path.exists, "the state file")
        server.process.kill()
        assert [m["message"] for m in json.loads(path.read_text())["messages"]] == [
            "Welcome", "hello", "heard: hello"]
        assert len(serve(flags=["--state-file", path]).stable().messages()) == 3

    def test_same_answer_twice(self, server):
        assert server.ask("say yes") == "yes"
        assert server.ask("say yes") == "yes"
        assert len(server.messages()) == 5

    def test_answer_of_nothing(self, server):
        assert server.send("nothing").status_code == 200
        server.stable()
        assert server.messages()[-1]["role"] == "user"

    def test_acp_is_refused(self, program):
        done = run(program, "--experimental-acp", "--", "cat")
        assert done.returncode == 64 and "not supported" in done.stderr

    def test_no_such_program(self, program):
        done = run(program, "--port", 0, "--", "/no/such/program")
        assert done.returncode == 66 and "/no/such/program" in done.stderr

    def test_port_in_use(self, server, program):
        done = run(program, "--port", server.port, "--", "cat")
        assert done.returncode == 69 and "address already in use" in done.stderr

    def test_loopback_only(self, server):
        with open("/proc/net/tcp") as f:
            local = [line.split()[1] for line in f if f":{server.port:04X} " in line]
        assert local and all(address.startswith("0100007F:") for address in local)

    def test_page_of_another_site_cannot_write(self, server):
        answer = server.post("/upload", files={"file": ("x", b"x")}, headers={
            "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403
        answer = server.post("/message", data='{"content":"x","type":"raw"}',
                             headers={"Content-Type": "text/plain"})
        assert answer.status_code == 415

    def raw(self, server, data, until=b""):
        """What the server says to these bytes, up to the end of the connection."""
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as s:
            s.sendall(data)
            said = b""
            while not until or until not in said:
                block = s.recv(65536)
                if not block:
                    break
                said += block
        return said

    @pytest.mark.parametrize("data,status", [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /status HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET /status HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET /status HTTP/1.1\r\nConnection: close\r\n\r\n", 400),  # no host
        (b"POST /message HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
         b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /message HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /message HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n"
         b"\r\n", 413),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400)])
    def test_bad_requests(self, server, data, status):
        assert self.raw(server, data).startswith(f"HTTP/1.1 {status} ".encode())
        assert server.status() == "stable"

    def test_pipelined_and_chunked(self, server):
        get = b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        chunked = (b"POST /message HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                   b"Content-Type: application/json\r\n\r\n"
                   b"12\r\n{\"content\":\"k\",\"ty\r\nc\r\npe\":\"raw\"}  \r\n0\r\n\r\n")
        said = self.raw(server, get + chunked + get + last)
        assert said.count(b"HTTP/1.1 200 OK") == 4 and b'{"ok":true}' in said

    def test_client_that_closes_its_side_is_answered(self, server):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
            s.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            s.shutdown(socket.SHUT_WR)
            assert s.recv(65536).startswith(b"HTTP/1.1 200 OK")

    def test_expect_continue(self, server):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
            s.sendall(b"POST /message HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n"
                      b"Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 100 Continue")
            s.sendall(b'{"content":"k","type":"raw"}  ')
            assert s.recv(65536).startswith(b"HTTP/1.1 200 OK")

    def test_slow_request_is_cut_off(self, server):
        watch = Stopwatch()
        assert self.raw(server, b"GET /status HT").startswith(b"HTTP/1.1 408 ")
        assert 9 < watch.seconds < 16

    def test_too_many_connections(self, server):
        held = []
        try:
            for _ in range(64):
                held.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            assert self.raw(server, b"").startswith(b"HTTP/1.1 503 ")
        finally:
            for s in held:
                s.close()
        server.stable()

    def test_client_that_goes_while_it_waits(self, server):
        body = b'{"content":"say gone","type":"user"}'
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
            s.sendall(b"POST /message HTTP/1.1\r\nHost: localhost\r\n"
                      b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_until(lambda: server.messages()[-1]["content"] == "gone", "the answer")

    def test_free_port_is_printed(self, program, tmp_path):
        child = subprocess.Popen([*program, "--port", "0", "--", "cat"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            url = child.stdout.readline().strip()
            assert requests.get(url + "/status", timeout=10).json()["agent_type"] == "custom"
        finally:
            child.terminate()
            child.wait(15)

    def test_streams_end_when_the_server_stops(self, server):
        events = server.events()
        wait_until(lambda: events.items, "the replay")
        server.process.stop()
        wait_until(lambda: events.is_over, "the stream's end", 5)
