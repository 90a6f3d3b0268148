# SPDX-License-Identifier: Apache-2.0
"""One run: a stage, clients, watchers, a judge, injectors; then peace, and the verdict."""

import os
import random
import statistics
import threading
import time

from clients import DONE, REFUSED, UNKNOWN, Client, History, Watcher
from faults import Injector
from judge import Judge, Sampler
from lib import templates
from lib.api import Api
from lib.wait import wait_until
from stage import CAP

USERS = ["admin", "bob", "carol"]
SETTLE_SECONDS = 180

# Beside the app: says "note 1", "note 2" … a few times per start.  A number whose answer was cut off
# may have been taken or not, so the next try is the next number; ~/accepted has those that were "ok".
REPORTER = """
i=$(tail -n 1 ~/tried 2>/dev/null)
for n in 1 2 3 ROUNDS; do
    i=$((${i:-0} + 1))
    until echo $i >>~/tried; do sleep 1; done
    AGENT report --state working --message "note $i" && echo $i >>~/accepted
    sleep 1.5
done
AGENT report --state idle --message "all said"
"""


def template(rounds):
    script = REPORTER.replace("AGENT", templates.AGENT).replace("ROUNDS", " ".join(map(str, range(4, rounds + 1))))
    return templates.shell(scripts=[{"name": "reporter", "run": "start", "command": ["bash", "-c", script]}])


class World:
    def __init__(self, stage, seed, directory, clients=6, pace=0.25, verbose=True, rounds=4):
        self.stage, self.seed, self.pace, self.verbose = stage, seed, pace, verbose
        self.directory, self.rounds = directory, rounds
        self.dice = random.Random(seed)
        self.history = History(os.path.join(directory, "history.jsonl"))
        self.judge = Judge(stage, CAP)
        self.taken, self.taken_lock = set(), threading.Lock()
        self.struck, self.dealt = [], False
        self.version_id = None
        self.began = time.monotonic()
        self.clients = [Client(self, i, USERS[i % len(USERS)], random.Random(f"{seed} client {i}"))
                        for i in range(clients)]
        self.judge.clients = self.clients
        self.watchers = [Watcher(self, g) for g in ("g0", "g1")]
        self.sampler = Sampler(self.judge)
        self.nurse_end = threading.Event()
        self.settled = None

    def say(self, text):
        self.history.note(text)
        if self.verbose:
            print(f"{time.monotonic() - self.began:7.1f} s  {text}", flush=True)

    @property
    def tasks(self):
        return [t for c in self.clients for t in c.tasks]

    def push_template(self):
        api = Api(lambda: self.stage.url("g0"), self.stage.tokens["admin"])
        self.version_id = api.push_template("chaos", template(self.rounds)).version_id

    # ---- the course of it

    def run(self, seconds, deck, lanes, scale, rest, once):
        self.push_template()
        threads = [*self.clients, *self.watchers, self.sampler]
        for thread in threads:
            thread.start()
        nurse = threading.Thread(target=self._nurse, daemon=True)
        nurse.start()
        injectors = [Injector(self, i, deck, random.Random(f"{self.seed} injector {i}"), scale, rest, once)
                     for i in range(lanes)]
        for injector in injectors:
            injector.start()
        self._wait(injectors, seconds)
        self._stop(injectors, 120, "injectors")
        self.say("no more faults")
        peace = time.monotonic()
        self._stop(self.clients, 60, "clients")
        self._settle(peace)
        self._stop([*self.watchers, self.sampler], 30, "watchers")
        self.judge.final(self.tasks)
        if self.judge.violations:
            self.stage.keep(self.directory)
        self._delete_all()
        self.nurse_end.set()
        nurse.join()

    def _wait(self, injectors, seconds):
        until = time.monotonic() + seconds
        for injector in injectors:
            injector.join(max(0, until - time.monotonic()))

    def _stop(self, threads, deadline, what):
        for thread in threads:
            thread.end.set()
        until = time.monotonic() + deadline
        for thread in threads:
            thread.join(max(0.1, until - time.monotonic()))
            if thread.is_alive():
                self.judge.violation("all comes to an end", f"{what}: {thread.name} still waits {deadline} s later")

    def _nurse(self):
        while not self.nurse_end.wait(0.3):
            n = len(self.stage.deaths)
            self.stage.look_after()
            for death in self.stage.deaths[n:]:
                self.judge.violation("daemons live", death)

    # ---- peace

    def _settle(self, peace):
        """Everything that was accepted comes to its end, in bounded time."""
        tasks, api = self.tasks, self._apis()
        left = []

        def settled():
            left[:] = self.judge.unsettled(tasks)
            if left:
                self._wake(api, tasks)
            return not left

        try:
            wait_until(settled, "all that was accepted is done", SETTLE_SECONDS, interval=0.5)
            self.settled = time.monotonic() - peace
            self.say(f"all has settled {self.settled:.1f} s after the last fault")
        except AssertionError:
            for text in left[:20]:
                self.judge.violation("all comes to an end", text)

    def _apis(self):
        return {user: Api(lambda: self.stage.url("g0"), token) for user, token in self.stage.tokens.items()}

    def _wake(self, apis, tasks):
        """Resume, as a person would, who is paused and still has something to do."""
        status = {}
        for api in apis.values():
            answer = api.get("/tasks?q=owner:me")
            if answer.status_code == 200:
                status |= {t["id"]: t["status"] for t in answer.json()["tasks"]}
        for task in tasks:
            if status.get(task.id) in ("paused", "error") and self.judge.unsettled([task]):
                answer = apis[task.client.user].post(f"/tasks/me/{task.id}/resume")
                outcome = DONE if answer.status_code == 202 else REFUSED if answer.status_code < 500 else UNKNOWN
                task.builds.append(("start", outcome, None))

    def _delete_all(self):
        apis = self._apis()
        for task in self.tasks:
            if task.id and task.delete != DONE:
                apis[task.client.user].delete(f"/tasks/me/{task.id}")

        def gone():
            [(n,)] = self.stage.sql("SELECT count(*) FROM workspaces WHERE deleted_at IS NULL")
            return n == 0 and not self.stage.sandboxes()

        try:
            wait_until(gone, "all is deleted", 60, interval=0.3, say=lambda: (self.stage.sql(
                "SELECT w.name, b.transition::text, j.state::text, j.attempt, j.error FROM workspaces w JOIN builds b "
                "ON b.id = w.latest_build_id JOIN jobs j ON j.id = b.job_id WHERE w.deleted_at IS NULL"),
                list(self.stage.sandboxes())))
        except AssertionError as error:
            self.judge.violation("all comes to an end", str(error)[:1500])

    # ---- what it was

    def report(self):
        faults = {}
        for name, _, _, end in self.struck:
            back = [self.history.first_done_after(end, g) for g in ("g0", "g1")]
            faults.setdefault(name, []).append([b - end for b in back if b is not None])
        print("\nfault                                                         times   served again after (median, most)")
        for name, backs in sorted(faults.items()):
            flat = [b for row in backs for b in row]
            served = f"{statistics.median(flat):6.2f} s {max(flat):6.2f} s" if flat else "-"
            print(f"{name:60} {len(backs):6}   {served}")
        print("\nrequests        done  refused  no answer")
        outcomes = self.history.outcomes()
        for what in sorted({w for w, _ in outcomes}):
            print(f"{what:12} {outcomes.get((what, DONE), 0):7} {outcomes.get((what, REFUSED), 0):8} "
                  f"{outcomes.get((what, UNKNOWN), 0):10}")
        heard = sum(1 for t in self.tasks for _, o in t.messages + t.sends if o == DONE)
        print(f"\ntasks {len(self.tasks)}, messages taken {heard}; most sandboxes at once {self.judge.most} of "
              f"{self.judge.cap} in {self.judge.samples} looks; "
              + (f"settled after {self.settled:.1f} s" if self.settled is not None else "did not settle"))
