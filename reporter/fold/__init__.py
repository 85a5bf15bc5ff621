"""The fold: each new fact is counted exactly once, however many reporters run and wherever one dies.

    starts that ran out → lost calls; runs that ran out → lost runs          (`ends`)
    lost calls whose end came after all → taken back                         (`ends`)
    changed SLOs → counted again from the rows that are left                 (`slos`)
    new calls → priced, added to tallies and totals, and marked              (here, through `rows`)

Every transaction renews the lease first (`reporter.lease`), so a reporter that lost it commits nothing, and whatever only the
fold writes may be read before.  So new calls are read, priced and summed outside, and the writing transaction is short:
on SQLite the jobs wait for it.

What is new is known by the mark on the row itself (`folded`), not by "id > last seen", which loses rows that commit late.
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
from reporter.fold.ends import declare_lost, fold_runs, resolve_twins
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
        corrected = resolve_twins(connection, counted)
    folded = 0
    while rows := _new_calls(opened):
        rows.sort(key=itemgetter(1))
        for first in range(0, len(rows), CHUNK):
            chunk = rows[first : first + CHUNK]
            _fold_chunk(opened, lease, Tallies(counted, prices), chunk)
            progress(len(chunk))
        folded += len(rows)
        if len(rows) < BATCH:
            break
    return FoldResult(calls=folded, lost_calls=lost, corrected_calls=corrected, runs=runs)


def pending(connection: Connection) -> int:
    """How many calls wait to be folded."""
    return int(connection.execute(text("SELECT count(*) FROM calls WHERE folded = 0")).scalar_one())


def _new_calls(opened: Store) -> list[tuple[Any, ...]]:
    with opened.read() as connection:
        cursor = Rows(connection).cursor
        cursor.execute(
            f"SELECT {', '.join(FOLDED)} FROM calls WHERE folded = 0"
            " AND NOT EXISTS (SELECT 1 FROM calls AS counted WHERE folded = 1 AND counted.call_id = calls.call_id)"
            f" ORDER BY call_id LIMIT {BATCH}"
        )
        return list(cursor.fetchall())


def _fold_chunk(opened: Store, lease: Lease, tallies: Tallies, calls: Sequence[tuple[Any, ...]]) -> None:
    """Count and mark `calls` in one transaction."""
    marks = tallies.count(calls)
    with opened.write() as connection:
        lease.renew(connection)
        if Rows(connection).mark(marks) != len(marks):
            raise StoreError(f"{opened.url}: calls were changed while they were counted; nothing was kept, run again")
        store(connection, tallies)
        state.add(connection, "calls_folded_total", len(marks))
