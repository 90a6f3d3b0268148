# SPDX-License-Identifier: Apache-2.0
"""Clients that create, pause, resume, send and delete while things break, and write down what they
asked and what they were told.

Every task belongs to one client, so that its history has an order.  Half of the requests carry an
Idempotency-Key and are sent again, to whichever gateway, until they are answered: they are done
once.  The others are sent once: without an answer they may have been done or not.
"""

import json
import threading
import time
import uuid

import requests

from lib.api import OWN, STABLE, Api
from lib.wait import stays

DONE, REFUSED, UNKNOWN = "done", "refused", "unknown"
LIVE_MAX = 4

# Runs once per start: every line in ~/runs is a run.  Disks may be full; the script is not in a hurry.
PROMPT = "until echo run >>~/runs; do sleep 1; done; echo up"
SAY = "until echo '{word}' >>~/heard; do sleep 1; done; echo '{word}'"


class History:
    """All requests of all clients, in the order of their answers; also on disk."""

    def __init__(self, path):
        self.rows = []
        self.lock = threading.Lock()
        self.file = open(path, "w")

    def add(self, **row):
        with self.lock:
            self.rows.append(row)
            self.file.write(json.dumps(row) + "\n")
            self.file.flush()

    def note(self, text):
        """Something else that happened meanwhile."""
        with self.lock:
            self.file.write(json.dumps({"begin": time.monotonic(), "note": text}) + "\n")

    def outcomes(self):
        """{(what, outcome): how many}"""
        counts = {}
        with self.lock:
            for row in self.rows:
                key = row["what"], row["outcome"]
                counts[key] = counts.get(key, 0) + 1
        return counts

    def first_done_after(self, moment, gateway=None):
        """When the first request that began after `moment` was done; None when none was."""
        with self.lock:
            return min((row["end"] for row in self.rows if row["begin"] >= moment and row["outcome"] == DONE
                        and row["writes"] and gateway in (None, row["gateway"])), default=None)


class Task:
    """What its client knows of one task."""

    def __init__(self, client, name):
        self.client, self.name = client, name
        self.id = self.workspace_id = None
        self.created = None          # DONE, or UNKNOWN
        self.created_at = None
        self.builds = []             # [(transition, outcome, build id or None)]
        self.messages = []           # [(word, outcome)] that wait for the app
        self.sends = []              # [(word, outcome)] that do not
        self.delete = None           # outcome
        self.delete_begun = self.deleted_at = None

    @property
    def is_there(self):
        return self.created == DONE and self.delete is None

    def __repr__(self):
        return f"task {self.name} ({self.id})"


def outcome_of(answer):
    if answer is None or answer.status_code >= 500:
        return UNKNOWN
    return DONE if answer.status_code < 300 else REFUSED


class Client(threading.Thread):
    def __init__(self, world, number, user, dice):
        super().__init__(name=f"client{number}", daemon=True)
        self.world, self.number, self.user, self.dice = world, number, user, dice
        self.apis = {g: Api(lambda g=g: world.stage.url(g), world.stage.tokens[user]) for g in ("g0", "g1")}
        self.gateway = dice.choice(["g0", "g1"])
        self.tasks = []
        self.n = 0
        self.end = threading.Event()

    # ---- asking

    def ask(self, what, method, path, body=None, prefix=STABLE, key=None, writes=True, task=None):
        """One request to one gateway, written down."""
        gateway, begin = self.gateway, time.monotonic()
        headers = {"Idempotency-Key": key} if key else {}
        try:
            answer = self.apis[gateway].request(method, path, prefix=prefix, json=body, headers=headers, timeout=15)
            why = None if answer.status_code < 300 else answer.text[:300]
        except requests.exceptions.RequestException as error:
            answer, why = None, type(error).__name__
        self.world.history.add(
            begin=begin, end=time.monotonic(), client=self.number, user=self.user, gateway=gateway, what=what,
            task=task.name if task else None, key=key, status=answer is not None and answer.status_code,
            outcome=outcome_of(answer), why=why, writes=writes,
            request_id=answer.headers.get("X-Request-Id") if answer is not None else None)
        if outcome_of(answer) == UNKNOWN or self.dice.random() < 0.2:
            self.gateway = "g1" if gateway == "g0" else "g0"
        return answer

    def insist(self, what, method, path, body=None, task=None):
        """With a key, to either gateway, until there is an answer (or the whole thing is over)."""
        key, until = str(uuid.uuid4()), None
        while True:
            answer = self.ask(what, method, path, body, OWN, key, task=task)
            busy = answer is not None and answer.status_code == 409 and "idempotency-key-in-use" in answer.text
            if outcome_of(answer) != UNKNOWN and not busy:
                return answer
            if self.end.is_set():  # for a while it still matters; then it stays unknown
                until = until or time.monotonic() + 20
                if time.monotonic() > until:
                    return None
            self.pause(0.2)

    def once(self, what, method, path, body=None, task=None):
        return self.ask(what, method, path, body, task=task)

    def read(self, task):
        answer = self.ask("read", "GET", f"/tasks/{task.id}", prefix=OWN, writes=False, task=task)
        return answer.json() if outcome_of(answer) == DONE else None

    def pause(self, seconds):
        stays(lambda: True, duration=seconds * (0.5 + self.dice.random()), interval=seconds / 2)

    # ---- what it does

    def run(self):
        try:
            while not self.end.is_set():
                self.act()
                self.pause(self.world.pace)
        except Exception as error:  # a client that dies has to be heard of
            self.world.judge.violation("the suite itself", f"{self.name}: {error!r}")
            raise

    def act(self):
        live = [t for t in self.tasks if t.is_there]
        if not live or (len(live) < LIVE_MAX and self.dice.random() < 0.3):
            self.create()
            return
        task = self.dice.choice(live)
        self.dice.choices([self.pause_task, self.resume_task, self.leave_message, self.send_now, self.delete_task,
                           self.read], weights=[3, 4, 6, 3, 1, 3])[0](task)

    def create(self):
        self.n += 1
        task = Task(self, f"c{self.number}-{self.n}")
        if self.dice.random() < 0.5:
            answer = self.insist("create", "POST", "/tasks", {"template": "chaos", "name": task.name,
                                                              "input": PROMPT}, task)
        else:
            body = {"template_version_id": self.world.version_id, "input": PROMPT, "name": task.name}
            answer = self.once("create", "POST", "/tasks/me", body, task)
            while outcome_of(answer) == UNKNOWN and not self.end.is_set():
                self.pause(0.3)  # its name tells whether it was done
                answer = self.once("create", "POST", "/tasks/me", body, task)
                if answer is not None and answer.status_code == 409 and "already exists" in answer.text:
                    answer = self._find(task)
        task.created = outcome_of(answer)
        if task.created == DONE:
            made = answer.json()
            task.id, task.workspace_id, task.created_at = made["id"], made["workspace_id"], time.monotonic()
        elif task.created == REFUSED:
            self.world.judge.violation("a create was refused", f"{task}: {answer.status_code} {answer.text[:300]}")
        self.tasks.append(task)

    def _find(self, task):
        return self.ask("read", "GET", f"/tasks/me/{task.name}", writes=False, task=task)

    def command(self, task, verb, transition):
        """Pause or resume, in one way or the other."""
        if self.dice.random() < 0.5:
            answer = self.insist(verb, "POST", f"/tasks/{task.id}/{verb}", task=task)
            build = None
        else:
            answer = self.once(verb, "POST", f"/tasks/me/{task.id}/{verb}", task=task)
            build = (answer.json().get("workspace_build") or {}).get("id") if outcome_of(answer) == DONE else None
        task.builds.append((transition, outcome_of(answer), build))
        return outcome_of(answer)

    def pause_task(self, task):
        # What the app has in hand when it is stopped it need not finish; so it has nothing in hand.
        if self.world.judge.all_heard(task):
            self.command(task, "pause", "stop")

    def resume_task(self, task):
        self.command(task, "resume", "start")

    def leave_message(self, task):
        word = f"m{len(task.messages)}"
        task.messages.append((word, UNKNOWN))
        answer = self.insist("message", "POST", f"/tasks/{task.id}/messages", {"content": SAY.format(word=word)}, task)
        task.messages[-1] = (word, outcome_of(answer))

    def send_now(self, task):
        word = f"s{len(task.sends)}"
        task.sends.append((word, UNKNOWN))
        answer = self.once("send", "POST", f"/tasks/me/{task.id}/send", {"input": SAY.format(word=word)}, task)
        task.sends[-1] = (word, outcome_of(answer))

    def delete_task(self, task):
        self.world.judge.look_into_home(task)
        task.delete_begun = time.monotonic()
        task.delete = UNKNOWN
        if self.dice.random() < 0.5:
            answer = self.insist("delete", "DELETE", f"/tasks/{task.id}", task=task)
        else:
            answer = self.once("delete", "DELETE", f"/tasks/me/{task.id}", task=task)
        task.delete = outcome_of(answer)
        if task.delete == REFUSED:  # 409: not now
            task.delete = None
        else:
            task.deleted_at = time.monotonic()


class Watcher(threading.Thread):
    """Lists all tasks at one gateway, again and again, and lets the judge compare."""

    def __init__(self, world, gateway):
        super().__init__(name=f"watcher-{gateway}", daemon=True)
        self.world, self.gateway = world, gateway
        self.apis = {user: Api(lambda: world.stage.url(gateway), token)
                     for user, token in world.stage.tokens.items()}
        self.end = threading.Event()

    def run(self):
        while not self.end.wait(0.4):
            for user, api in self.apis.items():
                self.look(user, api)

    def look(self, user, api):
        begin = time.monotonic()
        try:
            answer = api.get("/tasks?q=owner:me", timeout=15)
        except requests.exceptions.RequestException:
            return
        if answer.status_code == 200:
            self.world.judge.see(self.gateway, user, begin, answer.json()["tasks"])
