"""Where an SLO's good and bad events are counted from: sums of whole days, hours and minutes, or minute by minute.

What counts calls one by one is read from tallies between the few minutes that matter (`Pieces`), for all such SLOs at once.
Time slices, runs, freshness and replays need every minute there is (`Timeline`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, Protocol

from sqlalchemy import Connection, Row, text

from reporter import state
from reporter.fold.run_events import Jobs
from reporter.minutes import minute_verdicts, verdicts
from reporter.report.windows import HOUR, by_hour, cut
from reporter.retention import PRUNED_BEFORE
from reporter.slo.durations import UNITS_NS
from reporter.slo.exclusions import Exclusion, minutes_excluded
from reporter.slo.indicators import CallIndicator
from reporter.slo.run_indicators import Freshness
from reporter.slo.spec import SLO
from reporter.slo.timeline import Interval, Minute, Slicing, Timeline, overlaps, without
from reporter.tally import MINUTE_NS


class Events(Protocol):
    """Good and bad events between two minutes, in `1 / scale`."""

    scale: int

    def between(self, first: int, end: int) -> tuple[int, int]: ...


class Pieces:
    """Counts between chosen minutes only."""

    __slots__ = ("_bads", "_edges", "_goods", "scale")

    def __init__(self, edges: Sequence[int], counts: Sequence[Sequence[int]], excluded: Sequence[Interval]) -> None:
        """Take ascending `edges` and (good, bad) of each piece between two; pieces inside of `excluded` count nothing."""
        kept = [
            (0, 0) if overlaps(excluded, first, end) else part
            for (first, end), part in zip(pairwise(edges), counts, strict=True)
        ]
        self.scale = 1
        self._edges = edges
        self._goods = [0, *accumulate(good for good, _ in kept)]
        self._bads = [0, *accumulate(bad for _, bad in kept)]

    def between(self, first: int, end: int) -> tuple[int, int]:
        """Good and bad of minutes [first, end), both of which are edges."""
        low, high = bisect_left(self._edges, first), bisect_left(self._edges, end)
        assert self._edges[low] == first
        assert self._edges[high] == end
        return self._goods[high] - self._goods[low], self._bads[high] - self._bads[low]


class EventReader:
    """The events of SLOs as of one minute."""

    def __init__(self, connection: Connection, end: int, exclusions: Sequence[Exclusion]) -> None:
        """Nothing at or after minute `end` is seen."""
        self._connection = connection
        self._end = end
        self._exclusions = exclusions
        self._pruned = {resolution: state.get_integer(connection, name) for resolution, name in PRUNED_BEFORE.items()}
        self._rows = {
            (row.name, row.fingerprint): row
            for row in connection.execute(text("SELECT * FROM slos WHERE retired_at_ns IS NULL ORDER BY slo_id"))
        }
        self._jobs: Jobs | None = None

    @property
    def jobs(self) -> Jobs:
        """The batch jobs and their runs."""
        if self._jobs is None:
            self._jobs = Jobs(self._connection, self._end)
        return self._jobs

    def row(self, slo: SLO) -> Row[Any] | None:
        """What the database keeps of an SLO: id, cumulative counters; None before the first fold that knew it."""
        return self._rows.get((slo.name, slo.fingerprint))

    def excluded(self, slo: SLO) -> tuple[Interval, ...]:
        """The minutes an SLO leaves out."""
        return minutes_excluded(self._exclusions, slo.name)

    def pruned_before(self, resolution: int) -> int:
        """The minute before which tallies of a resolution are gone."""
        return self._pruned[resolution]

    def lacking(self, slo: SLO, first: int, end: int) -> int | None:
        """The resolution of which more is needed to count [first, end) than is left; None: all is there."""
        if not isinstance(slo.sli, CallIndicator):
            return HOUR if first < self._pruned[HOUR] else None  # runs are kept as long as hours are
        if is_sliced(slo):
            return 1 if self._slicing(slo).first_of(first) < self._pruned[1] else None
        edges = {first, end}
        edges.update(edge for span in self.excluded(slo) for edge in span if first < edge < end)
        gone = [span.resolution for span in cut(sorted(edges)) if span.first < self._pruned[span.resolution]]
        return min(gone) if gone else None

    def gaps(self, spans: Iterable[tuple[SLO, int, int]]) -> list[tuple[Interval, int]]:
        """What can't be counted between minutes if all those spans are, because each cuts the others; and the resolution that
        was pruned."""
        edges = self._edges(spans)
        return [
            ((edges[span.window], edges[span.window + 1]), span.resolution)
            for span in cut(edges)
            if span.first < self._pruned[span.resolution]
        ]

    def tallied(self, spans: Iterable[tuple[SLO, int, int]]) -> dict[str, Pieces]:
        """Events between the given minutes, by SLO; for those over calls that are counted one by one."""
        spans = list(spans)
        edges = self._edges(spans)
        counts = count_tallied(self._connection, edges)
        nothing = [[0, 0]] * max(0, len(edges) - 1)
        found = {}
        for slo in {slo.name: slo for slo, _, _ in spans}.values():
            row = self.row(slo)
            mine = nothing if row is None else counts.get(row.slo_id, nothing)
            found[slo.name] = Pieces(edges, mine, self.excluded(slo))
        return found

    def _edges(self, spans: Iterable[tuple[SLO, int, int]]) -> list[int]:
        """Where time is cut, so that every span and what is excluded from it is made of whole pieces."""
        edges: set[int] = set()
        for slo, first, end in spans:
            edges.update((first, end))
            edges.update(edge for span in self.excluded(slo) for edge in span if first < edge < end)
        return sorted(edges)

    def timeline(self, slo: SLO, first: int, end: int) -> Timeline:
        """What counts in minutes [first, end), minute by minute: events, or the time slices that are over by `end`."""
        excluded = self.excluded(slo)
        if not is_sliced(slo):
            return Timeline(without(self._minutes(slo, first, end), excluded))
        slicing = self._slicing(slo)
        last = None if slo.missing == "exclude" else self.last_event(slo, first)
        first = slicing.first_of(first if last is None else last)
        busy = () if slo.missing == "exclude" else self.jobs.busy(slo, first, end)
        minutes = without(self._minutes(slo, first, end), excluded)
        return slicing.timeline(minutes, end, excluded=excluded, busy=busy)

    def _minutes(self, slo: SLO, first: int, end: int) -> Iterable[Minute]:
        if isinstance(slo.sli, Freshness):
            return self.jobs.fresh(slo, slo.sli, first, end)
        if not isinstance(slo.sli, CallIndicator):
            return self.jobs.ended(slo, first, end)
        row = self.row(slo)
        return () if row is None else read_minutes(self._connection, row.slo_id, first, end)

    def last_event(self, slo: SLO, before: int) -> int | None:
        """The last minute before one that has an event, as far back as they are kept; None if none has."""
        if isinstance(slo.sli, CallIndicator):
            floor = self._pruned[1]
        else:
            began = self.jobs.first_minute(slo)
            floor = before if began is None else began
        back, step = before, UNITS_NS["d"] // MINUTE_NS
        while back > floor:
            back = max(before - step, floor)
            events = without(self._minutes(slo, back, before), self.excluded(slo))
            last = max((minute for minute, _, _ in events), default=None)
            if last is not None:
                return last
            step *= 4
        return None

    def _slicing(self, slo: SLO) -> Slicing:
        target = slo.slice_target_ratio if slo.method == "timeslices" else None
        return Slicing(length=slo.slice_ns // MINUTE_NS, target_ratio=target, missing=slo.missing)


def is_sliced(slo: SLO) -> bool:
    """Whether time slices count, and not single events."""
    return slo.slice_ns > 0


def count_tallied(connection: Connection, edges: Sequence[int]) -> dict[int, list[list[int]]]:
    """[good, bad] of each piece between two ascending edges, by SLO id; SLOs without any event are not there."""
    pieces: dict[int, list[list[int]]] = defaultdict(lambda: [[0, 0] for _ in edges[1:]])
    found = cut(edges)
    for span in found:
        if span.resolution > 1:
            for slo_id, good, bad in connection.exec_driver_sql(
                "SELECT slo_id, CAST(sum(good) AS BIGINT), CAST(sum(bad) AS BIGINT) FROM slo_tallies"
                f" WHERE resolution = {span.resolution} AND bucket >= {span.first} AND bucket < {span.end}"
                " GROUP BY slo_id"
            ):
                part = pieces[slo_id][span.window]
                part[0] += good
                part[1] += bad
    cuts = by_hour(found)
    if cuts:
        for hour, slo_id, minutes in connection.exec_driver_sql(
            f"SELECT bucket, slo_id, minutes FROM slo_minutes WHERE bucket IN ({', '.join(map(str, cuts))})"
        ):
            for first, last, piece in cuts[hour]:
                good, bad = verdicts(minutes, first, last)
                part = pieces[slo_id][piece]
                part[0] += good
                part[1] += bad
    return pieces


def read_minutes(connection: Connection, slo_id: int, first: int, end: int) -> Iterator[Minute]:
    """Every minute of [first, end) in which calls were good or bad, in order."""
    for row in connection.execute(
        text(
            "SELECT bucket, minutes FROM slo_minutes WHERE slo_id = :id AND bucket >= :first AND bucket < :end ORDER BY bucket"
        ),
        {"id": slo_id, "first": first // HOUR * HOUR, "end": end},
    ):
        for minute, good, bad in minute_verdicts(row.minutes):
            if first <= row.bucket + minute < end:
                yield row.bucket + minute, good, bad
