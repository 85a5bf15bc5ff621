"""Reading spool files whose owner is gone, and bringing their lines to Postgres."""

from __future__ import annotations

import fcntl
import os
from time import time

from reporter import facts
from reporter.lines import COLUMNS, keep_bad, read_lines
from reporter.schema import CALL_COLUMNS, RUN_COLUMNS, START_COLUMNS, TROUBLE_COLUMNS
from reporter.sinks import statements

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from reporter.lines import Fact

    Rows = list[tuple[Any, ...]]

NEWBORN_SECONDS = 60.0
CHUNK = 1_000
"""Lines in one transaction."""


def orphans(directory: str, only: str | None = None) -> Iterator[tuple[str, int]]:
    """Path and locked descriptor of each file whose owner is gone, or of that one; close the descriptor when done with it."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith((".jsonl", ".new")))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        path = os.path.join(directory, name)
        if only not in (None, path):
            continue
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(fd)
            if found.st_ino != os.stat(path).st_ino:
                raise OSError
            if found.st_size == 0 and time() - found.st_mtime < NEWBORN_SECONDS:
                raise OSError  # its owner has made it and not locked it yet: what it will write must not be removed
        except OSError:
            os.close(fd)
            continue
        yield path, fd


def write(cursor: Any, mark: str, told: Iterable[Fact]) -> None:
    """Write facts through a DBAPI cursor, within the caller's transaction; twice is harmless.

    Ends go first, so that the start of a call that has ended is not written at all.
    """
    rows: dict[str, Rows] = {kind: [] for kind in COLUMNS}
    for kind, fact in told:
        rows[kind].append(fact)
    if mark == "?":
        _write_rows(cursor, rows["call"], rows["start"], rows["run"])
    else:
        _write_arrays(cursor, rows["call"], rows["start"], rows["run"])
    if rows["trouble"]:
        cursor.executemany(statements.trouble_statement(mark, TROUBLE_COLUMNS), rows["trouble"])


def _write_rows(cursor: Any, calls: Rows, starts: Rows, runs: Rows) -> None:
    """One by one, as SQLite likes it."""
    for statement, rows in (
        (statements.call_statement("?", CALL_COLUMNS), calls),
        (statements.start_statement("?", START_COLUMNS), starts),
    ):
        cursor.executemany(statement, ((*fact, fact[0]) for fact in rows))
    cursor.executemany(statements.run_statement("?", RUN_COLUMNS), runs)


def _write_arrays(cursor: Any, calls: Rows, starts: Rows, runs: Rows) -> None:
    """All at once: Postgres answers a statement at a time, and each answer takes longer than its row."""
    if calls:
        _write_calls(cursor, calls)
    if starts:
        cursor.execute(statements.starts_statement(START_COLUMNS), _columns(starts))
    if runs:
        named = [dict(zip(RUN_COLUMNS, fact, strict=True)) for fact in runs]
        cursor.executemany(statements.run_statement_by_name(RUN_COLUMNS), named)


def _write_calls(cursor: Any, calls: Rows) -> None:
    """Insert calls; those that were declared lost a moment ago, and are not counted yet, get their true ends.

    A fold that counts them between two statements here makes room for another row beside the lost one; so once more.
    """
    rest = calls
    for _ in range(2):
        cursor.execute(statements.calls_statement(CALL_COLUMNS), _columns(rest))
        new = {row[0] for row in cursor.fetchall()}
        rest = [fact for fact in rest if fact[0] not in new and fact[_STATUS] != "lost"]
        if not rest:
            return
        cursor.execute(statements.ENDED_STATEMENT, ([fact[0] for fact in rest],))
        known = {row[0] for row in cursor.fetchall()}
        rest = [fact for fact in rest if fact[0] not in known]
        if not rest:
            return
        cursor.execute(statements.ends_statement(CALL_COLUMNS), _columns(rest))


def _columns(rows: Rows) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


_STATUS = CALL_COLUMNS.index("status")


def load_driver() -> None:
    """Import what a flush needs, so that the first one is not late for it; a driver that is missing is told by the flush."""
    try:
        import socket  # noqa: F401  # not to be used here, but to be there

        import psycopg  # noqa: F401
    except ImportError:
        return


class Shipping:
    """One shipping of all orphaned files, or of the `only` one, which another thread may cut short."""

    def __init__(self, url: str, directories: Iterable[str], only: str | None = None) -> None:
        self.url, self.directories, self.only = url, directories, only
        self.lines = 0  # that are committed
        self._line: Any = None  # the connection's socket once more
        self._cut = False

    def run(self) -> None:
        """Bring the files to Postgres, and remove each once all its lines are committed.

        Raises:
            ImportError: psycopg is not installed.
            psycopg.Error: the server can't be reached, would not take them, or `cut` came first.
            OSError: a file can't be read, or removed; the others are shipped.
        """
        connection, failed = None, None
        try:
            for directory in self.directories:
                for path, fd in orphans(directory, self.only):
                    try:
                        if connection is None:
                            connection = self._connect()
                        self._ship(connection, path, fd)
                    except OSError as error:
                        failed = error
                    finally:
                        os.close(fd)
        finally:
            if connection is not None:
                connection.close()
            if self._line is not None:
                self._line.close()
        if failed is not None:
            raise failed

    def cut(self) -> None:
        """Give up: hang up on a server that may never answer, so that the thread in `run` comes back and lets the files go.

        The socket is a second handle of our own, because the connection's may be closed, and its number another file's,
        by the time it is used here.
        """
        self._cut = True
        if self._line is not None:
            try:
                self._line.shutdown(2)  # both directions
            except OSError:  # the other side hung up first
                pass

    def _connect(self) -> Any:
        import socket

        import psycopg

        connection = psycopg.connect(
            "postgresql://" + self.url.partition("://")[2], connect_timeout=5, prepare_threshold=None
        )
        self._line = socket.socket(fileno=os.dup(connection.fileno()))
        if self._cut:
            self.cut()
        return connection

    def _ship(self, connection: Any, path: str, fd: int) -> None:
        """Ship a file from its end, and cut off what is committed: so a deadline costs no more than the last chunk."""
        with open(fd, "rb", closefd=False) as file:
            lines = file.read().splitlines(keepends=True)
        size = sum(map(len, lines))
        while lines:
            chunk = lines[-CHUNK:]
            del lines[-CHUNK:]
            size -= sum(map(len, chunk))
            good, bad = read_lines(chunk)
            with connection.transaction(), connection.cursor() as cursor:
                write(cursor, "%s", [*good, *told_of(path, size, len(bad))])
            self.lines += len(good)
            keep_bad(path + ".bad", bad)
            if lines:
                os.ftruncate(fd, size)
        os.unlink(path)


def told_of(path: str, offset: int, bad: int) -> list[Fact]:
    """The trouble that so many bad lines of a spool file from `offset` on are; the same one each time they are read."""
    if not bad:
        return []
    from reporter.ids import uuid7_of

    at_ns = os.stat(path).st_mtime_ns
    told = {
        "trouble_id": uuid7_of(at_ns, f"{path}:{offset}".encode("utf-8", "surrogateescape")), "at_ns": at_ns,
        "host": os.uname().nodename, "trouble": "bad_line", "occurrences": bad,
        "detail": facts.text(path + ".bad", 1_000),
    }  # fmt: skip
    return [("trouble", tuple(told.get(name) for name in TROUBLE_COLUMNS))]
