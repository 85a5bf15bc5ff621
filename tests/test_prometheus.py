"""Real Prometheus scrapes a real gateway while reporter and gateway are killed: counters are true and never fall."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from urllib.parse import quote

import pytest
from sqlalchemy import text

from reporter import cycle
from reporter.config import parse_config
from reporter.config.model import Config
from reporter.errors import LeaseHeld
from reporter.lease import acquire, release
from reporter.metrics import METRICS
from reporter.publish.exchange import Access
from reporter.publish.pushgateway import Looks
from reporter.report.json_form import as_json
from reporter.store import Store, open_store
from tests.publish.loopback import Loopback, Request, forward
from tests.publish.pushing import bring_in, calls, command, configured, counters, run, written
from tests.servers import Server, fetch, start_prometheus, wait_for

LEASE_SECONDS = 2.5
SETTINGS = (
    "report: {windows: [5m, 1h], labels: [batch_job, model], lease: 2500ms}\n"
    "retention: {calls: 2h, minutes: 2d, hours: 2d, days: 2d}\n"
)


class Stalling:
    """In front of the gateway: passes everything on, but stalls at one point of one push, and says when it is there."""

    def __init__(self, gateway: Server) -> None:
        self.gateway, self.at = gateway, ""
        self.reached, self.released = threading.Event(), threading.Event()

    def stall(self, at: str) -> None:
        self.at = at
        self.reached.clear()
        self.released.clear()

    def __call__(self, request: Request, connection: socket) -> None:
        if self.at == f"before {request.method}":
            self._wait(connection)
        answer = forward(request, self.gateway.url)
        if self.at == f"after {request.method}":
            self._wait(connection)
        connection.sendall(answer)

    def _wait(self, connection: socket) -> None:
        self.at = ""
        self.reached.set()
        self.released.wait(20)
        raise ConnectionError("the reporter is gone by now")


def stalled(stage: str, store: Store, door: Stalling, start: Callable[[], subprocess.Popen[bytes]]) -> None:
    """Start a push, and SIGKILL it at `stage`: while it folds, or at a point of its talk with the gateway."""
    with _held_up(stage, store, door) as reached:
        process = start()
        try:
            wait_for(reached, 15, f"the reporter is at {stage}")
        finally:
            process.kill()
        assert process.wait(10) == -9, f"it ended by itself before {stage}"
    door.released.set()


@contextmanager
def _held_up(stage: str, store: Store, door: Stalling) -> Iterator[Callable[[], object]]:
    if stage != "fold":
        door.stall(stage)
        yield door.reached.is_set
        return
    # A lock that the fold needs and taking the lease does not: on Postgres a table's, on SQLite, which has but one, the
    # whole database's, taken as soon as the lease shows.
    with store.engine.connect() as connection:
        if store.dialect == "postgresql":
            connection.execute(text("LOCK TABLE series IN ACCESS EXCLUSIVE MODE"))

        def reached() -> object:
            if store.dialect == "postgresql":
                waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'series'::regclass AND NOT granted"
                return connection.execute(text(waiting)).scalar()
            until = time.monotonic() + 1
            while time.monotonic() < until:  # without a pause: a small fold is over in a few milliseconds
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                if connection.execute(text("SELECT count(*) FROM leases")).scalar():
                    return True
                connection.exec_driver_sql("ROLLBACK")
            return False

        yield reached
        connection.exec_driver_sql("ROLLBACK")


STAGES = ("fold", "before GET", "before PUT", "after PUT")


@pytest.mark.parametrize("stage", ["fold", "before PUT", "after PUT"])
def test_a_reporter_that_is_killed_leaves_what_one_clean_run_would(
    tmp_path: Path, database_url: str, pushgateway: Server, stage: str
) -> None:
    (tmp_path / "clean").mkdir()
    store, clean = open_store(database_url), open_store(f"sqlite:///{tmp_path}/clean.db")
    door = Stalling(pushgateway)
    as_of_ns = time.time_ns()
    with Loopback(door) as gateway:
        path = written(tmp_path, database_url, gateway.url, gateway="timeout: 2400ms", more=SETTINGS)
        config = configured(tmp_path, database_url, gateway.url, gateway="timeout: 2400ms", more=SETTINGS)
        clean_config = configured(
            tmp_path / "clean",
            clean.url,
            pushgateway.url,
            gateway="timeout: 2400ms, grouping: {job: clean}",
            more=SETTINGS,
        )
        facts = [*calls(30), *calls(20, model=None, status="timeout", duration_ns=9 * 10**9)]
        bring_in(store, tmp_path, facts[:40])
        cycle.push(store, config, as_of_ns)
        bring_in(store, tmp_path, facts[40:])
        stalled(stage, store, door, lambda: subprocess.Popen(command(path, "push"), stderr=subprocess.DEVNULL))
        with pytest.raises(LeaseHeld, match="its lease runs out in"):
            cycle.push(store, config, as_of_ns)
        wait_for(lambda: _pushed(store, config, as_of_ns), LEASE_SECONDS + 5, "the lease runs out")
        cycle.push(store, config, as_of_ns)
    bring_in(clean, tmp_path, facts)
    for _ in range(2):
        cycle.push(clean, clean_config, as_of_ns)
    told, expected = (as_json(cycle.report(*those, as_of_ns)) for those in ((store, config), (clean, clean_config)))
    assert told == expected
    assert counters(pushgateway.url) == counters(pushgateway.url, "clean")


def _pushed(store: Store, config: Config, as_of_ns: int) -> bool:
    try:
        cycle.push(store, config, as_of_ns)
    except LeaseHeld:
        return False
    return True


def test_the_second_of_two_reporters_exits_75(tmp_path: Path, database_url: str, pushgateway: Server) -> None:
    path = written(tmp_path, database_url, pushgateway.url)
    store = open_store(database_url)
    lease = acquire(store, 60 * 10**9)
    done = run(path, "push")
    assert (done.returncode, done.stdout) == (75, "")
    assert "another reporter" in done.stderr
    assert "try again" in done.stderr
    assert Looks(Access(), pushgateway.url, time.monotonic() + 5).groups == ()
    release(store, lease)
    assert run(path, "push").returncode == 0


def test_a_lease_that_could_run_out_during_a_push_is_refused(tmp_path: Path) -> None:
    path = written(
        tmp_path, f"sqlite:///{tmp_path}/jobs.db", "http://localhost:9091", more="report: {lease: 10s, windows: [5m]}\n"
    )
    done = run(path, "check")
    assert done.returncode == 2
    assert "lease: must be longer than pushgateway.timeout, 10s" in done.stderr


class Queries:
    """Prometheus, asked."""

    def __init__(self, server: Server) -> None:
        self.url = server.url

    def __call__(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        told = json.loads(fetch(f"{self.url}/api/v1/query?query={quote(expression)}"))
        return {tuple(sorted(found["metric"].items())): float(found["value"][1]) for found in told["data"]["result"]}

    def value(self, expression: str) -> float:
        (value,) = self(expression).values()
        return value

    def names(self) -> set[str]:
        """Every name that the group's series ever had."""
        selector = quote('{job="reporter"}')
        told = json.loads(fetch(f"{self.url}/api/v1/series?match[]={selector}"))
        return {series["__name__"] for series in told["data"]}


CUMULATIVE = {
    metric.name + suffix
    for metric in METRICS
    if metric.type != "gauge"
    for suffix in (("_bucket", "_sum", "_count") if metric.type == "histogram" else ("",))
}


def test_no_counter_resets_and_increases_are_the_databases_whoever_is_killed(
    tmp_path: Path, pushgateway: Server
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    store, door = open_store(url), Stalling(pushgateway)
    prometheus = start_prometheus(tmp_path, pushgateway.url.removeprefix("http://"))
    ask = Queries(prometheus)
    total = "sum(llm_request_duration_seconds_count)"
    with Loopback(door) as gateway:
        path = written(tmp_path, url, gateway.url, gateway="timeout: 2400ms", more=SETTINGS)
        path.write_text(path.read_text().replace("new_series_delay: 0s", "new_series_delay: 2s"))
        config = parse_config(path.read_text(), environ={})

        def push_until(condition: Callable[[], object], what: str) -> None:
            wait_for(lambda: _pushed(store, config, time.time_ns()) and condition(), 20, what)

        try:
            wait_for(lambda: list(ask("up").values()) == [1], 20, "the gateway is scraped, so that the first 0 is seen")
            facts = calls(
                15, seconds_ago=3 * 3600, ttft_ns=10**8, stream=1
            )  # past their retention once they are folded
            facts += calls(5, status="error", error_type="429", http_status=429)
            bring_in(store, tmp_path, facts)
            push_until(lambda: list(ask(total).values()) == [20], "true values are scraped")
            assert _rows(store) == 5
            expected = 20
            for stage in STAGES:
                fresh = calls(10, duration_ns=300_000_000, ttft_ns=10**8, stream=1)
                bring_in(store, tmp_path, fresh)
                facts += fresh
                expected += 10
                stalled(stage, store, door, lambda: subprocess.Popen(command(path, "push"), stderr=subprocess.DEVNULL))
                if stage == "before PUT":
                    pushgateway.restart()  # kill -9: it forgets everything
                push_until(lambda: list(ask(total).values()) == [expected], f"the truth after a kill at {stage}")  # noqa: B023
            cumulative = {name for name in ask.names() if name in CUMULATIVE}
            assert len(cumulative) >= 14, sorted(cumulative)
            assert not {
                name for name in ask.names() - cumulative if name.endswith(("_total", "_bucket", "_sum", "_count"))
            }
            for name in sorted(cumulative):
                resets = ask(f"resets({name}[10m])")
                assert resets, name
                assert set(resets.values()) == {0.0}, name
            check_increases(ask, store, cumulative)
            (median,) = ask(
                'histogram_quantile(0.5, sum by (le) (increase(llm_request_duration_seconds_bucket{status="success"}[10m])))'
            ).values()
            assert 0.25 < median <= 0.5  # the bucket of 300 ms
            clean = open_store(f"sqlite:///{tmp_path}/clean.db")
            (tmp_path / "clean").mkdir()
            grouping = "timeout: 2400ms, grouping: {job: clean}"
            clean_config = configured(tmp_path / "clean", clean.url, pushgateway.url, gateway=grouping, more=SETTINGS)
            bring_in(clean, tmp_path, facts)
            for _ in range(2):
                cycle.push(clean, clean_config, time.time_ns())
            assert counters(pushgateway.url) == counters(pushgateway.url, "clean")
        finally:
            prometheus.kill()


def check_increases(ask: Queries, store: Store, cumulative: set[str]) -> None:
    """`increase()` of a series that was seen from 0 on is what the database counted, within extrapolation.

    Prometheus stretches what it saw between the first sample and the last to the edges of the range, at most 1.1 mean
    sample intervals at either end, and never below zero at the first.  All series here begin at 0 inside the range, so that
    nothing is added at the first; N samples have N − 1 intervals between them, so at most 1.1 / (N − 1) of it at the last.
    Source: https://github.com/prometheus/prometheus/blob/v2.42.0/promql/functions.go, extrapolatedRate
    """
    for name in sorted(cumulative):
        true, samples = ask(f"{name}"), ask(f"count_over_time({name}[10m])")
        increases = ask(f"increase({name}[10m])")
        for labels, value in true.items():
            key = tuple(label for label in labels if label[0] != "__name__")
            assert samples[key] > 2
            most = value * (1 + 1.1 / (samples[key] - 1))
            assert value * (1 - 1e-9) <= increases[key] <= most * (1 + 1e-9), (name, key)
    with store.read() as connection:
        kept = connection.execute(text("SELECT sum(calls), sum(cost_nanousd), sum(duration_sum_ns) FROM totals")).one()
    for expression, truth in (
        ("llm_request_duration_seconds_count", int(kept[0])),
        ("llm_request_cost_usd_total", int(kept[1]) / 1e9),
        ("llm_request_duration_seconds_sum", int(kept[2]) / 1e9),
        ("reporter_calls_folded_total", int(kept[0])),
    ):
        assert ask.value(f"sum({expression})") == pytest.approx(truth, rel=1e-12)
        assert ask.value(f"sum(increase({expression}[10m]))") == pytest.approx(truth, rel=0.12)


def _rows(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM calls")).scalar_one())
