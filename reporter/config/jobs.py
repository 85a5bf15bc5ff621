"""Jobs: when they are due, how long they may take, and what is no schedule."""

import re

from pydantic import Field, field_validator

from reporter.slo.fields import Duration, PositiveCount, PositiveDuration, Spec, TimeZone

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_CRON_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_SCHEDULE_NAMES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")


_LAST_DAYS = {"day of the month": r"LW?", "day of the week": r"[0-7]L|([0-7]|SUN|MON|TUE|WED|THU|FRI|SAT)#[1-5]"}


def _is_cron_item(item: str, field: str, first: int, last: int, names: tuple[str, ...]) -> bool:
    """Whether `item` is `*`, a number or name, or a span of them, with `/step` behind if it likes; or a last or n-th day."""
    if field in _LAST_DAYS and re.fullmatch(_LAST_DAYS[field], item.upper()):
        return True
    span, slash, step = item.partition("/")
    if slash and not (step.isascii() and step.isdigit() and int(step[:9]) > 0):
        return False
    if span == "*":
        return True
    numbers = []
    for word in span.split("-"):
        if word.casefold() in names:
            numbers.append(names.index(word.casefold()) + first)
        elif word.isascii() and word.isdigit() and first <= int(word[:9]) <= last:
            numbers.append(int(word))
        else:
            return False
    return len(numbers) == 1 or (len(numbers) == 2 and numbers[0] <= numbers[1])


class Job(Spec):
    """What is expected of a batch job's runs."""

    schedule: str | None = None
    timezone: TimeZone | None = None
    start_grace_ns: Duration | None = Field(default=None, alias="start_grace")
    max_duration_ns: PositiveDuration | None = Field(default=None, alias="max_duration")
    max_concurrent: PositiveCount | None = None

    @field_validator("schedule")
    @classmethod
    def _check_schedule(cls, schedule: str | None) -> str | None:
        if schedule is None or schedule in _SCHEDULE_NAMES:
            return schedule
        fields = schedule.split()
        if len(fields) != len(_CRON_FIELDS):
            raise ValueError(f'must be a cron expression of five fields, like "0 3 * * *", not {schedule[:60]!r}')
        for field, (name, first, last, names) in zip(fields, _CRON_FIELDS, strict=True):
            if not all(_is_cron_item(item, name, first, last, names) for item in field.split(",")):
                raise ValueError(
                    f"has {field[:60]!r} for its {name}: must be {first}-{last}, *, a-b, */n, or such by commas"
                )
        return schedule
