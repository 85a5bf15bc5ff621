"""A language model on loopback: `POST /v1/chat/completions` as OpenAI-compatible servers answer it.

It is slow at times, refuses some requests with 429, lets some hang, streams when asked to, and counts what it did.  A message
that says STALL is never answered: whoever sent it can be killed at leisure.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STALL = "[stall]"
_WORDS = [
    "the",
    "invoice",
    "says",
    "that",
    "one",
    "pump",
    "was",
    "sent",
    "on",
    "Tuesday",
    "and",
    "paid",
    "for",
    "in",
    "full",
]


class ModelServer:
    """The server, in threads of this process; a context manager."""

    def __init__(self, *, refused_ratio: float = 0.1, hanging_ratio: float = 0.02, seed: int = 7) -> None:
        self.refused_ratio, self.hanging_ratio = refused_ratio, hanging_ratio
        self.outcomes: Counter[str] = Counter()  # "answered", "refused", "hanging"
        self.stalling = threading.Event()  # a STALL message has arrived
        self._over = threading.Event()
        self._dice = random.Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Exchange)
        self._server.model = self

    @property
    def base_url(self) -> str:
        """What OPENAI_BASE_URL would be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ModelServer:
        threading.Thread(target=self._server.serve_forever, name="demo-model", daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def decide(self) -> tuple[str, float]:
        """(What becomes of the next request, after how many seconds)."""
        with self._lock:
            chance, seconds = self._dice.random(), min(0.6, self._dice.lognormvariate(-3.2, 0.6))
            refused = chance < self.refused_ratio
            hanging = not refused and chance < self.refused_ratio + self.hanging_ratio
            outcome = "refused" if refused else "hanging" if hanging else "answered"
            self.outcomes[outcome] += 1
        return outcome, seconds

    def hang(self) -> None:
        """Say nothing until the server stops."""
        self._over.wait(60)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    model: ModelServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed or gave up is part of the play."""


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *arguments: object) -> None:
        return

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self.path != "/v1/chat/completions":
            self._answer(404, {"error": {"message": f"no {self.path} here", "type": "invalid_request_error"}})
            return
        text = " ".join(str(message.get("content", "")) for message in asked.get("messages", []))
        model = self.server.model
        if STALL in text:
            model.stalling.set()
            model.hang()
            return
        outcome, seconds = model.decide()
        time.sleep(seconds)
        if outcome == "refused":
            refusal = {
                "message": "Rate limit reached; try again in 1s",
                "type": "requests",
                "code": "rate_limit_exceeded",
            }
            self._answer(429, {"error": refusal}, {"Retry-After": "1"})
        elif outcome == "hanging":
            model.hang()
        elif asked.get("stream"):
            self._stream(asked, text, seconds)
        else:
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": " ".join(_WORDS)},
                "finish_reason": "stop",
            }
            self._answer(200, {**_head(asked, "chat.completion"), "choices": [choice], "usage": _usage(text)})

    def _answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, asked: dict[str, Any], text: str, seconds: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        head = _head(asked, "chat.completion.chunk")
        for word in _WORDS:
            self._event({**head, "choices": [{"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}]})
            time.sleep(seconds / len(_WORDS))
        self._event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if (asked.get("stream_options") or {}).get("include_usage"):
            self._event({**head, "choices": [], "usage": _usage(text)})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _event(self, body: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(body).encode() + b"\n\n")


def _head(asked: dict[str, Any], of: str) -> dict[str, Any]:
    made = {"id": f"chatcmpl-{time.time_ns()}", "object": of, "created": int(time.time())}
    return {**made, "model": asked.get("model", "unnamed")}


def _usage(text: str) -> dict[str, Any]:
    """Tokens as OpenAI tells them: what was read from the cache is part of the prompt."""
    prompt = 600 + len(text) // 4
    return {
        "prompt_tokens": prompt,
        "completion_tokens": len(_WORDS),
        "total_tokens": prompt + len(_WORDS),
        "prompt_tokens_details": {"cached_tokens": 512},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
