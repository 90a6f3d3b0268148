# SPDX-License-Identifier: Apache-2.0
"""Work that goes on while things break, and the judgement over it afterwards."""

import threading
from concurrent.futures import ThreadPoolExecutor

import requests

from . import sandboxes
from .wait import wait_until

# Says in the home directory that it ran, then in the log.
ONCE = 'echo run >> ~/runs; echo "this is run $(wc -l < ~/runs)"'


class Creates:
    """Creates `n` named tasks from several clients on threads; survives a front door that is shut.

    A create that was answered with 201, or whose second try is told that the name is taken, was
    accepted.  Leaving the `with` waits for all.
    """

    def __init__(self, api, template, n, prompt=ONCE, clients=4, word="load"):
        self.api, self.template, self.prompt = api, template, prompt
        self.names = [f"{word}-{i}" for i in range(n)]
        self.accepted = []
        self.refused = []
        self._pool = ThreadPoolExecutor(clients)
        self._lock = threading.Lock()

    def __enter__(self):
        self._jobs = [self._pool.submit(self._create, name) for name in self.names]
        return self

    def __exit__(self, kind, *_):
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            for job in self._jobs:
                job.result()

    def _create(self, name):
        def attempt():
            try:
                answer = self.api.create(self.template, self.prompt, name=name, expect=None)
            except requests.exceptions.RequestException:
                return None
            if isinstance(answer, dict):
                return "accepted"
            if answer.status_code == 409 and "already exists" in answer.text:
                return "accepted"
            if answer.status_code in (500, 502, 503, 504):
                return None
            return f"{answer.status_code} {answer.text}"

        outcome = wait_until(attempt, f"the create of {name} is answered", 60, interval=0.1)
        with self._lock:
            (self.accepted if outcome == "accepted" else self.refused).append(name)


def assert_each_ran_once(cluster, names, deadline=60):
    """Every named task ends complete, with exactly one run of its prompt, seen from three sides."""
    api = cluster.api()

    def states():
        answer = api.get("/tasks?q=owner:me")
        if answer.status_code != 200:  # right after something has been restarted
            return {}
        return {t["name"]: (t["status"], (t["current_state"] or {}).get("state"))
                for t in answer.json()["tasks"]}

    def done():
        now = states()
        return all(now.get(n) == ("active", "complete") for n in names)

    wait_until(done, "every accepted task is complete", deadline, interval=0.2,
               say=lambda: {n: states().get(n) for n in names
                            if states().get(n) != ("active", "complete")})
    for name in names:
        task = api.get(f"/tasks/me/{name}", expect=200).json()
        assert cluster.read_home(task, "runs") == "run\n", f"{name} ran more than once"
        assert api.output(task).count("this is run") == 1, f"{name}: {api.logs(task)}"
        entries = [e["type"] for e in api.logs(task)["logs"]]
        assert entries.count("input") == 1, f"{name}: the prompt is in its log {entries}"
        states_seen = [row[0] for row in cluster.sql(
            "SELECT s.state FROM app_statuses s JOIN agents a ON a.id = s.agent_id "
            "WHERE a.task_id = %s ORDER BY seq", task["id"])]
        assert states_seen.count("complete") == 1, f"{name}: {states_seen}"
        pids = cluster.sandbox_processes(task["workspace_id"])
        assert len([p for p in pids if sandboxes.is_inside(p)]) == 1, f"{name}: one agent, not {pids}"
