# SPDX-License-Identifier: Apache-2.0
"""The list of tasks and the language of its `q`."""

import pytest

from lib import shapes
from lib.api import Api

CLUSTER = dict(workers=1)

INVALID = "Invalid task search query."


@pytest.fixture(scope="module")
def world(cluster):
    """Three tasks of admin's (one paused), two of bob's; newest last."""
    admin, bob = cluster.api(), cluster.api("bob")
    made = [admin.create(cluster.shell, "true", name=f"admin-{i}") for i in range(3)]
    made += [bob.create(cluster.shell, "true", name=f"bob-{i}") for i in range(2)]
    for task in made:
        admin.wait_complete(task)
    admin.pause(made[0])
    admin.wait_status(made[0], "paused")
    return {task["name"]: task["id"] for task in made}


ALL = ["bob-1", "bob-0", "admin-2", "admin-1", "admin-0"]
ADMINS = ALL[2:]
BOBS = ALL[:2]


@pytest.fixture
def names(api, world):
    def names(query=None, api=api):
        response = api.get("/tasks", params=None if query is None else {"q": query})
        body = shapes.check(shapes.record({"tasks": shapes.array(shapes.task), "count": shapes.integer}), response)
        assert body["count"] == len(body["tasks"])
        return [task["name"] for task in body["tasks"]]
    return names


@pytest.fixture
def refused(api, world):
    def refused(query):
        body = shapes.check(shapes.error, api.get("/tasks", params={"q": query}), 400)
        assert body["message"] == INVALID, body
        assert body["validations"], body
        return body["validations"]
    return refused


def test_all_of_them_newest_first(names):
    """Without a question, with an empty one, with blanks."""
    assert names() == names("") == names("  ") == ALL


def test_a_member_has_only_its_own(users, names):
    assert names(None, users("bob")) == BOBS
    assert names(None, users("carol")) == []


def test_a_member_is_not_told_of_others(users, world):
    """A user that one may not see is one that does not exist."""
    shapes.refusal(users("bob").get("/tasks", params={"q": "owner:admin"}), 400, INVALID, validations=[
        ("owner", 'Query param "owner" has invalid value: user "admin" either does not exist, '
                  "or you are unauthorized to view them")])


def test_the_list_is_not_cut(cluster, users, names):
    """There are no pages."""
    carol = users("carol")
    for i in range(30):
        carol.create(cluster.shell, "true", name=f"many-{i}-{carol.prefix[-1]}")
    assert names("owner:me", carol) == [f"many-{i}-{carol.prefix[-1]}" for i in reversed(range(30))]
    for task in carol.tasks()["tasks"]:
        carol.wait_complete(task)
        carol.remove(task)
    assert names("owner:me", carol) == []


@pytest.mark.parametrize("query", [
    "owner:me", 'owner:"me"', "OWNER:ME", "owner:admin", "owner:ADMIN", 'owner:"admin"', " owner:me ", "me",
    "admin"])
def test_by_owner(names, query):
    assert names(query) == ADMINS


def test_by_the_owners_id(cluster, names):
    assert names(f"owner:{cluster.session.user_ids['bob']}") == BOBS
    assert names(f'owner:"{cluster.session.user_ids["bob"]}"') == BOBS


def test_a_bare_word_means_an_owner(names):
    assert names("bob") == BOBS


def test_by_organization(api, names):
    organization = api.get(f"/organizations/{api.organization_id()}", expect=200).json()
    assert names(f"organization:{organization['id']}") == ALL
    assert names(f"organization:{organization['name']}") == ALL
    assert names(f"organization:{organization['name'].upper()}") == ALL


@pytest.mark.parametrize("query, wanted", [
    ("status:paused", ["admin-0"]), ('status:"paused"', ["admin-0"]), ("status:PAUSED", ["admin-0"]),
    ("status:active", ALL[:4]), ("status:error", []), ("status:pending", []), ("status:initializing", []),
    ("status:unknown", [])])
def test_by_status(names, query, wanted):
    assert names(query) == wanted


@pytest.mark.parametrize("query", ['owner:"me" status:"active"', 'status:"active" owner:"me"',
                                   "owner:me   status:active", "me status:active"])
def test_terms_narrow_each_other(names, query):
    assert names(query) == ["admin-2", "admin-1"]


@pytest.mark.parametrize("query", ["owner:me, status:active", "owner:me,", "status:active, owner:me"])
def test_commas_between_terms_are_passed_over(names, query):
    """The dashboard joins with ", "."""
    assert names(query) == (["admin-2", "admin-1"] if "active" in query else ADMINS)


def test_a_query_as_the_action_spells_it(cluster, world, prefix):
    """Unquoted and percent-encoded."""
    api = cluster.api()
    answer = api.session.get(cluster.gateway.url + prefix + "/tasks?q=owner%3Abob",
                             headers={"Coder-Session-Token": api.token}, timeout=10)
    assert [task["name"] for task in answer.json()["tasks"]] == BOBS


def test_a_query_with_plus_signs(cluster, world, prefix):
    """As Go's url.Values spells a blank."""
    api = cluster.api()
    answer = api.session.get(cluster.gateway.url + prefix + "/tasks?q=owner%3A%22me%22+status%3A%22active%22",
                             headers={"Coder-Session-Token": api.token}, timeout=10)
    assert [task["name"] for task in answer.json()["tasks"]] == ["admin-2", "admin-1"]


@pytest.mark.parametrize("query", [":me", "owner:", "owner:me:you", "a:b:c", "owner:me status:"])
def test_colons_in_the_wrong_place(refused, query):
    rows = refused(query)
    assert all(row["field"] for row in rows)


@pytest.mark.parametrize("query", ["owner:me owner:bob", "status:active status:paused", "me owner:me"])
def test_a_key_that_is_given_twice(refused, query):
    refused(query)


@pytest.mark.parametrize("key", ["name", "x", "has-ai-task", "owners", "template"])
def test_a_key_that_is_not_known(refused, key):
    assert refused(f"{key}:a") == [{"field": key, "detail": f'"{key}" is not a valid query param'}]


@pytest.mark.parametrize("query", ["owner:nobody-here", "nobody-here",
                                   "owner:7d0bd6d9-35d4-4a3c-9a0e-0f1fd1a1c9b2"])
def test_an_owner_who_is_not_known(refused, query):
    who = query.split(":")[-1]
    assert refused(query) == [{"field": "owner", "detail":
                               f'Query param "owner" has invalid value: user "{who}" either does not exist, '
                               "or you are unauthorized to view them"}]


def test_several_bare_words_are_one_owner(refused):
    """Joined by a blank, which no name has."""
    assert refused("bob carol")[0]["detail"].startswith(
        'Query param "owner" has invalid value: user "bob carol" either')


@pytest.mark.parametrize("query", ["organization:nowhere", "organization:7d0bd6d9-35d4-4a3c-9a0e-0f1fd1a1c9b2"])
def test_an_organization_that_is_not_known(refused, query):
    who = query.split(":")[-1]
    rows = refused(query)
    assert [row["field"] for row in rows] == ["organization"]
    assert rows[0]["detail"].startswith(f'Query param "organization" has invalid value: organization "{who}" either')


def test_a_status_that_is_not_known(refused):
    """Coder's 500 is a 400 here, which names the values."""
    rows = refused("status:sleeping")
    assert [row["field"] for row in rows] == ["status"]
    for value in ("pending", "initializing", "active", "paused", "unknown", "error"):
        assert value in rows[0]["detail"]


def test_the_words_of_an_error_are_escaped(api, world):
    response = api.get("/tasks", params={"q": "<script>:1"})
    shapes.check(shapes.error, response, 400)
    assert "\\u003cscript\\u003e" in response.text


def test_no_token_no_list(api):
    shapes.refusal(Api(api.base, None).get("/tasks"), 401,
                   "You are signed out or your session has expired. Please sign in again to continue.")
