# SPDX-License-Identifier: Apache-2.0
"""Sandboxes as the kernel sees them.

A process belongs to a workspace when its mount namespace has a piece of the workspace's directory
mounted; that is read from /proc, so nothing that a daemon or a table claims is believed.
"""

import os
import re
import signal

_OWN_NAMESPACE = os.readlink("/proc/self/ns/mnt")


def _mounted_workspace(pid, marker):
    """Id of the workspace that the process has mounted, or None."""
    with open(f"/proc/{pid}/mountinfo") as f:
        for line in f:
            fields = line.split(" ", 5)
            at = fields[3].find(marker)
            if at >= 0:
                return fields[3][at + len(marker):].split("/", 1)[0]
    return None


def processes(marker):
    """{workspace id: [pids]} of every living process in a sandbox below `marker`."""
    found, namespaces = {}, {_OWN_NAMESPACE: None}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            namespace = os.readlink(f"/proc/{name}/ns/mnt")
            if namespace not in namespaces:
                namespaces[namespace] = _mounted_workspace(name, marker)
        except (OSError, IndexError):
            continue
        if namespaces[namespace] and not is_dead(int(name)):
            found.setdefault(namespaces[namespace], []).append(int(name))
    return found


def at_once(marker):
    """Of processes(), the workspaces that were alive at one and the same moment: its end.  On a busy
    machine a look takes long enough for one to end and another one to begin in it."""
    found = processes(marker)
    return {workspace: pids for workspace, pids in found.items() if not all(is_dead(p) for p in pids)}


def status(pid):
    """/proc/<pid>/status as a dict of strings; empty when there is no such process."""
    try:
        with open(f"/proc/{pid}/status") as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    except OSError:
        return {}


def is_dead(pid):
    return status(pid).get("State", "Z")[0] in "ZX"


def is_first(pid):
    """It is pid 1 of its own namespace: the agent."""
    return re.split(r"\s+", status(pid).get("NSpid", "").strip())[-1] == "1"


def is_inside(pid):
    """It lives in a pid namespace of its own, unlike bubblewrap's watching process."""
    return len(status(pid).get("NSpid", "").split()) > 1


def agent_pid(pids):
    return next((p for p in pids if is_first(p)), None)


def kill_all(marker):
    """Leave none of them alive."""
    for _ in range(5):
        alive = [p for pids in processes(marker).values() for p in pids]
        if not alive:
            return
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
