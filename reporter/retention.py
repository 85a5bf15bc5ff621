"""Retention: rows and tallies past their time are deleted; totals, and so every counter, are not.

How far rows were pruned is remembered with the database: a report says which windows it can no longer cut, a changed SLO says
how far back it counts, and `reporter ingest` refuses facts from before it, which would otherwise count a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, text

from reporter import state
from reporter.lease import Lease
from reporter.store import Store
from reporter.tally import MINUTE_NS

BATCH = 5_000
_AHEAD_NS = 24 * 3600 * 10**9
"""How far a job's clock may be ahead before its calls are looked at one by one."""
PRUNED_BEFORE = {1: "minutes_pruned_before", 60: "hours_pruned_before", 1440: "days_pruned_before"}
"""Under which name `state` has the minute before which tallies of a resolution are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long each kind of row is kept, in ns."""

    calls_ns: int
    minutes_ns: int
    hours_ns: int
    days_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many rows went."""

    calls: int
    tallies: int
    runs: int


def prune(
    store: Store, lease: Lease, retention: Retention, now_ns: int, progress: Callable[[int], None] = lambda rows: None
) -> Pruned:
    """Delete what is older than `retention` at `now_ns`, in small transactions, each under the lease."""
    calls_before_ns = now_ns - retention.calls_ns
    calls = 0
    while True:
        with store.write() as connection:
            lease.renew(connection)
            _remember(connection, "calls_pruned_before_ns", calls_before_ns)
            deleted = _prune_calls(connection, calls_before_ns, now_ns)
        calls += deleted
        progress(deleted)
        if deleted < BATCH:
            break
    tallies = 0
    with store.write() as connection:
        lease.renew(connection)
        for resolution, kept_ns in ((1, retention.minutes_ns), (60, retention.hours_ns), (1440, retention.days_ns)):
            tallies += _prune_tallies(connection, resolution, now_ns - kept_ns)
        connection.execute(
            text("DELETE FROM late_calls WHERE folded_at_ns < :before"), {"before": now_ns - retention.calls_ns}
        )
        connection.execute(
            text("DELETE FROM job_events WHERE at_ns < :before"), {"before": now_ns - retention.hours_ns}
        )
        runs = connection.execute(
            text("DELETE FROM runs WHERE ended_at_ns < :before AND folded_status = status"),
            {"before": now_ns - retention.hours_ns},
        ).rowcount
    return Pruned(calls=calls, tallies=tallies, runs=runs)


def _prune_tallies(connection: Connection, resolution: int, before_ns: int) -> int:
    """The minutes of an hour go together, and so do the hours of a day: what a window cuts is then wholly there or not."""
    tables, condition = ("tallies", "slo_tallies"), "resolution = :resolution AND bucket < :before"
    if resolution == 1:
        tables, condition = ("tally_minutes", "slo_minutes"), "bucket < :before"
    together = 60 if resolution == 1 else 1440
    before = before_ns // MINUTE_NS // together * together
    _remember(connection, PRUNED_BEFORE[resolution], before)
    older = {"resolution": resolution, "before": before}
    return sum(connection.execute(text(f"DELETE FROM {table} WHERE {condition}"), older).rowcount for table in tables)


def _remember(connection: Connection, name: str, value: int) -> None:
    if value > state.get_integer(connection, name):
        state.put(connection, name, str(value))


def _prune_calls(connection: Connection, before_ns: int, now_ns: int) -> int:
    """Folded calls only.

    Ids of recorders begin with the moment the call began, so the key finds old rows without an index on their end.  Other
    ids are looked at one by one, unless they look like a call of the time that is kept: those go when that call would.
    """
    found = (
        "SELECT call_id FROM (SELECT call_id FROM calls"
        f" WHERE folded = 1 AND call_id {{}} AND ended_at_ns < :before LIMIT {BATCH}) AS {{}}"
    )  # a range of the key each: SQLite reads all there is for one OR the other
    old = f"{found.format('< :old_id', 'older')} UNION ALL {found.format('>= :new_id', 'others')}"
    return int(
        connection.execute(
            text(f"DELETE FROM calls WHERE folded = 1 AND call_id IN ({old} LIMIT {BATCH})"),
            {"old_id": _first_id(before_ns), "new_id": _first_id(now_ns + _AHEAD_NS), "before": before_ns},
        ).rowcount
    )


def _first_id(at_ns: int) -> str:
    """What the id of every call that began before that moment is below, and of none after."""
    digits = f"{at_ns // 10**6:012x}"
    return f"{digits[:8]}-{digits[8:]}"
