"""The first push of a database with a past: counters come in as 0, then tell all of it at once, and that is no news."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import quote

from reporter.store import open_store
from tests.cli.console import run
from tests.generate.test_page import DOCUMENT, Somebody, watching
from tests.generate.test_prometheus import generated
from tests.publish.pushing import bring_in, calls
from tests.servers import Server, fetch, wait_for

DAY = 86_400


def firing(url: str) -> set[str]:
    """The alerts that are pending or fire."""
    return {series["metric"]["alertname"] for series in asked(url, "ALERTS")}


def asked(url: str, expr: str) -> list[dict[str, dict[str, str]]]:
    found: list[dict[str, dict[str, str]]] = json.loads(fetch(f"{url}/api/v1/query?query={quote(expr)}"))["data"][
        "result"
    ]
    return found


def test_no_alert_takes_the_past_of_a_database_for_news(tmp_path: Path, pushgateway: Server) -> None:
    database = f"sqlite:///{tmp_path}/jobs.db"
    generated(tmp_path, DOCUMENT.format(database=database, gateway=pushgateway.url), "--from-counters")
    store = open_store(database)
    past = [
        call
        for days in range(2, 35)
        for call in (
            *calls(40, seconds_ago=days * DAY),
            *calls(9, seconds_ago=days * DAY, status="error", error_type="503", cost_nanousd=1000),
            *calls(9, seconds_ago=days * DAY, model="nobody-sells-it"),
        )
    ]
    bring_in(store, tmp_path, [*past, *calls(50, seconds_ago=600), *runs()])

    def push() -> None:
        done = run(tmp_path, "push")
        assert done.returncode == 0, done.stderr

    push()
    with watching(tmp_path, pushgateway, Somebody()) as prometheus:

        def came(expr: str) -> None:
            wait_for(lambda: asked(prometheus.url, expr), 20, expr)

        came("llm_unpriced_requests_total == 0")
        push()
        came("increase(llm_unpriced_requests_total[5m]) > 200")
        came('increase(batch_job_runs_total{status="lost"}[5m]) > 0')
        came('increase(slo_events_total{result="bad"}[5m]) > 200')
        came(
            'count_over_time((up and on () increase(slo_events_total{result="bad"}[5m]) > 200)[1m:1s]) > 3'
        )  # all is judged
        assert firing(prometheus.url) == set()

        bring_in(store, tmp_path, calls(3, seconds_ago=30, model="nobody-sells-it"))
        push()
        wait_for(lambda: firing(prometheus.url), 20, "what is news")
        assert firing(prometheus.url) == {"LLMCallsUnpriced"}


def runs() -> list[dict[str, object]]:
    """A run that was lost 19 days ago, and one that went well since."""
    now_ns = time.time_ns()
    lost_ns, well_ns = now_ns - 19 * DAY * 10**9, now_ns - 3600 * 10**9
    return [
        {"kind": "run", "run_id": "r-1", "batch_job": "nightly", "status": "running", "started_at_ns": lost_ns},
        {"kind": "run", "run_id": "r-2", "batch_job": "nightly", "status": "success", "started_at_ns": well_ns,
         "ended_at_ns": well_ns + 10**9, "duration_ns": 10**9},
    ]  # fmt: skip
