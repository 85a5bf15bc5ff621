"""Repricing: the report afterwards is that of a database whose calls had those prices from the first."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from reporter import cycle
from reporter.config import parse_config
from reporter.ingest import ingest_file
from reporter.report.json_form import as_json
from reporter.store import open_store
from tests.cli.console import run
from tests.servers import Server, fetch

NOW = int(time.time()) // 60 * 60
SLOS = """
slos:
  - {name: dear, sli: {latency: {threshold: 2s}}, objective: 99, period: 30d}
  - {name: up, sli: availability, objective: 99, period: 30d}
"""
PRICES = """
prices:
  - {model: our-own, input: 1, output: 2}
  - {model: gpt-4o, provider: openai, input: 1, output: 2}
"""


def calls() -> list[dict[str, Any]]:
    models = [("openai", "gpt-4o"), ("us", "our-own"), ("openai", "gpt-4o-mini"), (None, None)]
    return [
        {
            "operation": "chat", "provider": models[number % 4][0], "model": models[number % 4][1],
            "ended_at": NOW - number * 3000, "duration_seconds": 1 + number % 3, "input_tokens": 1000 + number,
            "output_tokens": number,
            "status": "success" if number % 5 else "error", "error_type": None if number % 5 else "429",
            "cost_usd": "0.25" if number == 8 else None, "call_id": f"0-{number:03}", "batch_job": f"job-{number % 2}",
        }
        for number in range(120)
    ]  # fmt: skip


def write(tmp_path: Path) -> Path:
    path = tmp_path / "calls.jsonl"
    lines = ({name: value for name, value in call.items() if value is not None} for call in calls())
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def told(url: str, document: str) -> dict[str, Any]:
    config = parse_config(f"database: {json.dumps(url)}\n{document}", environ={})
    return as_json(cycle.report(open_store(url), config, NOW * 10**9))


def test_a_repriced_database_is_one_that_had_those_prices_from_the_first(tmp_path: Path, database_url: str) -> None:
    fresh = f"sqlite:///{tmp_path}/fresh.db"
    for url in (database_url, fresh):
        ingest_file(open_store(url), write(tmp_path))
    before = told(database_url, SLOS)
    expected = told(fresh, SLOS + PRICES)
    assert before != expected
    (tmp_path / "reporter.yaml").write_text(f"database: {json.dumps(database_url)}\n{SLOS}{PRICES}")

    shown = run(tmp_path, "prices", "reprice", "--since", "2020-01-01", "--dry-run")
    assert (shown.returncode, shown.stderr) == (0, "")
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert [row[:3] for row in rows[1:3]] == [["openai", "gpt-4o", "29"], ["us", "our-own", "30"]]
    assert rows[2][3:] == ["?", f"{sum((1000 + n + 2 * n) / 1e6 for n in range(1, 120, 4)):.4f}", "30", "0"]
    assert told(database_url, SLOS + PRICES) == before

    done = run(tmp_path, "prices", "reprice", "--since", "2020-01-01")
    assert done.stdout.splitlines()[-1] == "So it is now."
    assert told(database_url, SLOS + PRICES) == expected
    with open_store(database_url).read() as connection, open_store(fresh).read() as other:
        question = text("SELECT call_id, cost_nanousd, cost_source FROM calls ORDER BY call_id")
        assert connection.execute(question).fetchall() == other.execute(question).fetchall()
    again = run(tmp_path, "prices", "reprice", "--since", "2020-01-01")
    assert again.stdout == "Every call has the price it would get now.\n"


def test_a_counter_that_would_fall_is_held_at_the_gateway(
    tmp_path: Path, database_url: str, pushgateway: Server
) -> None:
    ingest_file(open_store(database_url), write(tmp_path))
    base = f"database: {json.dumps(database_url)}\npushgateway: {{url: '{pushgateway.url}', new_series_delay: 0s}}\n"
    dearer = 'prices:\n  - {model: "*", input: 1000, output: 1000}\n'
    values = []
    for prices in (dearer, dearer, PRICES):
        (tmp_path / "reporter.yaml").write_text(base + prices)
        assert run(tmp_path, "prices", "reprice", "--since", "2020-01-01").returncode == 0
        assert run(tmp_path, "push").returncode == 0
        lines = fetch(f"{pushgateway.url}/metrics").splitlines()
        values.append(sum(float(line.split()[-1]) for line in lines if line.startswith("llm_request_cost_usd_total{")))
    assert values[1] == values[2] > 50


@pytest.mark.parametrize(
    ("since", "says"),
    [
        ("yesterday", "write a length like 7d, or a day like 2026-11-01"),
        ("2999-01-01", "must be before the moment that is asked about"),
    ],
)
def test_a_day_that_is_none_is_refused(tmp_path: Path, since: str, says: str) -> None:
    done = run(tmp_path, "prices", "reprice", "--since", since)
    assert (done.returncode, done.stderr) == (2, f"reporter: --since '{since}': {says}\n")


def test_a_length_is_as_good_as_a_day(tmp_path: Path) -> None:
    done = run(tmp_path, "prices", "reprice", "--since", "7d", "--dry-run")
    assert (done.returncode, done.stdout) == (0, "Every call has the price it would get now.\n")
