# SPDX-License-Identifier: Apache-2.0
"""Event streams: what thousands of idle ones hold in memory, and how soon a change is with all readers."""

import asyncio
import resource
import statistics
import time
from urllib.parse import urlsplit

from lib.wait import wait_until
from measure_write import NULL_WORKER, is_burnt_down
from report import Row
from stage import Usage, rss_mib

EVENTS = "/api/stint/v1/events"
AT_ONCE = 100
N_TASKS, N_CHANGES = 5, 20


async def open_stream(where, token):
    """Connected, and told all there is."""
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(f"GET {EVENTS} HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n"
                 f"Coder-Session-Token: {token}\r\n\r\n".encode())
    await until(reader, b"event: synced")
    return reader, writer


async def until(reader, mark):
    seen = b""
    while mark not in seen:
        piece = await reader.read(65536)
        assert piece, f"a stream ended: {seen[-300:]!r}"
        seen = (seen + piece)[-8192:]
    return time.monotonic()


async def one_change(api, task_id, streams, i):
    """Milliseconds from the request that changes a task until each reader has the change."""
    mark = f"bench-{i}-"
    told = [asyncio.create_task(until(reader, mark.encode())) for reader, _ in streams]
    begin = time.monotonic()
    await asyncio.to_thread(api.patch, f"/tasks/{task_id}", {"display_name": mark},
                            prefix="/api/stint/v1", expect=200)
    return [(at - begin) * 1e3 for at in await asyncio.wait_for(asyncio.gather(*told), 60)]


async def measure(stage, cluster, api, n):
    where, pid = urlsplit(cluster.gateway.url), cluster.gateway.pid
    task_id = api.tasks("owner:me")["tasks"][0]["id"]
    before, streams = rss_mib(pid), []
    what = "one event stream" if n == 1 else f"{n:,} event streams"
    while len(streams) < n:
        streams += await asyncio.gather(*(open_stream(where, api.token) for _ in range(min(AT_ONCE, n - len(streams)))))
    opened = rss_mib(pid)
    first, last = [], []
    with Usage(stage, cluster) as usage:
        for i in range(N_CHANGES):
            took = await one_change(api, task_id, streams, i)
            first.append(min(took)), last.append(max(took))
    after = rss_mib(pid)
    for _, writer in streams:
        writer.close()
    detail = {"before_mib": round(before, 1), "opened_mib": round(opened, 1),
              "each_kib": round((after - before) * 1024 / n, 2)}
    return (Row(f"memory, gateway, {what}", after, "MiB", how="resident, after changes", detail=detail),
            Row(f"a change to the first of {what}", statistics.median(first), "ms",
                how="request to event, median", cpu=usage.by_name),
            Row(f"a change to the last of {what}", statistics.median(last), "ms",
                how="request to event, median", detail={"worst_ms": round(max(last), 1)}))


def streams(stage, size):
    """Idle readers of one owner's tasks, then changes that all of them are told."""
    room = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(room[0], size.streams + 1000), room[1]), room[1]))
    cluster = stage.cluster(workers=1, worker=NULL_WORKER,
                            gateway={"connections_max": size.streams + 1000, "connections_per_address_max": 0})
    cluster.start_worker(cluster.workers[0])
    cluster.start_gateway()
    stage.create(cluster, "bus", user="few", clients=1, count=N_TASKS)
    wait_until(lambda: is_burnt_down(cluster), "all tasks run", 60)
    api = cluster.api("few")
    for n in (1, size.streams):
        yield from asyncio.run(measure(stage, cluster, api, n))
    stage.close_cluster(cluster)
