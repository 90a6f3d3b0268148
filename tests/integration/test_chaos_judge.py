# SPDX-License-Identifier: Apache-2.0
"""The judge of the chaos suite finds each kind of wrong that it is there for.

Method: one task and what its client was told; a stage made of dicts in place of processes."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "chaos"))

from clients import DONE, REFUSED, UNKNOWN, Task  # noqa: E402
from judge import STALE_SECONDS, Judge  # noqa: E402

START = (1, "start", "b1", "succeeded", "initiator")


class FakeStage:
    def __init__(self):
        self.homes = {"runs": ["run"], "heard": []}
        self.alive = {}
        self.builds = [START]
        self.names, self.there, self.notes = ["t"], 1, []

    def read_home(self, workspace, name):
        return self.homes.get(name, [])

    def sandboxes(self):
        return self.alive

    def sql(self, statement, *arguments):
        if "FROM builds" in statement:
            return self.builds
        if "HAVING" in statement:
            return [(n, "u", self.names.count(n)) for n in set(self.names) if self.names.count(n) > 1]
        if "SELECT name" in statement:
            return [(n,) for n in self.names]
        if "app_statuses" in statement:
            return [("w", f"note {n}") for n in self.notes]
        return [(self.there,)]


class FakeClient:
    user, number = "bob", 0

    def __init__(self):
        self.tasks = []


@pytest.fixture
def stage():
    return FakeStage()


@pytest.fixture
def judge(stage):
    judge = Judge(stage, 2)
    judge.clients = [FakeClient()]
    return judge


@pytest.fixture
def task(judge):
    task = Task(judge.clients[0], "t")
    task.id, task.workspace_id, task.created, task.created_at = "i", "w", DONE, 100.0
    judge.clients[0].tasks.append(task)
    return task


def rules(judge):
    return {rule for rule, _ in judge.violations}


def verdict(judge, task):
    judge.final([task])
    return rules(judge)


def test_all_is_well(judge, stage, task):
    task.messages = [("m0", DONE), ("m1", UNKNOWN)]
    task.sends = [("s0", REFUSED)]
    stage.homes["heard"] = ["m0"]
    task.builds = [("stop", DONE, "b2"), ("start", UNKNOWN, None)]
    stage.builds = [START, (2, "stop", "b2", "succeeded", "task_manual_pause")]
    assert verdict(judge, task) == set() and judge.unsettled([task]) == []


@pytest.mark.parametrize("heard, rule", [
    ([], "nothing acknowledged is lost"),
    (["m0"], "nothing acknowledged is lost"),
    (["m0", "m1", "m1"], "nothing is done twice"),
    (["m1", "m0"], "order is kept"),
    (["m0", "m1", "s0"], "what is refused is not done"),
])
def test_messages(judge, stage, task, heard, rule):
    task.messages, task.sends = [("m0", DONE), ("m1", DONE)], [("s0", REFUSED)]
    stage.homes["heard"] = heard
    assert rule in verdict(judge, task)


def test_a_prompt_that_ran_twice(judge, stage, task):
    stage.homes["runs"] = ["run", "run"]
    assert "nothing is done twice" in verdict(judge, task)


def test_a_task_that_is_gone(judge, stage, task):
    stage.there = 0
    assert "nothing acknowledged is lost" in verdict(judge, task)


def test_two_tasks_of_one_create(judge, stage, task):
    stage.names = ["t", "t"]
    assert "nothing is done twice" in verdict(judge, task)


@pytest.mark.parametrize("asked, builds, rule", [
    ([("stop", DONE, None)], [START], "nothing acknowledged is lost"),
    ([("stop", DONE, "b9")], [START, (2, "stop", "b2", "succeeded", "x")], "nothing acknowledged is lost"),
    ([("stop", UNKNOWN, None)], [START, (2, "stop", "b2", "succeeded", "x"), (3, "stop", "b3", "succeeded", "x")],
     "nothing is done twice"),
    ([], [START, (2, "start", "b2", "succeeded", "x")], "nothing is done twice"),
    ([], [START, (3, "stop", "b2", "succeeded", "task_auto_pause")], "builds go forward"),
])
def test_builds(judge, stage, task, asked, builds, rule):
    task.builds, stage.builds = asked, builds
    assert rule in verdict(judge, task)


@pytest.mark.parametrize("accepted, notes, rule", [
    (["1", "2"], [1], "nothing acknowledged is lost"), (["1"], [1, 1], "order is kept"), ([], [2, 1], "order is kept")])
def test_reports(judge, stage, task, accepted, notes, rule):
    stage.homes["accepted"], stage.notes = accepted, notes
    assert rule in verdict(judge, task)


def test_one_sandbox_too_many(judge, stage):
    stage.alive = {"a": [1], "b": [2]}
    judge.count_sandboxes()
    assert rules(judge) == set()
    stage.alive["c"] = [3]
    judge.count_sandboxes()
    assert rules(judge) == {"the cap holds"}


@pytest.mark.parametrize("shown, rule", [
    ([(1, "pending", "pending"), (1, "running", "active"), (2, "stopped", "paused")], None),
    ([(2, "stopped", "paused"), (1, "running", "active")], "builds go forward"),
    ([(1, "running", "active"), (1, "starting", "initializing")], "statuses are legal"),
    ([(1, "running", "paused")], "statuses are legal"),
])
def test_what_watchers_see(judge, task, shown, rule):
    for number, workspace, status in shown:
        judge.see("g0", "bob", 0.0, [{"id": "i", "name": "t", "workspace_build_number": number,
                                      "workspace_status": workspace, "status": status}])
    assert rules(judge) == ({rule} if rule else set())


def test_a_list_without_the_task(judge, task):
    judge.see("g0", "bob", task.created_at + STALE_SECONDS - 1, [])
    judge.see("g0", "carol", task.created_at + STALE_SECONDS + 1, [])
    assert rules(judge) == set()
    judge.see("g0", "bob", task.created_at + STALE_SECONDS + 1, [])
    assert rules(judge) == {"nothing acknowledged is lost"}


def test_a_list_with_a_deleted_task(judge, task):
    task.delete, task.delete_begun, task.deleted_at = DONE, 110.0, 110.0
    judge.see("g0", "bob", 111.0 + STALE_SECONDS, [{"id": "i", "name": "t", "workspace_build_number": 2,
                                                   "workspace_status": "deleted", "status": "paused"}])
    assert rules(judge) == {"nothing acknowledged is lost"}
