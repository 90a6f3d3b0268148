# SPDX-License-Identifier: Apache-2.0
"""Clients that keep asking through every front door, and remember every answer.

    with Traffic(cluster, template, clients=4) as traffic: ... things happen to schedulers ...
    traffic.failed              answers that were none of 201 and 200
    traffic.lost(), doubled()   what was acknowledged and is not there, or is there twice
"""

import itertools
import threading

import requests

from .api import Api
from .wait import Stopwatch, wait_until


def leader_of(cluster):
    """The scheduler that leads by what Postgres says, or None."""
    row = cluster.sql_one("SELECT leader_url FROM scheduler_epoch")
    return cluster.schedulers[cluster.bus_urls.index(row[0])] if row and row[0] in cluster.bus_urls else None


def epoch_of(cluster):
    return cluster.sql_one("SELECT epoch FROM scheduler_epoch")[0]


def wait_new_leader(cluster, epoch, deadline=60):
    """The scheduler that leads after that epoch."""
    wait_until(lambda: epoch_of(cluster) > epoch, "another one leads", deadline)
    leader = leader_of(cluster)
    leader.wait_log(r'msg="?leading"?', deadline)
    return leader


class Traffic:
    """Each client creates a task, reads it at another gateway, and begins again after `pause`."""

    def __init__(self, cluster, template, clients=4, pause=0.1, prompt="echo up", word="traffic",
                 user="admin"):
        self.cluster, self.template, self.prompt, self.word = cluster, template, prompt, word
        self.pause = pause
        self.token = cluster.session.tokens[user]
        self.accepted = {}  # name: id
        self.failed = []  # (what, seconds, answer)
        self.slowest = 0.0
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._ids = itertools.count()
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()

    def apis(self, i):
        """One per gateway, the i-th first."""
        gateways = self.cluster.gateways[i % len(self.cluster.gateways):] + self.cluster.gateways[
            :i % len(self.cluster.gateways)]
        return [Api(lambda g=g: g.url, self.token) for g in gateways]

    def _run(self, i):
        apis = self.apis(i)
        while not self._end.wait(self.pause):
            self.create(apis)

    def create(self, apis):
        """One more task; gives the seconds that the answer took."""
        name = f"{self.word}-{next(self._ids)}"
        watch = Stopwatch()
        answer = self._ask(lambda: apis[0].create(self.template, self.prompt, name=name, expect=None))
        seconds = watch.seconds
        with self._lock:
            self.slowest = max(self.slowest, seconds)
            if isinstance(answer, dict):
                self.accepted[name] = answer["id"]
            else:
                self.failed.append((f"create {name}", seconds, answer))
        if isinstance(answer, dict):
            self._read(apis[-1], answer["id"])
        return seconds

    def _read(self, api, task_id):
        answer = self._ask(lambda: api.get(f"/tasks/me/{task_id}"))
        if getattr(answer, "status_code", 0) != 200:
            with self._lock:
                self.failed.append((f"read {task_id}", 0, answer))

    @staticmethod
    def _ask(ask):
        try:
            answer = ask()
        except requests.exceptions.RequestException as error:
            return repr(error)
        if isinstance(answer, dict) or answer.status_code in (200, 201):
            return answer
        return f"{answer.status_code} {answer.text[:300]}"

    # ---- the judgement

    def lost(self):
        """Names that were acknowledged and have no task of that id."""
        there = {row[0]: row[1] for row in self.cluster.sql("SELECT name, id::text FROM tasks")}
        return [name for name, task in self.accepted.items() if there.get(name) != task]

    def doubled(self):
        """Tasks of ours with more than one workspace, first build, or success of it."""
        return [row[0] for row in self.cluster.sql(
            "SELECT t.name FROM tasks t JOIN workspaces w ON w.task_id = t.id "
            "JOIN builds b ON b.workspace_id = w.id JOIN jobs j ON j.id = b.job_id "
            "WHERE t.name LIKE %s AND j.kind = 'start' GROUP BY t.id, t.name HAVING count(*) <> 1", self.word + "-%")]

    def unfinished(self):
        """How many of the first starts have not succeeded."""
        return self.cluster.sql_one(
            "SELECT count(*) FROM tasks t JOIN builds b ON b.workspace_id = t.workspace_id "
            "JOIN jobs j ON j.id = b.job_id WHERE t.name LIKE %s AND j.state <> 'succeeded'",
            self.word + "-%")[0]
