# SPDX-License-Identifier: Apache-2.0
"""The command line `stint` against a real Stint: output for people and programs, exit statuses."""

import json
import os
import re

from lib import templates

CLUSTER = dict(workers=1)


def test_a_task_on_the_command_line(cluster, stint):
    """Goal: create, status, logs, send, pause, resume, delete, each as a person would."""
    made = stint("task", "create", "-t", "shell", "--name", "by-hand", "echo hello; echo world", "--watch")
    assert "hello" in made.stdout + made.stderr and "world" in made.stdout
    assert "\x1b[" not in made.stdout + made.stderr, "no colour off a terminal"
    status = json.loads(stint("task", "status", "by-hand", "-o", "json").stdout)
    assert (status["name"], status["status"], status["current_state"]["state"]) == (
        "by-hand", "active", "complete")
    assert "by-hand" in stint("task", "list").stdout
    assert stint("task", "list", "-q").stdout.split() == [status["id"]]
    assert [t["id"] for t in json.loads(stint("task", "list", "-o", "json").stdout)] == [status["id"]]
    logs = stint("task", "logs", "by-hand").stdout
    assert "hello" in logs and "echo hello" in logs
    assert "again" in stint("task", "send", "by-hand", "echo again", "--watch").stdout
    stint("task", "pause", "by-hand", "-y")
    assert json.loads(stint("task", "status", "admin/by-hand", "--json").stdout)["status"] == "paused"
    assert stint("task", "watch", "by-hand", check=None).returncode == 3
    stint("task", "resume", "by-hand", "-y")
    assert json.loads(stint("task", "status", status["id"], "--json").stdout)["status"] == "active"
    stint("task", "delete", "-y", "by-hand")
    assert stint("task", "list", "-q").stdout == ""
    assert stint("task", "status", "by-hand", check=None).returncode not in (0, 99)


def test_exit_statuses_say_how_it_ended(cluster, stint):
    """Goal: --watch: 0 complete, 1 failed."""
    stint("task", "create", "-t", "shell", "exit 0", "--watch", check=0)
    stint("task", "create", "-t", "shell", "exit 7", "--watch", check=1)


def test_prompts_from_elsewhere(cluster, stint, tmp_path):
    """Goal: --stdin, "-" and --file."""
    (tmp_path / "prompt.sh").write_text("echo from a file\n")
    for arguments, stdin in ((["--stdin"], "echo from a pipe\n"), (["-"], "echo from a dash\n"),
                             (["--file", "prompt.sh"], "")):
        out = stint("task", "create", "-t", "shell", *arguments, "--watch", stdin=stdin).stdout
        assert re.search("^from a (pipe|dash|file)$", out, re.M), out


def test_quiet_is_an_id(cluster, stint):
    """Goal: -q prints the id alone."""
    made = stint("task", "create", "-t", "shell", "-q", "echo hi").stdout
    assert re.fullmatch(r"[0-9a-f-]{36}\n", made)


def test_errors_are_sentences(cluster, stint):
    """Goal: each mistake has a status other than 0, one clear message on stderr, nothing on stdout."""
    for arguments, more in (
            (["task", "status", "no-such-task"], {}),
            (["task", "create", "-t", "no-such-template", "x"], {}),
            (["task", "create", "-t", "shell", "--name", "not ok", "x"], {}),
            (["task", "create", "-t", "shell", ""], {}),
            (["task", "list", "--status", "sleeping"], {}),
            (["task", "list", "-o", "xml"], {}),
            (["task", "list", "-c", "colour"], {}),
            (["task", "frobnicate"], {}), (["nonsense"], {}), (["task", "list", "--nonsense"], {}),
            (["task", "delete", "no-such-task", "-y"], {}),
            (["template", "push", "/nonexistent"], {}),
            (["task", "list"], {"STINT_TOKEN": "0123456789-" + "x" * 22}),
            (["task", "list"], {"STINT_URL": "http://127.0.0.1:1"}),
            (["task", "list"], {"STINT_URL": "not a url"})):
        done = stint(*arguments, check=None, **more)
        assert done.returncode not in (0, 99) and done.returncode > 0, (arguments, done)
        assert len(done.stderr) > 10 and done.stdout == "", (arguments, done)


def test_help_has_examples(cluster, stint):
    """Goal: --help of every command, with an example, without a gateway."""
    for command in (["task"], ["template"], ["login"], *(["task", c] for c in (
            "create", "list", "status", "logs", "send", "pause", "resume", "delete", "watch")),
            ["template", "push"], ["template", "list"]):
        done = stint(*command, "--help", token=None, STINT_URL="")
        assert "Usage:" in done.stdout and done.stderr == "", command
        if len(command) > 1:
            assert "$ stint " in done.stdout, command


def test_login_remembers(cluster, stint, tmp_path):
    """Goal: login with a token on stdin keeps url and token in a file nobody else can read."""
    token = cluster.session.tokens["bob"]
    stint("login", cluster.gateway.url, "--token-stdin", stdin=token + "\n", token=None, STINT_URL="")
    assert "bob" in stint("whoami", token=None, STINT_URL="").stdout
    kept = [os.path.join(d, f) for d, _, fs in os.walk(tmp_path) for f in fs]
    assert kept and all(os.stat(f).st_mode & 0o077 == 0 for f in kept)
    stint("logout", token=None, STINT_URL="")
    assert stint("task", "list", token=None, STINT_URL="", check=None).returncode != 0
    refused = stint("login", cluster.gateway.url, "--token-stdin", stdin="bad-token\n", token=None,
                    STINT_URL="", check=None)
    assert refused.returncode not in (0, 99) and len(refused.stderr) > 10


def test_push_a_template(cluster, stint, tmp_path):
    """Goal: push makes and then updates a template; a bad one is refused with the import's sentence
    and changes nothing."""
    directory = tmp_path / "mine"
    directory.mkdir()
    (directory / "template.yaml").write_text(templates.shell()["template.yaml"])
    stint("template", "push", str(directory))
    assert "mine" in stint("template", "list").stdout
    first = {t["name"]: t for t in json.loads(stint("template", "list", "--json").stdout)}["mine"]
    (directory / "template.yaml").write_text(templates.shell(description="better")["template.yaml"])
    stint("template", "push", str(directory))
    second = {t["name"]: t for t in json.loads(stint("template", "list", "--json").stdout)}["mine"]
    assert second["id"] == first["id"] and second["active_version_id"] != first["active_version_id"]
    (directory / "template.yaml").write_text(templates.shell(colour="red")["template.yaml"])
    refused = stint("template", "push", str(directory), check=None)
    assert refused.returncode not in (0, 99) and "colour" in refused.stderr
    third = {t["name"]: t for t in json.loads(stint("template", "list", "--json").stdout)}["mine"]
    assert third["active_version_id"] == second["active_version_id"]
    assert "there" in stint("task", "create", "-t", "mine", "echo there", "--watch").stdout
