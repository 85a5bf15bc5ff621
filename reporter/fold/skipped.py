"""Due times that were skipped, because as many runs as may be were under way; missed after all, where one of those was lost.

Until then nobody can tell a run that died from one that takes its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from reporter.fold.declared import Expected
from reporter.fold.job_events import events_since
from reporter.fold.some_runs import under_way_since
from reporter.schedule.judge import Missed, Span, skipped


def told_skipped(
    connection: Connection, expected: Expected, missed: Mapping[str, Sequence[Missed]], run_lost_after_ns: int
) -> dict[str, list[Missed]]:
    """Due times, in order, of jobs that may not run as often at once as they like, each "missed" or "skipped"."""
    runs = under_way_since(connection, {name: those[0].due_at_ns for name, those in missed.items()})
    told = {}
    for name, those in missed.items():
        job = expected[name]
        longest_ns = run_lost_after_ns if job.max_duration_ns is None else job.max_duration_ns
        spans = [Span(run.started_at_ns, run.run_id, _until(run, longest_ns)) for run in runs.get(name, ())]
        assert job.schedule is not None
        assert job.max_concurrent is not None
        told[name] = skipped(job.schedule, job.start_grace_ns, those, spans, job.max_concurrent)
    return told


def _until(run: Row[Any], longest_ns: int) -> int:
    """Until when a run may have been in the way; one that is not declared lost yet is under way no longer, either."""
    if run.status == "lost":
        return int(run.started_at_ns)
    return int(run.started_at_ns + longest_ns if run.ended_at_ns is None else run.ended_at_ns)


def miss_skipped(
    connection: Connection, expected: Expected, lost_ns: Mapping[str, int], run_lost_after_ns: int
) -> None:
    """Count as missed what was skipped since the moment for the sake of runs that are lost by now."""
    since_ns = {
        name: ns
        for name, ns in lost_ns.items()
        if expected[name].schedule is not None and expected[name].max_concurrent is not None
    }
    skipped_ = {
        name: [Missed(event.due_at_ns, event.at_ns, event.until_ns, event.made_up_at_ns) for event in events]
        for name, events in events_since(connection, since_ns, "e.kind = 'skipped' AND e.at_ns >= {since}").items()
    }
    changed = [
        {"job": name, "subject": str(one.due_at_ns)}
        for name, those in told_skipped(connection, expected, skipped_, run_lost_after_ns).items()
        for one in those
        if one.kind == "missed"
    ]
    key = "batch_job = :job AND subject = :subject"
    for one in changed:
        counted = connection.execute(
            text(
                f"UPDATE job_events SET kind = 'missed' WHERE {key} AND kind = 'skipped'"
                f" AND NOT EXISTS (SELECT 1 FROM job_events WHERE {key} AND kind = 'missed')"
            ),
            one,
        ).rowcount
        connection.execute(
            text("UPDATE jobs SET missed_runs = missed_runs + :added WHERE batch_job = :job"),
            {"job": one["job"], "added": counted},
        )
