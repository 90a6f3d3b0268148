# SPDX-License-Identifier: Apache-2.0
"""The tester's side of fault.h: one daemon's board, where its counts are read and faults are armed."""

import mmap
import os
import re
import signal
import struct

HERE = os.path.dirname(os.path.abspath(__file__))


def _rows(word):
    with open(os.path.join(HERE, "fault.def")) as f:
        return re.findall(rf"^{word}\((\w+), (?:(\w+), )?\"", f.read(), re.M)


POINTS = [symbol for symbol, _ in _rows("POINT")]
WAYS = _rows("WAY")  # [(point, way)]
NUMBERS = {"REFUSED": 1, "ENDED": 2, "UNANSWERED": 3}  # enum fault_way


class Board:
    """Of one daemon of a cluster, which must not run yet."""

    def __init__(self, cluster, process):
        self.process = process
        path = os.path.join(cluster.directory, f"{process.name}.board")
        with open(path, "wb") as f:
            f.write(bytes(8 * (len(POINTS) + 4)))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 0)
        process.env |= {
            "LD_PRELOAD": os.path.join(cluster.session.build.directory, "tests/fault/libstint-fault.so"),
            "STINT_FAULT_PROGRAM": os.path.basename(process.argv[0]),
            "STINT_FAULT_BOARD": path,
            # Our allocator stands before the sanitizer's, and SIGABRT is how we end without memory.
            "ASAN_OPTIONS": process.env["ASAN_OPTIONS"] + ":verify_asan_link_order=0:handle_abort=0",
        }
        self.ended = 0  # times that it ended as it should

    def _word(self, i):
        return struct.unpack_from("<Q", self.map, 8 * i)[0]

    def _set(self, i, value):
        struct.pack_into("<Q", self.map, 8 * i, value)

    @property
    def counts(self):
        return {point: self._word(i) for i, point in enumerate(POINTS)}

    @property
    def fired(self):
        return self._word(len(POINTS) + 3)

    def arm(self, point, way, n, from_start=False):
        """The n-th from now on, or from its start; it counts anew with each."""
        if from_start:
            for i in range(len(POINTS)):
                self._set(i, 0)
        now = 0 if from_start else self.counts[point]
        self._set(len(POINTS) + 3, 0)
        self._set(len(POINTS), POINTS.index(point))
        self._set(len(POINTS) + 1, NUMBERS[way])
        self._set(len(POINTS) + 2, now + n)

    def disarm(self):
        self._set(len(POINTS) + 2, 0)

    def look_after(self):
        """What an operator's supervisor does: a daemon that ended for want of memory starts again."""
        if self.process.is_running() or self.process.popen is None:
            return
        code = self.process.wait_exit()
        log = self.process.log()
        assert code == -signal.SIGABRT and 'msg="out of memory"' in log, (
            f"{self.process.name} ended with {code}:\n{log[-3000:]}")
        self.ended += 1
        self.disarm()
        self.process.start()
