# SPDX-License-Identifier: Apache-2.0
"""What becomes of an app's own words and of what its screen shows; its health; deadlines.

The app is a fake AgentAPI server that does what files in its home directory say; a script beside it
runs whatever is put into ~/report, so that the app can be made to speak for itself.
"""

import datetime
import os
import shlex

import pytest

from lib import templates
from lib.wait import stays, wait_until

CLUSTER = dict(workers=1)

SPEAK = "while :; do if [ -e ~/report ]; then sh ~/report; rm ~/report; fi; sleep 0.02; done"


class Fake:
    """A task, and the two strings that its app hangs on."""

    def __init__(self, cluster, template, prompt="hello"):
        self.cluster, self.api = cluster, cluster.api()
        self.task = self.api.create(template, prompt)
        self.api.wait_status(self.task, "active")
        self.task = self.api.task(self.task)

    def put(self, name, text=""):
        path = self.cluster.home(self.task, name)
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)

    def take(self, name):
        os.unlink(self.cluster.home(self.task, name))

    def report(self, state, message="", uri=""):
        """What the app says of itself; returns when it has been said."""
        words = ["stint-agent", "report", "--state", state, "--message", message] + (["--uri", uri] if uri else [])
        self.put("report", shlex.join(words) + "\n")
        wait_until(lambda: not os.path.exists(self.cluster.home(self.task, "report")), "it is said")

    def state(self):
        return self.api.task(self.task)["current_state"]

    def shows(self, **wanted):
        return wait_until(lambda: (lambda s: s if s and wanted.items() <= s.items() else None)(self.state()),
                          f"the state is {wanted}", say=self.state)

    def build(self):
        return self.api.get(f"/workspaces/{self.task['workspace_id']}", expect=200).json()["latest_build"]


def fake_files(**keys):
    return templates.fake(scripts=[{"name": "speak", "command": ["sh", "-c", SPEAK]}], **keys)


@pytest.fixture
def busy(fake):
    """The screen runs: who says `working` while nothing moves is not believed for ever."""
    fake.put("busy")
    yield
    fake.take("busy")
    fake.shows()


@pytest.fixture(scope="module")
def template(cluster):
    return cluster.api().push_template("fake", fake_files())


@pytest.fixture(scope="module")
def fake(cluster, template):
    return Fake(cluster, template)


# ---------------------------------------------------------------- two witnesses

def test_a_screen_at_rest_is_idle(fake):
    fake.shows(state="idle")


def test_a_message_is_work(fake):
    """From the person: working; idle again when the screen rests."""
    fake.put("busy")
    fake.shows(state="working")
    fake.take("busy")
    fake.shows(state="idle")


def test_an_idle_is_believed_when_the_screen_rests(fake):
    """The watcher decides: while the screen runs, `idle` of the app's own is working."""
    fake.put("busy")
    fake.shows(state="working")
    fake.report("idle", "waiting for you")
    fake.shows(state="working", message="waiting for you")
    fake.take("busy")
    fake.shows(state="idle", message="waiting for you")


@pytest.mark.parametrize("said, shown", [("complete", "complete"), ("failure", "failed"), ("working", "working")])
def test_other_words_pass(fake, busy, said, shown):
    fake.report(said, f"it is {said}", "https://example.com/" + said)
    fake.shows(state=shown, message=f"it is {said}", uri="https://example.com/" + said)


def test_a_word_outlives_the_screens_rest(fake):
    """Complete stays complete when the screen comes to rest after it."""
    fake.put("busy")
    fake.report("complete", "all done")
    fake.shows(state="complete", message="all done")
    fake.take("busy")
    stays(lambda: fake.state()["state"] == "complete", "it stays complete", 0.5)


def test_what_the_screen_says_has_the_last_words(fake):
    """An empty summary inherits the one before, and its link."""
    fake.report("complete", "with a link", "https://example.com/pr")
    fake.shows(state="complete", message="with a link")
    fake.api.send(fake.task, "go on")
    fake.put("busy")
    fake.shows(state="working", message="with a link", uri="https://example.com/pr")
    fake.take("busy")
    fake.shows(state="idle", message="with a link", uri="https://example.com/pr")


def test_a_word_that_is_said_twice_is_told_once(fake, busy):
    """Exact repetitions of state, summary and link go no further."""
    fake.report("working", "again and again")
    fake.shows(state="working", message="again and again")
    before = fake.state()["timestamp"]
    fake.report("working", "again and again")
    fake.report("working", "and now another")
    fake.shows(message="and now another")
    rows = fake.cluster.sql_one("SELECT count(*) FROM app_statuses s JOIN agents a ON a.id = s.agent_id "
                                "WHERE a.task_id = %s AND s.message = 'again and again'", fake.task["id"])[0]
    assert rows == 1 and fake.state()["timestamp"] > before


# ---------------------------------------------------------------- health

def test_health_decides(cluster, template):
    """Failures in a row make the app unhealthy and the task an error; one success mends both."""
    fake = Fake(cluster, template)
    assert fake.api.app(fake.task, "fake")["health"] == "healthy"
    fake.put("mode", "error")
    assert fake.api.wait_status(fake.task, "error")["workspace_status"] == "running"
    assert fake.api.app(fake.task, "fake")["health"] == "unhealthy"
    fake.put("mode", "ok")
    fake.api.wait_status(fake.task, "active")


def test_an_app_without_a_health_check(cluster):
    """Disabled, which counts as active."""
    api = cluster.api()
    task = api.wait_complete(api.create(cluster.shell, "true"))
    assert api.app(task, "shell")["health"] == "disabled" and task["status"] == "active"


# ---------------------------------------------------------------- deadlines

def seconds_left(fake):
    deadline = datetime.datetime.fromisoformat(fake.build()["deadline"].replace("Z", "+00:00")[:19] + "+00:00")
    return (deadline - datetime.datetime.now(datetime.timezone.utc)).total_seconds()


@pytest.fixture(scope="module")
def timed(cluster):
    """Ten minutes of rest; an hour more with each sign of work."""
    return Fake(cluster, cluster.api().push_template(
        "timed", fake_files(), default_ttl_ms=600000, activity_bump_ms=3600000))


def test_no_deadline_without_a_ttl(fake):
    assert fake.build()["deadline"] is None


def test_work_bumps_the_deadline(timed):
    """Working, and leaving it, push it to an hour from now; looking at the logs does not."""
    first = seconds_left(timed)
    assert 0 < first <= 3601
    timed.put("busy")
    timed.report("working", "on it")
    timed.shows(state="working", message="on it")
    wait_until(lambda: seconds_left(timed) > 3500, "an hour more", say=lambda: seconds_left(timed))
    before = timed.build()["deadline"]
    timed.api.logs(timed.task)
    assert timed.build()["deadline"] == before


def test_a_deadline_that_has_passed_pauses(cluster):
    """By a stop build that says so."""
    api = cluster.api()
    short = api.push_template("short", templates.shell(), default_ttl_ms=1000, activity_bump_ms=1000)
    task = api.wait_complete(api.create(short, "true"))
    api.wait_status(task, "paused", deadline=20)
    build = api.get(f"/workspaces/{task['workspace_id']}", expect=200).json()["latest_build"]
    assert (build["transition"], build["reason"], build["status"]) == ("stop", "task_auto_pause", "stopped")
