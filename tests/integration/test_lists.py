# SPDX-License-Identifier: Apache-2.0
"""Lists that many ask for at once: one read answers them all, and none is older than its question."""

import re
from concurrent.futures import ThreadPoolExecutor

import requests

from lib.api import Api
from lib.load import ONCE
from lib.wait import wait_until


def joined(cluster):
    text = requests.get(cluster.gateway.url + "/metrics", timeout=5).text
    return int(re.search(r"^stint_gateway_lists_joined_total (\d+)", text, re.M).group(1))


def test_a_herd_costs_one_read(clusters):
    """Goal: equal lists asked for at once are read together and answered alike."""
    cluster = clusters(workers=1)
    api = cluster.api()
    made = [api.create(cluster.shell, ONCE, name=f"herd-{i}") for i in range(20)]
    for task in made:
        api.wait_complete(task)
    newest_first = [task["id"] for task in reversed(made)]
    queries = ["owner:me", None, "owner:me status:active", "status:paused"]

    def look(i):
        query = queries[i % len(queries)]
        listed = [t["id"] for t in Api(api.base, api.token).tasks(query)["tasks"]]
        assert listed == ([] if query == "status:paused" else newest_first), query

    with ThreadPoolExecutor(32) as pool:
        for _ in range(10):
            list(pool.map(look, range(64)))
            if joined(cluster) > 0:
                break
    assert joined(cluster) > 0


def test_a_list_is_never_older_than_its_question(clusters):
    """Goal: while others ask for the same list without end, each write that was answered is in the
    next list."""
    cluster = clusters(workers=1)
    api = cluster.api()
    end = []

    def ask_on(_):
        client = Api(api.base, api.token)
        while not end:
            client.tasks("owner:me")

    with ThreadPoolExecutor(12) as pool:
        others = [pool.submit(ask_on, i) for i in range(12)]
        try:
            for i in range(40):
                task = api.create(cluster.shell, ONCE, name=f"raw-{i}")
                assert api.tasks("owner:me")["tasks"][0]["id"] == task["id"]
                if i % 3 == 0 and api.remove(task, expect=(202, 409)).status_code == 202:
                    assert task["id"] not in [t["id"] for t in api.tasks("owner:me")["tasks"]]
        finally:
            end.append(True)
        for other in others:
            other.result(30)


def test_a_herd_while_the_database_is_away(clusters):
    """Goal: all of them are answered, with a list or with 503, and later with lists again."""
    cluster = clusters(workers=1)
    api = cluster.api()
    api.create(cluster.shell, ONCE, name="one")
    cluster.forget_sql()

    def look(_):
        return Api(api.base, api.token).get("/tasks", params={"q": "owner:me"}).status_code

    with ThreadPoolExecutor(32) as pool:
        asked = [pool.submit(look, i) for i in range(64)]
        cluster.postgres.stop()
        try:
            asked += [pool.submit(look, i) for i in range(64)]
            assert {a.result(30) for a in asked} <= {200, 503}
        finally:
            cluster.postgres.start()
    wait_until(lambda: look(0) == 200, "lists again", 15)
