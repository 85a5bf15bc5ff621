"""What never ended, and what ended after all: runs, lost calls, and lost calls whose end came late."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from reporter import state
from reporter.fold.rows import store
from reporter.slo.spec import SLO
from reporter.tally import FOLDED, tally

IS_UNFOLDED = "(folded_status IS NULL OR folded_status <> status)"
"""SQL: a run is in progress or not counted yet; the index runs_unfolded has just those."""
LONGEST_RUN = "longest_run_ns"
"""Under which name `state` has how long any run that was counted took."""
LATEST_END = "latest_run_end_ns"
"""And when the last of them ended."""
BACK = "back"
"""Under which status `job_totals` has how many runs were lost and ended after all; a run is never of it."""
IF_BACK = f"CASE WHEN folded_status = 'lost' THEN '{BACK}' END"
RUNS = 5_000
"""Runs counted in one transaction."""


def end_runs(connection: Connection, max_duration_ns: Mapping[str, int], run_lost_after_ns: int, now_ns: int) -> None:
    """Declare runs lost that ran longer than their job's maximum."""
    running = connection.execute(
        text(f"SELECT run_id, batch_job, started_at_ns FROM runs WHERE {IS_UNFOLDED} AND status = 'running'")
    ).fetchall()
    lost = []
    for row in running:
        deadline_ns = row.started_at_ns + max_duration_ns.get(row.batch_job, run_lost_after_ns)
        if deadline_ns <= now_ns:
            lost.append({"at": deadline_ns, "id": row.run_id})
    if lost:
        connection.execute(
            text("UPDATE runs SET status = 'lost', ended_at_ns = :at WHERE run_id = :id AND status = 'running'"), lost
        )


def fold_runs(connection: Connection, count: Callable[[str, Mapping[str, str]], None]) -> int:
    """Count some runs that ended, or ended otherwise than they were counted; how many, below RUNS when none is left.

    `count` hears which, as SQL and its parameters, before they are marked.
    """
    new = f"{IS_UNFOLDED} AND status <> 'running'"
    if state.get(connection, LONGEST_RUN) is None:
        _keep_longest(connection, "ended_at_ns IS NOT NULL", {})
    last = connection.execute(
        text(f"SELECT max(run_id) FROM (SELECT run_id FROM runs WHERE {new} ORDER BY run_id LIMIT {RUNS}) AS few")
    ).scalar()
    if last is None:
        return 0
    some, upto = f"{new} AND run_id <= :last", {"last": last}
    _keep_longest(connection, some, upto)
    count(some, upto)
    for status, runs in (("folded_status", "-count(*)"), ("status", "count(*)"), (IF_BACK, "count(*)")):
        connection.execute(
            text(
                f"INSERT INTO job_totals (batch_job, status, runs) SELECT batch_job, {status}, {runs} FROM runs"
                f" WHERE {some} AND {status} IS NOT NULL GROUP BY batch_job, {status}"
                " ON CONFLICT (batch_job, status) DO UPDATE SET runs = job_totals.runs + excluded.runs"
            ),
            upto,
        )
    return int(connection.execute(text(f"UPDATE runs SET folded_status = status WHERE {some}"), upto).rowcount)


def _keep_longest(connection: Connection, which: str, parameters: Mapping[str, str]) -> None:
    longest, last = connection.execute(
        text(f"SELECT max(ended_at_ns - started_at_ns), max(ended_at_ns) FROM runs WHERE {which}"), parameters
    ).one()
    for name, value in ((LONGEST_RUN, longest), (LATEST_END, last)):
        state.put(connection, name, str(max(state.get_integer(connection, name), value or 0)))


def declare_lost(connection: Connection, lost_after_ns: int, now_ns: int) -> int:
    """Starts that ended are forgotten; those past their deadline, or whose run is over, become lost calls; how many."""
    connection.execute(
        text(
            "DELETE FROM starts WHERE EXISTS (SELECT 1 FROM calls WHERE folded IN (0, 1) AND calls.call_id = starts.call_id)"
        )
    )
    open_starts = connection.execute(
        text(
            "SELECT s.*, r.ended_at_ns AS run_ended_at_ns FROM starts s"
            " LEFT JOIN runs r ON r.run_id = s.run_id AND r.status <> 'running'"
        )
    ).fetchall()
    lost = 0
    for start in open_starts:
        deadline_ns = start.deadline_at_ns
        if deadline_ns is None:
            deadline_ns = start.started_at_ns + lost_after_ns
        if start.run_ended_at_ns is not None:
            deadline_ns = min(deadline_ns, max(start.run_ended_at_ns, start.started_at_ns))
        if deadline_ns > now_ns:
            continue
        connection.execute(text("DELETE FROM starts WHERE call_id = :id"), {"id": start.call_id})
        lost += connection.execute(
            text(
                "INSERT INTO calls (call_id, ended_at_ns, started_at_ns, batch_job, run_id, operation, provider, model,"
                " status) VALUES (:call_id, :ended_at_ns, :started_at_ns, :batch_job, :run_id, :operation, :provider,"
                " :model, 'lost') ON CONFLICT (folded, call_id) DO NOTHING"
            ),
            {
                **_named(start, ("call_id", "started_at_ns", "batch_job", "run_id", "operation", "provider", "model")),
                "ended_at_ns": deadline_ns,
            },
        ).rowcount
    return lost


def _named(row: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


IS_TWIN = """EXISTS (
  SELECT 1 FROM calls AS counted WHERE counted.folded = 1 AND counted.call_id = calls.call_id LIMIT 1 OFFSET 0
)"""
"""Whether a new call was counted already; `OFFSET 0` keeps Postgres from making a join of it."""


def go_by_keys(connection: Connection) -> None:
    """Have Postgres look rows up in this transaction: its statistics, when they are of before the last fold, call everything
    new and nothing counted, and lead it through all there is."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        connection.exec_driver_sql("SET LOCAL jit = off")


def resolve_twins(connection: Connection, slos: Sequence[tuple[int, SLO]], most_errors: int) -> int:
    """New calls that were counted already are taken away, unless they had been counted as lost: then that is taken back, and
    the true call stays to be counted; how many of those."""
    go_by_keys(connection)
    twins = connection.execute(text(f"SELECT call_id, status FROM calls WHERE folded = 0 AND {IS_TWIN}")).fetchall()
    counted = text(f"SELECT {', '.join(FOLDED)} FROM calls WHERE folded = 1 AND call_id = :id")
    lost = []
    for twin in twins:
        before = connection.execute(counted, {"id": twin.call_id}).one()
        ended_after_all = before.status == "lost" and twin.status != "lost"
        if ended_after_all:
            lost.append(tuple(before))
        connection.execute(
            text("DELETE FROM calls WHERE folded = :folded AND call_id = :id"),
            {"folded": int(ended_after_all), "id": twin.call_id},
        )
    if lost:
        store(connection, tally(lost, slos, sign=-1), most_errors)
    return len(lost)
