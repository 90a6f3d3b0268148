# SPDX-License-Identifier: Apache-2.0
"""Writing: creates, the way from a create to a running task, burn-down, status ingest."""

import os

from lib.wait import wait_until
from report import Row
from stage import Usage, metrics

CAP = 10_000_000
NULL_WORKER = {"provisioners": "null", "slots": 512}


def creates(stage, size):
    """Durable creates/s; each is a task that Postgres has committed before it is acknowledged."""
    cluster = stage.cluster(workers=0, scheduler={"cap": CAP})
    cluster.start_gateway()
    for via, crowds in (("http", (1, 8, 64)), ("bus", (1, 8, 64, 512))):
        stage.create(cluster, via, clients=8, count=200)  # plans are made, caches are warm
        for clients in crowds:
            yield create_row(stage, cluster, size, via, clients)
    n_more_waiting = size.queued - int(metrics(cluster)["stint_queue_depth"])
    if n_more_waiting > 0:
        stage.create(cluster, "bus", clients=512, count=n_more_waiting)
    yield create_row(stage, cluster, size, "http", 1, ", a long queue")
    n, tasks = cluster.sql_one("SELECT (SELECT count(*) FROM jobs WHERE build_id IS NOT NULL), "
                               "(SELECT count(*) FROM tasks)")
    assert n == tasks, f"{tasks} tasks have {n} jobs"


def create_row(stage, cluster, size, via, clients, note=""):
    before = metrics(cluster)
    with Usage(stage, cluster) as usage:
        done = stage.create(cluster, via, clients=clients, seconds=size.create_seconds)
    n_commits = n_more(cluster, before, "stint_scheduler_commits_total")
    front = "REST" if via == "http" else "bus alone"
    crowd = "outstanding" if via == "bus" else "client" if clients == 1 else "clients"
    return Row(f"creates, {front}, {clients} {crowd}{note}", done["rate"], "tasks/s",
               how="un-batched" if clients == 1 else "group commit", cpu=usage.by_name,
               detail={"p50_ms": done["replied"]["p50_ms"], "p99_ms": done["replied"]["p99_ms"],
                       "tasks_per_commit": round(done["ok"] / max(1, n_commits), 1),
                       "waiting_before": int(before["stint_queue_depth"])})


def latency(stage, size):
    """From the moment when a create is due to the moment when its job's success is known."""
    cluster = stage.cluster(workers=1, scheduler={"cap": CAP}, worker=NULL_WORKER)
    cluster.start_worker(cluster.workers[0])
    cluster.start_gateway()
    stage.create(cluster, "http", clients=8, count=200)
    for via in ("http", "bus"):
        for rate in (100, 1000):
            out = os.path.join(cluster.directory, "times")
            before = metrics(cluster)
            with Usage(stage, cluster) as usage:
                done = stage.create(cluster, via, clients=64, rate=rate, seconds=size.latency_seconds,
                                    redis_url=cluster.redis.url, out=out)
            n_commits = n_more(cluster, before, "stint_scheduler_commits_total")
            check_times(cluster, out, done)
            settled = done["settled"]
            front = "REST" if via == "http" else "bus alone"
            yield Row(f"create to running, {front}, {rate}/s", settled["p99_ms"], "ms p99",
                      how="open loop", cpu=usage.by_name,
                      detail={key: settled[key] for key in ("p50_ms", "p90_ms", "p99_ms", "max_ms", "n")}
                      | {"replied_p50_ms": done["replied"]["p50_ms"],
                         "replied_p99_ms": done["replied"]["p99_ms"],
                         "commits_per_task": round(n_commits / done["ok"], 2)})


def check_times(cluster, path, done):
    """What the client heard last of each task came after Postgres' own time of the success."""
    assert done["unheard"] == 0, f"{done['unheard']} tasks were never heard of"
    with open(path) as f:
        heard = {line.split()[0]: int(line.split()[2]) for line in f}
    rows = cluster.sql("SELECT t.id::text, (extract(epoch FROM j.completed_at) * 1000000)::int8, j.state "
                       "FROM tasks t JOIN workspaces w ON w.id = t.workspace_id "
                       "JOIN builds b ON b.id = w.latest_build_id JOIN jobs j ON j.id = b.job_id "
                       "WHERE t.id = ANY (%s::uuid[])", list(heard))
    assert len(rows) == len(heard)
    for task_id, completed_us, state in rows:
        assert state == "succeeded", f"task {task_id} is {state}"
        assert completed_us <= heard[task_id], f"task {task_id} succeeded after it was last heard of"


def burndown(stage, size):
    """Jobs/s of a queue that was full before the first worker came."""
    for workers in (1, 2):
        cluster = stage.cluster(workers=workers, scheduler={"cap": CAP}, worker=NULL_WORKER)
        stage.create(cluster, "bus", clients=512, count=size.queued)
        before = metrics(cluster)
        with Usage(stage, cluster) as usage:
            for worker in cluster.workers:
                worker.start()
            wait_until(lambda: is_burnt_down(cluster), "the queue is worked off", 300)
        n_commits = n_more(cluster, before, "stint_scheduler_commits_total")
        n, seconds = cluster.sql_one(
            "SELECT count(*), extract(epoch FROM max(completed_at) - min(started_at))::float8 "
            "FROM jobs WHERE state = 'succeeded' AND build_id IS NOT NULL")
        assert n == size.queued, f"{n} of {size.queued} jobs have succeeded"
        yield Row(f"burn-down of {size.queued:,} jobs, {workers} worker{'s' * (workers > 1)}",
                  n / seconds, "jobs/s", how="batched", cpu=usage.by_name,
                  detail={"seconds": round(seconds, 2), "with_start_of_workers_s": round(usage.seconds, 2),
                          "commits_per_s": round(n_commits / seconds),
                          "jobs_per_commit": round(2 * n / max(1, n_commits), 1)})
        stage.close_cluster(cluster)


def n_more(cluster, before, name):
    """By how much the scheduler's counter has grown."""
    return metrics(cluster)[name] - before[name]


def is_burnt_down(cluster):
    now = metrics(cluster)
    return now["stint_queue_depth"] == 0 and now["stint_jobs_running"] == 0


def ingest(stage, size):
    """Status rows/s, Redis to Postgres: from the first XADD until all rows are committed."""
    cluster = stage.cluster(workers=0, scheduler={"cap": CAP})
    stage.create(cluster, "bus", clients=200, count=400)
    agents = [row[0] for row in cluster.sql("SELECT id::text FROM agents ORDER BY id")]
    for per_entry, some, n in ((1, agents[:200], size.rows_single), (100, agents[200:], size.rows_packed)):
        before = metrics(cluster)

        def n_written():
            return n_more(cluster, before, "stint_ingest_reports_total")

        with Usage(stage, cluster) as usage:
            done = stage.command("reports", stdin="\n".join(some), redis_url=cluster.redis.url,
                                 rows=n, per_entry=per_entry)
            wait_until(lambda: n_written() >= n, f"{n} rows are ingested", 300, interval=0.01,
                       say=lambda: metrics(cluster))
        written = cluster.sql_one("SELECT count(*) FROM app_statuses WHERE seq > 0 AND agent_id = ANY (%s::uuid[])",
                                  some)[0]
        assert written == n, f"{written} of {n} rows are in app_statuses"
        n_batches = n_more(cluster, before, "stint_ingest_batches_total")
        yield Row(f"status ingest, {per_entry} report{'s' * (per_entry > 1)} per entry", n / usage.seconds,
                  "rows/s", how="un-batched" if per_entry == 1 else "batched", cpu=usage.by_name,
                  detail={"rows": n, "rows_per_commit": round(n / max(1, n_batches)),
                          "xadd_entries_per_s": round(done["entries"] / done["seconds"]),
                          "gaps": n_more(cluster, before, "stint_ingest_gaps_total")})
