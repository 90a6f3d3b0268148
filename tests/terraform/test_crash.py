# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the worker in the middle of applies: in the end one set of resources, the state true to
the world, nothing left over."""

import glob
import os
import random
import time

import pytest

from lib import terraform
from lib.wait import wait_until

CLUSTER = dict(workers=1)

KILLS = int(os.environ.get("STINT_TERRAFORM_KILLS", "4"))


pytestmark = pytest.mark.timeout(150 + 60 * KILLS)


def pieces(world, task):
    return sorted(os.path.basename(p).split(".")[1] for p in glob.glob(f"{world}/{task['workspace_id']}.*"))


def test_a_worker_is_killed_in_the_middle_of_an_apply(cluster, api, world):
    """Method: an apply of six pieces that takes a second or two; the worker is killed at random
    moments of it and started again at once, until the start has succeeded; then the same for the
    delete.  STINT_TERRAFORM_KILLS says how many tasks (20 for the long form)."""
    seed = int(os.environ.get("STINT_SEED", random.randrange(1 << 32)))
    dice = random.Random(seed)
    template, _ = terraform.push(api, "crash", terraform.host(world, n=6, slow="0.2"))
    worker = cluster.workers[0]
    for round in range(KILLS):
        task = api.create(template, f"round {round}")
        wait_until(lambda: terraform.build(api, task)["job"]["status"] == "running", "it runs", 60)
        wait_moment(dice, 4)
        worker.kill()
        cluster.start_worker(worker)
        terraform.wait_build(api, task, "start", "succeeded", deadline=120)
        here = pieces(world, task)
        assert here == ["0", "1", "2", "3", "4", "5", "home"], (seed, round, here)
        api.remove(task)
        wait_until(lambda: terraform_delete_runs(cluster, task), "the delete runs", 60)
        wait_moment(dice, 2)
        worker.kill()
        cluster.start_worker(worker)
        terraform.wait_deleted(cluster, task, deadline=120)
        assert pieces(world, task) == [], (seed, round)


def terraform_delete_runs(cluster, task):
    row = cluster.sql_one("SELECT state FROM jobs j JOIN builds b ON b.job_id = j.id "
                          "WHERE b.workspace_id = %s AND j.kind = 'delete'", task["workspace_id"])
    return row and row[0] in ("running", "succeeded")


def wait_moment(dice, most):
    """A random moment is what is tested here."""
    end = time.monotonic() + dice.uniform(0, most)
    wait_until(lambda: time.monotonic() >= end, "the moment has come", most + 10, interval=0.01)
