# SPDX-License-Identifier: Apache-2.0
"""The gateway: stateless, killable, several at once; its own pages."""

from concurrent.futures import ThreadPoolExecutor

import requests

from lib.api import Api
from lib.load import ONCE, Creates, assert_each_ran_once
from lib.wait import wait_until


def test_build_info(clusters):
    """Goal: a version that Coder's clients still show their Tasks panel for, in body and header."""
    cluster = clusters(workers=0)
    api = cluster.api()
    answer = api.with_token(None).get("/buildinfo", expect=200)
    body = answer.json()
    assert body["version"].lstrip("v").startswith("2.34."), body
    assert {"external_url", "version", "dashboard_url", "telemetry", "workspace_proxy",
            "agent_api_version", "provisioner_api_version", "upgrade_message",
            "deployment_id"} <= set(body)
    assert answer.headers["X-Coder-Build-Version"] == body["version"]
    assert api.get("/tasks").headers["X-Coder-Build-Version"] == body["version"]
    me = api.me()
    assert (me["username"], me["email"]) == ("admin", "admin@example.com")
    assert {"id", "status", "login_type", "organization_ids", "roles", "created_at"} <= set(me)


def test_health_pages(clusters):
    """Goal: /livez, /readyz and /metrics without a token; /metrics is Prometheus text."""
    cluster = clusters(workers=1)
    base = cluster.gateway.url
    assert requests.get(base + "/livez", timeout=5).status_code == 200
    assert requests.get(base + "/readyz", timeout=5).status_code == 200
    text = requests.get(base + "/metrics", timeout=5).text
    assert "# HELP" in text and "# TYPE" in text
    for process in (cluster.scheduler, cluster.workers[0]):
        url = process.wait_log(r"(http://127\.0\.0\.1:\d+)").group(1)
        for path in ("/livez", "/readyz"):
            assert requests.get(url + path, timeout=5).status_code == 200, (process.name, path)
        assert "# TYPE" in requests.get(url + "/metrics", timeout=5).text


def test_ready_follows_the_database(clusters):
    """Goal: /readyz says 503 while Postgres is away, /livez stays 200."""
    cluster = clusters(workers=0)
    base = cluster.gateway.url
    cluster.forget_sql()
    cluster.postgres.stop()
    try:
        wait_until(lambda: requests.get(base + "/readyz", timeout=5).status_code == 503, "not ready", 15)
        assert requests.get(base + "/livez", timeout=5).status_code == 200
    finally:
        cluster.postgres.start()
    wait_until(lambda: requests.get(base + "/readyz", timeout=5).status_code == 200, "ready again", 15)


def test_killed_under_load(clusters):
    """Goal: kill -9 of the gateway in the middle of creates: nothing is doubled or lost."""
    cluster = clusters(workers=2)
    api = cluster.api()
    with Creates(api, cluster.shell, 20) as creates:
        wait_until(lambda: len(creates.accepted) >= 5, "some are accepted", 30, interval=0.005)
        cluster.gateway.kill()
        cluster.start_gateway()
    assert len(creates.accepted) == 20, creates.refused
    assert_each_ran_once(cluster, creates.accepted, 60)
    names = [t["name"] for t in api.tasks()["tasks"]]
    assert len(names) == len(set(names)) == 20


def test_two_gateways_are_one(clusters):
    """Goal: what one accepts the other shows: tasks at once, changes when the word has come."""
    cluster = clusters(workers=1, gateways=2)
    one = cluster.api()
    two = Api(lambda: cluster.gateways[1].url, cluster.session.tokens["admin"])
    for i in range(10):
        task = one.create(cluster.shell, ONCE, name=f"both-{i}")
        assert two.task(task)["id"] == task["id"]
        assert two.get(f"/tasks/me/both-{i}", expect=200).json()["id"] == task["id"]
        two.wait_complete(task)
    one.pause(task)
    wait_until(lambda: two.task(task)["status"] in ("unknown", "paused"), "the word has come", 2)
    two.wait_status(task, "paused")
    one.remove(task)
    wait_until(lambda: two.get(f"/tasks/me/{task['id']}").status_code == 404, "gone in both", 5)


def test_a_read_after_a_write(clusters):
    """Goal: an answered write is seen by the next read, always."""
    cluster = clusters(workers=1)
    api = cluster.api()

    def life(i):
        task = api.create(cluster.shell, ONCE, name=f"raw-{i}")
        assert api.task(task)["name"] == f"raw-{i}"
        assert task["id"] in [t["id"] for t in api.tasks("owner:me")["tasks"]]
        api.wait_complete(task)
        api.pause(task)
        assert api.task(task)["workspace_build_number"] == 2
        api.wait_status(task, "paused")
        api.set_input(task, f"echo {i}")
        assert api.task(task)["initial_prompt"] == f"echo {i}"
        api.remove(task)
        api.get(f"/tasks/me/{task['id']}", expect=404)
        assert task["id"] not in [t["id"] for t in api.tasks("owner:me")["tasks"]]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(life, range(8)))


def test_many_connections(clusters):
    """Goal: two hundred clients at once get their answers."""
    cluster = clusters(workers=1)
    api = cluster.api()
    task = api.wait_complete(api.create(cluster.shell, "echo up"))

    def look(_):
        return Api(api.base, api.token).task(task)["id"]

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(look, range(200))) == {task["id"]}


def test_stop_while_asked(clusters):
    """Goal: SIGTERM ends the gateway with 0 also with idle connections open."""
    cluster = clusters(workers=0)
    session = requests.Session()
    assert session.get(cluster.gateway.url + "/livez", timeout=5).status_code == 200
    assert cluster.gateway.stop() == 0
    session.close()
    cluster.start_gateway()
