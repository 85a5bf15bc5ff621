"""Cost budgets: what calls spent of them, how fast, and what will be left; docs/budgets.md has the formulas.

`where` is matched against every series, whatever labels a report shows and however many values it puts together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from sqlalchemy import Connection, text

from reporter.config.money import CostBudget
from reporter.report.json_form import moment
from reporter.report.model import AlertState, BudgetStatus
from reporter.report.spending import Spending, Spent
from reporter.slo import cost_budget
from reporter.slo.alerting import firing
from reporter.slo.durations import format_duration
from reporter.tally import MINUTE_NS

_RESOLUTION_NAMES = {1: "minutes", 60: "hours", 1440: "days"}


def read_budgets(
    connection: Connection, budgets: Sequence[CostBudget], end: int, windows_ns: Iterable[int], notes: list[str]
) -> tuple[BudgetStatus, ...]:
    """Every budget at minute `end`, its burn rates in `windows_ns` and those of its alerts; `notes` hears what is gone."""
    if not budgets:
        return ()
    periods = [_Period(budget, end) for budget in budgets]
    lengths = {length for period in periods for length in (*period.budget.windows_ns, period.passed_ns)}
    spending = Spending(connection, end, [*lengths, *windows_ns])
    series = connection.execute(text("SELECT * FROM series")).fetchall()
    statuses = []
    for period in periods:
        matching = {
            row.series_id: bool(row.model)
            for row in series
            if period.budget.where.matches(row.batch_job, row.operation, row.provider, row.model)
        }
        statuses.append(_status(period, spending, matching, sorted({*windows_ns, *period.budget.windows_ns})))
        notes += _out_of_reach(period, spending)
    return tuple(statuses)


class _Period:
    """A budget and the period that minute `end` closes: a minute that ends with a month is that month's last."""

    def __init__(self, budget: CostBudget, end: int) -> None:
        self.budget = budget
        self.at_ns = end * MINUTE_NS
        calendar = budget.calendar_period
        if calendar is None:
            self.name = None
            self.length_ns = budget.nominal_ns
            self.start_ns, self.end_ns = self.at_ns - self.length_ns, self.at_ns
            self.ahead_ns = self.length_ns
        else:
            self.name = calendar.name(self.at_ns - 1)
            self.start_ns, self.end_ns = calendar.bounds(self.at_ns - 1)
            self.length_ns = self.end_ns - self.start_ns
            self.ahead_ns = self.end_ns - self.at_ns

    @property
    def start(self) -> int:
        """The minute it begins in."""
        return self.start_ns // MINUTE_NS

    @property
    def passed_ns(self) -> int:
        """Whole minutes since then."""
        return self.at_ns - self.start * MINUTE_NS


def _status(period: _Period, spending: Spending, series: Mapping[int, bool], windows_ns: Sequence[int]) -> BudgetStatus:
    budget, spent = period.budget, spending.of(series)
    burns = {
        length: cost_budget.burn_rate(spent[length].nanousd, length, budget.nanousd, period.length_ns)
        if spent[length].known
        else None
        for length in windows_ns
        if length in spent
    }
    alerts = _alerts(budget, burns)
    so_far = spent.get(period.passed_ns)
    total = None if so_far is None or not so_far.known else so_far.nanousd
    projected = _projected(period, spending, spent.get(budget.rate_ns), total)
    return BudgetStatus(
        budget=budget.name,
        nanousd=budget.nanousd,
        period=budget.period,
        period_name=period.name,
        start_ns=period.start_ns,
        end_ns=period.end_ns,
        state=_state(total, budget.nanousd, alerts),
        spent_nanousd=total,
        unpriced_calls=None if so_far is None else so_far.unpriced_calls,
        remaining_ratio=None if total is None else float(cost_budget.remaining(total, budget.nanousd)),
        rate=format_duration(budget.rate_ns),
        projected_nanousd=projected,
        exhausted_at_ns=_exhausted(period, spending, series, total, projected),
        burn_rates={format_duration(length): None if burn is None else float(burn) for length, burn in burns.items()},
        alerts=alerts,
    )


def _projected(period: _Period, spending: Spending, lately: Spent | None, total: int | None) -> int | None:
    """What the calendar's period will have cost, or a whole period at the present rate if it rolls."""
    if total is None or lately is None or not lately.known:
        return None
    rate = cost_budget.rate(lately.nanousd, period.budget.rate_ns, spending.known_ns)
    return cost_budget.projected(0 if period.name is None else total, period.ahead_ns, rate)


def _exhausted(
    period: _Period, spending: Spending, series: Mapping[int, bool], total: int | None, projected: int | None
) -> int | None:
    nanousd = period.budget.nanousd
    if total is not None and total >= nanousd:
        return spending.reached_ns(series, period.start, nanousd)
    if total is None or projected is None:
        return None
    return cost_budget.exhausted_at_ns(period.at_ns, period.ahead_ns, total, projected, nanousd)


def _alerts(budget: CostBudget, burns: Mapping[int, Fraction | None]) -> tuple[AlertState, ...]:
    return tuple(
        AlertState(
            severity=pair.severity,
            long=pair.long,
            short=pair.short,
            factor=float(pair.factor),
            firing=firing(pair, burns[pair.long_ns], burns[pair.short_ns], 0),
        )
        for pair in budget.pairs
        if pair.long_ns in burns and pair.short_ns in burns
    )


def _state(total: int | None, nanousd: int, alerts: Iterable[AlertState]) -> str:
    if total is None:
        return "unknown"
    if total >= nanousd:
        return "exhausted"
    return "burning" if any(alert.firing for alert in alerts) else "ok"


def _out_of_reach(period: _Period, spending: Spending) -> list[str]:
    """A sentence when tallies that it needs were pruned."""
    whats = {period.budget.rate_ns: "the projection", period.passed_ns: "what was spent"}
    own = (period.passed_ns, *period.budget.windows_ns)
    lost = {length: spending.lost[length] for length in own if length in spending.lost}
    if not lost:
        return []
    unknown = ", ".join(whats.get(length, f"the burn rate in {format_duration(length)}") for length in lost)
    resolution = min(lost.values())
    name, since = _RESOLUTION_NAMES[resolution], moment(spending.pruned_before_ns(resolution))
    sentence = (
        f"budget {period.budget.name}: unknown: {unknown}; tallies of {name} from before {since} would be needed, they"
        f" were pruned (retention.{name})"
    )
    return [sentence]


# ── v_budget ──


_KEPT = (
    "name", "period", "period_name", "starts_at_ns", "ends_at_ns", "budget_nanousd", "spent_nanousd",
    "projected_nanousd", "unpriced_calls", "exhausted_at_ns", "state", "as_of_ns",
)  # fmt: skip


def remember_budgets(connection: Connection, budgets: Sequence[BudgetStatus], as_of_ns: int) -> None:
    """Keep them for `v_budget`, in the place of those that were kept before."""
    connection.execute(text("DELETE FROM budgets"))
    if budgets:
        connection.execute(
            text(f"INSERT INTO budgets ({', '.join(_KEPT)}) VALUES ({', '.join(f':{name}' for name in _KEPT)})"),
            [_kept(status, as_of_ns) for status in budgets],
        )


def has_budgets(connection: Connection) -> bool:
    """Whether any are kept."""
    return connection.execute(text("SELECT 1 FROM budgets LIMIT 1")).scalar() is not None


def _kept(status: BudgetStatus, as_of_ns: int) -> dict[str, object]:
    most = 2**63 - 1
    return {
        "name": status.budget,
        "period": status.period,
        "period_name": status.period_name,
        "starts_at_ns": status.start_ns,
        "ends_at_ns": status.end_ns,
        "budget_nanousd": status.nanousd,
        "spent_nanousd": status.spent_nanousd,
        "projected_nanousd": None if status.projected_nanousd is None else min(status.projected_nanousd, most),
        "unpriced_calls": status.unpriced_calls,
        "exhausted_at_ns": status.exhausted_at_ns,
        "state": status.state,
        "as_of_ns": as_of_ns,
    }
