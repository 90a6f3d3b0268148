# SPDX-License-Identifier: Apache-2.0
"""What JSON of Coder's API has to look like: small validators that are put together.

A validator is a function of a value and of the place where it stands; it raises AssertionError
that names the place.  `record` is strict in both directions: a field is required, optional, or not
known at all.
"""

import re

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# As Go writes a time: at most nine digits, without trailing zeros, Z or an offset.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?(Z|[+-]\d\d:\d\d)")


def fail(at, wanted, value):
    raise AssertionError(f"{at or 'the body'}: {wanted} wanted, {value!r} found")


def _kind(wanted, is_it):
    def check(value, at=""):
        if not is_it(value):
            fail(at, wanted, value)
    check.wanted = wanted
    return check


string = _kind("a string", lambda v: isinstance(v, str))
some_string = _kind("a string with something in it", lambda v: isinstance(v, str) and v != "")
boolean = _kind("true or false", lambda v: isinstance(v, bool))
integer = _kind("a whole number", lambda v: isinstance(v, int) and not isinstance(v, bool))
int32 = _kind("an int32", lambda v: isinstance(v, int) and not isinstance(v, bool) and -2**31 <= v < 2**31)
uuid = _kind("a uuid", lambda v: isinstance(v, str) and UUID.fullmatch(v))
timestamp = _kind("a time of RFC 3339", lambda v: isinstance(v, str) and TIME.fullmatch(v))
null = _kind("null", lambda v: v is None)
anything = _kind("anything", lambda v: True)
any_object = _kind("an object", lambda v: isinstance(v, dict))


def one_of(*values):
    return _kind("one of " + ", ".join(map(repr, values)), lambda v: v in values)


def nullable(inner):
    def check(value, at=""):
        if value is not None:
            inner(value, at)
    return check


def array(inner):
    def check(value, at=""):
        if not isinstance(value, list):
            fail(at, "an array", value)
        for i, item in enumerate(value):
            inner(item, f"{at}[{i}]")
    return check


def mapping(inner):
    """An object whose keys are data."""
    def check(value, at=""):
        any_object(value, at)
        for key, item in value.items():
            inner(item, f"{at}.{key}")
    return check


def record(required, optional=None, others=False):
    """An object: `required` fields, fields that may be absent, and others only where they may be."""
    optional = optional or {}

    def check(value, at=""):
        any_object(value, at)
        for key, inner in required.items():
            if key not in value:
                raise AssertionError(f"{at}.{key} is missing: {sorted(value)}")
            inner(value[key], f"{at}.{key}")
        for key, item in value.items():
            if key in optional:
                optional[key](item, f"{at}.{key}")
            elif key not in required and not others:
                raise AssertionError(f"{at}.{key} is not known: {item!r}")
    check.required, check.optional = required, optional
    return check


# ---------------------------------------------------------------- Coder's words

TASK_STATUS = one_of("pending", "initializing", "active", "paused", "unknown", "error")
APP_STATE = one_of("working", "idle", "complete", "failed")
WORKSPACE_STATUS = one_of("pending", "starting", "running", "stopping", "stopped", "failed", "canceling",
                          "canceled", "deleting", "deleted")
LIFECYCLE = one_of("created", "starting", "start_timeout", "start_error", "ready", "shutting_down",
                   "shutdown_timeout", "shutdown_error", "off")
JOB_STATUS = one_of("pending", "running", "succeeded", "canceling", "canceled", "failed")
TRANSITION = one_of("start", "stop", "delete")
REASON = one_of("initiator", "autostart", "autostop", "dormancy", "failedstop", "autodelete", "dashboard",
                "cli", "ssh_connection", "vscode_connection", "jetbrains_connection", "task_auto_pause",
                "task_manual_pause", "task_resume")
APP_HEALTH = one_of("disabled", "initializing", "healthy", "unhealthy")
LOG_LEVEL = one_of("trace", "debug", "info", "warn", "error")

error = record({"message": some_string},
               {"detail": some_string,
                "validations": array(record({"field": some_string, "detail": some_string}))})

current_state = record({"timestamp": timestamp, "state": APP_STATE, "message": string, "uri": string})

task_fields = {
    "id": uuid, "organization_id": uuid, "owner_id": uuid, "owner_name": some_string,
    "name": some_string, "display_name": string,
    "template_id": uuid, "template_version_id": uuid,
    "template_name": some_string, "template_display_name": string, "template_icon": string,
    "workspace_id": nullable(uuid), "workspace_name": string,
    "workspace_agent_id": nullable(uuid), "workspace_agent_lifecycle": nullable(LIFECYCLE),
    "workspace_agent_health": nullable(record({"healthy": boolean}, {"reason": some_string})),
    "workspace_app_id": nullable(uuid),
    "initial_prompt": string, "status": TASK_STATUS, "current_state": nullable(current_state),
    "created_at": timestamp, "updated_at": timestamp,
}
task = record(task_fields, {
    "owner_avatar_url": some_string, "workspace_status": WORKSPACE_STATUS,
    "workspace_build_number": int32,
    # Stint's own, which Coder's clients pass over.
    "queue": record({"position": integer, "size": integer}, {"eta_seconds": integer}),
}, others=True)

job = record({
    "id": uuid, "created_at": timestamp, "status": JOB_STATUS, "file_id": uuid,
    "tags": mapping(string), "queue_position": integer, "queue_size": integer,
    "organization_id": uuid, "initiator_id": uuid, "input": any_object,
    "type": one_of("template_version_import", "workspace_build", "template_version_dry_run"),
    "metadata": any_object, "logs_overflowed": boolean,
}, {
    "started_at": timestamp, "completed_at": timestamp, "canceled_at": timestamp,
    "error": some_string, "error_code": some_string, "worker_id": uuid, "worker_name": some_string,
    "available_workers": array(uuid),
})

app = record({
    "id": uuid, "slug": some_string, "display_name": string, "health": APP_HEALTH,
}, others=True)
agent = record({
    "id": uuid, "name": some_string, "status": one_of("connecting", "connected", "disconnected", "timeout"),
    "lifecycle_state": LIFECYCLE, "apps": array(app),
    "health": record({"healthy": boolean}, {"reason": some_string}),
}, others=True)
resource = record({"id": uuid, "type": some_string, "name": some_string, "agents": array(agent)}, others=True)

build = record({
    "id": uuid, "created_at": timestamp, "updated_at": timestamp,
    "workspace_id": uuid, "workspace_name": some_string,
    "workspace_owner_id": uuid, "workspace_owner_name": some_string,
    "template_version_id": uuid, "template_version_name": some_string,
    "build_number": int32, "transition": TRANSITION, "initiator_id": uuid, "initiator_name": string,
    "job": job, "reason": REASON, "resources": array(resource),
    "deadline": nullable(timestamp), "max_deadline": nullable(timestamp),
    "status": WORKSPACE_STATUS, "daily_cost": int32, "template_version_preset_id": nullable(uuid),
}, {
    "workspace_owner_avatar_url": some_string,
    "matched_provisioners": record({"count": integer, "available": integer,
                                    "most_recently_seen": nullable(timestamp)}),
    "has_ai_task": boolean, "has_external_agent": boolean,
})
workspace_build_answer = record({"workspace_build": build})

app_status = record({
    "id": uuid, "created_at": timestamp, "workspace_id": uuid, "agent_id": uuid, "app_id": uuid,
    "state": one_of("working", "idle", "complete", "failure"), "message": string, "uri": string,
}, others=True)
workspace = record({
    "id": uuid, "created_at": timestamp, "updated_at": timestamp,
    "owner_id": uuid, "owner_name": some_string, "organization_id": uuid, "name": some_string,
    "template_id": uuid, "template_name": some_string, "template_display_name": string,
    "template_icon": string, "latest_build": build, "latest_app_status": nullable(app_status),
    "task_id": nullable(uuid),
}, others=True)

user = record({
    "id": uuid, "username": some_string, "email": some_string,
    "status": one_of("active", "dormant", "suspended"),
    "login_type": one_of("", "password", "github", "oidc", "token", "none"),
    "organization_ids": array(uuid), "roles": array(record({"name": some_string}, others=True)),
    "created_at": timestamp, "updated_at": timestamp,
}, {"name": string, "avatar_url": string}, others=True)
organization = record({
    "id": uuid, "name": some_string, "display_name": string, "icon": string, "is_default": boolean,
    "created_at": timestamp, "updated_at": timestamp,
}, others=True)
template = record({
    "id": uuid, "organization_id": uuid, "name": some_string, "display_name": string,
    "description": string, "icon": string, "active_version_id": uuid,
    "default_ttl_ms": integer, "activity_bump_ms": integer,
    "failure_ttl_ms": integer, "time_til_dormant_ms": integer,
    "created_at": timestamp, "updated_at": timestamp,
}, others=True)
template_version = record({
    "id": uuid, "name": some_string, "message": string, "job": job,
    "created_by": record({"id": uuid, "username": some_string}, others=True),
    "created_at": timestamp, "updated_at": timestamp,
}, {"template_id": nullable(uuid)}, others=True)
preset = record({
    "ID": uuid, "Name": some_string, "Parameters": array(record({"Name": some_string, "Value": string})),
    "Default": boolean, "DesiredPrebuildInstances": nullable(integer), "Description": string,
    "Icon": string,
})
build_log = record({
    "id": integer, "created_at": timestamp, "log_source": one_of("provisioner", "provisioner_daemon"),
    "log_level": LOG_LEVEL, "stage": string, "output": string,
})
agent_log = record({
    "id": integer, "created_at": timestamp, "output": string, "level": LOG_LEVEL, "source_id": uuid,
}, others=True)
task_log = record({"id": integer, "content": string, "type": one_of("input", "output"), "time": timestamp})
task_logs = record({"logs": array(task_log)}, {"snapshot": one_of(True), "snapshot_at": timestamp})


def check(shape, response, status=200):
    """The body of a response: Coder's content type, Coder's newline, and this shape."""
    assert response.status_code == status, f"{response.status_code} instead of {status}: {response.text[:2000]}"
    assert response.headers["Content-Type"] == "application/json; charset=utf-8", response.headers
    assert response.text.endswith("\n"), "a body ends with a newline"
    for character in "<>&\u2028\u2029":
        assert character not in response.text, f"{character!r} is escaped, as Go does it"
    body = response.json()
    shape(body)
    return body


def refusal(response, status, message, detail=None, validations=None):
    """An error in Coder's shape with exactly these words; `detail` True is any, False none."""
    body = check(error, response, status)
    assert body["message"] == message, body
    if detail is True:
        assert "detail" in body, body
    elif detail is not False and (detail is not None):
        assert body.get("detail") == detail, body
    elif detail is False:
        assert "detail" not in body, body
    if validations is not None:
        assert body.get("validations", []) == [{"field": f, "detail": d} for f, d in validations], body
    return body
