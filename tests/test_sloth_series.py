"""With `report.sloth_series`, what Sloth's rules would have recorded is at the gateway, and its alerts fire as ours do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from reporter import cycle
from reporter.store import open_store
from tests.publish.pushing import bring_in, configured, exposed
from tests.servers import Server, fetch, start_prometheus, wait_for

NS = 10**9
SLO = (
    "{name: chat, service: llm, sli: availability, objective: 99.9, where: {operation: chat}, labels: {team: a, le: b},"
    " periods: [{calendar: month}]}"
)
RULES = """
groups:
  - name: sloth-slo-alerts-llm-chat
    interval: 1s
    rules:
      - alert: ChatAvailability
        expr: |
          (
            max(slo:sli_error:ratio_rate5m{sloth_id="llm-chat", sloth_service="llm", sloth_slo="chat"} > (14.4 * 0.001)) without (sloth_window)
            and
            max(slo:sli_error:ratio_rate1h{sloth_id="llm-chat", sloth_service="llm", sloth_slo="chat"} > (14.4 * 0.001)) without (sloth_window)
          )
          or
          (
            max(slo:sli_error:ratio_rate30m{sloth_id="llm-chat", sloth_service="llm", sloth_slo="chat"} > (6 * 0.001)) without (sloth_window)
            and
            max(slo:sli_error:ratio_rate6h{sloth_id="llm-chat", sloth_service="llm", sloth_slo="chat"} > (6 * 0.001)) without (sloth_window)
          )
        labels: {sloth_severity: page}
"""  # noqa: E501  # as Sloth writes it


@pytest.mark.parametrize("failed", [0, 30])
def test_sloth_s_own_alert_fires_when_ours_does(tmp_path: Path, pushgateway: Server, failed: int) -> None:
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    more = "report: {sloth_series: true, windows: [5m, 1h]}\n"
    config = configured(tmp_path, store.url, pushgateway.url, slo=SLO, more=more)
    now = time.time()
    call = {"kind": "call", "operation": "chat", "duration_seconds": 1}
    statuses = ["error"] * failed + ["success"] * (1000 - failed)
    bring_in(
        store,
        tmp_path,
        [{**call, "call_id": f"c-{n}", "ended_at": now - 60, "status": status} for n, status in enumerate(statuses)],
    )
    made = cycle.push(store, config, int(now * NS)).report
    (slo,) = made.slos
    assert [alert.firing for alert in slo.alerts if alert.severity == "page"] == [failed > 0] * 2

    shown = {name: (dict(labels), value) for (name, labels), value in exposed(pushgateway.url).items() if "slo" in name}
    assert shown["slo:sli_error:ratio_rate1h"][1] == failed / 1000
    assert shown["slo:sli_error:ratio_rate1h"][0]["sloth_window"] == "1h"
    assert shown["slo:error_budget:ratio"][1] == 0.001
    assert shown["slo:objective:ratio"][0]["team"] == "a"
    assert "le" not in shown["slo:objective:ratio"][0]
    assert "slo:sli_error:ratio_ratemonth" not in shown
    assert shown["slo:time_period:days"][1] == 30
    assert shown["slo:period_error_budget_remaining:ratio"][1] == slo.remaining_ratio
    assert shown["slo:current_burn_rate:ratio"][1] == slo.windows["5m"].burn_rate
    assert shown["sloth_slo_info"][0]["sloth_objective"] == "99.9"

    prometheus = start_prometheus(tmp_path, pushgateway.url.removeprefix("http://"), RULES)
    try:
        wait_for(
            lambda: '"slo:objective:ratio"' in fetch(f"{prometheus.url}/api/v1/label/__name__/values"), 30, "a scrape"
        )
        if failed:
            wait_for(lambda: '"state":"firing"' in fetch(f"{prometheus.url}/api/v1/alerts"), 30, "Sloth's alert")
        else:
            wait_for(lambda: '"lastEvaluation":"2' in fetch(f"{prometheus.url}/api/v1/rules"), 30, "an evaluation")
            assert fetch(f"{prometheus.url}/api/v1/alerts").count('"state"') == 0
    finally:
        prometheus.kill()


def test_without_being_asked_for_they_are_not_there(tmp_path: Path, pushgateway: Server) -> None:
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    cycle.push(store, configured(tmp_path, store.url, pushgateway.url, slo=SLO), time.time_ns())
    assert not any(name.startswith(("slo:", "sloth_")) for name, _ in exposed(pushgateway.url))
