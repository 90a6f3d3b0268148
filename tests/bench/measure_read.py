# SPDX-License-Identifier: Apache-2.0
"""Reading: GET one task, the list of 1,000 tasks; and what the daemons hold in memory."""

import os
import re
import shutil
import subprocess
import threading

from lib import templates
from lib.wait import wait_until
from measure_write import CAP, NULL_WORKER, is_burnt_down
from report import Row
from stage import HERE, Usage, metrics, rss_mib

UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
N_LISTED = 1000


def reads(stage, size):
    """GETs through the gateway by wrk, one thread, connections that are kept alive."""
    cluster = stage.cluster(workers=1, scheduler={"cap": CAP}, worker=NULL_WORKER)
    cluster.start_worker(cluster.workers[0])
    stage.create(cluster, "bus", user="few", clients=64, count=N_LISTED)
    for user in stage.others:
        stage.create(cluster, "bus", user=user, clients=128, count=size.read_tasks // len(stage.others))
    wait_until(lambda: is_burnt_down(cluster), "all tasks run", 120)
    cluster.sql("ANALYZE")  # as autovacuum would have done in a server that is not minutes old
    cluster.start_gateway()

    ids = os.path.join(cluster.directory, "ids")
    tasks = cluster.sql("SELECT t.id::text, u.username FROM tasks t JOIN users u ON u.id = t.owner_id")
    with open(ids, "w") as f:
        f.writelines(f"/api/v2/tasks/me/{task_id}\n" for task_id, owner in tasks if owner != "few")
    few = [task_id for task_id, owner in tasks if owner == "few"]
    many = [task_id for task_id, owner in tasks if owner != "few"]

    one = few[0]
    yield wrk(stage, cluster, size, "GET one task, cached", "few", f"/api/v2/tasks/me/{one}")
    with Toucher(cluster, many, 0.2):
        yield wrk(stage, cluster, size, f"GET one task, each of {size.read_tasks:,} in turn, not cached",
                  "many", f"/api/v2/tasks/me/{one}", ids=ids)
    yield wrk(stage, cluster, size, f"GET list of {N_LISTED:,} tasks, cached", "few",
              "/api/v2/tasks?q=owner:me", connections=8)
    with Toucher(cluster, few, 0.005):
        yield wrk(stage, cluster, size, f"GET list of {N_LISTED:,} tasks, all changing, not cached",
                  "few", "/api/v2/tasks?q=owner:me", connections=8)


class Toucher:
    """Says in stint:changes again and again that all these tasks have changed."""

    def __init__(self, cluster, task_ids, interval):
        self.interval = interval
        self.redis = cluster.redis.client
        self.message = bytes.fromhex("".join(task_ids).replace("-", ""))
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        n = 0
        while not self.end.wait(self.interval):
            n += 1
            self.redis.xadd("stint:changes", {"t": self.message, "w": f"b:1:{n}"}, maxlen=10000)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()


def wrk(stage, cluster, size, name, user, path, ids="", connections=64):
    program = shutil.which("wrk")
    assert program, "wrk is missing; install it with: apt-get install wrk"
    env = {"PATH": os.environ["PATH"], "STINT_TOKEN": stage.tokens[user], "BENCH_PATHS": ids}
    argv = [program, "-t1", f"-c{connections}", f"-d{size.read_seconds}s", "--latency", "--timeout", "30s", "-s",
            os.path.join(HERE, "get.lua"), cluster.gateway.url + path]
    # A first second that is not counted: plans are made, the caches fill.
    subprocess.run([*argv[:3], "-d1s", *argv[4:]], env=env, check=True, capture_output=True, timeout=60)
    with Usage(stage, cluster) as usage:
        out = subprocess.run(argv, env=env, check=True, capture_output=True, text=True, timeout=120).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    quantile = {q: float(n) * UNITS[unit] for q, n, unit in
                re.findall(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s|m)\s*$", out, re.M)}
    assert quantile["50"] > 0, f"not one request was answered:\n{out}"
    size_read, unit = re.search(r"Transfer/sec:\s+([\d.]+)(\wB)", out).groups()
    return Row(name, float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), "requests/s",
               how=f"{connections} connections", cpu=usage.by_name,
               detail={"p50_ms": round(quantile["50"], 3), "p99_ms": round(quantile["99"], 3),
                       "transfer": f"{size_read} {unit}/s"})


def memory(stage, size):
    """Resident memory of each daemon: fresh, and with tasks that run."""
    cluster = stage.cluster(workers=1, scheduler={"cap": CAP},
                            worker=NULL_WORKER | {"slots": 8})
    cluster.start_worker(cluster.workers[0])
    cluster.start_gateway()
    n_made = 0
    for n_few, n_many in ((0, 0), (N_LISTED, 0), (N_LISTED, size.memory_tasks - N_LISTED)):
        user, n = ("few", n_few) if n_made == 0 else ("many", n_many)
        if n > 0:
            stage.create(cluster, "bus", user=user, clients=256, count=n)
            n_made += n
        wait_until(lambda: is_burnt_down(cluster), f"{n_made} tasks run", 300)
        list_tasks(stage, cluster)
        detail = {"tasks": metrics(cluster)["stint_tasks"]}
        for daemon, process in (("scheduler", cluster.scheduler), ("worker", cluster.workers[0]),
                                ("gateway", cluster.gateway)):
            what = f"with {n_made:,} tasks" if n_made else "idle"
            yield Row(f"memory, {daemon}, {what}", rss_mib(process.pid), "MiB", how="resident", detail=detail)
    stage.close_cluster(cluster)
    if subprocess.run(["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"],
                      capture_output=True).returncode == 0:
        yield agent_memory(stage)


def agent_memory(stage):
    """A real sandbox: the agent after it has run a prompt."""
    cluster = stage.cluster(workers=1)
    cluster.start_worker(cluster.workers[0])
    cluster.start_gateway()
    api = cluster.api("many")
    task = api.create(api.push_template("shell", templates.shell()), "echo done")
    api.wait_complete(task)
    pid = cluster.agent_pid(task)
    return Row("memory, agent, its first prompt done", rss_mib(pid), "MiB", how="resident")


def list_tasks(stage, cluster):
    """A reader comes by, so that the gateway is not merely asleep."""
    api = cluster.api("few")
    for _ in range(3):
        api.get("/tasks", params={"q": "owner:me"}, expect=200)
