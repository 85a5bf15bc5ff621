"""`reporter report --period`: a month is what brute force over the facts between its two local midnights says."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from reporter import cycle
from reporter.config import parse_config
from reporter.report.period import build_period
from reporter.slo.calendar import CalendarPeriod
from reporter.store import open_store
from tests.cli.console import run
from tests.publish.pushing import bring_in
from tests.report.test_slo_methods import AS_OF, MINUTE_NS, NS, facts

CONFIG = {
    "slos": [
        {"name": "calls", "sli": "availability", "objective": 90, "exclude_error_types": ["400"]},
        {"name": "runs", "sli": "job_success", "objective": 50, "period": "7d"},
        {"name": "slices", "sli": "availability", "objective": 50, "method": "timeslices", "timeslice": "1h"},
        {"name": "unheard-of", "sli": "availability", "objective": 50, "where": {"operation": "nothing"}},
    ]
}


@pytest.mark.parametrize(
    ("name", "zone", "first", "end"),
    [
        ("2026-10", "Europe/Berlin", "2026-10-01", "2026-11-01"),
        ("2026-W44", "America/New_York", "2026-10-26", "2026-11-02"),
        ("2026-11", "UTC", "2026-11-01", "2026-12-01"),
    ],
)
def test_a_period_is_what_happened_between_its_two_midnights(
    database_url: str, tmp_path: Path, name: str, zone: str, first: str, end: str
) -> None:
    store = open_store(database_url)
    calls, runs = facts(6)
    costs = [{**call, "model": "m", "cost_usd": 0.25} for call in calls]
    config = parse_config(json.dumps({"database": database_url, **CONFIG}), environ={})
    bring_in(store, tmp_path, [*costs, *runs])
    cycle.report(store, config, AS_OF * MINUTE_NS)
    with store.read() as connection:
        made = build_period(connection, config.slos, [], CalendarPeriod.of(name, zone), name, AS_OF * MINUTE_NS)
    start_ns, end_ns = (
        int(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).timestamp()) * NS for day in (first, end)
    )
    assert (made.start_ns, made.end_ns, made.is_over) == (start_ns, end_ns, name != "2026-11")
    inside = [call for call in calls if start_ns <= call["ended_at_ns"] < end_ns]
    ended = [run for run in runs if start_ns <= run["ended_at_ns"] < end_ns]
    judged = [call for call in inside if call["error_type"] != "400"]
    good = sum(call["status"] == "success" for call in judged)
    by_name = {slo.slo: slo for slo in made.slos}
    assert (by_name["calls"].good, by_name["calls"].bad) == (good, len(judged) - good)
    assert by_name["calls"].met is ((len(judged) - good) * 10 <= len(judged))
    succeeded = sum(run["status"] == "success" for run in ended)
    assert (by_name["runs"].good, by_name["runs"].bad) == (succeeded, len(ended) - succeeded)
    assert (by_name["unheard-of"].good, by_name["unheard-of"].met) == (0, None)
    assert made.costs is not None
    assert made.costs.nanousd == len(inside) * 250_000_000
    assert {job.batch_job: job.runs for job in made.jobs} == Counter(run["batch_job"] for run in ended)
    assert {job.batch_job: job.lost for job in made.jobs if job.lost} == Counter(
        run["batch_job"] for run in ended if run["status"] == "lost"
    )


def test_a_period_is_asked_for_by_a_name_that_is_one(tmp_path: Path) -> None:
    empty = run(tmp_path, "report", "--period", "2026-10", "--format", "json")
    assert json.loads(empty.stdout)["start"] == "2026-10-01T00:00:00Z"
    for name, why in (("2026-13", "no month"), ("october", "is no period"), ("2200-01", "has not begun yet")):
        refused = run(tmp_path, "report", "--period", name)
        assert (refused.returncode, why in refused.stderr) == (2, True), refused.stderr
    assert "no time zone known" in run(tmp_path, "report", "--period", "2026-10", "--timezone", "Mars/X").stderr
