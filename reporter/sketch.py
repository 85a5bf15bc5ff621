"""Latency sketches: mergeable counts in exponential bins, from which percentiles come within 1 %.

A value v ≥ 1 falls into bin ⌈log_γ v⌉ with γ = 1.02, and every bin answers with 2γⁱ/(γ+1), which is off by at most
(γ−1)/(γ+1) = 0.99 % of any value in it.  Merging adds counts, so a sketch of a month is the sum of its days.

The rank rule is nearest rank: the q-th percentile of n values is the ⌈q·n/100⌉-th smallest.

A stored sketch is bytes: `L` and one unsigned 16-bit bin a value while that is shorter, else `D`, the first bin, and one
32-bit count a bin.  Dense counts are added as one big integer, which is why a month of them costs no more than an hour's.

Source: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch", https://arxiv.org/abs/1908.10693
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import ceil, log

GAMMA = 1.02
_PER_LOG = 1 / log(GAMMA)
_LIST, _DENSE = b"L", b"D"
_LANE_BITS = 32  # a bin may count 4.2e9 values in one window


def bin_of(value: int) -> int:
    """The bin of a value ≥ 0; 0 and 1 share the first."""
    return ceil(log(value) * _PER_LOG) if value > 1 else 0


def estimate(index: int) -> float:
    """The value that stands for all values of a bin."""
    return float(2 * GAMMA**index / (GAMMA + 1))


def encode(counts: Mapping[int, int], stored: bytes | None = None) -> bytes | None:
    """The sketch of `counts` by bin, added to a `stored` one; a negative count takes back.  None if nothing is left."""
    summed = decode(stored) if stored is not None else Counter[int]()
    for index, count in counts.items():
        summed[index] += count
    summed = +summed
    if not summed:
        return None
    low, high, total = min(summed), max(summed), summed.total()
    if total <= 2 * (high - low + 1) + 1:
        return _LIST + array("H", sorted(summed.elements())).tobytes()
    lanes = array("I", bytes(4 * (high - low + 1)))
    for index, count in summed.items():
        lanes[index - low] = count
    return _DENSE + low.to_bytes(2, "little") + lanes.tobytes()


def decode(stored: bytes) -> Counter[int]:
    """Counts by bin of a stored sketch."""
    if stored[:1] == _LIST:
        return Counter(array("H", stored[1:]))
    low = int.from_bytes(stored[1:3], "little")
    return Counter({low + at: count for at, count in enumerate(array("I", stored[3:])) if count})


class Merge:
    """A running sum of stored sketches."""

    __slots__ = ("_dense", "_lists")

    def __init__(self) -> None:
        self._dense = 0
        self._lists: list[bytes] = []

    def add(self, stored: bytes) -> None:
        """Add one stored sketch."""
        if stored[0] == 76:  # b"L"
            self._lists.append(stored[1:])
        else:
            self._dense += int.from_bytes(stored[3:], "little") << (int.from_bytes(stored[1:3], "little") * _LANE_BITS)

    def merge(self, other: Merge) -> None:
        """Add another running sum."""
        self._lists += other._lists
        self._dense += other._dense

    def percentiles(self, ranks: Sequence[int]) -> list[float] | None:
        """The estimated values at the percentiles `ranks` (whole numbers in 1–100); None of an empty sum."""
        if self._lists:
            counted = Counter(array("H", b"".join(self._lists)))
            lanes = array("I", bytes(4 * (max(counted) + 1)))
            for index, count in counted.items():
                lanes[index] = count
            self._dense += int.from_bytes(lanes.tobytes(), "little")
            self._lists = []
        if not self._dense:
            return None
        skipped = ((self._dense & -self._dense).bit_length() - 1) // _LANE_BITS
        dense = self._dense >> (skipped * _LANE_BITS)
        size = -(-dense.bit_length() // _LANE_BITS)
        cumulative = list(accumulate(array("I", dense.to_bytes(size * 4, "little"))))
        total = cumulative[-1]
        return [estimate(skipped + bisect_left(cumulative, -(-rank * total // 100))) for rank in ranks]
