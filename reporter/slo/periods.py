"""The periods that an error budget is for: a length that moves along, or a day, week, month or quarter of the calendar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from reporter.slo.calendar import Calendar, CalendarPeriod
from reporter.slo.durations import format_duration
from reporter.slo.fields import Spec, TimeZone, Window, refusal


@dataclass(frozen=True, slots=True)
class Rolling:
    """The last so many minutes."""

    length_ns: int

    @property
    def label(self) -> str:
        """`30d`."""
        return format_duration(self.length_ns)

    @property
    def nominal_ns(self) -> int:
        """Its length."""
        return self.length_ns

    @property
    def longest_ns(self) -> int:
        """Its length."""
        return self.length_ns

    def bounds(self, end_ns: int) -> tuple[int, int]:
        """When it began and ends, if it ends at `end_ns`."""
        return end_ns - self.length_ns, end_ns


@dataclass(frozen=True, slots=True)
class Dated:
    """The day, week, month or quarter that a moment is in."""

    calendar: CalendarPeriod

    @property
    def label(self) -> str:
        """`month`, or `month Europe/Berlin`."""
        return self.calendar.label

    @property
    def nominal_ns(self) -> int:
        """What alerts are scaled to: a month is 30 days, a quarter 91."""
        return self.calendar.nominal_ns

    @property
    def longest_ns(self) -> int:
        """A length that none is above: what tallies must be kept for."""
        return self.calendar.longest_ns

    def bounds(self, end_ns: int) -> tuple[int, int]:
        """When the one began and ends that was still going on just before `end_ns`.

        So at midnight of the first it is all of the month before, not nothing of the new one.
        """
        return self.calendar.bounds(end_ns - 1)


Period = Rolling | Dated


class WrittenPeriod(Spec):
    """One of an SLO's further periods, as a person writes it: `7d`, or `{calendar: month, timezone: Europe/Berlin}`."""

    period_ns: Window | None = Field(default=None, alias="period")
    calendar: Calendar | None = None
    timezone: TimeZone = "UTC"

    @model_validator(mode="after")
    def _says_one(self) -> Self:
        problem = misfit(self)
        if problem is not None:
            raise refusal([problem])
        return self

    @property
    def meant(self) -> Period:
        """The period."""
        return period_of(self.period_ns or 0, self.calendar, self.timezone)


def misfit(written: Any) -> tuple[tuple[str], str] | None:
    """What doesn't go together in an entry with `period_ns`, `calendar` and `timezone`: (field, sentence), or None."""
    told: set[str] = written.model_fields_set
    if written.calendar is not None and "period_ns" in told:
        return ("calendar",), "and period are two different periods: leave one out; further ones go into periods"
    if written.calendar is None and "timezone" in told:
        return ("timezone",), "belongs to calendar: a rolling period has none; write calendar: month, or leave it out"
    return None


def period_of(period_ns: int, calendar: Calendar | None, timezone: str) -> Period:
    """The period of such an entry."""
    return Rolling(period_ns) if calendar is None else Dated(CalendarPeriod(calendar, timezone))


WrittenPeriods = Annotated[
    tuple[
        Annotated[
            WrittenPeriod,
            BeforeValidator(lambda value: {"period": value} if isinstance(value, str) else value),
        ],
        ...,
    ],
    BeforeValidator(lambda value: [value] if isinstance(value, str | dict) else value),
]
