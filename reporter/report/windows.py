"""Windows, cut into few buckets that cover them exactly.

Every window ends at T, so they lie inside one another: the part of each that the next shorter one lacks is read once, from
days where whole days fit, then hours, then minutes, and added up from the shortest to the longest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from reporter.tally import MINUTE_NS, RESOLUTIONS

HOUR = 60


def round_up(as_of_ns: int) -> int:
    """`as_of` rounded up to the whole minute, in minutes since 1970."""
    return -(-as_of_ns // MINUTE_NS)


class Span(NamedTuple):
    """Buckets of one resolution, [first, end) in minutes, and the shortest window or the piece they belong to (an index)."""

    resolution: int
    first: int
    end: int
    window: int


def spans(end_minute: int, lengths_ns: Sequence[int]) -> list[Span]:
    """The buckets of windows that end at `end_minute`; `lengths_ns` ascending.  A left edge is cut to the minute."""
    edges = [end_minute, *(left_edge(end_minute, length_ns) for length_ns in lengths_ns)]
    return [span for window, (right, left) in enumerate(pairwise(edges)) for span in _between(left, right, window)]


def left_edge(end_minute: int, length_ns: int) -> int:
    """The minute in which a window begins that ends at `end_minute`."""
    return (end_minute * MINUTE_NS - length_ns) // MINUTE_NS


def cut(edges: Sequence[int]) -> list[Span]:
    """The buckets of the pieces between ascending minutes; `Span.window` counts the pieces."""
    return [span for piece, (left, right) in enumerate(pairwise(edges)) for span in _between(left, right, piece)]


def _between(left: int, right: int, window: int) -> list[Span]:
    return [Span(*part, window) for part in split(left, right, len(RESOLUTIONS) - 1)]


def split(left: int, right: int, level: int) -> list[tuple[int, int, int]]:
    """Minutes [left, right) as (resolution, first, end), in order of time, none coarser than that level of RESOLUTIONS."""
    if left >= right:
        return []
    size = RESOLUTIONS[level]
    first, end = -(-left // size) * size, right // size * size
    if level == 0:
        return [(size, left, right)]
    if first >= end:
        return split(left, right, level - 1)
    return [*split(left, first, level - 1), (size, first, end), *split(end, right, level - 1)]


def by_hour(found: Sequence[Span]) -> dict[int, list[tuple[int, int, int]]]:
    """The spans of single minutes, by the hour that has them: (first, end) within the hour, and the window."""
    cuts: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for span in found:
        if span.resolution == 1:
            for hour in range(span.first // HOUR * HOUR, span.end, HOUR):
                cuts[hour].append((max(span.first - hour, 0), min(span.end - hour, HOUR), span.window))
    return cuts
