# SPDX-License-Identifier: Apache-2.0
"""What must hold, whatever breaks: the rules by which a run is judged.

    nothing acknowledged is lost    tasks, builds and messages that were answered "done" are there
    nothing is done twice           one task per create, one build per command, one run of the
                                    prompt, one delivery per message, one row per report
    the cap holds                   counted in the kernel, all the time
    statuses are legal              for each watcher, builds only go forward, what is over stays over
    order is kept                   messages and reports of a task arrive in the order of their numbers

What was never answered may have been done or not, but not twice.
"""

import threading
import time

from clients import DONE, REFUSED, UNKNOWN

# Behind a gateway's cache nobody sees older things than this.  (One second is what it promises; the
# machine may be busy, the answer may have been on its way when the change came.)
STALE_SECONDS = 5

# {status of the workspace: statuses that may follow while the build is the same}
NEXT = {
    "pending": {"pending", "starting", "running", "stopping", "stopped", "deleting", "deleted", "failed",
                "canceling", "canceled"},
    "starting": {"starting", "pending", "running", "failed", "canceling", "canceled"},
    "stopping": {"stopping", "pending", "stopped", "failed", "canceling", "canceled"},
    "deleting": {"deleting", "pending", "deleted", "failed", "canceling", "canceled"},
    "canceling": {"canceling", "canceled", "running", "stopped", "failed"},
    "running": {"running"}, "stopped": {"stopped"}, "deleted": {"deleted"}, "failed": {"failed"},
    "canceled": {"canceled"},
}

# {status of the workspace: statuses of the task that go with it}
TASK = {
    "pending": {"pending", "unknown"}, "starting": {"initializing"}, "stopping": {"unknown"},
    "deleting": {"unknown"}, "running": {"active", "initializing", "unknown", "error"}, "stopped": {"paused"},
    "deleted": {"paused"}, "failed": {"error"}, "canceling": {"error"}, "canceled": {"error"},
}


class Judge:
    def __init__(self, stage, cap):
        self.stage, self.cap = stage, cap
        self.violations = []
        self.lock = threading.Lock()
        self.seen = {}       # {(gateway, task id): (build number, workspace status)}
        self.most = 0        # sandboxes at once
        self.samples = 0
        self.clients = []

    def violation(self, rule, what):
        with self.lock:
            if (rule, what) not in self.violations:
                self.violations.append((rule, what))
                print(f"VIOLATION  {rule}: {what}", flush=True)

    # ---- the cap

    def count_sandboxes(self):
        found = self.stage.sandboxes()
        self.samples += 1
        self.most = max(self.most, len(found))
        if len(found) > self.cap:
            self.violation("the cap holds", f"{len(found)} sandboxes at once: {sorted(found)}")

    # ---- what watchers see

    def see(self, gateway, user, begin, tasks):
        """One answer of GET /tasks, asked for at `begin`."""
        shown = {t["id"] for t in tasks}
        for t in tasks:
            self.see_one(gateway, t)
        for client in self.clients:
            if client.user != user:
                continue
            for task in list(client.tasks):
                self._see_or_not(gateway, task, begin, shown)

    def see_one(self, gateway, t):
        now = t["workspace_build_number"], t["workspace_status"]
        before = self.seen.get((gateway, t["id"]), now)
        self.seen[gateway, t["id"]] = now
        if now[0] < before[0]:
            self.violation("builds go forward", f"{gateway} showed {t['name']} at {before}, then at {now}")
        if now[0] == before[0] and now[1] not in NEXT[before[1]]:
            self.violation("statuses are legal", f"{gateway} showed {t['name']} at {before}, then at {now}")
        if t["status"] not in TASK[now[1]]:
            self.violation("statuses are legal", f"{gateway} showed {t['name']} as {t['status']} with {now}")

    def _see_or_not(self, gateway, task, begin, shown):
        if task.created_at and begin > task.created_at + STALE_SECONDS and task.delete_begun is None:
            if task.id not in shown and task.delete_begun is None:
                self.violation("nothing acknowledged is lost", f"{gateway} does not show {task}")
        if task.delete == DONE and begin > task.deleted_at + STALE_SECONDS and task.id in shown:
            self.violation("nothing acknowledged is lost", f"{gateway} shows {task}, which was deleted")

    # ---- what apps have heard

    def heard(self, task):
        return self.stage.read_home(task.workspace_id, "heard") if task.workspace_id else []

    def all_heard(self, task):
        heard = self.heard(task)
        return all(word in heard for word, outcome in task.messages + task.sends if outcome == DONE)

    def look_into_home(self, task):
        """What may be said at any time: nothing twice, nothing out of order."""
        if not task.workspace_id:
            return
        runs, heard = self.stage.read_home(task.workspace_id, "runs"), self.heard(task)
        if len(runs) > 1:
            self.violation("nothing is done twice", f"the prompt of {task} ran {len(runs)} times")
        known = dict(task.messages + task.sends)
        for word in set(heard):
            if heard.count(word) > 1:
                self.violation("nothing is done twice", f"{task} heard {word} {heard.count(word)} times: {heard}")
            if known.get(word) == REFUSED:
                self.violation("what is refused is not done", f"{task} heard {word}")
        for kind in "ms":
            numbers = [int(w[1:]) for w in heard if w[0] == kind and known.get(w) == DONE]
            if numbers != sorted(numbers):
                self.violation("order is kept", f"{task} heard {heard}")

    # ---- the end

    def unsettled(self, tasks):
        """What is still to come when nothing is broken any more; empty when all is at rest."""
        left = []
        for task in tasks:
            if task.created != DONE or task.delete is not None:
                continue
            if self.stage.read_home(task.workspace_id, "runs") != ["run"]:
                left.append(f"{task}: its prompt has not run")
            missing = [w for w, outcome in task.messages if outcome == DONE and w not in self.heard(task)]
            if missing:
                left.append(f"{task} has not heard {missing}")
        return left

    def final(self, tasks):
        """After all has settled, against Postgres and the homes."""
        for task in tasks:
            self.look_into_home(task)
            if task.created == DONE and task.delete is None:
                self._must_be_there(task)
        self._names(tasks)
        for task in tasks:
            if task.id:
                self._builds(task)
        self._reports()

    def _must_be_there(self, task):
        heard = self.heard(task)
        for word, outcome in task.messages + task.sends:
            if outcome == DONE and word not in heard:
                self.violation("nothing acknowledged is lost", f"{task} never heard {word}: {heard}")
        [(n,)] = self.stage.sql("SELECT count(*) FROM tasks WHERE id = %s AND deleted_at IS NULL", task.id)
        if n != 1:
            self.violation("nothing acknowledged is lost", f"{task} is not in Postgres")

    def _names(self, tasks):
        """No create made two tasks, also none that was never answered."""
        rows = self.stage.sql("SELECT name, owner_id::text, count(*) FROM tasks GROUP BY 1, 2 HAVING count(*) > 1")
        for name, _, n in rows:
            self.violation("nothing is done twice", f"there are {n} tasks {name}")
        there = {row[0] for row in self.stage.sql("SELECT name FROM tasks")}
        strangers = there - {t.name for t in tasks}
        if strangers:
            self.violation("the suite itself", f"nobody asked for {strangers}")

    def _builds(self, task):
        """Each command that was acknowledged is one build; each that was not, one at most."""
        rows = self.stage.sql(
            "SELECT b.build_number, b.transition::text, b.id::text, j.state::text, b.reason::text FROM builds b "
            "JOIN jobs j ON j.id = b.job_id WHERE b.workspace_id = %s ORDER BY 1", task.workspace_id)
        numbers = [row[0] for row in rows]
        if numbers != list(range(1, len(rows) + 1)):
            self.violation("builds go forward", f"{task} has builds {numbers}")
        ids = {row[2] for row in rows}
        asked = [("start", task.created, None), *task.builds, ("delete", task.delete, None)]
        for transition in ("start", "stop", "delete"):
            of_ours = [row for row in rows if row[1] == transition and row[4] != "task_auto_pause"]
            done = sum(1 for t, outcome, _ in asked if t == transition and outcome == DONE)
            unknown = sum(1 for t, outcome, _ in asked if t == transition and outcome == UNKNOWN)
            if not done <= len(of_ours) <= done + unknown:
                rule = "nothing acknowledged is lost" if len(of_ours) < done else "nothing is done twice"
                self.violation(rule, f"{task}: {done} {transition} builds were acknowledged, {unknown} without an "
                                     f"answer, there are {len(of_ours)}: {rows}")
        for transition, outcome, build in task.builds:
            if outcome == DONE and build and build not in ids:
                self.violation("nothing acknowledged is lost", f"{task} has no {transition} build {build}")

    def _reports(self):
        """What reporters were told "ok" for is there once, in order."""
        rows = self.stage.sql(
            "SELECT a.workspace_id::text, s.message FROM app_statuses s JOIN agents a ON a.id = s.agent_id "
            "JOIN builds b ON b.id = a.build_id WHERE s.message LIKE 'note %%' "
            "ORDER BY 1, b.build_number, s.seq")
        said = {}
        for workspace, message in rows:
            said.setdefault(workspace, []).append(int(message.removeprefix("note ")))
        for workspace, notes in said.items():
            if notes != sorted(set(notes)):
                self.violation("order is kept", f"reports of workspace {workspace}: {notes}")
            accepted = {int(line) for line in self.stage.read_home(workspace, "accepted") if line.isdigit()}
            if accepted - set(notes):
                self.violation("nothing acknowledged is lost",
                               f"reports {sorted(accepted - set(notes))} of workspace {workspace}")
        return sum(len(notes) for notes in said.values())


class Sampler(threading.Thread):
    """Counts sandboxes and looks into homes, all the time."""

    def __init__(self, judge):
        super().__init__(name="sampler", daemon=True)
        self.judge = judge
        self.end = threading.Event()

    def run(self):
        last = time.monotonic()
        while not self.end.wait(0.1):
            self.judge.count_sandboxes()
            if time.monotonic() > last + 2:
                for client in self.judge.clients:
                    for task in [t for t in client.tasks if t.is_there]:
                        self.judge.look_into_home(task)
                last = time.monotonic()
