# SPDX-License-Identifier: Apache-2.0
"""Whole Stints with Terraform: the real program, the real Coder provider, a mirror, no registry."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import terraform  # noqa: E402
from lib.fixtures import (  # noqa: E402, F401
    api, pytest_runtest_makereport, session, stint)


def pytest_collection_modifyitems(items):
    why = terraform.missing()
    for item in items if why else []:
        item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A directory that templates may write in: the world that Terraform changes."""
    path = str(tmp_path_factory.mktemp("world"))
    os.chmod(path, 0o777)
    return path


def settings(session, world, **worker):
    return dict(scheduler={"state_key_file": terraform.key_file(session.directory)},
                worker={"provisioners": "terraform", "terraform_mirror": terraform.MIRROR,
                        "terraform_binds": f"{world}:rw"} | worker)


@pytest.fixture(scope="module")
def cluster(session, request, world):
    arguments = dict(workers=1) | getattr(request.module, "CLUSTER", {})
    worker = arguments.pop("worker", {})
    made = session.cluster("tf", **settings(session, world, **worker), **arguments)
    yield made.start()
    session.close_cluster(made)


@pytest.fixture
def clusters(session, world):
    """clusters(workers=…, **settings of the worker) starts a Stint for this test alone."""
    made = []

    def make(workers=1, **worker):
        made.append(session.cluster("tf", workers=workers, **settings(session, world, **worker)))
        return made[-1].start()

    yield make
    for one in made:
        session.close_cluster(one)
