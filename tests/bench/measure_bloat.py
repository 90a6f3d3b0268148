# SPDX-License-Identifier: Apache-2.0
"""Bloat: a steady stream of jobs beside readers whose snapshots keep Postgres from cleaning up.

Every minute says what a queue in Postgres is afraid of: does the backlog grow, do dead rows gather, does
it take longer and longer to claim a job?
"""

import threading
import time

from report import Row, number
from stage import TICK, Usage, metrics, processes_now

from measure_write import CAP, NULL_WORKER

RATE = 800
READERS, READ_SECONDS = 3, 120
AGENTS, REPORTS_EACH, BURST_SECONDS = 100, 5, 6
ANALYSIS = ("SELECT j.state, b.transition, w.owner_id, count(*), avg(j.completed_at - j.created_at) "
            "FROM jobs j JOIN builds b ON b.id = j.build_id JOIN workspaces w ON w.id = b.workspace_id "
            "GROUP BY 1, 2, 3")
TABLES = ("SELECT coalesce(parent.relname, s.relname), sum(s.n_dead_tup)::int8, "
          "sum(pg_total_relation_size(s.relid))::int8, sum(s.n_tup_upd)::int8, sum(s.n_tup_hot_upd)::int8 "
          "FROM pg_stat_user_tables s LEFT JOIN pg_inherits i ON i.inhrelid = s.relid "
          "LEFT JOIN pg_class parent ON parent.oid = i.inhparent GROUP BY 1")
CLAIMS = ("SELECT count(*), percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY "
          "extract(epoch FROM greatest(j.started_at - j.created_at, interval '0')) * 1000) "
          "FROM jobs j WHERE j.created_at > now() - interval '65 seconds' AND j.started_at IS NOT NULL")


class Background:
    """Threads that go on until the end; what goes wrong in one is raised there."""

    def __init__(self):
        self.over, self.threads, self.wrong = threading.Event(), [], []

    def add(self, function, *arguments):
        def run():
            try:
                function(*arguments)
            except Exception as error:
                self.wrong.append(error)

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        if self.wrong:
            raise self.wrong[0]


def pin(cluster, over):
    """One snapshot, for as long as the measurement lasts: nothing that dies meanwhile can be removed."""
    connection = cluster.postgres.connect(cluster.database)
    with connection.cursor() as sql:
        sql.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM jobs")
        over.wait()
    connection.close()


def read(cluster, over, delay):
    """Analyses over everything, again and again in transactions of two minutes."""
    over.wait(delay)
    connection = cluster.postgres.connect(cluster.database)
    with connection.cursor() as sql:
        while not over.is_set():
            end = time.monotonic() + READ_SECONDS
            sql.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            while time.monotonic() < end and not over.is_set():
                sql.execute(ANALYSIS)
                over.wait(5)
            sql.execute("COMMIT")
    connection.close()


def report(stage, cluster, over, agents):
    """Agents that say something all the time."""
    first = 1
    while not over.wait(BURST_SECONDS):
        stage.command("reports", stdin="\n".join(agents), redis_url=cluster.redis.url,
                      rows=len(agents) * REPORTS_EACH, per_entry=1, first=first)
        first += REPORTS_EACH


def busy_seconds(cluster):
    """Processor time of the scheduler's own sessions with Postgres: what jobs cost there, readers aside."""
    pids = cluster.sql("SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
                       "AND application_name LIKE 'stint-scheduler%%'")
    _, ticks = processes_now()
    return sum(ticks.get(pid, 0) for pid, in pids) / TICK


def tables(cluster):
    return {name: values for name, *values in cluster.sql(TABLES)}


def bloat(stage, size):
    """800 jobs/s beside three overlapping readers of two minutes and one pinned snapshot, minute by minute."""
    # A machine that is busy with others as well is no reason to change the leader here.
    cluster = stage.cluster(workers=2, scheduler={"cap": CAP, "leader_silence": "30s", "lease": "30s"},
                            worker=NULL_WORKER)
    for worker in cluster.workers:
        cluster.start_worker(worker)
    stage.create(cluster, "bus", clients=8, count=AGENTS)
    agents = [row[0] for row in cluster.sql("SELECT id::text FROM agents ORDER BY id")]
    background = Background()
    background.add(pin, cluster, background.over)
    for i in range(READERS):
        background.add(read, cluster, background.over, i * READ_SECONDS / READERS)
    background.add(report, stage, cluster, background.over, agents)
    minutes = []
    try:
        with Usage(stage, cluster) as usage:
            for minute in range(1, size.minutes + 1):
                minutes.append(one_minute(stage, cluster, minute))
    finally:
        background.end()
    yield from rows(minutes, usage.by_name)
    yield recovery(cluster)


def one_minute(stage, cluster, minute):
    before, busy = metrics(cluster), busy_seconds(cluster)
    with Usage(stage, cluster) as usage:
        done = stage.create(cluster, "bus", clients=64, rate=RATE, seconds=60, redis_url=cluster.redis.url)
    now, busy = metrics(cluster), busy_seconds(cluster) - busy
    found = tables(cluster)
    p50, p99 = cluster.sql_one(CLAIMS)[1] or (0, 0)  # nothing was claimed
    commits = now["stint_scheduler_commits_total"] - before["stint_scheduler_commits_total"]
    waited = now["stint_scheduler_commit_microseconds_total"] - before["stint_scheduler_commit_microseconds_total"]
    seen = {
        "jobs": done["ok"], "unheard": done["unheard"],
        "backlog": int(now["stint_queue_depth"] + now["stint_jobs_running"]),
        "claim_p50": float(p50 or 0), "claim_p99": float(p99 or 0),
        "running_p50": done["settled"]["p50_ms"], "running_p99": done["settled"]["p99_ms"],
        "sessions_us": busy * 1e6 / done["ok"],
        "scheduler_us": usage.by_name["scheduler"] * usage.seconds * 1e6 / done["ok"], "others": usage.by_name["others"],
        "commit_ms": waited / max(1, commits) / 1000,
        "dead": {name: values[0] for name, values in found.items() if values[0] > 0},
        "mib": {name: round(values[1] / 2 ** 20, 1) for name, values in found.items() if values[1] > 2 ** 20},
        "hot": {name: f"{values[3]}/{values[2]}" for name, values in found.items() if values[2] > 0},
    }
    print(f"  minute {minute:>2}: {seen['jobs']:,} jobs, backlog {seen['backlog']}, claim p50 "
          f"{number(seen['claim_p50'])} p99 {number(seen['claim_p99'])} ms, create to running p50 "
          f"{number(seen['running_p50'])} p99 {number(seen['running_p99'])} ms, commit "
          f"{number(seen['commit_ms'])} ms, processor time per job: its sessions "
          f"with Postgres {number(seen['sessions_us'])} µs, scheduler {number(seen['scheduler_us'])} µs; "
          f"others {seen['others']:.0%}")
    print(f"      dead rows {seen['dead']}\n      MiB {seen['mib']}\n      hot/updates {seen['hot']}", flush=True)
    return seen


def rows(minutes, cpu):
    last = minutes[-1]
    quiet = minutes[1] if len(minutes) > 2 else minutes[0]
    yield Row(f"jobs beside pinned snapshots, {len(minutes)} min", sum(m["jobs"] for m in minutes) / 60 / len(minutes),
              "jobs/s", how="open loop", cpu=cpu,
              detail={"backlog_max": max(m["backlog"] for m in minutes), "unheard": sum(m["unheard"] for m in minutes)})
    yield Row("claim of a job, last minute", last["claim_p99"], "ms p99", how="open loop",
              detail={"p50": last["claim_p50"], "second_minute_p50": quiet["claim_p50"],
                      "second_minute_p99": quiet["claim_p99"], "worst_p99": max(m["claim_p99"] for m in minutes)})
    yield Row("a job in the scheduler's sessions, last minute", last["sessions_us"], "µs CPU",
              detail={"minutes": [round(m["sessions_us"]) for m in minutes]})
    yield Row("create to running, last minute", last["running_p99"], "ms p99", how="open loop",
              detail={"p50": last["running_p50"], "second_minute_p99": quiet["running_p99"],
                      "worst_p99": max(m["running_p99"] for m in minutes)})
    yield Row("dead rows, all tables, last minute", sum(last["dead"].values()), "rows",
              how="per job " + number(sum(last["dead"].values()) / max(1, sum(m["jobs"] for m in minutes))),
              detail={name: n for name, n in sorted(last["dead"].items(), key=lambda pair: -pair[1])[:6]})


def recovery(cluster):
    """With the snapshots gone everything that is dead can be had back."""
    cluster.sql("VACUUM")
    left = sum(values[0] for values in tables(cluster).values())
    return Row("dead rows left after the snapshots have gone", left, "rows", how="after VACUUM")
