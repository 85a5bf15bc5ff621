"""Calendar periods: the days, weeks, months and quarters of a time zone, as spans of UTC.

A period begins with the first moment of its first day and ends where the next one begins, so periods tile time: they
have no gap and no overlap, whatever clocks do.  A day has 23, 24, 24.5 or 25 hours; lengths are differences of UTC
moments, and the zone does nothing but cut.

midnight does not exist    the day begins with the first moment that does, like 01:00 in America/Sao_Paulo, 2018-11-04
midnight exists twice      the day begins with the first of the two; what the clock repeats of the day before is in the day
the day does not exist     it is in no period, like 2011-12-30 in Pacific/Apia; its neighbours meet

Bounds are whole seconds.  They are whole minutes too in every zone since 1972; before, Africa/Monrovia was 44 min 30 s
from UTC, and long ago every town had seconds of its own.  Who counts by the minute cuts such a bound to the minute it is in.

Source: the IANA Time Zone Database, https://www.iana.org/time-zones, as Python's zoneinfo reads it; weeks are those of
ISO 8601, Monday to Sunday.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Calendar = Literal["day", "week", "month", "quarter"]
Bounds = tuple[int, int]
"""[start, end) in nanoseconds since 1970."""

CALENDARS: tuple[Calendar, ...] = ("day", "week", "month", "quarter")
YEARS = range(1970, 2262)
"""Those whose every moment a database's integer holds."""

_NS = 10**9
_DAY = timedelta(days=1)
_MOST_DAYS: dict[Calendar, int] = {"day": 1, "week": 7, "month": 31, "quarter": 92}
_NOMINAL_DAYS: dict[Calendar, int] = {"day": 1, "week": 7, "month": 30, "quarter": 91}
_CLOCKS_BACK_NS = 7 * 3_600 * _NS  # the most that clocks were put back at once since 1970: Antarctica/Vostok
_NAMES: tuple[tuple[Calendar, re.Pattern[str]], ...] = (
    ("day", re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)),
    ("week", re.compile(r"(\d{4})-W(\d\d)", re.ASCII)),
    ("month", re.compile(r"(\d{4})-(\d\d)", re.ASCII)),
    ("quarter", re.compile(r"(\d{4})-Q([1-4])", re.ASCII)),
)
_EXAMPLES: dict[Calendar, str] = {"day": "2026-10-25", "week": "2026-W43", "month": "2026-10", "quarter": "2026-Q4"}


@dataclass(frozen=True, slots=True)
class CalendarPeriod:
    """The days, weeks, months or quarters of a zone.

    Raises:
        ValueError: the zone is unknown here.

    >>> month = CalendarPeriod("month", "Europe/Berlin")
    >>> start, end = month.named("2026-10")
    >>> (end - start) // (3600 * 10**9)  # 31 days and the hour that clocks are put back
    745
    >>> month.name(start), month.label
    ('2026-10', 'month Europe/Berlin')
    """

    unit: Calendar
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        _zone(self.timezone)

    @classmethod
    def of(cls, name: str, timezone: str = "UTC") -> "CalendarPeriod":
        """Return the periods of which `name` is one: of 2026-10 the months.

        Raises:
            ValueError: the text names no period, or the zone is unknown here.
        """
        return cls(parse_period(name)[0], timezone)

    @property
    def label(self) -> str:
        """`month`, or `month Europe/Berlin`."""
        return self.unit if self.timezone == "UTC" else f"{self.unit} {self.timezone}"

    @property
    def longest_ns(self) -> int:
        """A length that no period of this kind is above, with clocks put back within it."""
        return _MOST_DAYS[self.unit] * 86_400 * _NS + (0 if self.timezone == "UTC" else _CLOCKS_BACK_NS)

    @property
    def nominal_ns(self) -> int:
        """What such a period is taken for where none in particular is meant: a month is 30 days, a quarter 91."""
        return _NOMINAL_DAYS[self.unit] * 86_400 * _NS

    @property
    def on_whole_hours(self) -> bool:
        """Whether its periods begin with whole hours of UTC, looked at from 2020 to 2037."""
        zone = _zone(self.timezone)
        weeks = range(_second(datetime(2020, 1, 1, tzinfo=UTC)), _second(datetime(2038, 1, 1, tzinfo=UTC)), 7 * 86_400)
        return all(_local(second, zone).minute == 0 for second in weeks)

    def bounds(self, at_ns: int) -> Bounds:
        """Return the period that holds a moment."""
        first = self._first_day(_local(at_ns // _NS, _zone(self.timezone)).date())
        start_ns, end_ns = self._from(first)
        while end_ns <= at_ns:  # the clock repeats the end of a day: that belongs to the next
            first = self._next(first)
            start_ns, end_ns = self._from(first)
        return start_ns, end_ns

    def previous(self, at_ns: int) -> Bounds:
        """Return the period before the one that holds a moment."""
        return self.bounds(self.bounds(at_ns)[0] - 1)

    def next(self, at_ns: int) -> Bounds:
        """Return the period after the one that holds a moment."""
        return self.bounds(self.bounds(at_ns)[1])

    def name(self, at_ns: int) -> str:
        """Return the name of the period that holds a moment, which `named` reads: 2026-10, 2026-W43, 2026-10-25."""
        first = self._first_day(_local(self.bounds(at_ns)[0] // _NS, _zone(self.timezone)).date())
        if self.unit == "day":
            return first.isoformat()
        if self.unit == "week":
            year, week, _ = first.isocalendar()
            return f"{year:04}-W{week:02}"
        if self.unit == "month":
            return f"{first:%Y-%m}"
        return f"{first:%Y}-Q{(first.month + 2) // 3}"

    def named(self, name: str) -> Bounds:
        """Return the period of that name.

        Raises:
            ValueError: the text names none, or one of another kind, or a day that the zone left out.
        """
        unit, first = parse_period(name)
        if unit != self.unit:
            raise ValueError(f"{name} is a {unit}, and a {self.unit} is meant; write one like {_EXAMPLES[self.unit]}")
        start_ns, end_ns = self._from(first)
        if start_ns == end_ns:
            raise ValueError(f"{name}: there was no such {unit} in {self.timezone}, where clocks skipped it")
        return start_ns, end_ns

    def _from(self, first: date) -> Bounds:
        zone = _zone(self.timezone)
        return _start_of(first, zone) * _NS, _start_of(self._next(first), zone) * _NS

    def _first_day(self, day: date) -> date:
        if self.unit == "day":
            return day
        if self.unit == "week":
            return day - day.weekday() * _DAY
        return day.replace(day=1, month=day.month if self.unit == "month" else (day.month - 1) // 3 * 3 + 1)

    def _next(self, first: date) -> date:
        return self._first_day(first + _MOST_DAYS[self.unit] * _DAY)


def parse_period(name: str) -> tuple[Calendar, date]:
    """Return the unit of a period like 2026-10, 2026-Q4, 2026-W43 or 2026-10-25, and its first day.

    Raises:
        ValueError: the text names no period; the message says how one is written.

    >>> parse_period("2026-W43")
    ('week', datetime.date(2026, 10, 19))
    """
    for unit, pattern in _NAMES:
        found = pattern.fullmatch(name.strip().upper())
        if found is None:
            continue
        year, *rest = map(int, found.groups())
        if year not in YEARS:
            raise ValueError(f"{name}: the year must be from {YEARS[0]} to {YEARS[-1]}")
        try:
            if unit == "week":
                return unit, date.fromisocalendar(year, rest[0], 1)
            month, day = (rest[0] * 3 - 2 if unit == "quarter" else rest[0]), (rest[1] if unit == "day" else 1)
            return unit, date(year, month, day)
        except ValueError as error:
            raise ValueError(f"{name} is no {unit}: {error}") from None
    shown = repr(name if len(name) <= 40 else name[:37] + "...")
    examples = ", ".join(f"a {unit} like {_EXAMPLES[unit]}" for unit in reversed(CALENDARS))
    raise ValueError(f"{shown} is no period; write {examples}")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError; a directory's name is an OSError
        raise ValueError(f"{name[:60]!r} is no time zone known here; write one like Europe/Berlin or UTC") from None


def _local(second: int, zone: ZoneInfo) -> datetime:
    """What the clock on the wall shows at a second since 1970."""
    return datetime.fromtimestamp(second, zone).replace(tzinfo=None)


def _start_of(day: date, zone: ZoneInfo) -> int:
    """The second since 1970 with which a day begins: the first one whose date is that day or a later one."""
    midnight = datetime.combine(day, time())
    earlier, later = (_second(midnight.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if earlier <= later:  # the same, or the first of two
        return earlier
    # Clocks were put forward over it.  By the offset before, it is after that moment, and by the one after, before it.
    between = range(later, earlier + 1)
    return between[bisect_left(between, True, key=lambda second: _local(second, zone) >= midnight)]


def _second(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp())
