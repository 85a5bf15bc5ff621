"""A loopback server that speaks the providers' wire formats; the model's name says how it behaves.

anything      answers at once                    hang      never answers
busy-N        429 N times, then answers          cut       a stream that breaks off in the middle
broken        answers 500                        stall     a stream that stops in the middle, and stays open
error-event   a stream that tells an error       short     a stream that ends in good order in the middle
flat-error    the same, not in a member          told      an error, with status 200
gzip-…        as its rest, compressed            slow      a stream with 50 ms between its events
half          half of the answer, as if whole    odd       an answer with counts that are none
"""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

CANARY = "canary-completion-7b1"
WORDS = (CANARY, " one", " two", " three")


class LLMServer:
    """The server, a proxy too; `requests` counts what came, by path."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.over = threading.Event()
        handler = type("Handler", (_Handler,), {"llm": self})
        self._http = _Quiet(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:  # clients that hang up are what this server is for
        return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    llm: LLMServer

    def log_message(self, *_: object) -> None:
        return

    def setup(self) -> None:
        super().setup()
        self.llm.connections += 1

    def do_GET(self) -> None:
        self.llm.requests[self.path] += 1
        if self.path.startswith("/moved"):
            self._reply(302, b"", {"location": self.path.replace("/moved", "/users")})
        elif self.path.startswith("/missing"):
            self._reply(404, b"{}", {})
        elif self.path.startswith("/big"):
            self._reply(200, b"x" * 3_000_000, {"content-type": "application/octet-stream"})
        else:
            self._reply(200, b'{"ok": true}', {"content-type": "application/json"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0]
        self.llm.requests[path] += 1
        if path.startswith("/moved"):
            self._reply(307, b"", {"location": path.replace("/moved", "")})
            return
        try:
            asked = json.loads(body)
        except ValueError:
            asked = {}
        if ":" in path:  # Gemini: the model is in the URL
            asked["model"] = path.rpartition("/")[2].partition(":")[0]
            asked["stream"] = "stream" in path.rpartition(":")[2]
        model = str(asked.get("model", ""))
        zipped = model.startswith("gzip-")
        behaviour = model.removeprefix("gzip-")
        if behaviour.startswith("busy-") and self.llm.refused[model] < int(behaviour[5:]):
            self.llm.refused[model] += 1
            told = json.dumps({"error": {"type": "rate_limit_error", "message": "busy"}}).encode()
            self._reply(429, told, {"content-type": "application/json", "retry-after-ms": "10"})
        elif behaviour == "broken":
            self._reply(
                500, b'{"error": {"message": "broken", "type": "server_error"}}', {"content-type": "application/json"}
            )
        elif behaviour == "hang":
            self.llm.over.wait(30)
            self.close_connection = True
        elif behaviour == "told":
            told = json.dumps({"error": {"code": 502, "message": CANARY}}).encode()
            self._reply(200, told, {"content-type": "application/json"})
        elif behaviour == "half" and not asked.get("stream"):
            whole = json.dumps(document(path, asked)).encode()
            self._reply(200, whole[: len(whole) // 2], {"content-type": "application/json"})
        elif asked.get("stream"):
            asked["sdk"] = self.headers.get("user-agent", "").lower()
            self._stream(list(events(path, asked)), behaviour, zipped)
        else:
            self._reply(200, json.dumps(document(path, asked)).encode(), {"content-type": "application/json"}, zipped)

    def _reply(self, status: int, body: bytes, headers: dict[str, str], zipped: bool = False) -> None:
        if zipped:
            body, headers = gzip.compress(body), {**headers, "content-encoding": "gzip"}
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body)), "x-request-id": "req-1"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, told: list[bytes], behaviour: str, zipped: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        if zipped:
            self.send_header("content-encoding", "gzip")
        self.end_headers()
        packer = gzip.GzipFile(fileobj=_Chunks(self.wfile), mode="wb") if zipped else None
        for number, event in enumerate(told):
            if behaviour in ("cut", "stall") and number == len(told) // 2:
                if behaviour == "stall":
                    self.llm.over.wait(30)
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            if behaviour == "short" and number == len(told) // 2:
                break
            if behaviour == "half" and number == len(told) // 2:
                event = event[: len(event) // 2] + b"\n\n"
            if behaviour == "slow":
                time.sleep(0.05)
            if packer is not None:
                packer.write(event)
                packer.flush()
            else:
                _Chunks(self.wfile).write(event)
            self.wfile.flush()
        if packer is not None:
            packer.close()
        self.wfile.write(b"0\r\n\r\n")


class _Chunks:
    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, data: bytes) -> int:
        if data:
            self.file.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        return len(data)

    def flush(self) -> None:
        self.file.flush()


def document(path: str, asked: dict[str, Any]) -> dict[str, Any]:
    """A whole answer."""
    model = asked.get("model") or asked.get("agent_id") or asked["prompt"]["id"]
    if path.endswith("/completions"):
        message = {"role": "assistant", "content": "".join(WORDS)}
        return {
            "id": "c-1", "object": "chat.completion", "created": 1, "model": f"{model}-2026", "service_tier": "flex",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": of(model, OPENAI),
        }  # fmt: skip
    if path.endswith("/responses"):
        text = {"type": "output_text", "text": "".join(WORDS), "annotations": []}
        return {
            "id": "r-1", "object": "response", "created_at": 1, "model": f"{model}-2026", "status": "completed",
            "output": [{"type": "message", "id": "m", "status": "completed", "role": "assistant", "content": [text]}],
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": of(model, RESPONSES),
        }  # fmt: skip
    if path.endswith("/embeddings"):
        vectors = [{"object": "embedding", "index": 0, "embedding": [0.25] * 4096}]
        return {
            "object": "list",
            "data": vectors,
            "model": f"{model}-2026",
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        }
    if path.endswith("/messages"):
        return {
            "id": "m-1", "type": "message", "role": "assistant", "model": f"{model}-2026", "stop_reason": "end_turn",
            "stop_sequence": None, "content": [{"type": "text", "text": "".join(WORDS)}], "usage": of(model, ANTHROPIC),
        }  # fmt: skip
    return _gemini(model, "".join(WORDS), of(model, GEMINI))


def events(path: str, asked: dict[str, Any]) -> Iterator[bytes]:
    """A streamed answer, event by event."""
    model = f"{asked['model']}-2026"
    fails, flat = asked["model"].endswith("error-event"), asked["model"].endswith("flat-error")
    if path.endswith("/chat/completions"):
        head = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": model}
        deltas: list[dict[str, Any]] = [
            {"role": "assistant", "content": ""},
            *({"content": word} for word in WORDS),
            {},
        ]
        for delta in deltas:
            chunk = {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}]}
            if not delta and "groq" in asked["sdk"]:
                chunk["x_groq"] = {"id": "req-1", "usage": of(model, OPENAI)}
            elif not delta and "mistral" in asked["sdk"]:
                chunk["usage"] = of(model, OPENAI)
            yield _event(chunk)
            if fails and delta.get("content"):
                yield _event({"error": {"type": "server_error", "message": CANARY}})
                return
            if flat and delta.get("content"):
                yield _event({"type": "error", "code": "server_error", "message": CANARY})
                return
        if (asked.get("stream_options") or {}).get("include_usage"):
            yield _event({**head, "choices": [], "usage": of(model, OPENAI)})
        yield b"data: [DONE]\n\n"
    elif path.endswith("/responses"):
        response = {**document(path, asked), "status": "in_progress", "usage": None, "output": []}
        yield _event({"type": "response.created", "sequence_number": 0, "response": response}, named=True)
        where = {"item_id": "m", "output_index": 0, "content_index": 0, "logprobs": []}
        for number, word in enumerate(WORDS):
            yield _event(
                {"type": "response.output_text.delta", "sequence_number": number + 1, "delta": word, **where},
                named=True,
            )
        if fails:
            error = {"code": "server_error", "message": CANARY}
            response.update(status="failed", error=error)
            yield _event({"type": "response.failed", "sequence_number": 9, "response": response}, named=True)
            return
        if flat:
            error = {"code": "server_error", "message": CANARY, "param": None}
            yield _event({"type": "error", "sequence_number": 9, **error}, named=True)
            return
        yield _event(
            {"type": "response.completed", "sequence_number": 9, "response": document(path, asked)}, named=True
        )
    elif path.endswith("/messages"):
        message = {**document(path, asked), "content": [], "stop_reason": None}
        message["usage"] = {**of(model, ANTHROPIC), "output_tokens": 1}
        yield _event({"type": "message_start", "message": message}, named=True)
        yield _event(
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, named=True
        )
        for word in WORDS:
            yield _event(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}, named=True
            )
            if fails:
                yield _event({"type": "error", "error": {"type": "overloaded_error", "message": CANARY}}, named=True)
                return
            if flat:
                yield _event({"type": "error", "code": "server_error", "message": CANARY}, named=True)
                return
        yield _event({"type": "content_block_stop", "index": 0}, named=True)
        usage = {"output_tokens": ANTHROPIC["output_tokens"]}
        yield _event(
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
            named=True,
        )
        yield _event({"type": "message_stop"}, named=True)
    else:
        for word in WORDS[:-1]:
            yield _event(_gemini(asked["model"], word, {**of(model, GEMINI), "candidatesTokenCount": 1}, finish=None))
            if fails or flat:
                yield _event({"error": {"code": 503, "message": CANARY, "status": "UNAVAILABLE"}})
                return
        yield _event(_gemini(asked["model"], WORDS[-1], of(model, GEMINI)))


def _gemini(model: str, text: str, usage: dict[str, int], finish: str | None = "STOP") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": f"{model}-2026"}


def of(model: str, usage: dict[str, Any]) -> dict[str, Any]:
    """`usage`, or with less than no tokens sent."""
    return {**usage, next(iter(usage)): -5} if model.startswith("odd") else usage


def _event(told: dict[str, Any], *, named: bool = False) -> bytes:
    name = f"event: {told['type']}\n" if named else ""
    return f"{name}data: {json.dumps(told)}\n\n".encode()


OPENAI = {
    "prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100,
    "prompt_tokens_details": {"cached_tokens": 400}, "completion_tokens_details": {"reasoning_tokens": 30},
}  # fmt: skip
RESPONSES = {
    "input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100,
    "input_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 30},
}  # fmt: skip
ANTHROPIC: dict[str, Any] = {
    "input_tokens": 500, "cache_read_input_tokens": 400, "cache_creation_input_tokens": 100, "output_tokens": 100,
    "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60}, "service_tier": "standard",
}  # fmt: skip
GEMINI = {
    "promptTokenCount": 1000, "cachedContentTokenCount": 400, "candidatesTokenCount": 70, "thoughtsTokenCount": 30,
    "totalTokenCount": 1100,
}  # fmt: skip
"""The same call as four providers tell it: 1000 tokens in, 400 of them from a cache, 100 out, 30 of them reasoning (Anthropic
tells no reasoning, and 100 written to the cache)."""
