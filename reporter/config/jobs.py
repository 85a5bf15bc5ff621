"""Jobs: when they are due, how long they may take, and what is no schedule."""

from typing import Self

from pydantic import Field, PrivateAttr, model_validator

from reporter.schedule.due import Cron, Schedule, parse_schedule
from reporter.schedule.expectation import START_GRACE_NS, Expectation
from reporter.slo.durations import format_duration
from reporter.slo.fields import Duration, PositiveCount, PositiveDuration, Spec, TimeZone, refusal


class Job(Spec):
    """What is expected of a batch job's runs."""

    schedule: str | None = None
    timezone: TimeZone | None = None
    start_grace_ns: Duration | None = Field(default=None, alias="start_grace")
    max_duration_ns: PositiveDuration | None = Field(default=None, alias="max_duration")
    min_duration_ns: PositiveDuration | None = Field(default=None, alias="min_duration")
    max_concurrent: PositiveCount | None = None

    _schedule: Schedule | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        problems = []
        if self.schedule is not None:
            try:
                self._schedule = parse_schedule(self.schedule, self.timezone or "UTC")
            except ValueError as error:
                raise refusal([(("schedule",), str(error))]) from None
        if self.timezone is not None and not isinstance(self._schedule, Cron):
            problems.append((("timezone",), "belongs to a schedule that is a cron expression"))
        if self.start_grace_ns is not None and self._schedule is None:
            problems.append((("start_grace",), "belongs to a schedule, and there is none"))
        if self.min_duration_ns and self.max_duration_ns and self.min_duration_ns >= self.max_duration_ns:
            longest = format_duration(self.max_duration_ns)
            problems.append((("min_duration",), f"must be shorter than max_duration, {longest}"))
        if problems:
            raise refusal(problems)
        return self

    @property
    def expected(self) -> Expectation:
        """What its runs are compared with."""
        return Expectation(
            schedule=self._schedule,
            start_grace_ns=START_GRACE_NS if self.start_grace_ns is None else self.start_grace_ns,
            max_duration_ns=self.max_duration_ns,
            min_duration_ns=self.min_duration_ns,
            max_concurrent=self.max_concurrent,
        )
