#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The n-th allocation of each unit test is refused, for every n that is reached by a way of its own.

    tests/fault/units.py [--build build/dev] [--seconds N] [--seed S] [--depth D] [--only PATTERN]
    tests/fault/units.py --only jwt_test --n 1234      that one, with what it says

A test program runs once to number its allocations and to see by which ways (chains of callers, the
libraries' included) they come about; then once per way, with the first allocation that came by it
refused.  It may

    end        "out of memory" in the log and SIGABRT: what core/base/mem.h promises
    tell       a process that the test started ended so, and a check of the test fails

and nothing else: no crash, no report of a sanitizer, no silence of minutes, and no success, which
would mean that somebody does without what he asked for.  With --seconds it takes a sample that S
chooses, until the time is over.

Ends with "N passed, N failed".
"""

import argparse
import collections
import concurrent.futures
import glob
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEADLINE_S = 240  # some wait for most of a minute for what will not come any more
SAMPLE = 8  # of the ways of each
REPORT = re.compile(r"ERROR: AddressSanitizer|runtime error: |failed with exception|Assertion `")


def programs(build, only):
    found = [p for p in glob.glob(f"{build}/**/*_test", recursive=True)
             if os.path.isfile(p) and os.access(p, os.X_OK) and re.search(only, os.path.basename(p))]
    return sorted(found, key=os.path.basename)


class Runner:
    def __init__(self, build, depth):
        self.library = os.path.join(build, "tests/fault/libstint-fault.so")
        self.depth = depth

    def run(self, program, **settings):
        """(status, output); None for a status: it hung."""
        env = os.environ | {
            "LD_PRELOAD": self.library, "STINT_FAULT_PROGRAM": os.path.basename(program),
            # Ours stands before the sanitizer's on purpose; what is broken off is not cleaned up.
            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0:handle_segv=2:handle_sigbus=2",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        } | {f"STINT_FAULT{name}": str(value) for name, value in settings.items()}
        child = subprocess.Popen(["setarch", "-R", program], env=env, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT,
                                 start_new_session=True)
        try:
            output = child.communicate(timeout=DEADLINE_S)[0].decode("utf-8", "replace")
            return child.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return None, child.communicate()[0].decode("utf-8", "replace")
        finally:
            try:
                os.killpg(child.pid, signal.SIGKILL)  # and whom it started
            except ProcessLookupError:
                pass
            child.wait()

    def ways(self, program):
        """The numbers of the allocations that came by a way of their own."""
        with tempfile.NamedTemporaryFile(prefix="stint-fault-") as f:
            self.run(program, _PATHS=f.name, _DEPTH=self.depth)
            return [int(line) for line in f.read().split()]


def verdict(status, output):
    """(word, is it as it should be)"""
    if "fault: ALLOC" not in output:
        return "not reached", True
    if status is None:
        return "hung", False
    ended = 'msg="out of memory"' in output
    if status == -signal.SIGABRT:
        return ("end", True) if ended else ("ended without a word", False)
    if REPORT.search(output):
        return "reported", False
    if status < 0:
        return f"crashed with {signal.Signals(-status).name}", False
    return ("tell", True) if ended else ("did without", False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/dev")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--depth", type=int, default=24)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=2 * os.cpu_count())  # some tests wait more than they work
   
    parser.add_argument("--n", type=int)
    options = parser.parse_args()
    runner = Runner(os.path.abspath(options.build), options.depth)
    found = programs(os.path.abspath(options.build), options.only)
    if options.n:
        status, output = runner.run(found[0], **{"": f"alloc:refused:{options.n}", "_TRACE": 1})
        print(output, status, verdict(status, output))
        return 0
    until = time.monotonic() + options.seconds
    dice = random.Random(options.seed)
    dice.shuffle(found)
    print(f"{len(found)} programs, seed {options.seed}", flush=True)
    words, failed = collections.Counter(), 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for program, n, word, is_good, output in attempts(pool, runner, found, dice, until):
            words[word] += 1
            failed += not is_good
            if not is_good:
                print(f"FAIL  {os.path.basename(program)} --n {n}: {word}\n{output[-1500:]}", flush=True)
    print(", ".join(f"{n} {word}" for word, n in words.most_common()))
    print(f"{sum(words.values()) - failed} passed, {failed} failed")
    return 1 if failed else 0


def attempts(pool, runner, found, dice, until):
    """All ways of all programs; of a sample, SAMPLE ways of one program after the other."""
    is_sample = until < float("inf")
    seeds = {program: dice.random() for program in found}

    def attempt_some(program):
        if time.monotonic() > until:
            return
        ways = runner.ways(program)
        if is_sample:
            ways = random.Random(seeds[program]).sample(ways, min(SAMPLE, len(ways)))
        for n in ways:
            if time.monotonic() > until:
                return
            status, output = runner.run(program, **{"": f"alloc:refused:{n}"})
            yield program, n, *verdict(status, output), output

    for some in pool.map(lambda p: list(attempt_some(p)), found):
        yield from some


if __name__ == "__main__":
    sys.exit(main())
