# SPDX-License-Identifier: Apache-2.0
"""Cleans up after a test run that may have been killed.

    reaper.py DIRECTORY

Waits until its standard input ends (that is: until the test run is gone), then ends the sandboxes
below DIRECTORY, which outlive their workers by design, and removes DIRECTORY.
"""

import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import sandboxes  # noqa: E402


def main(directory):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    sandboxes.kill_all("/" + os.path.basename(directory) + "/")
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
