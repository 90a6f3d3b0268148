# SPDX-License-Identifier: Apache-2.0
"""HTTP by hand: bytes to a socket, and whatever comes back."""

import json
import socket
from urllib.parse import urlsplit


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Raw:
    """One connection to a gateway.

        with Raw(cluster.gateway.url) as raw:
            raw.send(b"GET / HTTP/1.1\\r\\n…")
            assert raw.answer().status == 400 and raw.ends()
    """

    def __init__(self, url, timeout=10):
        where = urlsplit(url)
        self.socket = socket.create_connection((where.hostname, where.port), timeout)
        self.host = where.netloc
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """What the other side no longer takes is not sent."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def get(self, path="/livez", *headers):
        lines = [f"GET {path} HTTP/1.1", f"Host: {self.host}", *headers, "", ""]
        return self.send("\r\n".join(lines).encode())

    def _more(self):
        try:
            got = self.socket.recv(65536)
        except ConnectionResetError:
            got = b""
        self.buffer += got
        return bool(got)

    def answer(self):
        """The next answer, or None when the connection ends without one."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                assert not self.buffer, self.buffer
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        n = int(headers.get("content-length", 0))
        while len(self.buffer) < n and self._more():
            pass
        body, self.buffer = self.buffer[:n], self.buffer[n:]
        return Answer(int(lines[0].split(" ")[1]), headers, body)

    def ends(self):
        """Does the other side close, with nothing more to say?"""
        while self._more():
            pass
        return self.buffer == b""
