# SPDX-License-Identifier: Apache-2.0
"""Bad input at the front door: a clear error in Coder's shape, and nothing lost or left behind."""

import socket
from urllib.parse import urlsplit

import pytest

from lib.api import EXPERIMENTAL, NIL_UUID, STABLE, Api, message_of
from lib.wait import wait_until

CLUSTER = dict(workers=1)

SOME_UUID = "7d0bd6d9-35d4-4a3c-9a0e-0f1fd1a1c9b2"  # of nothing
NOT_FOUND = "Resource not found or you do not have access to this resource"
SIGNED_OUT = "You are signed out or your session has expired. Please sign in again to continue."


@pytest.mark.parametrize("prefix", [STABLE, EXPERIMENTAL])
@pytest.mark.parametrize("body", ["{", "", "[1,", '{"input": }', "nonsense", '{"input": "\\ud8"}',
                                  '{"input": "a\x00b"}', b'{"input": "\xff\xfe"}', '"text"', "[]", "null",
                                  '{"input": 7, "template_version_id": "x"}'])
def test_malformed_json(cluster, api, prefix, body):
    """Goal: 400, and the connection goes on."""
    data = body if isinstance(body, bytes) else body.encode()
    for path in ("/tasks/me",):
        refused = api.request("POST", path, prefix=prefix, data=data, expect=400,
                              headers={"Content-Type": "application/json"})
        message_of(refused)
    api.me()


def test_the_words_for_malformed_json(cluster, api):
    """Goal: Coder's sentence."""
    refused = api.request("POST", "/tasks/me", data=b"{", expect=400)
    assert message_of(refused) == "Request body must be valid JSON."


def test_deeply_nested_json(cluster, api):
    """Goal: 100,000 brackets are refused, not followed."""
    refused = api.request("POST", "/tasks/me", data=b'{"input":' + b"[" * 100000, expect=(400, 413))
    message_of(refused)


@pytest.mark.parametrize("version", [NIL_UUID, SOME_UUID])
def test_an_unknown_template_version(cluster, api, version):
    """Goal: 400 with Coder's sentence, and no task."""
    refused = api.create(version, "echo", expect=400)
    assert message_of(refused) == (
        "Template version not found or you do not have access to this resource")
    assert cluster.sql_one("SELECT count(*) FROM tasks WHERE prompt = 'echo'")[0] == 0


@pytest.mark.parametrize("version", ["not-a-uuid", 7, None, "", ["x"]])
def test_a_template_version_that_is_no_uuid(cluster, api, version):
    """Goal: 400."""
    message_of(api.create(version, "echo", expect=400))


@pytest.mark.parametrize("name", ["-a", "a-", "a--b", "a b", "a_b", "new", "create", "x" * 33, "ä",
                                  "a/b", "../etc", "a\n"])
def test_names_outside_the_rule(cluster, api, name):
    """Goal: 400 with Coder's message and a detail."""
    refused = api.create(cluster.shell, "echo", name=name, expect=400)
    assert message_of(refused) == "Unable to create a Task with the provided name."
    assert refused.json()["detail"]


def test_display_names_that_are_too_long(cluster, api):
    """Goal: 64 bytes fit, 65 do not; bytes, not characters."""
    api.create(cluster.shell, "echo", display_name="d" * 64)
    for name in ("d" * 65, "é" * 33):
        refused = api.create(cluster.shell, "echo", display_name=name, expect=400)
        assert message_of(refused) == "Display name must be 64 characters or less."


def test_a_name_that_is_taken(cluster, api):
    """Goal: 409 with a validation; per owner and in any case of letters."""
    api.create(cluster.shell, "echo", name="taken")
    for name in ("taken", "TAKEN"):
        refused = api.create(cluster.shell, "echo", name=name, expect=409)
        assert message_of(refused) == f'Workspace "{name}" already exists.'
        assert refused.json()["validations"] == [
            {"field": "name", "detail": "This value is already in use and should be unique."}]
    cluster.api("bob").create(cluster.shell, "echo", name="taken")


def test_unknown_users(cluster, api):
    """Goal: 404 for every task route of a user who is not there."""
    assert message_of(api.create(cluster.shell, "x", user="nobody-here", expect=404))
    assert message_of(api.create(cluster.shell, "x", user=SOME_UUID, expect=404))
    message_of(api.get("/tasks/nobody-here/some-task", expect=404))


@pytest.mark.parametrize("method, verb", [("GET", ""), ("DELETE", ""), ("PATCH", "/input"),
                                          ("POST", "/send"), ("GET", "/logs"), ("POST", "/pause"),
                                          ("POST", "/resume")])
@pytest.mark.parametrize("task", [SOME_UUID, NIL_UUID, "no-such-task", "%00", "a%2Fb"])
def test_unknown_tasks(cluster, api, method, verb, task):
    """Goal: 404 with Coder's sentence on every route."""
    refused = api.request(method, f"/tasks/me/{task}{verb}", json={"input": "x"}, expect=(400, 404))
    if refused.status_code == 404:
        assert message_of(refused) in (NOT_FOUND, "Route not found.")


@pytest.mark.parametrize("method, path", [("GET", "/nowhere"), ("GET", "/"), ("PUT", "/tasks/me/x"),
                                          ("GET", "/tasks/me/x/y/z"), ("POST", "/tasks")])
def test_unknown_routes(cluster, api, method, path):
    """Goal: 404 (405 where the path exists) in Coder's shape."""
    refused = api.request(method, path, expect=(404, 405))
    if refused.status_code == 404:
        assert message_of(refused) == "Route not found."


@pytest.mark.parametrize("token", [None, "", "nonsense", "0123456789-" + "x" * 22, "short-secret",
                                   SOME_UUID, pytest.param("a" * 5000, id="long")])
@pytest.mark.parametrize("method, path", [("GET", "/tasks"), ("POST", "/tasks/me"), ("GET", "/users/me"),
                                          ("DELETE", "/tasks/me/x"), ("POST", "/files")])
def test_no_token_no_answer(cluster, method, path, token):
    """Goal: 401 with Coder's sentence, whatever the token is made of."""
    api = cluster.api().with_token(token)
    refused = api.request(method, path, expect=(401, 431) if token and len(token) > 1000 else 401)
    if refused.status_code == 401:
        assert message_of(refused) == SIGNED_OUT


def test_every_place_for_a_token(cluster):
    """Goal: cookie, query, both headers and access_token are looked at."""
    nobody = cluster.api().with_token(None)
    token = cluster.session.tokens["admin"]
    for arguments in ({"cookies": {"coder_session_token": token}},
                      {"params": {"coder_session_token": token}},
                      {"headers": {"Coder-Session-Token": token}},
                      {"headers": {"Authorization": f"Bearer {token}"}},
                      {"params": {"access_token": token}}):
        assert Api(nobody.base, None).get("/users/me", expect=200, **arguments).json()["username"] == "admin"


def test_a_revoked_and_an_expired_key(cluster):
    """Goal: 401 soon after a key is revoked or has expired; a suspended user is out as well."""
    carol = cluster.api("carol")
    carol.me()
    for column, undo in (("revoked_at", None), ("expires_at", None)):
        cluster.sql(f"UPDATE api_keys SET {column} = now() - interval '1 minute' FROM users u "
                    "WHERE u.id = user_id AND u.username = 'carol'")
        wait_until(lambda: carol.get("/users/me").status_code == 401, f"{column} counts", 40, 0.2)
        cluster.sql(f"UPDATE api_keys SET {column} = %s FROM users u WHERE u.id = user_id "
                    "AND u.username = 'carol'", undo)
        wait_until(lambda: carol.get("/users/me").status_code == 200, "it is good again", 40, 0.2)


def test_another_users_task(cluster, api):
    """Goal: 404 for a member, in every way to name it; an owner of the deployment may see it."""
    bob, carol = cluster.api("bob"), cluster.api("carol")
    task = bob.wait_complete(bob.create(cluster.shell, "echo private", name="private"))
    for path in (f"/tasks/me/{task['id']}", f"/tasks/bob/{task['id']}", "/tasks/bob/private",
                 f"/tasks/me/{task['id']}/logs"):
        assert message_of(carol.get(path, expect=404)) == NOT_FOUND
    for verb in ("pause", "resume", "send"):
        carol.post(f"/tasks/bob/{task['id']}/{verb}", {"input": "echo mine"}, expect=404)
    carol.delete(f"/tasks/bob/{task['id']}", expect=404)
    carol.patch(f"/tasks/bob/{task['id']}/input", {"input": "x"}, expect=404)
    carol.create(cluster.shell, "echo for bob", user="bob", expect=(403, 404))
    assert bob.task(task)["current_state"]["message"] == "private"
    assert api.task(task)["id"] == task["id"]
    assert api.get(f"/tasks/me/{task['id']}", expect=200).json()["owner_name"] == "bob"


def test_a_prompt_over_the_limit(cluster, api):
    """Goal: more than 1 MiB of prompt is refused with a sentence, before anything is stored."""
    refused = api.create(cluster.shell, "x" * (1024 * 1024 + 1), expect=(400, 413), name="too-big")
    message_of(refused)
    api.get("/tasks/me/too-big", expect=404)


def test_oversized_bodies(cluster, api):
    """Goal: 413 with Coder's sentence, without reading it all; the gateway stays well."""
    refused = api.request("POST", "/tasks/me", data=b'{"input": "' + b"x" * (20 << 20) + b'"}', expect=413)
    assert message_of(refused) == "Request body too large."
    api.me()


def test_a_body_that_never_comes(cluster, api):
    """Goal: a client that announces a body and hangs up, or sends garbage, harms nobody."""
    where = urlsplit(cluster.gateway.url)
    token = cluster.session.tokens["admin"]
    head = (f"POST /api/v2/tasks/me HTTP/1.1\r\nHost: x\r\nCoder-Session-Token: {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"inp")
    for text in (head, head.replace("1000", "-5"), head.replace("1000", "99999999999999999999"),
                 head.replace("HTTP/1.1", "HTTP/9.9"), "\r\n\r\n\r\n", "\x00\x01\x02\x03" * 100,
                 "GET " + "/x" * 20000 + " HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n" + "A: b\r\n" * 5000,
                 "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
        with socket.create_connection((where.hostname, where.port), 5) as connection:
            try:
                connection.sendall(text.encode("latin-1"))
            except ConnectionError:
                pass
    api.me()


def test_many_requests_on_one_connection(cluster, api):
    """Goal: keep-alive works for answers of every kind."""
    for _ in range(20):
        api.me()
        api.get("/tasks/me/none", expect=404)
        api.request("POST", "/tasks/me", data=b"{", expect=400)
        api.request("POST", "/tasks/me", data=b"x" * 300000, expect=400)


def test_html_is_escaped_in_errors(cluster, api):
    """Goal: as Go writes JSON, so that an error page cannot carry a script."""
    refused = api.create(cluster.shell, "x", name="<script>alert(1)</script>", expect=400)
    message_of(refused)
    assert "<" not in refused.text
