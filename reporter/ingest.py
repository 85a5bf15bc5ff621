"""Ingest: JSON Lines become rows, each once, however often a file is read.

One object a line, `"kind"` call, run, start or trouble, columns as in the tables; times may also be `ended_at`, `started_at`
(RFC 3339 with a zone, or epoch seconds), lengths `duration_seconds`, `ttft_seconds`, money `cost_usd`.  A line without an id
gets one made from its content.  What can't be read goes to `FILE.bad` with the reason, and the rest goes in.

A spool directory is read the same way: files whose process is gone are removed once their lines are committed, those of
living processes are read and left alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from reporter import facts, state
from reporter.errors import StoreError
from reporter.ids import uuid7_of
from reporter.schema import INTEGER, TABLES
from reporter.sinks.shipping import COLUMNS, orphans, write
from reporter.store import Store

CHUNK = 5_000
MOST_LINE_BYTES = 1024 * 1024
_LENGTHS = {"duration_seconds": "duration_ns", "ttft_seconds": "ttft_ns"}
_MOMENTS = {
    "ended_at": "ended_at_ns",
    "started_at": "started_at_ns",
    "scheduled_for": "scheduled_for_ns",
    "at": "at_ns",
}
_TABLES = {"call": "calls", "run": "runs", "start": "starts", "trouble": "troubles"}
_IDS = {"call": "call_id", "run": "run_id", "start": "call_id", "trouble": "trouble_id"}
_LIMITS = {"cost_nanousd": facts.MOST_NANOUSD, "duration_ns": facts.MOST_LENGTH_NS, "ttft_ns": facts.MOST_LENGTH_NS}
_LONG_TEXT = {"output_tail": 8_192, "detail": 1_000}


class BadLine(ValueError):
    """Why a line can't be a fact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What one file, or one spool, brought."""

    lines: int
    bad: int


def ingest_file(store: Store, path: Path, progress: Callable[[int], None] = lambda size: None) -> Ingested:
    """Bring the lines of `path` in; `progress` hears the bytes of each chunk.

    Raises:
        StoreError: the file can't be read; chunks before that are in.
    """
    lines = bad = 0
    reasons = path.with_name(path.name + ".bad")
    try:
        reasons.unlink(missing_ok=True)  # of an earlier reading of the same file
        with path.open("rb") as file:
            while chunk := list(islice(file, CHUNK)):
                wrong = _ingest_lines(store, chunk)
                lines += len(chunk)
                bad += len(wrong)
                _append_bad(reasons, wrong)
                progress(sum(map(len, chunk)))
    except OSError as error:
        raise StoreError(f"{path}: can't be read: {error.strerror}") from None
    return Ingested(lines=lines, bad=bad)


def ingest_spool(store: Store, directory: str, progress: Callable[[int], None] = lambda size: None) -> Ingested:
    """Bring in what recorders left in a spool directory, and what living ones have in flight.

    `progress` hears the bytes of each file.
    """
    lines = bad = 0
    for path, fd in orphans(directory):
        try:
            with open(fd, "rb", closefd=False) as file:
                content = file.read().splitlines(keepends=True)
            wrong = _ingest_lines(store, content)
            _append_bad(Path(path).with_suffix(".jsonl.bad"), wrong)
            os.unlink(path)
            lines += len(content)
            bad += len(wrong)
            progress(sum(map(len, content)))
        finally:
            os.close(fd)
    for living in sorted(Path(directory).glob("*.jsonl")):
        try:
            content = [line for line in living.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        except FileNotFoundError:
            continue  # its owner has just replaced it
        _ingest_lines(store, content, count_bad=False)
        lines += len(content)
        progress(sum(map(len, content)))
    return Ingested(lines=lines, bad=bad)


def _ingest_lines(store: Store, lines: Iterable[bytes], *, count_bad: bool = True) -> list[tuple[bytes, str]]:
    good, wrong = [], []
    with store.write() as connection:
        pruned_ns = state.get_integer(connection, "calls_pruned_before_ns")
        for line in lines:
            if not line.strip():
                continue
            try:
                good.append(read_line(line, pruned_ns))
            except BadLine as error:
                wrong.append((line, str(error)))
        _insert(connection, good)
        if wrong and count_bad:
            state.add(connection, "bad_lines_total", len(wrong))
    return wrong


def _insert(connection: Connection, good: list[tuple[str, tuple[Any, ...]]]) -> None:
    raw = connection.connection.cursor()
    try:
        write(raw, "?" if connection.dialect.name == "sqlite" else "%s", good)
    finally:
        raw.close()


def read_line(line: bytes, pruned_before_ns: int = 0) -> tuple[str, tuple[Any, ...]]:
    """(kind, fact in column order) of one line.

    Raises:
        BadLine: it is no fact; the message says why.
    """
    if len(line) > MOST_LINE_BYTES:
        raise BadLine(f"longer than {MOST_LINE_BYTES} bytes")
    try:
        told = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadLine(f"no JSON: {error}") from None
    if not isinstance(told, dict):
        raise BadLine("no JSON object")
    kind = told.pop("kind", "call")
    if kind not in COLUMNS:
        raise BadLine(f"kind {kind!r} is none of {', '.join(COLUMNS)}")
    columns = COLUMNS[kind]
    types = {name: of for name, of, _ in TABLES[_TABLES[kind]][0]}
    flags: list[str] = [told["flags"]] if isinstance(told.get("flags"), str) else []
    values: dict[str, Any] = {}
    for name, value in told.items():
        if name in _MOMENTS:
            values[_MOMENTS[name]] = _moment(name, value)
        elif name in _LENGTHS:
            values[_LENGTHS[name]] = facts.nanoseconds(value, _LENGTHS[name], flags)
        elif name == "cost_usd":
            values["cost_nanousd"] = _nanousd(value, flags)
        elif name not in columns:
            raise BadLine(f"unknown key {name!r}; what is not a column belongs into attributes")
        elif name.endswith("_at_ns") or name == "scheduled_for_ns":
            if value is not None and (type(value) is not int or not 0 <= value < 2**63):
                raise BadLine(f"{name} must be integer nanoseconds since 1970")
            values[name] = value
        elif name == "attributes":
            values[name] = facts.attributes(value) if isinstance(value, dict) else None
        elif name == "exit_code":
            values[name] = value if type(value) is int and abs(value) < 2**31 else None
        elif types[name] == INTEGER:
            values[name] = facts.integer(value, _LIMITS.get(name, facts.MOST_TOKENS), name, flags)
        else:
            values[name] = facts.text(value, _LONG_TEXT.get(name, facts.MOST_LABEL))
    _complete(kind, values, line, pruned_before_ns)
    if kind == "call":
        values["flags"] = ",".join(flags) or None
    return kind, tuple(values.get(name) for name in columns)


def _complete(kind: str, values: dict[str, Any], line: bytes, pruned_before_ns: int) -> None:
    """Derive what can be, refuse what lacks the rest."""
    if kind == "call":
        if values.get("ended_at_ns") is None and None not in (values.get("started_at_ns"), values.get("duration_ns")):
            values["ended_at_ns"] = values["started_at_ns"] + values["duration_ns"]
        _require(values, "operation", "ended_at_ns")
        if values.setdefault("status", "success") not in facts.CALL_STATUSES:
            raise BadLine(f"status {values['status']!r} is none of {', '.join(facts.CALL_STATUSES)}")
        if values["ended_at_ns"] < pruned_before_ns:
            raise BadLine(
                "ended before the retention's edge, where calls were counted and pruned; it might count twice"
            )
    elif kind == "run":
        _require(values, "batch_job", "started_at_ns")
        ended = values.get("ended_at_ns") is not None
        if values.setdefault("status", "success" if ended else "running") not in facts.RUN_STATUSES:
            raise BadLine(f"status {values['status']!r} is none of {', '.join(facts.RUN_STATUSES)}")
        if ended and values.get("duration_ns") is None:
            values["duration_ns"] = max(0, values["ended_at_ns"] - values["started_at_ns"])
    elif kind == "start":
        _require(values, "call_id", "operation", "started_at_ns")
    else:
        _require(values, "trouble", "at_ns")
        values.setdefault("occurrences", 1)
    if values.get(_IDS[kind]) is None:
        at_ns = values.get("started_at_ns") or values.get("ended_at_ns") or values.get("at_ns") or 0
        values[_IDS[kind]] = uuid7_of(at_ns, line.strip())


def _require(values: dict[str, Any], *names: str) -> None:
    for name in names:
        if values.get(name) is None:
            raise BadLine(f"{name} is missing")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _moment(name: str, value: object) -> int | None:
    if value is None:
        return None
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            if at.tzinfo is None:
                raise BadLine(f"{name} {value!r} has no zone; write 2026-11-01T02:00:00Z")
            since = at - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
            at_ns = (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
        elif isinstance(value, int | float) and not isinstance(value, bool):
            at_ns = int(Decimal(repr(value)) * 10**9)
        else:
            raise ValueError
    except BadLine:
        raise
    except (ValueError, ArithmeticError):
        raise BadLine(f"{name} {value!r:.60} is neither RFC 3339 nor epoch seconds") from None
    if not 0 <= at_ns < 2**63:
        raise BadLine(f"{name} {value!r:.60} is before 1970 or after 2262")
    return at_ns


def _nanousd(value: object, flags: list[str]) -> int | None:
    try:
        return facts.nanousd(None if value is None else Decimal(str(value)), flags)
    except InvalidOperation:
        flags.append("cost_nanousd")
        return None


def _append_bad(path: Path, wrong: list[tuple[bytes, str]]) -> None:
    if not wrong:
        return
    with open(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab") as file:
        for line, reason in wrong:
            told = {"reason": reason, "line": line.decode("utf-8", "replace").rstrip("\n")[:10_000]}
            file.write(json.dumps(told).encode() + b"\n")
