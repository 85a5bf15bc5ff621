"""What is read from an answer as its bytes pass: usage, model, finish reason, errors, and when the first token came.

Nothing else of an answer is kept: no prompt, no completion.  Of usage only numbers, and short words like `"flex"`; of an
error only the provider's word for it.
"""

from __future__ import annotations

import json
import re

from reporter import usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_BODY_BYTES = 1024 * 1024
"""A longer JSON answer is searched for its usage at its end only."""
MOST_LINE_BYTES = 1024 * 1024
_PARSED_WHOLE_BYTES = 32 * 1024
_PICKED = ("usage", "usageMetadata", "model", "modelVersion", "service_tier", "stop_reason")  # no error is so long
_WORD = re.compile(r"[\w.:/-]{1,100}")
_DIALECTS = ("message_", "content_block_", "response.")  # how the events of those begin that have a last word


class Answer:
    """An answer being read."""

    __slots__ = (
        "_has_last_word", "_latest", "_rest", "ended", "error_type", "finish", "first_token", "model", "tier", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        self.usage: dict[str, Any] = {}
        self.model: str | None = None
        self.finish: str | None = None
        self.tier: str | None = None  # how it was served, beside its usage
        self.error_type: str | None = None  # of an error told in an answer that began as a success
        self.first_token = False
        self.ended = False  # the terminal event has come
        self._has_last_word: bool | None = None  # whether its stream's dialect has one; None: it has told nothing yet
        self._rest = b""  # a line that has not come to its end
        self._latest = b""

    # ── one JSON document ──

    def read_json(self, body: bytes, *, claimed: bool = False) -> None:
        """Read a whole answer; one that is `claimed` to be JSON and is none is an error."""
        if len(body) <= _PARSED_WHOLE_BYTES:
            told = _whole(body)
            parses = told is not None
        else:
            told = _picked(body)
            parses = body[-_PARSED_WHOLE_BYTES:].rstrip().endswith((b"}", b"]"))
        if claimed and not parses:
            self.error_type = "JSONDecodeError"  # what Python calls it
        if isinstance(told, list) and told:  # Gemini's stream without SSE is an array
            for part in told:
                self._take(part)
        else:
            self._take(told)

    # ── server-sent events ──

    def feed(self, data: bytes) -> None:
        """Read the next bytes of a stream of events."""
        if self._rest:
            data = self._rest + data
        if data.endswith(b"\n"):
            lines, self._rest = data, b""
        else:
            cut = data.rfind(b"\n") + 1
            lines, self._rest = data[:cut], data[cut : cut + MOST_LINE_BYTES]
        if self.first_token and not _tells(lines):
            return
        for line in lines.splitlines():
            if not line.startswith(b"data:") or (self.first_token and not _tells(line)):
                continue
            payload = line[5:].strip()
            if payload == b"[DONE]":
                self.ended = True
            elif self.first_token and b"usageMetadata" in payload and b"finishReason" not in payload:
                self._latest = payload  # Gemini repeats it, and only the last counts
            elif len(payload) <= MOST_LINE_BYTES:
                self._latest = b""
                self._event(_whole(payload))

    def finish_feeding(self) -> None:
        """The stream is over: its last line may lack its end."""
        if self._rest:
            self.feed(b"\n")
        if self._latest:
            self._event(_whole(self._latest))
            self._latest = b""

    @property
    def cut(self) -> bool:
        """Whether a stream that is over lacks its last word: neither its terminal event nor a finish reason came."""
        return self._has_last_word is not False and not self.ended and self.finish is None

    def _event(self, told: object) -> None:
        if not isinstance(told, dict):
            return
        kind = told.get("type")
        if not self.first_token:
            self.first_token = _brings_a_token(told, kind)
        if not self._has_last_word:
            known = isinstance(kind, str) and kind.startswith(_DIALECTS)
            self._has_last_word = known or "choices" in told or "candidates" in told
        if kind == "message_start":
            told = told.get("message")
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self.ended = True
            told = told.get("response")
        elif kind == "message_stop":
            self.ended = True
        elif kind == "message_delta":
            delta = told.get("delta")
            if isinstance(delta, dict):
                self._finished(delta.get("stop_reason"))
        self._take(told)

    # ── both ──

    def _take(self, told: object) -> None:
        if not isinstance(told, dict):
            return
        found = told.get("usage") or told.get("usageMetadata")
        x_groq = told.get("x_groq")
        if found is None and isinstance(x_groq, dict):
            found = x_groq.get("usage")
        if isinstance(found, dict):
            self.usage.update(
                (name, value) for name, value in found.items() if value is not None
            )  # null says nothing new
        model = told.get("model") or told.get("modelVersion")
        if isinstance(model, str):
            self.model = model
        tier = told.get("service_tier")
        if isinstance(tier, str):
            self.tier = tier
        self._finished(usage.finish_reason(told))
        error_type = _error_of(told)
        if error_type is not None:
            self.error_type = error_type
            self.ended = True

    def columns(self) -> dict[str, Any]:
        """What it has told so far, as columns of a call."""
        return usage.read({"usage": self.usage, "model": self.model, "service_tier": self.tier})

    def _finished(self, reason: object) -> None:
        if isinstance(reason, str) and reason:
            self.finish = reason


def _error_of(told: dict[str, Any]) -> str | None:
    """The provider's word for the error that an answer or event tells; None: it tells none."""
    choices = told.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    error = told.get("error") or choice.get("error")  # OpenRouter tells the one of the model's provider there
    if not error:
        if told.get("type") == "error" or told.get("object") == "error":  # a flat one
            error = told
        elif told.get("status") == "failed":
            return "failed"
        else:
            return "error" if choice.get("finish_reason") == "error" else None
    for name in ("type", "code", "status"):
        kind = error.get(name) if isinstance(error, dict) else None
        if type(kind) is int or (isinstance(kind, str) and kind != "error" and _WORD.fullmatch(kind)):
            return str(kind)
    return "error"


def _tells(lines: bytes) -> bool:
    """Whether lines may hold anything but a further piece of the answer; a stream has thousands that don't."""
    return (
        b'eason":"' in lines  # finish_reason, finishReason, stop_reason, unless it is null
        or b'eason": "' in lines
        or b"[DONE]" in lines
        or b'"error"' in lines
        or (
            b"sage" in lines
            # usage, unless it is null; usageMetadata; message_start, message_stop
            and (b'sage":{' in lines or b'sage": {' in lines or b"sageMetadata" in lines or b"message_st" in lines)
        )
        or (b'"response.' in lines and (b'.completed"' in lines or b'.incomplete"' in lines or b'.failed"' in lines))
    )


def _brings_a_token(told: dict[str, Any], kind: object) -> bool:
    """Whether an event carries text, reasoning or a piece of a tool call."""
    try:
        if isinstance(kind, str):
            if kind == "content_block_start":
                return bool(told["content_block"]["type"] == "tool_use")
            if kind == "content_block_delta":
                return any(told["delta"].get(name) for name in ("text", "thinking", "partial_json"))
            if kind.endswith(".delta"):
                return bool(told.get("delta"))
        for choice in told.get("choices") or ():
            if choice.get("text"):
                return True
            delta = choice.get("delta") or {}
            if any(delta.get(name) for name in ("content", "reasoning_content", "reasoning", "refusal", "tool_calls")):
                return True
        for candidate in told.get("candidates") or ():
            for part in (candidate.get("content") or {}).get("parts") or ():
                if part.get("text") or part.get("functionCall"):
                    return True
    except (AttributeError, KeyError, TypeError):  # not of the shape it should have
        return False
    return False


def _whole(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _picked(body: bytes) -> dict[str, Any] | None:
    """The members that matter of a long answer, found without parsing it; a quote inside a string is escaped, so a name in
    quotes is a name."""
    if len(body) > MOST_BODY_BYTES:
        body = body[:4096] + body[-_PARSED_WHOLE_BYTES:]
    text = body.decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    told: dict[str, Any] = {}
    for name in _PICKED:
        at = text.rfind(f'"{name}"') if name.startswith("usage") else text.find(f'"{name}"')
        if at < 0:
            continue
        rest = text[at + len(name) + 2 : at + len(name) + 2 + 16_384].lstrip()
        if not rest.startswith(":"):
            continue
        try:
            told[name] = decoder.raw_decode(rest[1:].lstrip())[0]
        except (ValueError, RecursionError):
            continue
    return told or None
