"""Tallies: what many calls add up to.  Pure; `reporter.fold` brings the rows and keeps the sums.

A chunk of calls becomes sums by (hour, series) with the detail of each minute, by (series, status), and good and bad counts by
(minute, SLO).  A call taken back (its end arrived after it had been declared lost) is counted with the sign −1.

One loop sees every call once and only puts it to its series; there the calls, in order of time, are turned into columns, and
everything is made of whole columns or of slices of them.  That is four times as fast as adding up call by call.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from operator import add, itemgetter, sub
from typing import Any, NamedTuple, Protocol

from reporter.bounds import DURATION_BOUNDS_NS, SCALED_SPEED_BOUNDS, SPEED_SCALE
from reporter.minutes import KINDS
from reporter.pricing import DAY_NS, REFUSED, PriceList, is_counted, is_refused
from reporter.sketch import bins_of

MINUTE_NS = 60 * 10**9
RESOLUTIONS = (1, 60, 1440)
"""Minutes in a bucket: minute, hour, day."""
MOST_SPEED = 10**5 * SPEED_SCALE
"""100,000 tokens a second; what is faster is a mistake in the data, and must not make sums overflow."""

SUMS = (
    "calls", "errors", "lost", "unpriced", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens",
    "reasoning_tokens", "cost_nanousd",
)  # fmt: skip
"""A tally's sums, in the order of its columns."""
SKETCHES = ("durations", "ttfts", "speeds")
TOTAL_SUMS = (
    "calls", "unpriced", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
    "cost_nanousd", "duration_sum_ns", "ttft_sum_ns", "speed_sum",
)  # fmt: skip
TOTAL_COUNTS = ("duration_counts", "ttft_counts", "speed_counts")
OTHER_ERROR = "error_other"
"""The status of errors of which a series has too many kinds."""


def is_error(status: str) -> bool:
    """Whether a total's status is one kind of error: such as `error_429`, of which there may be any number."""
    return status.startswith("error_") and status != OTHER_ERROR


Column = Sequence[Any]


class _Columns(NamedTuple):
    """Calls, column by column."""

    call_id: Column
    ended_at_ns: Column
    duration_ns: Column
    ttft_ns: Column
    batch_job: Column
    operation: Column
    provider: Column
    model: Column
    response_model: Column
    status: Column
    error_type: Column
    http_status: Column
    stream: Column
    input_tokens: Column
    cache_read_tokens: Column
    cache_write_tokens: Column
    cache_write_1h_tokens: Column
    output_tokens: Column
    reasoning_tokens: Column
    cost_nanousd: Column
    cost_source: Column
    price_class: Column
    usage_status: Column
    flags: Column


FOLDED = _Columns._fields
"""The columns of `calls` that `tally` takes, in order."""
Row = tuple[Any, ...]
"""A call as columns FOLDED."""
_SERIES = slice(FOLDED.index("batch_job"), FOLDED.index("model") + 1)
_ended = itemgetter(FOLDED.index("ended_at_ns"))
_NS_SCALED = 10**9 * SPEED_SCALE
_BOUNDS = (DURATION_BOUNDS_NS, DURATION_BOUNDS_NS, SCALED_SPEED_BOUNDS)


class Series(NamedTuple):
    """What tallies are kept by; "" where a call has none."""

    batch_job: str
    operation: str
    provider: str
    model: str


Mark = tuple[int | None, str | None, str | None, str]
"""What the fold writes onto a counted call: cost_nanousd, cost_source, priced_model; and its id."""


class CountedSLO(Protocol):
    """What counting needs of an SLO."""

    def matches(self, batch_job: str, operation: str, provider: str, model: str) -> bool: ...
    def judge(self, call: Any) -> bool | None: ...


@dataclass(frozen=True, slots=True)
class Tally:
    """One series in one hour."""

    series: Series
    hour: int  # its first minute, counted from 1970
    columns: list[Sequence[int]]  # its calls as `reporter.minutes` has them: minutes, sums, bins

    @property
    def sums(self) -> list[int]:
        """What its calls add to SUMS."""
        return [*map(sum, self.columns[1:-KINDS])]

    @property
    def bins(self) -> tuple[list[int], ...]:
        """The bins of what was measured, in the order of SKETCHES."""
        return tuple(list(filter(None, bins)) for bins in self.columns[-KINDS:])


@dataclass(frozen=True, slots=True)
class Total:
    """One series and status: sums (TOTAL_SUMS) and how many values lie in each histogram bucket."""

    series: Series
    status: str
    sums: list[int]
    counts: list[list[int]]  # in the order of TOTAL_COUNTS

    def plus(self, other: Total) -> Total:
        """Both together, under this one's names."""
        counts = [list(map(add, mine, theirs)) for mine, theirs in zip(self.counts, other.counts, strict=True)]
        return Total(self.series, self.status, list(map(add, self.sums, other.sums)), counts)


class Judged:
    """A call as SLOs look at it; one object for all of them, because making one costs more than judging it."""

    __slots__ = ("cost_nanousd", "duration_ns", "error_type", "output_tokens", "status", "stream", "ttft_ns")

    status: str
    error_type: str | None
    stream: int | None
    duration_ns: int | None
    ttft_ns: int | None
    output_tokens: int | None
    cost_nanousd: int | None


JUDGED = ("ended_at_ns", "status", "error_type", "stream", "duration_ns", "ttft_ns", "output_tokens", "cost_nanousd")
"""The columns of `calls` that `Verdicts.judge` takes, in order."""


class Verdicts:
    """Good and bad calls by minute since 1970, for each SLO."""

    def __init__(self, slos: Sequence[tuple[int, CountedSLO]]) -> None:
        self._slos = slos
        self._minutes: dict[int, tuple[Counter[int], Counter[int]]] = defaultdict(lambda: (Counter(), Counter()))

    def renumbered(self, ids: Mapping[int, int]) -> Verdicts:
        """The same under other ids, by old id."""
        other = Verdicts(self._slos)
        other._minutes.update((ids[slo_id], minutes) for slo_id, minutes in self._minutes.items())
        return other

    def judge(self, series: Series, calls: Iterable[Row]) -> None:
        """Count calls of one series, given as columns JUDGED, for each SLO that is about it."""
        judges = [(slo.judge, slo_id, list[int](), list[int]()) for slo_id, slo in self._slos if slo.matches(*series)]
        if not judges:
            return
        call = Judged()
        for (
            ended_at_ns, call.status, call.error_type, call.stream, call.duration_ns, call.ttft_ns, call.output_tokens,
            call.cost_nanousd,
        ) in calls:  # fmt: skip
            minute = ended_at_ns // MINUTE_NS
            for judge, _, good, bad in judges:
                verdict = judge(call)
                if verdict:
                    good.append(minute)
                elif verdict is not None:
                    bad.append(minute)
        for _, slo_id, good, bad in judges:
            for counted, minutes in zip(self._minutes[slo_id], (good, bad), strict=True):
                counted.update(minutes)

    def hours(self) -> Iterator[tuple[int, int, Mapping[int, int], Mapping[int, int]]]:
        """(SLO, hour, good, bad) of every hour that has any; counts by minute of the hour."""
        for slo_id, both in self._minutes.items():
            hours: dict[int, tuple[dict[int, int], dict[int, int]]] = defaultdict(lambda: ({}, {}))
            for verdict, minutes in enumerate(both):
                for minute, count in minutes.items():
                    within = minute % 60
                    hours[minute - within][verdict][within] = count
            for hour, (good, bad) in hours.items():
                yield slo_id, hour, good, bad


@dataclass(frozen=True, slots=True)
class Tallies:
    """Everything that a chunk of calls adds, or with the sign −1 takes back."""

    sign: int
    verdicts: Verdicts
    hours: list[Tally]  # each series and hour touched
    totals: list[Total]  # each series and status touched
    marks: list[Mark]  # one for each call

    @property
    def series(self) -> list[Series]:
        """The series touched, in order."""
        return sorted({total.series for total in self.totals})

    @property
    def lost(self) -> int:
        """Calls with status lost."""
        return sum(total.sums[0] for total in self.totals if total.status == "lost")


def tally(
    calls: Iterable[Row], slos: Sequence[tuple[int, CountedSLO]], prices: PriceList | None = None, sign: int = 1
) -> Tallies:
    """Count calls given as columns FOLDED, in any order; those without a cost are priced, if there are `prices`."""
    tallies = Tallies(sign, Verdicts(slos), [], [], [])
    for series, those in _by_series(calls).items():
        those.sort(key=_ended)
        _add_series(tallies, series, those, prices)
    return tallies


def price(calls: Iterable[Row], prices: PriceList) -> list[Mark]:
    """What `tally` would write onto calls, given as columns FOLDED."""
    marks: list[Mark] = []
    for series, those in _by_series(calls).items():
        columns = _Columns._make(zip(*those, strict=True))
        marks.extend(zip(*_priced(series, columns, prices), columns.call_id, strict=True))
    return marks


def _by_series(calls: Iterable[Row]) -> dict[Series, list[Row]]:
    by_key: dict[Row, list[Row]] = {}
    for call in calls:
        key = call[_SERIES]
        if key in by_key:
            by_key[key].append(call)
        else:
            by_key[key] = [call]
    by_series: dict[Series, list[Row]] = {}
    for (batch_job, operation, provider, model), those in by_key.items():  # NULL and "" are one series
        by_series.setdefault(Series(batch_job or "", operation, provider or "", model or ""), []).extend(those)
    return by_series


def _add_series(tallies: Tallies, series: Series, rows: Sequence[Row], prices: PriceList | None) -> None:
    calls = _Columns._make(zip(*rows, strict=True))
    costs, sources, names = _priced(series, calls, prices)
    tallies.marks.extend(zip(costs, sources, names, calls.call_id, strict=True))
    tallies.verdicts.judge(
        series,
        zip(
            calls.ended_at_ns, calls.status, calls.error_type, calls.stream, calls.duration_ns, calls.ttft_ns,
            calls.output_tokens, costs, strict=True,
        ),
    )  # fmt: skip
    failed = [status != "success" for status in calls.status]
    sums = (  # columns SUMS
        [1] * len(rows),
        failed,
        [status == "lost" for status in calls.status],
        [cost is None for cost in costs] if series.model else [0] * len(rows),
        *(
            [number or 0 for number in column]
            for column in (
                calls.input_tokens, calls.cache_read_tokens, calls.cache_write_tokens, calls.output_tokens,
                calls.reasoning_tokens, costs,
            )
        ),
    )  # fmt: skip
    measured = (
        calls.duration_ns,
        calls.ttft_ns,
        list(map(_speed, calls.output_tokens, calls.duration_ns, calls.ttft_ns)),
    )
    minutes = [at_ns // MINUTE_NS for at_ns in calls.ended_at_ns]
    columns = ([minute % 60 for minute in minutes], *sums, *map(bins_of, measured))
    for hour, first, end in _hours(minutes):
        tallies.hours.append(Tally(series, hour, [column[first:end] for column in columns]))
    tallies.totals.extend(_totals(series, (sums[0], *sums[3:]), measured, _by_status(calls, failed)))


def _priced(
    series: Series, calls: _Columns, prices: PriceList | None
) -> tuple[list[int | None], list[str | None], list[str | None]]:
    """The cost of each call, its source, and by which name the model was priced, if not by the one asked for.

    What came with a cost keeps it.
    """
    costs, sources = list(calls.cost_nanousd), list(calls.cost_source)
    names: list[str | None] = [None] * len(costs)
    day, asked, served, offer = -1, None, None, None
    for index, (cost, at_ns, tokens, read, write, write_1h, output, price_class, answered, usage_status, flags) in enumerate(
        zip(
            costs, calls.ended_at_ns, calls.input_tokens, calls.cache_read_tokens, calls.cache_write_tokens,
            calls.cache_write_1h_tokens, calls.output_tokens, calls.price_class, calls.response_model,
            calls.usage_status, calls.flags, strict=True,
        )
    ):  # fmt: skip
        if cost is not None:
            if sources[index] is None:
                sources[index] = "reported"
        elif prices is None or not series.model:
            continue
        elif tokens is None and output is None:
            if is_refused(calls.status[index], usage_status, calls.http_status[index]):
                costs[index], sources[index] = 0, REFUSED
        elif (usage_status == "complete" and flags is None) or is_counted(usage_status, flags):
            if day != at_ns // DAY_NS or asked != price_class or served != answered:
                day, asked, served = at_ns // DAY_NS, price_class, answered
                offer = prices.offer(series.provider, series.model, day, price_class, answered)
            if offer is not None:
                cost = offer.rate(at_ns, tokens or 0, read or 0, write or 0, write_1h or 0, output or 0)
                if cost is not None:
                    costs[index], sources[index] = cost, offer.source
                    if offer.model != series.model:
                        names[index] = offer.model
    return costs, sources, names


def _speed(output: int | None, duration_ns: int | None, ttft_ns: int | None) -> int | None:
    """Output tokens per million seconds; from the first token on, where one came before the end."""
    if not output or not duration_ns:
        return None
    if ttft_ns is not None and ttft_ns < duration_ns and output > 1:
        speed = (output - 1) * _NS_SCALED // (duration_ns - ttft_ns)
    else:
        speed = output * _NS_SCALED // duration_ns
    return speed if speed < MOST_SPEED else MOST_SPEED


def _hours(minutes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(hour, first, end) of each hour in ascending `minutes`."""
    first = 0
    while first < len(minutes):
        hour = minutes[first] // 60 * 60
        end = bisect_left(minutes, hour + 60, first)
        yield hour, first, end
        first = end


def _by_status(calls: _Columns, failed: Sequence[bool]) -> dict[str, list[int]]:
    """Which calls failed, by the label of their status."""
    labels: dict[str, list[int]] = defaultdict(list)
    for index in compress(range(len(failed)), failed):
        status = calls.status[index]
        if status == "error":
            status = f"error_{calls.http_status[index] or calls.error_type[index] or 'unknown'}"
        labels[status].append(index)
    return labels


def _totals(
    series: Series, sums: Sequence[Column], measured: Sequence[Column], labels: Mapping[str, Sequence[int]]
) -> Iterator[Total]:
    """Each status; `labels` has the calls that failed.  Success is what they leave of all, which saves picking it out."""
    left = _total(series, "success", sums, measured)
    for status, which in labels.items():
        part = _total(series, status, *([[column[i] for i in which] for column in those] for those in (sums, measured)))
        yield part
        left.sums[:] = map(sub, left.sums, part.sums)
        left.counts[:] = [list(map(sub, all_, some)) for all_, some in zip(left.counts, part.counts, strict=True)]
    if left.sums[0]:
        yield left


def _total(series: Series, status: str, sums: Sequence[Column], measured: Sequence[Column]) -> Total:
    present = [sorted([value for value in values if value is not None]) for values in measured]
    counts = [_histogram(*pair) for pair in zip(present, _BOUNDS, strict=True)]
    return Total(series, status, [*map(sum, sums), *map(sum, present)], counts)


def _histogram(ascending: Sequence[int], bounds: Sequence[int]) -> list[int]:
    """How many values lie in each bucket, `le` its bound; those above all bounds last."""
    edges = [0, *(bisect_right(ascending, bound) for bound in bounds), len(ascending)]
    return [after - before for before, after in pairwise(edges)]
