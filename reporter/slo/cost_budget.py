"""The arithmetic of cost budgets: pure functions of money and time, exact until the end.

Money is nano-dollars, lengths are nanoseconds.  A cost budget burns like an error budget: a burn rate of 1 spends it
exactly by the end of its period.  What has no price is in no sum, so every number here is a lower bound where calls
without a price are about; who shows one says so.

Source: Google, *The Site Reliability Workbook*, chapter 5 "Alerting on SLOs", https://sre.google/workbook/alerting-on-slos/,
for burn rates and pairs of windows; money in the place of bad events is ours, see docs/budgets.md.
"""

from fractions import Fraction

from reporter.slo.alerting import DEFAULT_SHARES, AlertPair, LeftOutPair, factor_of_share, impossibility
from reporter.slo.durations import MINUTE_NS, UNITS_NS

DAY_NS, WEEK_NS = UNITS_NS["d"], UNITS_NS["w"]


def burn_rate(spent: int, window_ns: int, budget: int, period_ns: int) -> Fraction:
    """Return how many times faster than sustainable money goes: spent / (budget × window / period).

    >>> burn_rate(spent=20, window_ns=1, budget=300, period_ns=30)
    Fraction(2, 1)
    """
    return Fraction(spent, budget) * Fraction(period_ns, window_ns)


def remaining(spent: int, budget: int) -> Fraction:
    """Return the share of the budget that is left: below 0 when overspent.

    >>> remaining(spent=450, budget=300)
    Fraction(-1, 2)
    """
    return 1 - Fraction(spent, budget)


def rate_window_ns(period_ns: int) -> int:
    """Return over how long the present rate of spending is measured: a week, or a day, whichever fits into the period.

    A day has every nightly job in it, and a week every weekly one and the weekend.  Of a period shorter than a day it
    is the period.
    """
    return next((length for length in (WEEK_NS, DAY_NS) if length <= period_ns), period_ns)


def rate(spent: int, window_ns: int, known_ns: int) -> Fraction:
    """Return nano-dollars a nanosecond, from what was spent in the rate window.

    Of a database younger than that (`known_ns`: since its first calls) it is the rate since then, but never of less than a
    day: one job in the first hour says nothing of the hours to come.
    """
    return Fraction(spent, max(min(known_ns, window_ns), min(DAY_NS, window_ns)))


def projected(spent: int, rest_ns: int, rate: Fraction) -> int:
    """Return what will have been spent when `rest_ns` more have passed at that rate, to the nearest nano-dollar.

    >>> projected(spent=100, rest_ns=20, rate=Fraction(10))
    300
    """
    return round(spent + rest_ns * rate)


def exhausted_at_ns(at_ns: int, ahead_ns: int, spent: int, projected: int, budget: int) -> int | None:
    """Return when the money will be gone, on the straight line from `spent` now to `projected` in `ahead_ns`.

    A whole minute, rounded up.  None when it lasts, and when it is gone already.

    >>> exhausted_at_ns(at_ns=0, ahead_ns=10 * MINUTE_NS, spent=100, projected=600, budget=300) // MINUTE_NS
    4
    """
    if not spent < budget < projected:
        return None
    minutes = (at_ns + Fraction(budget - spent, projected - spent) * ahead_ns) / MINUTE_NS
    return int(-(-minutes // 1)) * MINUTE_NS


def default_pairs(period_ns: int) -> tuple[tuple[AlertPair, ...], tuple[LeftOutPair, ...]]:
    """Return the default alert pairs that suit a budget's period, and those left out, each with its reason.

    They are an SLO's, by the same shares.  But bad events come in proportion to all events, while money comes in lumps:
    a nightly job spends what is right for its day within an hour.  Left out is what that would set off, and what would
    alert though the money lasts.
    """
    kept: list[AlertPair] = []
    left_out: list[LeftOutPair] = []
    for severity, share, long_ns, short_ns in DEFAULT_SHARES:
        factor = factor_of_share(share, period_ns, long_ns)
        pair = AlertPair(severity=severity, long_ns=long_ns, short_ns=short_ns, factor=factor)
        reason = impossibility(pair, period_ns, None)
        if reason is None and Fraction(share) * period_ns <= DAY_NS:
            reason = "a job that spends its day's share of the budget at once would set it off every day"
        if reason is None and factor < 1:
            reason = "it would fire at burn rates at which the budget lasts"
        if reason is None:
            kept.append(pair)
        else:
            left_out.append(LeftOutPair(pair=pair, reason=reason))
    return tuple(kept), tuple(left_out)
