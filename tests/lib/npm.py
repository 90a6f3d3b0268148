# SPDX-License-Identifier: Apache-2.0
"""Programs and libraries from the npm registry, for tests that want the real thing.

They are kept in build/npm of this tree, so that a second run needs no registry.
"""

import fcntl
import json
import os
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DIRECTORY = os.path.join(ROOT, "build", "npm")


def is_installed(directory, package):
    """`package`: name@version."""
    name, _, version = package.rpartition("@")
    try:
        with open(os.path.join(directory, "node_modules", name, "package.json")) as f:
            return json.load(f)["version"] == version
    except (OSError, ValueError, KeyError):
        return False


def install(*packages):
    """A directory whose node_modules has these, each with its version ("name@1.2.3"); each set of
    packages has a directory of its own.  Without npm, or a registry that has them, the test is
    skipped and says why."""
    name = "+".join(package.strip("@").replace("/", "-") for package in packages)
    directory = os.path.join(DIRECTORY, name)
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(DIRECTORY, name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at once
        if not all(is_installed(directory, package) for package in packages):
            fetch(directory, packages)
    return directory


def fetch(directory, packages):
    if shutil.which("npm") is None:
        pytest.skip(f"npm is not installed, so {', '.join(packages)} cannot be had")
    try:
        done = subprocess.run(
            ["npm", "install", "--prefix", directory, "--no-fund", "--no-audit", "--ignore-scripts=false",
             *packages], capture_output=True, text=True, timeout=280, cwd=directory)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the npm registry did not give {', '.join(packages)} in time")
    if done.returncode != 0:
        why = [line for line in done.stderr.splitlines() if line.strip()]
        pytest.skip(f"npm did not install {', '.join(packages)}: {' / '.join(why[-3:])[:300]}")
