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
_DAY_MINUTES = 1440


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
            deleted = _prune_calls(connection, calls_before_ns)
        calls += deleted
        progress(deleted)
        if deleted < BATCH:
            break
    tallies = 0
    with store.write() as connection:
        lease.renew(connection)
        minutes_before = (now_ns - retention.minutes_ns) // MINUTE_NS // 60 * 60  # an hour's minutes are one row
        _remember(connection, "minutes_pruned_before", minutes_before)
        for table in ("tally_minutes", "slo_minutes"):
            tallies += _prune_tallies(connection, table, "bucket < :before", {"before": minutes_before})
        for resolution, kept_ns in ((60, retention.hours_ns), (_DAY_MINUTES, retention.days_ns)):
            before = (now_ns - kept_ns) // MINUTE_NS // resolution * resolution
            for table in ("tallies", "slo_tallies"):
                older = {"resolution": resolution, "before": before}
                tallies += _prune_tallies(connection, table, "resolution = :resolution AND bucket < :before", older)
        runs = connection.execute(
            text("DELETE FROM runs WHERE ended_at_ns < :before AND folded_status = status"),
            {"before": now_ns - retention.hours_ns},
        ).rowcount
    return Pruned(calls=calls, tallies=tallies, runs=runs)


def _prune_tallies(connection: Connection, table: str, older: str, values: dict[str, int]) -> int:
    return int(connection.execute(text(f"DELETE FROM {table} WHERE {older}"), values).rowcount)


def _remember(connection: Connection, name: str, value: int) -> None:
    if value > state.get_integer(connection, name):
        state.put(connection, name, str(value))


def _prune_calls(connection: Connection, before_ns: int) -> int:
    """Folded calls only.

    Ids of recorders begin with the call's start, so the key finds old rows without an index on their end; ids from elsewhere
    (they do not begin with `0`) are looked at one by one.
    """
    prefix = f"{before_ns // 10**6:012x}"
    old_id = f"{prefix[:8]}-{prefix[8:]}"
    return int(
        connection.execute(
            text(
                "DELETE FROM calls WHERE folded = 1 AND call_id IN (SELECT call_id FROM calls WHERE folded = 1"
                f" AND (call_id < :old_id OR call_id >= '1') AND ended_at_ns < :before LIMIT {BATCH})"
            ),
            {"old_id": old_id, "before": before_ns},
        ).rowcount
    )
