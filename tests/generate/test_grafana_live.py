"""Each panel of the generated dashboards on a real Prometheus that scrapes a real gateway."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from reporter.metrics import JOB_LATE_RUNS, JOB_NEXT_RUN, JOB_OVERLAPS, RECORDER_TROUBLES, REGRESSIONS_HELD
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
  nightly: {{max_duration: 2h}}
"""
EMPTY_HERE = {
    RECORDER_TROUBLES.name: "recorders had none",
    REGRESSIONS_HELD.name: "no counter was about to fall",
    **dict.fromkeys((JOB_NEXT_RUN.name, JOB_LATE_RUNS.name, JOB_OVERLAPS.name), "the job has no schedule"),
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
