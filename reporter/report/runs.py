"""Runs one by one: the last ones of each job, and a history with what their calls were and cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from reporter.fold.some_runs import latest
from reporter.report.jobs import read_job_names
from reporter.schedule.standing import streak
from reporter.tally import MINUTE_NS

STATUSES = ("running", "success", "failed", "timeout", "lost")
_FURTHER = 8
FEW = 20
"""So many runs are shown of a job's line, and looked through for its streak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestRun:
    """A run as of a moment."""

    started_at_ns: int
    status: str  # "running" where it had not ended by then
    duration_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestRuns:
    """The last runs of a job, in order."""

    runs: tuple[LatestRun, ...]
    streak: int  # how many that ended last are alike, of those looked through: successes, or less than 0 for others
    recovered: bool  # the one that ended last is a success after others


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run, with what its calls were and cost."""

    run_id: str
    batch_job: str
    started_at_ns: int
    ended_at_ns: int | None
    duration_seconds: float | None
    status: str
    exit_code: int | None
    error_type: str | None
    items: int | None
    host: str | None
    scheduled_for_ns: int | None
    output_tail: str | None
    calls: int
    errors: int
    cost_nanousd: int | None  # of calls that have a price; None: there are calls, and none has
    unpriced_calls: int


def read_latest_runs(connection: Connection, names: Sequence[str], as_of_ns: int) -> dict[str, LatestRuns]:
    """The last runs of each job that started before `as_of_ns`."""
    columns = "started_at_ns, ended_at_ns, duration_ns, status"
    found = latest(connection, dict.fromkeys(names, 0), as_of_ns, columns, limit=FEW)
    return {name: _latest(rows, as_of_ns) for name, rows in found.items()}


def _latest(rows: Sequence[Row[Any]], as_of_ns: int) -> LatestRuns:
    runs = [_as_of(row, as_of_ns) for row in rows]
    ended = [run.status for run in runs if run.status != "running"]
    alike = streak(ended)
    return LatestRuns(runs=tuple(runs[::-1]), streak=alike, recovered=0 < alike < len(ended) and alike == 1)


def _as_of(row: Row[Any], as_of_ns: int) -> LatestRun:
    is_over = row.ended_at_ns is not None and row.ended_at_ns < as_of_ns
    return LatestRun(
        started_at_ns=row.started_at_ns,
        status=row.status if is_over else "running",
        duration_seconds=row.duration_ns / 1e9 if is_over and row.duration_ns is not None else None,
    )


def read_runs(
    connection: Connection, *, job: str | None, since_ns: int, as_of_ns: int, statuses: Sequence[str] = (), limit: int
) -> list[RunRecord]:
    """Runs that started in [since, as_of), those that started last first, at most `limit`.

    The index has runs by job, and one of starts alone would mislead SQLite elsewhere: so it looks at the last minute, and
    further back while that was too little.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    jobs = "SELECT value FROM json_each(:jobs)" if is_sqlite else "SELECT json_array_elements_text(CAST(:jobs AS json))"
    asked = {"jobs": json.dumps(read_job_names(connection) if job is None else [job]), "as_of": as_of_ns}
    asked |= {f"status{place}": status for place, status in enumerate(statuses)}
    of_status = f" AND status IN ({', '.join(f':status{place}' for place in range(len(statuses)))})" if statuses else ""
    statement = text(
        "SELECT run_id, batch_job, started_at_ns, ended_at_ns, duration_ns, status, exit_code, error_type, items, host,"
        f" scheduled_for_ns, output_tail FROM runs WHERE batch_job IN ({jobs}) AND started_at_ns >= :first"
        f" AND started_at_ns < :as_of{of_status} ORDER BY started_at_ns DESC, run_id DESC LIMIT {int(limit)}"
    )
    length_ns = MINUTE_NS
    while True:
        first_ns = max(since_ns, as_of_ns - length_ns)
        rows = connection.execute(statement, {**asked, "first": first_ns}).fetchall()
        if len(rows) >= limit or first_ns == since_ns:
            break
        length_ns *= _FURTHER
    calls = _calls(connection, rows)
    return [_record(row, calls.get(row.run_id)) for row in rows]


def _calls(connection: Connection, runs: Sequence[Row[Any]]) -> Mapping[str, Row[Any]]:
    """What the calls of each run were; looked through from the start of the first of the runs on."""
    if not runs:
        return {}
    is_sqlite = connection.dialect.name == "sqlite"
    ids = "SELECT value FROM json_each(:ids)" if is_sqlite else "SELECT json_array_elements_text(CAST(:ids AS json))"
    rows = connection.execute(
        text(
            "SELECT run_id, count(*) AS calls, sum(CASE WHEN status = 'success' THEN 0 ELSE 1 END) AS errors,"
            " CAST(sum(cost_nanousd) AS BIGINT) AS cost_nanousd,"
            " sum(CASE WHEN model IS NOT NULL AND cost_nanousd IS NULL THEN 1 ELSE 0 END) AS unpriced_calls"
            f" FROM calls WHERE folded IN (0, 1) AND ended_at_ns >= :first AND run_id IN ({ids}) GROUP BY run_id"
        ),
        {"ids": json.dumps([run.run_id for run in runs]), "first": min(run.started_at_ns for run in runs)},
    )
    return {row.run_id: row for row in rows}


def _record(run: Row[Any], calls: Row[Any] | None) -> RunRecord:
    unpriced = int(calls.unpriced_calls) if calls is not None else 0
    cost = None if calls is None else calls.cost_nanousd
    return RunRecord(
        run_id=run.run_id,
        batch_job=run.batch_job,
        started_at_ns=run.started_at_ns,
        ended_at_ns=run.ended_at_ns,
        duration_seconds=None if run.duration_ns is None else run.duration_ns / 1e9,
        status=run.status,
        exit_code=run.exit_code,
        error_type=run.error_type,
        items=run.items,
        host=run.host,
        scheduled_for_ns=run.scheduled_for_ns,
        output_tail=run.output_tail,
        calls=0 if calls is None else calls.calls,
        errors=0 if calls is None else int(calls.errors),
        cost_nanousd=0 if cost is None and not unpriced else cost,
        unpriced_calls=unpriced,
    )
