"""Ad hoc SQL that can't write, can't reach beyond the database, and ends in time.

SQLite     the file opened read-only; an authorizer lets reading through and nothing else (read-only alone allows ATTACH and
           VACUUM INTO); lengths limited; a deadline looked at every few thousand steps of its machine
           (not within one function, such as instr over a megabyte: `Watchdog` is for what does not come back)
Postgres   a read-only transaction of a read-only session; the query as a cursor's, because only a query can be declared as
           one, by the protocol that takes one command at a time; a time limit in the server, and one here that cancels.
           What a role may read, and which functions it may call, is the role's affair: docs/questions.md has one that
           may read the views and nothing else
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

from reporter.errors import QueryError, StoreError
from reporter.store import Store

MOST_QUERY_BYTES = 100_000
MOST_CELL_BYTES = 1_000_000
_STEPS = 10_000  # of SQLite's machine between two looks at the clock
_FETCHED = 500
_GRACE_SECONDS = 1.0  # that a server's own limit has before its query is cancelled from here
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
_WRITES_FILES = {"load_extension", "writefile", "readfile", "edit", "fts3_tokenizer"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A query's columns and rows; rows are fetched as they are read."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


class Watchdog:
    """Ends this process where the database does not come back: a server that stands still, a function that never ends.

    Nothing gentler is left then: neither can be interrupted.  For a program that does nothing else.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(min(0.2, self._seconds / 4))
            since = self._since
            if since is not None and time.monotonic() - since > self._seconds:
                told = f"reporter: the database did not come back within {self._seconds:g} s; ask for less\n"
                sys.stderr.write(told)
                sys.stderr.flush()
                os._exit(QueryError.exit_code)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While the database has the word."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def over(self, rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """The same rows, each waited for under watch."""
        while True:
            self._since = time.monotonic()
            try:
                row = next(rows)
            except StopIteration:
                return
            finally:
                self._since = None
            yield row


@contextmanager
def ask(store: Store, query: str, *, seconds: float) -> Iterator[Answer]:
    """Run one query that only reads, for at most `seconds`.

    Raises:
        QueryError: it is no query, it would write or reach elsewhere, it takes too long; the database's words are in it.
    """
    if len(query.encode("utf-8", "replace")) > MOST_QUERY_BYTES:
        raise QueryError(f"the query is longer than {MOST_QUERY_BYTES} bytes")
    if not query.strip().rstrip(";"):
        raise QueryError("there is no query; `reporter sql --schema` lists what can be asked")
    asked = _ask_sqlite if store.dialect == "sqlite" else _ask_postgres
    with asked(store, query, seconds) as answer:
        yield answer


@contextmanager
def _ask_sqlite(store: Store, query: str, seconds: float) -> Iterator[Answer]:
    path = Path(str(store.engine.url.database)).resolve()
    ends = time.monotonic() + seconds
    late = False

    def over() -> bool:
        nonlocal late
        late = time.monotonic() > ends
        return late

    def allowed(action: int, first: str | None, second: str | None, *_: Any) -> int:
        if action in _READS or (action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _WRITES_FILES):
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    try:
        with closing(
            sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5, isolation_level=None)
        ) as connection:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_CELL_BYTES)
            connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, MOST_QUERY_BYTES)
            connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
            connection.setlimit(
                sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000
            )  # no clock is looked at while one is matched
            connection.set_authorizer(allowed)
            connection.set_progress_handler(over, _STEPS)
            try:
                cursor = connection.execute(query)
                if cursor.description is None:
                    raise QueryError("only queries can be asked: SELECT …, WITH … SELECT …, VALUES …")
                yield Answer(tuple(column[0] for column in cursor.description), _fetched(cursor))
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise QueryError(_sqlite_words(error, seconds, late)) from None
    except sqlite3.Error as error:
        raise StoreError(f"{path}: can't be read: {error}") from None


def _sqlite_words(error: Exception, seconds: float, late: bool) -> str:
    if late:
        return f"not done within {seconds:g} s; --timeout allows more, a WHERE on time needs less"
    if any(word in str(error) for word in ("not authorized", "authorization denied", "prohibited")):
        return "only reading is allowed here"
    if "one statement at a time" in str(error):
        return "one query at a time"
    return str(error)


@contextmanager
def _ask_postgres(store: Store, query: str, seconds: float) -> Iterator[Answer]:
    import psycopg
    from psycopg.pq import TransactionStatus

    with store.engine.connect() as pooled:
        connection: Any = pooled.connection.driver_connection
        timer = Timer(seconds + _GRACE_SECONDS, _cancel, [connection])
        timer.daemon = True
        timer.start()
        try:
            connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            connection.commit()
            connection.execute(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
            connection.execute("SET LOCAL search_path = public, pg_catalog")
            connection.execute("SET LOCAL TimeZone = 'UTC'")  # as SQLite's CURRENT_DATE is
            cursor = connection.cursor()
            # `binary` makes it the extended protocol, in which a command is one: by the simple one,
            # `SELECT 1; COMMIT; DELETE FROM calls` would be three.  A DECLARE answers nothing that could be binary.
            cursor.execute(b"DECLARE asked NO SCROLL CURSOR FOR " + query.encode(), binary=True, prepare=False)
            cursor.execute(f"FETCH FORWARD {_FETCHED} FROM asked")
            yield Answer(tuple(column.name for column in cursor.description or ()), _fetched_on(cursor))
        except psycopg.errors.QueryCanceled:
            raise QueryError(
                f"not done within {seconds:g} s; --timeout allows more, a WHERE on time needs less"
            ) from None
        except psycopg.errors.ReadOnlySqlTransaction:
            raise QueryError("only reading is allowed here") from None
        except psycopg.Error as error:
            raise QueryError(_postgres_words(error)) from None
        finally:
            timer.cancel()
            if connection.info.transaction_status != TransactionStatus.IDLE:
                connection.rollback()
            pooled.invalidate()  # nothing else is done by a session that may only read


def _cancel(connection: Any) -> None:
    import psycopg

    try:
        # Not `cancel`, which keeps all of Python waiting for a server that stands still.
        connection.cancel_safe(timeout=_GRACE_SECONDS)
    except psycopg.Error:
        pass  # it did not hear; `Watchdog` is for that


def _postgres_words(error: Any) -> str:
    told = " ".join(str(error.diag.message_primary or error).split())
    return f"{told}; only one query can be asked at a time" if "multiple commands" in told else told


def _fetched(cursor: Any) -> Iterator[tuple[Any, ...]]:
    while rows := cursor.fetchmany(_FETCHED):
        yield from rows


def _fetched_on(cursor: Any) -> Iterator[tuple[Any, ...]]:
    while rows := cursor.fetchall():
        yield from rows
        cursor.execute(f"FETCH FORWARD {_FETCHED} FROM asked")
