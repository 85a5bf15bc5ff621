"""Reading spool files whose owner is gone, and bringing their lines to Postgres."""

from __future__ import annotations

import fcntl
import json
import os

from reporter.sinks.spool import COLUMNS
from reporter.sinks.statements import (
    call_statement,
    correction_statement,
    run_statement,
    start_statement,
    trouble_statement,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def orphans(directory: str) -> Iterator[tuple[str, int]]:
    """Path and locked descriptor of each file whose owner is gone; close the descriptor when done with it."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".jsonl"))
    except FileNotFoundError:
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


def facts_of(lines: bytes) -> list[tuple[str, tuple[Any, ...]]]:
    """(kind, fact in column order) of each good line; a torn or foreign one is left out."""
    found = []
    for raw in lines.splitlines():
        try:
            told = json.loads(raw)
            columns = COLUMNS[told["kind"]]
        except (ValueError, KeyError, TypeError):
            continue
        if told.get("attributes") is not None:
            told["attributes"] = json.dumps(told["attributes"], separators=(",", ":"))
        found.append((told["kind"], tuple(told.get(name) for name in columns)))
    return found


def write(cursor: Any, mark: str, facts: list[tuple[str, tuple[Any, ...]]]) -> None:
    """Write facts through a DBAPI cursor, within the caller's transaction; twice is harmless."""
    for kind, fact in facts:
        if kind == "call":
            cursor.execute(call_statement(mark), fact)
            if cursor.rowcount == 0:
                cursor.execute(correction_statement(mark), (*fact, fact[0]))
        elif kind == "start":
            cursor.execute(start_statement(mark), (*fact, fact[0]))
        elif kind == "run":
            cursor.execute(run_statement(mark), fact)
        else:
            cursor.execute(trouble_statement(mark), fact)


def ship(url: str, directory: str) -> None:
    """Bring all orphaned files to Postgres, one transaction a file, and remove each once it is committed."""
    import psycopg

    plain = "postgresql://" + url.partition("://")[2]
    connection = None
    try:
        for path, fd in orphans(directory):
            try:
                if connection is None:
                    connection = psycopg.connect(plain, connect_timeout=5)
                with open(fd, "rb", closefd=False) as file, connection.transaction(), connection.cursor() as cursor:
                    write(cursor, "%s", facts_of(file.read()))
                os.unlink(path)
            finally:
                os.close(fd)
    finally:
        if connection is not None:
            connection.close()
