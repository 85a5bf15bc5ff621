"""Alert replay: when an SLO's alerts would have fired, minute by minute over the past, from what is known now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from reporter.report.events import EventReader
from reporter.slo.alerting import AlertPair
from reporter.slo.spec import SLO
from reporter.slo.timeline import merged, overlaps
from reporter.tally import MINUTE_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One stretch of time through which an alert would have fired."""

    severity: str
    long: str
    short: str
    factor: float
    start_ns: int
    end_ns: int  # when it would have resolved
    open: bool  # it still fires at the end of the replay
    highest_burn_rate: float  # of the long window


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What an alert policy would have done."""

    slo: str
    since_ns: int
    until_ns: int
    firings: tuple[Firing, ...]  # in order of time
    pruned: bool  # it begins later than was asked, because the minutes from before are gone


def replay(events: EventReader, slo: SLO, since: int, until: int) -> Replay:
    """Go through minutes (since, until]: each as a report at that minute would have, had it known what is known now."""
    longest = max((pair.long_ns for pair in slo.pairs), default=0) // MINUTE_NS
    first = since - longest
    while events.lacking(slo, first, until) is not None and first < until:
        first += 1440 - first % 1440
    begin = min(first + longest, until)
    firings: list[Firing] = []
    if first < until:
        past = _Past(events, slo, first, until)
        firings += (firing for pair in slo.pairs for firing in _firings(slo, pair, past, begin, until))
    return Replay(
        slo=slo.name,
        since_ns=begin * MINUTE_NS,
        until_ns=until * MINUTE_NS,
        firings=tuple(sorted(firings, key=lambda firing: (firing.start_ns, firing.severity, firing.long))),
        pruned=begin > since,
    )


class _Past:
    """The events of one SLO, and what `missing` makes of windows without any."""

    def __init__(self, events: EventReader, slo: SLO, first: int, until: int) -> None:
        self._missing = slo.missing
        last = None if slo.missing == "exclude" else events.last_event(slo, first)
        if last is not None:  # what it held is of windows that end with it
            longest = max((pair.long_ns for pair in slo.pairs), default=0) // MINUTE_NS
            while events.lacking(slo, last - longest, until) is not None and longest:
                longest = max(0, longest - 60)
            first = last - longest
        self._timeline = events.timeline(slo, first, until)
        self._empty_anyway = events.excluded(slo)
        if slo.missing != "exclude":
            self._empty_anyway = merged([*self._empty_anyway, *events.jobs.busy(slo, first, until)])
        self.scale = self._timeline.scale

    def between(self, first: int, end: int) -> tuple[int, int]:
        """Good and bad of minutes [first, end); of none, those that stand for what is missing."""
        good, bad = self._timeline.between(first, end)
        if good or bad or self._missing in ("exclude", "good") or overlaps(self._empty_anyway, first, end):
            return good, bad
        last = self._timeline.last_before(first)
        if last is None:  # nothing is known yet
            return 0, 0
        if self._missing == "bad":
            return 0, self.scale
        return self._timeline.between(last + 1 - (end - first), last + 1)


def _firings(slo: SLO, pair: AlertPair, past: _Past, since: int, until: int) -> Iterator[Firing]:
    long, short = pair.long_ns // MINUTE_NS, pair.short_ns // MINUTE_NS
    budget = Fraction(slo.error_budget_ratio)
    limit = pair.factor * budget  # of bad / total; compared in integers, because there are many minutes
    began, highest = None, Fraction(0)
    for minute in range(since + 1, until + 1):
        good, bad = past.between(minute - long, minute)
        fires = _above(good, bad, limit) and bad >= slo.min_bad_events * past.scale
        if fires and _above(*past.between(minute - short, minute), limit):
            began = minute if began is None else began
            highest = max(highest, Fraction(bad, good + bad) / budget)
        elif began is not None:
            yield _firing(pair, began, minute, highest, still=False)
            began, highest = None, Fraction(0)
    if began is not None:
        yield _firing(pair, began, until, highest, still=True)


def _above(good: int, bad: int, limit: Fraction) -> bool:
    return bad * limit.denominator > (good + bad) * limit.numerator


def _firing(pair: AlertPair, began: int, ended: int, highest: Fraction, *, still: bool) -> Firing:
    return Firing(
        severity=pair.severity,
        long=pair.long,
        short=pair.short,
        factor=float(pair.factor),
        start_ns=began * MINUTE_NS,
        end_ns=ended * MINUTE_NS,
        open=still,
        highest_burn_rate=float(highest),
    )
