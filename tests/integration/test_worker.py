# SPDX-License-Identifier: Apache-2.0
"""Workers may be killed, frozen, drained and restarted at any time; agents do not notice."""

import os
import pwd
import shutil
import signal

import pytest

from lib import sandboxes, templates
from lib.load import ONCE, Creates, assert_each_ran_once
from lib.wait import Stopwatch, stays, wait_until

GATED = 'echo run >> ~/runs; echo "this is run $(wc -l < ~/runs)"; ' \
        "until [ -e ~/go ]; do sleep 0.1; done; echo over"


def start_job(cluster, task):
    """(state, worker's name, token, attempt) of the task's first start job."""
    return cluster.sql_one(
        "SELECT j.state, w.name, j.token, j.attempt FROM builds b JOIN jobs j ON j.id = b.job_id "
        "LEFT JOIN workers w ON w.id = j.worker_id WHERE b.workspace_id = %s AND b.build_number = 1",
        task["workspace_id"])


def test_a_worker_killed_with_a_leased_job(clusters):
    """Goal: a job whose worker dies before it began is taken over within 10 s.
    Method: the only worker is frozen when the job comes to it, then killed; another one is there."""
    cluster = clusters(workers=1)
    api = cluster.api()
    victim = cluster.workers[0]
    victim.freeze()
    task = api.create(cluster.shell, ONCE, name="leased")
    wait_until(lambda: start_job(cluster, task)[0] == "running", "the job is leased")
    other = cluster.add_worker()
    victim.kill()
    watch = Stopwatch()
    api.wait_complete(task, deadline=20)
    assert watch.seconds < 10
    state, _, token, _ = start_job(cluster, task)
    assert state == "succeeded" and token >= 2
    assert "job begins" in other.log()
    assert_each_ran_once(cluster, ["leased"])


def test_a_worker_killed_while_it_unpacks(clusters):
    """Goal: the same in the middle of a start: the template is big and has to be fetched anew."""
    cluster = clusters(workers=2)
    api = cluster.api()
    big = api.push_template("big", templates.shell() | {"data": os.urandom(9 << 20)})
    shutil.rmtree(os.path.join(cluster.data_dir, "templates", big.file_id))
    task = api.create(big, ONCE, name="unpacked")
    wait_until(lambda: start_job(cluster, task)[0] == "running", "the job is leased", interval=0.005)
    holder = start_job(cluster, task)[1]
    victim = cluster.workers[int(holder[1:])]
    victim.kill()
    watch = Stopwatch()
    early = start_job(cluster, task)[0] == "succeeded"
    api.wait_complete(task, deadline=30)
    assert early or watch.seconds < 12
    assert_each_ran_once(cluster, ["unpacked"])


def test_a_worker_killed_when_the_sandbox_is_there(clusters):
    """Goal: a worker that dies between making the sandbox and saying so: the agent that is there
    goes on, or is replaced; the prompt runs once either way."""
    cluster = clusters(workers=2, scheduler={"lease": "2s"})
    api = cluster.api()
    for i in range(4):
        name = f"there-{i}"
        task = api.create(cluster.shell, ONCE, name=name)
        wait_until(lambda: cluster.sandbox_processes(task["workspace_id"]), "the sandbox is there",
                   interval=0.001)
        holder = start_job(cluster, task)[1]
        victim = cluster.workers[int(holder[1:])]
        victim.kill()
        api.wait_complete(task, deadline=20)
        cluster.start_worker(victim)
    assert_each_ran_once(cluster, [f"there-{i}" for i in range(4)])


def test_a_worker_killed_under_load(clusters):
    """Goal: thirty creates while workers are killed and started again: each runs once."""
    cluster = clusters(workers=3, scheduler={"lease": "2s", "attempts_max": 10})
    api = cluster.api()
    with Creates(api, cluster.shell, 30) as creates:
        for victim in cluster.workers[:2]:
            before = cluster.sql_one("SELECT count(*) FROM jobs WHERE state = 'succeeded'")[0]
            wait_until(lambda: cluster.sql_one(
                "SELECT count(*) FROM jobs WHERE state = 'succeeded'")[0] >= before + 4, "some progress", 30)
            victim.kill()
            cluster.start_worker(victim)
    assert len(creates.accepted) == 30, creates.refused
    assert_each_ran_once(cluster, creates.accepted, 90)


def test_a_frozen_worker_loses_its_jobs(clusters):
    """Goal: a worker that stands still loses its lease; when it wakes up, it changes nothing."""
    cluster = clusters(workers=1, scheduler={"lease": "2s"})
    api = cluster.api()
    victim = cluster.workers[0]
    victim.freeze()
    task = api.create(cluster.shell, ONCE, name="frozen")
    wait_until(lambda: start_job(cluster, task)[0] == "running", "the job is leased")
    cluster.add_worker()
    api.wait_complete(task, deadline=20)
    pid = cluster.agent_pid(task)
    victim.thaw()
    stays(lambda: cluster.agent_pid(task) == pid, "the agent", 1.5)
    assert_each_ran_once(cluster, ["frozen"])


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_worker_restart_leaves_agents_alone(clusters, how):
    """Goal: SIGTERM drains (exit 0), kill -9 does not ask; in both cases the running agent is the
    same process before and after, its turn goes on, and pause and send work through the new worker."""
    cluster = clusters(workers=1)
    api = cluster.api()
    worker = cluster.workers[0]
    task = api.wait_state(api.create(cluster.shell, GATED, name="survivor"), "working")
    wait_until(lambda: "run 1" in api.output(task), "the command runs")
    pid = cluster.agent_pid(task)
    if how == "stop":
        watch = Stopwatch()
        assert worker.stop() == 0
        assert watch.seconds < 5, "nothing to drain: no waiting for agents"
    else:
        worker.kill()
    assert cluster.agent_pid(task) == pid
    open(cluster.home(task, "go"), "w").close()
    cluster.start_worker(worker)
    done = api.wait_complete(task, deadline=20)
    assert done["current_state"]["message"] == "over"
    assert cluster.agent_pid(task) == pid
    api.send(task, "echo still here")
    wait_until(lambda: api.task(task)["current_state"]["message"] == "still here", "the message")
    api.wait_complete(task)
    assert_each_ran_once_but_two_turns(cluster, api, task)
    api.pause(task)
    api.wait_status(task, "paused")
    cluster.wait_gone(task)


def assert_each_ran_once_but_two_turns(cluster, api, task):
    assert cluster.read_home(task, "runs") == "run\n"
    assert [e["type"] for e in api.logs(task)["logs"]].count("input") == 2


def test_an_agent_moves_to_another_worker(clusters):
    """Goal: with two workers, killing the one that holds an agent's session moves it to the other
    in seconds: a message arrives."""
    cluster = clusters(workers=2)
    api = cluster.api()
    tasks = [api.wait_complete(api.create(cluster.shell, "echo up")) for _ in range(4)]
    cluster.workers[0].kill()
    for task in tasks:
        wait_until(lambda: api.send(task, "echo moved", expect=None).status_code == 204,
                   "the message is taken", 15, interval=0.2)
        wait_until(lambda: api.task(task)["current_state"]["message"] == "moved", "the turn")


def test_a_draining_worker_hands_back(clusters):
    """Goal: SIGTERM during a storm: jobs in hand are finished or handed back, nothing is lost, no
    try is counted against them."""
    cluster = clusters(workers=2)
    api = cluster.api()
    with Creates(api, cluster.shell, 20) as creates:
        wait_until(lambda: cluster.sandbox_count() >= 2, "some run", 20)
        assert cluster.workers[0].stop() == 0
    assert_each_ran_once(cluster, creates.accepted, 60)
    assert cluster.sql_one("SELECT max(attempt) FROM jobs")[0] <= 1


def test_a_sandbox_that_dies_by_itself(clusters):
    """Goal: an agent killed from outside does not leave its task `active` for ever looking alive;
    the task can be paused and resumed."""
    cluster = clusters(workers=1)
    api = cluster.api()
    task = api.wait_complete(api.create(cluster.shell, "echo up", name="fallen"))
    os.kill(cluster.agent_pid(task), signal.SIGKILL)
    cluster.wait_gone(task)
    api.pause(task)
    api.wait_status(task, "paused")
    api.resume(task)
    api.wait_state(task, "idle")


def test_a_worker_without_bubblewrap(clusters):
    """Goal: a missing bwrap is said in one clear sentence, at start or as the start job's error."""
    cluster = clusters(workers=0)
    worker = cluster._worker(0)
    empty = os.path.join(cluster.directory, "empty")
    os.mkdir(empty)
    worker.argv = [shutil.which("env"), f"PATH={empty}", *worker.argv]
    worker.start()
    assert worker.wait_exit() not in (0, 99)
    assert "bubblewrap" in worker.log() and "install" in worker.log(), worker.log()


def test_a_worker_without_root(clusters):
    """Goal: an ordinary user's worker carries a task through start, pause, resume and delete; its
    sandbox has no more powers than root's."""
    if os.getuid() != 0:
        pytest.skip("all other tests do this when they are not run by root")
    cluster = clusters(workers=0)
    shutil.chown(cluster.data_dir, "nobody")
    # The build may lie in a home directory that is closed to others.
    agent = shutil.copy(cluster.session.build.program("stint-agent"), cluster.directory)
    cluster.settings["worker"] = cluster.settings["worker"] | {"agent_path": agent}
    worker = cluster._worker(0)
    worker.user = "nobody"
    cluster.workers.append(worker)
    # The sockets of Redis and of the scheduler are root's.
    for path in (cluster.redis.socket, cluster.bus_urls[0].removeprefix("ipc://")):
        os.chmod(path, 0o777)
    worker.start()
    wait_until(lambda: "ready" in worker.log() or not worker.is_running(), "it is ready", say=worker.log)
    if not worker.is_running() and "sandbox" in worker.log():
        worker.wait_exit()
        pytest.skip("this kernel gives ordinary users no namespaces")
    api = cluster.api()
    template = api.push_template("plain", templates.shell())
    task = api.wait_complete(api.create(template, "id -u; echo kept > ~/file; echo up"))
    assert api.output(task).split() == ["1000", "up"]
    agent = cluster.agent_pid(task)
    assert sandboxes.status(agent)["Uid"].split()[0] == str(pwd.getpwnam("nobody").pw_uid)
    assert int(sandboxes.status(agent)["CapEff"], 16) == 0
    api.pause(task)
    api.wait_status(task, "paused")
    cluster.wait_gone(task)
    api.resume(task)
    api.wait_state(task, "idle")
    api.send(task, "cat ~/file")
    wait_until(lambda: api.task(task)["current_state"]["message"] == "kept", "the home is kept")
    api.remove(task)
    wait_until(lambda: not os.path.exists(cluster.home(task)), "the home is gone")
