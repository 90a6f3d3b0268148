# SPDX-License-Identifier: Apache-2.0
"""Whole Stints for the suites that speak to the gateway: see lib/fixtures.py."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib.fixtures import (  # noqa: E402, F401
    api, cluster, clusters, pytest_runtest_makereport, session, stint)


def pytest_collection_modifyitems(items):
    """Files whose tests share a Stint are run by one process, and by three at most, each of which
    has a Postgres; others are dealt out test by test."""
    paths = sorted({str(item.path) for item in items if "agentapi" not in item.path.parts})
    for item in items:
        if "agentapi" not in item.path.parts:
            item.add_marker(pytest.mark.xdist_group(f"stint{paths.index(str(item.path)) % 3}"))
