"""What a gateway shows is read exactly, and decides whether a push arrived and what no counter may fall below."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import text

from reporter import cycle, schema
from reporter.errors import LeaseHeld
from reporter.exposition import render, validate
from reporter.family import Buckets, Family, Sample, decimal
from reporter.metrics import LLM_REQUEST_COST, LLM_REQUEST_DURATION, LLM_TOKENS, SNAPSHOT_SEQUENCE
from reporter.publish.exchange import Access, exchange
from reporter.publish.ledger import Ledger, prepare
from reporter.publish.pushgateway import Group, Looks
from reporter.publish.readback import exact, parse, reads_below
from reporter.store import Store, open_store
from tests.publish.loopback import Loopback, Request, forward, replying, said
from tests.publish.pushing import bring_in, calls, configured, counters, run, value_of, written
from tests.servers import Server

COUNTS = st.integers(0, 2**63 - 1)


@given(COUNTS, st.sampled_from([1, 1000, 10**9]))
@example(1234567890123456789, 10**9)
@example(2**53 + 1, 1)
def test_a_value_comes_back_as_one_that_reads_the_same(value: int, scale: int) -> None:
    shown = float(decimal(value, scale))
    assert float(decimal(exact(shown, scale), scale)) == shown
    assert not reads_below(exact(shown, scale), value, scale)
    assert not reads_below(value, exact(shown, scale), scale)


@given(st.floats(0, 1e15), st.sampled_from([1, 1000, 10**9]))
def test_a_foreign_value_is_held_from_above_by_no_more_than_one_step(value: float, scale: int) -> None:
    held = exact(value, scale)
    assert float(decimal(held, scale)) >= value
    assert held == 0 or (held - 1) / scale <= value


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), COUNTS, max_size=5), COUNTS)
def test_a_ledger_that_caught_up_lets_nothing_fall_and_holds_nothing_needlessly(
    shown: dict[str, int], low: int
) -> None:
    """The gateway shows `shown`; the database knows the same or less."""
    as_shown = {(("model", model),): value for model, value in shown.items()}
    group = {
        "labels": {"job": "reporter"},
        LLM_REQUEST_COST.name: {
            "type": "COUNTER",
            "metrics": [
                {"labels": {"instance": "", "job": "reporter", **dict(labels)}, "value": repr(float(decimal(value, 10**9)))}
                for labels, value in as_shown.items()
            ],
        },
    }  # fmt: skip
    (parsed,) = parse(json.dumps({"status": "success", "data": [group]}).encode())
    caught_up = Ledger().caught_up(parsed)
    for true in (as_shown, {labels: min(value, low) for labels, value in as_shown.items()}):
        family = Family(LLM_REQUEST_COST, tuple(Sample(labels, value) for labels, value in true.items()))
        prepared = prepare([family], caught_up, now_ns=time.time_ns(), delay_ns=0)
        for sample in prepared.families[0].samples:
            assert isinstance(sample, Sample)
            assert float(decimal(int(sample.value), 10**9)) == float(decimal(as_shown[sample.labels], 10**9))
        assert prepared.held == sum(reads_below(true[labels], value, 10**9) for labels, value in as_shown.items())


def test_a_real_gateway_shows_every_value_as_it_was_sent(pushgateway: Server) -> None:
    sent = [
        Family(SNAPSHOT_SEQUENCE, (Sample((), 12_345_678),)),
        Family(LLM_REQUEST_COST, tuple(Sample((("model", f"m{n}"),), 10**n + 7) for n in range(19))),
        Family(LLM_TOKENS, (Sample((("model", 'a"\\\n{}=,é\u2028'), ("type", "input")), 2**53 + 1),)),
        Family(LLM_REQUEST_DURATION, (Buckets((("status", "success"),), tuple(range(3, 19)), 1_234_567_890_123_456),)),
    ]
    validate(sent)
    group = Group.of(pushgateway.url, {"job": "reporter", "team": "", "site": "Zürich / 1"})
    headers = {"Content-Type": "text/plain; version=0.0.4"}
    until = time.monotonic() + 5
    assert exchange(Access(), "PUT", group.address, until, content=render(sent), headers=headers).good
    looks = Looks(Access(), pushgateway.url, until)
    assert looks.groups is not None
    shown = group.among(looks.groups)
    assert shown is not None
    assert shown.sequence == 12_345_678
    assert not shown.is_ghost
    found = {(metric.name, *labels.values()): values for metric, labels, values in shown.counters()}
    for family in sent[1:]:
        for sample in family.samples:
            values = found[family.metric.name, *(value for _, value in sample.labels)]
            true = [*sample.cumulative, sample.sum] if isinstance(sample, Buckets) else [int(sample.value)]
            assert [float(value) for value in values] == [float(value) for value in true]
    assert len(found) == sum(len(family.samples) for family in sent[1:])


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"status":"error"}', b'{"status":"success","data":[7]}', b"[" * 100_000,
     b'{"status":"success","data":{"labels":{}}}', b'{"status":"success","data":[{"labels":{"job":7}}]}'],
)  # fmt: skip
def test_what_is_no_gateways_answer_is_no_look_and_the_push_goes_on(tmp_path: Path, body: bytes) -> None:
    def answer(request: Request, connection: socket.socket) -> None:
        connection.sendall(said("200 OK", body if request.method == "GET" else b""))

    with Loopback(answer) as gateway:
        url = f"sqlite:///{tmp_path}/jobs.db"
        pushed = cycle.push(open_store(url), configured(tmp_path, url, gateway.url), time.time_ns())
    assert len(pushed.notes) == 1
    assert "can't be looked at (its answer is not" in pushed.notes[0]


def test_nonsense_in_a_group_of_ours_is_left_out(tmp_path: Path) -> None:
    nonsense: dict[str, Any] = {
        "labels": {"job": "reporter"},
        SNAPSHOT_SEQUENCE.name: {"type": "GAUGE", "metrics": [{"labels": {}, "value": "NaN"}]},
        LLM_TOKENS.name: {"type": "COUNTER", "metrics": [{"labels": {}, "value": value} for value in ("-1", "+Inf", None)]},
        LLM_REQUEST_COST.name: {"type": "GAUGE", "metrics": [{"labels": {}, "value": "5"}]},
        LLM_REQUEST_DURATION.name: {"type": "HISTOGRAM", "metrics": [{"labels": {}, "count": "1", "sum": "1", "buckets": {}}]},
    }  # fmt: skip
    (shown,) = parse(json.dumps({"status": "success", "data": [nonsense]}).encode())
    assert shown.sequence is None
    assert list(shown.counters()) == []


def test_a_push_whose_answer_is_lost_is_done_if_the_gateway_shows_it(tmp_path: Path, pushgateway: Server) -> None:
    def lose(request: Request, connection: socket.socket) -> None:
        answer = forward(request, pushgateway.url)
        if request.method == "GET":
            connection.sendall(answer)

    with Loopback(lose) as gateway:
        done = run(written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", gateway.url), "push")
        assert [request.method for request in gateway.requests] == ["GET", "PUT", "GET"]
    assert done.returncode == 0
    assert "answer was lost" in done.stderr
    assert value_of(pushgateway.url, "reporter_snapshot_sequence") == 1


def test_an_answer_that_hangs_until_the_deadline_is_looked_for(tmp_path: Path, pushgateway: Server) -> None:
    def hang(request: Request, connection: socket.socket) -> None:
        answer = forward(request, pushgateway.url)
        if request.method == "PUT":
            connection.settimeout(30)
            connection.recv(1)
        connection.sendall(answer)

    with Loopback(hang) as gateway:
        url = f"sqlite:///{tmp_path}/jobs.db"
        config = configured(tmp_path, url, gateway.url, gateway="timeout: 2s")
        began = time.monotonic()
        assert cycle.push(open_store(url), config, time.time_ns()).attempts == 1
        assert time.monotonic() - began < 3


def test_every_attempt_is_a_newer_snapshot(tmp_path: Path, pushgateway: Server) -> None:
    def fail_twice(request: Request, connection: socket.socket) -> None:
        if request.method == "PUT" and len(gateway.puts()) < 3:
            connection.sendall(said("502 Bad Gateway"))
        else:
            connection.sendall(forward(request, pushgateway.url))

    with Loopback(fail_twice) as gateway:
        url = f"sqlite:///{tmp_path}/jobs.db"
        pushed = cycle.push(open_store(url), configured(tmp_path, url, gateway.url), time.time_ns())
        texts = [request.text for request in gateway.puts()]
        assert [request.sequence for request in gateway.puts()] == [1, 2, 3]
    assert (pushed.attempts, pushed.sequence) == (3, 3)
    moments = [line for text in texts for line in text.splitlines() if line.startswith("reporter_last_success")]
    assert moments == sorted(set(moments))
    assert value_of(pushgateway.url, "reporter_snapshot_sequence") == 3


def test_a_reporter_that_lost_its_lease_makes_no_further_attempt(tmp_path: Path, database_url: str) -> None:
    store = open_store(database_url)

    def take_over(request: Request, connection: socket.socket) -> None:
        if request.method == "PUT":
            with store.write() as other:
                other.execute(text("UPDATE leases SET holder = 'elsewhere:1:0'"))
        replying("503 Service Unavailable")(request, connection)

    with Loopback(take_over) as gateway:
        config = configured(tmp_path, database_url, gateway.url)
        with pytest.raises(LeaseHeld, match="another one took over"):
            cycle.push(store, config, time.time_ns())
        assert len(gateway.puts()) == 1


def test_an_acknowledgement_that_comes_after_the_lease_is_lost_is_not_kept(tmp_path: Path, database_url: str) -> None:
    store = open_store(database_url)

    def take_over(request: Request, connection: socket.socket) -> None:
        if request.method == "PUT":
            with store.write() as other:
                other.execute(text("UPDATE leases SET holder = 'elsewhere:1:0'"))
                other.execute(text("UPDATE pushes SET sequence = 77"))
        replying("200 OK")(request, connection)

    with Loopback(take_over) as gateway, pytest.raises(LeaseHeld):
        cycle.push(store, configured(tmp_path, database_url, gateway.url), time.time_ns())
    with store.read() as connection:
        assert connection.execute(text("SELECT sequence FROM pushes")).scalar() == 77


def backup(store: Store) -> dict[str, list[dict[str, Any]]]:
    with store.read() as connection:
        return {
            table: [dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()]
            for table in schema.TABLES
        }


def restore(store: Store, rows: dict[str, list[dict[str, Any]]]) -> None:
    with store.write() as connection:
        for table in rows:
            connection.execute(text(f"DELETE FROM {table}"))
            for row in rows[table]:
                names = ", ".join(row)
                values = ", ".join(f":{name}" for name in row)
                connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


def test_a_restored_backup_counts_on_from_what_the_gateway_shows(
    tmp_path: Path, database_url: str, pushgateway: Server
) -> None:
    config, store = configured(tmp_path, database_url, pushgateway.url), open_store(database_url)
    bring_in(store, tmp_path, calls(3))
    for _ in range(2):
        cycle.push(store, config, time.time_ns())
    old = backup(store)
    bring_in(store, tmp_path, [*calls(40), *calls(2, model="new", duration_ns=123_456_789)])
    for _ in range(3):
        cycle.push(store, config, time.time_ns())
    shown = counters(pushgateway.url)
    restore(store, old)
    bring_in(store, tmp_path, calls(1))
    pushed = cycle.push(store, config, time.time_ns())
    assert pushed.sequence == 6
    assert "restored from a backup" in pushed.notes[0]
    assert pushed.held > 0
    after = counters(pushgateway.url)
    held_total = ("reporter_counter_regressions_held_total", ())
    known = {key: value for key, value in shown.items() if key != held_total and ("model", "new") not in key[1]}
    assert {key: after[key] for key in known} == known
    assert after[held_total] == pushed.held
    again = cycle.push(store, config, time.time_ns())
    assert again.notes == ()
    assert counters(pushgateway.url)[held_total] == pushed.held + again.held
    bring_in(store, tmp_path, [*calls(60), *calls(2, model="new", duration_ns=123_456_789)])
    cycle.push(store, config, time.time_ns())
    grown = counters(pushgateway.url)
    assert grown[_count("gpt-4o")] == 64
    assert grown[_count("new")] == 2  # shown as 2 by the snapshot that was forgotten; it is not new
    assert all(grown[key] >= value for key, value in shown.items())


def _count(model: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    labels = {"batch_job": "nightly", "model": model, "operation": "chat", "status": "success"}
    return "llm_request_duration_seconds_count", tuple(sorted(labels.items()))


def test_two_databases_that_push_to_one_group_are_told_so(tmp_path: Path, pushgateway: Server) -> None:
    for name in ("one", "two"):
        url = f"sqlite:///{tmp_path}/{name}.db"
        store, config = open_store(url), configured(tmp_path, url, pushgateway.url)
        notes = [cycle.push(store, config, time.time_ns()).notes for _ in range(2)]
        if name == "one":
            assert notes == [(), ()]
    assert "another database pushes to the same group" in notes[0][0]


def test_a_histogram_that_got_other_buckets_keeps_its_count_and_sum() -> None:
    labels = (("status", "success"),)
    ledger = Ledger(
        marks={'["llm_request_duration_seconds",["status","success"]]': [5, 9, 70]},
        since_ns={'["llm_request_duration_seconds",["status","success"]]': 0},
    )
    now = Family(LLM_REQUEST_DURATION, (Buckets(labels, tuple(range(16)), 60),))
    kept = prepare([now], ledger, now_ns=10**18, delay_ns=0).families[0].samples[0]
    assert kept == Buckets(labels, tuple(range(16)), 70)
