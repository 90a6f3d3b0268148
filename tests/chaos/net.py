# SPDX-License-Identifier: Apache-2.0
"""A network of our own: one network namespace per node, a bridge between them, and its ills.

    net = Net(["pg", "redis", "s0", ...])
    net.address["pg"], net.enter("pg") + ["postgres", ...]
    ill = net.cut([("s0", "pg")])        # s0's packets no longer reach pg
    net.heal(ill)

Works inside a network namespace of the suite itself (tests/chaos/run makes it), so nothing of the
machine is touched, and all of it is gone with the suite's last process.  Without the rights for
that every node is an address of the loopback, and the network cannot be broken.

Packets are dropped where they arrive, in silence, by nft; where there is no nft, by a blackhole
route where they leave.  Loss is nft's as well.  A slow link is netem's delay, or a narrow pipe
where the kernel has no netem.
"""

import os
import shutil
import subprocess

from lib.wait import wait_until

PREFIX = "10.77.0"
US = "clients"  # the suite's own end of the bridge


def run(argv, text=None, check=True):
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=30)
    assert not check or done.returncode == 0, f"{' '.join(argv)}: {done.stderr.strip()}"
    return done.returncode == 0


def works(argv):
    """The command is there and says yes."""
    return shutil.which(argv[0]) is not None and run(argv, check=False)


class Loopback:
    """No namespaces: addresses of 127/8 that nobody else is likely to use."""

    can_cut = can_lose = can_slow = False

    def __init__(self, nodes, octets):
        self.address = {node: f"127.{octets[0]}.{octets[1]}.{i}" for i, node in enumerate([US, *nodes], 1)}

    def enter(self, _):
        return []

    def describe(self):
        return "loopback only: the network part is SKIPPED (it needs root and the right to make namespaces)"


class Net:
    def __init__(self, nodes):
        self.nodes = [US, *nodes]
        self.address = {node: f"{PREFIX}.{i}" for i, node in enumerate(self.nodes, 1)}
        self.holders = {}  # a process per namespace keeps it alive
        self.ills = []
        run(["ip", "link", "set", "lo", "up"])
        run(["ip", "link", "add", "br0", "type", "bridge"])
        run(["ip", "addr", "add", f"{self.address[US]}/24", "dev", "br0"])
        run(["ip", "link", "set", "br0", "up"])
        for node in nodes:
            self._plug(node)
        self.has_nft = works([*self.enter(nodes[0]), "nft", "list", "ruleset"])
        self.can_cut, self.can_lose = True, self.has_nft
        for node in self.nodes if self.has_nft else []:
            run([*self.enter(node), "nft", "-f", "-"],
                "add table inet chaos\nadd chain inet chaos in { type filter hook input priority 0; }\n")
        first = self.enter(nodes[0])
        self.slow = next((way for way in (["netem", "delay", "150ms", "50ms"],
                                          ["tbf", "rate", "256kbit", "burst", "4kb", "latency", "400ms"])
                          if run([*first, "tc", "qdisc", "add", "dev", "eth0", "root", *way], check=False)), None)
        self.can_slow = self.slow is not None
        if self.can_slow:
            run([*first, "tc", "qdisc", "del", "dev", "eth0", "root"])

    def _plug(self, node):
        holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"])
        self.holders[node] = holder
        own = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != own, f"the namespace of {node} is there", 30)
        run(["ip", "link", "add", f"v-{node}", "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid)])
        run(["ip", "link", "set", f"v-{node}", "master", "br0", "up"])
        for command in (["link", "set", "lo", "up"], ["addr", "add", f"{self.address[node]}/24", "dev", "eth0"],
                        ["link", "set", "eth0", "up"]):
            run([*self.enter(node), "ip", *command])

    def enter(self, node):
        """What to write before a command that is to run at `node`."""
        return ["nsenter", f"--net=/proc/{self.holders[node].pid}/ns/net", "--"] if node in self.holders else []

    def describe(self):
        return (f"{len(self.nodes)} network namespaces; cut by {'nft' if self.has_nft else 'blackhole routes'}, "
                f"loss {'by nft' if self.can_lose else 'SKIPPED (no nft)'}, "
                f"slow links {'by ' + self.slow[0] if self.can_slow else 'SKIPPED (neither netem nor tbf)'}")

    # ---- ills

    def cut(self, pairs):
        """Packets of each (from, to) get lost."""
        return self._begin([("drop", source, to) for source, to in pairs])

    def lose(self, pairs, percent):
        return self._begin([(f"numgen random mod 100 < {percent} drop", source, to) for source, to in pairs])

    def heal(self, ill):
        self.ills.remove(ill)
        self._show({to for _, _, to in ill} | {source for _, source, _ in ill})

    def _begin(self, ill):
        self.ills.append(ill)
        self._show({to for _, _, to in ill} | {source for _, source, _ in ill})
        return ill

    def _show(self, nodes):
        """Make the kernel's rules those of the ills there are; several may overlap."""
        for node in sorted(nodes):
            if self.has_nft:
                rules = {f"add rule inet chaos in ip saddr {self.address[source]} {what}\n"
                         for ill in self.ills for what, source, to in ill if to == node}
                run([*self.enter(node), "nft", "-f", "-"], "flush chain inet chaos in\n" + "".join(sorted(rules)))
            else:
                run([*self.enter(node), "ip", "route", "flush", "type", "blackhole"], check=False)
                for to in {to for ill in self.ills for _, source, to in ill if source == node}:
                    run([*self.enter(node), "ip", "route", "add", "blackhole", self.address[to]])

    def slow_down(self, node):
        run([*self.enter(node), "tc", "qdisc", "replace", "dev", "eth0", "root", *self.slow])

    def speed_up(self, node):
        run([*self.enter(node), "tc", "qdisc", "del", "dev", "eth0", "root"])
