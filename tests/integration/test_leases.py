# SPDX-License-Identifier: Apache-2.0
"""Leases with real processes: a dead worker's job runs elsewhere, a stopped one that wakes is refused,
a job that kills its workers is given up.

A start is held in its middle by a gate: the program that the sandbox runs as its agent waits for a
file before it becomes the agent.
"""

import os
import shutil
import time

import pytest

from lib import templates
from lib.api import OWN
from lib.wait import wait_until

# Below what is usual, so that the tests need not wait long; a machine that is busy for longer than
# that costs a try, and there are enough.
LEASE_S = 3
GATE = """#!/bin/sh
while [ ! -e /opt/real/open ]; do sleep 0.05; done
exec /opt/real/stint-agent "$@"
"""


@pytest.fixture(scope="module")
def cluster(session, tmp_path_factory):
    directory = tmp_path_factory.mktemp("real")
    for path in (directory, *directory.parents[:3]):
        path.chmod(0o755)
    shutil.copy(session.build.program("stint-agent"), directory / "stint-agent")
    gate = directory / "gate"
    gate.write_text(GATE)
    gate.chmod(0o755)
    cluster = session.cluster("leases", workers=2, schedulers=2,
                              scheduler={"lease": f"{LEASE_S}s", "heartbeat": "500ms", "retry": "100ms"},
                              worker={"agent_path": str(gate), "mounts": f"real={directory}"})
    cluster.gate = directory / "open"
    cluster.gate.touch()
    cluster.start()
    cluster.shell = cluster.api().push_template(
        "gated", templates.shell(mounts=[{"name": "real", "to": "/opt/real"}]))
    yield cluster
    session.close_cluster(cluster)


@pytest.fixture(autouse=True)
def whole(cluster):
    """Each test begins with two workers, and with the gate open."""
    cluster.gate.touch()
    yield
    cluster.gate.touch()
    for worker in cluster.workers:
        if not worker.is_running():
            cluster.start_worker(worker)


def begin(cluster, api, prompt):
    """A task whose start is in its middle; the job's id and the worker that has it."""
    cluster.gate.unlink(missing_ok=True)
    task = api.create(cluster.shell, prompt)
    wait_until(lambda: cluster.sandbox_processes(task["workspace_id"]), "a sandbox waits at the gate", 60)
    [(job_id,)] = cluster.sql(
        "SELECT job_id::text FROM builds WHERE workspace_id = %s AND build_number = 1", task["workspace_id"])
    return task, job_id


def holder(cluster, job_id):
    """Who has the job, the lease's token, how long ago Postgres has heard of him last."""
    row = cluster.sql_one(
        "SELECT w.name, j.token, extract(epoch FROM clock_timestamp() - w.last_seen_at)::float8 "
        "FROM jobs j JOIN workers w ON w.id = j.worker_id WHERE j.id = %s", job_id)
    return row and (cluster.workers[int(row[0].removeprefix("w"))], row[1], row[2])


def wait_moved(cluster, job_id, was, deadline=60):
    return wait_until(lambda: (h := holder(cluster, job_id)) and h[0] is not was and h,
                      f"another worker than {was.name} has the job", deadline)


def shown(api, job_id):
    return api.get(f"/jobs/{job_id}", prefix=OWN, expect=200).json()


def runs(cluster, task):
    """How often the prompt has run."""
    return len(cluster.read_home(task, "runs").split())


def refused(cluster):
    return sum(s.metric("stint_stale_results_total") for s in cluster.schedulers) + sum(
        w.metric("stint_worker_jobs_abandoned_total") for w in cluster.workers)


def test_a_dead_workers_job_runs_elsewhere(cluster, api):
    """Goal: kill -9 in the middle of a start; another worker of the host has it once the lease is over,
    and ends it: one sandbox, one run of the prompt."""
    task, job_id = begin(cluster, api, "echo once >>runs")
    was, token, _ = holder(cluster, job_id)
    was.kill()
    killed = time.monotonic()
    _, new_token, _ = wait_moved(cluster, job_id, was)
    print(f"given to another {time.monotonic() - killed:.2f} s after the kill, lease {LEASE_S} s")
    assert new_token > token
    cluster.gate.touch()
    api.wait_complete(task, deadline=90)
    assert runs(cluster, task) == 1
    assert shown(api, job_id)["attempts"] >= 2
    api.remove(task)


def test_a_stopped_worker_that_wakes_is_refused(cluster, api):
    """Goal: SIGSTOP in the middle of a start, the other worker takes over and finishes, SIGCONT: what the
    first one has to say is refused, with a metric and a word in the log, and it touches nothing."""
    task, job_id = begin(cluster, api, "echo once >>runs; sleep 3600")
    was, token, _ = holder(cluster, job_id)
    before = refused(cluster)
    was.freeze()
    try:
        wait_moved(cluster, job_id, was)
        cluster.gate.touch()
        api.wait_status(task, "active", deadline=90)
        wait_until(lambda: os.path.exists(cluster.home(task, "runs")), "the prompt runs", 60)
        agent = cluster.agent_pid(task)
        record = read_record(cluster, task)
        was_said = len(was.log())
    finally:
        was.thaw()
    wait_until(lambda: refused(cluster) > before, "the one that woke is refused", 60)
    said = wait_until(
        lambda: "lease of a job is lost" in was.log()[was_said:] or
        any("a result is refused" in s.log() for s in cluster.schedulers), "the log says so", 60)
    assert said
    # It polls again, and is given work again.
    wait_until(lambda: cluster.sql_one("SELECT state FROM workers WHERE name = %s ORDER BY last_seen_at DESC",
                                       f"w{cluster.workers.index(was)}") == ("up",), "it is back", 60)
    assert cluster.agent_pid(task) == agent and read_record(cluster, task) == record
    assert runs(cluster, task) == 1
    job = shown(api, job_id)
    assert job["status"] == "succeeded" and job["leases"] > token
    api.remove(task)


def read_record(cluster, task):
    path = os.path.join(cluster.data_dir, "workspaces", task["workspace_id"], "sandbox.json")
    with open(path, encoding="utf-8") as f:
        return f.read()


def test_a_job_that_kills_its_workers_is_given_up(cluster, api):
    """Goal: lost leases count as tries: the third worker that dies with it is the last, and the job is
    dead with that cause; retried after the cause is gone, it ends well."""
    task, job_id = begin(cluster, api, "echo once >>runs")
    for n in (1, 2, 3):
        wait_until(lambda: (job := shown(api, job_id))["status"] == "running" and job["attempts"] == n,
                   f"try {n}", 60, say=lambda: shown(api, job_id))
        was, _, _ = holder(cluster, job_id)
        was.kill()
        wait_until(lambda: (h := holder(cluster, job_id)) is None or h[0] is not was, "its lease is over", 60)
        cluster.start_worker(was)
    dead = wait_until(lambda: (job := shown(api, job_id))["dead"] and job, "it is dead", 60)
    assert (dead["cause"], dead["attempts"], dead["can_retry"]) == ("lease", 3, True)
    assert "fell silent" in dead["error"] and dead["worker"]["name"] == was.name.replace("worker", "w")
    wait_until(lambda: not cluster.sandbox_processes(task["workspace_id"]), "what it left is cleared away", 60)
    cluster.gate.touch()
    api.post(f"/jobs/{job_id}/retry", prefix=OWN, expect=200)
    api.wait_complete(task, deadline=90)
    assert runs(cluster, task) == 1
    api.remove(task)


def test_a_new_leader_keeps_leases_as_they_are(cluster, api):
    """Goal: the leader is killed while a start is under way: the living worker keeps its job (one token),
    and a worker that dies with the leader loses its own no later than if the leader had lived."""
    task, job_id = begin(cluster, api, "echo once >>runs")
    was, token, _ = holder(cluster, job_id)
    leader = kill_leader(cluster)
    wait_until(lambda: (h := holder(cluster, job_id)) and h[2] < 1, "the new leader has heard of it", 60)
    leader.start()
    assert holder(cluster, job_id)[:2] == (was, token), "it has kept its lease"

    leader = kill_leader(cluster)
    was.kill()
    left = cluster.sql_one("SELECT extract(epoch FROM lease_until - clock_timestamp())::float8 FROM jobs j "
                           "JOIN workers w ON w.id = j.worker_id WHERE j.id = %s", job_id)[0]
    begun = time.monotonic()
    wait_moved(cluster, job_id, was)
    print(f"lease had {left:.2f} s left, given to another {time.monotonic() - begun:.2f} s later")
    leader.start()
    cluster.gate.touch()
    api.wait_complete(task, deadline=90)
    assert runs(cluster, task) == 1
    api.remove(task)


def kill_leader(cluster):
    """Kill it; the other one leads when this returns."""
    leader = wait_until(lambda: next((s for s in cluster.schedulers if s.is_running() and
                                      s.metric("stint_scheduler_leading") == 1), None), "somebody leads", 60)
    leader.kill()
    wait_until(lambda: next((s for s in cluster.schedulers if s.is_running() and
                             s.metric("stint_scheduler_leading") == 1), None), "the other one leads", 60)
    return leader
