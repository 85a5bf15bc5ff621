"""Batch jobs as their runs tell them; schedules (late, missed, overlapping, next) are not evaluated yet.

Counts are those of the fold, which no retention touches, less what ended at `as_of` or later.  Runs themselves are looked up
by job and start: one that ended after a moment began at most the longest run earlier, so few are read of however many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from reporter import state
from reporter.fold.ends import IS_UNFOLDED, LONGEST_RUN
from reporter.report.model import JobStatus

_STATES = {"success": "ok", "running": "running", "failed": "failed", "timeout": "overrun", "lost": "lost"}
_TOLD = "started_at_ns, ended_at_ns, duration_ns, status, exit_code, items"


def read_job_totals(connection: Connection) -> dict[str, dict[str, int]]:
    """How many runs of each job ended since the beginning, by status."""
    totals: dict[str, dict[str, int]] = {}
    for row in connection.execute(text("SELECT batch_job, status, runs FROM job_totals ORDER BY batch_job, status")):
        totals.setdefault(row.batch_job, {})[row.status] = row.runs
    return totals


def read_jobs(connection: Connection, as_of_ns: int, totals: Mapping[str, Mapping[str, int]]) -> tuple[JobStatus, ...]:
    """Every job that has started a run before `as_of_ns`, by name; `totals` of all their runs."""
    unfolded = connection.execute(
        text(f"SELECT batch_job, started_at_ns, ended_at_ns FROM runs WHERE {IS_UNFOLDED}")
    ).fetchall()
    unended = Counter(run.batch_job for run in unfolded if run.ended_at_ns is None and run.started_at_ns < as_of_ns)
    folded_ns = state.get(connection, LONGEST_RUN)  # nothing is known before the first fold
    longest_ns = as_of_ns if folded_ns is None else int(folded_ns)
    longest_ns = max([longest_ns, *(run.ended_at_ns - run.started_at_ns for run in unfolded if run.ended_at_ns)])
    jobs = []
    for name in sorted({*totals, *(run.batch_job for run in unfolded)}):
        job = _Job(connection, name, as_of_ns, longest_ns)
        last = job.latest("TRUE", "started_at_ns")
        running, later = job.ended_later()
        counts = {status: runs - later.get(status, 0) for status, runs in totals.get(name, {}).items()}
        if last is not None or any(counts.values()):  # else its runs began later
            jobs.append(_status(job, last, counts, unended[name] + running))
    return tuple(jobs)


@dataclass(frozen=True, slots=True)
class _Job:
    """The runs of one job that had started by a moment."""

    connection: Connection
    name: str
    as_of_ns: int
    longest_ns: int

    def latest(self, condition: str, order: str, since_ns: int = 0) -> Row[Any] | None:
        """The last by `order` of the runs for which `condition` holds."""
        return self.connection.execute(
            text(
                f"SELECT {_TOLD} FROM runs WHERE batch_job = :job AND started_at_ns < :as_of"
                f" AND started_at_ns >= :since AND {condition} ORDER BY {order} DESC, started_at_ns DESC LIMIT 1"
            ),
            {"job": self.name, "as_of": self.as_of_ns, "since": since_ns},
        ).first()

    def last_ended(self, condition: str) -> Row[Any] | None:
        """Of the runs for which `condition` holds, the one that ended last: not always the last one started."""
        ended = f"ended_at_ns < :as_of AND {condition}"
        found = self.latest(ended, "started_at_ns")
        return None if found is None else self.latest(ended, "ended_at_ns", found.ended_at_ns - self.longest_ns)

    def ended_later(self) -> tuple[int, dict[str, int]]:
        """Runs that ended at the moment or later: how many of them had started, and what all were counted as."""
        running, counted = 0, dict[str, int]()
        for row in self.connection.execute(
            text(
                "SELECT folded_status, count(*) AS runs,"
                " sum(CASE WHEN started_at_ns < :as_of THEN 1 ELSE 0 END) AS running FROM runs WHERE batch_job = :job"
                " AND started_at_ns >= :since AND ended_at_ns >= :as_of GROUP BY folded_status"
            ),
            {"job": self.name, "as_of": self.as_of_ns, "since": self.as_of_ns - self.longest_ns},
        ):
            running += int(row.running)
            if row.folded_status is not None:
                counted[row.folded_status] = row.runs
        return running, counted


def _status(job: _Job, last: Row[Any] | None, counts: Mapping[str, int], running: int) -> JobStatus:
    done = job.last_ended("status NOT IN ('running', 'lost')")  # a lost run knows neither its length nor its outcome
    success = done if done is None or done.status == "success" else job.last_ended("status = 'success'")
    told = "unknown"
    if last is not None:
        is_over = last.ended_at_ns is not None and last.ended_at_ns < job.as_of_ns
        told = _STATES.get(last.status if is_over else "running", "unknown")
    return JobStatus(
        batch_job=job.name,
        state=told,
        last_start_at_ns=None if last is None else last.started_at_ns,
        last_success_at_ns=None if success is None else success.ended_at_ns,
        last_completion_at_ns=None if done is None else done.ended_at_ns,
        next_run_at_ns=None,
        last_duration_seconds=None if done is None or done.duration_ns is None else done.duration_ns / 1e9,
        last_exit_code=None if done is None else done.exit_code,
        last_items=None if done is None else done.items,
        running=running,
        missed_runs_at_ns=None,
        late_runs=None,
        overruns=counts.get("timeout", 0),
        overlaps=None,
        lost_runs=counts.get("lost", 0),
        failed_runs=counts.get("failed", 0),
        runs=sum(counts.values()),
    )
