# SPDX-License-Identifier: Apache-2.0
"""Many things at once: what must hold through all of it.  (Broken things: tests/chaos.)"""

import os
import random
from concurrent.futures import ThreadPoolExecutor

from lib import sandboxes
from lib.cluster import Sampler
from lib.load import ONCE, assert_each_ran_once
from lib.wait import Stopwatch, stays, wait_until


def test_everybody_pulls_at_one_task(clusters):
    """Goal: pauses, resumes, sends, input changes and reads of one task from eight clients: never a
    5xx, never two sandboxes or agents, and in the end it does what it is told."""
    cluster = clusters(workers=2)
    api = cluster.api()
    task = api.wait_complete(api.create(cluster.shell, ONCE))
    seed = random.randrange(1 << 32)
    print("seed", seed)

    def pull(i):
        dice, bad = random.Random(seed + i), []
        for _ in range(15):
            verb = dice.choice(["pause", "resume", "send", "input", "get", "logs"])
            path = f"/tasks/me/{task['id']}"
            if verb == "get":
                answer = api.get(path)
            elif verb == "logs":
                answer = api.get(path + "/logs")
            elif verb == "input":
                answer = api.patch(path + "/input", {"input": "echo changed"})
            else:
                answer = api.post(f"{path}/{verb}", {"input": "echo sent"})
            if answer.status_code >= 500:
                bad.append((verb, answer.status_code, answer.text))
        return bad

    most = 0
    with Sampler(cluster) as samples, ThreadPoolExecutor(8) as pool:
        bad = sum(pool.map(pull, range(8)), [])
        most = samples.most
    # A message may meet an agent that is just stopping: 502 is Coder's word for that.
    bad = [b for b in bad if not (b[0] in ("send", "logs") and b[1] == 502)]
    assert not bad, bad
    assert most <= 1

    def settle():
        now = api.task(task)
        if now["status"] == "paused":
            api.resume(task, expect=(202, 409))
        return now["status"] == "active" and (now["current_state"] or {}).get("state") in ("idle", "complete")

    wait_until(settle, "it comes to rest", 30, interval=0.1, say=lambda: api.task(task))
    alive = [p for p in cluster.sandbox_processes(task["workspace_id"]) if sandboxes.is_first(p)]
    assert len(alive) == 1
    api.send(task, "echo obeyed")
    wait_until(lambda: api.task(task)["current_state"]["message"] == "obeyed", "it obeys")
    assert cluster.read_home(task, "runs") == "run\n"


def test_creates_of_one_name_at_once(clusters):
    """Goal: of ten creates with one name exactly one wins."""
    cluster = clusters(workers=1)
    api = cluster.api()

    def create(_):
        answer = api.create(cluster.shell, ONCE, name="only-one", expect=(201, 409))
        return isinstance(answer, dict)

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(create, range(10))) == 1
    assert_each_ran_once(cluster, ["only-one"])


def test_a_delete_at_every_moment(clusters):
    """Goal: deleting a task at any moment of its life leaves no process, no files and no row that
    holds compute."""
    cluster = clusters(workers=2)
    api = cluster.api()
    dice = random.Random(1)
    tasks = []
    for i in range(12):
        task = api.create(cluster.shell, ONCE, name=f"short-{i}")
        tasks.append(task)
        moment = dice.random() * 0.4
        watch = Stopwatch()
        wait_until(lambda: watch.seconds > moment, "its moment", interval=0.005)
        wait_until(lambda: api.remove(task, expect=(202, 409)).status_code == 202, "it can be deleted", 20)
    wait_until(lambda: not cluster.sandbox_processes(), "no sandbox is left", 20)
    wait_until(lambda: cluster.queue()["holding"] == 0, "nothing holds compute")
    for task in tasks:
        wait_until(lambda: not os.path.exists(cluster.home(task)), "no home is left")
    assert api.tasks()["tasks"] == []


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def n_files(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def test_idle_is_idle(clusters):
    """Goal: with tasks that have nothing to do nobody spins, and no daemon loses file descriptors over
    tasks that came and went."""
    cluster = clusters(workers=2)
    api = cluster.api()

    def life(i):
        task = api.wait_complete(api.create(cluster.shell, "echo up"))
        if i % 2:
            api.pause(task)
            api.wait_status(task, "paused")
            api.remove(task)

    life(1), life(0)
    files = {p.name: n_files(p) for p in cluster.daemons}
    for i in range(10):
        life(i)
    stays(lambda: True, duration=1.5)
    before = {p.name: cpu_seconds(p) for p in cluster.daemons}
    watch = Stopwatch()
    stays(lambda: True, duration=3)
    for process in cluster.daemons:
        used = (cpu_seconds(process) - before[process.name]) / watch.seconds
        assert used < 0.25, f"{process.name} uses {used:.0%} of a processor while nothing happens"
        # Sessions of the five agents that stay may take some.
        assert n_files(process) <= files[process.name] + 12, (
            process.name, os.popen(f"ls -l /proc/{process.pid}/fd").read())
