#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An agent program for a terminal, as the tests need one: it runs inside the sandbox.

Shows "> ", takes a line (typed or pasted) and answers by the first word in it:

    wait NAME            keeps its screen moving until ~/NAME is there
    report STATE TEXT    reports to the control plane, and says whether that was taken
    move SECONDS         keeps its screen moving for a while, after it has shown "> " again
    crash                ends with status 3, after a second
    anything else        "you said: ..."

~/heard has one line (JSON) for each message that it took, ~/starts one for each start.  Both are on
disk before anything is shown.
"""

import json
import os
import re
import select
import subprocess
import sys
import termios
import time
import tty

HOME = os.environ["HOME"]
PASTE = re.compile(rb"\x1b\[20[01]~")


def note(name, text):
    with open(os.path.join(HOME, name), "a") as f:
        f.write(text + "\n")
        f.flush()
        os.fsync(f.fileno())


def count(name):
    try:
        with open(os.path.join(HOME, name)) as f:
            return len(f.readlines())
    except FileNotFoundError:
        return 0


def show(text):
    os.write(1, text.replace("\n", "\r\n").encode())


def spin_until(is_over):
    n = 0
    while not is_over():
        show("\r" + "|/-\\"[n % 4] + f" {n}")
        n += 1
        select.select([], [], [], 0.1)
    show("\r          \r")


def spin_for(seconds):
    until = time.monotonic() + seconds
    spin_until(lambda: time.monotonic() > until)


class Typed:
    """What has been typed on the line so far; gives whole lines."""

    def __init__(self):
        self.line, self.pasting = b"", False

    def feed(self, data):
        """Yield each finished line.  Pasted line breaks are part of the line."""
        for piece in re.split(rb"(\x1b\[20[01]~|\x1b\[[0-9;]*[A-Za-z])", data):
            if PASTE.fullmatch(piece):
                self.pasting = piece == b"\x1b[200~"
            elif not piece.startswith(b"\x1b"):
                yield from self._plain(piece)

    def _plain(self, piece):
        for i in range(len(piece)):
            byte = piece[i:i + 1]
            if byte in b"\r\n" and not self.pasting:
                line, self.line = self.line.decode("utf-8", "replace"), b""
                yield line
            elif byte in b"\b\x7f":
                if self.line:
                    self.line = self.line[:-1]
                    show("\b \b")
            elif byte == b"\x03":
                sys.exit(130)
            else:
                self.line += byte
                os.write(1, b"\r\n" if byte in b"\r\n" else byte)


def report(state, text):
    done = subprocess.run(["/opt/stint/bin/stint-agent", "report", "--state", state, "--message", text],
                          capture_output=True, text=True)
    return "reported" if done.returncode == 0 else f"refused: {done.stderr.strip()}"


def answer(message):
    word, _, rest = message.strip().partition(" ")
    if word == "wait":
        show(f"waiting for {rest}\n")
        spin_until(lambda: os.path.exists(os.path.join(HOME, rest)))
        return f"went on after {rest}"
    if word == "report":
        return report(*rest.split(" ", 1))
    if word == "crash":
        show("crashing\n")
        spin_for(1)
        sys.exit(3)
    return f"you said: {message}"


def take(message):
    note("heard", json.dumps(message))
    show("\n")
    show(answer(message) + "\n> ")
    word, _, rest = message.partition(" ")
    if word == "move":
        spin_for(float(rest))


def main():
    note("starts", "start")
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        show("\x1b[?2004h" + f"Chat, start {count('starts')}, after {count('heard')} messages.\n> ")
        typed = Typed()
        while data := os.read(0, 4096):
            for line in typed.feed(data):
                if line.strip():
                    take(line)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


main()
