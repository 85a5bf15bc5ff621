"""Grafana's alert rules through a time without news: its states emulated over answers of a real Prometheus.

Source: https://github.com/grafana/grafana/blob/main/pkg/services/ngalert/state/state.go, `resultNormal`, `resultAlerting`,
`resultKeepLast`: a pending alert that is kept begins to fire when its `for` is over.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from reporter.slo.durations import parse_duration
from reporter.tally import MINUTE_NS
from tests.cli.console import run
from tests.generate.scenario import firing
from tests.generate.test_grafana import generated
from tests.servers import Server, binary, fetch, start_prometheus_of

BEGAN = 1_700_000_000 // 3600 * 3600


class GrafanaRule:
    """What Grafana makes of a rule's evaluations, a minute apart."""

    def __init__(self, rule: dict[str, Any]) -> None:
        assert (rule["noDataState"], rule["execErrState"]) == ("KeepLast", "KeepLast")
        self.held_for = parse_duration(rule["for"]) // MINUTE_NS
        self.states: dict[str, tuple[str, int]] = {}
        self.missed: dict[str, int] = {}

    def evaluate(self, minute: int, answer: Mapping[str, bool] | None) -> None:
        if answer is None:
            for series, (state, since) in self.states.items():
                if state == "Pending" and minute - since >= self.held_for:
                    self.states[series] = "Alerting", minute
            return
        for series, fires in answer.items():
            state, since = self.states.get(series, ("Normal", minute))
            if not fires:
                self.states[series] = "Normal", minute
            elif state == "Normal":
                self.states[series] = "Pending" if self.held_for else "Alerting", minute
            elif state == "Pending" and minute - since >= self.held_for:
                self.states[series] = "Alerting", minute
        for series in self.states.keys() - answer.keys():
            self.missed[series] = self.missed.get(series, 0) + 1
            if self.missed[series] >= 2:
                del self.states[series], self.missed[series]
        self.missed = {series: count for series, count in self.missed.items() if series not in answer}

    def alerting(self) -> set[str]:
        return {series for series, (state, _) in self.states.items() if state == "Alerting"}


def test_a_pending_alert_that_is_kept_ripens() -> None:
    rule = GrafanaRule({"noDataState": "KeepLast", "execErrState": "KeepLast", "for": "5m"})
    rule.evaluate(0, {"a": True})
    rule.evaluate(4, None)
    assert rule.alerting() == set()
    rule.evaluate(5, None)
    assert rule.alerting() == {"a"}


def backfilled(directory: Path, series: Mapping[str, list[float | None]]) -> Server:
    """A Prometheus that knows these series, a value a minute."""
    families: dict[str, list[str]] = {}
    for name, values in series.items():
        told = families.setdefault(name.partition("{")[0], [])
        told += [f"{name} {value} {BEGAN + 60 * at}" for at, value in enumerate(values) if value is not None]
    text = "".join(f"# TYPE {name} gauge\n" + "".join(f"{line}\n" for line in told) for name, told in families.items())
    (directory / "history.txt").write_text(text + "# EOF\n")
    promtool = [binary("promtool", "prometheus"), "tsdb", "create-blocks-from", "openmetrics"]
    subprocess.run([*promtool, directory / "history.txt", directory / "data"], check=True, capture_output=True)
    return start_prometheus_of(directory, "scrape_configs: []\n")


def answer(prometheus: Server, rule: dict[str, Any], at: float) -> dict[str, bool] | None:
    expr = quote(rule["data"][0]["model"]["expr"])
    found = json.loads(fetch(f"{prometheus.url}/api/v1/query?query={expr}&time={at}"))["data"]["result"]
    return {json.dumps(one["metric"]): float(one["value"][1]) > 0 for one in found} if found else None


DOCUMENT = """
budgets:
- {name: lasts, usd: 100, period: 30d}
- {name: over, usd: 100, period: 30d}
"""
ALIVE, DEAD, BACK = range(70), range(70, 150), range(150, 200)


def made_up() -> dict[str, list[float | None]]:
    """`over` and `slow` hold long enough before the reporter dies; `lasts` and `quick` have just begun, and go on a little."""
    job = 'job="reporter"'
    projected = {"over": range(155), "lasts": range(65, 190)}
    slow = {"slow": range(60, 152), "quick": range(69, 153)}
    minutes = [*ALIVE, *DEAD, *BACK]
    found: dict[str, list[float | None]] = {
        f"reporter_as_of_timestamp_seconds{{{job}}}": [
            BEGAN + 60 * (ALIVE[-1] if minute in DEAD else minute) for minute in minutes
        ]
    }
    for budget, when in projected.items():
        found[f'cost_budget_usd{{{job},budget="{budget}"}}'] = [100.0] * len(minutes)
        found[f'cost_budget_projected_usd{{{job},budget="{budget}"}}'] = [150.0 if m in when else 50.0 for m in minutes]
    for model, when in slow.items():
        labels = f'{job},batch_job="a",operation="chat",provider="p",model="{model}",window="5m"'
        found[f"llm_window_calls{{{labels}}}"] = [100.0] * len(minutes)
        found[f'llm_window_duration_seconds{{{labels},quantile="0.99"}}'] = [
            20.0 if m in when else 1.0 for m in minutes
        ]
    return found


def test_a_dead_reporter_begins_no_alert_in_grafana_and_ends_none(tmp_path: Path) -> None:
    out = generated(tmp_path, DOCUMENT)
    assert run(tmp_path, "generate", "prometheus", "-o", "out").returncode == 0
    series = made_up()
    prometheus = backfilled(tmp_path, series)
    document = yaml.safe_load((out / "alerting" / "reporter.yaml").read_text())
    rules = {
        rule["title"]: (rule, GrafanaRule(rule))
        for group in document["groups"] for rule in group["rules"]
        if rule["title"].startswith(("CostBudgetWillNotLast", "LLMLatencyHigh"))
    }  # fmt: skip
    checked = (50, 58, 67, 72, 80, 100, 130, 149, 160, 185, 199)
    grafana: dict[int, set[str]] = {}
    try:
        for minute in range(200):
            for rule, state in rules.values():
                state.evaluate(minute, answer(prometheus, rule, BEGAN + 60 * minute + 20))
            grafana[minute] = {
                f"{title} {series}".replace(' {"', ' {').strip()
                for title, (_, state) in rules.items() for series in state.alerting()
            }  # fmt: skip
    finally:
        prometheus.kill()
    over = "CostBudgetWillNotLast / over / ticket {}"
    (slow,) = (alert for alert in grafana[67] if "slow" in alert)
    assert all("lasts" not in alert and "quick" not in alert for alerts in grafana.values() for alert in alerts)
    told = {50: set(), 58: set(), 160: set(), 185: set(), 199: set()}
    assert {minute: grafana[minute] for minute in checked} == {
        minute: told.get(minute, {over, slow}) for minute in checked
    }

    values = {
        name: " ".join(f"{value - BEGAN if 'as_of' in name else value:g}" for value in told if value is not None)
        for name, told in series.items()
    }
    theirs = firing(
        [out / "reporter.rules.yml"], values, checked, by="alertname, budget, model", of='source=~"budget|calls"'
    )
    assert {minute: len(alerts) for minute, alerts in theirs.items()} == {
        minute: len(grafana[minute]) for minute in checked
    }


def test_a_page_of_an_hourly_job_stays_between_its_runs(tmp_path: Path) -> None:
    out = generated(tmp_path, "slos: [{name: up, service: a, sli: availability, objective: 99, period: 30d}]")
    assert run(tmp_path, "generate", "prometheus", "-o", "out").returncode == 0
    slo = 'job="reporter",slo="up",service="a"'
    nothing: list[float | None] = [None] * 20
    series: dict[str, list[float | None]] = {
        'reporter_as_of_timestamp_seconds{job="reporter"}': [float(BEGAN + 60 * minute) for minute in range(60)],
        f'slo_burn_rate{{{slo},window="1h"}}': [0.0] * 10 + [50.0] * 50,
        f'slo_burn_rate{{{slo},window="5m"}}': [0.0] * 10 + [100.0] * 5 + nothing + [0.0] * 5 + nothing,
    }
    prometheus = backfilled(tmp_path, series)
    document = yaml.safe_load((out / "alerting" / "reporter.yaml").read_text())
    (rule,) = (
        rule for group in document["groups"] for rule in group["rules"] if rule["title"] == "ErrorBudgetBurn / up / a / page"
    )  # fmt: skip
    state, grafana = GrafanaRule(rule), {}
    try:
        for minute in range(60):
            state.evaluate(minute, answer(prometheus, rule, BEGAN + 60 * minute + 20))
            grafana[minute] = state.alerting()
    finally:
        prometheus.kill()
    checked = (5, 12, 25, 34, 38, 50, 59)
    hoped = dict(zip(checked, (False, True, True, True, False, False, False), strict=True))
    assert {minute: bool(grafana[minute]) for minute in checked} == hoped
    values = {
        name: " ".join("_" if v is None else f"{v - BEGAN if 'as_of' in name else v:g}" for v in told)
        for name, told in series.items()
    }
    theirs = firing([out / "reporter.rules.yml"], values, checked, of='severity="page"')
    assert {minute: bool(alerts) for minute, alerts in theirs.items()} == hoped
