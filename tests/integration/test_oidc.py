# SPDX-License-Identifier: Apache-2.0
"""Logging in by an OpenID Connect provider, and everything that must not work; the page of
`coder login`.

Two gateways share it: what one begins the other may finish.
"""

import re
import uuid
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from lib.oidc import EcKey, Provider, RsaKey
from lib.raw import Raw
from lib.wait import wait_until

CALLBACK = "/api/v2/users/oidc/callback"
SITE = "http://stint.test"
SECRET = "s3cret:/+ with odd%letters"


@pytest.fixture(scope="module")
def provider():
    with Provider("stint", SECRET) as provider:
        yield provider


@pytest.fixture(scope="module")
def site(session, provider):
    """A Stint of two gateways that people know by one name."""
    cluster = session.cluster("oidc", workers=0, gateways=2, gateway={
        "access_url": SITE, "oidc_issuer_url": provider.url, "oidc_client_id": "stint",
        "oidc_client_secret": SECRET, "oidc_email_domain": "example.com, example.org", "login_failures_max": 0})
    cluster.start()
    for gateway in cluster.gateways:  # not by the name, which nobody here can look up
        listening = gateway.wait_log(r'msg="?listening"? url="?(http://[^\s"]+)')
        gateway.url = listening.group(1)
    yield cluster
    session.close_cluster(cluster)


@pytest.fixture
def person(provider):
    """Somebody new at the provider."""
    name = "p" + uuid.uuid4().hex[:10]
    provider.honest().user = {"sub": f"sub-{name}", "email": f"{name}@example.com",
                              "email_verified": True, "preferred_username": name, "name": "P. Erson"}
    yield provider.user
    provider.honest()


class Browser:
    """Follows where it is sent, one step at a time."""

    def __init__(self, site, gateway=0):
        self.url = site.gateways[gateway].url
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, url, **arguments):
        url = self.url + url if url.startswith("/") else url
        return self.session.get(url, allow_redirects=False, timeout=20, **arguments)

    def begin(self, path=None):
        answer = self.get(CALLBACK, params={"redirect": path} if path else {})
        assert answer.status_code == 307, answer.text
        return answer.headers["Location"]

    def back(self, path=None):
        """The URL by which the provider sends the browser back."""
        return self.get(self.begin(path)).headers["Location"].replace(SITE, self.url)

    def login(self, path=None):
        return self.get(self.back(path))


def me(browser):
    return browser.get("/api/v2/users/me")


def assert_logged_in(browser, answer, path="/"):
    assert answer.status_code == 307, answer.text
    assert answer.headers["Location"] == path
    user = me(browser)
    assert user.status_code == 200, user.text
    return user.json()


def assert_refused(browser, answer, status, message=None):
    assert answer.status_code == status, answer.text
    assert message is None or message in answer.text
    assert "coder_session_token" not in browser.session.cookies
    assert me(browser).status_code == 401


def test_methods(site, cluster):
    """Goal: authmethods says whether there is a provider; without one the route says so."""
    def methods(url):
        return requests.get(url + "/api/v2/users/authmethods", timeout=5).json()

    assert methods(site.gateway.url)["oidc"]["enabled"] is True
    assert methods(cluster.gateway.url)["oidc"]["enabled"] is False
    refused = requests.get(cluster.gateway.url + CALLBACK, timeout=5)
    assert refused.status_code == 400 and "not configured" in refused.text


def test_first_login(site, person):
    """Goal: somebody new becomes a member, without a password, with the names that the provider
    gives, and is audited; the session is a cookie that scripts cannot read; the second login is
    the same user."""
    browser = Browser(site)
    answer = browser.login("/templates?a=b")
    user = assert_logged_in(browser, answer, "/templates?a=b")
    assert user["username"] == person["preferred_username"] and user["email"] == person["email"]
    assert user["login_type"] == "oidc" and user["name"] == "P. Erson" and user["roles"] == []
    cookie = next(h for h in answer.raw.headers.getlist("set-cookie") if "session_token" in h)
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    again = Browser(site, 1)
    assert me(again).status_code == 401
    assert assert_logged_in(again, again.login())["id"] == user["id"]
    password = requests.post(site.gateway.url + "/api/v2/users/login", timeout=10,
                             json={"email": person["email"], "password": ""})
    assert password.status_code == 401
    audited = site.sql("SELECT action FROM audit_log WHERE actor_id = %s ORDER BY id", user["id"])
    assert ("login",) in audited and len(audited) >= 2


def test_what_is_asked_for(site, person, provider):
    """Goal: code flow with state, nonce and PKCE; other logins have other ones; the secret cannot
    be told from them."""
    first, second = Browser(site), Browser(site)
    queries = [{k: v[0] for k, v in parse_qs(urlsplit(b.begin()).query).items()} for b in (first, second)]
    for query in queries:
        assert query["redirect_uri"] == SITE + CALLBACK
        assert query["scope"] == "openid profile email"
        assert len({query["state"], query["nonce"], query["code_challenge"]}) == 3
        assert all(len(query[k]) == 43 for k in ("state", "nonce", "code_challenge"))
    assert not set(queries[0][k] for k in ("state", "nonce", "code_challenge")) & set(queries[1].values())


def test_ended_by_another_gateway(site, person):
    """Goal: a login begun at one gateway is finished by the other."""
    browser = Browser(site, 0)
    back = browser.back().replace(site.gateways[0].url, site.gateways[1].url)
    assert browser.get(back).status_code == 307


def test_existing_user_by_address(site, person, session):
    """Goal: who has an account with the address that the provider has verified gets that one; from
    then on by subject, whatever the address."""
    person["email"] = "Bob@Example.com"
    browser = Browser(site)
    assert assert_logged_in(browser, browser.login())["id"] == session.user_ids["bob"]
    person["email"] = "bob.married@example.org"
    browser = Browser(site)
    assert assert_logged_in(browser, browser.login())["id"] == session.user_ids["bob"]
    person |= {"email": "bob@example.com", "sub": "another subject"}
    browser = Browser(site)
    assert_refused(browser, browser.login(), 403, "another account")


def test_names_that_are_taken(site, person):
    """Goal: a name that somebody has, or that is none, is made into one."""
    for wanted, pattern in (("admin", r"admin-[0-9a-f]{4}"), ("Ann.Lee@corp", r"Ann-Lee"),
                            ("<script>", r"script"), ("--", r"user(-[0-9a-f]{4})?")):
        person |= {"sub": uuid.uuid4().hex, "preferred_username": wanted,
                   "email": f"{uuid.uuid4().hex}@example.com"}
        browser = Browser(site)
        assert re.fullmatch(pattern, assert_logged_in(browser, browser.login())["username"])


def test_suspended(site, person):
    """Goal: a suspended user is not let in."""
    browser = Browser(site)
    user = assert_logged_in(browser, browser.login())
    site.sql("UPDATE users SET status = 'suspended' WHERE id = %s", user["id"])
    assert_refused(other := Browser(site), other.login(), 401, "suspended")


# ---- tokens that are not good

BAD_CLAIMS = {
    "expired": {"exp": 1700000000, "iat": 1699999000},
    "no end": {"exp": None},
    "another audience": {"aud": "somebody-else"},
    "two audiences": {"aud": ["stint", "somebody-else"]},
    "another issuer": {"iss": "https://idp.example.net"},
    "another nonce": {"nonce": "x" * 43},
    "no nonce": {"nonce": None},
    "of the future": {"iat": 4000000000, "exp": 4000000300},
    "no subject": {"sub": None},
}


@pytest.mark.parametrize("what", BAD_CLAIMS)
def test_bad_claims(site, person, provider, what):
    """Goal: a well signed token that is not for this login, now: 401, no session."""
    provider.claims = BAD_CLAIMS[what]
    browser = Browser(site)
    assert_refused(browser, browser.login(), 401, "Failed to verify OIDC token.")


def forge(provider, what):
    if what == "alg none":
        provider.header, provider.sign = {"alg": "none"}, lambda data: b""
    elif what == "alg none, signed":
        provider.header = {"alg": "none"}
    elif what == "HS256 with the public key":
        provider.hs256_with_the_public_key()
    elif what == "another key":
        provider.sign = RsaKey("first").sign
    elif what == "ES256 with an RSA key's name":
        provider.header, provider.sign = {"alg": "ES256"}, EcKey("x").sign
    elif what == "a key that it brings along":
        key = RsaKey("mine")
        provider.header, provider.sign = {"kid": "mine", "jwk": key.jwk()}, key.sign
    elif what == "no signature":
        provider.sign = lambda data: b""


@pytest.mark.parametrize("what", [
    "alg none", "alg none, signed", "HS256 with the public key", "another key",
    "ES256 with an RSA key's name", "a key that it brings along", "no signature"])
def test_forged(site, person, provider, what):
    """Goal: a token that the provider has not signed with a key of its own: 401."""
    forge(provider, what)
    browser = Browser(site)
    assert_refused(browser, browser.login(), 401, "Failed to verify OIDC token.")


@pytest.mark.parametrize("answer, status", [
    ((500, {}), 502), ((200, {}), 502), ((200, []), 502), ((200, {"id_token": 7}), 502),
    ((200, {"id_token": "a.b"}), 401), ((200, {"id_token": "..", "x": "y" * 300000}), 502),
    ((302, {}), 502), ((400, {"error": "invalid_grant"}), 401)])
def test_broken_provider(site, person, provider, answer, status):
    """Goal: whatever the provider answers, the browser gets a clear answer and no session."""
    provider.token_answer = answer
    browser = Browser(site)
    assert_refused(browser, browser.login(), status)


# ---- the way back

def test_state(site, person):
    """Goal: the way back works in the browser that began, once, and nowhere else."""
    browser = Browser(site)
    back = browser.back()
    stranger = Browser(site)
    assert_refused(stranger, stranger.get(back), 401, "oauth_state")
    stranger.begin()
    assert_refused(stranger, stranger.get(back), 401, "State mismatched.")
    code = parse_qs(urlsplit(back).query)["code"][0]
    assert_refused(browser, browser.get(CALLBACK, params={"code": code}), 400, "State must be provided.")
    assert_refused(browser, browser.get(CALLBACK, params={"code": code, "state": "x"}), 401, "mismatched")
    assert_logged_in(browser, browser.get(back))


def test_replayed(site, person):
    """Goal: the same code and state, with the same cookie, a second time: refused, at both gateways;
    and while Redis is away by the provider."""
    browser = Browser(site)
    back = browser.back()
    saved = browser.session.cookies.copy()
    assert browser.get(back).status_code == 307
    for gateway in site.gateways:
        thief = Browser(site)
        thief.session.cookies = saved.copy()
        answer = thief.get(back.replace(site.gateways[0].url, gateway.url))
        assert answer.status_code == 401 and "tried before" in answer.text
    site.redis.kill()
    try:
        thief.session.cookies = saved.copy()
        answer = thief.get(back)
        assert answer.status_code == 401 and "exchange" in answer.text
    finally:
        site.redis.start()


def test_refused_by_the_person(site):
    """Goal: the provider's refusal is shown, as text."""
    answer = Browser(site).get(CALLBACK, params={"error": "access_denied",
                                                 "error_description": "<b>No</b>", "state": "x"})
    assert answer.status_code == 400 and "access_denied" in answer.json()["message"]
    assert "<b>" not in answer.text


@pytest.mark.parametrize("path", [
    "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "evil",
    "javascript:alert(1)", "/a\x0bSet-Cookie: x=y", "/\t/evil.example", "", "/" + "a" * 2000, "/ü"], ids=range(11))
def test_open_redirect(site, person, path):
    """Goal: a login ends on this site, whatever it was asked to end on."""
    browser = Browser(site)
    assert_logged_in(browser, browser.login(path), "/")


def test_changed_cookie(site, person):
    """Goal: the path in the cookie is looked at again on the way back."""
    import base64
    browser = Browser(site)
    back = browser.back("/fine")
    secret = browser.session.cookies["oauth_state"].split(".")[0]
    for evil in ("//evil.example", "x", "/" + "a" * 1023):
        path = base64.urlsafe_b64encode(evil.encode()).rstrip(b"=").decode()
        with Raw(browser.url) as raw:
            raw.get(back.removeprefix(browser.url), f"Cookie: oauth_state={secret}.{path}")
            answer = raw.answer()
        if answer.status == 307:
            assert answer.headers["location"] == "/"
            return
    raise AssertionError("none of them was let in")


# ---- who may

@pytest.mark.parametrize("email, verified", [
    ("{}@example.com", False), ("{}@example.com", None), ("{}@example.com", "false"),
    ("{}@example.com", 1), (None, True), ("{}", True), ("{}@example.com@example.com", True)])
def test_unverified(site, person, email, verified):
    """Goal: without an address that the provider vouches for nobody becomes a user, or gets
    somebody's account."""
    person |= {"email": email and email.format(person["sub"]), "email_verified": verified}
    browser = Browser(site)
    assert_refused(browser, browser.login(), 403)


@pytest.mark.parametrize("domain, good", [
    ("example.com", True), ("EXAMPLE.ORG", True), ("example.net", False),
    ("sub.example.com", False), ("notexample.com", False)])
def test_domains(site, person, domain, good):
    """Goal: only addresses of the domains that are set."""
    person["email"] = person["sub"] + "@" + domain
    browser = Browser(site)
    answer = browser.login()
    if good:
        assert_logged_in(browser, answer)
    else:
        assert_refused(browser, answer, 403, "authorized domain")


def test_new_keys(site, person, provider):
    """Goal: when the provider signs with a new key it is looked up, RSA or EC, but not for every
    token that names one."""
    def logs_in():
        browser = Browser(site)
        return browser.login().status_code == 307

    assert logs_in()
    provider.key = EcKey("second")
    provider.keys = [provider.key]
    wait_until(logs_in, "the new key is known", 25, interval=1)
    n = provider.asked.count("/keys")
    provider.header = {"kid": "made up"}
    for _ in range(5):
        assert not logs_in()
    assert provider.asked.count("/keys") <= n + 1


def test_other_ways(clusters, provider, person):
    """Goal: no signups; a secret from a file, sent in the form; a provider that calls itself otherwise."""
    cluster = clusters(workers=0, start=False)
    path = cluster.directory + "/secret"
    with open(path, "w") as f:
        f.write(SECRET + "\n")
    cluster.settings["gateway"] |= {
        "oidc_issuer_url": provider.url, "oidc_client_id": "stint", "oidc_client_secret_file": path,
        "oidc_allow_signups": "false"}
    cluster.gateways[0] = cluster._gateway(0)
    cluster.start()
    provider.discovery = {"issuer": "https://idp.example.net"}
    browser = Browser(cluster)
    assert browser.get(CALLBACK).status_code == 502
    provider.discovery = {"token_endpoint": "http://192.0.2.1/token"}
    assert browser.get(CALLBACK).status_code == 502
    provider.discovery, provider.ways = {}, ["client_secret_post"]
    assert_refused(browser, browser.login(), 403, "Signups are disabled")
    person["email"] = "carol@example.com"
    browser = Browser(cluster)
    assert assert_logged_in(browser, browser.login())["username"] == "carol"


# ---- /cli-auth

def test_cli_auth(site, person):
    """Goal: who is logged in makes a token by a button, which then works; who is not is sent to
    log in and comes back; the page runs no scripts and is shown in no frame."""
    browser = Browser(site)
    sent = browser.get("/cli-auth")
    assert sent.status_code == 307 and sent.headers["Location"] == CALLBACK + "?redirect=/cli-auth"
    assert_logged_in(browser, browser.login("/cli-auth"), "/cli-auth")
    page = browser.get("/cli-auth")
    assert page.status_code == 200 and "<form" in page.text and "<script" not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert page.headers["Cache-Control"] == "no-store"
    evil = browser.session.post(browser.url + "/cli-auth", headers={"Origin": "https://evil.example"},
                                timeout=10)
    assert evil.status_code == 403
    made = browser.session.post(browser.url + "/cli-auth", headers={"Origin": browser.url}, timeout=10)
    assert made.status_code == 201
    token = re.search(r"<code>(\w{10}-\w{22})</code>", made.text).group(1)
    assert token != browser.session.cookies["coder_session_token"]
    user = requests.get(browser.url + "/api/v2/users/me", headers={"Coder-Session-Token": token}, timeout=10)
    assert user.json()["username"] == person["preferred_username"]


def test_cli_auth_without_a_provider(cluster):
    """Goal: 401, with what to do."""
    page = requests.get(cluster.gateway.url + "/cli-auth", timeout=5)
    assert page.status_code == 401 and "not logged in" in page.text
