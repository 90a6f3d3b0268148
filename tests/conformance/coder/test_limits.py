# SPDX-License-Identifier: Apache-2.0
"""Requests per minute, and tasks beyond the cap."""

import time

import pytest

from lib import shapes
from lib.api import Api
from lib.shapes import refusal
from lib.wait import wait_for_room

LIMIT = 50
CLUSTER = dict(workers=1, gateway={"rate_limits": "true", "rate_limit_api": LIMIT})

HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def until_refused(ask, most):
    """Ask until it is 429, within one minute of the clock; gives the answers."""
    wait_for_room()
    answers = []
    while not answers or answers[-1].status_code != 429:
        assert len(answers) <= most, f"{most} were let through"
        answers.append(ask())
    return answers


def numbers(answer):
    return [int(answer.headers[name]) for name in HEADERS]


def test_512_requests_a_minute(clusters):
    """Unless the operator has set another number."""
    cluster = clusters(workers=0, gateway={"rate_limits": "true"})
    assert numbers(cluster.api("bob").get("/tasks", expect=200))[:2] == [512, 511]


def test_the_headers_of_a_limited_route(users):
    """The limit, what is left of it, and when the next window begins, in seconds since 1970."""
    limit, remaining, reset = numbers(users("admin").get("/tasks", params={"q": "owner:me"}, expect=200))
    assert limit == LIMIT and 0 <= remaining < LIMIT
    assert 0 <= reset - time.time() <= 61


def test_one_request_too_many(users):
    """429 with Coder's sentence; other people, and other paths, go on."""
    carol = users("carol")
    answers = until_refused(lambda: carol.get("/tasks", params={"q": "owner:me"}), LIMIT + 1)
    assert len(answers) == LIMIT + 1, f"{len(answers) - 1} were let through"
    refused = answers[-1]
    refusal(refused, 429, f"You've been rate limited for sending more than {LIMIT} requests in 1m0s.")
    assert refused.headers["Retry-After"] == "60"
    assert numbers(refused)[:2] == [LIMIT, 0]
    assert [numbers(answer)[1] for answer in answers[:-1]] == list(range(LIMIT - 1, -1, -1))
    carol.get("/users/me", expect=200)
    carol.get("/tasks/me/none", expect=404)
    users("bob").get("/tasks", expect=200)


def test_a_path_is_counted_as_it_is_meant(users):
    """Another query is the same path; the other prefix is another one."""
    bob = users("bob")
    wait_for_room(5)
    first = numbers(bob.get("/tasks", params={"q": "owner:me"}))[1]
    assert numbers(bob.get("/tasks", params={"q": "status:active"}))[1] == first - 1


def test_a_bypass_is_the_owners_alone(users):
    """428 in plain text for others."""
    bypass = {"X-Coder-Bypass-Ratelimit": "true"}
    users("admin").get("/tasks", headers=bypass, expect=200)
    refused = users("bob").get("/tasks", headers=bypass, expect=428)
    assert refused.headers["Content-Type"].startswith("text/plain"), refused.headers


def test_logins(v2):
    """60 a minute."""
    answer = Api(v2.base, None).post("/users/login", {"email": "x@example.com", "password": "wrong"})
    assert numbers(answer)[0] == 60


def test_files(v2):
    """12 a minute, of which the module's template was one."""
    answers = until_refused(lambda: v2.request("POST", "/files", data=b"x" * 10,
                                               headers={"Content-Type": "application/x-tar"}), 13)
    assert len(answers) == 12
    refusal(answers[-1], 429, "You've been rate limited for sending more than 12 requests in 1m0s.")


@pytest.mark.parametrize("policy", ["reject", "queue"])
def test_beyond_the_cap(clusters, policy):
    """Coder's 403 where the cap rejects; else the task waits, and says where in the queue."""
    cluster = clusters(workers=1, scheduler={"cap": 1, "cap_policy": policy, "make_room": "false"})
    api = cluster.api()
    api.wait_complete(api.create(cluster.shell, "true"))
    answer = api.create(cluster.shell, "true", expect=(201, 403))
    if policy == "reject":
        refusal(answer, 403, "Build is not permitted: You have breached the managed agent limit in your license. "
                             "Please contact sales to continue using managed agents.")
        return
    task = shapes.check(shapes.task, api.get(f"/tasks/me/{answer['id']}"))
    assert task["status"] == "pending" and task["queue"]["position"] == task["queue"]["size"] == 1
    job = api.get(f"/workspaces/{task['workspace_id']}").json()["latest_build"]["job"]
    assert (job["status"], job["queue_position"], job["queue_size"]) == ("pending", 1, 1)
