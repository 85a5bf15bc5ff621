"""The arithmetic of error budgets: pure functions of exact counts.

Everything is computed in integers and fractions and becomes a float once, at the end; there is no rounding in between.
A ratio over no events is undefined and is None, never 0, 1 or NaN.

Source: Google, *The Site Reliability Workbook*, chapter 5 "Alerting on SLOs", https://sre.google/workbook/alerting-on-slos/
"""

from decimal import Decimal
from fractions import Fraction
from typing import Literal

State = Literal["ok", "burning", "exhausted", "no_data"]


def sli_ratio(good: int, bad: int) -> float | None:
    """Return the SLI, good / total; None when there were no events.

    >>> sli_ratio(999, 1)
    0.999
    """
    return float(Fraction(good, good + bad)) if good + bad else None


def exact_burn_rate(good: int, bad: int, error_budget_ratio: Decimal) -> Fraction | None:
    """Return (bad / total) / (1 - objective) exactly; None when there were no events."""
    return Fraction(bad, good + bad) / Fraction(error_budget_ratio) if good + bad else None


def burn_rate(good: int, bad: int, error_budget_ratio: Decimal) -> float | None:
    """Return how many times faster than sustainable the budget burns; 1 uses it up exactly at the end of the period.

    Source: SRE Workbook, chapter 5, "Alert on burn rate".

    >>> burn_rate(9_856, 144, Decimal("0.001"))
    14.4
    """
    burn = exact_burn_rate(good, bad, error_budget_ratio)
    return None if burn is None else float(burn)


def budget_consumed(good: int, bad: int, error_budget_ratio: Decimal) -> float | None:
    """Return the share of the error budget used, given the counts of the SLO's whole period: its burn rate."""
    return burn_rate(good, bad, error_budget_ratio)


def budget_remaining(good: int, bad: int, error_budget_ratio: Decimal) -> float | None:
    """Return the share of the error budget left: 1 - consumed, below 0 when overspent, None without events.

    >>> budget_remaining(980, 20, Decimal("0.01"))
    -1.0
    """
    burn = exact_burn_rate(good, bad, error_budget_ratio)
    return None if burn is None else float(1 - burn)


def state(good: int, bad: int, error_budget_ratio: Decimal, *, any_firing: bool) -> State:
    """Return the SLO's state from the counts of its period and whether any of its alert pairs fires.

    no_data    no events in the period
    exhausted  nothing of the budget remains: remaining <= 0
    burning    something remains, and at least one alert pair fires
    ok         otherwise
    """
    burn = exact_burn_rate(good, bad, error_budget_ratio)
    if burn is None:
        return "no_data"
    if burn >= 1:
        return "exhausted"
    return "burning" if any_firing else "ok"
