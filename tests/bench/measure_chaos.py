# SPDX-License-Identifier: Apache-2.0
"""Throughput before, in and after each of five misfortunes, as other job queues are measured.

Open loop: a create is due every 1/RATE s, whether or not earlier ones were answered.  Each has an
Idempotency-Key and is sent again, to either gateway, until it is answered; so what is acknowledged
and what is in Postgres can be compared exactly.  A job is done when Postgres has committed its
success; the null provisioner does it at once, so it is the scheduling that is measured.

Recovery: jobs per second in the last 15 s of the phase after, in percent of those of the phase before;
above 100 % while what had piled up is worked off.
"""

import random
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import requests

from lib.api import OWN, Api
from lib.wait import stays, wait_until
from measure_write import CAP, NULL_WORKER
from report import Row

RATE, THREADS = 40, 48
PHASE = 20.0  # seconds before, in and after
WARM = 8.0    # until plans are made and what was due meanwhile is worked off
STEADY = 15.0


class Load:
    """Creates tasks at RATE, for as long as the `with` lasts; all of them are answered at its end."""

    def __init__(self, stage, cluster):
        token = stage.tokens["many"]
        self.apis = [Api(lambda g=g: g.url, token) for g in cluster.gateways]
        self.body = {"template": "bench", "input": "nothing"}
        self.n_sent, self.n_again, self.acked = 0, 0, []
        self.lock, self.end = threading.Lock(), threading.Event()

    def __enter__(self):
        self.begun = time.monotonic()
        self.pool = ThreadPoolExecutor(THREADS)
        self.jobs = [self.pool.submit(self._run) for _ in range(THREADS)]
        return self

    def __exit__(self, *_):
        self.end.set()
        self.pool.shutdown(wait=True)
        for job in self.jobs:
            job.result()

    def _run(self):
        while not self.end.is_set():
            with self.lock:
                i, self.n_sent = self.n_sent, self.n_sent + 1
            self.end.wait(max(0, self.begun + i / RATE - time.monotonic()))
            self._create(i)

    def _create(self, i):
        key = {"Idempotency-Key": str(uuid.uuid4())}

        def ask(tries=iter(range(1 << 30))):
            n = next(tries)
            try:
                answer = self.apis[(i + n) % len(self.apis)].post(
                    "/tasks", self.body | {"name": f"job-{i}"}, prefix=OWN, headers=key, timeout=10)
            except (requests.exceptions.RequestException, AttributeError):
                answer = None
            if answer is not None and answer.status_code in (200, 201):
                self.acked.append(answer.json()["id"])
                return True
            assert answer is None or answer.status_code >= 500 or answer.status_code == 409, answer.text
            self.n_again += 1
            return False

        wait_until(lambda tries=iter(range(1 << 30)): ask(tries), f"job {i} is accepted", 120, interval=0.1)


# ---------------------------------------------------------------- the misfortunes

def during(seconds, do, every):
    """do() again and again for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        do()
        stays(lambda: True, duration=min(every, max(0.0, until - time.monotonic())))


def postgres_stop_start(stage, cluster):
    stage.postgres.stop()
    stays(lambda: True, duration=PHASE / 2)
    stage.postgres.start()


def terminate_storm(stage, cluster):
    during(PHASE, lambda: stage.postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'stint%'"), 0.5)


def idle_connections(stage, cluster):
    held = []
    try:
        for _ in range(300):
            held.append(stage.postgres.connect(cluster.database))
    except psycopg2.OperationalError:
        print(f"      {len(held)} idle connections were to be had")
    stays(lambda: True, duration=PHASE)
    for connection in held:
        connection.close()


def kill_one_of_each(stage, cluster):
    dead = [leader(cluster), cluster.workers[0], cluster.gateways[0]]
    for process in dead:
        process.kill()
    stays(lambda: True, duration=PHASE / 2)
    for process in dead:
        revive(cluster, process)


def kill_again_and_again(stage, cluster):
    dice = random.Random(1)
    pairs = [cluster.schedulers, cluster.workers, cluster.gateways]

    def kill():
        process = dice.choice(dice.choice(pairs))
        if process.is_running():
            process.kill()
        revive(cluster, process)

    during(PHASE, kill, 2.0)


def leader(cluster):
    led = [s for s in cluster.schedulers if "leading" in s.log()]
    return led[-1] if led else cluster.schedulers[0]


def revive(cluster, process):
    process.start()
    if process in cluster.gateways:
        cluster._wait_gateway(process)


MISFORTUNES = [
    ("postgres stop/start", postgres_stop_start),
    ("pg_terminate_backend storm", terminate_storm),
    ("300 idle connections", idle_connections),
    ("SIGKILL 1 of 2 replicas", kill_one_of_each),
    ("repeated SIGKILL", kill_again_and_again),
]


# ---------------------------------------------------------------- measuring

def chaos(stage, size):
    """Throughput before, in and after postgres stop/start, pg_terminate_backend storm and so on."""
    for name, strike in MISFORTUNES:
        cluster = stage.cluster(workers=2, schedulers=2, gateways=2, scheduler={"cap": CAP, "attempts_max": 100},
                                worker=NULL_WORKER)
        cluster.schedulers[1].start()
        for process in cluster.workers:
            cluster.start_worker(process)
        for process in cluster.gateways:
            cluster.start_gateway(process)
        yield misfortune(stage, cluster, name, strike)
        stage.close_cluster(cluster)


def misfortune(stage, cluster, name, strike):
    with Load(stage, cluster) as load:
        stays(lambda: True, duration=WARM)
        marks = [now(cluster)]
        stays(lambda: True, duration=PHASE)
        marks.append(now(cluster))
        strike(stage, cluster)
        marks.append(now(cluster))
        stays(lambda: True, duration=PHASE)
        marks.append(now(cluster))
    wait_until(lambda: unfinished(cluster) == 0, "all jobs are done", 60)
    before, meanwhile = (per_second(cluster, *marks[i:i + 2]) for i in (0, 1))
    after = per_second(cluster, marks[3] - STEADY, marks[3])
    [(n_tasks, n_names)] = cluster.sql("SELECT count(*), count(DISTINCT name) FROM tasks")
    there = {row[0] for row in cluster.sql("SELECT id::text FROM tasks")}
    return Row(name, 100 * after / before, "%", how="recovery", detail={
        "before_per_s": round(before, 1), "meanwhile_per_s": round(meanwhile, 1), "after_per_s": round(after, 1),
        "back_after_s": round(back(cluster, marks[2], before), 2), "jobs": n_tasks, "sent_again": load.n_again,
        "lost": len(set(load.acked) - there), "doubled": n_tasks - n_names})


def now(cluster):
    return cluster.sql_one("SELECT extract(epoch FROM clock_timestamp())::float8")[0]


def unfinished(cluster):
    return cluster.sql_one("SELECT count(*) FROM jobs WHERE state NOT IN ('succeeded', 'failed', 'canceled')")[0]


def per_second(cluster, begin, end):
    [(n,)] = cluster.sql("SELECT count(*) FROM jobs WHERE state = 'succeeded' AND build_id IS NOT NULL "
                         "AND completed_at >= to_timestamp(%s) AND completed_at < to_timestamp(%s)", begin, end)
    return n / (end - begin)


def back(cluster, end, before):
    """Seconds from the end of the misfortune to the first second that does as much as before."""
    rows = cluster.sql("SELECT extract(epoch FROM completed_at)::float8 FROM jobs WHERE state = 'succeeded' "
                       "AND build_id IS NOT NULL AND completed_at >= to_timestamp(%s) ORDER BY 1", end)
    times = [row[0] for row in rows]
    n = max(1, int(0.98 * before))
    return next((times[i] - end for i in range(len(times) - n) if times[i + n] - times[i] <= 1), float("nan"))
