"""Runs compared with what is expected of them: those that ended, just before they are marked as folded, and those under way.

Within the fold's own transaction, so that no run is marked and not compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Row, text

from reporter import state
from reporter.fold.declared import Expected
from reporter.fold.ends import IS_UNFOLDED
from reporter.fold.job_events import JUDGED_AT, Event, count_events, events_since
from reporter.fold.skipped import miss_skipped
from reporter.fold.some_runs import under_way_since
from reporter.schedule.judge import Missed, Span, Start, is_late, made_up_for, overlapping, pace


def note_runs(
    connection: Connection, expected: Expected, which: str, parameters: Mapping[str, str], run_lost_after_ns: int
) -> None:
    """Compare the runs for which the SQL `which` holds with what is expected of them."""
    if not expected:
        return
    rows = connection.execute(
        text(
            "SELECT r.batch_job, r.run_id, r.started_at_ns, r.ended_at_ns, r.duration_ns, r.status, r.scheduled_for_ns,"
            f" j.declared_at_ns FROM (SELECT * FROM runs WHERE {which}) AS r JOIN jobs AS j ON j.batch_job = r.batch_job"
            " WHERE j.retired_at_ns IS NULL ORDER BY r.started_at_ns, r.run_id"
        ),
        parameters,
    ).fetchall()
    runs: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        if row.batch_job in expected and (row.ended_at_ns is None or row.ended_at_ns >= row.declared_at_ns):
            runs[row.batch_job].append(row)
    if runs:
        count_events(connection, [*_paces(expected, runs), *_made_up(connection, expected, runs)])
        count_events(connection, _overlaps(connection, expected, runs))
        lost = {name: [run.started_at_ns for run in those if run.status == "lost"] for name, those in runs.items()}
        first_ns = {name: min(starts_ns) for name, starts_ns in lost.items() if starts_ns}
        miss_skipped(connection, expected, first_ns, run_lost_after_ns)


def note_running(connection: Connection, expected: Expected, now_ns: int, run_lost_after_ns: int) -> None:
    """The same for runs under way; remembers that all is judged as of `now_ns`."""
    if expected:
        note_runs(connection, expected, f"{IS_UNFOLDED} AND status = 'running'", {}, run_lost_after_ns)
        state.put(connection, JUDGED_AT, str(max(now_ns, state.get_integer(connection, JUDGED_AT))))


_Runs = Mapping[str, Sequence[Row[Any]]]


def _paces(expected: Expected, runs: _Runs) -> Iterable[Event]:
    for name, those in runs.items():
        for run in those:
            took_ns = run.duration_ns
            if took_ns is None and run.ended_at_ns is not None:
                took_ns = run.ended_at_ns - run.started_at_ns
            kind = pace(expected[name], run.status, took_ns)
            if kind is not None and run.ended_at_ns is not None:
                yield Event(name, kind, run.run_id, run.ended_at_ns)


def _made_up(connection: Connection, expected: Expected, runs: _Runs) -> list[Event]:
    """Missed due times get the runs that came to be known only now; those that started late are events."""
    earliest = {
        name: min(min(run.started_at_ns, run.scheduled_for_ns or run.started_at_ns) for run in those)
        for name, those in runs.items()
        if expected[name].schedule is not None
    }
    made_up, late = [], []
    for name, open_ in _open_since(connection, earliest).items():
        schedule = expected[name].schedule
        assert schedule is not None
        for before, run in pairwise([None, *runs[name]]):
            assert run is not None
            missed = made_up_for(schedule, open_, Start(run.started_at_ns, run.scheduled_for_ns))
            if missed is not None:
                open_.remove(missed)
                made_up.append(
                    {"job": name, "kind": missed.kind, "subject": str(missed.due_at_ns), "at": run.started_at_ns}
                )
                if is_late(schedule, missed, run.started_at_ns, before.started_at_ns if before else None):
                    late.append(Event(name, "late", str(missed.due_at_ns), run.started_at_ns))
    if made_up:
        connection.execute(
            text(
                "UPDATE job_events SET made_up_at_ns = :at WHERE batch_job = :job AND kind = :kind AND subject = :subject"
            ),
            made_up,
        )
    return late


def _open_since(connection: Connection, since_ns: Mapping[str, int]) -> dict[str, list[Missed]]:
    """Each job's due times that were missed or skipped, whose time was not over at its moment, and that no run made up for."""
    open_ = "e.kind IN ('missed', 'skipped') AND e.made_up_at_ns IS NULL AND e.until_ns > {since}"
    return {
        name: [Missed(event.due_at_ns, event.at_ns, event.until_ns, None, event.kind) for event in events]
        for name, events in events_since(connection, since_ns, open_).items()
    }


def _overlaps(connection: Connection, expected: Expected, runs: _Runs) -> Iterable[Event]:
    """Runs that started since the first of `runs` did, while too many others were under way."""
    bounded = {name: those for name, those in runs.items() if expected[name].max_concurrent is not None}
    if not bounded:
        return
    first_ns = {name: those[0].started_at_ns for name, those in bounded.items()}
    for name, those in under_way_since(connection, first_ns).items():
        begin_ns = max(first_ns[name], bounded[name][0].declared_at_ns)
        spans = [Span(run.started_at_ns, run.run_id, run.ended_at_ns) for run in those]
        for span in overlapping(spans, expected[name].max_concurrent or 1):
            if span.started_at_ns >= begin_ns:
                yield Event(name, "overlap", span.run_id, span.started_at_ns)
