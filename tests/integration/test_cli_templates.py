# SPDX-License-Identifier: Apache-2.0
"""stint template: init, test, push, versions, promote, archive, pull, migrate."""

import io
import json
import os
import tarfile

import pytest

CLUSTER = dict(workers=1, worker={"provisioners": "local,null"})
EXAMPLES = os.path.join(os.path.dirname(__file__), "..", "..", "deploy", "templates")


def versions(stint, name):
    return json.loads(stint("template", "versions", name, "--json").stdout)


def test_from_an_example_to_versions(stint, tmp_path):
    """Goal: begin, test, push twice, go back, archive, fetch: each says what is next."""
    listed = stint("template", "init", "--json").stdout
    examples = {row["name"]: row for row in json.loads(listed)}
    assert examples["shell"]["provisioner"] == "local" and examples["shell"]["description"]
    begun = stint("template", "init", "shell", "mine")
    assert begun.stdout == "mine\n" and "stint template push mine" in begun.stderr
    assert stint("template", "init", "shell", "mine", check=None).returncode != 0
    tested = stint("template", "test", "mine")
    assert "would be accepted" in tested.stdout and "A start makes:" in tested.stdout
    assert "mine" not in stint("template", "list").stdout

    stint("template", "push", "mine", "--version-name", "one", "-m", "the first")
    second = stint("template", "push", "mine", "--version-name", "two", "--no-activate")
    assert "not active yet" in second.stdout and "stint template promote mine two" in second.stderr
    rows = {row["name"]: row for row in versions(stint, "mine")}
    assert rows["one"]["message"] == "the first" and set(rows) == {"one", "two"}
    active = stint("template", "versions", "mine", "-c", "name,active").stdout.splitlines()
    assert [line.split() for line in active if "active" in line and "NAME" not in line.upper()] == [
        ["one", "active"]]
    assert "version two" in stint("template", "promote", "mine", "two").stdout
    assert "did you mean" in stint("template", "promote", "mine", "on", check=None).stderr
    assert "1 version of mine archived" in stint("template", "archive", "mine", "one").stdout
    assert "1 version of mine brought back" in stint("template", "archive", "mine", "one", "--undo").stdout

    pulled = stint("template", "pull", "mine", "copy")
    assert pulled.stdout == "copy\n"
    for name in os.listdir(tmp_path / "mine"):
        assert (tmp_path / "copy" / name).read_bytes() == (tmp_path / "mine" / name).read_bytes()
    assert "not there yet" in stint("template", "pull", "mine", "copy", check=None).stderr


def test_an_archive_that_leads_out(stint, api, tmp_path):
    """Goal: what somebody has uploaded cannot write beside the directory it is pulled into."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, text in (("template.yaml", b"{}"), ("../evil", b"evil")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    version = api.import_version(stream.getvalue(), provisioner="null")
    if version["job"]["status"] == "succeeded":  # the null provisioner looks at nothing
        api.post(f"/organizations/{api.organization_id()}/templates",
                 {"name": "evil", "template_version_id": version["id"]}, expect=201)
        refused = stint("template", "pull", "evil", "out", check=None)
        assert refused.returncode != 0 and "leads out of it" in refused.stderr
    assert not (tmp_path / "evil").exists()


def test_values_of_variables(cluster, stint, api, tmp_path):
    """Goal: they are given with the version, and no answer and no log shows them."""
    directory = tmp_path / "t"
    directory.mkdir()
    (directory / "main.tf").write_text("")
    secret = "s3cret-value-of-a-key"
    (tmp_path / "secrets").write_text(f"# mine\napi_key={secret}\n")
    file_id = api.upload(archive(directory))
    body = {"storage_method": "file", "file_id": file_id, "provisioner": "null"}
    path = f"/organizations/{api.organization_id()}/templateversions"
    made = api.post(path, body | {"user_variable_values": [{"name": "api_key", "value": secret},
                                                          {"name": "n", "value": "3"}]}, expect=201)
    assert secret not in made.text
    assert cluster.sql("SELECT name, value FROM template_version_values WHERE template_version_id = %s ORDER BY 1",
                       made.json()["id"]) == [("api_key", secret), ("n", "3")]
    for bad in ({"name": "a", "value": secret}, {"name": "a", "value": secret}), ({"name": "a b", "value": secret},), (
            {"name": "a"},), ({"value": secret},), ({"name": "1a", "value": secret},):
        refused = api.post(path, body | {"user_variable_values": list(bad)}, expect=400)
        assert refused.json()["validations"][0]["field"] == "user_variable_values" and secret not in refused.text
    for daemon in cluster.daemons:
        assert secret not in daemon.log(whole=True)
    bad = stint("template", "test", "t", "--variable", secret, check=None)
    assert "NAME=VALUE" in bad.stderr and secret not in bad.stderr


def archive(directory):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.add(directory, arcname=".")
    return stream.getvalue()


SEED = """
terraform { required_providers { coder = { source = "coder/coder" } } }
# data "coder_parameter" "AI Prompt" in a comment
data "coder_task" "me" {}
resource "coder_agent" "main" { os = "linux"  arch = "amd64" }
resource "coder_app" "web" { agent_id = coder_agent.main.id  slug = "web" }
"""


@pytest.mark.parametrize("text, words, status", [
    (SEED + 'resource "coder_ai_task" "t" { app_id = coder_app.web.id }', ["Nothing has to be changed"], 0),
    (SEED, ["MUST", "coder_ai_task"], 1),
    (SEED + 'resource "coder_ai_task" "t" { sidebar_app { id = coder_app.web.id } }\n'
     'resource "docker_container" "c" { }\ndata "coder_parameter" "p" { name = "AI Prompt" }',
     ["main.tf:9: The parameter \"AI Prompt\"", "SHOULD", "app_id", "destroy_grace_seconds"], 1),
])
def test_what_a_coder_template_needs(stint, tmp_path, text, words, status):
    """Goal: usually nothing; else where, and what instead."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "main.tf").write_text(text)
    said = stint("template", "migrate", "t", check=status).stdout
    for word in words:
        assert word in said, said
    rows = json.loads(stint("template", "migrate", "t", "--json", check=status).stdout)
    assert any(row["level"] == "MUST" for row in rows) == (status == 1)


@pytest.mark.parametrize("command, words", [
    (["push", "nowhere"], "is no directory"),
    (["push", "."], "neither a template.yaml nor a main.tf"),
    (["migrate", "."], "has no file that ends with .tf"),
    (["init", "shel"], 'did you mean "shell"'),
    (["versions", "nothing"], "no template"),
])
def test_errors_name_the_next_step(stint, command, words):
    """Goal: one sentence, and a hint."""
    failed = stint("template", *command, check=None)
    assert failed.returncode != 0 and words in failed.stderr
    assert len(failed.stderr.strip().splitlines()) >= 2, failed.stderr
