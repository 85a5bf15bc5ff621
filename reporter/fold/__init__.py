"""The fold: each new fact is counted exactly once, however many reporters run and wherever one dies.

    starts that ran out → lost calls; runs that ran out → lost runs          (`ends`)
    corrections → the lost call taken back, the true one counted             (`ends`)
    changed SLOs → counted again from the rows that are left                 (`slos`)
    new calls → priced, added to tallies and totals, and marked              (here, through `rows`)

Every transaction renews the lease first (`reporter.lease`), so a reporter that lost it commits nothing, and whatever only the
fold writes may be read before.  So new calls are read, priced and summed outside, and the writing transaction is short:
on SQLite the jobs wait for it.

What is new is known by the mark on the row itself (`folded_at_ns`), not by "id > last seen", which loses rows that commit
late on Postgres; SQLite's writers commit in rowid order, so there the last folded rowid only saves looking at the older ones.
A batch is sorted by time before it is cut into chunks, because history that arrives in no order would otherwise touch
every hour in every chunk.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, text

from reporter import state
from reporter.errors import StoreError
from reporter.fold.ends import declare_lost, fold_corrections, fold_runs
from reporter.fold.rows import Rows, store
from reporter.fold.slos import register_slos
from reporter.lease import Lease
from reporter.pricing import PriceList
from reporter.slo.spec import SLO
from reporter.store import Store
from reporter.tally import FOLDED, Tallies

BATCH = 100_000
"""Calls read at once, about 80 MB of them."""
CHUNK = 20_000
"""Calls counted in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldResult:
    """What one fold did."""

    calls: int
    lost_calls: int
    corrected_calls: int
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldRules:
    """What decides when something counts as lost: ns, and max_duration by job."""

    lost_after_ns: int = 3600 * 10**9
    run_lost_after_ns: int = 24 * 3600 * 10**9
    max_duration_ns: Mapping[str, int] | None = None


def fold(
    opened: Store,
    lease: Lease,
    slos: Sequence[SLO],
    rules: FoldRules,
    *,
    now_ns: int | None = None,
    progress: Callable[[int], None] = lambda calls: None,
) -> FoldResult:
    """Count all that is new as of `now_ns` (wall clock); `progress` hears how many calls each chunk had.

    Raises:
        LeaseHeld: the lease ran out meanwhile; what was committed before stays counted.
        StoreError: somebody else changed the calls being counted; that chunk was not, and will be by the next fold.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    with _no_cycles():
        return _fold(opened, lease, slos, rules, now_ns, progress)


@contextmanager
def _no_cycles() -> Iterator[None]:
    """Without the collector of cycles: a fold makes millions of tuples and no cycles, and looking for them takes a third."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _fold(
    opened: Store,
    lease: Lease,
    slos: Sequence[SLO],
    rules: FoldRules,
    now_ns: int,
    progress: Callable[[int], None],
) -> FoldResult:
    prices = PriceList()
    counted = register_slos(opened, lease, slos, now_ns)
    with opened.write() as connection:
        lease.renew(connection)
        runs = fold_runs(connection, rules.max_duration_ns or {}, rules.run_lost_after_ns, now_ns)
        lost = declare_lost(connection, rules.lost_after_ns, now_ns)
        corrected = fold_corrections(connection, counted, prices, now_ns)
    folded = 0
    while rows := _new_calls(opened):
        last = max(map(itemgetter(0), rows))
        rows.sort(key=itemgetter(1))
        for first in range(0, len(rows), CHUNK):
            chunk = rows[first : first + CHUNK]
            done = last if first + CHUNK >= len(rows) else None
            _fold_chunk(opened, lease, Tallies(counted, prices), chunk, now_ns, done)
            progress(len(chunk))
        folded += len(rows)
        if len(rows) < BATCH:
            break
    return FoldResult(calls=folded, lost_calls=lost, corrected_calls=corrected, runs=runs)


def pending(connection: Connection) -> int:
    """How many calls wait to be folded."""
    return int(connection.execute(text(f"SELECT count(*) FROM calls WHERE {_unfolded(connection)}")).scalar_one())


def _unfolded(connection: Connection) -> str:
    if connection.dialect.name == "sqlite":
        return f"folded_at_ns IS NULL AND seq > {state.get_integer(connection, 'folded_seq')}"
    return "folded_at_ns IS NULL"


def _new_calls(opened: Store) -> list[tuple[Any, ...]]:
    with opened.read() as connection:
        cursor = Rows(connection).cursor
        cursor.execute(
            f"SELECT {', '.join(FOLDED)} FROM calls WHERE {_unfolded(connection)} ORDER BY seq LIMIT {BATCH}"
        )
        return list(cursor.fetchall())


def _fold_chunk(
    opened: Store, lease: Lease, tallies: Tallies, calls: Sequence[tuple[Any, ...]], now_ns: int, last: int | None
) -> None:
    """Count and mark `calls` in one transaction; `last` is the highest rowid up to which all are folded then."""
    marks = tallies.count(calls)
    with opened.write() as connection:
        lease.renew(connection)
        if Rows(connection).mark(marks, now_ns) != len(marks):
            raise StoreError(f"{opened.url}: calls were changed while they were counted; nothing was kept, run again")
        store(connection, tallies)
        state.add(connection, "calls_folded_total", len(marks))
        if last is not None and opened.dialect == "sqlite":
            state.put(connection, "folded_seq", str(last))
