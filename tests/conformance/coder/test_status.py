# SPDX-License-Identifier: Apache-2.0
"""The status of a task, for every state of its build, its agent and its app.

The rows are put into the database as the scheduler would leave them, and read through the gateway.
"""

import datetime
import itertools
import re
import uuid

import pytest

from lib import shapes

CLUSTER = dict(workers=1)

JOB_STATES = ["pending", "running", "succeeded", "failed", "canceling", "canceled"]
LIFECYCLES = ["created", "starting", "start_timeout", "start_error", "ready", "shutting_down",
              "shutdown_timeout", "shutdown_error", "off"]
HEALTHS = ["disabled", "initializing", "healthy", "unhealthy"]

COUNTER = itertools.count(1)


class Seeds:
    """Tasks that only the database knows."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.owner = cluster.session.user_ids["admin"]
        self.organization = cluster.api().organization_id()
        self.worker = str(uuid.uuid4())
        cluster.sql("INSERT INTO workers (id, name, host, provisioners, slots, version, state, lease_until) "
                    "VALUES (%s, 'seed', 'seed', '{local}', 0, '0', 'up', now() + interval '1 hour')", self.worker)

    def task(self, transition, job_state, lifecycle=None, health=None, report=None, age="1 minute", error=""):
        """Gives the task's id.  `report`: (state, message, uri, how long before the build) or None."""
        task, workspace, build, job = (str(uuid.uuid4()) for _ in range(4))
        agent = str(uuid.uuid4()) if lifecycle else None
        name = f"seed-{next(COUNTER)}"
        over = job_state in ("succeeded", "failed", "canceled")
        held = job_state in ("running", "canceling")
        sql = self.cluster.sql
        sql("INSERT INTO jobs (id, kind, state, organization_id, provisioner, initiator_id, build_id, worker_id, "
            "error, created_at, started_at, completed_at) VALUES (%s, %s, %s, %s, 'local', %s, %s, %s, %s, "
            "now() - %s::interval, CASE WHEN %s THEN now() END, CASE WHEN %s THEN now() END)",
            job, transition, job_state, self.organization, self.owner, build, self.worker if held else None, error,
            age, job_state != "pending", over)
        sql("INSERT INTO workspaces (id, task_id, organization_id, owner_id, template_id, name, provisioner, "
            "build_number, latest_build_id, latest_agent_id) VALUES (%s, %s, %s, %s, %s, %s, 'local', 1, %s, %s)",
            workspace, task, self.organization, self.owner, self.cluster.shell.id, name, build, agent)
        sql("INSERT INTO builds (id, workspace_id, build_number, transition, initiator_id, template_version_id, "
            "job_id, agent_id, created_at) VALUES (%s, %s, 1, %s, %s, %s, %s, %s, now() - %s::interval)",
            build, workspace, transition, self.owner, self.cluster.shell.version_id, job, agent, age)
        if agent:
            state, message, uri, before = report or (None, "", "", "0")
            sql("INSERT INTO agents (id, task_id, workspace_id, build_id, auth_token, lifecycle, connected_at, "
                "state, state_message, state_uri, state_at) VALUES (%s, %s, %s, %s, gen_random_uuid(), %s, now(), "
                "%s, %s, %s, CASE WHEN %s THEN now() - %s::interval - %s::interval END)",
                agent, task, workspace, build, lifecycle, state, message, uri, report is not None, age, before)
            if health:
                sql("INSERT INTO apps (id, agent_id, slug, health, is_task_app) "
                    "VALUES (gen_random_uuid(), %s, 'app', %s, true)", agent, health)
        sql("INSERT INTO tasks (id, organization_id, owner_id, name, workspace_id, template_version_id, prompt) "
            "VALUES (%s, %s, %s, %s, %s, %s, 'seed')",
            task, self.organization, self.owner, name, workspace, self.cluster.shell.version_id)
        return task


@pytest.fixture(scope="module")
def seeds(cluster):
    return Seeds(cluster)


@pytest.fixture
def seen(api, seeds):
    """seen(…) is the JSON of a task with these states."""
    return lambda *states, **more: shapes.check(shapes.task, api.get(f"/tasks/me/{seeds.task(*states, **more)}"))


# ---------------------------------------------------------------- the build speaks first

@pytest.mark.parametrize("job_state", JOB_STATES)
@pytest.mark.parametrize("transition", ["start", "stop", "delete"])
def test_the_build(seen, transition, job_state):
    wanted = ("error" if job_state in ("failed", "canceling", "canceled") else
              "paused" if job_state == "succeeded" else "unknown")
    if transition == "start":
        wanted = {"pending": "pending", "running": "initializing", "succeeded": "active"}.get(job_state, "error")
    assert seen(transition, job_state, "ready", "healthy")["status"] == wanted


@pytest.mark.parametrize("transition, job_state, wanted", [
    ("start", "pending", "pending"), ("start", "running", "starting"), ("start", "succeeded", "running"),
    ("stop", "pending", "pending"), ("stop", "running", "stopping"), ("stop", "succeeded", "stopped"),
    ("delete", "pending", "pending"), ("delete", "running", "deleting"), ("delete", "succeeded", "deleted"),
    *((t, s, s) for t in ("start", "stop", "delete") for s in ("failed", "canceling", "canceled"))])
def test_the_workspaces_status(seen, transition, job_state, wanted):
    assert seen(transition, job_state, "ready", "healthy")["workspace_status"] == wanted


def test_the_agent_is_shown_when_its_start_is_over(seen):
    """Not while it starts, not while or after it stops."""
    for transition, job_state in itertools.product(("start", "stop", "delete"), JOB_STATES):
        task = seen(transition, job_state, "ready", "healthy")
        is_there = (transition, job_state) == ("start", "succeeded")
        for field in ("workspace_agent_id", "workspace_agent_lifecycle", "workspace_agent_health", "workspace_app_id"):
            assert (task[field] is not None) == is_there, (transition, job_state, field)


# ---------------------------------------------------------------- then the agent

@pytest.mark.parametrize("lifecycle", LIFECYCLES)
def test_the_agent(seen, lifecycle):
    wanted = ("initializing" if lifecycle in ("created", "starting") else
              "active" if lifecycle in ("ready", "start_timeout", "start_error") else "unknown")
    task = seen("start", "succeeded", lifecycle, "healthy")
    assert (task["status"], task["workspace_agent_lifecycle"]) == (wanted, lifecycle)


def test_a_failed_start_script_is_no_error(seen):
    """The app's health decides."""
    assert seen("start", "succeeded", "start_error", "unhealthy")["status"] == "error"
    assert seen("start", "succeeded", "start_error", "disabled")["status"] == "active"


# ---------------------------------------------------------------- then the app

@pytest.mark.parametrize("health, wanted", [("disabled", "active"), ("initializing", "initializing"),
                                            ("healthy", "active"), ("unhealthy", "error"), (None, "unknown")])
def test_the_app(seen, health, wanted):
    """A start that brought no app for the task leaves it unknown."""
    assert seen("start", "succeeded", "ready", health)["status"] == wanted


def test_a_start_without_any_agent(seen):
    assert seen("start", "succeeded")["status"] == "unknown"


@pytest.mark.parametrize("lifecycle", ["created", "starting", "off"])
@pytest.mark.parametrize("health", HEALTHS)
def test_the_agent_speaks_before_the_app(seen, lifecycle, health):
    assert seen("start", "succeeded", lifecycle, health)["status"] == (
        "unknown" if lifecycle == "off" else "initializing")


def test_the_list_says_the_same(api, seeds):
    """And finds the task under its status."""
    for states in (("start", "pending"), ("start", "succeeded", "ready", "unhealthy"), ("stop", "running"),
                   ("stop", "succeeded"), ("start", "succeeded", "ready", "healthy"), ("start", "running")):
        task = api.task(seeds.task(*states))
        listed = {t["id"]: t for t in api.tasks(f'status:"{task["status"]}"')["tasks"]}
        assert listed[task["id"]] == task


# ---------------------------------------------------------------- the current state

REPORT = ("working", "on it", "https://example.com/1", "-1 second")  # after the build
STALE = ("complete", "long ago", "", "1 second")  # before it


def test_a_report(seen):
    state = seen("start", "succeeded", "ready", "healthy", REPORT)["current_state"]
    assert (state["state"], state["message"], state["uri"]) == ("working", "on it", "https://example.com/1")


@pytest.mark.parametrize("said, shown", [("working", "working"), ("idle", "idle"), ("complete", "complete"),
                                         ("failure", "failed")])
def test_a_failure_is_told_as_failed(seen, said, shown):
    assert seen("start", "succeeded", "ready", "healthy", (said, "m", "", "-1 second"))[
        "current_state"]["state"] == shown


def test_a_report_from_before_the_start(seen):
    """It is about the time before the pause."""
    assert seen("start", "succeeded", "ready", "healthy", STALE)["current_state"] is None


@pytest.mark.parametrize("job_state", ["pending", "running", "succeeded"])
def test_a_report_from_before_the_stop(seen, job_state):
    """A paused task still shows the last one."""
    assert seen("stop", job_state, "ready", "healthy", STALE)["current_state"]["message"] == "long ago"


def test_active_without_a_report(seen):
    assert seen("start", "succeeded", "ready", "healthy")["current_state"] is None


def test_pending_without_a_report(seen):
    assert seen("start", "pending")["current_state"] is None


@pytest.mark.parametrize("states, message", [
    (("start", "running"), "Workspace is starting"),
    (("start", "succeeded", "created", "healthy"), "Agent is connecting"),
    (("start", "succeeded", "starting", "healthy"), "Agent is starting"),
    (("start", "succeeded", "ready", "initializing"), "App is initializing"),
])
def test_what_an_initializing_task_waits_for(cluster, seen, states, message):
    """Made up by the server, since the build began."""
    task = seen(*states)
    assert task["status"] == "initializing"
    state = task["current_state"]
    assert (state["state"], state["message"], state["uri"]) == ("working", message, "")
    created = cluster.sql_one("SELECT created_at FROM builds WHERE workspace_id = %s", task["workspace_id"])[0]
    whole, fraction = re.fullmatch(r"([^.]+)\.?(\d*)Z", state["timestamp"]).groups()
    told = datetime.datetime.fromisoformat(f"{whole}.{fraction:0<6}+00:00")
    assert told == created


def test_a_report_is_better_than_what_is_made_up(seen):
    assert seen("start", "succeeded", "starting", "healthy", REPORT)["current_state"]["message"] == "on it"


def test_an_error_has_no_state_of_its_own(seen):
    assert seen("start", "failed", error="it broke")["current_state"] is None


# ---------------------------------------------------------------- the agent's health

@pytest.mark.parametrize("lifecycle, healthy", [
    ("created", True), ("starting", True), ("ready", True), ("start_timeout", True), ("start_error", False),
    ("shutting_down", False), ("off", False)])
def test_the_agents_health(seen, lifecycle, healthy):
    """Unhealthy ones say why."""
    health = seen("start", "succeeded", lifecycle, "healthy")["workspace_agent_health"]
    if lifecycle in ("created", "starting", "start_timeout"):
        return shapes.record({"healthy": shapes.boolean}, {"reason": shapes.some_string})(health)
    assert health["healthy"] == healthy and ("reason" in health) == (not healthy), health


@pytest.mark.parametrize("age, connected, is_lost, wanted", [
    ("10 s", False, False, "connecting"), ("130 s", False, False, "timeout"), ("130 s", True, False, "connected"),
    ("130 s", True, True, "disconnected")])
def test_the_agents_connection(cluster, v2, seeds, age, connected, is_lost, wanted):
    """It has two minutes to connect, from the end of its start.  The scheduler notes who has been
    silent for thirty seconds."""
    task = seeds.task("start", "succeeded", "ready" if connected else "created", "healthy", age=age)
    cluster.sql("UPDATE jobs SET completed_at = now() - %s::interval FROM builds b, workspaces w "
                "WHERE b.job_id = jobs.id AND w.id = b.workspace_id AND w.task_id = %s", age, task)
    cluster.sql("UPDATE agents SET connected_at = CASE WHEN %s THEN now() END, "
                "disconnected_at = CASE WHEN %s THEN now() END WHERE task_id = %s", connected, is_lost, task)
    agent_id = cluster.sql_one("SELECT id FROM agents WHERE task_id = %s", task)[0]
    assert v2.get(f"/workspaceagents/{agent_id}", expect=200).json()["status"] == wanted
