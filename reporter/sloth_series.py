"""The series that Sloth's generated rules record, made from our exact counts: dashboards and alerts for Sloth light up.

Source: https://github.com/slok/sloth, pkg/common/conventions: the names and labels.  Sloth records the error ratio of its
period as a mean of 5-minute ratios; here every ratio is of events.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from reporter.family import Labels, Metric, Sample
from reporter.report.model import SLOStatus
from reporter.slo.durations import UNITS_NS
from reporter.slo.fields import plain

_NAME = re.compile(r"(?!__|sloth_|le$|quantile$)[a-zA-Z_][a-zA-Z0-9_]*")  # of a label that stands for nothing else
_OF_SLO = ("sloth_id", "sloth_service", "sloth_slo")


def _gauge(name: str, help: str, *labels: str) -> Metric:
    return Metric(name=name, type="gauge", help=help, labels=(*_OF_SLO, *labels))


OBJECTIVE = _gauge("slo:objective:ratio", "The objective.")
ERROR_BUDGET = _gauge("slo:error_budget:ratio", "One minus the objective.")
TIME_PERIOD = _gauge("slo:time_period:days", "The length of the period.")
CURRENT_BURN_RATE = _gauge("slo:current_burn_rate:ratio", "The burn rate of the last 5 minutes.")
PERIOD_BURN_RATE = _gauge("slo:period_burn_rate:ratio", "The burn rate of the period.")
BUDGET_REMAINING = _gauge(
    "slo:period_error_budget_remaining:ratio", "The share of the period's error budget that is left."
)
INFO = _gauge("sloth_slo_info", "Always 1.", "sloth_mode", "sloth_objective", "sloth_spec", "sloth_version")


def samples(
    slos: Iterable[SLOStatus], own_labels: Mapping[str, Mapping[str, str]], version: str
) -> Iterator[tuple[Metric, Sample]]:
    """Every series of every SLO, with its `own_labels`; what is undefined has none."""
    for slo in slos:
        labels = (
            ("sloth_id", f"{slo.service}-{slo.slo}"), ("sloth_service", slo.service), ("sloth_slo", slo.slo),
            *sorted((name, value) for name, value in own_labels.get(slo.slo, {}).items() if value and _NAME.fullmatch(name)),
        )  # fmt: skip
        yield OBJECTIVE, Sample(labels, slo.objective_ratio)
        yield ERROR_BUDGET, Sample(labels, float(1 - Decimal(str(slo.objective_ratio))))
        if slo.periods:
            period = slo.periods[0]
            yield TIME_PERIOD, Sample(labels, (period.end_ns - period.start_ns) / UNITS_NS["d"])
        yield INFO, Sample((*labels, *_info(slo, version)), 1)
        for label, window in slo.windows.items():
            if window.sli_ratio is not None and label[0].isdigit():  # not one of the calendar, which Sloth has not
                ratio = 1 - window.sli_ratio if not window.total else window.bad / window.total
                yield _error_ratio(label), Sample((*labels, ("sloth_window", label)), ratio)
        yield from _burn_rates(slo, labels)


def _burn_rates(slo: SLOStatus, labels: Labels) -> Iterator[tuple[Metric, Sample]]:
    now = slo.windows.get("5m")
    if now is not None and now.burn_rate is not None:
        yield CURRENT_BURN_RATE, Sample(labels, now.burn_rate)
    if slo.consumed_ratio is not None and slo.remaining_ratio is not None:
        yield PERIOD_BURN_RATE, Sample(labels, slo.consumed_ratio)
        yield BUDGET_REMAINING, Sample(labels, slo.remaining_ratio)


def _error_ratio(window: str) -> Metric:
    return _gauge(f"slo:sli_error:ratio_rate{window}", f"Bad events over all events of {window}.", "sloth_window")


def _info(slo: SLOStatus, version: str) -> Labels:
    objective = plain(Decimal(str(slo.objective_ratio)) * 100)
    return (
        ("sloth_mode", "reporter"), ("sloth_objective", objective), ("sloth_spec", "prometheus/v1"), ("sloth_version", version)
    )  # fmt: skip
