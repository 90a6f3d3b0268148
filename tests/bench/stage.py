# SPDX-License-Identifier: Apache-2.0
"""Where the bench plays: a private Postgres that is really durable, Redis, and Stints of our own.

Also the looks from outside that go with every figure: who used how much processor time, how much
memory a daemon holds, what its /metrics say.
"""

import hashlib
import json
import os
import re
import resource
import secrets
import subprocess
import sys
import tempfile
import urllib.request
import uuid

from lib.cluster import Build, Cluster, environment, fields
from lib.servers import Postgres
from lib.wait import Stopwatch

HERE = os.path.dirname(os.path.abspath(__file__))
TICK = os.sysconf("SC_CLK_TCK")
PROMPT = "Find out why the tests of the parser fail on big-endian machines, and mend them."

# Beyond the distribution's Postgres, which is made for a machine a quarter as large.
POSTGRES = {"shared_buffers": "512MB", "max_connections": "400"}


class Stage:
    """One Postgres for the whole run; each measurement has a Stint and a database of its own."""

    def __init__(self, build_directory, parent):
        self.build = Build(build_directory)
        self.tool = os.path.join(self.build.directory, "tests", "bench", "stint-bench")
        # On a disk, not in memory; short, because unix sockets have to fit in 107 characters.
        self.directory = tempfile.mkdtemp(prefix="stint-bench-", dir=parent)
        os.chmod(self.directory, 0o755)
        self.reaper = subprocess.Popen(
            [sys.executable, os.path.join(os.path.dirname(HERE), "lib", "reaper.py"), self.directory],
            stdin=subprocess.PIPE, start_new_session=True)
        self.postgres = Postgres(os.path.join(self.directory, "pg"), durable=True)
        for key, value in POSTGRES.items():
            self.postgres.process.argv += ["-c", f"{key}={value}"]
        self.template_database = "template_bench"
        self.others = [f"user{i}" for i in range(50)]
        self.tokens = {}
        self.n_clusters = 0
        self.open = []

    def start(self):
        self.postgres.start()
        self.postgres.execute(f"CREATE DATABASE {self.template_database}")
        done = subprocess.run([self.build.program("stint-scheduler"), "migrate"],
                              env=environment(database_url=self.postgres.url(self.template_database)),
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"migrate: {done.returncode}\n{done.stderr}"
        connection = self.postgres.connect(self.template_database)
        with connection.cursor() as cursor:
            self.what = add_template(cursor)
            for name, roles in (("few", "{member}"), ("many", "{owner}")):
                self.tokens[name], self.what[name] = add_user(cursor, name, roles)
            for name in self.others:
                self.tokens[name], self.what[name] = add_user(cursor, name)
        connection.close()
        return self

    def close(self):
        for cluster in list(self.open):
            self.close_cluster(cluster)
        if self.postgres.process.is_running():
            self.postgres.stop()
        self.reaper.stdin.close()
        self.reaper.wait(30)

    # ---- Stints

    def cluster(self, **arguments):
        """Started: Redis and schedulers.  Workers and gateways start when a measurement wants them."""
        self.n_clusters += 1
        cluster = Cluster(self, f"b{self.n_clusters}", **arguments)
        self.open.append(cluster)
        cluster.create_database()
        cluster.redis.start()
        cluster.start_scheduler()
        return cluster

    def close_cluster(self, cluster):
        self.open.remove(cluster)
        problems = cluster.close()
        for text in problems:
            print(f"      not clean: {text}", file=sys.stderr)
        if problems:
            for name, text in cluster.log_tails(1500):
                print(f"--- {name}\n{text}", file=sys.stderr)

    # ---- load

    def command(self, command, user="many", stdin=None, **options):
        """A command of stint-bench, to its end; gives what it printed."""
        argv = [self.tool, command]
        for key, value in options.items():
            argv += [f"--{key.replace('_', '-')}", str(value)]
        env = {"PATH": os.environ["PATH"], "STINT_TOKEN": self.tokens[user]}
        done = subprocess.run(argv, input=stdin, env=env, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"stint-bench {command}: {done.stderr[-600:]} {done.stdout[-300:]}"
        return json.loads(done.stdout)

    def create(self, cluster, via, user="many", **options):
        """Make tasks over the "bus" or over "http"; see create.c."""
        what = {key: self.what[key] for key in ("organization", "template", "version", "file")}
        what |= {"owner": self.what[user], "owner_name": user, "template_name": "bench",
                 "app_slug": "bench", "prompt": PROMPT}
        url = cluster.bus_urls[0] if via == "bus" else cluster.gateway.url
        return self.command("create", user=user, url=url, **what, **options)


def add_user(cursor, name, roles="{member}"):
    user_id, key, secret = str(uuid.uuid4()), secrets.token_hex(5), secrets.token_hex(11)
    cursor.execute("INSERT INTO users (id, username, email, roles) VALUES (%s, %s, %s, %s)",
                   (user_id, name, f"{name}@example.com", roles))
    cursor.execute("INSERT INTO api_keys (id, user_id, hashed_secret, name) VALUES (%s, %s, %s, 'bench')",
                   (key, user_id, hashlib.sha256(secret.encode()).digest()))
    return f"{key}-{secret}", user_id


def add_template(cursor):
    """A template of the provisioner that does nothing, with an app, as an import would leave it."""
    ids = {key: str(uuid.uuid4()) for key in ("template", "version", "file", "author")}
    cursor.execute("SELECT id FROM organizations WHERE is_default")
    ids["organization"] = cursor.fetchone()[0]
    cursor.execute("INSERT INTO users (id, username, email) VALUES (%(author)s, 'author', 'a@example.com')",
                   ids)
    cursor.execute("INSERT INTO files (id, hash, mimetype, data, created_by) VALUES "
                   "(%(file)s, sha256(''), 'application/x-tar', '', %(author)s)", ids)
    cursor.execute("INSERT INTO templates (id, organization_id, name, active_version_id, created_by) "
                   "VALUES (%(template)s, %(organization)s, 'bench', %(version)s, %(author)s)", ids)
    cursor.execute(
        "INSERT INTO jobs (id, kind, state, organization_id, provisioner, initiator_id, "
        "template_version_id, completed_at) VALUES (%(version)s, 'import', 'succeeded', "
        "%(organization)s, 'null', %(author)s, %(version)s, now())", ids)
    cursor.execute(
        "INSERT INTO template_versions (id, template_id, organization_id, name, file_id, provisioner, "
        "job_id, created_by, has_ai_task, app_slug) VALUES (%(version)s, %(template)s, "
        "%(organization)s, 'first', %(file)s, 'null', %(version)s, %(author)s, true, 'bench')", ids)
    return ids


# ---------------------------------------------------------------- looks from outside

def rss_mib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) / 1024


def metrics(cluster, process=None):
    """{name: value} of a daemon's /metrics; the scheduler's unless another is named."""
    process = process or cluster.scheduler
    if not hasattr(process, "admin"):
        process.admin = process.wait_log(r'\badmin="?(http://[^\s"]+)').group(1)
    with urllib.request.urlopen(process.admin + "/metrics", timeout=10) as answer:
        rows = answer.read().decode().splitlines()
    return {name: float(value) for name, value in
            (row.split() for row in rows if row and not row.startswith("#"))}


class Usage:
    """Processor time between two moments, by who used it, in processors (1.0: one of them, busy).

        with Usage(stage, cluster) as usage: ...
        usage.by_name    {"scheduler": 0.6, "postgres": 0.9, ..., "others": 0.1}

    "others" is what the machine did that was none of ours: a figure taken while it is large is a
    floor.
    """

    def __init__(self, stage, cluster=None):
        roots = {"postgres": [stage.postgres.process.pid]}
        if cluster:
            roots |= {"redis": [cluster.redis.process.pid]}
            self.daemons = {"scheduler": cluster.schedulers, "worker": cluster.workers,
                            "gateway": cluster.gateways}
        else:
            self.daemons = {}
        self.roots = roots
        self.by_name = {}

    def __enter__(self):
        self.before, self.watch = self._look(), Stopwatch()
        return self

    def __exit__(self, *_):
        self.seconds = self.watch.seconds
        after = self._look()
        used = {name: after[name] - self.before.get(name, 0) for name in after}
        busy = used.pop("busy")
        used["others"] = max(0.0, busy - sum(used.values()))
        self.by_name = {name: round(s / self.seconds, 2) for name, s in used.items()}

    def _look(self):
        roots = dict(self.roots)
        for name, processes in self.daemons.items():
            roots[name] = [p.pid for p in processes if p.pid]
        children, ticks = processes_now()
        found = {name: sum(tree(pid, children, ticks) for pid in pids) / TICK
                 for name, pids in roots.items() if pids}
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        found["load"] = ended.ru_utime + ended.ru_stime  # the generators that have ended
        ours = resource.getrusage(resource.RUSAGE_SELF)
        found["bench"] = ours.ru_utime + ours.ru_stime
        with open("/proc/stat") as f:
            cpu = [int(n) for n in f.readline().split()[1:]]
        # user, nice, system, irq, softirq, steal
        found["busy"] = (cpu[0] + cpu[1] + cpu[2] + cpu[5] + cpu[6] + cpu[7]) / TICK
        return found


def processes_now():
    """({pid: [children]}, {pid: ticks used by it and by children it has waited for})"""
    children, ticks = {}, {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as f:
                values = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(values[1]), []).append(int(name))
        ticks[int(name)] = sum(int(v) for v in values[11:15])
    return children, ticks


def tree(pid, children, ticks):
    return ticks.get(pid, 0) + sum(tree(child, children, ticks) for child in children.get(pid, []))


def machine():
    """What the figures were taken on."""
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*:\s*(.+)", f.read())
    with open("/proc/meminfo") as f:
        memory = int(re.search(r"MemTotal:\s+(\d+) kB", f.read()).group(1))
    return {
        "processor": model.group(1) if model else "?", "processors": os.cpu_count(),
        "memory_gib": round(memory / 2 ** 20, 1), "kernel": os.uname().release,
        "load_before": os.getloadavg()[0],
        "system": fields_of_os_release().get("PRETTY_NAME", "?"),
        "postgres": first_line(["psql", "--version"]), "redis": first_line(["redis-server", "--version"]),
        "commit": first_line(["git", "-C", HERE, "rev-parse", "--short", "HEAD"]),
    }


def fields_of_os_release():
    with open("/etc/os-release") as f:
        return fields(f.read())


def first_line(argv):
    try:
        out = subprocess.run(argv, capture_output=True, text=True, timeout=10).stdout
    except OSError:
        return "?"
    return (out.splitlines() or ["?"])[0]
