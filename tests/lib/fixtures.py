# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the suites that need a whole Stint; their conftest.py names them.

session   one Postgres for the whole run, with a migrated template database
cluster   one Stint for all tests of a module (a module says what it needs in CLUSTER = dict(...))
clusters  a factory: Stints for one test alone
"""

import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import uuid

import pytest

from . import templates
from .cluster import SANITIZER_ENVIRONMENT, Build, Cluster, environment
from .servers import Postgres

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(TESTS)

USERS = {"admin": "{owner}", "bob": "{member}", "carol": "{member}"}


class Session:
    """What all tests of one run share."""

    def __init__(self):
        plain = os.environ.get("STINT_PLAIN_BUILD")
        self.build = Build(os.path.join(ROOT, os.environ.get("STINT_BUILD", "build/asan")),
                           plain and os.path.join(ROOT, plain))
        # Short: unix sockets have to fit in 107 characters.
        self.directory = tempfile.mkdtemp(prefix="stint-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        self.reaper = subprocess.Popen(
            [sys.executable, os.path.join(TESTS, "lib", "reaper.py"), self.directory],
            stdin=subprocess.PIPE, start_new_session=True)
        self.postgres = Postgres(os.path.join(self.directory, "pg"))
        self.template_database = "template_" + os.path.basename(self.directory).replace("-", "_").lower()
        self.tokens = {}
        self.user_ids = {}
        self.n_clusters = 0
        self.open = []

    def start(self):
        self.postgres.start()
        self.postgres.execute(f"CREATE DATABASE {self.template_database}")
        self.migrate(self.template_database)
        connection = self.postgres.connect(self.template_database)
        with connection.cursor() as cursor:
            for name, roles in USERS.items():
                self.tokens[name], self.user_ids[name] = add_user(cursor, name, roles)
        connection.close()

    def migrate(self, database, check=True):
        done = subprocess.run([self.build.program("stint-scheduler"), "migrate"],
                              env=environment(database_url=self.postgres.url(database)),
                              capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, f"migrate: {done.returncode}\n{done.stderr}"
        return done

    def cluster(self, word="c", **arguments):
        self.n_clusters += 1
        word = re.sub(r"[^a-z]", "", word.lower())[:8]
        cluster = Cluster(self, f"{word}{self.n_clusters}", **arguments)
        self.open.append(cluster)
        return cluster

    def close_cluster(self, cluster):
        self.open.remove(cluster)
        problems = cluster.close()
        keep = os.environ.get("STINT_TEST_LOGS")
        if problems and keep:
            shutil.copytree(cluster.log_dir, os.path.join(keep, cluster.name), dirs_exist_ok=True)
        shutil.rmtree(cluster.directory, ignore_errors=True)
        assert not problems, "not clean at the end:\n" + "\n".join(problems)

    def close(self):
        for cluster in list(self.open):
            cluster.close()
        self.postgres.stop()
        self.reaper.stdin.close()
        self.reaper.wait(30)


def add_user(cursor, name, roles):
    user_id, key, secret = str(uuid.uuid4()), secrets.token_hex(5), secrets.token_hex(11)
    cursor.execute("INSERT INTO users (id, username, email, roles) VALUES (%s, %s, %s, %s)",
                   (user_id, name, f"{name}@example.com", roles))
    cursor.execute("INSERT INTO api_keys (id, user_id, hashed_secret, name) VALUES (%s, %s, %s, 'test')",
                   (key, user_id, hashlib.sha256(secret.encode()).digest()))
    return f"{key}-{secret}", user_id


@pytest.fixture(scope="session")
def session():
    session = Session()
    try:
        session.start()
        yield session
    finally:
        session.close()


@pytest.fixture(scope="module")
def cluster(session, request):
    """One Stint for the module; the template "shell" is pushed as cluster.shell."""
    cluster = session.cluster(request.module.__name__.removeprefix("test_"),
                              **getattr(request.module, "CLUSTER", {}))
    start_with_shell(cluster)
    yield cluster
    session.close_cluster(cluster)


@pytest.fixture
def clusters(session, request):
    """clusters(**settings) starts a Stint for this test alone."""
    made = []

    def make(start=True, **arguments):
        cluster = session.cluster(request.node.name.removeprefix("test_"), **arguments)
        made.append(cluster)
        if start:
            start_with_shell(cluster)
        return cluster

    make.session = session
    yield make
    for cluster in made:
        session.close_cluster(cluster)


def start_with_shell(cluster):
    cluster.start()
    if cluster.workers:  # who else would import it
        cluster.shell = cluster.api().push_template("shell", templates.shell())


@pytest.fixture
def api(cluster):
    return cluster.api()


@pytest.fixture
def stint(cluster, tmp_path):
    """stint("task", "list", …) -> CompletedProcess, with a home directory of the test's own."""

    def run(*arguments, check=0, stdin="", token="admin", **environment):
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8",
               "STINT_URL": cluster.gateway.url} | SANITIZER_ENVIRONMENT
        if token:
            env["STINT_TOKEN"] = cluster.session.tokens[token]
        env |= environment
        done = subprocess.run([cluster.session.build.program("stint"), *arguments], env=env, input=stdin,
                              capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert "Sanitizer" not in done.stderr and "runtime error:" not in done.stderr, done.stderr
        if check is not None:
            assert done.returncode == check, f"{arguments}: {done}"
        return done

    return run


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failing test shows the end of every daemon's log, and keeps them whole."""
    outcome = yield
    report = outcome.get_result()
    session = getattr(item, "funcargs", {}).get("session")
    if not report.failed or session is None:
        return
    keep = os.environ.get("STINT_TEST_LOGS")
    for cluster in session.open:
        for name, text in cluster.log_tails():
            report.sections.append((f"{cluster.name}/{name}", text))
        if keep:
            name = re.sub(r"[^\w.-]+", "_", item.nodeid.split("/")[-1])
            shutil.copytree(cluster.log_dir, os.path.join(keep, name, cluster.name), dirs_exist_ok=True)
