"""SLOs in every window: good and bad counts from the tallies, and what follows from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Row, text

from reporter.minutes import verdicts
from reporter.report.model import AlertState, SLOStatus, SLOWindow
from reporter.report.windows import by_hour, spans
from reporter.slo import budget
from reporter.slo.alerting import firing
from reporter.slo.durations import format_duration
from reporter.slo.spec import SLO

Counts = dict[int, list[list[int]]]
"""[good, bad] by SLO and window."""


def read_slos(
    connection: Connection, slos: Sequence[SLO], end: int, lengths: Sequence[int], always: Sequence[int]
) -> tuple[SLOStatus, ...]:
    """Every SLO at minute `end`, in those of the windows `lengths` that are its own or are `always` shown."""
    rows = {
        (row.name, row.fingerprint): row
        for row in connection.execute(text("SELECT * FROM slos WHERE retired_at_ns IS NULL ORDER BY slo_id"))
    }
    counts = _counts(connection, end, lengths)
    statuses = []
    for slo in slos:
        row = rows.get((slo.name, slo.fingerprint))
        counted = [[0, 0]] * len(lengths) if row is None else counts[row.slo_id]
        wanted = {length for _, length in slo.windows} | set(always)
        by_length = {length: both for length, both in zip(lengths, counted, strict=True) if length in wanted}
        statuses.append(_status(slo, by_length, row))
    return tuple(statuses)


def _counts(connection: Connection, end: int, lengths: Sequence[int]) -> Counts:
    parts: Counts = defaultdict(lambda: [[0, 0] for _ in lengths])
    found = spans(end, lengths)
    for span in found:
        if span.resolution > 1:
            for slo_id, good, bad in connection.exec_driver_sql(
                "SELECT slo_id, CAST(sum(good) AS BIGINT), CAST(sum(bad) AS BIGINT) FROM slo_tallies"
                f" WHERE resolution = {span.resolution} AND bucket >= {span.first} AND bucket < {span.end}"
                " GROUP BY slo_id"
            ):
                part = parts[slo_id][span.window]
                part[0] += good
                part[1] += bad
    cuts = by_hour(found)
    if cuts:
        for hour, slo_id, minutes in connection.exec_driver_sql(
            f"SELECT bucket, slo_id, minutes FROM slo_minutes WHERE bucket IN ({', '.join(map(str, cuts))})"
        ):
            for first, last, window in cuts[hour]:
                good, bad = verdicts(minutes, first, last)
                part = parts[slo_id][window]
                part[0] += good
                part[1] += bad
    for windows in parts.values():
        for shorter, longer in pairwise(windows):  # each has the next shorter one inside
            longer[0] += shorter[0]
            longer[1] += shorter[1]
    return parts


def _status(slo: SLO, counts: Mapping[int, Sequence[int]], row: Row[Any] | None) -> SLOStatus:
    left = slo.error_budget_ratio
    windows = {
        format_duration(length): SLOWindow(
            good=good, bad=bad, sli_ratio=budget.sli_ratio(good, bad), burn_rate=budget.burn_rate(good, bad, left)
        )
        for length, (good, bad) in counts.items()
    }
    alerts = []
    for pair in slo.pairs:
        if pair.long in windows and pair.short in windows:
            (long_good, long_bad), (short_good, short_bad) = counts[pair.long_ns], counts[pair.short_ns]
            fires = firing(
                pair,
                budget.exact_burn_rate(long_good, long_bad, left),
                budget.exact_burn_rate(short_good, short_bad, left),
                long_bad,
                slo.min_bad_events,
            )
            alerts.append(
                AlertState(
                    severity=pair.severity, long=pair.long, short=pair.short, factor=float(pair.factor), firing=fires
                )
            )
    good, bad = counts.get(slo.period_ns, (0, 0))
    return SLOStatus(
        slo=slo.name,
        service=slo.service,
        objective_ratio=float(slo.objective_ratio),
        period=slo.period,
        method=slo.method,
        state=budget.state(good, bad, left, any_firing=any(alert.firing for alert in alerts)),
        windows=windows,
        consumed_ratio=budget.budget_consumed(good, bad, left),
        remaining_ratio=budget.budget_remaining(good, bad, left),
        alerts=tuple(alerts),
        counted_from_ns=None if row is None else row.counted_from_ns,
        good_total=0 if row is None else row.good,
        bad_total=0 if row is None else row.bad,
    )
