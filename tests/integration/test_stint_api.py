# SPDX-License-Identifier: Apache-2.0
"""Tasks over /api/stint/v1: pages, filters, members, conditions, bulk operations, the queue, logs."""


import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.api import OWN, Api, problem_of
from lib.load import ONCE
from lib.wait import wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

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


# ---- creating and changing


def create(api, expect=201, headers=None, **fields):
    return api.post("/tasks", {"template": "shell"} | fields, prefix=OWN, expect=expect, headers=headers or {})


def patch(api, task, expect=200, headers=None, **fields):
    return api.patch("/tasks/" + task["id"], fields, prefix=OWN, expect=expect, headers=headers or {})


def test_create_with_everything(cluster, made):
    api = cluster.api()
    response = create(api, template=cluster.shell.id, version=cluster.shell.version_id, input="exit 0",
                      name="all-of-it", display_name=" All of it ", priority=-5, labels={"team": "web", "x": ""},
                      time_limit_ms=60000, ttl_ms=3600000, start_after="2999-01-01T00:00:00+01:00")
    task = response.json()
    assert response.headers["Location"] == f"{OWN}/tasks/{task['id']}"
    assert response.headers["ETag"]
    wanted = dict(name="all-of-it", display_name="All of it", priority=-5, labels={"team": "web", "x": ""},
                  time_limit_ms=60000, ttl_ms=3600000, start_after="2998-12-31T23:00:00Z", parameters={},
                  status="pending", initial_prompt="exit 0", owner_name="admin", template_name="shell",
                  error=None, revision=0)
    assert {k: task[k] for k in wanted} == wanted
    for label in ("team:web", "team", "x:"):
        assert names(own(api, "/tasks", label=label).json()["tasks"]) == ["all-of-it"]
    assert own(api, "/tasks", label="team:other").json()["tasks"] == []
    assert names(own(api, "/tasks", order="priority").json()["tasks"])[-1] == "all-of-it"
    api.delete("/tasks/" + task["id"], prefix=OWN, expect=204)
    own(api, "/tasks/" + task["id"], expect=404)


def test_a_name_is_made_from_the_input(cluster):
    api = cluster.api()
    task = create(api, input="Mend the fence").json()
    assert task["name"].startswith("mend-the-fence-") and task["display_name"]
    again = create(api, name=task["name"], expect=409)
    problem_of(again)
    assert again.json()["type"] == "urn:stint:problem:name-taken"
    api.delete("/tasks/" + task["id"], prefix=OWN, expect=204)


BAD_CREATES = [
    (dict(template="nothing"), "template"), (dict(template=None), "template"), (dict(version="none"), "version"),
    (dict(preset="none"), "preset"), (dict(name="a--b"), "name"), (dict(name="x" * 33), "name"),
    (dict(name=7), "name"), (dict(priority=101), "priority"), (dict(priority="high"), "priority"),
    (dict(labels=[]), "labels"), (dict(labels={"": "x"}), "labels"), (dict(labels={"a": 1}), "labels"),
    (dict(labels={str(i): "" for i in range(33)}), "labels"), (dict(labels={"a": "x" * 256}), "labels"),
    (dict(start_after="soon"), "start_after"), (dict(time_limit_ms=-1), "time_limit_ms"),
    (dict(ttl_ms=1.5), "ttl_ms"), (dict(owner="nobody"), "owner"), (dict(prompt="x"), "prompt"),
    (dict(display_name="x" * 65), "display_name"), (dict(parameters={"no": "such"}), "parameters"),
    (dict(parameters=[1]), "parameters"), (dict(op="create"), "op"),
]


@pytest.mark.parametrize("fields, member", BAD_CREATES)
def test_bad_creates_name_the_member(cluster, fields, member):
    response = create(cluster.api(), expect=400, **fields)
    problem_of(response)
    assert response.json()["type"] == INVALID
    assert [v["field"] for v in response.json()["validations"]] == [member]


def test_bodies_that_are_none(cluster):
    api = cluster.api()
    for body, kind, status in ((b"{", "application/json", 400), (b"[]", "application/json", 400),
                               (b'{"template":"shell","input":"a\\u0000"}', "application/json", 400),
                               (b"a=b", "application/x-www-form-urlencoded", 415),
                               (b'{"template":"shell","input":"' + b"x" * (1 << 20) + b'y"}', "application/json", 413),
                               (b"x" * (7 << 20), "application/json", 413)):
        problem_of(api.request("POST", "/tasks", prefix=OWN, data=body, headers={"Content-Type": kind}, expect=status))
    none = api.request("PUT", "/tasks", prefix=OWN, data=b"{}", expect=405)
    problem_of(none)
    assert none.headers["Allow"] == "GET, HEAD, POST"
    problem_of(api.get("/nothing", prefix=OWN, expect=404))
    problem_of(api.with_token(None).get("/tasks", prefix=OWN, expect=401))
    problem_of(api.get("/tasks/7", prefix=OWN, expect=400))


def test_creating_for_others(cluster, made):
    task = create(cluster.api(), owner="bob", name="given", input="exit 0").json()
    assert task["owner_name"] == "bob"
    problem_of(create(cluster.api("bob"), owner="carol", expect=400))
    problem_of(patch(cluster.api("carol"), task, expect=404, priority=1))
    cluster.api("bob").delete("/tasks/" + task["id"], prefix=OWN, expect=204)


def test_change_if_nobody_else_has(cluster, made):
    api = cluster.api()
    task = made[20]
    seen = own(api, "/tasks/" + task["id"]).headers["ETag"]
    first = patch(api, task, headers={"If-Match": seen}, priority=7, labels={"a": "b"}, display_name="Twenty")
    assert first.json()["priority"] == 7 and first.json()["revision"] == 1
    assert first.json()["labels"] == {"a": "b"} and first.json()["display_name"] == "Twenty"
    late = patch(api, task, expect=412, headers={"If-Match": seen}, priority=8)
    problem_of(late)
    assert late.json()["type"] == "urn:stint:problem:precondition-failed"
    patch(api, task, headers={"If-Match": first.headers["ETag"]}, priority=9, labels={})
    patch(api, task, headers={"If-Match": "*"}, time_limit_ms=None)
    for verb in ("pause", "resume"):
        problem_of(api.post(f"/tasks/{task['id']}/{verb}", prefix=OWN, headers={"If-Match": seen}, expect=412))
    problem_of(api.delete("/tasks/" + task["id"], prefix=OWN, headers={"If-Match": seen}, expect=412))
    assert own(api, "/tasks/" + task["id"]).json()["priority"] == 9
    assert names(own(api, "/tasks", order="priority", limit=1).json()["tasks"]) == [task["name"]]


def test_of_many_that_change_the_same_one_wins(cluster, made):
    """Goal: the scheduler asserts If-Match: with the cache and the reads of all in agreement, still
    only one change of the same state is made."""
    api = cluster.api()
    tag = own(api, "/tasks/" + made[21]["id"]).headers["ETag"]
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(patch, Api(api.base, api.token), made[21], (200, 412), {"If-Match": tag},
                             display_name=f"by {i}") for i in range(8)]
        assert sorted(a.result().status_code for a in asked) == [200] + [412] * 7


def test_input_of_a_paused_task(cluster):
    api = cluster.api("carol")
    task = create(api, input="exit 0", name="pausing", start_after="2999-01-01T00:00:00Z").json()
    problem_of(patch(api, task, expect=409, input="new"))
    refused = patch(api, task, expect=400, input="new", priority=3)
    assert refused.json()["validations"][0]["field"] == "input"
    assert own(api, "/tasks/" + task["id"]).json()["priority"] == 0, "all of it, or nothing"
    for fields in (dict(input=" "), dict(input=1), dict(name="x"), dict(priority=None)):
        problem_of(patch(api, task, expect=400, **fields))
    same = patch(api, task)
    assert same.json()["revision"] == 0
    api.delete("/tasks/" + task["id"], prefix=OWN, expect=204)


# ---- bulk


def bulk(api, operations, expect=200):
    response = api.post("/tasks/bulk", {"operations": operations}, prefix=OWN, expect=expect)
    return response.json().get("results", response)


def test_bulk_of_everything(cluster, made):
    """Goal: each operation has its own answer, in order; what cannot be done hinders nothing."""
    api = cluster.api("carol")
    later = {"start_after": "2999-01-01T00:00:00Z"}
    results = bulk(api, [
        {"op": "create", "template": "shell", "input": "exit 0", "name": "bulk-1", "labels": {"b": "1"}} | later,
        {"op": "create", "template": "shell", "input": "exit 0"} | later,
        {"op": "create", "template": "shell", "name": "BULK-1"} | later,
        {"op": "create", "template": "none"},
        {"op": "create", "template": "shell", "priority": 500},
        {"op": "create", "template": "shell", "owner": "bob"},
        {"op": "pause", "task": made[0]["id"]},
        {"op": "resume", "task": "7"},
        {"op": "delete", "task": "00000000-0000-4000-8000-000000000000"},
        {"op": "dance"},
        7,
    ])
    assert [r["status"] for r in results] == [201, 201, 409, 400, 400, 400, 404, 400, 404, 400, 400]
    for r in results:
        assert ("problem" in r) == (r["status"] >= 400)
        if "problem" in r:
            assert r["problem"]["status"] == r["status"] and r["problem"]["type"].startswith("urn:stint:")
    made_now = own(api, "/tasks").json()["tasks"]
    assert {t["id"] for t in made_now} == {results[0]["task_id"], results[1]["task_id"]}
    gone = bulk(api, [{"op": "delete", "task": t["id"]} for t in made_now])
    assert [r["status"] for r in gone] == [204, 204] and all(r["build_id"] for r in gone)
    assert own(api, "/tasks").json()["tasks"] == []


def test_bulk_has_limits(cluster):
    api = cluster.api()
    for operations in ([], [{"op": "pause"}] * 1001, "pause", None):
        problem_of(bulk(api, operations, expect=400))


def test_a_thousand_at_once(cluster, made):
    """Goal: 1,000 creates (more text than one message on the bus may have) and deletes in one request each."""
    api = cluster.api("carol")
    text = "x" * 6000
    results = bulk(api, [{"op": "create", "template": "shell", "input": text,
                          "start_after": "2999-01-01T00:00:00Z"} for i in range(1000)])
    assert {r["status"] for r in results} == {201}
    ids = [r["task_id"] for r in results]
    found = sum(pages(api, limit=999, fields="id"), [])
    assert {t["id"] for t in found} == set(ids) and len(found) == 1000
    results = bulk(api, [{"op": "delete", "task": i} for i in ids])
    assert {r["status"] for r in results} == {204}


# ---- the queue, and what a task has done


def test_the_queue_as_each_may_see_it(cluster, made):
    api, carol = cluster.api(), cluster.api("carol")
    whole = own(api, "/queue", limit=1000).json()
    positions = [entry["position"] for entry in whole["queue"]]
    assert positions == list(range(1, whole["size"] + 1)) and whole["others"] == 0
    assert whole["cap"] == 2 and whole["holding"] == 2 and whole["next_cursor"] is None
    assert {"of-bob"} < {entry["task"]["name"] for entry in whole["queue"]}
    entry = whole["queue"][3]
    assert set(entry) == {"position", "eta_seconds", "task"}
    assert {"owner_name", "priority", "name"} < set(entry["task"]) and "initial_prompt" not in entry["task"]

    of_bob = own(cluster.api("bob"), "/queue").json()
    assert names([entry["task"] for entry in of_bob["queue"]]) == ["of-bob"]
    assert of_bob["others"] == whole["size"] - 1 and of_bob["size"] == whole["size"]
    assert own(carol, "/queue").json()["queue"] == []

    found, cursor = [], {}
    while cursor is not None:
        page = own(api, "/queue", limit=5, **cursor).json()
        found += page["queue"]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert [e["task"]["id"] for e in found] == [e["task"]["id"] for e in whole["queue"]]

    def place():  # may be half a second old
        one = own(api, "/queue/" + entry["task"]["id"]).json()
        return one["position"] == entry["position"] and one["size"] == whole["size"]

    wait_until(place, "the place is that of the list", 5)
    runs = own(api, "/queue/" + made[0]["id"]).json()
    assert runs["position"] is None and runs["status"] == "active"
    problem_of(own(carol, "/queue/" + made[0]["id"], expect=404))


def listed(api, task, what, limit):
    """All of a listing, page by page."""
    found, cursor = [], {}
    while True:
        page = own(api, f"/tasks/{task['id']}/{what}", limit=limit, **cursor).json()
        found += page[{"conversation": "messages"}.get(what, what)]
        cursor = {"cursor": page["cursor"]}
        if page["next_cursor"] is None:
            return found, page["cursor"]


def test_what_a_task_has_done(clusters):
    """Goal: conversation, logs and builds, whole in pages of any size; a cursor of the end gives what is new."""
    cluster = clusters(workers=1)
    api = cluster.api()
    task = api.create(cluster.shell, "for i in 1 2 3; do echo line-$i; done", name="talker")
    api.wait_complete(task)
    api.pause(task)
    api.wait_status(task, "paused")
    for what, least in (("conversation", 2), ("logs", 2), ("builds", 2)):
        whole, end = listed(api, task, what, 1000)
        assert len(whole) >= least, what
        for limit in (1, 2):
            assert listed(api, task, what, limit)[0] == whole, what
        problem_of(own(cluster.api("bob"), f"/tasks/{task['id']}/{what}", expect=404))
        problem_of(own(api, f"/tasks/{task['id']}/{what}", expect=400, cursor="AAAA"))
        problem_of(own(api, f"/tasks/{task['id']}/{what}", expect=400, limit="x"))
        if what != "builds":
            assert own(api, f"/tasks/{task['id']}/{what}", cursor=end).json()["next_cursor"] is None
    talk = listed(api, task, "conversation", 100)[0]
    assert talk[0]["role"] == "user" and "line-3" in talk[-1]["content"]
    builds = listed(api, task, "builds", 100)[0]
    assert [(b["build_number"], b["transition"], b["state"]) for b in builds] == [
        (2, "stop", "succeeded"), (1, "start", "succeeded")]
    logs, end = listed(api, task, "logs", 100)
    assert {"build", "agent"} >= {line["source"] for line in logs} and logs[0]["output"]

    resumed = api.post(f"/tasks/{task['id']}/resume", prefix=OWN, expect=202).json()
    assert resumed["workspace_build_number"] == 3
    api.wait_state(task, "idle")
    new = own(api, f"/tasks/{task['id']}/logs", cursor=end).json()["logs"]
    assert new and all(line["build_number"] == 3 or line["source"] == "agent" for line in new)
    whole = listed(api, task, "logs", 1000)[0]
    assert sorted(map(str, whole)) == sorted(map(str, logs + new))
    problem_of(api.post(f"/tasks/{task['id']}/resume", prefix=OWN, expect=409))


def test_the_document_is_served(cluster):
    answer = cluster.api().with_token(None).get("/openapi.json", prefix=OWN, expect=200)
    assert answer.json()["openapi"].startswith("3.1")
    cluster.api().get("/openapi.json", prefix=OWN, headers={"If-None-Match": answer.headers["ETag"]}, expect=304)


def test_the_examples_of_the_manual(cluster, made):
    """Goal: what docs/API.md shows does what it says."""
    with open(os.path.join(ROOT, "docs/API.md")) as f:
        script = "\n".join(re.findall(r"```sh\n(.*?)```", f.read(), re.S))
    script = script.replace("curl -sS", "curl -sS -o /dev/null -w '%{http_code} '")
    env = {"PATH": os.environ["PATH"], "CODER_URL": cluster.gateway.url, "TASK": made[1]["id"],
           "CODER_SESSION_TOKEN": cluster.api().token}
    done = subprocess.run(["bash", "-eu"], input=script, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    codes = done.stdout.split()
    assert codes[:-1] == ["201", "201", "200", "200", "200", "202"] and codes[-1] in ("204", "409")


def test_a_name_that_is_cut_amid_a_character(cluster):
    """Goal: an answer is JSON, wherever a text in it was cut."""
    refused = create(cluster.api("carol"), expect=400, template="x" + "\u00e4" * 60)
    assert "no template" in refused.content.decode("utf-8") and refused.json()["status"] == 400
