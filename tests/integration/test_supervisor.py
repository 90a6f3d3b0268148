# SPDX-License-Identifier: Apache-2.0
"""What the agent runs for a template: scripts at start, at stop and by the clock, apps, metadata;
and how it ends."""

import itertools
import os
import signal

from lib import templates
from lib.talk import exists, lines, remove, touch, wait_rest
from lib.wait import Stopwatch, stays, wait_until

CLUSTER = dict(workers=1)

_numbers = itertools.count(1)


def push(api, **keys):
    return api.push_template(f"made-{next(_numbers)}", templates.shell(**keys))


def script(name, command, run="start", **keys):
    return {"name": name, "run": run, "command": ["bash", "-c", command]} | keys


UNTIL = "until [ -e ~/{0} ]; do sleep 0.1; done"


def pause(api, task, deadline=40):
    api.pause(task)
    api.wait_status(task, "paused", deadline=deadline)


# ---------------------------------------------------------------- start scripts


def test_blocking_scripts_run_in_order_before_the_task(cluster, api):
    """Goal: each blocking start script begins when the one before has ended; until the last one has,
    the agent is `starting`, the task `initializing`, and the prompt is not run; then `ready`."""
    template = push(api, scripts=[
        script("one", "echo one >> ~/order; " + UNTIL.format("go-one") + "; echo one-over >> ~/order",
               blocking=True),
        script("two", "echo two >> ~/order; " + UNTIL.format("go-two") + "; echo two-over >> ~/order",
               blocking=True)])
    task = api.create(template, "echo prompt >> ~/order; echo done")
    wait_until(lambda: lines(cluster, task, "order") == ["one"], "the first script runs")
    wait_until(lambda: api.task(task)["workspace_agent_lifecycle"] == "starting", "it is starting")
    assert api.task(task)["status"] == "initializing"
    stays(lambda: lines(cluster, task, "order") == ["one"], "the first script alone", 0.5)
    touch(cluster, task, "go-one")
    wait_until(lambda: lines(cluster, task, "order") == ["one", "one-over", "two"], "the second runs")
    assert api.task(task)["workspace_agent_lifecycle"] == "starting"
    touch(cluster, task, "go-two")
    task = api.wait_complete(task)
    assert task["workspace_agent_lifecycle"] == "ready"
    assert lines(cluster, task, "order") == ["one", "one-over", "two", "two-over", "prompt"]


def test_a_script_that_does_not_block(cluster, api):
    """Goal: the workspace is ready while the script still runs."""
    template = push(api, scripts=[script("slow", UNTIL.format("go") + "; echo over")])
    task = api.wait_complete(api.create(template, "echo done"))
    assert task["workspace_agent_lifecycle"] == "ready"
    assert ("slow", "info", "over") not in api.agent_logs(task)
    touch(cluster, task, "go")
    api.wait_agent_log(task, "slow", "over")


def test_a_start_script_that_fails(cluster, api):
    """Goal: `start_error`, unhealthy with Coder's reason, the later scripts and the task go on, and
    the log says which one it was."""
    template = push(api, scripts=[script("broken", "echo before; exit 7", blocking=True),
                                  script("next", "echo next ran", blocking=True)])
    task = api.wait_complete(api.create(template, "echo done"))
    assert task["workspace_agent_lifecycle"] == "start_error"
    assert task["workspace_agent_health"] == {
        "healthy": False, "reason": "agent startup script exited with an error"}
    api.wait_agent_log(task, "broken", "before")
    api.wait_agent_log(task, "next", "next ran")
    assert any("7" in line for _, _, line in api.agent_logs(task)), api.agent_logs(task)


def test_a_start_script_that_takes_too_long(cluster, api):
    """Goal: `start_timeout` after the script's own timeout; the script is ended, children too."""
    template = push(api, scripts=[script("endless", "trap '' TERM; echo up; (" + UNTIL.format("never") + ") & wait; "
                                         + UNTIL.format("never"), blocking=True, timeout="1s")])
    watch = Stopwatch()
    task = api.wait_complete(api.create(template, "echo done"))
    assert task["workspace_agent_lifecycle"] == "start_timeout"
    assert watch.seconds > 1
    wait_until(lambda: len(cluster.sandbox_processes(task["workspace_id"])) <= 2,
               "the script's processes are gone", 20,
               say=lambda: cluster.sandbox_processes(task["workspace_id"]))


def test_the_environment_of_scripts(cluster, api):
    """Goal: what Coder's scripts rely on is set, `coder` is found, the task's directory is theirs."""
    template = push(api, env=[{"name": "FROM_TEMPLATE", "value": "yes"}], scripts=[
        script("look", "env > ~/env; command -v coder; pwd; stat -c %U ~/env", blocking=True)])
    task = api.wait_complete(api.create(template, "echo done"))
    env = dict(line.split("=", 1) for line in lines(cluster, task, "env") if "=" in line)
    assert env["CODER"] == "true" and env["CODER_WORKSPACE_AGENT_NAME"] == "main"
    assert env["CODER_TASK_ID"] == task["id"] and env["CODER_WORKSPACE_ID"] == task["workspace_id"]
    assert env["CODER_MCP_APP_STATUS_SLUG"] == "shell" and env["FROM_TEMPLATE"] == "yes"
    assert env["CODER_AGENT_SOCKET_PATH"].startswith("/") and env["HOME"] == "/home/agent"
    assert env["PATH"].split(":")[:2] == ["/home/agent/.local/bin", "/opt/stint/bin"]
    said = [line for source, _, line in api.agent_logs(task) if source == "look"]
    assert said == ["/opt/stint/bin/coder", "/home/agent", "agent"], said


# ---------------------------------------------------------------- stop scripts


def test_stop_scripts_run_within_the_grace(cluster, api):
    """Goal: a pause runs them, in order, while the app is still there; their output is kept."""
    template = push(api, grace="10s", scripts=[
        script("save", "echo saving; echo saved >> ~/stopped", "stop"),
        script("later", "echo later >> ~/stopped", "stop")])
    task = api.wait_complete(api.create(template, "echo done"))
    agent_id = api.agent(task)["id"]
    pause(api, task)
    assert sorted(lines(cluster, task, "stopped")) == ["later", "saved"]
    api.wait_agent_log(task, "save", "saving", agent_id=agent_id)
    lifecycle = cluster.sql_one("SELECT lifecycle FROM agents WHERE id = %s", agent_id)[0]
    assert lifecycle == "off"


def test_a_stop_script_that_fails_or_hangs(cluster, api):
    """Goal: shutdown_error, shutdown_timeout; the pause succeeds all the same, within the grace."""
    for command, keys, lifecycle in (("exit 3", {}, "shutdown_error"),
                                     ("trap '' TERM; " + UNTIL.format("never"), {"timeout": "1s"},
                                      "shutdown_timeout"),
                                     ("trap '' TERM; " + UNTIL.format("never"), {}, None)):
        template = push(api, grace="4s", scripts=[script("bad", command, "stop", **keys)])
        task = api.wait_complete(api.create(template, "echo done"))
        agent_id = api.agent(task)["id"]
        watch = Stopwatch()
        pause(api, task)
        assert watch.seconds < 15, command
        assert not cluster.sandbox_processes(task["workspace_id"])
        if lifecycle:
            wait_until(lambda: cluster.sql_one(
                "SELECT lifecycle FROM agents WHERE id = %s", agent_id)[0] == lifecycle, lifecycle,
                say=lambda: cluster.sql_one("SELECT lifecycle FROM agents WHERE id = %s", agent_id))


def test_a_start_script_that_ignores_sigterm(cluster, api):
    """Goal: a pause in the middle of it succeeds, at the latest when the grace is over."""
    template = push(api, grace="2s", scripts=[
        script("deaf", "trap '' TERM INT HUP; touch ~/deaf; " + UNTIL.format("never"), blocking=True)])
    task = api.create(template, "echo never >> ~/ran")
    wait_until(lambda: exists(cluster, task, "deaf"), "the script runs")
    wait_until(lambda: api.task(task)["status"] == "initializing" and api.task(task)["workspace_status"] == "running",
               "its start build is over", say=lambda: api.task(task))
    watch = Stopwatch()
    pause(api, task)
    assert watch.seconds < 15
    assert not cluster.sandbox_processes(task["workspace_id"])
    assert lines(cluster, task, "ran") == []


# ---------------------------------------------------------------- by the clock


def test_a_cron_script(cluster, api):
    """Goal: `* * * * *` runs at the turn of the minute, its output is in the agent's log."""
    template = push(api, scripts=[script("ticks", "date +%S >> ~/ticks; echo tick", "cron", cron="* * * * *")])
    task = api.wait_complete(api.create(template, "echo done"))
    wait_until(lambda: lines(cluster, task, "ticks"), "it has run", 75, interval=0.5)
    assert int(lines(cluster, task, "ticks")[0]) <= 10, "at the turn of the minute"
    api.wait_agent_log(task, "ticks", "tick")


def test_metadata(cluster, api):
    """Goal: what a command prints is the value, newest first; one that fails or hangs has an error."""
    template = push(api, metadata=[
        {"key": "count", "display_name": "Count", "interval": "1s", "timeout": "5s",
         "command": ["bash", "-c", "echo x >> ~/count; wc -l < ~/count"]},
        {"key": "broken", "interval": "1s", "command": ["bash", "-c", "echo no; exit 5"]},
        {"key": "endless", "interval": "1s", "timeout": "200ms", "command": ["bash", "-c", UNTIL.format("never")]},
        {"key": "long", "interval": "1s", "command": ["bash", "-c", "head -c 5000 /dev/zero | tr '\\0' x"]}])
    task = api.wait_complete(api.create(template, "echo done"))

    def values():
        return {m["key"]: m for m in api.agent(task)["metadata"]}

    def count():
        return int(values().get("count", {"value": ""})["value"].strip() or 0)

    wait_until(lambda: len(values()) == 4, "each has been told", say=values)
    seen = count()
    wait_until(lambda: count() > seen, "it is told anew", say=values)
    assert values()["count"]["error"] == ""
    wait_until(lambda: "5" in values()["broken"]["error"], "its error is told", say=values)
    assert values()["endless"]["error"] != ""
    assert len(values()["long"]["value"]) == 2048


# ---------------------------------------------------------------- logs


def test_script_logs_over_rest(cluster, api):
    """Goal: lines in order, with their source and id; ?after= leaves out what is known; what is no
    text does no harm; stderr is there too."""
    template = push(api, scripts=[
        script("talks", "for i in $(seq 50); do echo line $i; done; echo to stderr >&2; "
                        "printf 'bad \\377 \\0 byte\\n'; head -c 3000 /dev/zero | tr '\\0' y; echo; "
                        "printf 'no newline at the end'", blocking=True)])
    task = api.wait_complete(api.create(template, "echo done"))
    api.wait_agent_log(task, "talks", "no newline at the end")
    said = [line for source, _, line in api.agent_logs(task) if source == "talks"]
    assert [line for line in said if line.startswith("line ")] == [f"line {i}" for i in range(1, 51)]
    assert "to stderr" in said
    assert max(len(line.encode()) for line in said) <= 1024
    assert sum(line.count("y") for line in said if set(line) == {"y"}) == 3000
    agent_id = api.agent(task)["id"]
    rows = api.get(f"/workspaceagents/{agent_id}/logs", expect=200).json()
    after = api.get(f"/workspaceagents/{agent_id}/logs?after={rows[9]['id']}", expect=200).json()
    assert after == rows[10:]
    cluster.api("bob").get(f"/workspaceagents/{agent_id}/logs", expect=404)


def test_a_script_that_talks_too_much(cluster, api):
    """Goal: at most 1 MiB per agent is kept, with a line that says so; the script goes on."""
    template = push(api, scripts=[
        script("flood", "yes 0123456789012345678901234567890123456789 | head -c 3000000; touch ~/over",
               blocking=True)])
    task = api.wait_complete(api.create(template, "echo done"), deadline=60)
    assert exists(cluster, task, "over")
    [(size,)] = cluster.sql("SELECT sum(length(output)) FROM agent_logs WHERE agent_id = %s",
                            api.agent(task)["id"])
    assert 500_000 < size <= 1_050_000
    last = api.agent_logs(task)[-1][2]
    assert "0123456789" not in last and len(last) > 10, last


# ---------------------------------------------------------------- apps


def test_a_crashed_app_is_started_again(cluster, api):
    """Goal: with back-off: 1 s, 2 s, ...; restart: never means never; one that ends well under
    on-failure stays down."""
    app = ["bash", "-c", 'date +%s.%N >> ~/starts; echo "app start" >&2; exit 9']
    template = push(api, apps=[
        {"slug": "crashes", "command": app, "restart": "on-failure"},
        {"slug": "once", "command": ["bash", "-c", "echo x >> ~/once; exit 9"], "restart": "never"},
        {"slug": "well", "command": ["bash", "-c", "echo x >> ~/well; exit 0"], "restart": "on-failure"},
        {"slug": "always", "command": ["bash", "-c", "echo x >> ~/always; exit 0"], "restart": "always"}])
    task = api.wait_complete(api.create(template, "echo done"))
    wait_until(lambda: len(lines(cluster, task, "starts")) >= 4, "it was started again", 30)
    at = [float(line) for line in lines(cluster, task, "starts")]
    gaps = [b - a for a, b in zip(at, at[1:])]
    assert gaps[0] >= 0.9 and gaps[1] >= 1.8 and gaps[2] >= 3.6, gaps
    api.wait_agent_log(task, "crashes", "app start")
    assert len(lines(cluster, task, "once")) == 1 and len(lines(cluster, task, "well")) == 1
    assert len(lines(cluster, task, "always")) >= 2


def test_apps_are_ended_with_the_workspace(cluster, api):
    """Goal: an app gets SIGTERM and the grace; one that ignores it is gone after the grace."""
    template = push(api, grace="3s", apps=[
        {"slug": "polite", "command": ["bash", "-c", "trap 'echo bye > ~/bye; exit 0' TERM; touch ~/up; "
                                       + UNTIL.format("never")]},
        {"slug": "deaf", "command": ["bash", "-c", "trap '' TERM; " + UNTIL.format("never")]}])
    task = api.wait_complete(api.create(template, "echo done"))
    wait_until(lambda: exists(cluster, task, "up"), "the apps run")
    watch = Stopwatch()
    pause(api, task)
    assert watch.seconds < 15
    assert lines(cluster, task, "bye") == ["bye"]
    assert not cluster.sandbox_processes(task["workspace_id"])


HEALTH = {"url": "http://localhost:8123/", "interval": "1s", "threshold": 2}
SERVER = ("while :; do " + UNTIL + "; python3 -m http.server 8123 --bind 127.0.0.1; done")


def test_health_of_an_app(cluster, api):
    """Goal: initializing until the first success, healthy, unhealthy after `threshold` failures in a
    row, healthy again after one success; the task's own app makes the task initializing and error."""
    template = push(api, app={"slug": "shell", "display_name": "Shell", "health": HEALTH},
                    scripts=[script("server", SERVER.format("go"))])
    task = api.create(template, "echo done")
    api.wait_agent(task, lambda a: a["lifecycle"] == "ready", "ready")
    assert api.app(task, "shell")["health"] == "initializing"
    assert api.task(task)["status"] == "initializing"
    touch(cluster, task, "go")
    api.wait_health(task, "shell", "healthy")
    api.wait_complete(task)
    # The server goes away, and for a while it cannot come back.
    kill_program(cluster, task, "-m\0http.server", before=lambda: remove(cluster, task, "go"))
    api.wait_health(task, "shell", "unhealthy")
    api.wait_status(task, "error")
    touch(cluster, task, "go")
    api.wait_health(task, "shell", "healthy")
    api.wait_status(task, "active")


def kill_program(cluster, task, word, before=lambda: None):
    """kill -9 the process of the sandbox that has `word` in its arguments, which end with NULs."""

    def look():
        for pid in cluster.sandbox_processes(task["workspace_id"]):
            with open(f"/proc/{pid}/cmdline") as f:
                if word in f.read():
                    return pid
        return None

    pid = wait_until(look, f"{word} runs")
    before()
    os.kill(pid, signal.SIGKILL)


def test_an_app_without_a_health_check(cluster, api):
    """Goal: `disabled`, which counts as well."""
    template = push(api, apps=[{"slug": "plain", "command": ["bash", "-c", UNTIL.format("never")]}])
    task = api.wait_complete(api.create(template, "echo done"))
    assert {a["slug"]: a["health"] for a in api.agent(task)["apps"]} == {
        "shell": "disabled", "plain": "disabled"}


# ---------------------------------------------------------------- reports


# Four processes that report as fast as they are answered.  Each connection takes one report.
FLOOD = """
import json, os, socket, sys, time
n, started = int(sys.argv[1]), time.monotonic()
children = []
for child in range(4):
    pid = os.fork()
    if pid:
        children.append(pid)
        continue
    for i in range(n // 4):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.environ["STINT_AGENT_SOCKET"])
            line = {"op": "report", "state": "working", "message": f"flood {child} {i}"}
            s.sendall(json.dumps(line).encode() + b"\\n")
            answer = s.makefile().readline()
            if json.loads(answer) != {"ok": True}:
                os._exit(1)
    os._exit(0)
failed = sum(os.waitpid(pid, 0)[1] != 0 for pid in children)
with socket.socket(socket.AF_UNIX) as s:
    s.connect(os.environ["STINT_AGENT_SOCKET"])
    s.sendall(b'{"op": "report", "state": "working", "message": "flood last"}\\n')
    s.makefile().readline()
print(f"flooded: {failed} failed, {n / (time.monotonic() - started):.0f}/s", flush=True)
"""


def test_a_flood_of_reports(cluster, api):
    """Goal: 20,000 reports as fast as they go: each is taken, few go on, the newest one is what the
    task shows, and another task's reports are all there in time."""
    template = api.push_template("flood", templates.shell() | {"flood.py": FLOOD})
    other = api.wait_state(api.create(
        cluster.shell, "echo up; " + UNTIL.format("go") + "; for i in $(seq 20); do "
        f"{templates.AGENT} report --state working --message \"calm $i\"; done; echo said"), "working")
    task = api.create(template, "python3 /opt/template/flood.py 20000; " + UNTIL.format("end"))
    wait_until(lambda: (api.task(task)["current_state"] or {}).get("message", "").startswith("flood"),
               "the flood has begun", 30)
    touch(cluster, other, "go")
    api.wait_complete(other, deadline=30)
    calm = [row[0] for row in cluster.sql(
        "SELECT s.message FROM app_statuses s JOIN agents a ON a.id = s.agent_id "
        "WHERE a.task_id = %s AND s.message LIKE 'calm %%' ORDER BY seq", other["id"])]
    assert calm == [f"calm {i}" for i in range(1, 21)]
    wait_until(lambda: "flooded: " in api.output(task), "the flood is over", 60,
               say=lambda: api.output(task))
    print(api.output(task))
    assert "flooded: 0 failed" in api.output(task)
    wait_until(lambda: api.task(task)["current_state"]["message"] == "flood last", "the newest is shown",
               say=lambda: api.task(task)["current_state"])
    [(n,)] = cluster.sql("SELECT count(*) FROM app_statuses s JOIN agents a ON a.id = s.agent_id "
                         "WHERE a.task_id = %s AND s.message LIKE 'flood %%'", task["id"])
    assert n <= 200 + 20 * 60, f"{n} of 20000 went on"
    touch(cluster, task, "end")
    wait_rest(api, task)


def test_reports_for_an_app_by_its_slug(cluster, api):
    """Goal: a report names any app of the template; another slug is refused with the list of them."""
    template = push(api, apps=[{"slug": "preview", "command": ["bash", "-c", UNTIL.format("never")]}])
    task = api.wait_complete(api.create(
        template, f"{templates.AGENT} report --slug preview --state working --message 'up and running'; "
                  f"{templates.AGENT} report --slug nothing --state working --message x && echo TAKEN; echo end"))
    rows = cluster.sql("SELECT slug, message FROM app_statuses s JOIN agents a ON a.id = s.agent_id "
                       "WHERE a.task_id = %s ORDER BY seq", task["id"])
    assert ("preview", "up and running") in rows
    said = api.output(task)
    assert "TAKEN" not in said and "preview" in said and "shell" in said, said
    assert task["current_state"]["message"] == "end"
