# SPDX-License-Identifier: Apache-2.0
"""A stranger on the bus: nng's REQ over a unix socket and just enough of protobuf, by hand.

The daemons' own codec must not be the judge of itself, and a stranger may send anything at all.
"""

import itertools
import socket
import struct

_ids = itertools.count(1)

# Field numbers of stint.v1.Envelope.
VERSION, REQUEST_ID, STATUS, QUEUE_QUERY, QUEUE_REPLY, WORKER_POLL = 1, 2, 10, 25, 26, 40


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def message(*fields):
    """fields: (number, int | bytes | str); ints become varints, ("fixed64", n) a fixed64."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        elif isinstance(value, tuple):
            out += varint(number << 3 | 1) + struct.pack("<Q", value[1])
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def parse(data):
    """{number: [values]}: ints for varints and fixed64s, bytes for the rest."""
    found, at = {}, 0

    def read_varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = read_varint()
        if key & 7 == 0:
            value = read_varint()
        elif key & 7 == 1:
            value = struct.unpack_from("<Q", data, at)[0]
            at += 8
        elif key & 7 == 2:
            n = read_varint()
            value = data[at:at + n]
            at += n
        else:
            raise ValueError(f"wire type {key & 7}")
        found.setdefault(key >> 3, []).append(value)
    return found


def envelope(body_number, body=b"", version=1, request_id=None):
    return message((VERSION, version), (REQUEST_ID, ("fixed64", request_id or next(_ids))),
                   (body_number, body))


class Requester:
    """One REQ socket to an ipc:///path listener."""

    def __init__(self, url, timeout=10):
        assert url.startswith("ipc://"), url
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(url[len("ipc://"):])
        self.socket.sendall(b"\0SP\0" + struct.pack(">HH", 0x30, 0))
        greeting = self._read(8)
        assert greeting == b"\0SP\0" + struct.pack(">HH", 0x31, 0), greeting

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _read(self, n):
        data = b""
        while len(data) < n:
            piece = self.socket.recv(n - len(data))
            if not piece:
                raise ConnectionError("the listener closed the connection")
            data += piece
        return data

    def send_raw(self, body):
        request = struct.pack(">I", 0x80000000 | next(_ids)) + body
        self.socket.sendall(b"\x01" + struct.pack(">Q", len(request)) + request)

    def receive(self):
        kind, n = struct.unpack(">BQ", self._read(9))
        assert kind == 1
        return parse(self._read(n)[4:])

    def ask(self, body):
        self.send_raw(body)
        return self.receive()


def status_of(reply):
    """(code, detail, leader_url) of a Status reply."""
    assert STATUS in reply, f"not a Status: {reply}"
    fields = parse(reply[STATUS][0])
    return (fields.get(1, [0])[0], fields.get(2, [b""])[0].decode(), fields.get(3, [b""])[0].decode())


def queue(url):
    """{"holding": n, "cap": n, "size": n} as the scheduler at `url` sees it."""
    with Requester(url) as requester:
        reply = requester.ask(envelope(QUEUE_QUERY))
    assert QUEUE_REPLY in reply, f"no QueueReply: {reply}"
    fields = parse(reply[QUEUE_REPLY][0])
    return {"size": fields.get(2, [0])[0], "holding": fields.get(3, [0])[0],
            "cap": fields.get(4, [0])[0]}
