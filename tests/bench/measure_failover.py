# SPDX-License-Identifier: Apache-2.0
"""How long nobody leads when the leader dies, is frozen, or is asked to go, under load."""

from lib import templates
from lib.load import ONCE
from lib.traffic import Traffic, epoch_of, leader_of, wait_new_leader
from lib.wait import Stopwatch, wait_until
from measure_life import percentile
from report import Row
from stage import Usage

SETTINGS = dict(schedulers=3, workers=3, gateways=2, scheduler={"cap": 100000},
                worker={"provisioners": "null,local", "slots": 64})


def failover(stage, size):
    """Three schedulers, three workers, two gateways; clients create and read all the while.  From
    the end of the leader to the answer to a create that was asked for just then."""
    cluster = stage.cluster(**SETTINGS)
    start(cluster)
    api = cluster.api("many")
    shell = api.push_template("bench-shell", templates.shell())
    cases = (("kill -9", size.kills, kill), ("SIGSTOP", size.freezes, freeze), ("SIGTERM", size.kills // 5, stop),
             ("step-down", size.kills // 5, step_down))
    for name, n, end in cases:
        word = name.replace(" ", "").replace("-", "").lower()
        takes = []
        with Usage(stage, cluster) as usage, \
                Traffic(cluster, stage.what["version"], clients=8, pause=0.02, word=word, user="many") as nulls, \
                Traffic(cluster, shell, clients=1, pause=0.5, prompt=ONCE, word=word + "-once", user="many") as onces:
            for _ in range(n):
                takes.append(take_over(cluster, nulls, end) * 1000)
        yield judged(cluster, api, name, takes, nulls, onces, usage)


def start(cluster):
    for scheduler in cluster.schedulers[1:]:
        scheduler.start()
    for worker in cluster.workers:
        cluster.start_worker(worker)
    for gateway in cluster.gateways:
        cluster.start_gateway(gateway)


def take_over(cluster, traffic, end):
    """Seconds from the end of a leadership to the first answer after it."""
    wait_until(lambda: cluster.sql_one("SELECT count(*) FROM living_schedulers")[0] == 3, "three live", 60)
    n = len(traffic.accepted)
    wait_until(lambda: len(traffic.accepted) > n + 20, "there is load", 60)
    epoch, leader = epoch_of(cluster), leader_of(cluster)
    watch = Stopwatch()
    after = end(cluster, leader)
    traffic.create(traffic.apis(epoch))
    seconds = watch.seconds
    wait_new_leader(cluster, epoch)
    after()
    return seconds


def kill(cluster, leader):
    leader.kill()
    return leader.start


def freeze(cluster, leader):
    leader.freeze()
    return leader.thaw


def stop(cluster, leader):
    leader.signal(leader.stop_signal)

    def again():
        leader.wait_exit()
        leader.start()

    return again


def step_down(cluster, leader):
    cluster.api("many").post("/scheduler/step-down", prefix="/api/stint/v1", expect=200)
    return lambda: None


def judged(cluster, api, name, takes, nulls, onces, usage):
    for traffic in (nulls, onces):
        wait_until(lambda: traffic.unfinished() == 0, "every accepted task has started", 120, interval=0.2)
    ids = {name: task for name, task in onces.accepted.items()}
    wait_until(lambda: all(runs(cluster, api, task) for task in ids.values()), "every prompt has run", 120,
               interval=0.5)
    doubled = nulls.doubled() + onces.doubled() + [n for n, task in ids.items() if runs(cluster, api, task) > 1]
    detail = {"p99_ms": percentile(takes, 99), "max_ms": max(takes), "n": len(takes),
              "acknowledged": len(nulls.accepted) + len(onces.accepted),
              "lost": len(nulls.lost() + onces.lost()), "doubled": len(doubled),
              "failed_requests": len(nulls.failed + onces.failed),
              "slowest_request_ms": max(nulls.slowest, onces.slowest) * 1000}
    for traffic in (nulls, onces):
        for failure in traffic.failed[:5]:
            print(f"      failed: {failure}")
    for task in ids.values():
        api.remove(task, expect=(202, 204, 404, 409))
    return Row(f"take-over, {name} of the leader", percentile(takes, 50), "ms p50", how="REST create",
               cpu=usage.by_name, detail=detail)


def runs(cluster, api, task_id):
    """How often the prompt ran, by its own word in the home directory."""
    row = cluster.sql_one("SELECT workspace_id::text FROM tasks WHERE id = %s", task_id)
    try:
        return cluster.read_home({"workspace_id": row[0]}, "runs").count("run\n")
    except FileNotFoundError:
        return 0
