# SPDX-License-Identifier: Apache-2.0
"""A private Postgres and a private Redis, on unix sockets in a directory of the test run."""

import glob
import os
import shutil
import signal
import subprocess

import psycopg2
import redis

from .procs import Process, as_user
from .wait import wait_until


def postgres_program(name):
    versions = glob.glob(f"/usr/lib/postgresql/*/bin/{name}")
    if versions:
        return max(versions, key=lambda p: int(p.split("/")[4]))
    return shutil.which(name) or name


class Postgres:
    """Made once per test run; each cluster gets a database of its own in it."""

    USER = "stint"

    def __init__(self, directory, durable=False):
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self.unix_user = "postgres" if os.getuid() == 0 else None
        os.makedirs(directory, mode=0o755)
        if self.unix_user:
            shutil.chown(directory, self.unix_user)
        subprocess.run(
            ["setpriv", *as_user(self.unix_user), "--", postgres_program("initdb"), "-D", self.data,
             "-U", self.USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd="/")
        settings = {
            "listen_addresses": "", "unix_socket_directories": directory, "max_connections": "300",
            "shared_buffers": "128MB", "log_line_prefix": "%m [%p] %d ", "timezone": "UTC",
            "log_min_messages": "warning", "max_wal_size": "2GB", "jit": "off",
        }
        if not durable:  # the tests kill our daemons, not the machine
            settings |= {"fsync": "off", "full_page_writes": "off"}
        argv = [postgres_program("postgres"), "-D", self.data]
        for key, value in settings.items():
            argv += ["-c", f"{key}={value}"]
        self.process = Process("postgres", argv, os.path.join(directory, "postgres.log"),
                               env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
                               user=self.unix_user, stop_signal=signal.SIGINT)
        # The log is opened by us and inherited, so it need not be writable for the server's user.

    def start(self):
        self.process.start()
        wait_until(self.answers, "Postgres takes connections", 30, say=self.process.log)
        return self

    def answers(self):
        try:
            self.connect("postgres").close()
            return True
        except psycopg2.OperationalError:
            assert self.process.is_running(), self.process.log()
            return False

    def stop(self):
        """Fast shutdown: sessions are broken off, everything committed is kept."""
        self.process.stop()

    def kill(self):
        """As if the machine's memory had gone: SIGQUIT, recovery at the next start."""
        self.process.signal(signal.SIGQUIT)
        self.process.wait_exit()

    def url(self, database):
        return f"postgresql://{self.USER}@/{database}?host={self.directory}"

    def connect(self, database):
        connection = psycopg2.connect(host=self.directory, dbname=database, user=self.USER)
        connection.autocommit = True
        return connection

    def execute(self, sql):
        """A statement about databases, such as CREATE DATABASE."""
        connection = self.connect("postgres")
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
        finally:
            connection.close()


class Redis:
    def __init__(self, directory):
        os.makedirs(directory, mode=0o755, exist_ok=True)
        self.socket = os.path.join(directory, "redis.sock")
        self.url = f"unix://{self.socket}"
        self.process = Process(
            "redis",
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--unixsocketperm", "700",
             "--dir", directory, "--save", "", "--appendonly", "no", "--daemonize", "no",
             "--logfile", ""],
            os.path.join(directory, "redis.log"), env={"PATH": os.environ["PATH"]})
        self.client = redis.Redis(unix_socket_path=self.socket)

    def start(self):
        self.process.start()
        wait_until(self.answers, "Redis takes connections", 15, say=self.process.log)
        return self

    def answers(self):
        assert self.process.is_running(), self.process.log()
        try:
            return os.path.exists(self.socket) and self.client.ping()
        except redis.exceptions.RedisError:
            return False

    def stop(self):
        self.client.close()
        self.process.stop()

    def kill(self):
        self.process.kill()
        os.unlink(self.socket)
