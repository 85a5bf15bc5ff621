"""Migrations: from whatever schema a database has to this program's, and the proof that it got there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from reporter import schema
from reporter.errors import ConfigError, SchemaError, StoreError
from reporter.revision import HEAD
from reporter.store import open_store
from reporter.views import VIEWS

_LOCK = 0x7265706F72746572  # "reporter": the advisory lock of upgrades


def scripts() -> Path:
    """The directory of migrations, in an installed wheel or in a checkout."""
    package = Path(__file__).parent
    for place in (package / "migrations", package.parent / "migrations"):
        if (place / "env.py").exists():
            return place
    raise SchemaError(f"no migrations beside {package}; install reporter again")


def upgrade(url: str) -> str:
    """Bring the database at `url` to head, in one transaction; the revision it is at then.

    A SQLite file that has a schema already is copied first, to `<file>.backup-<revision>`.  Upgrades at once wait for each
    other, and those that come second find nothing to do.

    Raises:
        SchemaError: it is of a version this program does not know.
        StoreError: it can't be reached or written.
    """
    from alembic import command

    store = open_store(url, check_version=False)
    with store.write() as connection:
        if store.dialect == "postgresql":
            # What another upgrade committed while this one waited for the lock must be seen.
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = _revision(connection)
        config = Config()
        config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
        config.attributes["connection"] = connection
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if found is not None and found not in known:
            raise SchemaError(f"{store.url}: the schema is at {found}, of a newer reporter; upgrade this program")
        if store.dialect == "sqlite" and found not in (None, HEAD):
            back_up(Path(str(store.engine.url.database)), str(found))
        command.upgrade(config, "head")
    return HEAD


def upgrade_older(url: str) -> str | None:
    """Bring a database of an earlier release to head; the revision it was at, None if there was nothing to do.

    Raises:
        StoreError: as `upgrade`.
    """
    found = current(url)
    if found is None or found >= HEAD:  # revisions are numbers of four digits
        return None
    upgrade(url)
    return found


def back_up(path: Path, revision: str) -> Path:
    """Copy the SQLite file at `path`, as last committed, to `<path>.backup-<revision>`; the copy's path.

    Raises:
        StoreError: there is no room for the copy, or no right to make it.
    """
    copy = path.with_name(f"{path.name}.backup-{revision}")
    try:
        _copy(path, copy)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{copy}: can't back up before migrating: {error}; nothing was changed") from None
    return copy


def backup(url: str, copy: Path) -> int:
    """Copy the SQLite database at `url`, as last committed, to the file `copy`, while others write on; its bytes.

    An older copy stays whole until the new one is, and is then replaced.

    Raises:
        ConfigError: it is not SQLite, or the copy would be the database itself.
        StoreError: there is no database, no room for the copy, or no right to make it.
    """
    store = open_store(url, must_exist=True, check_version=False)
    if store.dialect != "sqlite":
        raise ConfigError("backup: copies SQLite files; of a Postgres database, pg_dump makes one")
    path = Path(str(store.engine.url.database))
    if copy.exists() and copy.samefile(path):
        raise ConfigError(f"--to {copy}: is the database itself")
    try:
        _copy(path, copy)
        return copy.stat().st_size
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{copy}: can't back up: {error}") from None


def _copy(path: Path, copy: Path) -> None:
    unfinished = copy.with_name(f"{copy.name}.part")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(0o600)
    # Through a connection of its own: closing a plain handle of the file would drop this process' locks on it.
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(unfinished)) as target:
        source.backup(target)
    unfinished.replace(copy)


def current(url: str) -> str | None:
    """The revision the database is at; None without a schema."""
    store = open_store(url, must_exist=True, check_version=False)
    with store.read() as connection:
        return _revision(connection)


def differences(url: str) -> list[str]:
    """How the database differs from the declared schema, a sentence each; empty if it does not."""
    store = open_store(url, must_exist=True, check_version=False)
    with store.read() as connection:
        return compare(connection)


def compare(connection: Connection) -> list[str]:
    """As `differences`, over an open connection."""
    revision = _revision(connection)
    if revision is not None and revision != HEAD:
        remedy = "run: reporter db upgrade" if revision < HEAD else "upgrade this program"
        return [f"the schema is at {revision}, this program's is {HEAD}; {remedy}"]
    found = inspect(connection)
    tables, views = set(found.get_table_names()), set(found.get_view_names())
    told = []
    for table, (declared, primary_key, uniques) in schema.TABLES.items():
        if table not in tables:
            told.append(f"table {table} is missing")
            continue
        actual = {column["name"]: column for column in found.get_columns(table)}
        expected = [name for name, _, _ in declared]
        if list(actual) != expected:
            told.append(f"table {table} has columns {', '.join(actual)}; expected {', '.join(expected)}")
            continue
        for name, kind, nullable in declared:
            if name not in primary_key and bool(actual[name]["nullable"]) is not nullable:
                told.append(f"{table}.{name} should be {'nullable' if nullable else 'NOT NULL'}")
            if str(actual[name]["type"]).upper().partition(" COLLATE")[0] != schema.type_name(
                connection.dialect.name, kind
            ) and name not in (("series_id", "slo_id") if connection.dialect.name == "sqlite" else ()):
                told.append(f"{table}.{name} is {actual[name]['type']}, not {kind}")
        if tuple(found.get_pk_constraint(table)["constrained_columns"]) != primary_key:
            told.append(f"table {table} should have the primary key ({', '.join(primary_key)})")
        unique = {tuple(constraint["column_names"]) for constraint in found.get_unique_constraints(table)}
        if unique != set(uniques):
            told.append(f"table {table} has unique constraints {sorted(unique)}; expected {sorted(uniques)}")
        indexes = {i["name"] for i in found.get_indexes(table) if not i.get("duplicates_constraint")}
        wanted = {name for name, (of, _, _) in schema.INDEXES.items() if of == table}
        if indexes != wanted:
            told.append(f"table {table} has indexes {sorted(map(str, indexes))}; expected {sorted(wanted)}")
    told += [f"view {view} is missing" for view in VIEWS if view not in views]
    told += [f"table {table} is not ours" for table in sorted(tables - schema.TABLES.keys() - {"alembic_version"})]
    return told


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
