# SPDX-License-Identifier: Apache-2.0
"""Templates: what the import accepts, and the sentence with which it refuses."""

import gzip
import hashlib
import io
import os
import tarfile
import zipfile

import pytest

from lib import templates
from lib.api import message_of, pack
from lib.wait import wait_until

CLUSTER = dict(workers=1)

BAD = {
    "no template.yaml": ({"readme.md": "hello"}, "template.yaml"),
    "malformed YAML": ({"template.yaml": "name: [unclosed\ncommand: {\n"}, None),
    "tabs": ({"template.yaml": "command:\n\t- bash\n"}, None),
    "no command": (templates.shell(command=None), "command"),
    "an empty command": (templates.shell(command=[]), "command"),
    "an empty word for a command": (templates.shell(command=[""]), "command"),
    "an unknown key": (templates.shell(colour="red"), "colour"),
    "an unknown limit": (templates.shell(limits={"speed": 3}), "speed"),
    "a limit that is none": (templates.shell(limits={"memory": "a lot"}), "memory"),
    "a negative limit": (templates.shell(limits={"pids": -4}), "pids"),
    "a grace that is none": (templates.shell(grace="for ever"), "grace"),
    "a command that is a mapping": (templates.shell(command={"a": "b"}), "line"),
    "a network that is a word": (templates.shell(network="perhaps"), "network"),
    "a slug with spaces": (templates.shell(app={"slug": "not a slug"}), "slug"),
    "an empty file": ({"template.yaml": ""}, None),
    "binary": ({"template.yaml": bytes(range(256))}, None),
    "a list": ({"template.yaml": "- a\n- b\n"}, None),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_template_is_refused_with_a_sentence(cluster, api, case):
    """Goal: the import job fails; its error says what is wrong; the version makes no task."""
    files, word = BAD[case]
    version = api.import_version(pack(files))
    assert version["job"]["status"] == "failed", version["job"]
    error = version["job"]["error"]
    assert len(error) > 10, error
    if word:
        assert word in error, error
    refused = api.create(version["id"], "echo hi", expect=(400, 406))
    message_of(refused)


def test_the_worker_lives_on_after_bad_templates(cluster, api):
    """Goal: after all those the same worker imports and runs a good one."""
    template = api.push_template("good-after-bad", templates.shell())
    api.wait_complete(api.create(template, "echo fine"))


@pytest.mark.parametrize("archive", [b"", b"not a tar at all", b"\0" * 10240, b"x" * 100000],
                         ids=["empty", "text", "zeros", "xs"])
def test_an_archive_that_is_none(cluster, api, archive):
    """Goal: refused at the upload or at the import, with a sentence, never by a crash."""
    answer = api.post("/files", data=archive, headers={"Content-Type": "application/x-tar"})
    if answer.status_code in (200, 201):
        version = api.import_version(archive)
        assert version["job"]["status"] == "failed" and version["job"]["error"]
    else:
        assert answer.status_code == 400
        message_of(answer)


def evil(*entries):
    """A tar with entries as they are named: (name, type, linkname or data)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        good = templates.shell()["template.yaml"].encode()
        for name, kind, content in (("template.yaml", tarfile.REGTYPE, good), *entries):
            entry = tarfile.TarInfo(name)
            entry.type = kind
            if kind == tarfile.REGTYPE:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            else:
                entry.linkname = content
                tar.addfile(entry)
    return out.getvalue()


@pytest.mark.parametrize("case", ["climbs", "absolute", "through a link", "device"])
def test_an_archive_cannot_write_outside(cluster, api, case, tmp_path):
    """Goal: names with .., absolute names, links that lead out and devices change nothing outside."""
    target = tmp_path / "owned"
    archive = {
        "climbs": evil(("../" * 20 + str(target)[1:], tarfile.REGTYPE, b"x")),
        "absolute": evil((str(target), tarfile.REGTYPE, b"x")),
        "through a link": evil(("out", tarfile.SYMTYPE, str(tmp_path)),
                               ("out/owned", tarfile.REGTYPE, b"x")),
        "device": evil(("null", tarfile.CHRTYPE, "")),
    }[case]
    version = api.import_version(archive)
    assert not target.exists()
    if version["job"]["status"] == "failed":
        assert len(version["job"]["error"]) > 10


def test_the_same_archive_twice(cluster, api):
    """Goal: the same bytes are one file: the same id, 200 the second time."""
    archive = pack(templates.shell(description="twice"))
    first = api.post("/files", data=archive, headers={"Content-Type": "application/x-tar"}, expect=201)
    again = api.post("/files", data=archive, headers={"Content-Type": "application/x-tar"},
                     expect=(200, 201))
    assert first.json()["hash"] == again.json()["hash"]


def test_a_zip_works_or_is_refused(cluster, api):
    """Goal: application/zip, the other form that Coder's clients know, is taken or refused with a
    sentence that names the form that works."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("template.yaml", templates.shell()["template.yaml"])
    answer = api.post("/files", data=out.getvalue(), headers={"Content-Type": "application/zip"})
    if answer.status_code != 201:
        assert answer.status_code == 400 and message_of(answer)
        assert "application/x-tar" in answer.json()["detail"]
        return
    version = api.post(f"/organizations/{api.organization_id()}/templateversions",
                       {"storage_method": "file", "file_id": answer.json()["hash"],
                        "provisioner": "local"}, expect=201).json()
    wait_until(lambda: api._over(version["id"]), "the import")
    assert api._version(version["id"])["job"]["status"] == "succeeded"


def test_a_template_as_big_as_it_may_be(cluster, api):
    """Goal: 9 MB of template arrive in the sandbox byte for byte (files come in pieces)."""
    data = os.urandom(9 << 20)
    template = api.push_template("big", templates.shell() | {"data": data})
    task = api.create(template, "sha256sum < /opt/template/data")
    task = api.wait_complete(task)
    assert api.output(task).split()[0] == hashlib.sha256(data).hexdigest()


def test_a_gzip_bomb_is_no_danger(cluster, api):
    """Goal: an archive that would unpack to gigabytes is refused or takes no more than its limit."""
    bomb = gzip.compress(b"\0" * (64 << 20))
    answer = api.post("/files", data=bomb, headers={"Content-Type": "application/x-tar"})
    if answer.status_code in (200, 201):
        assert api.import_version(bomb)["job"]["status"] == "failed"


def test_a_command_that_is_missing(cluster, api):
    """Goal: a command that the hosts do not have is found out at the import, by name."""
    files = {"template.yaml": templates.template_yaml(
        {"name": "missing", "command": ["no-such-command"], "app": {"slug": "shell"}})}
    job = api.import_version(pack(files))["job"]
    assert job["status"] == "failed" and "no-such-command" in job["error"], job


def test_a_command_of_the_template(cluster, api):
    """Goal: a program that the template brings is a command like any other."""
    template = api.push_template("brings", {
        "template.yaml": templates.template_yaml(
            {"name": "brings", "command": ["/opt/template/tool", "a b"], "app": {"slug": "shell"}}),
        "tool": "#!/bin/sh\necho \"tool says $1 $(cat $STINT_PROMPT_FILE)\"\n"})
    task = api.wait_complete(api.create(template, "and this"))
    assert api.output(task) == "tool says a b and this\n"


def test_template_names(cluster, api):
    """Goal: a template is found by name; a name cannot be used twice, a bad one not at all."""
    version = api.import_version(pack(templates.shell(display_name="Named")))
    org = api.organization_id()
    path = f"/organizations/{org}/templates"
    made = api.post(path, {"name": "named", "template_version_id": version["id"]}, expect=201).json()
    found = api.get(f"{path}/named", expect=200).json()
    assert found["id"] == made["id"] and found["active_version_id"] == version["id"]
    assert any(t["id"] == made["id"] for t in api.get("/templates", expect=200).json())
    other = api.import_version(pack(templates.shell(display_name="Other")))
    message_of(api.post(path, {"name": "NAMED", "template_version_id": other["id"]}, expect=409))
    for name in ("not ok", "", "-x", "x" * 33):
        message_of(api.post(path, {"name": name, "template_version_id": other["id"]}, expect=400))


def test_a_new_version_leaves_old_tasks_alone(cluster, api):
    """Goal: a task stays with its version over pause and resume; new tasks take the new one."""
    org = api.organization_id()
    template = api.push_template("moving", templates.shell(script="echo old; cat $STINT_PROMPT_FILE"))
    task = api.wait_complete(api.create(template, "x"))
    version = api.import_version(pack(templates.shell(script="echo new; cat $STINT_PROMPT_FILE")),
                                 template_id=template.id)
    assert version["job"]["status"] == "succeeded"
    api.patch(f"/templates/{template.id}/versions", {"id": version["id"]}, expect=200)
    assert api.get(f"/organizations/{org}/templates/moving", expect=200).json()[
        "active_version_id"] == version["id"]
    api.pause(task)
    api.wait_status(task, "paused")
    api.set_input(task, "y")
    api.resume(task)
    api.wait_complete(task)
    assert "new" not in api.output(task) and api.output(task).count("old") == 2
    assert "new" in api.output(api.wait_complete(api.create(version["id"], "x")))


def test_members_cannot_push(cluster):
    """Goal: templates run code for everyone, so a plain member may not make them."""
    bob = cluster.api("bob")
    answer = bob.post("/files", data=pack(templates.shell()),
                      headers={"Content-Type": "application/x-tar"})
    assert answer.status_code in (200, 201, 403)
    if answer.status_code in (200, 201):
        bob.post(f"/organizations/{bob.organization_id()}/templateversions",
                 {"storage_method": "file", "file_id": answer.json()["hash"], "provisioner": "local"},
                 expect=(403, 404))


@pytest.mark.parametrize("body", [
    {}, {"storage_method": "file"}, {"storage_method": "file", "file_id": "x", "provisioner": "local"},
    {"storage_method": "file", "file_id": "00000000-0000-0000-0000-000000000001", "provisioner": "local"},
    {"storage_method": "git", "provisioner": "local"},
])
def test_versions_that_cannot_be(cluster, api, body):
    """Goal: 400 or 404 with a sentence."""
    message_of(api.post(f"/organizations/{api.organization_id()}/templateversions", body,
                        expect=(400, 404)))


def test_a_provisioner_nobody_has(cluster, api):
    """Goal: an unknown provisioner is refused at once, not queued for ever."""
    file_id = api.upload(pack(templates.shell()))
    message_of(api.post(f"/organizations/{api.organization_id()}/templateversions",
                        {"storage_method": "file", "file_id": file_id, "provisioner": "magic"},
                        expect=400))
