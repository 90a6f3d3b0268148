# SPDX-License-Identifier: Apache-2.0
"""The life of real workspaces: how long a person waits for a paused task to come back."""

from lib import templates
from lib.wait import Stopwatch, wait_until
from report import Row
from stage import Usage


def resumes(stage, size):
    """From the request to resume a paused task until its agent is `ready`, one task at a time."""
    cluster = stage.cluster(workers=1)
    cluster.start_worker(cluster.workers[0])
    cluster.start_gateway()
    api = cluster.api("many")
    template = api.push_template("bench-local", templates.shell())
    task = api.wait_complete(api.create(template, "echo up"))
    times, pauses = [], []
    with Usage(stage, cluster) as usage:
        for _ in range(size.resumes):
            pauses.append(timed(lambda: api.pause(task), lambda: api.task(task)["status"] == "paused"))
            times.append(timed(lambda: api.resume(task), lambda: is_ready(api.task(task))))
            wait_until(lambda: (api.task(task)["current_state"] or {}).get("state") == "idle", "it rests")
    yield Row("resume to ready, local workspace", percentile(times, 50), "ms p50", how="REST, seen by GET",
              cpu=usage.by_name, detail={"p99_ms": percentile(times, 99), "max_ms": max(times),
                                         "pause_p50_ms": percentile(pauses, 50), "n": len(times)})


def is_ready(task):
    return task["status"] == "active" and task["workspace_agent_lifecycle"] == "ready"


def timed(ask, is_done):
    """Milliseconds from the request to the first look that sees it done."""
    watch = Stopwatch()
    ask()
    wait_until(is_done, "it is done", 60, interval=0.002)
    return watch.seconds * 1000


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * p // 100)]
