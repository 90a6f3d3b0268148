# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client: one class, the frames of RFC 6455 by hand, and nothing forgiven.

    with WebSocket(url, token) as ws:
        for text in ws: ...      # until the server closes
        assert ws.close_code == 1000

A handshake that is refused raises Refused, with the HTTP answer.
"""

import base64
import hashlib
import json
import os
import socket
import struct
from urllib.parse import urlsplit

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Refused(Exception):
    def __init__(self, status, headers, body):
        super().__init__(f"{status}: {body[:300]!r}")
        self.status, self.headers, self.body = status, headers, body


class WebSocket:
    def __init__(self, url, token=None, headers=None, timeout=20, receive_buffer=None):
        """`url`: http://host:port/path?query; `timeout`: of each read, in seconds."""
        where = urlsplit(url)
        self.close_code = self.close_reason = None
        self.pings = 0
        self._in = b""
        self._socket = socket.socket()
        self._socket.settimeout(timeout)
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.connect((where.hostname, where.port))
        try:
            self._handshake(where, token, headers or {})
        except BaseException:
            self._socket.close()
            raise

    def _handshake(self, where, token, headers):
        key = base64.b64encode(os.urandom(16)).decode()
        path = where.path + ("?" + where.query if where.query else "")
        lines = [f"GET {path} HTTP/1.1", f"Host: {where.netloc}", "Upgrade: websocket", "Connection: Upgrade",
                 f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        if token:
            lines.append(f"Coder-Session-Token: {token}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join(lines + ["", ""]).encode())
        while b"\r\n\r\n" not in self._in:
            self._more()
        head, self._in = self._in.split(b"\r\n\r\n", 1)
        first, *rest = head.decode("latin-1").split("\r\n")
        got = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in rest)}
        status = int(first.split()[1])
        if status != 101:
            self._refuse(status, got)
        wanted = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        assert got["sec-websocket-accept"] == wanted, got
        assert got["upgrade"].lower() == "websocket", got
        self.headers = got

    def _refuse(self, status, headers):
        try:
            if "content-length" in headers:
                while len(self._in) < int(headers["content-length"]):
                    self._more()
            else:
                while True:
                    self._more()
        except (ConnectionError, TimeoutError):
            pass
        raise Refused(status, headers, self._in)

    # ---- reading

    def _more(self):
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection without a close frame")
        self._in += data

    def _take(self, n):
        while len(self._in) < n:
            self._more()
        out, self._in = self._in[:n], self._in[n:]
        return out

    def _frame(self):
        one, two = self._take(2)
        assert one & 0x70 == 0, "no extension was agreed on"
        assert two & 0x80 == 0, "a server does not mask"
        n = two & 0x7F
        if n == 126:
            n, = struct.unpack(">H", self._take(2))
        elif n == 127:
            n, = struct.unpack(">Q", self._take(8))
        return one & 0x80 != 0, one & 0x0F, self._take(n)

    def read(self):
        """The next text, or None when the server has closed."""
        text = b""
        while True:
            is_last, kind, data = self._frame()
            if kind == PING:
                self.pings += 1
                self.send_frame(PONG, data)
            elif kind == CLOSE:
                self.close_code = struct.unpack(">H", data[:2])[0] if data else 1005
                self.close_reason = data[2:].decode()
                self._quietly(CLOSE, data[:2])
                return None
            elif kind in (TEXT, CONTINUATION):
                text += data
                if is_last:
                    return text.decode()
            else:
                assert kind == PONG, f"a frame of kind {kind}"

    def __iter__(self):
        return iter(self.read, None)

    def json(self):
        """The next text as JSON; None when the server has closed."""
        text = self.read()
        return None if text is None else json.loads(text)

    # ---- writing

    def send_frame(self, kind, data=b"", is_last=True):
        mask = os.urandom(4)
        head = bytes([kind | (0x80 if is_last else 0)])
        if len(data) < 126:
            head += bytes([0x80 | len(data)])
        elif len(data) < 65536:
            head += bytes([0x80 | 126]) + struct.pack(">H", len(data))
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", len(data))
        self.send_bytes(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def send_bytes(self, data):
        self._socket.sendall(data)

    def send(self, text):
        self.send_frame(TEXT, text.encode())

    def _quietly(self, kind, data):
        try:
            self.send_frame(kind, data)
        except OSError:
            pass

    def close(self):
        if self.close_code is None:
            self._quietly(CLOSE, struct.pack(">H", 1000))
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
