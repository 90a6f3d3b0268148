# SPDX-License-Identifier: Apache-2.0
"""The faults, one row each, and the injector that deals them out by a seeded dice.

A fault is a generator: what stands before its `yield` breaks something, what stands behind it makes
it whole again.  Between the two the injector lets it last for a while, drawn from `seconds`.
Faults may overlap; a node is broken by one at a time (`take`).
"""

import os
import threading
import time
from collections import namedtuple

import psycopg2
import redis

from lib.wait import wait_until
from net import US

Fault = namedtuple("Fault", "name needs seconds begin")
FAULTS = []

SCHEDULERS, WORKERS, GATEWAYS = ["s0", "s1", "s2"], ["w0", "w1", "w2"], ["g0", "g1"]
DAEMONS = SCHEDULERS + WORKERS + GATEWAYS


def fault(name, needs="", seconds=(0.5, 5)):
    """needs: what the stage must be able to do: cut, lose, slow, disks, faketime."""
    def add(function):
        FAULTS.append(Fault(name, needs, seconds, function))
        return function
    return add


# ---------------------------------------------------------------- processes

def killed(at, node):
    at.take(node)
    at.stage.down(node)
    yield node
    at.stage.up(node)


@fault("kill -9 the leader")
def kill_leader(at):
    yield from killed(at, at.leader())


@fault("kill -9 a scheduler")
def kill_scheduler(at):
    yield from killed(at, at.draw(SCHEDULERS))


@fault("kill -9 a worker", seconds=(0.5, 8))
def kill_worker(at):
    yield from killed(at, at.draw(WORKERS))


@fault("kill -9 a gateway")
def kill_gateway(at):
    yield from killed(at, at.draw(GATEWAYS))


@fault("SIGTERM a daemon")
def terminate(at):
    node = at.draw(DAEMONS)
    at.take(node)
    at.stage.stop(node)
    yield node
    at.stage.up(node)


def frozen(at, node):
    at.take(node)
    process = at.stage.processes[node]
    process.freeze()
    yield node
    process.thaw()


@fault("SIGSTOP the leader", seconds=(1, 8))
def freeze_leader(at):
    yield from frozen(at, at.leader())


@fault("SIGSTOP a worker", seconds=(1, 8))
def freeze_worker(at):
    yield from frozen(at, at.draw(WORKERS))


@fault("SIGSTOP a gateway")
def freeze_gateway(at):
    yield from frozen(at, at.draw(GATEWAYS))


@fault("SIGSTOP Redis", seconds=(1, 6))
def freeze_redis(at):
    yield from frozen(at, "redis")


# ---------------------------------------------------------------- Redis

@fault("kill -9 Redis, restart with its data")
def restart_redis(at):
    at.take("redis")
    at.stage.down("redis")
    yield "redis"
    at.stage.start_redis()


@fault("kill -9 Redis, restart without its data")
def empty_redis(at):
    at.take("redis")
    at.stage.down("redis")
    yield "redis"
    for directory, _, names in os.walk(at.stage.redis_dir):
        for name in names:
            os.unlink(os.path.join(directory, name))
    at.stage.start_redis()


@fault("FLUSHALL", seconds=(0, 0))
def flush(at):
    at.take("redis")
    try:
        at.stage.redis.flushall()
    except redis.exceptions.RedisError:
        pass  # it is in trouble already
    yield "redis"


# ---------------------------------------------------------------- Postgres

@fault("Postgres restart, immediate")
def kill_postgres(at):
    at.take("pg")
    at.stage.wanted.discard("pg")
    at.stage.postgres.kill()
    yield "pg"
    at.stage.start_postgres()


@fault("Postgres restart, fast")
def stop_postgres(at):
    at.take("pg")
    at.stage.wanted.discard("pg")
    at.stage.postgres.stop()
    yield "pg"
    at.stage.start_postgres()


@fault("pg_terminate_backend storm", seconds=(1, 4))
def terminate_backends(at):
    at.take("pg")

    def storm():
        at.stage.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'daemon'")

    yield from while_it_lasts(storm, 0.2, "pg")


def while_it_lasts(do, every, node):
    """Again and again on a thread, until the fault is over."""
    end = threading.Event()

    def run():
        while not end.wait(every):
            do()

    do()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield node
    end.set()
    thread.join()


def idle_connections(at, most):
    """Sessions that do nothing; fewer than `most` when there are no more to be had."""
    held = []
    for _ in range(most):
        try:
            held.append(psycopg2.connect(host=at.stage.postgres.directory, dbname="chaos", user="daemon"))
        except psycopg2.OperationalError:
            break
    return held


@fault("300 idle connections", seconds=(1, 5))
def crowd(at):
    at.take("pg")
    held = idle_connections(at, 300)
    yield f"pg, {len(held)} sessions"
    for connection in held:
        connection.close()


@fault("connection exhaustion", seconds=(1, 5))
def exhaust(at):
    """All connections that there are, while the daemons have to connect anew."""
    at.take("pg")
    held = idle_connections(at, 400)
    at.stage.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'daemon' "
                 "AND application_name LIKE 'stint%%'")
    held += idle_connections(at, 400)
    yield f"pg, {len(held)} sessions"
    for connection in held:
        connection.close()


# ---------------------------------------------------------------- the network

def cut(at, pairs, what):
    ill = at.stage.net.cut(pairs)
    yield what
    at.stage.net.heal(ill)


@fault("partition of two nodes, one way", "cut", (1, 8))
def cut_one_way(at):
    one, two = at.dice.sample(at.nodes, 2)
    yield from cut(at, [(one, two)], f"{one} > {two}")


@fault("partition of two nodes", "cut", (1, 8))
def cut_both_ways(at):
    one, two = at.dice.sample(at.nodes, 2)
    yield from cut(at, [(one, two), (two, one)], f"{one} | {two}")


@fault("the leader loses Postgres", "cut", (1, 8))
def cut_leader(at):
    leader = at.leader()
    yield from cut(at, [(leader, "pg"), ("pg", leader)], f"{leader} | pg")


@fault("a node is cut off", "cut", (1, 8))
def isolate(at):
    node = at.dice.choice(at.nodes)
    yield from cut(at, all_of(at, node), f"{node} | all")


def all_of(at, node):
    return [pair for other in [*at.nodes, US] if other != node for pair in ((node, other), (other, node))]


@fault("nodes are cut off one by one, and come back in another order", "cut", (1, 4))
def swizzle(at):
    nodes = at.dice.sample(at.nodes, 3)
    ills = []
    for node in nodes:
        ills.append(at.stage.net.cut(all_of(at, node)))
        at.wait(0.4)
    yield ", ".join(nodes)
    at.dice.shuffle(ills)
    for ill in ills:
        at.stage.net.heal(ill)
        at.wait(0.4)


@fault("packets get lost", "lose", (2, 8))
def lose(at):
    one, two = at.dice.sample(at.nodes, 2)
    percent = at.dice.choice([5, 20, 50])
    ill = at.stage.net.lose([(one, two), (two, one)], percent)
    yield f"{one} - {two}, {percent} %"
    at.stage.net.heal(ill)


@fault("a slow link", "slow", (2, 8))
def slow(at):
    node = at.dice.choice(at.nodes)
    at.take("link of " + node)
    at.stage.net.slow_down(node)
    yield node
    at.stage.net.speed_up(node)


# ---------------------------------------------------------------- clocks and disks

@fault("a wall clock jumps by an hour", "faketime", (1, 6))
def jump(at):
    node, offset = at.dice.choice(DAEMONS), at.dice.choice(["+3600", "-3600"])
    at.take("clock of " + node)
    at.stage.faketime.jump(node, offset)
    yield f"{node} {offset} s"
    at.stage.faketime.jump(node, "+0")


def full(at, disk):
    at.take("disk " + disk)
    path = os.path.join(at.stage.disks[disk], "filler")
    size = at.stage.free(disk)
    with open(path, "wb") as f:
        for piece in (1 << 20, 4096):
            try:
                while True:
                    os.write(f.fileno(), bytes(piece))
            except OSError:
                pass
    yield f"{disk}, {size >> 20} MiB were left"
    os.unlink(path)


@fault("a worker's disk is full", "disks", (1, 6))
def full_worker(at):
    yield from full(at, at.dice.choice("ab"))


@fault("Redis' disk is full", "disks", (1, 6))
def full_redis(at):
    yield from full(at, "redis")


# ---------------------------------------------------------------- the injector

class Busy(Exception):
    """The node is broken already."""


class Injector(threading.Thread):
    """Deals the faults out like cards, so that each comes equally often; see Fault."""

    def __init__(self, world, number, deck, dice, scale=1.0, rest=(0.5, 3.0), once=False):
        super().__init__(name=f"injector{number}", daemon=True)
        self.world, self.stage, self.dice = world, world.stage, dice
        self.nodes = [n for n in self.stage.processes]
        self.deck, self.scale, self.rest, self.once = deck, scale, rest, once
        self.end = threading.Event()
        self.taken = []

    # ---- what faults ask of it

    def take(self, node):
        with self.world.taken_lock:
            if node in self.world.taken:
                raise Busy(node)
            self.world.taken.add(node)
        self.taken.append(node)

    def draw(self, nodes):
        free = [n for n in nodes if n not in self.world.taken]
        if not free:
            raise Busy("all")
        return self.dice.choice(free)

    def leader(self):
        leader = self.stage.leader()
        if leader is None:
            raise Busy("no leader")
        return leader

    def wait(self, seconds):
        self.end.wait(seconds)

    # ---- its life

    def run(self):
        cards = []
        try:
            while not self.end.is_set():
                if not cards:
                    if self.once and self.world.dealt:
                        return
                    self.world.dealt = True
                    cards = list(self.deck)
                    self.dice.shuffle(cards)
                card = cards.pop()
                if not self.strike(card):
                    self.wait(0.2)
                    if not self.once or len(cards) > 0:
                        cards.insert(0, card)  # later
                    continue
                self.wait(self.dice.uniform(*self.rest))
        except Exception as error:
            self.world.judge.violation("the suite itself", f"{self.name}: {error!r}")
            raise

    def strike(self, card):
        """One fault from its beginning to its end; False when what it wants is broken already."""
        fault = card.begin(self)
        begin = time.monotonic()
        try:
            what = next(fault)
        except Busy:
            self._give_back()
            return False
        self.world.say(f"{card.name}: {what}")
        self.wait(self.scale * self.dice.uniform(*card.seconds))
        next(fault, None)
        self._give_back()
        self.world.struck.append((card.name, what, begin, time.monotonic()))
        return True

    def _give_back(self):
        with self.world.taken_lock:
            self.world.taken.difference_update(self.taken)
        self.taken = []


def able(stage):
    """The faults that can be done here, and the names of those that cannot."""
    can = {"": True, "cut": stage.net.can_cut, "lose": stage.net.can_lose, "slow": stage.net.can_slow,
           "disks": all(stage.disks.values()), "faketime": stage.faketime is not None}
    return [f for f in FAULTS if can[f.needs]], [f.name for f in FAULTS if not can[f.needs]]


__all__ = ["FAULTS", "Injector", "able", "wait_until"]
