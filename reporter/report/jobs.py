"""Batch jobs as their runs tell them; schedules (late, missed, next) are not evaluated yet."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import Connection, text

from reporter.report.model import JobStatus

_STATES = {"success": "ok", "running": "running", "failed": "failed", "timeout": "overrun", "lost": "lost"}


def read_jobs(connection: Connection, as_of_ns: int) -> tuple[JobStatus, ...]:
    """Every job that has started a run before `as_of_ns`, by name."""
    totals: dict[str, dict[str, int]] = defaultdict(dict)
    for row in connection.execute(text("SELECT batch_job, status, runs FROM job_totals ORDER BY batch_job, status")):
        totals[row.batch_job][row.status] = row.runs
    jobs = connection.execute(
        text("SELECT DISTINCT batch_job FROM runs WHERE started_at_ns < :as_of ORDER BY batch_job"), {"as_of": as_of_ns}
    ).scalars()
    return tuple(_job(connection, job, as_of_ns, totals[job]) for job in jobs.all())


def _job(connection: Connection, job: str, as_of_ns: int, totals: dict[str, int]) -> JobStatus:
    at = {"job": job, "as_of": as_of_ns}
    started = "FROM runs WHERE batch_job = :job AND started_at_ns < :as_of"
    ended = f"{started} AND ended_at_ns < :as_of AND status <> 'running'"
    last = connection.execute(text(f"SELECT * {started} ORDER BY started_at_ns DESC LIMIT 1"), at).one()
    done = connection.execute(text(f"SELECT * {ended} ORDER BY ended_at_ns DESC LIMIT 1"), at).first()
    success = connection.execute(text(f"SELECT max(ended_at_ns) {ended} AND status = 'success'"), at).scalar()
    by_status = {
        row.status: row.runs
        for row in connection.execute(text(f"SELECT status, count(*) AS runs {ended} GROUP BY status"), at)
    }
    running = connection.execute(
        text(f"SELECT count(*) {started} AND (ended_at_ns IS NULL OR ended_at_ns >= :as_of)"), at
    ).scalar_one()
    over = last.ended_at_ns is not None and last.ended_at_ns < as_of_ns
    return JobStatus(
        batch_job=job,
        state=_STATES.get(last.status if over else "running", "unknown"),
        last_start_at_ns=last.started_at_ns,
        last_success_at_ns=success,
        last_completion_at_ns=None if done is None or done.status == "lost" else done.ended_at_ns,
        next_run_at_ns=None,
        last_duration_seconds=None if done is None or done.duration_ns is None else done.duration_ns / 1e9,
        last_exit_code=None if done is None else done.exit_code,
        last_items=None if done is None else done.items,
        running=running,
        missed_runs_at_ns=(),
        late_runs=0,
        overruns=by_status.get("timeout", 0),
        overlaps=0,
        lost_runs=by_status.get("lost", 0),
        failed_runs=by_status.get("failed", 0),
        runs_total=totals,
    )
