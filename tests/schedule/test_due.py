"""Due times are those of Debian's cron, each once and in order, on the days that clocks change, too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reporter.schedule.due import Cron, Every, Observed, Rhythm, parse_schedule, rhythm

NS, MINUTE_NS, DAY_NS = 10**9, 60 * 10**9, 86_400 * 10**9
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "Asia/Kathmandu")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * NS


def dues(expression: str, zone: str, day: str) -> list[str]:
    """The due times of one local day, as its clock shows them; with the latest reading where there are several."""
    begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    end_ns = int((begin + timedelta(days=1)).timestamp()) * NS
    after = parse_schedule(expression, zone)
    assert isinstance(after, Cron)
    found = takewhile(lambda due: due.at_ns < end_ns, after.after(int(begin.timestamp()) * NS - 1))
    shown = [
        [datetime.fromtimestamp(ns // NS, ZoneInfo(zone)).strftime("%H:%M%z") for ns in dict.fromkeys(due)]
        for due in found
    ]
    return [" or until ".join(several) for several in shown]


@pytest.mark.parametrize(
    ("zone", "day", "expression", "expected"),
    [
        ("Europe/Berlin", "2026-03-29", "30 2 * * *", ["03:00+0200 or until 04:00+0200"]),  # it does not exist
        ("Europe/Berlin", "2026-03-29", "0,15,30 2 * * *", ["03:00+0200 or until 04:00+0200"]),
        ("Europe/Berlin", "2026-03-29", "0 3 * * *", ["03:00+0200"]),  # it does
        ("Europe/Berlin", "2026-10-25", "30 2 * * *", ["02:30+0200 or until 02:30+0100"]),  # it exists twice
        ("Europe/Berlin", "2026-10-25", "30 * * * *", None),  # by elapsed time: 25 of them
        ("America/New_York", "2026-03-08", "30 2 * * *", ["03:00-0400 or until 04:00-0400"]),
        ("America/New_York", "2026-11-01", "30 2 * * *", ["02:30-0500"]),  # 1:30 exists twice there
        ("America/New_York", "2026-11-01", "30 1 * * *", ["01:30-0400 or until 01:30-0500"]),
        ("Africa/Cairo", "2026-04-24", "30 2 * * *", ["02:30+0300"]),  # clocks go from 0:00 to 1:00
        ("Africa/Cairo", "2026-04-24", "30 0 * * *", ["01:00+0300 or until 02:00+0300"]),
        ("Africa/Cairo", "2026-10-29", "30 2 * * *", ["02:30+0300"]),
        ("Africa/Cairo", "2026-10-29", "30 23 * * *", ["23:30+0300 or until 23:30+0200"]),
        ("Australia/Lord_Howe", "2026-04-05", "30 2 * * *", ["02:30+1030"]),  # half an hour: 1:30 to 2:00 twice
        ("Australia/Lord_Howe", "2026-04-05", "45 1 * * *", ["01:45+1100 or until 01:45+1030"]),
        ("Australia/Lord_Howe", "2026-10-04", "30 2 * * *", ["02:30+1100"]),  # the first moment after the gap
        ("Australia/Lord_Howe", "2026-10-04", "15 2 * * *", ["02:30+1100 or until 03:00+1100"]),
    ],
)
def test_where_clocks_change_a_time_of_day_is_due_once(
    zone: str, day: str, expression: str, expected: list[str] | None
) -> None:
    found = dues(expression, zone, day)
    if expected is None:
        assert len(found) == 25
    else:
        assert found == expected


@pytest.mark.parametrize("zone", ZONES)
def test_a_daily_time_is_due_once_on_every_day_of_ten_years(zone: str) -> None:
    daily = Cron("30 2 * * *", zone)
    found = [due.at_ns for due in takewhile(lambda due: due.at_ns < at("2036-01-01T00:00Z"), daily.after(0))]
    days = [datetime.fromtimestamp(ns // NS, ZoneInfo(zone)).date() for ns in found]
    assert days == [days[0] + timedelta(days=number) for number in range(len(days))]


_fields = st.tuples(
    st.sampled_from(["0", "30", "*/20", "5,50"]), st.sampled_from(["*", "2", "0-3", "23", "*/6"]),
    st.sampled_from(["*", "1", "L", "*/9"]), st.sampled_from(["*", "3,10", "4"]), st.sampled_from(["*", "SUN", "5#2"]),
)  # fmt: skip


@settings(deadline=None)  # cronsim looks for rare days one by one
@given(fields=_fields, zone=st.sampled_from(ZONES), second=st.integers(at("2025-01-01T00:00Z") // NS, 2 * 10**9))
def test_due_times_are_cronsims_in_order_and_from_any_moment_the_same(
    fields: tuple[str, ...], zone: str, second: int
) -> None:
    cron = parse_schedule(" ".join(fields), zone)
    assert isinstance(cron, Cron)
    first, after, *_ = found = [due for due, _ in zip(cron.after(second * NS), range(30), strict=False)]
    assert all(second * NS < a.at_ns < b.at_ns for a, b in pairwise(found))
    assert all(due.at_ns <= due.latest_ns <= due.at_ns + 2 * 3600 * NS for due in found)
    assert next(cron.after(first.at_ns)) == next(cron.after(after.at_ns - 1)) == after
    if zone in ("UTC", "Asia/Kathmandu") or not any(field.startswith("*") for field in fields[:2]):
        zoned = datetime.fromtimestamp(second, UTC if zone == "UTC" else ZoneInfo(zone)) - timedelta(days=2)
        slow = (int(moment.timestamp()) * NS for moment in CronSim(cron.expression, zoned))
        assert [due.at_ns for due in found[:10]] == [
            ns for ns, _ in zip((n for n in slow if n > second * NS), range(10), strict=False)
        ]


CHANGES = (  # a week before clocks change, and some have two changes near
    ("Europe/Berlin", "2026-03-24"), ("Europe/Berlin", "2026-10-20"), ("America/New_York", "2026-10-27"),
    ("Africa/Cairo", "2026-04-20"), ("Africa/Cairo", "2026-10-26"), ("Australia/Lord_Howe", "2024-04-03"),
    ("Australia/Lord_Howe", "2026-09-30"), ("America/Santiago", "2027-09-01"), ("America/Santiago", "2025-09-03"),
    ("America/Havana", "2027-03-10"), ("Atlantic/Azores", "2027-03-24"), ("Antarctica/Troll", "2027-03-24"),
    ("Africa/Casablanca", "2026-02-11"), ("Pacific/Apia", "2011-12-27"), ("America/St_Johns", "2026-10-28"),
)  # fmt: skip


def brute_force(expression: str, zone: str, begin_s: int, end_s: int) -> list[int]:
    """The due times in a time, minute by minute."""
    sim = CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC))
    is_wildcard = any(field.startswith("*") for field in expression.split()[:2])

    def matches(local: datetime) -> bool:
        return (
            local.minute in sim.minutes
            and local.hour in sim.hours
            and local.month in sim.months
            and sim.match_day(local)
        )

    found = []
    before = datetime.fromtimestamp(begin_s - 60, ZoneInfo(zone)).replace(tzinfo=None)
    for at_s in range(begin_s, end_s, 60):
        moment = datetime.fromtimestamp(at_s, ZoneInfo(zone))
        local = moment.replace(tzinfo=None, fold=0)
        between = [before + timedelta(minutes=1 + n) for n in range(int((local - before).total_seconds()) // 60 - 1)]
        before = local
        is_first = matches(local) and not moment.fold
        if matches(local) if is_wildcard else is_first or any(map(matches, between)):
            found.append(at_s * NS)
    return found


_any_field = st.one_of(
    st.just("*"), st.sampled_from(["*/2", "*/5", "*/10", "*/15", "*/30"]), st.integers(0, 23).map(str),
    st.lists(st.integers(0, 5), min_size=1, max_size=4).map(lambda numbers: ",".join(map(str, numbers))),
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    minute=_any_field, hour=_any_field, days=st.sampled_from(["* *", "* 0", "*/2 *", "3 0", "1-15 *"]),
    change=st.sampled_from(CHANGES), begin=st.integers(0, 6 * 1440),
)  # fmt: skip
@example("*/30", "23", "* *", ("Australia/Lord_Howe", "2024-04-03"), 2 * 1440)
@example("*/15", "2", "* *", ("Australia/Lord_Howe", "2024-04-03"), 2 * 1440)
@example("*/10", "*/2", "* *", ("Australia/Lord_Howe", "2024-04-03"), 2 * 1440)
@example("*/15", "1,2,3", "* 0", ("America/Santiago", "2027-09-01"), 3 * 1440)
@example("*/2", "0", "* 0", ("America/Havana", "2027-03-10"), 3 * 1440)
@example("*", "0,2", "*/2 *", ("America/Santiago", "2025-09-03"), 3 * 1440)
@example("*/5", "*/2", "3 0", ("Atlantic/Azores", "2027-03-24"), 3 * 1440)
@example("30", "0", "* *", ("Pacific/Apia", "2011-12-27"), 1440)
def test_where_clocks_change_due_times_are_those_of_brute_force(
    minute: str, hour: str, days: str, change: tuple[str, str], begin: int
) -> None:
    zone, date = change
    day, weekday = days.split()
    expression = f"{minute} {hour} {day} * {weekday}"
    begin_s = at(f"{date}T00:00Z") // NS + begin * 60
    end_s = begin_s + 3 * 86_400
    dues = takewhile(lambda due: due.at_ns < end_s * NS, Cron(expression, zone).after(begin_s * NS - 1))
    assert [due.at_ns for due in dues] == brute_force(expression, zone, begin_s, end_s)


def test_a_rhythm_is_that_of_the_last_starts() -> None:
    assert parse_schedule("every  1h30m") == Every(90 * MINUTE_NS)
    assert rhythm(Every(90 * MINUTE_NS), []) == Rhythm(90 * MINUTE_NS, 90 * MINUTE_NS)
    assert rhythm(Every(DAY_NS), []) == Rhythm(DAY_NS, 25 * 60 * MINUTE_NS)  # clocks may go back
    observed = parse_schedule("observed")
    assert isinstance(observed, Observed)
    working_days = [day * DAY_NS for week in range(3) for day in range(week * 7, week * 7 + 5)]
    assert rhythm(observed, working_days) == Rhythm(DAY_NS, 73 * 60 * MINUTE_NS)
    thrice = [day + hour * 60 * MINUTE_NS for day in working_days for hour in (8, 12, 16)]
    assert rhythm(observed, thrice) == Rhythm(16 * 60 * MINUTE_NS, 65 * 60 * MINUTE_NS)  # at night it rests, too
    assert rhythm(observed, working_days[:3]) is None
    assert rhythm(observed, working_days[:5]) == Rhythm(DAY_NS, (7 * 24 + 1) * 60 * MINUTE_NS)  # not known for a week
