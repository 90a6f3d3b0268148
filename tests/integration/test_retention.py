# SPDX-License-Identifier: Apache-2.0
"""Nothing grows for ever: what is said is dropped by age, in partitions; what belongs to deleted tasks
goes with them; what a living task shows stays, however old.  Times are seconds here."""

import os
import re
import threading
import urllib.request

import psycopg2
import pytest

from lib import templates
from lib.wait import stays, wait_until

CLUSTER = dict(workers=1, scheduler={
    "status_retention": "6s", "log_retention": "6s", "build_retention": "2s", "task_retention": "2s",
    "message_retention": "2s", "template_retention": "2s"})
PARENTS = ("app_statuses", "agent_logs", "build_logs_timed")
REPORTING = ('/opt/stint/bin/stint-agent report --state working --message "note $RANDOM"; '
             "echo said it; ")


def metric(cluster, name):
    address = cluster.scheduler.wait_log(r'\badmin="?(http://[^\s"]+)').group(1)
    with urllib.request.urlopen(address + "/metrics", timeout=10) as answer:
        return int(re.search(rf"^stint_{name} (\d+)", answer.read().decode(), re.M).group(1))


def count(cluster, table, where="true", *arguments):
    return cluster.sql_one(f"SELECT count(*) FROM {table} WHERE {where}", *arguments)[0]


def logs_of(api, build_id):
    return [line["output"] for line in api.get(f"/workspacebuilds/{build_id}/logs").json()]


def gone(cluster, table, where, *arguments):
    wait_until(lambda: count(cluster, table, where, *arguments) == 0, f"old rows of {table} are gone", 60,
               say=lambda: cluster.sql(f"SELECT * FROM {table} WHERE {where} LIMIT 3", *arguments))


def test_partitions_come_and_go(cluster, api):
    """Goal: there is a partition for now at any time, and never more of them than the time asks for."""
    def are_good():
        for parent in PARENTS:
            rows = cluster.sql("SELECT from_at <= now() AND now() < to_at FROM time_partitions "
                               "WHERE parent = %s", parent)
            if not any(row[0] for row in rows):
                return False
        return True

    first = cluster.sql_one("SELECT min(from_at) FROM time_partitions")[0]
    wait_until(lambda: cluster.sql_one("SELECT min(from_at) FROM time_partitions")[0] > first,
               "the first ones are dropped", 60)
    wait_until(are_good, "there are some for now", 60)
    n = count(cluster, "time_partitions")
    left = cluster.sql_one("SELECT count(*) FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent "
                           "WHERE p.relkind = 'p' AND p.relname = ANY (%s)", list(PARENTS))[0]
    assert 3 <= n <= 3 * 12 and left <= n + 3 + 3, (n, left)


def test_a_living_task_keeps_what_it_shows(cluster, api):
    """Goal: statuses, logs and old builds go; the state, the conversation, the newest builds and their
    logs stay, and the task goes on."""
    task = api.wait_complete(api.create(cluster.shell, REPORTING))
    for _ in range(2):
        api.pause(task)
        api.wait_status(task, "paused")
        api.resume(task)
        api.wait_state(task, "idle", "complete", deadline=60)
    api.pause(task)
    api.wait_status(task, "paused")
    agents = [row[0] for row in cluster.sql("SELECT id FROM agents WHERE task_id = %s ORDER BY created_at",
                                            task["id"])]
    said = [entry["content"] for entry in api.logs(task)["logs"]]
    state = api.task(task)["current_state"]
    builds = cluster.sql("SELECT b.id, b.job_id FROM builds b WHERE workspace_id = %s ORDER BY build_number",
                         task["workspace_id"])
    newest = logs_of(api, builds[-1][0])
    assert len(builds) <= 6 and newest and state

    gone(cluster, "app_statuses", "agent_id = ANY (%s::uuid[])", agents)
    gone(cluster, "agent_logs", "agent_id = ANY (%s::uuid[])", agents)
    gone(cluster, "build_logs", "job_id = ANY (%s::uuid[])", [job for _, job in builds[:-2]])
    gone(cluster, "jobs", "id = ANY (%s::uuid[])", [job for _, job in builds[:-2]])
    gone(cluster, "builds", "id = ANY (%s::uuid[])", [build for build, _ in builds[:-2]])
    gone(cluster, "agents", "id = ANY (%s::uuid[])", agents[:-1])
    wait_until(lambda: count(cluster, "build_logs", "job_id = %s AND NOT kept", builds[-1][1]) == 0,
               "the newest log has outlived its partition", 60)

    assert logs_of(api, builds[-1][0]) == newest
    assert logs_of(api, builds[-2][0]), "the newest start is that of the agent"
    assert [entry["content"] for entry in api.logs(task)["logs"]] == said
    assert api.task(task)["current_state"] == state and api.task(task)["status"] == "paused"
    api.resume(task)
    api.wait_state(task, "idle", "complete", deadline=60)
    gone(cluster, "build_logs", "job_id = %s", builds[-1][1])


def test_a_deleted_task_goes_with_all_that_was_its(cluster, api):
    """Goal: nothing of it is left in any table that would grow; what is not its stays."""
    other = api.wait_complete(api.create(cluster.shell, REPORTING))
    task = api.wait_complete(api.create(cluster.shell, REPORTING))
    agent = cluster.sql_one("SELECT latest_agent_id FROM workspaces WHERE task_id = %s", task["id"])[0]
    jobs = [row[0] for row in cluster.sql(
        "SELECT job_id FROM builds WHERE workspace_id = %s", task["workspace_id"])]
    api.remove(task)
    gone(cluster, "tasks", "id = %s", task["id"])
    for table, column, value in (
            ("workspaces", "id", task["workspace_id"]), ("builds", "workspace_id", task["workspace_id"]),
            ("agents", "task_id", task["id"]), ("apps", "agent_id", agent),
            ("agent_metadata", "agent_id", agent), ("messages", "task_id", task["id"]),
            ("queued_messages", "task_id", task["id"]), ("log_snapshots", "task_id", task["id"])):
        assert count(cluster, table, f"{column} = %s", value) == 0, table
    gone(cluster, "jobs", "id = ANY (%s::uuid[])", jobs)
    gone(cluster, "build_logs", "job_id = ANY (%s::uuid[])", jobs)
    gone(cluster, "app_statuses", "agent_id = %s", agent)
    assert api.task(other)["status"] == "active" and api.logs(other)["logs"]


def test_templates_and_files_that_nobody_uses(cluster, api):
    """Goal: a version that no template took up goes with its file, a deleted template too, once no task
    is left of it; what is in use stays and works."""
    unused = api.import_version(templates.shell(), name="nobody-s")
    template = api.push_template("short-lived", templates.shell("echo another"))
    task = api.wait_complete(api.create(template, "echo"))
    api.remove(task)
    gone(cluster, "template_versions", "id = %s", unused["id"] if isinstance(unused, dict) else unused)
    gone(cluster, "workspaces", "task_id = %s AND deleted_at IS NULL", task["id"])
    api.request("DELETE", f"/templates/{template.id}", expect=200)
    gone(cluster, "templates", "id = %s", template.id)
    gone(cluster, "files", "id = %s", template.file_id)
    assert count(cluster, "files", "id = %s", cluster.shell.file_id) == 1
    api.wait_complete(api.create(cluster.shell, "echo still here"))


def test_messages_that_are_over(cluster, api):
    """Goal: what has become of a message is forgotten, the conversation is not."""
    task = api.wait_complete(api.create(cluster.shell, "echo"))
    api.queue(task, "echo once more")
    wait_until(lambda: any("once more" in e["content"] for e in api.logs(task)["logs"]), "it was said", 60)
    gone(cluster, "queued_messages", "task_id = %s", task["id"])
    assert any("once more" in e["content"] for e in api.logs(task)["logs"])


def test_a_table_in_use_is_not_waited_for(cluster, api):
    """Goal: while somebody reads old statuses in one long transaction, partitions stay, tasks and
    reports go on; then they go."""
    reader = cluster.postgres.connect(cluster.database)
    reader.autocommit = False
    try:
        with reader.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT count(*) FROM app_statuses")
            oldest = cluster.sql_one(
                "SELECT name FROM time_partitions WHERE parent = 'app_statuses' ORDER BY from_at")[0]
            before = metric(cluster, "retention_postponed_total")
            task = api.wait_complete(api.create(cluster.shell, REPORTING), deadline=60)
            wait_until(lambda: metric(cluster, "retention_postponed_total") > before + 2, "it gives way", 60)
            assert count(cluster, "time_partitions", "name = %s", oldest) == 1
            cursor.execute(f"SELECT count(*) FROM {oldest}")
    finally:
        reader.close()
    gone(cluster, "time_partitions", "name = %s", oldest)
    assert api.task(task)["current_state"]


@pytest.fixture
def database(cluster):
    """A migrated database that no scheduler knows."""
    name = cluster.database + "_alone"
    cluster.postgres.execute(f"CREATE DATABASE {name} TEMPLATE {cluster.session.template_database}")
    connection = cluster.postgres.connect(name)
    connection.autocommit = True
    yield connection
    connection.close()
    cluster.postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


def statement(file, name):
    """A named statement of sql/query, with psycopg's places for its parameters."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(root, "sql", "query", file)) as f:
        text = re.search(rf"-- name: {name} :\w+\n(.*?);\n", f.read(), re.S).group(1)
    return re.sub(r"\$(\d+)", r"%(p\1)s", text.replace("%", "%%"))


def test_twice_is_once_across_partitions(database):
    """Goal: reports and lines that come again after a new partition was made, after one was made late,
    and around a border, are there once."""
    agent = "00000000-0000-0000-0000-0000000000aa"
    with database.cursor() as sql:
        def say(seq, at_us):
            sql.execute(statement("report.sql", "report_insert_statuses"), {
                "p1": [agent], "p2": [seq], "p3": [at_us], "p4": ["app"], "p5": ["working"],
                "p6": ["m"], "p7": [""]})
            sql.execute(statement("store.sql", "store_insert_logs"), {
                "p1": [agent], "p2": [seq], "p3": [at_us], "p4": ["info"], "p5": [""], "p6": ["line"]})

        sql.execute("SELECT (extract(epoch FROM now()) * 1000000)::int8")
        now = sql.fetchone()[0]
        say(1, now)  # nobody has made a partition: the default one takes it
        for parent in ("app_statuses", "build_logs_timed"):
            sql.execute("SELECT retention_of_partitions(%s, 6000)", (parent,))
            assert sql.fetchone()[0] > 0
        say(1, now)
        sql.execute("SELECT from_at, to_at, (extract(epoch FROM to_at) * 1000000)::int8 "
                    "FROM time_partitions WHERE parent = 'app_statuses' ORDER BY from_at")
        begin, _, border = sql.fetchone()
        sql.execute("SELECT max(created_at) < %s FROM app_statuses", (begin,))
        assert sql.fetchone()[0], "the first partition begins behind what was there"
        for seq, at in ((2, border - 1), (3, border), (4, border + 1), (5, now + 400 * 86400 * 10 ** 6)):
            say(seq, at)
            say(seq, at)
            sql.execute("SELECT retention_of_partitions('app_statuses', 12000), "
                        "retention_of_partitions('build_logs_timed', 12000)")
            if seq < 5:
                say(seq, at)
        sql.execute("SELECT seq, count(*) FROM app_statuses GROUP BY seq ORDER BY seq")
        assert sql.fetchall()[:4] == [(1, 1), (2, 1), (3, 1), (4, 1)]
        sql.execute("SELECT id, count(*) FROM build_logs GROUP BY id ORDER BY id")
        assert sql.fetchall()[:4] == [(1, 1), (2, 1), (3, 1), (4, 1)]
        sql.execute("SELECT max(created_at) < now() + interval '25 hours' FROM app_statuses")
        assert sql.fetchone()[0], "a clock far ahead does not put rows out of reach"
        sql.execute("SELECT count(DISTINCT tableoid) FROM app_statuses")
        assert sql.fetchone()[0] >= 3


def test_a_writer_never_notices(cluster, database):
    """Goal: whoever inserts while partitions are made and dropped is never refused.  Method: one
    connection inserts as fast as it can, the other makes the first partitions again and again."""
    refused, n, over = [], [0], threading.Event()

    def insert():
        connection = cluster.postgres.connect(database.info.dbname)
        with connection.cursor() as sql:
            while not over.is_set() and not refused:
                try:
                    for table, columns in (("app_statuses", "1, 's', 'idle', '', '', now()"),
                                           ("build_logs", "1, 'info', '', '', now()")):
                        sql.execute(f"INSERT INTO {table} VALUES (gen_random_uuid(), {columns})")
                    n[0] += 1
                except psycopg2.Error as error:
                    refused.append(str(error))
        connection.close()

    writer = threading.Thread(target=insert)
    writer.start()
    try:
        with database.cursor() as sql:
            for _ in range(40):
                for parent in ("app_statuses", "build_logs_timed"):
                    sql.execute("SELECT name FROM time_partitions WHERE parent = %s", (parent,))
                    drops = "".join(f"DROP TABLE {row[0]}; " for row in sql.fetchall())
                    sql.execute(f"BEGIN; LOCK TABLE {parent}; {drops} TRUNCATE {parent}; "
                                f"DELETE FROM time_partitions WHERE parent = '{parent}'; COMMIT")
                    sql.execute("SELECT retention_of_partitions(%s, 6000)", (parent,))
    finally:
        over.set()
        writer.join()
    assert not refused and n[0] > 0, refused


def test_readers_look_into_few_partitions(database):
    """Goal: who reads one log does not look into partitions from before its job or agent."""
    with database.cursor() as sql:
        sql.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
        for parent, owner in (("build_logs_timed", "jobs"), ("agent_logs", "agents")):
            for days in (40, 30, 20, 10):
                sql.execute(f"CREATE TABLE {parent}_d{days} PARTITION OF {parent} FOR VALUES "
                            "FROM (now()::timestamp::date - %s) TO (now()::timestamp::date - %s)", (days, days - 10))
        sql.execute("INSERT INTO jobs (id, kind, organization_id, provisioner, initiator_id) VALUES "
                    "(gen_random_uuid(), 'start', gen_random_uuid(), 'null', gen_random_uuid()) RETURNING id")
        job = sql.fetchone()[0]
        sql.execute("INSERT INTO agents (id, task_id, workspace_id, build_id, auth_token) VALUES "
                    "(gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), "
                    "gen_random_uuid()) RETURNING id")
        agent = sql.fetchone()[0]
        for file, name, arguments in (("build.sql", "build_log_page", (job, 0, 100)),
                                      ("build.sql", "build_log_list", (job, 0, 100)),
                                      ("agent.sql", "agent_log_list", (agent, 0, 100)),
                                      ("agent.sql", "agent_log_page", (agent, 0, 100)),
                                      ("agent.sql", "agent_log_tail", (agent, 100)),
                                      ("agent.sql", "agent_log_sources", (agent,))):
            text = re.sub(r"%\(p(\d+)\)s", r"$\1", statement(file, name)).replace("%%", "%")
            sql.execute(f"PREPARE {name} AS {text}")
            sql.execute(f"EXPLAIN EXECUTE {name} ({', '.join('%s' for _ in arguments)})", arguments)
            plan = "\n".join(row[0] for row in sql.fetchall())
            assert "Subplans Removed" in plan and "_d40" not in plan and "_d20" not in plan, plan
