# SPDX-License-Identifier: Apache-2.0
"""The cap holds at every instant; who is over it waits in a fair queue, or is refused."""

from concurrent.futures import ThreadPoolExecutor

from lib.api import message_of
from lib.cluster import Sampler
from lib.wait import stays, wait_until

CAP_TEXT = ("Build is not permitted: You have breached the managed agent limit in your license. "
            "Please contact sales to continue using managed agents.")
GATED = "echo up; until [ -e ~/go ]; do sleep 0.1; done; echo done"


def let_go(cluster, task):
    open(cluster.home(task, "go"), "w").close()


def create_at_once(api, template, n, prompt=GATED):
    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(lambda i: api.create(template, prompt, name=f"task-{i}"), range(n)))


def place_of(task):
    """The queue position that a task's JSON tells, wherever it stands in it."""
    return task.get("queue_position") or (task.get("queue") or {}).get("position")


def positions(api):
    return {t["name"]: place_of(t) for t in api.tasks("owner:me status:pending")["tasks"]}


def by_status(api, status):
    return api.tasks(f"owner:me status:{status}")["tasks"]


def test_ten_tasks_with_a_cap_of_three(clusters):
    """Goal: never more than 3 sandboxes; the others are pending at places 1..7; each task that
    finishes, is paused or deleted lets the next in; all end complete.
    Method: sandboxes are counted from /proc all the while; tasks wait for a file."""
    cluster = clusters(workers=2, scheduler={"cap": 3, "make_room_grace": "200ms"})
    api = cluster.api()
    with Sampler(cluster) as samples:
        tasks = create_at_once(api, cluster.shell, 10)
        wait_until(lambda: len(by_status(api, "active")) == 3, "three are active", 20)
        assert cluster.sandbox_count() == 3
        assert len(by_status(api, "pending")) == 7
        assert sorted(positions(api).values()) == list(range(1, 8))  # nothing moves now
        state = cluster.queue()
        assert (state["holding"], state["cap"], state["size"]) == (3, 3, 7)

        # Pause one by hand, delete one, let one finish: each makes room for one.
        finish, pause, delete = by_status(api, "active")
        let_go(cluster, finish)
        wait_until(lambda: len(by_status(api, "pending")) == 6, "a finished task made room", 20)
        wait_until(lambda: sorted(positions(api).values()) == list(range(1, 7)), "all move up", 5,
                   say=lambda: positions(api))
        api.pause(pause)
        wait_until(lambda: len(by_status(api, "pending")) == 5, "a paused task made room", 20)
        api.remove(delete)
        wait_until(lambda: len(by_status(api, "pending")) == 4, "a deleted task made room", 20)

        # The rest: let go whoever is running until everyone has been.
        left = {t["id"] for t in tasks} - {pause["id"], delete["id"]}

        def all_done():
            for task in by_status(api, "active"):
                if (task["current_state"] or {}).get("state") == "working" and task["id"] in left:
                    let_go(cluster, task)
            now = {t["id"]: t for t in api.tasks("owner:me")["tasks"]}
            return all((now[i]["current_state"] or {}).get("state") == "complete" for i in left)

        wait_until(all_done, "all are complete", 60, interval=0.1,
                   say=lambda: [(t["name"], t["status"], t["current_state"])
                                for t in api.tasks("owner:me")["tasks"]])
    assert samples.n > 30
    assert samples.most == 3, f"{samples.most} sandboxes at once: {samples.worst}"


def test_a_resume_storm_keeps_the_cap(clusters):
    """Goal: resumes count like creates: five paused tasks resumed at once share a cap of two."""
    cluster = clusters(workers=2, scheduler={"cap": 2, "make_room_grace": "200ms"})
    api = cluster.api()
    with Sampler(cluster) as samples:
        tasks = create_at_once(api, cluster.shell, 5, prompt="echo done")
        for task in tasks:
            api._wait(task, lambda t: (t["current_state"] or {}).get("state") == "complete",
                      "complete", 40)
        # Whoever still runs holds room that others want no more; pause them by hand.
        for task in tasks:
            if api.task(task)["status"] == "active":
                api.pause(task, expect=(202, 409))
            api.wait_status(task, "paused")
        with ThreadPoolExecutor(5) as pool:
            list(pool.map(api.resume, tasks))
        for task in tasks:
            api._wait(task, lambda t: (t["current_state"] or {}).get("state") == "idle", "idle", 40)
    assert samples.most == 2, f"{samples.most} sandboxes at once: {samples.worst}"


def test_a_working_task_never_makes_room(clusters):
    """Goal: with make_room, a task that works keeps its compute however long others wait; when it
    has finished it is paused by an ordinary pause, after its grace."""
    cluster = clusters(workers=1, scheduler={"cap": 1, "make_room_grace": "300ms"})
    api = cluster.api()
    first = api.wait_state(api.create(cluster.shell, GATED), "working")
    second = api.create(cluster.shell, "echo me too")
    assert place_of(api.wait_status(second, "pending")) == 1
    pid = cluster.agent_pid(first)
    # Several times the grace.
    stays(lambda: api.task(second)["status"] == "pending", "the second waits", 1.5)
    assert cluster.agent_pid(first) == pid
    let_go(cluster, first)
    api.wait_complete(second)
    assert api.task(first)["status"] == "paused"
    assert api.task(first)["current_state"]["state"] == "complete", "as it was when it was paused"


def test_without_make_room_the_queue_waits(clusters):
    """Goal: make_room=false: a complete task keeps its compute until someone pauses it."""
    cluster = clusters(workers=1, scheduler={"cap": 1, "make_room": "false", "make_room_grace": "100ms"})
    api = cluster.api()
    first = api.wait_complete(api.create(cluster.shell, "echo one"))
    second = api.create(cluster.shell, "echo two")
    stays(lambda: api.task(second)["status"] == "pending", "the second waits", 1.0)
    assert api.task(first)["status"] == "active"
    api.pause(first)
    api.wait_complete(second)


def test_the_policy_reject(clusters):
    """Goal: with cap_policy=reject the fourth create is a 403 with Coder's text and leaves nothing
    behind; after a pause the next is taken; a resume over the cap is refused alike."""
    cluster = clusters(workers=1, scheduler={"cap": 3, "cap_policy": "reject", "make_room": "false"})
    api = cluster.api()
    with Sampler(cluster) as samples:
        tasks = [api.create(cluster.shell, "echo up", name=f"task-{i}") for i in range(3)]
        refused = api.create(cluster.shell, "echo no", name="task-3", expect=403)
        assert message_of(refused) == CAP_TEXT
        for task in tasks:
            api.wait_complete(task)
        assert {t["id"] for t in api.tasks()["tasks"]} == {t["id"] for t in tasks}
        assert message_of(api.create(cluster.shell, "echo no", expect=403)) == CAP_TEXT

        api.pause(tasks[0])
        api.wait_status(tasks[0], "paused")
        third = api.create(cluster.shell, "echo yes", name="task-3")
        api.wait_complete(third)
        assert message_of(api.resume(tasks[0], expect=403)) == CAP_TEXT
        assert api.task(tasks[0])["status"] == "paused"
    assert samples.most == 3


def test_the_queue_is_fair_between_owners(clusters):
    """Goal: one owner's twenty tasks do not keep another owner's one waiting to the end."""
    cluster = clusters(workers=1, scheduler={"cap": 1, "make_room_grace": "50ms"})
    api, bob = cluster.api(), cluster.api("bob")
    gate = api.wait_state(api.create(cluster.shell, GATED), "working")
    many = [api.create(cluster.shell, "echo mine", name=f"many-{i}") for i in range(20)]
    one = bob.create(cluster.shell, "echo his", name="one")
    let_go(cluster, gate)
    done = wait_until(lambda: (bob.task(one)["current_state"] or {}).get("state") == "complete",
                      "the other owner's task is complete", 40)
    assert done
    first = cluster.sql_one("SELECT started_at FROM jobs JOIN builds b ON b.job_id = jobs.id "
                            "WHERE b.workspace_id = %s AND build_number = 1", one["workspace_id"])[0]
    earlier = cluster.sql_one(
        "SELECT count(*) FROM jobs JOIN builds b ON b.job_id = jobs.id "
        "JOIN workspaces w ON w.id = b.workspace_id WHERE b.build_number = 1 AND started_at < %s "
        "AND w.name LIKE 'many-%%'", first)[0]
    assert earlier <= 2, f"{earlier} of {len(many)} of the first owner's tasks came before"


def test_the_oldest_of_one_owner_comes_first(clusters):
    """Goal: within one owner the queue is by age."""
    cluster = clusters(workers=1, scheduler={"cap": 1, "make_room_grace": "50ms"})
    api = cluster.api()
    gate = api.wait_state(api.create(cluster.shell, GATED), "working")
    tasks = [api.create(cluster.shell, "echo me", name=f"task-{i}") for i in range(5)]
    assert [place_of(api.task(t)) for t in tasks] == [1, 2, 3, 4, 5]
    let_go(cluster, gate)
    for task in tasks:
        api._wait(task, lambda t: (t["current_state"] or {}).get("state") == "complete", "complete", 40)
    order = [row[0] for row in cluster.sql(
        "SELECT w.name FROM jobs JOIN builds b ON b.job_id = jobs.id JOIN workspaces w "
        "ON w.id = b.workspace_id WHERE b.build_number = 1 AND w.name LIKE 'task-%%' "
        "ORDER BY started_at")]
    assert order == [f"task-{i}" for i in range(5)]


def test_a_queued_task_can_be_deleted(clusters):
    """Goal: deleting a waiting task takes it out of the queue, and the others move up."""
    cluster = clusters(workers=1, scheduler={"cap": 1})
    api = cluster.api()
    gate = api.wait_state(api.create(cluster.shell, GATED), "working")
    a, b, c = (api.create(cluster.shell, "echo me", name=n) for n in "abc")
    answer = api.remove(b, expect=(202, 409))
    if answer.status_code == 202:
        wait_until(lambda: place_of(api.task(c)) == 2, "c moves up")
        api.get(f"/tasks/me/{b['id']}", expect=404)
        assert place_of(api.task(a)) == 1
    else:
        assert message_of(answer) == "A workspace build is already active."
    let_go(cluster, gate)
