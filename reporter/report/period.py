"""The report of one calendar period, such as a month: did each SLO meet its objective, what did it cost, what ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from reporter.cost import Costs, read_costs
from reporter.report.events import EventReader
from reporter.report.slos import Counted, Span, count_spans, plain_count, sli_ratio
from reporter.report.windows import cut, round_up
from reporter.slo import budget
from reporter.slo.calendar import CalendarPeriod
from reporter.slo.exclusions import Exclusion
from reporter.slo.spec import SLO
from reporter.tally import MINUTE_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodSLO:
    """One SLO over one calendar period, whatever its own period is."""

    slo: str
    service: str
    objective_ratio: float
    good: int | float | None  # None: tallies of it were pruned
    bad: int | float | None
    sli_ratio: float | None
    consumed_ratio: float | None
    remaining_ratio: float | None
    met: bool | None  # the objective; None: there were no events


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRuns:
    """How the runs of a job ended."""

    batch_job: str
    runs: int
    succeeded: int
    failed: int
    timed_out: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodReport:
    """What became of one period, or of one that is not over so far."""

    period: str  # "2026-10"
    timezone: str
    start_ns: int
    end_ns: int
    until_ns: int  # what is reported: `end_ns`, or as far as it has come
    slos: tuple[PeriodSLO, ...]
    costs: Costs | None  # by job and model; None: tallies were pruned
    jobs: tuple[JobRuns, ...]
    exclusions: tuple[Exclusion, ...]

    @property
    def is_over(self) -> bool:
        """Whether the period has ended."""
        return self.until_ns >= self.end_ns


def build_period(
    connection: Connection,
    slos: Sequence[SLO],
    exclusions: Sequence[Exclusion],
    calendar: CalendarPeriod,
    name: str,
    now_ns: int,
) -> PeriodReport:
    """The report of the period `name` of a calendar, as far as it has come at `now_ns`.

    Raises:
        ValueError: there is no such period, or it has not begun.
    """
    start_ns, end_ns = calendar.named(name)
    if start_ns >= now_ns:
        raise ValueError(f"{name} has not begun yet")
    first, end = start_ns // MINUTE_NS, min(end_ns // MINUTE_NS, round_up(now_ns))
    until_ns = end * MINUTE_NS
    events = EventReader(connection, end, exclusions)
    span = Span(name, first, end)
    counted = count_spans(
        events, [(slo, [span]) if events.lacking(slo, first, end) is None else (slo, []) for slo in slos]
    )
    costs = None
    if not any(part.first < events.pruned_before(part.resolution) for part in cut([first, end])):
        costs = read_costs(connection, ("job", "model"), as_of_ns=until_ns, length_ns=until_ns - start_ns)
    return PeriodReport(
        period=calendar.name(start_ns),
        timezone=calendar.timezone,
        start_ns=start_ns,
        end_ns=end_ns,
        until_ns=until_ns,
        slos=tuple(_slo(slo, counted[slo.name].get(name)) for slo in slos),
        costs=costs,
        jobs=_jobs(connection, start_ns, until_ns),
        exclusions=tuple(found for found in exclusions if found.first < end and found.end > first),
    )


def _slo(slo: SLO, counted: Counted | None) -> PeriodSLO:
    good, bad, burn = (None, None, None) if counted is None else counted
    return PeriodSLO(
        slo=slo.name,
        service=slo.service,
        objective_ratio=float(slo.objective_ratio),
        good=None if good is None else plain_count(good),
        bad=None if bad is None else plain_count(bad),
        sli_ratio=sli_ratio(slo, burn),
        consumed_ratio=budget.as_float(burn),
        remaining_ratio=budget.remaining(burn),
        met=None if burn is None else burn <= 1,
    )


def _jobs(connection: Connection, start_ns: int, end_ns: int) -> tuple[JobRuns, ...]:
    by_job: dict[str, dict[str, int]] = {}
    for row in connection.execute(
        text(
            "SELECT batch_job, status, count(*) AS runs FROM runs WHERE ended_at_ns >= :start AND ended_at_ns < :end"
            " GROUP BY batch_job, status ORDER BY batch_job"
        ),
        {"start": start_ns, "end": end_ns},
    ):
        by_job.setdefault(row.batch_job, {})[row.status] = row.runs
    return tuple(
        JobRuns(
            batch_job=job,
            runs=sum(runs.values()),
            succeeded=runs.get("success", 0),
            failed=runs.get("failed", 0),
            timed_out=runs.get("timeout", 0),
            lost=runs.get("lost", 0),
        )
        for job, runs in by_job.items()
    )
