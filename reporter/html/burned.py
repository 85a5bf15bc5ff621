"""What burned an SLO's budget: its bad events of the period, by what they have in common.

Counted by the database in one pass over each SLO's raw rows, as far back as they are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from reporter import state
from reporter.explain import Share, shares
from reporter.report.model import SLOStatus
from reporter.slo.exclusions import Exclusion, minutes_excluded
from reporter.slo.indicators import CallIndicator, Cost
from reporter.slo.run_indicators import Freshness, RunIndicator
from reporter.slo.spec import SLO
from reporter.tally import MINUTE_NS

BY = {"error_type": "error", "model": "model", "operation": "operation", "batch_job": "job"}
"""By what bad events are counted, and what people call that; runs have some of it."""
_OF_RUNS = ("batch_job", "status", "error_type")
_OF_CALLS = ("batch_job", "operation", "provider", "model", "status", "error_type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Burned:
    """The bad events of an SLO's period."""

    bad: int
    by: Mapping[str, tuple[Share, ...]]  # as BY: the values with most of them
    since_ns: int | None  # raw rows from before this are gone; None: all of the period is there


def read_burned(
    connection: Connection,
    slos: Sequence[SLO],
    told: Sequence[SLOStatus],
    exclusions: Sequence[Exclusion],
    as_of_ns: int,
) -> dict[str, Burned]:
    """For each SLO with bad calls or runs in its main period up to `as_of_ns`; minutes without a success are nobody's."""
    statuses = {status.slo: status for status in told}
    found = {}
    for slo in slos:
        status = statuses.get(slo.name)
        window = status.windows.get(status.period) if status is not None else None
        if status is None or isinstance(slo.sli, Freshness) or (window is not None and not window.bad):
            continue
        start_ns = status.periods[0].start_ns if status.periods else as_of_ns - slo.main_period.longest_ns
        pruned_ns = state.get_integer(connection, "calls_pruned_before_ns") if isinstance(slo.sli, CallIndicator) else 0
        first_ns = max(start_ns, pruned_ns)
        counted = _count(slo, _bad(connection, slo, exclusions, first_ns, as_of_ns))
        bad = sum(counted["error_type"].values())
        if bad:
            by = {name: shares(values, bad) for name, values in counted.items()}
            found[slo.name] = Burned(bad=bad, by=by, since_ns=first_ns if first_ns > start_ns else None)
    return found


def _count(slo: SLO, rows: Iterator[Row[Any]]) -> dict[str, Counter[str]]:
    over = "too dear" if isinstance(slo.sli, Cost) else "too slow"  # a success that is bad all the same
    counted: dict[str, Counter[str]] = {}
    for row in rows:
        if row.error_type in slo.exclude_error_types:
            continue
        for name in BY:
            if name in row._mapping:
                value = row._mapping[name] or ""
                if name == "error_type" and not value:
                    value = over if row.status == "success" else row.status
                counted.setdefault(name, Counter())[value] += row.bad
    return counted or {"error_type": Counter()}


def _bad(
    connection: Connection, slo: SLO, exclusions: Sequence[Exclusion], first_ns: int, end_ns: int
) -> Iterator[Row[Any]]:
    assert isinstance(slo.sli, CallIndicator | RunIndicator)
    is_of_calls = isinstance(slo.sli, CallIndicator)
    names = ", ".join(_OF_CALLS if is_of_calls else _OF_RUNS)
    table, which = ("calls", "folded = 1") if is_of_calls else ("runs", "folded_status = status")
    good, counted = slo.sli.sql(connection.dialect.name)
    outside = "".join(
        f" AND NOT (ended_at_ns >= {first * MINUTE_NS} AND ended_at_ns < {end * MINUTE_NS})"
        for first, end in minutes_excluded(exclusions, slo.name)
    )
    rows = connection.execute(
        text(
            f"SELECT {names}, count(*) AS bad FROM {table} WHERE {which} AND ended_at_ns >= :first AND ended_at_ns < :end"
            f" AND ({counted}) AND NOT ({good}){outside} GROUP BY {names}"
        ),
        {"first": first_ns, "end": end_ns},
    )
    for row in rows:
        if not is_of_calls:
            if slo.where.matches_job(row.batch_job):
                yield row
        elif slo.matches(row.batch_job or "", row.operation, row.provider or "", row.model or ""):
            yield row
