"""When runs are due: by a cron expression in a time zone, every so often, or in the job's own rhythm.

Cron expressions mean what they mean to Debian's cron, on the days that clocks change, too.  Of a time of day, where neither
minute nor hour begins with `*`:

it does not exist   the first moment after the gap is due; several that do not exist are due there once
it exists twice     the first is due, once

Schedulers differ there, so whoever starts the run as late as any other reading of that time is still on time: `Due.latest_ns`.
Anything else (`*/15 * * * *`, `30 * * * *`) goes on by elapsed time: again in an hour that is repeated, never in one that is
skipped.

Days on which no clock changes are counted in integers, which is twenty times as fast as cronsim, and so are the stretches
between changes on others: cronsim steps whole hours there, and loses minutes where clocks change by half of one.

Source: `cron(8)` of Debian, "Notes on DST"; cronsim, https://github.com/cuu508/cronsim, reads the expressions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache, partial
from itertools import chain, pairwise, takewhile
from statistics import median_low
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from reporter.slo.durations import MINUTE_NS, UNITS_NS, format_duration, parse_duration

_NS = 10**9
_DAY = 86_400
_EPOCH = datetime(1970, 1, 1).toordinal()
_MOST_DAYS = 50 * 366  # cronsim gives up there, too
READINGS_NS = 180 * MINUTE_NS
"""No two readings of a time of day are further apart."""
_NAMED = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip
_FIELDS = (
    ("minute", "0-59"), ("hour", "0-23"), ("day of the month", "1-31"), ("month", "1-12"), ("day of the week", "0-7"),
)  # fmt: skip
_SOME_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
GAPS = 10
"""Of how many of a job's last gaps between starts its own rhythm is made."""
WATCHED_NS = 15 * UNITS_NS["d"]
"""For how long no gap that there was is too long: two weekends."""
FEWEST_GAPS = 3
UNEVEN = 3
"""How many times as long as the median a gap is that is none of the usual ones."""
KNOWN_NS = 7 * UNITS_NS["d"]
"""For how long a job has to be known before a pause that it never made is too long: every day of the week was seen."""


class Due(NamedTuple):
    """One due time."""

    at_ns: int
    latest_ns: int  # where clocks change, the latest moment that the time of day may be taken for; else the same


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression of five fields, and the zone of its clock.

    >>> berlin = Cron("30 2 * * *", "Europe/Berlin")
    >>> noon_before = 1_774_695_600 * 10**9  # 2026-03-28, and in the night clocks go from 2:00 to 3:00
    >>> due = next(berlin.after(noon_before))
    >>> (due.at_ns - noon_before) // 10**9 / 3600, (due.latest_ns - due.at_ns) // 10**9 / 3600
    (14.0, 1.0)
    """

    expression: str
    timezone: str = "UTC"

    @property
    def label(self) -> str:
        """What it is kept and shown as."""
        return f"{self.expression} {self.timezone}"

    def after(self, at_ns: int) -> Iterator[Due]:
        """Every due time after a moment, in order."""
        _, times, days = _parsed(self.expression, self.timezone)
        day = at_ns // _NS // _DAY - 1  # no clock is a day behind
        last_day, last_ns = day + _MOST_DAYS, at_ns
        while day < last_day:
            if not _has_day(days, day):
                day += 1
                continue
            last_day = day + _MOST_DAYS
            offset = _offset(self.timezone, day)
            if offset is not None:
                midnight_s = day * _DAY - offset
                for second in times:
                    due_ns = (midnight_s + second) * _NS
                    if due_ns > at_ns:
                        yield Due(due_ns, due_ns)
                day += 1
            else:
                begin_ns = max(last_ns, (day - 2) * _DAY * _NS)
                while (offset := _offset(self.timezone, day)) is None:
                    day += 1
                end_ns = (day * _DAY - offset) * _NS
                yield from self._where_clocks_change(begin_ns, end_ns)
            last_ns = max(at_ns, (day * _DAY - offset) * _NS - 1)

    def _where_clocks_change(self, begin_ns: int, end_ns: int) -> Iterator[Due]:
        """The same from after a moment to before another, slower: whatever the clock does."""
        is_time_of_day = not any(field.startswith("*") for field in self.expression.split()[:2])
        for stretch in chain.from_iterable(_stretches(self.timezone, day) for day in _days(begin_ns, end_ns)):
            dues = [
                Due(at_s * _NS, at_s * _NS) for at_s in self._between(stretch.begin_s, stretch.end_s, stretch.offset)
            ]
            if is_time_of_day:
                dues = [due for due in map(self._with_second, dues) if due is not None]
                in_gap = self._between(stretch.begin_s, stretch.begin_s + stretch.gap, stretch.offset - stretch.gap)
                if next(in_gap, None) is not None and (not dues or dues[0].at_ns > stretch.begin_s * _NS):
                    dues.insert(0, Due(stretch.begin_s * _NS, (stretch.begin_s + stretch.gap) * _NS))
            yield from (due for due in dues if begin_ns < due.at_ns < end_ns)

    def _between(self, begin_s: int, end_s: int, offset: int) -> Iterator[int]:
        """The moments it names from one to before another, by a clock that is so far ahead of UTC."""
        _, times, days = _parsed(self.expression, self.timezone)
        for day in range((begin_s + offset) // _DAY, (end_s - 1 + offset) // _DAY + 1):
            if _has_day(days, day):
                moments = (day * _DAY + second - offset for second in times)
                yield from (at_s for at_s in moments if begin_s <= at_s < end_s)

    def _with_second(self, due: Due) -> Due | None:
        """A time of day with its second reading; none if it is that."""
        moment = datetime.fromtimestamp(due.at_ns // _NS, _zone(self.timezone))
        return None if moment.fold else Due(due.at_ns, int(moment.replace(fold=1).timestamp()) * _NS)

    def is_due(self, at_ns: int) -> bool:
        """Whether a run is due in the minute of a moment."""
        minute_ns = at_ns // MINUTE_NS * MINUTE_NS
        due = next(self.after(minute_ns - 1), None)
        return due is not None and due.at_ns == minute_ns

    def named(self, at_ns: int) -> int | None:
        """The due time that is meant by a moment: that of its minute, or of which it is another reading."""
        minute_ns = at_ns // MINUTE_NS * MINUTE_NS
        if self.is_due(minute_ns):
            return minute_ns
        if _offset(self.timezone, minute_ns // _NS // _DAY) is not None:
            return None
        read = takewhile(lambda due: due.at_ns < minute_ns, self.after(minute_ns - READINGS_NS))
        found = [due for due in read if due.latest_ns >= minute_ns]
        return min(found, key=lambda due: due.latest_ns).at_ns if found else None


@dataclass(frozen=True, slots=True)
class Every:
    """So long after the last start."""

    interval_ns: int

    @property
    def label(self) -> str:
        return f"every {format_duration(self.interval_ns)}"


@dataclass(frozen=True, slots=True)
class Observed:
    """As long after the last start as it usually is."""

    label: str = "observed"


Schedule = Cron | Every | Observed


class Rhythm(NamedTuple):
    """How long after a start the next is due, and from when on it is longer than it should be."""

    interval_ns: int
    longest_ns: int


def rhythm(schedule: Every | Observed, starts_ns: list[int], missed_ns: Sequence[int] = ()) -> Rhythm | None:
    """The rhythm of a schedule, given starts and what was missed, in order; None where too few are known to observe one.

    Observed is the median of the last gaps, or the longest of them that came twice where that is much longer.  No gap is too
    long that is not longer than the longest of them, or of the last 15 days, in which nothing was missed: a job that pauses at
    weekends is not missed there, and an outage is no measure.  Of one whose starts do not span a week, nobody knows yet on
    which days it pauses, so no gap is too long that is not longer than a week.
    """
    if isinstance(schedule, Every):
        return Rhythm(schedule.interval_ns, _on_any_day(schedule.interval_ns))
    last = starts_ns[-GAPS - 1 :]
    gaps = sorted(later - earlier for earlier, later in pairwise(last) if later > earlier)
    if len(gaps) < FEWEST_GAPS:
        return None
    recent = starts_ns[bisect_left(starts_ns, starts_ns[-1] - WATCHED_NS) :]
    usual_ns = _without_missed(last, missed_ns)  # but if all gaps are now as long, that is how it is
    interval_ns = median_low(gaps)
    if len(usual_ns) > 1 and usual_ns[-2] > UNEVEN * interval_ns:
        interval_ns = usual_ns[-2]
    longest_ns = max(interval_ns, *usual_ns[-1:], *_without_missed(recent, missed_ns)[-1:])
    if starts_ns[-1] - starts_ns[0] < KNOWN_NS:
        longest_ns = max(longest_ns, KNOWN_NS)
    return Rhythm(interval_ns, _on_any_day(longest_ns))


def _without_missed(starts_ns: Sequence[int], missed_ns: Sequence[int]) -> list[int]:
    """The gaps between starts in which nothing was missed, the longest last."""
    return sorted(
        later - earlier
        for earlier, later in pairwise(starts_ns)
        if bisect_left(missed_ns, later) == bisect_right(missed_ns, earlier) and later > earlier
    )


def _on_any_day(gap_ns: int) -> int:
    """A gap of about a day or longer, if clocks go back in it."""
    return gap_ns + UNITS_NS["h"] if gap_ns >= 20 * UNITS_NS["h"] else gap_ns


def parse_schedule(text: str, timezone: str = "UTC") -> Schedule:
    """Return the schedule that a text means: `0 3 * * *`, `@daily`, `every 15m` or `observed`.

    Raises:
        ValueError: it means none, or no moment ever.
    """
    text = " ".join(text.split())
    if text == "observed":
        return Observed()
    word, _, length = text.partition(" ")
    if word == "every":
        interval_ns = parse_duration(length)
        if interval_ns < MINUTE_NS:
            raise ValueError(f"must be every minute or longer, not {text[:60]!r}")
        return Every(interval_ns)
    expression = _NAMED.get(text, text)
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            'must be a cron expression of five fields, like "0 3 * * *", or "every 15m", or "observed",'
            f" not {text[:60]!r}"
        )
    try:
        sim = CronSim(expression, _SOME_YEAR)
    except (CronSimError, ValueError):  # int() refuses thousands of digits
        raise ValueError(_blame(fields)) from None
    if next(sim, None) is None:
        raise ValueError(_NEVER.format(expression[:60]))
    return Cron(expression, timezone)


_NEVER = "never comes: within 50 years no day is {!r}"


def _blame(fields: list[str]) -> str:
    for place, (field, (name, allowed)) in enumerate(zip(fields, _FIELDS, strict=True)):
        try:
            CronSim(" ".join(["*"] * place + [field] + ["*"] * (4 - place)), _SOME_YEAR)
        except (CronSimError, ValueError):
            return f"has {field[:60]!r} for its {name}: must be {allowed}, *, a-b, */n, or such by commas"
    return _NEVER.format(" ".join(fields)[:60])


@lru_cache(maxsize=100_000)
def _parsed(expression: str, timezone: str) -> tuple[CronSim, tuple[int, ...], str]:
    """An expression read, its times of day in seconds, and the expression of its days, which many have in common."""
    sim = CronSim(expression, datetime(2026, 1, 1, tzinfo=_zone(timezone)))
    times = tuple(hour * 3600 + minute * 60 for hour in sorted(sim.hours) for minute in sorted(sim.minutes))
    return sim, times, " ".join(["0", "0", *expression.split()[2:]])


@lru_cache(maxsize=100_000)
def _has_day(days: str, day: int) -> bool:
    sim, *_ = _parsed(days, "UTC")
    date = datetime.fromordinal(_EPOCH + day)
    return date.month in sim.months and sim.match_day(date)


@lru_cache(maxsize=100_000)
def _offset(timezone: str, day: int) -> int | None:
    """How far the clock is ahead of UTC in a local day, in seconds; None where it changes nearby."""
    offset = _utc_offset(timezone, day * _DAY)
    near = (_utc_offset(timezone, (day + days) * _DAY) for days in (-1, 1, 2))
    return offset if all(other == offset for other in near) else None


@lru_cache(maxsize=100_000)
def _utc_offset(timezone: str, at_s: int) -> int:
    return _read_offset(_zone(timezone), at_s)


@lru_cache(maxsize=1_000)
def _zone(name: str) -> tzinfo:  # cronsim knows UTC itself, and is faster with it
    return UTC if name == "UTC" else ZoneInfo(name)


class _Stretch(NamedTuple):
    """A part of a UTC day through which a clock is as far ahead of UTC, in seconds."""

    begin_s: int
    end_s: int
    offset: int
    gap: int  # by how much it went forward at the beginning


def _days(begin_ns: int, end_ns: int) -> range:
    return range(begin_ns // _NS // _DAY, end_ns // _NS // _DAY + 1)


@lru_cache(maxsize=10_000)
def _stretches(timezone: str, day: int) -> tuple[_Stretch, ...]:
    zone, begin_s, gap = _zone(timezone), day * _DAY, 0
    offset = _read_offset(zone, begin_s - 1)
    found = []
    for hour_s in range(begin_s, begin_s + _DAY, 3600):
        after = _read_offset(zone, hour_s + 3599)
        if after != offset:
            is_after = partial(_is_ahead, zone, after)
            change_s = hour_s + bisect_left(range(hour_s, hour_s + 3600), True, key=is_after)
            found.append(_Stretch(begin_s, change_s, offset, gap))
            begin_s, offset, gap = change_s, after, after - offset
    return (*found, _Stretch(begin_s, (day + 1) * _DAY, offset, gap))


def _is_ahead(zone: tzinfo, offset: int, at_s: int) -> bool:
    return _read_offset(zone, at_s) == offset


def _read_offset(zone: tzinfo, at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
