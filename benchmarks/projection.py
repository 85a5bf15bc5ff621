"""How far off a month's projected cost is, by how the present rate is measured: docs/budgets.md has the table.

Made-up months of hourly cost, each after two weeks of the same; every hour the rest of the month is projected, and compared
with what came.  The number is the mean of |projected − true| / true over the hours of the month.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from reporter.slo import cost_budget
from reporter.slo.durations import UNITS_NS

HOUR_NS = UNITS_NS["h"]
BEFORE, MONTH = 14 * 24, 30 * 24
Cost = Callable[[int, int], int]
"""What is spent in an hour of a day: (day of the month, negative before it, hour) → nano-dollars."""

HISTORIES: dict[str, Cost] = {
    "the same every hour": lambda day, hour: 1,
    "one job a night": lambda day, hour: 24 if hour == 3 else 0,
    "one job a night, Monday to Friday": lambda day, hour: 24 if hour == 3 and day % 7 < 5 else 0,
    "one job a week": lambda day, hour: 168 if (day % 7, hour) == (2, 3) else 0,
    "nightly, three times as dear from day 15 on": lambda day, hour: (24 if day < 15 else 72) if hour == 3 else 0,
    "nightly, a runaway of ten days' cost on day 15": lambda day, hour: (
        (240 if (day, hour) == (15, 9) else 0) + (24 if hour == 3 else 0)
    ),
    "nightly, recorded from day 10 on": lambda day, hour: 24 if hour == 3 and day >= 10 else 0,
}


def errors(cost: Cost) -> dict[str, Fraction]:
    """The mean error of each way to measure the rate."""
    hours = [cost(*divmod(hour, 24)) for hour in range(-BEFORE, MONTH)]
    first = next(place for place, spent in enumerate(hours) if spent) - BEFORE
    true = sum(hours[BEFORE:])
    sums = dict.fromkeys(("average to date", "last day", "last 7 days", "ours"), Fraction(0))
    for now in range(1, MONTH + 1):
        at = BEFORE + now
        so_far, day, week = (sum(hours[at - length : at]) for length in (now, 24, 168))
        rates = {
            "average to date": Fraction(so_far, now * HOUR_NS),
            "last day": Fraction(day, 24 * HOUR_NS),
            "last 7 days": Fraction(week, 168 * HOUR_NS),
            "ours": cost_budget.rate(week, 168 * HOUR_NS, max(0, now - first) * HOUR_NS),
        }
        for name, rate in rates.items():
            sums[name] += abs(so_far + (MONTH - now) * HOUR_NS * rate - true) / true / MONTH
    return sums


def main() -> None:
    for history, cost in HISTORIES.items():
        told = "   ".join(f"{name} {float(error):5.0%}" for name, error in errors(cost).items())
        print(f"{history:48} {told}")


if __name__ == "__main__":
    main()
