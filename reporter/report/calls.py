"""Calls in every window: counts, sums, and percentiles from merged sketches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from operator import add
from typing import Any

from sqlalchemy import Connection

from reporter.bounds import SPEED_SCALE
from reporter.minutes import KINDS, Minutes
from reporter.report.labels import Group, Groups
from reporter.report.model import CallStats, CallWindow, Quantiles
from reporter.report.windows import by_hour, spans
from reporter.sketch import Merge
from reporter.slo.durations import format_duration
from reporter.tally import SKETCHES, SUMS

PERCENTILES = (50, 95, 99)
_COLUMNS = 1 + len(SUMS) + KINDS


class _Window:
    """What is summed of one group in one window."""

    __slots__ = ("durations", "speeds", "sums", "ttfts")

    def __init__(self) -> None:
        self.sums = [0] * len(SUMS)
        self.durations, self.ttfts, self.speeds = Merge(), Merge(), Merge()

    def merge(self, other: _Window) -> None:
        self.sums = list(map(add, self.sums, other.sums))
        self.durations.merge(other.durations)
        self.ttfts.merge(other.ttfts)
        self.speeds.merge(other.speeds)


_Parts = dict[Group, dict[int, _Window]]


def read_calls(connection: Connection, groups: Groups, end: int, lengths: Sequence[int]) -> tuple[CallStats, ...]:
    """The calls of each group in windows of `lengths` (ascending) that end at minute `end`."""
    parts: _Parts = defaultdict(lambda: defaultdict(_Window))
    cursor: Any = connection.connection.cursor()  # the driver's own: thousands of rows, each read once
    found = spans(end, lengths)
    for span in found:
        if span.resolution > 1:
            cursor.execute(
                f"SELECT series_id, {', '.join(SUMS)}, {', '.join(SKETCHES)} FROM tallies"
                f" WHERE resolution = {span.resolution} AND bucket >= {span.first} AND bucket < {span.end}"
            )
            _add_tallies(cursor, groups, span.window, parts)
    cuts = by_hour(found)
    if cuts:
        cursor.execute(
            f"SELECT bucket, series_id, minutes FROM tally_minutes WHERE bucket IN ({', '.join(map(str, cuts))})"
        )
        for hour, series_id, minutes in cursor:
            _add_minutes(Minutes(minutes, _COLUMNS), cuts[hour], parts[groups.by_series[series_id]])
    stats = []
    for (labels, llm), by_window in sorted(parts.items()):
        running = _Window()
        windows: dict[str, CallWindow] = {}
        shown: CallWindow | None = None
        for index, length in enumerate(lengths):
            if index in by_window or shown is None:
                running.merge(by_window[index])
                shown = _call_window(running)
            windows[format_duration(length)] = shown
        if windows:
            stats.append(CallStats(labels=labels, llm=llm, windows=windows))
    return tuple(stats)


def _add_tallies(rows: Any, groups: Groups, index: int, parts: _Parts) -> None:
    windows: dict[int, _Window] = {}
    for series_id, *sums, durations, ttfts, speeds in rows:
        window = windows.get(series_id)
        if window is None:
            window = windows[series_id] = parts[groups.by_series[series_id]][index]
        window.sums = list(map(add, window.sums, sums))
        if durations is not None:
            window.durations.add(durations)
        if ttfts is not None:
            window.ttfts.add(ttfts)
        if speeds is not None:
            window.speeds.add(speeds)


def _add_minutes(minutes: Minutes, cuts: Sequence[tuple[int, int, int]], windows: dict[int, _Window]) -> None:
    for first, end, index in cuts:
        sums = minutes.sums(first, end)
        if sums is not None:
            window = windows[index]
            window.sums = list(map(add, window.sums, sums))
            for kind, merge in enumerate((window.durations, window.ttfts, window.speeds)):
                merge.add_bins(minutes.bins(kind, first, end))


def _call_window(window: _Window) -> CallWindow:
    sums = dict(zip(SUMS, window.sums, strict=True))
    return CallWindow(
        calls=sums["calls"],
        errors=sums["errors"],
        duration_seconds=_quantiles(window.durations, 10**9),
        ttft_seconds=_quantiles(window.ttfts, 10**9),
        tokens_per_second=_quantiles(window.speeds, SPEED_SCALE),
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
