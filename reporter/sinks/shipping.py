"""Reading spool files whose owner is gone, and bringing their lines to Postgres."""

from __future__ import annotations

import fcntl
import json
import os

from reporter.schema import CALL_COLUMNS, RUN_COLUMNS, START_COLUMNS, TROUBLE_COLUMNS
from reporter.sinks.statements import (
    call_statement,
    run_statement,
    start_statement,
    trouble_statement,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Fact = tuple[str, tuple[Any, ...]]  # its kind, and its values in the order of COLUMNS

COLUMNS = {"call": CALL_COLUMNS, "start": START_COLUMNS, "run": RUN_COLUMNS, "trouble": TROUBLE_COLUMNS}


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


def facts_of(lines: bytes) -> tuple[list[Fact], list[bytes]]:
    """The facts of a spool file, and its lines that are none: torn or foreign ones."""
    found, bad = [], []
    for raw in lines.splitlines():
        if not raw:
            continue
        try:
            told = json.loads(raw)
            columns = COLUMNS[told["kind"]]
        except (ValueError, KeyError, TypeError):
            bad.append(raw)
            continue
        if told.get("attributes") is not None:
            told["attributes"] = json.dumps(told["attributes"], separators=(",", ":"))
        found.append((told["kind"], tuple(told.get(name) for name in columns)))
    return found, bad


def write(cursor: Any, mark: str, facts: Iterable[Fact]) -> None:
    """Write facts through a DBAPI cursor, within the caller's transaction; twice is harmless."""
    call = call_statement(mark, CALL_COLUMNS)
    start, run = start_statement(mark, START_COLUMNS), run_statement(mark, RUN_COLUMNS)
    for kind, fact in facts:
        if kind == "call":
            cursor.execute(call, (*fact, fact[0]))
        elif kind == "start":
            cursor.execute(start, (*fact, fact[0]))
        elif kind == "run":
            cursor.execute(run, fact)
        else:
            cursor.execute(trouble_statement(mark, TROUBLE_COLUMNS), fact)


def ship(url: str, directories: Iterable[str]) -> None:
    """Bring all orphaned files to Postgres, one transaction a file, and remove each once it is committed.

    Raises:
        ImportError: psycopg is not installed.
        psycopg.Error: the server can't be reached, or would not take them.
    """
    connection = None
    try:
        for directory in directories:
            for path, fd in orphans(directory):
                try:
                    if connection is None:
                        connection = _connect(url)
                    with open(fd, "rb", closefd=False) as file:
                        facts, bad = facts_of(file.read())
                    with connection.transaction(), connection.cursor() as cursor:
                        write(cursor, "%s", [*facts, *_told_of(path, bad)])
                    os.unlink(path)
                finally:
                    os.close(fd)
    finally:
        if connection is not None:
            connection.close()


def _connect(url: str) -> Any:
    import psycopg

    return psycopg.connect("postgresql://" + url.partition("://")[2], connect_timeout=5)


def _told_of(path: str, bad: list[bytes]) -> list[Fact]:
    """Put lines that are no facts aside, and count them."""
    if not bad:
        return []
    with open(os.open(path + ".bad", os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(b"\n".join(bad) + b"\n")
    from reporter.ids import uuid7_of

    at_ns = os.stat(path).st_mtime_ns
    told = {
        "trouble_id": uuid7_of(at_ns, path.encode("utf-8", "surrogateescape")), "at_ns": at_ns,
        "host": os.uname().nodename, "trouble": "bad_line", "occurrences": len(bad), "detail": path + ".bad",
    }  # fmt: skip
    return [("trouble", tuple(told.get(name) for name in TROUBLE_COLUMNS))]
