# SPDX-License-Identifier: Apache-2.0
"""What this machine can do at all, in the same run: the figures of Stint mean little without.

The table is as wide as a status: uuid and number as key, three texts, a time.
"""

import os
import re
import subprocess

from lib.servers import postgres_program
from report import Row
from stage import Usage

TABLE = """CREATE TABLE calibration (id uuid DEFAULT gen_random_uuid(), n bigint, a text, b text, c text,
    at timestamptz DEFAULT now(), PRIMARY KEY (id, n))"""
INSERT = ("INSERT INTO calibration (n, a, b, c) VALUES (1, 'working', "
          "'Step 17: reading the tests that fail', 'https://example.com/pull/1');\n")
PIPELINE = 100


def calibrate(stage, size):
    """Postgres commits, Redis XADDs."""
    stage.postgres.execute("CREATE DATABASE calibration")
    connection = stage.postgres.connect("calibration")
    connection.cursor().execute(TABLE)
    connection.close()
    single = script(stage, "single.sql", INSERT)
    pipeline = script(stage, "pipeline.sql", "\\startpipeline\n" + INSERT * PIPELINE + "\\endpipeline\n")
    for name, path, clients, rows, how in (
            ("one row per commit, 1 connection", single, 1, 1, "un-batched"),
            ("one row per commit, 8 connections", single, 8, 1, "un-batched"),
            ("one row per commit, 64 connections", single, 64, 1, "un-batched"),
            (f"pipeline of {PIPELINE} rows per commit, 1 connection", pipeline, 1, PIPELINE, "batched")):
        with Usage(stage) as usage:
            rate = pgbench(stage, path, clients, size.calibrate_seconds) * rows
        yield Row(f"calibration: Postgres, {name}", rate, "rows/s", how=how, cpu=usage.by_name)

    cluster = stage.cluster(workers=0)
    for depth in (1, 16):
        with Usage(stage, cluster) as usage:
            rate = redis_benchmark(cluster, depth, size.calibrate_xadds)
        yield Row(f"calibration: Redis XADD, 20 connections, pipeline {depth}", rate, "entries/s",
                  how="un-batched" if depth == 1 else "batched", cpu=usage.by_name)


def script(stage, name, text):
    path = os.path.join(stage.directory, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def pgbench(stage, path, clients, seconds):
    """Transactions (or pipelines) per second."""
    out = subprocess.run(
        [postgres_program("pgbench"), "-h", stage.postgres.directory, "-U", stage.postgres.USER,
         "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-T", str(seconds), "-f", path,
         "calibration"], check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
    return float(re.search(r"^tps = ([\d.]+)", out, re.M).group(1))


def redis_benchmark(cluster, depth, n):
    out = subprocess.run(
        ["redis-benchmark", "-s", cluster.redis.socket, "-c", "20", "-P", str(depth), "-n", str(n), "--csv",
         "XADD", "calibration", "MAXLEN", "~", "100000", "*", "r", "x" * 100],
        check=True, capture_output=True, text=True, timeout=120).stdout
    return float(out.splitlines()[-1].split(",")[1].strip('"'))
