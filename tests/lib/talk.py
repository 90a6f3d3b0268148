# SPDX-License-Identifier: Apache-2.0
"""What was said to an app and by it, seen from both of its sides."""

import json
import os

from .wait import wait_until


def heard(cluster, task):
    """The messages that the program in the sandbox took, in order (lib/inside writes them down)."""
    try:
        with open(cluster.home(task, "heard")) as f:
            return [json.loads(line) for line in f.read().splitlines()]
    except FileNotFoundError:
        return []


def wait_heard(cluster, task, message, deadline=30):
    wait_until(lambda: message in heard(cluster, task), f"{message!r} has reached the app", deadline,
               say=lambda: heard(cluster, task))


def starts(cluster, task):
    return lines(cluster, task, "starts")


def lines(cluster, task, name):
    try:
        return cluster.read_home(task, name).splitlines()
    except FileNotFoundError:
        return []


def touch(cluster, task, name, text=""):
    """Write a file in the task's home, all of it at once."""
    path = cluster.home(task, name)
    with open(path + ".new", "w") as f:
        f.write(text)
    os.chmod(path + ".new", 0o666)
    os.rename(path + ".new", path)


def exists(cluster, task, name):
    return os.path.exists(cluster.home(task, name))


def remove(cluster, task, name):
    os.unlink(cluster.home(task, name))


def entries(api, task):
    """[(type, content)] of the conversation, without white space around it."""
    return [(e["type"], e["content"].strip()) for e in api.logs(task)["logs"]]


def inputs(api, task):
    return [content for kind, content in entries(api, task) if kind == "input"]


def wait_said(api, task, text, deadline=30):
    """Until the conversation shows that the app has said `text`.  While the app is unhealthy (it is
    being started again) the conversation cannot be had."""
    def has_said():
        answer = api.get(f"/tasks/me/{task['id']}/logs", expect=(200, 409))
        return answer.status_code == 200 and any(
            text in e["content"] for e in answer.json()["logs"] if e["type"] == "output")

    wait_until(has_said, f"the app says {text!r}", deadline, interval=0.1)


def assert_in_order(api, task, *texts):
    """Each of `texts` is in an entry of its own, in this order; ids only grow."""
    log = api.logs(task)["logs"]
    ids = [e["id"] for e in log]
    assert ids == sorted(set(ids)), ids
    at = 0
    for text in texts:
        found = [i for i in range(at, len(log)) if text in log[i]["content"]]
        assert found, f"{text!r} is not in the conversation behind entry {at}: {entries(api, task)}"
        at = found[0] + 1


def wait_rest(api, task, deadline=30):
    """Until the app has come to rest, whatever it thinks of its work."""
    return api.wait_state(task, "idle", "complete", deadline=deadline)
