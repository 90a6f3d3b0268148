# SPDX-License-Identifier: Apache-2.0
"""A stream is whose it is until it ends, and no longer than his key is good."""

import pytest
import requests

from lib.sse import EventStream
from lib.wait import Stopwatch
from lib.websocket import Refused, WebSocket

CLUSTER = dict(workers=1, gateways=2)
AT_ONCE = 2.0


@pytest.fixture(scope="module")
def path(cluster):
    """Logs of an agent that runs: nobody but the server ends them."""
    task = cluster.api("bob").create(cluster.shell, "echo up")
    task = cluster.api("bob").wait_complete(task)
    return f"/api/v2/workspaceagents/{task['workspace_agent_id']}/logs?follow"


@pytest.fixture
def key(cluster):
    return cluster.api("bob").post("/users/me/keys/tokens", expect=201).json()["key"]


def assert_ends_at_once(ws, events):
    watch = Stopwatch()
    list(ws)
    assert ws.close_code == 1008, (ws.close_code, ws.close_reason)
    list(events)
    assert watch.seconds < AT_ONCE, watch.seconds


@pytest.mark.parametrize("at", [0, 1])
def test_ends_with_its_key(cluster, path, key, at):
    """Goal: both kinds of streams end when the key is revoked, at either gateway; others go on."""
    base = cluster.gateways[at].url
    with WebSocket(base + path, key) as ws, EventStream(base + path, key) as events, \
            WebSocket(base + path, cluster.session.tokens["bob"], timeout=0.3) as other:
        cluster.api("bob").delete(f"/users/me/keys/{key.split('-')[0]}", expect=204)
        assert_ends_at_once(ws, events)
        with pytest.raises(TimeoutError):
            list(other)


def test_ends_with_its_user(cluster, path, key):
    """Goal: of a suspended user nothing goes on."""
    base, user = cluster.gateways[1].url, cluster.session.user_ids["bob"]
    with WebSocket(base + path, key) as ws, EventStream(base + path, key) as events:
        cluster.api().request("PUT", f"/users/{user}/status/suspend", expect=200)
        try:
            assert_ends_at_once(ws, events)
            with pytest.raises(Refused) as refused:
                WebSocket(base + path, key)
            assert refused.value.status == 401
        finally:
            cluster.api().request("PUT", f"/users/{user}/status/activate", expect=200)


def test_words_that_were_missed(cluster, path, key):
    """Goal: a key that ended while nobody could be told ends its streams when Redis is back."""
    base = cluster.gateways[1].url
    with WebSocket(base + path, key, timeout=15) as ws, EventStream(base + path, key, timeout=15) as events:
        cluster.sql("UPDATE api_keys SET revoked_at = now() WHERE id = %s RETURNING id", key.split("-")[0])
        cluster.redis.stop()
        cluster.redis.start()
        list(ws)
        assert ws.close_code == 1008
        list(events)


def test_a_foreign_page_gets_no_websocket(cluster, path):
    """Goal: browsers send cookies along with handshakes of any page; ours are let in alone."""
    base, token = cluster.gateway.url, cluster.session.tokens["bob"]
    cookie = {"Cookie": f"coder_session_token={token}"}
    for origin in ("https://evil.example", "null"):
        with pytest.raises(Refused) as refused:
            WebSocket(base + path, headers=cookie | {"Origin": origin})
        assert refused.value.status == 403
    with WebSocket(base + path, headers=cookie | {"Origin": base}) as ws:
        ws.close()
    read = requests.get(base + path.replace("?follow", ""), timeout=10,
                        headers=cookie | {"Origin": "https://evil.example"})
    assert read.status_code == 200, "reading is what browsers' own rules are for"
