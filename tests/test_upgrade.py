"""From one release's schema to the next, by a next release that is made here: this package with one more migration.

It adds a column to calls, and an index.
"""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

import reporter
from reporter import migrate
from reporter.errors import SchemaError
from reporter.store import open_store
from tests.cli import console
from tests.cli.console import environment

ROOT = Path(__file__).parent.parent
MIGRATION = """
import time
from alembic import op

revision, down_revision, branch_labels, depends_on = "0002", "0001", None, None

def upgrade():
    op.execute("CREATE INDEX calls_status ON calls (status)")
    op.execute("ALTER TABLE calls ADD COLUMN region TEXT")
    time.sleep({seconds})
    {then}
    if op.get_bind().dialect.name == "sqlite":
        op.execute("PRAGMA user_version = 2")
"""


class NextRelease:
    """The next release of this program, installed in a directory."""

    def __init__(self, directory: Path, *, seconds: float = 0, then: str = "pass") -> None:
        self.directory = directory
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "reporter", directory / "reporter", ignore=ignored)
        shutil.copytree(ROOT / "migrations", directory / "migrations", ignore=ignored)
        revision = directory / "reporter" / "revision.py"
        told = revision.read_text()
        assert 'HEAD = "0001"' in told
        assert "USER_VERSION = 1" in told
        revision.write_text(told.replace('"0001"', '"0002"').replace("USER_VERSION = 1", "USER_VERSION = 2"))
        schema = directory / "reporter" / "schema.py"
        last = '    ("flags", TEXT, True),'
        assert last in schema.read_text()
        schema.write_text(schema.read_text().replace(last, '    ("region", TEXT, True),\n' + last))
        (directory / "migrations" / "versions" / "0002_next.py").write_text(
            MIGRATION.format(seconds=seconds, then=then)
        )

    def start(self, *arguments: str, url: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments], cwd=self.directory, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(
                self.directory, PYTHONPATH=str(self.directory), REPORTER_DATABASE_URL=url,
                REPORTER_SPOOL_DIR=str(self.directory / "spool"),
            ),
        )  # fmt: skip

    def run(self, *arguments: str, url: str) -> tuple[int, str, str]:
        process = self.start(*arguments, url=url)
        output, trouble = process.communicate(timeout=60)
        return process.returncode, output, trouble


def has_index(url: str) -> bool:
    store = open_store(url, check_version=False)
    with store.read() as connection:
        catalogue = "sqlite_master" if store.dialect == "sqlite" else "pg_class"
        name = "name" if store.dialect == "sqlite" else "relname"
        return bool(
            connection.exec_driver_sql(f"SELECT count(*) FROM {catalogue} WHERE {name} = 'calls_status'").scalar()
        )


def backups(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.backup-*"))


def database_with_a_call(url: str) -> None:
    """Of this release, so older than the next one's."""
    recorder = reporter.Recorder(url)
    recorder.record(operation="before", duration_seconds=1)
    recorder.close()
    assert migrate.current(url) == "0001"


def operations(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT operation FROM calls ORDER BY operation")]


def test_the_reporter_migrates_an_older_sqlite_database_after_a_backup_and_reads_what_recorders_spooled(
    tmp_path: Path,
) -> None:
    path = tmp_path / "jobs.db"
    url = f"sqlite:///{path}"
    database_with_a_call(url)
    following = NextRelease(tmp_path / "next")

    recording = "import reporter; print(reporter.record(operation='between', duration_seconds=1) is not None)"
    assert following.run("-c", recording, url=url) == (0, "True\n", "")
    assert migrate.current(url) == "0001"  # a recorder migrates nothing
    assert operations(path) == ["before"]

    code, output, trouble = following.run("-m", "reporter", "report", "--format", "json", url=url)

    assert code == 0, trouble
    assert "migrated the database from 0001" in trouble
    assert '"operation": "before"' in output
    assert '"operation": "between"' in output
    assert (migrate.current(url), has_index(url)) == ("0002", True)
    assert operations(path) == ["before", "between"]
    assert backups(tmp_path) == ["jobs.db.backup-0001"]
    assert operations(tmp_path / "jobs.db.backup-0001") == ["before"]
    assert migrate.current(f"sqlite:///{tmp_path}/jobs.db.backup-0001") == "0001"


def test_on_postgres_migrating_is_an_act_of_its_own(postgres_url: str, tmp_path: Path) -> None:
    following = NextRelease(tmp_path / "next")

    code, output, trouble = following.run("-m", "reporter", "report", url=postgres_url)
    assert (code, output) == (1, "")
    assert "the schema is at 0001, this program works with 0002; run: reporter db upgrade" in trouble

    assert following.run("-m", "reporter", "db", "upgrade", url=postgres_url) == (0, "at 0002\n", "")
    assert following.run("-m", "reporter", "report", url=postgres_url)[0] == 0


def test_two_upgrades_at_once_both_succeed_and_migrate_once(database_url: str, tmp_path: Path) -> None:
    migrate.upgrade(database_url)
    following = NextRelease(tmp_path / "next", seconds=1)

    both = [following.start("-m", "reporter", "db", "upgrade", url=database_url) for _ in range(2)]
    told = [process.communicate(timeout=60) for process in both]

    assert [process.returncode for process in both] == [0, 0], told
    assert [output for output, _ in told] == ["at 0002\n"] * 2
    assert has_index(database_url)
    assert backups(tmp_path) == (["jobs.db.backup-0001"] if database_url.startswith("sqlite") else [])


@pytest.mark.parametrize("then", ["raise RuntimeError('half-way')", "import os; os.kill(os.getpid(), 9)"])
def test_an_upgrade_that_dies_half_way_changes_nothing(database_url: str, tmp_path: Path, then: str) -> None:
    migrate.upgrade(database_url)
    following = NextRelease(tmp_path / "next", then=then)

    code, output, trouble = following.run("-m", "reporter", "db", "upgrade", url=database_url)

    assert code != 0
    assert (output, "Traceback" in trouble) == ("", False)
    assert (migrate.current(database_url), has_index(database_url)) == ("0001", False)
    assert migrate.differences(database_url) == []


RECORD = "import reporter; reporter.record(operation='between', duration_seconds=1)"


def test_on_postgres_a_newer_recorder_waits_for_the_upgrade_and_loses_nothing(
    postgres_url: str, tmp_path: Path
) -> None:
    database_with_a_call(postgres_url)
    following = NextRelease(tmp_path / "next")

    code, output, trouble = following.run("-c", RECORD, url=postgres_url)
    assert (code, output, trouble.count("reporter: ")) == (0, "", 1)
    assert 'column "region" of relation "calls" does not exist' in trouble
    assert "its schema is older than this program, run: reporter db upgrade; facts wait in " in trouble
    code, output, trouble = following.run("-m", "reporter", "ingest", "--spool", url=postgres_url)
    assert (code, output) == (1, "")
    assert "run: reporter db upgrade" in trouble

    assert following.run("-m", "reporter", "db", "upgrade", url=postgres_url)[0] == 0
    assert following.run("-m", "reporter", "report", url=postgres_url)[0] == 0
    assert recorded(postgres_url) == ["before", "between"]


def recorded(url: str) -> list[str]:
    with open_store(url, check_version=False).read() as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT operation FROM calls ORDER BY operation")]


def test_this_release_refuses_a_newer_database_and_its_recorder_keeps_recording(
    database_url: str, tmp_path: Path
) -> None:
    database_with_a_call(database_url)
    following = NextRelease(tmp_path / "next")
    assert following.run("-m", "reporter", "db", "upgrade", url=database_url)[0] == 0

    with pytest.raises(SchemaError, match="at 0002, this program works with 0001; it is of a newer reporter, upgrade"):
        open_store(database_url)
    recorder = reporter.Recorder(database_url)
    assert recorder.record(operation="after", duration_seconds=1) is not None
    recorder.close()

    assert recorded(database_url) == ["after", "before"]
    assert following.run("-m", "reporter", "report", url=database_url)[0] == 0
    assert migrate.current(database_url) == "0002"


def test_a_server_that_is_too_old_is_told_so_by_whatever_connects(tmp_path: Path) -> None:
    def answer(listening: socket.socket) -> None:
        """As Postgres 11 does, until it is asked something."""
        while True:
            try:
                client = listening.accept()[0]
            except OSError:
                return
            with client:
                client.recv(4_096)
                told = ((b"R", bytes(4)), (b"S", b"server_version\0" + b"11.22\0"), (b"Z", b"I"))
                client.sendall(b"".join(kind + (len(rest) + 4).to_bytes(4, "big") + rest for kind, rest in told))
                client.recv(4_096)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=answer, args=(listening,), daemon=True).start()
        url = f"postgresql://u@127.0.0.1:{listening.getsockname()[1]}/n?sslmode=disable&gssencmode=disable"
        for command in (["report"], ["db", "upgrade"], ["db", "check"], ["db", "current"]):
            done = console.run(tmp_path, "--database", url, *command)
            assert done.returncode == 1
            assert "the server is Postgres 11; reporter needs 12 or newer: upgrade the server" in done.stderr
