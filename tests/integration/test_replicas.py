# SPDX-License-Identifier: Apache-2.0
"""Two gateways before one Stint: to a client they are one, and one of them may die."""

import itertools
import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from lib.api import OWN, Api, message_of
from lib.load import ONCE, assert_each_ran_once
from lib.sse import EventStream
from lib.sse import Refused as StreamRefused
from lib.wait import wait_for_room, wait_until

CLUSTER = dict(workers=2, gateways=2)

PASSWORD = "correct-horse-battery-9"


@pytest.fixture
def both(cluster):
    """both("bob"): a client of each gateway."""
    def both(user="admin", token=None):
        token = token or cluster.session.tokens[user]
        return [Api(lambda g=gateway: g.url, token) for gateway in cluster.gateways]
    return both


@pytest.fixture
def revive(cluster):
    """Whatever a test has killed is there again after it."""
    yield
    for gateway in cluster.gateways:
        if not gateway.is_running():
            cluster.start_gateway(gateway)


def login(cluster, which, email, password=PASSWORD):
    return requests.post(cluster.gateways[which].url + "/api/v2/users/login",
                         json={"email": email, "password": password}, timeout=10)


def new_user(api, name):
    return api.post("/users", {"username": name, "email": f"{name}@example.com", "password": PASSWORD,
                               "login_type": "password", "organization_ids": [api.organization_id()]},
                    expect=201).json()


# ---------------------------------------------------------------- either answers

def test_a_life_with_turns(cluster, both):
    """Goal: each request of a task's life goes to the other gateway than the one before."""
    turns = itertools.cycle(both())
    task = next(turns).create(cluster.shell, "echo up", name="turns")
    wait_until(lambda: (next(turns).task(task)["current_state"] or {}).get("state") == "complete", "complete")
    next(turns).send(task, "echo more")
    wait_until(lambda: "more" in next(turns).output(task), "it was run")
    wait_until(lambda: next(turns).task(task)["current_state"]["state"] == "complete", "complete")
    next(turns).pause(task)
    wait_until(lambda: next(turns).task(task)["status"] == "paused", "paused")
    next(turns).set_input(task, "echo other")
    wait_until(lambda: next(turns).task(task)["initial_prompt"] == "echo other", "the word has come", 2)
    next(turns).resume(task)
    wait_until(lambda: "other" in next(turns).output(task), "the new prompt is run")
    next(turns).remove(task)
    wait_until(lambda: next(turns).get("/tasks/me/turns").status_code == 404, "gone", 2)
    assert next(turns).get("/tasks/me/turns").status_code == 404


def test_both_say_the_same(cluster, both):
    """Goal: when nothing changes, every answer is the same, byte for byte."""
    one, two = both()
    task = one.wait_complete(one.create(cluster.shell, "echo same"))
    for path in (f"/tasks/me/{task['id']}", f"/tasks/me/{task['id']}/logs", f"/workspaces/{task['workspace_id']}",
                 "/users/me", "/templates", "/tasks/me/none", "/tasks?q=x:1"):
        wait_until(lambda p=path: one.get(p).content == two.get(p).content, f"{path} is the same", 2)


# ---------------------------------------------------------------- people, sessions, keys

def test_a_session_of_one_is_one_of_the_other(cluster, both):
    """Goal: logged in at one, known by the other; logged out at one, unknown to the other."""
    one, _ = both()
    new_user(one, "walter")
    token = login(cluster, 0, "walter@example.com").json()["session_token"]
    mine = both(token=token)
    assert [api.me()["username"] for api in mine] == ["walter", "walter"]
    mine[1].post("/users/logout", expect=200)
    message_of(mine[1].get("/users/me", expect=401))
    wait_until(lambda: mine[0].get("/users/me").status_code == 401, "the other knows it", 2)


def test_a_key_of_one_is_one_of_the_other(cluster, both):
    """Goal: a key works at once at both, and after its revocation, within moments, at neither."""
    one, two = both("carol")
    key = one.post("/users/me/keys", expect=201).json()["key"]
    with_key = both(token=key)
    assert [api.me()["username"] for api in with_key] == ["carol", "carol"]
    two.delete(f"/users/me/keys/{key[:10]}", expect=204)
    assert with_key[1].get("/users/me").status_code == 401
    wait_until(lambda: with_key[0].get("/users/me").status_code == 401, "the other knows it", 2)


def test_a_suspension_is_heard_by_both(cluster, both):
    """Goal: all that a suspended user has is worth nothing, at both; and again when it is active."""
    one, two = both()
    user = new_user(one, "wanda")
    token = login(cluster, 1, "wanda@example.com").json()["session_token"]
    hers = both(token=token)
    assert [api.get("/users/me").status_code for api in hers] == [200, 200]
    one.request("PUT", f"/users/{user['id']}/status/suspend", expect=200)
    for api in hers:
        wait_until(lambda a=api: a.get("/users/me").status_code == 401, "she is out", 2)
    two.request("PUT", f"/users/{user['id']}/status/activate", expect=200)
    again = login(cluster, 0, "wanda@example.com")
    assert again.status_code == 201, again.text


# ---------------------------------------------------------------- limits

def test_one_count_of_requests(clusters):
    """Goal: what one has let through counts at the other, within moments; refused by one is refused
    by both.  (What arrives within the same tenth of a second is counted by each alone at first.)"""
    cluster = clusters(workers=0, gateways=2, gateway={"rate_limits": "true", "rate_limit_api": "40"})
    one, two = (Api(lambda g=g: g.url, cluster.session.tokens["bob"]) for g in cluster.gateways)
    asked = 30
    wait_for_room()

    def left(api):
        return int(api.get("/tasks", expect=200).headers["X-RateLimit-Remaining"])

    def knows():
        nonlocal asked
        asked += 1
        return left(two) == 40 - asked

    assert [left(one) for _ in range(asked)] == list(range(39, 9, -1))
    wait_until(knows, "the other counts them, too", 2, interval=0.15)
    for _ in range(40 - asked):
        two.get("/tasks", expect=200)
    for api in (two, one):
        wait_until(lambda a=api: a.get("/tasks").status_code == 429, "it refuses", 2, interval=0.15)
        refused = api.get("/tasks", expect=429)
        assert message_of(refused) == "You've been rate limited for sending more than 40 requests in 1m0s."
        assert refused.headers["Retry-After"] == "60"


def test_one_count_of_bad_passwords(clusters):
    """Goal: who has tried too often at one has to wait at the other as well, the right word or not."""
    cluster = clusters(workers=0, gateways=2)
    new_user(cluster.api(), "victim")
    tries = itertools.cycle((0, 1))
    answers = [login(cluster, next(tries), "victim@example.com", "wrong-word-9") for _ in range(12)]
    assert answers[0].status_code == 401 and answers[-1].status_code == 429, [a.status_code for a in answers]
    first = [a.status_code for a in answers].index(429)
    assert {a.status_code for a in answers[first:]} == {429}
    for which in (0, 1):
        told = login(cluster, which, "victim@example.com")
        assert told.status_code == 429 and int(told.headers["Retry-After"]) > 0, told.text


def test_the_cap_is_the_same_behind_both(clusters):
    """Goal: a start refused by one is refused by the other; a place that is free is so for both."""
    cluster = clusters(workers=1, gateways=2, scheduler={"cap": 1, "cap_policy": "reject", "make_room": "false"})
    one, two = (Api(lambda g=g: g.url, cluster.session.tokens["admin"]) for g in cluster.gateways)
    task = one.wait_complete(one.create(cluster.shell, "echo up"))
    for api in (two, one):
        message_of(api.create(cluster.shell, "true", expect=403))
    two.pause(task)
    two.wait_status(task, "paused")
    one.create(cluster.shell, "true")


# ---------------------------------------------------------------- asking again at the other

def test_the_same_request_at_the_other(cluster, both):
    """Goal: a create whose answer was lost is asked for again at the other gateway, with the same
    Idempotency-Key: one task, one answer."""
    one, two = both()
    key = {"Idempotency-Key": str(uuid.uuid4())}
    body = {"template": "shell", "input": "echo once"}
    first = one.post("/tasks", body, prefix=OWN, headers=key, expect=201).json()
    again = two.post("/tasks", body, prefix=OWN, headers=key, expect=(200, 201)).json()
    assert again["id"] == first["id"]
    assert [t["id"] for t in two.tasks("owner:me")["tasks"]].count(first["id"]) == 1


def test_one_dies_under_load(cluster, both, revive):
    """Goal: kill -9 of one while both create: who goes to the other then loses nothing and doubles
    nothing.  Method: each client asks again, at the other, with the same name; 409 tells that the
    first asking was heard."""
    apis = both()
    made, begun = {}, threading.Semaphore(0)

    def create(i):
        name = f"survivor-{i}"
        for attempt in range(40):
            api = apis[(i + attempt) % 2]
            try:
                answer = api.create(cluster.shell, ONCE, name=name, expect=(201, 409, 503))
            except requests.RequestException:
                continue
            finally:
                begun.release()
            if isinstance(answer, dict):
                made[name] = answer["id"]
                return
            if answer.status_code == 409:
                made[name] = api.get(f"/tasks/me/{name}", expect=200).json()["id"]
                return
        raise AssertionError(f"{name} was never accepted")

    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(create, i) for i in range(24)]
        for _ in range(6):
            begun.acquire(timeout=20)
        cluster.gateways[0].kill()
        for job in jobs:
            job.result(60)
    assert len(made) == len(set(made.values())) == 24
    listed = [t["name"] for t in apis[1].tasks("owner:me")["tasks"]]
    assert sorted(n for n in listed if n.startswith("survivor-")) == sorted(made)
    cluster.start_gateway(cluster.gateways[0])
    assert_each_ran_once(cluster, list(made), 60)


# ---------------------------------------------------------------- streams

def follow(cluster, which, last_event_id=None, path="/events", user="admin"):
    return EventStream(cluster.gateways[which].url + OWN + path, cluster.session.tokens[user], last_event_id)


def test_a_stream_goes_on_at_the_other(cluster, both, revive):
    """Goal: kill -9 of the gateway that a stream comes from; with its last id the other goes on: what
    happened meanwhile is told, and the state is not told all over again."""
    one, two = both("bob")
    before = one.wait_complete(one.create(cluster.shell, "echo before"))
    told = {}
    with follow(cluster, 0, user="bob") as stream:
        events = stream.until(lambda name, _: name == "synced")
        assert before["id"] in [json.loads(e.data)["id"] for e in events if e.name == "task"]
        mine = one.create(cluster.shell, "echo mine")
        stream.until(lambda name, data: name == "task" and data["id"] == mine["id"])
        last = stream.last_id
        cluster.gateways[0].kill()
        while stream.read() is not None:
            pass  # what was on its way
    meanwhile = two.create(cluster.shell, "echo meanwhile")
    two.wait_complete(meanwhile)
    two.wait_complete(mine)
    with follow(cluster, 1, last, user="bob") as stream:
        while told.get(mine["id"]) != "complete" or told.get(meanwhile["id"]) != "complete":
            event = stream.read()
            assert event is not None and event.name != "reset", event
            if event.name == "task":
                task = json.loads(event.data)
                told[task["id"]] = (task["current_state"] or {}).get("state")
        assert before["id"] not in told, "what has not changed is not told again"


def test_a_tasks_stream_goes_on_at_the_other(cluster, both, revive):
    """Goal: the conversation as a stream, cut in the middle by kill -9: no entry is lost or doubled."""
    one, two = both("bob")
    task = one.wait_complete(one.create(cluster.shell, "echo 0"))
    seen = []

    def read_until(stream, text):
        while not any(text in m["content"] for m in seen):
            event = stream.read()
            assert event is not None and event.name != "reset", event
            if event.name == "message":
                seen.append(json.loads(event.data))

    path = f"/tasks/{task['id']}/events"
    with follow(cluster, 0, path=path, user="bob") as stream:
        read_until(stream, "0\n")
        two.send(task, "echo 1")
        read_until(stream, "1\n")
        last = stream.last_id
        cluster.gateways[0].kill()
    wait_until(lambda: two.send(task, "echo 2", expect=(204, 409)).status_code == 204, "it takes it")
    wait_until(lambda: "2\n" in two.output(task), "it was run")
    with follow(cluster, 1, last, path, "bob") as stream:
        read_until(stream, "2\n")
    whole = {entry["id"]: entry["content"] for entry in two.logs(task)["logs"]}
    assert {m["id"]: m["content"] for m in seen}.items() <= whole.items()
    assert sorted({m["id"] for m in seen}) == sorted(whole), "every entry"


def test_a_stream_ends_with_its_gateway_and_not_before(cluster, both, revive):
    """Goal: SIGTERM ends streams in order; the client goes on at the other where it was."""
    one, _ = both()
    with follow(cluster, 0) as stream:
        stream.until(lambda name, _: name == "synced")
        last = stream.last_id
        assert cluster.gateways[0].stop() == 0
        while stream.read() is not None:
            pass
    with follow(cluster, 1, last) as stream:
        task = both()[1].create(cluster.shell, "true")
        events = stream.until(lambda name, data: name == "task" and data["id"] == task["id"])
        assert "reset" not in [e.name for e in events]


def test_no_stream_without_a_token(cluster):
    """Goal: 401 at either, before the first byte of a stream."""
    for gateway in cluster.gateways:
        with pytest.raises(StreamRefused) as refused:
            EventStream(gateway.url + OWN + "/events")
        assert refused.value.status == 401
