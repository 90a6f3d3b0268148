# SPDX-License-Identifier: Apache-2.0
"""What a task's command can see and do: its own little world, and nothing of the host's."""

import json
import os
import re

import pytest

from lib import sandboxes, templates
from lib.api import pack
from lib.cluster import CANARY
from lib.wait import wait_until

CLUSTER = dict(workers=1)


@pytest.fixture
def run(cluster, api):
    """run(script, **template keys) -> what the script printed."""

    def run(script, deadline=30, files=None, **keys):
        template = cluster.shell
        if keys or files:
            run.n += 1
            template = api.push_template(f"box-{run.n}-{os.urandom(3).hex()}",
                                         templates.shell(**keys) | (files or {}))
        task = api.create(template, script)
        run.task = api.wait_state(task, "complete", "failed", deadline=deadline)
        return api.output(run.task)

    run.n = 0
    return run


def test_the_environment_is_what_is_promised(cluster, run):
    """Goal: exactly the documented variables; nothing of the worker's environment."""
    out = run("env -0 | tr '\\n\\0' '~\\n'")
    env = dict(line.split("=", 1) for line in out.split("\n") if "=" in line)
    task = run.task
    assert CANARY not in out
    promised = {
        "HOME": "/home/agent", "USER": "agent", "TERM": "dumb", "STINT_TASK_ID": task["id"],
        "STINT_TASK_NAME": task["name"], "CODER_TASK_ID": task["id"],
        "CODER_TASK_PROMPT": task["initial_prompt"], "CODER_WORKSPACE_NAME": task["workspace_name"],
        "CODER_WORKSPACE_OWNER_NAME": "admin", "CODER_MCP_APP_STATUS_SLUG": "shell",
        "STINT_AGENT_SOCKET": "/run/stint-agent/agent.sock",
        "CODER": "true", "CODER_AGENT_SOCKET_PATH": "/run/stint-agent/agent.sock",
        "CODER_WORKSPACE_ID": task["workspace_id"], "CODER_WORKSPACE_AGENT_NAME": "main",
    }
    for key, value in promised.items():
        assert env.get(key, "").replace("~", "\n") == value.replace("~", "\n"), key
    more = {"PATH", "LANG", "STINT_PROMPT_FILE", "CODER_AGENT_TOKEN"}
    by_bash = {"PWD", "SHLVL", "_", "OLDPWD"}
    assert more <= set(env)
    assert set(env) <= set(promised) | more | by_bash, set(env) - set(promised) - more - by_bash


def test_the_templates_environment(cluster, run):
    """Goal: env of template.yaml arrives, with its spaces and quotes."""
    out = run('printf "%s|" "$ONE" "$TWO" "$HISTFILE"',
              env=[{"name": "ONE", "value": "a b 'c' \"d\" $HOME"}, {"name": "TWO", "value": ""},
                   {"name": "HISTFILE", "value": "/dev/null"}])
    assert out.startswith("a b 'c' \"d\" $HOME||/dev/null|")


def test_nothing_of_the_agent_leaks(cluster, run):
    """Goal: no open files but the three, stdin is empty, no variables of the agent in /proc/1."""
    out = run("ls /proc/self/fd | sort -n | tr '\\n' ' '; echo; cat | wc -c; "
              "tr '\\0' '\\n' < /proc/1/environ | grep -c canary; cat /proc/1/environ | wc -c")
    lines = out.split("\n")
    assert lines[0].split()[:3] == ["0", "1", "2"] and len(lines[0].split()) <= 4, lines[0]
    assert lines[1] == "0"
    assert lines[2] == "0" or "denied" in out.lower()


def test_processes_of_the_host_are_not_there(cluster, run):
    """Goal: own pids: the agent is 1, and nobody else but the command's."""
    out = run("for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null | cut -c1-80; done; "
              "ls -d /proc/[0-9]* | wc -l")
    assert "stint-worker" not in out and "postgres" not in out and "pytest" not in out
    assert int(out.strip().split("\n")[-1]) < 15


def test_files_of_the_host_are_not_there(cluster, run):
    """Goal: no host home, no /etc/shadow, no data of other tasks or of Stint, nothing of /tmp."""
    out = run("ls -A / | tr '\\n' ' '; echo; ls -A /tmp /root /home /mnt /srv /opt /etc 2>&1; "
              f"cat /etc/shadow 2>&1; ls {cluster.data_dir} {cluster.directory} 2>&1; "
              "find / -xdev -name 'manifest.json' -path '*stint*' 2>/dev/null")
    top = set(out.split("\n")[0].split())
    assert top <= {"bin", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "mnt", "opt", "proc",
                   "root", "run", "sbin", "tmp", "usr", "var", "sys", "srv"}, top
    assert "root:x" not in out and "root:*" not in out and "root:$" not in out, "no shadow"
    assert os.path.basename(cluster.directory) not in re.sub(r"cannot access.*", "", out)


def test_the_user_is_agent_without_powers(cluster, run):
    """Goal: uid and gid 1000, no capabilities, no way to get new ones."""
    out = run("id -u; id -g; id -G; grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs)' /proc/self/status")
    lines = out.split("\n")
    assert lines[0] == "1000" and lines[1] == "1000" and set(lines[2].split()) <= {"1000", "65534"}
    caps = dict(re.findall(r"(\w+):\s+(\w+)", out))
    for name in ("CapPrm", "CapEff", "CapAmb", "CapInh"):
        assert int(caps[name], 16) == 0, (name, caps)
    assert caps["NoNewPrivs"] == "1"


def test_workspaces_have_host_uids_of_their_own(cluster, api):
    """Goal: as root, two workspaces run as two host users that are neither root nor each other."""
    if os.getuid() != 0:
        pytest.skip("only a worker run by root can give each workspace a user")
    tasks = [api.wait_complete(api.create(cluster.shell, "echo up; touch ~/mine")) for _ in range(2)]
    uids = [sandboxes.status(cluster.agent_pid(t))["Uid"].split()[0] for t in tasks]
    assert uids[0] != uids[1] and all(int(u) >= 100000 for u in uids), uids
    for task, uid in zip(tasks, uids):
        assert str(os.stat(cluster.home(task, "mine")).st_uid) == uid
        assert os.stat(cluster.home(task)).st_mode & 0o007 == 0, "no one else may look into it"


def test_there_is_no_network(cluster, run):
    """Goal: without `network`, only a loopback of its own; the host's is out of reach."""
    port = cluster.gateway.url.rsplit(":", 1)[1]
    out = run("cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '; "
              f"(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo REACHED; "
              "(exec 3<>/dev/tcp/1.1.1.1/53) 2>/dev/null && echo REACHED; "
              "test -e /etc/resolv.conf && echo RESOLV; grep -c @ /proc/net/unix; echo end")
    lines = out.split()
    assert [n for n in lines if n.isalnum() and n not in ("0", "end")] == ["lo"], out


def test_the_network_can_be_had(cluster, run):
    """Goal: with `network: true` the host's network is there."""
    port = cluster.gateway.url.rsplit(":", 1)[1]
    out = run(f"(exec 3<>/dev/tcp/127.0.0.1/{port}) && echo REACHED", network=True)
    assert "REACHED" in out


def test_the_template_is_there_and_read_only(cluster, run):
    """Goal: the template's files are at /opt/template; they, the agent and /usr cannot be written."""
    out = run("cat /opt/template/data.txt; "
              "for f in /opt/template/data.txt /opt/template/new /opt/stint/bin/new /usr/new /etc/new "
              "/opt/stint/bin/stint-agent /run/stint/workers/x /bin/new; do "
              "(echo x >> $f) 2>/dev/null && echo WROTE $f; done; /opt/template/tool; "
              "echo t > /tmp/t && cat /tmp/t && echo h > ~/h && cat ~/h",
              files={"data.txt": "the data\n", "tool": "#!/bin/sh\necho tool runs\n"})
    assert "WROTE" not in out
    assert out.split("\n")[:4] == ["the data", "tool runs", "t", "h"]


def test_named_mounts(clusters, tmp_path_factory):
    """Goal: a directory that the operator names can be mounted where template.yaml says, read-only;
    one that is not named fails the import with a sentence, unless it is optional."""
    source = tmp_path_factory.mktemp("source")
    os.chmod(source.parent, 0o755), os.chmod(source.parent.parent, 0o755), os.chmod(source, 0o755)
    (source / "file").write_text("from the host\n")
    cluster = clusters(workers=1, worker={"mounts": f"source={source}"})
    api = cluster.api()

    def with_mount(**mount):
        return api.push_template(f"m-{mount['name']}-{mount.get('optional', False)}".lower(),
                                 templates.shell(mounts=[{"to": "/mnt/source"} | mount]))

    task = api.wait_complete(api.create(
        with_mount(name="source"),
        "cat /mnt/source/file; (echo x > /mnt/source/new) 2>/dev/null && echo WROTE; echo end"))
    assert api.output(task).split("\n")[:2] == ["from the host", "end"]
    assert os.listdir(source) == ["file"]
    task = api.wait_complete(api.create(with_mount(name="other", optional=True),
                                        "ls /mnt/source 2>&1; echo end"))
    job = api.import_version(pack(templates.shell(
        mounts=[{"name": "other", "to": "/mnt/source"}])))["job"]
    assert job["status"] == "failed" and "other" in job["error"] and "mounts" in job["error"], job


def skip_without_limits(cluster, word):
    """The worker says in its log when the host lets it uphold no such limit."""
    if re.search(rf"limits are upheld.*{word}[^,]* not at all", cluster.workers[0].log()):
        pytest.skip(f"this host lets the worker limit no {word}; its log says so")


def run_limited(clusters, script, **limits):
    cluster = clusters(workers=1, worker=clusters.session.build.limited_agent())
    api = cluster.api()
    template = api.push_template("limited", templates.shell(limits=limits))
    task = api.wait_state(api.create(template, script), "complete", "failed")
    return cluster, api, api.task(task), api.output(task)


def test_the_pids_limit_bites(clusters):
    """Goal: a fork bomb stops at the limit, inside; the agent survives it and takes a message."""
    cluster, api, task, out = run_limited(
        clusters, "n=0; for i in $(seq 200); do sleep 5 & done 2>/dev/null; "
                  "set -- /proc/[0-9]*; echo started $#; kill $(jobs -p) 2>/dev/null; echo end", pids=40)
    started = re.search(r"started (\d+)", out)
    if started and int(started.group(1)) > 60:
        skip_without_limits(cluster, "pids")
        raise AssertionError(out)
    api.send(task, "echo alive")
    wait_until(lambda: api.task(task)["current_state"]["message"] == "alive", "it goes on", 20)


def test_the_memory_limit_bites(clusters):
    """Goal: a command that eats memory beyond the limit fails, not the host; within it, it works."""
    eat = "python3 -c 'x = bytearray(%d << 20); print(\"HAD\", sum(x[::4096]))' || echo refused; echo end"
    cluster, api, task, out = run_limited(clusters, eat % 600, memory="200MiB")
    if "HAD" in out:
        skip_without_limits(cluster, "memory")
        raise AssertionError(out)
    assert "refused" in out or "Killed" in out or task["current_state"]["state"] == "failed"
    api.send(task, eat % 50)
    wait_until(lambda: "HAD 0" in api.output(task), "less is allowed", 20)


def test_orphans_are_reaped(cluster, api, run):
    """Goal: the agent, being pid 1, takes care of orphans: no zombie stays."""
    run("for i in $(seq 30); do (sh -c 'sleep 0.1 & exit 0' &) ; done; sleep 0.5; echo end")

    def zombies():
        agent = cluster.agent_pid(run.task)
        inside = os.readlink(f"/proc/{agent}/ns/pid")
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/ns/pid") == inside and \
                        sandboxes.status(pid).get("State", "").startswith("Z"):
                    found.append(pid)
            except OSError:
                pass
        return found

    wait_until(lambda: not zombies(), "no zombie is left", 5, say=zombies)


def test_a_symlink_in_the_home_fools_nobody(cluster, api):
    """Goal: what the command leaves in its home cannot make the worker write elsewhere."""
    target = os.path.join(cluster.directory, "victim")
    os.makedirs(target)
    task = api.wait_complete(api.create(cluster.shell, f"ln -s {target} ~/link; ln -s / ~/root; echo x"))
    api.pause(task)
    api.wait_status(task, "paused")
    open(os.path.join(target, "precious"), "w").close()
    api.remove(task)
    wait_until(lambda: not os.path.lexists(cluster.home(task)), "the home is gone")
    assert os.listdir(target) == ["precious"]


def test_the_home_of_another_task_is_not_there(cluster, api):
    """Goal: two tasks of one owner share nothing."""
    one = api.wait_complete(api.create(cluster.shell, "echo secret-7788 > ~/secret"))
    two = api.wait_complete(api.create(
        cluster.shell, "grep -rs secret-7788 /home /tmp /var /run /opt /mnt | grep -v prompt; echo end"))
    assert one["id"] != two["id"]
    assert "secret-7788" not in api.output(two)


def test_secrets_stay_out_of_logs_and_argv(cluster, api):
    """Goal: an agent's token is in no daemon's log and on no command line."""
    task = api.wait_complete(api.create(cluster.shell, "echo up"))
    token = cluster.sql_one("SELECT auth_token::text FROM agents WHERE task_id = %s", task["id"])[0]
    api_token = cluster.session.tokens["admin"].split("-")[1]
    for process in cluster.daemons:
        assert token not in process.log(whole=True), process.name
        assert api_token not in process.log(whole=True), process.name
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                assert token.encode() not in f.read(), pid
        except OSError:
            pass
    for path, _, names in os.walk(os.path.join(cluster.data_dir, "workspaces", task["workspace_id"])):
        for name in names:
            if name == "manifest.json":
                with open(os.path.join(path, name)) as f:
                    json.load(f)
                assert os.stat(os.path.join(path, name)).st_mode & 0o077 == 0
