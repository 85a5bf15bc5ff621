"""Every metric's name, type, help and labels, in one place; and a report turned into families of them.

`families` is pure.  What is undefined has no sample: never NaN, 0 or -1 in its place.  Calls that name a model are `llm_*`,
others `api_*`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal

from reporter.bounds import DURATION_BOUNDS_NS, SCALED_SPEED_BOUNDS, SPEED_SCALE
from reporter.family import Buckets, Family, Labels, Metric, Sample
from reporter.report.model import BudgetStatus, CallStats, CallTotals, HistogramTotal, Quantiles, Report, SLOStatus

_NANO = 10**9


def _gauge(name: str, help: str, *labels: str, by_series: bool = False, scale: int = 1) -> Metric:
    return Metric(name=name, type="gauge", help=help, labels=labels, by_series=by_series, scale=scale)


def _counter(name: str, help: str, *labels: str, by_series: bool = False, scale: int = 1) -> Metric:
    return Metric(name=name, type="counter", help=help, labels=labels, by_series=by_series, scale=scale)


def _histogram(name: str, help: str, *labels: str, bounds: tuple[int, ...], scale: int) -> Metric:
    return Metric(name=name, type="histogram", help=help, labels=labels, by_series=True, scale=scale, bounds=bounds)


LLM_REQUEST_DURATION = _histogram(
    "llm_request_duration_seconds",
    "Duration of LLM calls that ended, by outcome.",
    "status",
    bounds=DURATION_BOUNDS_NS,
    scale=_NANO,
)
API_REQUEST_DURATION = _histogram(
    "api_request_duration_seconds",
    "Duration of calls without a model that ended, by outcome.",
    "status",
    bounds=DURATION_BOUNDS_NS,
    scale=_NANO,
)
LLM_TIME_TO_FIRST_TOKEN = _histogram(
    "llm_time_to_first_token_seconds",
    "Time to the first text, reasoning or tool call of streamed LLM calls.",
    bounds=DURATION_BOUNDS_NS,
    scale=_NANO,
)
LLM_TOKENS_PER_SECOND = _histogram(
    "llm_tokens_per_second",
    "Output speed of LLM calls, in tokens per second.",
    bounds=SCALED_SPEED_BOUNDS,
    scale=SPEED_SCALE,
)
LLM_TOKENS = _counter(
    "llm_tokens_total",
    "Tokens of LLM calls; input includes cache reads and writes, output includes reasoning.",
    "type",
    by_series=True,
)
LLM_REQUEST_COST = _counter(
    "llm_request_cost_usd_total", "Cost of the LLM calls that have a price, in USD.", by_series=True, scale=_NANO
)
LLM_UNPRICED_REQUESTS = _counter(
    "llm_unpriced_requests_total", "LLM calls whose cost is unknown and so is in no total.", by_series=True
)
LLM_ACTIVE_REQUESTS = _gauge(
    "llm_active_requests", "LLM calls in flight: started, not ended, not lost.", by_series=True
)
API_ACTIVE_REQUESTS = _gauge(
    "api_active_requests", "Calls without a model in flight: started, not ended, not lost.", by_series=True
)

LLM_WINDOW_COST = _gauge(
    "llm_window_cost_usd",
    "Cost of the window's LLM calls that have a price, in USD.",
    "window",
    by_series=True,
    scale=_NANO,
)
LLM_WINDOW_DURATION = _gauge(
    "llm_window_duration_seconds",
    "Percentile of the window's LLM call durations, within 1 %.",
    "window",
    "quantile",
    by_series=True,
)
LLM_WINDOW_TTFT = _gauge(
    "llm_window_ttft_seconds",
    "Percentile of the window's times to first token, within 1 %.",
    "window",
    "quantile",
    by_series=True,
)
LLM_WINDOW_TOKENS_PER_SECOND = _gauge(
    "llm_window_tokens_per_second",
    "Percentile of the output speeds of the window's LLM calls, within 1 %.",
    "window",
    "quantile",
    by_series=True,
)
LLM_WINDOW_CALLS = _gauge("llm_window_calls", "LLM calls that ended in the window.", "window", by_series=True)
LLM_WINDOW_UNPRICED_CALLS = _gauge(
    "llm_window_unpriced_calls", "LLM calls of the window whose cost is unknown.", "window", by_series=True
)
API_WINDOW_DURATION = _gauge(
    "api_window_duration_seconds",
    "Percentile of the window's durations of calls without a model, within 1 %.",
    "window",
    "quantile",
    by_series=True,
)

SLO_OBJECTIVE = _gauge("slo_objective_ratio", "The objective: the share of events that must be good.", "slo", "service")
SLO_SLI = _gauge("slo_sli_ratio", "Good events over all events of the window.", "slo", "service", "window")
SLO_BURN_RATE = _gauge(
    "slo_burn_rate",
    "Bad events over the bad events the objective allows in the window; 1 spends the budget exactly.",
    "slo",
    "service",
    "window",
)
SLO_BUDGET_REMAINING = _gauge(
    "slo_error_budget_remaining_ratio",
    "Share of the period's error budget that is left; negative when overspent.",
    "slo",
    "service",
)
SLO_WINDOW_EVENTS = _gauge(
    "slo_window_events", "Good and bad events of the window.", "slo", "service", "window", "result"
)
SLO_EVENTS = _counter("slo_events_total", "Good and bad events ever counted.", "slo", "service", "result")

COST_BUDGET = _gauge("cost_budget_usd", "The budget: what calls may cost in its period, in USD.", "budget", scale=_NANO)
COST_BUDGET_SPENT = _gauge(
    "cost_budget_spent_usd", "Cost of the period's calls that have a price, so far, in USD.", "budget", scale=_NANO
)
COST_BUDGET_REMAINING = _gauge(
    "cost_budget_remaining_ratio", "Share of the period's budget that is left; negative when overspent.", "budget"
)
COST_BUDGET_PROJECTED = _gauge(
    "cost_budget_projected_usd",
    "Cost of the whole period if calls go on costing what they did lately, in USD.",
    "budget",
    scale=_NANO,
)
COST_BUDGET_BURN_RATE = _gauge(
    "cost_budget_burn_rate",
    "Cost of the window over what the budget allows in such a time; 1 spends the budget exactly.",
    "budget",
    "window",
)

JOB_LAST_START = _gauge(
    "batch_job_last_start_timestamp_seconds", "When the job's latest run started.", "batch_job", scale=_NANO
)
JOB_LAST_SUCCESS = _gauge(
    "batch_job_last_success_timestamp_seconds", "When the job's latest successful run ended.", "batch_job", scale=_NANO
)
JOB_LAST_COMPLETION = _gauge(
    "batch_job_last_completion_timestamp_seconds",
    "When a run of the job last ended, well or not; lost ones did not.",
    "batch_job",
    scale=_NANO,
)
JOB_NEXT_RUN = _gauge(
    "batch_job_next_run_timestamp_seconds", "When the job's schedule wants its next run.", "batch_job", scale=_NANO
)
JOB_LAST_DURATION = _gauge("batch_job_last_duration_seconds", "Duration of the job's latest ended run.", "batch_job")
JOB_LAST_EXIT_CODE = _gauge("batch_job_last_exit_code", "Exit code of the job's latest ended run.", "batch_job")
JOB_ITEMS = _gauge("batch_job_items", "Items that the job's latest ended run says it did.", "batch_job")
JOB_RUNNING = _gauge("batch_job_running", "Runs of the job in progress.", "batch_job")
JOB_STATE = _gauge(
    "batch_job_state", "1 for the state that the job is in; the others have no sample.", "batch_job", "state"
)
JOB_RUNS = _counter("batch_job_runs_total", "Runs of the job that ended, by outcome.", "batch_job", "status")
JOB_MISSED_RUNS = _counter(
    "batch_job_missed_runs_total", "Due times by the end of whose start grace no run had started.", "batch_job"
)
JOB_LATE_RUNS = _counter("batch_job_late_runs_total", "Runs that started after their start grace.", "batch_job")
JOB_OVERRUNS = _counter(
    "batch_job_overruns_total", "Runs that were stopped because their time was up, or took too long.", "batch_job"
)
JOB_OVERLAPS = _counter("batch_job_overlaps_total", "Runs that started while too many others ran.", "batch_job")
JOB_TOO_FAST_RUNS = _counter(
    "batch_job_too_fast_runs_total", "Runs that succeeded sooner than they should be able to.", "batch_job"
)

AS_OF = _gauge("reporter_as_of_timestamp_seconds", "The moment the windows of this snapshot end.", scale=_NANO)
LAST_SUCCESS = _gauge(
    "reporter_last_success_timestamp_seconds", "When the latest snapshot that arrived here was made.", scale=_NANO
)
REPORT_DURATION = _gauge("reporter_report_duration_seconds", "How long the report behind this snapshot took.")
SNAPSHOT_SEQUENCE = _gauge("reporter_snapshot_sequence", "Number of this snapshot, larger than any before it.")
BUILD_INFO = _gauge("reporter_build_info", "Always 1; the version of the reporter is its label.", "version")
SERIES_CAPPED = _gauge(
    "reporter_series_capped",
    'Label values folded into "other" because there were too many; further kinds of a series\' errors count as one.',
)
CALLS_FOLDED = _counter("reporter_calls_folded_total", "Calls folded into the tallies.")
LOST_CALLS = _counter("reporter_lost_calls_total", "Calls that started and never ended.")
LATE_TICKS = _counter("reporter_late_ticks_total", "Turns of reporter serve that began late.")
MISSED_TICKS = _counter("reporter_missed_ticks_total", "Turns of reporter serve that were made up for by a later one.")
BAD_LINES = _counter("reporter_bad_lines_total", "Lines that could not be ingested.")
RECORDER_TROUBLES = _counter("reporter_recorder_troubles_total", "What recorders could not do, by kind.", "trouble")
REGRESSIONS_HELD = _counter(
    "reporter_counter_regressions_held_total",
    "Counters and histograms held at the highest value ever sent, once for each snapshot they were held in.",
)

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""Every metric there is, in the order they stand above."""


def families(
    report: Report,
    *,
    now_ns: int,
    duration_seconds: float,
    sequence: int,
    version: str,
    also: Iterable[tuple[Metric, Sample]] = (),
) -> tuple[Family, ...]:
    """All of `report` as families, those without a sample left out, and what is `also` to be told.

    `now_ns` is when the report was made, `duration_seconds` how long that took, `sequence` the snapshot's number.
    `REGRESSIONS_HELD` is not among them: only the counter ledger knows it (`reporter.publish.ledger`).
    """
    collected: defaultdict[str, list[Sample | Buckets]] = defaultdict(list)
    metrics: dict[str, Metric] = {}
    own = _self(report, now_ns=now_ns, duration_seconds=duration_seconds, sequence=sequence, version=version)
    for part in (
        _totals(report),
        _windows(report.calls),
        _slos(report.slos),
        _budgets(report.budgets),
        _jobs(report),
        own,
        also,
    ):
        for metric, sample in part:
            metrics[metric.name] = metric
            collected[metric.name].append(sample)
    return tuple(Family(metrics[name], tuple(samples)) for name, samples in sorted(collected.items()))


_Samples = Iterator[tuple[Metric, Sample | Buckets]]


def _present(labels: Iterable[tuple[str, str]]) -> Labels:
    return tuple((name, value) for name, value in labels if value)


def _totals(report: Report) -> _Samples:
    """Counters, histograms and calls in flight; of now, whatever `as_of` is."""
    by_series: defaultdict[tuple[Labels, bool], list[CallTotals]] = defaultdict(list)
    for total in report.totals:
        labels = _present(total.labels)
        by_series[labels, total.llm].append(total)
        if any(total.durations.counts):
            metric = LLM_REQUEST_DURATION if total.llm else API_REQUEST_DURATION
            yield metric, _buckets((*labels, ("status", total.status)), [total.durations], metric.scale)
    for (labels, llm), totals in by_series.items():
        if llm:
            yield from _llm_totals(labels, totals)
    active = dict.fromkeys(by_series, 0)
    for calls in report.active:
        key = _present(calls.labels), calls.llm
        active[key] = active.get(key, 0) + calls.calls
    for (labels, llm), in_flight in active.items():
        yield LLM_ACTIVE_REQUESTS if llm else API_ACTIVE_REQUESTS, Sample(labels, in_flight)


def _llm_totals(labels: Labels, totals: list[CallTotals]) -> _Samples:
    tokens = {
        "input": sum(total.input_tokens for total in totals),
        "cache_read": sum(total.cache_read_tokens for total in totals),
        "cache_write": sum(total.cache_write_tokens for total in totals),
        "output": sum(total.output_tokens for total in totals),
        "reasoning": sum(total.reasoning_tokens for total in totals),
    }
    for kind, count in tokens.items():
        yield LLM_TOKENS, Sample((*labels, ("type", kind)), count)
    yield LLM_REQUEST_COST, Sample(labels, sum(total.cost_nanousd for total in totals))
    yield LLM_UNPRICED_REQUESTS, Sample(labels, sum(total.unpriced for total in totals))
    for metric, parts in (
        (LLM_TIME_TO_FIRST_TOKEN, [total.ttfts for total in totals]),
        (LLM_TOKENS_PER_SECOND, [total.speeds for total in totals]),
    ):
        if any(any(part.counts) for part in parts):
            yield metric, _buckets(labels, parts, metric.scale)


def _buckets(labels: Labels, parts: list[HistogramTotal], scale: int) -> Buckets:
    """The sum of `parts` as cumulative counts; each part's sum is brought to `scale` without rounding."""
    cumulative: list[int] = []
    running = 0
    for counts in zip(*(part.counts for part in parts), strict=True):
        running += sum(counts)
        cumulative.append(running)
    return Buckets(labels, tuple(cumulative), sum(part.sum_scaled * scale // part.scale for part in parts))


def _windows(calls: tuple[CallStats, ...]) -> _Samples:
    for stats in calls:
        labels = _present(stats.labels)
        for name, window in stats.windows.items():
            here = (*labels, ("window", name))
            yield from _quantiles(
                LLM_WINDOW_DURATION if stats.llm else API_WINDOW_DURATION, here, window.duration_seconds
            )
            if not stats.llm:
                continue
            yield LLM_WINDOW_CALLS, Sample(here, window.calls)
            yield LLM_WINDOW_UNPRICED_CALLS, Sample(here, window.unpriced_calls)
            yield from _quantiles(LLM_WINDOW_TTFT, here, window.ttft_seconds)
            yield from _quantiles(LLM_WINDOW_TOKENS_PER_SECOND, here, window.tokens_per_second)
            if not window.is_unpriced:
                yield LLM_WINDOW_COST, Sample(here, window.cost_nanousd)


def _quantiles(metric: Metric, labels: Labels, quantiles: Quantiles) -> _Samples:
    for quantile, value in (("0.5", quantiles.p50), ("0.95", quantiles.p95), ("0.99", quantiles.p99)):
        if value is not None:
            yield metric, Sample((*labels, ("quantile", quantile)), value)


def _slos(slos: tuple[SLOStatus, ...]) -> _Samples:
    for status in slos:
        labels = _present((("slo", status.slo), ("service", status.service)))
        yield SLO_OBJECTIVE, Sample(labels, status.objective_ratio)
        if status.remaining_ratio is not None:
            yield SLO_BUDGET_REMAINING, Sample(labels, status.remaining_ratio)
        for result, total in _good_and_bad(status.good_total, status.bad_total):
            yield SLO_EVENTS, Sample((*labels, ("result", result)), total)
        for name, window in status.windows.items():
            here = (*labels, ("window", name))
            if window.sli_ratio is not None:
                yield SLO_SLI, Sample(here, window.sli_ratio)
            if window.burn_rate is not None:
                yield SLO_BURN_RATE, Sample(here, window.burn_rate)
            for result, events in _good_and_bad(window.good, window.bad):
                yield SLO_WINDOW_EVENTS, Sample((*here, ("result", result)), events)


def _good_and_bad(good: int | float, bad: int | float) -> tuple[tuple[Literal["good", "bad"], int | float], ...]:
    return ("good", good), ("bad", bad)


def _budgets(budgets: tuple[BudgetStatus, ...]) -> _Samples:
    for status in budgets:
        labels = _present((("budget", status.budget),))
        for metric, value in (
            (COST_BUDGET, status.nanousd),
            (COST_BUDGET_SPENT, status.spent_nanousd),
            (COST_BUDGET_REMAINING, status.remaining_ratio),
            (COST_BUDGET_PROJECTED, status.projected_nanousd),
        ):
            if value is not None:
                yield metric, Sample(labels, value)
        for window, burn in status.burn_rates.items():
            if burn is not None:
                yield COST_BUDGET_BURN_RATE, Sample((*labels, ("window", window)), burn)


def _jobs(report: Report) -> _Samples:
    for job in report.jobs:
        labels = _present((("batch_job", job.batch_job),))
        for metric, value in (
            (JOB_LAST_START, job.last_start_at_ns),
            (JOB_LAST_SUCCESS, job.last_success_at_ns),
            (JOB_LAST_COMPLETION, job.last_completion_at_ns),
            (JOB_NEXT_RUN, job.next_run_at_ns),
            (JOB_LAST_DURATION, job.last_duration_seconds),
            (JOB_LAST_EXIT_CODE, job.last_exit_code),
            (JOB_ITEMS, job.last_items),
            (JOB_RUNNING, job.running),
        ):
            if value is not None:
                yield metric, Sample(labels, value)
        if not job.is_retired:  # else what its last run was would alert for ever
            yield JOB_STATE, Sample((*labels, ("state", job.state)), 1)
    for name, totals in report.job_totals.items():
        labels = _present((("batch_job", name),))
        for status, runs in totals.items():
            yield JOB_RUNS, Sample((*labels, ("status", status)), runs)
    for name in sorted({*report.job_totals, *report.job_counts}):
        labels, counts = _present((("batch_job", name),)), report.job_counts.get(name, {})
        stopped = report.job_totals.get(name, {}).get("timeout", 0)
        yield JOB_OVERRUNS, Sample(labels, stopped + counts.get("overrun", 0))
        for metric, kind in (
            (JOB_MISSED_RUNS, "missed"),
            (JOB_LATE_RUNS, "late"),
            (JOB_OVERLAPS, "overlap"),
            (JOB_TOO_FAST_RUNS, "too_fast"),
        ):
            if kind in counts:
                yield metric, Sample(labels, counts[kind])


def _self(report: Report, *, now_ns: int, duration_seconds: float, sequence: int, version: str) -> _Samples:
    status = report.self_status
    yield AS_OF, Sample((), report.as_of_ns)
    yield LAST_SUCCESS, Sample((), now_ns)
    yield REPORT_DURATION, Sample((), duration_seconds)
    yield SNAPSHOT_SEQUENCE, Sample((), sequence)
    yield BUILD_INFO, Sample((("version", version),), 1)
    yield SERIES_CAPPED, Sample((), status.series_capped)
    yield CALLS_FOLDED, Sample((), status.calls_folded)
    yield LOST_CALLS, Sample((), status.lost_calls)
    yield BAD_LINES, Sample((), status.bad_lines)
    for metric, ticks in ((LATE_TICKS, status.late_ticks), (MISSED_TICKS, status.missed_ticks)):
        if ticks is not None:
            yield metric, Sample((), ticks)
    for trouble, occurrences in status.troubles.items():
        yield RECORDER_TROUBLES, Sample((("trouble", trouble),), occurrences)
