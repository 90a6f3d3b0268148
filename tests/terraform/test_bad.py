# SPDX-License-Identifier: Apache-2.0
"""Templates and Terraforms that misbehave: the job says why, in the tool's own words; the state is
kept; the task can be deleted."""

import io
import os
import tarfile

import pytest

from lib import terraform
from lib.wait import wait_until

CLUSTER = dict(worker={"terraform_time_limit": "40s"})


def with_main(text):
    return {"main.tf": terraform.REQUIRED + text}


BAD = {
    "HCL that does not parse": ({"main.tf": 'resource "terraform_data" "x" {\n  input = \n}\n'},
                                ["main.tf line 2"]),
    "an argument that is not there": (
        with_main('resource "coder_agent" "main" {\n  os = "linux"\n  arch = "amd64"\n  nope = 1\n}\n'),
        ["main.tf line", "nope"]),
    "a provider that is missing": (
        {"main.tf": 'terraform {\n  required_providers {\n    x = { source = "nobody/nothing" }\n  }\n}\n'},
        ["nobody/nothing"]),
    "a plan that fails": (
        with_main('resource "terraform_data" "x" {\n  input = file("/etc/shadow")\n}\n'),
        ["main.tf line", "/etc/shadow"]),
    "two coder_ai_task": (
        with_main(terraform.AGENT + terraform.TASK + terraform.TASK.replace('"task"', '"other"')),
        ["only one 'coder_ai_task'", "found 2"]),
    "an app id that no app has": (
        with_main(terraform.AGENT + 'resource "coder_ai_task" "t" {\n'
                  '  app_id = "11111111-2222-4333-8444-555555555555"\n}\n'),
        ["no coder_app has the id 11111111"]),
    "a variable without a value": (
        with_main('variable "token" { type = string }\n' + terraform.AGENT), ["token"]),
    "a template without an agent": (
        with_main('resource "coder_app" "chat" {\n  agent_id = "nobody"\n  slug = "chat"\n}\n'
                  'resource "coder_ai_task" "t" {\n  app_id = coder_app.chat.id\n}\n'),
        ["no coder_agent"]),
    "nothing at all": ({"readme.md": "hello"}, []),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_template_is_refused_in_the_tools_words(cluster, api, case):
    files, words = BAD[case]
    if case == "nothing at all":  # Terraform takes it; it is no template of tasks
        _, version = terraform.push(api, "empty", files)
        assert api.create(version["id"], "x", expect=(400, 406)).status_code in (400, 406)
        return
    error = terraform.refused(api, files)
    for word in words:
        assert word in error, error


def archive(*entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for entry, data in entries:
            tar.addfile(entry, io.BytesIO(data) if data else None)
    return out.getvalue()


def test_an_archive_that_leads_out_is_not_unpacked(cluster, api):
    """Goal: a link out of the tree is refused with its name."""
    link = tarfile.TarInfo("out")
    link.type, link.linkname = tarfile.SYMTYPE, "../../../../etc"
    main = tarfile.TarInfo("main.tf")
    version = api.import_version(archive((link, None), (main, b"")), provisioner="terraform",
                                 deadline=60)
    assert version["job"]["status"] == "failed" and "out" in version["job"]["error"], version["job"]


def test_a_template_sees_nothing_of_the_worker(cluster, api, world):
    """Goal: neither the data directory, the worker's environment, nor its processes."""
    look = ("ls / /root /home /var/lib 2>&1; env; cat /proc/*/cmdline | tr '\\\\0' ' '; "
            f"ls -R {cluster.data_dir} 2>&1; cat /etc/shadow 2>&1; id")
    files = terraform.host(world, extra=f"""
resource "terraform_data" "spy" {{
  provisioner "local-exec" {{
    command = "({look}) > {world}/seen"
  }}
}}
""")
    template, _ = terraform.push(api, "spy", files)
    task = api.create(template, "spy")
    terraform.wait_build(api, task, "start", "succeeded")
    with open(f"{world}/seen") as f:
        seen = f.read()
    assert "canary" not in seen and "STINT_TEST" not in seen and "STINT_REDIS" not in seen, seen
    assert "stint-worker" not in seen and "stint-scheduler" not in seen, seen
    assert "root:" not in seen and "workspaces" not in seen and "templates" not in seen, seen
    assert "uid=1000" in seen, seen
    api.remove(task)
    terraform.wait_deleted(cluster, task)


def test_an_apply_that_fails_half_way(cluster, api, world):
    """Goal: the task is in error with the tool's message, what was made is undone by the clean-up,
    and it can be deleted."""
    files = terraform.host(world, extra="""
resource "terraform_data" "bad" {
  depends_on = [terraform_data.piece]
  provisioner "local-exec" {
    command = "seq 9000; seq 9000; echo this is why >&2; exit 3"
  }
}
""")
    template, _ = terraform.push(api, "half", files)
    task = api.create(template, "x")
    wait_until(lambda: clean_up_is_over(cluster, task), "the clean-up is over", 120, interval=0.2,
               say=lambda: cluster.sql("SELECT kind, state, error FROM jobs"))
    assert api.wait_status(task, "error")["status"] == "error"
    error = cluster.sql_one("SELECT j.error FROM jobs j JOIN builds b ON b.job_id = j.id "
                            "WHERE b.workspace_id = %s", task["workspace_id"])[0]
    assert "main.tf line" in error and "exit status 3" in error, error
    logged = cluster.sql_one("SELECT sum(length(output)) FROM build_logs l JOIN builds b "
                             "ON b.job_id = l.job_id WHERE b.workspace_id = %s",
                             task["workspace_id"])[0]
    assert logged < 1.2 * 1024 * 1024, logged
    assert not os.path.exists(f"{world}/{task['workspace_id']}.0")
    api.remove(task)
    terraform.wait_deleted(cluster, task)
    assert not os.path.exists(f"{world}/{task['workspace_id']}.home")


def test_a_terraform_that_hangs(cluster, api, world):
    """Goal: after terraform_time_limit it is interrupted, then killed; the error names the setting."""
    files = terraform.host(world, slow="0", extra="""
resource "terraform_data" "hang" {
  count = data.coder_workspace.me.start_count
  provisioner "local-exec" {
    command = "sleep 600"
  }
}
""")
    template, _ = terraform.push(api, "hang", files)
    task = api.create(template, "x")
    wait_until(lambda: cluster.sql_one(
        "SELECT j.error FROM jobs j JOIN builds b ON b.job_id = j.id WHERE b.workspace_id = %s "
        "AND j.error LIKE %s", task["workspace_id"], "%terraform_time_limit%"),
        "the start has run into the limit", 120, interval=0.2,
        say=lambda: cluster.sql("SELECT kind, state, attempt, error FROM jobs"))
    wait_until(lambda: clean_up_is_over(cluster, task), "the clean-up is over", 120, interval=0.2)
    api.remove(task)
    terraform.wait_deleted(cluster, task)


def test_stop_and_delete_when_the_template_plans_no_more(cluster, api, world):
    """Goal: a template that reads a file that is gone, and one whose archive is gone from the worker."""
    lives = f"{world}/needed"
    with open(lives, "w") as f:
        f.write("here")
    files = terraform.host(world, extra=f'output "o" {{ value = file("{lives}") }}\n')
    template, _ = terraform.push(api, "needy", files)
    task = api.create(template, "x")
    terraform.wait_build(api, task, "start", "succeeded")
    os.unlink(lives)
    api.pause(task)
    terraform.wait_build(api, task, "stop", "succeeded")
    home = f"{world}/{task['workspace_id']}.home"
    assert not os.path.exists(f"{world}/{task['workspace_id']}.0") or os.path.exists(home)
    api.remove(task)
    terraform.wait_deleted(cluster, task)


def clean_up_is_over(cluster, task):
    return cluster.sql("SELECT 1 FROM jobs j JOIN builds b ON b.id = j.build_id WHERE b.workspace_id = %s "
                       "AND j.kind = 'stop' AND j.state IN ('succeeded', 'failed')", task["workspace_id"])


def test_a_canceled_start(cluster, api, world):
    """Goal: Terraform is interrupted, the state kept, what was made is undone.  (A resource whose own
    local-exec is interrupted is tainted; Terraform runs no destroy provisioner of such.)"""
    files = terraform.host(world, extra=f"""
resource "terraform_data" "slow" {{
  count      = data.coder_workspace.me.start_count
  depends_on = [terraform_data.piece]
  provisioner "local-exec" {{
    command = "touch {world}/slow; sleep 300"
  }}
}}
""")
    template, _ = terraform.push(api, "slow", files)
    task = api.create(template, "x")
    wait_until(lambda: os.path.exists(f"{world}/slow"), "it is at the slow one", 60)
    assert os.path.exists(f"{world}/{task['workspace_id']}.0")
    api.patch(f"/workspacebuilds/{terraform.build(api, task)['id']}/cancel", expect=200)
    wait_until(lambda: clean_up_is_over(cluster, task), "the clean-up is over", 120, interval=0.2,
               say=lambda: cluster.sql("SELECT kind, state, error FROM jobs"))
    assert not os.path.exists(f"{world}/{task['workspace_id']}.0")
    assert os.path.exists(f"{world}/{task['workspace_id']}.home")
    api.remove(task)
    terraform.wait_deleted(cluster, task)


def test_a_workspace_that_cannot_be_destroyed_is_orphaned(cluster, api, world):
    """Goal: a delete that fails, and is tried again for ever, ends when somebody who may says orphan;
    what was made stays."""
    files = terraform.host(world, extra=f"""
resource "terraform_data" "stuck" {{
  provisioner "local-exec" {{
    when    = destroy
    command = "test -e {world}/never"
  }}
}}
""")
    template, _ = terraform.push(api, "stuck", files)
    task = api.create(template, "x")
    terraform.wait_build(api, task, "start", "succeeded")
    api.remove(task)
    wait_until(lambda: cluster.sql("SELECT 1 FROM jobs WHERE kind = 'delete' AND attempt > 1 "
                                   "AND error LIKE '%%exit status 1%%'"), "the delete has failed", 120,
               interval=0.2, say=lambda: cluster.sql("SELECT kind, state, error FROM jobs"))
    path = f"/workspaces/{task['workspace_id']}/builds"
    api.post(path, {"transition": "delete", "orphan": True}, expect=(201, 404, 409))
    terraform.wait_deleted(cluster, task)
