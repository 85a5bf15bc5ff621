"""Lines: whatever one says, it is a fact that both stores take, and keep alike, or it is told why not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reporter.lines import COLUMNS, BadLine, read_line, read_lines
from reporter.schema import create_statements
from reporter.sinks.shipping import write
from tests.servers import Postgres

LEAST: dict[str, dict[str, Any]] = {
    "call": {"operation": "chat", "ended_at_ns": 1_790_000_000 * 10**9},
    "run": {"batch_job": "nightly", "started_at_ns": 1_790_000_000 * 10**9},
    "start": {"call_id": "0-start", "operation": "chat", "started_at_ns": 1_790_000_000 * 10**9},
    "trouble": {"trouble": "dropped", "at_ns": 1_790_000_000 * 10**9},
}
TABLES = {"call": "calls", "run": "runs", "start": "starts", "trouble": "troubles"}
ALIASES = ("ended_at", "started_at", "scheduled_for", "at", "duration_seconds", "ttft_seconds", "cost_usd")

texts = st.text(st.characters(categories=None)) | st.sampled_from(
    ["success", "lost", "\0", "\ud800", "שלום", "x" * 300]
)
numbers = st.integers() | st.integers(-(2**70), 2**70) | st.sampled_from([10**400, 2**63, 2**63 - 1]) | st.floats()
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def values(key: str) -> st.SearchStrategy[Any]:
    """What `key` may be, for the most part."""
    if key.endswith("_at_ns"):
        return st.integers(0, 2**63 - 1) | st.none()
    if key in ("ended_at", "started_at", "scheduled_for", "at"):
        return (
            st.integers(0, 9 * 10**9) | st.floats(0, 9e9) | st.datetimes(timezones=st.timezones()).map(str) | st.none()
        )
    if key in ("attributes", "occurrences", "items", "pid", "exit_code") or "token" in key or key in _TOLERANT:
        return anything
    return texts | numbers | st.none()


_TOLERANT = ("duration_ns", "ttft_ns", "retries", "stream", "http_status", "cost_nanousd", *ALIASES)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line with what it needs, most times, and much or anything in some of its keys."""
    kind = draw(st.sampled_from(sorted(LEAST)))
    told = {"kind": kind, **LEAST[kind]}
    for key in draw(st.lists(st.sampled_from([*COLUMNS[kind], *ALIASES]), max_size=4, unique=True)):
        told[key] = draw(anything if draw(st.integers(0, 9)) == 0 else values(key))
    return json.dumps(told).encode()


Stores = tuple[sqlite3.Connection, "psycopg.Connection[Any]"]


@pytest.fixture(scope="module")
def stores(postgres: Postgres) -> Iterator[Stores]:
    """One of each kind, in transactions that are never committed."""
    with (
        closing(sqlite3.connect(":memory:", isolation_level=None)) as ours,
        psycopg.connect(postgres.fresh()) as theirs,
    ):
        for statement in create_statements("sqlite"):
            ours.execute(statement)
        yield ours, theirs


def kept(store: Any, mark: str, facts: list[Any]) -> list[tuple[Any, ...]]:
    cursor = store.cursor()
    cursor.execute("BEGIN" if mark == "?" else "SELECT 1")
    try:
        write(cursor, mark, facts)
        found = []
        for kind, columns in COLUMNS.items():
            cursor.execute(f"SELECT '{kind}', {', '.join(columns)} FROM {TABLES[kind]}")
            found += cursor.fetchall()
        return found
    finally:
        store.rollback()
        cursor.close()


@settings(max_examples=300, deadline=None)
@given(line=lines())
def test_whatever_a_line_says_it_is_the_same_row_in_both_stores_or_told_why_not(stores: Stores, line: bytes) -> None:
    facts, wrong = read_lines([line])
    rows = [(kind, *values) for kind, values in facts]
    assert len(rows) + len(wrong) == 1
    assert kept(stores[0], "?", facts) == kept(stores[1], "%s", facts) == rows


@given(line=st.binary(max_size=40) | st.text(max_size=40).map(str.encode) | anything.map(json.dumps).map(str.encode))
def test_bytes_that_are_no_line_are_told_and_raise_nothing(line: bytes) -> None:
    good, wrong = read_lines([line])
    assert len(good) + len(wrong) == (1 if line.strip() else 0)


@pytest.mark.parametrize("mark", ["?", "%s"])
def test_a_file_of_facts_is_written_whatever_order_they_have_and_twice_is_once(stores: Stores, mark: str) -> None:
    run = {"kind": "run", "run_id": "0-run", **LEAST["run"]}
    told = [
        {"kind": "call", "call_id": "0-a", **LEAST["call"]},
        {"kind": "start", **LEAST["start"], "call_id": "0-a"},  # of a call that has ended
        {"kind": "start", **LEAST["start"], "call_id": "0-b"},
        {"kind": "call", "call_id": "0-b", **LEAST["call"]},
        {"kind": "start", **LEAST["start"], "call_id": "0-c"},  # in flight
        run, run | {"ended_at_ns": 1_790_000_001 * 10**9, "status": "failed"}, run,
        {"kind": "trouble", "trouble_id": "0-t", **LEAST["trouble"]},
    ]  # fmt: skip
    facts, wrong = read_lines(json.dumps(line).encode() for line in told)
    assert wrong == []

    found = kept(stores[0 if mark == "?" else 1], mark, facts * 2)

    assert [row[:2] for row in found] == [
        ("call", "0-a"), ("call", "0-b"), ("run", "0-run"), ("start", "0-c"), ("trouble", "0-t"),
    ]  # fmt: skip
    assert "failed" in found[2]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"kind": ["call"]}, "kind ['call'] is none of call, run, start, trouble"),
        ({"operation": "x", "ended_at_ns": "now"}, "ended_at_ns must be integer nanoseconds since 1970"),
        ({"operation": "x", "ended_at_ns": 2**63}, "ended_at_ns must be integer nanoseconds since 1970"),
        ({"operation": "x", "started_at_ns": 2**63 - 1, "duration_ns": 9}, "started_at and duration end after 2262"),
        ({"operation": ["x"], "ended_at_ns": 1}, "operation must be text"),
        ({"operation": "x", "ended_at_ns": 1, "call_id": "a" * 201}, "call_id is longer than 200 characters"),
        ({"operation": "x", "ended_at_ns": 1, "n" * 99: 1}, "unknown key '" + "n" * 59 + "; what is not a column"),
        ({"kind": "start", "operation": "x", "started_at_ns": 1}, "call_id is missing"),
        ({"operation": "x"}, "ended_at_ns is missing"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_fact_is_told_why(told: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadLine) as caught:
        read_line(json.dumps(told).encode())
    assert reason in str(caught.value)


@pytest.mark.parametrize("folded", [0, 1])
@pytest.mark.parametrize("mark", ["?", "%s"])
def test_the_end_of_a_call_that_was_declared_lost_takes_its_place_or_stands_beside_it(
    stores: Stores, mark: str, folded: int
) -> None:
    """In its place while it is not counted; else beside it, where the fold finds both."""
    store: Any = stores[0 if mark == "?" else 1]
    cursor = store.cursor()
    cursor.execute("BEGIN" if mark == "?" else "SELECT 1")
    for call_id in ("0-lost", "0-known"):
        status = call_id[2:] if call_id == "0-lost" else "success"
        cursor.execute(
            f"INSERT INTO calls (call_id, ended_at_ns, operation, status, folded) VALUES ('{call_id}', 1, 'chat', '{status}',"
            f" {folded})"
        )
    ends = [{"call_id": call_id, "operation": "chat", "ended_at_ns": 2} for call_id in ("0-lost", "0-known", "0-new")]
    facts, _ = read_lines(json.dumps(end).encode() for end in [*ends, *ends])
    for _ in range(2):
        write(cursor, mark, facts)
    cursor.execute("SELECT call_id, folded, status, ended_at_ns FROM calls ORDER BY call_id, folded")
    found = cursor.fetchall()
    store.rollback()
    assert found == [
        ("0-known", folded, "success", 1), ("0-lost", 0, "success", 2),
        *([("0-lost", 1, "lost", 1)] if folded else []), ("0-new", 0, "success", 2),
    ]  # fmt: skip
