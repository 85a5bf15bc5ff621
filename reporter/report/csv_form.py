"""A report's calls or budgets as CSV (RFC 4180); what is undefined is empty.

Source: OWASP, https://owasp.org/www-community/attacks/CSV_Injection, for the quote before what looks like a formula.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import StringIO

from reporter.family import decimal
from reporter.report.json_form import moment
from reporter.report.model import BudgetStatus, CallStats, CallWindow, Report

_MEASURED = ("duration_seconds", "ttft_seconds", "tokens_per_second")
_PERCENTILES = ("p50", "p95", "p99")
_BUDGET = (
    "budget", "period", "period_name", "start", "end", "state", "usd", "spent_usd", "remaining_ratio", "projected_usd",
    "projected_at_rate_of", "exhausted_at", "unpriced_calls",
)  # fmt: skip
_NUMBERS = (
    "calls", "errors", *(f"{name}_{percentile}" for name in _MEASURED for percentile in _PERCENTILES),
    "input_tokens", "output_tokens", "cost_usd", "unpriced_calls",
)  # fmt: skip


def as_csv(report: Report, window: str | None = None) -> str:
    """The calls of one window, or of every: a line for each set of labels and window.

    The columns are the report's labels, `window`, and the numbers of the JSON.
    """
    labels = [label for label, _ in report.calls[0].labels] if report.calls else []
    rows = [[*labels, "window", *_NUMBERS], *(row for calls in report.calls for row in _rows(calls, window))]
    return "".join(map(_line, rows))


def budgets_as_csv(report: Report) -> str:
    """The cost budgets, a line for each window; the columns are the members of the JSON, and `window`, `burn_rate`."""
    rows = [[*_BUDGET, "window", "burn_rate"]]
    for status in report.budgets:
        told = [_harmless(status.budget), status.period, status.period_name or "", *_budget_numbers(status)]
        rows += [[*told, label, _number(burn)] for label, burn in status.burn_rates.items()]
    return "".join(map(_line, rows))


def _budget_numbers(status: BudgetStatus) -> Iterator[str]:
    yield from (moment(status.start_ns) or "", moment(status.end_ns) or "", status.state)
    yield from (_usd(status.nanousd), _usd(status.spent_nanousd), _number(status.remaining_ratio))
    yield from (_usd(status.projected_nanousd), status.rate, moment(status.exhausted_at_ns) or "")
    yield _number(status.unpriced_calls)


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _usd(nanousd: int | None) -> str:
    return "" if nanousd is None else decimal(nanousd, 10**9)


def _line(cells: Sequence[str]) -> str:
    text = StringIO()
    csv.writer(text).writerow(cells)  # with its own line ends, because it quotes just those within a cell
    return text.getvalue().removesuffix("\r\n") + "\n"


def _rows(calls: CallStats, only: str | None) -> Iterator[list[str]]:
    for label, window in calls.windows.items():
        if only in (None, label):
            yield [*(_harmless(value) for _, value in calls.labels), label, *_numbers(window)]


def _harmless(value: str) -> str:
    """Names come from anywhere: what a spreadsheet would take for a formula gets a quote in front."""
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _numbers(window: CallWindow) -> Iterator[str]:
    yield from (str(window.calls), str(window.errors))
    for name in _MEASURED:
        for percentile in _PERCENTILES:
            yield _number(getattr(getattr(window, name), percentile))
    yield from (str(window.input_tokens), str(window.output_tokens))
    yield _usd(None if window.is_unpriced else window.cost_nanousd)
    yield str(window.unpriced_calls)
