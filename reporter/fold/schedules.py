"""Due times whose grace is over, each judged once, however many reporters run.

How far a job's due times are judged stands in its row, and moves in the transaction that keeps what was found.  Runs are read
and due times compared before, outside: on SQLite the jobs wait for a writer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from reporter.fold.declared import Expected, read_declared
from reporter.fold.ends import IS_UNFOLDED, go_by_keys
from reporter.fold.job_events import Event, count_events
from reporter.fold.some_runs import started_since, watched
from reporter.lease import Lease
from reporter.schedule.due import GAPS, Cron, Observed, rhythm
from reporter.schedule.expectation import Expectation
from reporter.schedule.judge import Judgement, Missed, Start, judge_cron, judge_rhythm
from reporter.store import Store

DUES = 50_000
"""Due times judged in one transaction, about: a few seconds of comparing, which no lease runs out in."""
_EARLIER_NS = 600 * 10**9  # how long before its due time a run that names it may start
_Declared = Mapping[str, Row[Any]]


def judge_schedules(opened: Store, lease: Lease, expected: Expected, now_ns: int) -> None:
    """Judge every due time whose grace is over at `now_ns`."""
    is_first = True
    while True:
        with opened.read() as connection:
            go_by_keys(connection)
            rows = _to_judge(connection, expected, now_ns, new_runs=is_first)
            judged = _judged(connection, expected, rows, now_ns)
        if judged:
            with opened.write() as connection:
                lease.renew(connection)
                _keep_judgements(connection, judged)
        if not any((found.grace_over_at_ns or now_ns + 1) <= now_ns for found in judged.values()):
            return
        is_first = False


def _to_judge(connection: Connection, expected: Expected, now_ns: int, *, new_runs: bool) -> _Declared:
    """Jobs with a due time to judge, and those whose next one follows from runs that are new."""
    judged = "retired_at_ns IS NULL AND schedule IS NOT NULL"
    rows = read_declared(connection, f"{judged} AND grace_over_at_ns <= :now", now=now_ns)
    if new_runs and any(not isinstance(job.schedule, Cron | None) for job in expected.values()):
        ran = f"batch_job IN (SELECT batch_job FROM runs WHERE {IS_UNFOLDED})"
        rows |= read_declared(connection, f"{judged} AND (schedule = 'observed' OR schedule LIKE 'every %') AND {ran}")
    return {name: row for name, row in rows.items() if name in expected}


def _judged(connection: Connection, expected: Expected, rows: _Declared, now_ns: int) -> dict[str, Judgement]:
    """What changes for each job."""
    observed = {
        name: row.judged_until_ns for name, row in rows.items() if isinstance(expected[name].schedule, Observed)
    }
    since = {name: row.judged_until_ns - _EARLIER_NS for name, row in rows.items() if name not in observed}
    runs = dict(started_since(connection, since, "started_at_ns, scheduled_for_ns"))
    runs |= watched(connection, observed, now_ns + 1, "started_at_ns, scheduled_for_ns")
    most = max(1, DUES // max(1, len(rows)))
    judged = {}
    for name, row in rows.items():
        starts = [Start(run.started_at_ns, run.scheduled_for_ns) for run in runs.get(name, ())]
        found = _judge(expected[name], row, starts, now_ns, most)
        if found != Judgement(row.judged_until_ns, row.next_due_at_ns, row.grace_over_at_ns):
            judged[name] = found
    return judged


def _judge(job: Expectation, row: Row[Any], starts: Sequence[Start], now_ns: int, most: int) -> Judgement:
    if isinstance(job.schedule, Cron):
        return judge_cron(job.schedule, job.start_grace_ns, row.judged_until_ns, starts, now_ns, most)
    assert job.schedule is not None
    starts_ns = [start.started_at_ns for start in starts if start.started_at_ns <= now_ns]
    judged_ns = int(row.judged_until_ns)
    before_ns = starts_ns[: bisect_right(starts_ns, judged_ns)]
    # of gaps that are to be judged, none is a measure for them, unless nothing else is known
    observed = rhythm(job.schedule, before_ns if len(before_ns) > GAPS else starts_ns)
    if row.next_due_at_ns is None:  # nothing was due, as no rhythm was known
        judged_ns = max([judged_ns, *starts_ns[-1:]])
    if observed is None:
        return Judgement(judged_ns, None, None)
    return judge_rhythm(observed, job.start_grace_ns, judged_ns, starts_ns, now_ns, most)


def _keep_judgements(connection: Connection, judged: Mapping[str, Judgement]) -> None:
    connection.execute(
        text(
            "UPDATE jobs SET judged_until_ns = :judged, next_due_at_ns = :due, grace_over_at_ns = :over"
            " WHERE batch_job = :job"
        ),
        [
            {"job": name, "judged": found.judged_until_ns, "due": found.next_due_at_ns, "over": found.grace_over_at_ns}
            for name, found in judged.items()
        ],
    )
    events = []
    for name, found in judged.items():
        for missed in found.missed:
            events.append(Event(name, "missed", str(missed.due_at_ns), missed.over_at_ns, *_parts(missed)))
            if missed.made_up_at_ns is not None:
                events.append(Event(name, "late", str(missed.due_at_ns), missed.made_up_at_ns))
    count_events(connection, events)


def _parts(missed: Missed) -> tuple[int, int, int | None]:
    return missed.due_at_ns, missed.until_ns, missed.made_up_at_ns
