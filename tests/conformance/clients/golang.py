# SPDX-License-Identifier: Apache-2.0
"""HTTP and JSON as Coder's command line does them: Go's client, its spelling of queries, its decoder."""

import base64
import datetime
import json
import re
from types import SimpleNamespace
from urllib.parse import quote_plus

import requests

from lib.websocket import WebSocket

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
NIL = "00000000-0000-0000-0000-000000000000"
ZERO_TIME = "0001-01-01T00:00:00Z"


# ---------------------------------------------------------------- decoding
#
# A type is a function (value, where) -> value that raises TypeError as Go's decoder would, with the
# zero value as its attribute.  Unknown fields are passed over, absent ones are zero, null is zero.

def _type(name, zero, is_it):
    def decode(value, where):
        if value is None:
            return zero
        if not is_it(value):
            raise TypeError(f"json: cannot unmarshal {value!r} into {where} of type {name}")
        return value
    decode.zero = zero
    return decode


def _is_time(value):
    if not isinstance(value, str) or not TIME.fullmatch(value):
        return False
    datetime.datetime.fromisoformat(re.sub(r"\.\d+", "", value).replace("Z", "+00:00"))
    return True


String = _type("string", "", lambda v: isinstance(v, str))
Bool = _type("bool", False, lambda v: isinstance(v, bool))
Int64 = _type("int64", 0, lambda v: isinstance(v, int) and not isinstance(v, bool) and abs(v) < 2**63)
Int32 = _type("int32", 0, lambda v: isinstance(v, int) and not isinstance(v, bool) and abs(v) < 2**31)
Uuid = _type("uuid.UUID", NIL, lambda v: isinstance(v, str) and UUID.fullmatch(v))
Time = _type("time.Time", ZERO_TIME, _is_time)


def Pointer(inner):
    def decode(value, where):
        return None if value is None else inner(value, where)
    decode.zero = None
    return decode


def Slice(inner):
    def decode(value, where):
        if value is None:
            return []
        if not isinstance(value, list):
            raise TypeError(f"json: cannot unmarshal {value!r} into {where}, a slice")
        return [inner(item, f"{where}[{i}]") for i, item in enumerate(value)]
    decode.zero = []
    return decode


def Map(inner):
    def decode(value, where):
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise TypeError(f"json: cannot unmarshal {value!r} into {where}, a map")
        return {key: inner(item, f"{where}.{key}") for key, item in value.items()}
    decode.zero = {}
    return decode


def Struct(**fields):
    """Field names as in the JSON.  As in Go, a key matches in any case of its letters."""
    def decode(value, where):
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise TypeError(f"json: cannot unmarshal {value!r} into {where}, a struct")
        folded = {key.lower(): item for key, item in value.items()}
        return SimpleNamespace(**{
            name: inner(folded[name.lower()], f"{where}.{name}") if name.lower() in folded else inner.zero
            for name, inner in fields.items()})
    decode.zero = SimpleNamespace(**{name: inner.zero for name, inner in fields.items()})
    return decode


User = Struct(id=Uuid, username=String, name=String, email=String, avatar_url=String, created_at=Time,
              updated_at=Time, last_seen_at=Time, status=String, login_type=String,
              organization_ids=Slice(Uuid), roles=Slice(Struct(name=String, display_name=String)))
Organization = Struct(id=Uuid, name=String, display_name=String, icon=String, description=String, created_at=Time,
                      updated_at=Time, is_default=Bool)
Template = Struct(id=Uuid, created_at=Time, updated_at=Time, organization_id=Uuid, name=String, display_name=String,
                  provisioner=String, active_version_id=Uuid, description=String, deprecated=Bool,
                  deprecation_message=String, icon=String, default_ttl_ms=Int64, activity_bump_ms=Int64,
                  created_by_id=Uuid, failure_ttl_ms=Int64, time_til_dormant_ms=Int64)
Job = Struct(id=Uuid, created_at=Time, started_at=Pointer(Time), completed_at=Pointer(Time),
             canceled_at=Pointer(Time), error=String, error_code=String, status=String, worker_id=Pointer(Uuid),
             worker_name=String, file_id=Uuid, tags=Map(String), queue_position=Int64, queue_size=Int64,
             organization_id=Uuid, initiator_id=Uuid, type=String, logs_overflowed=Bool)
Version = Struct(id=Uuid, template_id=Pointer(Uuid), organization_id=Pointer(Uuid), created_at=Time, updated_at=Time,
                 name=String, message=String, job=Job, readme=String, archived=Bool)
Preset = Struct(ID=Uuid, Name=String, Parameters=Slice(Struct(Name=String, Value=String)), Default=Bool,
                DesiredPrebuildInstances=Pointer(Int64), Description=String, Icon=String)
AppHealth = Struct(id=Uuid, slug=String, display_name=String, health=String)
Agent = Struct(id=Uuid, name=String, status=String, lifecycle_state=String, apps=Slice(AppHealth),
               created_at=Time, updated_at=Time)
Resource = Struct(id=Uuid, type=String, name=String, agents=Slice(Agent))
Build = Struct(id=Uuid, created_at=Time, updated_at=Time, workspace_id=Uuid, workspace_name=String,
               workspace_owner_id=Uuid, workspace_owner_name=String, template_version_id=Uuid,
               template_version_name=String, build_number=Int32, transition=String, initiator_id=Uuid,
               initiator_name=String, job=Job, reason=String, resources=Slice(Resource), deadline=Time,
               max_deadline=Time, status=String, daily_cost=Int32, template_version_preset_id=Pointer(Uuid))
Workspace = Struct(id=Uuid, created_at=Time, updated_at=Time, owner_id=Uuid, owner_name=String,
                   organization_id=Uuid, template_id=Uuid, template_name=String, latest_build=Build, name=String,
                   outdated=Bool, last_used_at=Time, ttl_ms=Pointer(Int64), task_id=Pointer(Uuid))
Task = Struct(id=Uuid, organization_id=Uuid, owner_id=Uuid, owner_name=String, owner_avatar_url=String, name=String,
              display_name=String, template_id=Uuid, template_version_id=Uuid, template_name=String,
              template_display_name=String, template_icon=String, workspace_id=Pointer(Uuid), workspace_name=String,
              workspace_status=String, workspace_build_number=Int32, workspace_agent_id=Pointer(Uuid),
              workspace_agent_lifecycle=Pointer(String),
              workspace_agent_health=Pointer(Struct(healthy=Bool, reason=String)), workspace_app_id=Pointer(Uuid),
              initial_prompt=String, status=String,
              current_state=Pointer(Struct(timestamp=Time, state=String, message=String, uri=String)),
              created_at=Time, updated_at=Time)
TaskList = Struct(tasks=Slice(Task), count=Int64)
TaskLogs = Struct(logs=Slice(Struct(id=Int64, content=String, type=String, time=Time)), snapshot=Bool,
                  snapshot_at=Pointer(Time))
PausedOrResumed = Struct(workspace_build=Pointer(Build))
BuildLog = Struct(id=Int64, created_at=Time, log_source=String, log_level=String, stage=String, output=String)
BuildInfo = Struct(external_url=String, version=String, dashboard_url=String, telemetry=Bool, workspace_proxy=Bool,
                   agent_api_version=String, provisioner_api_version=String, upgrade_message=String,
                   deployment_id=String)
Problem = Struct(message=String, detail=String, validations=Slice(Struct(field=String, detail=String)))


# ---------------------------------------------------------------- encoding

def encode(value):
    """As json.NewEncoder does it: no blanks, HTML escaped, a newline at the end."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return (text + "\n").encode()


def values(**query):
    """As url.Values does it: sorted, blanks as plus signs."""
    return "&".join(f"{quote_plus(k)}={quote_plus(v)}" for k, v in sorted(query.items()))


# ---------------------------------------------------------------- the client

class SDKError(Exception):
    """codersdk.Error: what the command line prints is made of these."""

    def __init__(self, status, problem):
        super().__init__(f"unexpected status code {status}: {problem.message}: {problem.detail} {problem.validations}")
        self.status = status
        self.message, self.detail, self.validations = problem.message, problem.detail, problem.validations


class Client:
    def __init__(self, url, token, command="coder task list", version="v2.34.2"):
        self.url, self.token, self.version = url, token, version
        self.warnings = []  # what would be on stderr
        self.session = requests.Session()
        self.session.trust_env = False
        telemetry = base64.b64encode(json.dumps({"command": command, "options": []}).encode()).decode()
        self.session.headers.clear()
        self.session.headers.update({
            "User-Agent": f"coder-cli/{version} (linux/amd64; {command})", "Accept-Encoding": "gzip",
            "Coder-CLI-Telemetry": telemetry})
        if token:
            self.session.headers["Coder-Session-Token"] = token
        self._has_compared = False

    def request(self, method, path, body=None, raw=None, content_type=None):
        headers, data = {}, raw
        if body is not None:
            headers["Content-Type"], data = "application/json", encode(body)
        if content_type:
            headers["Content-Type"] = content_type
        answer = self.session.request(method, self.url + path, data=data, headers=headers, timeout=30,
                                      allow_redirects=False)
        self._compare_versions(answer)
        return answer

    def _compare_versions(self, answer):
        """Once per process; a server of another minor version is asked what it is."""
        told = answer.headers.get("X-Coder-Build-Version", "")
        if self._has_compared or not told:
            return
        self._has_compared = True
        if told.split(".")[:2] != self.version.split(".")[:2]:
            info = self.call(BuildInfo, 200, "GET", "/api/v2/buildinfo")
            self.warnings.append(f"version mismatch: client {self.version}, server {info.version}")

    def call(self, kind, status, method, path, body=None, **more):
        """Decode an answer with this status; anything else is an SDKError."""
        answer = self.request(method, path, body, **more)
        wanted = status if isinstance(status, tuple) else (status,)
        if answer.status_code not in wanted:
            raise self.error_of(answer)
        if kind is None:
            return None
        return kind(json.loads(answer.content), kind.__name__)

    @staticmethod
    def error_of(answer):
        """Only JSON that says so is read; everything else would be shown as it is."""
        assert answer.headers["Content-Type"].split(";")[0] == "application/json", answer.headers
        problem = Problem(json.loads(answer.content), "codersdk.Response")
        assert problem.message, "an error without a message is shown as 'unexpected status code'"
        return SDKError(answer.status_code, problem)

    def websocket(self, path):
        """With the session in a cookie, as Go's cookie jar sends it."""
        return WebSocket(self.url + path, headers={
            "Cookie": f"coder_session_token={self.token}", "User-Agent": self.session.headers["User-Agent"]})
