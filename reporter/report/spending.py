"""Money by series, from the tallies: what was spent in windows that end at one minute, and when a sum was reached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import add
from typing import Any

from sqlalchemy import Connection

from reporter import state
from reporter.minutes import KINDS, Minutes
from reporter.report.windows import HOUR, by_hour, spans, split
from reporter.retention import PRUNED_BEFORE
from reporter.tally import MINUTE_NS, RESOLUTIONS, SUMS

_COLUMNS = 1 + len(SUMS) + KINDS
_TOLD = ("calls", "unpriced", "cost_nanousd")
_PLACES = tuple(SUMS.index(name) for name in _TOLD)


@dataclass(frozen=True, slots=True)
class Spent:
    """What calls cost: `nanousd` is that of those with a price."""

    nanousd: int
    unpriced_calls: int
    known: bool
    """False: calls were made that must have a price, and not one has."""


class Spending:
    """What each series spent in windows that end at minute `end`, and how far back tallies reach."""

    def __init__(self, connection: Connection, end: int, lengths_ns: Sequence[int]) -> None:
        """Read it; windows that can't be put together exactly any more are left out."""
        self._connection = connection
        self._pruned = {size: state.get_integer(connection, name) for size, name in PRUNED_BEFORE.items()}
        self.end = end
        self.lost: dict[int, int] = {}
        """The windows that are left out, and the finest resolution they would need that is gone."""
        reachable: list[int] = []
        for length in sorted(set(lengths_ns)):
            own = [span for span in spans(end, [*reachable, length]) if span.window == len(reachable)]
            gone = [span.resolution for span in own if span.first < self._pruned[span.resolution]]
            if gone:
                self.lost[length] = min(gone)
            else:
                reachable.append(length)
        self.lengths_ns = tuple(reachable)
        self._parts = _parts(connection, end, self.lengths_ns)

    def pruned_before_ns(self, resolution: int) -> int:
        """Before which moment tallies of a resolution are gone."""
        return self._pruned[resolution] * MINUTE_NS

    def of(self, series: Mapping[int, bool]) -> dict[int, Spent]:
        """What some series spent in every window, by its length; of each series, whether its calls name a model."""
        found = {}
        calls = unpriced = nanousd = 0
        for length, part in zip(self.lengths_ns, self._parts, strict=True):
            for series_id, sums in part.items():
                names_model = series.get(series_id)
                if names_model is not None:
                    calls += sums[0] if names_model else 0
                    unpriced += sums[1]
                    nanousd += sums[2]
            found[length] = Spent(nanousd, unpriced, known=bool(nanousd or not unpriced or calls > unpriced))
        return found

    @cached_property
    def known_ns(self) -> int:
        """How long before `end` the hour of the first call is that tallies tell of; 0 if none is."""
        days, hours = (_first_bucket(self._connection, resolution) for resolution in (1440, HOUR))
        if days is None or hours is None:
            return 0
        first = hours if days == hours // 1440 * 1440 else days  # else hours were pruned
        return max(0, self.end - first) * MINUTE_NS

    def reached_ns(self, series: Container[int], start: int, nanousd: int) -> int:
        """The end of the minute since `start` with which some series had spent so much, as they have by `end`.

        Of the hour or day, where tallies of the minutes or hours are gone.
        """
        return self._reached(series, start, self.end, len(RESOLUTIONS) - 1, nanousd) * MINUTE_NS

    def _reached(self, series: Container[int], left: int, right: int, level: int, nanousd: int) -> int:
        for resolution, first, end in split(left, right, level):
            if first < self._pruned[resolution]:
                break
            for bucket, cost in _by_bucket(self._connection, series, resolution, first, end):
                if cost < nanousd:
                    nanousd -= cost
                elif resolution == 1:
                    return bucket + 1
                else:
                    finer = RESOLUTIONS.index(resolution) - 1
                    return self._reached(series, bucket, bucket + resolution, finer, nanousd)
        return right


def _first_bucket(connection: Connection, resolution: int) -> int | None:
    found: int | None = connection.exec_driver_sql(
        f"SELECT min(bucket) FROM tallies WHERE resolution = {resolution}"
    ).scalar()
    return found


def _parts(connection: Connection, end: int, lengths_ns: Sequence[int]) -> list[dict[int, list[int]]]:
    """By window, what it has and the next shorter one has not: the sums of _TOLD, by series."""
    parts: list[dict[int, list[int]]] = [defaultdict(lambda: [0] * len(_TOLD)) for _ in lengths_ns]
    found = spans(end, lengths_ns)
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in _TOLD)
    for span in found:
        if span.resolution > 1:
            for series_id, *more in connection.exec_driver_sql(
                f"SELECT series_id, {sums} FROM tallies WHERE resolution = {span.resolution}"
                f" AND bucket >= {span.first} AND bucket < {span.end} GROUP BY series_id"
            ):
                parts[span.window][series_id] = list(map(add, parts[span.window][series_id], more))
    cuts = by_hour(found)
    if cuts:
        for hour, series_id, packed in _packed_hours(connection, cuts):
            minutes = Minutes(packed, _COLUMNS)
            for first, last, window in cuts[hour]:
                told = minutes.sums(first, last)
                if told is not None:
                    part = parts[window]
                    part[series_id] = list(map(add, part[series_id], (told[place] for place in _PLACES)))
    return parts


def _by_bucket(
    connection: Connection, series: Container[int], resolution: int, first: int, end: int
) -> Iterator[tuple[int, int]]:
    """What some series spent in each bucket of [first, end), in order of time."""
    costs: dict[int, int] = defaultdict(int)
    if resolution > 1:
        for bucket, series_id, cost in connection.exec_driver_sql(
            f"SELECT bucket, series_id, cost_nanousd FROM tallies WHERE resolution = {resolution}"
            f" AND bucket >= {first} AND bucket < {end}"
        ):
            if series_id in series:
                costs[bucket] += cost
    else:
        hours = range(first // HOUR * HOUR, end, HOUR)
        for hour, series_id, packed in _packed_hours(connection, hours):
            if series_id in series:
                minutes = Minutes(packed, _COLUMNS)
                for minute in sorted(set(minutes.minutes)):
                    told = minutes.sums(minute, minute + 1)
                    if told is not None and first <= hour + minute < end:
                        costs[hour + minute] += told[SUMS.index("cost_nanousd")]
    yield from sorted(costs.items())


def _packed_hours(connection: Connection, hours: Iterable[int]) -> Iterable[Any]:
    """(hour, series_id, packed minutes) of each."""
    return connection.exec_driver_sql(
        f"SELECT bucket, series_id, minutes FROM tally_minutes WHERE bucket IN ({', '.join(map(str, hours))})"
    )
