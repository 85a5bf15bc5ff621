"""The fold: each new fact is counted exactly once, however many reporters run and wherever one dies.

    changed SLOs → counted again from the rows that are left                 (`slos`)
    due times whose grace is over → missed and late runs                     (`schedules`)
    starts that ran out → lost calls; runs that ran out → lost runs          (`ends`)
    runs that overlap, take too long, are too fast                           (`noted_runs`)
    what was skipped for a run that is lost → missed                         (`skipped`)
    new calls → priced, added to tallies and totals, and marked              (here, through `rows`)
    what is left: calls known before; lost ones whose end came are taken back (`ends`), and the true one counted

Every transaction renews the lease first (`reporter.lease`), so a reporter that lost it commits nothing, and whatever only the
fold writes may be read before.  So new calls are read, priced, summed and merged outside, and the writing transaction is
short: on SQLite the jobs wait for it.

What is new is known by the mark on the row itself (`folded`), not by "id > last seen", which loses rows that commit late.
A batch is sorted by time before it is cut into chunks, because history that arrives in no order would otherwise touch
every hour in every chunk.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from operator import itemgetter

from sqlalchemy import text

from reporter import state
from reporter.errors import StoreError
from reporter.fold.declared import declare
from reporter.fold.ends import IS_TWIN, RUNS, declare_lost, end_runs, fold_runs, go_by_keys, resolve_twins
from reporter.fold.noted_runs import note_running, note_runs
from reporter.fold.price_list import list_prices
from reporter.fold.rows import Changes, Rows, find_series, merge, name_series, write
from reporter.fold.run_slos import count_minutes, count_runs
from reporter.fold.schedules import judge_schedules
from reporter.fold.slos import Progress, register_slos, unheard
from reporter.lease import Lease
from reporter.pricing import PriceList
from reporter.schedule.expectation import Expectation
from reporter.slo.spec import SLO
from reporter.store import Store
from reporter.tally import FOLDED, Row, Tallies, tally

BATCH = 100_000
"""Calls read at once, about 80 MB of them."""
CHUNK = 20_000
"""Calls counted in one transaction."""
TOLD_UNTIL = "told_until_ns"
"""Under which name `state` has the moment up to which a push has told of every minute."""
_CALL_ID, _ENDED_AT_NS = FOLDED.index("call_id"), FOLDED.index("ended_at_ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldResult:
    """What one fold did."""

    calls: int
    lost_calls: int
    corrected_calls: int
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldRules:
    """When something counts as lost: ns; what is expected of jobs; and how many kinds of errors a series tells apart."""

    lost_after_ns: int = 3600 * 10**9
    run_lost_after_ns: int = 24 * 3600 * 10**9
    expected: Mapping[str, Expectation] = field(default_factory=dict)
    most_errors: int = 100
    prices: PriceList = field(default_factory=PriceList)


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
    with _no_cycles(), _kept_open(opened):
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


@contextmanager
def _kept_open(opened: Store) -> Iterator[None]:
    """Hold a connection: SQLite empties its log whenever the last one closes, here after each of many transactions."""
    if opened.dialect != "sqlite":
        yield
        return
    with opened.read() as connection:
        state.get(connection, "calls_folded_total")  # it joins in with its first look
        connection.rollback()  # and is in nobody's way
        yield


def _fold(
    opened: Store,
    lease: Lease,
    slos: Sequence[SLO],
    rules: FoldRules,
    now_ns: int,
    progress: Progress,
) -> FoldResult:
    prices = rules.prices
    counted = register_slos(opened, lease, slos, now_ns, progress)
    declare(opened, lease, rules.expected, now_ns)
    judge_schedules(opened, lease, rules.expected, now_ns, rules.run_lost_after_ns)
    runs, lost = _fold_ends(opened, lease, counted, rules, now_ns)
    folded = _fold_calls(opened, lease, counted, prices, rules.most_errors, progress)
    with opened.write() as connection:  # now that little is left to look through
        lease.renew(connection)
        corrected = resolve_twins(connection, counted, rules.most_errors)
    if corrected:
        folded += _fold_calls(opened, lease, counted, prices, rules.most_errors, progress)
    list_prices(opened, lease, prices)
    return FoldResult(calls=folded, lost_calls=lost, corrected_calls=corrected, runs=runs)


def _fold_ends(
    opened: Store, lease: Lease, slos: Sequence[tuple[int, SLO]], rules: FoldRules, now_ns: int
) -> tuple[int, int]:
    """Count runs that ended, then declare calls lost; how many of each.  One transaction, unless there are many runs."""
    folded = 0
    longest_ns = {name: job.max_duration_ns for name, job in rules.expected.items() if job.max_duration_ns is not None}

    def count(which: str, parameters: Mapping[str, str]) -> None:
        count_runs(connection, slos, which, parameters)
        note_runs(connection, rules.expected, which, parameters, rules.run_lost_after_ns)

    while True:
        with opened.write() as connection:
            lease.renew(connection)
            end_runs(connection, longest_ns, rules.run_lost_after_ns, now_ns)
            counted = fold_runs(connection, count)
            folded += counted
            if counted < RUNS:
                note_running(connection, rules.expected, now_ns, rules.run_lost_after_ns)
                count_minutes(connection, slos, now_ns)
                return folded, declare_lost(connection, rules.lost_after_ns, now_ns)


def _fold_calls(
    opened: Store,
    lease: Lease,
    counted: Sequence[tuple[int, SLO]],
    prices: PriceList,
    most_errors: int,
    progress: Progress,
) -> int:
    """Count new calls; how many."""
    folded = waiting = 0
    with opened.read() as connection:
        told_ns = state.get_integer(connection, TOLD_UNTIL)
    for calls in _batches(opened):
        waiting = waiting or (len(calls) if len(calls) < BATCH else _pending(opened))
        for first in range(0, len(calls), CHUNK):
            progress("new calls", folded, waiting)
            chunk = calls[first : first + CHUNK]
            _keep(opened, lease, tally(chunk, counted, prices), most_errors, _late(chunk, told_ns))
            folded += len(chunk)
    progress("new calls", folded, folded)
    return folded


def _batches(opened: Store) -> Iterator[list[Row]]:
    """New calls, in the order of their end.  Those that commit late with a lower id are the next fold's."""
    after = ""
    mark = "?" if opened.dialect == "sqlite" else "%s"
    while True:
        with opened.read() as connection:
            go_by_keys(connection)
            cursor = Rows(connection).cursor
            cursor.execute(
                f"SELECT {', '.join(FOLDED)} FROM calls WHERE folded = 0 AND call_id >= {mark} AND NOT {IS_TWIN}"
                f" ORDER BY call_id LIMIT {BATCH}",
                (after,),
            )
            calls = list(cursor.fetchall())
        if calls:
            after = calls[-1][_CALL_ID]
            calls.sort(key=itemgetter(_ENDED_AT_NS))
            yield calls
        if len(calls) < BATCH:
            return


def _pending(opened: Store) -> int:
    """How many calls wait to be folded; counting them takes a hundredth of folding them."""
    with opened.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM calls WHERE folded = 0")).scalar_one())


def _late(calls: Sequence[Row], told_ns: int) -> list[str]:
    """The calls, in order of their end, that ended in minutes a push has told of already."""
    return [call[_CALL_ID] for call in takewhile(lambda call: call[_ENDED_AT_NS] < told_ns, calls)]


def _keep(opened: Store, lease: Lease, tallies: Tallies, most_errors: int, late: Sequence[str]) -> None:
    """Keep what a chunk counted and mark its calls, in one transaction."""
    changes = _merged(opened, lease, tallies, most_errors)
    with opened.write() as connection:
        lease.renew(connection)
        if Rows(connection).mark(tallies.marks) != len(tallies.marks):
            raise StoreError(f"{opened.url}: calls were changed while they were counted; nothing was kept, run again")
        write(connection, changes)
        if late:
            connection.execute(
                text(
                    "INSERT INTO late_calls (call_id, folded_at_ns) VALUES (:id, :now) ON CONFLICT (call_id) DO NOTHING"
                ),
                [{"id": call_id, "now": time.time_ns()} for call_id in late],
            )
        state.add(connection, "calls_folded_total", len(tallies.marks))


def _merged(opened: Store, lease: Lease, tallies: Tallies, most_errors: int) -> Changes:
    with opened.read() as connection:
        rows = Rows(connection)
        ids = find_series(rows, tallies.series)
        if len(ids) == len(tallies.series):
            return merge(rows, tallies, ids, most_errors)
    with opened.write() as connection:  # new series get their numbers first
        lease.renew(connection)
        name_series(Rows(connection), tallies.series)
    return _merged(opened, lease, tallies, most_errors)
