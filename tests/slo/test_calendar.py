"""Calendar periods: where days, weeks, months and quarters begin and end, in any zone."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reporter.slo.calendar import CALENDARS, Calendar, CalendarPeriod, parse_period

NS = 10**9
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # skipped midnight, and repeated the hour before it
    "America/Havana",  # repeated the hour after midnight
    "America/St_Johns",  # put clocks back at 00:01
    "Asia/Beirut",
    "Africa/Cairo",
    "Africa/Casablanca",  # a second winter in every Ramadan
    "Asia/Kathmandu",  # 5 h 45 min
    "Australia/Lord_Howe",  # half an hour of summer time
    "Pacific/Apia",  # went without 2011-12-30
)
FIRST, LAST = date(2005, 1, 1), date(2015, 1, 1)
periods = st.builds(CalendarPeriod, st.sampled_from(CALENDARS), st.sampled_from(ZONES))
moments = st.one_of(
    st.integers(0, 4 * 10**18),
    st.datetimes(datetime(1972, 1, 2), datetime(2040, 1, 1)).map(lambda at: utc(f"{at:%Y-%m-%dT%H}:00:00")),
)


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


def local_date(at_ns: int, zone: str) -> date:
    return datetime.fromtimestamp(at_ns // NS, ZoneInfo(zone)).date()


def first_days(unit: Calendar) -> list[date]:
    """The first days of ten years' periods, as a calendar on the wall has them."""
    days = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
    if unit == "week":
        return [day for day in days if day.isoweekday() == 1]
    if unit == "month":
        return [day for day in days if day.day == 1]
    if unit == "quarter":
        return [day for day in days if (day.month, day.day) in ((1, 1), (4, 1), (7, 1), (10, 1))]
    return days


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("unit", CALENDARS)
def test_periods_tile_ten_years(unit: Calendar, zone: str) -> None:
    """Each ends where the next begins, and begins with the first moment of its first day."""
    period = CalendarPeriod(unit, zone)
    expected = [day for day in first_days(unit) if (zone, day) != ("Pacific/Apia", date(2011, 12, 30))]
    start_ns, end_ns = period.bounds(utc(f"{expected[0]}T12:00:00"))
    for day, following in pairwise(expected):
        assert local_date(start_ns, zone) == day
        assert local_date(start_ns - NS, zone) < day
        assert start_ns < end_ns
        for at_ns in (start_ns, start_ns + 1, (start_ns + end_ns) // 2, end_ns - 1):
            assert period.bounds(at_ns) == (start_ns, end_ns)
        assert period.named(period.name(start_ns)) == (start_ns, end_ns)
        before_ns = start_ns
        start_ns, end_ns = period.next(start_ns)
        assert period.previous(start_ns)[0] == before_ns
        assert period.previous(start_ns)[1] == start_ns
        assert local_date(start_ns, zone) == following


@given(periods, moments)
@example(CalendarPeriod("day", "America/St_Johns"), utc("2010-11-07T02:45:00"))
@example(CalendarPeriod("month", "America/Sao_Paulo"), utc("2018-11-04T03:00:00"))
def test_a_moment_is_in_exactly_one_period_and_its_neighbours_touch_it(period: CalendarPeriod, at_ns: int) -> None:
    start_ns, end_ns = period.bounds(at_ns)
    assert start_ns <= at_ns < end_ns
    assert end_ns - start_ns <= period.longest_ns
    assert period.previous(at_ns)[1] == start_ns
    assert period.next(at_ns)[0] == end_ns
    assert period.bounds(start_ns) == period.bounds(end_ns - 1) == (start_ns, end_ns)


@given(st.sampled_from(ZONES), moments)
def test_a_day_begins_with_the_first_minute_whose_date_it_is(zone: str, at_ns: int) -> None:
    start_ns, _ = CalendarPeriod("day", zone).bounds(at_ns)
    day = local_date(start_ns, zone)
    minutes = range(start_ns - 60 * 60 * NS, start_ns + 120 * 60 * NS, 60 * NS)
    assert next(minute for minute in minutes if local_date(minute, zone) >= day) == start_ns


@pytest.mark.parametrize(
    ("zone", "name", "start", "end"),
    [
        ("UTC", "2026-10", "2026-10-01T00:00:00", "2026-11-01T00:00:00"),
        ("UTC", "2026-Q4", "2026-10-01T00:00:00", "2027-01-01T00:00:00"),
        ("UTC", "2026-W43", "2026-10-19T00:00:00", "2026-10-26T00:00:00"),
        ("UTC", "2026-W53", "2026-12-28T00:00:00", "2027-01-04T00:00:00"),
        ("UTC", "2028-02-29", "2028-02-29T00:00:00", "2028-03-01T00:00:00"),
        ("Europe/Berlin", "2026-10", "2026-09-30T22:00:00", "2026-10-31T23:00:00"),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00", "2026-03-29T22:00:00"),  # 23 hours
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00", "2026-10-25T23:00:00"),  # 25 hours
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00:00", "2026-04-05T13:30:00"),  # 24.5 hours
        ("Asia/Kathmandu", "2026-11-26", "2026-11-25T18:15:00", "2026-11-26T18:15:00"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00", "2018-11-05T02:00:00"),  # it begins at 01:00
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00:00", "2018-02-19T03:00:00"),
        ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00:00", "2018-02-18T03:00:00"),  # 25 hours
        ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00:00", "2026-03-29T21:00:00"),  # it begins at 01:00
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00", "2026-04-24T21:00:00"),  # it begins at 01:00
        ("America/Havana", "2026-11-01", "2026-11-01T04:00:00", "2026-11-02T05:00:00"),  # 00:00 comes twice
        ("America/St_Johns", "2010-11-07", "2010-11-07T02:30:00", "2010-11-08T03:30:00"),  # 00:00, 23:01, 00:00
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00", "2011-12-31T10:00:00"),
        ("Pacific/Apia", "2011-12", "2011-12-01T10:00:00", "2011-12-31T10:00:00"),  # 30 days
        ("Africa/Monrovia", "1971-05-01", "1971-05-01T00:44:30", "1971-05-02T00:44:30"),
    ],
)
def test_a_period_has_the_bounds_that_its_zone_gave_it(zone: str, name: str, start: str, end: str) -> None:
    period = CalendarPeriod.of(name, zone)
    assert period.named(name) == period.bounds(utc(start)) == (utc(start), utc(end))
    assert period.name(utc(end) - 1) == name


def test_the_label_says_unit_and_zone() -> None:
    assert CalendarPeriod("month").label == "month"
    assert CalendarPeriod("week", "Europe/Berlin").label == "week Europe/Berlin"


@given(st.sampled_from(CALENDARS), moments)
def test_a_name_reads_back_as_the_period_it_names(unit: Calendar, at_ns: int) -> None:
    period = CalendarPeriod(unit)
    assert CalendarPeriod.of(period.name(at_ns)) == period
    assert period.named(period.name(at_ns)) == period.bounds(at_ns)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("october", "'october' is no period; write a quarter like 2026-Q4, a month like 2026-10"),
        ("2026", "'2026' is no period"),
        ("2026-13", "2026-13 is no month"),
        ("2026-W54", "2026-W54 is no week"),
        ("2025-W53", "2025-W53 is no week"),
        ("2026-Q5", "'2026-Q5' is no period"),
        ("2026-02-29", "2026-02-29 is no day"),
        ("1969-12", "1969-12: the year must be from 1970 to 2261"),
        ("٢٠٢٦-10", "is no period"),
    ],
)
def test_what_names_no_period_is_refused_with_how_one_is_written(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_period(text)


def test_a_period_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="2026-W43 is a week, and a month is meant; write one like 2026-10"):
        CalendarPeriod("month").named("2026-W43")


def test_a_day_that_clocks_skipped_is_refused() -> None:
    with pytest.raises(ValueError, match="2011-12-30: there was no such day in Pacific/Apia"):
        CalendarPeriod("day", "Pacific/Apia").named("2011-12-30")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "/etc/passwd", "Europe"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="is no time zone known here; write one like Europe/Berlin or UTC"):
        CalendarPeriod("day", zone)


def test_every_unit_is_listed() -> None:
    assert get_args(Calendar) == CALENDARS
