"""What SLOs over runs count: runs that ended, and the minutes since a job's last success.

Read from the runs themselves, which are few: by job and start, where an index finds them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, text

from reporter import state
from reporter.fold.ends import IS_UNFOLDED, LONGEST_RUN
from reporter.slo.run_indicators import Freshness
from reporter.slo.spec import SLO
from reporter.slo.timeline import Interval, Minute, merged, overlaps
from reporter.tally import MINUTE_NS


class Jobs:
    """The jobs that ever ran, and when they did."""

    def __init__(self, connection: Connection, end: int) -> None:
        """Runs are looked at as of minute `end`."""
        self._connection = connection
        self._end_ns = end * MINUTE_NS
        self._names = sorted(
            row.batch_job
            for row in connection.execute(
                text(f"SELECT batch_job FROM job_totals UNION SELECT batch_job FROM runs WHERE {IS_UNFOLDED}")
            )
        )
        folded = state.get(connection, LONGEST_RUN)
        unfolded = connection.execute(text(f"SELECT min(started_at_ns) FROM runs WHERE {IS_UNFOLDED}")).scalar()
        self._longest_ns = max(0 if folded is None else int(folded), 0 if unfolded is None else self._end_ns - unfolded)

    def of(self, slo: SLO) -> list[str]:
        """The jobs whose runs an SLO is about."""
        return [name for name in self._names if slo.where.matches_job(name)]

    def first_minute(self, slo: SLO) -> int | None:
        """The minute in which the first run of an SLO's jobs began that is still known."""
        return min((began for began in map(self._began, self.of(slo)) if began is not None), default=None)

    def ended(self, slo: SLO, first: int, end: int) -> Iterator[Minute]:
        """Good and bad runs by the minute they ended in, in order."""
        good, counted = slo.sql(self._connection.dialect.name)
        minutes: Counter[int] = Counter()
        goods: Counter[int] = Counter()
        for name in self.of(slo):
            for row in self._connection.execute(
                text(
                    f"SELECT ended_at_ns / {MINUTE_NS} AS minute, sum(CASE WHEN {good} THEN 1 ELSE 0 END) AS good,"
                    f" count(*) AS total FROM runs WHERE batch_job = :job AND started_at_ns >= :since"
                    f" AND ended_at_ns >= :first AND ended_at_ns < :end AND {counted} GROUP BY 1"
                ),
                self._span(name, first, end),
            ):
                minutes[row.minute] += row.total
                goods[row.minute] += int(row.good)
        for minute in sorted(minutes):
            yield minute, goods[minute], minutes[minute] - goods[minute]

    def fresh(self, slo: SLO, sli: Freshness, first: int, end: int) -> Iterator[Minute]:
        """For each minute, of how many jobs the last success was fresh at its end, and of how many not."""
        changes: Counter[int] = Counter()
        fresh_changes: Counter[int] = Counter()
        for name in self.of(slo):
            began = self._began(name)
            if began is not None and began < end:
                begin = max(began, first)
                changes.update({begin: 1, end: -1})
                for fresh_first, fresh_end in self._fresh(name, sli, begin, end):
                    fresh_changes[fresh_first] += 1
                    fresh_changes[fresh_end] -= 1
        jobs = fresh = 0
        for minute in range(first, end):
            jobs += changes[minute]
            fresh += fresh_changes[minute]
            if jobs:
                yield minute, fresh, jobs - fresh

    def stale(self, slo: SLO, first: int, end: int) -> Iterator[tuple[str, Iterator[int]]]:
        """Each job, and the minutes of [first, end) at whose end its last success was too old."""
        for name in self.of(slo):
            began = self._began(name)
            if began is not None and began < end:
                begin = max(began, first)
                fresh = self._fresh(name, slo.sli, begin, end)  # type: ignore[arg-type]  # who asks, asks of freshness
                yield name, (minute for minute in range(begin, end) if not overlaps(fresh, minute, minute + 1))

    def _began(self, name: str) -> int | None:
        """The minute in which the first run began that is still known."""
        found = self._connection.execute(
            text("SELECT min(started_at_ns) FROM runs WHERE batch_job = :job"), {"job": name}
        ).scalar()
        return None if found is None else int(found) // MINUTE_NS

    def _fresh(self, name: str, sli: Freshness, first: int, end: int) -> tuple[Interval, ...]:
        """The minutes of [first, end) at whose end the last success was young enough."""
        successes = self._connection.execute(
            text(
                "SELECT ended_at_ns FROM runs WHERE batch_job = :job AND started_at_ns >= :since"
                " AND ended_at_ns >= :first AND ended_at_ns < :end AND status = 'success'"
            ),
            self._span(name, first - sli.max_age_ns // MINUTE_NS - 1, end),
        ).scalars()
        return merged(_cropped(((at // MINUTE_NS, (at + sli.max_age_ns) // MINUTE_NS) for at in successes), first, end))

    def busy(self, slo: SLO, first: int, end: int) -> tuple[Interval, ...]:
        """The minutes of [first, end) in which a run of an SLO's jobs was under way."""
        spans: list[Interval] = []
        for name in self.of(slo):
            rows = self._connection.execute(
                text(
                    "SELECT started_at_ns, ended_at_ns FROM runs WHERE batch_job = :job AND started_at_ns >= :since"
                    " AND started_at_ns < :end AND (ended_at_ns IS NULL OR ended_at_ns >= :first)"
                ),
                self._span(name, first, end),
            )
            spans += (
                (
                    row.started_at_ns // MINUTE_NS,
                    (self._end_ns if row.ended_at_ns is None else row.ended_at_ns) // MINUTE_NS + 1,
                )
                for row in rows
            )
        return merged(_cropped(spans, first, end))

    def _span(self, name: str, first: int, end: int) -> dict[str, int | str]:
        first_ns = first * MINUTE_NS
        return {"job": name, "since": first_ns - self._longest_ns, "first": first_ns, "end": end * MINUTE_NS}


def _cropped(intervals: Iterable[Interval], first: int, end: int) -> Iterator[Interval]:
    for left, right in intervals:
        if left < end and right > first:
            yield max(left, first), min(right, end)
