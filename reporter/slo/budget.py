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


def exact_burn_rate(good: int | Fraction, bad: int | Fraction, error_budget_ratio: Decimal) -> Fraction | None:
    """Return (bad / total) / (1 - objective) exactly; None when there were no events."""
    return Fraction(bad) / (good + bad) / Fraction(error_budget_ratio) if good + bad else None


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
    return remaining(exact_burn_rate(good, bad, error_budget_ratio))


def remaining(burn: Fraction | None) -> float | None:
    """Return the share of the budget left after a period with this burn rate."""
    return None if burn is None else float(1 - burn)


def as_float(exact: Fraction | None) -> float | None:
    """Return the float nearest to an exact ratio; None stays None."""
    return None if exact is None else float(exact)


def projected(consumed: Fraction | None, burn: Fraction | None, elapsed: Fraction) -> Fraction | None:
    """Return the share of a period's budget used at its end, if the rest of it burns at the rate `burn`.

    `consumed` is the share of the whole period's budget used so far, `elapsed` that of its time.  None: one is undefined.

    >>> projected(Fraction(1, 4), Fraction(2), Fraction(1, 2))
    Fraction(5, 4)
    """
    return None if consumed is None or burn is None else consumed + burn * (1 - elapsed)


def exhaustion(consumed: Fraction | None, burn: Fraction | None, length_ns: int, at_ns: int) -> int | None:
    """Return when the budget of a period of `length_ns` is used up, if it goes on burning at the rate `burn` after `at_ns`.

    That is `at_ns` itself when nothing is left already, and None when it never is, or a ratio is undefined.
    Source: SRE Workbook, chapter 5: at burn rate 1 a budget lasts the period, at burn rate b the b-th part of it.

    >>> exhaustion(Fraction(1, 2), Fraction(10), 30 * 86_400, 0) / 3600  # half a 30-day budget, at ten times the pace
    36.0
    """
    if consumed is None:
        return None
    if consumed >= 1:
        return at_ns
    return None if not burn else at_ns + int((1 - consumed) * length_ns / burn)


def state(burn: Fraction | float | None, *, any_firing: bool) -> State:
    """Return the SLO's state from the burn rate of its period and whether any of its alert pairs fires.

    no_data    no events in the period
    exhausted  nothing of the budget remains: remaining <= 0
    burning    something remains, and at least one alert pair fires
    ok         otherwise
    """
    if burn is None:
        return "no_data"
    if burn >= 1:
        return "exhausted"
    return "burning" if any_firing else "ok"
