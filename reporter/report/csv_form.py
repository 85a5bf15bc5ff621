"""A report's calls as CSV (RFC 4180), a line for each set of labels and window; what is undefined is empty.

Source: OWASP, https://owasp.org/www-community/attacks/CSV_Injection, for the quote before what looks like a formula.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import StringIO

from reporter.family import decimal
from reporter.report.model import CallStats, CallWindow, Report

_MEASURED = ("duration_seconds", "ttft_seconds", "tokens_per_second")
_PERCENTILES = ("p50", "p95", "p99")
_NUMBERS = (
    "calls", "errors", *(f"{name}_{percentile}" for name in _MEASURED for percentile in _PERCENTILES),
    "input_tokens", "output_tokens", "cost_usd", "unpriced_calls",
)  # fmt: skip


def as_csv(report: Report, window: str | None = None) -> str:
    """The calls of one window, or of every; the columns are the report's labels, `window`, and the numbers of the JSON."""
    labels = [label for label, _ in report.calls[0].labels] if report.calls else []
    rows = [[*labels, "window", *_NUMBERS], *(row for calls in report.calls for row in _rows(calls, window))]
    return "".join(map(_line, rows))


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
            value = getattr(getattr(window, name), percentile)
            yield "" if value is None else repr(value)
    yield from (str(window.input_tokens), str(window.output_tokens))
    yield "" if window.is_unpriced else decimal(window.cost_nanousd, 10**9)
    yield str(window.unpriced_calls)
