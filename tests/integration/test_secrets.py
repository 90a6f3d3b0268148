# SPDX-License-Identifier: Apache-2.0
"""Secrets by reference: they reach the command's environment and are nowhere else."""

import glob
import os

import pytest

from lib import templates
from lib.wait import wait_until

VALUE = "s3cret-2f6c7a-never-to-be-seen"
ENV = [{"name": "API_KEY", "secret": "api-key"},
       {"name": "MORE", "secret": "not-there", "optional": True},
       {"name": "PLAIN", "value": "shown"}]


@pytest.fixture(scope="module")
def cluster(session, tmp_path_factory):
    directory = tmp_path_factory.mktemp("secrets")
    write(directory, "api-key", VALUE + "\n")
    cluster = session.cluster("secrets", workers=2, worker={"secrets_dir": directory})
    cluster.secrets = directory
    cluster.start()
    cluster.template = cluster.api().push_template("keyed", templates.shell(env=ENV))
    yield cluster
    session.close_cluster(cluster)


def write(directory, name, value, mode=0o600):
    path = directory / name
    path.unlink(missing_ok=True)
    path.write_text(value)
    path.chmod(mode)


# The command shows that it has it, and holds still while others look for it.
PROMPT = ('printf %s "$API_KEY" | md5sum | cut -c 1-32; echo "more=${MORE-unset} $PLAIN"; '
          'ls /run/stint; tr "\\0" "\\n" </proc/1/environ | grep -c never-to-be; '
          'until [ -e go ]; do read -t 0.1 _ <> <(:) || :; done')


def test_a_secret_is_in_the_environment_and_nowhere_else(cluster, api):
    """Goal: the command has the value; files of the workspace, every log, every table, Redis, every
    command line of the machine, and the agent's own environment have not."""
    import hashlib
    task = api.create(cluster.template, PROMPT)
    wait_until(lambda: hashlib.md5(VALUE.encode()).hexdigest() in api.output(task), "it has the secret", 30,
               say=lambda: api.output(task))
    wait_until(lambda: "more=unset shown" in api.output(task), "an optional one is not set")
    pids = cluster.sandbox_processes(task["workspace_id"])
    assert len(pids) >= 2
    for pid in filter(str.isdigit, os.listdir("/proc")):
        assert_not_in(f"/proc/{pid}/cmdline")
    for process in cluster.daemons:
        assert_not_in(f"/proc/{process.pid}/environ")
        for fd in glob.glob(f"/proc/{process.pid}/fd/*"):
            assert "secrets" not in os.path.basename(_link(fd)).split(" ")[0], (process.name, _link(fd))
    with open(cluster.home(task, "go"), "w"):
        pass
    api.wait_complete(task)
    lines = api.output(task).split()
    assert "secrets.json" not in lines, "the agent has taken the file away"
    assert lines[-1] == "0", "its own environment is clean"
    for path in glob.glob(f"{cluster.data_dir}/**", recursive=True, include_hidden=True):
        assert_not_in(path)
    for path in glob.glob(f"{cluster.log_dir}/*"):
        assert_not_in(path)
    assert_not_in_database(cluster)
    assert VALUE not in str(api.logs(task)) + str(api.task(task))
    api.remove(task)


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def assert_not_in(path):
    try:
        if os.path.isfile(path):
            with open(path, "rb") as f:
                assert VALUE.encode() not in f.read(), path
    except OSError:
        pass


def assert_not_in_database(cluster):
    tables = cluster.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' "
                         "AND table_type = 'BASE TABLE'")
    assert len(tables) > 10
    for (table,) in tables:
        [(n,)] = cluster.sql(f"SELECT count(*) FROM {table} t WHERE strpos(t::text, %s) > 0", VALUE)
        assert n == 0, table


def test_a_changed_secret_is_there_after_a_resume(cluster, api):
    """Goal: every start reads the file anew."""
    task = api.wait_complete(api.create(cluster.template, "echo length ${#API_KEY}"))
    assert f"length {len(VALUE)}" in api.output(task)
    api.pause(task)
    api.wait_status(task, "paused")
    write(cluster.secrets, "api-key", "short")
    try:
        api.set_input(task, "echo then ${#API_KEY}")
        api.resume(task)
        api.wait_complete(task)
        assert "then 5" in api.output(task)
    finally:
        write(cluster.secrets, "api-key", VALUE + "\n")


def test_a_missing_secret_fails_the_start_with_its_name(cluster, api):
    """Goal: the import warns and goes on; the start fails for good, once, and says which secret is
    missing where; when it has come, a resume works."""
    template = api.push_template("to-come", templates.shell(env=[{"name": "K", "secret": "to-come"}]))
    [(line,)] = cluster.sql(
        "SELECT l.output FROM build_logs l JOIN template_versions v ON v.job_id = l.job_id "
        "WHERE v.id = %s AND l.level = 'warn'", template.version_id)
    assert "to-come" in line and "secrets_dir" in line
    task = api.create(template, "echo got $K")
    api.wait_status(task, "error")
    [(error, attempts)] = cluster.sql(
        "SELECT j.error, j.attempt FROM jobs j JOIN builds b ON b.job_id = j.id JOIN tasks t "
        "ON t.workspace_id = b.workspace_id WHERE t.id = %s AND b.transition = 'start'", task["id"])
    assert "K" in error and '"to-come"' in error and "secrets_dir" in error, error
    assert attempts <= 1, "it is not tried again"
    write(cluster.secrets, "to-come", "it\n")
    api.resume(task)
    api.wait_complete(task)
    assert "got it" in api.output(task)


def test_a_secret_that_others_can_read_is_refused(cluster, api):
    """Goal: a sentence that says what to do, and nothing of the value."""
    write(cluster.secrets, "open", VALUE, mode=0o644)
    template = api.push_template("open", templates.shell(env=[{"name": "K", "secret": "open"}]))
    task = api.create(template, "echo $K")
    api.wait_status(task, "error")
    [(error,)] = cluster.sql(
        "SELECT j.error FROM jobs j JOIN builds b ON b.job_id = j.id JOIN tasks t "
        "ON t.workspace_id = b.workspace_id WHERE t.id = %s AND b.transition = 'start'", task["id"])
    assert "open" in error and "chmod 600" in error and VALUE not in error, error
