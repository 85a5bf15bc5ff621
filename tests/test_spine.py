"""From facts to a pushed report, on both databases and a real Pushgateway."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text

from reporter import Recorder, cycle, migrate
from reporter.config import parse_config
from reporter.config.model import Config
from reporter.errors import LeaseHeld, PublishError, PublishRetryLater
from reporter.ingest import ingest_file
from reporter.lease import acquire
from reporter.report.json_form import as_json
from reporter.store import Store, open_store
from tests.servers import Server, fetch, start_prometheus, wait_for

AS_OF_NS = 1_790_000_040 * 10**9  # a whole minute
WINDOWS = {"5m": 300, "1h": 3600, "1d": 86_400, "7d": 7 * 86_400}
SLOS = """
slos:
- {name: latency, sli: p95 < 2.5s, period: 7d, where: {operation: chat}}
- {name: availability, sli: availability, objective: 99, period: 7d, exclude_error_types: ["400"], where: {model: "gpt-*"}}
"""


def config_for(url: str, more: str = "") -> Config:
    return parse_config(
        f"database: {json.dumps(url)}\nreport: {{windows: [{', '.join(WINDOWS)}], labels: [batch_job, model]}}\n{SLOS}{more}",
        environ={},
    )


def random_calls(seed: int, count: int) -> list[dict[str, Any]]:
    dice = random.Random(seed)
    calls = []
    for number in range(count):
        ended_ns = AS_OF_NS - int(10 ** dice.uniform(8, 15.9))
        status, error = dice.choice([("success", None)] * 8 + [("error", "400"), ("error", "429"), ("lost", None)])
        calls.append(
            {
                "kind": "call", "call_id": f"0{seed:07d}-{number}", "ended_at_ns": ended_ns,
                "duration_ns": None if status == "lost" else int(dice.lognormvariate(20.5, 1)),
                "batch_job": dice.choice(["nightly", "hourly", None]), "operation": dice.choice(["chat", "embed"]),
                "provider": "openai", "model": dice.choice(["gpt-4o", "gpt-4o-mini", "own", None]), "status": status,
                "error_type": error, "input_tokens": dice.choice([None, 0, 1000]), "output_tokens": dice.choice([None, 77]),
            }
        )  # fmt: skip
    return calls


def bring_in(store: Store, path: Path, calls: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(call) + "\n" for call in calls))
    assert ingest_file(store, path).bad == 0


def in_window(calls: list[dict[str, Any]], seconds: int, as_of_ns: int = AS_OF_NS) -> list[dict[str, Any]]:
    return [call for call in calls if as_of_ns - seconds * 10**9 <= call["ended_at_ns"] < as_of_ns]


def is_good(slo: str, call: dict[str, Any]) -> bool | None:
    if slo == "latency":
        if call["operation"] != "chat":
            return None
        return call["status"] == "success" and call["duration_ns"] <= 2_500_000_000
    if not (call["model"] or "").startswith("gpt-") or call["error_type"] == "400":
        return None
    return bool(call["status"] == "success")


def check_against_brute_force(told: dict[str, Any], calls: list[dict[str, Any]], as_of_ns: int = AS_OF_NS) -> None:
    for slo in told["slos"]:
        for label, seconds in WINDOWS.items():
            judged = [is_good(slo["slo"], call) for call in in_window(calls, seconds, as_of_ns)]
            good, bad = judged.count(True), judged.count(False)
            window = slo["windows"][label]
            assert (window["good"], window["bad"]) == (good, bad), (slo["slo"], label)
            if good + bad:
                assert window["sli_ratio"] == good / (good + bad)
                assert window["burn_rate"] == pytest.approx(bad / (good + bad) / (1 - slo["objective_ratio"]))
            else:
                assert window["sli_ratio"] is window["burn_rate"] is None
    shown = 0
    for row in told["calls"]:
        mine = [call for call in calls if (call["batch_job"], call["model"]) == (row["batch_job"], row["model"])]
        for label, seconds in WINDOWS.items():
            window, those = row["windows"][label], in_window(mine, seconds, as_of_ns)
            shown += len(those)
            assert window["calls"] == len(those)
            assert window["errors"] == sum(call["status"] != "success" for call in those)
            assert window["input_tokens"] == sum(call["input_tokens"] or 0 for call in those)
            durations = sorted(call["duration_ns"] for call in those if call["duration_ns"] is not None)
            for rank in (50, 95, 99):
                estimated = window["duration_seconds"][f"p{rank}"]
                if durations:
                    assert estimated == pytest.approx(durations[-(-rank * len(durations) // 100) - 1] / 1e9, rel=0.01)
                else:
                    assert estimated is None
    assert shown == sum(len(in_window(calls, seconds, as_of_ns)) for seconds in WINDOWS.values())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_number_equals_brute_force_with_late_rows_and_at_earlier_moments(
    database_url: str, tmp_path: Path, seed: int
) -> None:
    config, store = config_for(database_url), open_store(database_url)
    calls = random_calls(seed, 600)
    bring_in(store, tmp_path / "first.jsonl", calls[:400])
    check_against_brute_force(as_json(cycle.report(store, config, AS_OF_NS)), calls[:400])
    bring_in(store, tmp_path / "late.jsonl", calls)  # the first 400 again
    check_against_brute_force(as_json(cycle.report(store, config, AS_OF_NS)), calls)
    earlier_ns = AS_OF_NS - 7_260 * 10**9
    check_against_brute_force(as_json(cycle.report(store, config, earlier_ns)), calls, earlier_ns)


def test_a_changed_slo_is_recounted_from_the_rows(database_url: str, tmp_path: Path) -> None:
    store = open_store(database_url)
    bring_in(store, tmp_path / "calls.jsonl", random_calls(4, 200))
    before = parse_config(
        f"database: {json.dumps(database_url)}\nslos: [{{name: latency, sli: p95 < 1s, period: 7d}}]", environ={}
    )
    cycle.report(store, before, AS_OF_NS)
    check_against_brute_force(as_json(cycle.report(store, config_for(database_url), AS_OF_NS)), random_calls(4, 200))


def test_a_call_without_an_end_is_lost_and_its_late_end_takes_that_back(database_url: str, tmp_path: Path) -> None:
    config, store = config_for(database_url), open_store(database_url)
    now_ns = time.time_ns()
    start = {"kind": "start", "call_id": "0-late", "operation": "chat", "started_at_ns": now_ns - 3_700 * 10**9}
    bring_in(store, tmp_path / "start.jsonl", [start])
    window = as_json(cycle.report(store, config, now_ns))["slos"][0]["windows"]["1h"]
    assert (window["good"], window["bad"]) == (0, 1)
    end = {
        "kind": "call", "call_id": "0-late", "operation": "chat", "started_at_ns": now_ns - 3_700 * 10**9,
        "ended_at_ns": now_ns, "duration_ns": 10**9,
    }  # fmt: skip
    bring_in(store, tmp_path / "end.jsonl", [end])
    for _ in range(2):
        window = as_json(cycle.report(store, config, now_ns + 60 * 10**9))["slos"][0]["windows"]["1h"]
        assert (window["good"], window["bad"]) == (1, 0)


@pytest.mark.parametrize(
    ("first", "second", "good", "bad"),
    [("success", "success", 1, 0), ("success", "error", 1, 0), ("lost", "success", 1, 0), ("lost", "lost", 0, 1)],
)
@pytest.mark.parametrize("counted", [True, False], ids=["counted before", "not counted yet"])
def test_a_call_that_arrives_a_second_time_counts_once_and_its_true_end_replaces_a_lost_one(
    database_url: str, tmp_path: Path, first: str, second: str, good: int, bad: int, counted: bool
) -> None:
    config, store = config_for(database_url), open_store(database_url)
    told = {"kind": "call", "call_id": "0-twin", "operation": "chat", "ended_at_ns": AS_OF_NS - 10**9, "duration_ns": 1}
    insert = text(
        "INSERT INTO calls (call_id, ended_at_ns, duration_ns, operation, status)"
        f" VALUES ('0-twin', {AS_OF_NS - 10**9}, 1, 'chat', :status)"
    )
    with store.write() as connection:
        connection.execute(insert, {"status": first})
    if counted:
        cycle.report(store, config, AS_OF_NS)
        with store.write() as connection:  # as a recorder does, which looks at nothing before
            connection.execute(insert, {"status": second})
        bring_in(store, tmp_path / "again.jsonl", [{**told, "status": second}])
    else:
        bring_in(store, tmp_path / "again.jsonl", [{**told, "status": second}])
    for _ in range(2):
        window = as_json(cycle.report(store, config, AS_OF_NS))["slos"][0]["windows"]["5m"]
        assert (window["good"], window["bad"]) == (good, bad)
    with store.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM calls")).scalar_one() == 1


def test_a_transaction_that_commits_late_is_still_counted_once(postgres_url: str, tmp_path: Path) -> None:
    import psycopg

    config, store = config_for(postgres_url), open_store(postgres_url)
    insert = (
        "INSERT INTO calls (call_id, ended_at_ns, operation, status, duration_ns) VALUES (%s, %s, 'chat', 'success', 1)"
    )
    with psycopg.connect(postgres_url) as slow, psycopg.connect(postgres_url, autocommit=True) as quick:
        slow.execute(insert, ("0-slow", AS_OF_NS - 10**9))
        quick.execute(insert, ("0-quick", AS_OF_NS - 10**9))
        assert cycle.report(store, config, AS_OF_NS).slos[0].windows["5m"].good == 1
        slow.commit()
    for _ in range(2):
        assert cycle.report(store, config, AS_OF_NS).slos[0].windows["5m"].good == 2


def test_the_second_reporter_stands_back(database_url: str) -> None:
    config, store = config_for(database_url), open_store(database_url)
    acquire(store, 60 * 10**9)
    with pytest.raises(LeaseHeld, match="lease runs out in"):
        cycle.push(store, config, AS_OF_NS)
    assert cycle.report(store, config, AS_OF_NS).self_status.folded is False


def test_a_lease_that_ran_out_is_taken_over(database_url: str) -> None:
    store = open_store(database_url)
    acquire(store, 1)
    acquire(store, 60 * 10**9)


def test_a_lease_taken_while_the_clock_was_a_day_ahead_holds_nobody_up(database_url: str) -> None:
    store = open_store(database_url)
    acquire(store, 24 * 3600 * 10**9)
    acquire(store, 60 * 10**9)
    with pytest.raises(LeaseHeld):
        acquire(store, 60 * 10**9)


def test_a_recorded_call_is_seen_at_the_gateway_and_counters_start_from_zero(
    database_url: str, pushgateway: Server, tmp_path: Path
) -> None:
    recorder = Recorder(database_url, job="nightly")
    with recorder.job("nightly"), recorder.call("chat", provider="openai", model="gpt-4o") as c:
        c.usage({"usage": {"prompt_tokens": 1000, "completion_tokens": 100}})
    recorder.close()
    gateway = f"pushgateway: {{url: '{pushgateway.url}', new_series_delay: 0s}}\n"
    config, store = config_for(database_url, gateway), open_store(database_url)
    cycle.push(store, config, time.time_ns())
    labels = 'batch_job="nightly",instance="",job="reporter",model="gpt-4o"'
    count = f'llm_request_duration_seconds_count{{{labels},status="success"}}'
    cost = f"llm_request_cost_usd_total{{{labels}}}"
    assert f"{count} 0\n" in fetch(pushgateway.url + "/metrics")
    cycle.push(store, config, time.time_ns())
    exposed = fetch(pushgateway.url + "/metrics")
    assert f"{count} 1\n" in exposed
    assert f"{cost} 0.0035\n" in exposed
    assert 'slo_burn_rate{instance="",job="reporter",service="default",slo="latency",window="5m"} 0\n' in exposed
    pushgateway.restart()
    cycle.push(store, config, time.time_ns())
    assert f"{count} 1\n" in fetch(pushgateway.url + "/metrics")


def test_a_counter_is_held_when_a_backup_without_its_calls_is_restored(tmp_path: Path, pushgateway: Server) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    gateway = f"pushgateway: {{url: '{pushgateway.url}', new_series_delay: 0s}}\n"
    config, store = config_for(url, gateway), open_store(url)
    bring_in(store, tmp_path / "calls.jsonl", random_calls(5, 50))
    cycle.push(store, config, AS_OF_NS)
    cycle.push(store, config, AS_OF_NS)
    before = fetch(pushgateway.url + "/metrics")
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE totals SET calls = 0, input_tokens = 0")
    assert cycle.push(store, config, AS_OF_NS).held > 0
    tokens = [line for line in before.splitlines() if line.startswith("llm_tokens_total{")]
    assert set(tokens) <= set(fetch(pushgateway.url + "/metrics").splitlines())


def test_a_refused_push_shows_the_gateways_words(tmp_path: Path, pushgateway: Server) -> None:
    config = config_for(f"sqlite:///{tmp_path}/a.db", f"pushgateway: {{url: '{pushgateway.url}/nowhere'}}\n")
    with pytest.raises(PublishError, match="404"):
        cycle.push(open_store(config.database), config, AS_OF_NS)


def test_a_gateway_that_is_down_costs_the_deadline_and_no_more(tmp_path: Path) -> None:
    config = config_for(f"sqlite:///{tmp_path}/a.db", "pushgateway: {url: 'http://127.0.0.1:9', timeout: 1s}\n")
    began = time.monotonic()
    with pytest.raises(PublishRetryLater, match="nothing is lost"):
        cycle.push(open_store(config.database), config, AS_OF_NS)
    assert time.monotonic() - began < 5


def test_pruning_dents_neither_totals_nor_windows_it_leaves_alone(database_url: str, tmp_path: Path) -> None:
    retention = "retention: {calls: 1d, minutes: 8d, hours: 9d, days: 10d}\n"
    config, store = config_for(database_url, retention), open_store(database_url)
    calls = random_calls(6, 300)
    shift = time.time_ns() // (60 * 10**9) * (60 * 10**9) - AS_OF_NS
    for call in calls:
        call["ended_at_ns"] += shift
    bring_in(store, tmp_path / "calls.jsonl", calls)
    before = cycle.report(store, config, AS_OF_NS + shift)
    with cycle.leased(store, config) as lease:
        cycle.catch_up(store, lease, config)
        assert cycle.prune_now(store, lease, config).calls > 0
    after = cycle.report(store, config, AS_OF_NS + shift)
    assert after.totals == before.totals
    assert as_json(after)["slos"] == as_json(before)["slos"]


def test_migrations_the_declared_schema_and_the_recorders_own_ddl_are_one(database_url: str, tmp_path: Path) -> None:
    if database_url.startswith("sqlite"):
        Recorder(database_url).record(operation="x")
        migrated = f"sqlite:///{tmp_path}/migrated.db"
        (tmp_path / "migrated.db").touch()
        migrate.upgrade(migrated)
        assert _statements(open_store(migrated)) == _statements(open_store(database_url))
    assert migrate.differences(database_url) == []
    assert migrate.current(database_url) == migrate.upgrade(database_url) == "0001"


def _statements(store: Store) -> dict[str, str]:
    with store.read() as connection:
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: " ".join(sql.split()) for name, sql in rows}


RULE = """
groups:
- name: slo
  rules:
  - alert: LatencyBurnsFast
    expr: slo_burn_rate{slo="latency",window="5m"} > 14.4
"""


def test_a_burn_rate_rule_fires_and_resolves_and_no_counter_ever_resets(tmp_path: Path, pushgateway: Server) -> None:
    config = config_for(
        f"sqlite:///{tmp_path}/jobs.db", f"pushgateway: {{url: '{pushgateway.url}', new_series_delay: 2s}}\n"
    )
    store = open_store(config.database)
    prometheus = start_prometheus(tmp_path, pushgateway.url.removeprefix("http://"), RULE)
    recorder = Recorder(config.database, job="nightly")

    def query(expression: str) -> list[float]:
        told = json.loads(fetch(f"{prometheus.url}/api/v1/query?query={quote(expression)}"))
        return [float(result["value"][1]) for result in told["data"]["result"]]

    def firing() -> bool:
        alerts = json.loads(fetch(f"{prometheus.url}/api/v1/alerts"))["data"]["alerts"]
        return any(alert["state"] == "firing" for alert in alerts)

    def push_until(condition: Callable[[], object], what: str) -> None:
        def pushed() -> object:
            cycle.push(store, config, time.time_ns())
            return condition()

        wait_for(pushed, 30, what)

    try:
        for _ in range(20):
            recorder.record(operation="chat", provider="openai", model="gpt-4o", status="error", error_type="429")
        push_until(firing, "the alert fires")
        count = 'llm_request_duration_seconds_count{model="gpt-4o",status="success"}'
        recorder.record(operation="chat", provider="openai", model="gpt-4o", duration_seconds=0.3)
        push_until(lambda: query(count) == [1.0], "the first success is counted")
        pushgateway.restart()  # it forgets everything; the next push brings the truth back
        for _ in range(400):
            recorder.record(operation="chat", provider="openai", model="gpt-4o", duration_seconds=0.3)
        push_until(lambda: not firing(), "the alert resolves")
        push_until(lambda: query(count) == [401.0], "all are counted")
        (median,) = query("histogram_quantile(0.5, sum by (le) (increase(llm_request_duration_seconds_bucket[1m])))")
        assert 0.25 <= median <= 0.5
        for counter in (
            "llm_tokens_total",
            "slo_events_total",
            "llm_request_duration_seconds_bucket",
            "reporter_calls_folded_total",
        ):
            assert query(f"max(resets({counter}[5m]))") == [0.0], counter
    finally:
        prometheus.kill()
        recorder.close()


def test_a_cost_slo_judges_what_the_call_cost(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    slo = "slos: [{name: cheap, sli: {cost: {max_usd: 0.01}}, objective: 90, period: 7d}]"
    config, store = parse_config(f"database: {json.dumps(url)}\n{slo}", environ={}), open_store(url)
    recorder = Recorder(url)
    for tokens in (1_000, 1_000_000):
        recorder.record(operation="chat", provider="openai", model="gpt-4o", input_tokens=tokens, duration_seconds=1)
    recorder.close()
    window = cycle.report(store, config, time.time_ns()).slos[0].windows["5m"]
    assert (window.good, window.bad) == (1, 1)
