"""SLOs in every window and period: good and bad counts, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from reporter.report.events import EventReader, Events, is_sliced
from reporter.report.model import AlertState, PeriodStatus, SLOStatus, SLOWindow
from reporter.report.windows import left_edge
from reporter.slo import budget
from reporter.slo.alerting import ceiling, firing
from reporter.slo.durations import UNITS_NS, format_duration
from reporter.slo.indicators import CallIndicator
from reporter.slo.periods import Dated, Period
from reporter.slo.spec import SLO
from reporter.slo.timeline import Interval, overlaps
from reporter.tally import MINUTE_NS

OutOfReach = dict[int, list[str]]
"""Windows that can't be counted, by the resolution of which too much was pruned."""


class Span(NamedTuple):
    """Minutes [first, end) and what a report calls them."""

    label: str
    first: int
    end: int


class Counted(NamedTuple):
    """What happened in a window; `burn` may stand for events that are missing."""

    good: Fraction
    bad: Fraction
    burn: Fraction | None  # None: undefined


def read_slos(
    events: EventReader, slos: Sequence[SLO], end: int, always: Sequence[int], out_of_reach: OutOfReach
) -> tuple[SLOStatus, ...]:
    """Every SLO at minute `end`, in its own windows and in those of the lengths `always`; `out_of_reach` is added to."""
    wanted = [(slo, _reachable(events, slo, _spans(slo, end, always), out_of_reach)) for slo in slos]
    while gaps := events.gaps(_tallied_spans(wanted)):
        wanted = [(slo, _whole(slo, spans, gaps, out_of_reach)) for slo, spans in wanted]
    counted = count_spans(events, wanted)
    return tuple(_status(slo, spans, counted[slo.name], end, events) for slo, spans in wanted)


def _reachable(events: EventReader, slo: SLO, spans: Iterable[Span], out_of_reach: OutOfReach) -> list[Span]:
    found = []
    for span in spans:
        lacking = events.lacking(slo, span.first, span.end)
        if lacking is None:
            found.append(span)
        elif span.label not in out_of_reach.setdefault(lacking, []):
            out_of_reach[lacking].append(span.label)
    return found


def count_spans(events: EventReader, wanted: Iterable[tuple[SLO, Sequence[Span]]]) -> dict[str, dict[str, Counted]]:
    """What happened in spans for which nothing is lacking, by SLO and label."""
    wanted = list(wanted)
    tallied = events.tallied(_tallied_spans(wanted))
    counted: dict[str, dict[str, Counted]] = {}
    for slo, spans in wanted:
        source: Events | None = tallied.get(slo.name)
        if source is None and spans:
            source = events.timeline(slo, min(span.first for span in spans), max(span.end for span in spans))
        counted[slo.name] = {} if source is None else {span.label: _count(slo, span, source, events) for span in spans}
    return counted


def _tallied_spans(wanted: Iterable[tuple[SLO, Sequence[Span]]]) -> list[tuple[SLO, int, int]]:
    return [(slo, span.first, span.end) for slo, spans in wanted if _is_tallied(slo) for span in spans]


def _whole(
    slo: SLO, spans: Iterable[Span], gaps: Sequence[tuple[Interval, int]], out_of_reach: OutOfReach
) -> list[Span]:
    """The spans of an SLO that are in one piece though others cut them."""
    found = []
    for span in spans:
        gone = [res for (first, end), res in gaps if _is_tallied(slo) and span.first <= first and end <= span.end]
        if not gone:
            found.append(span)
        elif span.label not in out_of_reach.setdefault(min(gone), []):
            out_of_reach[min(gone)].append(span.label)
    return found


def _is_tallied(slo: SLO) -> bool:
    return isinstance(slo.sli, CallIndicator) and not is_sliced(slo)


def _spans(slo: SLO, end: int, always: Sequence[int]) -> Iterator[Span]:
    """The windows of an SLO, shortest first, calendar periods last; none that is shorter than a time slice."""
    lengths = {length for _, length in slo.windows} | {length for length in always if length >= slo.slice_ns}
    for length in sorted(lengths):
        yield Span(format_duration(length), left_edge(end, length), end)
    for period in slo.all_periods:
        if isinstance(period, Dated):
            yield Span(period.label, period.bounds(end * MINUTE_NS)[0] // MINUTE_NS, end)


def _status(
    slo: SLO, spans: Sequence[Span], counted: Mapping[str, Counted], end: int, reader: EventReader
) -> SLOStatus:
    alerts = tuple(_alerts(slo, counted))
    row = reader.row(slo)
    main = counted.get(slo.period)
    return SLOStatus(
        slo=slo.name,
        service=slo.service,
        objective_ratio=float(slo.objective_ratio),
        period=slo.period,
        method=slo.method,
        state=budget.state(None if main is None else main.burn, any_firing=any(alert.firing for alert in alerts)),
        windows={span.label: _window(slo, counted[span.label], span) for span in spans},
        consumed_ratio=None if main is None else budget.as_float(main.burn),
        remaining_ratio=None if main is None else budget.remaining(main.burn),
        periods=tuple(_periods(slo, counted, end)),
        alerts=alerts,
        counted_from_ns=None if row is None else row.counted_from_ns,
        good_total=0 if row is None else row.good,
        bad_total=0 if row is None else row.bad,
    )


def _count(slo: SLO, span: Span, source: Events, reader: EventReader) -> Counted:
    good, bad = (Fraction(count, source.scale) for count in source.between(span.first, span.end))
    burn = budget.exact_burn_rate(good, bad, slo.error_budget_ratio)
    if burn is None and slo.missing != "exclude":
        burn = _burn_of_nothing(slo, span, reader)
    return Counted(good, bad, burn)


def _burn_of_nothing(slo: SLO, span: Span, reader: EventReader) -> Fraction | None:
    """What `missing` makes of a window without events; undefined before the first event that is known, and where a job ran or
    time was excluded."""
    last = reader.last_event(slo, span.first)
    if (
        last is None
        or reader.jobs.busy(slo, span.first, span.end)
        or overlaps(reader.excluded(slo), span.first, span.end)
    ):
        return None
    if slo.missing == "hold":
        return _held(slo, span.end - span.first, last + 1, reader)
    return Fraction(0) if slo.missing == "good" else ceiling(slo.error_budget_ratio)


def _held(slo: SLO, length: int, end: int, reader: EventReader) -> Fraction | None:
    """The burn rate of the window of that length that ended with the last event."""
    if reader.lacking(slo, end - length, end) is not None:
        return None
    source = reader.timeline(slo, end - length, end)
    return budget.exact_burn_rate(*source.between(end - length, end), slo.error_budget_ratio)


def _window(slo: SLO, counted: Counted, span: Span) -> SLOWindow:
    return SLOWindow(
        start_ns=span.first * MINUTE_NS,
        good=plain_count(counted.good),
        bad=plain_count(counted.bad),
        sli_ratio=sli_ratio(slo, counted.burn),
        burn_rate=budget.as_float(counted.burn),
    )


def sli_ratio(slo: SLO, burn: Fraction | None) -> float | None:
    """The SLI that makes the budget burn so."""
    return None if burn is None else float(1 - burn * Fraction(slo.error_budget_ratio))


def plain_count(count: Fraction) -> int | float:
    """A count as an integer; ratio time slices have parts of one."""
    return int(count) if count.denominator == 1 else float(count)


def _alerts(slo: SLO, counted: Mapping[str, Counted]) -> Iterator[AlertState]:
    for pair in slo.pairs:
        if pair.long in counted and pair.short in counted:
            long, short = counted[pair.long], counted[pair.short]
            fires = firing(pair, long.burn, short.burn, long.bad, slo.min_bad_events)
            yield AlertState(
                severity=pair.severity, long=pair.long, short=pair.short, factor=float(pair.factor), firing=fires
            )


def _periods(slo: SLO, counted: Mapping[str, Counted], end: int) -> Iterator[PeriodStatus]:
    rate_window, rate = _present(slo, counted)
    for period in slo.all_periods:
        if period.label in counted:
            yield _period(period, counted[period.label], end * MINUTE_NS, rate_window, rate)


def _present(slo: SLO, counted: Mapping[str, Counted]) -> tuple[str | None, Fraction | None]:
    """The window whose burn rate stands for how things go at present, the alerts' longest up to a day; and that rate."""
    lengths = {length for pair in slo.pairs for length in (pair.long_ns, pair.short_ns) if length <= UNITS_NS["d"]}
    label = format_duration(max(lengths, default=0))
    return (label, counted[label].burn) if label in counted else (None, None)


def _period(
    period: Period, counted: Counted, at_ns: int, rate_window: str | None, rate: Fraction | None
) -> PeriodStatus:
    start_ns, end_ns = period.bounds(at_ns)
    elapsed = Fraction(at_ns - start_ns, end_ns - start_ns)
    of_period = None if counted.burn is None else counted.burn * elapsed
    total = counted.good + counted.bad
    exhausted_ns = budget.exhaustion(of_period, rate, end_ns - start_ns, at_ns)
    if exhausted_ns is not None and exhausted_ns > end_ns and isinstance(period, Dated):
        exhausted_ns = None
    return PeriodStatus(
        period=period.label,
        start_ns=start_ns,
        end_ns=end_ns,
        good=plain_count(counted.good),
        bad=plain_count(counted.bad),
        sli_ratio=float(counted.good / total) if total else None,
        consumed_ratio=budget.as_float(counted.burn),
        remaining_ratio=budget.remaining(counted.burn),
        elapsed_ratio=float(elapsed),
        consumed_of_period_ratio=budget.as_float(of_period),
        projected_ratio=budget.as_float(budget.projected(of_period, rate, elapsed))
        if isinstance(period, Dated)
        else None,
        exhausted_at_ns=exhausted_ns,
        rate_window=rate_window,
    )
