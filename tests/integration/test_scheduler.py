# SPDX-License-Identifier: Apache-2.0
"""The scheduler: killed under load, replaced by its standby, asked by strangers; the migrations."""

import re
import struct
import subprocess

import pytest

from lib import bus
from lib.cluster import environment
from lib.load import Creates, assert_each_ran_once
from lib.wait import Stopwatch, stays, wait_until

NOT_LEADER, VERSION, MALFORMED = 1, 2, 3


def succeeded(cluster):
    return cluster.sql_one("SELECT count(*) FROM jobs WHERE state = 'succeeded'")[0]


def test_kill_9_under_load(clusters):
    """Goal: the scheduler is killed twice while tasks pour in: whatever was accepted ends complete,
    each prompt ran once, and the epoch has grown."""
    cluster = clusters(workers=2)
    api = cluster.api()
    epoch = cluster.sql_one("SELECT epoch FROM scheduler_epoch")[0]
    with Creates(api, cluster.shell, 40, clients=8) as creates:
        for progress in (5, 20):
            wait_until(lambda: succeeded(cluster) >= progress, "some progress", 30, interval=0.005)
            cluster.scheduler.kill()
            cluster.start_scheduler()
    assert len(creates.accepted) == 40, creates.refused
    assert_each_ran_once(cluster, creates.accepted, 90)
    assert cluster.sql_one("SELECT epoch FROM scheduler_epoch")[0] == epoch + 2


def test_a_take_over_keeps_queue_and_cap(clusters):
    """Goal: a new leader knows from Postgres who holds compute and who waits."""
    cluster = clusters(workers=1, scheduler={"cap": 2, "make_room": "false"})
    api = cluster.api()
    running = [api.wait_complete(api.create(cluster.shell, "echo up")) for _ in range(2)]
    waiting = [api.create(cluster.shell, "echo up", name=f"wait-{i}") for i in range(3)]
    before = cluster.queue()
    assert (before["holding"], before["size"]) == (2, 3)
    cluster.scheduler.kill()
    cluster.start_scheduler()
    after = wait_until(cluster.queue, "the queue is told")
    assert after == before
    stays(lambda: cluster.sandbox_count() == 2, "two sandboxes", 1.0)
    api.pause(running[0])
    api.wait_complete(waiting[0])
    stays(lambda: cluster.sandbox_count() <= 2, "the cap", 0.5)


def test_a_restart_by_sigterm_is_clean(clusters):
    """Goal: SIGTERM ends the scheduler with 0 within a moment, and nothing is forgotten."""
    cluster = clusters(workers=1)
    api = cluster.api()
    task = api.wait_complete(api.create(cluster.shell, "echo up", name="lasting"))
    watch = Stopwatch()
    assert cluster.scheduler.stop() == 0
    assert watch.seconds < 5
    assert api.task(task)["status"] == "active", "reads need no scheduler"
    cluster.start_scheduler()
    api.pause(task)
    api.wait_status(task, "paused")


def test_without_a_scheduler_writes_say_so(clusters):
    """Goal: while no scheduler leads, a create is a 503 in the end, not a lie and not for ever."""
    cluster = clusters(workers=1)
    api = cluster.api()
    cluster.scheduler.kill()
    watch = Stopwatch()
    refused = api.create(cluster.shell, "echo lost", name="nobody-home", expect=(502, 503, 504),
                         timeout=60)
    assert watch.seconds < 45
    assert refused.json()["message"]
    cluster.start_scheduler()
    answer = wait_until(lambda: _created(api, cluster), "creates work again", 20)
    api.wait_complete(answer)


def _created(api, cluster):
    answer = api.create(cluster.shell, "echo back", expect=None)
    return answer if isinstance(answer, dict) else None


def test_a_standby_takes_over(clusters):
    """Goal: a second scheduler answers NOT_LEADER and says who leads; when the leader is killed it
    leads within a few seconds, with a larger epoch, and everything goes on.
    Method: gateways and workers know both; the standby is asked by hand too."""
    cluster = clusters(workers=2, schedulers=2)
    api = cluster.api()
    leader, standby = cluster.schedulers
    with bus.Requester(cluster.bus_urls[1]) as stranger:
        code, _, leader_url = bus.status_of(stranger.ask(bus.envelope(bus.QUEUE_QUERY)))
    assert code == NOT_LEADER
    assert leader_url in ("", cluster.bus_urls[0])
    assert cluster.queue()["cap"] == 1000

    with Creates(api, cluster.shell, 30, clients=4) as creates:
        wait_until(lambda: succeeded(cluster) >= 6, "some progress", 30, interval=0.005)
        leader.kill()
        watch = Stopwatch()
        standby.wait_log(r'msg="?leading"?', deadline=10)
        assert watch.seconds < 6
    assert_each_ran_once(cluster, creates.accepted, 90)

    # The old one comes back as the standby.
    leader.start()
    with wait_until(lambda: _requester(cluster.bus_urls[0]), "it listens") as stranger:
        code, _, _ = bus.status_of(stranger.ask(bus.envelope(bus.QUEUE_QUERY)))
    assert code == NOT_LEADER
    api.wait_complete(api.create(cluster.shell, "echo after"))


def _requester(url):
    try:
        return bus.Requester(url)
    except OSError:
        return None


def test_a_frozen_leader_writes_nothing_more(clusters):
    """Goal: a leader that is frozen, loses its lock and wakes up again cannot change anything:
    its epoch is over.  Method: its database session is ended while it sleeps."""
    cluster = clusters(workers=2, schedulers=2)
    api = cluster.api()
    old, new = cluster.schedulers
    api.wait_complete(api.create(cluster.shell, "echo before"))
    old.freeze()
    cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')")
    new.wait_log(r'msg="?leading"?', deadline=10)
    with Creates(api, cluster.shell, 10) as creates:
        old.thaw()
    assert_each_ran_once(cluster, creates.accepted)
    assert old.is_running()
    with wait_until(lambda: _requester(cluster.bus_urls[0]), "it listens") as stranger:
        reply = wait_until(lambda: _status(stranger), "it stands by")
    assert reply[0] == NOT_LEADER


def _status(stranger):
    reply = stranger.ask(bus.envelope(bus.QUEUE_QUERY))
    return bus.status_of(reply) if bus.STATUS in reply else None


# ---------------------------------------------------------------- strangers on the bus

def test_strangers_on_the_bus(clusters):
    """Goal: bytes that are no message, a version from the future, an empty body, a reply where a
    request belongs: each gets its refusal, and the scheduler goes on."""
    cluster = clusters(workers=1)
    url = cluster.bus_urls[0]
    huge = bus.message((1, 1), (2, ("fixed64", 1)), (20, b"\xff" * 100000))
    for body, code in ((b"\xff\xff\xff\xff", MALFORMED), (b"", None), (b"\0" * 64, None), (huge, MALFORMED),
                       (bus.envelope(bus.QUEUE_QUERY, version=77), VERSION),
                       (bus.envelope(10), None), (bus.envelope(999, b"what"), None),
                       (bus.envelope(20), None), (bus.envelope(21), None), (bus.envelope(23), None),
                       (bus.envelope(24), None), (bus.envelope(27), None), (bus.envelope(40), None),
                       (bus.envelope(42), None), (bus.envelope(43), None), (bus.envelope(45), None),
                       (bus.envelope(47), None),
                       (bus.envelope(20, bus.message((1, b"short"), (2, b"x" * 3))), None),
                       (bus.envelope(40, bus.message((1, b"x" * 17))), None)):
        with bus.Requester(url) as stranger:
            reply = stranger.ask(body)
        if code is not None:
            assert bus.status_of(reply)[0] == code, (body[:40], reply)
    # Broken framing: too long, too short, hung up in the middle.
    for raw in (b"\x01" + struct.pack(">Q", 1 << 60), b"\x02" * 20, b"\x01" + struct.pack(">Q", 100) + b"x"):
        with bus.Requester(url) as stranger:
            stranger.socket.sendall(raw)
    assert cluster.queue()["cap"] == 1000
    cluster.api().wait_complete(cluster.api().create(cluster.shell, "echo well"))


def test_a_worker_that_makes_things_up(clusters):
    """Goal: results for jobs nobody has, and with stale tokens, change nothing."""
    cluster = clusters(workers=1)
    api = cluster.api()
    cluster.workers[0].freeze()
    try:
        task = api.create(cluster.shell, "echo mine", name="mine")
        job = wait_until(lambda: cluster.sql_one(
            "SELECT j.id::text, j.token FROM jobs j JOIN builds b ON b.job_id = j.id "
            "WHERE b.workspace_id = %s AND j.state = 'running'", task["workspace_id"]), "it is leased")
        job_id = bytes.fromhex(job[0].replace("-", ""))
        worker = bytes(range(16))
        for job_bytes, token, outcome in ((job_id, job[1] - 1, 1), (job_id, job[1] + 5, 1),
                                          (job_id, 0, 2), (worker, 1, 1)):
            result = bus.message((1, job_bytes), (2, token), (3, outcome))
            with bus.Requester(cluster.bus_urls[0]) as stranger:
                stranger.ask(bus.envelope(42, bus.message((1, worker), (2, result))))
        assert cluster.sql_one("SELECT state FROM jobs WHERE id = %s", job[0])[0] == "running"
    finally:
        cluster.workers[0].thaw()
    assert_each_ran = api.wait_complete(task)
    assert assert_each_ran["current_state"]["message"] == "mine"


# ---------------------------------------------------------------- schema

def test_migrate_twice(session, clusters):
    """Goal: a second migrate changes nothing and says so with 0."""
    cluster = clusters(start=False)
    cluster.create_database()
    before = cluster.sql("SELECT table_name, column_name, data_type FROM information_schema.columns "
                         "WHERE table_schema = 'public' ORDER BY 1, 2")
    assert session.migrate(cluster.database).returncode == 0
    assert before == cluster.sql(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' ORDER BY 1, 2")


def test_migrate_at_once_from_many(session, clusters):
    """Goal: several migrations started together on an empty database all end well."""
    cluster = clusters(start=False)
    session.postgres.execute(f"CREATE DATABASE {cluster.database}")
    many = [subprocess.Popen([session.build.program("stint-scheduler"), "migrate"],
                             env=environment(database_url=cluster.database_url),
                             stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in many:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert cluster.sql_one("SELECT count(*) FROM organizations")[0] == 1


def newer_schema(cluster, needs):
    """As a later version would leave it, with a migration that needs daemons to know `needs`."""
    cluster.create_database()
    cluster.redis.start()
    cluster.sql("INSERT INTO schema_migrations (version, name, needs) VALUES (9999, 'of_the_future', %s)", needs)
    return cluster.sql_one("SELECT max(version) FROM schema_migrations WHERE version < 9999")[0]


@pytest.mark.parametrize("command", ["migrate", "run"])
def test_a_schema_that_has_lost_something_is_refused(clusters, command):
    """Goal: a database from which a later version has taken something is left alone, with a sentence."""
    cluster = clusters(start=False)
    newest = newer_schema(cluster, needs=9998)
    process = cluster.schedulers[0]
    process.argv.append(command)
    process.start()
    assert process.wait_exit() not in (0, None)
    assert re.search(f"9998.*{newest}.*newer", process.log()), process.log()


def test_a_schema_that_has_more_is_fine(clusters):
    """Goal: while an upgrade rolls, an older version starts and leads on the newer schema."""
    cluster = clusters(start=False)
    newest = newer_schema(cluster, needs=1)
    done = cluster.session.migrate(cluster.database)
    assert done.returncode == 0 and "newer schema" in done.stderr, done
    cluster.start_scheduler()
    assert f"known={newest}" in cluster.scheduler.log()


def test_run_on_an_empty_database(clusters):
    """Goal: a scheduler on a database without schema says what to do, or does it."""
    cluster = clusters(start=False, workers=0, gateways=0)
    cluster.postgres.execute(f"CREATE DATABASE {cluster.database}")
    cluster.redis.start()
    process = cluster.schedulers[0].start()
    wait_until(lambda: "migrate" in process.log() or "leading" in process.log(), "it speaks",
               say=process.log)
    if "leading" not in process.log():
        assert process.wait_exit() not in (0, 99)


def test_the_bus_is_not_opened_to_the_network_by_accident(clusters):
    """Goal: plain tcp beyond loopback needs a setting that names the danger.  Method: start one."""
    cluster = clusters(start=False)
    program = cluster.session.build.program("stint-scheduler")
    done = subprocess.run([program, "--listen", "tcp://0.0.0.0:0", "--database-url", "dbname=none",
                           "--redis-url", "unix:///nowhere"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 78
    assert "--insecure-bus" in done.stderr
