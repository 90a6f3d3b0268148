# SPDX-License-Identifier: Apache-2.0
"""Event streams: of all tasks that somebody may see, of one task, and Coder's watching of a workspace.

Goal: what a stream says ends up as what a GET says, in order, whoever of two gateways says it, and
whatever dies meanwhile; nobody hears of what he may not see.
"""

import json
import signal
import time
import uuid

import pytest

from lib.api import Api
from lib.load import ONCE
from lib.sse import EventStream, Refused
from lib.wait import wait_until
from lib.websocket import Refused as WebSocketRefused
from lib.websocket import WebSocket

CLUSTER = dict(workers=1, gateways=2, gateway={"stream_stall": "2s"})
STINT = "/api/stint/v1"
TALK = "echo one; echo two; echo three"


def stream(cluster, path="/events", last=None, gateway=0, user="admin", prefix=STINT, **more):
    return EventStream(cluster.gateways[gateway].url + prefix + path, cluster.session.tokens[user],
                       last_event_id=last, **more)


def of_task(task):
    return f"/tasks/{task['id']}/events"


def synced(events):
    return events.until(lambda name, data: name == "synced")


def until_task(events, task, is_it):
    return events.until(lambda name, data: name == "task" and data["id"] == task["id"] and is_it(data))


def is_complete(task):
    return (task["current_state"] or {}).get("state") == "complete"


def tasks_of(events):
    return [json.loads(e.data) for e in events if e.name == "task"]


def names(events):
    return [e.name for e in events]


def place(event_id):
    ms, seq = event_id.split(";")[0].split("-")
    return int(ms), int(seq)


def texts(events, name):
    return [json.loads(e.data) for e in events if e.name == name]


# ---- all tasks

def test_a_life_in_order(cluster, api):
    """Goal: a new task is told from its first state to its last, in order, on both gateways."""
    with stream(cluster) as one, stream(cluster, gateway=1) as two:
        for events in (one, two):
            assert synced(events)[-1].id
        task = api.create(cluster.shell, "sleep 0.3; echo done")
        for events in (one, two):
            told = until_task(events, task, is_complete)
            order = ["pending", "initializing", "active"]
            seen = [order.index(t["status"]) for t in tasks_of(told) if t["id"] == task["id"]]
            assert seen == sorted(seen) and seen[-1] == 2
            places = [place(e.id) for e in told if e.id]
            assert places == sorted(places)
            last = tasks_of(told)[-1]
            assert last.keys() == api.get(f"/tasks/{task['id']}", prefix=STINT, expect=200).json().keys()


def test_the_present_comes_first(cluster, api):
    """Goal: a new stream begins with all tasks, as they are; then comes what changes."""
    task = api.wait_complete(api.create(cluster.shell, ONCE))
    with stream(cluster) as events:
        begin = synced(events)
        assert names(begin) == ["task"] * (len(begin) - 1) + ["synced"]
        assert begin[-1].data == "{}"
        told = {t["id"]: t for t in tasks_of(begin)}
        assert set(told) == {t["id"] for t in api.tasks()["tasks"]}
        assert told[task["id"]] == api.get(f"/tasks/{task['id']}", prefix=STINT).json()
        api.remove(task)
        gone = events.until(lambda name, data: name == "deleted")
        assert json.loads(gone[-1].data) == {"id": task["id"]}


def test_a_change_is_told_soon(cluster, api):
    """Goal: from the answer to a write until the event there are milliseconds, not the next poll."""
    task = api.wait_complete(api.create(cluster.shell, ONCE))
    took = []
    with stream(cluster, gateway=1) as events:
        synced(events)
        for i in range(10):
            api.patch(f"/tasks/{task['id']}", {"display_name": f"name {i}"}, prefix=STINT, expect=200)
            begin = time.monotonic()
            until_task(events, task, lambda t: t["display_name"] == f"name {i}")
            took.append(time.monotonic() - begin)
    assert sorted(took)[5] < 0.05, took


def test_a_member_sees_its_own(cluster, api):
    """Goal: of others' tasks a member hears nothing, not even that they are gone; admins hear all."""
    mine, others = cluster.api("bob"), api.create(cluster.shell, ONCE)
    with stream(cluster, user="bob") as events, stream(cluster, user="admin", gateway=1) as all_events:
        assert others["id"] not in [t["id"] for t in tasks_of(synced(events))]
        api.wait_complete(others)
        api.remove(others)
        task = mine.create(cluster.shell, ONCE)
        told = until_task(events, task, is_complete)
        assert {t["id"] for t in tasks_of(told)} == {task["id"]} and "deleted" not in names(told)
        until_task(all_events, task, is_complete)
    for foreign in (others["id"], api.create(cluster.shell, ONCE)["id"], str(uuid.uuid4())):
        with pytest.raises(Refused) as refused:
            stream(cluster, f"/tasks/{foreign}/events", user="bob")
        assert refused.value.status == 404
    with pytest.raises(Refused) as refused:
        EventStream(cluster.gateway.url + STINT + "/events", "not-a-token")
    assert refused.value.status == 401


def test_a_revoked_key_ends_its_streams(cluster, api):
    """Goal: a stream does not outlive the key that it was asked for with."""
    key = api.post("/users/me/keys", expect=201).json()["key"]
    with EventStream(cluster.gateways[1].url + STINT + "/events", key) as events:
        synced(events)
        api.delete(f"/users/me/keys/{key.split('-')[0]}", expect=204)
        assert all(e.name in ("task", "deleted") for e in events)  # of others; then it has ended


# ---- one task

def test_what_a_task_says(cluster, api):
    """Goal: messages and lines of both logs come whole and in order, before the state that follows
    them; a second stream begins with all of it."""
    task = api.create(cluster.shell, TALK)
    with stream(cluster, of_task(task)) as events:
        told = until_task(events, task, is_complete)
    api.wait_complete(task)
    with stream(cluster, of_task(task), gateway=1) as events:
        again = synced(events)
    entries = api.logs(task)["logs"]
    for story in (told, again):
        said = {m["id"]: m for m in texts(story, "message")}
        assert [said[e["id"]]["content"] for e in entries] == [e["content"] for e in entries]
        lines = [(l["source"], l.get("job_id") or l["agent_id"], l["id"]) for l in texts(story, "log")]
        assert len(lines) == len(set(lines)) > 0
        assert {l["source"] for l in texts(story, "log")} >= {"build"}
    build = api.get(f"/workspaces/{task['workspace_id']}").json()["latest_build"]["id"]
    assert [l["output"] for l in texts(again, "log") if l["source"] == "build"] == \
        [l["output"] for l in api.get(f"/workspacebuilds/{build}/logs").json()]
    assert names(again).count("task") == 1 and names(again)[-2:] == ["task", "synced"]


def test_a_task_goes_on_behind_any_event(cluster, api):
    """Goal: cut off behind any event and asked for on the other gateway, a stream says exactly the
    rest.  Method: the whole story once, then from each of its ids."""
    task = api.wait_complete(api.create(cluster.shell, TALK))
    with stream(cluster, of_task(task)) as events:
        whole = synced(events)
    steps = [e for e in whole if e.name in ("message", "log")]
    assert len(steps) >= 4
    for i, step in enumerate(steps):
        with stream(cluster, of_task(task), last=step.id, gateway=1) as events:
            rest = synced(events)
        assert "reset" not in names(rest)
        assert [(e.name, e.data) for e in rest if e.name in ("message", "log")] == \
            [(e.name, e.data) for e in steps[i + 1:]]
    for bad in ("x", "1-2;m=x", "1-2;b=1:2", "1-2;q=1", "1-2;m=1:" + "f" * 40):
        with stream(cluster, of_task(task), last=bad) as events:
            again = synced(events)
        assert names(again)[0] == "reset"
        assert [e.data for e in again[1:] if e.name in ("message", "log")] == [e.data for e in steps]


def test_a_paused_task_goes_on(cluster, api):
    """Goal: pause, a message that waits, resume and delete, each told to the one who follows."""
    task = api.wait_complete(api.create(cluster.shell, ONCE))
    with stream(cluster, of_task(task)) as events:
        synced(events)
        api.pause(task)
        paused = until_task(events, task, lambda t: t["status"] == "paused")
        builds = {l["job_id"] for l in texts(paused, "log") if l["source"] == "build"}
        api.queue(task, "hello")
        waits = events.until(lambda name, data: name == "queued_message")
        assert json.loads(waits[-1].data)["content"] == "hello"
        api.resume(task)
        resumed = until_task(events, task, lambda t: t["status"] == "active")
        assert {l["job_id"] for l in texts(resumed, "log") if l["source"] == "build"} - builds
        api.remove(task)
        assert events.until(lambda name, data: name == "deleted")[-1].data == json.dumps({"id": task["id"]},
                                                                                         separators=(",", ":"))
        assert events.read() is None


# ---- things die

def test_a_gateway_dies(cluster, api):
    """Goal: kill -9 of a gateway costs its streams, which go on at the other without a reset: what
    changed meanwhile is told, the rest is not."""
    quiet, busy = (api.wait_complete(api.create(cluster.shell, ONCE)) for _ in range(2))
    other = Api(lambda: cluster.gateways[1].url, cluster.session.tokens["admin"])
    with stream(cluster) as events, stream(cluster, of_task(busy)) as one:
        last = synced(events)[-1].id
        one_last = synced(one)[-1].id
        cluster.gateways[0].kill()
        assert [e for e in events if e.name != "task"] == [] and one.read() is None
        last = events.last_id
        cluster.start_gateway(cluster.gateways[0])
    other.patch(f"/tasks/{busy['id']}", {"display_name": "changed"}, prefix=STINT, expect=200)
    gone = other.wait_complete(other.create(cluster.shell, ONCE))
    other.remove(gone)
    with stream(cluster, last=last, gateway=1) as events:
        told = synced(events)
        assert "reset" not in names(told)
        told_of = [t["id"] for t in tasks_of(told)]
        assert busy["id"] in told_of and quiet["id"] not in told_of
        assert gone["id"] in [d["id"] for d in texts(told, "deleted")]
    with stream(cluster, of_task(busy), last=one_last, gateway=1) as events:
        told = synced(events)
        assert names(told) == ["task", "synced"] and tasks_of(told)[0]["display_name"] == "changed"


def test_redis_forgets(cluster, api):
    """Goal: FLUSHALL and a Redis that comes back empty: open streams begin anew and go on, old ids
    lead to a reset."""
    task = api.wait_complete(api.create(cluster.shell, ONCE))
    with stream(cluster) as events, stream(cluster, of_task(task)) as one:
        last = synced(events)[-1].id
        synced(one)
        for forget in (cluster.redis.client.flushall, lambda: (cluster.redis.kill(), cluster.redis.start())):
            is_gone = forget != cluster.redis.client.flushall
            forget()
            if is_gone:  # else whoever had read all misses nothing when news come at once
                told = synced(events)
                assert names(told)[0] == "reset" and task["id"] in [t["id"] for t in tasks_of(told)]
            name = uuid.uuid4().hex
            api.patch(f"/tasks/{task['id']}", {"display_name": name}, prefix=STINT, expect=200)
            until_task(events, task, lambda t: t["display_name"] == name)
            until_task(one, task, lambda t: t["display_name"] == name)
            with stream(cluster, last=last, gateway=1) as late:
                assert names(synced(late))[0] == "reset"
    for old in (last, "0-0", "1-1", "nonsense", "9" * 30 + "-1"):
        with stream(cluster, last=old) as events:
            assert names(synced(events))[0] == "reset"


def test_a_reader_who_does_not_read(cluster, api):
    """Goal: whoever takes nothing is cut off, others notice nothing, and his last id still leads on."""
    def cut():
        text = api.get("/metrics", prefix="").text
        return int(float(next(line.split()[1] for line in text.splitlines()
                              if line.startswith("stint_gateway_streams_cut_total"))))
    task = api.wait_complete(api.create(cluster.shell, ONCE))
    before = cut()
    with stream(cluster) as slow, stream(cluster) as quick:
        synced(slow), synced(quick)
        last = slow.last_id
        long = "x" * 50000
        # Far more than the sockets' buffers hold.
        for i in range(300):
            cluster.sql("UPDATE tasks SET prompt = %s WHERE id = %s", f"{i} {long}", task["id"])
            cluster.redis.client.xadd("stint:changes", {"t": uuid.UUID(task["id"]).bytes, "w": f"t:1:{i}"})
            until_task(quick, task, lambda t: t["initial_prompt"].startswith(f"{i} "))
        wait_until(lambda: cut() == before + 1, "the slow one is cut off", 15)
    with stream(cluster, last=last) as events:
        assert tasks_of(synced(events))[-1]["initial_prompt"].startswith("299 ")


def test_the_end_is_told(cluster, api):
    """Goal: SIGTERM ends event streams in order (the last chunk comes) and WebSockets with 1001."""
    task = api.wait_complete(api.create(cluster.shell, ONCE))
    gateway = cluster.gateways[1]
    watch = f"/api/v2/workspaces/{task['workspace_id']}/watch-ws"
    with stream(cluster, gateway=1) as events, WebSocket(gateway.url + watch, api.token) as frames:
        last = synced(events)[-1].id
        frames.read(), frames.read()
        gateway.signal(signal.SIGTERM)
        assert events.read() is None and events._response.isclosed()
        assert frames.read() is None and frames.close_code == 1001
    gateway.wait_exit()
    cluster.start_gateway(gateway)
    with stream(cluster, last=last, gateway=1) as events:
        assert "reset" not in names(synced(events))


# ---- Coder's

def test_watch(cluster, api):
    """Goal: a workspace is watched as Coder's clients do it: a ping, the workspace, and the workspace
    again after each change, what the app says included; by SSE and by WebSocket."""
    task = api.create(cluster.shell, "sleep 0.5; echo said")
    path = f"/workspaces/{task['workspace_id']}/watch"
    with stream(cluster, path, prefix="/api/v2") as events, \
            WebSocket(cluster.gateways[1].url + "/api/v2" + path + "-ws", api.token) as frames:
        assert events.read().name == "ping"
        told = events.until(lambda name, data: name == "data" and
                            (data["latest_app_status"] or {}).get("state") == "complete")
        assert {e.name for e in told} <= {"data", "ping"}
        seen = [json.loads(e.data)["latest_build"]["job"]["status"] for e in told if e.name == "data"]
        assert seen[-1] == "succeeded" and len(told) > 1
        assert frames.json() == {"type": "ping", "data": None}
        frame = frames.json()
        while not (frame["data"]["latest_app_status"] or {}).get("state") == "complete":
            assert frame["type"] == "data" and frame["data"]["id"] == task["workspace_id"]
            frame = frames.json()
        now = api.get(f"/workspaces/{task['workspace_id']}", expect=200).json()
        assert frame["data"].keys() == now.keys()
    for user, status in (("bob", 404), (None, 401)):
        token = cluster.session.tokens[user] if user else None
        with pytest.raises(Refused) as refused:
            EventStream(cluster.gateway.url + "/api/v2" + path, token)
        assert refused.value.status == status
        with pytest.raises(WebSocketRefused) as refused:
            WebSocket(cluster.gateway.url + "/api/v2" + path + "-ws", token)
        assert refused.value.status == status


def test_streams_are_what_they_are(cluster, api):
    """Goal: a WebSocket where there is an event stream, and the other way about, is refused in words."""
    task = api.create(cluster.shell, ONCE)
    for path in (STINT + "/events", STINT + of_task(task), f"/api/v2/workspaces/{task['workspace_id']}/watch"):
        with pytest.raises(WebSocketRefused) as refused:
            WebSocket(cluster.gateway.url + path, api.token)
        assert refused.value.status == 400
    assert api.get(f"/workspaces/{task['workspace_id']}/watch-ws").status_code == 426
    for path in ("/tasks/not-an-id/events",):
        assert api.get(path, prefix=STINT).status_code == 400
