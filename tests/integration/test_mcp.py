# SPDX-License-Identifier: Apache-2.0
"""The MCP server: for agents in a workspace, and for people with a session; with raw bytes, with the
official SDK's client, with the MCP Inspector, and as Claude Code finds it configured."""

import json
import os
import subprocess
import time

import pytest

from lib import npm
from lib.cluster import environment
from lib.mcp import RawClient, run_inspector, run_sdk, text_of
from lib.wait import wait_until

CLUSTER = dict(workers=1)
CLAUDE = "@anthropic-ai/claude-code@2.1.197"
NOBODY = "/nonexistent/agent.sock"
# The app of a task that runs until the test is done with it.
STAY = 'until [ -e "$HOME/leave" ]; do sleep 0.1; done'
TASK_TOOLS = {"coder_create_task", "coder_delete_task", "coder_list_tasks", "coder_get_task_status",
              "coder_send_task_input", "coder_get_task_logs"}
USER_TOOLS = {"coder_list_templates", "coder_get_template", "coder_get_authenticated_user",
              "stint_queue_task_input", "stint_pause_task", "stint_resume_task"}


@pytest.fixture(scope="module")
def program(session):
    return session.build.program("stint-agent")


@pytest.fixture(scope="module")
def working(cluster):
    """A task whose app runs on."""
    api = cluster.api()
    task = api.wait_state(api.create(cluster.shell, STAY), "working")
    yield task
    with open(cluster.home(task, "leave"), "w"):
        pass


@pytest.fixture
def home(tmp_path):
    return str(tmp_path)


def agent_env(cluster, task, home, slug="shell"):
    """As inside the workspace; its agent's socket is reached through the sandbox's root."""
    socket = f"/proc/{cluster.agent_pid(task)}/root/run/stint-agent/agent.sock"
    return environment() | {"HOME": home, "CODER_AGENT_SOCKET_PATH": socket,
                            "CODER_MCP_APP_STATUS_SLUG": slug}


def user_env(cluster, home, user="admin"):
    return environment() | {"HOME": home, "CODER_URL": cluster.gateway.url,
                            "CODER_SESSION_TOKEN": cluster.session.tokens[user]}


def wait_said(api, task, message):
    def look():
        now = api.task(task)["current_state"]
        return now if now and now["message"] == message else None

    return wait_until(look, f"the task says {message!r}", say=lambda: api.task(task)["current_state"])


# ---------------------------------------------------------------- inside a workspace

def test_from_inside_the_sandbox(cluster, api):
    """Goal: `coder exp mcp server`, found by its name, reports for the task; nothing need be set."""
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
            "name": "coder_report_task",
            "arguments": {"summary": "From inside", "link": "https://example.com/i", "state": "working"}}},
    ]
    script = ["coder --version",
              *(f"echo '{json.dumps(line)}' >> lines" for line in lines),
              "coder exp mcp server < lines",
              'coder no-such-thing || echo "status $?"']
    task = api.wait_complete(api.create(cluster.shell, "\n".join(script)))
    output = api.output(task)
    assert "Thanks for reporting!" in output
    assert output.count("Coder v2.") == 1 and "stint-agent" in output
    assert 'there is no "no-such-thing" here' in output and "status 64" in output
    said = cluster.sql("SELECT s.state, s.message, s.uri FROM app_statuses s JOIN agents a "
                       "ON a.id = s.agent_id WHERE a.task_id = %s ORDER BY seq", task["id"])
    assert ("working", "From inside", "https://example.com/i") in said


def test_reports_through_the_agent(cluster, api, program, working, home):
    """Goal: each report becomes the task's current state, in order; but `idle` is not shown while the
    app runs."""
    with RawClient([program, "mcp", "server"], agent_env(cluster, working, home)) as client:
        assert client.initialize()["serverInfo"]["name"] == "Coder Agent"
        assert set(client.tools()) == TASK_TOOLS | {"coder_report_task"}
        for state, shown in (("working", "working"), ("idle", "working"), ("failure", "failed"),
                             ("complete", "complete")):
            reply = client.call("coder_report_task", summary=f"I am {state}", link="", state=state)
            assert reply == ('{"message":"Thanks for reporting!"}', False)
            assert wait_said(api, working, f"I am {state}")["state"] == shown
        status, rest, err = client.end()
        assert (status, rest) == (0, b"")
        assert "coder_list_templates" in err, "what is withheld is told"


def test_wrong_reports(cluster, api, program, working, home):
    """Goal: a tool error that says what is allowed; nothing is reported."""
    with RawClient([program, "exp", "mcp", "server"], agent_env(cluster, working, home)) as client:
        client.initialize()
        client.call("coder_report_task", summary="Before", link="", state="working")
        for arguments, says in (
                (dict(summary="x", link="", state="busy"), "working, complete, idle, failure"),
                (dict(summary="x" * 161, link="", state="idle"), "at most 160"),
                (dict(summary="é" * 81, link="", state="idle"), "at most 160"),
                (dict(summary="a\nb", link="", state="idle"), "line break"),
                (dict(summary="", link="", state="idle"), "summary is empty"),
                (dict(link="", state="idle"), "summary is missing"),
                (dict(summary="x", link="a b", state="idle"), "link has a space"),
                (dict(summary=1, link="", state="idle"), "summary must be a text")):
            text, is_error = client.call("coder_report_task", **arguments)
            assert is_error and says in text, (arguments, text)
        wait_said(api, working, "Before")
        reply = client.call("coder_report_task", summary="x" * 160, link="", state="working")
        assert reply[1] is False
        wait_said(api, working, "x" * 160)


def test_an_unknown_slug(cluster, program, working, home):
    """Goal: a tool error that names the apps there are."""
    with RawClient([program, "mcp", "server"], agent_env(cluster, working, home, "nope")) as client:
        client.initialize()
        text, is_error = client.call("coder_report_task", summary="x", link="", state="idle")
        assert is_error and "nope" in text and "shell" in text, text


def test_no_slug(cluster, program, working, home):
    """Goal: without a slug reporting is withheld, with a warning; the rest goes on."""
    with RawClient([program, "mcp", "server"], agent_env(cluster, working, home, "")) as client:
        client.initialize()
        assert set(client.tools()) == TASK_TOOLS
        assert "CODER_MCP_APP_STATUS_SLUG" in client.end()[2]


# ---------------------------------------------------------------- the older way

def old_env(cluster, home, token):
    return environment() | {"HOME": home, "CODER_AGENT_URL": cluster.gateway.url,
                            "CODER_AGENT_TOKEN": token, "CODER_MCP_APP_STATUS_SLUG": "shell"}


def token_of(cluster, task):
    return cluster.sql_one("SELECT auth_token::text FROM agents WHERE task_id = %s "
                           "ORDER BY created_at DESC LIMIT 1", task["id"])[0]


def test_reports_over_rest(cluster, api, program, working, home):
    """Goal: with URL and token of the agent instead of its socket; also from a file."""
    token = token_of(cluster, working)
    env = old_env(cluster, home, token)
    with RawClient([program, "mcp", "server"], env) as client:
        client.initialize()
        client.call("coder_report_task", summary="Over REST", link="https://e.org", state="idle")
        assert wait_said(api, working, "Over REST")["uri"] == "https://e.org"
    path = os.path.join(home, "token")
    with open(path, "w") as f:
        f.write(token + "\n")
    del env["CODER_AGENT_TOKEN"]
    with RawClient([program, "mcp", "server"], env | {"CODER_AGENT_TOKEN_FILE": path}) as client:
        client.initialize()
        client.call("coder_report_task", summary="By the file", link="", state="working")
        wait_said(api, working, "By the file")


def test_a_revoked_token(cluster, api, program, home):
    """Goal: the agent is told to stop, and nothing is tried any more."""
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    with RawClient([program, "mcp", "server"], old_env(cluster, home, token_of(cluster, task))) as client:
        client.initialize()
        assert client.call("coder_report_task", summary="Fine", link="", state="idle")[1] is False
        api.pause(task)
        api.wait_status(task, "paused")
        api.resume(task)
        api.wait_state(task, "idle")
        for _ in range(3):
            text, is_error = client.call("coder_report_task", summary="Ghost", link="", state="idle")
            assert is_error and text.startswith("stop reporting:"), text


# ---------------------------------------------------------------- a user's session

def test_a_users_tools(cluster, api, program, home):
    """Goal: a task's whole life by tools."""
    with RawClient([program, "mcp", "server"], user_env(cluster, home)) as client:
        client.initialize()
        assert set(client.tools()) == TASK_TOOLS | USER_TOOLS

        def call(name, **arguments):
            text, is_error = client.call(name, **arguments)
            assert not is_error, text
            return json.loads(text)

        assert call("coder_get_authenticated_user")["username"] == "admin"
        templates = call("coder_list_templates")
        shell = next(t for t in templates if t["name"] == "shell")
        assert set(shell) == {"display_name", "id", "name", "description", "active_version_id",
                              "active_user_count"}
        assert call("coder_get_template", template_id=shell["id"])["presets"] == []
        task = call("coder_create_task", input="echo one", template_version_id=shell["active_version_id"])
        assert task["owner_name"] == "admin" and task["initial_prompt"] == "echo one"
        wait_until(lambda: (call("coder_get_task_status", task_id=task["id"])["state"] or {}).get("state")
                   == "complete", "it is complete")
        assert task["id"] in [t["id"] for t in call("coder_list_tasks", status="active")["tasks"]]
        assert task["id"] not in [t["id"] for t in call("coder_list_tasks", status="paused")["tasks"]]
        assert "successfully" in call("coder_send_task_input", task_id=task["name"], input="echo two")["message"]
        wait_until(lambda: "two" in json.dumps(call("coder_get_task_logs", task_id="admin/" + task["name"])),
                   "the conversation has it")
        call("stint_pause_task", task_id=task["id"])
        api.wait_status(task, "paused")
        text, is_error = client.call("coder_send_task_input", task_id=task["id"], input="echo x")
        assert is_error and "paused" in text
        call("stint_resume_task", task_id=task["id"])
        api.wait_state(task, "idle")
        call("coder_delete_task", task_id=task["id"])
        text, is_error = client.call("coder_get_task_status", task_id=task["id"])
        assert is_error and "404" in text


def test_input_that_waits(cluster, api, program, home):
    """Goal: input for a paused task is kept, and handed over after it was resumed."""
    task = api.wait_complete(api.create(cluster.shell, "echo one"))
    api.pause(task)
    api.wait_status(task, "paused")
    with RawClient([program, "mcp", "server"], user_env(cluster, home)) as client:
        client.initialize()
        text, is_error = client.call("stint_queue_task_input", task_id=task["id"], input="echo waited")
        assert not is_error, text
        assert json.loads(text)["state"] == "queued"
        client.call("stint_resume_task", task_id=task["id"])
        wait_until(lambda: "waited" in client.call("coder_get_task_logs", task_id=task["id"])[0],
                   "the message was handed over", deadline=30)


def test_other_peoples_tasks(cluster, api, program, home):
    """Goal: the tools may do what the user may, no more."""
    task = api.create(cluster.shell, "echo mine")
    with RawClient([program, "mcp", "server"], user_env(cluster, home, "bob")) as client:
        client.initialize()
        for name, more in (("coder_get_task_status", {}), ("coder_delete_task", {}),
                           ("coder_send_task_input", {"input": "x"})):
            text, is_error = client.call(name, task_id=task["id"], **more)
            assert is_error and "404" in text, text
    assert api.task(task)["id"] == task["id"]


def test_sessions_that_are_stored(cluster, session, program, home):
    """Goal: the files of `stint login` and of `coder login` are found."""
    token = session.tokens["bob"]
    os.makedirs(os.path.join(home, ".config", "coderv2"))
    for name, text in (("url", cluster.gateway.url), ("session", token)):
        with open(os.path.join(home, ".config", "coderv2", name), "w") as f:
            f.write(text + "\n")
    env = environment() | {"HOME": home}
    with RawClient([program, "mcp", "server"], env) as client:
        client.initialize()
        assert json.loads(client.call("coder_get_authenticated_user")[0])["username"] == "bob"
    os.makedirs(os.path.join(home, ".config", "stint"))
    with open(os.path.join(home, ".config", "stint", "config.json"), "w") as f:
        json.dump({"url": cluster.gateway.url, "token": session.tokens["carol"]}, f)
    with RawClient([program, "mcp", "server"], env) as client:
        client.initialize()
        assert json.loads(client.call("coder_get_authenticated_user")[0])["username"] == "carol"


def test_nobody_to_speak_for(cluster, program, home):
    """Goal: neither an agent nor a user: an error that names the next step; so with a bad session."""
    bad = user_env(cluster, home) | {"CODER_SESSION_TOKEN": "0123456789-0123456789012345678901"}
    for env in (environment() | {"HOME": home}, bad,
                environment() | {"HOME": home, "CODER_AGENT_SOCKET_PATH": NOBODY}):
        done = subprocess.run([program, "mcp", "server"], env=env, input=b"", capture_output=True, timeout=30)
        assert done.returncode == 77 and done.stdout == b""
        assert b"You are not logged in" in done.stderr and b"stint login" in done.stderr


def test_a_gateway_that_is_down(program, home):
    """Goal: the server serves, and the tools say what is wrong."""
    env = environment() | {"HOME": home, "CODER_URL": "http://127.0.0.1:1", "CODER_SESSION_TOKEN": "x-y"}
    with RawClient([program, "mcp", "server"], env) as client:
        client.initialize()
        text, is_error = client.call("coder_list_tasks")
        assert is_error and "cannot be asked" in text


# ---------------------------------------------------------------- the protocol

@pytest.fixture
def raw(cluster, program, home):
    with RawClient([program, "mcp", "server"], user_env(cluster, home)) as client:
        yield client


@pytest.mark.parametrize("wanted, given", [
    ("2024-11-05", "2024-11-05"), ("2025-03-26", "2025-03-26"), ("2025-06-18", "2025-06-18"),
    ("2025-11-25", "2025-11-25"), ("2030-01-01", "2025-11-25")])
def test_versions(raw, wanted, given):
    """Goal: the client's version when it is known, else the newest."""
    assert raw.initialize(wanted)["protocolVersion"] == given


def test_garbage(raw):
    """Goal: every bad line has its answer, and the next line is read."""
    raw.initialize("2025-06-18")
    for line, code in ((b"garbage\n", -32700), (b"\xff\xff\n", -32700), (b"{}\n", -32600),
                       (b"[]\n", -32600), (b"[1]\n", -32600), (b"\0\n", -32700),
                       (b'{"jsonrpc":"2.0","id":1,"method":"no"}\n', -32601),
                       (b"[" * 100000 + b"\n", -32700)):
        raw.send(line)
        assert raw.read()["error"]["code"] == code, line[:40]
    assert raw.ask("ping")["result"] == {}


def test_long_lines(raw):
    """Goal: 4 MiB fit, more does not, and what follows is read."""
    raw.initialize()
    limit = 4 << 20
    ping = b'{"jsonrpc":"2.0","id":"p","method":"ping"}'
    raw.send(ping + b" " * (limit - len(ping)) + b"\n")
    assert raw.read()["id"] == "p"
    raw.send(ping + b" " * (limit - len(ping) + 1) + b"\n")
    assert raw.read()["error"]["code"] == -32700
    raw.send(b"x" * (3 * limit) + b"\n" + ping + b"\n")
    assert raw.read()["error"]["code"] == -32700
    assert raw.read()["id"] == "p"


def test_many_at_once(raw):
    """Goal: a flood of calls is worked off, each answered once."""
    raw.initialize()
    n = 300
    for i in range(n):
        raw.send({"jsonrpc": "2.0", "id": f"c{i}", "method": "tools/call",
                  "params": {"name": "coder_get_authenticated_user", "arguments": {}}})
    answers = [raw.read(60) for _ in range(n)]
    assert {a["id"] for a in answers} == {f"c{i}" for i in range(n)}
    assert not any(text_of(a["result"])[1] for a in answers)


def test_ends(cluster, program, home):
    """Goal: ends with 0 at the end of stdin (what was asked is answered), and by SIGTERM."""
    env = user_env(cluster, home)
    with RawClient([program, "mcp", "server"], env) as client:
        client.send(b'{"jsonrpc":"2.0","id":1,"method":"initialize"}\n{"jsonrpc":"2.0","id":2,"method":'
                    b'"tools/call","params":{"name":"coder_get_authenticated_user"}}')  # no line end
        status, out, _ = client.end()
        assert status == 0 and [json.loads(line)["id"] for line in out.splitlines()] == [1, 2]
    with RawClient([program, "mcp", "server"], env) as client:
        client.initialize()
        started = time.monotonic()
        assert client.terminate() == 0
        assert time.monotonic() - started < 5


def test_allowed_tools_and_instructions(cluster, program, home):
    """Goal: CODER_MCP_ALLOWED_TOOLS and CODER_MCP_INSTRUCTIONS, and their flags before them."""
    env = user_env(cluster, home) | {"CODER_MCP_ALLOWED_TOOLS": "coder_list_tasks,coder_report_task,nope",
                                     "CODER_MCP_INSTRUCTIONS": "Be brief."}
    with RawClient([program, "mcp", "server"], env) as client:
        assert client.initialize()["instructions"] == "Be brief."
        assert client.tools() == ["coder_list_tasks"]
        assert "nope" in client.end()[2]
    flags = ["--allowed-tools", "coder_delete_task", "--instructions=Be long."]
    with RawClient([program, "mcp", "server", *flags], env) as client:
        assert client.initialize()["instructions"] == "Be long."
        assert client.tools() == ["coder_delete_task"]


# ---------------------------------------------------------------- official clients

def test_the_official_client_in_a_workspace(cluster, api, program, working, home):
    """Goal: the SDK's client lists and reports, and sees a wrong report as a tool's error."""
    done = run_sdk([program, "mcp", "server"], agent_env(cluster, working, home), [
        ["ping"], ["list"],
        ["call", "coder_report_task", {"summary": "By the SDK", "link": "", "state": "working"}],
        ["call", "coder_report_task", {"summary": "x", "link": "", "state": "busy"}],
        ["call", "coder_no_such_tool", {}]])
    ping, tools, reported, wrong, missing = done["results"]
    assert done["server"]["name"] == "Coder Agent" and ping == {}
    report = next(t for t in tools["tools"] if t["name"] == "coder_report_task")
    schema = report["inputSchema"]
    assert schema["required"] == ["summary", "link", "state"]
    assert schema["properties"]["state"]["enum"] == ["working", "complete", "idle", "failure"]
    assert schema["properties"]["summary"]["maxLength"] == 160
    assert text_of(reported) == ('{"message":"Thanks for reporting!"}', False)
    assert text_of(wrong)[1] is True
    assert missing["error"]["code"] == -32602
    wait_said(api, working, "By the SDK")


def test_the_official_client_of_a_user(cluster, program, home):
    """Goal: the SDK's client with a user's session."""
    done = run_sdk([program, "mcp", "server"], user_env(cluster, home), [
        ["list"], ["call", "coder_get_authenticated_user", {}], ["call", "coder_list_templates", {}]])
    tools, user, templates = done["results"]
    assert {t["name"] for t in tools["tools"]} == TASK_TOOLS | USER_TOOLS
    assert json.loads(text_of(user)[0])["username"] == "admin"
    assert "shell" in [t["name"] for t in json.loads(text_of(templates)[0])]


def test_the_inspector(cluster, api, program, working, home):
    """Goal: MCP Inspector's CLI lists and calls."""
    env = agent_env(cluster, working, home)
    tools = run_inspector([program, "mcp", "server"], env, "tools/list")
    assert "coder_report_task" in [t["name"] for t in tools["tools"]]
    result = run_inspector(
        [program, "mcp", "server"], env, "tools/call", "--tool-name", "coder_report_task",
        "--tool-arg", "summary=By the Inspector", "link=https://example.com", "state=working")
    assert text_of(result) == ('{"message":"Thanks for reporting!"}', False)
    wait_said(api, working, "By the Inspector")


# ---------------------------------------------------------------- configuring

def configure(program, env, *words):
    done = subprocess.run([program, "exp", "mcp", "configure", *words], env=env, capture_output=True,
                          text=True, timeout=30)
    assert done.stdout == ""
    return done


def test_configure_claude_code(program, home, tmp_path):
    """Goal: server, permission and prompts are in place; all else is kept; twice is once; no token in it."""
    project = tmp_path / "project"
    project.mkdir()
    config, md = tmp_path / ".claude.json", tmp_path / ".claude" / "CLAUDE.md"
    config.write_text(json.dumps({"numStartups": 3, "projects": {"/x": {"allowedTools": ["Bash"]}}}))
    env = environment() | {
        "HOME": home, "CODER_MCP_APP_STATUS_SLUG": "claude", "CODER_AGENT_SOCKET_PATH": "/run/a.sock",
        "CODER_MCP_AI_AGENTAPI_URL": "http://localhost:3284", "CODER_AGENT_TOKEN": "secret-token",
        "CODER_MCP_CLAUDE_SYSTEM_PROMPT": "Be good."}
    assert configure(program, env, "claude-code", str(project)).returncode == 0
    first = config.read_text(), md.read_text()
    assert configure(program, env, "claude-code", str(project)).returncode == 0
    assert (config.read_text(), md.read_text()) == first
    written = json.loads(first[0])
    assert written["numStartups"] == 3 and written["projects"]["/x"] == {"allowedTools": ["Bash"]}
    mine = written["projects"][str(project)]
    assert mine["allowedTools"] == ["mcp__coder__coder_report_task"]
    assert mine["mcpServers"] == {"coder": {
        "command": os.path.realpath(program), "args": ["exp", "mcp", "server"],
        "env": {"CODER_MCP_APP_STATUS_SLUG": "claude", "CODER_AGENT_SOCKET_PATH": "/run/a.sock",
                "CODER_MCP_AI_AGENTAPI_URL": "http://localhost:3284"}}}
    assert "secret-token" not in first[0]
    assert "coder_report_task" in first[1] and "<system-prompt>\nBe good.\n</system-prompt>\n" in first[1]
    assert config.stat().st_mode & 0o777 == 0o600 and md.stat().st_mode & 0o777 == 0o600
    md.write_text(first[1] + "# My own words\n")
    del env["CODER_MCP_APP_STATUS_SLUG"]
    assert configure(program, env, "claude-code", str(project)).returncode == 0
    assert md.read_text().endswith("</system-prompt>\n# My own words\n")
    assert "coder_report_task" not in md.read_text(), "who cannot report is not asked to"


def test_configure_says_what_is_wrong(program, home, tmp_path):
    """Goal: no directory, an unknown target, a file that is no JSON (and stays as it is)."""
    env = environment() | {"HOME": home}
    done = configure(program, env, "claude-code")
    assert done.returncode == 64 and "project directory is required" in done.stderr
    done = configure(program, env, "emacs")
    assert done.returncode == 64 and "claude-code" in done.stderr and "cursor" in done.stderr
    (tmp_path / ".claude.json").write_text("{oops")
    done = configure(program, env, "claude-code", "/tmp")
    assert done.returncode == 64 and ".claude.json" in done.stderr
    assert (tmp_path / ".claude.json").read_text() == "{oops"


def test_configure_the_others(program, home, tmp_path):
    """Goal: claude-desktop and cursor, beside other people's servers."""
    env = environment() | {"HOME": home}
    files = {"cursor": tmp_path / ".cursor" / "mcp.json",
             "claude-desktop": tmp_path / ".config" / "Claude" / "claude_desktop_config.json"}
    for target, path in files.items():
        path.parent.mkdir(parents=True)
        path.write_text('{"mcpServers": {"other": {"command": "x"}}}')
        assert configure(program, env, target).returncode == 0
        servers = json.loads(path.read_text())["mcpServers"]
        assert set(servers) == {"other", "coder"} and servers["coder"]["args"] == ["exp", "mcp", "server"]


def test_claude_code_finds_it(cluster, program, working, home, tmp_path):
    """Goal: the real Claude Code starts the server that was configured, and is connected to it."""
    prefix = npm.install(CLAUDE)
    project = tmp_path / "project"
    project.mkdir()
    env = agent_env(cluster, working, home)
    assert configure(program, env, "claude-code", str(project)).returncode == 0
    done = subprocess.run([os.path.join(prefix, "node_modules", ".bin", "claude"), "mcp", "list"], cwd=project,
                          env=env | {"DISABLE_AUTOUPDATER": "1"}, capture_output=True, text=True, timeout=120)
    line = next((line for line in done.stdout.splitlines() if line.startswith("coder:")), None)
    assert line and "Connected" in line, done.stdout + done.stderr


def test_the_patch_route_stays(cluster, api, working):
    """Goal: agents of Coder before 2.32 report without any of this."""
    client = api.with_token(token_of(cluster, working))
    client.patch("/workspaceagents/me/app-status",
                 {"app_slug": "shell", "state": "working", "message": "Old", "uri": ""}, expect=200)
    wait_said(api, working, "Old")
