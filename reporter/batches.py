"""Result files of batch APIs as facts: each result a call of the price class `batch`, with the tokens it tells.

    OpenAI      {"id", "custom_id", "response": {"status_code", "body": {…}} | null, "error": {"code"} | null}
    Anthropic   {"custom_id", "result": {"type": "succeeded" | "errored" | "canceled" | "expired", "message" | "error": {…}}}

A result has no duration: nobody waited for it.  OpenAI's say when they were made, Anthropic's do not and end when the file was
written.  Ids are made from what identifies a result, so the same file counts once however often it is fetched and read; what
was said in it is read by nobody and kept nowhere, in a file of bad lines neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from reporter import facts, usage
from reporter.ids import uuid7_of
from reporter.lines import BadLine, read_line

if TYPE_CHECKING:
    from reporter.lines import Fact

    Reads = Callable[[Iterable[bytes], int], tuple[list[Fact], list[tuple[bytes, str]]]]

MOST_LINE_BYTES = 64 * 1024 * 1024
_OPERATIONS = {"chat.completion": "chat", "response": "chat", "list": "embeddings", "text_completion": "completion"}
_ENDS = {"errored": "error", "canceled": "cancelled", "expired": "timeout"}


def reader(provider: str, written_at_ns: int) -> Reads:
    """What reads the lines of a result file of `provider`, "openai" or "anthropic", that was written at a moment."""
    told_by = {"openai": _openai, "anthropic": _anthropic}[provider]

    def read(lines: Iterable[bytes], pruned_before_ns: int) -> tuple[list[Fact], list[tuple[bytes, str]]]:
        good, wrong = [], []
        for line in lines:
            if not line.strip():
                continue
            try:
                good.append(_fact(told_by(_object(line), written_at_ns), pruned_before_ns))
            except BadLine as error:
                wrong.append((f"{len(line)} bytes of {provider}'s, not kept".encode(), str(error)))
        return good, wrong

    return read


def _fact(told: dict[str, Any], pruned_before_ns: int) -> Fact:
    told = {name: value for name, value in told.items() if value is not None}
    if told.get("price_class") in (None, *usage.TIERS.values()):  # sound, say, has no price of text, in a batch neither
        told["price_class"] = "batch"
    return read_line(json.dumps({"kind": "call", **told}).encode(), pruned_before_ns)


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > MOST_LINE_BYTES:
        raise BadLine(f"longer than {MOST_LINE_BYTES} bytes")
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        raise BadLine("no JSON") from None
    if not isinstance(told, dict):
        raise BadLine("no JSON object")
    return told


def _openai(told: dict[str, Any], written_at_ns: int) -> dict[str, Any]:
    response, error = _member(told, "response"), _member(told, "error")
    if not response and not error:
        raise BadLine("neither a response nor an error: no result of OpenAI's batch API")
    body = _member(response, "body")
    status = response.get("status_code")
    made_ns = facts.moment(body.get("created") or body.get("created_at")) or 0
    at_ns = made_ns or written_at_ns
    failure = error or _member(body, "error")
    succeeded = type(status) is int and status < 400 and not failure
    return {
        "call_id": uuid7_of(made_ns, _identity("openai", told, body)),
        "ended_at_ns": at_ns,
        "provider": "openai",
        "model": body.get("model"),
        "operation": _OPERATIONS.get(str(body.get("object")), "chat"),
        "status": "success" if succeeded else _ENDS.get(_word(failure, "code").removeprefix("batch_"), "error"),
        "error_type": None if succeeded else _word(failure, "code") or _word(failure, "type") or str(status),
        "http_status": status if type(status) is int else None,
        **_tokens(body, succeeded),
        "attributes": _attributes(told, body),
    }


def _anthropic(told: dict[str, Any], written_at_ns: int) -> dict[str, Any]:
    result = _member(told, "result")
    kind = result.get("type")
    if kind not in ("succeeded", *_ENDS):
        raise BadLine("no result of Anthropic's batch API: its type is none of succeeded, errored, canceled, expired")
    message = _member(result, "message")
    error = _member(result, "error")
    failure = _member(error, "error") or error
    succeeded = kind == "succeeded"
    return {
        "call_id": uuid7_of(0, _identity("anthropic", told, message)),
        "ended_at_ns": written_at_ns,
        "provider": "anthropic",
        "model": message.get("model"),
        "operation": "chat",
        "status": "success" if succeeded else _ENDS[str(kind)],
        "error_type": None if succeeded else _word(failure, "type") or str(kind),
        **_tokens(message, succeeded),
        "attributes": _attributes(told, message),
    }


def _tokens(body: dict[str, Any], succeeded: bool) -> dict[str, Any]:
    told = usage.read(body)
    told["response_model"] = None  # the same as the model: a batch names no other
    told["usage_status"] = "complete" if "input_tokens" in told or "output_tokens" in told else "missing"
    if not succeeded and told["usage_status"] == "missing":
        told["usage_status"] = None  # nothing was used
    return told


def _attributes(told: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    kept = {"custom_id": facts.text(told.get("custom_id"))}
    found = _member(body, "usage")
    return {**kept, "usage": found} if found else kept


def _identity(provider: str, told: dict[str, Any], body: dict[str, Any]) -> bytes:
    """What only this result has."""
    parts = [provider, *(str(source.get(name)) for source, name in ((told, "id"), (told, "custom_id"), (body, "id")))]
    return "\0".join(parts).encode("utf-8", "surrogateescape")


def _member(source: object, name: str) -> dict[str, Any]:
    found = source.get(name) if isinstance(source, dict) else None
    return found if isinstance(found, dict) else {}


def _word(source: dict[str, Any], name: str) -> str:
    value = source.get(name)
    return value if isinstance(value, str) else ""
