"""The fold: each new fact is counted exactly once, however many reporters run and wherever one dies.

    starts that ran out → lost calls; runs that ran out → lost runs          (`ends`)
    corrections → the lost call taken back, the true one counted             (`ends`)
    changed SLOs → counted again from the rows that are left                 (`slos`)
    new calls → priced, added to tallies and totals, and marked              (here, through `rows`)

Every transaction renews the lease first (`reporter.lease`), so a reporter that lost it commits nothing, and whatever only the
fold writes may be read before.  So new calls are read, priced, summed and merged outside, and the writing transaction is
short: on SQLite the jobs wait for it.

What is new is known by the mark on the row itself (`folded_at_ns`), not by "id > last seen", which loses rows that commit
late on Postgres; SQLite's writers commit in rowid order, so there the last folded rowid only saves looking at the older ones.
A batch is sorted by time before it is cut into chunks, because history that arrives in no order would otherwise touch
every hour in every chunk.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter

from sqlalchemy import text

from reporter import state
from reporter.errors import StoreError
from reporter.fold.ends import declare_lost, fold_corrections, fold_runs
from reporter.fold.rows import Rows, find_series, merge, name_series, write
from reporter.fold.slos import Progress, register_slos, unheard
from reporter.lease import Lease
from reporter.pricing import PriceList
from reporter.slo.spec import SLO
from reporter.store import Store
from reporter.tally import FOLDED, Row, Series, Tallies, tally

BATCH = 100_000
"""Calls read at once, about 80 MB of them."""
CHUNK = 20_000
"""Calls counted in one transaction."""
_SEQ, _ENDED_AT_NS = FOLDED.index("seq"), FOLDED.index("ended_at_ns")


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
    progress: Progress = unheard,
) -> FoldResult:
    """Count all that is new as of `now_ns` (wall clock).

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
    progress: Progress,
) -> FoldResult:
    prices = PriceList()
    counted = register_slos(opened, lease, slos, now_ns, progress)
    with opened.write() as connection:
        lease.renew(connection)
        runs = fold_runs(connection, rules.max_duration_ns or {}, rules.run_lost_after_ns, now_ns)
        lost = declare_lost(connection, rules.lost_after_ns, now_ns)
        corrected = fold_corrections(connection, counted, prices, now_ns)
    folded, waiting = 0, _pending(opened)
    progress("new calls", 0, waiting)
    for chunk, last in _chunks(opened):
        _keep(opened, lease, tally(chunk, counted, prices), now_ns, last)
        folded += len(chunk)
        progress("new calls", folded, max(folded, waiting))  # more may have come meanwhile
    return FoldResult(calls=folded, lost_calls=lost, corrected_calls=corrected, runs=runs)


def _pending(opened: Store) -> int:
    """How many calls wait to be folded; counting them takes a hundredth of folding them."""
    after = _folded_seq(opened)
    with opened.read() as connection:
        unfolded = text("SELECT count(*) FROM calls WHERE folded_at_ns IS NULL AND seq > :after")
        return int(connection.execute(unfolded, {"after": after}).scalar_one())


def _folded_seq(opened: Store) -> int:
    """The rowid up to which everything is folded for certain."""
    if opened.dialect != "sqlite":
        return 0
    with opened.read() as connection:
        return state.get_integer(connection, "folded_seq")


def _chunks(opened: Store) -> Iterator[tuple[list[Row], int | None]]:
    """New calls; with the last chunk of a batch the rowid up to which all are in it."""
    after = _folded_seq(opened)
    while calls := _new_calls(opened, after):
        is_last = len(calls) < BATCH
        after = calls[-1][_SEQ]
        calls.sort(key=itemgetter(_ENDED_AT_NS))
        for first in range(0, len(calls), CHUNK):
            yield calls[first : first + CHUNK], after if first + CHUNK >= len(calls) else None
        if is_last:
            return


def _new_calls(opened: Store, after: int) -> list[Row]:
    with opened.read() as connection:
        cursor = Rows(connection).cursor
        cursor.execute(
            f"SELECT {', '.join(FOLDED)} FROM calls WHERE folded_at_ns IS NULL AND seq > {after} ORDER BY seq LIMIT {BATCH}"
        )
        return list(cursor.fetchall())


def _keep(opened: Store, lease: Lease, tallies: Tallies, now_ns: int, last: int | None) -> None:
    """Keep what a chunk counted and mark its calls, in one transaction; all up to the rowid `last` are folded then."""
    ids = _series_ids(opened, lease, tallies.series)
    with opened.read() as connection:
        changes = merge(Rows(connection), tallies, ids)
    with opened.write() as connection:
        lease.renew(connection)
        if Rows(connection).mark(tallies.marks, now_ns) != len(tallies.marks):
            raise StoreError(f"{opened.url}: calls were changed while they were counted; nothing was kept, run again")
        write(connection, changes)
        state.add(connection, "calls_folded_total", len(tallies.marks))
        if last is not None and opened.dialect == "sqlite":
            state.put(connection, "folded_seq", str(last))


def _series_ids(opened: Store, lease: Lease, wanted: Sequence[Series]) -> dict[Series, int]:
    with opened.read() as connection:
        ids = find_series(Rows(connection), wanted)
    if len(ids) < len(wanted):
        with opened.write() as connection:
            lease.renew(connection)
            ids = name_series(Rows(connection), wanted)
    return ids
