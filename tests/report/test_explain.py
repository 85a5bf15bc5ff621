"""`reporter explain`: its numbers are the report's and brute force's; a replay fires when a report of that minute does."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reporter import cycle, exclusions
from reporter.config import parse_config
from reporter.config.model import Config
from reporter.explain import Explanation, explain
from reporter.replay import Replay, replay
from reporter.report.events import EventReader
from reporter.report.model import Report
from reporter.slo.spec import SLO
from reporter.store import Store, open_store
from tests.cli.console import run
from tests.publish.pushing import bring_in, configured
from tests.report.test_slo_methods import AS_OF, DAY, MINUTE_NS, NS, at, facts
from tests.servers import Server

EXCLUDED = (AS_OF - 900, AS_OF - 500)
SLOS: list[dict[str, Any]] = [
    {"name": "calls", "sli": "availability", "objective": 90, "period": "7d", "exclude_error_types": ["400"]},
    {
        "name": "quick", "sli": {"latency": {"threshold": "3s"}}, "objective": 50, "period": "7d",
        "where": {"batch_job": "hourly"},
    },
    {"name": "runs", "sli": "job_success", "objective": 80, "period": "7d"},
    {"name": "fresh", "sli": {"freshness": {"max_age": "2h"}}, "objective": 70, "period": "7d"},
    {
        "name": "slices", "sli": "availability", "objective": 80, "period": "7d", "method": "timeslices", "timeslice": "5m",
        "timeslice_target": 99, "missing": "hold",
    },
    {
        "name": "absent", "sli": "availability", "objective": 90, "period": "7d", "missing": "bad", "min_bad_events": 2,
        "alerts": [{"severity": "ticket", "long": "2h", "short": "10m", "factor": 1}],
    },
    {
        "name": "held", "sli": "availability", "objective": 90, "period": "2h", "missing": "hold",
        "alerts": [
            {"severity": "page", "long": "1h", "short": "5m", "factor": 1},
            {"severity": "ticket", "long": "2h", "short": "10m", "factor": 1},
        ],
    },
]  # fmt: skip


def settled(store: Store, tmp_path: Path, seed: int) -> tuple[Config, list[dict[str, Any]], list[dict[str, Any]]]:
    calls, runs = facts(seed)
    written = {
        "database": store.url,
        "slos": SLOS,
        "exclusions": [{"from": at(EXCLUDED[0]), "to": at(EXCLUDED[1]), "slos": ["calls"], "reason": "maintenance"}],
    }
    config = parse_config(json.dumps(written), environ={})
    bring_in(store, tmp_path, [*calls, *runs])
    cycle.report(store, config, AS_OF * MINUTE_NS)
    return config, calls, runs


def of(config: Config, name: str) -> SLO:
    return next(slo for slo in config.slos if slo.name == name)


def explained(store: Store, config: Config, name: str) -> Explanation:
    made = cycle.make_report(store, config, AS_OF * MINUTE_NS, folded=True)
    status = next(slo for slo in made.slos if slo.slo == name)
    with store.read() as connection:
        return explain(connection, of(config, name), status, exclusions.in_force(connection, config), AS_OF * MINUTE_NS)


def replayed(store: Store, config: Config, name: str, minutes: int) -> Replay:
    with store.read() as connection:
        events = EventReader(connection, AS_OF, exclusions.in_force(connection, config))
        return replay(events, of(config, name), AS_OF - minutes, AS_OF)


def test_what_burned_the_budget_is_every_bad_call_of_the_period_once(database_url: str, tmp_path: Path) -> None:
    store = open_store(database_url)
    config, calls, _ = settled(store, tmp_path, 3)
    found = explained(store, config, "calls")
    inside = [call for call in calls if call["ended_at_ns"] >= (AS_OF - 7 * DAY) * MINUTE_NS]
    kept = [call for call in inside if not EXCLUDED[0] <= call["ended_at_ns"] // MINUTE_NS < EXCLUDED[1]]
    bad = [call for call in kept if call["status"] != "success" and call["error_type"] != "400"]
    assert found.bad == len(bad) == found.status.windows["7d"].bad
    assert {share.value: share.bad for share in found.by["batch_job"]} == Counter(call["batch_job"] for call in bad)
    assert {share.value: share.bad for share in found.by["run_id"]}.items() <= Counter(
        call["run_id"] for call in bad
    ).items()
    assert found.left_out == {"400": sum(call["error_type"] == "400" for call in kept)}
    assert [(one.reason, count) for one, count in found.excluded] == [("maintenance", len(inside) - len(kept))]
    latest = sorted((call["ended_at_ns"] for call in bad), reverse=True)[:5]
    assert [call["ended_at_ns"] for call in found.worst] == latest


def test_the_worst_calls_of_a_latency_slo_are_the_slowest(database_url: str, tmp_path: Path) -> None:
    store = open_store(database_url)
    config, calls, _ = settled(store, tmp_path, 3)
    found = explained(store, config, "quick")
    first_ns = (AS_OF - 7 * DAY) * MINUTE_NS
    mine = [call for call in calls if call["batch_job"] == "hourly" and first_ns <= call["ended_at_ns"]]
    bad = [call for call in mine if call["status"] != "success" or call["duration_ns"] > 3 * NS]
    assert found.bad == len(bad) == found.status.windows["7d"].bad
    slowest = sorted((call["duration_ns"] for call in bad), reverse=True)[:5]
    assert [call["duration_ns"] for call in found.worst] == slowest


def test_bad_runs_and_stale_minutes_are_told_by_job(database_url: str, tmp_path: Path) -> None:
    store = open_store(database_url)
    config, _, runs = settled(store, tmp_path, 3)
    found = explained(store, config, "runs")
    bad = [r for r in runs if r["status"] != "success" and r["ended_at_ns"] >= (AS_OF - 7 * DAY) * MINUTE_NS]
    assert found.bad == len(bad) == found.status.windows["7d"].bad
    assert {share.value: share.bad for share in found.by["status"]} == Counter(run["status"] for run in bad)
    stale = explained(store, config, "fresh")
    assert stale.bad == stale.status.windows["7d"].bad == sum(share.bad for share in stale.by["batch_job"])


@pytest.mark.parametrize("seed", [4, 5])
def test_a_replay_fires_at_a_minute_when_the_report_of_that_minute_does(
    database_url: str, tmp_path: Path, seed: int
) -> None:
    store = open_store(database_url)
    config, _, _ = settled(store, tmp_path, seed)
    dice = random.Random(seed)
    past = {slo.name: replayed(store, config, slo.name, 2 * DAY) for slo in config.slos}
    edges = {firing.start_ns // MINUTE_NS for one in past.values() for firing in one.firings}
    edges |= {firing.end_ns // MINUTE_NS for one in past.values() for firing in one.firings}
    minutes = {minute + step for minute in dice.sample(sorted(edges), min(12, len(edges))) for step in (-1, 0)}
    minutes |= {dice.randrange(AS_OF - 2 * DAY + 1, AS_OF + 1) for _ in range(12)} | {AS_OF}
    assert sum(len(one.firings) for one in past.values()) > 10
    for minute in sorted(minute for minute in minutes if AS_OF - 2 * DAY < minute <= AS_OF):
        made = cycle.make_report(store, config, minute * MINUTE_NS, folded=True)
        for slo in made.slos:
            assert firing_then(past[slo.slo], minute) == firing_now(made, slo.slo), (slo.slo, at(minute))


def firing_then(past: Replay, minute: int) -> set[tuple[str, str]]:
    return {
        (firing.long, firing.short)
        for firing in past.firings
        if firing.start_ns <= minute * MINUTE_NS < firing.end_ns or (firing.open and minute == AS_OF)
    }


def firing_now(made: Report, name: str) -> set[tuple[str, str]]:
    slo = next(slo for slo in made.slos if slo.slo == name)
    return {(alert.long, alert.short) for alert in slo.alerts if alert.firing}


def test_a_call_that_comes_after_a_push_told_of_its_minute_is_late(
    database_url: str, tmp_path: Path, pushgateway: Server
) -> None:
    store = open_store(database_url)
    now = datetime.now(UTC).timestamp()
    config = configured(tmp_path, database_url, pushgateway.url)
    call = {"kind": "call", "operation": "chat", "status": "success", "duration_seconds": 1}
    bring_in(store, tmp_path, [{**call, "call_id": "early", "ended_at": now - 7200}])
    cycle.push(store, config, int(now * NS))
    bring_in(
        store,
        tmp_path,
        [{**call, "call_id": "late", "ended_at": now - 3600}, {**call, "call_id": "new", "ended_at": now}],
    )
    made = cycle.report(store, config, int(now * NS))
    with store.read() as connection:
        found = explain(connection, config.slos[0], made.slos[0], [], made.as_of_ns)
    assert (found.status.windows[found.status.period].total, found.late) == (3, 1)


def test_explain_reads_well_and_knows_what_was_meant(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    settled(store, tmp_path, 3)
    (tmp_path / "reporter.yaml").write_text(json.dumps({"database": store.url, "slos": SLOS}))
    as_of = ["--as-of", at(AS_OF), "--no-fold"]
    told = run(tmp_path, "explain", "calls", *as_of)
    assert "burn rate = (bad / total) / (1 − 0.9)" in told.stdout
    assert "What burned the budget" in told.stdout
    past = run(tmp_path, "explain", "calls", "--replay", *as_of)
    assert "It would have paged" in past.stdout
    typo = run(tmp_path, "explain", "cals")
    assert (typo.returncode, "did you mean 'calls'?" in typo.stderr) == (2, True)


@pytest.mark.parametrize("missing", ["bad", "good", "hold"])
def test_nothing_is_missing_before_anything_is_known(database_url: str, tmp_path: Path, missing: str) -> None:
    store = open_store(database_url)
    written = {"database": database_url, "slos": [{**SLOS[0], "missing": missing}]}
    config = parse_config(json.dumps(written), environ={})
    made = cycle.report(store, config, AS_OF * MINUTE_NS)
    assert (made.slos[0].state, made.slos[0].windows["1h"].burn_rate) == ("no_data", None)
    began = AS_OF - 3 * 60
    call = {"kind": "call", "operation": "chat", "status": "error", "ended_at_ns": began * MINUTE_NS, "call_id": "c"}
    bring_in(store, tmp_path, [call])
    cycle.report(store, config, AS_OF * MINUTE_NS)
    past = replayed(store, config, "calls", 2 * DAY)
    assert all(firing.start_ns > began * MINUTE_NS for firing in past.firings)
    before = cycle.make_report(store, config, began * MINUTE_NS, folded=True)
    assert before.slos[0].windows["1h"].burn_rate is None
    after = cycle.make_report(store, config, AS_OF * MINUTE_NS, folded=True)
    assert after.slos[0].windows["1h"].burn_rate == {"bad": 10, "good": 0, "hold": 10}[missing]
