"""Ingest: JSON Lines become rows, each once, however often a file is read.

One object a line, `"kind"` call, run, start or trouble, columns as in the tables; times may also be `ended_at`, `started_at`
(RFC 3339 with a zone, or epoch seconds), lengths `duration_seconds`, `ttft_seconds`, money `cost_usd`.  A line without an id
gets one made from its content.  What can't be read goes to `FILE.bad` with the reason, and the rest goes in.

A spool directory is read the same way: files whose process is gone are removed once their lines are committed, those of
living processes are read and left alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text

from reporter import state
from reporter.errors import StoreError
from reporter.lines import keep_bad, read_lines
from reporter.sinks.shipping import orphans, told_of, write
from reporter.store import Store

if TYPE_CHECKING:
    from reporter.batches import Reads

CHUNK = 5_000
FUTURE_NS = 5 * 60 * 10**9
"""How far ahead of the reporter's clock a call may end without being flagged: more than clocks that are kept differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What one file, or one spool, brought."""

    lines: int
    bad: int


def ingest_file(
    store: Store, path: Path, progress: Callable[[int], None] = lambda size: None, reads: Reads = read_lines
) -> Ingested:
    """Bring the lines of `path` in, as `reads` reads them; `progress` hears the bytes of each chunk.

    Raises:
        StoreError: the file can't be read; chunks before that are in.
    """
    lines = bad = 0
    reasons = path.with_name(path.name + ".bad")
    try:
        reasons.unlink(missing_ok=True)  # of an earlier reading of the same file
        with path.open("rb") as file:
            while chunk := list(islice(file, CHUNK)):
                with store.append() as connection:
                    good, wrong = reads(chunk, _pruned_before_ns(connection))
                    _insert(connection, good)
                    if wrong:
                        state.add(connection, "bad_lines_total", len(wrong))
                keep_bad(str(reasons), wrong, once=False)
                lines += len(chunk)
                bad += len(wrong)
                progress(sum(map(len, chunk)))
    except OSError as error:
        raise StoreError(f"{path}: can't be read: {error.strerror}") from None
    return Ingested(lines=lines, bad=bad)


def batch_reader(store: Store, path: Path, provider: str) -> Reads:
    """What reads a result file of a provider's batch API.

    When a file of this content was first read, and of which moment it was then, is kept: its results are of that moment for
    ever, so that what was counted and pruned since is not taken for new.

    Raises:
        StoreError: the file can't be read.
    """
    from reporter.batches import reader  # few ingest such files

    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        written_ns = path.stat().st_mtime_ns
    except OSError as error:
        raise StoreError(f"{path}: can't be read: {error.strerror}") from None
    name = f"batch_file_{digest}"
    with store.append() as connection:
        known = state.get(connection, name)
        if known is None:
            state.put(connection, name, str(written_ns))
    return reader(provider, written_ns if known is None else int(known), digest)


def ingest_spool(store: Store, directory: str, progress: Callable[[int], None] = lambda size: None) -> Ingested:
    """Bring in what recorders left in a spool directory, and what living ones have in flight.

    `progress` hears the bytes of each file.

    Raises:
        StoreError: a file can't be read, or not removed after that; the others are in, and this one will count once.
    """
    lines = bad = 0
    failed = ""
    for path, fd in orphans(directory):
        try:
            with open(fd, "rb", closefd=False) as file:
                content = file.read().splitlines(keepends=True)
            with store.append() as connection:
                good, wrong = read_lines(content, _pruned_before_ns(connection))
                _insert(connection, [*good, *told_of(path, 0, len(wrong))])
            keep_bad(path + ".bad", wrong)
            os.unlink(path)
        except OSError as error:
            failed = f"{path}: can't be read, or removed after that: {error.strerror}"
            continue
        finally:
            os.close(fd)
        lines += len(content)
        bad += len(wrong)
        progress(sum(map(len, content)))
    for living in sorted(Path(directory).glob("*.jsonl")):
        try:
            content = [line for line in living.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        except OSError:
            continue  # its owner has just replaced it; or is another user
        with store.append() as connection:
            _insert(connection, read_lines(content, _pruned_before_ns(connection))[0])
        lines += len(content)
        progress(sum(map(len, content)))
    if failed:
        raise StoreError(failed)
    return Ingested(lines=lines, bad=bad)


def flag_future(store: Store, now_ns: int) -> int:
    """Flag calls that wait to be folded and end after `now_ns`: somebody's clock is wrong; how many."""
    with store.append() as connection:
        flagged = connection.execute(
            text(
                "UPDATE calls SET flags = CASE WHEN flags IS NULL THEN 'future' ELSE flags || ',future' END"
                " WHERE folded = 0 AND ended_at_ns > :edge"
                " AND (flags IS NULL OR flags NOT LIKE '%future%')"
            ),
            {"edge": now_ns + FUTURE_NS},
        )
        return flagged.rowcount


def _pruned_before_ns(connection: Connection) -> int:
    return state.get_integer(connection, "calls_pruned_before_ns")


def _insert(connection: Connection, good: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
    raw = connection.connection.cursor()
    try:
        write(raw, "?" if connection.dialect.name == "sqlite" else "%s", good)
    finally:
        raw.close()
