# SPDX-License-Identifier: Apache-2.0
"""A client of the REST API that believes nothing, and helpers that say what they expected."""

import io
import os
import tarfile
import threading

import requests

from .wait import wait_until

NIL_UUID = "00000000-0000-0000-0000-000000000000"
STABLE, EXPERIMENTAL, OWN = "/api/v2", "/api/experimental", "/api/stint/v1"


class Template:
    def __init__(self, name, id, version_id, file_id):
        self.name, self.id, self.version_id, self.file_id = name, id, version_id, file_id


class Api:
    """`base`: a callable that gives the gateway's URL now (it changes with a restart)."""

    def __init__(self, base, token):
        self.base = base
        self.token = token
        self._local = threading.local()

    def with_token(self, token):
        return Api(self.base, token)

    @property
    def session(self):
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        return self._local.session

    def request(self, method, path, prefix=STABLE, expect=None, timeout=30, **arguments):
        headers = {"Coder-Session-Token": self.token} if self.token else {}
        headers |= arguments.pop("headers", {})
        response = self.session.request(
            method, self.base() + prefix + path, headers=headers, timeout=timeout, **arguments)
        if expect is not None:
            wanted = expect if isinstance(expect, tuple) else (expect,)
            assert response.status_code in wanted, (
                f"{method} {prefix}{path}: {response.status_code} instead of {expect}: "
                f"{response.text[:2000]}")
        return response

    def get(self, path, **arguments):
        return self.request("GET", path, **arguments)

    def post(self, path, json=None, **arguments):
        return self.request("POST", path, json=json, **arguments)

    def patch(self, path, json=None, **arguments):
        return self.request("PATCH", path, json=json, **arguments)

    def delete(self, path, **arguments):
        return self.request("DELETE", path, **arguments)

    # ---- people and templates

    def me(self):
        return self.get("/users/me", expect=200).json()

    def organization_id(self):
        return self.me()["organization_ids"][0]

    def upload(self, archive, content_type="application/x-tar"):
        response = self.post("/files", data=archive, headers={"Content-Type": content_type},
                             expect=(200, 201))
        return response.json()["hash"]

    def import_version_begun(self, files):
        """Its import goes on."""
        body = {"storage_method": "file", "file_id": self.upload(pack(files)), "provisioner": "local"}
        path = f"/organizations/{self.organization_id()}/templateversions"
        return self.post(path, body, expect=201).json()

    def import_version(self, archive, deadline=30, **fields):
        """Upload and import; gives the finished template version, whether good or bad."""
        file_id = self.upload(archive)
        body = {"storage_method": "file", "file_id": file_id, "provisioner": "local"} | fields
        version = self.post(f"/organizations/{self.organization_id()}/templateversions", body,
                            expect=201).json()
        version = wait_until(lambda: self._over(version["id"]), "the template's import", deadline,
                             say=lambda: self._version(version["id"]))
        return version | {"file_id": file_id}

    def _version(self, version_id):
        return self.get(f"/templateversions/{version_id}", expect=200).json()

    def _over(self, version_id):
        version = self._version(version_id)
        return version if version["job"]["status"] in ("succeeded", "failed", "canceled") else None

    def push_template(self, name, files, **fields):
        """`files`: a directory, or {path: text or bytes}.  Gives a Template that tasks can use."""
        version = self.import_version(pack(files))
        assert version["job"]["status"] == "succeeded", version
        template = self.post(
            f"/organizations/{self.organization_id()}/templates",
            {"name": name, "template_version_id": version["id"]} | fields, expect=201).json()
        return Template(name, template["id"], version["id"], version["file_id"])

    # ---- tasks

    def create(self, template, prompt, expect=201, prefix=STABLE, user="me", **fields):
        version = template.version_id if isinstance(template, Template) else template
        body = {"template_version_id": version, "input": prompt} | fields
        response = self.post(f"/tasks/{user}", body, prefix=prefix, expect=expect)
        return response.json() if response.status_code == 201 else response

    def task(self, task, prefix=STABLE, user="me"):
        return self.get(f"/tasks/{user}/{_id(task)}", prefix=prefix, expect=200).json()

    def tasks(self, query=None, expect=200):
        response = self.get("/tasks", params={"q": query} if query is not None else None,
                            expect=expect)
        return response.json()

    def logs(self, task, expect=200):
        return self.get(f"/tasks/me/{_id(task)}/logs", expect=expect).json()

    def output(self, task):
        """All that the app has said, in one string."""
        return "".join(entry["content"] for entry in self.logs(task)["logs"]
                       if entry["type"] == "output")

    def act(self, task, verb, expect):
        return self.post(f"/tasks/me/{_id(task)}/{verb}", expect=expect)

    def pause(self, task, expect=202):
        return self.act(task, "pause", expect)

    def resume(self, task, expect=202):
        return self.act(task, "resume", expect)

    def send(self, task, text, expect=204):
        return self.post(f"/tasks/me/{_id(task)}/send", {"input": text}, expect=expect)

    def set_input(self, task, text, expect=204):
        return self.patch(f"/tasks/me/{_id(task)}/input", {"input": text}, expect=expect)

    def remove(self, task, expect=202):
        return self.delete(f"/tasks/me/{_id(task)}", expect=expect)

    # ---- the task's agent

    def agent(self, task):
        """What Stint's own route tells of the newest agent: life cycle, apps, metadata."""
        return self.get(f"/tasks/{_id(task)}/agent", prefix=OWN, expect=200).json()

    def app(self, task, slug):
        return next(app for app in self.agent(task)["apps"] if app["slug"] == slug)

    def agent_logs(self, task, agent_id=None):
        """[(source, level, line)] of scripts and apps."""
        agent_id = agent_id or self.agent(task)["id"]
        lines = []
        while True:  # there is a bound to what one answer holds
            after = {"after": lines[-1]["id"]} if lines else None
            page = self.get(f"/workspaceagents/{agent_id}/logs", params=after, expect=200).json()
            if not page:
                break
            lines += page
        ids = [line["id"] for line in lines]
        assert ids == sorted(set(ids)), ids
        return [(line["source"], line["level"], line["output"]) for line in lines]

    # ---- messages that wait

    def queue(self, task, content, expect=201):
        """Leave a message for the task's app; gives it as the answer shows it."""
        response = self.post(f"/tasks/{_id(task)}/messages", {"content": content}, prefix=OWN,
                             expect=expect)
        return response.json() if response.status_code == 201 else response

    def messages(self, task):
        return self.get(f"/tasks/{_id(task)}/messages", prefix=OWN, expect=200).json()["messages"]

    def message_states(self, task):
        """{content: state}"""
        return {m["content"]: m["state"] for m in self.messages(task)}

    def unsend(self, task, message, expect=204):
        return self.delete(f"/tasks/{_id(task)}/messages/{_id(message)}", prefix=OWN, expect=expect)

    # ---- waiting

    def wait_status(self, task, *statuses, deadline=30):
        return self._wait(task, lambda t: t["status"] in statuses, "/".join(statuses), deadline)

    def wait_state(self, task, *states, deadline=30):
        """Until the task is active and its app is in one of `states`."""
        return self._wait(
            task, lambda t: t["status"] == "active" and (t["current_state"] or {}).get("state") in states,
            "active and " + "/".join(states), deadline)

    def wait_agent(self, task, is_it, what, deadline=30):
        """Until is_it(agent) is true; gives the agent."""
        return wait_until(lambda: (lambda a: a if is_it(a) else None)(self.agent(task)), what, deadline,
                          interval=0.05, say=lambda: self.agent(task))

    def wait_lifecycle(self, task, *states, deadline=30):
        return self.wait_agent(task, lambda a: a["lifecycle"] in states, "/".join(states), deadline)

    def wait_health(self, task, slug, *healths, deadline=30):
        wait_until(lambda: self.app(task, slug)["health"] in healths, f"{slug} is {'/'.join(healths)}",
                   deadline, interval=0.05, say=lambda: self.app(task, slug))

    def wait_agent_log(self, task, source, text, deadline=30, agent_id=None):
        wait_until(lambda: any(s == source and text in line for s, _, line in self.agent_logs(task, agent_id)),
                   f"{source} logs {text!r}", deadline, interval=0.1,
                   say=lambda: self.agent_logs(task, agent_id))

    def wait_messages_over(self, task, deadline=30):
        """Until no message waits any more; gives {content: state}."""
        return wait_until(
            lambda: (lambda s: s if "queued" not in s.values() else None)(self.message_states(task)),
            f"no message waits for task {_id(task)}", deadline, interval=0.1,
            say=lambda: self.message_states(task))

    def wait_complete(self, task, deadline=30):
        return self.wait_state(task, "complete", deadline=deadline)

    def _wait(self, task, is_it, what, deadline):
        last = {}

        def look():
            last.update(self.task(task))
            return dict(last) if is_it(last) else None

        return wait_until(look, f"task {_id(task)} is {what}", deadline, interval=0.05,
                          say=lambda: {k: last.get(k) for k in (
                              "name", "status", "current_state", "workspace_status",
                              "workspace_agent_lifecycle")})


def _id(task):
    return task["id"] if isinstance(task, dict) else task


def pack(files):
    """A tar archive of a directory or of {path: text or bytes}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        if isinstance(files, str):
            for name in sorted(os.listdir(files)):
                tar.add(os.path.join(files, name), arcname=name)
        else:
            for name, content in files.items():
                data = content.encode() if isinstance(content, str) else content
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                entry.mode = 0o755 if data.startswith(b"#!") else 0o644
                tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def problem_of(response):
    """The detail of an error of Stint's own routes, checked for its shape (RFC 9457)."""
    assert response.headers["Content-Type"].split(";")[0] == "application/problem+json", response.headers
    body = response.json()
    assert {"type", "title", "status", "detail"} <= set(body), body
    assert body["status"] == response.status_code, body
    assert isinstance(body["title"], str) and body["title"], body
    return body["detail"]


def message_of(response):
    """The error in Coder's shape, checked for its shape: {message, detail?, validations?}."""
    assert response.headers["Content-Type"] == "application/json; charset=utf-8", response.headers
    body = response.json()
    assert isinstance(body.get("message"), str) and body["message"], body
    assert set(body) <= {"message", "detail", "validations"}, body
    assert body.get("detail", "x") != "", "an empty detail is left out"
    for row in body.get("validations", []):
        assert set(row) == {"field", "detail"}, row
    assert response.text.endswith("\n"), "a body ends with a newline"
    return body["message"]
