# SPDX-License-Identifier: Apache-2.0
"""A whole Stint: schedulers, workers, gateways, with a Redis and a database of its own.

    cluster = Cluster(session, "cap", workers=2, scheduler={"cap": 3})
    cluster.start()
    ...
    cluster.close()      # stops everything, then says what was not clean

Everything is on unix sockets or free ports below one directory.
"""

import glob
import os
import re
import threading

import psycopg2
import psycopg2.extras

from . import bus, sandboxes
from .api import Api
from .procs import SANITIZER, Process
from .servers import Redis
from .wait import wait_until

# Must never be seen inside a sandbox.
CANARY = "canary-8f2c1d"

SANITIZER_ENVIRONMENT = {
    "LSAN_OPTIONS": "print_suppressions=0:suppressions=" +
                    os.path.join(os.path.dirname(os.path.abspath(__file__)), "leaks.txt"),
    "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:strict_string_checks=1:"
                    "detect_stack_use_after_return=1:handle_abort=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
    "TSAN_OPTIONS": "exitcode=99:halt_on_error=0",
}


def flags(settings):
    """{"cap_policy": "reject"} -> ["--cap-policy=reject"]"""
    return [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()]


def environment(**settings):
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
    env |= SANITIZER_ENVIRONMENT
    env |= {f"STINT_{key.upper()}": value for key, value in settings.items()}
    return env


class Build:
    """Where the binaries are.

    An agent with sanitizers cannot live under a memory limit, for its shadow is larger than any;
    tests with such limits take the agent of the `plain` build.
    """

    def __init__(self, directory, plain=None):
        self.directory = os.path.abspath(directory)
        self.plain = Build(plain) if plain else self

    def limited_agent(self):
        """{setting: value} for workers of templates with memory limits."""
        return {"agent_path": self.plain.program("stint-agent")}

    def program(self, name, must=True):
        part = {"stint": "cli"}.get(name, name.removeprefix("stint-"))
        places = [os.path.join(self.directory, part, name), os.path.join(self.directory, name),
                  os.path.join(self.directory, "bin", name)]
        for place in places:
            if os.access(place, os.X_OK) and os.path.isfile(place):
                return place
        assert not must, f"{name} is not built: looked for {', '.join(places)}"
        return places[0]


class Cluster:
    def __init__(self, session, name, workers=2, schedulers=1, gateways=1, scheduler=None,
                 worker=None, gateway=None):
        self.session = session
        self.name = name
        self.directory = os.path.join(session.directory, name)
        self.data_dir = os.path.join(self.directory, "data")
        self.log_dir = os.path.join(self.directory, "log")
        os.makedirs(self.log_dir, mode=0o755)
        os.makedirs(self.data_dir, mode=0o755)
        self.marker = f"/{os.path.basename(session.directory)}/{name}/data/workspaces/"

        self.postgres = session.postgres
        self.database = f"t_{os.path.basename(session.directory)}_{name}".replace("-", "_").lower()
        self.redis = Redis(os.path.join(self.directory, "redis"))
        self._sql = threading.local()

        self.settings = {"scheduler": dict(scheduler or {}), "worker": dict(worker or {}),
                         "gateway": dict(gateway or {})}
        self.bus_urls = [f"ipc://{self.directory}/s{i}.sock" for i in range(schedulers)]
        self.schedulers = [self._scheduler(i) for i in range(schedulers)]
        self.workers = [self._worker(i) for i in range(workers)]
        self.gateways = [self._gateway(i) for i in range(gateways)]
        self.extra = []  # processes that a test started itself

    # ---- the processes

    def process(self, name, program, arguments, **settings):
        """A daemon's process with its urls in the environment; not started."""
        return Process(name, [self.session.build.program(program, must=False), *arguments],
                       os.path.join(self.log_dir, name + ".log"),
                       env=environment(**settings) | {"STINT_TEST_CANARY": CANARY})

    def _scheduler(self, i):
        settings = {"listen": self.bus_urls[i]} | self.settings["scheduler"]
        return self.process(f"scheduler{i}", "stint-scheduler", flags(settings),
                            database_url=self.database_url, redis_url=self.redis.url)

    def _worker(self, i):
        settings = {"data_dir": self.data_dir, "name": f"w{i}", "host": "testhost",
                    "drain_timeout": "5s", "agent_path": self.session.build.program("stint-agent", must=False),
                    } | self.settings["worker"]
        return self.process(f"worker{i}", "stint-worker", flags(settings),
                            scheduler_url=",".join(self.bus_urls), redis_url=self.redis.url)

    def _gateway(self, i):
        settings = {"port": 0, "rate_limits": "false"} | self.settings["gateway"]
        return self.process(f"gateway{i}", "stint-gateway", flags(settings),
                            scheduler_url=",".join(self.bus_urls),
                            database_url=self.database_url, redis_url=self.redis.url)

    def add_worker(self, start=True):
        worker = self._worker(len(self.workers))
        self.workers.append(worker)
        if start:
            self.start_worker(worker)
        return worker

    @property
    def daemons(self):
        return self.gateways + self.workers + self.schedulers + self.extra

    @property
    def scheduler(self):
        return self.schedulers[0]

    @property
    def gateway(self):
        return self.gateways[0]

    @property
    def database_url(self):
        return self.postgres.url(self.database)

    # ---- starting and stopping

    def start(self):
        self.create_database()
        self.redis.start()
        self.start_scheduler(self.schedulers[0])
        for scheduler in self.schedulers[1:]:
            scheduler.start()
        for process in self.workers + self.gateways:
            process.start()
        for worker in self.workers:
            worker.wait_log(r'msg="?ready"?')
        for gateway in self.gateways:
            self._wait_gateway(gateway)
        return self

    def create_database(self):
        self.postgres.execute(f"CREATE DATABASE {self.database} TEMPLATE {self.session.template_database}")

    def start_scheduler(self, scheduler=None):
        scheduler = scheduler or self.scheduler
        scheduler.start()
        scheduler.wait_log(r'msg="?leading"?')

    def start_worker(self, worker):
        worker.start()
        worker.wait_log(r'msg="?ready"?')

    def start_gateway(self, gateway=None):
        gateway = gateway or self.gateway
        gateway.start()
        self._wait_gateway(gateway)

    def _wait_gateway(self, gateway):
        gateway.url = gateway.wait_log(r'msg="?ready"?.*?\burl="?(http://[^\s"]+)').group(1).rstrip("/")

    def close(self):
        """Stop everything and forget it.  Gives what was not clean, as a list of texts."""
        for process in self.daemons:
            process.stop()
        sandboxes.kill_all(self.marker)
        self.redis.process.stop()
        problems = [text for process in self.daemons
                    for text in process.unclean + process.sanitizer_reports()]
        problems += self._agents_sanitizer_reports()
        self.forget_sql()
        self.postgres.execute(f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)")
        return problems

    def _agents_sanitizer_reports(self):
        found = []
        for path in glob.glob(f"{self.data_dir}/workspaces/*/**", recursive=True):
            if "/home/" in path or not os.path.isfile(path) or os.path.getsize(path) > 1 << 22:
                continue
            with open(path, errors="replace") as f:
                text = f.read()
            if SANITIZER.search(text):
                found.append(f"{path}:\n{text[-6000:]}")
        return found

    def log_tails(self, size=6000):
        """[(name, end of log)] of the daemons and of the youngest agents, for a failing test."""
        agents = sorted(glob.glob(f"{self.data_dir}/workspaces/*/sandbox.log"), key=os.path.getmtime)
        tails = []
        for path in sorted(glob.glob(f"{self.log_dir}/*.log")) + agents[-4:]:
            with open(path, "rb") as f:
                f.seek(max(0, os.path.getsize(path) - size))
                name = os.path.relpath(path, self.directory).removeprefix("log/")
                tails.append((name, f.read().decode("utf-8", "replace")))
        return tails

    # ---- asking

    def api(self, user="admin"):
        return Api(lambda: self.gateway.url, self.session.tokens[user])

    def sql(self, statement, *arguments):
        """Rows as tuples, straight from the database."""
        for last_try in (False, True):
            if not hasattr(self._sql, "connection"):
                self._sql.connection = self.postgres.connect(self.database)
            try:
                with self._sql.connection.cursor() as cursor:
                    cursor.execute(statement, arguments or None)
                    return cursor.fetchall() if cursor.description else []
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self.forget_sql()
                if last_try:
                    raise

    def sql_one(self, statement, *arguments):
        rows = self.sql(statement, *arguments)
        return rows[0] if rows else None

    def forget_sql(self):
        connection = self._sql.__dict__.pop("connection", None)
        if connection:
            connection.close()

    def queue(self):
        """What the scheduler says of its queue: {"size", "holding", "cap"}."""
        return bus.queue(self.bus_urls[0])

    # ---- sandboxes

    def sandbox_processes(self, workspace_id=None):
        """{workspace: [pids]}, or the pids of one workspace."""
        found = sandboxes.processes(self.marker)
        return found if workspace_id is None else found.get(workspace_id, [])

    def sandbox_count(self):
        return len(sandboxes.processes(self.marker))

    def agent_pid(self, task):
        return wait_until(
            lambda: sandboxes.agent_pid(self.sandbox_processes(task["workspace_id"])),
            f"an agent runs for {task['name']}")

    def home(self, task, *path):
        """The host's path of something in the task's home directory."""
        return os.path.join(self.data_dir, "workspaces", task["workspace_id"], "home", *path)

    def read_home(self, task, *path):
        with open(self.home(task, *path), errors="replace") as f:
            return f.read()

    def wait_gone(self, task, deadline=15):
        wait_until(lambda: not self.sandbox_processes(task["workspace_id"]),
                   f"no process of {task['name']}'s sandbox is left", deadline)


class Sampler:
    """Counts sandboxes all the time, on a thread of its own.

        with Sampler(cluster) as samples: ...
        assert samples.most <= 3
    """

    def __init__(self, cluster):
        self.cluster = cluster
        self.most = 0
        self.n = 0
        self.worst = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._end.is_set():
            found = sandboxes.at_once(self.cluster.marker)
            self.n += 1
            if len(found) > self.most:
                self.most, self.worst = len(found), found
            self._end.wait(0.01)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()


def fields(line):
    """The key=value pairs of a log line."""
    return {k: v.strip('"') for k, v in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line)}
