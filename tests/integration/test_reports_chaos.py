# SPDX-License-Identifier: Apache-2.0
"""kill -9 of agents, workers, the scheduler and Redis while 20 tasks report: every report that was
taken is in Postgres, once, in order."""

import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import templates
from lib.talk import lines
from lib.wait import wait_until

N_TASKS, N_REPORTS = 20, 25

# Goes on where it was when its agent died.  A number whose answer was cut off may have been taken or
# not, so the next try is the next number; ~/accepted has those that were answered "ok".
REPORTER = f"""
touch ~/tried ~/accepted
i=$(tail -n 1 ~/tried)
while [ $(wc -l < ~/accepted) -lt {N_REPORTS} ]; do
    i=$((${{i:-0}} + 1))
    echo $i >> ~/tried
    {templates.AGENT} report --state working --message "note $i" && echo $i >> ~/accepted
    sleep 0.2
done
"""


def accepted(cluster, task):
    return [int(line) for line in lines(cluster, task, "accepted")]


def notes(cluster, task):
    """Numbers of the notes in Postgres, in order: by build, and within it as the agent counted."""
    return [int(row[0].removeprefix("note ")) for row in cluster.sql(
        "SELECT s.message FROM app_statuses s JOIN agents a ON a.id = s.agent_id "
        "JOIN builds b ON b.id = a.build_id WHERE a.task_id = %s AND s.message LIKE 'note %%' "
        "ORDER BY b.build_number, s.seq", task["id"])]


class Doctor:
    """Brings tasks back whose agent was killed: pause, resume, as a person would."""

    def __init__(self, cluster, api):
        self.cluster, self.api = cluster, api
        self.pool = ThreadPoolExecutor(4)
        self.jobs = []

    def kill_agent(self, task):
        os.kill(self.cluster.agent_pid(task), signal.SIGKILL)
        self.jobs.append(self.pool.submit(self._cure, task))

    def _ask(self, task, verb):
        def ask():
            answer = self.api.post(f"/tasks/me/{task['id']}/{verb}")
            return answer.status_code == 202
        wait_until(ask, f"{task['name']} takes {verb}", 60, interval=0.2)

    def _status(self, task):
        answer = self.api.get(f"/tasks/me/{task['id']}")
        return answer.json()["status"] if answer.status_code == 200 else None

    def _cure(self, task):
        self.cluster.wait_gone(task)
        self._ask(task, "pause")
        wait_until(lambda: self._status(task) == "paused", f"{task['name']} is paused", 60, interval=0.2)
        self._ask(task, "resume")

    def finish(self):
        self.pool.shutdown(wait=True)
        for job in self.jobs:
            job.result()


@pytest.mark.timeout(400)
def test_500_reports_while_everything_is_killed(clusters):
    """Goal: all reports that a control socket answered with ok are in Postgres, once each, in order,
    for each of 20 tasks; also of those whose agent was killed and who were resumed.
    Method: after every 25 accepted reports something drawn at random is killed with kill -9."""
    cluster = clusters(workers=2, scheduler={"lease": "2s", "attempts_max": 20})
    api = cluster.api()
    template = api.push_template("reporter", templates.shell(
        'exec bash "$STINT_PROMPT_FILE"',
        scripts=[{"name": "reporter", "run": "start", "command": ["bash", "-c", REPORTER]}]))
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    doctor = Doctor(cluster, api)
    tasks = [api.create(template, "", name=f"talker-{i}") for i in range(N_TASKS)]
    healthy = list(tasks)
    dice.shuffle(healthy)

    def kill_scheduler():
        cluster.scheduler.kill()
        cluster.start_scheduler()

    def kill_worker():
        worker = dice.choice(cluster.workers)
        worker.kill()
        cluster.start_worker(worker)

    def kill_redis():
        cluster.redis.kill()
        cluster.redis.start()

    def kill_agent():
        if healthy:
            doctor.kill_agent(healthy.pop())

    def total():
        return sum(len(accepted(cluster, task)) for task in tasks)

    deck, struck = [], []
    for n in range(20, N_TASKS * N_REPORTS, 25):
        wait_until(lambda: total() >= n, f"{n} reports are accepted", 120, interval=0.05, say=total)
        if not deck:  # each of them often enough, in any order
            deck = [kill_scheduler, kill_worker, kill_redis, kill_agent, kill_agent]
            dice.shuffle(deck)
        blow = deck.pop()
        struck.append(blow.__name__)
        blow()
    doctor.finish()
    wait_until(lambda: total() == N_TASKS * N_REPORTS, "all are accepted", 120, interval=0.1,
               say=lambda: {t["name"]: len(accepted(cluster, t)) for t in tasks})
    assert set(struck) == {"kill_scheduler", "kill_worker", "kill_redis", "kill_agent"}
    for task in tasks:
        wait_until(lambda: set(accepted(cluster, task)) <= set(notes(cluster, task)),
                   f"all that {task['name']} said has arrived", 60, interval=0.1,
                   say=lambda: sorted(set(accepted(cluster, task)) - set(notes(cluster, task))))
    for task in tasks:
        seen = notes(cluster, task)
        assert seen == sorted(set(seen)), f"{task['name']}: not in order, or not once: {seen}"
        assert set(seen) <= {int(n) for n in lines(cluster, task, "tried")}
    [(n,)] = cluster.sql("SELECT count(*) FROM app_statuses WHERE message LIKE 'note %'")
    assert n >= N_TASKS * N_REPORTS
    for task in tasks:
        api.wait_status(task, "active", deadline=30)
