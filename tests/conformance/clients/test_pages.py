# SPDX-License-Identifier: Apache-2.0
"""The VS Code view and the dashboard: axios with the dashboard's own client, polls, two kinds of frames."""

import json
from urllib.parse import quote

import pytest
import requests

from lib import shapes, templates
from lib.shapes import check
from lib.sse import EventStream
from lib.wait import wait_until
from lib.websocket import Refused, WebSocket

CLUSTER = dict(workers=1)

tasks_of = shapes.record({"tasks": shapes.array(shapes.task), "count": shapes.integer})


class Axios:
    """As axios sends it; `params` spelled as URLSearchParams does."""

    def __init__(self, url, token):
        self.url, self.token = url, token
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update({"Accept": "application/json, text/plain, */*", "Coder-Session-Token": token,
                                     "User-Agent": "axios/1.8.2", "Accept-Encoding": "gzip, compress, deflate, br"})

    def request(self, method, path, body=None, **query):
        spelled = "&".join(f"{k}={quote(v, safe='*-._').replace('%20', '+')}" for k, v in query.items())
        data = None if body is None else json.dumps(body, separators=(",", ":"))
        return self.session.request(
            method, self.url + path + ("?" + spelled if spelled else ""), data=data, timeout=30,
            headers={} if body is None else {"Content-Type": "application/json"})

    def get(self, path, **query):
        return self.request("GET", path, **query)

    def post(self, path, body=None):
        return self.request("POST", path, body)

    def socket(self, path):
        return WebSocket(self.url + path, self.token, {"Origin": "vscode-file://vscode-app"})


@pytest.fixture
def axios(cluster):
    return Axios(cluster.gateway.url, cluster.session.tokens["admin"])


@pytest.fixture
def api(cluster):
    return cluster.api()


@pytest.fixture
def task(cluster, api):
    return api.wait_complete(api.create(cluster.shell, "echo up"))


# ---------------------------------------------------------------- VS Code: the panel

def test_the_panel_finds_tasks(axios, task):
    """A 404 would mean that the server has none."""
    body = check(tasks_of, axios.get("/api/v2/tasks", q="owner:me"))
    assert task["id"] in [t["id"] for t in body["tasks"]]
    check(shapes.task, axios.get(f"/api/v2/tasks/me/{task['id']}"))


def test_the_panel_hides_itself_from_newer_servers(axios):
    """2.34 or lower is told."""
    answer = axios.get("/api/v2/buildinfo")
    for version in (answer.json()["version"], answer.headers["X-Coder-Build-Version"]):
        assert [int(n) for n in version.lstrip("v").split(".")[:2]] <= [2, 34]


def test_the_panel_offers_templates_and_presets(cluster, axios):
    found = check(shapes.array(shapes.template), axios.get("/api/v2/templates", q="has-ai-task:true"))
    shell = next(t for t in found if t["name"] == "shell")
    check(shapes.array(shapes.preset), axios.get(f"/api/v2/templateversions/{shell['active_version_id']}/presets"))


def test_a_task_from_the_panel(cluster, api, axios):
    """Created, sent to, paused, resumed, deleted."""
    task = check(shapes.task, axios.post("/api/v2/tasks/me", {
        "template_version_id": cluster.shell.version_id, "input": "echo panel"}), 201)
    where = f"/api/v2/tasks/me/{task['id']}"
    api.wait_complete(task)
    assert axios.post(where + "/send", {"input": "echo more"}).status_code == 204
    wait_until(lambda: "more" in str(check(shapes.task_logs, axios.get(where + "/logs"))), "it was run")
    api.wait_complete(task)
    check(shapes.workspace_build_answer, axios.post(where + "/pause"), 202)
    api.wait_status(task, "paused")
    check(shapes.error, axios.post(where + "/send", {"input": "x"}), 409)
    check(shapes.workspace_build_answer, axios.post(where + "/resume"), 202)
    api.wait_status(task, "active")
    assert axios.request("DELETE", where).status_code == 202


def test_an_older_way_to_pause_and_resume(api, axios, task):
    """Builds of the workspace: what the panel falls back to."""
    where = f"/api/v2/workspaces/{task['workspace_id']}/builds"
    build = check(shapes.build, axios.post(where, {"transition": "stop"}), 201)
    assert (build["transition"], build["build_number"]) == ("stop", 2)
    api.wait_status(task, "paused")
    build = check(shapes.build, axios.post(where, {"transition": "start", "template_version_id":
                                                   task["template_version_id"]}), 201)
    assert (build["transition"], build["build_number"]) == ("start", 3)
    api.wait_status(task, "active")


def test_the_workspace_of_a_task(axios, task):
    workspace = check(shapes.workspace, axios.get(f"/api/v2/workspaces/{task['workspace_id']}"))
    assert workspace["task_id"] == task["id"]
    agents = [a for r in workspace["latest_build"]["resources"] for a in r["agents"]]
    assert [a["id"] for a in agents] == [task["workspace_agent_id"]]


# ---------------------------------------------------------------- VS Code: the logs

def test_the_log_of_a_build_over_websocket(axios, api, task):
    """One object per frame, from the first line or after one; closed when the job is over."""
    build = api.get(f"/workspaces/{task['workspace_id']}").json()["latest_build"]["id"]
    where = f"/api/v2/workspacebuilds/{build}/logs?follow=true"
    with axios.socket(where) as ws:
        lines = list(iter(ws.json, None))
        assert ws.close_code == 1000
    for line in lines:
        shapes.build_log(line)
    assert lines == axios.get(f"/api/v2/workspacebuilds/{build}/logs").json()
    with axios.socket(f"{where}&after={lines[0]['id']}") as ws:
        assert list(iter(ws.json, None)) == lines[1:]


def test_the_log_of_a_running_build_over_websocket(cluster, axios, api):
    """Lines come while the build runs."""
    wait = ["bash", "-c", "until [ -e ~/go ]; do sleep 0.02; done"]
    api.push_template("slow", templates.shell(scripts=[{"name": "w", "command": wait, "blocking": True}]))
    task = api.wait_complete(api.create(cluster.shell, "true"))
    cluster.workers[0].freeze()
    try:
        build = axios.post(f"/api/v2/tasks/me/{task['id']}/pause").json()["workspace_build"]
        with axios.socket(f"/api/v2/workspacebuilds/{build['id']}/logs?follow=true") as ws:
            cluster.workers[0].thaw()
            lines = list(iter(ws.json, None))
            assert ws.close_code == 1000 and lines
    finally:
        cluster.workers[0].thaw()


def test_the_log_of_an_agent_over_websocket(cluster, axios, api):
    """Arrays of lines: what there is (maybe nothing), then new ones while one looks on."""
    talk = ["bash", "-c", "echo first; until [ -e ~/go ]; do sleep 0.02; done; echo second"]
    talking = api.push_template("talking", templates.shell(scripts=[{"name": "talk", "command": talk}]))
    task = api.wait_complete(api.create(talking, "true"))
    seen = []

    def read_until(ws, text):
        while text not in [line["output"] for line in seen]:
            frame = ws.json()
            shapes.array(shapes.agent_log)(frame)
            seen.extend(frame)

    with axios.socket(f"/api/v2/workspaceagents/{task['workspace_agent_id']}/logs?follow=true") as ws:
        read_until(ws, "first")
        with open(cluster.home(task, "go"), "w"):
            pass
        read_until(ws, "second")
    assert [line["id"] for line in seen] == sorted({line["id"] for line in seen})


@pytest.mark.parametrize("path", ["/api/v2/workspacebuilds/%s/logs?follow=true", "/api/v2/workspaceagents/%s/logs?follow=true",
                                  "/api/v2/workspaces/%s/watch-ws"])
def test_websockets_that_are_refused(cluster, axios, path):
    """404 for what is not there, 401 without a token; no upgrade."""
    with pytest.raises(Refused) as refused:
        axios.socket(path % "7d0bd6d9-35d4-4a3c-9a0e-0f1fd1a1c9b2")
    assert refused.value.status == 404
    with pytest.raises(Refused) as refused:
        WebSocket(axios.url + path % "7d0bd6d9-35d4-4a3c-9a0e-0f1fd1a1c9b2")
    assert refused.value.status == 401


# ---------------------------------------------------------------- the dashboard

def test_the_dashboard_begins(axios):
    """What it asks for before it shows anything."""
    check(shapes.user, axios.get("/api/v2/users/me"))
    check(shapes.array(shapes.organization), axios.get("/api/v2/organizations"))
    check(shapes.array(shapes.string), axios.get("/api/v2/experiments"))
    entitlements = axios.get("/api/v2/entitlements").json()
    assert {"features", "warnings", "errors", "has_license", "trial"} <= set(entitlements)
    assert isinstance(entitlements["features"], dict)
    assert "application_name" in axios.get("/api/v2/appearance").json()
    assert isinstance(axios.get("/api/v2/regions").json()["regions"], list)
    check(shapes.record({"current": shapes.boolean, "version": shapes.string, "url": shapes.string}),
          axios.get("/api/v2/updatecheck"))


def test_the_dashboards_list(axios, task):
    """It joins its terms with a comma and a blank."""
    body = check(tasks_of, axios.get("/api/v2/tasks", q="owner:admin, status:active"))
    assert task["id"] in [t["id"] for t in body["tasks"]]
    check(tasks_of, axios.get("/api/v2/tasks", q="owner:admin"))


def test_the_dashboards_batch_delete(cluster, api, axios):
    """Single deletes, all at once."""
    made = [api.wait_complete(api.create(cluster.shell, "true")) for _ in range(4)]
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda t: Axios(axios.url, axios.token).request(
            "DELETE", f"/api/v2/tasks/{t['owner_name']}/{t['id']}").status_code, made))
    assert codes == [202] * 4


def test_the_dashboard_sees_its_user(axios):
    """By name, by id; with cookie and CSRF header a browser writes."""
    me = axios.get("/api/v2/users/me").json()
    for user in ("admin", me["id"]):
        assert check(shapes.user, axios.get(f"/api/v2/users/{user}"))["id"] == me["id"]


def test_the_page_of_a_workspace_by_name(axios, task):
    workspace = check(shapes.workspace, axios.get(f"/api/v2/users/admin/workspace/{task['workspace_name']}"))
    assert workspace["id"] == task["workspace_id"]


def test_watching_a_workspace_as_events(api, axios, task):
    """`data` with the workspace, now and after each change."""
    with EventStream(f"{axios.url}/api/v2/workspaces/{task['workspace_id']}/watch", axios.token) as events:
        def next_workspace():
            for event in events:
                assert event.name in ("ping", "data"), event
                if event.name == "data":
                    body = json.loads(event.data)
                    shapes.workspace(body)
                    return body
        assert next_workspace()["latest_build"]["build_number"] == 1
        api.pause(task)
        while next_workspace()["latest_build"]["status"] != "stopped":
            pass


def test_watching_a_workspace_over_websocket(api, axios, task):
    """{type, data} in each frame; an app's status is a change as well."""
    with axios.socket(f"/api/v2/workspaces/{task['workspace_id']}/watch-ws") as ws:
        def next_workspace():
            while True:
                frame = ws.json()
                assert set(frame) <= {"type", "data"} and frame["type"] in ("ping", "data"), frame
                if frame["type"] == "data":
                    shapes.workspace(frame["data"])
                    return frame["data"]
        next_workspace()
        api.send(task, "stint-agent report --state working --message seen; sleep 0.2; echo done")
        while (next_workspace()["latest_app_status"] or {}).get("message") != "seen":
            pass
