"""Who keeps whom quiet, asked of a real Alertmanager."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from tests.cli.console import run
from tests.generate.test_prometheus import generated
from tests.servers import Server, fetch, start_alertmanager, wait_for

TEAMS = "pushgateway: {grouping: {job: reporter, team: a}}\n"
Alert = tuple[str, str, str, str]  # alertname, severity, source, slo, of team a unless the name says b


def labels_of(alert: Alert) -> dict[str, str]:
    name, severity, source, slo = alert
    team = "b" if slo.startswith("b") else "a"
    about = {"slo": slo, "service": "api"} if source != "reporter" else {}
    return {"alertname": name, "severity": severity, "source": source, "team": team, **about}


def send(alertmanager: Server, alerts: list[Alert]) -> None:
    body = json.dumps([{"labels": labels_of(alert)} for alert in alerts]).encode()
    request = urllib.request.Request(f"{alertmanager.url}/api/v2/alerts", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=5).close()


def told(alertmanager: Server, alerts: list[Alert]) -> set[Alert]:
    """Which of these, all of which fire, somebody hears of."""
    found: list[dict[str, Any]] = json.loads(fetch(f"{alertmanager.url}/api/v2/alerts"))
    free = [alert["labels"] for alert in found if not alert["status"]["inhibitedBy"]]
    return {alert for alert in alerts if labels_of(alert) in free} if len(found) == len(alerts) else set()


BURN, COUNTERS = "ErrorBudgetBurn", "ErrorBudgetBurnByCounters"


def test_one_outage_pages_once_and_a_dead_reporter_silences_its_own_alerts_alone(tmp_path: Path) -> None:
    out = generated(tmp_path, TEAMS)
    alertmanager = start_alertmanager(tmp_path, (out / "alertmanager.yml").read_text())
    try:
        page, ticket = (BURN, "page", "slo", "up"), (BURN, "ticket", "slo", "up")
        counted = [(COUNTERS, severity, "counters", "up") for severity in ("page", "ticket")]
        alone = [(COUNTERS, severity, "counters", "alone") for severity in ("page", "ticket")]
        slow = [(BURN, "ticket", "slo", "slow"), *((COUNTERS, s, "counters", "slow") for s in ("page", "ticket"))]
        other = [(BURN, "page", "slo", "b"), (BURN, "ticket", "slo", "b2")]
        at_once = [page, ticket, *counted, *alone, *slow, *other]
        send(alertmanager, at_once)
        # a page that only counters see is told; its ticket is not, nor one beside a ticket of the pushed rates
        heard = {page, alone[0], slow[0], slow[1], *other}
        wait_for(lambda: told(alertmanager, at_once) == heard, 20, f"just {heard} are told")
        stale = ("ReporterStale", "page", "reporter", "")
        send(alertmanager, [stale])
        wait_for(lambda: told(alertmanager, [*at_once, stale]) == {stale, *other}, 20, "those of a are silent")
    finally:
        alertmanager.kill()


def test_check_finds_nothing_in_inhibitions_where_there_is_no_slo(tmp_path: Path) -> None:
    generated(tmp_path, "budgets: [{name: month, usd: 5, calendar: month}]", "--from-counters")
    assert run(tmp_path, "generate", "alertmanager", "-o", "out").returncode == 0
    checked = run(tmp_path, "check", "out")
    assert checked.returncode == 0, checked.stderr
