# SPDX-License-Identifier: Apache-2.0
"""Idempotency-Key: what is sent twice is done once and answered twice, whatever dies in between."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from lib.api import OWN, Api, problem_of
from lib.load import ONCE
from lib.wait import wait_until

CLUSTER = dict(workers=1, gateways=2)


def say(api, task, key, content="hello", **arguments):
    return api.post(f"/tasks/{task['id']}/messages", {"content": content}, prefix=OWN,
                    headers={"Idempotency-Key": key}, **arguments)


@pytest.fixture(scope="module")
def task(cluster):
    api = cluster.api()
    task = api.create(cluster.shell, ONCE, name="listener")
    api.wait_complete(task)
    api.pause(task)
    api.wait_status(task, "paused")
    return task


def test_a_message_sent_twice_is_one(cluster, task):
    api = cluster.api()
    first = say(api, task, "m-1", expect=201)
    again = say(api, task, "m-1", expect=201)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert [m["content"] for m in api.messages(task)].count("hello") == 1


def test_another_body_or_path_is_refused(cluster, task):
    api = cluster.api()
    say(api, task, "m-2", "one", expect=201)
    other = say(api, task, "m-2", "two", expect=422)
    problem_of(other)
    assert other.json()["type"] == "urn:stint:problem:idempotency-key-reused"
    say(cluster.api("bob"), task, "m-2", "one", expect=404)  # another's key is another


def test_refusals_are_kept_too(cluster, task):
    api = cluster.api()
    first = say(api, task, "m-3", " ", expect=400)
    again = say(api, task, "m-3", " ", expect=400)
    assert again.json() == first.json() and again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9", "x" * 600])
def test_bad_keys_are_refused(cluster, task, key):
    problem_of(say(cluster.api(), task, key.encode("latin-1"), expect=400))


# ---- tasks


def create(api, key, expect=201, **fields):
    return api.post("/tasks", {"template": "shell", "input": "exit 0"} | fields, prefix=OWN,
                    headers={"Idempotency-Key": key}, expect=expect)


def own(cluster, i):
    """A client of the i-th gateway."""
    return Api(lambda: cluster.gateways[i].url, cluster.session.tokens["admin"])


def count(cluster, name):
    return cluster.sql_one("SELECT count(*) FROM tasks WHERE lower(name) = lower(%s)", name)[0]


def test_tasks_made_twice_on_two_gateways(cluster):
    first = create(own(cluster, 0), "t-1", name="once")
    again = create(own(cluster, 1), "t-1", name="once")
    assert again.json() == first.json() and again.headers["Idempotency-Replayed"] == "true"
    for header in ("ETag", "Location", "Content-Type"):
        assert again.headers[header] == first.headers[header]
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert count(cluster, "once") == 1


def test_a_name_that_is_made_is_made_once(cluster):
    first = create(own(cluster, 0), "t-2", input="Paint the wall").json()
    again = create(own(cluster, 1), "t-2", input="Paint the wall").json()
    assert again == first


def test_bulks_and_commands(cluster):
    api = cluster.api()
    body = {"operations": [{"op": "create", "template": "shell", "input": "exit 0"}] * 5}
    headers = {"Idempotency-Key": "t-3"}
    first = api.post("/tasks/bulk", body, prefix=OWN, headers=headers, expect=200).json()
    assert api.post("/tasks/bulk", body, prefix=OWN, headers=headers, expect=200).json() == first
    task = first["results"][0]["task_id"]
    api.wait_complete(task)
    for _ in range(2):
        paused = api.post(f"/tasks/{task}/pause", prefix=OWN, headers={"Idempotency-Key": "t-4"}, expect=202)
    assert paused.headers["Idempotency-Replayed"] == "true"
    assert paused.json()["workspace_build_number"] == 2


def test_a_herd_with_one_key(cluster):
    """Goal: of many at once one is worked on; the others are told so, or get its answer."""
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(create, own(cluster, i % 2), "t-5", (201, 409), name="herd") for i in range(24)]
        answers = [a.result() for a in asked]
    made = [a.json()["id"] for a in answers if a.status_code == 201]
    assert made and len(set(made)) == 1
    for a in answers:
        if a.status_code == 409:
            assert a.json()["type"] == "urn:stint:problem:idempotency-key-in-use"
            assert a.headers["Retry-After"] == "1"
    assert create(own(cluster, 0), "t-5", name="herd").json()["id"] == made[0]


def test_a_day_later_a_key_is_new(cluster):
    first = create(cluster.api(), "t-6").json()
    cluster.sql("UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'")
    again = create(cluster.api(), "t-6").json()
    assert again["id"] != first["id"]
    assert cluster.sql_one("SELECT count(*) FROM idempotency_keys WHERE key = 't-1'")[0] == 0, "forgotten"


# ---- what dies in between


def test_a_gateway_killed_between_commit_and_answer(clusters):
    """Goal: the scheduler has made the task, the gateway dies before it stores or says its answer; the client
    asks the other gateway, and gets the task that was made.

    Method: a trigger holds the storing of the answer; the task's row shows that the scheduler has committed; then
    the gateway gets kill -9, and with it ends its session, which the trigger would keep alive.
    """
    cluster = clusters(workers=1, gateways=2)
    for key, path, body, name in (
            ("k-1", "/tasks", {"template": "shell", "input": "exit 0", "name": "survivor"}, "survivor"),
            ("k-2", "/tasks/bulk", {"operations": [{"op": "create", "template": "shell", "name": "survivor-2"}]},
             "survivor-2")):
        with cluster.postgres.connect(cluster.database) as lock, ThreadPoolExecutor(1) as pool:
            lock.autocommit = False
            cursor = lock.cursor()
            # Claims insert; only the answer updates.
            cluster.sql("CREATE OR REPLACE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS "
                        "'BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END'")
            cluster.sql("DROP TRIGGER IF EXISTS hold ON idempotency_keys")
            cluster.sql("CREATE TRIGGER hold BEFORE UPDATE ON idempotency_keys FOR EACH ROW "
                        "WHEN (NEW.status IS NOT NULL) EXECUTE FUNCTION hold()")
            cursor.execute("SELECT pg_advisory_lock(4711)")
            lost = pool.submit(own(cluster, 0).post, path, body, prefix=OWN, headers={"Idempotency-Key": key})
            wait_until(lambda: count(cluster, name) == 1, "the scheduler has committed the task", 10)
            cluster.gateways[0].kill()
            with pytest.raises(requests.ConnectionError):
                lost.result(20)
            cluster.sql("SELECT pg_terminate_backend(session_pid) FROM idempotency_keys WHERE key = %s", key)
            cursor.execute("SELECT pg_advisory_unlock(4711)")
            lock.rollback()
        assert cluster.sql_one("SELECT status FROM idempotency_keys WHERE key = %s", key)[0] is None
        cluster.sql("DROP TRIGGER hold ON idempotency_keys")

        def ask():
            answer = own(cluster, 1).post(path, body, prefix=OWN, headers={"Idempotency-Key": key})
            return answer if answer.status_code != 409 else None

        answer = wait_until(ask, "the dead gateway's claim is over", 10)
        assert answer.status_code in (200, 201), answer.text
        made = answer.json()["results"][0]["task_id"] if "results" in answer.json() else answer.json()["id"]
        assert str(cluster.sql_one("SELECT id FROM tasks WHERE name = %s", name)[0]) == made
        assert count(cluster, name) == 1
        again = own(cluster, 1).post(path, body, prefix=OWN, headers={"Idempotency-Key": key})
        assert again.json() == answer.json() and again.headers["Idempotency-Replayed"] == "true"
        cluster.start_gateway(cluster.gateways[0])


def test_too_many_keys_of_a_day(cluster, task):
    """Goal: at the limit a new key is answered 429 with a time to wait, counted; keys that are there go
    on to be answered; when old ones are over, new ones are taken."""
    api = cluster.api()
    first = say(api, task, "limit-0", "before the limit", expect=201)
    cluster.sql("INSERT INTO idempotency_keys (user_id, key, request_hash, session_pid, session_start, status, seed) "
                "SELECT user_id, 'fill-' || i, '', 0, now(), 200, gen_random_uuid() "
                "FROM idempotency_keys, generate_series(1, 10000) i WHERE key = 'limit-0' RETURNING 1")
    full = say(api, task, "limit-1", "beyond the limit", expect=429)
    problem_of(full)
    assert full.json()["type"] == "urn:stint:problem:idempotency-keys-exhausted"
    assert int(full.headers["Retry-After"]) > 0
    metrics = [requests.get(gateway.url + "/metrics", timeout=5).text for gateway in cluster.gateways]
    assert any("stint_gateway_idempotency_full_total 1\n" in text for text in metrics)
    assert say(api, task, "limit-0", "before the limit", expect=201).json() == first.json()
    assert "beyond the limit" not in [m["content"] for m in api.messages(task)]
    cluster.sql("DELETE FROM idempotency_keys WHERE key LIKE 'fill-%' RETURNING 1")
    say(api, task, "limit-1", "beyond the limit", expect=201)
