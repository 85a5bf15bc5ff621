"""What burned an SLO's budget: its bad events of the period, by what they have in common.

Counted by the database in one pass over raw rows for all SLOs, as far back as they are kept.
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


@dataclass(frozen=True, slots=True)
class _Asked:
    """An SLO, and from when on its bad events are counted."""

    slo: SLO
    first_ns: int
    is_cut: bool  # its period begins before that


def read_burned(
    connection: Connection,
    slos: Sequence[SLO],
    told: Sequence[SLOStatus],
    exclusions: Sequence[Exclusion],
    as_of_ns: int,
) -> dict[str, Burned]:
    """For each SLO with bad calls or runs in its main period up to `as_of_ns`; minutes without a success are nobody's."""
    statuses = {status.slo: status for status in told}
    pruned_ns = state.get_integer(connection, "calls_pruned_before_ns")
    asked: dict[str, list[_Asked]] = {"calls": [], "runs": []}
    for slo in slos:
        status = statuses.get(slo.name)
        window = status.windows.get(status.period) if status is not None else None
        if status is None or isinstance(slo.sli, Freshness) or (window is not None and not window.bad):
            continue
        start_ns = status.periods[0].start_ns if status.periods else as_of_ns - slo.main_period.longest_ns
        first_ns = max(start_ns, pruned_ns) if isinstance(slo.sli, CallIndicator) else start_ns
        asked[slo.sli.over].append(_Asked(slo, first_ns, first_ns > start_ns))
    found = {}
    for table, ones in asked.items():
        for one, counted in zip(ones, _count(connection, table, ones, exclusions, as_of_ns), strict=True):
            bad = sum(counted["error_type"].values())
            if bad:
                by = {name: shares(values, bad) for name, values in counted.items()}
                found[one.slo.name] = Burned(bad=bad, by=by, since_ns=one.first_ns if one.is_cut else None)
    return found


def _count(
    connection: Connection, table: str, asked: Sequence[_Asked], exclusions: Sequence[Exclusion], end_ns: int
) -> list[dict[str, Counter[str]]]:
    """What the bad events of each SLO have, by what."""
    counted: list[dict[str, Counter[str]]] = [{"error_type": Counter()} for _ in asked]
    for row in _groups(connection, table, asked, exclusions, end_ns) if asked else ():
        for number, one in enumerate(asked):
            if not row[number] or row.error_type in one.slo.exclude_error_types or not _is_of(row, table, one.slo):
                continue
            for name in BY:
                if name in row._mapping:
                    value = row._mapping[name] or (_without_error(one.slo, row) if name == "error_type" else "")
                    counted[number].setdefault(name, Counter())[value] += row[number]
    return counted


def _without_error(slo: SLO, row: Row[Any]) -> str:
    """What was wrong where no error says so; a success can be bad all the same."""
    if row.status != "success":
        return str(row.status)
    return "too dear" if isinstance(slo.sli, Cost) else "too slow"


def _is_of(row: Row[Any], table: str, slo: SLO) -> bool:
    if table == "runs":
        return slo.where.matches_job(row.batch_job)
    return slo.matches(row.batch_job or "", row.operation, row.provider or "", row.model or "")


def _groups(
    connection: Connection, table: str, asked: Sequence[_Asked], exclusions: Sequence[Exclusion], end_ns: int
) -> Iterator[Row[Any]]:
    """Rows that are bad to any of them, in one pass: how many are to each, in order, then what they have in common."""
    names, which = (_OF_CALLS, "folded = 1") if table == "calls" else (_OF_RUNS, "folded_status = status")
    is_bad = [_condition(connection.dialect.name, one, exclusions) for one in asked]
    sums = ", ".join(f"sum(CASE WHEN {bad} THEN 1 ELSE 0 END) AS bad{number}" for number, bad in enumerate(is_bad))
    rows = connection.execute(
        text(
            f"SELECT {sums}, {', '.join(names)} FROM {table} WHERE {which} AND ended_at_ns < :end"
            f" AND ({' OR '.join(is_bad)}) GROUP BY {', '.join(names)}"
        ),
        {"end": end_ns},
    )
    yield from rows


def _condition(dialect: str, one: _Asked, exclusions: Sequence[Exclusion]) -> str:
    assert isinstance(one.slo.sli, CallIndicator | RunIndicator)
    good, counted = one.slo.sli.sql(dialect)
    outside = "".join(
        f" AND NOT (ended_at_ns >= {first * MINUTE_NS} AND ended_at_ns < {end * MINUTE_NS})"
        for first, end in minutes_excluded(exclusions, one.slo.name)
    )
    return f"(NOT ({good}) AND ({counted}) AND ended_at_ns >= {one.first_ns}{outside})"
