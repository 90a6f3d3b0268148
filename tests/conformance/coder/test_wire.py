# SPDX-License-Identifier: Apache-2.0
"""What is the same on every route: errors, content types, tokens, headers, methods."""

import http.client
import re
from urllib.parse import urlsplit

import pytest

from lib import shapes
from lib.api import EXPERIMENTAL, STABLE, Api
from lib.shapes import refusal

CLUSTER = dict(workers=1)

SIGNED_OUT = "You are signed out or your session has expired. Please sign in again to continue."
NO_ROUTE = "Route not found."


@pytest.fixture(scope="module")
def task(cluster):
    api = cluster.api()
    return api.wait_complete(api.create(cluster.shell, "echo up", name="here"))


def raw(cluster, method, path, headers=None, body=None):
    """One request without any help: (status, headers with lower-case names, body)."""
    where = urlsplit(cluster.gateway.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def token_of(cluster):
    return {"Coder-Session-Token": cluster.session.tokens["admin"]}


# ---------------------------------------------------------------- routes

@pytest.mark.parametrize("path", ["/nowhere", "/tasks/me/here/nothing", "/tasks/me/here/logs/1", "/tasksx",
                                  "/task", "/TASKS", "/tasks/me/here/stop", "/tasks/me/here/status"])
def test_an_unknown_route(cluster, prefix, path):
    """404 in Coder's shape, with a token and without."""
    for headers in (token_of(cluster), {}):
        status, got, body = raw(cluster, "GET", prefix + path, headers)
        assert (status, body) == (404, b'{"message":"Route not found."}\n')
        assert got["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_an_unknown_route_by_every_method(cluster, prefix, method):
    status, _, body = raw(cluster, method, prefix + "/nowhere", token_of(cluster), b"")
    assert (status, body) == (404, b'{"message":"Route not found."}\n')


@pytest.mark.parametrize("path", ["", "/"])
def test_the_prefix_alone(cluster, path):
    """Says no more than that it is there."""
    for prefix in (STABLE, EXPERIMENTAL):
        status, _, body = raw(cluster, "GET", prefix + path)
        assert status in (200, 404) and (status == 200 or b"Route not found." in body)


def test_routes_of_the_stable_prefix_alone(cluster, v2):
    """Only the tasks have both."""
    for path in ("/users/me", "/templates", "/buildinfo", "/organizations/default"):
        refusal(v2.get(path, prefix=EXPERIMENTAL), 404, NO_ROUTE)


@pytest.mark.parametrize("method, path", [("PUT", "/tasks/me/here"), ("PATCH", "/tasks/me/here"), ("POST", "/tasks"),
                                          ("GET", "/tasks/me/here/send"), ("PUT", "/tasks/me/here/input")])
def test_a_method_that_a_path_does_not_have(cluster, api, method, path):
    """405 that tells which it has; nothing is done."""
    answer = api.request(method, path, data=b"{}")
    assert answer.status_code == 405, answer.text
    assert answer.headers["Allow"], answer.headers
    if answer.content:
        shapes.check(shapes.error, answer, 405)


def test_there_is_no_other_way_to_change_a_task(api, task):
    """No renaming, no setting of a status, no batch."""
    for method, path in (("PUT", "/tasks/me/here"), ("PATCH", "/tasks/me/here"), ("DELETE", "/tasks/me"),
                         ("DELETE", "/tasks"), ("PUT", "/tasks/me/here/status")):
        assert api.request(method, path, json={"name": "other"}).status_code in (404, 405)
    assert api.task(task)["name"] == "here"


def test_head(cluster, prefix, task):
    """As GET, without a body."""
    status, headers, body = raw(cluster, "HEAD", f"{prefix}/tasks/me/here", token_of(cluster))
    assert body == b"" and status in (200, 405)


def test_no_route_redirects(cluster, prefix):
    for path in ("/tasks/", "//tasks", "/tasks/me/here/", "/./tasks"):
        status, headers, _ = raw(cluster, "GET", prefix + path, token_of(cluster))
        assert status not in range(300, 400) and "location" not in headers, path


# ---------------------------------------------------------------- bodies

def test_json_is_as_go_writes_it(cluster, prefix, task):
    """Compact, on one line, with a newline at the end."""
    for path in ("/tasks/me/here", "/tasks", "/tasks/me/nothing", "/tasks?q=x:1"):
        _, headers, body = raw(cluster, "GET", prefix + path, token_of(cluster))
        assert headers["content-type"] == "application/json; charset=utf-8"
        assert body.endswith(b"}\n") and body.count(b"\n") == 1, body[-50:]
        assert not re.search(rb'": |, "', body), "compact"


def test_empty_fields_of_an_error_are_left_out(cluster, prefix):
    _, _, body = raw(cluster, "GET", prefix + "/tasks/me/nothing", token_of(cluster))
    assert body == (b'{"message":"Resource not found or you do not have access to this resource"}\n')


def test_html_is_escaped(cluster, api):
    """<, > and & never appear as themselves, nor do the two line separators of Unicode."""
    answer = api.post("/tasks/me", {"template_version_id": cluster.shell.version_id, "input": "<b>&\u2028\u2029</b>"})
    shapes.check(shapes.task, answer, 201)
    assert r"\u003cb\u003e\u0026\u2028\u2029\u003c/b\u003e" in answer.text
    answer = api.get("/tasks", params={"q": "<&>:1"})
    assert r"\u003c\u0026\u003e" in answer.text
    shapes.check(shapes.error, answer, 400)


def test_every_answer_tells_the_version(cluster, prefix, task):
    """2.34 or less, for the VS Code view hides itself from later servers."""
    for method, path, headers in (("GET", "/tasks", token_of(cluster)), ("GET", "/tasks", {}),
                                  ("GET", "/nowhere", {}), ("POST", "/tasks/me", token_of(cluster)),
                                  ("PUT", "/tasks", token_of(cluster))):
        _, got, _ = raw(cluster, method, prefix + path, headers, b"" if method != "GET" else None)
        version = re.fullmatch(r"v(\d+)\.(\d+)\.\d+.*", got["x-coder-build-version"])
        assert version and (int(version[1]), int(version[2])) == (2, 34)


def test_lengths_are_told(cluster, prefix, task):
    """A client that reads by Content-Length gets the whole body."""
    _, headers, body = raw(cluster, "GET", prefix + "/tasks/me/nothing", token_of(cluster))
    assert headers.get("content-length") == str(len(body)) or headers.get("transfer-encoding") == "chunked"


# ---------------------------------------------------------------- tokens

ROUTES = [("GET", "/tasks"), ("POST", "/tasks/me"), ("GET", "/tasks/me/here"), ("DELETE", "/tasks/me/here"),
          ("PATCH", "/tasks/me/here/input"), ("POST", "/tasks/me/here/send"), ("GET", "/tasks/me/here/logs"),
          ("POST", "/tasks/me/here/pause"), ("POST", "/tasks/me/here/resume")]


@pytest.mark.parametrize("method, path", ROUTES)
def test_no_token(api, method, path):
    """401 before anything else is looked at."""
    refusal(Api(api.base, None).request(method, path, prefix=api.prefix, data=b"{"), 401, SIGNED_OUT)


@pytest.mark.parametrize("token", [
    "nonsense", "0123456789", "0123456789-", "-" + "x" * 22, "0123456789-" + "x" * 22, "012345678-" + "x" * 22,
    "0123456789-" + "x" * 21, "0123456789-" + "x" * 23, "01234-56789-" + "x" * 22,
    "7d0bd6d9-35d4-4a3c-9a0e-0f1fd1a1c9b2", "0123456789_" + "x" * 22])
def test_a_token_of_another_form(api, token):
    """Ten characters, a hyphen, twenty-two characters."""
    shapes.check(shapes.error, Api(api.base, token).get("/tasks", prefix=api.prefix), 401)


def test_the_right_id_with_another_secret(cluster, api):
    token = cluster.session.tokens["admin"]
    shapes.check(shapes.error, Api(api.base, token[:11] + "x" * 22).get("/tasks", prefix=api.prefix), 401)


PLACES = {
    "the cookie": lambda t: {"cookies": {"coder_session_token": t}},
    "the query": lambda t: {"params": {"coder_session_token": t}},
    "the header": lambda t: {"headers": {"Coder-Session-Token": t}},
    "the bearer": lambda t: {"headers": {"Authorization": f"Bearer {t}"}},
    "access_token": lambda t: {"params": {"access_token": t}},
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_for_the_token(cluster, place):
    token = cluster.session.tokens["bob"]
    answer = Api(lambda: cluster.gateway.url, None).get("/users/me", expect=200, **PLACES[place](token))
    assert answer.json()["username"] == "bob"


@pytest.mark.parametrize("first, second", list(zip(PLACES, list(PLACES)[1:])))
def test_which_place_is_looked_at_first(cluster, first, second):
    """Cookie, query, header, bearer, access_token: the first that is there counts, good or bad."""
    def ask(one, two):
        arguments = {}
        for place, token in ((first, one), (second, two)):
            for key, value in PLACES[place](token).items():
                arguments.setdefault(key, {}).update(value)
        return Api(lambda: cluster.gateway.url, None).get("/users/me", **arguments)

    tokens = cluster.session.tokens
    assert ask(tokens["bob"], tokens["carol"]).json()["username"] == "bob"
    shapes.check(shapes.error, ask("0123456789-" + "x" * 22, tokens["carol"]), 401)


def test_the_bearers_word_in_any_case(cluster):
    for word in ("Bearer", "bearer", "BEARER"):
        Api(lambda: cluster.gateway.url, None).get("/users/me", expect=200, headers={
            "Authorization": f"{word} {cluster.session.tokens['bob']}"})


def test_the_headers_name_in_any_case(cluster):
    for name in ("coder-session-token", "CODER-SESSION-TOKEN"):
        assert raw(cluster, "GET", STABLE + "/users/me", {name: cluster.session.tokens["bob"]})[0] == 200


def test_an_expired_and_a_revoked_token(cluster):
    api = cluster.api()
    for how in ("expires_at", "revoked_at"):
        key = api.post("/users/me/keys", expect=201).json()["key"]
        cluster.sql(f"UPDATE api_keys SET {how} = now() - interval '1 s' WHERE id = %s", key[:10])
        shapes.check(shapes.error, api.with_token(key).get("/users/me"), 401)


def test_a_suspended_user(cluster):
    """Its tokens are of no use before it is active again."""
    cluster.sql("INSERT INTO users (id, username, email, status) VALUES "
                "('00000000-0000-4000-8000-000000000009', 'dave', 'dave@example.com', 'suspended')")
    key = cluster.api().post("/users/dave/keys", expect=201).json()["key"]
    assert cluster.api().with_token(key).get("/users/me").status_code == 401


# ---------------------------------------------------------------- cookies and strangers' pages

def with_cookie(cluster, method, path, headers=None, body=b"{}"):
    cookie = {"Cookie": f"coder_session_token={cluster.session.tokens['admin']}"}
    return raw(cluster, method, path, cookie | (headers or {}), body)


def test_a_cookie_reads(cluster, prefix, task):
    assert with_cookie(cluster, "GET", f"{prefix}/tasks/me/here", body=None)[0] == 200


@pytest.mark.parametrize("method, path", [r for r in ROUTES if r[0] != "GET"])
def test_a_cookie_alone_changes_nothing(cluster, prefix, task, method, path):
    """A page of a stranger can make the browser send it."""
    before = cluster.api().task(task)
    status, headers, _ = with_cookie(cluster, method, prefix + path, {"Origin": "https://stranger.example"})
    assert 400 <= status < 404, status
    assert cluster.api().task(task) == before


def test_a_header_is_no_cookie(cluster, prefix, task):
    """A page of a stranger cannot set it; the same token beside it in a cookie does no harm."""
    body = b'{"input": ""}'
    assert raw(cluster, "POST", f"{prefix}/tasks/me/here/send", token_of(cluster), body)[0] == 400
    assert b"Task input is required." in with_cookie(
        cluster, "POST", f"{prefix}/tasks/me/here/send", token_of(cluster), body)[2]


# ---------------------------------------------------------------- what clients send along

def test_headers_of_the_command_line(cluster, prefix, task):
    """Telemetry, a long User-Agent: of no consequence."""
    headers = token_of(cluster) | {
        "User-Agent": "coder-cli/v2.34.2 (linux/amd64; coder task list)", "Coder-CLI-Telemetry": "eyJ4IjoxfQ==" * 300}
    assert raw(cluster, "GET", f"{prefix}/tasks/me/here", headers)[0] == 200


def test_build_info(cluster, v2):
    """Without a token."""
    body = shapes.check(shapes.record({
        "external_url": shapes.string, "version": shapes.some_string, "dashboard_url": shapes.string,
        "telemetry": shapes.boolean, "workspace_proxy": shapes.boolean, "agent_api_version": shapes.some_string,
        "provisioner_api_version": shapes.some_string, "upgrade_message": shapes.string,
        "deployment_id": shapes.string}, others=True), v2.with_token(None).get("/buildinfo"))
    assert body["version"].startswith("v2.34.")
