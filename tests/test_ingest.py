"""Ingest in trouble: lines that are none, files that are others', clocks that are wrong, many readers at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from reporter import Recorder, cycle
from reporter.config import parse_config
from reporter.config.model import Config
from reporter.errors import StoreError
from reporter.ingest import ingest_file, ingest_spool
from reporter.report.json_form import as_json
from reporter.sinks.shipping import Shipping
from reporter.store import open_store
from tests.cli import console
from tests.servers import wait_for

AT_NS = 1_790_000_000 * 10**9
BAD = [
    b"\xff\xfe\x00 something else",
    b"PK\x03\x04",
    b'{"kind":"call","call_id":"0-torn","operation":"chat","ended_at_ns":179000',
    b"[]",
    b'{"kind":["call"],"operation":"chat","ended_at_ns":1}',
    b'{"kind":"call","operation":["chat"],"ended_at_ns":1}',
    b'{"kind":"call","operation":"chat","ended_at_ns":"yesterday"}',
    b'{"kind":"call","operation":"chat","ended_at_ns":99999999999999999999}',
    b'{"kind":"start","operation":"chat","started_at_ns":1}',
    b'{"kind":"call","operation":"chat","ended_at_ns":1,"duration_ns":NaN}',
    b"[" * 100_000,
]
MENDED = [
    {"input_tokens": "many"}, {"input_tokens": 10**400}, {"input_tokens": [1]}, {"model": "a\0b"}, {"model": "\ud800"},
    {"attributes": ["no", "object"]}, {"attributes": {"a\0": {"b": [[[[[[]]]]]]}}}, {"flags": "\0"}, {"duration_ns": -1},
    {"provider": "x" * 100_000}, {"call_id": None}, {"cost_usd": "1e999999"}, {"http_status": 2**63},
]  # fmt: skip


def config_for(url: str) -> Config:
    return parse_config(f"database: {json.dumps(url)}\nreport: {{windows: [5m, 1h, 30d]}}\n", environ={})


def left_behind(directory: Path, lines: list[bytes]) -> Path:
    """A spool file whose process is gone."""
    directory.mkdir(exist_ok=True)
    path = directory / "17-0.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path


def the_reporter(url: str, directory: Path) -> None:
    cycle.report(open_store(url), config_for(url), AT_NS)


def the_next_job(url: str, directory: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import reporter\nreporter.record(operation='after', ended_at=1790000000)"],
        capture_output=True, text=True, timeout=60, check=False,
        env=console.environment(directory, REPORTER_DATABASE_URL=url, REPORTER_SPOOL_DIR=str(directory / "spool")),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("reader", [the_reporter, the_next_job])
def test_lines_that_are_no_facts_are_put_aside_and_counted_and_keep_no_other_out(
    tmp_path: Path, database_url: str, reader: Callable[[str, Path], None]
) -> None:
    good = [
        json.dumps({"kind": "call", "call_id": f"0-{number}", "operation": "chat", "ended_at_ns": AT_NS, **odd}).encode()
        for number, odd in enumerate(MENDED)
    ]  # fmt: skip
    mixed = [line for pair in zip(BAD, good, strict=False) for line in pair] + good[len(BAD) :]
    path = left_behind(tmp_path / "spool", [*mixed, b"", b"\r", BAD[2]])  # the last one is torn: no end of line

    reader(database_url, tmp_path)
    config, store = config_for(database_url), open_store(database_url)
    made = cycle.report(store, config, AT_NS)

    aside = path.with_name(path.name + ".bad")
    assert [json.loads(line)["line"][:30] for line in aside.read_text().splitlines()] == [
        line.decode("utf-8", "replace")[:30] for line in [*BAD, BAD[2]]
    ]
    assert all(json.loads(line)["reason"] for line in aside.read_text().splitlines())
    assert aside.stat().st_mode & 0o777 == 0o600
    assert not path.exists()
    with store.read() as connection:
        ids = connection.execute(text("SELECT call_id FROM calls WHERE operation = 'chat'")).scalars().all()
    assert len(set(ids)) == len(ids) == len(MENDED)
    pushed = cycle.openmetrics(made, 0).decode()
    assert f'reporter_recorder_troubles_total{{trouble="bad_line"}} {len(BAD) + 1}' in pushed


def test_a_bad_line_of_a_file_is_told_once_however_often_the_file_is_read(tmp_path: Path, database_url: str) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b'{"operation":"chat","ended_at_ns":1}\n{"operation":17e9999}\n')
    store = open_store(database_url)
    for _ in range(2):
        assert ingest_file(store, path).bad == 1
        assert len((tmp_path / "calls.jsonl.bad").read_text().splitlines()) == 1
        assert (tmp_path / "calls.jsonl.bad").stat().st_mode & 0o777 == 0o600


def test_a_link_where_bad_lines_go_is_not_followed_and_keeps_no_other_file_out(
    tmp_path: Path, database_url: str
) -> None:
    (tmp_path / "theirs").write_text("precious")
    path = left_behind(tmp_path / "spool", [b"torn"])
    path.with_name(path.name + ".bad").symlink_to(tmp_path / "theirs")
    path.with_name("18-0.jsonl").write_text('{"operation":"chat","ended_at_ns":1}')
    store = open_store(database_url)
    with pytest.raises(StoreError, match=r"17-0\.jsonl: can't be read, or removed after that"):
        ingest_spool(store, str(tmp_path / "spool"))
    assert (tmp_path / "theirs").read_text() == "precious"
    with store.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM calls")).scalar() == 1
    if store.dialect == "postgresql":
        path.with_name("18-1.jsonl").write_text('{"operation":"chat","ended_at_ns":2}')
        with pytest.raises(OSError, match="symbolic links"):
            Shipping(database_url, (str(tmp_path / "spool"),)).run()
        with store.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM calls")).scalar() == 2


def test_many_may_bring_in_the_same_lines_at_once(tmp_path: Path, database_url: str) -> None:
    """A reporter on each of two hosts, a person, and the job itself."""
    facts = [{"operation": "chat", "call_id": f"0-{n}", "ended_at_ns": AT_NS} for n in range(3_000)]
    facts += [{"kind": "run", "run_id": f"1-{n % 7}", "batch_job": "j", "started_at_ns": AT_NS} for n in range(100)]
    path = tmp_path / "calls.jsonl"
    path.write_text("".join(json.dumps(fact) + "\n" for fact in facts) + "{torn\n")
    open_store(database_url)
    command = [sys.executable, "-m", "reporter", "--database", database_url, "ingest", str(path)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]

    told = [reader.communicate(timeout=60) for reader in readers]

    assert [reader.returncode for reader in readers] == [1] * 4, told  # there is a bad line
    assert [trouble for _, trouble in told] == [""] * 4
    with open_store(database_url).read() as connection:
        counted = [
            connection.execute(text(f"SELECT {what}")).scalar()
            for what in (
                "count(*) FROM calls", "count(*) FROM runs", "value FROM state WHERE name = 'bad_lines_total'",
            )
        ]  # fmt: skip
    assert counted == [3_000, 7, "4"]


@pytest.mark.parametrize("spooled", [False, True], ids=["recorded", "ingested"])
def test_calls_from_the_future_are_flagged_and_in_no_window_before_their_time(
    tmp_path: Path, database_url: str, spooled: bool
) -> None:
    """The clock of the job's machine was ahead, or has been put back since."""
    now_ns = time.time_ns()
    moments: dict[str, int] = {"now": now_ns, "soon": now_ns + 60 * 10**9, "tomorrow": now_ns + 86_400 * 10**9}
    recorder = Recorder(database_url)
    for operation, ended_ns in (*moments.items(), ("2261", 2**63 - 2 * 86_400 * 10**9)):
        if spooled:
            line = {"operation": operation, "ended_at_ns": ended_ns, "input_tokens": -1, "duration_ns": 10**9}
            (tmp_path / "calls.jsonl").write_text(json.dumps(line))
            ingest_file(open_store(database_url), tmp_path / "calls.jsonl")
        else:
            recorder.record(operation=operation, ended_at=ended_ns / 1e9, input_tokens=-1, duration_seconds=1)
    recorder.close()
    config, store = config_for(database_url), open_store(database_url)

    def in_windows(as_of_ns: int) -> dict[str, list[int]]:
        told: dict[str, Any] = as_json(cycle.report(store, config, as_of_ns))
        rows = {row["operation"]: [window["calls"] for window in row["windows"].values()] for row in told["calls"]}
        return {operation: calls for operation, calls in rows.items() if any(calls)}

    for _ in range(2):  # folded the first time
        assert in_windows(now_ns) == {"now": [1, 1, 1]}
        assert in_windows(now_ns + 2 * 60 * 10**9) == {"now": [1, 1, 1], "soon": [1, 1, 1]}
        assert in_windows(now_ns + 86_460 * 10**9) == {"now": [0, 0, 1], "soon": [0, 0, 1], "tomorrow": [1, 1, 1]}
    with store.read() as connection:
        flags = {row.operation: row.flags for row in connection.execute(text("SELECT operation, flags FROM calls"))}
    assert flags == {
        "now": "input_tokens", "soon": "input_tokens", "tomorrow": "input_tokens,future", "2261": "input_tokens,future",
    }  # fmt: skip


def test_a_run_that_ends_while_it_is_declared_lost_has_ended(postgres_url: str, tmp_path: Path) -> None:
    now_ns = time.time_ns()
    with psycopg.connect(postgres_url) as job, psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(
            "INSERT INTO runs (run_id, batch_job, started_at_ns, status) VALUES ('0-run', 'nightly', %s, 'running')",
            (now_ns - 2 * 86_400 * 10**9,),
        )
        job.execute("UPDATE runs SET status = 'success', ended_at_ns = %s", (now_ns,))
        store, config = open_store(postgres_url), config_for(postgres_url)
        with ThreadPoolExecutor() as reporters:
            reporter = reporters.submit(cycle.report, store, config, now_ns)
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            wait_for(lambda: other.execute(waiting).fetchone() == (1,), 20, "the fold waits for the job")
            job.commit()
            assert reporter.result(20).self_status.folded
        found = other.execute("SELECT batch_job, status, runs FROM job_totals").fetchall()
    assert found == [("nightly", "success", 1)]


def test_a_spool_file_that_was_just_made_is_left_to_its_owner(tmp_path: Path, database_url: str) -> None:
    """Between making it and locking it, its owner can be overtaken; what it writes then must not go with the file."""
    path = left_behind(tmp_path / "spool", [])
    store = open_store(database_url)
    ingest_spool(store, str(tmp_path / "spool"))
    assert path.exists()
    os.utime(path, (0, 0))  # its owner died long ago
    ingest_spool(store, str(tmp_path / "spool"))
    assert not path.exists()


RUNS = """
import reporter, time
until = time.monotonic() + 2
while time.monotonic() < until:
    with reporter.job("nightly"):
        for _ in range(3):
            with reporter.call("chat"):
                reporter.flush()
"""


def test_a_reporter_at_work_takes_nothing_from_jobs_at_work(tmp_path: Path, database_url: str) -> None:
    config, store = config_for(database_url), open_store(database_url)
    environment = {**os.environ, "REPORTER_DATABASE_URL": database_url}
    jobs = [subprocess.Popen([sys.executable, "-c", RUNS], env=environment) for _ in range(3)]
    while any(job.poll() is None for job in jobs):
        assert cycle.report(store, config, time.time_ns()).self_status.folded
    assert [job.returncode for job in jobs] == [0, 0, 0]
    cycle.report(store, config, time.time_ns())
    with store.read() as connection:
        calls = connection.execute(text("SELECT status, count(*), count(DISTINCT call_id) FROM calls GROUP BY status"))
        ((status, count, different),) = calls.fetchall()
        runs = connection.execute(text("SELECT status, count(*) FROM runs GROUP BY status")).fetchall()
        totals = connection.execute(text("SELECT sum(calls) FROM totals")).scalar_one()
    assert status == "success"
    assert count == different == totals
    assert [tuple(row) for row in runs] == [("success", count // 3)]


def test_an_empty_id_is_none_and_an_empty_label_says_nothing(database_url: str, tmp_path: Path) -> None:
    lines = [
        {"kind": "call", "call_id": "", "operation": "chat", "model": "", "ended_at": 1_793_498_400 + number}
        for number in range(2)
    ]
    (tmp_path / "calls.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    store = open_store(database_url)
    for _ in range(2):
        assert ingest_file(store, tmp_path / "calls.jsonl").bad == 0
    with store.read() as connection:
        found = connection.execute(text("SELECT call_id, model FROM calls")).fetchall()
    assert len({row.call_id for row in found}) == len(found) == 2
    assert {row.model for row in found} == {None}
