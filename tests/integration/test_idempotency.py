# SPDX-License-Identifier: Apache-2.0
"""Idempotency-Key: what is sent twice is done once and answered twice, whatever dies in between."""

import pytest

from lib.api import OWN, problem_of
from lib.load import ONCE

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
