"""A report as the JSON of DESIGN §6: seconds, USD, RFC 3339 times with Z; what is undefined is null."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from reporter.report.model import (
    AlertState,
    BudgetStatus,
    CallStats,
    CallWindow,
    JobStatus,
    PeriodStatus,
    Quantiles,
    Report,
    SLOStatus,
)
from reporter.slo.exclusions import Exclusion
from reporter.tally import MINUTE_NS


def as_json(report: Report) -> dict[str, Any]:
    """The report as values `json.dumps` takes."""
    return {
        "as_of": moment(report.as_of_ns),
        "slos": [slo_as_json(slo) for slo in report.slos],
        "calls": [_calls(calls) for calls in report.calls],
        "jobs": [job_as_json(job) for job in report.jobs],
        "budgets": [_budget(budget) for budget in report.budgets],
        "exclusions": [exclusion_as_json(exclusion) for exclusion in report.exclusions],
        "notes": list(report.notes),
        "folded": report.self_status.folded,
    }


def moment(at_ns: int | None) -> str | None:
    """RFC 3339 with Z; milliseconds only where there are any."""
    if at_ns is None:
        return None
    at = datetime.fromtimestamp(at_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    milliseconds = at_ns // 10**6 % 1000
    return f"{at}.{milliseconds:03d}Z" if milliseconds else f"{at}Z"


def usd(nanousd: int) -> float:
    """Nano-dollars as dollars, the nearest double."""
    return float(Decimal(nanousd).scaleb(-9))


def slo_as_json(slo: SLOStatus) -> dict[str, Any]:
    """One SLO as values `json.dumps` takes."""
    return {
        "slo": slo.slo,
        "service": slo.service,
        "objective_ratio": slo.objective_ratio,
        "period": slo.period,
        "method": slo.method,
        "state": slo.state,
        "counted_from": moment(slo.counted_from_ns),
        "windows": {
            label: {
                "good": window.good,
                "bad": window.bad,
                "total": window.total,
                "sli_ratio": window.sli_ratio,
                "burn_rate": window.burn_rate,
            }
            for label, window in slo.windows.items()
        },
        "error_budget": {"consumed_ratio": slo.consumed_ratio, "remaining_ratio": slo.remaining_ratio},
        "periods": [_period(period) for period in slo.periods],
        "alerts": [_alert(alert) for alert in slo.alerts],
    }


def _period(period: PeriodStatus) -> dict[str, Any]:
    return {
        "period": period.period,
        "start": moment(period.start_ns),
        "end": moment(period.end_ns),
        "good": period.good,
        "bad": period.bad,
        "total": period.good + period.bad,
        "sli_ratio": period.sli_ratio,
        "consumed_ratio": period.consumed_ratio,
        "remaining_ratio": period.remaining_ratio,
        "elapsed_ratio": period.elapsed_ratio,
        "consumed_of_period_ratio": period.consumed_of_period_ratio,
        "projected_ratio": period.projected_ratio,
        "exhausted_at": moment(period.exhausted_at_ns),
        "rate_window": period.rate_window,
    }


def exclusion_as_json(exclusion: Exclusion) -> dict[str, Any]:
    """One exclusion as values `json.dumps` takes."""
    return {
        "exclusion": exclusion.name or None,
        "from": moment(exclusion.first * MINUTE_NS),
        "to": moment(exclusion.end * MINUTE_NS),
        "slos": list(exclusion.slos),
        "reason": exclusion.reason,
    }


def _alert(alert: AlertState) -> dict[str, Any]:
    return {
        "severity": alert.severity,
        "long": alert.long,
        "short": alert.short,
        "factor": alert.factor,
        "firing": alert.firing,
    }


def _budget(budget: BudgetStatus) -> dict[str, Any]:
    return {
        "budget": budget.budget,
        "usd": usd(budget.nanousd),
        "period": budget.period,
        "period_name": budget.period_name,
        "start": moment(budget.start_ns),
        "end": moment(budget.end_ns),
        "state": budget.state,
        "spent_usd": _usd_or_null(budget.spent_nanousd),
        "unpriced_calls": budget.unpriced_calls,
        "partial": budget.partial,
        "remaining_ratio": budget.remaining_ratio,
        "projected_usd": _usd_or_null(budget.projected_nanousd),
        "projected_at_rate_of": budget.rate,
        "exhausted_at": moment(budget.exhausted_at_ns),
        "burn_rates": dict(budget.burn_rates),
        "alerts": [_alert(alert) for alert in budget.alerts],
    }


def _usd_or_null(nanousd: int | None) -> float | None:
    return None if nanousd is None else usd(nanousd)


def _calls(calls: CallStats) -> dict[str, Any]:
    labels = {label: value or None for label, value in calls.labels}
    return {**labels, "windows": {label: _window(window) for label, window in calls.windows.items()}}


def _window(window: CallWindow) -> dict[str, Any]:
    return {
        "calls": window.calls,
        "errors": window.errors,
        "duration_seconds": _quantiles(window.duration_seconds),
        "ttft_seconds": _quantiles(window.ttft_seconds),
        "tokens_per_second": _quantiles(window.tokens_per_second),
        "input_tokens": window.input_tokens,
        "output_tokens": window.output_tokens,
        "cost_usd": None if window.is_unpriced else usd(window.cost_nanousd),
        "unpriced_calls": window.unpriced_calls,
    }


def _quantiles(quantiles: Quantiles) -> dict[str, float | None]:
    return {"p50": quantiles.p50, "p95": quantiles.p95, "p99": quantiles.p99}


def job_as_json(job: JobStatus) -> dict[str, Any]:
    """One job as values `json.dumps` takes."""
    return {
        "batch_job": job.batch_job,
        "state": job.state,
        "last_start_at": moment(job.last_start_at_ns),
        "last_success_at": moment(job.last_success_at_ns),
        "next_run_at": moment(job.next_run_at_ns),
        "missed_runs": None if job.missed_runs_at_ns is None else [moment(at_ns) for at_ns in job.missed_runs_at_ns],
        "skipped_runs": None if job.skipped_runs_at_ns is None else [moment(at_ns) for at_ns in job.skipped_runs_at_ns],
        "late_runs": job.late_runs,
        "overruns": job.overruns,
        "overlaps": job.overlaps,
        "too_fast_runs": job.too_fast_runs,
        "lost_runs": job.lost_runs,
        "failed_runs": job.failed_runs,
    }
