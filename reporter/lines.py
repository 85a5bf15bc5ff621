"""A line: one JSON object, and the fact it is; or the reason why it is none.

`reporter ingest`, the spool on its way into SQLite and the spool on its way to Postgres all read lines here, so that the same
line is the same row everywhere.  Whatever comes out of `read_line` can be stored: integers fit 63 bits, text has no NUL and
no lone surrogate, what may not be NULL is there.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from decimal import Decimal, InvalidOperation

from reporter import facts
from reporter.ids import uuid7_of
from reporter.redaction import redacted
from reporter.schema import CALL_COLUMNS, INTEGER, RUN_COLUMNS, START_COLUMNS, TABLES, TROUBLE_COLUMNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Any

    Fact = tuple[str, tuple[Any, ...]]  # its kind, and its values in the order of COLUMNS

COLUMNS = {"call": CALL_COLUMNS, "run": RUN_COLUMNS, "start": START_COLUMNS, "trouble": TROUBLE_COLUMNS}
MOST_LINE_BYTES = 1024 * 1024
_LENGTHS = {"duration_seconds": "duration_ns", "ttft_seconds": "ttft_ns"}
_MOMENTS = {
    "ended_at": "ended_at_ns",
    "started_at": "started_at_ns",
    "scheduled_for": "scheduled_for_ns",
    "at": "at_ns",
}
_TABLES = {"call": "calls", "run": "runs", "start": "starts", "trouble": "troubles"}
_TYPES = {kind: {name: of for name, of, _ in TABLES[table][0]} for kind, table in _TABLES.items()}
_IDS = {"call": "call_id", "run": "run_id", "start": "call_id", "trouble": "trouble_id"}
_LIMITS = {"cost_nanousd": facts.MOST_NANOUSD, "duration_ns": facts.MOST_LENGTH_NS, "ttft_ns": facts.MOST_LENGTH_NS}
_LONG_TEXT = {"output_tail": facts.MOST_TAIL, "detail": 1_000}


class BadLine(ValueError):
    """Why a line can't be a fact."""


def read_lines(lines: Iterable[bytes], pruned_before_ns: int = 0) -> tuple[list[Fact], list[tuple[bytes, str]]]:
    """The facts of some lines; and the lines that are none, each with its reason."""
    good, wrong = [], []
    for line in lines:
        if not line.strip():
            continue
        try:
            good.append(read_line(line, pruned_before_ns))
        except BadLine as error:
            wrong.append((line, str(error)))
    return good, wrong


def keep_bad(path: str, wrong: Collection[tuple[bytes, str]], *, once: bool = True) -> None:
    """Put lines that are no facts aside, with their reasons, into a file that only this user can read.

    `once`: unless they are what it ends with, because an earlier reading was interrupted after this.

    Raises:
        OSError: it can't be written, or is a link.
    """
    if not wrong:
        return
    told = b"".join(
        json.dumps({"reason": reason, "line": line.decode("utf-8", "replace").rstrip("\n")[:10_000]}).encode() + b"\n"
        for line, reason in wrong
    )
    with open(os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW, 0o600), "r+b") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - len(told)))
        if not once or file.read() != told:
            file.write(told)


def read_line(line: bytes, pruned_before_ns: int = 0) -> Fact:
    """The fact of one line; calls that ended before `pruned_before_ns` are refused.

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
    if not isinstance(kind, str) or kind not in COLUMNS:
        raise BadLine(f"kind {kind!r:.60} is none of {', '.join(COLUMNS)}")
    flags = [facts.text(told["flags"]) or ""] if isinstance(told.get("flags"), str) else []
    values = dict(_column(kind, name, value, flags) for name, value in told.items())
    _complete(kind, values, line, pruned_before_ns)
    if kind == "call":
        values["flags"] = ",".join(flags) or None
    return kind, tuple(values.get(name) for name in COLUMNS[kind])


def _column(kind: str, name: str, value: object, flags: list[str]) -> tuple[str, Any]:
    """The column that a key stands for, and its value made storable."""
    if name in _MOMENTS:
        return _MOMENTS[name], _moment(name, value)
    if name in _LENGTHS:
        return _LENGTHS[name], facts.nanoseconds(value, _LENGTHS[name], flags)
    if name == "cost_usd":
        return "cost_nanousd", _nanousd(value, flags)
    if name not in COLUMNS[kind]:
        raise BadLine(f"unknown key {name!r:.60}; what is not a column belongs into attributes")
    if name.endswith("_at_ns") or name == "scheduled_for_ns":
        if value is not None and (type(value) is not int or not 0 <= value < 2**63):
            raise BadLine(f"{name} must be integer nanoseconds since 1970")
        return name, value
    if name == "attributes":
        return name, facts.attributes(value, flags) if isinstance(value, dict) else None
    if name == "exit_code":
        return name, value if type(value) is int and abs(value) < 2**31 else None
    if _TYPES[kind][name] == INTEGER:
        return name, facts.integer(value, _LIMITS.get(name, facts.MOST_TOKENS), name, flags)
    if isinstance(value, dict | list):
        raise BadLine(f"{name} must be text")
    if name == "price_class":
        return name, facts.price_class(value)
    if name == _IDS[kind] and value is not None and len(str(value)) > facts.MOST_LABEL:
        raise BadLine(f"{name} is longer than {facts.MOST_LABEL} characters")  # cut, two might be one
    if name == "output_tail" and isinstance(value, str):
        value = redacted(value[: 2 * facts.MOST_TAIL])
    return name, facts.text(value, _LONG_TEXT.get(name, facts.MOST_LABEL)) or None  # nobody means anything by ""


def _complete(kind: str, values: dict[str, Any], line: bytes, pruned_before_ns: int) -> None:
    """Derive what can be, refuse what lacks the rest."""
    if kind == "call":
        if values.get("ended_at_ns") is None and None not in (values.get("started_at_ns"), values.get("duration_ns")):
            values["ended_at_ns"] = values["started_at_ns"] + values["duration_ns"]
        _require(values, "operation", "ended_at_ns")
        if values.get("model") is None:
            values["model"] = values.get("response_model")
        if values["ended_at_ns"] >= 2**63:
            raise BadLine("started_at and duration end after 2262")
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
        if values.get("occurrences") is None:
            values["occurrences"] = 1
    if not values.get(_IDS[kind]):
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
