# SPDX-License-Identifier: Apache-2.0
"""One process of ours: started, stopped, killed, frozen and read by its own pid.

It dies with the test run whatever happens (parent-death signal), and everything that it writes goes
to one log file, which a failing test shows.
"""

import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import urllib.request

from .wait import wait_until

SANITIZER = re.compile(
    r"ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer"
    r"|AddressSanitizer:DEADLYSIGNAL|runtime error: ")


def as_user(user):
    """setpriv's flags that run a command as `user` when we are root."""
    if user is None or os.getuid() != 0:
        return []
    return [f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--init-groups"]


class Process:
    def __init__(self, name, argv, log_path, env=None, user=None, stop_signal=signal.SIGTERM):
        self.name = name
        self.argv = [str(a) for a in argv]
        self.log_path = log_path
        self.env = env
        self.user = user
        self.stop_signal = stop_signal
        self.popen = None
        self.log_start = 0
        self.unclean = []  # exits that were not asked for, or not clean

    def __repr__(self):
        return f"<{self.name} pid={self.pid}>"

    @property
    def pid(self):
        return self.popen.pid if self.popen else None

    def is_running(self):
        return self.popen is not None and self.popen.poll() is None

    def start(self):
        assert not self.is_running(), f"{self.name} runs already"
        self.log_start = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *as_user(self.user), "--", *self.argv],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, cwd="/",
                start_new_session=True)
        return self

    def signal(self, number):
        self.popen.send_signal(number)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """kill -9, and wait until it is gone."""
        assert self.is_running(), f"{self.name} was gone before it was killed: {self.popen}"
        self.popen.kill()
        self.wait_exit()

    def stop(self, deadline=20):
        """Ask it to stop and give its exit status; a daemon stops cleanly with 0."""
        if self.popen is None:
            return None
        if self.popen.poll() is not None:
            code = self.wait_exit()
            self.unclean.append(f"{self.name} ended by itself with {code}")
            return code
        self.signal(self.stop_signal)
        try:
            code = self.popen.wait(deadline)
        except subprocess.TimeoutExpired:
            self.unclean.append(f"{self.name} did not stop within {deadline} s of being asked; "
                                f"its threads wait in {self._stacks()}")
            return self._abort()
        self.popen = None
        if code != 0:
            self.unclean.append(f"{self.name} ended with {code} when asked to stop")
        return code

    def _stacks(self):
        """Where each thread is: by the debugger where there is one, else what the kernel says."""
        if shutil.which("gdb"):
            done = subprocess.run(["gdb", "-p", str(self.pid), "-batch", "-ex", "thread apply all bt 20"],
                                  capture_output=True, text=True, timeout=60)
            return done.stdout[-4000:]  # the first thread comes last
        waits = []
        for path in glob.glob(f"/proc/{self.pid}/task/*/wchan"):
            with open(path) as f:
                waits.append(f.read())
        return waits

    def _abort(self):
        """End one that hangs; a sanitizer's runtime prints the stack of where."""
        self.signal(signal.SIGABRT)
        try:
            return self.wait_exit(5)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.wait_exit()

    def restart(self):
        self.stop()
        return self.start()

    def wait_exit(self, deadline=20):
        """The status with which it ended by itself, as the test expected it to."""
        code = self.popen.wait(deadline)
        self.popen = None
        return code

    # ---- its log

    def log(self, whole=False):
        """What it wrote since its last start (or ever)."""
        try:
            with open(self.log_path, "rb") as f:
                f.seek(0 if whole else self.log_start)
                return f.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def wait_log(self, pattern, deadline=15):
        """The match of `pattern` in the log since the last start."""

        def look():
            found = re.search(pattern, self.log())
            if not found and not self.is_running():
                raise AssertionError(
                    f"{self.name} ended with {self.popen.poll()} before it said /{pattern}/:\n"
                    + self.log()[-3000:])
            return found

        return wait_until(look, f"/{pattern}/ in the log of {self.name}", deadline,
                          say=lambda: self.log()[-3000:])

    def metric(self, name):
        """A number of its /metrics."""
        url = self.wait_log(r'\badmin="?(http://[^\s"]+)').group(1)
        with urllib.request.urlopen(url.rstrip("/") + "/metrics", timeout=60) as answer:
            text = answer.read().decode()
        return float(re.search(rf"^{name} (\S+)$", text, re.M).group(1))

    def sanitizer_reports(self):
        text = self.log(whole=True)
        found = SANITIZER.search(text)
        return [f"{self.name}:\n{text[found.start():][:6000]}"] if found else []
