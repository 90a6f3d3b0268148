# SPDX-License-Identifier: Apache-2.0
"""Logs that are followed: frames of WebSockets as Coder's clients read them, and event streams.

Goal: nothing is missed, nothing comes twice, and the end is told; whoever may not see it gets an
answer in HTTP before there is a WebSocket.
"""

import json
import threading
import uuid

import pytest

from lib import templates
from lib.api import message_of
from lib.sse import EventStream
from lib.sse import Refused as StreamRefused
from lib.wait import wait_until
from lib.websocket import Refused, WebSocket

CLUSTER = dict(workers=1)


def url(cluster, path):
    return cluster.gateway.url + "/api/v2" + path


def token(cluster, user="admin"):
    return cluster.session.tokens[user]


@pytest.fixture(scope="module")
def done(cluster):
    """A task whose app has ended, its build and its agent."""
    api = cluster.api()
    task = api.create(cluster.shell, "echo hello")
    task = api.wait_complete(task)
    return {"task": task, "build": build_of(api, task), "agent": task["workspace_agent_id"]}


def build_of(api, task):
    return api.get(f"/workspaces/{task['workspace_id']}", expect=200).json()["latest_build"]["id"]


def frames(cluster, path, user="admin"):
    """All of a WebSocket's frames as JSON; it must end with 1000."""
    with WebSocket(url(cluster, path), token(cluster, user)) as ws:
        texts = [json.loads(text) for text in ws]
        assert ws.close_code == 1000, (ws.close_code, ws.close_reason)
        return texts


# ---- builds

def test_a_build_that_is_over(cluster, api, done):
    """Goal: one object per frame, as the plain route has them, then 1000; `after` leaves out."""
    path = f"/workspacebuilds/{done['build']}/logs"
    lines = api.get(path, expect=200).json()
    assert len(lines) > 1
    assert frames(cluster, path + "?follow") == lines
    assert frames(cluster, path + f"?follow=true&after={lines[0]['id']}") == lines[1:]
    assert set(lines[0]) == {"id", "created_at", "log_source", "log_level", "stage", "output"}
    assert api.get(path + "?follow=false", expect=200).json() == lines


def test_builds_are_followed_from_their_begin(cluster, api):
    """Goal: twenty readers who come while a build is on its way all see the same, whole."""
    task = api.create(cluster.shell, "echo hello")
    build = build_of(api, task)
    seen = [None] * 20

    def read(i):
        seen[i] = frames(cluster, f"/workspacebuilds/{build}/logs?follow")

    threads = [threading.Thread(target=read, args=(i,)) for i in range(len(seen))]
    [t.start() for t in threads]
    [t.join() for t in threads]
    lines = api.get(f"/workspacebuilds/{build}/logs", expect=200).json()
    assert lines and all(s == lines for s in seen)


def test_a_long_log_comes_whole(cluster, api, done):
    """Goal: many pages, lines longer than a frame's piece, a reader who is slow."""
    job, = cluster.sql_one("SELECT job_id::text FROM builds WHERE id = %s", done["build"])
    cluster.sql("""INSERT INTO build_logs (job_id, id, level, stage, output, created_at)
                   SELECT %s, (1::bigint << 40) + n, 'info', 'long', repeat('x', 10 + n %% 7 * 1000), now()
                   FROM generate_series(1, 3000) n""", job)
    cluster.sql("""INSERT INTO build_logs VALUES (%s, 1::bigint << 41, 'info', 'long', repeat('y', 700000), now())""",
                job)
    path = f"/workspacebuilds/{done['build']}/logs"
    lines = api.get(path, expect=200).json()
    with WebSocket(url(cluster, path + "?follow"), token(cluster), receive_buffer=4096) as ws:
        assert [json.loads(text) for text in ws] == lines
        assert ws.close_code == 1000
    with EventStream(url(cluster, path + "?follow"), token(cluster)) as events:
        found = list(events)
    assert [json.loads(e.data) for e in found if e.name == "log"] == lines
    assert found[-1].name == "done" and [e.id for e in found[:-1]] == [str(x["id"]) for x in lines]


def test_an_event_stream_goes_on_behind_its_last_event(cluster, api, done):
    """Goal: Last-Event-ID is as good as `after`."""
    path = f"/workspacebuilds/{done['build']}/logs"
    lines = api.get(path, expect=200).json()
    with EventStream(url(cluster, path + "?follow"), token(cluster), last_event_id=str(lines[1]["id"])) as events:
        assert [json.loads(e.data) for e in events if e.name == "log"] == lines[2:]


# ---- imports

def test_an_import_is_followed(cluster, api):
    """Goal: what `coder templates push` reads, while it happens; also of one that fails."""
    for files, status in ((templates.shell(), "succeeded"), (templates.shell(colour="red"), "failed")):
        version = api.import_version_begun(files)
        lines = frames(cluster, f"/templateversions/{version['id']}/logs?follow")
        assert lines == api.get(f"/templateversions/{version['id']}/logs", expect=200).json()
        after = api.get(f"/templateversions/{version['id']}", expect=200).json()
        assert after["job"]["status"] == status


# ---- agents

def test_an_agent_is_followed_to_its_end(cluster, api):
    """Goal: arrays of lines, the first frame at once, each line once, the end by 1000."""
    task = api.wait_complete(api.create(cluster.shell, "echo hello"))
    path = f"/workspaceagents/{task['workspace_agent_id']}/logs"
    with WebSocket(url(cluster, path + "?follow=true&no_compression"), token(cluster)) as ws:
        first = ws.json()
        assert isinstance(first, list)
        api.pause(task)
        rest = [json.loads(text) for text in ws]
        assert ws.close_code == 1000
    lines = first + [line for frame in rest for line in frame]
    assert lines == api.get(path, expect=200).json()
    assert all(rest), "but for the first, no frame is empty"
    assert [line["id"] for line in lines] == sorted({line["id"] for line in lines})


def test_lines_of_an_agent_come_as_they_are_written(cluster, api):
    """Goal: a line that is written now is a frame now; `after` leaves out."""
    task = api.wait_complete(api.create(cluster.shell, "echo hello"))
    agent = task["workspace_agent_id"]
    with WebSocket(url(cluster, f"/workspaceagents/{agent}/logs?follow&after=1000000"), token(cluster)) as ws:
        assert ws.json() == []
        cluster.sql("INSERT INTO agent_logs VALUES (%s, 1000001, 'start', 'info', 'late <&> €', now())", agent)
        line, = ws.json()
        assert (line["id"], line["output"], line["level"]) == (1000001, "late <&> €", "info")


# ---- refusals

def refused(cluster, path, user="admin"):
    with pytest.raises(Refused) as refusal:
        WebSocket(url(cluster, path), token(cluster, user) if user else None)
    return refusal.value.status, json.loads(refusal.value.body)["message"]


def test_refusals_come_before_there_is_a_websocket(cluster, done):
    """Goal: 401, 404 and 400 as HTTP, with Coder's bodies; nobody reads what is another's."""
    none = uuid.uuid4()
    for path in (f"/workspacebuilds/{done['build']}/logs?follow", f"/workspaceagents/{done['agent']}/logs?follow"):
        assert refused(cluster, path, user=None)[0] == 401
        assert refused(cluster, path, user="bob")[0] == 404
        assert refused(cluster, path + "&after=x")[0] == 400
        assert refused(cluster, path + "&format=text") == (
            400, "Text format is not supported with follow mode.")
        with pytest.raises(StreamRefused) as refusal:
            EventStream(url(cluster, path), token(cluster, "bob"))
        assert refusal.value.status == 404
    assert refused(cluster, f"/workspacebuilds/{none}/logs?follow")[0] == 404
    assert refused(cluster, f"/templateversions/{none}/logs?follow")[0] == 404
    assert refused(cluster, f"/workspaceagents/{none}/logs?follow")[0] == 404
    assert refused(cluster, "/workspacebuilds/nonsense/logs?follow")[0] == 400


def test_follow_wants_a_stream(cluster, api, done):
    """Goal: 426 tells an ordinary request what to ask for."""
    answer = api.get(f"/workspacebuilds/{done['build']}/logs?follow", expect=426)
    assert message_of(answer) and answer.headers["Upgrade"] == "websocket"


# ---- the gateway comes and goes

def metric(api, name):
    lines = api.get("/metrics", prefix="", expect=200).text.splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name + " ")))


def test_readers_who_leave_are_forgotten(cluster, api, done):
    """Goal: a hundred streams left open cost nothing once their readers have gone."""
    wait_until(lambda: metric(api, "stint_gateway_streams") == 0, "no stream is left", 15)
    path = f"/workspaceagents/{done['agent']}/logs?follow"
    sockets = [WebSocket(url(cluster, path), token(cluster)) for _ in range(50)]
    streams = [EventStream(url(cluster, path), token(cluster)) for _ in range(50)]
    assert metric(api, "stint_gateway_streams") == 100
    for one in sockets + streams:
        one.close()
    wait_until(lambda: metric(api, "stint_gateway_streams") == 0, "all are forgotten", 15)


def test_a_websocket_is_pinged_and_takes_what_it_is_sent(cluster, api, done):
    """Goal: what a client says does no harm: texts, pings, a close."""
    with WebSocket(url(cluster, f"/workspaceagents/{done['agent']}/logs?follow"), token(cluster)) as ws:
        assert ws.json() is not None
        ws.send("hello?")
        ws.send_frame(9, b"are you there")
        ws.send_frame(8, b"\x03\xe8")
        assert ws.read() is None and ws.close_code == 1000


def test_nonsense_ends_the_websocket_alone(cluster, api, done):
    """Goal: frames that are none end their connection, and the gateway goes on."""
    path = f"/workspaceagents/{done['agent']}/logs?follow"
    for nonsense in (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x81\x05hello", b"\x80\x80\0\0\0\0",
                     b"\x89\xfe\x7f\xff" + b"x" * 4, b"\x83\x80\0\0\0\0"):
        ws = WebSocket(url(cluster, path), token(cluster))
        ws.send_bytes(nonsense)
        ws.close()
    assert api.get("/buildinfo").status_code == 200
    assert frames(cluster, f"/workspacebuilds/{done['build']}/logs?follow")


def test_a_gateway_that_stops_says_so(cluster, api, done):
    """Goal: SIGTERM closes WebSockets with 1001 and ends event streams in order, at once."""
    path = f"/workspaceagents/{done['agent']}/logs?follow"
    ws = WebSocket(url(cluster, path), token(cluster))
    events = EventStream(url(cluster, path), token(cluster))
    assert ws.json() is not None
    cluster.gateway.stop()
    assert [text for text in ws] == [] and ws.close_code == 1001
    assert all(e.name == "log" for e in events)
    ws.close(), events.close()
    cluster.start_gateway()
    assert frames(cluster, f"/workspacebuilds/{done['build']}/logs?follow")
