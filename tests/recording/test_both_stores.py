"""The same facts, however hostile, become the same rows in SQLite and in Postgres."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from reporter import Recorder, facts
from reporter.recorder import Clock
from reporter.schema import CALL_COLUMNS, RUN_COLUMNS
from tests.servers import Postgres


class Rude:
    """A stranger's object."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class RudeDict(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no")


def cyclic() -> dict[str, Any]:
    ring: dict[str, Any] = {"a": 1}
    ring["itself"] = [ring]
    return ring


def deep() -> list[Any]:
    found: list[Any] = []
    for _ in range(100_000):
        found = [found]
    return found


TEXTS = {
    "NUL": "a\0b",
    "lone surrogate": "a\ud800b\udfff",
    "right to left": "\u202eשלום\u2066",
    "astral and combining": "👩‍🚀e\u0301",
    "5 MB": "x" * 5_000_000,
    "5 MB of two bytes": "é" * 2_500_000,
    "control": "a\r\n\t\x1b[31m\x7f\u2028",
    "empty": "",
    "quotes": "'\"\\;--{}%s:x",
}
ATTRIBUTES: dict[str, Callable[[], Mapping[Any, Any]]] = {
    "cyclic": cyclic,
    "deep": lambda: {"deep": deep()},
    "keys": lambda: {"of": {1: "a", None: "b", (1, 2): "c", 1.5: "d", False: "e", Rude(): "f"}},
    "numbers": lambda: {"n": [float("nan"), float("inf"), -0.0, 1e300, 2**63, -(2**63), 10**5000, True]},
    "strange": lambda: {"bytes": b"\xff", "rude": Rude(), "rude dict": RudeDict(a=1), "set": {1}, "type": int},
    "secret": lambda: {"api_key": "canary", "of": {"Set-Cookie": "canary", "fine": 1}},
    "many numbers": lambda: {f"n{number:03}" + "é" * 180: number for number in range(99)},
    "a thousand": lambda: {f"n{number:04}": "x" * 100 for number in range(1000)},
    "long and some numbers": lambda: {"rows": 3, "text": ["x" * 4_000] * 9, "ratio": 0.5, "truncated": False},
    "names": lambda: {name: name for name in TEXTS.values()},
}


class Standing(Clock):
    """Both rows are of one moment."""

    wall_ns = staticmethod(lambda: 1_790_000_000_123_456_789)
    monotonic_ns = staticmethod(lambda: 17)


def both(tmp_path: Path, postgres_url: str, record: Callable[[Recorder], Any], table: str) -> list[tuple[Any, ...]]:
    """The rows of `table` that `record` made in SQLite, after a look that Postgres has the same."""
    columns = ", ".join({"calls": CALL_COLUMNS, "runs": RUN_COLUMNS}[table][1:])  # ids are made anew
    for url in (f"sqlite:///{tmp_path}/jobs.db", postgres_url):
        recorder = Recorder(url, clock=Standing())
        record(recorder)
        recorder.close()
        assert recorder.troubled == 0
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as ours, psycopg.connect(postgres_url) as theirs:
        found = sorted(ours.execute(f"SELECT {columns} FROM {table}"), key=repr)
        assert sorted(theirs.execute(f"SELECT {columns} FROM {table}"), key=repr) == found
    return found


@pytest.fixture(scope="module")
def one_postgres(postgres: Postgres) -> str:
    return postgres.fresh()


@pytest.fixture
def postgres_url(one_postgres: str) -> str:
    """Emptied, which is quicker than a fresh one."""
    with psycopg.connect(one_postgres) as connection:
        connection.execute("DELETE FROM calls")
        connection.execute("DELETE FROM runs")
    return one_postgres


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPORTER_SPOOL_DIR", str(tmp_path / "spool"))


@pytest.mark.parametrize("kind", TEXTS)
def test_a_hostile_text_is_the_same_in_both_stores_wherever_it_stands(
    tmp_path: Path, postgres_url: str, kind: str
) -> None:
    text = TEXTS[kind]

    def record(recorder: Recorder) -> None:
        recorder.record(
            operation=text or "x", provider=text, model=text, error_type=text, finish_reason=text, trace_id=text,
            input_tokens=text, duration_seconds=text, **{text: text},
        )  # type: ignore[arg-type]  # the mistake  # fmt: skip

    (row,) = both(tmp_path, postgres_url, record, "calls")
    assert all(len(value) <= facts.MOST_LABEL for name, value in zip(CALL_COLUMNS[1:], row, strict=True)
               if isinstance(value, str) and name != "attributes")  # fmt: skip
    assert all("\0" not in value for value in row if isinstance(value, str))


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_hostile_attributes_are_the_same_json_in_both_stores(tmp_path: Path, postgres_url: str, kind: str) -> None:
    def record(recorder: Recorder) -> None:
        with recorder.call("chat") as c:
            c.set(**ATTRIBUTES[kind]())

    (row,) = both(tmp_path, postgres_url, record, "calls")
    kept = row[CALL_COLUMNS.index("attributes") - 1]
    assert len(kept) <= facts.MOST_ATTRIBUTES
    assert isinstance(json.loads(kept), dict)
    assert "canary" not in kept


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_attributes_read_back_and_given_again_are_the_same_text(kind: str) -> None:
    kept = facts.attributes(ATTRIBUTES[kind]())
    assert kept is not None
    assert facts.attributes(json.loads(kept)) == kept


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_a_run_is_the_same_in_both_stores(tmp_path: Path, postgres_url: str, kind: str) -> None:
    def record(recorder: Recorder) -> None:
        with recorder.job(TEXTS["right to left"] + "\0" + TEXTS["5 MB"]) as run:
            run.set(**ATTRIBUTES[kind]())
            run.items = 2**70

    (row,) = both(tmp_path, postgres_url, record, "runs")
    assert row[RUN_COLUMNS.index("status") - 1] == "success"


def test_numbers_that_cannot_be_meant_are_the_same_in_both_stores(tmp_path: Path, postgres_url: str) -> None:
    nonsense = (float("nan"), float("inf"), -1, 2**70, "12", "many", b"3", [], True, 1e300, Rude())

    def record(recorder: Recorder) -> None:
        for value in nonsense:
            told: Any = {"duration_seconds": value, "ttft_seconds": value, "cost_usd": value}
            told |= dict.fromkeys(("input_tokens", "output_tokens", "http_status", "retries", "stream"), value)
            recorder.record(operation="chat", **told)

    rows = both(tmp_path, postgres_url, record, "calls")
    assert len(rows) == len(nonsense)
