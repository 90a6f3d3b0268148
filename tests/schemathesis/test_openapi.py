# SPDX-License-Identifier: Apache-2.0
"""Goal: whatever the OpenAPI documents allow, and what they do not, no route answers 5xx, and answers are as
documented.  Method: schemathesis makes requests from the documents, against a whole Stint.

STINT_SCHEMATHESIS_SECONDS says for how long, document by document.
"""

import json
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("STINT_SCHEMATHESIS", os.path.join(ROOT, "build/venv-schemathesis/bin/schemathesis"))
SECONDS = int(os.environ.get("STINT_SCHEMATHESIS_SECONDS", "20"))

# What is made is not started: thousands of tasks come and go.
CLUSTER = dict(workers=1, scheduler={"cap": 1}, gateway={})

# Answers without an end, and uploads of archives, have tests of their own.
STREAMS = "/(events|watch|watch-ws)$"

# That bad data is refused is not among them: of a bulk each operation has its own answer, within 200.
# Coder's own shapes are the conformance suite's to check.
CHECKS = {
    "stint.json": ["not_a_server_error", "status_code_conformance", "content_type_conformance",
                   "response_schema_conformance", "unsupported_method", "allow_header_conformance"],
    "coder.json": ["not_a_server_error"],
}


def with_tasks(cluster, path):
    """A copy of the document whose tasks are some that are there, and one that is not."""
    api = cluster.api()
    ids = [api.create(cluster.shell, "sleep 600", user="me")["id"] for _ in range(4)]
    ids.append("5b2bd1ed-8f7c-4d2b-9b0c-1f8a3c2f7a10")
    with open(path) as f:
        document = json.load(f)
    for parameter in parameters_of(document):
        if parameter.get("name") == "task" and parameter.get("in") == "path":
            parameter["schema"] = {"type": "string", "enum": ids}
    copy = os.path.join(cluster.directory, os.path.basename(path))
    with open(copy, "w") as f:
        json.dump(document, f)
    return copy


def parameters_of(node):
    """Every object of the document that may be a parameter."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from parameters_of(child)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("document", CHECKS)
def test_requests_from_the_document(cluster, document):
    path = os.path.join(ROOT, "gateway/openapi", document)
    if not os.path.exists(path):
        pytest.skip(f"{document} is not written yet")
    if not os.access(PROGRAM, os.X_OK):
        pytest.skip(f"schemathesis is not installed in {PROGRAM}; tests/run schemathesis does it")
    copy = with_tasks(cluster, path)
    done = subprocess.run(
        [PROGRAM, "--config-file", os.path.join(ROOT, "tests/schemathesis/schemathesis.toml"), "run", copy, "--url", cluster.gateway.url, "-H", "Coder-Session-Token:" + cluster.api().token,
         "--checks", ",".join(CHECKS[document]), "--max-time", str(SECONDS), "--request-timeout", "60",
         "--suppress-health-check", "all", "--no-color", "--generation-database", "none", "--warnings", "off",
         "--phases", "examples,coverage,fuzzing", "--workers", "1", "--exclude-path-regex", STREAMS,
         "--exclude-operation-id", "file_create"],
        cwd=cluster.directory, capture_output=True, text=True, timeout=SECONDS + 600)
    sys.stdout.write(done.stdout[-20000:] + done.stderr[-4000:])
    assert done.returncode == 0
    cluster.api().get("/livez", prefix="", expect=200)
