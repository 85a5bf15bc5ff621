"""Why an SLO stands where it stands: its counts and formulas, what burned the budget, what was left out, what came late.

Counts are those of the report. What burned the budget is read from the raw calls and runs, as far back as they are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Row, text

from reporter import state
from reporter.fold.run_events import Jobs
from reporter.report.model import SLOStatus
from reporter.slo.exclusions import Exclusion, minutes_excluded
from reporter.slo.indicators import CallIndicator, Cost, Latency, TimeToFirstToken
from reporter.slo.run_indicators import Freshness, JobDuration
from reporter.slo.spec import SLO
from reporter.slo.timeline import Interval, overlaps
from reporter.tally import MINUTE_NS

MOST = 5
"""Rows of each kind that are told."""
BY = ("batch_job", "operation", "provider", "model", "status", "error_type", "run_id")
"""By what bad events are counted; runs have some of it."""
_CALL_COLUMNS = (
    "call_id, ended_at_ns, batch_job, operation, provider, model, status, error_type, run_id, duration_ns, ttft_ns,"
    " output_tokens, cost_nanousd, stream"
)
_RUN_COLUMNS = "run_id, ended_at_ns, batch_job, status, error_type, duration_ns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Bad events that have one value of something."""

    value: str  # "" is absent
    bad: int
    ratio: float  # of all the bad ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What `reporter explain` tells beyond the report."""

    status: SLOStatus
    first_ns: int  # what follows is of the main period, as far as raw rows go back
    end_ns: int
    bad: int
    by: Mapping[str, tuple[Share, ...]]  # "model" → the values with most bad events
    worst: tuple[Mapping[str, Any], ...]  # the worst bad calls or runs, as columns
    late: int  # calls that came after their minute had been reported
    left_out: Mapping[str, int]  # error types taken out of total → calls or runs
    not_judged: int  # events that the SLI has no judgement on
    excluded: tuple[tuple[Exclusion, int], ...]  # each with how many events it leaves out
    raw_since_ns: int | None  # raw rows from before this are gone; None: all of the period is there


def explain(
    connection: Connection, slo: SLO, status: SLOStatus, exclusions: Sequence[Exclusion], as_of_ns: int
) -> Explanation:
    """Explain an SLO whose status a report at `as_of_ns`, a whole minute, gave."""
    start_ns = status.periods[0].start_ns if status.periods else as_of_ns - slo.main_period.longest_ns
    pruned_ns = state.get_integer(connection, "calls_pruned_before_ns") if isinstance(slo.sli, CallIndicator) else 0
    first_ns = max(start_ns, pruned_ns)
    mine = [
        found
        for found in exclusions
        if found.covers(slo.name) and found.end * MINUTE_NS > first_ns and found.first * MINUTE_NS < as_of_ns
    ]
    found = _Burned(slo, minutes_excluded(mine, slo.name))
    if isinstance(slo.sli, Freshness):
        found.count_stale(Jobs(connection, as_of_ns // MINUTE_NS), first_ns, as_of_ns)
    else:
        for event in _events(connection, slo, first_ns, as_of_ns):
            found.count(event)
    return Explanation(
        status=status,
        first_ns=first_ns,
        end_ns=as_of_ns,
        bad=found.bad,
        by={name: shares(values, found.bad) for name, values in found.by.items()},
        worst=tuple(found.worst()),
        late=_late(connection, slo, first_ns, as_of_ns),
        left_out=dict(found.left_out.most_common()),
        not_judged=found.not_judged,
        excluded=tuple((one, found.excluded_within(one.first, one.end)) for one in mine),
        raw_since_ns=first_ns if first_ns > start_ns else None,
    )


class _Burned:
    """What events were, counted one by one."""

    def __init__(self, slo: SLO, excluded: Sequence[Interval]) -> None:
        self._slo = slo
        self._excluded = excluded
        self._order = _worse(slo)
        self._worst: list[tuple[int, int, Mapping[str, Any]]] = []
        self._excluded_minutes: Counter[int] = Counter()
        self.by: dict[str, Counter[str]] = {}
        self.bad = self.not_judged = 0
        self.left_out: Counter[str] = Counter()

    def count(self, event: Row[Any]) -> None:
        """Count a call or run that is the SLO's by its labels."""
        minute = event.ended_at_ns // MINUTE_NS
        if overlaps(self._excluded, minute, minute + 1):
            self._excluded_minutes[minute] += 1
        elif event.error_type in self._slo.exclude_error_types:
            self.left_out[event.error_type] += 1
        else:
            verdict = self._slo.judge(event)
            self.not_judged += verdict is None
            if verdict is False:
                self._add(event)

    def _add(self, event: Row[Any]) -> None:
        self.bad += 1
        told = event._mapping
        for name in BY:
            if name in told:
                self.by.setdefault(name, Counter())[told[name] or ""] += 1
        heappush(self._worst, (self._order(event), self.bad, dict(told)))
        if len(self._worst) > MOST:
            heappop(self._worst)

    def count_stale(self, jobs: Jobs, first_ns: int, end_ns: int) -> None:
        """Count minutes in which a job's last success was too old."""
        for job, minutes in jobs.stale(self._slo, first_ns // MINUTE_NS, end_ns // MINUTE_NS):
            for minute in minutes:
                if overlaps(self._excluded, minute, minute + 1):
                    self._excluded_minutes[minute] += 1
                else:
                    self.bad += 1
                    self.by.setdefault("batch_job", Counter())[job] += 1

    def worst(self) -> Iterator[Mapping[str, Any]]:
        """The worst bad events, the very worst first."""
        for _, _, told in sorted(self._worst, key=itemgetter(0, 1), reverse=True):
            yield told

    def excluded_within(self, first: int, end: int) -> int:
        """How many events an exclusion leaves out."""
        return sum(count for minute, count in self._excluded_minutes.items() if first <= minute < end)


def _worse(slo: SLO) -> Callable[[Any], int]:
    """By what a bad event is worse than another: what the SLI measures, else the later one."""
    if isinstance(slo.sli, Latency | JobDuration):
        return lambda event: event.duration_ns or 0
    if isinstance(slo.sli, TimeToFirstToken):
        return lambda event: event.ttft_ns or 0
    if isinstance(slo.sli, Cost):
        return lambda event: event.cost_nanousd or 0
    return lambda event: int(event.ended_at_ns)


def _events(connection: Connection, slo: SLO, first_ns: int, end_ns: int) -> Iterator[Row[Any]]:
    """Every counted call or ended run of the SLO, by its labels and the time it ended."""
    if isinstance(slo.sli, CallIndicator):
        table, columns, which = "calls", _CALL_COLUMNS, "folded = 1"
    else:
        table, columns, which = "runs", _RUN_COLUMNS, "folded_status = status"
    found = connection.execution_options(yield_per=5_000).execute(
        text(f"SELECT {columns} FROM {table} WHERE {which} AND ended_at_ns >= :first AND ended_at_ns < :end"),
        {"first": first_ns, "end": end_ns},
    )
    for row in found:
        if table == "runs":
            if slo.where.matches_job(row.batch_job):
                yield row
        elif slo.matches(row.batch_job or "", row.operation, row.provider or "", row.model or ""):
            yield row


def _late(connection: Connection, slo: SLO, first_ns: int, end_ns: int) -> int:
    """How many of its calls came after a push had told of their minute."""
    if not isinstance(slo.sli, CallIndicator):
        return 0
    rows = connection.execute(
        text(
            "SELECT c.batch_job, c.operation, c.provider, c.model, count(*) AS calls FROM late_calls l"
            " JOIN calls c ON c.folded = 1 AND c.call_id = l.call_id"
            " WHERE c.ended_at_ns >= :first AND c.ended_at_ns < :end GROUP BY c.batch_job, c.operation, c.provider, c.model"
        ),
        {"first": first_ns, "end": end_ns},
    )
    return sum(
        row.calls
        for row in rows
        if slo.matches(row.batch_job or "", row.operation, row.provider or "", row.model or "")
    )


def shares(values: Counter[str], bad: int) -> tuple[Share, ...]:
    """The values with most of so many bad events, at most MOST."""
    return tuple(Share(value=value, bad=count, ratio=count / bad) for value, count in values.most_common(MOST))
