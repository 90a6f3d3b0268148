#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An AgentAPI server without an agent, that behaves as badly as a test wants; it runs inside the
sandbox.

What it does is in files of the home directory, which the test writes from outside:

    mode    ok (or no file); hang: takes connections and says nothing; rubbish: answers what is no
            JSON; error: answers 500; cut: closes each stream after its replay; reset: closes every
            connection at once; refuse: 500 on POST /message alone
    busy    the agent is `running` while the file is there
    say     a line that the agent says by itself; taken away when it is said
    remember  the conversation outlives the process (~/memory)

~/heard has one line (JSON) per message taken, on disk before it is answered; ~/starts one per start.
"""

import datetime
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOME = os.environ["HOME"]
TICK = threading.Event()  # never set: only its wait() is wanted


def path(name):
    return os.path.join(HOME, name)


def read(name, absent=""):
    try:
        with open(path(name)) as f:
            return f.read().strip()
    except FileNotFoundError:
        return absent


def note(name, text):
    with open(path(name), "a") as f:
        f.write(text + "\n")
        f.flush()
        os.fsync(f.fileno())


def mode():
    return read("mode", "ok")


def status():
    return "running" if os.path.exists(path("busy")) else "stable"


class Conversation:
    def __init__(self):
        self.lock = threading.Lock()
        self.messages = json.loads(read("memory", "[]")) if os.path.exists(path("remember")) else []
        if not self.messages:
            self.add("agent", f"Fake, start {len(read('starts').splitlines())}.")

    def add(self, role, content):
        with self.lock:
            self.messages.append({"id": len(self.messages), "role": role, "content": content,
                                  "time": datetime.datetime.now(datetime.timezone.utc).isoformat()})
            if os.path.exists(path("remember")):
                with open(path("memory.new"), "w") as f:
                    json.dump(self.messages, f)
                os.rename(path("memory.new"), path("memory"))

    def since(self, n):
        with self.lock:
            return [dict(m) for m in self.messages[n:]]


note("starts", "start")
talk = Conversation()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def misbehaves(self):
        """True: the request has been dealt with by the mode."""
        how = mode()
        while mode() == "hang":
            TICK.wait(0.05)
            how = "reset"
        if how == "reset":
            self.close_connection = True
            return True
        if how == "rubbish":
            self.reply(200, b"<html>\xff\x00 this is {no JSON", "text/html")
            return True
        if how == "error":
            self.problem(500, "it hurts")
            return True
        return False

    def reply(self, code, body, content_type="application/json"):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def problem(self, code, why):
        self.reply(code, {"title": "Internal Server Error", "status": code,
                          "detail": "unexpected error occurred", "errors": [{"message": why}]},
                   "application/problem+json")

    def do_GET(self):
        if self.misbehaves():
            return
        if self.path == "/status":
            self.reply(200, {"status": status(), "agent_type": "custom", "transport": "pty"})
        elif self.path == "/messages":
            self.reply(200, {"messages": talk.since(0)})
        elif self.path == "/events":
            self.events()
        else:
            self.reply(404, {"title": "Not Found", "status": 404}, "application/problem+json")

    def event(self, name, **data):
        self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        told, last = 0, None
        while mode() == "ok" or last is None:
            said = read("say")
            if said:
                os.unlink(path("say"))
                talk.add("agent", said)
            for m in talk.since(told):
                self.event("message_update", id=m["id"], role=m["role"], message=m["content"],
                           time=m["time"])
                told += 1
            now = status()
            if now != last:
                last = now
                self.event("status_change", status=now, agent_type="custom")
            TICK.wait(0.02)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.misbehaves():
            return
        if mode() == "refuse":
            self.problem(500, "the terminal does not take that")
            return
        if status() != "stable":
            self.problem(500, "message can only be sent when the agent is waiting for user input")
            return
        note("heard", json.dumps(body["content"]))
        talk.add("user", body["content"])
        talk.add("agent", f"you said: {body['content']}")
        self.reply(200, {"ok": True})

    def handle(self):
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["AGENTAPI_PORT"])), Handler)
server.daemon_threads = True
server.serve_forever()
