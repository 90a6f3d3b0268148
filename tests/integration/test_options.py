# SPDX-License-Identifier: Apache-2.0
"""Options of tasks: parameters and presets, priority, earliest start, time limit, idle timeout, labels."""

import datetime
import os
import uuid

from lib import bus, templates
from lib.api import pack
from lib.talk import touch
from lib.wait import Stopwatch, stays, wait_until

CLUSTER = dict(workers=1)

UNTIL_GO = "until [ -e ~/go ]; do sleep 0.1; done"

# Field numbers of stint.v1.
TASK_CREATE, TASK_COMMAND, TASK_REPLY, TASK_UPDATE = 20, 21, 22, 30
DISPLAY_NAME, PRIORITY, START_AFTER, TIME_LIMIT, TTL, LABELS = range(1, 7)
RESUME = 2

SHOW = 'printf "%s|" "$CODER_PARAMETER_MODEL" "$CODER_PARAMETER_MAX_TURNS" "$CODER_PARAMETER_FAST" >>~/seen; '

PARAMETERS = [
    {"name": "model", "display_name": "Model", "description": "Who works.", "default": "small",
     "options": [{"name": "Small", "value": "small"}, {"name": "Large", "value": "large"}], "mutable": "true"},
    {"name": "max-turns", "type": "number", "default": "10", "validation": {"min": "1", "max": "100"}},
    {"name": "fast", "type": "bool", "default": "false"},
]


def texts(number, pairs):
    return [(number, bus.message((1, name), (2, value))) for name, value in pairs.items()]


def zigzag(n):
    return n << 1 if n >= 0 else (-n << 1) - 1


def microseconds(seconds):
    """So far from now, since 1970."""
    return int((datetime.datetime.now().timestamp() + seconds) * 1_000_000)


def ask(cluster, body_number, *fields):
    """The code of the scheduler's TaskReply."""
    with bus.Requester(cluster.bus_urls[0]) as r:
        reply = r.ask(bus.envelope(body_number, bus.message(*fields)))
    return bus.parse(reply[TASK_REPLY][0]).get(1, [0])[0]


def create(cluster, api, template, prompt, priority=0, start_after=None, time_limit_ms=0, ttl_ms=0,
           parameters=None, labels=None):
    """A task with options; returned as the API shows it."""
    me = api.get("/users/me", expect=200).json()
    organization = api.organization_id()
    version = cluster.sql_one("SELECT provisioner, app_slug, file_id FROM template_versions WHERE id = %s",
                              template.version_id)
    task_id = uuid.uuid4()
    code = ask(cluster, TASK_CREATE, (1, task_id.bytes), (2, uuid.UUID(organization).bytes),
               (3, uuid.UUID(me["id"]).bytes), (4, uuid.UUID(me["id"]).bytes),
               (5, uuid.UUID(template.id).bytes), (6, uuid.UUID(template.version_id).bytes),
               (7, version[0]), (8, version[1]), (9, f"t-{task_id.hex[:12]}"), (10, "A task"),
               (11, prompt), (12, zigzag(priority)), (13, me["username"]), (14, template.name),
               (15, uuid.UUID(version[2]).bytes), (16, ttl_ms), *texts(20, parameters or {}),
               *texts(22, labels or {}), (23, zigzag(start_after or 0)), (24, time_limit_ms))
    assert code == 0, code
    return api.task(str(task_id))


def update(cluster, api, task, *fields):
    me = uuid.UUID(api.get("/users/me", expect=200).json()["id"])
    return ask(cluster, TASK_UPDATE, (1, uuid.UUID(task["id"]).bytes), (2, me.bytes), *fields)


def last_build(cluster, task):
    return cluster.sql_one("SELECT transition, reason FROM builds WHERE workspace_id = %s "
                           "ORDER BY build_number DESC LIMIT 1", task["workspace_id"])


def test_parameters_of_a_template_reach_its_tasks(cluster, api):
    """Goal: Coder's create has the defaults; the values are in the command's environment, exactly, and
    again after a resume."""
    odd = "a 'b' \"c\"\n${AGENTAPI_PORT} $HOME ü"
    template = api.push_template("pars", templates.shell(
        SHOW + 'printf "%s" "$CODER_PARAMETER_ODD" >~/odd; ' + templates.RUN_PROMPT,
        parameters=PARAMETERS + [{"name": "odd", "default": odd}]))
    task = api.wait_complete(api.create(template, "true"))
    assert cluster.read_home(task, "seen") == "small|10|false|"
    assert cluster.read_home(task, "odd") == odd
    assert cluster.sql_one("SELECT template_parameters FROM tasks WHERE id = %s", task["id"])[0] == {
        "model": "small", "max-turns": "10", "fast": "false", "odd": odd}
    api.pause(task)
    api.wait_status(task, "paused")
    api.patch(f"/tasks/me/{task['id']}/input", {"input": "echo again"}, expect=204)
    api.resume(task)
    wait_until(lambda: cluster.read_home(task, "seen") == "small|10|false|" * 2, "it runs again with the same")
    assert cluster.sql("SELECT parameters ->> 'model' FROM builds WHERE workspace_id = %s ORDER BY build_number",
                       task["workspace_id"]) == [("small",), ("small",), ("small",)]


def test_a_resume_with_other_parameters(cluster, api):
    """Goal: from that start on they are the task's; the builds before keep what they had."""
    template = api.push_template("again", templates.shell(SHOW + templates.RUN_PROMPT, parameters=PARAMETERS))
    task = api.wait_complete(api.create(template, "true"))
    api.pause(task)
    api.wait_status(task, "paused")
    api.patch(f"/tasks/me/{task['id']}/input", {"input": "echo again"}, expect=204)
    me = uuid.UUID(api.get("/users/me", expect=200).json()["id"])
    values = {"model": "large", "max-turns": "7", "fast": "true"}
    assert ask(cluster, TASK_COMMAND, (1, uuid.UUID(task["id"]).bytes), (2, me.bytes), (3, RESUME),
               (5, uuid.uuid4().bytes), (20, 1), *texts(21, values)) == 0
    wait_until(lambda: cluster.read_home(task, "seen") == "small|10|false|large|7|true|", "it runs with others")
    assert cluster.sql_one("SELECT template_parameters FROM tasks WHERE id = %s", task["id"])[0] == values
    assert cluster.sql("SELECT parameters ->> 'model' FROM builds WHERE workspace_id = %s ORDER BY build_number",
                       task["workspace_id"]) == [("small",), ("small",), ("large",)]


def test_a_start_build_with_other_parameters(cluster, api):
    """Goal: Coder's way to start with other values; what is not given stays, what is not mutable
    cannot change, what does not pass its rules is refused in Coder's words."""
    template = api.push_template("rich", templates.shell(
        SHOW + templates.RUN_PROMPT, parameters=PARAMETERS + [
            {"name": "list", "type": "list(string)", "default": "[]", "mutable": "true"},
            {"name": "branch", "default": "main", "mutable": "true",
             "validation": {"regex": "^[a-z]+$", "error": "a branch"}},
            {"name": "size", "type": "number", "default": "3", "mutable": "true",
             "validation": {"min": "2", "max": "4"}}]))
    task = api.wait_complete(api.create(template, "true"))
    api.pause(task)
    api.wait_status(task, "paused")
    builds = f"/workspaces/{task['workspace_id']}/builds"
    for name, value, why in (
            ("model", "huge", "parameter value must match one of options: [small large]"),
            ("size", "five", 'value "five" is not a number'),
            ("size", "5", "value 5 is more than the maximum 4"),
            ("size", "1", "value 1 is less than the minimum 2"),
            ("branch", "A1", 'a branch (value "A1" does not match "^[a-z]+$")'),
            ("list", "a", 'value "a" is not a valid list of strings'),
            ("fast", "true", 'Parameter "fast" is not mutable, so it can\'t be updated after creating a workspace.'),
            ("other", "x", "The template version has no such parameter.")):
        problem = api.post(builds, {"transition": "start", "rich_parameter_values": [
            {"name": name, "value": value}]}, expect=400).json()
        assert problem["message"] == f'Unable to validate parameter "{name}"'
        assert problem["detail"].endswith(why), problem
    for values in ("x", [{"name": "model"}], [{"value": "x"}], [{"name": "model", "value": []}],
                   [{"name": f"n{i}", "value": "x"} for i in range(65)]):
        api.post(builds, {"transition": "start", "rich_parameter_values": values}, expect=400)
    api.post(builds, {"transition": "stop", "rich_parameter_values": [{"name": "model", "value": "large"}]}, expect=400)
    api.patch(f"/tasks/me/{task['id']}/input", {"input": "echo again"}, expect=204)
    start = api.post(builds, {"transition": "start", "rich_parameter_values": [
        {"name": "model", "value": "large"}, {"name": "fast", "value": "false"}]}, expect=201).json()
    wait_until(lambda: cluster.read_home(task, "seen") == "small|10|false|large|10|false|", "it runs with another")
    shown = api.get(f"/workspacebuilds/{start['id']}/parameters", expect=200).json()
    assert {"name": "model", "value": "large"} in shown and {"name": "max-turns", "value": "10"} in shown


def test_a_required_parameter_needs_a_preset(cluster, api):
    """Goal: Coder's create without a value fails in Coder's words; with a preset that has one it
    works; a preset of elsewhere is none."""
    template = api.push_template("req", templates.shell(
        SHOW + templates.RUN_PROMPT, parameters=PARAMETERS + [{"name": "repo"}],
        presets=[{"name": "Ours", "default": "true", "description": "The one we have.",
                  "parameters": [{"name": "repo", "value": "git@ours"}, {"name": "model", "value": "large"}]}]))
    body = {"template_version_id": template.version_id, "input": "true"}
    problem = api.post("/tasks/me", body, expect=400).json()
    assert problem["message"] == 'Unable to validate parameter "repo"'
    assert problem["detail"] == 'can\'t validate build parameter "repo": parameter value is required'
    problem = api.post("/tasks/me", body | {"template_version_preset_id": str(uuid.uuid4())}, expect=400).json()
    assert problem["message"] == "Template version preset not found."
    preset = cluster.sql_one("SELECT id, name, is_default FROM template_version_presets "
                             "WHERE template_version_id = %s", template.version_id)
    assert preset[1:] == ("Ours", True)
    task = api.post("/tasks/me", body | {"template_version_preset_id": preset[0]}, expect=201).json()
    api.wait_complete(task)
    assert cluster.read_home(task, "seen") == "large|10|false|"
    assert cluster.sql_one("SELECT template_version_preset_id FROM tasks WHERE id = %s", task["id"]) == (preset[0],)


def test_the_import_stores_what_the_template_says(cluster, api):
    template = api.push_template("stored", templates.shell(parameters=PARAMETERS + [
        {"name": "branch", "default": "main", "validation": {"regex": "^[a-z/]+$", "error": "a branch, please"}}]))
    rows = cluster.sql("SELECT name, type, mutable, required, default_value, options, validation_regex, "
                       "validation_error, validation_min, validation_max FROM template_version_parameters "
                       "WHERE template_version_id = %s ORDER BY position", template.version_id)
    assert [r[:5] for r in rows] == [
        ("model", "string", True, False, "small"), ("max-turns", "number", False, False, "10"),
        ("fast", "bool", False, False, "false"), ("branch", "string", False, False, "main")]
    assert [o["value"] for o in rows[0][5]] == ["small", "large"]
    assert rows[1][8:] == (1, 100)
    assert rows[3][6:8] == ("^[a-z/]+$", "a branch, please")


def test_templates_that_ship_take_a_model(cluster, api):
    directory = os.path.join(os.path.dirname(__file__), "..", "..", "deploy", "templates")
    for name in ("claude-code", "codex", "goose", "aider"):
        version = api.import_version(pack(os.path.join(directory, name)))
        assert version["job"]["status"] == "succeeded", version
        assert cluster.sql("SELECT name, mutable, default_value FROM template_version_parameters "
                           "WHERE template_version_id = %s", version["id"]) == [("model", True, "")]


def test_higher_priority_starts_first_and_may_be_changed(clusters):
    """Goal: at the cap the queue is by priority, and a waiting task that is given another moves."""
    cluster = clusters(workers=1, scheduler={"cap": 1, "make_room_grace": "200ms"})
    api = cluster.api()
    runs = api.wait_state(api.create(cluster.shell, UNTIL_GO), "working")
    low, middle, high, moved = (create(cluster, api, cluster.shell, "true", priority=p)
                                for p in (-100, 0, 50, -99))
    assert update(cluster, api, moved, (3, bytes([PRIORITY])), (5, zigzag(100))) == 0
    assert cluster.sql_one("SELECT priority FROM tasks WHERE id = %s", moved["id"]) == (100,)
    touch(cluster, runs, "go")
    api.wait_status(runs, "paused", deadline=30)
    for task in (moved, high, middle):
        api.wait_status(task, "paused", deadline=30)
    api.wait_complete(low)
    order = cluster.sql(
        "SELECT t.id FROM tasks t JOIN builds b ON b.workspace_id = t.workspace_id AND b.build_number = 1 "
        "JOIN jobs j ON j.id = b.job_id WHERE t.id = ANY (%s::uuid[]) ORDER BY j.started_at",
        [t["id"] for t in (low, middle, high, moved)])
    assert [o[0] for o in order] == [t["id"] for t in (moved, high, middle, low)]


def test_an_earliest_start_is_kept_over_a_new_leader(clusters):
    """Goal: it waits outside the queue and starts when its time has come, whoever leads; a resume
    does not wait again."""
    cluster = clusters(workers=1)
    api = cluster.api()
    watch = Stopwatch()
    task = create(cluster, api, cluster.shell, "echo done", start_after=microseconds(6))
    assert task["status"] == "pending"
    assert cluster.queue()["size"] == 0
    place = wait_until(lambda: api.task(task).get("queue"), "its place is told")
    assert place["position"] == 0 and 1 <= place["starts_in_seconds"] <= 6 and place["eta_seconds"] >= 1
    cluster.scheduler.kill()
    cluster.start_scheduler()
    api.wait_complete(task, deadline=30)
    assert 5.5 < watch.seconds < 20
    api.pause(task)
    api.wait_status(task, "paused")
    cluster.sql("UPDATE tasks SET start_after = now() + interval '1 day' WHERE id = %s RETURNING 1", task["id"])
    api.resume(task)
    api.wait_status(task, "active")


def test_an_earliest_start_may_be_changed_until_it_begins(cluster, api):
    task = create(cluster, api, cluster.shell, "echo done", start_after=microseconds(3600))
    assert update(cluster, api, task, (3, bytes([START_AFTER])), (6, zigzag(microseconds(7200)))) == 0
    stays(lambda: api.task(task)["status"] == "pending", "it waits", 1)
    assert update(cluster, api, task, (3, bytes([START_AFTER])), (6, 0)) == 0
    api.wait_complete(task)
    assert update(cluster, api, task, (3, bytes([START_AFTER])), (6, 0)) == 36  # START_BEGUN
    other = create(cluster, api, cluster.shell, "echo done", start_after=microseconds(3600))
    api.remove(other)
    wait_until(lambda: cluster.sql_one("SELECT deleted_at FROM workspaces WHERE id = %s",
                                       other["workspace_id"])[0], "its workspace is gone")


def test_a_time_limit_pauses_what_works(cluster, api):
    """Goal: busy or not; the log of the stop build and the audit log say why; a resume has the whole
    limit again."""
    task = create(cluster, api, cluster.shell, UNTIL_GO, time_limit_ms=3000)
    api.wait_state(task, "working")
    api.wait_status(task, "paused", deadline=30)
    assert last_build(cluster, task) == ("stop", "task_auto_pause")
    logs = cluster.sql("SELECT l.stage, l.output FROM build_logs l JOIN builds b ON b.job_id = l.job_id "
                       "WHERE b.workspace_id = %s AND b.transition = 'stop' ORDER BY l.id", task["workspace_id"])
    assert logs[0] == ("Time limit", "The run has reached its time limit of 3 s.")
    assert cluster.sql("SELECT 1 FROM audit_log WHERE action = 'time_limit' AND resource_id = %s", task["id"])
    assert update(cluster, api, task, (3, bytes([TIME_LIMIT])), (7, 0)) == 0
    api.resume(task)
    api.wait_status(task, "active")
    stays(lambda: api.task(task)["status"] == "active", "it runs", 4)


def test_labels_and_idle_timeout(cluster, api):
    """Goal: labels are stored and replaced; an idle timeout of the task's own counts, and may be
    given to a task that runs; each change is audited with before and after."""
    labels = {"team": "web", "ticket": "ü 1"}
    task = create(cluster, api, cluster.shell, "true", labels=labels)
    assert cluster.sql_one("SELECT labels FROM tasks WHERE id = %s", task["id"]) == (labels,)
    assert cluster.sql("SELECT id FROM tasks WHERE labels @> '{\"team\": \"web\"}' AND labels <> '{}'") == [
        (task["id"],)]
    api.wait_complete(task)
    assert update(cluster, api, task, (3, bytes([LABELS, DISPLAY_NAME, TTL])), (4, "Another"), (8, 2000),
                  *texts(9, {"team": "core"})) == 0
    assert cluster.sql_one("SELECT labels, display_name FROM tasks WHERE id = %s", task["id"]) == (
        {"team": "core"}, "Another")
    before, after = cluster.sql_one(
        "SELECT before, after FROM audit_log WHERE resource_id = %s AND action = 'write'", task["id"])
    assert before == {"labels": labels, "display_name": "A task", "ttl_ms": 0}
    assert after == {"labels": {"team": "core"}, "display_name": "Another", "ttl_ms": 2000}
    api.wait_status(task, "paused", deadline=30)
    assert last_build(cluster, task) == ("stop", "task_auto_pause")
