"""Runs of many jobs, read by one query for all of them: each job's are found by the index of their start."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from reporter import state
from reporter.fold.ends import IS_UNFOLDED, LONGEST_RUN
from reporter.schedule.due import GAPS, WATCHED_NS
from reporter.schedule.judge import Start

Runs = Mapping[str, list[Row[Any]]]
"""Runs by job."""


def each_job(connection: Connection) -> tuple[str, str]:
    """SQL for a table `j` of the jobs in the parameter `jobs`, a JSON object, by `j.key`; and for the moment of each."""
    if connection.dialect.name == "sqlite":
        return "json_each(:jobs) AS j", "j.value"
    return "json_each_text(CAST(:jobs AS json)) AS j", "CAST(j.value AS BIGINT)"


def started_since(connection: Connection, since_ns: Mapping[str, int], columns: str) -> Runs:
    """Each job's runs that started at its moment or later, in order."""
    if not since_ns:
        return {}
    jobs, since = each_job(connection)
    return _by_job(
        connection.execute(
            text(
                f"SELECT r.batch_job, {_of('r', columns)} FROM {jobs} CROSS JOIN runs AS r"
                f" WHERE r.batch_job = j.key AND r.started_at_ns >= {since} ORDER BY r.started_at_ns, r.run_id"
            ),
            {"jobs": json.dumps(dict(since_ns))},
        )
    )


def starts_between(
    connection: Connection, spans_ns: Mapping[str, tuple[int, int]], named_since_ns: int
) -> tuple[Mapping[str, Sequence[int]], Mapping[str, Sequence[Start]]]:
    """Each job's starts in its span, the end left out: in order those of runs that name no due time, and the others.

    The others are also those up to `named_since_ns` earlier.  Without a row object each: there may be millions.
    """
    starts: defaultdict[str, list[int]] = defaultdict(list)
    naming: defaultdict[str, list[Start]] = defaultdict(list)
    if not spans_ns:
        return starts, naming
    is_sqlite = connection.dialect.name == "sqlite"
    jobs = "json_each(:jobs)" if is_sqlite else "json_each(CAST(:jobs AS json))"
    since, until = (
        f"json_extract(j.value, '$[{place}]')" if is_sqlite else f"CAST(j.value ->> {place} AS BIGINT)"
        for place in (0, 1)
    )
    spans = f"SELECT j.key AS job, {since} AS since_ns, {until} AS until_ns FROM {jobs} AS j"
    found = connection.execute(
        text(
            f"WITH spans AS MATERIALIZED ({spans}) SELECT r.batch_job, r.started_at_ns, r.scheduled_for_ns"
            " FROM spans AS s CROSS JOIN runs AS r WHERE r.batch_job = s.job AND r.started_at_ns < s.until_ns"
            f" AND r.started_at_ns >= s.since_ns - {named_since_ns}"
            " AND (r.started_at_ns >= s.since_ns OR r.scheduled_for_ns >= s.since_ns)"
        ),
        {"jobs": json.dumps(dict(spans_ns))},
    )
    assert found.cursor is not None
    for name, start_ns, due_ns in found.cursor.fetchall():
        if due_ns is None:
            starts[name].append(start_ns)
        else:
            naming[name].append(Start(start_ns, due_ns))
    found.close()
    for those in starts.values():
        those.sort()
    return starts, naming


def latest(
    connection: Connection,
    since_ns: Mapping[str, int],
    as_of_ns: int,
    columns: str,
    *,
    condition: str = "1 = 1",
    order: str = "started_at_ns",
    limit: int = 1,
) -> Runs:
    """Each job's last runs by `order`, last first: of those that started from its moment on and before `as_of_ns`."""
    if not since_ns:
        return {}
    jobs, since = each_job(connection)
    found = (
        f"FROM runs WHERE batch_job = j.key AND started_at_ns < :as_of AND started_at_ns >= {since} AND {condition}"
        f" ORDER BY {order} DESC, started_at_ns DESC, run_id DESC LIMIT {limit}"
    )
    source = (
        f"{jobs} CROSS JOIN runs AS r ON r.run_id IN (SELECT run_id {found})"
        if connection.dialect.name == "sqlite"
        else f"{jobs} CROSS JOIN LATERAL (SELECT * {found}) AS r"
    )
    rows = connection.execute(
        text(
            f"SELECT r.batch_job, {_of('r', columns)} FROM {source}"
            f" ORDER BY r.{order} DESC, r.started_at_ns DESC, r.run_id DESC"
        ),
        {"jobs": json.dumps(dict(since_ns)), "as_of": as_of_ns},
    )
    return _by_job(rows)


def watched(connection: Connection, from_ns: Mapping[str, int], until_ns: int, columns: str) -> Runs:
    """Each job's runs that started before `until_ns` in which a rhythm is observed: those of WATCHED_NS before its moment and
    of all the time after it, and in any case the last ones."""
    since_ns = {name: ns - WATCHED_NS for name, ns in from_ns.items()}
    last = latest(connection, dict.fromkeys(from_ns, 0), until_ns, columns, limit=GAPS + 1)
    recent = started_since(connection, since_ns, columns)
    return {
        name: [run for run in rows[::-1] if run.started_at_ns < since_ns[name]]
        + [run for run in recent.get(name, ()) if run.started_at_ns < until_ns]
        for name, rows in last.items()
    }


def under_way_since(connection: Connection, from_ns: Mapping[str, int]) -> Runs:
    """Each job's runs that started from its moment on, or may have been under way at it."""
    if not from_ns:
        return {}
    running = {
        row.batch_job: row.first_ns
        for row in connection.execute(
            text(f"SELECT batch_job, min(started_at_ns) AS first_ns FROM runs WHERE {IS_UNFOLDED} GROUP BY batch_job")
        )
    }
    longest_ns = state.get_integer(connection, LONGEST_RUN)
    since_ns = {name: min(ns - longest_ns, running.get(name, ns)) for name, ns in from_ns.items()}
    return started_since(connection, since_ns, "started_at_ns, run_id, ended_at_ns, status")


def _of(table: str, columns: str) -> str:
    return ", ".join(f"{table}.{name}" for name in columns.split(", "))


def _by_job(rows: Iterable[Row[Any]]) -> Runs:
    found: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        found[row.batch_job].append(row)
    return found
