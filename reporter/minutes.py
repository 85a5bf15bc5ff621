"""What happened in each minute of one hour of one series, packed: the detail that windows cut their left edges from.

    records     columns: the minute, what adds to each sum, and the bin of each thing measured (0: not measured)
    counts      for each thing measured: (minute, bin), and how often; only in busy hours

A record is one call while an hour has few of them, and one minute once it has many; then the bins of its calls move to the
counts.  So an hour of a series takes about 20 bytes a call, and no more than its minutes and bins allow.

A packed column is one letter and little-endian integers, as narrow as its largest value allows; `0` and `1` stand for a column
of that number alone.  The SLOs' minutes are simpler: 60 counts of good calls and 60 of bad ones, 32 bits each, added as one
integer.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from operator import add, itemgetter
from struct import Struct
from sys import byteorder

from reporter.sketch import pack, unpack

KINDS = 3
"""Durations, times to first token, speeds: what is measured of a call, in this order."""
MOST_RECORDS = 120
"""More than these in an hour are summed by minute."""
_BIN_BITS = 12
_BIN = (1 << _BIN_BITS) - 1  # a (minute, bin) is the number `minute << _BIN_BITS | bin`
_HEAD = Struct("<4I")  # records; (minute, bin) of each kind
_WIDTHS = {"B": 1, "H": 2, "I": 4, "q": 8}
_LETTERS = {code: code.encode() for code in _WIDTHS}

Columns = Sequence[Sequence[int]]
"""Minutes 0–59 in order, then a column for each sum, then a column of bins for each kind."""
Counts = Sequence[Mapping[int, int]]
_NO_COUNTS: tuple[dict[int, int], ...] = ({}, {}, {})


def pack_minutes(columns: Columns, counts: Counts = _NO_COUNTS) -> bytes:
    """Records, and counts by (minute, bin) of each kind, as bytes."""
    if len(columns[0]) > MOST_RECORDS:
        columns, counts = _by_minute(columns, counts)
    parts = [_HEAD.pack(len(columns[0]), *map(len, counts))]
    for column in columns:
        _pack(column, parts)
    for of_kind in counts:
        if of_kind:
            keys = sorted(of_kind)
            _pack(keys, parts)
            _pack([of_kind[key] for key in keys], parts)
    return b"".join(parts)


def add_minutes(packed: bytes, columns: Columns) -> bytes:
    """More records added to packed minutes."""
    had, counts = unpack_minutes(packed, len(columns))
    if not had[0] or had[0][-1] <= columns[0][0]:
        return pack_minutes([[*mine, *theirs] for mine, theirs in zip(had, columns, strict=True)], counts)
    records = sorted([*zip(*had, strict=True), *zip(*columns, strict=True)], key=itemgetter(0))
    return pack_minutes(list(zip(*records, strict=True)), counts)


def take_minutes(packed: bytes, columns: Columns) -> bytes:
    """Packed minutes without records that are in them: undoes `add_minutes`."""
    had, counts = _by_minute(*unpack_minutes(packed, len(columns)))
    gone, gone_counts = _by_minute(columns, _NO_COUNTS)
    sums = dict(zip(had[0], zip(*had[1:], strict=True), strict=True))
    for minute, *less in zip(*gone, strict=True):
        if minute in sums:
            sums[minute] = tuple(a - b for a, b in zip(sums[minute], less, strict=True))
    left = [(minute, *numbers) for minute, numbers in sums.items() if any(numbers)]
    columns = list(zip(*left, strict=True)) if left else [()] * len(columns)
    return pack_minutes(columns, [Counter(a) - Counter(b) for a, b in zip(counts, gone_counts, strict=True)])


def _by_minute(columns: Columns, counts: Counts) -> tuple[list[Sequence[int]], list[dict[int, int]]]:
    """The records summed by minute, their bins moved to the counts."""
    minutes, *sums = columns[:-KINDS]
    by_minute: dict[int, Sequence[int]] = {}
    for minute, more in zip(minutes, zip(*sums, strict=True), strict=True):
        had = by_minute.get(minute)
        by_minute[minute] = more if had is None else list(map(add, had, more))
    moved: list[dict[int, int]] = []
    for of_kind, bins in zip(counts, columns[-KINDS:], strict=True):
        keys = Counter(minute << _BIN_BITS | index for minute, index in zip(minutes, bins, strict=True) if index)
        keys.update(of_kind)
        moved.append(keys)
    none = [0] * len(by_minute)
    return [list(by_minute), *zip(*by_minute.values(), strict=True), *[none] * KINDS], moved


def unpack_minutes(packed: bytes, columns: int) -> tuple[list[Sequence[int]], list[dict[int, int]]]:
    """The `columns` and the counts that `pack_minutes` packed."""
    opened = Minutes(packed, columns)
    size = len(opened.minutes)
    records = [[0] * size if column is None else column for column in opened.columns]
    return [opened.minutes, *records], [dict(zip(keys, counts, strict=True)) for keys, counts in opened.counts]


class Minutes:
    """Packed minutes, opened for summing parts of the hour."""

    __slots__ = ("columns", "counts", "minutes")

    def __init__(self, packed: bytes, columns: int) -> None:
        size, *entries = _HEAD.unpack_from(packed)
        at = _HEAD.size
        minutes, at = _unpack(packed, at, size)
        self.minutes: Sequence[int] = minutes or [0] * size
        self.columns: list[Sequence[int] | None] = []  # all but the minutes; None: all 0
        for _ in range(columns - 1):
            column, at = _unpack(packed, at, size)
            self.columns.append(column)
        self.counts: list[tuple[Sequence[int], Sequence[int]]] = []
        for entry in entries:
            keys: Sequence[int] | None = ()
            counts: Sequence[int] | None = ()
            if entry:
                keys, at = _unpack(packed, at, entry)
                counts, at = _unpack(packed, at, entry)
            self.counts.append((keys or (), counts or ()))

    def sums(self, first: int, end: int) -> list[int] | None:
        """The sums of minutes [first, end); None when nothing happened."""
        low, high = bisect_left(self.minutes, first), bisect_left(self.minutes, end)
        if low == high:
            return None
        return [0 if column is None else sum(column[low:high]) for column in self.columns[:-KINDS]]

    def bins(self, kind: int, first: int, end: int) -> list[int]:
        """The bins of minutes [first, end), each as often as it was hit."""
        column = self.columns[kind - KINDS]
        found: list[int] = []
        if column is not None:
            low, high = bisect_left(self.minutes, first), bisect_left(self.minutes, end)
            found += filter(None, column[low:high])
        keys, counts = self.counts[kind]
        if keys:
            low, high = bisect_left(keys, first << _BIN_BITS), bisect_left(keys, end << _BIN_BITS)
            for key, count in zip(keys[low:high], counts[low:high], strict=True):
                found += [key & _BIN] * count
        return found


def _pack(values: Sequence[int], parts: list[bytes]) -> None:
    if not any(values):
        parts.append(b"0")
        return
    most = max(values)
    if most == 1 and min(values) == 1:
        parts.append(b"1")
        return
    code = "B" if most < 2**8 else "H" if most < 2**16 else "I" if most < 2**32 else "q"
    parts.append(_LETTERS[code])
    parts.append(array(code, values).tobytes() if byteorder == "little" else pack(code, values))


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


def minute_verdicts(packed: bytes) -> Iterator[tuple[int, int, int]]:
    """(minute, good, bad) of each minute 0–59 that has any."""
    lanes = unpack("I", packed)
    for minute in range(60):
        if lanes[minute] or lanes[60 + minute]:
            yield minute, lanes[minute], lanes[60 + minute]
