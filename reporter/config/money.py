"""Money: what models cost, and what calls may cost."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from reporter import facts
from reporter.pricing import PER_MTOK
from reporter.slo.alerting import AlertPair, LeftOutPair, impossibility
from reporter.slo.calendar import Calendar, CalendarPeriod
from reporter.slo.cost_budget import default_pairs, rate_window_ns
from reporter.slo.durations import format_duration
from reporter.slo.fields import Name, NonNegativeDecimal, PositiveDecimal, Spec, TimeZone, Window, refusal
from reporter.slo.spec import Alert
from reporter.slo.where import Globs, Where

_NANOUSD = Decimal("1e-9")
_MOST_USD = 9 * 10**9  # in nano-dollars it must fit a database's integer


def _day(value: object) -> date:
    try:
        return value if type(value) is date else date.fromisoformat(str(value))
    except ValueError:
        raise ValueError("must be a day like 2026-11-01") from None


Day = Annotated[date, BeforeValidator(_day)]


class ModelPrice(Spec):
    """What a model costs, in USD a million tokens: before the catalogue's price, or where it knows none."""

    model: Globs
    provider: Globs | None = None
    price_class: Annotated[str | None, AfterValidator(facts.price_class)] = None
    since: Day | None = None
    input: NonNegativeDecimal
    output: NonNegativeDecimal | None = None
    cache_read: NonNegativeDecimal | None = None
    cache_write: NonNegativeDecimal | None = None
    cache_write_1h: NonNegativeDecimal | None = None

    def sells(self, provider: str, model: str, day: int, price_class: str | None) -> bool:
        """Whether it is the price of such a call on a day, counted from 1970."""
        where = Where(provider=self.provider, model=self.model)
        return (
            self.since_day <= day
            and self.price_class == price_class
            and where.matches(batch_job="", operation="", provider=provider, model=model)
        )

    @property
    def since_day(self) -> int:
        """From when on, in days since 1970."""
        return (self.since - date(1970, 1, 1)).days if self.since is not None else 0

    @property
    def usd_per_mtok(self) -> dict[str, Decimal]:
        """USD a million tokens, of what is said."""
        told = {name: getattr(self, name) for name in PER_MTOK}
        return {name: usd for name, usd in told.items() if usd is not None}


def _whole_nanousd(usd: Decimal) -> Decimal:
    if usd % _NANOUSD:
        raise ValueError("must be whole nano-dollars: at most 9 digits after the point")
    if usd > _MOST_USD:
        raise ValueError(f"must be at most {_MOST_USD:,}")
    return usd


class CostBudget(Spec):
    """Money that calls may cost in a period, which either rolls or is one of the calendar."""

    name: Name
    usd: Annotated[PositiveDecimal, AfterValidator(_whole_nanousd)]
    period_ns: Window | None = Field(default=None, alias="period")
    calendar: Calendar | None = None
    timezone: TimeZone = "UTC"
    where: Where = Where()
    alerts: tuple[Alert, ...] | None = None

    @model_validator(mode="after")
    def _check_period(self) -> Self:
        if (self.period_ns is None) == (self.calendar is None):
            raise ValueError("must say either period, like 30d, or calendar: day, week, month or quarter")
        if self.calendar is None and "timezone" in self.model_fields_set:
            raise refusal([(("timezone",), "belongs to calendar; a rolling period needs none")])
        return self

    @model_validator(mode="after")
    def _refuse_impossible_alerts(self) -> Self:
        problems: list[tuple[tuple[str | int, ...], str]] = []
        seen: set[tuple[str, int, int]] = set()
        for index, alert in enumerate(self.alerts or ()):
            pair = alert.pair(self.nominal_ns)
            reason = impossibility(pair, self.nominal_ns, None)
            if (key := (alert.severity, alert.long_ns, alert.short_ns)) in seen:
                reason = f"{alert.severity} {pair.long}/{pair.short} is there twice"
            seen.add(key)
            if reason is not None:
                problems.append((("alerts", index), reason))
        if problems:
            raise refusal(problems)
        return self

    @property
    def nanousd(self) -> int:
        """The budget in nano-dollars."""
        return int(self.usd / _NANOUSD)

    @property
    def calendar_period(self) -> CalendarPeriod | None:
        """The days, weeks, months or quarters it is of; None when its period rolls."""
        return None if self.calendar is None else CalendarPeriod(self.calendar, self.timezone)

    @property
    def period(self) -> str:
        """The period's label: `30d`, or `month Europe/Berlin`."""
        found = self.calendar_period
        return format_duration(self.nominal_ns) if found is None else found.label

    @property
    def nominal_ns(self) -> int:
        """The length of its period; of a calendar's the usual one."""
        found = self.calendar_period
        return (self.period_ns or 0) if found is None else found.nominal_ns

    @property
    def longest_ns(self) -> int:
        """The longest that it looks back."""
        found = self.calendar_period
        return max((0 if found is None else found.longest_ns), *self.windows_ns)

    @property
    def pairs(self) -> tuple[AlertPair, ...]:
        """The alert pairs in force, written or defaults that suit; the same in months of any length, as an SLO's."""
        if self.alerts is not None:
            return tuple(alert.pair(self.nominal_ns) for alert in self.alerts)
        return default_pairs(self.nominal_ns)[0]

    @property
    def left_out_pairs(self) -> tuple[LeftOutPair, ...]:
        """The default pairs that this budget goes without, and why."""
        return () if self.alerts is not None else default_pairs(self.nominal_ns)[1]

    @property
    def rate_ns(self) -> int:
        """Over how long its present rate of spending is measured."""
        return rate_window_ns(self.nominal_ns)

    @property
    def windows_ns(self) -> tuple[int, ...]:
        """The windows it needs sums for, shortest first: of its alert pairs, its rate, and its period if that rolls."""
        lengths = {length for pair in self.pairs for length in (pair.long_ns, pair.short_ns)}
        lengths |= {self.rate_ns} | ({self.period_ns} if self.period_ns is not None else set())
        return tuple(sorted(lengths))
