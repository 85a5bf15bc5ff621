"""Tallies: what many calls add up to.  Pure; `reporter.fold` brings the rows and keeps the sums.

A chunk of calls becomes sums by (resolution, bucket, series), by (series, status) and by (resolution, bucket, SLO).  A call
taken back (its end arrived after it had been declared lost) is a call with the sign −1.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from reporter.bounds import DURATION_BOUNDS_NS, SPEED_BOUNDS_PER_1000S
from reporter.sketch import bin_of

MINUTE_NS = 60 * 10**9
RESOLUTIONS = (1, 60, 1440)
"""Minutes in a bucket: minute, hour, day."""

SUMS = (
    "calls", "errors", "lost", "unpriced", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens",
    "reasoning_tokens", "cost_nanousd",
)  # fmt: skip
"""A tally's sums, in the order of its columns."""
TOTAL_SUMS = (
    "calls", "unpriced", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
    "cost_nanousd", "duration_sum_ns", "ttft_sum_ns", "speed_sum",
)  # fmt: skip


class Series(NamedTuple):
    """What tallies are kept by; "" where a call has none."""

    batch_job: str
    operation: str
    provider: str
    model: str


class FoldedCall(NamedTuple):
    """What the fold reads of a call; the first columns of its SELECT, in order."""

    seq: int
    ended_at_ns: int
    duration_ns: int | None
    ttft_ns: int | None
    batch_job: str | None
    operation: str
    provider: str | None
    model: str | None
    status: str
    error_type: str | None
    http_status: int | None
    stream: int | None
    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    price_class: str | None
    cost_nanousd: int | None
    cost_source: str | None

    @property
    def series(self) -> Series:
        return Series(self.batch_job or "", self.operation, self.provider or "", self.model or "")

    @property
    def status_label(self) -> str:
        """`status` as metrics label it: an error says which."""
        if self.status != "error":
            return self.status
        return f"error_{self.http_status or self.error_type or 'unknown'}"

    @property
    def speed(self) -> int | None:
        """Output tokens per 1000 s: between the first token and the last for a stream, over the whole call otherwise."""
        if not self.output_tokens or not self.duration_ns:
            return None
        if self.ttft_ns is not None and self.output_tokens > 1 and self.duration_ns > self.ttft_ns:
            return (self.output_tokens - 1) * 1000 * 10**9 // (self.duration_ns - self.ttft_ns)
        return self.output_tokens * 1000 * 10**9 // self.duration_ns


class CountedSLO(Protocol):
    """What counting needs of an SLO."""

    def matches(self, batch_job: str, operation: str, provider: str, model: str) -> bool: ...
    def judge(self, call: FoldedCall) -> bool | None: ...


class Tally:
    """The sums of one bucket, and the bins of its measured values with how often each was seen."""

    __slots__ = ("durations", "speeds", "sums", "ttfts")

    def __init__(self) -> None:
        self.sums = [0] * len(SUMS)
        self.durations: Counter[int] = Counter()
        self.ttfts: Counter[int] = Counter()
        self.speeds: Counter[int] = Counter()

    def add(self, other: Tally) -> None:
        self.sums = [mine + theirs for mine, theirs in zip(self.sums, other.sums, strict=True)]
        for mine, theirs in ((self.durations, other.durations), (self.ttfts, other.ttfts), (self.speeds, other.speeds)):
            for index, count in theirs.items():
                mine[index] += count


class Total:
    """The sums of one series and status since the database was born, and its histograms."""

    __slots__ = ("duration_counts", "speed_counts", "sums", "ttft_counts")

    def __init__(self) -> None:
        self.sums = [0] * len(TOTAL_SUMS)
        self.duration_counts = [0] * (len(DURATION_BOUNDS_NS) + 1)
        self.ttft_counts = [0] * (len(DURATION_BOUNDS_NS) + 1)
        self.speed_counts = [0] * (len(SPEED_BOUNDS_PER_1000S) + 1)


class Tallies:
    """Everything that a chunk of calls adds."""

    def __init__(self, slos: Sequence[tuple[int, CountedSLO]]) -> None:
        self._slos = slos
        self._by_series: dict[Series, list[tuple[int, Callable[[FoldedCall], bool | None]]]] = {}
        self.minutes: dict[tuple[int, Series], Tally] = {}
        self.totals: dict[tuple[Series, str], Total] = {}
        self.slo_minutes: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
        self.calls = 0
        self.lost = 0

    def add(self, call: FoldedCall, cost_nanousd: int | None, sign: int = 1) -> None:
        """Count one call, or take it back."""
        series = call.series
        minute = call.ended_at_ns // MINUTE_NS
        tally = self.minutes.get((minute, series))
        if tally is None:
            tally = self.minutes[minute, series] = Tally()
        label = call.status_label
        total = self.totals.get((series, label))
        if total is None:
            total = self.totals[series, label] = Total()
        tokens = [
            (call.input_tokens or 0) * sign, (call.cache_read_tokens or 0) * sign, (call.cache_write_tokens or 0) * sign,
            (call.output_tokens or 0) * sign, (call.reasoning_tokens or 0) * sign, (cost_nanousd or 0) * sign,
        ]  # fmt: skip
        unpriced = sign if series.model and cost_nanousd is None else 0
        failed = 0 if call.status == "success" else sign
        lost = sign if call.status == "lost" else 0
        tally.sums = [a + b for a, b in zip(tally.sums, (sign, failed, lost, unpriced, *tokens), strict=True)]
        duration_ns, ttft_ns, speed = call.duration_ns, call.ttft_ns, call.speed
        measured = (sign * (duration_ns or 0), sign * (ttft_ns or 0), sign * (speed or 0))
        total.sums = [a + b for a, b in zip(total.sums, (sign, unpriced, *tokens, *measured), strict=True)]
        if duration_ns is not None:
            tally.durations[bin_of(duration_ns)] += sign
            total.duration_counts[bisect_left(DURATION_BOUNDS_NS, duration_ns)] += sign
        if ttft_ns is not None:
            tally.ttfts[bin_of(ttft_ns)] += sign
            total.ttft_counts[bisect_left(DURATION_BOUNDS_NS, ttft_ns)] += sign
        if speed is not None:
            tally.speeds[bin_of(speed)] += sign
            total.speed_counts[bisect_left(SPEED_BOUNDS_PER_1000S, speed)] += sign
        self.calls += sign
        self.lost += 1 if lost > 0 else 0
        self.judge(call, minute, series, sign)

    def judge(self, call: FoldedCall, minute: int, series: Series, sign: int = 1) -> None:
        """Count one call for the SLOs alone."""
        judges = self._by_series.get(series)
        if judges is None:
            judges = self._by_series[series] = [(id_, slo.judge) for id_, slo in self._slos if slo.matches(*series)]
        for slo_id, judge in judges:
            good = judge(call)
            if good is not None:
                self.slo_minutes[minute, slo_id][0 if good else 1] += sign

    def buckets(self) -> Iterable[tuple[int, int, Series, Tally]]:
        """Every (resolution, bucket, series) touched, hours and days summed from minutes."""
        for resolution in RESOLUTIONS:
            summed: dict[tuple[int, Series], Tally] = {}
            for (minute, series), tally in self.minutes.items():
                key = (minute // resolution * resolution, series)
                if resolution == 1:
                    summed[key] = tally
                    continue
                if key not in summed:
                    summed[key] = Tally()
                summed[key].add(tally)
            for (bucket, series), tally in summed.items():
                yield resolution, bucket, series, tally

    def slo_buckets(self) -> Iterable[tuple[int, int, int, int, int]]:
        """(resolution, bucket, SLO, good, bad) of every bucket touched."""
        for resolution in RESOLUTIONS:
            summed: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
            for (minute, slo_id), (good, bad) in self.slo_minutes.items():
                both = summed[minute // resolution * resolution, slo_id]
                both[0] += good
                both[1] += bad
            for (bucket, slo_id), (good, bad) in summed.items():
                yield resolution, bucket, slo_id, good, bad
