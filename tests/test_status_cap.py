"""Too many kinds of errors: the first of each series keep their names, the rest are `error_other`, and sums stay exact."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import text

from reporter import cycle
from reporter.store import Store, open_store
from tests.publish.pushing import bring_in, calls, configured, counters, value_of
from tests.servers import Server

REPORT = "report: {{windows: [5m], labels: [batch_job, model], max_values_per_label: {most}}}\n"


def errors(count: int, kinds: int, first: int = 0, **columns: Any) -> list[dict[str, Any]]:
    """Errors of `kinds` types in turn, named from `first` on."""
    return [
        {**call, "status": "error", "error_type": f"E{first + number % kinds}"}
        for number, call in enumerate(calls(count, **columns))
    ]


def by_status(url: str) -> dict[str, float]:
    sums: Counter[str] = Counter()
    for (name, labels), value in counters(url).items():
        if name == "llm_request_duration_seconds_count":
            sums[dict(labels)["status"]] += int(value)
    return dict(sums)


def totals(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM totals")).scalar_one())


def test_twenty_thousand_kinds_of_errors_become_a_few_and_other_with_exact_sums(
    tmp_path: Path, database_url: str, pushgateway: Server
) -> None:
    store = open_store(database_url)
    bring_in(
        store,
        tmp_path,
        [*errors(30, 3, seconds_ago=120), *errors(20_000, 20_000), *calls(7), *calls(2, status="timeout")],
    )
    config = configured(tmp_path, database_url, pushgateway.url, more=REPORT.format(most=5))
    for _ in range(2):
        pushed = cycle.push(store, config, time.time_ns())

    assert pushed.series < 300
    shown = by_status(pushgateway.url)
    expected = {"success": 7, "timeout": 2, "error_E0": 11, "error_E1": 11, "error_E2": 11}
    assert {status: shown[status] for status in expected} == expected
    assert len(shown) == 2 + 5 + 1
    assert sum(shown.values()) == 20_000 + 30 + 7 + 2
    assert totals(store) == 2 + 5 + 1  # nor does the database grow
    assert value_of(pushgateway.url, "reporter_series_capped") == 1  # further kinds of one series' errors count as one


def test_the_statuses_of_all_series_together_are_capped_and_never_move(
    tmp_path: Path, database_url: str, pushgateway: Server
) -> None:
    store = open_store(database_url)
    expected: Counter[str] = Counter()
    seen: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    config = configured(tmp_path, database_url, pushgateway.url, more=REPORT.format(most=4))
    for tick in range(4):
        fresh = [call for model in "ab" for call in errors(9 + tick, 3, first=3 * tick + ord(model) % 2, model=model)]
        fresh += errors(2 * tick, 1)
        bring_in(store, tmp_path, fresh)
        expected.update(str(call["error_type"]) for call in fresh)
        for _ in range(2):
            assert cycle.push(store, config, time.time_ns()).held == 0
            now = counters(pushgateway.url)
            assert all(now[key] >= value for key, value in seen.items())
            seen = now
        shown = by_status(pushgateway.url)
        others = shown.pop("error_other", 0)
        assert len(shown) <= 4
        assert sum(shown.values()) + others == expected.total()
    assert value_of(pushgateway.url, "reporter_series_capped") > 0
