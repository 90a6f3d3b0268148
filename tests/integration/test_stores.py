# SPDX-License-Identifier: Apache-2.0
"""Redis and Postgres go away: nothing acknowledged is lost, and everything resumes."""

import os
import re
import subprocess

import pytest

from lib import sandboxes, templates
from lib.api import pack
from lib.cluster import environment
from lib.load import ONCE, Creates, assert_each_ran_once
from lib.wait import Stopwatch, stays, wait_until

N_TASKS, N_REPORTS = 20, 25
REPORTS = (f"echo up; until [ -e ~/go ]; do sleep 0.1; done; for i in $(seq {N_REPORTS}); do "
           '/opt/stint/bin/stint-agent report --state working --message "note $i" || echo "lost $i"; '
           "done; echo all said")


def reporters(cluster, api, n=N_TASKS):
    """Tasks that wait to say N_REPORTS things each."""
    tasks = [api.create(cluster.shell, REPORTS, name=f"talker-{i}") for i in range(n)]
    for task in tasks:
        api.wait_state(task, "working", deadline=60)
    return tasks


def let_go(cluster, tasks):
    for task in tasks:
        open(cluster.home(task, "go"), "w").close()


def notes(cluster, task):
    return [row[0] for row in cluster.sql(
        "SELECT s.message FROM app_statuses s JOIN agents a ON a.id = s.agent_id "
        "WHERE a.task_id = %s AND s.message LIKE 'note %%' ORDER BY s.seq", task["id"])]


def n_notes(cluster):
    return cluster.sql_one("SELECT count(*) FROM app_statuses WHERE message LIKE 'note %'")[0]


def assert_every_note_once(cluster, api, tasks, deadline=60):
    for task in tasks:
        task = api.wait_complete(task, deadline=deadline)
        assert task["current_state"]["message"] == "all said"
        assert "lost" not in api.output(task)
        assert notes(cluster, task) == [f"note {i}" for i in range(1, N_REPORTS + 1)], task["name"]
        seqs = [row[0] for row in cluster.sql(
            "SELECT seq FROM app_statuses s JOIN agents a ON a.id = s.agent_id "
            "WHERE a.task_id = %s AND seq > 0 ORDER BY s.created_at, seq", task["id"])]
        assert seqs == sorted(seqs)
        ids = [e["id"] for e in api.logs(task)["logs"]]
        assert ids == list(range(len(ids))), "no message of the conversation is missing"


def progress(cluster, n):
    wait_until(lambda: n_notes(cluster) >= n, f"{n} reports have arrived", 60, interval=0.01,
               say=lambda: n_notes(cluster))


def test_flushall_under_load(clusters):
    """Goal: 20 tasks report 25 times each while Redis is emptied again and again: every report is in
    Postgres once, in order."""
    cluster = clusters(workers=2)
    api = cluster.api()
    tasks = reporters(cluster, api)
    let_go(cluster, tasks)
    for n in (10, 60, 120, 200, 300, 400):
        progress(cluster, n)
        cluster.redis.client.flushall()
    assert_every_note_once(cluster, api, tasks)


def test_redis_restarts_under_load(clusters):
    """Goal: the same with Redis killed, away for a while, and back empty."""
    cluster = clusters(workers=2)
    api = cluster.api()
    tasks = reporters(cluster, api, 10)
    let_go(cluster, tasks)
    progress(cluster, 30)
    cluster.redis.kill()
    # What does not need Redis goes on: reads, creates, the agents' own work.
    other = api.create(cluster.shell, ONCE, name="meanwhile")
    wait_until(lambda: cluster.sandbox_processes(other["workspace_id"]), "it is started without Redis")
    for process in cluster.daemons:
        assert process.is_running(), process.name
    cluster.redis.start()
    assert_every_note_once(cluster, api, tasks)
    assert_each_ran_once(cluster, ["meanwhile"])


def test_a_poisoned_entry_blocks_nobody(clusters):
    """Goal: entries of the streams that are no reports are put aside; reports go on."""
    cluster = clusters(workers=1)
    api = cluster.api()
    redis = cluster.redis.client
    for stream, field in (("stint:reports", "r"), ("stint:logs", "l")):
        redis.xadd(stream, {field: b"\xff\xfe not a message"})
        redis.xadd(stream, {"other": b"x"})
        redis.xadd(stream, {field: b""})
        redis.xadd(stream, {field: b"\x0a\x10" + bytes(16)})
    task = api.wait_complete(api.create(cluster.shell, "echo well"))
    assert task["current_state"]["message"] == "well"
    redis.set("stint:logs:other", "x")
    redis.delete("stint:reports")
    redis.set("stint:reports", "not a stream at all")
    second = api.create(cluster.shell, "echo second")
    stays(lambda: cluster.scheduler.is_running(), "the scheduler", 1.0)
    redis.delete("stint:reports")
    assert api.wait_complete(second)["current_state"]["message"] == "second"


def test_strangers_on_the_channels(clusters):
    """Goal: nonsense on the pub/sub channel and in the change feed is ignored."""
    cluster = clusters(workers=1)
    redis = cluster.redis.client
    for data in (b"", b"x", b"y" * 17, b"z" * 10001, bytes(16), b"\xff" * 24, b"\xff" * 48):
        redis.publish("stint:watermark", data)
        redis.xadd("stint:changes", {"t": data, "w": data})
        redis.xadd("stint:changes", {data or "x": data})
    api = cluster.api()
    api.wait_complete(api.create(cluster.shell, "echo well"))


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_postgres_restarts_under_load(clusters, how):
    """Goal: Postgres shuts down fast, or crashes, in the middle of creates and reports, and comes
    back: every accepted task ends complete, ran once, and no report is lost."""
    cluster = clusters(workers=2)
    api = cluster.api()
    tasks = reporters(cluster, api, 6)
    with Creates(api, cluster.shell, 20) as creates:
        let_go(cluster, tasks)
        progress(cluster, 10)
        cluster.forget_sql()
        cluster.postgres.stop() if how == "stop" else cluster.postgres.kill()
        for process in cluster.daemons:
            assert process.is_running(), process.name
        cluster.postgres.start()
    assert len(creates.accepted) == 20, creates.refused
    wait_until(lambda: api.get("/tasks").status_code == 200, "reads are back", 15)
    assert_each_ran_once(cluster, creates.accepted, 90)
    assert_every_note_once(cluster, api, tasks)


def test_reads_and_writes_without_postgres(clusters):
    """Goal: while Postgres is away the API says so with a 5xx and a sentence, quickly, and recovers."""
    cluster = clusters(workers=1)
    api = cluster.api()
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    cluster.forget_sql()
    cluster.postgres.stop()
    try:
        watch = Stopwatch()
        answer = api.create(cluster.shell, "echo no", expect=(500, 502, 503, 504), timeout=60)
        assert answer.json()["message"]
        answer = api.get("/tasks", expect=(200, 500, 502, 503, 504), timeout=60)
        assert watch.seconds < 45
        assert cluster.sandbox_processes(task["workspace_id"]), "agents do not care"
    finally:
        cluster.postgres.start()
    wait_until(lambda: api.get(f"/tasks/me/{task['id']}").status_code == 200, "reads are back", 15)
    wait_until(lambda: isinstance(api.create(cluster.shell, "echo yes", expect=None), dict),
               "creates are back", 15, interval=0.2)


# ---------------------------------------------------------------- not there at start

DAEMONS = {
    "scheduler": ["database_url", "redis_url"],
    "gateway": ["database_url", "redis_url"],
    "worker": ["redis_url"],
}


@pytest.mark.parametrize("part, missing", [(p, m) for p, ms in DAEMONS.items() for m in ms])
def test_a_store_that_is_not_there_at_start(clusters, part, missing):
    """Goal: a daemon whose Postgres or Redis does not answer says so in a line that names it, and
    either waits (and becomes ready when it comes) or ends with a status of its own; never silence,
    never a crash."""
    cluster = clusters(start=False)
    cluster.create_database()
    cluster.redis.start()
    process = {"scheduler": cluster.schedulers[0], "gateway": cluster.gateways[0],
               "worker": cluster.workers[0]}[part]
    process.env[f"STINT_{missing.upper()}"] = {
        "database_url": f"postgresql://stint@/nothing?host={cluster.directory}/nowhere",
        "redis_url": f"unix://{cluster.directory}/nowhere.sock"}[missing]
    process.start()
    word = {"database_url": "(?i)level=(warn|error).*(postgres|database)",
            "redis_url": "(?i)level=(warn|error).*redis"}[missing]
    wait_until(lambda: re.search(word, process.log()), "it says what is missing", 15, say=process.log)
    if not process.is_running():
        assert process.wait_exit() in (69, 70, 78)


@pytest.mark.parametrize("part", ["scheduler", "gateway", "worker"])
def test_settings_that_are_wrong(clusters, part):
    """Goal: unknown flags, values out of range and missing settings end a daemon at once with a
    usage status and a sentence; --help and --print-config work without anything."""
    cluster = clusters(start=False)
    program = cluster.session.build.program(f"stint-{part}")

    def run(*arguments, **settings):
        return subprocess.run([program, *arguments], env=environment(**settings), timeout=30,
                              capture_output=True, text=True)

    for arguments, word in ((["--no-such-flag"], "no-such-flag"), (["--log-level=loud"], "loud"),
                            (["--log-level"], "log-level"), (["no-such-command"], "no-such-command"),
                            (["--config=/nonexistent/file"], "/nonexistent/file")):
        done = run(*arguments, database_url="x", redis_url="unix:///x", scheduler_url="ipc:///x",
                   data_dir=cluster.data_dir, listen=cluster.bus_urls[0])
        assert done.returncode in (64, 66, 74, 78), (arguments, done)
        assert word in done.stderr.replace("_", "-"), (arguments, done)
    assert run().returncode in (64, 78), "without its urls it cannot run"
    for arguments in (["--help"], ["--version"]):
        done = run(*arguments)
        assert done.returncode == 0 and done.stdout, (arguments, done)
    done = run("--print-config", database_url="postgresql://u:hunter2@/x", redis_url="redis://:hunter2@h:1",
               scheduler_url="ipc:///x", data_dir="/x", listen="ipc:///x")
    assert done.returncode == 0 and "hunter2" not in done.stdout + done.stderr


def test_taken_places(clusters):
    """Goal: a second gateway on the same port and a second scheduler on the same socket end with a
    sentence that says what to do; the first ones are not disturbed."""
    cluster = clusters(workers=0)
    port = cluster.gateway.url.rsplit(":", 1)[1]
    second = cluster.process("gateway-second", "stint-gateway", [f"--port={port}"],
                             scheduler_url=cluster.bus_urls[0], database_url=cluster.database_url,
                             redis_url=cluster.redis.url)
    second.start()
    assert second.wait_exit() not in (0, 99)
    assert port in second.log(), second.log()

    twin = cluster.process("scheduler-second", "stint-scheduler", [f"--listen={cluster.bus_urls[0]}"],
                           database_url=cluster.database_url, redis_url=cluster.redis.url)
    twin.start()
    assert twin.wait_exit() not in (0, 99)
    assert "s0.sock" in twin.log(), twin.log()
    assert cluster.queue()["cap"] == 1000
    assert cluster.api().me()["username"] == "admin"


def test_a_socket_left_over_by_the_dead(clusters):
    """Goal: after a kill -9 the socket file is no obstacle."""
    cluster = clusters(workers=1)
    cluster.scheduler.kill()
    cluster.start_scheduler()
    assert cluster.queue()["cap"] == 1000


def test_a_full_disk(clusters):
    """Goal: a worker whose disk is full fails the job with a sentence that says so, and works
    again when there is room.  Method: a tiny tmpfs for data_dir."""
    cluster = clusters(workers=0, start=False)
    disk = os.path.join(cluster.directory, "disk")
    os.mkdir(disk)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", disk],
                             capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr}")
    try:
        # Sandboxes are known by their path inside that file system.
        unique = os.urandom(4).hex()
        cluster.data_dir = os.path.join(disk, unique)
        cluster.marker = f"/{unique}/workspaces/"
        os.mkdir(cluster.data_dir)
        cluster.start()
        worker = cluster.add_worker()
        api = cluster.api()
        too_big = pack(templates.shell() | {"big": os.urandom(6 << 20)})
        job = api.import_version(too_big, deadline=60)["job"]
        assert job["status"] == "failed"
        assert re.search(r"(?i)space|full|disk", job["error"]), job["error"]
        shell = api.push_template("shell", templates.shell())
        api.wait_complete(api.create(shell, "echo room again"))
        worker.stop()
        sandboxes.kill_all(cluster.marker)
    finally:
        subprocess.run(["umount", "-l", disk], check=False)
