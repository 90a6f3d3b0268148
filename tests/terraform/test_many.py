# SPDX-License-Identifier: Apache-2.0
"""Many tasks from one template on one worker: `init` once, no plugin copied, no registry asked."""

import glob
import os

import pytest

from lib import terraform
from lib.wait import wait_until

CLUSTER = dict(workers=1, worker={"slots": 4})

TASKS = int(os.environ.get("STINT_TERRAFORM_TASKS", "8"))


pytestmark = pytest.mark.timeout(150 + 20 * TASKS)


def test_many_tasks_share_what_init_has_made(cluster, api, world):
    """Method: STINT_TERRAFORM_TASKS tasks at once (50 for the long form); the mirror is out of reach
    after the import, so that a second `init` would fail."""
    template, _ = terraform.push(api, "many", terraform.host(world))
    tasks = [api.create(template, f"task {i}") for i in range(TASKS)]
    wait_until(lambda: cluster.sql_one(
        "SELECT count(*) FROM jobs WHERE kind = 'start' AND state = 'succeeded'")[0] == TASKS,
        "all have started", 60 + 10 * TASKS, interval=0.2,
        say=lambda: cluster.sql("SELECT kind, state, error, count(*) FROM jobs GROUP BY 1, 2, 3"))
    inits = cluster.sql_one("SELECT count(*) FROM build_logs WHERE output LIKE 'Initialising the template%%'")
    assert inits == (1,), inits
    copies = [p for p in glob.glob(f"{cluster.data_dir}/terraform/**/terraform-provider-*", recursive=True)
              if not os.path.islink(p) and os.path.isfile(p)]
    assert len({os.path.realpath(p) for p in copies}) <= 1, copies
    for task in tasks:
        api.remove(task)
    for task in tasks:
        terraform.wait_deleted(cluster, task, deadline=60 + 10 * TASKS)
    assert glob.glob(f"{world}/*.home") == []
