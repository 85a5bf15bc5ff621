"""When runs are due: by a cron expression in a time zone, every so often, or in the job's own rhythm.

Cron expressions mean what they mean to Debian's cron, on the days that clocks change, too.  Of a time of day, where neither
minute nor hour begins with `*`:

it does not exist   the first moment after the gap is due; several that do not exist are due there once
it exists twice     the first is due, once

Schedulers differ there, so whoever starts the run as late as any other reading of that time is still on time: `Due.latest_ns`.
Anything else (`*/15 * * * *`, `30 * * * *`) goes on by elapsed time: again in an hour that is repeated, never in one that is
skipped.

Days on which no clock changes are counted in integers, which is twenty times as fast as cronsim.

Source: `cron(8)` of Debian, "Notes on DST"; cronsim, https://github.com/cuu508/cronsim, which follows it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise, takewhile
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
                for due in self._where_clocks_change(begin_ns):
                    if due.at_ns >= end_ns:
                        break
                    yield due
            last_ns = max(at_ns, (day * _DAY - offset) * _NS - 1)

    def _where_clocks_change(self, at_ns: int) -> Iterator[Due]:
        """The same, slower: whatever the clock does."""
        sim = copy(_parsed(self.expression, self.timezone)[0])
        sim.dt = datetime.fromtimestamp(at_ns // _NS, _zone(self.timezone))
        if sim.fixup_tz is not None:
            sim.dt = sim.dt.replace(tzinfo=None, fold=0)
        last_ns = at_ns
        for moment in sim:
            due = _due(sim, moment)
            if due.at_ns > last_ns:  # else it is the first of two, and the clock showed the second
                last_ns = due.at_ns
                yield due

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


def rhythm(schedule: Every | Observed, starts_ns: list[int]) -> Rhythm | None:
    """The rhythm of a schedule, given starts in order; None where too few are known to observe one.

    Observed is the median of the last gaps, and no gap is too long that is not longer than the longest of them, or of the last
    15 days: a job that pauses at weekends is not missed there.  Of one whose starts do not span a week, nobody knows yet on
    which days it pauses, so no gap is too long that is not longer than a week.
    """
    if isinstance(schedule, Every):
        return Rhythm(schedule.interval_ns, _on_any_day(schedule.interval_ns))
    last = starts_ns[-GAPS - 1 :]
    gaps = [later - earlier for earlier, later in pairwise(last) if later > earlier]
    if len(gaps) < FEWEST_GAPS:
        return None
    recent = starts_ns[bisect_left(starts_ns, starts_ns[-1] - WATCHED_NS) :]
    longest_ns = max(*gaps, *(later - earlier for earlier, later in pairwise(recent)))
    if starts_ns[-1] - starts_ns[0] < KNOWN_NS:
        longest_ns = max(longest_ns, KNOWN_NS)
    return Rhythm(median_low(gaps), _on_any_day(longest_ns))


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
    offset = datetime.fromtimestamp(at_s, _zone(timezone)).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


@lru_cache(maxsize=1_000)
def _zone(name: str) -> tzinfo:  # cronsim knows UTC itself, and is faster with it
    return UTC if name == "UTC" else ZoneInfo(name)


def _due(sim: CronSim, moment: datetime) -> Due:
    at_ns = int(moment.timestamp()) * _NS
    if sim.fixup_tz is None:
        return Due(at_ns, at_ns)
    second = moment.replace(fold=1)
    if second.utcoffset() != moment.utcoffset():  # it exists twice
        return Due(at_ns, int(second.timestamp()) * _NS)
    if moment.minute in sim.minutes and moment.hour in sim.hours:
        return Due(at_ns, at_ns)
    before = (moment.astimezone(UTC) - timedelta(seconds=1)).astimezone(moment.tzinfo)
    gap = (moment.utcoffset() or timedelta()) - (before.utcoffset() or timedelta())
    return Due(at_ns, at_ns + int(gap.total_seconds()) * _NS)
