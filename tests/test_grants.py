"""Each role of `reporter db grants` can do its work, and no more; proven on a real server by whoever would attack it."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

import reporter
from reporter.grants import DEFAULT, Roles, statements
from reporter.schema import TABLES
from tests.cli.console import run
from tests.servers import Postgres, Server

ROLES = DEFAULT


@pytest.fixture
def granted(postgres: Postgres, postgres_url: str) -> str:
    """The name of a database in which the grants were applied."""
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    done = run(Path("/"), "db", "grants")
    assert done.returncode == 0, done.stderr
    with psycopg.connect(postgres_url) as connection:
        connection.execute(done.stdout)
        connection.execute(done.stdout)  # twice is once
    return name


def refused(url: str, *attempts: str) -> list[str]:
    """Those of some statements that the server did not forbid."""
    through = []
    for attempt in attempts:
        with psycopg.connect(url) as connection:
            try:
                connection.execute(attempt)
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction):
                continue
            through.append(attempt)
            connection.rollback()
    return through


def record(url: str, directory: Path, monkeypatch: pytest.MonkeyPatch, calls: int = 3) -> reporter.Recorder:
    monkeypatch.setenv("REPORTER_SPOOL_DIR", str(directory / "spool"))
    recorder = reporter.Recorder(url)
    with recorder.job("nightly"):
        for _ in range(calls):
            with recorder.call("chat", model="gpt-4o", user_id="u-17"):
                pass
    return recorder


def test_a_recorder_appends(
    granted: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    recorder = record(postgres.url(granted, ROLES.recorder), tmp_path, monkeypatch)
    recorder.troubles["dropped"] = 1

    assert recorder.flush()
    recorder.close()
    with psycopg.connect(postgres.url(granted)) as connection:
        counted = [
            connection.execute(f"SELECT count(*) FROM {what}").fetchone()  # type: ignore[arg-type]  # ours
            for what in ("calls", "runs WHERE status = 'success'", "troubles")
        ]
    assert counted == [(3,), (1,), (1,)]
    assert capfd.readouterr().err == ""


def test_what_was_granted_before_is_taken_back(postgres: Postgres, granted: str) -> None:
    with psycopg.connect(postgres.url(granted)) as connection:
        connection.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")  # as every database until Postgres 14 has it
        connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {ROLES.recorder}, {ROLES.asker}, PUBLIC")
        connection.execute(f"GRANT SELECT (output_tail), UPDATE (host) ON runs TO {ROLES.asker}")
        for statement in statements():
            connection.execute(statement)

    for role in (ROLES.recorder, ROLES.asker, ROLES.reporter):
        url = postgres.url(granted, role)
        assert refused(
            url, "CREATE TABLE mine (a int)", "TRUNCATE calls", "SELECT version_num FROM alembic_version"
        ) == (["SELECT version_num FROM alembic_version"] if role == ROLES.reporter else [])
    assert refused(postgres.url(granted, ROLES.recorder), "DELETE FROM calls", "SELECT output_tail FROM runs") == []
    assert refused(postgres.url(granted, ROLES.asker), "SELECT run_id FROM runs", "SELECT output_tail FROM runs") == []


def test_a_recorder_does_no_more(
    granted: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.url(granted, ROLES.recorder)
    record(url, tmp_path, monkeypatch).close()

    assert (
        refused(
            url,
            "SELECT attributes FROM calls", "SELECT * FROM runs", "SELECT output_tail FROM runs", "SELECT * FROM v_calls",
            "UPDATE calls SET status = 'success'", "DELETE FROM calls", "TRUNCATE calls", "DELETE FROM runs",
            "UPDATE runs SET run_id = 'x'", "UPDATE runs SET folded_status = 'x'", "DELETE FROM starts",
            "INSERT INTO calls (call_id, ended_at_ns, operation, status, folded) VALUES ('x', 1, 'chat', 'success', 1)",
            "CREATE TABLE mine (a int)", "ALTER TABLE calls ADD COLUMN a int", "DROP TABLE calls", "DROP VIEW v_calls",
            "CREATE ROLE other", "UPDATE alembic_version SET version_num = 'x'",
            *(f"SELECT * FROM {table}" for table in TABLES),
            *(f"INSERT INTO {table} DEFAULT VALUES" for table in TABLES.keys() - {"calls", "starts", "runs", "troubles"}),
        )
        == []
    )  # fmt: skip


def test_a_reporter_folds_prunes_and_pushes(
    granted: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pushgateway: Server
) -> None:
    record(postgres.url(granted, ROLES.recorder), tmp_path, monkeypatch).close()
    url = postgres.url(granted, ROLES.reporter)
    config = tmp_path / "reporter.yaml"
    config.write_text(
        f"pushgateway: {{url: '{pushgateway.url}'}}\nslos: [{{name: quick, sli: p50 < 1s}}]\n"
        "budgets: [{name: month, usd: 5, calendar: month}]\n"
    )
    commands = (
        ["push"], ["report", "--format", "json"], ["prune"], ["ingest", "--spool"], ["cost"], ["explain", "quick"],
        ["exclude", "add", "--from", "2026-11-01T02:00:00Z", "--to", "2026-11-01T04:00:00Z", "--reason", "x"],
        ["prices", "reprice", "--since", "2026-11-01"], ["sql", "SELECT * FROM v_calls"], ["db", "check"],
    )  # fmt: skip
    for command in commands:
        done = run(tmp_path, "--config", str(config), *command, REPORTER_DATABASE_URL=url)
        assert done.returncode == 0, (command, done.stderr)
    done = run(tmp_path, "--config", str(config), "report", "--format", "json", REPORTER_DATABASE_URL=url)
    assert json.loads(done.stdout)["slos"][0]["windows"]["30d"]["total"] == 3


def test_a_reporter_changes_no_schema(granted: str, postgres: Postgres) -> None:
    url = postgres.url(granted, ROLES.reporter)

    assert (
        refused(
            url, "CREATE TABLE mine (a int)", "ALTER TABLE calls ADD COLUMN a int", "DROP TABLE calls", "DROP VIEW v_calls",
            "TRUNCATE calls", "UPDATE alembic_version SET version_num = 'x'", "CREATE ROLE other",
        )
        == []
    )  # fmt: skip


def test_an_asker_reads_the_views_and_nothing_else(granted: str, postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.url(granted, ROLES.asker)
    asked = run(tmp_path, "--database", url, "sql", "SELECT count(*) AS n FROM v_calls", "--format", "json")

    assert json.loads(asked.stdout) == [{"n": 0}]
    assert (
        refused(
            url, *(f"SELECT * FROM {table}" for table in TABLES), *(f"DELETE FROM {table}" for table in TABLES),
            "INSERT INTO calls (call_id) VALUES ('x')", "UPDATE v_calls SET operation = 'x'", "CREATE TABLE mine (a int)",
            "CREATE TEMPORARY TABLE mine (a int)",
        )
        == []
    )  # fmt: skip


def test_a_migrator_owns_the_schema_and_grants_again(granted: str, postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.url(granted, ROLES.migrator)

    upgraded = run(tmp_path, "--database", url, "db", "upgrade")
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE calls ADD COLUMN later int")
        connection.execute("CREATE TABLE later (a int)")
        connection.execute("DROP VIEW v_errors")
        connection.rollback()
        for statement in statements():
            connection.execute(statement)

    assert upgraded.returncode == 0
    assert refused(url, "CREATE ROLE other", "SELECT * FROM pg_authid") == []


def test_roles_may_have_other_names_and_the_tables_a_schema_of_their_own(postgres: Postgres, postgres_url: str) -> None:
    roles = Roles(recorder="my-job", reporter="r2", asker="a2", migrator="m2", schema="facts")
    with psycopg.connect(postgres_url) as connection:
        connection.execute("ALTER SCHEMA public RENAME TO facts")
        for statement in statements(roles):
            connection.execute(statement)
        connection.execute("SET search_path = facts")
        connection.execute('SET ROLE "my-job"')
        connection.execute(
            "INSERT INTO troubles (trouble_id, at_ns, trouble, occurrences) VALUES ('t', 1, 'dropped', 1)"
        )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(["--asker", 'a"; DROP'], "must be a name of letters"), (["--asker", "reporter_job"], "a name of its own")],
)
def test_names_that_cannot_be_meant_are_refused(tmp_path: Path, arguments: list[str], why: str) -> None:
    done = run(tmp_path, "db", "grants", *arguments)

    assert (done.returncode, why in done.stderr, done.stdout) == (2, True, "")
