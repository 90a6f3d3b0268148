# SPDX-License-Identifier: Apache-2.0
"""Every route, as every role, on own and on others' objects: who gets in, and that nothing leaks.

The routes are those of the OpenAPI documents (or, where one is missing, of gateway/route.def); what
is expected of each follows from the few rules of kind_of() and expected().  A route that the rules
do not know how to call fails the test: say in Objects what its {word} stands for.

The forbidden calls carry a body that would do harm if it were let through.  The objects they aim at
are named so that any answer that speaks of them is found out; and not one row of the database may
have changed after all forbidden calls and all GETs.
"""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from lib.api import OWN, STABLE
from lib.wait import wait_until

CLUSTER = dict(workers=1)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MARK = "quillon"  # in everything that is the victim's
PREFIXES = {"ROOT": [""], "V2": [STABLE], "BOTH": [STABLE, "/api/experimental"], "STINT": [OWN]}
METHODS = ("get", "post", "put", "patch", "delete")

# ---------------------------------------------------------------- the routes


def routes():
    """{(method, path): auth}, of the documents and the table."""
    found = {}
    with open(os.path.join(ROOT, "gateway", "route.def"), encoding="utf-8") as f:
        for method, prefixes, pattern, auth in re.findall(
                r'^ROUTE\((\w+),\s*(\w+),\s*"([^"]*)",\s*(\w+),', f.read(), re.M):
            for prefix in PREFIXES[prefixes]:
                found[method, prefix + pattern] = auth
    for name in ("coder.json", "stint.json"):
        document = os.path.join(ROOT, "gateway", "openapi", name)
        if not os.path.exists(document):
            continue
        with open(document, encoding="utf-8") as f:
            document = json.load(f)
        for path, operations in document["paths"].items():
            for method in METHODS:
                if method in operations:
                    found.setdefault((method.upper(), path), operations[method]["x-stint-auth"].upper())
    return found


# ---------------------------------------------------------------- the rules

ROLES = ("owner", "template-admin", "auditor", "member")
STRANGERS = ("nobody", "suspended", "expired", "agent")
PERSONAL = r"\{(user|task|workspace|build|agent|message|key|job)\}"
# What nobody does to himself, and only an owner to others.
MANAGED = r"^(DELETE .*/users/\{user\}|PUT .*/users/\{user\}/(roles|status/\w+))$"
TEMPLATES = r"/(templates|templateversions|files)\b"
# An archive may have secrets in it, too: for who may write templates.
ARCHIVES = r"^GET .*/files/\{file\}$"
# A state of Terraform's may have secrets in it: for who may write templates.
STATES = r"/workspacebuilds/\{build\}/state$"
# Of tasks and of people; keys are nobody's but the owner's to see.
AUDITED = r"/(tasks|workspaces|workspacebuilds|workspaceagents|queue|users|provisionerjobs|jobs)/"
STREAMS = r"/(events|watch)$"
UNAUDITED = r"/users/\{user\}/keys"


def kind_of(method, path, auth):
    if auth in ("NONE", "AGENT", "OWNER"):
        return auth.lower()
    if re.search(MANAGED, f"{method} {path}"):
        return "managed"
    if re.search(STATES, path):
        return "state"
    if re.search(ARCHIVES, f"{method} {path}"):
        return "archive"
    if re.search(PERSONAL, path):
        return "personal"
    if re.search(TEMPLATES, path):
        return "template"
    return "audit" if path.endswith("/audit") else "common"


def expected(role, method, path, auth, own):
    """open: anybody; in: let in; hidden: 404; forbidden: 403; out: 401."""
    kind = kind_of(method, path, auth)
    reads = method == "GET"
    if kind == "none":
        return "open"
    if kind == "agent" and role == "agent" and path.endswith("/agent/manifest"):
        return "any"  # an agent that a worker has started has its manifest from there
    if kind == "agent":
        return ("in" if own or "{" not in path else "hidden") if role == "agent" else "out"
    if role in STRANGERS:
        return "out"
    if role == "owner":
        return "any" if kind == "state" else "in"
    if kind == "personal":
        audits = role == "auditor" and reads and re.search(AUDITED, path) and not re.search(UNAUDITED, path)
        return "in" if own or audits else "hidden"
    return {
        "owner": "forbidden",
        "managed": "forbidden" if own else "hidden",
        "state": "any" if own or role == "auditor" else "hidden",
        "template": "in" if reads or role == "template-admin" else "forbidden",
        "archive": "in" if role == "template-admin" else "hidden",
        "audit": "in" if role == "auditor" else "forbidden",
        "common": "in",
    }[kind]


# ---------------------------------------------------------------- who there is, and what is whose


class Objects:
    """What the {words} of a path stand for: somebody's user, task, … key."""

    def __init__(self, cluster, api, name, token):
        self.token, self.name = token, name
        self.api = api.with_token(token)
        self.user = self.api.me()
        self.key = self.api.post("/users/me/keys/tokens", {"token_name": f"{name}-token"},
                                 expect=201).json()["key"].split("-")[0]
        self.task = self.api.create(cluster.shell, f"echo {name}-prompt", name=f"{name}-task")
        self.shared = {
            "organization": self.user["organization_ids"][0], "template": cluster.shell.id,
            "version": cluster.shell.version_id, "file": cluster.shell.file_id}
        self.version_name = self.api.get(f"/templateversions/{cluster.shell.version_id}").json()["name"]

    def complete(self, cluster):
        self.task = self.api.wait_complete(self.task)
        self.message = self.api.queue(self.task, f"echo {self.name}-message")["id"]
        self.api.wait_messages_over(self.task)
        self.task = self.api.wait_complete(self.task)
        workspace = self.api.get(f"/workspaces/{self.task['workspace_id']}", expect=200).json()
        self.build = workspace["latest_build"]["id"]
        self.job = workspace["latest_build"]["job"]["id"]
        [(self.agent_token,)] = cluster.sql(
            "SELECT auth_token::text FROM agents WHERE id = %s", self.task["workspace_agent_id"])

    def ids(self):
        return [self.user["id"], self.key, self.task["id"], self.task["workspace_id"],
                self.task["workspace_agent_id"], self.message, self.build, self.job]

    def words(self, path):
        """{word: value} for this path; more than one where there are several ways to say it."""
        by_name = "/workspace/{workspace}" in path
        ids = self.shared | {
            "user": self.user["id"], "task": self.task["id"], "agent": self.task["workspace_agent_id"],
            "workspace": self.task["workspace_name"] if by_name else self.task["workspace_id"],
            "build": self.build, "job": self.job, "number": "1", "message": self.message, "key": self.key,
            "name": f"{self.name}-token" if "/keys/" in path else "shell"}
        if re.search(r"/templates/\{\w+\}/versions/", path):
            ids["version"] = self.version_name
        ways = [ids]
        if "/tasks/{user}/{task}" in path:
            ways += [ids | {"user": "me"}, ids | {"task": self.task["name"]}]
        return ways


class World:
    def __init__(self, cluster):
        self.cluster, api = cluster, cluster.api()
        self.api = api
        self.users = {role: self.person(f"{role}-x", [role] if role != "member" else []) for role in ROLES}
        self.victim = self.person(MARK, [])
        for objects in (*self.users.values(), self.victim):
            objects.complete(cluster)
        suspended = self.user("suspended-x", [])
        api.request("PUT", f"/users/{suspended[0]}/status/suspend", expect=200)
        expired = self.users["member"].api.post("/users/me/keys/tokens", expect=201).json()["key"]
        cluster.sql("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = %s RETURNING id",
                    expired.split("-")[0])
        self.tokens = {role: objects.token for role, objects in self.users.items()} | {
            "nobody": None, "suspended": suspended[1], "expired": expired,
            "agent": self.users["member"].agent_token}

    def user(self, name, roles):
        made = self.api.post("/users", {
            "username": name, "email": f"{name}@example.com", "name": f"{name} of the family",
            "password": f"{name} {name}", "roles": roles}, expect=201).json()
        answer = requests.post(self.api.base() + "/api/v2/users/login", timeout=20, json={
            "email": f"{name}@example.com", "password": f"{name} {name}"})
        return made["id"], answer.json()["session_token"]

    def person(self, name, roles):
        return Objects(self.cluster, self.api, name, self.user(name, roles)[1])

    def body(self):
        """Harmful wherever it is understood."""
        v = self.victim
        return {
            "input": "echo stolen", "content": "echo stolen", "template_version_id": v.shared["version"],
            "name": "stolen", "username": "stolen", "email": "stolen@example.com", "display_name": "stolen",
            "password": "stolen stolen", "roles": ["owner"], "transition": "stop", "state": "failure",
            "app_slug": "shell", "message": "stolen", "id": v.shared["version"], "ids": [v.task["id"]],
            "tasks": [v.task["id"]], "task_ids": [v.task["id"]], "owner": v.user["id"], "priority": 9,
            "labels": {"stolen": "yes"}, "messages": [], "token_name": "stolen", "theme_preference": "stolen",
            "ttl_ms": 1, "items": [{"id": v.task["id"]}]}


class Call:
    """One call, and what it came to."""

    def __init__(self, world, role, method, path, auth, objects, words):
        self.world, self.role, self.method, self.path, self.auth = world, role, method, path, auth
        self.own = objects is not world.victim
        self.url = re.sub(r"\{(\w+)\}", lambda m: words[m.group(1)], path)
        self.expected = expected(role, method, path, auth, self.own)

    def __str__(self):
        return (f"{self.role}: {self.method} {self.path} ({'own' if self.own else 'other'}) "
                f"-> {self.status}, expected {self.expected}: {self.text[:200]}")

    def run(self):
        token = self.world.tokens[self.role]
        arguments = {} if self.method == "GET" else {"data": json.dumps(self.world.body())}
        headers = {"Content-Type": "application/json"} | ({"Coder-Session-Token": token} if token else {})
        if re.search(STREAMS, self.path):
            headers["Accept"] = "text/event-stream"
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(self.method, self.world.api.base() + self.url, headers=headers,
                                     timeout=20, stream=True, **arguments)
            self.status = answer.status_code
            streams = answer.headers.get("Content-Type", "").startswith("text/event-stream")
            self.text = self.first_of(answer) if streams else answer.text
        return self

    def first_of(self, answer):
        """What a stream says at its begin: all there is, if it tells when that is said."""
        text = ""
        for chunk in answer.iter_content(65536):
            text += chunk.decode()
            if not self.path.endswith("/events") or "event: synced" in text:
                break
        return text

    def is_right(self):
        s = self.status
        return {
            "open": s < 500,
            "any": s < 500,
            "in": s < 500 and s not in (401, 403) and (s != 404 or self.method == "DELETE"),
            "hidden": s == 404 or (self.method != "GET" and s == 400),
            "forbidden": s == 403,
            "out": s == 401,
        }[self.expected]

    def leaks(self):
        """What is said of the victim to who may not read it."""
        if not self.own and self.expected == "in":
            return []
        if self.own and (self.role in ("owner", "auditor") or self.expected == "open" and self.status >= 400):
            return []
        said = self.text.lower()
        for word in sorted(self.world.victim.ids() + [MARK], key=len):
            if word.lower() in said and word.lower() not in self.url.lower():
                return [word]
        return []


@pytest.fixture(scope="module")
def world(cluster):
    return World(cluster)


def run_all(calls):
    with ThreadPoolExecutor(6) as pool:
        return list(pool.map(Call.run, calls))


def check(calls):
    wrong = [str(c) for c in calls if not c.is_right()]
    leaks = [f"{c} LEAKS {c.leaks()}" for c in calls if c.leaks()]
    assert not wrong + leaks, f"{len(wrong)} wrong, {len(leaks)} leak:\n" + "\n".join((leaks + wrong)[:60])


def all_calls(world):
    """Every route × role × own or other's, in every way to say it."""
    calls = []
    for (method, path), auth in sorted(routes().items()):
        for role in ROLES + STRANGERS:
            own = world.users.get(role, world.users["member"])
            for objects in (own, world.victim):
                for words in objects.words(path):
                    missing = set(re.findall(r"\{(\w+)\}", path)) - set(words)
                    assert not missing, f"{method} {path}: Objects does not know what {missing} stands for"
                    if words.get("user") == "me" and objects is own:
                        continue  # said already
                    calls.append(Call(world, role, method, path, auth, objects, words))
    return calls


def snapshot(cluster):
    """All that somebody could change, in few words."""
    tables = ("users", "tasks", "workspaces", "builds", "jobs", "queued_messages", "templates",
              "template_versions", "files", "organizations")
    state = {t: cluster.sql(f"SELECT count(*), md5(string_agg((to_jsonb(t) - 'last_seen_at')::text, ',' "
                            f"ORDER BY id)) FROM {t} t")[0] for t in tables}
    state["api_keys"] = cluster.sql("SELECT count(*), count(revoked_at) FROM api_keys")[0]
    state["audit_log"] = cluster.sql("SELECT array_agg(action || ' ' || resource_type ORDER BY id) FROM audit_log")
    return state


# ---------------------------------------------------------------- the tests, in this order


def test_nobody_reaches_what_is_not_his(cluster, world):
    """Goal: all forbidden calls and all GETs: the right refusal, no leak, and nothing has changed."""
    wait_until(lambda: snapshot(cluster) == snapshot(cluster), "all is at rest")
    before = snapshot(cluster)
    calls = run_all([c for c in all_calls(world) if c.method == "GET" or c.expected not in ("in", "open", "any")])
    assert len(calls) > 700, len(calls)
    check(calls)
    assert snapshot(cluster) == before, "something has been changed"


def test_everybody_reaches_what_is_his(world):
    """Goal: own objects, and others' for owners, let themselves be changed: no 401, 403 or 404.

    Deletions come last, logging out after them.
    """
    calls = [c for c in all_calls(world) if c.method != "GET" and c.expected == "in"]
    calls.sort(key=lambda c: c.role != "agent")  # while its task runs
    logouts = [c for c in calls if c.path.endswith("/logout")]
    last = [c for c in logouts if c.own]
    deletions = [c for c in calls if c.method == "DELETE"]
    password = [c for c in calls if c.path.endswith("/password") and not c.own]
    others = [c for c in calls if c not in logouts + deletions + password]
    for group in (others, deletions, password, last):
        done = [c.run() for c in group]
        wrong = [str(c) for c in done if not c.is_right()]
        assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:60])
