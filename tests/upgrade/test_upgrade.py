# SPDX-License-Identifier: Apache-2.0
"""Rolling upgrades, rehearsed: old and new daemons, agents and schemas work together.

Method: a Stint of the old version, with tasks; its daemons are replaced one by one while clients
create tasks and read them, in both orders, so that each kind of daemon meets both versions of every
other.  Whatever was accepted ends complete, and ran once.
"""

import os
import subprocess

import pytest

from lib import sandboxes
from lib.cluster import environment
from lib.load import ONCE, Creates, assert_each_ran_once
from lib.traffic import Traffic, leader_of
from lib.wait import wait_until

SIZE = dict(workers=2, schedulers=3, gateways=2)


class Roll:
    """One cluster on its way from one version to another."""

    def __init__(self, cluster, new):
        self.cluster, self.old, self.new = cluster, cluster.session.build, new
        self.api = cluster.api()

    def migrate(self):
        """The new schema, under the old daemons."""
        done = subprocess.run([self.new.program("stint-scheduler"), "migrate"], capture_output=True, text=True,
                              env=environment(database_url=self.cluster.database_url), timeout=60)
        assert done.returncode == 0, done.stderr

    def replace(self, process, build, start):
        assert process.stop(60) == 0, process.log()[-3000:]
        other = self.old if build is self.new else self.new
        process.argv = [a.replace(other.directory, build.directory) for a in process.argv]
        start(process)

    def schedulers(self, build):
        """Standbys first, the leader last: it hands over to one of `build`."""
        leader = leader_of(self.cluster)
        for process in sorted(self.cluster.schedulers, key=lambda p: p is leader):
            self.replace(process, build, lambda p: (p.start(), p.wait_log(r'msg="?Redis is here')))

    def workers(self, build):
        for process in self.cluster.workers:
            self.replace(process, build, self.cluster.start_worker)

    def gateways(self, build):
        for process in self.cluster.gateways:
            self.replace(process, build, self.cluster.start_gateway)

    def use(self, task):
        """What was there before is used as if nothing had happened: a message, a pause, a resume."""
        api = self.api
        wait_until(lambda: api.post(f"/tasks/me/{task['id']}/send", {"input": "echo well"}).status_code == 204,
                   "it takes a message", 60, interval=0.2)
        wait_until(lambda: api.task(task)["current_state"]["message"] == "well", "it has answered", 60)
        wait_until(lambda: api.post(f"/tasks/me/{task['id']}/pause").status_code == 202, "it is paused", 60,
                   interval=0.2)
        api.wait_status(task, "paused", deadline=60)
        wait_until(lambda: api.post(f"/tasks/me/{task['id']}/resume").status_code == 202, "it resumes", 60,
                   interval=0.2)
        api.wait_state(task, "complete", "idle", deadline=60)


def schedulers_first(roll):
    yield "schedulers", roll.schedulers
    yield "workers", roll.workers
    yield "gateways", roll.gateways


def hands_first(roll):
    yield "workers", roll.workers
    yield "gateways", roll.gateways
    yield "schedulers", roll.schedulers


def roll_through(cluster, roll, order, build, word):
    """Each step under load; requests may fail only while their own gateway is replaced."""
    veterans = [roll.api.wait_complete(roll.api.create(cluster.shell, ONCE, name=f"{word}-{i}"), deadline=60)
                for i in range(2)]
    for what, step in order(roll):
        with Creates(roll.api, cluster.shell, 6, clients=2, word=f"{word}-{what}") as creates, \
                Traffic(cluster, cluster.shell, clients=2, pause=0.3, word=f"{word}-t-{what}") as traffic:
            step(build)
        assert not creates.refused
        assert what == "gateways" or traffic.failed == [], traffic.failed
        assert_each_ran_once(cluster, creates.accepted, 120)
        wait_until(lambda: traffic.unfinished() == 0, "every accepted task has started", 120, interval=0.2)
        assert traffic.lost() == [] and traffic.doubled() == []
        for task in veterans:
            agents = [p for p in cluster.sandbox_processes(task["workspace_id"]) if sandboxes.is_first(p)]
            assert len(agents) == 1, f"after {what}: {agents}"
        roll.use(veterans[0])
    roll.use(veterans[1])


@pytest.mark.parametrize("order", [schedulers_first, hands_first])
def test_a_rolling_upgrade(clusters, new_build, order):
    """Goal: from the old version to the new one, daemon by daemon, tasks running all the while."""
    cluster = clusters(**SIZE)
    roll = Roll(cluster, new_build)
    roll.migrate()
    roll_through(cluster, roll, order, new_build, "up")


def knows_newer_schemas(build):
    with open(build.program("stint-scheduler"), "rb") as f:
        return b"TABLE schema_needs" in f.read()


def test_a_way_back(clusters, new_build):
    """Goal: the new version is rolled back; the old one works on the new schema."""
    if not knows_newer_schemas(clusters.session.build):
        pytest.skip("the earlier commit is from before the rule that a schema only grows")
    cluster = clusters(**SIZE)
    roll = Roll(cluster, new_build)
    roll.migrate()
    for process in cluster.daemons:
        assert process.stop(60) == 0
        process.argv = [a.replace(roll.old.directory, new_build.directory) for a in process.argv]
    cluster.start_scheduler(cluster.schedulers[0])
    for process in cluster.schedulers[1:]:
        process.start()
    for process in cluster.workers:
        cluster.start_worker(process)
    for process in cluster.gateways:
        cluster.start_gateway(process)
    roll_through(cluster, roll, schedulers_first, roll.old, "back")
    assert os.path.realpath(f"/proc/{cluster.scheduler.pid}/exe").startswith(roll.old.directory)
