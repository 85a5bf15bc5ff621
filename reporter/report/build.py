"""The report: tallies as of one minute become SLOs, call statistics, jobs and totals.

`build` reads within one snapshot, so all its numbers are of one moment; nothing here asks the clock.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, text

from reporter import state
from reporter.report.caps import OTHER, admit
from reporter.report.jobs import read_jobs
from reporter.report.model import (
    ActiveCalls,
    AlertState,
    CallStats,
    CallTotals,
    CallWindow,
    HistogramTotal,
    Quantiles,
    Report,
    SelfStatus,
    SLOStatus,
    SLOWindow,
)
from reporter.report.windows import Span, round_up, spans
from reporter.sketch import Merge
from reporter.slo import budget
from reporter.slo.alerting import firing
from reporter.slo.durations import format_duration
from reporter.slo.spec import SLO
from reporter.tally import MINUTE_NS, SUMS, TOTAL_SUMS, Series

PERCENTILES = (50, 95, 99)
Labels = tuple[tuple[str, str], ...]


def build(
    connection: Connection,
    slos: Sequence[SLO],
    *,
    as_of_ns: int,
    windows_ns: Sequence[int],
    labels: Sequence[str],
    max_values_per_label: int,
    folded: bool = True,
) -> Report:
    """What is known at `as_of_ns`, rounded up to the whole minute.

    `windows_ns` are the windows every report has; each SLO's own are added for it.  `labels` are the columns of
    `tally.Series` that calls are shown by.
    """
    end = round_up(as_of_ns)
    notes: list[str] = []
    lengths = sorted({*windows_ns, *(length for slo in slos for _, length in slo.windows)})
    lengths = _within_reach(connection, end, lengths, notes)
    groups = _groups(connection, labels, max_values_per_label)
    return Report(
        as_of_ns=end * MINUTE_NS,
        slos=_slos(connection, slos, end, lengths, windows_ns),
        calls=_calls(connection, groups, end, [length for length in lengths if length in set(windows_ns)]),
        jobs=read_jobs(connection, end * MINUTE_NS),
        totals=_totals(connection, groups),
        active=_active(connection, groups),
        self_status=_self_status(connection, groups, folded),
        notes=tuple(notes),
    )


def _within_reach(connection: Connection, end: int, lengths: Sequence[int], notes: list[str]) -> list[int]:
    """Leave out windows whose left edge lies where minutes were pruned: they can't be cut exactly any more."""
    pruned = state.get_integer(connection, "minutes_pruned_before")
    reachable = [length for length in lengths if not pruned or (end * MINUTE_NS - length) // MINUTE_NS >= pruned]
    for length in lengths:
        if length not in reachable:
            notes.append(
                f"window {format_duration(length)} is left out: minute tallies before it were pruned (retention.minutes)"
            )
    return reachable


# ── SLOs ──


def _slos(
    connection: Connection, slos: Sequence[SLO], end: int, lengths: Sequence[int], always: Sequence[int]
) -> tuple[SLOStatus, ...]:
    rows = {
        row.name: row
        for row in connection.execute(text("SELECT * FROM slos WHERE retired_at_ns IS NULL ORDER BY slo_id"))
    }
    counts: dict[int, list[list[int]]] = defaultdict(lambda: [[0, 0] for _ in lengths])
    for span in spans(end, lengths):
        for slo_id, good, bad in connection.execute(
            text(
                "SELECT slo_id, CAST(sum(good) AS BIGINT), CAST(sum(bad) AS BIGINT) FROM slo_tallies"
                " WHERE resolution = :resolution AND bucket >= :first AND bucket < :end GROUP BY slo_id"
            ),
            span._asdict(),
        ):
            for longer in range(span.window, len(lengths)):
                counts[slo_id][longer][0] += good
                counts[slo_id][longer][1] += bad
    statuses = []
    for slo in slos:
        row = rows.get(slo.name)
        known = row is not None and row.fingerprint == slo.fingerprint
        by_length = dict(
            zip(lengths, counts[row.slo_id] if known and row is not None else [[0, 0]] * len(lengths), strict=True)
        )
        wanted = {length for _, length in slo.windows} | set(always)
        statuses.append(_status(slo, {length: by_length[length] for length in lengths if length in wanted}, row))
    return tuple(statuses)


def _status(slo: SLO, counts: Mapping[int, Sequence[int]], row: object) -> SLOStatus:
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
        counted_from_ns=getattr(row, "counted_from_ns", None),
        good_total=getattr(row, "good", 0),
        bad_total=getattr(row, "bad", 0),
    )


# ── calls by label ──


class Groups:
    """Which labels each series is shown under, after the cap."""

    def __init__(self, by_series: Mapping[int, tuple[Labels, bool]], names: Mapping[str, Mapping[str, bool]]) -> None:
        self.by_series = by_series
        self.names = names

    @property
    def capped(self) -> int:
        """How many label values are shown as `other`."""
        return sum(not named for values in self.names.values() for named in values.values())


def _groups(connection: Connection, labels: Sequence[str], most: int) -> Groups:
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

    def shown(label: str, value: str) -> str:
        return value if not value or names[label].get(value, True) else OTHER

    return Groups(
        {
            row.series_id: (tuple((label, shown(label, getattr(row, label))) for label in labels), bool(row.model))
            for row in rows
        },
        names,
    )


def remember_label_values(connection: Connection, labels: Sequence[str], most: int) -> None:
    """Keep which label values have names, so that counters already pushed never move to `other`, nor back."""
    state.put(connection, "label_values", json.dumps(_groups(connection, labels, most).names))


class _Window:
    __slots__ = ("durations", "speeds", "sums", "ttfts")

    def __init__(self) -> None:
        self.sums = [0] * len(SUMS)
        self.durations, self.ttfts, self.speeds = Merge(), Merge(), Merge()


def _calls(connection: Connection, groups: Groups, end: int, lengths: Sequence[int]) -> tuple[CallStats, ...]:
    parts: dict[tuple[Labels, bool], dict[int, _Window]] = defaultdict(lambda: defaultdict(_Window))
    for span in spans(end, lengths):
        _read_span(connection, groups, span, parts)
    found = []
    for (labels, llm), by_window in sorted(parts.items()):
        running = _Window()
        windows = {}
        for index, length in enumerate(lengths):
            part = by_window.get(index)
            if part is not None:
                running.sums = [a + b for a, b in zip(running.sums, part.sums, strict=True)]
                running.durations.merge(part.durations)
                running.ttfts.merge(part.ttfts)
                running.speeds.merge(part.speeds)
            windows[format_duration(length)] = _call_window(running)
        found.append(CallStats(labels=labels, llm=llm, windows=windows))
    return tuple(found)


def _read_span(
    connection: Connection, groups: Groups, span: Span, parts: dict[tuple[Labels, bool], dict[int, _Window]]
) -> None:
    where = f"WHERE resolution = {span.resolution} AND bucket >= {span.first} AND bucket < {span.end}"
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in SUMS)
    for series_id, *added in connection.exec_driver_sql(
        f"SELECT series_id, {sums} FROM tallies {where} GROUP BY series_id"
    ):
        window = parts[groups.by_series[series_id]][span.window]
        window.sums = [a + b for a, b in zip(window.sums, added, strict=True)]
    for series_id, durations, ttfts, speeds in connection.exec_driver_sql(
        f"SELECT series_id, durations, ttfts, speeds FROM tallies {where}"
    ):
        window = parts[groups.by_series[series_id]][span.window]
        if durations is not None:
            window.durations.add(durations)
        if ttfts is not None:
            window.ttfts.add(ttfts)
        if speeds is not None:
            window.speeds.add(speeds)


def _call_window(window: _Window) -> CallWindow:
    sums = dict(zip(SUMS, window.sums, strict=True))
    return CallWindow(
        calls=sums["calls"],
        errors=sums["errors"],
        duration_seconds=_quantiles(window.durations, 10**9),
        ttft_seconds=_quantiles(window.ttfts, 10**9),
        tokens_per_second=_quantiles(window.speeds, 1000),
        input_tokens=sums["input_tokens"],
        output_tokens=sums["output_tokens"],
        cost_nanousd=sums["cost_nanousd"],
        unpriced_calls=sums["unpriced"],
    )


def _quantiles(merge: Merge, scale: int) -> Quantiles:
    values = merge.percentiles(PERCENTILES)
    if values is None:
        return Quantiles(p50=None, p95=None, p99=None)
    p50, p95, p99 = (value / scale for value in values)
    return Quantiles(p50=p50, p95=p95, p99=p99)


# ── totals, in flight, the reporter itself ──


def _totals(connection: Connection, groups: Groups) -> tuple[CallTotals, ...]:
    sums: dict[tuple[Labels, bool, str], dict[str, int]] = {}
    counts: dict[tuple[Labels, bool, str], dict[str, list[int]]] = {}
    for row in connection.execute(text("SELECT * FROM totals")).mappings():
        key = (*groups.by_series[row["series_id"]], row["status"])
        summed = sums.setdefault(key, dict.fromkeys(TOTAL_SUMS, 0))
        for name in TOTAL_SUMS:
            summed[name] += row[name]
        counted = counts.setdefault(key, {})
        for name in ("duration_counts", "ttft_counts", "speed_counts"):
            added = json.loads(row[name])
            counted[name] = [a + b for a, b in zip(counted.get(name, [0] * len(added)), added, strict=True)]
    return tuple(_call_totals(key, sums[key], counts[key]) for key in sorted(sums))


def _call_totals(
    key: tuple[Labels, bool, str], sums: Mapping[str, int], counts: Mapping[str, Sequence[int]]
) -> CallTotals:
    labels, llm, status = key
    return CallTotals(
        labels=labels,
        status=status,
        llm=llm,
        calls=sums["calls"],
        unpriced=sums["unpriced"],
        input_tokens=sums["input_tokens"],
        cache_read_tokens=sums["cache_read_tokens"],
        cache_write_tokens=sums["cache_write_tokens"],
        output_tokens=sums["output_tokens"],
        reasoning_tokens=sums["reasoning_tokens"],
        cost_nanousd=sums["cost_nanousd"],
        durations=HistogramTotal(
            counts=tuple(counts["duration_counts"]), sum_scaled=sums["duration_sum_ns"], scale=10**9
        ),
        ttfts=HistogramTotal(counts=tuple(counts["ttft_counts"]), sum_scaled=sums["ttft_sum_ns"], scale=10**9),
        speeds=HistogramTotal(counts=tuple(counts["speed_counts"]), sum_scaled=sums["speed_sum"], scale=1000),
    )


def _active(connection: Connection, groups: Groups) -> tuple[ActiveCalls, ...]:
    """Calls in flight, and 0 for every other group, so that a gauge falls back instead of vanishing."""
    active: dict[tuple[Labels, bool], int] = dict.fromkeys(groups.by_series.values(), 0)
    labels = [label for label, _ in next(iter(active))[0]] if active else list(Series._fields)
    for row in connection.execute(
        text(
            "SELECT coalesce(batch_job, '') AS batch_job, operation, coalesce(provider, '') AS provider,"
            " coalesce(model, '') AS model, count(*) AS calls FROM starts"
            " WHERE NOT EXISTS (SELECT 1 FROM calls WHERE calls.call_id = starts.call_id)"
            " GROUP BY batch_job, operation, provider, model"
        )
    ).mappings():
        key = (tuple((label, _shown(groups, label, row[label])) for label in labels), bool(row["model"]))
        active[key] = active.get(key, 0) + row["calls"]
    return tuple(ActiveCalls(labels=key[0], llm=key[1], calls=calls) for key, calls in sorted(active.items()))


def _shown(groups: Groups, label: str, value: str) -> str:
    return value if not value or groups.names.get(label, {}).get(value, True) else OTHER


def _self_status(connection: Connection, groups: Groups, folded: bool) -> SelfStatus:
    troubles: Iterable[tuple[str, int]] = (
        (row.trouble, int(row.occurrences))
        for row in connection.execute(
            text("SELECT trouble, sum(occurrences) AS occurrences FROM troubles GROUP BY trouble ORDER BY trouble")
        )
    )
    return SelfStatus(
        calls_folded=state.get_integer(connection, "calls_folded_total"),
        lost_calls=state.get_integer(connection, "lost_calls_total"),
        bad_lines=state.get_integer(connection, "bad_lines_total"),
        troubles=dict(troubles),
        series_capped=groups.capped,
        folded=folded,
    )
