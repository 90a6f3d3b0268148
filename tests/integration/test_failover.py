# SPDX-License-Identifier: Apache-2.0
"""Three schedulers: leaders that are killed, frozen, stopped and asked to step down, under load.

Method: clients keep creating and reading tasks at two gateways all the while; nobody repeats a
request for them.  The long form, with figures, is tests/bench/run failover.
"""

import json
import re
import urllib.request
import uuid

import pytest

from lib import bus
from lib.api import OWN
from lib.load import ONCE, Creates, assert_each_ran_once
from lib.traffic import Traffic, epoch_of, leader_of, wait_new_leader
from lib.wait import wait_until

CLUSTER = {"workers": 2, "schedulers": 3, "gateways": 2, "scheduler": {"cap": 500}}
NOT_LEADER = 1


@pytest.fixture(autouse=True)
def three_run(cluster):
    """Whatever a test did: afterwards three run and one of them leads."""
    yield
    for scheduler in cluster.schedulers:
        if not scheduler.is_running():
            scheduler.popen = None
            scheduler.start()
    wait_until(lambda: leader_of(cluster) and asked(leader_of(cluster), cluster) != NOT_LEADER,
               "somebody leads", 60)


def asked(scheduler, cluster):
    """The code of its answer to a question that only a leader answers; None: it does not listen."""
    try:
        with bus.Requester(cluster.bus_urls[cluster.schedulers.index(scheduler)]) as stranger:
            reply = stranger.ask(bus.envelope(bus.QUEUE_QUERY))
    except OSError:
        return None
    return bus.status_of(reply)[0] if bus.STATUS in reply else 0


def commits(scheduler):
    """How many batches it has committed."""
    url = scheduler.wait_log(r'\badmin="?(http://[^\s"]+)').group(1)
    with urllib.request.urlopen(url + "/metrics", timeout=60) as answer:
        return int(re.search(r"^stint_scheduler_commits_total (\d+)", answer.read().decode(), re.M).group(1))


def settle(traffic):
    wait_until(lambda: traffic.unfinished() == 0, "every accepted task has started", 90, interval=0.2)
    assert traffic.lost() == []
    assert traffic.doubled() == []


def test_three_kills_under_load(cluster, api):
    """Goal: the leader is killed three times; each time a standby leads, nothing that was
    acknowledged is lost, nothing is run twice, and no client is told to try again."""
    with Traffic(cluster, cluster.shell, clients=3, pause=0.3, word="kill") as traffic, \
            Creates(api, cluster.shell, 12, prompt=ONCE, clients=2, word="once") as creates:
        for _ in range(3):
            epoch, leader = epoch_of(cluster), leader_of(cluster)
            leader.kill()
            wait_new_leader(cluster, epoch)
            n = len(traffic.accepted)
            wait_until(lambda: len(traffic.accepted) > n + 3, "requests are answered again", 60)
            leader.start()
    assert traffic.failed == []
    settle(traffic)
    assert_each_ran_once(cluster, creates.accepted, 90)


def test_a_frozen_leader_is_replaced(cluster, api):
    """Goal: the leader is frozen, its session with Postgres lives on: a standby ends it and leads,
    clients that wait for the frozen one are answered by the new one; when the old one wakes up it
    commits nothing and stands by (rule 4)."""
    epoch, old = epoch_of(cluster), leader_of(cluster)
    with Traffic(cluster, cluster.shell, clients=3, pause=0.3, word="frozen") as traffic:
        before = commits(old)
        old.freeze()
        try:
            new = wait_new_leader(cluster, epoch)
            assert new is not old
            n = len(traffic.accepted)
            wait_until(lambda: len(traffic.accepted) > n + 3, "requests are answered again", 60)
        finally:
            old.thaw()
        wait_until(lambda: asked(old, cluster) == NOT_LEADER, "it stands by", 60)
        # Of one that was on its way when it froze, it may have heard only now.
        assert commits(old) <= before + 3
        n = commits(old)
        m = len(traffic.accepted)
        wait_until(lambda: len(traffic.accepted) > m + 3, "requests are answered", 60)
        assert commits(old) == n
    assert epoch_of(cluster) == epoch + 1, "nobody else led"
    assert traffic.failed == []
    settle(traffic)


def test_sigterm_hands_over(cluster):
    """Goal: the leader is stopped three times with SIGTERM, under load: it ends with 0, and no
    request has failed."""
    with Traffic(cluster, cluster.shell, clients=4, pause=0.2, word="term") as traffic:
        for _ in range(3):
            epoch, leader = epoch_of(cluster), leader_of(cluster)
            n = len(traffic.accepted)
            wait_until(lambda: len(traffic.accepted) > n + 3, "requests are under way", 60)
            assert leader.stop() == 0
            assert epoch_of(cluster) == epoch + 1, "it was there until another one led"
            assert "handed over" in leader.log()
            leader.start()
    assert traffic.failed == []
    settle(traffic)


def living(cluster):
    return cluster.sql_one("SELECT count(*) FROM living_schedulers")[0]


def test_step_down(cluster, api, stint):
    """Goal: an owner asks the leader to step down, over REST and on the command line, under load: another
    one leads, no request fails, the audit tells of it, and a status shows who leads and who stands by."""
    wait_until(lambda: living(cluster) == 3, "all three are known", 60)
    before = api.get("/scheduler", prefix=OWN, expect=200).json()
    assert before["is_led"] and before["epoch"] == epoch_of(cluster)
    assert {s["url"]: s["role"] for s in before["schedulers"]} == {
        url: "leader" if url == before["leader_url"] else "standby" for url in cluster.bus_urls}
    with Traffic(cluster, cluster.shell, clients=4, pause=0.2, word="step") as traffic:
        for ask in (lambda: api.post("/scheduler/step-down", prefix=OWN, expect=200).json(),
                    lambda: json.loads(stint("scheduler", "step-down", "--json").stdout)):
            epoch, old = epoch_of(cluster), leader_of(cluster)
            n = len(traffic.accepted)
            wait_until(lambda: len(traffic.accepted) > n + 3, "requests are under way", 60)
            wait_until(lambda: living(cluster) == 3, "all three are there", 60)
            after = ask()
            assert after["is_led"] and after["epoch"] == epoch + 1, after
            assert after["leader_url"] != cluster.bus_urls[cluster.schedulers.index(old)]
            assert old.is_running()
    assert traffic.failed == []
    settle(traffic)
    said = stint("scheduler", "status").stdout
    assert said.count("standby") == 2 and said.count("leader") == 1, said
    entries = api.get("/audit", params={"q": "action:step_down"}, expect=200).json()["audit_logs"]
    assert [(e["resource_type"], e["user"]["username"]) for e in entries] == [("scheduler", "admin")] * 2
    assert entries[0]["resource_target"] in cluster.bus_urls


def test_who_may_ask_for_it(cluster, api, stint):
    """Goal: it is for owners; and a leader that nobody could replace stays, and says why."""
    bob = api.with_token(cluster.session.tokens["bob"])
    assert bob.get("/scheduler", prefix=OWN).status_code == 403
    assert bob.post("/scheduler/step-down", prefix=OWN).status_code == 403
    epoch, leader = epoch_of(cluster), leader_of(cluster)
    for scheduler in cluster.schedulers:
        if scheduler is not leader:
            assert scheduler.stop() == 0
    wait_until(lambda: living(cluster) == 1, "it is alone", 60)
    refused = api.post("/scheduler/step-down", prefix=OWN, expect=409)
    assert refused.json()["type"] == "urn:stint:problem:no-standby"
    assert "SIGTERM" in stint("scheduler", "step-down", check=None).stderr
    assert epoch_of(cluster) == epoch
    leader.kill()
    told = wait_until(lambda: (lambda s: None if s["is_led"] else s)(
        api.get("/scheduler", prefix=OWN, expect=200).json()), "nobody leads", 60)
    assert told["leader_url"] is None and told["schedulers"] == []


def test_a_delete_that_was_done_already(cluster, api):
    """Goal: a delete is asked for again because its answer was lost with the leader; the task is gone
    by then: that is success, and nothing of the kind for one that was never there before."""
    task, build = uuid.uuid4().bytes, uuid.uuid4().bytes
    delete = bus.message((1, task), (2, uuid.uuid4().bytes), (3, 3), (5, build))
    wait_until(lambda: leader_of(cluster) and asked(leader_of(cluster), cluster) == 0, "somebody leads", 60)
    url = cluster.bus_urls[cluster.schedulers.index(leader_of(cluster))]
    with bus.Requester(url) as gateway:
        def code(*more):
            request = bus.message((bus.VERSION, 1), (bus.REQUEST_ID, ("fixed64", 7)), *more)
            reply = gateway.ask(request)
            assert 22 in reply, reply
            return bus.parse(reply[22][0]).get(1, [0])[0]

        assert code((21, delete)) == 10, "TASK_UNKNOWN"
        assert code((4, 1), (21, delete)) == 0
