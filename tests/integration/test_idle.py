# SPDX-License-Identifier: Apache-2.0
"""The idle timeout: a task that nobody uses pauses by itself, one that works does not."""

from lib import templates
from lib.talk import heard, touch, wait_heard, wait_rest
from lib.wait import Stopwatch, stays, wait_until

CLUSTER = dict(workers=1)

UNTIL_GO = "until [ -e ~/go ]; do sleep 0.1; done"


def last_build(cluster, task):
    return cluster.sql_one("SELECT transition, reason FROM builds WHERE workspace_id = %s "
                           "ORDER BY build_number DESC LIMIT 1", task["workspace_id"])


def test_a_resting_task_pauses_by_itself(cluster, api):
    """Goal: about default_ttl_ms after its start it is paused with reason task_auto_pause; it can be
    resumed, and pauses again."""
    template = api.push_template("short", templates.shell(), default_ttl_ms=4000, activity_bump_ms=1000)
    task = api.wait_complete(api.create(template, "echo done"))
    watch = Stopwatch()
    api.wait_status(task, "paused", deadline=30)
    assert watch.seconds > 1
    assert last_build(cluster, task) == ("stop", "task_auto_pause")
    assert not cluster.sandbox_processes(task["workspace_id"])
    api.resume(task)
    api.wait_state(task, "idle")
    api.wait_status(task, "paused", deadline=30)
    assert last_build(cluster, task) == ("stop", "task_auto_pause")


def test_a_working_task_does_not(cluster, api):
    """Goal: as long as it works it stays, however long ago its deadline was; when it rests it goes."""
    template = api.push_template("work", templates.shell(), default_ttl_ms=2000, activity_bump_ms=1000)
    task = api.wait_state(api.create(template, UNTIL_GO), "working")
    stays(lambda: api.task(task)["status"] == "active", "it runs", 7)
    touch(cluster, task, "go")
    api.wait_status(task, "paused", deadline=30)
    assert last_build(cluster, task) == ("stop", "task_auto_pause")
    assert api.task(task)["current_state"]["state"] == "complete"


def test_activity_pushes_it_on(cluster, api):
    """Goal: a message moves the deadline by activity_bump."""
    template = api.push_template("bumped", templates.fake(), default_ttl_ms=5000, activity_bump_ms=8000)
    task = wait_rest(api, api.create(template, "the prompt"))
    wait_heard(cluster, task, "the prompt")
    watch = Stopwatch()
    for i in range(3):
        wait_until(lambda: watch.seconds > 2 * (i + 1), "a moment", 20)
        api.queue(task, f"message {i}")
        wait_heard(cluster, task, f"message {i}")
    stays(lambda: api.task(task)["status"] == "active", "it runs", 5)
    api.wait_status(task, "paused", deadline=30)
    assert heard(cluster, task) == ["the prompt", "message 0", "message 1", "message 2"]


def test_without_a_timeout_it_stays(cluster, api):
    """Goal: default_ttl_ms 0 (nothing said) is never; a change of the template is for new tasks."""
    task = api.wait_complete(api.create(cluster.shell, "echo done"))
    api.patch(f"/templates/{cluster.shell.id}", {"default_ttl_ms": 1500, "activity_bump_ms": 500}, expect=200)
    try:
        new = api.wait_complete(api.create(cluster.shell, "echo done"))
        api.wait_status(new, "paused", deadline=30)
        assert api.task(task)["status"] == "active"
    finally:
        api.patch(f"/templates/{cluster.shell.id}", {"default_ttl_ms": 0, "activity_bump_ms": 3600000}, expect=200)


def test_a_new_leader_knows_the_deadlines(clusters):
    """Goal: kill -9 of the scheduler: the task still pauses by itself."""
    cluster = clusters(workers=1)
    api = cluster.api()
    template = api.push_template("short", templates.shell(), default_ttl_ms=4000, activity_bump_ms=1000)
    task = api.wait_complete(api.create(template, "echo done"))
    cluster.scheduler.kill()
    cluster.start_scheduler()
    api.wait_status(task, "paused", deadline=30)
    assert last_build(cluster, task) == ("stop", "task_auto_pause")
