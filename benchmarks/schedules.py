"""10,000 jobs of 300 schedules with a year of runs, 3.65 million: what one tick of the reporter takes for them, CPU.

The floor is one pass over 10,000 rows of `jobs`, read as the reporter reads them.  A tick judges the due times of the last
minute; of the last day, or of the whole year, if the reporter was away so long; the report asks how every job stands.
Judging a year is told twice: with the runs at hand, which is what the schedules take, and as the tick that reads them.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from sqlalchemy import text

from reporter import state
from reporter.fold.declared import declare
from reporter.fold.ends import LATEST_END, LONGEST_RUN
from reporter.fold.noted_runs import note_running
from reporter.fold.schedules import judge_schedules
from reporter.lease import acquire
from reporter.report.jobs import read_jobs_as_of
from reporter.schedule.due import Cron, parse_schedule
from reporter.schedule.expectation import Expectation
from reporter.schedule.judge import judge_cron
from reporter.schedule.timetable import Timetable
from reporter.store import Store, open_store

JOBS, DAYS = 10_000, 365
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe")
NS, MINUTE_NS, DAY_NS = 10**9, 60 * 10**9, 86_400 * 10**9
END_NS = 1_793_000_040 * NS // DAY_NS * DAY_NS + 7 * 3600 * NS


def expectations() -> dict[str, Expectation]:
    """Daily, at 60 times of the day in five zones."""
    return {
        f"job-{number:05}": Expectation(
            schedule=parse_schedule(f"{number % 60} {number % 60 % 24} * * *", ZONES[number // 60 % len(ZONES)]),
            start_grace_ns=5 * MINUTE_NS,
            max_duration_ns=3600 * NS,
        )
        for number in range(JOBS)
    }


def rows(expected: dict[str, Expectation], begin_ns: int, end_ns: int) -> Iterator[tuple[Any, ...]]:
    """A run of each job for each day, a second after it was due; every hundredth job leaves out its last."""
    dues: dict[Cron, list[int]] = {}
    for number, (name, job) in enumerate(expected.items()):
        cron = job.schedule
        assert isinstance(cron, Cron)
        if cron not in dues:
            dues[cron] = [
                due.at_ns for due in takewhile(lambda due: due.at_ns < end_ns - 61 * NS, cron.after(begin_ns))
            ]
        for day, due_ns in enumerate(dues[cron]):
            start_ns = due_ns + NS
            if not (number % 100 == 0 and start_ns >= end_ns - DAY_NS):
                yield f"{name}-{day}", name, start_ns, start_ns + 60 * NS, 60 * NS, "success", "success"


def fill(store: Store, expected: dict[str, Expectation]) -> None:
    with store.write() as connection:
        connection.connection.executemany(  # type: ignore[attr-defined]
            "INSERT INTO runs (run_id, batch_job, started_at_ns, ended_at_ns, duration_ns, status, folded_status)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows(expected, END_NS - DAYS * DAY_NS, END_NS),
        )
        connection.execute(
            text("INSERT INTO job_totals (batch_job, status, runs)"
                 " SELECT batch_job, 'success', count(*) FROM runs GROUP BY batch_job")
        )  # fmt: skip
        state.put(connection, LONGEST_RUN, str(MINUTE_NS))
        state.put(connection, LATEST_END, str(END_NS - 1))


def seconds(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began


def evaluated(expected: dict[str, Expectation], begin_ns: int) -> float:
    """What judging the year takes when each job's runs are there in memory."""
    starts: dict[str, list[int]] = {}
    for _, name, start_ns, *_ in rows(expected, begin_ns, END_NS):
        starts.setdefault(name, []).append(start_ns)

    def judge() -> None:
        timetables: dict[tuple[Cron, int], Timetable] = {}
        for name, job in expected.items():
            assert isinstance(job.schedule, Cron)
            key = job.schedule, job.start_grace_ns
            if key not in timetables:
                timetables[key] = Timetable(*key, begin_ns, END_NS, 1_000)
            judge_cron(timetables[key], begin_ns, starts[name])

    return seconds(judge)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = open_store(f"sqlite:///{Path(directory) / 'jobs.db'}")
        expected = expectations()
        fill(store, expected)
        lease = acquire(store, 3600 * NS)
        begin_ns = END_NS - DAYS * DAY_NS
        at_hand = evaluated(expected, begin_ns)
        declared = seconds(lambda: declare(store, lease, expected, begin_ns))

        def floor() -> None:
            with store.read() as connection:
                connection.execute(text("SELECT * FROM jobs")).fetchall()

        def tick(now_ns: int) -> None:
            declare(store, lease, expected, now_ns)
            judge_schedules(store, lease, expected, now_ns, DAY_NS)
            with store.write() as connection:
                note_running(connection, expected, now_ns, 24 * 3600 * 10**9)

        def report() -> None:
            with store.read() as connection:
                read_jobs_as_of(connection, END_NS, expected)

        floor_seconds = min(seconds(floor) for _ in range(5))
        print(f"the floor, 10,000 rows read             {floor_seconds:7.3f} s")
        year = seconds(lambda: tick(END_NS - DAY_NS))
        day = seconds(lambda: tick(END_NS - MINUTE_NS))
        minute = seconds(lambda: tick(END_NS))
        told = min(seconds(report) for _ in range(3))
        for name, taken in (
            ("10,000 jobs declared, once", declared),
            ("a year judged, 3.65 million due times", at_hand),
            ("the same as a tick that reads the runs", year),
            ("a tick after a day: 10,000 due times", day),
            ("a tick after a minute", minute),
            ("how all of them stand", told),
        ):
            print(f"{name:<39} {taken:7.3f} s  {taken / floor_seconds:6.1f} × the floor")
        with store.read() as connection:
            missed = connection.execute(text("SELECT sum(missed_runs) FROM jobs")).scalar_one()
        print(f"missed: {missed}, of the 100 that left out their last run those whose grace is over")
        assert minute + told < 1, "the bar: one tick over 10,000 jobs and a year within a second"


if __name__ == "__main__":
    main()
