"""What happened in each minute of one hour of one series, packed: the detail that windows cut their left edges from.

    sums of each minute         columns `calls`, `errors`, … of the minutes that had calls
    bins of each minute         for durations, times to first token and speeds: (minute, bin) and how often

A packed column is one letter and little-endian integers, as narrow as its largest value allows; `0` and `1` stand for a column
of that number alone.  An hour of a series with 23 calls takes about 400 bytes.  The SLOs' minutes are simpler: 60 counts of
good calls and 60 of bad ones, 32 bits each, added as one integer.

Pure; the same calls give the same bytes, whatever order they came in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import add
from struct import Struct

from reporter.sketch import pack, unpack

KINDS = 3
"""Durations, times to first token, speeds: what is measured of a call, in this order."""
BIN_BITS = 12
"""A (minute, bin) is the number `minute << BIN_BITS | bin`."""
_BIN = (1 << BIN_BITS) - 1
_HEAD = Struct("<B3I")  # minutes; distinct (minute, bin) of each kind
_WIDTHS = {"B": 1, "H": 2, "I": 4, "q": 8}


@dataclass(frozen=True, slots=True)
class Minutes:
    """One hour: sums by minute 0–59, and counts by (minute, bin) of each kind."""

    sums: Mapping[int, Sequence[int]]
    bins: Sequence[Mapping[int, int]]

    def plus(self, other: Minutes, sign: int = 1) -> Minutes:
        """The two together, or with −1 the first without the second; minutes and bins that hold nothing are left out."""
        sums = dict(self.sums)
        for minute, more in other.sums.items():
            had = sums.get(minute)
            signed = more if sign == 1 else [-number for number in more]
            sums[minute] = signed if had is None else list(map(add, had, signed))
        bins = []
        for mine, theirs in zip(self.bins, other.bins, strict=True):
            counts = dict(mine)
            for key, count in theirs.items():
                counts[key] = counts.get(key, 0) + sign * count
            bins.append({key: count for key, count in counts.items() if count > 0} if sign < 0 else counts)
        if sign < 0:
            sums = {minute: numbers for minute, numbers in sums.items() if any(numbers)}
        return Minutes(sums, bins)

    def pack(self) -> bytes:
        """As bytes."""
        minutes = sorted(self.sums)
        columns = zip(*(self.sums[minute] for minute in minutes), strict=True)
        parts = [_HEAD.pack(len(minutes), *map(len, self.bins)), bytes(minutes), *map(_pack, columns)]
        for counts in self.bins:
            if counts:
                keys = sorted(counts)
                parts += (pack("I", keys), _pack([counts[key] for key in keys]))
        return b"".join(parts)


def of_calls(minutes: Sequence[int], sums: Sequence[Sequence[int]], keys: Sequence[Sequence[int]]) -> Minutes:
    """The minutes of calls given by column: the minute of each, what each adds to every sum, (minute, bin) of each kind."""
    if len(set(minutes)) == len(minutes):
        by_minute: dict[int, Sequence[int]] = dict(zip(minutes, zip(*sums, strict=True), strict=True))
    else:
        by_minute = {}
        for minute, more in zip(minutes, zip(*sums, strict=True), strict=True):
            had = by_minute.get(minute)
            by_minute[minute] = more if had is None else list(map(add, had, more))
    return Minutes(by_minute, [Counter(of_kind) if of_kind else {} for of_kind in keys])


def unpack_minutes(packed: bytes, sums: int) -> Minutes:
    """What `Minutes.pack` packed; `sums` is how many numbers a minute has."""
    cut = Cut(packed, sums)
    columns = [column if column is not None else [0] * len(cut.minutes) for column in cut.columns]
    return Minutes(
        dict(zip(cut.minutes, zip(*columns, strict=True), strict=True)),
        [dict(zip(keys, counts or [1] * len(keys), strict=True)) for keys, counts in cut.bins],
    )


class Cut:
    """Packed minutes, opened for summing parts of the hour."""

    __slots__ = ("bins", "columns", "minutes")

    def __init__(self, packed: bytes, sums: int) -> None:
        size, *entries = _HEAD.unpack_from(packed)
        at = _HEAD.size + size
        self.minutes = packed[_HEAD.size : at]
        self.columns: list[Sequence[int] | None] = []  # None: all 0
        for _ in range(sums if size else 0):
            column, at = _unpack(packed, at, size)
            self.columns.append(column)
        self.bins: list[tuple[Sequence[int], Sequence[int] | None]] = []  # keys, and counts unless all are 1
        for entry in entries:
            counts: Sequence[int] | None = None
            keys: Sequence[int] = ()
            if entry:
                keys = unpack("I", packed[at : at + 4 * entry])
                at += 4 * entry
                ones = packed[at] == 49  # b"1"
                counts, at = _unpack(packed, at, entry)
                counts = None if ones else counts
            self.bins.append((keys, counts))

    def sums(self, first: int, end: int) -> list[int] | None:
        """The sums of minutes [first, end); None when nothing happened."""
        low, high = bisect_left(self.minutes, first), bisect_left(self.minutes, end)
        if low == high:
            return None
        return [0 if column is None else sum(column[low:high]) for column in self.columns]

    def values(self, kind: int, first: int, end: int) -> list[int]:
        """The bins of minutes [first, end), each as often as it was hit."""
        keys, counts = self.bins[kind]
        low, high = bisect_left(keys, first << BIN_BITS), bisect_left(keys, end << BIN_BITS)
        if counts is None:
            return [key & _BIN for key in keys[low:high]]
        return [key & _BIN for key, count in zip(keys[low:high], counts[low:high], strict=True) for _ in range(count)]


def _pack(values: Sequence[int]) -> bytes:
    most, least = max(values), min(values)
    if most == least and (most == 0 or most == 1):
        return b"1" if most else b"0"
    code = "q" if least < 0 or most >= 2**32 else "B" if most < 2**8 else "H" if most < 2**16 else "I"
    return code.encode() + pack(code, values)


def _unpack(packed: bytes, at: int, size: int) -> tuple[Sequence[int] | None, int]:
    code = chr(packed[at])
    if code in "01":
        return ([1] * size if code == "1" else None), at + 1
    end = at + 1 + _WIDTHS[code] * size
    return unpack(code, packed[at + 1 : end]), end


# ── good and bad calls of an SLO ──

_LANES = 120  # 60 minutes of good calls, then 60 of bad ones


def pack_verdicts(good: Mapping[int, int], bad: Mapping[int, int], stored: bytes | None = None, sign: int = 1) -> bytes:
    """Counts by minute 0–59, added to `stored` or with −1 taken from it."""
    lanes = [0] * _LANES
    for minute, count in good.items():
        lanes[minute] = count
    for minute, count in bad.items():
        lanes[60 + minute] = count
    more = int.from_bytes(pack("I", lanes), "little")
    had = 0 if stored is None else int.from_bytes(stored, "little")
    return max(0, had + sign * more).to_bytes(_LANES * 4, "little")


def verdicts(packed: bytes, first: int, end: int) -> tuple[int, int]:
    """(good, bad) of minutes [first, end)."""
    lanes = unpack("I", packed)
    return sum(lanes[first:end]), sum(lanes[60 + first : 60 + end])
