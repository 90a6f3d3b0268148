# SPDX-License-Identifier: Apache-2.0
"""The n-th allocation, statement, command or message of a daemon goes wrong, while a task lives its
life: it is created, says what it did, gets a message, is paused, resumed and deleted.

A client tries again what was not answered, with the same Idempotency-Key, and in the end everything
is as if nothing had happened: each prompt and message ran once, each build is there once, nothing is
left over.  A daemon that gets no memory ends with a line of its log, and starts again.

STINT_FAULT_SECONDS  how long a sample may take (initially 40); STINT_FAULT_SEED chooses it
STINT_FAULT_ALL=1    every n that a life reaches, of each daemon, point and way
STINT_FAULT_ALLOC    of allocations so many n are enough even then (initially 40 of each daemon)
"""

import os
import random
import re
import time
import uuid

import pytest
import requests

from lib.api import OWN
from lib.wait import wait_until

from board import WAYS, Board

PARTS = ("scheduler", "worker", "gateway")
ALL = os.environ.get("STINT_FAULT_ALL") == "1"
SECONDS = float(os.environ.get("STINT_FAULT_SECONDS", 40))
SEED = int(os.environ.get("STINT_FAULT_SEED", time.time()))
ALLOCATIONS = int(os.environ.get("STINT_FAULT_ALLOC", 40))
PATIENCE_S = 90
CASES = [(part, point, way) for part in PARTS for point, way in WAYS
         if not (part == "worker" and point == "SQL")]

pytestmark = pytest.mark.timeout(0 if ALL else 300)


class World:
    """A Stint whose every daemon has a board, and a client that does not give up."""

    def __init__(self, clusters):
        # A missed poll is no reason to give up a worker here: one is all there is.
        self.cluster = clusters(start=False, workers=1)
        daemons = (self.cluster.scheduler, self.cluster.workers[0], self.cluster.gateway)
        self.boards = {part: Board(self.cluster, process) for part, process in zip(PARTS, daemons)}
        self.cluster.start()
        self.api = self.cluster.api()
        self.shell = self.api.push_template("shell", {
            "template.yaml": 'name: shell\ncommand: [bash, -c, "exec bash \\"$STINT_PROMPT_FILE\\""]\n'
                             "grace: 1s\napp: {slug: shell, display_name: Shell}\n"})
        self.n_lives = 0

    # ---- a client that tries again

    def until(self, look, what):
        """look() until it gives something; requests that fail count as nothing."""

        def attempt():
            for part, board in self.boards.items():
                board.look_after()
            try:
                return look()
            except (requests.exceptions.RequestException, ConnectionError):
                return None

        return wait_until(attempt, what, PATIENCE_S, interval=0.03)

    def url(self):
        found = re.findall(r'msg="?ready"?.*?\burl="?(http://[^\s"]+)', self.cluster.gateway.log())
        return found[-1].rstrip("/") if found else None

    def ask(self, method, path, body=None, expect=(200,), key=None):
        """The answer, once it is one of those expected; what is no final answer is asked for again."""
        headers = {"Idempotency-Key": key} if key else {}

        def attempt():
            self.cluster.gateway.url = self.url()
            if not self.cluster.gateway.url:
                return None
            answer = self.api.request(method, path, prefix=OWN, json=body, headers=headers, timeout=10)
            if answer.status_code in expect:
                return [answer]  # one that says "no" is false
            again = answer.status_code >= 500 or "idempotency-key-in-use" in answer.text
            assert again, f"{method} {path}: {answer.status_code} {answer.text}"
            return None

        return self.until(attempt, f"{method} {path} is answered")[0]

    def task(self, task_id):
        return self.ask("GET", f"/tasks/{task_id}", expect=(200, 404))

    def wait(self, task_id, is_it, what):
        return self.until(lambda: is_it(self.task(task_id)), f"the task is {what}")

    # ---- a life

    def life(self):
        """Goes through a whole life; raises when anything is not as it should be."""
        self.n_lives += 1
        name = f"life-{self.n_lives}"
        key = str(uuid.uuid4())
        prompt = "echo run >> ~/runs; echo done"
        task_id = self.ask("POST", "/tasks", {"template": "shell", "input": prompt, "name": name},
                           (201,), key + "c").json()["id"]
        self.wait_state(task_id, "complete")
        self.ask("POST", f"/tasks/{task_id}/messages", {"content": "echo message >> ~/runs"},
                 (201, 200), key + "m")
        task = {"id": task_id, "name": name, "workspace_id": self.workspace(task_id)}
        self.until(lambda: self.runs(task) == ["run", "message"], "the message has run")
        self.wait_state(task_id, "complete")
        self.ask("POST", f"/tasks/{task_id}/pause", None, (202,), key + "p")
        self.wait(task_id, lambda a: a.json().get("status") == "paused", "paused")
        self.ask("POST", f"/tasks/{task_id}/resume", None, (202,), key + "r")
        self.wait(task_id, lambda a: a.json().get("status") == "active", "active again")
        assert self.runs(task) == ["run", "message"], self.runs(task)
        # The first try may have done it, and lost its answer.
        self.ask("DELETE", f"/tasks/{task_id}", None, (202, 204, 404), key + "d")
        self.wait(task_id, lambda a: a.status_code == 404, "gone")
        self.judge(task)

    def wait_state(self, task_id, state):
        self.wait(task_id, lambda a: a.status_code == 200 and
                  (a.json().get("current_state") or {}).get("state") == state, state)

    def workspace(self, task_id):
        return str(self.cluster.sql_one("SELECT workspace_id FROM tasks WHERE id = %s", task_id)[0])

    def runs(self, task):
        try:
            return self.cluster.read_home(task, "runs").split()
        except FileNotFoundError:
            return []

    def judge(self, task):
        """What Postgres has of it, now that it is over."""
        builds = lambda: self.cluster.sql(  # noqa: E731
            "SELECT b.transition::text, j.state::text FROM builds b JOIN jobs j ON j.id = b.job_id "
            "WHERE b.workspace_id = %s ORDER BY b.build_number",
            task["workspace_id"])
        self.until(lambda: all(row[1] not in ("pending", "running") for row in builds()), "every build is over")
        assert builds() == [("start", "succeeded"), ("stop", "succeeded"), ("start", "succeeded"),
                            ("delete", "succeeded")], builds()
        self.until(lambda: not self.cluster.sandbox_processes(task["workspace_id"]), "its sandbox is gone")

    # ---- counting

    def measure(self):
        """{(part, point): how many a life takes}, after one that is not counted."""
        self.life()
        before = {part: board.counts for part, board in self.boards.items()}
        self.life()
        return {(part, point): max(1, board.counts[point] - before[part][point])
                for part, board in self.boards.items() for point in board.counts}

    def try_one(self, part, point, way, n):
        """A life, with a fault in it; True if the fault struck."""
        board = self.boards[part]
        board.arm(point, way, n)
        try:
            self.life()
        except AssertionError as e:
            raise AssertionError(f"{part} {point}:{way}, the {n}th of a life: {e}") from None
        struck = board.fired > 0
        board.disarm()
        self.until(lambda: all(b.process.is_running() for b in self.boards.values()) and self.url(), "all are here")
        return struck


@pytest.mark.skipif(ALL, reason="all of them are tried")
def test_a_sample(clusters):
    """Goal: whatever goes wrong, the life goes well."""
    world = World(clusters)
    reached = world.measure()
    dice = random.Random(SEED)
    until = time.monotonic() + SECONDS
    tried = struck = 0
    print(f"seed {SEED}; a life takes", {f"{part} {point}": n for (part, point), n in reached.items()})
    while time.monotonic() < until:
        part, point, way = dice.choice(CASES)
        struck += world.try_one(part, point, way, dice.randint(1, reached[part, point]))
        tried += 1
    print(f"{tried} lives, {struck} faults")
    assert struck > 0


@pytest.mark.skipif(not ALL, reason="only when all are asked for")
@pytest.mark.parametrize("part, point, way", CASES)
def test_every_one(clusters, part, point, way):
    """Goal: the same for every n that a life reaches."""
    world = World(clusters)
    most = world.measure()[part, point]
    numbers = range(1, most + 1)
    if point == "ALLOC":
        numbers = random.Random(SEED).sample(numbers, min(ALLOCATIONS, most))
    struck = sum(world.try_one(part, point, way, n) for n in numbers)
    print(f"{part} {point}:{way}: {len(numbers)} lives of {most} possible, {struck} faults")
    assert struck > 0
