"""Each panel of the generated dashboards on a real Prometheus that scrapes a real gateway."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import yaml

from reporter.metrics import (
    JOB_LATE_RUNS,
    JOB_MISSED_RUNS,
    JOB_OVERLAPS,
    JOB_TOO_FAST_RUNS,
    LATE_TICKS,
    MISSED_TICKS,
    RECORDER_TROUBLES,
    REGRESSIONS_HELD,
)
from reporter.store import Store, open_store
from tests.cli.console import run
from tests.generate.promql import filled
from tests.generate.test_grafana import CHOSEN, dashboards, generated, queries
from tests.publish.pushing import bring_in, calls
from tests.servers import Server, fetch, start_prometheus, wait_for

DOCUMENT = """
database: {database}
pushgateway: {{url: '{gateway}', new_series_delay: 0s}}
slos:
  - {{name: up, service: llm-batch, sli: availability, objective: 99, period: 30d, where: {{model: "?*"}}}}
budgets:
  - {{name: month, usd: 500, period: 30d}}
jobs:
  nightly: {{schedule: "0 3 29 2 *", start_grace: 10m, max_duration: 2h, max_concurrent: 1}}
"""
EMPTY_HERE = {
    RECORDER_TROUBLES.name: "recorders had none",
    REGRESSIONS_HELD.name: "no counter was about to fall",
    **dict.fromkeys((JOB_MISSED_RUNS.name, JOB_LATE_RUNS.name), "the job was not due yet"),
    **dict.fromkeys((JOB_OVERLAPS.name, JOB_TOO_FAST_RUNS.name), "it did not do so yet"),
    **dict.fromkeys((LATE_TICKS.name, MISSED_TICKS.name), "it is pushed, not served"),
}


def workload(store: Store, directory: Path) -> None:
    """Calls that succeed, fail, stream and have no price, one in flight, and a job's run."""
    told = {"duration_ns": 900_000_000, "ttft_ns": 200_000_000, "stream": 1, "usage_status": "complete"}
    now_ns = time.time_ns()
    bring_in(store, directory, calls(30, seconds_ago=100, cost_nanousd=5_000_000, cost_source="reported", **told))
    bring_in(store, directory, calls(5, seconds_ago=90, status="error", error_type="429", http_status=429))
    bring_in(store, directory, calls(3, seconds_ago=80, model="nobody-sells-this", provider="nobody"))
    run_ = {"kind": "run", "run_id": f"r-{now_ns}", "batch_job": "nightly", "items": 38, "exit_code": 0, "status": "success",
            "started_at_ns": now_ns - 200 * 10**9, "ended_at_ns": now_ns - 50 * 10**9}  # fmt: skip
    bring_in(store, directory, [run_])


def ask(prometheus: Server, expr: str) -> list[dict[str, Any]]:
    answer = json.loads(fetch(f"{prometheus.url}/api/v1/query?query={quote(expr)}"))
    assert answer["status"] == "success", answer
    return list(answer["data"]["result"])


def numbers(prometheus: Server, expr: str) -> list[float]:
    return [float(series["value"][1]) for series in ask(prometheus, expr)]


def test_each_panel_shows_something_on_a_day_with_calls(tmp_path: Path, pushgateway: Server) -> None:
    database = f"sqlite:///{tmp_path}/jobs.db"
    out = generated(tmp_path, DOCUMENT.format(database=database, gateway=pushgateway.url))
    store = open_store(database)
    prometheus = start_prometheus(tmp_path, urlsplit(pushgateway.url).netloc)
    try:
        for _ in range(3):
            workload(store, tmp_path)
            done = run(tmp_path, "push")
            assert done.returncode == 0, done.stderr
            time.sleep(2.5)
        wait_for(lambda: ask(prometheus, "increase(llm_request_cost_usd_total[1h]) > 0"), 20, "cost is scraped")
        nothing = {
            (uid, title, expr)
            for uid, dashboard in dashboards(out).items()
            for title, expr in queries(dashboard)
            if not ask(prometheus, filled(expr, **CHOSEN))
        }
        left = {(uid, title, expr) for uid, title, expr in nothing if not any(name in expr for name in EMPTY_HERE)}
        assert left == set()
        spent = ask(prometheus, "sum(llm_window_cost_usd{window='1d'})")
        with store.read() as connection:
            truth = connection.exec_driver_sql("SELECT sum(cost_nanousd) FROM calls").scalar_one()
        (panel,) = (expr for title, expr in queries(dashboards(out)["reporter-overview"]) if title == "Cost, 1d")
        assert ask(prometheus, panel)[0]["value"][1] == spent[0]["value"][1] == f"{truth / 1e9:g}"
    finally:
        prometheus.kill()


def evaluated(prometheus: Server, rule: dict[str, Any]) -> set[str] | None:
    """What fires of a rule as Grafana evaluates it: query → reduce → threshold; None is "no data"."""
    found = ask(prometheus, rule["data"][0]["model"]["expr"])
    labels = [json.dumps(series["metric"], sort_keys=True) for series in found]
    assert len(set(labels)) == len(labels)  # Grafana refuses two with the same labels
    (condition,) = rule["data"][2]["model"]["conditions"]
    assert condition["evaluator"]["type"] == "gt"
    firing = [float(series["value"][1]) > condition["evaluator"]["params"][0] for series in found]
    return {name for name, fires in zip(labels, firing, strict=True) if fires} if found else None


def both(prometheus: Server, out: Path) -> dict[str, tuple[set[str] | None, bool]]:
    """By title: what Grafana's rule says, and whether Prometheus' rule of the same labels has anything."""
    grafana = yaml.safe_load((out / "alerting" / "reporter.yaml").read_text())["groups"]
    theirs = yaml.safe_load((out / "reporter.rules.yml").read_text())["groups"]
    exprs = {
        (rule["alert"], str(sorted(rule["labels"].items()))): rule["expr"]
        for group in theirs for rule in group["rules"] if "alert" in rule
    }  # fmt: skip
    return {
        rule["title"]: (
            evaluated(prometheus, rule),
            bool(ask(prometheus, exprs[rule["title"].partition(" / ")[0], str(sorted(rule["labels"].items()))])),
        )
        for group in grafana
        for rule in group["rules"]
    }


def test_grafana_and_prometheus_agree_on_what_fires_and_old_numbers_are_no_data(
    tmp_path: Path, pushgateway: Server
) -> None:
    database = f"sqlite:///{tmp_path}/jobs.db"
    out = generated(tmp_path, DOCUMENT.format(database=database, gateway=pushgateway.url))
    assert run(tmp_path, "generate", "prometheus", "-o", "out").returncode == 0
    store = open_store(database)
    prometheus = start_prometheus(tmp_path, urlsplit(pushgateway.url).netloc)
    newest = "max(reporter_snapshot_sequence)"
    page = "ErrorBudgetBurn / up / llm-batch / page"

    def pushed(facts: list[dict[str, Any]]) -> None:
        bring_in(store, tmp_path, facts)
        before = numbers(prometheus, newest)
        assert run(tmp_path, "push").returncode == 0
        wait_for(lambda: numbers(prometheus, newest) not in ([], before), 20, "the push is scraped")

    try:
        # nobody has pushed yet: one alert says so, the others have nothing to say
        for title, (says, _) in both(prometheus, out).items():
            assert says == {"{}"} if title.startswith("ReporterStale") else not says, title

        pushed(calls(1000, seconds_ago=600, cost_nanousd=1000, cost_source="reported"))
        healthy = both(prometheus, out)
        assert {title: (set(), False) for title in healthy} == healthy

        now_ns = time.time_ns()
        failed = {"kind": "run", "run_id": "r-1", "batch_job": "nightly", "status": "failed", "exit_code": 1,
                  "started_at_ns": now_ns - 60 * 10**9, "ended_at_ns": now_ns - 30 * 10**9}  # fmt: skip
        pushed([*calls(500, seconds_ago=30, status="error", error_type="503", cost_nanousd=1000), failed])
        outage = both(prometheus, out)
        assert all(bool(says) is fires for says, fires in outage.values()), outage
        assert outage[page][0] == {"{}"}
        assert outage["BatchJobFailed / ticket"][0] == {'{"batch_job": "nightly"}'}

        # as if five minutes had gone by; the moment that a report is of may be up to a minute ahead
        text = (out / "alerting" / "reporter.yaml").read_text()
        (out / "alerting" / "reporter.yaml").write_text(text.replace("< 300", "< -100").replace("> 300", "> -100"))
        for title, (says, _) in both(prometheus, out).items():
            if title.startswith("ReporterStale"):
                assert says == {"{}"}
            elif title.startswith("Reporter"):
                assert says == set(), title
            else:
                assert says is None, title  # and so what fired goes on firing, and nothing begins
    finally:
        prometheus.kill()
