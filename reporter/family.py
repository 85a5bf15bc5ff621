"""What is exposed, before it is text: metrics, their samples, and families of both.

An `int` value counts in `1 / metric.scale` of the metric's unit (nano-dollars for scale 10**9), so that sums stay exact until
they are rendered; a `float` is in the unit itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Labels = tuple[tuple[str, str], ...]
"""A sample's labels, in the order they are exposed; an absent label is left out, never ""."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric's definition: everything that is said about it once."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()  # its own; the report's labels come before them where `by_series`
    by_series: bool = False
    scale: int = 1  # a power of ten
    bounds: tuple[int, ...] = ()  # a histogram's, in 1 / scale of the unit, without +Inf


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a counter or a gauge."""

    labels: Labels
    value: int | float


@dataclass(frozen=True, slots=True)
class Buckets:
    """One histogram: how many observations lie at or below each bound, all of them last (+Inf), and their sum."""

    labels: Labels
    cumulative: tuple[int, ...]
    sum: int

    @property
    def count(self) -> int:
        return self.cumulative[-1]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric and all its samples: `Buckets` where it is a histogram, else `Sample`."""

    metric: Metric
    samples: tuple[Sample | Buckets, ...]

    @property
    def series(self) -> int:
        """How many lines, and so time series, this family is."""
        if self.metric.type == "histogram":
            return len(self.samples) * (len(self.metric.bounds) + 3)
        return len(self.samples)


def decimal(value: int, scale: int) -> str:
    """`value / scale` as exact decimal text without trailing zeros: (1234567890, 10**9) is "1.23456789".

    `scale` is a power of ten.  No float is made on the way, so a larger integer never reads as a smaller number.
    """
    if scale == 1:
        return str(value)
    whole, part = divmod(abs(value), scale)
    sign = "-" if value < 0 else ""
    if not part:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{str(part + scale)[1:].rstrip('0')}"
