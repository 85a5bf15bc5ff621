"""The whole way of an alert on real servers: an outage is recorded, reported, scraped, evaluated, and told to somebody."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reporter.store import open_store
from tests.cli.console import run
from tests.generate.test_prometheus import generated
from tests.publish.pushing import bring_in, calls
from tests.servers import Server, start_alertmanager, start_prometheus_of, wait_for

DOCUMENT = """
database: {database}
pushgateway: {{url: '{gateway}', new_series_delay: 0s}}
slos:
  - {{name: up, service: llm-batch, sli: availability, objective: 99, period: 30d, where: {{model: "?*"}}}}
"""


class Somebody:
    """Who is told: what a webhook got, alert by alert."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        somebody = self

        class Webhook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                somebody.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def alerts(self, status: str) -> list[dict[str, Any]]:
        return [alert for told in self.told for alert in told["alerts"] if alert["status"] == status]

    def names(self, status: str) -> set[tuple[str, str]]:
        return {(alert["labels"]["alertname"], alert["labels"]["severity"]) for alert in self.alerts(status)}


@contextmanager
def watching(directory: Path, gateway: Server, somebody: Somebody) -> Iterator[Server]:
    """A Prometheus and an Alertmanager of the generated files, but with seconds for minutes."""
    out = directory / "out"
    routes = (out / "alertmanager.yml").read_text().replace("http://localhost:9095/", somebody.url)
    for slow, quick in (("group_wait: 10s", "group_wait: 1s"), ("group_wait: 30s", "group_wait: 4s"),
                        ("group_interval: 5m", "group_interval: 1s")):  # fmt: skip
        assert slow in routes
        routes = routes.replace(slow, quick)
    alertmanager = start_alertmanager(directory, routes)
    try:
        config = (out / "prometheus.yml").read_text().replace("interval: 15s", "interval: 1s")
        config = config.replace("localhost:9093", urlsplit(alertmanager.url).netloc)
        for file in out.glob("*.rules.yml"):
            (directory / file.name).write_bytes(file.read_bytes())
        prometheus = start_prometheus_of(directory, config)
        try:
            yield prometheus
        finally:
            prometheus.kill()
    finally:
        alertmanager.kill()


def test_an_outage_pages_somebody_once_and_its_end_is_told(tmp_path: Path, pushgateway: Server) -> None:
    database = f"sqlite:///{tmp_path}/jobs.db"
    generated(tmp_path, DOCUMENT.format(database=database, gateway=pushgateway.url))
    store, somebody = open_store(database), Somebody()

    def push() -> None:
        done = run(tmp_path, "push")
        assert done.returncode == 0, done.stderr

    bring_in(store, tmp_path, calls(1000, seconds_ago=600))
    push()
    with watching(tmp_path, pushgateway, somebody):
        time.sleep(8)
        assert somebody.told == []  # a healthy day

        bring_in(store, tmp_path, calls(500, seconds_ago=30, status="error", error_type="503", cost_nanousd=1000))
        push()
        began = time.monotonic()
        wait_for(lambda: somebody.names("firing"), 20, "somebody is told")
        assert time.monotonic() - began < 15
        time.sleep(6)  # a ticket would have come by now
        assert somebody.names("firing") == {("ErrorBudgetBurn", "page")}
        assert len(somebody.alerts("firing")) == 1
        (alert,) = somebody.alerts("firing")
        assert alert["labels"] == {
            "alertname": "ErrorBudgetBurn", "service": "llm-batch", "severity": "page", "slo": "up", "source": "slo",
        }  # fmt: skip
        told = alert["annotations"]
        assert told["summary"] == "up burns its error budget too fast"
        assert (
            "Burn rates: 33.3 over 1h and 100 over 5m where 14.4 is the limit; 33.3 over 6h and" in told["description"]
        )
        assert "Error budget left: -3233%. The objective is 99 % over 30d: good is " in told["description"]
        explained = run(tmp_path, *told["what_to_type"].replace("'", "").split()[1:])
        assert explained.returncode == 0, explained.stderr

        bring_in(store, tmp_path, calls(100_000, seconds_ago=20))
        push()
        wait_for(lambda: ("ErrorBudgetBurn", "page") in somebody.names("resolved"), 20, "its end is told")
