"""Money: what models cost, and what calls may cost."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from reporter.pricing import PER_MTOK
from reporter.slo.fields import Name, NonNegativeDecimal, PositiveDecimal, Spec, TimeZone, Window
from reporter.slo.where import Globs, Where


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
    price_class: str | None = None
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


class CostBudget(Spec):
    """Money that calls may cost in a period."""

    name: Name
    usd: PositiveDecimal
    period_ns: Window | None = Field(default=None, alias="period")
    calendar: Literal["day", "week", "month"] | None = None
    timezone: TimeZone = "UTC"
    where: Where = Where()

    @model_validator(mode="after")
    def _check_period(self) -> Self:
        if (self.period_ns is None) == (self.calendar is None):
            raise ValueError("must say either period, like 30d, or calendar: day, week or month")
        return self
