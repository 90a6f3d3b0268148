# SPDX-License-Identifier: Apache-2.0
"""gateway/openapi/coder.json and the gateway say the same."""

import json
import os
import re

from lib.api import EXPERIMENTAL, STABLE
from lib.schema import wrong

CLUSTER = dict(workers=1)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
METHODS = ("get", "post", "put", "patch", "delete")

with open(os.path.join(ROOT, "gateway", "openapi", "coder.json"), encoding="utf-8") as f:
    DOCUMENT = json.load(f)
PREFIXES = {"V2": [STABLE], "BOTH": [STABLE, EXPERIMENTAL], "ROOT": [""]}


def rows():
    """{(METHOD, path): (auth, handler)} of the table, Stint's own routes left out."""
    with open(os.path.join(ROOT, "gateway", "route.def"), encoding="utf-8") as table:
        found = re.findall(r'^ROUTE\((\w+),\s*(\w+),\s*"([^"]*)",\s*(\w+),\s*\w+,\s*(\w+)\)', table.read(), re.M)
    return {(method, prefix + pattern): (auth, handler) for method, prefixes, pattern, auth, handler in found
            for prefix in PREFIXES.get(prefixes, [])}


def operations():
    """(METHOD, path, operation, words) of the document."""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                words = [p["name"] for p in item.get("parameters", []) if p["in"] == "path"]
                yield method.upper(), path, item[method], words


def test_the_document_names_every_route_and_no_other():
    """Goal: path, method, who may call and the handler's name are those of gateway/route.def."""
    named = {}
    for method, path, operation, words in operations():
        assert words == re.findall(r"\{(\w+)\}", path), path
        said = (operation["x-stint-auth"], operation["operationId"])
        named[method, path] = said
        if "x-stint-also" in operation:
            named[method, operation["x-stint-also"] + path.removeprefix(STABLE)] = said
    table = rows()
    assert set(named) == set(table), set(named) ^ set(table)
    assert {k: v for k, v in named.items() if table[k] != v} == {}
    names = [operation["operationId"] for _, _, operation, _ in operations()]
    assert len(names) == len(set(names))


def test_answers_are_as_the_document_says(cluster, api):
    """Goal: every GET that can be asked for: status, type and members as described; 401 without a key."""
    task = api.wait_complete(api.create(cluster.shell, "echo described", name="described"))
    workspace = api.get(f"/workspaces/{task['workspace_id']}", expect=200).json()
    build = workspace["latest_build"]
    shell = cluster.shell
    version = api.get(f"/templateversions/{shell.version_id}", expect=200).json()
    key = api.post("/users/me/keys/tokens", {"token_name": "described"}, expect=201).json()["key"]
    common = {"user": "me", "task": task["id"], "organization": "default", "template": shell.id,
              "version": shell.version_id, "workspace": task["workspace_id"], "build": build["id"],
              "agent": task["workspace_agent_id"], "file": shell.file_id, "job": build["job"]["id"],
              "number": "1", "name": shell.name, "key": key.split("-")[0]}
    asked = 0
    for method, path, operation, words in operations():
        if method != "GET" or not path.startswith(STABLE) or path.endswith(("/watch", "/watch-ws")):
            continue
        values = dict(common)
        if "/workspace/" in path:
            values["workspace"] = task["workspace_name"]
        if "/versions/" in path:
            values["version"] = version["name"]
        if "/keys/tokens/" in path:
            values["name"] = "described"
        url = re.sub(r"\{(\w+)\}", lambda m: values[m.group(1)], path)
        answer = api.get(url, prefix="")
        described = operation["responses"].get(str(answer.status_code))
        assert described, f"{url}: {answer.status_code} is not in the document: {answer.text[:300]}"
        content = described.get("content", {})
        kind = answer.headers.get("Content-Type", "").split(";")[0]
        assert kind in content, (url, kind)
        if kind == "application/json":
            problems = wrong(DOCUMENT, content[kind]["schema"], answer.json())
            assert not problems, f"{url}: {problems[:5]}"
        anybody = api.with_token(None).get(url, prefix="")
        assert (anybody.status_code == 401) == (operation["x-stint-auth"] != "NONE"), url
        asked += 1
    assert asked > 60, asked
