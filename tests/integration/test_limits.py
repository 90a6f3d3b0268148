# SPDX-License-Identifier: Apache-2.0
"""What the gateway does with clients that are malformed, too large, too many or too slow: each
limit has an answer, is counted, and the gateway goes on."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from lib.raw import Raw
from lib.wait import wait_until

PER_ADDRESS = 40
CLUSTER = dict(workers=0, gateway={
    "header_timeout": "500ms", "body_rate_min": "2KiB", "request_timeout": "4s",
    "keepalive_timeout": "1500ms", "connections_per_address_max": PER_ADDRESS})

HOST = b"Host: stint\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
GET = b"GET /livez HTTP/1.1\r\n" + HOST


@pytest.fixture
def url(cluster):
    return cluster.gateway.url


@pytest.fixture
def metric(url):
    """metric(name) is what /metrics says now."""

    def read(name):
        text = requests.get(url + "/metrics", timeout=5).text
        return int(re.search(rf"^stint_gateway_{name} (\d+)", text, re.M).group(1))

    return read


def assert_alive(url):
    assert requests.get(url + "/livez", timeout=5).status_code == 200


def post(*headers, body=b"", path=b"/api/v2/users/login"):
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"".join(headers) + b"\r\n" + body


MALFORMED = {
    "both lengths": post(b"Content-Length: 5\r\n", TE, body=b"0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"),
    "both lengths, other way round": post(TE, b"Content-Length: 5\r\n", body=b"0\r\n\r\n"),
    "two lengths": post(b"Content-Length: 5\r\nContent-Length: 6\r\n", body=b"hello!"),
    "two equal lengths": post(b"Content-Length: 5\r\nContent-Length: 5\r\n", body=b"hello"),
    "a list of lengths": post(b"Content-Length: 5, 5\r\n", body=b"hello"),
    "a signed length": post(b"Content-Length: +5\r\n", body=b"hello"),
    "a negative length": post(b"Content-Length: -5\r\n", body=b"hello"),
    "a length in hex": post(b"Content-Length: 0x5\r\n", body=b"hello"),
    "a length beyond all bounds": post(b"Content-Length: 99999999999999999999\r\n"),
    "an unknown coding": post(b"Transfer-Encoding: gzip, chunked\r\n", body=b"0\r\n\r\n"),
    "chunked twice": post(TE, TE, body=b"0\r\n\r\n"),
    "a coding with a tail": post(b"Transfer-Encoding: chunked;x\r\n", body=b"0\r\n\r\n"),
    "a coding behind a vertical tab": post(b"Transfer-Encoding: \x0bchunked\r\n", body=b"0\r\n\r\n"),
    "a blank before the colon": post(b"Transfer-Encoding : chunked\r\n", body=b"0\r\n\r\n"),
    "a continued line": GET + b"Xy: a\r\n b\r\n\r\n",
    "a continued coding": post(b"Transfer-Encoding:\r\n chunked\r\n", body=b"0\r\n\r\n"),
    "a line that ends with LF": b"GET /livez HTTP/1.1\nHost: stint\n\n",
    "a header that ends with LF": GET + b"Xy: a\nY: b\r\n\r\n",
    "a bare CR": GET + b"Xy: a\rY: b\r\n\r\n",
    "NUL in a name": GET + b"Xy\0: a\r\n\r\n",
    "NUL in a value": GET + b"Xy: a\0b\r\n\r\n",
    "a control character": GET + b"Xy: a\x08b\r\n\r\n",
    "the begin of a name": GET + b"Acc: a\r\n\r\n",
    "no name": GET + b": a\r\n\r\n",
    "no colon": GET + b"Xy\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": GET + HOST + b"\r\n",
    "an empty line first": b"\r\n" + GET + b"\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "a path that is none": b"GET livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "a whole URL": b"GET http://stint/livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in the path": b"GET /live%00z HTTP/1.1\r\n" + HOST + b"\r\n",
    "headers in the URL": b"GET /livez?a=%0aHost:%20a%0a%0a HTTP/1.1\r\n" + HOST + b"\r\n",
    "a broken escape": b"GET /live%zz HTTP/1.1\r\n" + HOST + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed(url, what, metric):
    """Goal: 400 in Coder's shape, then the connection ends: nothing behind it is taken for a
    request."""
    before = metric("requests_malformed_total")
    with Raw(url) as raw:
        raw.send(MALFORMED[what])
        answer = raw.answer()
        assert answer.status == 400, answer
        assert set(answer.json()) == {"message", "detail"}
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert answer.headers["connection"] == "close"
        assert raw.ends()
    assert metric("requests_malformed_total") == before + 1


@pytest.mark.parametrize("request_, status", [
    (b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    (b"CONNECT stint:80 HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 501),
    (b"GET /livez HTTP/3.0\r\n" + HOST + b"\r\n", 505),
    (b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    (b"GET /livez?" + b"a=b&" * 65 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    (GET + b"Xy: " + b"a" * 17000 + b"\r\n\r\n", 431),
    (GET + b"Cookie: " + b"a=b; " * 4000 + b"\r\n\r\n", 431),
    (GET + b"".join(b"X-%d: a\r\n" % i for i in range(97)) + b"\r\n", 431),
    (GET + b"a" * 20000, 431),
], ids=["trace", "connect", "http2", "version", "url", "query", "header", "cookie", "headers", "name"])
def test_refused_by_form(url, request_, status):
    """Goal: each limit of form has its status."""
    with Raw(url) as raw:
        assert raw.send(request_).answer().status == status
        assert raw.ends()
    assert_alive(url)


@pytest.mark.parametrize("request_, status", [
    (b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    (b"GET /livez?" + b"a=b&" * 64 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    (GET + b"Xy: " + b"a" * 16000 + b"\r\n\r\n", 200),
    (GET + b"Cookie: " + b"a=b; " * 3000 + b"\r\n\r\n", 200),
    (GET + b"".join(b"X-%d: a\r\n" % i for i in range(95)) + b"\r\n", 200),
    (GET + b"".join(b"Accept: %d\r\n" % i for i in range(30)) + b"\r\n", 200),
], ids=["url", "query", "header", "cookie", "headers", "repeated"])
def test_just_within(url, request_, status):
    """Goal: what is as large as allowed is served, and the connection goes on."""
    with Raw(url) as raw:
        assert raw.send(request_).answer().status == status
        assert raw.get().answer().status == 200


def test_problem_details(url):
    """Goal: below Stint's own prefix refusals are problem details."""
    with Raw(url) as raw:
        raw.send(b"GET /api/stint/v1/tasks HTTP/1.1\r\n" + HOST + HOST + b"\r\n")
        answer = raw.answer()
    assert answer.status == 400 and answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 400


def test_byte_by_byte(url):
    """Goal: the limits see through any cutting into packets."""
    with Raw(url) as raw:
        for byte in GET + b"Xy: a\r\n b":
            raw.send(bytes([byte]))
        assert raw.answer().status == 400 and raw.ends()
    with Raw(url) as raw:
        for byte in GET + b"Xy: a\r\n\r\n":
            raw.send(bytes([byte]))
        assert raw.answer().status == 200


def test_smuggled_behind_a_good_one(url):
    """Goal: of two requests in one packet, a good and a bad one, the good one is answered and
    the connection ends."""
    with Raw(url) as raw:
        raw.send(GET + b"\r\n" + GET + b" Xy: a\r\n\r\n")
        assert raw.answer().status == 200
        last = raw.answer()
        assert last is None or last.status == 400
        assert raw.ends()


def test_pipelined(url):
    """Goal: several good requests in one packet are answered in order."""
    with Raw(url) as raw:
        raw.send((GET + b"\r\n") * 5)
        assert [raw.answer().status for _ in range(5)] == [200] * 5


# ---- slow ones

def drip(raw, data, seconds=8, pause=0.1):
    """Send byte by byte until there is an answer; gives it and the time it took."""
    began = time.monotonic()
    raw.socket.settimeout(pause)
    for byte in data:
        raw.send(bytes([byte]))
        try:
            if not raw._more() or raw.buffer:
                break
        except TimeoutError:
            pass
        assert time.monotonic() - began < seconds, "it is not ended"
    raw.socket.settimeout(10)
    return raw.answer(), time.monotonic() - began


def test_slow_headers(url, metric):
    """Goal: headers that drip in are ended with 408 after header_timeout, however they drip."""
    before = metric("requests_slow_total")
    with Raw(url) as raw:
        answer, took = drip(raw, GET + b"Xy: " + b"a" * 500)
        assert answer.status == 408 and raw.ends()
        assert 0.5 <= took < 3
    assert metric("requests_slow_total") == before + 1


@pytest.mark.parametrize("headers", [b"Content-Length: 5000\r\n", TE], ids=["length", "chunked"])
def test_slow_body(url, headers):
    """Goal: a body slower than body_rate_min is ended with 408."""
    with Raw(url) as raw:
        raw.send(post(headers))
        answer, took = drip(raw, b"1388\r\n" + b"a" * 5000)
        assert answer.status == 408 and raw.ends()
        assert 0.5 <= took < 3


def test_whole_request(url, cluster):
    """Goal: a body that is fast enough, but too long for request_timeout, is ended with 408."""
    token = cluster.session.tokens["admin"]
    with Raw(url) as raw:
        raw.send(post(b"Content-Length: 20000000\r\nContent-Type: application/x-tar\r\n"
                      b"Coder-Session-Token: " + token.encode() + b"\r\n", path=b"/api/v2/files"))
        began = time.monotonic()
        raw.socket.settimeout(0.1)
        while not raw.buffer and time.monotonic() - began < 10:
            raw.send(b"x" * 2000)
            try:
                if not raw._more():
                    break
            except TimeoutError:
                pass
        raw.socket.settimeout(10)
        assert raw.answer().status == 408
        assert 4 <= time.monotonic() - began < 7


def test_many_slow_ones(url):
    """Goal: while as many as one address may have drip their headers, the gateway answers others,
    and is rid of all of them soon."""
    slow = [Raw(url).send(GET + b"Xy: a") for _ in range(PER_ADDRESS - 5)]
    for _ in range(10):
        assert_alive(url)
    with ThreadPoolExecutor(8) as pool:
        assert {a.status for a in pool.map(Raw.answer, slow)} == {408}
    for raw in slow:
        raw.socket.close()


def test_idle(url):
    """Goal: a connection without a request is closed after keepalive_timeout, without a word, before
    the first request and behind one."""
    with Raw(url) as fresh, Raw(url) as used:
        assert used.get().answer().status == 200
        began = time.monotonic()
        assert fresh.ends() and used.ends()
        assert 1 <= time.monotonic() - began < 5


# ---- too many

def test_connections_of_an_address(url, cluster, metric):
    """Goal: one address may have so many connections; the next one is told 429; as one goes
    another may come."""
    def count():
        return int(re.search(r"stint_gateway_connections (\d+)", cluster_metrics(held[0])).group(1))

    def cluster_metrics(raw):
        return raw.get("/metrics").answer().body.decode()

    wait_until(lambda: metric("connections") <= 1, "no other connection is left", 5)
    held = [Raw(url)]
    while count() < PER_ADDRESS:
        held += [Raw(url) for _ in range(PER_ADDRESS - count())]
        wait_until(lambda: count() >= len(held), "all are in", 5)
    with Raw(url) as one_more:
        answer = one_more.get().answer()
        assert answer.status == 429 and answer.headers["retry-after"] == "1", answer
        assert one_more.ends()
    held.pop().socket.close()
    wait_until(lambda: count() < PER_ADDRESS, "one has gone", 5)
    with Raw(url) as another:
        assert another.get().answer().status == 200
    for raw in held:
        raw.socket.close()
    wait_until(lambda: metric("address_refused_total") >= 1, "counted", 5)


def test_requests_of_a_proxied_address(clusters):
    """Goal: behind a trusted proxy what counts is the address that it names, by requests under
    way; the proxy itself has no limit."""
    cluster = clusters(workers=0, gateway={"connections_per_address_max": 2,
                                           "trusted_proxies": "127.0.0.1"})
    url = cluster.gateway.url
    waiting = post(b"Content-Length: 10\r\nX-Forwarded-For: 203.0.113.1\r\n")
    others = [Raw(url) for _ in range(6)]
    first, second = Raw(url).send(waiting), Raw(url).send(waiting)
    one, other = "X-Forwarded-For: 203.0.113.1", "X-Forwarded-For: 203.0.113.2"

    def status(header):
        with Raw(url) as raw:
            return raw.get("/livez", header).answer().status

    wait_until(lambda: status(one) == 429, "the third is refused", 5)
    assert status(other) == 200
    first.socket.close()
    wait_until(lambda: status(one) == 200, "one less", 5)
    for raw in [*others, second]:
        raw.socket.close()


def test_streams_of_a_proxied_address(clusters):
    """Goal: a stream counts for its address as long as it lasts, behind a proxy too."""
    cluster = clusters(workers=0, gateway={"connections_per_address_max": 2,
                                           "trusted_proxies": "127.0.0.1"})
    url, api = cluster.gateway.url, cluster.api()
    version = api.post(f"/organizations/{api.organization_id()}/templateversions", {
        "storage_method": "file", "file_id": api.upload(b"not looked at"), "provisioner": "local"},
        expect=201).json()  # nobody is there to import it: its log goes on
    log = f"/api/v2/templateversions/{version['id']}/logs?follow"
    one, other = "X-Forwarded-For: 203.0.113.1", "X-Forwarded-For: 203.0.113.2"

    def status(header):
        with Raw(url) as raw:
            return raw.get("/livez", header).answer().status

    streams = [Raw(url).get(log, f"Coder-Session-Token: {api.token}", one,
                            "Accept: text/event-stream") for _ in range(2)]
    assert [raw.answer().status for raw in streams] == [200, 200]
    assert (status(one), status(other)) == (429, 200)
    for raw in streams:
        raw.socket.close()


def test_requests_at_once(clusters):
    """Goal: beyond requests_max 503 with Retry-After, and connections_max 503 at the door."""
    cluster = clusters(workers=0, gateway={"requests_max": 3, "connections_max": 16})
    url = cluster.gateway.url
    held = [Raw(url).send(post(b"Content-Length: 10\r\n")) for _ in range(3)]

    def probe():
        with Raw(url) as raw:
            return raw.get().answer()

    wait_until(lambda: probe().status == 503, "the fourth is refused", 5)
    assert probe().headers["retry-after"] == "1"
    for raw in held:
        raw.send(b"0123456789")
        assert raw.answer().status == 400
    assert probe().status == 200
    held += [Raw(url) for _ in range(16)]  # some may come while a probe is still leaving
    wait_until(lambda: probe().status == 503, "the door is closed", 5)
    told = probe()
    assert told.status == 503 and b"Too many connections." in told.body, (told, told.headers)
    for raw in held:
        raw.socket.close()
    wait_until(lambda: probe().status == 200, "open again", 5)
