"""What is expected of a batch job's runs."""

from __future__ import annotations

from dataclasses import dataclass

from reporter.schedule.due import Schedule
from reporter.slo.durations import MINUTE_NS

START_GRACE_NS = 5 * MINUTE_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """When a job's runs are due, how long they may and must take, and how many at once; None is not said."""

    schedule: Schedule | None = None
    start_grace_ns: int = START_GRACE_NS
    max_duration_ns: int | None = None
    min_duration_ns: int | None = None
    max_concurrent: int | None = None
