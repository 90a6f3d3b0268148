# SPDX-License-Identifier: Apache-2.0
"""Two versions beside each other: the binaries of this tree, and those of an earlier commit.

tests/run builds the earlier ones and names their directory in STINT_OLD_BUILD; the commit is the one
before the last that touched proto/ or sql/, so that the two differ where they meet.
"""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib.cluster import Build  # noqa: E402
from lib.fixtures import ROOT, Session, clusters, pytest_runtest_makereport  # noqa: E402, F401


@pytest.fixture(scope="session")
def new_build():
    return Build(os.path.join(ROOT, os.environ.get("STINT_BUILD", "build/dev")))


@pytest.fixture(scope="session")
def session():
    """Everything begins with the old version, its schema included."""
    session = Session()
    session.build = Build(os.environ["STINT_OLD_BUILD"])
    try:
        session.start()
        yield session
    finally:
        session.close()
