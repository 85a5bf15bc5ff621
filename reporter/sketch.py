"""Latency sketches: mergeable counts in exponential bins, from which percentiles come within 1 %.

A value v ≥ 1 falls into bin 1 + ⌈log_γ v⌉ with γ = 1.02, and bin i answers with 2γⁱ⁻¹/(γ+1), which is off by at most
(γ−1)/(γ+1) = 0.99 % of any value in it.  Bin 0 is kept for "no value".  Merging adds counts, so a sketch of a month is the
sum of its days.

The rank rule is nearest rank: the q-th percentile of n values is the ⌈q·n/100⌉-th smallest.

A stored sketch is bytes, little-endian: `L` and one unsigned 16-bit bin a value while there are few, else `D`, the first bin,
and one 32-bit count a bin.  Dense counts are added as one big integer, which is why a month of them costs no more than an
hour's.

Source: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch", https://arxiv.org/abs/1908.10693
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import ceil, log

GAMMA = 1.02
_PER_LOG = 1 / log(GAMMA)
_LISTED = 64  # values; reading a list costs 50 ns a value, reading counts 1 µs, whatever they count
_LANE_BITS = 32  # a bin may count 4.2e9 values in one window
_LIST, _DENSE = 76, 68  # b"L", b"D"


def bins_of(values: Iterable[int | None]) -> list[int]:
    """The bin of each value ≥ 0, at least 1; 0 and 1 share the first, and 0 is the bin of no value."""
    return [0 if value is None else 1 + ceil(log(value) * _PER_LOG) if value > 1 else 1 for value in values]


def estimate(index: int) -> float:
    """The value that stands for all values of a bin."""
    return float(2 * GAMMA ** (index - 1) / (GAMMA + 1))


def pack(code: str, values: Iterable[int]) -> bytes:
    """Integers as little-endian bytes; `code` is the `array` type."""
    packed = array(code, values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack(code: str, stored: bytes) -> array[int]:
    """What `pack` packed."""
    values = array(code, stored)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def added(stored: bytes | None, bins: Sequence[int]) -> bytes | None:
    """`stored` with one more value in each of `bins`; None if that is none at all."""
    if not bins:
        return stored
    if stored is None:
        return b"L" + pack("H", bins) if len(bins) <= _LISTED else _dense(*_lanes(bins))
    if stored[0] == _LIST:
        if len(stored) // 2 + len(bins) <= _LISTED:
            return stored + pack("H", bins)
        return _dense(*_lanes([*unpack("H", stored[1:]), *bins]))
    return _dense(*_sum(*_read_dense(stored), *_lanes(bins)))


def taken(stored: bytes | None, bins: Sequence[int]) -> bytes | None:
    """`stored` without one value in each of `bins`: undoes `added`; None if nothing is left."""
    if stored is None or not bins:
        return stored
    left = +Counter(decode(stored) - Counter(bins))
    return added(None, list(left.elements()))


def decode(stored: bytes) -> Counter[int]:
    """Counts by bin of a stored sketch."""
    if stored[0] == _LIST:
        return Counter(unpack("H", stored[1:]))
    low = int.from_bytes(stored[1:3], "little")
    return Counter({low + at: count for at, count in enumerate(unpack("I", stored[3:])) if count})


def _lanes(bins: Iterable[int]) -> tuple[int, int]:
    """The first bin, and the counts from there on as one integer of 32 bits a bin."""
    counted = Counter(bins)
    low = min(counted)
    lanes = [0] * (max(counted) - low + 1)
    for index, count in counted.items():
        lanes[index - low] = count
    return low, int.from_bytes(pack("I", lanes), "little")


def _sum(low: int, counts: int, other_low: int, other_counts: int) -> tuple[int, int]:
    """Two runs of counts, each from a first bin on, added."""
    if other_low < low:
        return other_low, (counts << ((low - other_low) * _LANE_BITS)) + other_counts
    return low, counts + (other_counts << ((other_low - low) * _LANE_BITS))


def _dense(low: int, counts: int) -> bytes:
    return b"D" + low.to_bytes(2, "little") + counts.to_bytes(-(-counts.bit_length() // _LANE_BITS) * 4, "little")


def _read_dense(stored: bytes) -> tuple[int, int]:
    return int.from_bytes(stored[1:3], "little"), int.from_bytes(stored[3:], "little")


class Merge:
    """A running sum of stored sketches."""

    __slots__ = ("_bins", "_counts", "_low")

    def __init__(self) -> None:
        self._low = self._counts = 0  # counts from a first bin on, as one integer
        self._bins: list[bytes] = []  # single values, not counted yet

    def add(self, stored: bytes) -> None:
        """Add one stored sketch."""
        if stored[0] == _LIST:
            self._bins.append(stored[1:])
        else:
            self._add(*_read_dense(stored))

    def add_bins(self, bins: Sequence[int]) -> None:
        """Add one value in each of `bins`."""
        if bins:
            self._bins.append(pack("H", bins))

    def merge(self, other: Merge) -> None:
        """Add another running sum."""
        self._bins += other._bins
        if other._counts:
            self._add(other._low, other._counts)

    def _add(self, low: int, counts: int) -> None:
        self._low, self._counts = _sum(self._low, self._counts, low, counts) if self._counts else (low, counts)

    def percentiles(self, ranks: Sequence[int]) -> list[float] | None:
        """The estimated values at the percentiles `ranks` (whole numbers in 1–100); None of an empty sum."""
        if self._bins:
            self._add(*_lanes(unpack("H", b"".join(self._bins))))
            self._bins = []
        if not self._counts:
            return None
        size = -(-self._counts.bit_length() // _LANE_BITS) * 4
        cumulative = list(accumulate(unpack("I", self._counts.to_bytes(size, "little"))))
        return [estimate(self._low + bisect_left(cumulative, -(-rank * cumulative[-1] // 100))) for rank in ranks]
