"""`reporter sql` answers any question and does nothing else."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from reporter import Recorder, cycle
from reporter.config import parse_config
from reporter.store import open_store
from tests.cli.console import environment, run
from tests.servers import Postgres, wait_for


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Path:
    """A directory whose reporter.yaml names a database with three calls, priced."""
    (tmp_path / "reporter.yaml").write_text(f"database: {json.dumps(database_url)}\n")
    recorder = Recorder(database_url, job="nightly")
    for number, model in enumerate(("gpt-4o", "gpt-4o", "=cmd|' /C calc'!A0")):
        recorder.record(
            operation="chat", provider="openai", model=model, input_tokens=1000 * (number + 1), output_tokens=100,
            duration_seconds=1.5, user_id="u-17", note="\x1b[31mred",
        )  # fmt: skip
    recorder.close()
    store = open_store(database_url)
    cycle.report(store, parse_config(f"database: {json.dumps(database_url)}\n", environ={}), time.time_ns())
    return tmp_path


def test_an_answer_is_a_table_json_or_csv(place: Path) -> None:
    sums = "sum(input_tokens) AS tokens, sum(cost_usd) AS usd"
    question = f"SELECT model, {sums} FROM v_calls GROUP BY model ORDER BY sum(cost_usd) IS NULL"
    table = run(place, "sql", question)
    assert (table.returncode, table.stderr) == (0, "")
    assert table.stdout.splitlines() == [
        "model               tokens     usd",
        "gpt-4o                3000  0.0095",
        "=cmd|' /C calc'!A0    3000       –",
    ]
    told = json.loads(run(place, "sql", question, "--format", "json").stdout)
    assert told == [
        {"model": "gpt-4o", "tokens": 3000, "usd": 0.0095},
        {"model": "=cmd|' /C calc'!A0", "tokens": 3000, "usd": None},
    ]
    rows = list(csv.reader(io.StringIO(run(place, "sql", question, "--format", "csv").stdout)))
    assert rows == [["model", "tokens", "usd"], ["gpt-4o", "3000", "0.0095"], ["'=cmd|' /C calc'!A0", "3000", ""]]


def test_columns_of_one_name_are_all_there_and_structures_are_json(tmp_path: Path, postgres_url: str) -> None:
    question = (
        """SELECT 1 AS a, 2 AS a, 3 AS a_2, '{"x": [1, null, "é"]}'::jsonb AS kept, ARRAY['one', NULL] AS parts"""
    )
    told = run(tmp_path, "--database", postgres_url, "sql", question, "--format", "json").stdout
    assert json.loads(told) == [{"a": 1, "a_3": 2, "a_2": 3, "kept": '{"x": [1, null, "é"]}', "parts": '["one", null]'}]


def test_a_question_may_come_on_stdin_and_what_a_terminal_would_obey_is_shown(place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "reporter", "sql"], cwd=place, env=environment(place), text=True, capture_output=True,
        input="SELECT attributes FROM v_calls LIMIT 1;", check=True,
    )  # fmt: skip
    assert "\x1b" not in done.stdout
    assert "red" in done.stdout


WRITES = (
    "DELETE FROM calls", "UPDATE calls SET model = 'x'", "DROP TABLE calls", "INSERT INTO troubles VALUES (1)",
    "CREATE TABLE x (a)", "SELECT 1; DELETE FROM calls", "", ";", "SELEC 1", "SELECT * FROM nowhere",
)  # fmt: skip


@pytest.mark.parametrize("question", WRITES)
def test_whatever_is_asked_nothing_changes_and_one_line_says_why(place: Path, database_url: str, question: str) -> None:
    done = run(place, "sql", question)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("reporter: ")
    assert done.stderr.count("\n") == 1
    (count,) = json.loads(run(place, "sql", "SELECT count(*) AS n FROM calls", "--format", "json").stdout)
    assert count == {"n": 3}


@pytest.mark.parametrize(
    "question",
    [
        "ATTACH 'other.db' AS other", "VACUUM INTO 'stolen.db'", "PRAGMA journal_mode = DELETE", "PRAGMA user_version",
        "SELECT load_extension('x')", "BEGIN", "DETACH main", "REINDEX", "ANALYZE", "SELECT zeroblob(100000000)",
        "SELECT replace(hex(zeroblob(900000)), '0', '000000')", "EXPLAIN DELETE FROM calls",
    ],
)  # fmt: skip
def test_sqlite_reaches_neither_files_nor_settings(tmp_path: Path, question: str) -> None:
    path = tmp_path / "jobs.db"
    Recorder(f"sqlite:///{path}").record(operation="chat")
    before = sorted(tmp_path.iterdir())
    done = run(tmp_path, "--database", f"sqlite:///{path}", "sql", question)
    assert (done.returncode, done.stdout) == (2, ""), done.stdout
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "question",
    [
        "COPY calls TO PROGRAM 'touch canary'", "COPY calls TO STDOUT", "DO $$ BEGIN END $$", "VACUUM", "SHOW ALL; SELECT 1",
        "SET default_transaction_read_only = off", "COMMIT; DELETE FROM calls", "SELECT nextval('series_series_id_seq')",
        "CREATE TEMP TABLE x (a int)", "SELECT 1 INTO x",
        "WITH gone AS (DELETE FROM calls RETURNING 1) SELECT * FROM gone",
        "SELECT 1; COMMIT; DELETE FROM calls", "SELECT 1; SELECT 2", "SELECT 1; SET statement_timeout = 0",
        "SELECT 1; ROLLBACK; BEGIN READ WRITE; DELETE FROM calls; COMMIT",
        "SELECT set_config('transaction_read_only', 'off', false)", "SELECT 'one'; -- DELETE\n DELETE FROM calls",
    ],
)  # fmt: skip
def test_postgres_reaches_nothing_that_writes(tmp_path: Path, postgres_url: str, question: str) -> None:
    recorder = Recorder(postgres_url)
    recorder.record(operation="chat")
    recorder.close()
    done = run(tmp_path, "--database", postgres_url, "sql", question)
    assert (done.returncode, done.stdout) == (2, ""), done.stdout
    assert done.stderr.count("\n") == 1
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM calls").fetchone() == (1,)


def test_a_role_that_may_read_views_reads_nothing_else(tmp_path: Path, postgres: Postgres, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE reader_of_views LOGIN")
        connection.execute("GRANT SELECT ON v_calls, v_runs TO reader_of_views")
        name = connection.info.dbname
    url = postgres.url(name).replace("//owner@", "//reader_of_views@")
    allowed = run(tmp_path, "--database", url, "sql", "SELECT count(*) AS n FROM v_calls", "--format", "json")
    assert json.loads(allowed.stdout) == [{"n": 0}]
    done = run(tmp_path, "--database", url, "sql", "SELECT * FROM pushes")
    assert (done.returncode, done.stderr) == (2, "reporter: permission denied for table pushes\n")


def test_what_a_read_only_transaction_does_not_hold_back_is_rolled_back(tmp_path: Path, postgres_url: str) -> None:
    done = run(tmp_path, "--database", postgres_url, "sql", "SELECT lo_create(7)")
    assert "read-only" in done.stderr or done.stdout.split() == ["lo_create", "7"]  # as of the server's version
    left = run(
        tmp_path, "--database", postgres_url, "sql", "SELECT oid FROM pg_largeobject_metadata", "--format", "json"
    )
    assert left.stdout == "[]\n"


@pytest.mark.parametrize("slow", ["sqlite", "postgresql"])
def test_a_question_that_takes_too_long_is_ended(tmp_path: Path, slow: str, request: pytest.FixtureRequest) -> None:
    if slow == "sqlite":
        url = f"sqlite:///{tmp_path}/jobs.db"
        Recorder(url).record(operation="chat")
        question = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    else:
        url, question = request.getfixturevalue("postgres_url"), "SELECT pg_sleep(60)"
    began = time.monotonic()
    done = run(tmp_path, "--database", url, "sql", question, "--timeout", "500ms")
    assert time.monotonic() - began < 15
    assert (done.returncode, done.stdout) == (2, "")
    assert "not done within 0.5 s; --timeout allows more" in done.stderr


@pytest.mark.parametrize(
    "question",
    [
        "SELECT instr(printf('%.*c', 900000, 'a'), printf('%.*c', 450000, 'a') || 'b')",  # no clock is looked at within it
        "SELECT printf('%.*c',900000,'a') LIKE '%'||printf('%.*c',45000,'a')||'b'",
    ],
)
def test_a_function_that_does_not_come_back_is_ended(tmp_path: Path, question: str) -> None:
    Recorder(f"sqlite:///{tmp_path}/jobs.db").record(operation="chat")
    began = time.monotonic()
    done = run(tmp_path, "--database", f"sqlite:///{tmp_path}/jobs.db", "sql", question, "--timeout", "500ms")
    assert time.monotonic() - began < 20
    assert (done.returncode in (0, 2), done.stderr.count("\n") <= 1) == (True, True)


def test_a_server_that_stands_still_is_not_waited_for(tmp_path: Path, postgres: Postgres, postgres_url: str) -> None:
    asking = subprocess.Popen(
        [sys.executable, "-m", "reporter", "--database", postgres_url, "sql", "SELECT pg_sleep(20)", "--timeout", "3s"],
        env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        fetching = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'FETCH %' AND state = 'active'"
        wait_for(lambda: connection.execute(fetching).fetchone() != (0,), 20, "it asks")
    with postgres.frozen():
        _, told = asking.communicate(timeout=30)
    assert (asking.returncode, told) == (2, "reporter: the database did not come back within 8 s; ask for less\n")


def test_an_answer_is_bounded_in_bytes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    Recorder(url).record(operation="chat")
    question = """WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 3000)
      SELECT printf('%.*c', 900000, 'a') AS a FROM c"""
    done = run(tmp_path, "--database", url, "sql", question, "--format", "csv")
    assert len(done.stdout) < 70 << 20
    assert "because more than 64 MB came; ask for less" in done.stderr


def test_no_rows_are_told_with_the_columns_there_would_be(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    Recorder(url).record(operation="chat")
    done = run(tmp_path, "--database", url, "sql", "SELECT operation, model FROM v_calls WHERE 1 = 0")
    assert done.stdout == "No rows. Columns: operation, model\n"
    named = run(tmp_path, "--database", url, "sql", 'SELECT 1 AS "=x"', "--format", "csv")
    assert named.stdout == "'=x\n1\n"


def test_too_many_rows_are_cut_and_that_is_said(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    Recorder(url).record(operation="chat")
    question = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50) SELECT i FROM n"
    done = run(tmp_path, "--database", url, "sql", question, "--limit", "3", "--format", "json")
    assert json.loads(done.stdout) == [{"i": 1}, {"i": 2}, {"i": 3}]
    assert "only the first 3 rows; --limit allows more" in done.stderr


def test_the_schema_is_listed_and_calls_without_a_price_yet_are_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    Recorder(url).record(operation="chat", model="gpt-4o")
    listed = json.loads(run(tmp_path, "--database", url, "sql", "--schema", "--format", "json").stdout)
    columns = {row["view or table"]: row["columns"].split(", ") for row in listed}
    assert {"v_calls", "v_runs", "v_cost_by_model", "calls", "runs"} <= columns.keys()
    assert columns["v_calls"][:2] == ["call_id", "ended_at"]
    done = run(tmp_path, "--database", url, "sql", "SELECT 1 AS one")
    assert "no price yet, because no report or push has folded them: 1\n" in done.stderr


def test_a_long_table_on_a_terminal_is_paged(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    Recorder(url).record(operation="chat")
    question = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200) SELECT i FROM n"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "reporter", "--database", url, "sql", question], stdout=theirs, stdin=theirs,
        stderr=subprocess.DEVNULL, env={**environment(tmp_path), "PAGER": "head -3", "TERM": "xterm", "LINES": "24"},
    )  # fmt: skip
    os.close(theirs)
    told = b""
    while True:
        try:
            data = os.read(ours, 65_536)
        except OSError:
            break
        if not data:
            break
        told += data
    os.close(ours)
    assert process.wait(30) == 0
    assert len(told.splitlines()) == 3


def test_asking_leaves_a_database_that_others_write_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    Recorder(url).record(operation="chat")
    with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        done = run(tmp_path, "--database", url, "sql", "SELECT count(*) AS n FROM calls", "--format", "json")
        writer.execute("ROLLBACK")
    assert json.loads(done.stdout) == [{"n": 1}]
