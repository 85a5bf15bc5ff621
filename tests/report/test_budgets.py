"""Cost budgets: every number equals brute force over the raw calls, whatever they are and whenever they come."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from reporter import cycle
from reporter.config import parse_config
from reporter.config.model import Config
from reporter.ingest import ingest_file
from reporter.query import ask
from reporter.report.csv_form import budgets_as_csv
from reporter.report.json_form import as_json
from reporter.retention import Retention, prune
from reporter.schema import TABLES
from reporter.store import Store, open_store
from tests.cli.console import run
from tests.servers import Server, fetch

NS = 10**9
MINUTE, DAY = 60 * NS, 86_400 * NS
WINDOWS = {"5m": 5 * MINUTE, "1h": 60 * MINUTE, "1d": DAY, "7d": 7 * DAY}
Call = dict[str, Any]


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


def rfc3339(at_ns: int | None) -> str | None:
    return None if at_ns is None else datetime.fromtimestamp(at_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ── the same said as code, from docs/budgets.md alone ──


@dataclass(frozen=True, kw_only=True)
class Known:
    """A budget said as code: what the YAML beside it means."""

    name: str
    yaml: str
    nanousd: int
    meant: Callable[[Call], bool]
    rate_ns: int
    label: str
    zone: str | None = None  # of months; None: a rolling period
    period_ns: int = 0
    pairs: tuple[tuple[str, str, str, Fraction], ...] = ()  # severity, long, short, factor
    lengths: dict[str, int] | None = None  # windows beyond those of the report


_PAIRS = (
    ("page", "6h", "30m", Fraction(6)),
    ("ticket", "1d", "2h", Fraction(3)),
    ("ticket", "3d", "6h", Fraction(1)),
)
_LENGTHS = {"30m": 30 * MINUTE, "2h": 120 * MINUTE, "6h": 360 * MINUTE, "3d": 3 * DAY}
BUDGETS = (
    Known(
        name="everything", yaml="{name: everything, usd: 3, calendar: month}", nanousd=3 * NS, meant=lambda call: True,
        zone="UTC", label="month", rate_ns=7 * DAY, pairs=_PAIRS, lengths=_LENGTHS,
    ),
    Known(
        name="berlin", yaml="{name: berlin, usd: 1.000000001, calendar: month, timezone: Europe/Berlin,"
        " where: {batch_job: nightly-*, model: [gpt-*, our-own]}}", nanousd=NS + 1, zone="Europe/Berlin",
        meant=lambda call: (call["batch_job"] or "").startswith("nightly-") and call["model"] in ("gpt-4o", "our-own"),
        label="month Europe/Berlin", rate_ns=7 * DAY, pairs=_PAIRS, lengths=_LENGTHS,
    ),
    Known(
        name="rolls", yaml="{name: rolls, usd: 2, period: 14d, where: {provider: openai}, alerts:"
        " [{severity: page, long: 1h, short: 5m, factor: 2}, {severity: ticket, long: 1d, short: 1h, budget_percent: 10}]}",
        nanousd=2 * NS, meant=lambda call: call["provider"] == "openai", period_ns=14 * DAY, rate_ns=7 * DAY,
        label="14d", pairs=(("page", "1h", "5m", Fraction(2)), ("ticket", "1d", "1h", Fraction("1.4"))),
        lengths={"14d": 14 * DAY},
    ),
    Known(
        name="short", yaml="{name: short, usd: 0.5, period: 90m, where: {operation: chat}}", nanousd=NS // 2,
        meant=lambda call: call["operation"] == "chat", period_ns=90 * MINUTE, rate_ns=90 * MINUTE, label="1h30m",
        lengths={"1h30m": 90 * MINUTE},
    ),
    Known(
        name="unpriced", yaml="{name: unpriced, usd: 1, period: 1d, where: {model: our-own, operation: embed}}",
        nanousd=NS, meant=lambda call: (call["model"], call["operation"]) == ("our-own", "embed"), period_ns=DAY,
        rate_ns=DAY, label="1d",
    ),
    Known(
        name="nothing", yaml="{name: nothing, usd: 9000000000, calendar: month, where: {model: no-such}}",
        nanousd=9 * 10**18, meant=lambda call: False, zone="UTC", label="month", rate_ns=7 * DAY, pairs=_PAIRS,
        lengths=_LENGTHS,
    ),
)  # fmt: skip
CONFIG = (
    "report: {windows: [5m, 1h, 1d, 7d], labels: [operation], max_values_per_label: 1}\n"
    f"budgets:\n{''.join(f'- {budget.yaml}{chr(10)}' for budget in BUDGETS)}"
)


def month_of(at_ns: int, zone: str) -> tuple[str, int, int]:
    local = datetime.fromtimestamp(at_ns // NS, ZoneInfo(zone))
    first = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    following = (first + timedelta(days=32)).replace(day=1)
    return first.strftime("%Y-%m"), int(first.timestamp()) * NS, int(following.timestamp()) * NS


def spent(calls: Sequence[Call], start_ns: int, end_ns: int) -> tuple[int | None, int]:
    """Nano-dollars, None when unknown; and calls without a price."""
    inside = [call for call in calls if start_ns <= call["ended_at_ns"] < end_ns]
    costs = [call["cost_nanousd"] for call in inside if call["cost_nanousd"] is not None]
    unpriced = sum(call["cost_nanousd"] is None and call["model"] is not None for call in inside)
    priced = any(call["model"] is not None and call["cost_nanousd"] is not None for call in inside)
    return (None if unpriced and not sum(costs) and not priced else sum(costs)), unpriced


def expected(budget: Known, calls: Sequence[Call], at_ns: int) -> dict[str, Any]:
    """The budget as JSON, at a whole minute."""
    mine = [call for call in calls if budget.meant(call)]
    name = None
    start_ns, end_ns = at_ns - budget.period_ns, at_ns
    if budget.zone is not None:
        name, start_ns, end_ns = month_of(at_ns - 1, budget.zone)
    period_ns = end_ns - start_ns
    total, unpriced = spent(mine, start_ns, at_ns)
    burns = {}
    for label, length in {**WINDOWS, **(budget.lengths or {})}.items():
        cost = spent(mine, at_ns - length, at_ns)[0]
        burns[label] = None if cost is None else Fraction(cost * period_ns, budget.nanousd * length)
    projected, exhausted = None, None
    first_ns = min((call["ended_at_ns"] for call in calls), default=at_ns) // (3600 * NS) * 3600 * NS
    lately = spent(mine, at_ns - budget.rate_ns, at_ns)[0]
    if total is not None and lately is not None:
        measured_ns = max(min(at_ns - first_ns, budget.rate_ns), min(DAY, budget.rate_ns))
        ahead_ns = end_ns - at_ns if name else period_ns
        projected = round((total if name else 0) + Fraction(lately * ahead_ns, measured_ns))
        if total < budget.nanousd < projected:
            there = at_ns + Fraction(budget.nanousd - total, projected - total) * ahead_ns
            exhausted = -int(-there // MINUTE) * MINUTE
    if total is not None and total >= budget.nanousd:
        running = 0
        for call in sorted((c for c in mine if start_ns <= c["ended_at_ns"] < at_ns), key=lambda c: c["ended_at_ns"]):
            running += call["cost_nanousd"] or 0
            if running >= budget.nanousd:
                exhausted = call["ended_at_ns"] // MINUTE * MINUTE + MINUTE
                break
    alerts = []
    for severity, long, short, factor in budget.pairs:  # a month counts as 30 days
        both = [burn for burn in (burns[long], burns[short]) if burn is not None]
        fires = len(both) == 2 and min(both) > factor
        alerts.append({"severity": severity, "long": long, "short": short, "factor": float(factor), "firing": fires})
    state = "burning" if any(alert["firing"] for alert in alerts) else "ok"
    if total is None:
        state = "unknown"
    elif total >= budget.nanousd:
        state = "exhausted"
    return {
        "budget": budget.name,
        "usd": budget.nanousd / NS,
        "period": budget.label,
        "period_name": name,
        "start": rfc3339(start_ns),
        "end": rfc3339(end_ns),
        "state": state,
        "spent_usd": None if total is None else total / NS,
        "unpriced_calls": unpriced,
        "partial": unpriced > 0,
        "remaining_ratio": None if total is None else float(1 - Fraction(total, budget.nanousd)),
        "projected_usd": None if projected is None else projected / NS,
        "projected_at_rate_of": {7 * DAY: "7d", DAY: "1d"}.get(budget.rate_ns, "1h30m"),
        "exhausted_at": rfc3339(exhausted),
        "burn_rates": {label: None if burn is None else float(burn) for label, burn in burns.items()},
        "alerts": alerts,
    }


# ── calls ──

MOMENTS = [
    utc("2026-10-15T12:34:00"),
    utc("2026-10-25T01:30:00"),  # in Berlin the second time
    utc("2026-10-31T23:00:00"),  # Berlin's October of 745 hours is over, UTC's is not
    utc("2026-11-01T00:00:00"),
    utc("2026-11-01T00:01:00"),
    utc("2026-03-31T22:00:00"),  # Berlin's March of 743 hours
]
_BACK = st.one_of(
    st.sampled_from([0, 1, MINUTE, 5 * MINUTE, 90 * MINUTE, DAY, 7 * DAY, 14 * DAY]),
    st.integers(-2 * MINUTE, 40 * DAY),
    st.integers(0, 3 * DAY),
)
_NUDGES = st.sampled_from([-1, 0, 1, -MINUTE, 59 * NS])
_facts = st.fixed_dictionaries(
    {
        "ago_ns": st.builds(lambda ago, nudge: ago + nudge, _BACK, _NUDGES),
        "batch_job": st.sampled_from([None, "nightly-a", "nightly-b", "hourly"]),
        "operation": st.sampled_from(["chat", "embed"]),
        "provider": st.sampled_from([None, "openai"]),
        "kind_of": st.sampled_from(
            [("gpt-4o", 10**8), ("gpt-4o", 10**9), ("gpt-4o", 1), ("gpt-4o", 0), ("our-own", None), ("our-own", 10**8),
             (None, None), (None, 10**7)]
        ),
    }
)  # fmt: skip


def as_calls(facts: list[dict[str, Any]], at_ns: int) -> list[Call]:
    calls = []
    for number, told in enumerate(facts):
        model, cost = told["kind_of"]
        call = {key: told[key] for key in ("batch_job", "operation", "provider")}
        ended_at_ns = at_ns - told["ago_ns"]
        calls.append(
            {**call, "kind": "call", "call_id": f"0-{number}", "status": "success", "ended_at_ns": ended_at_ns,
             "duration_ns": NS, "model": model, "cost_nanousd": cost}
        )  # fmt: skip
    return calls


def config_for(url: str, text: str = CONFIG) -> Config:
    return parse_config(f"database: {json.dumps(url)}\n{text}", environ={})


def bring_in(store: Store, path: Path, calls: Sequence[Call]) -> None:
    told = [{key: value for key, value in call.items() if value is not None} for call in calls]
    path.write_text("".join(json.dumps(call) + "\n" for call in told))
    assert ingest_file(store, path).bad == 0


def report(store: Store, config: Config, at_ns: int) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json.dumps(as_json(cycle.report(store, config, at_ns)), allow_nan=False))
    return told


def empty(store: Store) -> None:
    with store.write() as connection:
        for table in TABLES:
            connection.exec_driver_sql(f"DELETE FROM {table}")


def check(store: Store, config: Config, calls: Sequence[Call], at_ns: int) -> None:
    told = report(store, config, at_ns)["budgets"]
    assert [budget["budget"] for budget in told] == [budget.name for budget in BUDGETS]
    for budget, found in zip(BUDGETS, told, strict=True):
        hoped = expected(budget, calls, at_ns)
        assert sorted(found["burn_rates"]) == sorted(hoped["burn_rates"])
        assert found == hoped


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=st.lists(_facts, max_size=25), at_ns=st.sampled_from(MOMENTS), late=st.integers(0, 25))
@example(facts=[], at_ns=MOMENTS[0], late=0)
def test_every_number_of_a_budget_equals_brute_force_with_late_calls_between_two_reports(
    database_url: str, tmp_path: Path, facts: list[dict[str, Any]], at_ns: int, late: int
) -> None:
    config, store = config_for(database_url), open_store(database_url)
    empty(store)
    calls = as_calls(facts, at_ns)
    bring_in(store, tmp_path / "first.jsonl", calls[:late])
    check(store, config, calls[:late], at_ns)
    bring_in(store, tmp_path / "late.jsonl", calls)
    check(store, config, calls, at_ns)
    check(store, config, calls, at_ns - 2 * DAY - 61 * MINUTE)


# ── what is done with them ──

AT_NS = utc("2026-10-15T12:34:00")
BUDGET = "budgets: [{name: a, usd: 1, calendar: month}]\n"


def call_at(number: int, at_ns: int, nanousd: int | None, **more: Any) -> Call:
    told = {"kind": "call", "call_id": f"0-{number}", "operation": "chat", "model": "ours", "status": "success"}
    return {**told, "ended_at_ns": at_ns, "cost_nanousd": nanousd, "batch_job": None, "provider": None, **more}


def only(told: dict[str, Any]) -> dict[str, Any]:
    (budget,) = told["budgets"]
    return dict(budget)


def test_metrics_have_what_is_known_and_no_sample_for_what_is_not(database_url: str, tmp_path: Path) -> None:
    config, store = config_for(database_url), open_store(database_url)
    bring_in(store, tmp_path / "calls.jsonl", [call_at(1, AT_NS - 1, NS), call_at(2, AT_NS - 1, None, operation="embed",
             model="our-own")])  # fmt: skip
    made = cycle.report(store, config, AT_NS)
    told = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(cycle.openmetrics(made, 0.0).decode())
        if family.name.startswith("cost_budget")
        for sample in family.samples
    }
    assert told["cost_budget_usd", "everything"] == 3
    assert told["cost_budget_spent_usd", "everything"] == 1
    assert told["cost_budget_remaining_ratio", "everything"] == float(1 - Fraction(1, 3))
    assert told["cost_budget_projected_usd", "everything"] == made.budgets[0].projected_nanousd / NS  # type: ignore[operator]
    assert told["cost_budget_burn_rate", "everything", "1d"] == float(Fraction(31, 3))
    assert {name: told[name, "unpriced"] for name, *labels in told if labels == ["unpriced"]} == {"cost_budget_usd": 1}
    assert ("cost_budget_burn_rate", "unpriced", "1d") not in told


def kept(store: Store) -> list[tuple[Any, ...]]:
    with ask(store, "SELECT budget, spent_usd, as_of FROM v_budget ORDER BY budget", seconds=30) as answer:
        return [tuple(row) for row in answer.rows]


def test_the_view_shows_the_latest_report_of_now_and_forgets_what_is_not_configured(
    database_url: str, tmp_path: Path
) -> None:
    store = open_store(database_url)
    bring_in(store, tmp_path / "calls.jsonl", [call_at(1, AT_NS - 1, NS // 4), call_at(2, AT_NS + 1, NS // 2)])
    two = config_for(database_url, "budgets: [{name: a, usd: 1, calendar: month}, {name: b, usd: 1, period: 1h}]\n")
    cycle.report(store, two, AT_NS)
    assert kept(store) == [("a", 0.25, "2026-10-15T12:34:00.000Z"), ("b", 0.25, "2026-10-15T12:34:00.000Z")]
    one = config_for(database_url, BUDGET)
    cycle.report(store, one, AT_NS + MINUTE, of_now=False)
    cycle.report(store, one, AT_NS + MINUTE, fold_first=False)
    with cycle.leased(store, one):
        cycle.report(store, one, AT_NS + MINUTE)
    assert len(kept(store)) == 2
    cycle.report(store, one, AT_NS + MINUTE)
    assert kept(store) == [("a", 0.75, "2026-10-15T12:35:00.000Z")]
    cycle.report(store, config_for(database_url, ""), AT_NS)
    assert kept(store) == []


def test_the_view_has_every_column_of_a_budget(database_url: str, tmp_path: Path) -> None:
    store = open_store(database_url)
    bring_in(store, tmp_path / "calls.jsonl", [call_at(1, AT_NS - 5 * DAY, 2 * NS), call_at(2, AT_NS - 1, None)])
    cycle.report(store, config_for(database_url, BUDGET), AT_NS)
    with ask(store, "SELECT * FROM v_budget", seconds=30) as answer:
        (row,) = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    assert row.pop("projected_usd") > 2
    assert row == {
        "budget": "a", "period": "month", "period_name": "2026-10", "starts_at": "2026-10-01T00:00:00.000Z",
        "ends_at": "2026-11-01T00:00:00.000Z", "usd": 1.0, "spent_usd": 2.0, "remaining_usd": -1.0, "unpriced_calls": 1,
        "exhausted_at": "2026-10-10T12:35:00.000Z", "state": "exhausted", "as_of": "2026-10-15T12:34:00.000Z",
    }  # fmt: skip


def pruned(store: Store, config: Config, *, minutes_ns: int, hours_ns: int, now_ns: int) -> None:
    with cycle.leased(store, config) as lease:
        retention = Retention(calls_ns=minutes_ns, minutes_ns=minutes_ns, hours_ns=hours_ns, days_ns=400 * DAY)
        prune(store, lease, retention, now_ns)


def test_a_budget_whose_tallies_were_pruned_is_unknown_and_the_report_says_why(
    database_url: str, tmp_path: Path
) -> None:
    config, store = config_for(database_url), open_store(database_url)
    calls = [
        call_at(1, AT_NS - 13 * DAY, NS, provider="openai"),
        call_at(2, AT_NS - 10 * DAY, NS, batch_job="nightly-a"),
    ]
    bring_in(store, tmp_path / "calls.jsonl", calls)
    cycle.report(store, config, AT_NS)
    pruned(store, config, minutes_ns=8 * DAY, hours_ns=400 * DAY, now_ns=AT_NS)
    told = report(store, config, AT_NS)
    budgets = {budget["budget"]: budget for budget in told["budgets"]}
    rolls = budgets["rolls"]
    assert (rolls["spent_usd"], rolls["state"], rolls["exhausted_at"]) == (None, "unknown", None)
    assert (rolls["unpriced_calls"], rolls["projected_usd"]) == (None, None)
    assert "14d" not in rolls["burn_rates"]
    assert budgets["everything"] == expected(BUDGETS[0], calls, AT_NS)  # months begin with whole hours
    (note,) = [note for note in told["notes"] if "rolls" in note]
    assert note == (
        "budget rolls: unknown: what was spent; tallies of minutes from before 2026-10-07T12:00:00Z would be needed, they"
        " were pruned (retention.minutes)"
    )


@pytest.mark.parametrize(
    ("minutes", "hours", "gone"), [(40, 40, "2026-10-03T04:06:00Z"), (5, 40, "2026-10-03T05:00:00Z"),
                                   (5, 8, "2026-10-04T00:00:00Z")]
)  # fmt: skip
def test_the_moment_of_exhaustion_is_as_fine_as_the_tallies_that_are_left(
    database_url: str, tmp_path: Path, minutes: int, hours: int, gone: str
) -> None:
    config, store = config_for(database_url, "report: {windows: [1d]}\n" + BUDGET), open_store(database_url)
    at_ns = utc("2026-10-15T00:00:00")
    moments = ["2026-10-01T00:00:00", "2026-10-02T10:00:00", "2026-10-03T04:05:59", "2026-10-03T04:06:00"]
    calls = [call_at(number, utc(moment), NS * 4 // 10) for number, moment in enumerate(moments)]
    bring_in(store, tmp_path / "calls.jsonl", calls)
    cycle.report(store, config, at_ns)
    pruned(store, config, minutes_ns=minutes * DAY, hours_ns=hours * DAY, now_ns=at_ns)
    assert only(report(store, config, at_ns))["exhausted_at"] == gone


# ── for eyes and spreadsheets ──


def test_csv_has_a_line_for_each_budget_and_window(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    config, store = (
        config_for(url, "report: {windows: [1h, 1d]}\nbudgets: [{name: =a, usd: 1, period: 1d}]\n"),
        open_store(url),
    )
    bring_in(store, tmp_path / "calls.jsonl", [call_at(1, AT_NS - 1, NS // 4), call_at(2, AT_NS - 1, None)])
    rows = list(csv.DictReader(StringIO(budgets_as_csv(cycle.report(store, config, AT_NS)))))
    assert [(row["budget"], row["window"], row["burn_rate"]) for row in rows] == [
        ("'=a", "1h", "6.0"),
        ("'=a", "1d", "0.25"),
    ]
    assert {key: rows[0][key] for key in ("usd", "spent_usd", "unpriced_calls", "exhausted_at", "start", "state")} == {
        "usd": "1", "spent_usd": "0.25", "unpriced_calls": "1", "exhausted_at": "", "start": "2026-10-14T12:34:00Z",
        "state": "ok",
    }  # fmt: skip


def test_the_table_shows_budgets_within_80_columns(tmp_path: Path) -> None:
    config = (
        "budgets:\n- {name: llm-month, usd: 500, calendar: month}\n- {name: gone, usd: 1, calendar: month}\n"
        "- {name: soon, usd: 13, period: 14d, alerts: [{severity: page, long: 1d, short: 1h, factor: 1.5}]}\n"
    )
    (tmp_path / "reporter.yaml").write_text(config)
    url = f"sqlite:///{tmp_path}/jobs.db"
    bring_in(open_store(url), tmp_path / "calls.jsonl", [call_at(1, AT_NS - 1, 2 * NS), call_at(2, AT_NS - 2, None)])
    done = run(tmp_path, "--database", url, "report", "--as-of", "2026-10-15T12:34:00Z", COLUMNS="80")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "llm-month 2026-10 500.00 2.00+ ████████ 100 % 34.95+ ok" in lines
    assert "gone 2026-10 1.00 2.00+ ░░░░░░░░ −100 % 34.95+ exhausted" in lines
    assert "gone: gone since 2026-10-15 12:34 UTC" in lines
    assert "page soon: 2.15× in 1d and 51.7× in 1h, both above 1.5×" in lines
    assert "soon: gone on 2026-10-21 10:44 UTC at the rate of the last 7d" in lines
    assert "+ leaves out calls that have no price." in lines
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_command_keeps_budgets_only_of_now(tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text(BUDGET)
    url = f"sqlite:///{tmp_path}/jobs.db"
    store = open_store(url)
    assert run(tmp_path, "--database", url, "report", "--as-of", "2026-10-15T12:34:00Z").returncode == 0
    assert kept(store) == []
    assert run(tmp_path, "--database", url, "report").returncode == 0
    assert [name for name, _, _ in kept(store)] == ["a"]
    shown = run(tmp_path, "--database", url, "report", "--format", "csv", "--section", "budgets").stdout
    assert shown.startswith("budget,period,period_name,start,end,state,usd,spent_usd,")


def test_a_push_keeps_budgets_for_the_view_and_a_dry_run_does_not(tmp_path: Path, pushgateway: Server) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    config, store = config_for(url, f"pushgateway: {{url: '{pushgateway.url}'}}\n{BUDGET}"), open_store(url)
    cycle.push(store, config, AT_NS, dry_run=True)
    cycle.push(store, config, AT_NS, of_now=False)
    assert kept(store) == []
    cycle.push(store, config, time.time_ns())
    assert [row[:2] for row in kept(store)] == [("a", 0.0)]
    assert 'cost_budget_usd{budget="a"' in fetch(f"{pushgateway.url}/metrics")


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    minutes=st.integers(1, 40 * 24),
    hours=st.integers(1, 40 * 24),
    back=st.one_of(st.integers(0, 20 * 1440), st.integers(0, 20 * 24).map(lambda hour: hour * 60 + 34)),
)
@example(minutes=15, hours=1, back=12 * 60 + 34)
def test_whatever_was_pruned_a_budget_is_told_exactly_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, minutes: int, hours: int, back: int
) -> None:
    directory = tmp_path_factory.mktemp("pruned")
    url = f"sqlite:///{directory}/jobs.db"
    config, store = config_for(url), open_store(url)
    moments = [AT_NS - number * 97 * MINUTE for number in range(500)]
    bring_in(
        store, directory / "calls.jsonl", [call_at(n, at, NS // 400, provider="openai") for n, at in enumerate(moments)]
    )
    before = {told["budget"]: told for told in report(store, config, AT_NS - back * MINUTE)["budgets"]}
    pruned(store, config, minutes_ns=minutes * 60 * MINUTE, hours_ns=hours * 60 * MINUTE, now_ns=AT_NS)
    after = report(store, config, AT_NS - back * MINUTE)
    for told in after["budgets"]:
        was = before[told["budget"]]
        assert told["spent_usd"] in (was["spent_usd"], None)
        assert told["remaining_ratio"] in (was["remaining_ratio"], None)
        assert told["projected_usd"] in (was["projected_usd"], None)
        assert told["burn_rates"] == {label: was["burn_rates"][label] for label in told["burn_rates"]}
        is_short = told["spent_usd"] is None or told["projected_usd"] is None
        assert not is_short or any(note.startswith(f"budget {told['budget']}: unknown: ") for note in after["notes"])
