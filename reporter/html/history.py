"""What the page shows beyond the report: each SLO's past, days by model, the last runs, calls that stand out.

All of it is read as of the report's minute.  SLOs and days come from tallies; calls from raw rows, as far as they are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, text

from reporter.cost import exact_part
from reporter.html.burned import Burned, read_burned
from reporter.report.calls import read_calls
from reporter.report.events import EventReader, is_sliced
from reporter.report.labels import read_groups
from reporter.report.model import CallWindow, Report
from reporter.report.slos import Counted, Span, count_spans
from reporter.slo import budget
from reporter.slo.durations import format_duration
from reporter.slo.exclusions import Exclusion
from reporter.slo.indicators import CallIndicator
from reporter.slo.spec import SLO
from reporter.status import Status, read_status
from reporter.tally import MINUTE_NS

MOST_STEPS = 96
"""Bars that a chart of an SLO's past has at most."""
MOST_ROWS = 10
_DAY = 1440
_STEPS = (5, 15, 30, 60, 120, 180, 240, 360, 720, _DAY)  # minutes; from an hour on, tallies of hours are enough
_CALL = "call_id, ended_at_ns, batch_job, operation, model, status, error_type, duration_ns, ttft_ns, cost_nanousd"
_STANDING_OUT = {
    "slowest": ("duration_ns IS NOT NULL", "duration_ns"),
    "dearest": ("cost_nanousd > 0", "cost_nanousd"),
    "failed": ("status <> 'success'", "ended_at_ns"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What an SLO did in one step of time, and how much of its budget was left at the step's end."""

    start_ns: int
    end_ns: int
    bad: float
    total: float
    burn_rate: float | None
    remaining_ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOfModel:
    """A day's calls of one model, or those to APIs, that name none."""

    day: str  # UTC
    model: str  # "": they name none
    window: CallWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that the page is made of."""

    status: Status
    specs: Mapping[str, SLO]
    since_ns: int
    steps: Mapping[str, tuple[Step, ...]]  # by SLO
    burned: Mapping[str, Burned]  # by SLO; those without a bad call or run are left out
    days: tuple[DayOfModel, ...]  # by day, then model
    days_since_ns: int  # later than `since_ns` where tallies were pruned
    runs: tuple[Mapping[str, Any], ...]  # the last ones started, the latest first
    calls: Mapping[str, tuple[Mapping[str, Any], ...]]  # "slowest", "dearest", "failed" (the latest)


def read_page(
    connection: Connection, made: Report, slos: Sequence[SLO], exclusions: Sequence[Exclusion], since_ns: int
) -> Page:
    """Everything as of the moment of the report `made`, back to `since_ns`."""
    end, since = made.as_of_ns // MINUTE_NS, since_ns // MINUTE_NS
    days_since, days = _days(connection, since, end)
    return Page(
        status=read_status(connection, made),
        specs={slo.name: slo for slo in slos},
        since_ns=since * MINUTE_NS,
        steps=_steps(EventReader(connection, end, exclusions), slos, since, end),
        burned=read_burned(connection, slos, made.slos, exclusions, made.as_of_ns),
        days=days,
        days_since_ns=days_since * MINUTE_NS,
        runs=tuple(_runs(connection, since * MINUTE_NS, made.as_of_ns)),
        calls={name: _calls(connection, name, since * MINUTE_NS, made.as_of_ns) for name in _STANDING_OUT},
    )


# ── the past of SLOs ──


def _steps(events: EventReader, slos: Sequence[SLO], since: int, end: int) -> dict[str, tuple[Step, ...]]:
    edges = _edges(since, end)
    wanted = [(slo, [*_spans(slo, edges)]) for slo in slos]
    wanted = [(slo, [one for one in spans if events.lacking(slo, one.first, one.end) is None]) for slo, spans in wanted]
    while gaps := events.gaps(
        [(slo, one.first, one.end) for slo, spans in wanted if _is_tallied(slo) for one in spans]
    ):
        wanted = [
            (
                slo,
                [one for one in spans if not any(one.first <= first and last <= one.end for (first, last), _ in gaps)],
            )
            for slo, spans in wanted
        ]
    counted = count_spans(events, wanted)
    return {slo.name: tuple(_told(counted[slo.name], edges)) for slo in slos}


def _edges(since: int, end: int) -> list[int]:
    """Where time is cut: into as many round steps as there is room for; the first and the last may be shorter."""
    step = next((step for step in _STEPS if (end - since) / step <= MOST_STEPS - 1), None)
    if step is None:
        step = -(-(end - since) // ((MOST_STEPS - 1) * _DAY)) * _DAY
    return [since, *range((since // step + 1) * step, end, step), end]


def _spans(slo: SLO, edges: Sequence[int]) -> Iterator[Span]:
    for first, end in pairwise(edges):
        yield Span(f"step {end}", first, end)
        start = slo.main_period.bounds(end * MINUTE_NS)[0] // MINUTE_NS
        yield Span(f"period {end}", start, end)


def _is_tallied(slo: SLO) -> bool:
    return isinstance(slo.sli, CallIndicator) and not is_sliced(slo)


def _told(counted: Mapping[str, Counted], edges: Sequence[int]) -> Iterator[Step]:
    for first, end in pairwise(edges):
        step, period = counted.get(f"step {end}"), counted.get(f"period {end}")
        yield Step(
            start_ns=first * MINUTE_NS,
            end_ns=end * MINUTE_NS,
            bad=0.0 if step is None else float(step.bad),
            total=0.0 if step is None else float(step.good + step.bad),
            burn_rate=None if step is None else budget.as_float(step.burn),
            remaining_ratio=None if period is None else budget.remaining(period.burn),
        )


# ── days, runs, calls ──


def _days(connection: Connection, since: int, end: int) -> tuple[int, tuple[DayOfModel, ...]]:
    """From which minute on days can be told, and they."""
    first, last = exact_part(connection, since, end)
    edges = [first, *range((first // _DAY + 1) * _DAY, last, _DAY), last]
    groups = read_groups(connection, ["model"], 10**9)
    found = []
    for start, stop in pairwise(edges) if first < last else ():
        length_ns = (stop - start) * MINUTE_NS
        sums = {dict(one.labels)["model"]: one for one in read_calls(connection, groups, stop, [length_ns])}
        for model in sorted(sums):
            window = sums[model].windows[format_duration(length_ns)]
            if window.calls:
                day = datetime.fromtimestamp(start * 60, UTC).date().isoformat()
                found.append(DayOfModel(day=day, model=model, window=window))
    return first, tuple(found)


def _runs(connection: Connection, since_ns: int, as_of_ns: int) -> Iterator[Mapping[str, Any]]:
    rows = connection.execute(
        text(
            "SELECT run_id, batch_job, started_at_ns, ended_at_ns, duration_ns, status, exit_code, error_type, items FROM runs"
            " WHERE started_at_ns < :as_of AND coalesce(ended_at_ns, :as_of) >= :since"
            f" ORDER BY started_at_ns DESC, run_id LIMIT {2 * MOST_ROWS}"
        ),
        {"as_of": as_of_ns, "since": since_ns},
    ).mappings()
    unended = {"ended_at_ns": None, "duration_ns": None, "exit_code": None, "error_type": None, "items": None}
    for row in rows:
        is_over = row["ended_at_ns"] is not None and row["ended_at_ns"] < as_of_ns
        yield dict(row) if is_over else {**row, **unended, "status": "running"}


def _calls(connection: Connection, kind: str, since_ns: int, as_of_ns: int) -> tuple[Mapping[str, Any], ...]:
    condition, order = _STANDING_OUT[kind]
    rows = connection.execute(
        text(
            f"SELECT {_CALL} FROM calls WHERE folded = 1 AND ended_at_ns >= :since AND ended_at_ns < :as_of AND {condition}"
            f" ORDER BY {order} DESC, call_id LIMIT {MOST_ROWS}"
        ),
        {"since": since_ns, "as_of": as_of_ns},
    ).mappings()
    return tuple(dict(row) for row in rows)
