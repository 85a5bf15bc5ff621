"""Numbers as people read them: what is undefined is a dash, what misses something says so."""

from __future__ import annotations

from datetime import UTC, datetime

from reporter.report.json_form import usd
from reporter.report.model import AlertState, CallWindow
from reporter.report.words import NOTHING, seconds


def percent(ratio: float | None) -> str:
    """A ratio as percent, cut and not rounded up: what misses 99.9 % must not read 99.90 %."""
    return NOTHING if ratio is None else f"{int(ratio * 10_000 + 1e-7) / 100:.2f}\N{NO-BREAK SPACE}%"


def whole_percent(ratio: float | None) -> str:
    """A share of a budget, which may be negative."""
    return NOTHING if ratio is None else f"{ratio * 100:,.0f}\N{NO-BREAK SPACE}%".replace("-", "−")


def burn(rate: float | None) -> str:
    """A burn rate."""
    if rate is None:
        return NOTHING
    return "0" if rate == 0 else f"{rate:.2f}" if rate < 9.995 else f"{rate:,.0f}"


def fires(alert: AlertState, long: float | None, short: float | None) -> str:
    """What a firing alert says, with the burn rates of its windows."""
    windows = f"{burn(long)}× in {alert.long} and {burn(short)}× in {alert.short}"
    return f"{alert.severity}: {windows}, both above {alert.factor:g}×"


def count(events: int | float) -> str:
    """A count; ratio time slices have parts of one."""
    return f"{events:,}" if isinstance(events, int) else f"{events:,.2f}"


def seconds_of(length_ns: int | None) -> str:
    """A length in nanoseconds."""
    return seconds(None if length_ns is None else length_ns / 1e9)


def dollars(nanousd: int | None, *, partial: bool = False) -> str:
    """Money: ? where nothing of it is known, + where it misses calls without a price."""
    if nanousd is None:
        return "?"
    return f"{usd(nanousd):,.{4 if 0 < abs(nanousd) < 10**9 else 2}f}" + "+" * partial


def cost_of(window: CallWindow) -> str:
    """What the calls of a window cost."""
    known = None if window.unpriced_calls and not window.cost_nanousd else window.cost_nanousd
    return dollars(known, partial=window.unpriced_calls > 0)


def minute(at_ns: int | None) -> str:
    """A moment to the minute, UTC."""
    return NOTHING if at_ns is None else f"{datetime.fromtimestamp(at_ns // 10**9, UTC):%Y-%m-%d %H:%M}"


def several(number: int, one: str, many: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{number:,} {one if number == 1 else many}"
