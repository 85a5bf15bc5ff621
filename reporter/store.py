"""The store: a database at head, opened for reading snapshots and for writing transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from reporter.errors import ConfigError, ReporterError, SchemaError, StoreConflict, StoreError
from reporter.revision import HEAD
from reporter.sinks.postgresql import misread, without_secrets
from reporter.sinks.sqlite import create

BUSY_SECONDS = 5.0
OLDEST_POSTGRES = 12
"""The oldest that is tried; docs/postgres.md names it."""
PATIENCE = {
    "connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000,
}  # fmt: skip
"""libpq's parameters, unless the URL has them: that the server's machine is gone is noticed in a minute, not hours."""
IDLE_SECONDS = 60
"""After so long without a word in mid-transaction Postgres ends it, so that who was suspended or cut off lets go of its rows,
the lease's among them.  We pause for seconds at most."""


@dataclass(frozen=True, slots=True)
class Store:
    """An open database; `url` has no password."""

    engine: Engine
    url: str
    dialect: str

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One snapshot, for reading.

        Raises:
            StoreError: the database can't be read; the message says why and what to do.
        """
        with _translated(self.url, self.engine), self.engine.connect() as connection:
            if self.dialect == "sqlite":
                connection.exec_driver_sql("BEGIN")
            else:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection
            connection.rollback()

    def write(self) -> AbstractContextManager[Connection]:
        """One transaction over one snapshot, for writing; committed at the end, rolled back on an exception.

        Raises:
            StoreError: the database can't be written; nothing of this transaction was kept.
        """
        return self._transaction("REPEATABLE READ")

    def append(self) -> AbstractContextManager[Connection]:
        """As `write`, for rows that others may be adding at the same moment: on a snapshot, Postgres would refuse those.

        Raises:
            StoreError: as `write`.
        """
        return self._transaction("READ COMMITTED")

    @contextmanager
    def unbound(self) -> Iterator[Connection]:
        """A connection outside of any transaction, for what a database does in none.

        Raises:
            StoreError: the database can't be reached, or would not do it.
        """
        with _translated(self.url, self.engine), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _transaction(self, isolation: str) -> Iterator[Connection]:
        with _translated(self.url, self.engine), self.engine.connect() as connection:
            if self.dialect == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql(
                    f"SET TRANSACTION ISOLATION LEVEL {isolation};"
                    f" SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'"
                )
            yield connection
            connection.commit()


def open_store(url: str, *, must_exist: bool = False, check_version: bool = True) -> Store:
    """Open the database at `url`; a SQLite file that is not there yet is created, unless it `must_exist`.

    Raises:
        ConfigError: the URL is none, or of a database this program does not know.
        SchemaError: the schema is missing or of another version.
        StoreError: the database can't be reached.
    """
    parsed = _parse(url)
    dialect = parsed.get_backend_name()
    shown = parsed.difference_update_query(["password", "sslpassword"]).render_as_string(hide_password=True)
    if dialect == "sqlite":
        path = Path(parsed.database or "")
        if not path.exists():
            if must_exist:
                raise StoreError(
                    f"{path}: there is no such database; a job makes it with its first call, `reporter ingest` does, too"
                )
            _create(path)
        uri = (
            f"{path.resolve().as_uri()}?mode=rw"  # a file that is deleted meanwhile does not come back as an empty one
        )

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)

        engine = create_engine(parsed, poolclass=NullPool, hide_parameters=True, creator=connect)
        event.listen(engine, "connect", _set_pragmas)
    else:
        patience = {name: value for name, value in PATIENCE.items() if name not in parsed.query}
        engine = create_engine(parsed, poolclass=NullPool, hide_parameters=True, connect_args=patience)
        event.listen(engine, "connect", _refuse_too_old, insert=True)  # before anything is asked of it
    store = Store(engine, shown, dialect)
    if check_version:
        _check_version(store)
    return store


def _parse(url: str) -> URL:
    if url.startswith("postgres") and misread(url):
        raise ConfigError(f"database: {misread(url)}")
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError("database: not a database URL; write sqlite:///FILE or postgresql://USER@HOST/NAME") from None
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        backend = parsed.get_backend_name()
        parsed.get_dialect()
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(
            f"database: {parsed.drivername}: {error}; for Postgres: pip install 'reporter[postgres]'"
        ) from None
    if backend not in ("sqlite", "postgresql"):
        raise ConfigError(f"database: {backend} is not supported; write sqlite:///FILE or postgresql://USER@HOST/NAME")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigError("database: a SQLite database in memory is gone with its process; write sqlite:///FILE")
    return parsed


def _create(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
        try:
            create(connection)
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StoreError(f"{path}: can't create the database: {why}") from None


def _set_pragmas(connection: sqlite3.Connection, record: object) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -32768")  # a chunk of the fold; the default spills it to disk half-way


def _refuse_too_old(connection: Any, record: object) -> None:
    found = connection.info.server_version // 10_000
    if found < OLDEST_POSTGRES:
        raise StoreError(
            f"the server is Postgres {found}; reporter needs {OLDEST_POSTGRES} or newer: upgrade the server"
        )


def _check_version(store: Store) -> None:
    try:
        with store.read() as connection:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except StoreError as error:
        said = str(error.__cause__.orig) if isinstance(error.__cause__, DBAPIError) else ""
        if "permission denied" in said:
            raise StoreError(
                f"{store.url}: this role may not read the tables; `reporter db grants` prints what each role needs"
            ) from None
        if "alembic_version" in said:
            raise SchemaError(f"{store.url}: the database has no schema yet; run: reporter db upgrade") from None
        raise
    if found != HEAD:
        is_newer = found is not None and found > HEAD  # revisions are numbers of four digits
        remedy = "it is of a newer reporter, upgrade this program" if is_newer else "run: reporter db upgrade"
        raise SchemaError(f"{store.url}: the schema is at {found}, this program works with {HEAD}; {remedy}")


@contextmanager
def _translated(url: str, engine: Engine) -> Iterator[None]:
    """The one place where a driver's errors become ours."""
    try:
        yield
    except ReporterError:
        raise
    except DBAPIError as error:
        raise _kind(error.orig)(f"{url}: {_advice(error.orig, engine)}") from error
    except engine.dialect.loaded_dbapi.Error as error:  # from a cursor of the driver's own
        raise _kind(error)(f"{url}: {_advice(error, engine)}") from error


def _kind(error: object) -> type[StoreError]:
    return StoreConflict if getattr(error, "sqlstate", None) in _CONFLICTS else StoreError


def _advice(error: object, engine: Engine) -> str:
    message = without_secrets(str(error), engine.url.render_as_string(hide_password=False))
    return next((f"{message}; {remedy}" for sign, remedy in _REMEDIES if sign in message), message)


_CONFLICTS = ("40001", "40P01")  # serialization failure, deadlock
_REMEDIES = (
    ("could not serialize", "somebody else wrote the same rows at that moment: try again"),
    ("deadlock detected", "somebody else wrote the same rows at that moment: try again"),
    ("not a database", "the file is kept as it is: restore a backup, or move it away to begin anew"),
    ("malformed", "the file is kept as it is: restore a backup, or move it away to begin anew"),
    ("locked", f"another program held it for {BUSY_SECONDS:.0f} s; try again"),
    ("disk is full", "make room, then run again; nothing of this was kept"),
    ("unable to open", "name a file, not a directory, that this user may read and write"),
    ("readonly database", "give this user the right to write the file and its directory"),
    ("read-only transaction", "this server is a standby; name the primary in the database URL"),
    ("authentication failed", "check user and password in the database URL"),
    ("no password supplied", "put a password into the database URL, PGPASSWORD or ~/.pgpass"),
    ("connection failed", "check host, port and name in the database URL, and that the server runs"),
)
