# SPDX-License-Identifier: Apache-2.0
"""An agent for tests: a box to type into, and answers that are known beforehand.

It reads its terminal as agent programs do, key by key: pastes in brackets, backspace, Enter.

    say TEXT        answers TEXT          slow N     N lines, one each 100 ms
    twice           draws over itself     long N     N lines at once
    wide            wide characters       alt        shows something on the other screen first
    exit N          ends with status N    nothing    answers nothing
    env NAME        an environment variable
anything else is answered by "heard: …".
"""

import os
import re
import signal
import sys
import threading
import tty

RULE = "─" * 30
PASTE = ("\x1b[200~", "\x1b[201~")
wait = threading.Event().wait


def put(text):
    sys.stdout.write(text.replace("\n", "\r\n"))
    sys.stdout.flush()


class Box:
    """Where people type; what is above it stays."""

    def __init__(self):
        self.text = ""

    def draw(self):
        put(f"{RULE}\n> {self.text}\x1b7\n{RULE}\x1b8")

    def erase(self):
        put("\r" + "\x1b[A" * (1 + self.text.count("\n")) + "\x1b[J")

    def redraw(self, text):
        self.erase()
        self.text = text
        put(f"{RULE}\n> " + text.replace("\n", "\n  ") + f"\x1b7\n{RULE}\x1b8")


def answer(words):
    verb, _, rest = words.partition(" ")
    if verb == "say":
        put(rest + "\n")
    elif verb == "slow":
        for i in range(int(rest)):
            put(f"line {i}\n")
            wait(0.1)
    elif verb == "twice":
        put("working 50%")
        wait(0.3)
        put("\r\x1b[Kdone 100%\n")
    elif verb == "long":
        put("".join(f"row {i} of many\n" for i in range(int(rest))))
    elif verb == "wide":
        put("你好 世界 – ünïcödé\n")
    elif verb == "alt":
        put("\x1b[?1049h\x1b[Hon the other screen")
        wait(0.5)
        put("\x1b[?1049lback again\n")
    elif verb == "exit":
        put("bye\n")
        os._exit(int(rest))
    elif verb == "env":
        put(f"{rest}={os.environ.get(rest)}\n")
    elif verb != "nothing":
        put(f"heard: {words}\n")


def keys():
    """Characters and pastes, as they come."""
    pending = ""
    while True:
        data = os.read(0, 65536)
        if not data:
            return
        pending += data.decode("utf-8", "replace")
        while pending:
            if pending.startswith(PASTE[0]):
                end = pending.find(PASTE[1])
                if end < 0:
                    break
                yield pending[len(PASTE[0]):end]
                pending = pending[end + len(PASTE[1]):]
            elif PASTE[0].startswith(pending):
                break
            else:
                yield pending[0]
                pending = pending[1:]


def main():
    if "--deaf-to-term" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    tty.setraw(0)
    if "--mute" in sys.argv:  # shows a box and never anything more
        put(f"Welcome\n{RULE}\n> \n{RULE}")
        for _ in keys():
            pass
        return
    if "--late" in sys.argv:  # takes a moment to be ready
        put("loading\n")
        wait(1.0)
    put("\x1b[?2004hWelcome\n")
    box = Box()
    box.draw()
    for key in keys():
        if key == "\r":
            words = box.text.strip()
            box.erase()
            box.text = ""
            if words:
                put("> " + words.replace("\n", "\n  ") + "\n")
                answer(words)
            box.draw()
        elif key in ("\x7f", "\b"):
            box.redraw(box.text[:-1])
        elif key == "\x03":
            box.erase()
            put("interrupted\n")
            box.text = ""
            box.draw()
        else:
            box.redraw(box.text + re.sub(r"[\x00-\x09\x0b-\x1f]", "", key))


if __name__ == "__main__":
    main()
