"""Which jobs there are in the configuration, and from when on their due times count: kept, to outlive the reporter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, text

from reporter.lease import Lease
from reporter.schedule.due import Cron, Every
from reporter.schedule.expectation import Expectation
from reporter.schedule.judge import expect
from reporter.store import Store

Expected = Mapping[str, Expectation]
AWAY_NS = 3600 * 10**9
"""A job that is out of the configuration for longer is declared anew; a configuration may be wrong for a moment."""


def declare(opened: Store, lease: Lease, expected: Expected, now_ns: int) -> None:
    """Keep which jobs there are in the configuration, and from when on their due times count."""
    with opened.read() as connection:
        known = read_declared(connection)
    written = [_declared(name, job, known.get(name), now_ns) for name, job in expected.items()]
    changed = [row for row in written if row is not None]
    gone = [{"job": name} for name, row in known.items() if name not in expected and row.retired_at_ns is None]
    if not changed and not gone:
        return
    with opened.write() as connection:
        lease.renew(connection)
        if changed:
            connection.execute(
                text(
                    "INSERT INTO jobs (batch_job, schedule, declared_at_ns, since_ns, judged_until_ns, next_due_at_ns,"
                    " grace_over_at_ns, missed_runs, late_runs, overruns, overlapping_runs,"
                    " too_fast_runs) VALUES (:job, :schedule, :now, :since,"
                    " :judged, :due, :over, 0, 0, 0, 0, 0) ON CONFLICT (batch_job) DO UPDATE SET"
                    " schedule = excluded.schedule, since_ns = excluded.since_ns, retired_at_ns = NULL,"
                    " judged_until_ns = excluded.judged_until_ns, next_due_at_ns = excluded.next_due_at_ns,"
                    " grace_over_at_ns = excluded.grace_over_at_ns"
                ),
                changed,
            )
        if gone:
            connection.execute(text("UPDATE jobs SET retired_at_ns = :now WHERE batch_job = :job"),
                               [{**row, "now": now_ns} for row in gone])  # fmt: skip


def read_declared(connection: Connection, condition: str = "1 = 1", **parameters: int) -> dict[str, Row[Any]]:
    """The rows of `jobs` for which the SQL `condition` holds, by name."""
    rows = connection.execute(text(f"SELECT * FROM jobs WHERE {condition}"), parameters)
    return {row.batch_job: row for row in rows}


def _declared(name: str, job: Expectation, known: Row[Any] | None, now_ns: int) -> dict[str, Any] | None:
    """The row of a job that is new or changed, or back; None where it is as it was."""
    label = job.schedule.label if job.schedule else None
    same = known is not None and known.schedule == label
    if known is not None and same and known.retired_at_ns is None:
        return None
    row: dict[str, Any] = {"job": name, "schedule": label, "now": now_ns}
    if known is not None and same and now_ns - known.retired_at_ns <= AWAY_NS:
        return row | {"since": known.since_ns, "judged": known.judged_until_ns, "due": known.next_due_at_ns,
                      "over": known.grace_over_at_ns}  # fmt: skip
    due_ns = over_ns = None
    if isinstance(job.schedule, Cron):
        due_ns, over_ns = expect(next(job.schedule.after(now_ns), None), job.start_grace_ns)
    elif isinstance(job.schedule, Every):
        due_ns = now_ns + job.schedule.interval_ns
        over_ns = due_ns + job.start_grace_ns
    return row | {"since": now_ns, "judged": now_ns, "due": due_ns, "over": over_ns}
