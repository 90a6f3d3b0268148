# SPDX-License-Identifier: Apache-2.0
"""An OpenID Connect provider for tests: honest until told otherwise.

    with Provider("stint", "s3cret") as provider:
        provider.user = {"sub": "1", "email": "ann@example.com", "email_verified": True}
        provider.claims = {"aud": "somebody else"}     # what its tokens say instead
        provider.sign = lambda header, payload: ...    # a forger's way to sign
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class RsaKey:
    algorithm = "RS256"

    def __init__(self, kid):
        self.kid = kid
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwk(self):
        n = self.key.public_key().public_numbers()
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": number(n.n),
                "e": number(n.e)}

    def sign(self, data):
        return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def pem(self):
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class EcKey:
    algorithm = "ES256"

    def __init__(self, kid):
        self.kid = kid
        self.key = ec.generate_private_key(ec.SECP256R1())

    def jwk(self):
        n = self.key.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "kid": self.kid, "x": b64(n.x.to_bytes(32, "big")),
                "y": b64(n.y.to_bytes(32, "big"))}

    def sign(self, data):
        r, s = utils.decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class Provider:
    def __init__(self, client_id, client_secret):
        self.client_id, self.client_secret = client_id, client_secret
        self.codes = {}      # code -> what was asked for
        self.asked = []      # paths, in order
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.honest()
        self.key = RsaKey("first")
        self.keys = [self.key]

    def honest(self):
        self.user = {"sub": "1", "email": "nobody@example.com", "email_verified": True}
        self.claims = {}
        self.header = {}
        self.sign = None
        self.discovery = {}
        self.token_answer = None   # (status, body) instead of the right one
        self.ways = ["client_secret_basic"]
        return self

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    # ---- what it answers

    def configuration(self):
        return {"issuer": self.url, "authorization_endpoint": self.url + "/authorize",
                "token_endpoint": self.url + "/token", "jwks_uri": self.url + "/keys",
                "response_types_supported": ["code"],
                "token_endpoint_auth_methods_supported": self.ways} | self.discovery

    def authorize(self, query):
        """Where the browser goes: the person has agreed."""
        assert query["response_type"] == "code" and query["client_id"] == self.client_id
        assert query["code_challenge_method"] == "S256" and "openid" in query["scope"].split()
        code = secrets.token_urlsafe(12)
        with self._lock:
            self.codes[code] = query
        return query["redirect_uri"] + "?" + urlencode({"code": code, "state": query["state"]})

    def _is_client(self, headers, form):
        if self.ways == ["client_secret_post"]:
            given = (form.get("client_id"), form.get("client_secret"))
        else:
            scheme, _, word = headers.get("Authorization", "").partition(" ")
            user, _, password = base64.b64decode(word).decode().partition(":")
            given = (unquote(user), unquote(password)) if scheme == "Basic" else None
        return given == (self.client_id, self.client_secret)

    def token(self, headers, form):
        if self.token_answer:
            return self.token_answer
        if not self._is_client(headers, form):
            return 401, {"error": "invalid_client"}
        with self._lock:
            asked = self.codes.pop(form.get("code"), None)
        challenge = b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (form.get("grant_type") != "authorization_code" or asked is None
                or asked["code_challenge"] != challenge or asked["redirect_uri"] != form.get("redirect_uri")):
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "a", "token_type": "Bearer",
                     "id_token": self.id_token(asked["nonce"])}

    def id_token(self, nonce):
        now = int(time.time())
        claims = {"iss": self.url, "aud": self.client_id, "iat": now, "exp": now + 300,
                  "nonce": nonce} | self.user | self.claims
        header = {"alg": self.key.algorithm, "kid": self.key.kid, "typ": "JWT"} | self.header
        claims = {k: v for k, v in claims.items() if v is not None}
        signed = (b64(json.dumps(header).encode()) + "." + b64(json.dumps(claims).encode())).encode()
        return signed.decode() + "." + b64((self.sign or self.key.sign)(signed))

    def hs256_with_the_public_key(self):
        """The old trick: a program that takes the algorithm from the token, and its RSA key for a
        shared secret."""
        self.header = {"alg": "HS256"}
        pem = self.key.pem()
        self.sign = lambda data: hmac.new(pem, data, hashlib.sha256).digest()


def _handler(provider):
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def _json(self, status, value):
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            where = urlsplit(self.path)
            provider.asked.append(where.path)
            if where.path == "/.well-known/openid-configuration":
                self._json(200, provider.configuration())
            elif where.path == "/keys":
                self._json(200, {"keys": [k.jwk() for k in provider.keys]})
            elif where.path == "/authorize":
                query = {k: v[0] for k, v in parse_qs(where.query, strict_parsing=True).items()}
                self.send_response(302)
                self.send_header("Location", provider.authorize(query))
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self._json(404, {})

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            provider.asked.append(self.path)
            self._json(*provider.token(self.headers, {k: v[0] for k, v in parse_qs(body).items()}))

    return Handler
