"""Under which labels each series is shown, after the cap on label values."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from reporter import state
from reporter.fold.rows import IS_NAMED_ERROR
from reporter.report.caps import OTHER, admit
from reporter.tally import OTHER_ERROR, is_error

_STATUS = "status"
Labels = tuple[tuple[str, str], ...]
Group = tuple[Labels, bool]
"""Calls shown together: their labels, and whether they name a model."""


class Groups:
    """Which labels each series is shown under, after the cap."""

    def __init__(
        self, by_series: Mapping[int, Group], names: Mapping[str, Mapping[str, bool]], gathered: int = 0
    ) -> None:
        self.by_series = by_series
        self.names = names
        self._gathered = gathered  # series some of whose errors the fold put together

    @property
    def capped(self) -> int:
        """How many label values are shown as `other`; the errors that the fold put together count once a series."""
        return self._gathered + sum(not named for values in self.names.values() for named in values.values())

    def shown_status(self, status: str) -> str:
        """What the status of a total is shown as."""
        return status if not is_error(status) or self.names[_STATUS].get(status, True) else OTHER_ERROR

    def shown(self, label: str, value: str) -> str:
        """What a label value is shown as."""
        return value if not value or self.names.get(label, {}).get(value, True) else OTHER


def read_groups(connection: Connection, labels: Sequence[str], most: int) -> Groups:
    """The groups of all series; `labels` are columns of `series`, `most` the values a label may have."""
    rows = connection.execute(
        text(
            "SELECT s.series_id, s.batch_job, s.operation, s.provider, s.model,"
            " (SELECT coalesce(sum(t.calls), 0) FROM totals t WHERE t.series_id = s.series_id) AS calls"
            " FROM series s ORDER BY s.series_id"
        )
    ).fetchall()
    known = json.loads(state.get(connection, "label_values") or "{}")
    names = {}
    for label in labels:
        calls: dict[str, int] = defaultdict(int)
        for row in rows:
            calls[getattr(row, label)] += row.calls
        names[label] = admit(known.get(label, {}), calls, most)
    errors = connection.execute(text(f"SELECT status, sum(calls) FROM totals WHERE {IS_NAMED_ERROR} GROUP BY status"))
    names[_STATUS] = admit(known.get(_STATUS, {}), {status: int(calls) for status, calls in errors}, most)
    gathered = connection.execute(text("SELECT count(*) FROM totals WHERE status = :other"), {"other": OTHER_ERROR})

    groups = Groups({}, names)
    return Groups(
        {
            row.series_id: (
                tuple((label, groups.shown(label, getattr(row, label))) for label in labels),
                bool(row.model),
            )
            for row in rows
        },
        names,
        int(gathered.scalar_one()),
    )


def remember_label_values(connection: Connection, labels: Sequence[str], most: int) -> None:
    """Keep which label values have names, so that counters already pushed never move to `other`, nor back."""
    state.put(connection, "label_values", json.dumps(read_groups(connection, labels, most).names))
