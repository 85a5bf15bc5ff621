"""`reporter cost` says what calls cost, exactly, and what it does not know."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.console import run

DAY = 86_400
NOON = 1_793_534_400  # 2026-11-01T12:00:00Z


def call(days_ago: int, job: str, model: str | None, usd: str | None, **more: Any) -> dict[str, Any]:
    told = {
        "ended_at": NOON - days_ago * DAY - 60, "batch_job": job, "operation": "chat", "provider": "openai", "model": model,
        "cost_usd": usd, "input_tokens": 1000, "output_tokens": 50, "duration_seconds": 2, "ttft_seconds": 0.5,
    }  # fmt: skip
    return {name: value for name, value in {**told, **more}.items() if value is not None}


CALLS = [
    call(0, "nightly", "gpt-4o", "1.5"), call(0, "nightly", "gpt-4o", "0.000000001"),
    call(1, "nightly", "gpt-4o-mini", "0.25"), call(1, "hourly", "gpt-4o", "0.25"),
    call(2, "hourly", "our-own", None), call(2, "hourly", "our-own", None, status="error"),
    call(0, "nightly", None, None, operation="GET /users/{id}"), call(20, "nightly", "gpt-4o", "100"),
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Path:
    (tmp_path / "reporter.yaml").write_text(f"database: {json.dumps(database_url)}\n")
    (tmp_path / "calls.jsonl").write_text("".join(json.dumps(told) + "\n" for told in CALLS))
    assert run(tmp_path, "ingest", "calls.jsonl").returncode == 0
    return tmp_path


def asked(place: Path, *arguments: str) -> dict[str, Any]:
    done = run(place, "cost", "--as-of", "2026-11-01T12:00:00Z", "--format", "json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_costs_by_job_and_model_with_shares_dearest_first(place: Path) -> None:
    told = asked(place)
    assert (told["since"], told["until"]) == ("2026-10-25T12:00:00Z", "2026-11-01T12:00:00Z")
    assert told["total"] == {"calls": 6, "cost_usd": 2.000000001, "unpriced_calls": 2, "partial": True}
    assert [(row["job"], row["model"], row["calls"], row["cost_usd"]) for row in told["rows"]] == [
        ("nightly", "gpt-4o", 2, 1.500000001), ("hourly", "gpt-4o", 1, 0.25), ("nightly", "gpt-4o-mini", 1, 0.25),
        ("hourly", "our-own", 2, None),
    ]  # fmt: skip
    assert [row["share"] for row in told["rows"]] == pytest.approx([0.75, 0.125, 0.125, None])
    first, *_, last = told["rows"]
    assert first["output_tokens_per_usd"] == pytest.approx(100 / 1.500000001)
    assert (first["duration_p50_seconds"], first["ttft_p50_seconds"]) == pytest.approx((2, 0.5), rel=0.01)
    assert (last["output_tokens_per_usd"], last["errors"], last["unpriced_calls"]) == (None, 1, 2)


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (["--by", "job"], [("nightly", 1.750000001), ("hourly", 0.25)]),
        (["--by", "day"], [("2026-10-30", None), ("2026-10-31", 0.5), ("2026-11-01", 1.500000001)]),
        (["--by", "day", "--since", "2026-11-01"], [("2026-11-01", 1.500000001)]),
        (["--by", "provider", "--since", "30d"], [("openai", 102.000000001)]),
        (["--by", "operation", "--since", "1d"], [("chat", 1.500000001)]),
    ],
)
def test_whatever_it_is_asked_by(place: Path, arguments: list[str], rows: list[tuple[str, float | None]]) -> None:
    told = asked(place, *arguments)
    assert [(row[arguments[1]], row["cost_usd"]) for row in told["rows"]] == rows


def test_a_table_for_80_columns_says_what_it_misses(place: Path) -> None:
    done = run(place, "cost", "--as-of", "2026-11-01T12:00:00Z", COLUMNS="80")
    assert max(map(len, done.stdout.splitlines())) <= 80
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[1][:7] == ["nightly", "gpt-4o", "2", "2,000", "100", "1.50", "████░"]
    assert lines[4][:6] == ["hourly", "our-own", "2", "2,000", "100", "?"]
    assert (
        done.stdout.splitlines()[-1] == "Together 2.00 USD for 6 calls; 2 calls have no price (+, ?) and are not in it."
    )
    compared = run(place, "cost", "--as-of", "2026-11-01T12:00:00Z", "--compare", COLUMNS="80").stdout.splitlines()
    assert compared[0].split() == ["job", "model", "p50", "TTFT", "tok/s", "bad", "tok/USD", "USD"]
    assert max(map(len, compared)) <= 80


def test_csv_and_an_empty_answer(place: Path, tmp_path: Path) -> None:
    done = run(place, "cost", "--as-of", "2026-11-01T12:00:00Z", "--format", "csv", "--by", "model")
    header, first, *_ = csv.reader(io.StringIO(done.stdout))
    assert header[:6] == ["model", "calls", "errors", "input_tokens", "output_tokens", "cost_usd"]
    assert first[:6] == ["gpt-4o", "3", "0", "3000", "150", "1.750000001"]
    empty = run(place, "cost", "--as-of", "2026-01-01T00:00:00Z")
    assert (empty.returncode, empty.stdout) == (
        0,
        "No calls that cost anything in this time; --since looks further back.\n",
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--by", "weekday"], "--by weekday: not one of job, model, provider, operation, day"),
        (["--by", "job,job"], "the same thing twice"),
        (["--since", "never"], "write a length like 7d, or a day like 2026-11-01"),
        (["--since", "2999-01-01"], "must be before the moment that is asked about"),
    ],
)
def test_a_question_that_can_not_be_meant_is_told(place: Path, arguments: list[str], says: str) -> None:
    done = run(place, "cost", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
