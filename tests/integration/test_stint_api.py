# SPDX-License-Identifier: Apache-2.0
"""Tasks over /api/stint/v1: pages, filters, members, conditions, bulk operations, the queue, logs."""


import pytest

from lib.api import OWN, problem_of
from lib.load import ONCE

CLUSTER = dict(workers=1, scheduler={"cap": 2})

# Of every error: what kind it is.
INVALID = "urn:stint:problem:invalid-request"


def own(api, path, expect=200, **parameters):
    return api.get(path, prefix=OWN, params=parameters, expect=expect)


def pages(api, **parameters):
    """All pages of a list of tasks, one after the other."""
    found, cursor = [], {}
    while True:
        page = own(api, "/tasks", **parameters, **cursor).json()
        found.append(page["tasks"])
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


def names(tasks):
    return [task["name"] for task in tasks]


@pytest.fixture(scope="module")
def made(cluster):
    """25 tasks of admin's, oldest first; two run, the others wait.  And one of bob's."""
    api = cluster.api()
    tasks = [api.create(cluster.shell, "sleep 600", name=f"{'even' if i % 2 == 0 else 'odd'}-{i}")
             for i in range(25)]
    for task in tasks[:2]:
        api.wait_status(task, "active")
    cluster.api("bob").create(cluster.shell, ONCE, name="of-bob")
    return tasks


# ---- pages


def test_pages_are_the_whole_list(cluster, made):
    api = cluster.api()
    wanted = [task["name"] for task in reversed(made)]
    for limit in (1, 7, 25, 1000):
        found = pages(api, limit=limit, owner="me")
        assert names(sum(found, [])) == wanted, limit
        assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)


def test_pages_stand_still_while_tasks_come_and_go(cluster, made):
    """Goal: no task twice and none missing though others are made and deleted between pages."""
    api = cluster.api()
    first = own(api, "/tasks", owner="me", limit=10).json()
    new = api.create(cluster.shell, ONCE, name="newcomer")
    gone = api.create(cluster.shell, ONCE, name="short-lived")
    api.remove(gone)
    rest = own(api, "/tasks", owner="me", limit=1000, cursor=first["next_cursor"]).json()
    assert names(first["tasks"] + rest["tasks"]) == [task["name"] for task in reversed(made)]
    assert rest["next_cursor"] is None
    api.remove(new)


def test_order_by_priority_and_by_change(cluster, made):
    api = cluster.api()
    for order in ("priority", "updated"):
        found = sum(pages(api, order=order, limit=4, owner="me"), [])
        assert sorted(names(found)) == sorted(task["name"] for task in made), order
    by_change = [task["updated_at"] for task in found]
    assert by_change == sorted(by_change, reverse=True)


FILTERS = [
    (dict(status="active"), {"even-0", "odd-1"}),
    (dict(status="active,paused"), {"even-0", "odd-1"}),
    (dict(status="paused"), set()),
    (dict(state="working"), {"even-0", "odd-1"}),
    (dict(state="working", status="pending"), set()),
    (dict(name_prefix="ODD-1"), {"odd-1", "odd-11", "odd-13", "odd-15", "odd-17", "odd-19"}),
    (dict(name_prefix="%"), set()),
    (dict(has_error="true"), set()),
    (dict(has_error="false", name_prefix="odd-2"), {"odd-21", "odd-23"}),
    (dict(template="nothing"), set()),
    (dict(template="SHELL", name_prefix="odd-2"), {"odd-21", "odd-23"}),
    (dict(label="team"), set()),
    (dict(label="team:web"), set()),
    (dict(created_before="2000-01-01T00:00:00Z"), set()),
    (dict(created_after="2000-01-01T00:00:00Z", name_prefix="odd-2"), {"odd-21", "odd-23"}),
    (dict(organization="default", name_prefix="odd-2"), {"odd-21", "odd-23"}),
]


@pytest.mark.parametrize("parameters, wanted", FILTERS)
def test_filters(cluster, made, parameters, wanted):
    found = sum(pages(cluster.api(), limit=1000, owner="me", **parameters), [])
    assert {task["name"] for task in found} == wanted


def test_created_between(cluster, made):
    api = cluster.api()
    found = sum(pages(api, owner="me", created_after=made[3]["created_at"],
                      created_before=made[6]["created_at"]), [])
    assert names(found) == [made[5]["name"], made[4]["name"]]


def test_members_see_their_own(cluster, made):
    bob, carol = cluster.api("bob"), cluster.api("carol")
    assert names(own(bob, "/tasks").json()["tasks"]) == ["of-bob"]
    assert own(carol, "/tasks").json() == {"tasks": [], "next_cursor": None}
    assert names(own(cluster.api(), "/tasks", owner="bob").json()["tasks"]) == ["of-bob"]
    assert names(own(cluster.api(), "/tasks", limit=1).json()["tasks"]) == ["of-bob"]
    assert problem_of(own(bob, "/tasks", owner="admin", expect=400))
    problem_of(own(bob, "/tasks/" + made[0]["id"], expect=404))


BAD = [dict(limit="0"), dict(limit="1001"), dict(status="sleeping"), dict(order="name"), dict(q="owner:me"),
       dict(cursor="AAAA"), dict(fields="secret"), dict(created_after="now"), dict(organization="x"),
       dict(owner="nobody"), dict(label=":")]


@pytest.mark.parametrize("parameters", BAD)
def test_bad_parameters_are_named(cluster, parameters):
    response = own(cluster.api(), "/tasks", expect=400, **parameters)
    problem_of(response)
    assert response.json()["type"] == INVALID
    assert [v["field"] for v in response.json()["validations"]] == list(parameters)
    assert response.json()["request_id"] == response.headers["X-Request-Id"]


# ---- one task


def test_members_of_a_task_can_be_chosen(cluster, made):
    api = cluster.api()
    whole = own(api, "/tasks/" + made[0]["id"]).json()
    assert whole["status"] == "active" and whole["queue"] is None and whole["labels"] == {}
    some = own(api, "/tasks/" + made[0]["id"], fields="name,labels,queue").json()
    assert some == {k: whole[k] for k in ("name", "labels", "queue")}
    waits = own(api, "/tasks/" + made[24]["id"], fields="queue").json()
    assert waits["queue"]["position"] >= 1
    for task in own(api, "/tasks", fields="id,status", limit=30).json()["tasks"]:
        assert set(task) == {"id", "status"}


def test_what_has_not_changed_is_not_sent_again(cluster, made):
    api = cluster.api()
    path = "/tasks/" + made[0]["id"]
    first = own(api, path)
    tag = first.headers["ETag"]
    assert tag.startswith('"')
    for same in (tag, "*", f'"other", {tag}', "W/" + tag):
        again = api.get(path, prefix=OWN, headers={"If-None-Match": same}, expect=304)
        assert again.content == b"" and again.headers["ETag"] == tag
    other = api.get(path, prefix=OWN, params={"fields": "id"}, headers={"If-None-Match": tag}, expect=200)
    assert other.headers["ETag"] != tag
    assert other.json() == {"id": made[0]["id"]}
