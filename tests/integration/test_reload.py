# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: settings are read again, and a running daemon goes on with them."""

import signal

import pytest

from lib import templates
from lib.wait import wait_until


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


@pytest.fixture
def cluster(clusters):
    """A scheduler whose cap is in a file."""
    cluster = clusters(workers=1, start=False)
    cluster.conf = cluster.directory + "/scheduler.conf"
    write(cluster.conf, "cap = 1\nlog_level = info\n")
    cluster.settings["scheduler"].pop("cap", None)
    cluster.settings["scheduler"] |= {"config": cluster.conf}
    cluster.schedulers[0] = cluster._scheduler(0)
    cluster.start()
    cluster.shell = cluster.api().push_template("shell", templates.shell())
    return cluster


def reload(cluster, text, says):
    write(cluster.conf, text)
    cluster.scheduler.signal(signal.SIGHUP)
    wait_until(lambda: says in cluster.scheduler.log(), f"the log says {says}", 20, say=cluster.scheduler.log)


def test_a_greater_cap_lets_the_waiting_start(cluster):
    """Goal: what can change at once does, what cannot is named, nonsense changes nothing."""
    api = cluster.api()
    first = api.create(cluster.shell, "sleep 600")
    api.wait_status(first, "active")
    second = api.create(cluster.shell, "sleep 600")
    assert api.get(f"/tasks/me/{second['id']}", expect=200).json()["status"] == "pending"

    reload(cluster, "cap = many\n", "many")
    reload(cluster, "cap = 0\n", "is not between")
    assert cluster.scheduler.is_running()
    assert api.get(f"/tasks/me/{second['id']}", expect=200).json()["status"] == "pending"

    reload(cluster, "cap = 2\nlease = 7s\n", 'msg="setting changed" name=cap from="1" to="2"')
    assert 'msg="setting needs a restart" name=lease now="' in cluster.scheduler.log()
    api.wait_status(second, "active")


def test_every_daemon_takes_it(clusters):
    """Goal: nobody dies of a SIGHUP, and it is in the log."""
    cluster = clusters(workers=1)
    for daemon in cluster.daemons:
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: "reading the settings again" in daemon.log(), f"{daemon.name} reads", 20)
    api = cluster.api()
    api.wait_complete(api.create(cluster.shell, "echo well"))
