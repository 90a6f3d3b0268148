# SPDX-License-Identifier: Apache-2.0
"""The cluster that is tormented: real processes, each at its own node of a network of our own.

    pg   redis   s0 s1 s2 (schedulers)   w0 w1 w2 (workers)   g0 g1 (gateways)

w0 and w1 are workers of one host, w2 is the only one of another: what w2's host keeps waits for w2.
Each host's data directory is a small file system of its own, so is Redis', so that they can be
full.  Between nodes there is plain tcp only.
"""

import os
import shutil
import socket
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import redis

from lib import sandboxes
from lib.cluster import Build, environment, flags
from lib.fixtures import USERS, add_user
from lib.procs import Process, as_user
from lib.servers import Postgres
from lib.wait import wait_until
from net import US

NODES = ["pg", "redis", "s0", "s1", "s2", "w0", "w1", "w2", "g0", "g1"]
HOSTS = {"w0": "a", "w1": "a", "w2": "b"}
CAP = 5
MAX_CONNECTIONS = 340
DISK_MIB = {"a": 160, "b": 160, "redis": 48}
SETTINGS = {
    # Failed tries are what faults make; giving a job up for them is not the matter here.
    "s": {"cap": CAP, "lease": "3s", "attempts_max": 100, "retry": "250ms", "make_room_grace": "2s",
          "insecure_bus": "true"},
    "w": {"drain_timeout": "5s", "slots": 4},
    "g": {"rate_limits": "false", "port": 7080},
}


class TcpPostgres(Postgres):
    """For the daemons on tcp; for the suite, which must be able to see everything, on its socket."""

    def __init__(self, directory, address, network, enter):
        super().__init__(directory)
        with open(os.path.join(self.data, "pg_hba.conf"), "a") as f:
            f.write(f"host all all {network} trust\n")
        self.process.argv += ["-c", f"listen_addresses={address}", "-c", f"max_connections={MAX_CONNECTIONS}",
                              "-c", "superuser_reserved_connections=8"]
        # Root alone can enter a namespace, so the user is changed after that.
        self.process.argv = [*enter, "setpriv", *as_user(self.unix_user), "--", *self.process.argv]
        self.process.user = None
        self.address = address

    def tcp_url(self, database):
        return f"postgresql://daemon@{self.address}:5432/{database}"


class Stage:
    def __init__(self, directory, build, net, faketime=None):
        self.directory, self.net = directory, net
        self.build = Build(build)
        self.log_dir = os.path.join(directory, "log")
        os.makedirs(self.log_dir)
        self.marker = f"/{os.path.basename(directory)}/data/workspaces/"
        self.faketime = faketime
        self.disks = {}
        self.data_dirs = {host: self._disk(host) for host in ("a", "b")}
        self.redis_dir = self._disk("redis")
        network = net.address["pg"].rsplit(".", 1)[0] + ".0/24"
        self.postgres = TcpPostgres(os.path.join(directory, "pg"), net.address["pg"], network, net.enter("pg"))
        self.bus_urls = {s: f"tcp://{net.address[s]}:7083" for s in NODES if s[0] == "s"}
        self.redis_url = f"redis://{net.address['redis']}:6379"
        self.processes = {node: self._daemon(node) for node in NODES if node[0] in "swg"}
        self.processes["redis"] = self._redis()
        self.processes["pg"] = self.postgres.process
        self.redis = redis.Redis(unix_socket_path=os.path.join(self.redis_dir, "redis.sock"))
        self.tokens, self.user_ids = {}, {}
        self.wanted = set()  # who should be running: the nurse looks after them
        self.deaths = []     # who ended without being asked
        # A process dies with the thread that started it, so one thread starts them all.
        self.starter = ThreadPoolExecutor(1)

    # ---- what it is made of

    def _disk(self, name):
        """A directory that can be full without anybody else's disk being so."""
        top = os.path.join(self.directory, "disk-" + name)
        os.makedirs(top, mode=0o755)
        self.disks[name] = None
        if self.net.can_cut and subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB[name]}m,mode=755", "chaos", top]).returncode == 0:
            self.disks[name] = top
        data = os.path.join(top, os.path.basename(self.directory), "data")
        os.makedirs(data, mode=0o755)
        return data

    def _daemon(self, node):
        address, arguments, env = self.net.address[node], dict(SETTINGS[node[0]]), {"redis_url": self.redis_url}
        program = {"s": "stint-scheduler", "w": "stint-worker", "g": "stint-gateway"}[node[0]]
        if node[0] == "s":
            arguments |= {"listen": self.bus_urls[node]}
        elif node[0] == "w":
            arguments |= {"data_dir": self.data_dirs[HOSTS[node]], "host": "host-" + HOSTS[node], "name": node,
                          "agent_path": self.build.program("stint-agent")}
        else:
            arguments |= {"address": address}
        if node[0] in "wg":
            env["scheduler_url"] = ",".join(self.bus_urls.values())
        if node[0] in "sg":
            env["database_url"] = self.postgres.tcp_url("chaos")
        arguments["admin_address"] = f"{address}:7081"
        if node[0] == "g":
            del arguments["admin_address"]
        process = Process(node, [*self.net.enter(node), self.build.program(program), *flags(arguments)],
                          os.path.join(self.log_dir, node + ".log"), env=environment(**env))
        if self.faketime:
            process.env |= self.faketime.environment(node)
        return process

    def _redis(self):
        argv = ["redis-server", "--bind", self.net.address["redis"], "--port", "6379", "--protected-mode", "no",
                "--unixsocket", os.path.join(self.redis_dir, "redis.sock"), "--unixsocketperm", "700",
                "--dir", self.redis_dir, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
                "--auto-aof-rewrite-min-size", "4mb", "--daemonize", "no", "--logfile", ""]
        return Process("redis", [*self.net.enter("redis"), *argv], os.path.join(self.log_dir, "redis.log"),
                       env={"PATH": os.environ["PATH"]})

    # ---- starting and stopping

    def start(self):
        self.start_postgres()
        # The daemons are no superusers: the last connections are the operator's, and ours.
        self.postgres.execute("CREATE ROLE daemon LOGIN")
        self.postgres.execute("CREATE DATABASE chaos OWNER daemon")
        self.migrate()
        self.start_redis()
        for node in self.processes:
            if node[0] in "swg" and node != "pg":
                self.up(node)
        wait_until(self.leader, "a scheduler leads", 60, say=lambda: self.log_ends(2000))
        for node in ("g0", "g1"):
            wait_until(lambda n=node: self.answers(n), f"{node} answers", 60, say=lambda: self.log_ends(2000))

    def migrate(self):
        done = subprocess.run([self.build.program("stint-scheduler"), "migrate"],
                              env=environment(database_url=self.postgres.url("chaos").replace("stint@", "daemon@")),
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"migrate: {done.returncode}\n{done.stderr}"
        connection = self.postgres.connect("chaos")
        with connection.cursor() as cursor:
            for name, roles in USERS.items():
                self.tokens[name], self.user_ids[name] = add_user(cursor, name, roles)
        connection.close()

    def start_redis(self):
        sock = os.path.join(self.redis_dir, "redis.sock")
        if os.path.exists(sock):
            os.unlink(sock)
        self.up("redis")
        wait_until(self._redis_answers, "Redis answers", 60, say=self.processes["redis"].log)

    def _redis_answers(self):
        try:
            return self.redis.ping()
        except redis.exceptions.RedisError:
            return False

    def start_postgres(self):
        # Sessions that have not noticed their server's end yet may still hold its memory.
        def look():
            if not self.processes["pg"].is_running():
                self._start("pg")
            try:
                self.postgres.connect("postgres").close()
                return True
            except psycopg2.OperationalError:
                return False
        wait_until(look, "Postgres takes connections", 60, interval=0.1, say=self.processes["pg"].log)
        self.wanted.add("pg")

    def _start(self, node):
        self.starter.submit(self.processes[node].start).result()

    def up(self, node):
        self._start(node)
        self.wanted.add(node)

    def down(self, node):
        """kill -9."""
        self.wanted.discard(node)
        if self.processes[node].is_running():
            self.processes[node].kill()

    def stop(self, node):
        """In order, as an operator would."""
        self.wanted.discard(node)
        self.processes[node].stop(30)

    def look_after(self):
        """Start again who ended by itself, and remember it: that is a fault of ours."""
        for node in sorted(self.wanted):
            process = self.processes[node]
            if node in self.wanted and process.popen is not None and process.popen.poll() is not None:
                code = process.popen.returncode
                if node not in self.wanted:
                    continue
                self.deaths.append(f"{node} ended by itself with {code}:\n{process.log()[-2500:]}")
                process.popen = None
                self._start(node)

    def close(self):
        """Stop everything; gives what was not clean."""
        self.wanted.clear()
        for node in ("g0", "g1", "w0", "w1", "w2", "s0", "s1", "s2"):
            self.processes[node].stop(30)
        sandboxes.kill_all(self.marker)
        problems = [text for p in self.processes.values() for text in p.unclean + p.sanitizer_reports()]
        problems += self._agents_reports()
        for node in ("redis", "pg"):
            self.processes[node].stop()
        return problems + self.deaths

    def _agents_reports(self):
        found = []
        for data in self.data_dirs.values():
            root = os.path.join(data, "workspaces")
            for workspace in os.listdir(root) if os.path.isdir(root) else []:
                path = os.path.join(root, workspace, "sandbox.log")
                if os.path.isfile(path):
                    with open(path, errors="replace") as f:
                        text = f.read()
                    if "Sanitizer" in text:
                        found.append(f"{path}:\n{text[-4000:]}")
        return found

    # ---- looks

    def leader(self):
        """The node that says it leads; None between two."""
        for node in self.bus_urls:
            text = self.metrics(node)
            if text and "\nstint_scheduler_leading 1\n" in text:
                return node
        return None

    def metrics(self, node):
        try:
            with urllib.request.urlopen(f"http://{self.net.address[node]}:7081/metrics", timeout=1) as answer:
                return answer.read().decode()
        except (OSError, ValueError):
            return None

    def answers(self, gateway):
        try:
            with socket.create_connection((self.net.address[gateway], 7080), timeout=1):
                return True
        except OSError:
            return False

    def url(self, gateway):
        return f"http://{self.net.address[gateway]}:7080"

    def sql(self, statement, *arguments):
        """Rows, over the server's own socket; again until the server is back."""
        found = []

        def ask():
            try:
                connection = self.postgres.connect("chaos")
            except psycopg2.OperationalError:
                return False
            try:
                with connection.cursor() as cursor:
                    cursor.execute(statement, arguments or None)
                    found.append(cursor.fetchall() if cursor.description else [])
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                return False
            finally:
                connection.close()
            return True

        wait_until(ask, "Postgres answers", 60, interval=0.2)
        return found[0]

    def home(self, workspace_id):
        """The workspace's home on whichever host has it; None when there is none."""
        for data in self.data_dirs.values():
            path = os.path.join(data, "workspaces", workspace_id, "home")
            if os.path.isdir(path):
                return path
        return None

    def read_home(self, workspace_id, name):
        """Lines of a file of the home; [] when it is not there."""
        home = self.home(workspace_id)
        try:
            with open(os.path.join(home or "/nonexistent", name), errors="replace") as f:
                return f.read().splitlines()
        except OSError:
            return []

    def sandboxes(self):
        return sandboxes.at_once(self.marker)

    def log_ends(self, size):
        return "\n".join(f"--- {node}\n{process.log(whole=True)[-size:]}"
                         for node, process in self.processes.items())

    def keep(self, directory):
        """What a look at a failure needs: the tables, and what the sandboxes left beside their homes."""
        with open(os.path.join(directory, "tables.sql"), "w") as f:
            subprocess.run(["pg_dump", "--data-only", "--inserts", self.postgres.url("chaos")], stdout=f, timeout=60)
        for host, data in self.data_dirs.items():
            shutil.copytree(os.path.join(data, "workspaces"), os.path.join(directory, "workspaces-" + host),
                            dirs_exist_ok=True, symlinks=True, ignore_dangling_symlinks=True,
                            ignore=lambda at, names: [n for n in names if not os.path.isdir(os.path.join(at, n))
                                                      and not os.path.isfile(os.path.join(at, n))])

    def free(self, disk):
        """Bytes that are left on one of the small disks."""
        return shutil.disk_usage(self.disks[disk]).free


class Faketime:
    """Wall clocks that jump while their daemons run (libfaketime; monotonic clocks stay)."""

    def __init__(self, directory, library):
        self.directory, self.library = directory, library
        os.makedirs(directory)

    def _path(self, node):
        return os.path.join(self.directory, node)

    def environment(self, node):
        self.jump(node, "+0")
        return {"LD_PRELOAD": self.library, "FAKETIME_TIMESTAMP_FILE": self._path(node), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1",
                "ASAN_OPTIONS": environment()["ASAN_OPTIONS"] + ":verify_asan_link_order=0"}

    def jump(self, node, offset):
        with open(self._path(node) + ".new", "w") as f:
            f.write(offset + "\n")
        os.rename(self._path(node) + ".new", self._path(node))


__all__ = ["CAP", "HOSTS", "NODES", "US", "Faketime", "Stage"]
