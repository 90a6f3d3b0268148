# SPDX-License-Identifier: Apache-2.0
"""The command line on streams: told at once, undisturbed by gateways that die, ended by Ctrl-C."""

import json
import os
import pty
import re
import signal
import subprocess

import pytest

from lib.cluster import SANITIZER_ENVIRONMENT
from lib.wait import Stopwatch, wait_until

CLUSTER = dict(workers=1)

LINES = 'for i in $(seq 1 30); do echo "line $i"; sleep 0.1; done'


class Running:
    """A command that goes on; what it has written so far can be read."""

    def __init__(self, cluster, tmp_path, *arguments, terminal=False):
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "TERM": "xterm",
               "STINT_URL": cluster.gateway.url,
               "STINT_TOKEN": cluster.session.tokens["admin"]} | SANITIZER_ENVIRONMENT
        self.paths = [tmp_path / f"{len(os.listdir(tmp_path))}.{name}" for name in ("out", "err")]
        self.master = None
        with open(self.paths[0], "wb") as out, open(self.paths[1], "wb") as err:
            if terminal:
                self.master, slave = pty.openpty()
            self.popen = subprocess.Popen(
                [cluster.session.build.program("stint"), *arguments], env=env, cwd=tmp_path,
                stdin=subprocess.DEVNULL, stdout=slave if terminal else out, stderr=err)
            if terminal:
                os.close(slave)

    @property
    def out(self):
        if self.master is not None:
            with open(self.paths[0], "ab") as kept:
                kept.write(os.read(self.master, 65536))
        return self.paths[0].read_bytes().decode()

    @property
    def err(self):
        return self.paths[1].read_text()

    def until(self, pattern, deadline=20):
        wait_until(lambda: re.search(pattern, self.out), f"{pattern!r} is written", deadline,
                   say=lambda: (self.out, self.err))

    def wait(self, deadline=30):
        code = self.popen.wait(deadline)
        assert "Sanitizer" not in self.err and "runtime error:" not in self.err, self.err
        return code

    def drain(self):
        """What is still on its way from the terminal; the program has ended."""
        with open(self.paths[0], "ab") as kept:
            while True:
                try:
                    kept.write(os.read(self.master, 65536))
                except OSError:  # nobody holds the other end
                    return

    def interrupt(self):
        self.popen.send_signal(signal.SIGINT)
        return self.wait(10)


@pytest.fixture
def run(cluster, tmp_path):
    made = []

    def start(*arguments, **more):
        made.append(Running(cluster, tmp_path, *arguments, **more))
        return made[-1]

    yield start
    for one in made:
        if one.popen.poll() is None:
            one.popen.kill()
            one.popen.wait()
        if one.master is not None:
            os.close(one.master)


def restart_gateway(cluster):
    """kill -9, and back on the same port."""
    port = cluster.gateway.url.rsplit(":", 1)[1]
    cluster.gateway.kill()
    cluster.gateway.argv = [re.sub("^--port=.*", f"--port={port}", a) for a in cluster.gateway.argv]
    cluster.start_gateway()


def requests(api):
    lines = api.get("/metrics", prefix="", expect=200).text.splitlines()
    return int(next(x.split()[1] for x in lines if x.startswith("stint_gateway_requests_total ")))


def test_a_watch_outlives_the_gateway(cluster, run):
    """Goal: a gateway killed twice in mid-watch: each line once, in order, a word on stderr, and the
    exit status at the end."""
    watch = run("task", "create", "-t", "shell", LINES, "--watch")
    logs = None
    for line in (4, 14):
        watch.until(f"line {line}\n")
        if logs is None:
            name = re.search("The task (\\S+) has", watch.err).group(1)
            logs = run("task", "logs", "-f", name, "--json")
            logs.until("line 4")
        restart_gateway(cluster)
    assert watch.wait() == 0
    assert re.findall("^line (\\d+)$", watch.out, re.M) == [str(i) for i in range(1, 31)]
    assert "The connection to the gateway was lost, trying again." in watch.err
    assert "Connected again." in watch.err
    assert "complete" in watch.err.splitlines()[-1]
    cluster.api().pause(name)
    assert logs.wait() == 0
    said = {}
    for line in map(json.loads, logs.out.splitlines()):
        assert line["id"] >= max(said, default=-1), "in order"
        said[line["id"]] = line["content"] if line["type"] == "output" else ""
    text = "".join(said[i] for i in sorted(said))
    assert re.findall("^line (\\d+)$", text, re.M) == [str(i) for i in range(1, 31)]


def test_watching_is_not_asking(cluster, run, api):
    """Goal: five seconds of watching three ways cost a handful of requests, not one per look."""
    task = api.wait_complete(api.create(cluster.shell, "echo hello"))
    api.send(task, "sleep 2; echo later")
    watch = run("task", "logs", "-f", task["name"])
    listed = run("task", "list", "--watch")
    agent = run("task", "logs", "-f", task["name"], "--agent")
    watch.until("hello"), listed.until(task["name"])
    before = requests(api)
    watch.until("later\n")
    assert requests(api) - before <= 4
    for one in (watch, listed, agent):
        assert one.interrupt() == -signal.SIGINT


def test_news_come_at_once(cluster, run, api, stint):
    """Goal: what happens is seen within half a second."""
    task = api.wait_complete(api.create(cluster.shell, "echo hello"))
    listed = run("task", "list", "--watch", "--json")
    listed.until(task["id"])
    seen = len(listed.out.splitlines())
    clock = Stopwatch()
    api.pause(task)
    wait_until(lambda: len(listed.out.splitlines()) > seen, "the list moves", 5)
    assert clock.seconds < 1
    wait_until(lambda: json.loads(listed.out.splitlines()[-1])["status"] == "paused", "it is paused", 15)
    api.delete(f"/tasks/me/{task['id']}", expect=202)
    listed.until('"deleted": ?true')
    assert listed.interrupt() == -signal.SIGINT


def test_interrupts_leave_the_terminal_in_order(cluster, run, api):
    """Goal: Ctrl-C: the open line ended, no complaint, death by the signal; a table in a terminal
    that is drawn anew."""
    task = api.wait_complete(api.create(cluster.shell, "printf 'half a line'"))
    logs = run("task", "logs", "-f", task["name"])
    logs.until("half a line")
    assert logs.interrupt() == -signal.SIGINT
    assert logs.out.endswith("half a line\n") and logs.err == ""
    table = run("task", "list", "--watch", "-c", "name,status", terminal=True)
    table.until(f"{task['name']} +\\S*active")
    api.pause(task)
    table.until(f"\x1b\\[\\d+A\r[^~]*{task['name']} +\\S*paused")
    assert table.interrupt() == -signal.SIGINT
    table.drain()
    assert table.paths[0].read_text().rindex("\x1b[?7h") > table.paths[0].read_text().rindex("\x1b[?7l")


def test_status_is_watched(cluster, run, stint):
    """Goal: a line for each change, until it rests."""
    made = stint("task", "create", "-t", "shell", "-q", "sleep 1; exit 3").stdout.strip()
    watch = run("task", "status", made, "--watch", "--json")
    assert watch.wait() == 1
    lines = [json.loads(line) for line in watch.out.splitlines()]
    assert lines[-1]["current_state"]["state"] == "failed" and len(lines) > 1


def test_a_push_is_told_of_its_import(cluster, stint, tmp_path, api):
    """Goal: its lines as they come, without asking again and again."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "template.yaml").write_text('name: t\ncommand: ["true"]\n')
    before = requests(api)
    stint("template", "push", str(tmp_path / "t"))
    assert requests(api) - before <= 12


def test_options_of_a_task(cluster, stint, api):
    """Goal: priority, labels, time limit, idle timeout and earliest start reach the task, which is
    found by its labels and page by page; what is wrong is said before anything is asked."""
    api.create(cluster.shell, "echo another")
    out = stint("task", "create", "-t", "shell", "echo hi", "--priority", "7", "--label", "team=web",
                "--label", "n=1", "--time-limit", "90m", "--idle-timeout", "30m", "--start-after", "1h", "--json")
    task = json.loads(out.stdout)
    kept = api.get(f"/tasks/{task['id']}", prefix="/api/stint/v1", expect=200).json()
    assert (kept["priority"], kept["labels"], kept["time_limit_ms"], kept["ttl_ms"]) == (
        7, {"team": "web", "n": "1"}, 5400000, 1800000)
    assert kept["start_after"] and kept["status"] == "pending"
    assert stint("task", "list", "--label", "team=web", "--label", "n", "-q").stdout.split() == [task["id"]]
    assert stint("task", "list", "--label", "team=ops", "-q").stdout == ""
    first = stint("task", "list", "--limit", "1", "-q")
    cursor = re.search("--cursor (\\S+)", first.stderr).group(1)
    second = stint("task", "list", "--limit", "1", "--cursor", cursor, "-q")
    assert first.stdout.split() == [task["id"]] and second.stdout.split() not in ([], [task["id"]])
    queued = stint("queue")
    assert "of them other people's" in queued.stderr and "hold compute" in queued.stderr
    assert isinstance(json.loads(stint("queue", "--json").stdout), list)
    for wrong in (["--priority", "1000"], ["--priority", "x"], ["--label", "team"], ["--label", "=x"],
                  ["--time-limit", "soon"], ["--start-after", "yesterday"]):
        done = stint("task", "create", "-t", "shell", "echo hi", *wrong, check=None)
        assert done.returncode == 64 and done.stdout == "", (wrong, done)
