# SPDX-License-Identifier: Apache-2.0
"""`stint user`, `token`, `audit`, login and logout, each as a person would."""

import json
import re

CLUSTER = dict(workers=0)


def test_users(cluster, stint):
    """Goal: made, listed, given roles, locked out and in, removed."""
    made = stint("user", "create", "ada", "--email", "ada@example.com", "--role", "auditor,template-admin",
                 "--github-id", "583231", "--password-stdin", stdin="correct horse\n")
    assert made.stdout == "The user ada has been created.\n"
    listed = stint("user", "list", "github_com_user_id:583231").stdout
    assert re.search(r"^ada .*ada@example.com .*auditor,template-admin", listed, re.M), listed
    assert [u["username"] for u in json.loads(stint("user", "list", "ada", "--json").stdout)] == ["ada"]
    assert stint("user", "roles", "ada").stdout.split() == ["member", "auditor", "template-admin"]
    assert stint("user", "roles", "ada", "member").stdout.split() == ["member"]
    stint("user", "suspend", "ada")
    assert "suspended" in stint("user", "list", "status:suspended").stdout
    stint("user", "activate", "ada")
    assert stint("user", "delete", "ada", check=None).returncode != 0, "nobody is there to be asked"
    stint("user", "delete", "ada", "-y")
    assert stint("user", "roles", "ada", check=None).returncode != 0
    robot = stint("user", "create", "robot", "--email", "robot@example.com", "--login-type", "none", "--json")
    assert json.loads(robot.stdout)["login_type"] == "none"


def test_login_password_logout(cluster, stint):
    """Goal: log in by password, change it (which ends the login), log in again, log out."""
    stint("user", "create", "bea", "--email", "bea@example.com", "--password-stdin", stdin="correct horse\n")
    url = cluster.gateway.url
    login = ("login", url, "--email", "bea@example.com", "--password-stdin")
    assert stint(*login, stdin="wrong wrong\n", token=None, check=None).returncode != 0
    stint(*login, stdin="correct horse\n", token=None)
    assert "bea" in stint("whoami", token=None).stdout
    stint("user", "password", "--password-stdin", stdin="correct horse\nbattery staple\n", token=None)
    assert stint("whoami", token=None, check=None).returncode != 0
    stint(*login, stdin="battery staple\n", token=None)
    stint("user", "password", "bea", "--password-stdin", stdin="by an owner\n")
    assert stint("whoami", token=None, check=None).returncode != 0
    stint(*login, stdin="by an owner\n", token=None)
    refused = stint("user", "create", "x", "--email", "x@example.com", "--login-type", "none", token=None,
                    check=None)
    assert refused.returncode != 0 and "Forbidden" in refused.stderr
    stint("logout", token=None)
    assert stint("whoami", token=None, check=None).returncode != 0


def test_tokens(cluster, stint):
    """Goal: the token alone on stdout, usable at once; listed without its secret; ended by its name."""
    made = stint("token", "create", "ci", "--lifetime", "12h", "--scope", "read")
    token = made.stdout.strip()
    assert re.fullmatch(r"\w{10}-\w{22}", token) and token not in made.stderr
    assert "admin" in stint("whoami", token=None, STINT_TOKEN=token).stdout
    assert stint("token", "create", token=None, STINT_TOKEN=token, check=None).returncode != 0, "it only reads"
    listed = stint("token", "list").stdout
    assert "ci" in listed and "read" in listed and token.split("-")[1] not in listed
    stint("token", "create", "other")
    stint("token", "revoke", "ci", token.split("-")[0], check=None)
    assert "ci" not in [t["token_name"] for t in json.loads(stint("token", "list", "--json").stdout)]
    assert stint("whoami", token=None, STINT_TOKEN=token, check=None).returncode != 0
    assert stint("token", "revoke", "nothing", check=None).returncode != 0
    assert "no duration" in stint("token", "create", "--lifetime", "soon", check=None).stderr


def test_audit(cluster, stint):
    """Goal: a table for people, JSON with before and after for programs, filters."""
    stint("user", "create", "cleo", "--email", "cleo@example.com", "--login-type", "none")
    stint("user", "roles", "cleo", "auditor")
    table = stint("audit", "--target", "cleo").stdout.splitlines()
    assert len(table) == 3 and "roles" in table[1] and "admin" in table[1] and "127.0.0.1" in table[1], table
    [entry] = json.loads(stint("audit", "--target", "cleo", "--action", "write", "--json").stdout)
    assert entry["diff"]["roles"]["new"] == ["member", "auditor"] and "stint" in entry["user_agent"]
    assert "Nothing found" in stint("audit", "--user", "bob", "--to", "2020-01-01").stderr
    assert len(json.loads(stint("audit", "--limit", "1", "--json").stdout)) == 1
    assert stint("audit", token="bob", check=None).returncode != 0
    assert stint("audit", "--from", "yesterday", check=None).returncode != 0
    assert stint("audit", "--limit", "x", check=None).returncode != 0
