# SPDX-License-Identifier: Apache-2.0
"""People and their keys: Coder's shapes, what ends a key at once, and who may change whom."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
import requests

from lib.api import Api, message_of
from lib.wait import wait_until

CLUSTER = dict(workers=0, gateways=2)
PASSWORD = "correct horse battery"
numbers = count(1)


@pytest.fixture
def person(cluster, api):
    """person(**fields) makes a user; gives {id, username, …} with an Api of his own in "api"."""

    def make(**fields):
        name = f"p{next(numbers)}"
        body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD} | fields
        user = api.post("/users", body, expect=201).json()
        if body.get("password"):
            user["api"] = login(cluster, body["email"])
        return user

    return make


def login(cluster, email, password=PASSWORD):
    answer = requests.post(cluster.gateway.url + "/api/v2/users/login",
                           json={"email": email, "password": password}, timeout=20)
    assert answer.status_code == 201, answer.text
    return Api(lambda: cluster.gateway.url, answer.json()["session_token"])


def other_gateway(cluster, api):
    return Api(lambda: cluster.gateways[1].url, api.token)


# ---- making and showing


def test_a_user_in_coders_shape(api, person):
    """Goal: every field that Coder's clients read, and the person's own token works."""
    user = person(name="Ada L", roles=["auditor"], github_com_user_id=583231)
    assert {k: user[k] for k in ("name", "status", "login_type", "github_com_user_id")} == {
        "name": "Ada L", "status": "active", "login_type": "password", "github_com_user_id": 583231}
    assert user["roles"] == [{"name": "auditor", "display_name": "Auditor"}]
    assert {"avatar_url", "created_at", "updated_at", "last_seen_at", "theme_preference"} <= set(user)
    assert user["organization_ids"] == [api.organization_id()]
    for word in (user["id"], user["username"], user["username"].upper()):
        assert api.get(f"/users/{word}", expect=200).json()["id"] == user["id"]
    assert user["api"].me()["id"] == user["id"]
    assert user["api"].get("/users/me/login-type", expect=200).json() == {"login_type": "password"}
    assert api.get("/users/authmethods", expect=200).json()["password"] == {"enabled": True}
    assert [r["name"] for r in api.get("/users/roles", expect=200).json()] == [
        "owner", "template-admin", "auditor"]


@pytest.mark.parametrize("fields, status, field", [
    ({"username": "me"}, 400, "username"), ({"username": "a b"}, 400, "username"),
    ({"username": "login"}, 400, "username"), ({"username": ""}, 400, "username"),
    ({"email": "nowhere"}, 400, "email"), ({"email": ""}, 400, "email"),
    ({"password": "short"}, 400, "password"), ({"password": "x" * 257}, 400, "password"),
    ({"login_type": "none"}, 400, "password"), ({"login_type": "magic"}, 400, "login_type"),
    ({"roles": ["king"]}, 400, "roles"), ({"roles": [7]}, 400, None),
    ({"user_status": "gone"}, 400, "user_status"), ({"name": "n" * 129}, 400, "name"),
    ({"organization_ids": ["00000000-0000-0000-0000-000000000001"]}, 404, None),
    ({"username": "admin"}, 409, "username"), ({"email": "ADMIN@example.com"}, 409, "email"),
])
def test_users_that_cannot_be(api, fields, status, field):
    """Goal: a clear refusal that names the field."""
    name = f"p{next(numbers)}"
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD} | fields
    answer = api.post("/users", body, expect=status)
    assert message_of(answer)
    if field:
        assert answer.json()["validations"][0]["field"] == field


def test_search_and_pages(api, person):
    """Goal: q= with its keys, count of all that match, limit, offset and after_id."""
    found = sorted(person(username=f"seek{i}{next(numbers)}", github_com_user_id=9000 + i)["username"]
                   for i in range(3))

    def names(expect=200, **params):
        body = api.get("/users", params=params, expect=expect).json()
        return body if expect != 200 else ([u["username"] for u in body["users"]], body["count"])

    assert names(q="seek") == (found, 3)
    assert names(q="SEEK", limit=2) == (found[:2], 3)
    assert names(q="seek", limit=2, offset=2) == (found[2:], 3)
    first = api.get(f"/users/{found[0]}").json()["id"]
    assert names(q="seek", after_id=first) == (found[1:], 3)
    assert names(q="github_com_user_id:9001") == (found[1:2], 1)
    assert names(q="github_com_user_id:123456789") == ([], 0)
    assert "admin" in names(q="role:owner status:active")[0]
    assert names(q="status:suspended seek") == ([], 0)
    for query in ("status:nothing", "github_com_user_id:x", "color:red", "a:b:c"):
        assert names(400, q=query)["message"] == "Invalid user search query."
    for page in ({"limit": "-1"}, {"offset": "x"}, {"after_id": "x"}):
        assert names(400, **page)["validations"][0]["field"] == list(page)[0]


def test_members_see_themselves_alone(api, person):
    """Goal: for a member the others do not exist; an auditor reads them and changes nobody."""
    member, auditor = person(), person(roles=["auditor"])
    mine = member["api"]
    body = mine.get("/users", params={"q": "admin"}, expect=200).json()
    assert body == {"users": [], "count": 0}
    assert [u["id"] for u in mine.get("/users").json()["users"]] == [member["id"]]
    organization = api.organization_id()
    assert [m["user_id"] for m in mine.get(f"/organizations/{organization}/members").json()] == [member["id"]]
    mine.get("/users/admin", expect=404)
    assert auditor["api"].get("/users/admin", expect=200).json()["username"] == "admin"
    assert auditor["api"].get("/users").json()["count"] > 2
    for path, reader in ((f"/users/{member['id']}/profile", auditor), ("/users/admin/profile", member)):
        reader["api"].request("PUT", path, json={"username": "x", "name": ""}, expect=404)
    auditor["api"].get(f"/users/{member['id']}/keys/tokens", expect=404)


# ---- changing


def test_profile(api, person):
    """Goal: name and username by oneself; the GitHub number by an owner alone."""
    user = person()
    changed = user["api"].request("PUT", "/users/me/profile", json={
        "username": user["username"] + "x", "name": "New Name"}, expect=200).json()
    assert (changed["username"], changed["name"]) == (user["username"] + "x", "New Name")
    assert user["api"].me()["username"] == user["username"] + "x"
    body = {"username": changed["username"], "name": "", "github_com_user_id": 4711}
    user["api"].request("PUT", "/users/me/profile", json=body, expect=403)
    path = f"/users/{user['id']}/profile"
    assert api.request("PUT", path, json=body, expect=200).json()["github_com_user_id"] == 4711
    taken = api.request("PUT", path, json={"username": "admin", "name": ""}, expect=409)
    assert taken.json()["validations"][0]["field"] == "username"
    seen = user["api"].request("PUT", "/users/me/appearance", json={
        "theme_preference": "dark", "terminal_font": "fira-code"}, expect=200).json()
    assert seen == {"theme_preference": "dark", "terminal_font": "fira-code"}
    assert user["api"].get("/users/me/appearance", expect=200).json() == seen


def test_roles_work_at_once(cluster, api, person):
    """Goal: a role that is given or taken counts for the next request at every gateway."""
    user = person()
    both = (user["api"], other_gateway(cluster, user["api"]))
    path = f"/users/{user['id']}/roles"
    for round_ in range(3):
        for roles, status in ((["auditor"], 200), ([], 403)):
            for one in both:
                one.get("/audit")  # is remembered as what it was
            api.request("PUT", path, json={"roles": roles}, expect=200)
            assert user["api"].get("/audit").status_code == status
            wait_until(lambda: both[1].get("/audit").status_code == status, "the other has heard", 1.5)
    assert api.get(path, expect=200).json()["roles"] == ["member"]
    user["api"].request("PUT", "/users/me/roles", json={"roles": ["owner"]}, expect=403)
    api.request("PUT", "/users/me/roles", json={"roles": []}, expect=400)
    for body in ({"roles": ["king"]}, {"roles": "owner"}, {"roles": [["owner"]]}, {}, {"roles": None}):
        api.request("PUT", path, json=body, expect=400)
    twice = api.request("PUT", path, json={"roles": ["auditor", "member", "auditor"]}, expect=200).json()
    assert [r["name"] for r in twice["roles"]] == ["auditor"]


def test_suspended_at_once(cluster, api, person):
    """Goal: a suspended user's keys are refused at once, here and at the other gateway, and good again after."""
    user = person()
    both = (user["api"], other_gateway(cluster, user["api"]))
    for one in both:
        one.me()
    answer = api.request("PUT", f"/users/{user['id']}/status/suspend", expect=200)
    assert answer.json()["status"] == "suspended"
    assert "suspended" in message_of(both[0].get("/users/me", expect=401))
    wait_until(lambda: both[1].get("/users/me").status_code == 401, "the other has heard", 1.5)
    refused = requests.post(cluster.gateway.url + "/api/v2/users/login", timeout=20, json={
        "email": user["email"], "password": PASSWORD})
    assert refused.status_code == 401 and "suspended" in refused.json()["message"]
    api.request("PUT", f"/users/{user['id']}/status/activate", expect=200)
    assert both[0].me()["status"] == "active"
    assert message_of(api.request("PUT", "/users/me/status/suspend", expect=400)) == (
        "You cannot suspend yourself.")
    owner = person(roles=["owner"])
    api.request("PUT", f"/users/{owner['id']}/status/suspend", expect=400)
    user["api"].request("PUT", "/users/me/status/activate", expect=403)


def test_password(cluster, api, person):
    """Goal: one's own by the old one; with it go all keys; an owner sets those of others."""
    user = person()
    put = lambda who, whom, **body: who.request("PUT", f"/users/{whom}/password", json=body)  # noqa: E731
    assert put(user["api"], "me", old_password="wrong wrong", password="another one").status_code == 400
    assert put(user["api"], "me", password="another one").status_code == 400
    same = put(user["api"], "me", old_password=PASSWORD, password=PASSWORD)
    assert message_of(same) == "New password cannot match old password."
    assert put(user["api"], "me", old_password=PASSWORD, password="short").status_code == 400
    assert put(user["api"], "me", old_password=PASSWORD, password="another one").status_code == 204
    user["api"].get("/users/me", expect=401)
    user["api"] = login(cluster, user["email"], "another one")
    assert put(api, user["id"], password="a third one").status_code == 204
    user["api"].get("/users/me", expect=401)
    login(cluster, user["email"], "a third one")
    other = person()
    assert put(other["api"], user["id"], password="stolen stolen").status_code == 404
    silent = person(login_type="none", password="")
    assert "password login type" in message_of(put(api, silent["id"], password="some password"))


def test_delete(cluster, api, person):
    """Goal: a deleted user is gone, with his keys; his name is free."""
    user = person()
    other = other_gateway(cluster, user["api"])
    other.me()
    answer = api.delete(f"/users/{user['id']}", expect=200)
    assert message_of(answer) == "User has been deleted!"
    user["api"].get("/users/me", expect=401)
    wait_until(lambda: other.get("/users/me").status_code == 401, "the other has heard", 1.5)
    api.get(f"/users/{user['id']}", expect=404)
    api.delete(f"/users/{user['id']}", expect=404)
    person(username=user["username"])
    assert message_of(api.delete("/users/me", expect=400)) == "You cannot delete yourself!"
    person()["api"].delete("/users/me", expect=403)


# ---- keys


def test_tokens(cluster, api, person):
    """Goal: named tokens: made, listed, found by name and id, revoked; the secret is shown once."""
    user = person()
    mine = user["api"]
    key = mine.post("/users/me/keys/tokens", {
        "token_name": "ci", "scope": "all", "lifetime": 3600 * 10**9}, expect=201).json()["key"]
    assert mine.with_token(key).me()["id"] == user["id"]
    [listed] = mine.get("/users/me/keys/tokens", expect=200).json()
    assert listed["id"] == key.split("-")[0] and listed["username"] == user["username"]
    assert (listed["token_name"], listed["scope"], listed["login_type"], listed["lifetime_seconds"]) == (
        "ci", "all", "token", 3600)
    secret = key.split("-")[1]
    answers = [mine.get(path, expect=200) for path in (
        "/users/me/keys/tokens", "/users/me/keys/tokens/CI", f"/users/me/keys/{listed['id']}")]
    assert all(secret not in a.text for a in answers)
    assert answers[1].json() == answers[2].json() == listed
    assert "already exists" in message_of(mine.post("/users/me/keys/tokens", {"token_name": "ci"}, expect=409))
    for body in ({"scope": "everything"}, {"lifetime": -1}, {"lifetime": 9 * 10**18}, {"token_name": "a b"},
                 {"scopes": ["all", "read"]}, {"lifetime": "1h"}, {"scopes": "read"}, {"scopes": [1]},
                 {"scope": "all", "scopes": ["read"]}, {"allow_list": ["task:1"]}):
        mine.post("/users/me/keys/tokens", body, expect=400)
    assert mine.get("/users/me/keys/tokens/tokenconfig", expect=200).json()["max_token_lifetime"] > 0
    person()["api"].delete(f"/users/me/keys/{listed['id']}", expect=404)
    mine.delete(f"/users/me/keys/{listed['id']}", expect=204)
    mine.with_token(key).get("/users/me", expect=401)
    mine.delete(f"/users/me/keys/{listed['id']}", expect=404)
    mine.post("/users/me/keys/tokens", {"token_name": "ci"}, expect=201)
    [(n,)] = cluster.sql("SELECT count(*) FROM api_keys WHERE hashed_secret = %s", secret.encode())
    assert n == 0, "the secret itself is never stored"


def test_revoked_everywhere_at_once(cluster, person):
    """Goal: a revoked key is refused by the gateway that has it in memory, well before it would forget."""
    user = person()
    for _ in range(5):
        key = user["api"].post("/users/me/keys/tokens", expect=201).json()["key"]
        one, two = user["api"].with_token(key), other_gateway(cluster, user["api"].with_token(key))
        one.me(), two.me()
        user["api"].delete(f"/users/me/keys/{key.split('-')[0]}", expect=204)
        one.get("/users/me", expect=401)
        wait_until(lambda: two.get("/users/me").status_code == 401, "the other has heard", 1.5)


def test_revoked_while_it_is_used(cluster, person):
    """Goal: look-ups that cross a revocation are not remembered: nothing gets in after its answer."""
    user = person()
    for _ in range(10):
        key = user["api"].post("/users/me/keys/tokens", expect=201).json()["key"]
        used = user["api"].with_token(key)
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(lambda: [used.get("/users/me").status_code for _ in range(5)])
                     for _ in range(3)]
            user["api"].delete(f"/users/me/keys/{key.split('-')[0]}", expect=204)
            assert used.get("/users/me").status_code == 401
            assert all(set(a.result()) <= {200, 401} for a in asked)
        used.get("/users/me", expect=401)


def test_scopes(person):
    """Goal: a key can do what its scope says, whoever holds it."""
    user = person(roles=["owner"])

    def scoped(scope):
        key = user["api"].post("/users/me/keys/tokens", {"scope": scope}, expect=201).json()["key"]
        return user["api"].with_token(key)

    reading, talking = scoped("read"), scoped("application_connect")
    reading.get("/users", expect=200)
    reading.post("/users/me/keys", expect=403)
    reading.request("PUT", "/users/me/profile", json={"username": "x", "name": ""}, expect=403)
    talking.get("/tasks", expect=200)
    talking.get("/users/me", expect=200)
    for path in ("/users", "/templates", "/audit"):
        talking.get(path, expect=403)
    talking.post("/users/me/keys/tokens", {"scope": "all"}, expect=403)
    talking.post("/tasks/me/nothing/send", {"input": "x"}, expect=404)


def test_keys_end(cluster, api, person):
    """Goal: an expired key is refused to the moment; a login lives on by being used, a token does not."""
    user = person()
    key = user["api"].post("/users/me/keys/tokens", {"lifetime": 1}, expect=201).json()["key"]
    short = user["api"].with_token(key)
    wait_until(lambda: short.get("/users/me").status_code == 401, "it has ended", 2.5)
    assert short.get("/users/me").json()["detail"] == "API key is expired."
    session = user["api"].token.split("-")[0]
    token = user["api"].post("/users/me/keys/tokens", expect=201).json()["key"]
    cluster.sql("UPDATE api_keys SET last_used_at = NULL, expires_at = now() + interval '1 day' "
                "WHERE user_id = %s RETURNING id", user["id"])
    fresh = other_gateway(cluster, user["api"])
    fresh.me(), fresh.with_token(token).me()

    def days(key_id):
        [(left, used)] = cluster.sql("SELECT extract(epoch FROM expires_at - now()) / 86400, last_used_at "
                                     "FROM api_keys WHERE id = %s", key_id)
        return used and left

    assert 29 < wait_until(lambda: days(session), "its use is written", 5) <= 30
    assert wait_until(lambda: days(token.split("-")[0]), "its use is written", 5) <= 1


def test_use_is_written_once_a_minute(cluster, person):
    """Goal: a busy key costs one write a minute, however many gateways it is used at."""
    user = person()
    both = (user["api"], other_gateway(cluster, user["api"]))
    key_id = user["api"].token.split("-")[0]
    look = lambda: cluster.sql("SELECT last_used_at, xmin::text FROM api_keys WHERE id = %s", key_id)[0]  # noqa: E731
    both[0].me()
    first = wait_until(lambda: (lambda row: row[0] and row)(look()), "it is written", 5)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        for one in both:
            one.me()
    assert look() == first
    assert user["api"].me()["last_seen_at"] > "2026"


def test_so_many_keys(cluster, person):
    """Goal: keys of one user have a bound, and a clear refusal beyond it."""
    user = person()
    cluster.sql("INSERT INTO api_keys (id, user_id, hashed_secret, login_type) "
                "SELECT 'k' || to_char(i, 'FM000000000'), %s, sha256(i::text::bytea), 'token' "
                "FROM generate_series(1, 1000) AS i RETURNING id", user["id"])
    refused = user["api"].post("/users/me/keys/tokens", expect=409)
    assert "1000" in message_of(refused)
    cluster.sql("UPDATE api_keys SET revoked_at = now() WHERE user_id = %s AND id LIKE 'k0%%' RETURNING id",
                user["id"])
    user["api"].post("/users/me/keys/tokens", expect=201)


# ---- sessions by cookie


def browser(cluster, user):
    """A session that has the cookie as a browser would."""
    session = requests.Session()
    session.trust_env = False
    answer = session.post(cluster.gateway.url + "/api/v2/users/login", timeout=20, json={
        "email": user["email"], "password": PASSWORD})
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie, cookie
    assert session.cookies["coder_session_token"] == answer.json()["session_token"]
    return session


@pytest.mark.parametrize("headers, ok", [
    ({}, True),
    ({"Origin": "{base}"}, True),
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "none"}, True),
    ({"Origin": "https://evil.example"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": "{base}.evil.example"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, False),
    ({"Origin": "https://evil.example", "Coder-Session-Token": "{token}"}, True),
])
def test_forged_requests(cluster, person, headers, ok):
    """Goal: a cookie changes something for a page of ours alone; reading and header tokens are exempt."""
    session = browser(cluster, person())
    base = cluster.gateway.url
    sent = {k: v.format(base=base, token=session.cookies["coder_session_token"]) for k, v in headers.items()}
    answer = session.post(base + "/api/v2/users/me/keys", headers=sent, timeout=10)
    assert answer.status_code == (201 if ok else 403), answer.text
    if not ok:
        assert "CSRF" in message_of(answer)
    assert session.get(base + "/api/v2/users/me", headers=sent, timeout=10).status_code == 200
    if headers.get("Origin") and not ok:
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                   "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
        refused = session.get(base + "/api/v2/users/me", headers=sent | upgrade, timeout=10)
        assert refused.status_code >= 400, "a WebSocket of a foreign page"


def test_logout(cluster, person):
    """Goal: the session ends at every gateway, the cookie is taken back, other keys live on."""
    user = person()
    session = browser(cluster, user)
    token = session.cookies["coder_session_token"]
    other = Api(lambda: cluster.gateways[1].url, token)
    other.me()
    answer = session.post(cluster.gateway.url + "/api/v2/users/logout", timeout=10)
    assert answer.status_code == 200 and message_of(answer) == "Logged out!"
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    wait_until(lambda: other.get("/users/me").status_code == 401, "the other has heard", 1.5)
    user["api"].me()
