"""`reporter doctor`: what is well is said to be well, each thing that is not has its line and remedy, and no secret shows."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from reporter.grants import DEFAULT, statements
from reporter.store import open_store
from tests.cli.console import run, run_on_terminal
from tests.publish.pushing import bring_in, calls, written
from tests.servers import Postgres, Server, free_port, start_pushgateway

SECOND_NS = 10**9


def told(directory: Path, **environ: str) -> tuple[int, list[dict[str, str]]]:
    """The exit code, and what was found."""
    done = run(directory, "doctor", "--format", "json", REPORTER_SPOOL_DIR=str(directory / "spool"), **environ)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)["findings"]


def of(found: list[dict[str, str]], about: str) -> list[tuple[str, str]]:
    return [(finding["state"], finding["told"]) for finding in found if finding["about"] == about]


def push(directory: Path) -> None:
    done = run(directory, "push", REPORTER_SPOOL_DIR=str(directory / "spool"))
    assert done.returncode == 0, done.stderr


def execute(database_url: str, statement: str, **values: Any) -> None:
    with open_store(database_url, check_version=False).write() as connection:
        connection.execute(text(statement), values)


@pytest.fixture
def at_work(tmp_path: Path, database_url: str, pushgateway: Server) -> Path:
    """A directory where all is well: calls were recorded, and pushed a moment ago."""
    written(tmp_path, database_url, pushgateway.url)
    bring_in(open_store(database_url), tmp_path, calls(20))
    push(tmp_path)
    return tmp_path


def test_where_all_is_well_nothing_is_told_but_that(at_work: Path) -> None:
    code, found = told(at_work)

    assert [finding for finding in found if finding["state"] != "ok" and finding["about"] != "prices"] == []
    assert code == 0
    assert {finding["about"] for finding in found} >= {
        "python", "config", "database", "schema", "recorders", "calls", "report", "slos", "cost", "pushgateway", "group",
        "clock", "prices", "retention",
    }  # fmt: skip
    assert {finding["remedy"] for finding in found if finding["state"] == "ok"} == {""}


def test_it_changes_nothing(at_work: Path, database_url: str) -> None:
    def contents() -> list[Any]:
        with open_store(database_url).read() as connection:
            return [
                connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")).all()
                for table in ("calls", "runs", "state", "leases", "pushes", "slos", "jobs", "late_calls")
            ]

    spool = at_work / "spool"
    spool.mkdir(mode=0o700)
    (spool / "1-a.jsonl").write_text("x")
    before, gateway = contents(), sorted(spool.iterdir())

    told(at_work)

    assert contents() == before
    assert sorted(spool.iterdir()) == gateway


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    code, found = told(tmp_path)

    ((state, said),) = of(found, "database")
    assert (code, state) == (1, "fail")
    assert "there is no such database" in said
    assert of(found, "config")[0][0] == "warn"
    assert of(found, "pushgateway")[0][0] == "warn"  # nobody said that there is one
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_that_cannot_be_meant_is_told_and_the_rest_looked_at(at_work: Path, database_url: str) -> None:
    (at_work / "reporter.yaml").write_text("slos: [{name: a, sli: nonsense}]\nretention: {calls: 0d}\n")

    code, found = told(at_work, REPORTER_DATABASE_URL=database_url)

    ((state, said),) = of(found, "config")
    assert (code, state, len(said.splitlines())) == (1, "fail", 3)
    assert "reporter.yaml:1: slos[0].sli" in said
    assert of(found, "database")[0][0] == "ok"
    assert of(found, "pushgateway") == []  # which one is not known


@pytest.mark.parametrize(
    ("statement", "about", "state", "said"),
    [
        ("UPDATE state SET value = :old WHERE name = 'told_until_ns'", "report", "fail", "is 2 h old"),
        ("DELETE FROM state WHERE name = 'told_until_ns'", "report", "warn", "nothing was pushed"),
        (
            "INSERT INTO leases (name, holder, expires_at_ns) VALUES ('reporter', 'there:17:x', :old)",
            "lease", "warn", "process 17 on there had it and did not give it back; it ran out 2 h ago",
        ),
        (
            "INSERT INTO leases (name, holder, expires_at_ns) VALUES ('serve', 'there:17:x', :soon)",
            "lease", "ok", "reporter serve is at work: process 17 on there",
        ),
        (
            "INSERT INTO troubles (trouble_id, at_ns, trouble, occurrences) VALUES ('t', :now, 'dropped', 1234)",
            "recorders", "warn", "1,234× dropped",
        ),
        (
            "INSERT INTO calls (call_id, ended_at_ns, operation, status, folded) VALUES ('c', :old, 'chat', 'success', 0)",
            "calls", "fail", "1 wait to be counted, the oldest for 2 h",
        ),
        ("UPDATE alembic_version SET version_num = '0000'", "schema", "fail", "at 0000"),
        ("UPDATE slos SET good = 0, bad = 0", "slos", "warn", "nothing was counted so far for fast"),
        ("UPDATE tallies SET unpriced = 3", "cost", "warn", "gpt-4o (3 calls)"),
        ("UPDATE tally_minutes SET bucket = bucket + 6000", "clock", "warn", "in the future"),
        ("UPDATE pushes SET sequence = 0", "group", "warn", "shows number 1, this database sent 0"),
    ],
)  # fmt: skip
def test_what_the_database_tells_of_is_told(
    at_work: Path, database_url: str, statement: str, about: str, state: str, said: str
) -> None:
    now_ns = time.time_ns()
    moments = {"now": now_ns, "old": now_ns - 7300 * SECOND_NS, "soon": now_ns + 30 * SECOND_NS}
    execute(database_url, statement, **{name: at for name, at in moments.items() if f":{name}" in statement})

    code, found = told(at_work)

    assert (state, True) in [(how, said in what) for how, what in of(found, about)], of(found, about)
    assert code == (1 if state == "fail" else 0)


def test_a_declared_job_that_never_ran_is_told_with_the_one_that_did(
    tmp_path: Path, database_url: str, pushgateway: Server
) -> None:
    written(tmp_path, database_url, pushgateway.url, more="jobs: {nightly-exprt: {schedule: 0 3 * * *}, sync: {}}\n")
    run_of = {"kind": "run", "batch_job": "nightly-export", "status": "success", "started_at_ns": time.time_ns(),
              "ended_at_ns": time.time_ns(), "run_id": "r-1"}  # fmt: skip
    bring_in(open_store(database_url), tmp_path, [*calls(2), run_of])
    push(tmp_path)

    _, found = told(tmp_path)

    assert of(found, "jobs") == [
        ("warn", "nightly-exprt is declared and never ran; nightly-export did, which is not declared"),
        ("warn", "sync is declared and never ran"),
    ]


def test_facts_of_jobs_that_are_gone_must_not_lie_in_the_spool(at_work: Path) -> None:
    spool = at_work / "spool"
    spool.mkdir(mode=0o700)
    (spool / "1-a.jsonl").write_text('{"kind": "call"}\n')
    os.utime(spool / "1-a.jsonl", (time.time() - 7300,) * 2)

    code, found = told(at_work)

    assert [(state, "1 of jobs that are gone, for 2 h" in said) for state, said in of(found, "spool")][-1] == (
        "fail", True,
    )  # fmt: skip
    assert code == 1


def test_files_that_every_user_can_open_are_told(tmp_path: Path) -> None:
    database = tmp_path / "jobs.db"
    open_store(f"sqlite:///{database}")
    database.chmod(0o644)
    (tmp_path / "secret").write_text("canary-secret")
    (tmp_path / "secret").chmod(0o644)
    written(tmp_path, f"sqlite:///{database}", "http://localhost:1", gateway="username: u, password_file: secret")

    _, found = told(tmp_path)

    assert ("warn", f"every user can open {database}") in of(found, "files")
    assert ("warn", "every user can read secret") in of(found, "secrets")


@pytest.mark.parametrize(
    ("document", "is_told"),
    [
        ("database: postgresql://u:canary@127.0.0.1:1/d\n", True),
        ("database: postgresql://u:${SECRET}@127.0.0.1:1/d\n", False),
        ("# database: postgresql://u:canary@127.0.0.1:1/d\ndatabase: postgresql://u@127.0.0.1:1/d\n", False),
        ("database: postgresql://u@127.0.0.1:1/d\npushgateway: {username: u, password: canary}\n", True),
        ("database: postgresql://u@127.0.0.1:1/d\npushgateway: {username: u, password: '${SECRET}'}\n", False),
    ],
)
def test_a_password_in_a_configuration_that_every_user_can_read_is_told(
    tmp_path: Path, document: str, is_told: bool
) -> None:
    (tmp_path / "reporter.yaml").write_text(document)
    (tmp_path / "reporter.yaml").chmod(0o644)

    _, found = told(tmp_path, SECRET="canary")

    assert ("canary" in json.dumps(found), bool(of(found, "secrets"))) == (False, is_told)


def test_a_job_that_recorded_elsewhere_is_found(tmp_path: Path) -> None:
    stray = tmp_path / ".local" / "state" / "reporter" / "reporter.db"
    open_store(f"sqlite:///{stray}")
    open_store(f"sqlite:///{tmp_path}/jobs.db")
    written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", "http://localhost:1")

    _, found = told(tmp_path)

    assert [(state, str(stray) in said) for state, said in of(found, "config")] == [("ok", False), ("warn", True)]


# ── gateways that are not as they should be ──


def test_a_gateway_that_was_never_pushed_to_or_lost_it_all_is_told(tmp_path: Path, pushgateway: Server) -> None:
    written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", pushgateway.url)
    open_store(f"sqlite:///{tmp_path}/jobs.db")

    _, found = told(tmp_path)

    assert [state for state, said in of(found, "pushgateway") if "has no group" in said] == ["warn"]


@pytest.mark.parametrize(
    ("body", "said"),
    [("a 1\na 1\n", "empty: its first push was refused"), ("a 1\n", "none of ours")],
    ids=["refused", "a stranger's"],
)
def test_a_group_that_is_not_ours_is_told(tmp_path: Path, pushgateway: Server, body: str, said: str) -> None:
    written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", pushgateway.url)
    open_store(f"sqlite:///{tmp_path}/jobs.db")
    subprocess.run(
        ["curl", "-s", "-X", "PUT", "--data-binary", body, f"{pushgateway.url}/metrics/job/reporter"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip

    code, found = told(tmp_path)

    assert [(state, said in what) for state, what in of(found, "group")] == [("fail", True)]
    assert code == 1


def test_a_gateway_that_keeps_old_values_is_told(tmp_path: Path) -> None:
    server = start_pushgateway(tmp_path, tmp_path / "kept")
    try:
        written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", server.url)
        open_store(f"sqlite:///{tmp_path}/jobs.db")

        _, found = told(tmp_path)
    finally:
        server.kill()

    assert ("warn", True) in [
        (state, f"old values from {tmp_path}/kept" in said) for state, said in of(found, "pushgateway")
    ]


@contextmanager
def answering(status: int, *, ahead_seconds: float = 0, echoes: bool = False) -> Iterator[str]:
    """A gateway that shows nothing, whose clock is off, or that sends back what it was sent."""

    class Gateway(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.headers.get("Authorization", "") if echoes else '{"status": "success", "data": []}'
            self.send_response_only(status)
            self.send_header("Date", self.date_time_string(int(time.time() + ahead_seconds)))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("ahead", "state", "said"), [(20, "warn", "20 s ahead of"), (-7300, "fail", "2 h behind")])
def test_a_clock_that_is_off_is_told(tmp_path: Path, ahead: float, state: str, said: str) -> None:
    open_store(f"sqlite:///{tmp_path}/jobs.db")
    with answering(200, ahead_seconds=ahead) as url:
        written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", url)

        _, found = told(tmp_path)

    ((how, what),) = of(found, "clock")
    assert how == state
    assert said in what or said.replace("20", "19") in what


@pytest.mark.parametrize("form", ["table", "json"])
@pytest.mark.parametrize("secret_of", ["username: u, password_file: secret", "bearer_token_file: secret"])
def test_no_secret_shows_whatever_the_gateway_says(tmp_path: Path, form: str, secret_of: str) -> None:
    (tmp_path / "secret").write_text("canary-of-the-gateway\n")
    (tmp_path / "secret").chmod(0o600)
    port = free_port()
    database = f"postgresql://u:canary%40of-the-database@127.0.0.1:{port}/jobs?sslpassword=canary-of-tls"
    with answering(500, echoes=True) as url:
        written(tmp_path, database, url, gateway=secret_of)

        done = run(tmp_path, "doctor", "--format", form, PGPASSWORD="canary-of-the-environment")

    assert done.returncode == 1
    assert "fail" in done.stdout
    assert "127.0.0.1" in done.stdout
    assert "canary" not in done.stdout + done.stderr


def test_a_broken_configuration_shows_no_secret(tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text(
        "database: mysql://u:canary-1@h/d\npushgateway: {url: 'http://u:canary-2@h', password: canary-3}\n"
    )

    done = run(tmp_path, "doctor")

    assert done.returncode == 1
    assert "reporter.yaml:1: database" in done.stdout
    assert "canary" not in done.stdout + done.stderr


def test_lines_fit_a_narrow_terminal_and_a_remedy_is_under_each(tmp_path: Path) -> None:
    code, seen = run_on_terminal(tmp_path, "doctor", columns=60, NO_COLOR="1")

    lines = [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in seen.splitlines()]
    assert code == 1
    assert max(map(len, lines)) <= 60
    assert any(line.startswith("fail database") for line in lines)
    assert sum("→" in line for line in lines) >= 3


def test_the_reporters_role_may_see_all_of_it_and_a_role_that_may_not_is_told(
    tmp_path: Path, postgres: Postgres, postgres_url: str, pushgateway: Server
) -> None:
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(postgres_url) as connection:
        connection.execute("; ".join(statements()))
    written(tmp_path, postgres.url(name, DEFAULT.reporter), pushgateway.url)
    push(tmp_path)
    code, found = told(tmp_path)
    assert (code, [state for state, _ in of(found, "schema")]) == (0, ["ok"])

    written(tmp_path, postgres.url(name, DEFAULT.asker), pushgateway.url)
    code, found = told(tmp_path)
    assert code == 1
    assert [(state, "permission denied" in said) for state, said in of(found, "database")] == [("fail", True)]


def test_a_file_that_is_no_database_of_ours_is_told(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection:
        connection.execute("CREATE TABLE unrelated (a)")
    written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", "http://localhost:1")

    code, found = told(tmp_path)

    assert code == 1
    assert [state for state, _ in of(found, "schema")] == ["fail"]
