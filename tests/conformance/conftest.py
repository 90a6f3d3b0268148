# SPDX-License-Identifier: Apache-2.0
"""Whole Stints for the suites that speak to the gateway: see lib/fixtures.py."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib.fixtures import (  # noqa: E402, F401
    api, cluster, clusters, pytest_runtest_makereport, session, stint)


# Facts that are known not to hold yet, and why.  One that has begun to hold is reported as XPASS:
# then its line goes.
NOT_YET = {
    "test_pause_and_resume_with_logs": "logs do not follow yet",
    "test_resume_without_waiting": "logs do not follow yet",
    "test_send_resumes_a_paused_task": "logs do not follow yet",
    "test_send_to_a_task_that_starts": "logs do not follow yet",
    "test_the_log_of_a_build_over_websocket": "logs do not follow yet",
    "test_the_log_of_a_running_build_over_websocket": "logs do not follow yet",
    "test_the_log_of_an_agent_over_websocket": "logs do not follow yet",
    "test_websockets_that_are_refused": "no WebSockets yet",
    "test_watching_a_workspace_as_events": "nothing can be watched yet",
    "test_watching_a_workspace_over_websocket": "nothing can be watched yet",
    "test_a_push_from_begin_to_end": "logs do not follow yet",
}


def pytest_collection_modifyitems(items):
    """Files whose tests share a Stint are run by one process; others are dealt out test by test."""
    for item in items:
        if "agentapi" not in item.path.parts:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
        if "agentapi" not in item.path.parts and item.originalname in NOT_YET:
            item.add_marker(pytest.mark.xfail(reason=NOT_YET[item.originalname], strict=False))
