"""SLOs: specs, indicators, alert pairs and the arithmetic of error budgets.  Pure: no clock, no file, no database."""

from reporter.slo.alerting import AlertPair, LeftOutPair, firing
from reporter.slo.budget import budget_consumed, budget_remaining, burn_rate, exact_burn_rate, sli_ratio, state
from reporter.slo.durations import format_duration, parse_duration
from reporter.slo.spec import SLO
from reporter.slo.where import Where

__all__ = [
    "SLO",
    "AlertPair",
    "LeftOutPair",
    "Where",
    "budget_consumed",
    "budget_remaining",
    "burn_rate",
    "exact_burn_rate",
    "firing",
    "format_duration",
    "parse_duration",
    "sli_ratio",
    "state",
]
