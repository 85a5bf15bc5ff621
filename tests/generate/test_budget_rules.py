"""The rules of cost budgets judge as the report does, whatever the month."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from reporter import cycle
from reporter.config import parse_config
from reporter.config.model import Config
from reporter.generate.burning import BUDGET_BURN, budget_alerts
from reporter.generate.rules import Source
from reporter.report.model import Report
from reporter.store import open_store
from tests.report.test_budgets import MINUTE, NS, bring_in, call_at, utc

CALENDARS = "budgets:\n" + "".join(
    f"- {{name: {calendar}{usd}, usd: {usd}, calendar: {calendar}}}\n"
    for usd in (275, 290, 298, 302, 308, 320)
    for calendar in ("month", "quarter")
)
_ABOVE = re.compile(r'budget="(?P<budget>\w+)",window="(?P<window>\w+)"\} > (?P<factor>[\d.]+)')


def pushed_burn_rates(report: Report) -> dict[tuple[str, str], float]:
    return {
        (sample.labels["budget"], sample.labels["window"]): sample.value
        for family in text_string_to_metric_families(cycle.openmetrics(report, 0.0).decode())
        if family.name == "cost_budget_burn_rate"
        for sample in family.samples
    }


def firing_by_the_rules(config: Config, report: Report) -> set[tuple[str, str, str, str]]:
    """(budget, severity, long, short) of the pairs whose comparisons in the rules hold for what is pushed."""
    burns, source = pushed_burn_rates(report), Source(grouping={"job": "reporter"}, stale_after_seconds=300)
    found = set()
    for rule in (rule for budget in config.budgets for rule in budget_alerts(source, budget)):
        compared = list(_ABOVE.finditer(rule.expr)) if rule.alert == BUDGET_BURN else []
        for long, short in zip(compared[::2], compared[1::2], strict=True):
            if all(burns[one["budget"], one["window"]] > float(one["factor"]) for one in (long, short)):
                found.add((long["budget"], rule.severity, long["window"], short["window"]))
    return found


def test_the_report_and_the_rules_fire_alike_in_every_month(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    config, store = parse_config(f"database: {url}\n{CALENDARS}", environ={}), open_store(url)
    moments = [utc(f"2026-{month:02}-20T06:00:00") for month in range(1, 13)]
    calls = [call_at(at_ns + n, at_ns - n * 5 * MINUTE - 1, 15 * NS // 72) for at_ns in moments for n in range(72)]
    bring_in(store, tmp_path / "calls.jsonl", calls)  # 15 USD in 6h
    fired = set()
    for at_ns in moments:
        report = cycle.report(store, config, at_ns)
        fires = {
            (budget.budget, alert.severity, alert.long, alert.short)
            for budget in report.budgets
            for alert in budget.alerts
            if alert.firing
        }
        assert fires == firing_by_the_rules(config, report)
        fired.add(frozenset(fires))
    assert len(fired) > 3  # months differ
