"""Runs are compared with what is expected of them: missed, late, overlapping, too slow, too fast, lost; each counted once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from reporter import cycle
from reporter.errors import LeaseHeld
from reporter.family import Labels, Sample
from reporter.fold import FoldRules, fold
from reporter.lease import Lease, acquire
from reporter.metrics import JOB_STATE, families
from reporter.schedule.due import Cron
from tests.cli import console
from tests.publish.pushing import configured, exposed
from tests.report.scheduled import DAY_NS, HOUR_NS, MINUTE_NS, NS, Place, at
from tests.servers import Server

Placed = Callable[..., Place]
NIGHTLY = {"schedule": "0 3 * * *", "start_grace": "10m", "max_duration": "2h"}


@pytest.fixture
def placed(database_url: str, tmp_path: Path) -> Placed:
    return lambda **jobs: Place(database_url, tmp_path, **jobs)


def test_a_job_that_never_reported_is_expected_from_when_it_was_declared(placed: Placed) -> None:
    place = placed(nightly=NIGHTLY)
    job = place.job("nightly", "2026-11-01T12:00Z")
    assert (job["state"], job["next_run_at"]) == ("unknown", "2026-11-02T03:00:00Z")
    assert (job["missed_runs"], job["late_runs"], job["overlaps"], job["last_start_at"]) == ([], 0, None, None)
    assert place.job("nightly", "2026-11-02T03:00:30Z")["state"] == "unknown"
    assert place.job("nightly", "2026-11-02T03:02Z")["state"] == "late"
    assert place.job("nightly", "2026-11-02T03:09Z")["missed_runs"] == []
    job = place.job("nightly", "2026-11-02T03:11Z")
    assert (job["state"], job["next_run_at"]) == ("missed", "2026-11-03T03:00:00Z")
    assert job["missed_runs"] == ["2026-11-02T03:00:00Z"]
    assert place.job("nightly", "2026-11-03T03:05Z")["state"] == "missed"
    place.run("nightly", "2026-11-03T03:09Z")
    assert place.job("nightly", "2026-11-03T03:30Z")["state"] == "running"
    place.run("nightly", "2026-11-03T03:09Z", "2026-11-03T03:40Z")
    job = place.job("nightly", "2026-11-03T04:00Z")
    assert (job["state"], job["missed_runs"], job["late_runs"]) == ("ok", ["2026-11-02T03:00:00Z"], 0)
    assert place.counts("nightly") == {"missed": 1, "late": 0, "overrun": 0}


def test_a_run_after_its_grace_is_late_and_makes_up_for_the_one_that_was_missed(placed: Placed) -> None:
    place = placed(nightly=NIGHTLY)
    place.tick("2026-11-01T12:00Z")
    assert place.job("nightly", "2026-11-02T04:00Z")["state"] == "missed"
    place.run("nightly", "2026-11-02T05:00Z")
    for moment in ("2026-11-02T05:01Z", "2026-11-02T05:02Z"):
        job = place.job("nightly", moment)
        assert (job["state"], job["missed_runs"], job["late_runs"]) == ("running", [], 1)
    assert place.counts("nightly") == {"missed": 1, "late": 1, "overrun": 0}
    past = place.report("2026-11-02T04:30Z").jobs[0]
    assert (past.state, past.missed_runs_at_ns, past.late_runs) == ("missed", (at("2026-11-02T03:00Z"),), 0)


def test_a_reporter_that_was_away_judges_every_due_time_by_the_runs_there_were(placed: Placed) -> None:
    place = placed(nightly=NIGHTLY)
    place.tick("2026-11-01T12:00Z")
    place.run("nightly", "2026-11-02T03:00Z", "2026-11-02T03:20Z")
    place.run("nightly", "2026-11-03T05:00Z", "2026-11-03T05:20Z")  # late
    place.run("nightly", "2026-11-05T02:59:58Z", "2026-11-05T03:20Z")  # by a clock that is behind
    job = place.job("nightly", "2026-11-06T02:00Z")
    assert (job["state"], job["missed_runs"], job["late_runs"]) == ("ok", ["2026-11-04T03:00:00Z"], 1)
    assert place.counts("nightly") == {"missed": 2, "late": 1, "overrun": 0}


def test_a_run_that_names_its_due_time_is_of_it_whenever_it_starts(placed: Placed) -> None:
    place = placed(nightly=NIGHTLY)
    place.tick("2026-11-01T12:00Z")
    place.run("nightly", "2026-11-03T03:00Z", "2026-11-03T03:04Z", scheduled_for="2026-11-02T03:00Z")
    assert place.job("nightly", "2026-11-03T03:06Z")["state"] == "late"  # of today's
    job = place.job("nightly", "2026-11-03T04:00Z")
    assert (job["missed_runs"], job["late_runs"], job["state"]) == (["2026-11-03T03:00:00Z"], 1, "missed")
    place.run("nightly", "2026-11-03T05:00Z", "2026-11-03T05:20Z", scheduled_for="2026-11-03T03:00Z")
    job = place.job("nightly", "2026-11-03T06:00Z")
    assert (job["missed_runs"], job["late_runs"], job["state"]) == ([], 2, "ok")
    assert place.counts("nightly") == {"missed": 2, "late": 2, "overrun": 0}


def test_a_run_that_becomes_known_late_is_missed_no_more_but_the_counter_does_not_fall(placed: Placed) -> None:
    place = placed(nightly=NIGHTLY)
    place.tick("2026-11-01T12:00Z")
    assert place.job("nightly", "2026-11-02T04:00Z")["state"] == "missed"
    place.run("nightly", "2026-11-02T03:00Z", "2026-11-02T03:50Z")  # on a host that was cut off
    job = place.job("nightly", "2026-11-02T04:01Z")
    assert (job["state"], job["missed_runs"], job["late_runs"]) == ("ok", [], 0)
    assert place.counts("nightly") == {"missed": 1, "late": 0, "overrun": 0}


@pytest.mark.parametrize(
    ("zone", "night", "on_time", "too_late"),
    [
        ("Europe/Berlin", "2026-03-29", "01:00Z", "02:11Z"),  # 2:30 does not exist; 3:00 and 4:10 are
        ("Europe/Berlin", "2026-10-25", "00:30Z", "01:41Z"),  # 2:30 exists twice: until 10 minutes after the second
        ("America/New_York", "2026-03-08", "07:00Z", "08:11Z"),
        ("America/New_York", "2026-11-01", "07:30Z", "07:41Z"),
        ("Africa/Cairo", "2026-04-23", "23:30Z", "23:41Z"),
        ("Africa/Cairo", "2026-10-30", "00:30Z", "00:41Z"),
        ("Australia/Lord_Howe", "2026-10-03", "15:30Z", "15:41Z"),
        ("Australia/Lord_Howe", "2026-04-04", "16:00Z", "16:11Z"),
    ],
)
def test_where_clocks_change_nothing_is_missed_in_error_and_nothing_in_silence(
    placed: Placed, zone: str, night: str, on_time: str, too_late: str
) -> None:
    job = {"schedule": "30 2 * * *", "timezone": zone, "start_grace": "10m"}
    place = placed(ran=job, did_not=job, second=job)
    noon_ns = at(f"{night}T12:00Z")
    days = range(-3, 3)
    place.tick(noon_ns - 4 * 86_400 * 10**9)
    cron = place.config.expected["ran"].schedule
    assert cron is not None
    dues = [due for due, _ in zip(cron.after(noon_ns - 4 * 86_400 * 10**9), days, strict=False)]  # type: ignore[union-attr]
    assert at(f"{night}T{on_time}") in [due.at_ns for due in dues]
    with place.store.write() as connection:
        for due in dues:
            for name, start_ns in (("ran", due.at_ns + 1), ("second", due.latest_ns + 1)):
                connection.execute(
                    text("INSERT INTO runs (run_id, batch_job, status, started_at_ns, ended_at_ns)"
                         " VALUES (:id, :job, 'success', :start, :end)"),
                    {"id": f"{name}{start_ns}", "job": name, "start": start_ns, "end": start_ns + 10**9},
                )  # fmt: skip
    told = {}
    for minutes in (-1, 0):
        place.tick(at(f"{night}T{too_late}") + minutes * 60 * 10**9 - 1)
        told[minutes] = place.counts("did_not")["missed"]
    assert told[0] == told[-1] + 1  # that night's, when its grace was over, and not before
    place.tick(dues[-1].at_ns + 20 * 60 * 10**9)
    assert [place.counts(name)["missed"] for name in ("ran", "second", "did_not")] == [0, 0, len(dues)]


def test_an_interval_goes_on_from_the_last_start(placed: Placed) -> None:
    place = placed(sync={"schedule": "every 15m", "start_grace": "2m"})
    assert place.job("sync", "2026-11-01T12:00Z")["next_run_at"] == "2026-11-01T12:15:00Z"
    place.run("sync", "2026-11-01T12:10Z", "2026-11-01T12:11Z")
    assert place.job("sync", "2026-11-01T12:12Z")["next_run_at"] == "2026-11-01T12:25:00Z"
    assert place.job("sync", "2026-11-01T12:26:30Z")["state"] == "late"
    job = place.job("sync", "2026-11-01T12:28Z")
    assert (job["state"], job["missed_runs"]) == ("missed", ["2026-11-01T12:25:00Z"])
    place.run("sync", "2026-11-01T12:30Z", "2026-11-01T12:31Z")
    job = place.job("sync", "2026-11-01T12:32Z")
    assert (job["state"], job["missed_runs"], job["late_runs"]) == ("ok", [], 1)
    assert job["next_run_at"] == "2026-11-01T12:45:00Z"
    job = place.job("sync", "2026-11-01T13:30Z")
    assert job["missed_runs"] == [f"2026-11-01T{due}:00Z" for due in ("12:45", "13:00", "13:15")]
    assert place.counts("sync") == {"missed": 4, "late": 1, "overrun": 0}


def test_an_observed_rhythm_is_late_after_its_usual_gap_and_missed_after_its_longest(placed: Placed) -> None:
    place = placed(weekday={"schedule": "observed", "start_grace": "1h"})
    place.tick("2026-10-01T00:00Z")
    for day in (5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 19, 20):  # Monday to Friday, the first weekend, the second one
        assert place.job("weekday", f"2026-10-{day:02}T08:59Z")["missed_runs"] == []
        place.run("weekday", f"2026-10-{day:02}T09:00Z", f"2026-10-{day:02}T09:10Z")
    assert place.job("weekday", "2026-10-20T10:00Z")["next_run_at"] == "2026-10-21T09:00:00Z"
    assert place.job("weekday", "2026-10-21T10:30Z")["state"] == "late"
    job = place.job("weekday", "2026-10-23T11:01Z")
    assert (job["state"], job["missed_runs"]) == ("missed", ["2026-10-21T09:00:00Z"])


@pytest.mark.parametrize("first", [5, 7, 9, 10])
def test_an_observed_rhythm_counts_no_rest_of_its_first_week_as_missed(placed: Placed, first: int) -> None:
    place = placed(weekday={"schedule": "observed"}, sunday={"schedule": "observed"})
    for hour in range(first * 24, (first + 15) * 24, 8):
        now_ns = at("2026-10-01T00:00Z") + (hour - 24) * HOUR_NS  # the 5th is a Monday
        is_weekday = (hour // 24 - 5) % 7 < 5
        if is_weekday and hour % 24 == 8:
            place.runs("weekday", [now_ns])
        if not is_weekday:
            place.runs("sunday", [now_ns + 1])
        place.tick(now_ns + MINUTE_NS)
    assert [place.counts(job)["missed"] for job in ("weekday", "sunday")] == [0, 0]


def test_an_observed_rhythm_that_ends_in_its_first_week_is_late_at_once_and_missed_after_a_week(placed: Placed) -> None:
    place = placed(sync={"schedule": "observed"})
    begin_ns = at("2026-11-02T00:00Z")
    place.tick(begin_ns)
    place.runs("sync", [begin_ns + minute * MINUTE_NS for minute in range(0, 24 * 60, 60)])
    last_ns = begin_ns + 23 * HOUR_NS
    assert place.job("sync", last_ns + 62 * MINUTE_NS)["state"] == "late"
    job = place.job("sync", last_ns + 7 * DAY_NS)
    assert (job["state"], job["missed_runs"]) == ("late", [])
    job = place.job("sync", last_ns + 7 * DAY_NS + HOUR_NS + 6 * MINUTE_NS)  # clocks may go back in it
    assert (job["state"], len(job["missed_runs"])) == ("missed", 1)


@pytest.mark.parametrize("every", [24, 1])
def test_an_observed_rhythm_is_the_same_however_seldom_the_reporter_comes(placed: Placed, every: int) -> None:
    place = placed(sync={"schedule": "observed"})
    place.tick("2026-11-02T00:00Z")
    begin_ns = at("2026-11-02T00:00Z")
    place.runs("sync", [begin_ns - minute * MINUTE_NS for minute in range(8 * 24 * 60, 0, -5)])
    for hour in range(48):
        starts_ns = [begin_ns + hour * HOUR_NS + minute * MINUTE_NS for minute in range(0, 60, 5)]
        if hour == 30:
            starts_ns = []
        place.runs("sync", starts_ns)
        if hour % every == every - 1:
            place.tick(begin_ns + hour * HOUR_NS + 59 * MINUTE_NS)
    # missed were those of 30:00 to 30:50; of 30:55 is the run of 31:00, within its grace
    assert place.counts("sync")["missed"] == 11


def test_an_observed_rhythm_knows_weekends_however_often_the_job_runs_on_other_days(placed: Placed) -> None:
    place = placed(thrice={"schedule": "observed"})
    begin_ns = at("2026-10-05T00:00Z")  # a Monday, and clocks go back in the third weekend
    for day in range(33):
        for hour in (8, 12, 16):
            place.tick(begin_ns + day * DAY_NS + hour * HOUR_NS)
            if day % 7 < 5:
                back_ns = HOUR_NS if day >= 20 else 0
                place.runs("thrice", [begin_ns + day * DAY_NS + hour * HOUR_NS + back_ns])
    assert place.counts("thrice")["missed"] == 0


@pytest.mark.parametrize("schedule", ["every 24h", "observed"])
def test_a_day_may_be_an_hour_longer_where_clocks_go_back(placed: Placed, schedule: str) -> None:
    place = placed(daily={"schedule": schedule})
    begin_ns = at("2026-10-20T01:00Z")  # 3:00 in Berlin
    place.tick(begin_ns - HOUR_NS)
    for day in range(10):
        start_ns = begin_ns + day * DAY_NS + (HOUR_NS if day >= 5 else 0)
        place.tick(start_ns - MINUTE_NS)
        place.runs("daily", [start_ns])
    assert place.job("daily", start_ns + HOUR_NS)["missed_runs"] == []
    assert place.counts("daily")["missed"] == 0
    assert len(place.job("daily", start_ns + 27 * HOUR_NS)["missed_runs"]) == 1


@pytest.mark.parametrize("drift_seconds", [0, 40])
def test_runs_of_an_interval_that_become_known_late_are_those_of_the_nearest_due_times(
    placed: Placed, drift_seconds: int
) -> None:
    place = placed(sync={"schedule": "every 15m"})
    place.tick("2026-11-01T12:00Z")
    starts_ns = [
        at("2026-11-01T12:00Z") + number * (15 * MINUTE_NS + drift_seconds * NS) + seconds * NS
        for number, seconds in enumerate((9, 2, 4, 1, 3, 2, 5, 1, 2, 3, 4, 2))
    ]
    place.runs("sync", starts_ns[:1])
    job = place.job("sync", starts_ns[-1] + 7 * MINUTE_NS)
    assert (job["state"], len(job["missed_runs"])) == ("missed", 11)
    place.runs("sync", starts_ns[1:])  # its host was cut off
    job = place.job("sync", starts_ns[-1] + 7 * MINUTE_NS + NS)
    assert (job["state"], job["missed_runs"], job["late_runs"]) == ("ok", [], 0)


@pytest.mark.parametrize(
    ("schedule", "evening", "starts"),
    [
        ("0,30 2 * * *", "2026-10-24", ["00:00:01", "00:30:01"]),
        ("0,30 2 * * *", "2026-10-24", ["01:00:01", "01:30:01"]),
        ("30 2,3 * * *", "2026-03-28", ["01:00:01", "01:30:01"]),
        ("30 2,3 * * *", "2026-03-28", ["01:30:01"]),
    ],
)
def test_two_times_in_an_hour_that_clocks_change_in_are_not_missed_in_error_by_any_reading(
    placed: Placed, schedule: str, evening: str, starts: list[str]
) -> None:
    job = {"schedule": schedule, "timezone": "Europe/Berlin"}
    place = placed(ran=job, did_not=job)
    place.tick(f"{evening}T12:00Z")
    night_ns = at(f"{evening}T00:00Z") + DAY_NS
    place.runs("ran", [night_ns + at(f"1970-01-01T{start}Z") for start in starts])
    place.tick(night_ns + 5 * HOUR_NS)
    assert [place.counts(name)["missed"] for name in ("ran", "did_not")] == [0, 2]


@pytest.mark.parametrize(("schedule", "seconds"), [("*/10 * * * *", 59), ("* * * * *", 29)])
def test_a_run_that_starts_a_little_early_is_that_of_the_due_time_to_come(
    placed: Placed, schedule: str, seconds: int
) -> None:
    place = placed(sync={"schedule": schedule, "start_grace": "0s"})
    begin_ns = at("2026-11-01T12:00:00Z")
    place.tick(begin_ns)
    cron = place.config.expected["sync"].schedule
    assert isinstance(cron, Cron)
    dues_ns = [due.at_ns for due, _ in zip(cron.after(begin_ns), range(5), strict=False)]
    place.runs("sync", [due_ns - seconds * NS for due_ns in dues_ns])
    job = place.job("sync", dues_ns[-1])
    assert (job["state"], job["missed_runs"], job["late_runs"]) == ("ok", [], 0)
    assert place.counts("sync")["missed"] == 0


def test_runs_overlap_where_more_are_under_way_than_may_be_and_both_durations_are_right(placed: Placed) -> None:
    place = placed(export={"max_concurrent": 1}, parallel={"max_concurrent": 2}, free={"max_duration": "5h"})
    place.tick("2026-11-01T12:00Z")
    for name in ("export", "parallel", "free"):
        place.run(name, "2026-11-01T13:00Z")
        place.run(name, "2026-11-01T13:10Z")
    assert place.job("export", "2026-11-01T13:20Z")["overlaps"] == 1
    for name in ("export", "parallel", "free"):
        place.run(name, "2026-11-01T13:00Z", "2026-11-01T13:45Z")
        place.run(name, "2026-11-01T13:10Z", "2026-11-01T13:25Z")
        place.run(name, "2026-11-01T13:45Z", "2026-11-01T13:50Z")  # it starts as the other ends
    job = place.job("export", "2026-11-01T14:00Z")
    assert (job["overlaps"], job["state"]) == (1, "ok")
    assert place.job("parallel", "2026-11-01T14:00Z")["overlaps"] == 0
    assert place.job("free", "2026-11-01T14:00Z")["overlaps"] is None
    with place.store.read() as connection:
        took = connection.execute(
            text("SELECT duration_ns FROM runs WHERE batch_job = 'export' ORDER BY started_at_ns")
        )
        assert [ns // (60 * 10**9) for ns in took.scalars()] == [45, 15, 5]


def test_a_due_time_at_which_no_more_runs_may_be_under_way_is_skipped_and_not_missed(placed: Placed) -> None:
    often = {"schedule": "*/15 * * * *", "start_grace": "5m", "max_duration": "50m"}
    place = placed(locked=often | {"max_concurrent": 1}, two=often | {"max_concurrent": 2}, free=often)
    place.tick("2026-11-01T12:01Z")
    for name in ("locked", "two", "free"):
        place.run(name, "2026-11-01T12:15Z")
    job = place.job("locked", "2026-11-01T12:36Z")
    assert (job["state"], job["missed_runs"], job["skipped_runs"]) == ("running", [], ["2026-11-01T12:30:00Z"])
    for name in ("locked", "two", "free"):
        place.run(name, "2026-11-01T12:15Z", "2026-11-01T12:31Z")
    told = {name: place.job(name, "2026-11-01T12:51Z") for name in ("locked", "two", "free")}
    assert told["locked"]["state"] == "missed"
    assert told["locked"]["missed_runs"] == ["2026-11-01T12:45:00Z"]  # nothing was under way any more
    assert told["locked"]["skipped_runs"] == ["2026-11-01T12:30:00Z"]
    assert (told["two"]["skipped_runs"], len(told["two"]["missed_runs"])) == ([], 2)
    assert (told["free"]["skipped_runs"], len(told["free"]["missed_runs"])) == (None, 2)


def test_a_run_that_waited_for_the_one_before_it_is_late_and_neither_missed_nor_skipped(placed: Placed) -> None:
    place = placed(sync={"schedule": "*/15 * * * *", "start_grace": "2m", "max_concurrent": 1})
    place.tick("2026-11-01T12:01Z")
    place.run("sync", "2026-11-01T12:15Z")
    assert place.job("sync", "2026-11-01T12:33Z")["skipped_runs"] == ["2026-11-01T12:30:00Z"]
    place.run("sync", "2026-11-01T12:15Z", "2026-11-01T12:40Z")
    place.run("sync", "2026-11-01T12:40Z")
    job = place.job("sync", "2026-11-01T12:41Z")
    assert (job["missed_runs"], job["skipped_runs"], job["late_runs"]) == ([], [], 1)


@pytest.mark.parametrize("ticks", [(), range(13, 24)])
def test_what_was_skipped_for_a_run_that_is_lost_was_missed_however_seldom_the_reporter_comes(
    placed: Placed, ticks: Iterable[int]
) -> None:
    place = placed(
        sync={"schedule": "0 * * * *", "max_concurrent": 1, "max_duration": "210m"},
        interval={"schedule": "every 1h", "max_concurrent": 1, "max_duration": "210m"},
    )
    place.tick("2026-11-01T11:30Z")
    for job in ("sync", "interval"):
        place.run(job, "2026-11-01T12:00Z")
    for hour in ticks:
        told = place.job("sync", f"2026-11-01T{hour}:20Z")
        due = [f"2026-11-01T{hour}:00:00Z" for hour in range(13, hour + 1)]
        assert (told["missed_runs"], told["skipped_runs"]) == ((due, []) if hour > 15 else ([], due))
        assert told["state"] == ("missed" if hour > 15 else "running")
    for minute in (30, 31, 31, 40):
        for told in (place.job(job, f"2026-11-01T23:{minute}Z") for job in ("sync", "interval")):
            assert told["skipped_runs"] == []
            assert told["missed_runs"] == [f"2026-11-01T{hour}:00:00Z" for hour in range(13, 24)]
            assert place.counts(told["batch_job"])["missed"] == 11


def test_a_run_beside_which_a_later_one_started_is_in_nobodys_way(placed: Placed) -> None:
    place = placed(
        one={"schedule": "0 * * * *", "max_concurrent": 1}, two={"schedule": "0 * * * *", "max_concurrent": 2}
    )
    place.tick("2026-11-01T12:00Z")
    for name in ("one", "two"):
        place.run(name, "2026-11-01T13:00Z")  # and was killed
        place.run(name, "2026-11-01T14:00Z", "2026-11-01T14:10Z")
    told = place.job("one", "2026-11-01T16:30Z")
    assert (told["state"], told["skipped_runs"]) == ("missed", [])
    assert told["missed_runs"] == ["2026-11-01T15:00:00Z", "2026-11-01T16:00:00Z"]
    for name in ("one", "two"):  # a long one, with room for one beside it
        place.run(name, "2026-11-01T16:40Z")
    assert place.job("one", "2026-11-01T17:30Z")["skipped_runs"] == ["2026-11-01T17:00:00Z"]
    assert place.job("two", "2026-11-01T17:30Z")["skipped_runs"] == ["2026-11-01T17:00:00Z"]


def test_a_run_may_start_long_before_the_due_time_that_it_names(placed: Placed) -> None:
    place = placed(sync={"schedule": "*/15 * * * *", "start_grace": "5m"})
    place.tick("2026-11-01T12:01Z")
    for start, due in (("12:14", "12:15"), ("12:16", "13:00"), ("12:29", "12:30"), ("12:44", "12:45")):
        place.run("sync", f"2026-11-01T{start}Z", f"2026-11-01T{start}:50Z", scheduled_for=f"2026-11-01T{due}Z")
        place.tick(f"2026-11-01T{start}:55Z")
    place.tick("2026-11-01T12:56Z")
    job = place.job("sync", "2026-11-01T13:06Z")
    assert (job["missed_runs"], job["state"]) == ([], "ok")
    assert place.counts("sync")["missed"] == 0


def test_the_second_reading_of_a_time_that_exists_twice_names_its_due_time(placed: Placed) -> None:
    place = placed(nightly={"schedule": "30 2 * * *", "timezone": "Europe/Berlin"})
    place.tick("2026-10-24T12:00Z")
    place.run("nightly", "2026-10-25T05:00Z", "2026-10-25T05:10Z", scheduled_for="2026-10-25T02:30:00+01:00")
    place.run("nightly", "2026-10-26T01:30Z", "2026-10-26T01:40Z", scheduled_for="2026-10-26T02:30:00+01:00")
    job = place.job("nightly", "2026-10-26T12:00Z")
    assert (job["missed_runs"], job["late_runs"]) == ([], 1)


@pytest.mark.parametrize("schedule", ["0 3 * * *", "every 24h", "observed"])
def test_a_grace_that_became_shorter_counts_for_what_is_due_already(placed: Placed, schedule: str) -> None:
    place = placed(nightly={"schedule": schedule, "start_grace": "12h"})
    begin_ns = at("2026-10-01T03:00Z")
    place.runs("nightly", [begin_ns + day * DAY_NS for day in range(10)])
    place.tick(begin_ns + 9 * DAY_NS + MINUTE_NS)
    late_ns = begin_ns + 10 * DAY_NS + 2 * HOUR_NS
    assert place.job("nightly", late_ns)["state"] == "late"
    place.expect(nightly={"schedule": schedule, "start_grace": "10m"})
    assert place.job("nightly", late_ns + MINUTE_NS)["state"] == "missed"
    place.expect(nightly={"schedule": schedule, "start_grace": "1h"})
    assert place.job("nightly", late_ns + 2 * MINUTE_NS)["state"] == "missed"  # and stays what it was
    assert place.counts("nightly")["missed"] == 1


def test_a_run_that_becomes_known_late_overlaps_those_that_began_meanwhile(placed: Placed) -> None:
    place = placed(export={"max_concurrent": 1})
    place.tick("2026-11-01T12:00Z")
    place.run("export", "2026-11-01T13:10Z", "2026-11-01T13:25Z")
    assert place.job("export", "2026-11-01T14:00Z")["overlaps"] == 0
    place.run("export", "2026-11-01T13:00Z", "2026-11-01T13:45Z")
    assert [place.job("export", moment)["overlaps"] for moment in ("2026-11-01T14:01Z", "2026-11-01T14:02Z")] == [1, 1]


def test_a_run_is_too_slow_or_too_fast_by_what_it_took_and_lost_at_its_deadline(placed: Placed) -> None:
    place = placed(etl={"min_duration": "1m", "max_duration": "1h"})
    place.tick("2026-11-01T12:00Z")
    place.run("etl", "2026-11-01T13:00Z", "2026-11-01T13:00:30Z")
    job = place.job("etl", "2026-11-01T13:01Z")
    assert (job["too_fast_runs"], job["state"], job["missed_runs"], job["next_run_at"]) == (1, "ok", None, None)
    place.run("etl", "2026-11-01T13:02Z", "2026-11-01T13:02:10Z", "failed")  # it failed soon, which is no wonder
    place.run("etl", "2026-11-01T14:00Z")
    assert place.job("etl", "2026-11-01T14:59:59Z")["state"] == "running"
    job = place.job("etl", "2026-11-01T15:01Z")
    assert (job["state"], job["lost_runs"], job["overruns"], job["failed_runs"]) == ("lost", 1, 0, 1)
    place.run("etl", "2026-11-01T14:00Z", "2026-11-01T15:10Z")  # it was slow, and not lost
    job = place.job("etl", "2026-11-01T15:11Z")
    assert (job["state"], job["lost_runs"], job["overruns"], job["too_fast_runs"]) == ("overrun", 0, 1, 1)
    place.run("etl", "2026-11-01T16:00Z", "2026-11-01T16:59Z", "timeout")  # it was stopped
    job = place.job("etl", "2026-11-01T17:00Z")
    assert (job["state"], job["overruns"]) == ("overrun", 2)
    place.run("etl", "2026-11-01T18:00Z", "2026-11-01T18:10Z")
    assert place.job("etl", "2026-11-01T18:11Z")["state"] == "ok"  # recovered


def test_a_changed_schedule_counts_from_when_it_was_seen_and_counters_go_on(placed: Placed) -> None:
    place = placed(nightly=NIGHTLY)
    place.tick("2026-11-01T12:00Z")
    assert place.job("nightly", "2026-11-02T04:00Z")["missed_runs"] == ["2026-11-02T03:00:00Z"]
    place.expect(nightly=NIGHTLY | {"schedule": "0 1 * * *"})
    job = place.job("nightly", "2026-11-02T12:00Z")
    assert (job["state"], job["next_run_at"]) == ("unknown", "2026-11-03T01:00:00Z")
    assert place.job("nightly", "2026-11-03T04:00Z")["missed_runs"][1:] == ["2026-11-03T01:00:00Z"]
    assert place.counts("nightly")["missed"] == 2


def test_a_job_taken_out_of_the_configuration_is_expected_no_more_and_declared_anew_when_it_is_back(
    placed: Placed,
) -> None:
    place = placed(nightly=NIGHTLY)
    place.tick("2026-11-01T12:00Z")
    place.expect()
    place.tick("2026-11-01T12:01Z")
    assert place.report("2026-11-05T00:00Z").jobs == ()
    place.expect(nightly=NIGHTLY)
    assert place.job("nightly", "2026-11-05T00:00Z")["missed_runs"] == []
    place.expect()
    place.tick("2026-11-06T02:59Z")  # with another configuration, by mistake
    place.expect(nightly=NIGHTLY)
    assert place.job("nightly", "2026-11-06T03:11Z")["missed_runs"] == ["2026-11-05T03:00:00Z", "2026-11-06T03:00:00Z"]


def test_a_job_taken_out_of_the_configuration_has_no_state_that_alerts_and_one_never_in_it_does(placed: Placed) -> None:
    def states(moment: str) -> list[Labels]:
        told = families(place.report(moment), now_ns=at(moment), duration_seconds=1, sequence=1, version="0")
        return [
            s.labels for family in told if family.metric == JOB_STATE for s in family.samples if isinstance(s, Sample)
        ]

    place = placed(nightly={})
    for job in ("nightly", "by-hand"):
        place.run(job, "2026-11-01T12:00Z", "2026-11-01T12:01Z", "failed")
    place.tick("2026-11-01T12:02Z")
    failed = (("batch_job", "by-hand"), ("state", "failed"))
    assert states("2026-11-01T12:02Z") == [failed, (("batch_job", "nightly"), ("state", "failed"))]
    place.expect()
    place.tick("2026-11-01T12:03Z")
    assert states("2026-11-01T12:03Z") == [failed]


def test_counts_of_a_job_outlive_its_runs_and_its_events(placed: Placed) -> None:
    place = placed(nightly=NIGHTLY | {"max_concurrent": 1, "min_duration": "1m"})
    place.tick("2026-11-01T12:00Z")
    place.run("nightly", "2026-11-02T05:00Z", "2026-11-02T05:00:10Z")
    place.run("nightly", "2026-11-02T05:00:05Z", "2026-11-02T05:20Z")
    place.tick("2026-11-02T06:00Z")
    counted: dict[str, Any] = {"missed": 1, "late": 1, "overrun": 0, "overlap": 1, "too_fast": 1}
    assert place.counts("nightly") == counted
    with place.store.write() as connection:
        connection.exec_driver_sql("DELETE FROM runs")
        connection.exec_driver_sql("DELETE FROM job_events")
    place.tick("2026-11-02T06:01Z")
    assert place.counts("nightly") == counted


def test_a_run_that_is_killed_is_lost_at_its_deadline_and_so_is_its_job(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPORTER_DATABASE_URL", database_url)
    place = Place(database_url, tmp_path, etl={"max_duration": "3s"})
    cycle.report(place.store, place.config, time.time_ns())
    began_ns = time.time_ns()
    process = subprocess.Popen([console.SCRIPT, "exec", "--job", "etl", "--", "sh", "-c", "echo up; exec sleep 60"],
                               stdout=subprocess.PIPE, start_new_session=True)  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (job,) = cycle.report(place.store, place.config, time.time_ns()).jobs
    assert (job.state, job.running, job.lost_runs) == ("running", 1, 0)
    time.sleep(max(0.0, 3 - (time.time_ns() - began_ns) / 1e9))
    while (job := cycle.report(place.store, place.config, time.time_ns()).jobs[0]).state == "running":
        assert time.time_ns() < began_ns + 20 * 10**9
    assert (job.lost_runs, job.running) == (1, 0)
    with place.store.read() as connection:
        lasted_ns = connection.execute(text("SELECT ended_at_ns - started_at_ns FROM runs")).scalar_one()
    assert lasted_ns == 3 * 10**9
    assert (
        cycle.make_report(place.store, place.config, time.time_ns() + 60 * 10**9, folded=True).jobs[0].state == "lost"
    )


def test_a_lost_run_that_ends_after_all_stays_counted_and_the_next_lost_one_counts_as_well(placed: Placed) -> None:
    place = placed(etl={"max_duration": "1h"})
    place.run("etl", "2026-11-01T12:00Z")
    place.tick("2026-11-01T13:30Z")
    assert place.report("2026-11-01T13:30Z").job_totals["etl"]["lost"] == 1
    place.run("etl", "2026-11-01T12:00Z", "2026-11-01T14:00Z")
    job = place.job("etl", "2026-11-01T14:30Z")
    assert place.report("2026-11-01T14:30Z").job_totals == {"etl": {"lost": 1, "success": 1}}
    assert (job["lost_runs"], place.report("2026-11-01T14:30Z").jobs[0].runs) == (0, 1)
    place.run("etl", "2026-11-01T15:00Z")
    assert place.job("etl", "2026-11-01T17:00Z")["lost_runs"] == 1
    assert place.report("2026-11-01T17:00Z").job_totals == {"etl": {"lost": 2, "success": 1}}


def test_two_reporters_at_once_count_each_due_time_once(placed: Placed) -> None:
    place = placed(**{f"job-{number}": {"schedule": "* * * * *"} for number in range(20)})
    place.tick("2026-11-01T12:00Z")
    place.store.engine.dispose()
    lease = acquire(place.store, 60 * 10**9)
    rules = FoldRules(expected=place.config.expected)
    later_ns = at("2026-11-01T14:00Z")
    with pytest.raises(LeaseHeld):
        fold(place.store, Lease(holder="somebody:1:else", ttl_ns=10**9), (), rules, now_ns=later_ns)
    fold(place.store, lease, (), rules, now_ns=later_ns)
    fold(place.store, lease, (), rules, now_ns=later_ns)
    counted = place.report(later_ns).job_counts
    assert {counts["missed"] for counts in counted.values()} == {115}


def test_what_is_expected_is_pushed_and_the_counters_of_a_missed_run_stand_beside_it(
    database_url: str, tmp_path: Path, pushgateway: Server
) -> None:
    place = Place(database_url, tmp_path, etl={"schedule": "* * * * *", "start_grace": "0s", "max_concurrent": 1})
    now_ns = time.time_ns()
    place.tick(now_ns - 5 * 60 * 10**9)
    place.tick(now_ns)
    jobs = "jobs: {etl: {schedule: '* * * * *', start_grace: 0s, max_concurrent: 1}}\n"
    config = configured(tmp_path, database_url, pushgateway.url, more=jobs)
    for _ in range(2):  # the first shows new counters as 0
        cycle.push(place.store, config, now_ns)
    shown = {name: value for (name, _), value in exposed(pushgateway.url).items() if name.startswith("batch_job_")}
    assert shown.pop("batch_job_next_run_timestamp_seconds") > now_ns / 1e9 - 60
    assert shown.pop("batch_job_missed_runs_total") in (5, 6)
    assert shown == {
        "batch_job_running": 0, "batch_job_state": 1, "batch_job_late_runs_total": 0, "batch_job_overlaps_total": 0,
        "batch_job_overruns_total": 0,
    }  # fmt: skip


def test_an_outage_teaches_an_observed_rhythm_no_patience(placed: Placed) -> None:
    place = placed(sync={"schedule": "observed"})
    begin_ns = at("2026-11-01T00:00Z")
    place.tick(begin_ns)
    place.runs("sync", [begin_ns + hour * HOUR_NS for hour in range(1, 24 * 9)])
    place.tick(begin_ns + 9 * DAY_NS)
    assert len(place.job("sync", begin_ns + 11 * DAY_NS - HOUR_NS // 2)["missed_runs"]) == 48  # it was dead meanwhile
    for day in (11, 12):
        place.runs("sync", [begin_ns + day * DAY_NS + hour * HOUR_NS for hour in range(24)])
        assert place.job("sync", begin_ns + (day + 1) * DAY_NS - HOUR_NS // 2)["state"] == "ok"
    told = place.job("sync", begin_ns + 13 * DAY_NS + HOUR_NS // 2)
    assert (told["state"], len(told["missed_runs"])) == ("missed", 49)


def test_an_observed_rhythm_that_became_slower_is_learned(placed: Placed) -> None:
    place = placed(sync={"schedule": "observed"})
    begin_ns = at("2026-11-01T00:00Z")
    place.tick(begin_ns)
    place.runs("sync", [begin_ns + hour * HOUR_NS for hour in range(1, 24 * 9)])
    place.tick(begin_ns + 9 * DAY_NS)
    for day in range(9, 25):
        place.runs("sync", [begin_ns + day * DAY_NS])
        told = place.job("sync", begin_ns + day * DAY_NS + DAY_NS // 2)
    assert (told["state"], told["missed_runs"][-1][:10] < "2026-11-18") == ("ok", True)


def test_of_an_observed_rhythm_of_two_close_runs_a_day_no_more_is_missed_than_was(placed: Placed) -> None:
    place = placed(sync={"schedule": "observed"})
    begin_ns = at("2026-11-01T03:00Z")
    place.tick(begin_ns - HOUR_NS)
    for day in range(14):
        place.runs("sync", [begin_ns + day * DAY_NS, begin_ns + day * DAY_NS + 5 * MINUTE_NS])
        told = place.job("sync", begin_ns + day * DAY_NS + DAY_NS // 2)
        assert (told["state"], told["missed_runs"]) == ("ok", []) or day < 7
    assert place.job("sync", begin_ns + 14 * DAY_NS + HOUR_NS // 2)["state"] == "late"
    told = place.job("sync", begin_ns + 16 * DAY_NS + 2 * HOUR_NS)
    assert (told["state"], len(told["missed_runs"])) == ("missed", 3)
