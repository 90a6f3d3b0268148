# SPDX-License-Identifier: Apache-2.0
"""A reader of text/event-stream, by the rules that browsers go by.

    with EventStream(url, token, last_event_id="12-0") as events:
        for event in events: event.name, event.data, event.id
"""

import http.client
import json
import socket
from collections import namedtuple
from urllib.parse import urlsplit

Event = namedtuple("Event", "name data id")


class Refused(Exception):
    def __init__(self, status, headers, body):
        super().__init__(f"{status}: {body[:300]!r}")
        self.status, self.headers, self.body = status, headers, body


class EventStream:
    def __init__(self, url, token=None, last_event_id=None, headers=None, timeout=20):
        where = urlsplit(url)
        self.last_id = last_event_id or ""
        self.comments = []
        self._connection = http.client.HTTPConnection(where.hostname, where.port, timeout=timeout)
        send = {"Accept": "text/event-stream"} | (headers or {})
        if token:
            send["Coder-Session-Token"] = token
        if last_event_id:
            send["Last-Event-ID"] = last_event_id
        self._connection.request("GET", where.path + ("?" + where.query if where.query else ""), headers=send)
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self.headers = {k.lower(): v for k, v in self._response.getheaders()}
        if self.status != 200:
            body = self._response.read()
            self.close()
            raise Refused(self.status, self.headers, body)
        assert self.headers["content-type"].split(";")[0] == "text/event-stream", self.headers

    def read(self):
        """The next event; None when the stream has ended, also if it was cut off."""
        name, data = "message", []
        while True:
            try:
                line = self._response.readline()
            except (ConnectionError, http.client.IncompleteRead):
                return None
            if not line:
                return None
            line = line.decode().rstrip("\r\n")
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if line == "":
                if data or name != "message":
                    return Event(name, "\n".join(data), self.last_id)
            elif field == "":
                self.comments.append(value)
            elif field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "id":
                self.last_id = value

    def __iter__(self):
        return iter(self.read, None)

    def until(self, is_it):
        """Read up to the first event for which is_it(name, data as JSON) holds, and give all of them."""
        events = []
        for event in self:
            events.append(event)
            if is_it(event.name, json.loads(event.data) if event.data else None):
                return events
        raise AssertionError(f"the stream ended before it came: {events}")

    def close(self):
        if self._connection.sock:
            try:
                self._connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._response and self._response.close()
        self._connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
