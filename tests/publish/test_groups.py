"""The gateway holds one group of ours, all of it true; what is ours no longer goes, what is others' stays."""

from __future__ import annotations

import shutil
import socket
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from reporter import Recorder, cycle
from reporter.errors import PublishError
from reporter.publish import delivery
from reporter.publish.exchange import Access
from reporter.publish.pushgateway import Group, Looks
from reporter.store import open_store
from tests.publish.loopback import Loopback, Request, forward
from tests.publish.pushing import bring_in, calls, configured, counters, exposed, run, value_of, written
from tests.servers import Server, free_port, start_pushgateway, wait_for


def put(url: str, path: str, body: bytes) -> None:
    with urllib.request.urlopen(urllib.request.Request(url + path, body, method="PUT"), timeout=5):
        pass


def groups(gateway: Server) -> list[dict[str, str]]:
    found = Looks(Access(), gateway.url, time.monotonic() + 5).groups
    assert found is not None
    return sorted((dict(group.labels) for group in found), key=str)


def test_a_group_that_was_renamed_is_deleted_and_no_other(
    tmp_path: Path, database_url: str, pushgateway: Server
) -> None:
    for other in ("/metrics/job/else", "/metrics/job/reporter/instance/x", "/metrics/job/reporter-old"):
        put(pushgateway.url, other, b"theirs 1\n")
    store = open_store(database_url)
    for grouping in ("{job: reporter}", "{job: reporter, team: 'a/b'}", "{job: jobs}"):
        config = configured(tmp_path, database_url, pushgateway.url, gateway=f"grouping: {grouping}")
        notes = cycle.push(store, config, time.time_ns()).notes
    assert [note.split(": ")[-1] for note in notes] == ["deleted, because it is configured no more"]
    theirs = [{"job": "else"}, {"instance": "x", "job": "reporter"}, {"job": "reporter-old"}]
    assert groups(pushgateway) == sorted([*theirs, {"job": "jobs"}], key=str)


def test_a_group_that_someone_else_took_over_is_left_alone(tmp_path: Path, pushgateway: Server) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    store = open_store(url)
    cycle.push(store, configured(tmp_path, url, pushgateway.url), time.time_ns())
    put(
        pushgateway.url,
        "/metrics/job/reporter",
        b"# TYPE reporter_snapshot_sequence gauge\nreporter_snapshot_sequence 400\n",
    )
    moved = configured(tmp_path, url, pushgateway.url, gateway="grouping: {job: mine}")
    assert "someone else" in cycle.push(store, moved, time.time_ns()).notes[0]
    assert cycle.push(store, moved, time.time_ns()).notes == ()
    assert groups(pushgateway) == [{"job": "mine"}, {"job": "reporter"}]


def test_a_move_to_another_gateway_takes_the_counters_along_and_leaves_the_credentials(
    tmp_path: Path, pushgateway: Server
) -> None:
    (tmp_path / "old").mkdir()
    old_gateway = start_pushgateway(tmp_path / "old")

    def pass_on(request: Request, connection: socket.socket) -> None:
        connection.sendall(forward(request, old_gateway.url))

    try:
        with Loopback(pass_on) as old:
            url = f"sqlite:///{tmp_path}/jobs.db"
            store = open_store(url)
            bring_in(store, tmp_path, calls(5))
            for _ in range(2):
                cycle.push(store, configured(tmp_path, url, old.url), time.time_ns())
            shown = counters(old_gateway.url)
            seen = len(old.requests)
            secret = "username: push, password: canary-3f1"
            moved = configured(tmp_path, url, pushgateway.url, gateway=secret)
            pushed = cycle.push(store, moved, time.time_ns())
            assert [request.method for request in old.requests[seen:]] == ["GET", "DELETE"]
            assert all("authorization" not in request.headers for request in old.requests)
        assert pushed.sequence == 3
        assert counters(pushgateway.url) == shown  # not 0 first: Prometheus would take that for a reset
        assert groups(old_gateway) == []
    finally:
        old_gateway.kill()


def test_an_old_gateway_that_is_down_is_asked_again_next_time_and_some_day_forgotten(
    tmp_path: Path, database_url: str, pushgateway: Server
) -> None:
    old = Group.of(f"http://127.0.0.1:{free_port()}", {"job": "elsewhere"})
    store = open_store(database_url)
    with store.write() as connection:
        connection.execute(
            text("INSERT INTO pushes (group_key, sequence, sent, acknowledged_at_ns) VALUES (:k, 4, :sent, :at)"),
            {"k": old.key, "sent": b"", "at": time.time_ns()},
        )
    config = configured(tmp_path, database_url, pushgateway.url)
    for _ in range(2):
        (note,) = cycle.push(store, config, time.time_ns()).notes
        assert "the next push tries again" in note
    with store.write() as connection:
        connection.execute(
            text("UPDATE pushes SET acknowledged_at_ns = :at WHERE sequence = 4"),
            {"at": time.time_ns() - delivery.FORGET_AFTER_NS - 1},
        )
    (note,) = cycle.push(store, config, time.time_ns()).notes
    assert "it is forgotten" in note
    assert cycle.push(store, config, time.time_ns()).notes == ()


def test_a_refused_first_push_leaves_no_ghost(tmp_path: Path, pushgateway: Server) -> None:
    put(
        pushgateway.url,
        "/metrics/job/else",
        b"# TYPE reporter_snapshot_sequence counter\nreporter_snapshot_sequence 1\n",
    )
    url = f"sqlite:///{tmp_path}/jobs.db"
    config = written(tmp_path, url, pushgateway.url)
    done = run(config, "push")
    assert done.returncode == 1
    assert "refused the push (400)" in done.stderr
    assert groups(pushgateway) == [{"job": "else"}]


def test_a_refused_later_push_leaves_what_is_there(tmp_path: Path, pushgateway: Server) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    store, config = open_store(url), configured(tmp_path, url, pushgateway.url)
    cycle.push(store, config, time.time_ns())
    put(pushgateway.url, "/metrics/job/else", b"# TYPE llm_tokens_total gauge\nllm_tokens_total 1\n")
    bring_in(store, tmp_path, calls(1))
    with pytest.raises(PublishError, match="llm_tokens_total"):
        cycle.push(store, config, time.time_ns())
    assert groups(pushgateway) == [{"job": "else"}, {"job": "reporter"}]
    assert value_of(pushgateway.url, "reporter_snapshot_sequence") == 1


def test_what_a_report_no_longer_has_is_gone_at_the_next_push(
    tmp_path: Path, database_url: str, pushgateway: Server
) -> None:
    recorder = Recorder(database_url)
    for job in ("kept", "removed"):
        with recorder.job(job), recorder.call("chat", provider="openai", model="gpt-4o"):
            pass
    recorder.close()
    store = open_store(database_url)
    config = configured(tmp_path, database_url, pushgateway.url, slo="{name: old, sli: availability, objective: 99}")
    for _ in range(2):
        cycle.push(store, config, time.time_ns())
    before = {label for _, labels in exposed(pushgateway.url) for label in labels}
    assert {("slo", "old"), ("batch_job", "removed"), ("model", "gpt-4o")} <= before
    with store.write() as connection:
        for table in ("runs", "job_totals"):  # the latter outlives the runs, so that no counter vanishes with retention
            connection.execute(text(f"DELETE FROM {table} WHERE batch_job = 'removed'"))
    fewer = "report: {windows: [5m, 1h], labels: [operation]}\n"
    config = configured(
        tmp_path, database_url, pushgateway.url, slo="{name: new, sli: availability, objective: 99}", more=fewer
    )
    cycle.push(store, config, time.time_ns())
    after = {label for _, labels in exposed(pushgateway.url) for label in labels}
    assert ("slo", "new") in after
    assert ("batch_job", "kept") in after
    assert {("slo", "old"), ("batch_job", "removed"), ("model", "gpt-4o")} & after == set()


def test_a_gateway_that_brings_old_values_back_is_put_right_by_the_next_push(tmp_path: Path) -> None:
    kept = tmp_path / "pushgateway.data"
    gateway = start_pushgateway(tmp_path, kept)
    try:
        url = f"sqlite:///{tmp_path}/jobs.db"
        store, config = open_store(url), configured(tmp_path, url, gateway.url)
        bring_in(store, tmp_path, calls(5))
        for _ in range(2):
            cycle.push(store, config, time.time_ns())
        wait_for(lambda: kept.stat().st_size > 1_000, 10, "the gateway writes its file")
        gateway.kill()
        shutil.copy(kept, tmp_path / "old.data")
        gateway.start()
        old = counters(gateway.url)
        assert old
        bring_in(store, tmp_path, calls(5))
        cycle.push(store, config, time.time_ns())
        true = counters(gateway.url)
        gateway.kill()
        shutil.copy(tmp_path / "old.data", kept)
        gateway.start()
        assert counters(gateway.url) == old != true
        pushed = cycle.push(store, config, time.time_ns())
        assert counters(gateway.url) == true
        assert (pushed.held, pushed.notes) == (0, ())
    finally:
        gateway.kill()


def test_a_push_of_a_past_minute_says_what_alerts_make_of_it_and_one_of_the_future_sends_nothing(
    tmp_path: Path, database_url: str, pushgateway: Server
) -> None:
    config = written(tmp_path, database_url, pushgateway.url)

    def pushed(minutes: int) -> tuple[int, str]:
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=minutes)
        done = run(config, "push", "--as-of", at.isoformat().replace("+00:00", "Z"))
        return done.returncode, done.stderr

    code, said = pushed(2)
    assert (code, "has not come yet" in said, groups(pushgateway)) == (2, True, [])
    code, said = pushed(-20)
    assert (code, " minutes ago" in said, "ReporterStale fires" in said) == (0, True, True)
    code, said = pushed(0)
    assert (code, "ReporterStale" in said) == (0, False)
