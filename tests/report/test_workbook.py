"""Worked examples of the SRE Workbook, chapter 5, "Alerting on SLOs", on real calls: when alerts fire, and when they reset.

Source: https://sre.google/workbook/alerting-on-slos/: detection time = (1 − SLO) / error ratio × window × burn rate; at burn
rate 36 over 1h it says 58 minutes to reset, and that a short window of a twelfth brings that to minutes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from reporter import cycle
from reporter.config import parse_config
from reporter.replay import Firing, replay
from reporter.report.events import EventReader
from reporter.store import open_store
from tests.publish.pushing import bring_in

NS, MINUTE_NS = 10**9, 60 * 10**9
START = 1_790_000_040 // 60  # minutes
OUTAGE = 180
"""Minutes after START; before it, all is well for three hours."""
BUDGET = Fraction(1, 1000)


def traffic(calls_a_minute: int, error_percent: int, outage_minutes: int) -> Iterator[dict[str, Any]]:
    """Even traffic with an outage; in it, so many calls of each hundred fail, evenly."""
    number = 0
    for minute in range(OUTAGE + outage_minutes + 120):
        for second in range(calls_a_minute):
            number += 1
            failed = OUTAGE <= minute < OUTAGE + outage_minutes and number * error_percent % 100 < error_percent
            yield {
                "kind": "call", "call_id": f"{minute}-{second}", "operation": "chat", "duration_ns": NS,
                "ended_at_ns": (START + minute) * MINUTE_NS + second * (MINUTE_NS // calls_a_minute),
                "status": "error" if failed else "success",
            }  # fmt: skip


def fired(tmp_path: Path, alert: dict[str, Any], calls: Iterator[dict[str, Any]]) -> list[Firing]:
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    slo = {"name": "a", "sli": "availability", "objective": "99.9", "alerts": [{"severity": "page", **alert}]}
    config = parse_config(json.dumps({"database": store.url, "slos": [slo]}), environ={})
    rows = list(calls)
    bring_in(store, tmp_path, rows)
    end = rows[-1]["ended_at_ns"] // MINUTE_NS + 1
    cycle.report(store, config, end * MINUTE_NS)
    with store.read() as connection:
        return list(replay(EventReader(connection, end, []), config.slos[0], START + 60, end).firings)


@pytest.mark.parametrize("error_percent", [100, 50, 10, 4])
def test_a_page_comes_as_soon_as_the_workbook_s_formula_says(tmp_path: Path, error_percent: int) -> None:
    detection = BUDGET / Fraction(error_percent, 100) * 60 * Fraction("14.4")  # minutes
    (page,) = fired(tmp_path, {"long": "1h", "short": "5m", "budget_percent": 2}, traffic(100, error_percent, 60))
    after = page.start_ns // MINUTE_NS - (START + OUTAGE)
    assert after == math.floor(detection) + 1  # the first whole minute strictly above the factor


def test_with_one_window_of_an_hour_burn_rate_36_resets_after_58_minutes(tmp_path: Path) -> None:
    (page,) = fired(tmp_path, {"long": "1h", "short": "59m", "factor": 36}, traffic(100, 100, 60))
    assert page.end_ns // MINUTE_NS - (START + OUTAGE + 60) in (
        57,
        58,
    )  # its short window is a minute shorter than none


def test_with_a_short_window_of_five_minutes_it_resets_within_five(tmp_path: Path) -> None:
    (page,) = fired(tmp_path, {"long": "1h", "short": "5m", "budget_percent": 2}, traffic(100, 100, 60))
    assert page.end_ns // MINUTE_NS - (START + OUTAGE + 60) == 5
    assert page.highest_burn_rate == 1000  # all of an hour's calls failed


def test_at_low_traffic_one_failure_pages_unless_it_is_guarded(tmp_path: Path) -> None:
    def ten_an_hour() -> Iterator[dict[str, Any]]:
        for number in range(60):
            yield {
                "kind": "call", "call_id": str(number), "operation": "chat", "duration_ns": NS,
                "ended_at_ns": (START + number * 6) * MINUTE_NS, "status": "error" if number == 40 else "success",
            }  # fmt: skip

    alert = {"long": "1h", "short": "5m", "budget_percent": 2}
    (page,) = fired(tmp_path, alert, ten_an_hour())
    assert page.highest_burn_rate == 100
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    slo = {"name": "a", "sli": "availability", "objective": "99.9", "min_bad_events": 2}
    config = parse_config(json.dumps({"database": store.url, "slos": [slo]}), environ={})
    end = START + 360
    with store.read() as connection:
        assert replay(EventReader(connection, end, []), config.slos[0], START + 60, end).firings == ()
