# SPDX-License-Identifier: Apache-2.0
"""A model that answers by a script: enough of the Anthropic Messages API for a real agent CLI.

Each prompt is answered in steps: one tool call per report, then a text.  Where in the steps a
conversation is can be read from the request itself (the tool results behind the last prompt), so the
stub keeps no state that could go wrong: an agent that asks again gets the same answer again.

    with ModelStub(reports=[("working", "Reading")]) as model:
        env["ANTHROPIC_BASE_URL"] = model.url

By itself: python3 tests/lib/model_stub.py [PORT] prints its address and serves until it is ended.
"""

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REPORT_TOOL = "coder_report_task"


def text_of(content):
    """The text in a message's content, which is a string or a list of blocks."""
    if isinstance(content, str):
        return content
    return "\n".join(b.get("text", "") for b in content if b.get("type") == "text")


def without_reminders(text):
    """What a person typed: without what the agent program itself puts around it."""
    return re.sub(r"<system-reminder>.*?</system-reminder>", "", text, flags=re.S).strip()


def last_prompt(messages):
    """(the last prompt, how many tool results came behind it)."""
    results = 0
    for message in reversed(messages):
        if message["role"] != "user":
            continue
        prompt = without_reminders(text_of(message["content"]))
        if prompt:
            return prompt, results
        if not isinstance(message["content"], str):
            results += sum(b.get("type") == "tool_result" for b in message["content"])
    return "", results


class ModelStub:
    """reports: [(state, summary)] called by each prompt; answer: prompt -> text; gate: an Event
    that the text waits for (how a test holds an agent at work)."""

    def __init__(self, reports=(("working", "Working on it"),), answer=None, gate=None, port=0):
        self.reports = list(reports)
        self.answer = answer or (lambda prompt: f"I heard: {prompt}")
        self.gate = gate
        self.requests = []  # every POST /v1/messages, as it came
        self.keys = set()  # every key that was shown
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        if self.gate:
            self.gate.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def prompts(self):
        """The prompts of the conversations with tools, each once, in order."""
        with self._lock:
            seen = [last_prompt(r["messages"])[0] for r in self.requests if r.get("tools")]
        return list(dict.fromkeys(p for p in seen if p))

    def note(self, request, key):
        with self._lock:
            self.requests.append(request)
            if key:
                self.keys.add(key)

    def blocks(self, request):
        """The content of the answer to this request."""
        prompt, results = last_prompt(request["messages"])
        tools = [t["name"] for t in request.get("tools") or []]
        if not tools:
            return [{"type": "text", "text": '{"title": "A talk", "isNewTopic": false}'}]
        tool = next((t for t in tools if t.endswith(REPORT_TOOL)), None)
        if tool and results < len(self.reports):
            state, summary = self.reports[results]
            return [{"type": "tool_use", "id": f"toolu_{len(request['messages']):04d}", "name": tool,
                     "input": {"state": state, "summary": summary, "link": ""}}]
        if self.gate:
            self.gate.wait(120)
        return [{"type": "text", "text": self.answer(prompt)}]


def _message(request, blocks):
    return {"id": f"msg_{len(request['messages']):04d}", "type": "message", "role": "assistant",
            "model": request.get("model", "stub"), "content": blocks,
            "stop_reason": "tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn",
            "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 5}}


def _events(request, blocks):
    """The same message as a stream of events."""
    whole = _message(request, blocks)
    yield "message_start", {"message": {**whole, "content": [], "stop_reason": None}}
    for i, block in enumerate(blocks):
        if block["type"] == "text":
            yield "content_block_start", {"index": i, "content_block": {"type": "text", "text": ""}}
            for word in re.findall(r"\S+\s*|\s+", block["text"]):
                yield "content_block_delta", {
                    "index": i, "delta": {"type": "text_delta", "text": word}}
        else:
            yield "content_block_start", {"index": i, "content_block": {**block, "input": {}}}
            yield "content_block_delta", {"index": i, "delta": {
                "type": "input_json_delta", "partial_json": json.dumps(block["input"])}}
        yield "content_block_stop", {"index": i}
    yield "message_delta", {"delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
                            "usage": {"output_tokens": 5}}
    yield "message_stop", {}


def _handler(stub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def reply(self, value, status=200):
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self):
            self.reply({})

        def do_GET(self):
            if self.path.startswith("/v1/models"):
                self.reply({"data": [{"type": "model", "id": "stub", "display_name": "Stub"}],
                            "has_more": False})
            else:
                self.reply({})

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path.startswith("/v1/messages/count_tokens"):
                self.reply({"input_tokens": 10})
            elif self.path.startswith("/v1/messages"):
                self.messages(json.loads(body))
            else:
                self.reply({})

        def messages(self, request):
            key = self.headers.get("x-api-key") or self.headers.get("Authorization")
            stub.note(request, key)
            blocks = stub.blocks(request)
            if not request.get("stream"):
                self.reply(_message(request, blocks))
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for name, value in _events(request, blocks):
                text = f"event: {name}\ndata: {json.dumps({'type': name, **value})}\n\n"
                self.wfile.write(text.encode())
                self.wfile.flush()
            self.close_connection = True

        def handle(self):
            try:
                super().handle()
            except (BrokenPipeError, ConnectionResetError):
                pass  # the agent took its answer back

    return Handler


if __name__ == "__main__":
    stub = ModelStub(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(stub.url, flush=True)
    stub._server.serve_forever()
