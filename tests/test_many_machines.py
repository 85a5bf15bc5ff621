"""Many machines, one Postgres: every row counted once, whoever writes, whoever folds, and whenever the network comes back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from reporter import cycle
from reporter.config import parse_config
from reporter.ingest import ingest_spool
from reporter.store import open_store
from tests.publish.pushing import command, run
from tests.servers import Postgres, Server

WRITERS, RUNS, CALLS = 20, 5, 40
DAY = 86_400
WRITE = f"""
import reporter
for number in range({RUNS}):
    with reporter.job("hourly"):
        for _ in range({CALLS}):
            with reporter.call("chat", model="gpt-4o"):
                pass
"""
WRITE_LATE = """
import reporter, time, sys
began = time.time() - 86_400
for number in range(int(sys.argv[1])):
    reporter.record(operation="chat", model="gpt-4o", duration_seconds=0.1, ended_at=began + number)
"""


def writer(url: str, spool: Path, program: str, *arguments: str) -> subprocess.Popen[str]:
    """A process on a machine of its own: nothing but the database is shared."""
    environment = os.environ | {"REPORTER_DATABASE_URL": url, "REPORTER_SPOOL_DIR": str(spool)}
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )


def test_twenty_write_while_two_reporters_compete(
    postgres_url: str, tmp_path: Path, pushgateway: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPORTER_SPOOL_DIR", str(tmp_path / "reporter"))
    config = tmp_path / "reporter.yaml"
    config.write_text(
        f"database: {postgres_url}\npushgateway: {{url: '{pushgateway.url}'}}\nslos: [{{name: quick, sli: p50 < 1s}}]\n"
    )
    writers = [writer(postgres_url, tmp_path / f"host-{number}", WRITE) for number in range(WRITERS)]
    codes = []
    while any(process.poll() is None for process in writers):
        reporters = [
            subprocess.Popen(command(config, "push"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            for _ in (1, 2)
        ]
        codes += [process.wait(60) for process in reporters]
    for number, process in enumerate(writers):
        process.communicate()
        # What a machine this small was too slow for in two seconds waits on its host, for the next one there.
        assert ingest_spool(open_store(postgres_url), str(tmp_path / f"host-{number}")).bad == 0

    assert run(config, "push").returncode == 0
    assert [process.returncode for process in writers] == [0] * WRITERS
    assert set(codes) <= {0, 75}
    assert 0 in codes
    everything = WRITERS * RUNS * CALLS
    with psycopg.connect(postgres_url) as connection:
        counted = [
            connection.execute(f"SELECT {what}").fetchone()  # type: ignore[arg-type]  # ours
            for what in (
                "count(*) FROM calls", "count(*) FROM calls WHERE folded = 1", "sum(calls)::int FROM totals",
                "sum(calls)::int FROM tallies WHERE resolution = 60", "sum(good + bad)::int FROM slos",
                "count(*) FROM runs WHERE status = 'success' AND folded_status = status", "count(*) FROM starts",
            )
        ]  # fmt: skip
    assert counted == [*[(everything,)] * 5, (WRITERS * RUNS,), (0,)]


def test_a_host_without_a_network_for_a_day_ships_all_of_it_into_the_minutes_it_ended_in(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    url, spool, calls = own_postgres.fresh(), tmp_path / "spool", 2_500
    own_postgres.crash()
    try:
        cut_off = writer(url, spool, WRITE_LATE, str(calls))
        said = cut_off.communicate(timeout=60)[1]
    finally:
        own_postgres.start()
    next_job = writer(url, spool, WRITE)
    assert next_job.communicate(timeout=60)[1] == ""

    config = parse_config("slos: [{name: quick, sli: p50 < 1s}]", environ={}).model_copy(update={"database": url})
    made = cycle.report(open_store(url), config, time.time_ns())

    assert said.count("\n") == 1
    assert [path.name for path in spool.iterdir()] == []
    windows = made.slos[0].windows
    assert windows["1h"].good + windows["1h"].bad == RUNS * CALLS
    assert windows["3d"].good + windows["3d"].bad == RUNS * CALLS + calls
    with psycopg.connect(url) as connection:
        minutes = connection.execute(
            "SELECT count(DISTINCT ended_at_ns / 60000000000) FROM calls WHERE ended_at_ns < %s",
            (int((time.time() - DAY / 2) * 1e9),),
        ).fetchone()
    assert minutes is not None
    assert minutes[0] >= calls // 60
