"""A seeded server whose faults depend on a request's content and attempt number only, and that
records what it would have billed.
"""

import hashlib
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TRANSIENT = ("too fast", "error", "timeout", "reset", "cut", "null", "html")
LASTING = ("fenced", "thinking", "parts", "garbled", "violation", "refusal")
# Waiting for a timeout takes real time; a violation must outlast its repair turn now and then.
WEIGHTS = {"timeout": 0.15, "thinking": 0.5, "parts": 0.5, "violation": 2.0}
USAGE = {"prompt_tokens": 300, "completion_tokens": 120}
FOLDER_LINE = "文件夹名（可能有误）："
CARD_LINE = "菜品卡片："


class FaultServer:
    """`share` of the contents have a fault: a transient one on their first 1-3 attempts, or a
    lasting one.

    billed: {content digest: complete chat completions}; requests: how many came in. `latency_s`:
    seconds a good answer takes.
    """

    def __init__(self, seed=0, share=0.3, timeout_s=2.0, latency_s=0.0):
        self.seed = seed
        self.share = share
        self.timeout_s = timeout_s
        self.latency_s = latency_s
        self.billed = Counter()
        self.attempts = Counter()
        self.requests = 0
        self.seen = Counter()
        self._lock = threading.Lock()
        self._server = _Listening(("127.0.0.1", 0), _Handler)
        self._server.faults = self
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def plan(self, digest):
        """(fault or "", on how many attempts) of a content."""
        chance = random.Random(f"{self.seed}:{digest}")
        if chance.random() >= self.share:
            return "", 0
        kinds = TRANSIENT + LASTING
        kind = chance.choices(kinds, [WEIGHTS.get(name, 1.0) for name in kinds])[0]
        return kind, chance.randint(1, 3) if kind in TRANSIENT else 10**9

    def fault(self, digest):
        with self._lock:
            self.attempts[digest] += 1
            self.requests += 1
            kind, times = self.plan(digest)
            active = kind if self.attempts[digest] <= times else ""
            self.seen[active] += 1
            return active

    def bill(self, digest):
        with self._lock:
            self.billed[digest] += 1


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def handle_error(self, *_):
        """Clients that are killed break their connections."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        faults = self.server.faults
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        digest = hashlib.sha256(
            json.dumps(request["messages"], ensure_ascii=False).encode()
        ).hexdigest()
        kind = faults.fault(digest)
        getattr(self, f"_{kind.replace(' ', '_') or 'good'}")(faults, digest, request)

    def _good(self, faults, digest, request):
        self._complete(faults, digest, json.dumps(_answer(request), ensure_ascii=False))

    def _fenced(self, faults, digest, request):
        self._complete(
            faults, digest, f"```json\n{json.dumps(_answer(request), ensure_ascii=False)}\n```"
        )

    def _thinking(self, faults, digest, request):
        thoughts = "<think>\n先看颜色{，再看形状。\n</think>\n\n"
        self._complete(faults, digest, thoughts + json.dumps(_answer(request), ensure_ascii=False))

    def _parts(self, faults, digest, request):
        text = json.dumps(_answer(request), ensure_ascii=False)
        self._complete(
            faults,
            digest,
            [{"type": "thinking", "thinking": "先看颜色"}, {"type": "text", "text": text}],
        )

    def _garbled(self, faults, digest, request):
        self._complete(faults, digest, json.dumps(_answer(request), ensure_ascii=False)[:-7])

    def _violation(self, faults, digest, request):
        self._complete(
            faults,
            digest,
            json.dumps(dict.fromkeys(_answer(request), 7), ensure_ascii=False),
        )

    def _refusal(self, faults, digest, request):
        self._complete(faults, digest, None, refusal="我不能描述这张照片")

    def _too_fast(self, *_):
        self._send(
            429,
            b'{"error": {"code": "rate_limit_exceeded", "message": "slow down"}}',
            {"Retry-After": "0.5"},
        )

    def _error(self, *_):
        self._send(500, b'{"error": {"message": "oops"}}')

    def _html(self, *_):
        self._send(200, b"<html><body>busy</body></html>", {"Content-Type": "text/html"})

    def _null(self, *_):
        self._send(200, b'{"id": "x", "choices": null, "usage": null}')

    def _cut(self, *_):
        self._send(200, b'{"id": "x", "choices": [{"mess', {"Content-Length": "900"})
        self.close_connection = True

    def _timeout(self, faults, *_):
        time.sleep(1.5 * faults.timeout_s)
        self.close_connection = True

    def _reset(self, *_):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _complete(self, faults, digest, content, refusal=None):
        time.sleep(faults.latency_s)
        message = {"role": "assistant", "content": content, "refusal": refusal}
        body = {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": USAGE,
        }
        faults.bill(digest)
        self._send(200, json.dumps(body, ensure_ascii=False).encode())

    def _send(self, status, data, headers=None):
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def _answer(request):
    """A card named after the folder in the prompt, or texts named after the card."""
    first = next(message for message in request["messages"] if message["role"] == "user")["content"]
    if isinstance(first, str):
        name = json.loads(first.rpartition(CARD_LINE)[2])["name"]
        return {"introduction": f"介绍{name}", "recipe": f"1. 做{name}"}
    return {
        "name": "菜" + first[0]["text"].rpartition(FOLDER_LINE)[2],
        "cuisine": "家常菜",
        "calories": 100.0,
    }
