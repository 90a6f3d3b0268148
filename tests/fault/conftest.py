# SPDX-License-Identifier: Apache-2.0
"""Whole Stints: see lib/fixtures.py."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib.fixtures import (  # noqa: E402, F401
    clusters, pytest_runtest_makereport, session)
