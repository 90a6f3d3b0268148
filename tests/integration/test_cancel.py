# SPDX-License-Identifier: Apache-2.0
"""Canceling builds: PATCH /workspacebuilds/{id}/cancel."""

import time

from lib import templates
from lib.api import message_of
from lib.wait import wait_until

CLUSTER = dict(workers=1, scheduler={"lease": "60s"})

DEAF = "trap '' TERM; echo busy; while :; do sleep 0.1; done"


def cancel(api, build_id, expect, query=""):
    return api.patch(f"/workspacebuilds/{build_id}/cancel{query}", expect=expect)


def build_of(api, task):
    return api.get(f"/workspaces/{task['workspace_id']}", expect=200).json()["latest_build"]["id"]


def test_a_start_that_nobody_has_taken_is_canceled(cluster, api):
    """Goal: a pending start ends at once, its task is in `error`, and may be resumed.  Method: the
    worker is frozen, so that nothing is taken."""
    worker = cluster.workers[0]
    worker.freeze()
    try:
        task = api.create(cluster.shell, "echo ran")
        build = build_of(api, task)
        if api.task(task)["status"] == "pending":
            answer = cancel(api, build, 412, "?expect_status=running")
            assert message_of(answer) == "Job is not in the expected state."
        cancel(api, build, 400, "?expect_status=sleeping")
        answer = cancel(api, build, 200)
        assert answer.json() == {"message": "Job has been marked as canceled..."}
        assert message_of(cancel(api, build, 400)).startswith("Job has already ")
    finally:
        worker.thaw()
    wait_until(lambda: api.task(task)["workspace_status"] == "canceled", "the start is canceled")
    assert api.task(task)["status"] == "error"
    wait_until(lambda: not cluster.sandbox_processes(task["workspace_id"]), "nothing of it is left")
    wait_until(lambda: api.post(f"/tasks/me/{task['id']}/resume").status_code == 202,
               "the clean-up after it has ended")
    api.wait_complete(task)


def test_canceling_a_stop_makes_it_a_hard_one(cluster, api):
    """Goal: a stop that waits out a long grace time is cut short by cancel.  Method: a command that
    ignores SIGTERM, in a template with a grace of a minute."""
    patient = api.push_template("patient", templates.shell(grace="60s"))
    task = api.wait_state(api.create(patient, DEAF), "working")
    begun = time.monotonic()
    build = api.pause(task).json()["workspace_build"]["id"]
    cancel(api, build, 200)
    wait_until(lambda: api.task(task)["workspace_status"] in ("stopped", "canceled"),
               "the stop has ended", 30)
    assert time.monotonic() - begun < 45, "the grace time was not waited out"
    assert not cluster.sandbox_processes(task["workspace_id"])


def test_nobody_cancels_what_is_not_theirs(cluster, api):
    """Goal: another user's build does not exist for a member."""
    task = api.create(cluster.shell, "echo hello")
    build = build_of(api, task)
    cancel(cluster.api("bob"), build, 404)
    cancel(api, "00000000-0000-0000-0000-000000000001", 404)
    api.wait_complete(task)
