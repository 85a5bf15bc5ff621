"""What a report says: frozen values, made once by `reporter.report.build` and read by every publisher and table.

Ratios are floats in 0–1 (a remaining budget may be negative); what is undefined is None.  Counts are exact integers,
money integer nano-dollars, lengths seconds, moments integer nanoseconds UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reporter.slo.exclusions import Exclusion


@dataclass(frozen=True, slots=True, kw_only=True)
class SLOWindow:
    """One window of one SLO; counts are whole but for ratio time slices."""

    start_ns: int
    good: int | float
    bad: int | float
    sli_ratio: float | None
    burn_rate: float | None

    @property
    def total(self) -> int | float:
        return self.good + self.bad


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodStatus:
    """The error budget of one period, which for one of the calendar goes on after the report."""

    period: str  # "30d", "month", "month Europe/Berlin"
    start_ns: int
    end_ns: int
    good: int | float  # to date
    bad: int | float
    sli_ratio: float | None
    consumed_ratio: float | None  # to date: of the budget of the events so far
    remaining_ratio: float | None
    elapsed_ratio: float  # of the period's time; 1 for a rolling one
    consumed_of_period_ratio: float | None  # of the whole period's budget, if as many events come as came so far
    projected_ratio: (
        float | None
    )  # the same at the period's end, at the burn rate of `rate_window`; None for a rolling one
    exhausted_at_ns: int | None  # at that rate; None: not within a calendar period, or never
    rate_window: str | None  # whose burn rate stands for how things go at present


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """One alert pair: it fires when the burn rate of both windows is above `factor`."""

    severity: str  # "page" or "ticket"
    long: str
    short: str
    factor: float
    firing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SLOStatus:
    """One SLO at one moment."""

    slo: str
    service: str
    objective_ratio: float
    period: str
    method: str
    state: str  # "ok", "burning", "exhausted" or "no_data"
    windows: Mapping[str, SLOWindow]  # "5m" → …
    consumed_ratio: float | None
    remaining_ratio: float | None
    periods: tuple[PeriodStatus, ...]  # the main one first
    alerts: tuple[AlertState, ...]
    counted_from_ns: int | None  # raw rows before this were gone when the SLO was counted; None: it has them all
    good_total: int  # cumulative, for the counter
    bad_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """One cost budget at one moment.

    Money is that of calls that have a price.  It is None where calls were made and not one has a price, and where the
    tallies it would be of were pruned.
    """

    budget: str
    nanousd: int
    period: str  # "30d", "month"
    period_name: str | None  # of the calendar's period: "2026-10"; None: the period rolls
    start_ns: int
    end_ns: int  # of a period that rolls, as_of
    state: str  # "ok", "burning", "exhausted" or "unknown"
    spent_nanousd: int | None
    unpriced_calls: int | None
    remaining_ratio: float | None
    rate: str  # the window that tells the present rate of spending: "7d"
    projected_nanousd: int | None  # at the calendar period's end, or of a whole period, at that rate
    exhausted_at_ns: int | None  # when the money was gone, or will be at that rate; None: not within the period
    burn_rates: Mapping[str, float | None]
    alerts: tuple[AlertState, ...]

    @property
    def partial(self) -> bool:
        """Whether the money leaves out calls that have no price."""
        return bool(self.unpriced_calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Percentiles within 1 % of the value at that rank; None when nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallWindow:
    """Calls with one set of labels in one window."""

    calls: int
    errors: int
    duration_seconds: Quantiles
    ttft_seconds: Quantiles
    tokens_per_second: Quantiles
    input_tokens: int
    output_tokens: int
    cost_nanousd: int  # of the calls whose cost is known
    unpriced_calls: int

    @property
    def is_unpriced(self) -> bool:
        """Whether the cost of not one of its calls is known, which is not a cost of 0."""
        return 0 < self.calls == self.unpriced_calls


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStats:
    """Calls with one set of labels."""

    labels: tuple[tuple[str, str], ...]  # (("batch_job", "nightly"), …) in the order of report.labels; "" is absent
    llm: bool  # they name a model
    windows: Mapping[str, CallWindow]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramTotal:
    """A cumulative histogram: counts of each bucket by itself (not cumulative), +Inf last; `sum_scaled` in `1 / scale`."""

    counts: tuple[int, ...]
    sum_scaled: int  # an integer, so that it never wanders
    scale: int  # 10**9 for seconds kept as nanoseconds, 10**6 for tokens per second


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTotals:
    """All calls ever folded with one set of labels and one status."""

    labels: tuple[tuple[str, str], ...]
    status: str  # the label: "success", "timeout", "error_429"
    llm: bool
    calls: int
    unpriced: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_nanousd: int
    durations: HistogramTotal
    ttfts: HistogramTotal
    speeds: HistogramTotal


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveCalls:
    """Calls in flight: started, not ended, not lost."""

    labels: tuple[tuple[str, str], ...]
    llm: bool
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """One batch job at one moment; `last_*` are of the latest run that ended, lost ones aside."""

    batch_job: str
    state: str  # "ok", "running", "late", "missed", "failed", "lost", "overrun" or "unknown"
    is_declared: bool  # it is in the configuration
    is_retired: bool  # it was in the configuration once and is no more: nobody is told of its state
    last_start_at_ns: int | None
    last_success_at_ns: int | None
    last_completion_at_ns: int | None
    next_run_at_ns: int | None
    last_duration_seconds: float | None
    last_exit_code: int | None
    last_items: int | None
    running: int
    missed_runs_at_ns: tuple[int, ...] | None  # of the last 30 days, the last 100; None, as below: nothing is expected
    skipped_runs_at_ns: tuple[int, ...] | None  # likewise; due while as many runs were under way as may be
    late_runs: int | None
    overlaps: int | None
    too_fast_runs: int | None
    runs: int  # that ended since the beginning, up to `as_of`; of those:
    overruns: int  # those that were stopped because their time was up, and those that took too long
    lost_runs: int
    failed_runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfStatus:
    """What the reporter says of itself; all cumulative but `series_capped` and the moments."""

    calls_folded: int
    lost_calls: int
    bad_lines: int
    troubles: Mapping[str, int]  # "dropped" → occurrences
    series_capped: int
    late_ticks: int | None  # None: `reporter serve` never worked on this database
    missed_ticks: int | None
    folded: bool  # False: another reporter held the lease, or --no-fold: this shows what was folded before


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything known at `as_of`; recomputed from tallies alone, so any past minute can be asked again."""

    as_of_ns: int
    slos: tuple[SLOStatus, ...]
    calls: tuple[CallStats, ...]
    jobs: tuple[JobStatus, ...]
    budgets: tuple[BudgetStatus, ...]
    exclusions: tuple[Exclusion, ...]  # that touch any of the SLOs' windows
    totals: tuple[CallTotals, ...]  # of now, not of as_of: counters have no past
    job_totals: Mapping[
        str, Mapping[str, int]
    ]  # of now: how many runs of a job ended, by status; one that came back counts twice
    job_counts: Mapping[str, Mapping[str, int]]  # of now: how many were missed, late, …: what is looked for
    active: tuple[ActiveCalls, ...]  # of now
    self_status: SelfStatus
    notes: tuple[str, ...]  # sentences for people: what this report could not reach, and why
