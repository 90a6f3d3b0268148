# SPDX-License-Identifier: Apache-2.0
"""Starts of Terraform's templates: with what `init` has made kept, and with `init` in every build."""

import os
import shutil
import tempfile
import time

from lib import terraform
from lib.wait import wait_until
from measure_life import percentile
from report import Row
from stage import Usage


def terraform_starts(stage, size):
    """One start at a time, warm and cold; then `terraform_tasks` at once on one worker."""
    why = terraform.missing()
    if why:
        print(f"      terraform: skipped: {why}")
        return
    with tempfile.TemporaryDirectory(dir="/tmp") as world:
        os.chmod(world, 0o777)
        cluster = stage.cluster(
            workers=1, scheduler={"state_key_file": terraform.key_file(world)},
            worker={"provisioners": "terraform", "terraform_mirror": terraform.MIRROR,
                    "terraform_binds": f"{world}:rw", "slots": 8})
        cluster.start_worker(cluster.workers[0])
        cluster.start_gateway()
        api = cluster.api("many")
        template, _ = terraform.push(api, "bench-terraform", terraform.host(world))
        for name, is_cold in (("what init has made kept", False), ("init in every build", True)):
            yield one_by_one(stage, cluster, api, template, size.terraform_starts, name, is_cold)
        yield at_once(stage, cluster, api, template, size.terraform_tasks)


def one_by_one(stage, cluster, api, template, n, name, is_cold):
    times = []
    with Usage(stage, cluster) as usage:
        for _ in range(n):
            if is_cold:
                shutil.rmtree(f"{cluster.data_dir}/terraform/warm")
                os.mkdir(f"{cluster.data_dir}/terraform/warm")
            begun = time.monotonic()
            task = api.create(template, "x")
            terraform.wait_build(api, task, "start", "succeeded")
            times.append((time.monotonic() - begun) * 1000)
    return Row(f"start, Terraform, {name}", percentile(times, 50), "ms p50", how="REST, one at a time",
               cpu=usage.by_name, detail={"max_ms": max(times), "n": len(times)})


def at_once(stage, cluster, api, template, n):
    before = cluster.sql_one("SELECT count(*) FROM jobs WHERE kind = 'start'")[0]
    with Usage(stage, cluster) as usage:
        begun = time.monotonic()
        for _ in range(n):
            api.create(template, "x")
        wait_until(lambda: cluster.sql_one(
            "SELECT count(*) FROM jobs WHERE kind = 'start' AND state = 'succeeded'")[0] == before + n,
            "all have started", 60 + 10 * n, interval=0.1)
        seconds = time.monotonic() - begun
    inits = cluster.sql_one(
        "SELECT count(*) FROM build_logs WHERE output LIKE 'Initialising the template%%'")[0]
    return Row(f"starts, Terraform, {n} tasks at once, one worker of 8 slots", n / seconds * 60,
               "starts/min", how="REST", cpu=usage.by_name,
               detail={"seconds": seconds, "inits_in_all": inits})
