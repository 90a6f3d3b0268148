# SPDX-License-Identifier: Apache-2.0
"""Dead letters: what nobody tries any more is there to be seen, with its cause, and can be tried again.

A start dies here because its template names a secret that is not there (the worker says: for good); an
import because its template is bad.
"""

import json

import pytest

from lib import templates
from lib.api import OWN, pack, problem_of
from lib.wait import wait_until

KEYED = templates.shell(env=[{"name": "API_KEY", "secret": "the-key"}])
BAD = {"template.yaml": "name: bad\ncommand: 7\n"}


@pytest.fixture(scope="module")
def cluster(session, tmp_path_factory):
    directory = tmp_path_factory.mktemp("secrets")
    cluster = session.cluster("jobs", workers=1, worker={"secrets_dir": directory},
                              scheduler={"attempts_max": 2, "retry": "100ms"})
    cluster.secret = directory / "the-key"
    cluster.start()
    cluster.shell = cluster.api().push_template("keyed", KEYED)
    yield cluster
    session.close_cluster(cluster)


@pytest.fixture(autouse=True)
def no_secret(cluster):
    cluster.secret.unlink(missing_ok=True)


def lend_secret(cluster):
    cluster.secret.write_text("open sesame\n")
    cluster.secret.chmod(0o600)


def job(api, job_id, expect=200):
    return api.get(f"/jobs/{job_id}", prefix=OWN, expect=expect).json()


def dead_jobs(api):
    found, cursor = [], ""
    while cursor is not None:
        page = api.get(f"/jobs?dead=true&limit=2{cursor and '&cursor=' + cursor}", prefix=OWN, expect=200).json()
        found += page["jobs"]
        cursor = page["next_cursor"]
    return found


def retry(api, job_id, expect):
    return api.post(f"/jobs/{job_id}/retry", prefix=OWN, expect=expect)


def wait_dead(api, job_id, retries=0):
    return wait_until(lambda: (j := job(api, job_id))["dead"] and j["retries"] == retries and j,
                      "the job is dead", 60, say=lambda: job(api, job_id))


def dead_start(cluster, api, **fields):
    task = api.create(cluster.shell, "echo hello", **fields)
    [(job_id,)] = cluster.sql(
        "SELECT b.job_id::text FROM builds b WHERE b.workspace_id = %s AND b.build_number = 1",
        task["workspace_id"])
    return task, wait_dead(api, job_id)


def test_a_dead_start_is_shown_and_retried(cluster, api, stint):
    """Goal: cause, tries, worker and times; `stint job`; once the cause is mended, a retry carries it out
    under a larger token; the audit and the metrics say so."""
    task, dead = dead_start(cluster, api, name="locked")
    assert (dead["kind"], dead["status"], dead["cause"], dead["attempts"], dead["retries"], dead["can_retry"]) == (
        "start", "failed", "for_good", 1, 0, True)
    assert "the-key" in dead["error"] and dead["worker"]["name"] == "w0"
    assert dead["task"]["id"] == task["id"] and dead["died_at"] and dead["completed_at"]
    assert api.task(task)["status"] == "error", "to Coder's clients it has failed"

    listed = json.loads(stint("job", "list", "--dead", "--json").stdout)
    assert dead["id"] in [j["id"] for j in listed]
    table = stint("job", "list", "--dead").stdout
    assert "for_good" in table and "locked #1" in table
    shown = stint("job", "show", dead["id"])
    assert "the-key" in shown.stdout and "stint job retry" in shown.stdout + shown.stderr

    lend_secret(cluster)
    stint("job", "retry", dead["id"])
    api.wait_complete(task)
    done = job(api, dead["id"])
    assert (done["status"], done["dead"], done["retries"], done["attempts"], done["leases"]) == (
        "succeeded", False, 1, 1, 2)
    assert done["error"] == "" and done["cause"] is None
    assert dead["id"] not in stint("job", "list", "--dead").stdout
    [(actor, of)] = cluster.sql(
        "SELECT actor_id::text, resource_type FROM audit_log WHERE action = 'retry' ORDER BY id DESC LIMIT 1")
    assert (actor, of) == (cluster.session.user_ids["admin"], "workspace_build")
    assert cluster.scheduler.metric("stint_jobs_dead_total") >= 1
    assert cluster.scheduler.metric("stint_jobs_revived_total") >= 1
    api.remove(task)


def test_a_retry_that_fails_is_dead_again(cluster, api):
    """Goal: each series counts its own tries, tokens grow over all, also over a new leader."""
    task, dead = dead_start(cluster, api)
    for n in (1, 2):
        retry(api, dead["id"], 200)
        again = wait_dead(api, dead["id"], retries=n)
        assert (again["attempts"], again["leases"]) == (1, n + 1)
        cluster.scheduler.kill()
        cluster.start_scheduler()
    lend_secret(cluster)
    retry(api, dead["id"], 200)
    api.wait_complete(task)
    api.remove(task)


def test_what_cannot_be_retried_says_what_to_do(cluster, api):
    """Goal: a clear refusal with the next step for jobs that are not dead, superseded, or nobody's."""
    task, dead = dead_start(cluster, api)
    api.pause(task)
    wait_until(lambda: api.task(task)["status"] == "paused", "it is paused", 60)
    superseded = job(api, dead["id"])
    assert superseded["dead"] and not superseded["can_retry"]
    refusal = retry(api, dead["id"], 409)
    assert refusal.json()["type"].endswith("job-superseded") and "Resume the task" in problem_of(refusal)
    lend_secret(cluster)
    api.resume(task)
    api.wait_complete(task)
    [(newest,)] = cluster.sql("SELECT job_id::text FROM builds WHERE workspace_id = %s "
                              "ORDER BY build_number DESC LIMIT 1", task["workspace_id"])
    refusal = retry(api, newest, 409)
    assert refusal.json()["type"].endswith("job-not-dead") and "stint job show" in problem_of(refusal)
    retry(api, "00000000-0000-4000-8000-000000000000", 404)
    api.remove(task)


def test_a_dead_import_is_retried(cluster, api):
    """Goal: an import is revived out of Postgres; a member does not see it, a template-admin may retry."""
    version = api.import_version(pack(BAD))
    dead = wait_dead(api, version["job"]["id"])
    assert (dead["kind"], dead["cause"], dead["task"], dead["can_retry"]) == ("import", "for_good", None, True)
    assert dead["template_version"]["id"] == version["id"]
    bob = cluster.api("bob")
    job(bob, dead["id"], expect=404)
    retry(bob, dead["id"], 404)
    assert dead["id"] not in [j["id"] for j in dead_jobs(bob)]
    cluster.sql("UPDATE users SET roles = '{template-admin}' WHERE username = 'carol' RETURNING id")
    cluster.gateway.restart()
    cluster._wait_gateway(cluster.gateway)
    carol = cluster.api("carol")
    assert dead["id"] in [j["id"] for j in dead_jobs(carol)]
    retry(carol, dead["id"], 200)
    again = wait_dead(carol, dead["id"], retries=1)
    assert (again["attempts"], again["leases"], again["error"]) == (1, 2, dead["error"])
    retry(bob, dead["id"], 404)


def test_jobs_come_page_by_page(cluster, api):
    """Goal: the newest first, each once, over pages; a member has none of them."""
    tasks = [dead_start(cluster, api) for _ in range(3)]
    wanted = [dead["id"] for _, dead in tasks]
    found = [j["id"] for j in dead_jobs(api)]
    assert [i for i in found if i in wanted] == wanted[::-1] and len(set(found)) == len(found)
    assert dead_jobs(cluster.api("bob")) == []
    every = api.get("/jobs?limit=100", prefix=OWN, expect=200).json()["jobs"]
    assert set(wanted) <= {j["id"] for j in every}
    assert [j["created_at"] for j in every] == sorted((j["created_at"] for j in every), reverse=True)
    api.get("/jobs?dead=perhaps", prefix=OWN, expect=400)
    for task, _ in tasks:
        api.remove(task)
