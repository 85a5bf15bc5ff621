"""What jobs were not as expected, each an event, and how many of each kind there ever were.

An event has a key of its own, and only events that are new are counted: whoever comes to the same one again adds nothing.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text

from reporter.fold.some_runs import each_job

JUDGED_AT = "schedules_judged_at_ns"
"""Under which name `state` has the moment of the last fold that judged schedules."""
COUNTS = {
    "missed": "missed_runs", "late": "late_runs", "overrun": "overruns", "overlap": "overlapping_runs",
    "too_fast": "too_fast_runs",
}  # fmt: skip
"""Which column of `jobs` counts which kind of event."""


class Event(NamedTuple):
    """A row of `job_events`."""

    batch_job: str
    kind: str
    subject: str
    at_ns: int
    due_at_ns: int | None = None
    until_ns: int | None = None
    made_up_at_ns: int | None = None


def count_events(connection: Connection, events: Iterable[Event]) -> None:
    """Keep events, and count those that are new."""
    rows = json.dumps(list(events))
    if rows == "[]":
        return
    columns = ", ".join(Event._fields)
    if connection.dialect.name == "sqlite":
        values = ", ".join(f"json_extract(e.value, '$[{place}]')" for place in range(len(Event._fields)))
        source = f"SELECT {values} FROM json_each(:rows) AS e WHERE 1 = 1"
    else:
        kinds = ["TEXT"] * 3 + ["BIGINT"] * 4
        values = ", ".join(f"CAST(e.value ->> {place} AS {kind})" for place, kind in enumerate(kinds))
        source = f"SELECT {values} FROM json_array_elements(CAST(:rows AS json)) AS e (value)"
    counted = Counter(
        (row.batch_job, row.kind)
        for row in connection.execute(
            text(
                f"INSERT INTO job_events ({columns}) {source} ON CONFLICT (batch_job, kind, subject) DO NOTHING"
                " RETURNING batch_job, kind"
            ),
            {"rows": rows},
        ).fetchall()
    )
    for kind, column in COUNTS.items():
        added = [{"job": name, "added": count} for (name, what), count in counted.items() if what == kind]
        if added:
            connection.execute(text(f"UPDATE jobs SET {column} = {column} + :added WHERE batch_job = :job"), added)


def events_since(connection: Connection, since_ns: Mapping[str, int], condition: str) -> Mapping[str, list[Row[Any]]]:
    """Each job's events for which the SQL `condition` holds, in which {since} is its moment, by due time."""
    found: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    if since_ns:
        jobs, since = each_job(connection)
        for row in connection.execute(
            text(
                f"SELECT e.* FROM {jobs} CROSS JOIN job_events AS e WHERE e.batch_job = j.key"
                f" AND {condition.format(since=since)} ORDER BY e.due_at_ns"
            ),
            {"jobs": json.dumps(dict(since_ns))},
        ):
            found[row.batch_job].append(row)
    return found
