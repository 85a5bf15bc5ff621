"""Reading spool files whose owner is gone, and bringing their lines to Postgres."""

from __future__ import annotations

import fcntl
import os

from reporter import facts
from reporter.lines import COLUMNS, keep_bad, read_lines
from reporter.schema import CALL_COLUMNS, RUN_COLUMNS, START_COLUMNS, TROUBLE_COLUMNS
from reporter.sinks import statements

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from reporter.lines import Fact

CHUNK = 1_000
"""Lines in one transaction: what a deadline cuts short goes on there the next time."""


def orphans(directory: str) -> Iterator[tuple[str, int]]:
    """Path and locked descriptor of each file whose owner is gone; close the descriptor when done with it."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".jsonl"))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        path = os.path.join(directory, name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_ino != os.stat(path).st_ino:
                raise OSError
        except OSError:
            os.close(fd)
            continue
        yield path, fd


def write(cursor: Any, mark: str, told: Iterable[Fact]) -> None:
    """Write facts through a DBAPI cursor, within the caller's transaction; twice is harmless.

    Ends go first, so that the start of a call that has ended is not written at all.
    """
    rows: dict[str, list[tuple[Any, ...]]] = {kind: [] for kind in COLUMNS}
    for kind, fact in told:
        rows[kind].append(fact)
    if mark == "?":
        _write_rows(cursor, rows["call"], rows["start"])
    else:
        _write_arrays(cursor, rows["call"], rows["start"])
    for statement, of_kind in (
        (statements.run_statement(mark, RUN_COLUMNS), rows["run"]),
        (statements.trouble_statement(mark, TROUBLE_COLUMNS), rows["trouble"]),
    ):
        if of_kind:
            cursor.executemany(statement, of_kind)


def _write_rows(cursor: Any, calls: Iterable[tuple[Any, ...]], starts: Iterable[tuple[Any, ...]]) -> None:
    """One by one, as SQLite likes it."""
    call = statements.call_statement("?", CALL_COLUMNS)
    correction = statements.correction_statement("?", CALL_COLUMNS)
    for fact in calls:
        cursor.execute(call, fact)
        if cursor.rowcount == 0:
            cursor.execute(correction, (*fact, fact[0]))
    cursor.executemany(statements.start_statement("?", START_COLUMNS), ((*fact, fact[0]) for fact in starts))


def _write_arrays(cursor: Any, calls: list[tuple[Any, ...]], starts: list[tuple[Any, ...]]) -> None:
    """All at once: Postgres answers a statement at a time, and each answer takes longer than its row."""
    if calls:
        cursor.execute(statements.calls_statement(CALL_COLUMNS), _columns(calls))
        new = {row[0] for row in cursor.fetchall()}
        known = [fact for fact in calls if fact[0] not in new]
        if known:
            cursor.execute(statements.corrections_statement(CALL_COLUMNS), _columns(known))
    if starts:
        cursor.execute(statements.starts_statement(START_COLUMNS), _columns(starts))


def _columns(rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


class Shipping:
    """One shipping of all orphaned files, which another thread may cut short."""

    def __init__(self, url: str, directories: Iterable[str]) -> None:
        self.url, self.directories = url, directories
        self.lines = 0  # that are committed
        self._line: Any = None  # the connection's socket once more
        self._cut = False

    def run(self) -> None:
        """Bring the files to Postgres, and remove each once all its lines are committed.

        Raises:
            ImportError: psycopg is not installed.
            psycopg.Error: the server can't be reached, would not take them, or `cut` came first.
            OSError: a file can't be read, or removed.
        """
        connection = None
        try:
            for directory in self.directories:
                for path, fd in orphans(directory):
                    try:
                        if connection is None:
                            connection = self._connect()
                        self._ship(connection, path, fd)
                    finally:
                        os.close(fd)
        finally:
            if connection is not None:
                connection.close()
            if self._line is not None:
                self._line.close()

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
        with open(fd, "rb", closefd=False) as file:
            lines = file.read().splitlines(keepends=True)
        bad: list[tuple[bytes, str]] = []
        for first in range(0, len(lines), CHUNK):
            good, wrong = read_lines(lines[first : first + CHUNK])
            bad += wrong
            if first + CHUNK >= len(lines):
                good += told_of(path, len(bad))
            with connection.transaction(), connection.cursor() as cursor:
                write(cursor, "%s", good)
            self.lines += len(good)
        keep_bad(path + ".bad", bad)
        os.unlink(path)


def told_of(path: str, bad: int) -> list[Fact]:
    """The trouble that a spool file with so many bad lines is; the same one each time the file is read."""
    if not bad:
        return []
    from reporter.ids import uuid7_of

    at_ns = os.stat(path).st_mtime_ns
    told = {
        "trouble_id": uuid7_of(at_ns, path.encode("utf-8", "surrogateescape")), "at_ns": at_ns,
        "host": os.uname().nodename, "trouble": "bad_line", "occurrences": bad,
        "detail": facts.text(path + ".bad", 1_000),
    }  # fmt: skip
    return [("trouble", tuple(told.get(name) for name in TROUBLE_COLUMNS))]
