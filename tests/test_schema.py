"""The schema is said once: migrations, the recorder's own DDL and the declaration agree, on both databases."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from reporter import migrate, schema
from reporter.errors import ConfigError, SchemaError, StoreError
from reporter.revision import HEAD
from reporter.sinks.sqlite import create
from reporter.store import open_store
from reporter.views import VIEWS
from tests.servers import Postgres

POSTGRES_CATALOGUE = {
    "columns, those of views too": """SELECT table_name, ordinal_position, column_name, data_type, is_nullable,
        collation_name, character_maximum_length, column_default, is_identity, identity_generation
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2""",
    "keys and uniques": """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
    "indexes and their conditions": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1",
    "stamp": "SELECT version_num FROM alembic_version",
}


def sqlite_catalogue(path: Path) -> dict[str, object]:
    """All that SQLite knows of its schema: the text that made each object, read back, and the columns of tables and views."""
    with closing(sqlite3.connect(path)) as connection:
        made = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
        columns = {
            name: connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
            for kind, name, _ in made
            if kind in ("table", "view")
        }
        texts = {name: "".join((sql or "").split()) for _, name, sql in made}
        stamp = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        version = connection.execute("PRAGMA user_version").fetchone()
        return {"made": texts, "columns": columns, "stamp": stamp, "user_version": version}


def postgres_catalogue(url: str) -> dict[str, object]:
    """The same of a Postgres database."""
    import psycopg

    with psycopg.connect(url) as connection:
        return {what: connection.execute(query.encode()).fetchall() for what, query in POSTGRES_CATALOGUE.items()}


def empty_database(postgres: Postgres, name: str) -> str:
    import psycopg

    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return postgres.url(name)


def test_on_sqlite_the_migrations_make_what_the_recorder_makes(tmp_path: Path) -> None:
    migrated, born = tmp_path / "migrated.db", tmp_path / "born.db"
    migrated.touch()
    migrate.upgrade(f"sqlite:///{migrated}")
    with closing(sqlite3.connect(born, isolation_level=None)) as connection:
        create(connection)

    assert sqlite_catalogue(migrated) == sqlite_catalogue(born)


def test_on_postgres_the_migrations_make_what_the_declaration_says(postgres: Postgres, postgres_url: str) -> None:
    import psycopg

    declared = empty_database(postgres, "declared")
    with psycopg.connect(declared) as connection:
        for statement in schema.create_statements("postgresql"):
            connection.execute(statement.encode())

    assert postgres_catalogue(postgres_url) == postgres_catalogue(declared)


def test_a_database_at_head_differs_in_nothing_from_the_declaration(database_url: str) -> None:
    migrate.upgrade(database_url)

    assert migrate.current(database_url) == HEAD
    assert migrate.differences(database_url) == []


def test_views_have_the_same_columns_on_both_databases(tmp_path: Path, postgres_url: str) -> None:
    import psycopg

    path = tmp_path / "jobs.db"
    migrate.upgrade(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as lite, psycopg.connect(postgres_url) as grown:
        for view in VIEWS:
            here = [column[0] for column in lite.execute(f"SELECT * FROM {view}").description]
            there = [column.name for column in grown.execute(f"SELECT * FROM {view}".encode()).description or ()]
            assert here == there, view


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE leases RENAME COLUMN holder TO owner", "table leases has columns"),
        ("DROP INDEX runs_started", "table runs has indexes"),
        ("DROP VIEW v_cost_daily", "view v_cost_daily is missing"),
        ("DROP TABLE pushes", "table pushes is missing"),
        ("CREATE TABLE visitors (name TEXT)", "table visitors is not ours"),
    ],
)
def test_a_difference_is_told(database_url: str, change: str, told: str) -> None:
    migrate.upgrade(database_url)
    with open_store(database_url).write() as connection:
        connection.exec_driver_sql(change)

    (difference,) = migrate.differences(database_url)

    assert told in difference


def test_upgrades_at_once_make_one_schema(tmp_path: Path, postgres: Postgres) -> None:
    path = tmp_path / "jobs.db"
    path.touch()
    for url in (f"sqlite:///{path}", empty_database(postgres, "upgraded_at_once")):
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(migrate.upgrade, [url] * 4)) == [HEAD] * 4
        assert migrate.differences(url) == []


def test_a_newer_schema_is_refused_and_left_alone(database_url: str) -> None:
    migrate.upgrade(database_url)
    with open_store(database_url).write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(SchemaError, match="9999"):
        open_store(database_url)
    with pytest.raises(SchemaError, match="newer reporter"):
        migrate.upgrade(database_url)

    assert migrate.current(database_url) == "9999"


def test_a_postgres_database_without_schema_is_not_created_by_opening_it(postgres: Postgres) -> None:
    url = empty_database(postgres, "without_schema")

    with pytest.raises(SchemaError, match="reporter db upgrade"):
        open_store(url)

    assert migrate.current(url) is None


def test_a_backup_is_whole_private_and_made_while_a_migration_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    store = open_store(f"sqlite:///{path}")
    with store.write() as connection:
        connection.exec_driver_sql("INSERT INTO state (name, value) VALUES ('kept', 'yes')")
    with store.write():
        copy = migrate.back_up(path, "0000")

    assert copy == tmp_path / "jobs.db.backup-0000"
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT value FROM state WHERE name = 'kept'").fetchall() == [("yes",)]


def test_an_unreachable_server_is_told_in_one_line_without_the_password() -> None:
    with pytest.raises(StoreError, match="that the server runs") as caught:
        open_store("postgresql://reporter:canary@127.0.0.1:1/jobs?password=canary")

    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(b"something else, and longer than a header of a hundred bytes " * 4)
    before = path.read_bytes()

    with pytest.raises(StoreError, match="kept as it is"):
        open_store(f"sqlite:///{path}")

    assert path.read_bytes() == before


def test_a_schema_of_another_version_differs(database_url: str) -> None:
    migrate.upgrade(database_url)
    with open_store(database_url).write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert migrate.differences(database_url) == ["the schema is at 9999, this program's is 0001; upgrade this program"]


def test_a_database_that_is_deleted_does_not_come_back_as_an_empty_file(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    (tmp_path / "jobs.db").unlink()
    with pytest.raises(StoreError, match="unable to open"), store.read() as connection:
        connection.exec_driver_sql("SELECT 1 FROM calls")
    assert list(tmp_path.glob("jobs.db")) == []


def test_a_copy_is_one_file_and_nothing_of_an_older_one_gets_into_it(tmp_path: Path) -> None:
    url, copy = f"sqlite:///{tmp_path}/jobs.db", tmp_path / "copy.db"
    open_store(url)
    migrate.backup(url, copy)
    looked = sqlite3.connect(copy)  # somebody looks at it, writes, and is killed
    looked.execute("PRAGMA journal_mode = WAL")
    looked.execute("CREATE TABLE junk (a)")
    looked.commit()
    logs = [path.read_bytes() for path in (copy.with_name("copy.db-wal"), copy.with_name("copy.db-shm"))]
    looked.close()
    for suffix, content in zip(("-wal", "-shm"), logs, strict=True):
        copy.with_name(f"copy.db{suffix}").write_bytes(content)
    migrate.backup(url, copy)
    with closing(sqlite3.connect(copy)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "calls" in names
    assert "junk" not in names
    assert sorted(path.name for path in tmp_path.glob("copy.db*")) == ["copy.db"]


@pytest.mark.parametrize("kind", ["text", "link", "pipe", "directory"])
def test_a_copy_replaces_nothing_but_a_database(tmp_path: Path, kind: str) -> None:
    url, target = f"sqlite:///{tmp_path}/jobs.db", tmp_path / "target"
    open_store(url)
    if kind == "text":
        target.write_text("mine")
    elif kind == "link":
        target.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(target)
    else:
        target.mkdir()
    before = target.lstat()
    with pytest.raises(ConfigError, match="no SQLite file, so it is left alone"):
        migrate.backup(url, target)
    assert target.lstat() == before
