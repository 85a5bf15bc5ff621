"""`reporter purge`: what names a person is gone, whatever was counted is as before, and nothing comes back."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from reporter.store import open_store
from tests.cli.console import run
from tests.publish.pushing import bring_in, calls, written

PERSON = "u-17-canary"


def told(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(directory, *arguments, REPORTER_SPOOL_DIR=str(directory / "spool"))


@pytest.fixture
def facts(tmp_path: Path, database_url: str) -> Path:
    """A directory with calls of two persons, and runs of both, counted."""
    written(tmp_path, database_url, "http://localhost:1")
    now_ns = time.time_ns()
    run_of = {
        "kind": "run",
        "batch_job": "nightly",
        "status": "failed",
        "started_at_ns": now_ns - 10**9,
        "ended_at_ns": now_ns,
    }
    bring_in(
        open_store(database_url),
        tmp_path,
        [
            *calls(
                3, seconds_ago=90, attributes={"user_id": PERSON, "request_id": "req-canary"}, trace_id="trace-canary"
            ),
            *calls(2, seconds_ago=80, attributes={"user_id": "u-18", "note": f"not {PERSON}"}),
            *calls(1, seconds_ago=70, run_id="r-1", attributes={"request_id": "req-canary-2"}),
            {**run_of, "run_id": "r-1", "attributes": {"user_id": PERSON, "n": 17}, "output_tail": f"hello {PERSON}"},
            {**run_of, "run_id": "r-2", "attributes": {"user_id": "u-18", "n": True}, "output_tail": "hello"},
        ],
    )
    assert told(tmp_path, "report").returncode == 0
    return tmp_path


def everything(database_url: str) -> str:
    """Every text in any table."""
    with open_store(database_url).read() as connection:
        return repr(
            [
                connection.execute(text(f"SELECT * FROM {table}")).all()
                for table in ("calls", "runs", "starts", "troubles")
            ]
        )


AS_OF = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(time.time() + 3600))
"""A minute that does not pass while a test runs."""


def counted(directory: Path) -> object:
    report = json.loads(told(directory, "report", "--format", "json", "--no-fold", "--as-of", AS_OF).stdout)
    assert report["slos"][0]["windows"]["1d"]["total"] == 6
    return report["slos"], report["calls"], report["jobs"]


def test_what_names_a_person_is_erased_and_what_was_counted_stays(facts: Path, database_url: str) -> None:
    before = counted(facts)

    done = told(facts, "purge", "--where", f"user_id={PERSON}", "--yes")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "erased what 4 calls and 1 run told; what they count is as before\n"
    left = everything(database_url).replace(f"not {PERSON}", "")
    assert "canary" not in left
    assert left.count("u-18") == 3  # of others nothing
    assert counted(facts) == before
    with open_store(database_url).read() as connection:
        flagged = connection.execute(
            text("SELECT count(*), count(DISTINCT flags) FROM calls WHERE flags = 'purged'")
        ).one()
    assert tuple(flagged) == (4, 1)


def test_what_is_brought_in_again_counts_once_and_tells_nothing(facts: Path, database_url: str) -> None:
    told(facts, "purge", "--where", f"user_id={PERSON}", "--yes")
    before = counted(facts)
    (lines,) = facts.glob("*.jsonl")

    again = told(facts, "ingest", str(lines))
    told(facts, "report")

    assert again.returncode == 0, again.stderr
    assert "trace-canary" not in everything(database_url)
    assert counted(facts) == before


def test_no_remains_are_in_a_sqlite_file(tmp_path: Path) -> None:
    database = tmp_path / "jobs.db"
    written(tmp_path, f"sqlite:///{database}", "http://localhost:1")
    bring_in(open_store(f"sqlite:///{database}"), tmp_path, calls(50, attributes={"user_id": PERSON}))
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")  # which a build of SQLite may not have on
        connection.execute("INSERT INTO state VALUES ('then', ?)", (PERSON * 1000,))
        connection.execute("DELETE FROM state WHERE name = 'then'")

    def remains() -> int:
        files = (database, database.with_name("jobs.db-wal"))
        return sum(file.read_bytes().count(PERSON.encode()) for file in files if file.exists())

    told(tmp_path, "purge", "--where", f"user_id={PERSON}", "--yes", "--no-rewrite")
    left_where_nothing_shows_it = remains()
    told(tmp_path, "purge", "--where", f"user_id={PERSON}")  # nothing is to be erased, so nothing is asked

    assert left_where_nothing_shows_it > 0
    assert remains() == 0
    assert told(tmp_path, "db", "check").returncode == 0


def test_a_dry_run_says_how_many_and_erases_nothing(facts: Path, database_url: str) -> None:
    before = everything(database_url)

    done = told(facts, "purge", "--where", f"user_id={PERSON}", "--dry-run")

    assert (done.returncode, done.stdout) == (0, "4 calls and 1 run would be erased\n")
    assert everything(database_url) == before


def test_nobody_there_to_ask_means_no(facts: Path, database_url: str) -> None:
    before = everything(database_url)

    done = told(facts, "purge", "--where", f"user_id={PERSON}")

    assert (done.returncode, done.stdout) == (2, "")
    assert "4 calls and 1 run" in done.stderr
    assert "--yes" in done.stderr
    assert everything(database_url) == before


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (["user_id=u-18"], "2 calls and 1 run"),
        (["n=17"], "1 call and 1 run"),  # a number, and the call of that run
        (["n=true"], "0 calls and 1 run"),
        (["user_id=u-18", "n=17"], "0 calls and 0 runs"),  # both
        (["user_id=u-1"], "0 calls and 0 runs"),  # no part of a value
        (["user_id=' OR 1=1 --"], "0 calls and 0 runs"),
    ],
)
def test_values_are_compared_whole(facts: Path, where: list[str], found: str) -> None:
    asked = [word for one in where for word in ("--where", one)]

    assert told(facts, "purge", "--dry-run", *asked).stdout == f"{found} would be erased\n"


@pytest.mark.parametrize("where", ["user_id", "=u-17", "user_id="])
def test_a_where_that_says_nothing_is_refused(tmp_path: Path, where: str) -> None:
    done = told(tmp_path, "purge", "--where", where, "--yes")

    assert done.returncode == 2
    assert "NAME=VALUE" in done.stderr


def test_calls_that_wait_in_the_spool_are_erased_too_and_those_of_jobs_at_work_told(
    tmp_path: Path, database_url: str
) -> None:
    written(tmp_path, database_url, "http://localhost:1")
    open_store(database_url)
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    line = json.dumps(calls(1, attributes={"user_id": PERSON})[0]) + "\n"
    (spool / "1-gone.jsonl").write_text(line)
    (spool / "1-torn.jsonl.bad").write_text(line[:-9])
    living = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print('locked', flush=True); input()"
    (spool / "2-living.jsonl").write_text(
        json.dumps(calls(1, seconds_ago=20, attributes={"user_id": PERSON})[0]) + "\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", living, str(spool / "2-living.jsonl")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as job:
        assert job.stdout is not None
        job.stdout.readline()

        done = told(tmp_path, "purge", "--where", f"user_id={PERSON}", "--yes")

        job.communicate(b"\n")
    assert done.stdout == "erased what 2 calls and 0 runs told; what they count is as before\n"
    assert "1-torn.jsonl.bad: still has that text, of lines that could not be read" in done.stderr
    assert "2-living.jsonl: still has that text, of a job at work" in done.stderr
    assert PERSON not in everything(database_url)
    assert sorted(os.listdir(spool)) == ["1-torn.jsonl.bad", "2-living.jsonl"]

    assert told(tmp_path, "report").returncode == 0  # brings the rest in
    assert PERSON not in everything(database_url)
