"""SLOs → OpenSLO documents."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import yaml

from reporter.formats.native import JUDGING, written
from reporter.formats.openslo.words import ANNOTATION, API, CALENDAR, METHODS, SOURCE
from reporter.slo.durations import UNITS_NS
from reporter.slo.fields import plain
from reporter.slo.spec import SLO

_OF_THE_FORMAT = (
    *JUDGING, "name", "service", "objective", "description", "labels", "period", "calendar", "timezone", "method",
    "timeslice", "timeslice_target",
)  # fmt: skip
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def write(slos: Sequence[SLO]) -> tuple[str, list[str]]:
    """OpenSLO documents that `read` makes the same SLOs of; and sentences on what other programs won't see in them."""
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": API,
            "kind": "DataSource",
            "metadata": {"name": SOURCE},
            "spec": {"type": SOURCE, "connectionDetails": {}},
        }
    ]
    for service in dict.fromkeys(slo.service for slo in slos):
        documents.append(
            {"apiVersion": API, "kind": "Service", "metadata": {"name": service}, "spec": {"description": ""}}
        )
    documents += [_written(slo) for slo in slos]
    text = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=120)
    return text, [sentence for slo in slos for sentence in _untold(slo)]


def _written(slo: SLO) -> dict[str, Any]:
    told = written(slo)
    judging = {key: told[key] for key in JUDGING if key in told}
    rest = {key: value for key, value in told.items() if key not in _OF_THE_FORMAT}
    metadata: dict[str, Any] = {"name": slo.name}
    if slo.labels:
        metadata["labels"] = dict(slo.labels)
    if rest:
        metadata["annotations"] = {ANNOTATION: json.dumps(rest, sort_keys=True, ensure_ascii=False)}
    source = {"metricSource": {"metricSourceRef": SOURCE, "type": SOURCE, "spec": judging}}
    objective: dict[str, Any] = {"target": _ratio(slo.objective)}
    if slo.slice_ns:
        if slo.timeslice_target is not None:
            objective["timeSliceTarget"] = _ratio(slo.timeslice_target)
        objective["timeSliceWindow"] = _length(slo.slice_ns)
    spec = {
        "description": slo.description,
        "service": slo.service,
        "indicator": {
            "metadata": {"name": f"{slo.name}-sli"},
            "spec": {"ratioMetric": {"counter": True, "good": source, "total": json.loads(json.dumps(source))}},
        },
        "timeWindow": [_window(slo)],
        "budgetingMethod": next(name for name, method in METHODS.items() if method == slo.method),
        "objectives": [objective],
    }
    return {"apiVersion": API, "kind": "SLO", "metadata": metadata, "spec": spec}


def _ratio(percent: Decimal) -> float | str:
    ratio = percent / 100
    return float(ratio) if Decimal(repr(float(ratio))) == ratio else plain(ratio)


def _window(slo: SLO) -> dict[str, Any]:
    if slo.calendar is None:
        return {"duration": _length(slo.main_period.nominal_ns), "isRolling": True}
    duration = next(name for name, calendar in CALENDAR.items() if calendar == slo.calendar)
    return {
        "duration": duration,
        "isRolling": False,
        "calendar": {"startTime": "2024-01-01 00:00:00", "timeZone": slo.timezone},
    }


def _length(length_ns: int) -> str:
    """A length in one unit, as OpenSLO has it."""
    unit = next(unit for unit in ("w", "d", "h", "m") if length_ns % UNITS_NS[unit] == 0)
    return f"{length_ns // UNITS_NS[unit]}{unit}"


def _untold(slo: SLO) -> Iterator[str]:
    if not _NAME.fullmatch(slo.name) or not _NAME.fullmatch(slo.service):
        yield f"{slo.name}: OpenSLO takes lower-case names of letters, digits, - and . only, for SLOs and services"
    if slo.alerts is not None or slo.min_bad_events or slo.missing != "exclude" or slo.periods or slo.runbook:
        yield f"{slo.name}: alerts, min_bad_events, missing, periods and runbook are in an annotation that only reporter reads"
