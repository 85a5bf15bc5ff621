"""Every metric: its name, type, help and labels, and how a report becomes samples of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from reporter.bounds import DURATION_BOUNDS_NS, SPEED_BOUNDS_PER_1000S
from reporter.family import Buckets, Family, Labels, Metric, Sample
from reporter.report.model import CallTotals, CallWindow, HistogramTotal, JobStatus, Quantiles, Report

NS, NANOUSD = 10**9, 10**9


def _gauge(name: str, help: str) -> Metric:
    return Metric(name=name, type="gauge", help=help)


def _counter(name: str, help: str, scale: int = 1) -> Metric:
    return Metric(name=name, type="counter", help=help, scale=scale)


def _seconds_histogram(name: str, help: str) -> Metric:
    return Metric(name=name, type="histogram", help=help, scale=NS, bounds=DURATION_BOUNDS_NS)


LLM_DURATION = _seconds_histogram("llm_request_duration_seconds", "Duration of finished LLM calls.")
API_DURATION = _seconds_histogram("api_request_duration_seconds", "Duration of finished calls that name no model.")
TTFT = _seconds_histogram("llm_time_to_first_token_seconds", "Time to the first chunk with text, reasoning or a tool call.")
SPEED = Metric(
    name="llm_tokens_per_second", type="histogram", help="Output speed of LLM calls.", scale=1000,
    bounds=SPEED_BOUNDS_PER_1000S,
)  # fmt: skip
TOKENS = _counter("llm_tokens_total", "Tokens of LLM calls by type; input includes cache, output includes reasoning.")
COST = _counter("llm_request_cost_usd_total", "Cost of LLM calls whose price is known.", NANOUSD)
UNPRICED = _counter("llm_unpriced_requests_total", "LLM calls whose price is not known.")
LLM_ACTIVE = _gauge("llm_active_requests", "LLM calls started, not ended and not lost.")
API_ACTIVE = _gauge("api_active_requests", "Other calls started, not ended and not lost.")
SLO_OBJECTIVE = _gauge("slo_objective_ratio", "The objective.")
SLO_SLI = _gauge("slo_sli_ratio", "Good events over all events in the window; absent without events.")
SLO_BURN = _gauge("slo_burn_rate", "Error rate in the window over the error budget; 1 uses it up exactly in the period.")
SLO_REMAINING = _gauge("slo_error_budget_remaining_ratio", "Share of the period's error budget left; negative when overspent.")
SLO_WINDOW_EVENTS = _gauge("slo_window_events", "Good and bad events in the window.")
SLO_EVENTS = _counter("slo_events_total", "Good and bad events ever counted.")
WINDOW_COST = _gauge("llm_window_cost_usd", "Cost of LLM calls in the window.")
LLM_WINDOW_DURATION = _gauge("llm_window_duration_seconds", "Percentiles of LLM call durations in the window, within 1 %.")
WINDOW_TTFT = _gauge("llm_window_ttft_seconds", "Percentiles of time to first token in the window, within 1 %.")
API_WINDOW_DURATION = _gauge("api_window_duration_seconds", "Percentiles of other calls' durations in the window.")
JOB_RUNS = _counter("batch_job_runs_total", "Runs that ended, by how.")
RUNNING = _gauge("batch_job_running", "Runs in progress.")
JOB_GAUGES = (
    (_gauge("batch_job_last_start_timestamp_seconds", "When the last run began."), "last_start_at_ns", NS),
    (_gauge("batch_job_last_success_timestamp_seconds", "When the last successful run ended."), "last_success_at_ns", NS),
    (_gauge("batch_job_last_completion_timestamp_seconds", "When the last run ended."), "last_completion_at_ns", NS),
    (_gauge("batch_job_last_duration_seconds", "Duration of the last run that ended."), "last_duration_seconds", 1),
    (_gauge("batch_job_last_exit_code", "Exit code of the last run that ended."), "last_exit_code", 1),
    (_gauge("batch_job_items", "Items of the last run that ended."), "last_items", 1),
)
AS_OF = _gauge("reporter_as_of_timestamp_seconds", "The minute this report is of.")
LAST_SUCCESS = _gauge("reporter_last_success_timestamp_seconds", "When this group was last pushed.")
REPORT_DURATION = _gauge("reporter_report_duration_seconds", "Time the report took.")
SEQUENCE = _gauge("reporter_snapshot_sequence", "Number of this push.")
BUILD_INFO = _gauge("reporter_build_info", "The reporter's version.")
FOLDED = _counter("reporter_calls_folded_total", "Calls counted.")
LOST = _counter("reporter_lost_calls_total", "Calls that started and never ended.")
BAD_LINES = _counter("reporter_bad_lines_total", "Spool and JSON lines that could not be read.")
TROUBLES = _counter("reporter_recorder_troubles_total", "What recorders could not do, by kind.")
CAPPED = _gauge("reporter_series_capped", "Label values shown as other.")
HELD = _counter("reporter_counter_regressions_held_total", "Counters that would have fallen and were held.")


def families(
    report: Report, *, now_ns: int, duration_seconds: float, sequence: int, version: str, held: int = 0
) -> tuple[Family, ...]:
    """All families of `report`, pushed at `now_ns` as the `sequence`-th; those without samples are left out."""
    about = report.self_status
    own: list[tuple[Metric, Iterable[Sample]]] = [
        (AS_OF, [Sample((), report.as_of_ns / NS)]),
        (LAST_SUCCESS, [Sample((), now_ns / NS)]),
        (REPORT_DURATION, [Sample((), duration_seconds)]),
        (SEQUENCE, [Sample((), sequence)]),
        (BUILD_INFO, [Sample((("version", version),), 1)]),
        (FOLDED, [Sample((), about.calls_folded)]),
        (LOST, [Sample((), about.lost_calls)]),
        (BAD_LINES, [Sample((), about.bad_lines)]),
        (TROUBLES, [Sample((("trouble", trouble),), count) for trouble, count in about.troubles.items()]),
        (CAPPED, [Sample((), about.series_capped)]),
        (HELD, [Sample((), held)]),
    ]
    found = [*_totals(report.totals), *_gauges(report), *_slos(report), *_jobs(report.jobs)]
    found += [Family(metric, tuple(samples)) for metric, samples in own]
    return tuple(family for family in found if family.samples)


def _shown(labels: Labels, *more: tuple[str, str]) -> Labels:
    return tuple(label for label in (*labels, *more) if label[1])


def _totals(totals: Sequence[CallTotals]) -> Iterable[Family]:
    for metric, llm in ((LLM_DURATION, True), (API_DURATION, False)):
        yield Family(
            metric,
            tuple(
                _buckets(_shown(total.labels, ("status", total.status)), total.durations)
                for total in totals
                if total.llm is llm and sum(total.durations.counts)
            ),
        )
    by_labels: dict[Labels, list[CallTotals]] = {}
    for total in totals:
        if total.llm:
            by_labels.setdefault(_shown(total.labels), []).append(total)
    for metric, measured in ((TTFT, "ttfts"), (SPEED, "speeds")):
        histograms = []
        for labels, parts in by_labels.items():
            told: list[HistogramTotal] = [getattr(part, measured) for part in parts]
            counts = [sum(column) for column in zip(*(part.counts for part in told), strict=True)]
            if sum(counts):
                histograms.append(Buckets(labels, tuple(accumulate(counts)), sum(part.sum_scaled for part in told)))
        yield Family(metric, tuple(histograms))
    yield Family(
        TOKENS,
        tuple(
            Sample((*labels, ("type", kind)), sum(getattr(part, f"{kind}_tokens") for part in parts))
            for labels, parts in by_labels.items()
            for kind in ("input", "cache_read", "cache_write", "output", "reasoning")
        ),
    )
    for metric, name in ((COST, "cost_nanousd"), (UNPRICED, "unpriced")):
        yield Family(
            metric,
            tuple(Sample(labels, sum(getattr(part, name) for part in parts)) for labels, parts in by_labels.items()),
        )


def _buckets(labels: Labels, total: HistogramTotal) -> Buckets:
    return Buckets(labels, tuple(accumulate(total.counts)), total.sum_scaled)


def _gauges(report: Report) -> Iterable[Family]:
    for metric, llm in ((LLM_ACTIVE, True), (API_ACTIVE, False)):
        yield Family(metric, tuple(Sample(_shown(a.labels), a.calls) for a in report.active if a.llm is llm))
    windows: list[tuple[bool, Labels, str, CallWindow]] = [
        (calls.llm, _shown(calls.labels), label, window)
        for calls in report.calls
        for label, window in calls.windows.items()
    ]
    yield Family(
        WINDOW_COST,
        tuple(Sample((*labels, ("window", w)), window.cost_nanousd / NANOUSD) for llm, labels, w, window in windows if llm),
    )
    for metric, llm, name in (
        (LLM_WINDOW_DURATION, True, "duration_seconds"),
        (WINDOW_TTFT, True, "ttft_seconds"),
        (API_WINDOW_DURATION, False, "duration_seconds"),
    ):
        yield Family(
            metric,
            tuple(
                Sample((*labels, ("window", w), ("quantile", quantile)), value)
                for of_llm, labels, w, window in windows
                if of_llm is llm
                for quantile, value in _quantiles(getattr(window, name))
            ),
        )


def _quantiles(quantiles: Quantiles) -> Iterable[tuple[str, float]]:
    for quantile, value in (("0.5", quantiles.p50), ("0.95", quantiles.p95), ("0.99", quantiles.p99)):
        if value is not None:
            yield quantile, value


def _slos(report: Report) -> Iterable[Family]:
    named: list[tuple[Labels, object]] = []
    objectives, slis, burns, remaining, window_events, events = [], [], [], [], [], []
    for slo in report.slos:
        labels: Labels = (("slo", slo.slo), ("service", slo.service))
        named.append((labels, slo))
        objectives.append(Sample(labels, slo.objective_ratio))
        if slo.remaining_ratio is not None:
            remaining.append(Sample(labels, slo.remaining_ratio))
        for label, window in slo.windows.items():
            at = (*labels, ("window", label))
            if window.sli_ratio is not None:
                slis.append(Sample(at, window.sli_ratio))
            if window.burn_rate is not None:
                burns.append(Sample(at, window.burn_rate))
            window_events += [
                Sample((*at, ("result", "good")), window.good),
                Sample((*at, ("result", "bad")), window.bad),
            ]
        events += [
            Sample((*labels, ("result", "good")), slo.good_total),
            Sample((*labels, ("result", "bad")), slo.bad_total),
        ]
    for metric, samples in (
        (SLO_OBJECTIVE, objectives),
        (SLO_SLI, slis),
        (SLO_BURN, burns),
        (SLO_REMAINING, remaining),
        (SLO_WINDOW_EVENTS, window_events),
        (SLO_EVENTS, events),
    ):
        yield Family(metric, tuple(samples))


def _jobs(jobs: Sequence[JobStatus]) -> Iterable[Family]:
    for metric, name, scale in JOB_GAUGES:
        yield Family(
            metric,
            tuple(
                Sample((("batch_job", job.batch_job),), getattr(job, name) / scale)
                for job in jobs
                if getattr(job, name) is not None
            ),
        )
    yield Family(RUNNING, tuple(Sample((("batch_job", job.batch_job),), job.running) for job in jobs))
    yield Family(
        JOB_RUNS,
        tuple(
            Sample((("batch_job", job.batch_job), ("status", status)), runs)
            for job in jobs
            for status, runs in job.runs_total.items()
        ),
    )
