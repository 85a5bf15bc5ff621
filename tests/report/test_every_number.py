"""Every number of a report equals brute force over the raw facts, whatever they are and in whatever order they come."""

from __future__ import annotations

import gc
import json
import os
import random
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from reporter import cycle
from reporter.config import parse_config
from reporter.config.model import Config
from reporter.fold import FoldRules, fold
from reporter.ingest import ingest_file
from reporter.report.json_form import as_json
from reporter.schema import CALL_COLUMNS, TABLES
from reporter.store import Store, open_store
from tests.report.reference import CONFIG, LABELS, SECONDS, Call, check, exposed

NS = 10**9
AS_OF_NS = 1_790_000_040 * NS  # a whole minute
MANY = int(os.environ.get("REPORTER_TEST_CALLS", "50000"))  # 1000000 takes three minutes; it is run before a release
EARLIER_NS = AS_OF_NS - 7_260 * NS


def config_for(url: str) -> Config:
    return parse_config(f"database: {json.dumps(url)}\n{CONFIG}", environ={})


def report(store: Store, config: Config, as_of_ns: int) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json.dumps(as_json(cycle.report(store, config, as_of_ns)), allow_nan=False))
    return told


def bring_in(store: Store, path: Path, facts: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    done = ingest_file(store, path)
    assert done.bad == 0, path.with_name(path.name + ".bad").read_text()


def empty(store: Store) -> None:
    with store.write() as connection:
        for table in TABLES:
            connection.exec_driver_sql(f"DELETE FROM {table}")


# ── anything that may be recorded ──

_EDGES = [AS_OF_NS - seconds * NS for seconds in (0, *SECONDS.values())]
_moments = st.one_of(
    st.builds(lambda edge, off: edge + off, st.sampled_from(_EDGES), st.sampled_from([-1, 0, 1, -60 * NS, 59 * NS])),
    st.integers(AS_OF_NS - 9 * 86_400 * NS, AS_OF_NS + 120 * NS),
)
_lengths = st.one_of(
    st.none(),
    st.sampled_from([0, 1, 2, 2_500_000_000, 2_500_000_001, 50_000_000, 8_000_000_000, 600_000_000_001]),
    st.integers(0, 700 * NS),
)
_tokens = st.one_of(st.none(), st.sampled_from([0, 1, 2, 128_000, 200_001]), st.integers(0, 10_000))
_call_facts = st.fixed_dictionaries(
    {
        "ended_at_ns": _moments,
        "duration_ns": _lengths,
        "ttft_ns": _lengths,
        "batch_job": st.sampled_from([None, "nightly"]),
        "operation": st.sampled_from(["chat", "embed"]),
        "provider": st.sampled_from([None, "openai"]),
        "model": st.sampled_from([None, "gpt-4o", "gpt-4o-mini", "our-own"]),
        "outcome": st.sampled_from(
            [("success", None)] * 4
            + [("error", "400"), ("error", "429"), ("error", "ValueError"), ("error", None), ("timeout", "ReadTimeout"),
               ("cancelled", None), ("abandoned", None), ("lost", None)]
        ),
        "http_status": st.sampled_from([None, None, 500]),
        "input_tokens": _tokens,
        "cache_read_tokens": st.sampled_from([None, 0, 1, 500]),
        "output_tokens": _tokens,
        "reasoning_tokens": st.sampled_from([None, 0, 3]),
        "cost_nanousd": st.sampled_from([None, None, None, 0, 1, 10**9 + 1]),
        "price_class": st.sampled_from([None, None, None, "standard", "batch", "scale"]),
        "flags": st.sampled_from([None, None, None, None, "duration", "duration,models"]),
    }
)  # fmt: skip
_run_facts = st.fixed_dictionaries(
    {
        "started_at_ns": st.integers(AS_OF_NS - 3 * 86_400 * NS, AS_OF_NS + NS),
        "length_ns": st.integers(0, 7200 * NS),
        "batch_job": st.sampled_from(["nightly", "hourly"]),
        "status": st.sampled_from(["success", "failed", "timeout", "lost"]),
    }
)


def as_call(number: int, told: dict[str, Any]) -> Call:
    status, error_type = told["outcome"]
    call = {**told, "kind": "call", "call_id": f"0-{number}", "status": status, "error_type": error_type}
    del call["outcome"]
    if status == "lost":
        call["duration_ns"] = call["ttft_ns"] = None
    return call


def as_run(number: int, told: dict[str, Any]) -> dict[str, Any]:
    run = {**told, "kind": "run", "run_id": f"r-{number}", "ended_at_ns": told["started_at_ns"] + told["length_ns"]}
    del run["length_ns"]
    return run


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    facts=st.lists(_call_facts, max_size=30),
    runs=st.lists(_run_facts, max_size=6, unique_by=lambda run: run["started_at_ns"]),
    late=st.integers(0, 30),
)
def test_every_number_of_any_history_equals_brute_force_with_late_rows_between_two_reports(
    database_url: str, tmp_path: Path, facts: list[dict[str, Any]], runs: list[dict[str, Any]], late: int
) -> None:
    config, store = config_for(database_url), open_store(database_url)
    empty(store)
    calls = [as_call(number, told) for number, told in enumerate(facts)]
    ended = [as_run(number, told) for number, told in enumerate(runs)]
    bring_in(store, tmp_path / "first.jsonl", [*ended, *calls[:late]])
    check(report(store, config, AS_OF_NS), calls[:late], ended, AS_OF_NS)
    bring_in(store, tmp_path / "late.jsonl", [*calls, *ended])  # the first ones again
    check(report(store, config, AS_OF_NS), calls, ended, AS_OF_NS)
    check(report(store, config, EARLIER_NS), calls, ended, EARLIER_NS)
    check_exposed(store, config, calls)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=st.lists(_call_facts, min_size=1, max_size=20), away=st.sets(st.integers(0, 19), min_size=1))
def test_calls_declared_lost_whose_ends_arrive_after_all_leave_no_trace(
    database_url: str, tmp_path: Path, facts: list[dict[str, Any]], away: set[int]
) -> None:
    config, store = config_for(database_url), open_store(database_url)
    empty(store)
    calls = [as_call(number, told) for number, told in enumerate(facts)]
    gone = [call for number, call in enumerate(calls) if number in away and call["status"] != "lost"]
    starts = [
        {"kind": "start", "call_id": call["call_id"], "started_at_ns": call["ended_at_ns"] - 3_600 * NS,
         **{label: call[label] for label in LABELS}} for call in gone
    ]  # fmt: skip
    bring_in(store, tmp_path / "first.jsonl", [*starts, *(call for call in calls if call not in gone)])
    with cycle.leased(store, config) as lease:
        assert fold(store, lease, config.slos, FoldRules(), now_ns=AS_OF_NS + 86_400 * NS).lost_calls == len(starts)
    lost = [{**dict.fromkeys(call), **{label: call[label] for label in ("call_id", "ended_at_ns", *LABELS)},
             "status": "lost"} if call in gone else call for call in calls]  # fmt: skip
    check(report(store, config, AS_OF_NS), lost, [], AS_OF_NS)

    bring_in(store, tmp_path / "late.jsonl", calls)

    check(report(store, config, AS_OF_NS), calls, [], AS_OF_NS)
    check_exposed(store, config, calls)


def test_a_slow_speed_is_within_a_percent_of_what_it_was(database_url: str, tmp_path: Path) -> None:
    told = {"outcome": ("success", None), "ended_at_ns": AS_OF_NS - 1, "operation": "chat", "output_tokens": 1}
    call = {**dict.fromkeys(CALL_COLUMNS), **as_call(1, {**told, "duration_ns": 303_674_461})}  # 3.29299999976 a second
    store = open_store(database_url)
    bring_in(store, tmp_path / "calls.jsonl", [{key: value for key, value in call.items() if value is not None}])
    check(report(store, config_for(database_url), AS_OF_NS), [call], [], AS_OF_NS)


def check_exposed(store: Store, config: Config, calls: list[Call]) -> None:
    """Counters and histograms of the OpenMetrics text, parsed by prometheus_client, against the facts."""
    body = cycle.openmetrics(cycle.report(store, config, AS_OF_NS), 0.0).decode()
    told = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body)
        if family.type in ("counter", "histogram") and family.name.startswith(("llm_", "api_"))
        for sample in family.samples
    }
    assert told == {key: float(value) for key, value in exposed(calls).items()}


# ── many ──

_JOBS = ("nightly", "hourly", "weekly", None)
_MODELS = (
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("anthropic", "claude-sonnet-4-5"),
    (None, None),
    ("us", "ours"),
)


def history(count: int, seed: int) -> Iterator[Call]:
    """Believable calls over eight days, in no order."""
    dice = random.Random(seed)
    for number in range(count):
        provider, model = dice.choice(_MODELS)
        status, error_type, http_status = dice.choices(
            [("success", None, None), ("error", "400", 400), ("error", "429", 429), ("timeout", "ReadTimeout", None),
             ("lost", None, None)],
            (960, 10, 15, 10, 5),
        )[0]  # fmt: skip
        duration_ns = None if status == "lost" else int(dice.lognormvariate(20.6, 0.9))
        streamed = duration_ns is not None and dice.random() < 0.4
        input_tokens = dice.randrange(1, 20) * 500 if model and status != "lost" else None
        yield {
            **dict.fromkeys(CALL_COLUMNS),
            "call_id": f"0-{number:08d}",
            "ended_at_ns": AS_OF_NS - int(dice.random() ** 3 * 8 * 86_400 * NS),
            "duration_ns": duration_ns,
            "ttft_ns": int(duration_ns * dice.uniform(0.05, 0.9)) if streamed and duration_ns else None,
            "batch_job": dice.choice(_JOBS),
            "operation": dice.choice(("chat", "embed", "rerank")),
            "provider": provider,
            "model": model,
            "status": status,
            "error_type": error_type,
            "http_status": http_status,
            "input_tokens": input_tokens,
            "cache_read_tokens": 50 * dice.randrange(0, 2) if input_tokens else None,
            "output_tokens": dice.randrange(0, 12) * 80 if input_tokens else None,
        }


@pytest.fixture
def _no_cycles() -> Iterator[None]:
    """Millions of rows and no cycles among them: looking for some takes longer than the test."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_cycles")
def test_every_number_over_many_calls_equals_brute_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPORTER_SPOOL_DIR", str(tmp_path / "spool"))
    url = f"sqlite:///{tmp_path}/jobs.db"
    config, store = config_for(url), open_store(url)
    calls = list(history(MANY, 1))
    used = [name for name in CALL_COLUMNS if any(call[name] is not None for call in calls[:1000])]
    insert = f"INSERT INTO calls ({', '.join(used)}) VALUES ({', '.join('?' * len(used))})"
    for part in (slice(0, MANY * 9 // 10), slice(MANY * 9 // 10, None)):
        with store.write() as connection:
            rows = [tuple(call[name] for name in used) for call in calls[part]]
            connection.exec_driver_sql(insert, rows)
        told = report(store, config, AS_OF_NS)
    check(told, calls, [], AS_OF_NS)
    check(report(store, config, EARLIER_NS), calls, [], EARLIER_NS)


def test_a_report_of_now_counts_the_minute_in_progress(database_url: str, tmp_path: Path) -> None:
    config, store = config_for(database_url), open_store(database_url)
    now_ns = time.time_ns()
    told = {"outcome": ("success", None), "ended_at_ns": now_ns - 1, "operation": "chat", "duration_ns": 1}
    call = {**dict.fromkeys(CALL_COLUMNS), **as_call(1, told)}
    bring_in(store, tmp_path / "now.jsonl", [{key: value for key, value in call.items() if value is not None}])
    as_of_ns = -(-now_ns // (60 * NS)) * 60 * NS
    check(report(store, config, now_ns), [call], [], as_of_ns)
    assert report(store, config, now_ns)["slos"][0]["windows"]["5m"]["good"] == 1


def test_the_reference_itself_knows_a_worked_example() -> None:
    call = {
        **dict.fromkeys(CALL_COLUMNS), "operation": "chat", "provider": "openai", "model": "gpt-4o", "status": "success",
        "ended_at_ns": AS_OF_NS, "duration_ns": 3 * NS, "ttft_ns": NS, "input_tokens": 1000, "output_tokens": 101,
    }  # fmt: skip
    series = exposed([call])
    labels = (("model", "gpt-4o"), ("operation", "chat"), ("provider", "openai"))
    assert series["llm_request_cost_usd_total", labels] == Fraction("0.00351")  # 1000 × 2.50 + 101 × 10 USD a million
    assert series["llm_tokens_per_second_sum", labels] == 50
