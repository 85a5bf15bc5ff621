"""Good and bad events minute by minute, and what a budgeting method makes of them.

occurrences        every event counts, in the minute it ended in
timeslices         each slice of time counts once, in its last minute: good if the share of its good events reaches a target
ratio_timeslices   each slice counts once, with the share of its good events as its good part

Slices begin at multiples of their length since 1970 in UTC.  What a slice without any event is, `missing` says; a slice that
an exclusion covers, or in which a job ran and had nothing to do, is none at all.

Source: OpenSLO v1, `budgetingMethod`, https://github.com/OpenSLO/OpenSLO#slo
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from math import lcm
from typing import Literal

Minute = tuple[int, int, int]
"""A minute since 1970, and how many good and bad events ended in it."""
Interval = tuple[int, int]
"""Minutes [first, end)."""
_MOST_SCALE = 2**2048
_FIXED_SCALE = 10**60
"""What ratios are counted in when no common denominator of them is small enough to add up: far finer than any double."""


class Timeline:
    """Events by minute, added up, so that any two minutes have their counts between them at once.

    Counts are integers of `1 / scale`, which is 1 but for ratio time slices.
    """

    __slots__ = ("_bads", "_goods", "_minutes", "scale")

    def __init__(self, minutes: Iterable[Minute], scale: int = 1) -> None:
        """Take minutes in ascending order."""
        rows = list(minutes)
        self.scale = scale
        self._minutes = [minute for minute, _, _ in rows]
        self._goods = [0, *accumulate(good for _, good, _ in rows)]
        self._bads = [0, *accumulate(bad for _, _, bad in rows)]

    def between(self, first: int, end: int) -> tuple[int, int]:
        """Good and bad of minutes [first, end)."""
        low, high = bisect_left(self._minutes, first), bisect_left(self._minutes, end)
        return self._goods[high] - self._goods[low], self._bads[high] - self._bads[low]

    def last_before(self, end: int) -> int | None:
        """The last minute before `end` that has an event."""
        place = bisect_left(self._minutes, end)
        return self._minutes[place - 1] if place else None

    def minutes(self) -> Iterator[Minute]:
        """Every minute that has events, with its own counts."""
        for place, minute in enumerate(self._minutes):
            yield minute, self._goods[place + 1] - self._goods[place], self._bads[place + 1] - self._bads[place]


def merged(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same minutes as intervals that are in order and apart."""
    found: list[Interval] = []
    for first, end in sorted(intervals):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        elif first < end:
            found.append((first, end))
    return tuple(found)


def overlaps(intervals: Sequence[Interval], first: int, end: int) -> bool:
    """Whether any of the merged `intervals` has a minute in [first, end)."""
    place = bisect_left(intervals, (end, end))
    return place > 0 and intervals[place - 1][1] > first


def without(minutes: Iterable[Minute], excluded: Sequence[Interval]) -> Iterator[Minute]:
    """The minutes that are in none of the merged intervals `excluded`."""
    starts = [first for first, _ in excluded]
    for minute in minutes:
        place = bisect_right(starts, minute[0])
        if not place or excluded[place - 1][1] <= minute[0]:
            yield minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Slicing:
    """How a method cuts time into slices, and judges them."""

    length: int  # minutes
    target_ratio: Decimal | None  # None: a slice counts with its ratio
    missing: Literal["exclude", "good", "bad", "hold"]

    def first_of(self, minute: int) -> int:
        """The minute in which the slice begins that `minute` is in."""
        return minute // self.length * self.length

    def timeline(
        self, minutes: Iterable[Minute], end: int, *, excluded: Sequence[Interval], busy: Sequence[Interval]
    ) -> Timeline:
        """The slices that are over at minute `end`, of ascending `minutes` from which exclusions were taken already.

        `busy` are the merged minutes in which a job ran.  Slices without events begin to be missing after the first one with.
        """
        judged = self._judged(minutes, end // self.length * self.length, excluded, busy)
        last = self.length - 1
        if self.target_ratio is not None:
            return Timeline((first + last, int(part), int(1 - part)) for first, part in judged)
        slices = list(judged)
        scale = lcm(*{part.denominator for _, part in slices})
        if scale > _MOST_SCALE:
            scale = _FIXED_SCALE
        goods = [(first, part.numerator * scale // part.denominator) for first, part in slices]
        return Timeline(((first + last, good, scale - good) for first, good in goods), scale)

    def _judged(
        self, minutes: Iterable[Minute], end: int, excluded: Sequence[Interval], busy: Sequence[Interval]
    ) -> Iterator[tuple[int, Fraction]]:
        """Each slice that begins before `end`: its first minute and its good part."""
        expected, held = None, Fraction(0)
        for first, good, bad in _sums(minutes, self.length):
            if first >= end:
                break
            if expected is not None:
                yield from self._fill(expected, first, held, excluded, busy)
            held = Fraction(good, good + bad)
            if self.target_ratio is not None:
                held = Fraction(held >= Fraction(self.target_ratio))
            yield first, held
            expected = first + self.length
        if expected is not None:
            yield from self._fill(expected, end, held, excluded, busy)

    def _fill(
        self, first: int, end: int, held: Fraction, excluded: Sequence[Interval], busy: Sequence[Interval]
    ) -> Iterator[tuple[int, Fraction]]:
        """The slices of [first, end), none of which has an event."""
        if self.missing == "exclude":
            return
        part = {"good": Fraction(1), "bad": Fraction(0), "hold": held}[self.missing]
        for start in range(first, end, self.length):
            if not overlaps(excluded, start, start + self.length) and not overlaps(busy, start, start + self.length):
                yield start, part


def _sums(minutes: Iterable[Minute], length: int) -> Iterator[Minute]:
    """The minutes summed by slice; of slices that have events."""
    at, goods, bads = 0, 0, 0
    for minute, good, bad in minutes:
        first = minute // length * length
        if first != at and goods + bads:
            yield at, goods, bads
            goods = bads = 0
        at = first
        goods, bads = goods + good, bads + bad
    if goods + bads:
        yield at, goods, bads
