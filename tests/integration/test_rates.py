# SPDX-License-Identifier: Apache-2.0
"""Limits per minute and of tries to log in, shared by two gateways through Redis.

The limits of this Stint are small, so that they are reached at once; a test that counts begins early
in a minute of the clock, for the estimate slides.
"""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.api import Api
from lib.wait import wait_until

API, LOGIN, FILES = 30, 20, 4
PASSWORD = "correct horse battery"
CLUSTER = dict(workers=0, gateways=2, gateway={
    "rate_limits": "true", "rate_limit_api": API, "rate_limit_login": LOGIN, "rate_limit_files": FILES,
    "trusted_proxies": "127.0.0.0/8, ::1", "login_failures_max": 3})


@pytest.fixture(autouse=True)
def early():
    wait_until(lambda: time.time() % 60 < 40, "the next minute", 25, interval=0.1)


@pytest.fixture
def gateways(cluster):
    return [Api(lambda g=g: g.url, cluster.session.tokens["bob"]) for g in cluster.gateways]


@pytest.fixture
def address():
    """An address of its own for each test, said by a proxy that is believed."""
    n = uuid.uuid4().bytes
    return {"X-Forwarded-For": f"198.{18 + n[0] % 2}.{n[1]}.{n[2]}"}


def path():
    """One that no test has used: answered 404, and counted."""
    return f"/tasks/me/{uuid.uuid4()}"


def until_refused(api, where, most, **arguments):
    """How many are admitted, one after the other, and the answer that refuses."""
    for n in range(most):
        answer = api.get(where, **arguments)
        if answer.status_code == 429:
            return n, answer
    raise AssertionError(f"{most} requests, and none was refused")


def test_headers_and_refusal(gateways):
    """Goal: Coder's headers count down, then 429 in its words."""
    where = path()
    first = gateways[0].get(where, expect=404)
    assert first.headers["X-RateLimit-Limit"] == str(API)
    assert first.headers["X-RateLimit-Remaining"] == str(API - 1)
    reset = int(first.headers["X-RateLimit-Reset"])
    assert reset % 60 == 0 and 0 < reset - time.time() <= 60
    n, refused = until_refused(gateways[0], where, API + 1)
    assert n == API - 1
    assert refused.json() == {
        "message": f"You've been rate limited for sending more than {API} requests in 1m0s."}
    assert refused.headers["Retry-After"] == "60"
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert "Retry-After" not in first.headers


def test_per_person_and_path(gateways, cluster):
    """Goal: another path, or another person on the same one, has a limit of its own; the shapes
    of problem details below Stint's own prefix."""
    where = path()
    until_refused(gateways[0], where, API + 1)
    gateways[0].get(path(), expect=404)
    carol = gateways[0].with_token(cluster.session.tokens["carol"])
    assert carol.get(where, expect=404).headers["X-RateLimit-Remaining"] == str(API - 1)
    own = f"/tasks/{uuid.uuid4()}/messages"
    _, refused = until_refused(gateways[0], own, API + 1, prefix="/api/stint/v1")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["status"] == 429


def test_shared_by_gateways(gateways):
    """Goal: what one gateway has admitted counts at the other, a tenth of a second later."""
    where = path()
    for _ in range(20):
        gateways[0].get(where, expect=404)
    gateways[1].get(where, expect=404)
    wait_until(lambda: int(gateways[1].get(where).headers["X-RateLimit-Remaining"]) < API - 20,
               "the other knows", 5, interval=0.15)
    n, _ = until_refused(gateways[1], where, API)
    assert n < API - 20


def test_both_at_once(gateways):
    """Goal: hammering both at the same moment overshoots by no more than what comes within the
    tenth of a second between two tellings."""
    where = path()

    def hammer(i):
        return [gateways[i % 2].get(where).status_code for _ in range(25)].count(404)

    with ThreadPoolExecutor(4) as pool:
        admitted = sum(pool.map(hammer, range(4)))
    assert API <= admitted <= 2 * API
    wait_until(lambda: [g.get(where).status_code for g in gateways] == [429, 429], "both refuse", 5)


def test_bypass(gateways, cluster):
    """Goal: X-Coder-Bypass-Ratelimit is for owners; for others 428 in plain text."""
    where, bypass = path(), {"X-Coder-Bypass-Ratelimit": "true"}
    refused = gateways[0].get(where, headers=bypass, expect=428)
    assert refused.text == '"X-Coder-Bypass-Ratelimit" provided but user is not owner\n'
    assert refused.headers["Content-Type"].startswith("text/plain")
    gateways[0].get(where, headers={"X-Coder-Bypass-Ratelimit": "false"}, expect=404)
    owner = gateways[0].with_token(cluster.session.tokens["admin"])
    for _ in range(API + 5):
        assert owner.get(where, headers=bypass).status_code == 404
    until_refused(owner, where, API + 1)


def test_files(gateways, cluster):
    """Goal: uploads have the small limit of their own."""
    owner = gateways[0].with_token(cluster.session.tokens["carol"])
    codes = [owner.post("/files", data=b"x", headers={"Content-Type": "application/x-tar"}).status_code
             for _ in range(FILES + 1)]
    assert codes[-1] == 429 and 429 not in codes[:-1]


def test_by_address_without_a_person(gateways, address):
    """Goal: who is nobody is counted by address; a proxy that is believed says which."""
    nobody = gateways[0].with_token(None)
    until_refused(nobody, "/buildinfo", API + 1, headers=address)
    other = {"X-Forwarded-For": address["X-Forwarded-For"] + ", 203.0.113.77"}
    assert nobody.get("/buildinfo", headers=other).status_code == 200


def test_guessing_tokens(gateways, address):
    """Goal: one address can have so many unknown tokens looked up a minute, on whatever paths; good
    ones beside them still work."""
    guess = gateways[0].with_token("abcdefghij-abcdefghijabcdefghijab")
    codes = [guess.get(path(), headers=address).status_code for _ in range(API + 1)]
    assert codes[:API] == [401] * API and codes[-1] == 429
    gateways[0].get(path(), headers=address, expect=404)


def test_without_redis(gateways, cluster):
    """Goal: Redis gone: each gateway counts alone; nothing fails; back again: shared again."""
    cluster.redis.kill()
    where = path()
    n, _ = until_refused(gateways[0], where, API + 1)
    assert n == API
    assert gateways[1].get(where).status_code == 404
    cluster.redis.start()
    wait_until(lambda: gateways[1].get(where).status_code == 429, "the other knows", 10, interval=0.2)


# ---- tries to log in

@pytest.fixture
def account(cluster):
    """Somebody with a password."""
    owner, name = cluster.api(), "u" + uuid.uuid4().hex[:12]
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD,
            "organization_ids": [owner.organization_id()]}
    owner.post("/users", body, expect=201, headers={"X-Coder-Bypass-Ratelimit": "true"})
    return body["email"]


def login(api, email, password, address):
    return api.post("/users/login", {"email": email, "password": password}, headers=address)


def test_guessing_a_password(gateways, account, address):
    """Goal: after a few failures a try has to wait, at whichever gateway, even with the right
    password; who waits is let in."""
    for i in range(3):
        answer = login(gateways[i % 2], account, "wrong", address)
        assert answer.status_code == 401, answer.text
    held = login(gateways[1], account.upper(), PASSWORD, address)
    assert held.status_code == 429 and held.headers["Retry-After"] == "1", held.text
    assert held.json()["message"] == "Too many attempts to log in."
    wait_until(lambda: login(gateways[0], account, PASSWORD, address).status_code == 201, "let in", 5,
               interval=0.3)
    assert login(gateways[0], account, "wrong", address).status_code == 401


def test_waits_grow(gateways, account, address):
    """Goal: each further failure doubles the wait."""
    for _ in range(3):
        login(gateways[0], account, "wrong", address)
    wait_until(lambda: login(gateways[1], account, "wrong", address).status_code == 401, "a second",
               5, interval=0.3)
    assert login(gateways[0], account, "wrong", address).headers["Retry-After"] == "2"


def test_nobody_is_told_apart(gateways, account, address):
    """Goal: an account that does not exist is refused and held like one that does."""
    def story(email, where):
        answers = [login(gateways[0], email, "wrong", where) for _ in range(4)]
        return [(a.status_code, a.text.replace(email, "")) for a in answers]

    elsewhere = {"X-Forwarded-For": address["X-Forwarded-For"] + ", 203.0.113.9"}
    assert story(account, address) == story("nobody-" + account, elsewhere)


def test_success_forgives(gateways, account, address):
    """Goal: a good password takes the failures back; somebody else's address is not held."""
    for _ in range(2):
        for _ in range(2):
            assert login(gateways[0], account, "wrong", address).status_code == 401
        assert login(gateways[1], account, PASSWORD, address).status_code == 201
    for _ in range(3):
        login(gateways[0], account, "wrong", address)
    elsewhere = {"X-Forwarded-For": "203.0.113.8"}
    assert login(gateways[0], account, PASSWORD, elsewhere).status_code == 201


def test_held_without_redis(gateways, account, address, cluster):
    """Goal: Redis gone: each gateway holds by itself."""
    cluster.redis.kill()
    try:
        codes = [login(gateways[0], account, "wrong", address).status_code for _ in range(4)]
        assert codes == [401, 401, 401, 429]
    finally:
        cluster.redis.start()


def test_logins_a_minute(gateways, address):
    """Goal: one address may log in so often a minute, to whatever accounts, and is told Coder's
    sentence."""
    codes = []
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(
            lambda i: gateways[0].post("/users/login", {"email": i}, headers=address).status_code,
            range(LOGIN + 3)))
    assert codes.count(400) == LOGIN and codes.count(429) == 3
