"""Multi-window, multi-burn-rate alerts: which pairs of windows an SLO has, and when a pair fires.

A pair fires when the burn rates of its long and of its short window are both above its factor.  The factor is the burn
rate that uses up `share` of the error budget within the long window: share × period / long.

Source: Google, *The Site Reliability Workbook*, chapter 5 "Alerting on SLOs", table 5-8,
https://sre.google/workbook/alerting-on-slos/ has the pairs of 1h, 6h and 3d; that of 1d is from Sloth,
https://github.com/slok/sloth/blob/main/internal/alert/windows/google-30d.yaml
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from reporter.slo.durations import UNITS_NS, format_duration

Severity = Literal["page", "ticket"]

_M, _H, _D = UNITS_NS["m"], UNITS_NS["h"], UNITS_NS["d"]

DEFAULT_SHARES: tuple[tuple[Severity, Decimal, int, int], ...] = (
    # severity, share of the error budget, long window, short window
    ("page", Decimal("0.02"), 1 * _H, 5 * _M),
    ("page", Decimal("0.05"), 6 * _H, 30 * _M),
    ("ticket", Decimal("0.10"), 1 * _D, 2 * _H),
    ("ticket", Decimal("0.10"), 3 * _D, 6 * _H),
)
"""What an SLO without `alerts` has; over 30 days the factors are 14.4, 6, 3 and 1.  Shortest long window first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPair:
    """One alert of one SLO; `factor` is exact."""

    severity: Severity
    long_ns: int
    short_ns: int
    factor: Fraction

    @property
    def long(self) -> str:
        return format_duration(self.long_ns)

    @property
    def short(self) -> str:
        return format_duration(self.short_ns)

    def __str__(self) -> str:
        return f"{self.severity} {self.long}/{self.short} above {float(self.factor):.6g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutPair:
    """A default pair that an SLO goes without, and why."""

    pair: AlertPair
    reason: str


def factor_of_share(share_ratio: Decimal, period_ns: int, long_ns: int) -> Fraction:
    """Return the burn rate that uses `share_ratio` of a period's budget within the long window.

    >>> float(factor_of_share(Decimal("0.02"), 30 * 24, 1))
    14.4
    """
    return Fraction(share_ratio) * period_ns / long_ns


def ceiling(error_budget_ratio: Decimal) -> Fraction:
    """Return the burn rate when every event is bad: 1 / (1 - objective).  No burn rate is above it.

    >>> ceiling(Decimal("0.05"))
    Fraction(20, 1)
    """
    return 1 / Fraction(error_budget_ratio)


def impossibility(pair: AlertPair, period_ns: int, error_budget_ratio: Decimal | None) -> str | None:
    """Return why the pair makes no sense for this period and objective, in a sentence; None when it does.

    A cost budget has no objective (None), and so no ceiling.
    """
    if pair.short_ns >= pair.long_ns:
        return f"the short window ({pair.short}) must be shorter than the long one ({pair.long})"
    if pair.long_ns > period_ns:
        return f"the long window ({pair.long}) is longer than the period ({format_duration(period_ns)})"
    highest = None if error_budget_ratio is None else ceiling(error_budget_ratio)
    if highest is not None and pair.factor >= highest:
        return (
            f"factor {float(pair.factor):.6g} can never be exceeded: with this objective the burn rate is at most "
            f"{float(highest):.6g}, when every event is bad"
        )
    return None


def default_pairs(
    period_ns: int, error_budget_ratio: Decimal, slice_ns: int = 0
) -> tuple[tuple[AlertPair, ...], tuple[LeftOutPair, ...]]:
    """Return the default pairs that suit a period and an objective, and those left out, each with its reason.

    Left out is what can never fire, what looks back further than the period or less than a time slice, and what comes after
    a pair whose factor is at most 1 already: that one catches every burn rate that would exhaust the budget, and a further one
    would alert on less.
    """
    kept: list[AlertPair] = []
    left_out: list[LeftOutPair] = []
    for severity, share, long_ns, short_ns in DEFAULT_SHARES:
        pair = AlertPair(
            severity=severity, long_ns=long_ns, short_ns=short_ns, factor=factor_of_share(share, period_ns, long_ns)
        )
        reason = impossibility(pair, period_ns, error_budget_ratio)
        if reason is None and short_ns < slice_ns:
            reason = f"the short window ({pair.short}) is shorter than a time slice ({format_duration(slice_ns)})"
        covering = next((earlier for earlier in kept if earlier.factor <= 1), None)
        if reason is None and covering is not None:
            reason = f"{covering} already catches every burn rate that exhausts the budget"
        if reason is None:
            kept.append(pair)
        else:
            left_out.append(LeftOutPair(pair=pair, reason=reason))
    return tuple(kept), tuple(left_out)


def firing(
    pair: AlertPair,
    burn_long: Fraction | float | None,
    burn_short: Fraction | float | None,
    bad_events: int | Fraction,
    min_bad_events: int = 0,
) -> bool:
    """Return whether the pair fires: both burn rates strictly above its factor, and enough bad events to mean it.

    `bad_events` are those of the long window.  A burn rate that is undefined (None: no events) never fires.
    """
    if burn_long is None or burn_short is None or bad_events < min_bad_events:
        return False
    return _above(burn_long, pair.factor) and _above(burn_short, pair.factor)


def _above(burn: Fraction | float, limit: Fraction) -> bool:
    # A burn rate that was made a float is compared with the factor made a float: 14.4 is not above 14.4.
    return burn > (float(limit) if isinstance(burn, float) else limit)
