# SPDX-License-Identifier: Apache-2.0
"""Waiting for something to become true.  The only place in the tests that sleeps."""

import time


def wait_until(predicate, what="it", deadline=10.0, interval=0.02, say=None):
    """Call predicate() until it is truthy and return that value.

    After `deadline` seconds the test fails with `what`, and with say() (or the last value) as the
    state of things.
    """
    until = time.monotonic() + deadline
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= until:
            state = say() if say else value
            raise AssertionError(f"{what}: not within {deadline:g} s; at the end: {state!r}")
        time.sleep(interval)


def stays(predicate, what="it", duration=1.0, interval=0.05):
    """Fail as soon as predicate() is not true in the next `duration` seconds."""
    until = time.monotonic() + duration
    while time.monotonic() < until:
        assert predicate(), f"{what} did not last for {duration:g} s"
        time.sleep(interval)


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self):
        self.start = time.monotonic()

    @property
    def seconds(self):
        return time.monotonic() - self.start


def wait_for_room(seconds=15):
    """Until the minute, which limits of requests go by, is not over for another `seconds`."""
    wait_until(lambda: time.time() % 60 < 60 - seconds, f"{seconds} seconds of a minute", seconds + 1, interval=0.2)
