"""Due times whose grace is over, each judged once, however many reporters run.

How far a job's due times are judged stands in its row, and moves in the transaction that keeps what was found.  Runs are read
and due times compared before, outside: on SQLite the jobs wait for a writer.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, text

from reporter import state
from reporter.fold.declared import Expected, read_declared
from reporter.fold.ends import IS_UNFOLDED, go_by_keys
from reporter.fold.job_events import Event, count_events, events_since
from reporter.fold.skipped import told_skipped
from reporter.fold.some_runs import started_since, starts_between, watched
from reporter.lease import Lease
from reporter.schedule.due import GAPS, WATCHED_NS, Cron, Every, Observed, rhythm
from reporter.schedule.expectation import Expectation
from reporter.schedule.judge import Judgement, Missed, judge_cron, judge_rhythm
from reporter.schedule.timetable import Timetable
from reporter.store import Store

DUES = 500_000
"""Due times judged in one transaction, about: a second of comparing, which no lease runs out in."""
_EARLIER_NS = 600 * 10**9  # how long before its due time any run is looked at,
_NAMED_EARLIER_NS = 86_400 * 10**9  # and one that names it
_FOREVER_NS = 2**63 - 1
_GRACES = "start_graces"
"""Under which name `state` has a digest of the graces that were judged by."""
_Declared = Mapping[str, Row[Any]]


def judge_schedules(opened: Store, lease: Lease, expected: Expected, now_ns: int, run_lost_after_ns: int) -> None:
    """Judge every due time whose grace is over at `now_ns`."""
    graces = _digest(expected)
    is_first = True
    while True:
        with opened.read() as connection:
            go_by_keys(connection)
            is_other = is_first and state.get(connection, _GRACES) != graces
            rows = _to_judge(connection, expected, now_ns, new_runs=is_first, graces_changed=is_other)
            judged = _judged(connection, expected, rows, now_ns, run_lost_after_ns)
        if judged or is_other:
            with opened.write() as connection:
                lease.renew(connection)
                if judged:
                    _keep_judgements(connection, judged)
                if is_other:
                    state.put(connection, _GRACES, graces)
        if not any((found.grace_over_at_ns or now_ns + 1) <= now_ns for found in judged.values()):
            return
        is_first = False


def _digest(expected: Expected) -> str:
    """What a changed grace changes: when a due time that is not judged yet can be."""
    graces = sorted((name, job.start_grace_ns) for name, job in expected.items() if job.schedule is not None)
    return sha256(json.dumps(graces).encode()).hexdigest()


def _to_judge(
    connection: Connection, expected: Expected, now_ns: int, *, new_runs: bool, graces_changed: bool
) -> _Declared:
    """Jobs with a due time to judge, and those whose next one follows from runs that are new, or from another grace."""
    judged = "retired_at_ns IS NULL AND schedule IS NOT NULL"
    over_by_ns = _FOREVER_NS if graces_changed else now_ns
    rows = read_declared(connection, f"{judged} AND grace_over_at_ns <= :over_by", over_by=over_by_ns)
    if new_runs and any(not isinstance(job.schedule, Cron | None) for job in expected.values()):
        ran = f"batch_job IN (SELECT batch_job FROM runs WHERE {IS_UNFOLDED})"
        rows |= read_declared(connection, f"{judged} AND (schedule = 'observed' OR schedule LIKE 'every %') AND {ran}")
    return {name: row for name, row in rows.items() if name in expected}


def _judged(
    connection: Connection, expected: Expected, rows: _Declared, now_ns: int, run_lost_after_ns: int
) -> dict[str, Judgement]:
    """What changes for each job."""
    most = max(1, DUES // max(1, len(rows)))
    crons = {name: row.judged_until_ns for name, row in rows.items() if isinstance(expected[name].schedule, Cron)}
    judged = {
        **_judge_crons(connection, expected, crons, now_ns, most),
        **_judge_rhythms(connection, expected, {name: rows[name] for name in rows.keys() - crons.keys()}, now_ns, most),
    }
    judged |= _with_skipped(connection, expected, judged, run_lost_after_ns)
    return {
        name: found
        for name, found in judged.items()
        if found != Judgement(rows[name].judged_until_ns, rows[name].next_due_at_ns, rows[name].grace_over_at_ns)
    }


def _judge_crons(
    connection: Connection, expected: Expected, judged_until_ns: Mapping[str, int], now_ns: int, most: int
) -> dict[str, Judgement]:
    begin_ns: dict[tuple[Cron, int], int] = {}
    for name, until_ns in judged_until_ns.items():
        key = _timetable_of(expected[name])
        begin_ns[key] = min(until_ns, begin_ns.get(key, until_ns))
    timetables = {key: Timetable(*key, since_ns, now_ns, most) for key, since_ns in begin_ns.items()}
    spans_ns = {}
    for name, until_ns in judged_until_ns.items():
        timetable = timetables[_timetable_of(expected[name])]
        first, end = timetable.span(until_ns, most)
        if end > first:
            last_ns = max(timetable.until_ns[end - 1], timetable.over_ns[end - 1] + 1)
            spans_ns[name] = (until_ns - _EARLIER_NS, last_ns)
    starts, naming = starts_between(connection, spans_ns, _NAMED_EARLIER_NS)
    return {
        name: judge_cron(
            timetables[_timetable_of(expected[name])],
            until_ns,
            starts.get(name, ()),
            naming.get(name, ()),
            most,
        )
        for name, until_ns in judged_until_ns.items()
    }


def _timetable_of(job: Expectation) -> tuple[Cron, int]:
    assert isinstance(job.schedule, Cron)
    return job.schedule, job.start_grace_ns


def _judge_rhythms(
    connection: Connection, expected: Expected, rows: _Declared, now_ns: int, most: int
) -> dict[str, Judgement]:
    observed = {
        name: row.judged_until_ns for name, row in rows.items() if isinstance(expected[name].schedule, Observed)
    }
    since = {name: row.judged_until_ns - _EARLIER_NS for name, row in rows.items() if name not in observed}
    runs = dict(started_since(connection, since, "started_at_ns"))
    runs |= watched(connection, observed, now_ns + 1, "started_at_ns")
    missed = events_since(
        connection,
        {name: ns - WATCHED_NS for name, ns in observed.items()},
        "e.kind = 'missed' AND e.at_ns >= {since} AND e.made_up_at_ns IS NULL",
    )
    return {
        name: _judge_rhythm(
            expected[name],
            row,
            [run.started_at_ns for run in runs.get(name, ())],
            [event.due_at_ns for event in missed.get(name, ())],
            now_ns,
            most,
        )
        for name, row in rows.items()
    }


def _judge_rhythm(
    job: Expectation, row: Row[Any], starts_ns: Sequence[int], missed_ns: Sequence[int], now_ns: int, most: int
) -> Judgement:
    assert isinstance(job.schedule, Every | Observed)
    starts_ns = [start_ns for start_ns in starts_ns if start_ns <= now_ns]
    judged_ns = int(row.judged_until_ns)
    before_ns = starts_ns[: bisect_right(starts_ns, judged_ns)]
    # of gaps that are to be judged, none is a measure for them, unless nothing else is known
    observed = rhythm(job.schedule, [*(before_ns if len(before_ns) > GAPS else starts_ns)], missed_ns)
    if row.next_due_at_ns is None:  # nothing was due, as no rhythm was known
        judged_ns = max([judged_ns, *starts_ns[-1:]])
    if observed is None:
        return Judgement(judged_ns, None, None)
    return judge_rhythm(observed, job.start_grace_ns, judged_ns, starts_ns, now_ns, most)


def _with_skipped(
    connection: Connection, expected: Expected, judged: Mapping[str, Judgement], run_lost_after_ns: int
) -> dict[str, Judgement]:
    """Judgements of jobs that may not run as often at once as they like, where something is missed."""
    missed = {
        name: found.missed
        for name, found in judged.items()
        if found.missed and expected[name].max_concurrent is not None
    }
    told = told_skipped(connection, expected, missed, run_lost_after_ns)
    return {name: judged[name]._replace(missed=tuple(few)) for name, few in told.items()}


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
            events.append(Event(name, missed.kind, str(missed.due_at_ns), missed.over_at_ns, *_parts(missed)))
            if missed.made_up_at_ns is not None:
                events.append(Event(name, "late", str(missed.due_at_ns), missed.made_up_at_ns))
    count_events(connection, events)


def _parts(missed: Missed) -> tuple[int, int, int | None]:
    return missed.due_at_ns, missed.until_ns, missed.made_up_at_ns
