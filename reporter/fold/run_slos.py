"""The cumulative counts of SLOs over runs, which only counters are made of: windows are read from the runs themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from reporter import state
from reporter.fold.run_events import Jobs
from reporter.slo.run_indicators import Freshness, RunIndicator
from reporter.slo.spec import SLO
from reporter.tally import MINUTE_NS

_COUNTED_BEFORE = "folded_status IS NOT NULL AND folded_status <> status"  # as lost: nothing else ends a second time


def count_history(connection: Connection, slo_id: int, slo: SLO) -> None:
    """Count all runs that were folded already for an SLO that is new."""
    if isinstance(slo.sli, RunIndicator):
        _add(connection, slo_id, slo, "folded_status = status", {}, taken_back="1 = 0")


def copy_history(connection: Connection, slo_id: int, like: int) -> None:
    """Go on counting minutes from where the SLO `like` stands, whose counts were taken over."""
    before = state.get(connection, _minutes_of(like))
    if before is not None:
        state.put(connection, _minutes_of(slo_id), before)


def skip_history(connection: Connection, slo_id: int, now_ns: int) -> None:
    """Go on counting minutes from now: counters stand where an older definition left them."""
    state.put(connection, _minutes_of(slo_id), str(now_ns // MINUTE_NS))


def _minutes_of(slo_id: int) -> str:
    """Under which name `state` has the minute before which an SLO of freshness has counted."""
    return f"fresh_counted_before_{slo_id}"


def count_runs(
    connection: Connection, slos: Sequence[tuple[int, SLO]], which: str, parameters: Mapping[str, str]
) -> None:
    """Count the runs for which the SQL `which` holds, just before they are marked as folded."""
    for slo_id, slo in slos:
        if isinstance(slo.sli, RunIndicator):
            _add(connection, slo_id, slo, which, parameters, taken_back=_COUNTED_BEFORE)


def _add(
    connection: Connection, slo_id: int, slo: SLO, which: str, parameters: Mapping[str, str], *, taken_back: str
) -> None:
    good, counted = slo.sql(connection.dialect.name)
    goods = bads = 0
    for row in connection.execute(
        text(
            f"SELECT batch_job, sum(CASE WHEN {good} THEN 1 ELSE 0 END) AS good,"
            f" sum(CASE WHEN {counted} THEN 1 ELSE 0 END) AS total, sum(CASE WHEN {taken_back} THEN 1 ELSE 0 END) AS taken"
            f" FROM runs WHERE {which} GROUP BY batch_job"
        ),
        parameters,
    ):
        if slo.where.matches_job(row.batch_job):
            goods += int(row.good)
            bads += int(row.total - row.good - row.taken)
    _count(connection, slo_id, goods, bads)


def count_minutes(connection: Connection, slos: Sequence[tuple[int, SLO]], now_ns: int) -> None:
    """Count the minutes that have passed since the last fold for SLOs of freshness."""
    end = now_ns // MINUTE_NS
    for slo_id, slo in slos:
        if isinstance(slo.sli, Freshness):
            name = _minutes_of(slo_id)
            jobs = Jobs(connection, end)
            first = state.get_integer(connection, name) or jobs.first_minute(slo)
            if first is not None and first < end:
                counts = [(good, bad) for _, good, bad in jobs.fresh(slo, slo.sli, first, end)]
                _count(connection, slo_id, sum(good for good, _ in counts), sum(bad for _, bad in counts))
                state.put(connection, name, str(end))


def _count(connection: Connection, slo_id: int, good: int, bad: int) -> None:
    if good or bad:
        connection.execute(
            text("UPDATE slos SET good = good + :good, bad = bad + :bad WHERE slo_id = :id"),
            {"good": good, "bad": bad, "id": slo_id},
        )
