# SPDX-License-Identifier: Apache-2.0
"""What people with an account may try: to exhaust a gateway, to get around its counting, to leave it
without an owner.
"""

import json
import signal
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from lib.api import OWN, Api
from lib.wait import wait_until
from lib.websocket import WebSocket

CLUSTER = dict(workers=1, gateways=2, gateway={
    "trusted_proxies": "127.0.0.1", "connections_max": 600, "connections_per_address_max": 0})
PASSWORD = "correct horse battery"


def user(cluster, api, roles=()):
    name = "u" + uuid.uuid4().hex[:8]
    made = api.post("/users", {"username": name, "email": f"{name}@example.com", "password": PASSWORD,
                               "roles": list(roles)}, expect=201).json()
    return made, Api(api.base, login(cluster, made, PASSWORD, None).json()["session_token"])


def login(cluster, who, password, forwarded):
    return requests.post(cluster.gateway.url + "/api/v2/users/login", timeout=10,
                         json={"email": who["email"], "password": password},
                         headers={"X-Forwarded-For": forwarded} if forwarded else {})


def test_owners_who_demote_each_other(cluster, api):
    """Goal: one is left.  Method: both ask at the same moment, each another gateway that remembers
    him as an owner."""
    admin = api.me()["id"]
    for _ in range(4):
        other, his = user(cluster, api, ["owner"])
        his = Api(lambda: cluster.gateways[1].url, his.token)
        api.me(), his.me()
        with ThreadPoolExecutor(2) as pool:
            answers = [pool.submit(a.request, "PUT", f"/users/{whom}/roles", json={"roles": []})
                       for a, whom in ((api, other["id"]), (his, admin))]
            assert sorted(a.result().status_code for a in answers)[0] == 200
        left = cluster.sql("SELECT id FROM users WHERE 'owner' = ANY (roles) AND deleted_at IS NULL")
        assert len(left) == 1
        cluster.sql("UPDATE users SET roles = '{owner}' WHERE id = %s", admin)
        cluster.sql("UPDATE users SET roles = '{}' WHERE id = %s", other["id"])
        wait_until(lambda: api.get("/users?q=").json().get("count", 0) > 1, "it is an owner again", 10)


def test_a_long_list_of_proxies_hides_nobody(cluster, api):
    """Goal: the client's address is found behind as many others as a request can hold."""
    who, _ = user(cluster, api)
    for forwarded in ("203.0.113.9", "1.1.1.1, " * 500 + "203.0.113.9"):
        login(cluster, who, PASSWORD, forwarded)
        [[ip]] = cluster.sql("SELECT ip FROM audit_log WHERE actor_id = %s ORDER BY id DESC LIMIT 1", who["id"])
        assert ip == "203.0.113.9"


def test_guesses_under_changing_names(cluster, api):
    """Goal: tries of an old password are counted for the person, however he calls himself."""
    _, his = user(cluster, api)
    codes = []
    for i in range(12):
        if i % 4 == 3:
            his.request("PUT", "/users/me/profile", json={"username": f"n{i}-{uuid.uuid4().hex[:6]}", "name": ""},
                        expect=200)
        codes.append(his.request("PUT", "/users/me/password", json={
            "old_password": "wrong wrong", "password": "another one"}).status_code)
    assert 429 in codes


def test_json_of_very_many_values(cluster):
    """Goal: what is small on the wire and large in memory is refused before it is taken apart."""
    body = '{"operations":[{"op":"delete","task":"x","x":[%s{}]}]}' % ("{}," * 2_000_000)
    answer = cluster.api("bob").request("POST", "/tasks/bulk", prefix=OWN, data=body,
                                        headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_a_prompt_full_of_commas(cluster, api):
    """Goal: what looks like values in a text is text."""
    prompt = "echo ok\n: " + "1,2,[{\\\"" * 50_000
    task = api.create(cluster.shell, prompt)
    assert task["initial_prompt"] == prompt


def test_as_many_websockets_as_connections(cluster, api):
    """Goal: a gateway full of WebSockets still answers those who are connected, and is none the worse
    afterwards."""
    task = api.wait_complete(api.create(cluster.shell, "echo x"))
    url = cluster.gateway.url + f"/api/v2/workspaces/{task['workspace_id']}/watch-ws"
    open_ones = []
    try:
        for _ in range(590):
            open_ones.append(WebSocket(url, api.token, timeout=10))
        api.get("/users/me", expect=200)
    finally:
        for one in open_ones:
            one.close()
    assert len(open_ones) == 590


class Slow(BaseHTTPRequestHandler):
    """A provider of logins that takes its time."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.set()
        self.server.over.wait(7)
        at = f"http://127.0.0.1:{self.server.server_address[1]}"
        body = json.dumps({"issuer": at, "authorization_endpoint": at + "/a", "token_endpoint": at + "/t",
                           "jwks_uri": at + "/k", "keys": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_told_to_stop_amid_a_login(clusters):
    """Goal: a gateway that waits for a provider ends in order; the sanitizers have nothing to say."""
    provider = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    provider.asked, provider.over = threading.Event(), threading.Event()
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    cluster = clusters(workers=0, gateway={
        "oidc_issuer_url": f"http://127.0.0.1:{provider.server_address[1]}", "oidc_client_id": "stint"})

    def ask():
        try:
            requests.get(cluster.gateway.url + "/api/v2/users/oidc/callback", timeout=15, allow_redirects=False)
        except requests.ConnectionError:
            pass

    asker = threading.Thread(target=ask)
    asker.start()
    assert provider.asked.wait(10)
    cluster.gateway.signal(signal.SIGTERM)
    assert cluster.gateway.wait_exit(25) == 0
    provider.over.set()
    asker.join()
    provider.shutdown()
