"""Sloth's files: `prometheus/v1`, and the resource PrometheusServiceLevel of `sloth.slok.dev/v1`.

Source: https://github.com/slok/sloth, pkg/prometheus/api/v1 and pkg/kubernetes/api/sloth/v1
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from reporter.formats.model import Choices, Import, ask, can_be_meant, judged_by, keep
from reporter.formats.native import written
from reporter.formats.part import Part, finish, read_parts
from reporter.slo.spec import SLO

ANNOTATION = "reporter_slo"
"""An annotation of Sloth's alerts: what of an SLO its format has no place for, as JSON."""
_NAME = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.]*")
_OF_THE_FORMAT = ("name", "service", "objective", "description", "labels")
_SEVERITIES = ("page", "ticket")


def read(files: Sequence[Path], choices: Choices) -> Import:
    """The SLOs of files.

    Raises:
        ConfigError: one can't be read, or something in it can't be meant.
    """
    found = Import()
    for document in [document for file in files for document in read_parts(file, found.findings)]:
        if document.text("apiVersion") == "sloth.slok.dev/v1":
            _resource(found, document, choices)
        elif document.text("version") == "prometheus/v1":
            _service(found, document, choices, camel=False)
        else:
            document.blame(
                None,
                "is no Sloth file: version: prometheus/v1, or apiVersion: sloth.slok.dev/v1 with kind:"
                " PrometheusServiceLevel, is expected",
            )
    found.findings.raise_problems()
    return found


def _resource(found: Import, document: Part, choices: Choices) -> None:
    if document.text("kind") != "PrometheusServiceLevel":
        document.blame("kind", "must be PrometheusServiceLevel")
        return
    document.ignore("metadata")
    spec = document.part("spec")
    if spec is None:
        document.blame("spec", "is required")
        return
    _service(found, spec, choices, camel=True)
    document.rest()


def _service(found: Import, part: Part, choices: Choices, *, camel: bool) -> None:
    service = part.need("service")
    labels = part.texts("labels")
    slos = part.parts("slos")
    if not slos:
        part.blame("slos", "has no SLO")
    for slo in slos:
        _slo(found, slo, service, labels, choices, camel=camel)
    part.ignore("version")
    part.rest()


def _slo(found: Import, part: Part, service: str, labels: dict[str, str], choices: Choices, *, camel: bool) -> None:
    def key(name: str) -> str:
        return re.sub(r"_(.)", lambda match: match[1].upper(), name) if camel else name

    name = part.need("name")
    objective = part.number("objective")
    if objective is None:
        part.blame("objective", "is required")
    told: dict[str, Any] = {"name": name, "service": service}
    alerting = part.part("alerting")
    carried = _carried(alerting)
    judged = carried if "sli" in carried else _judged(found, part, name, choices, key)
    told |= {"sli": None, **(judged or {}), "objective": objective}
    if "period" not in told and "calendar" not in told and choices.period is not None:
        told["period"] = choices.period
    told |= _alerts(told, alerting, key)
    if description := part.text("description"):
        told["description"] = description
    own = part.texts("labels")
    if labels or own:
        told["labels"] = labels | own
    part.ignore("sli")
    finish([alerting, part])
    if objective is None or not name:
        return
    if judged is None:
        can_be_meant(part, {**told, "sli": "availability"})
    else:
        keep(found, part, told, origin=f"from Sloth, {part.place}")


def _carried(alerting: Part | None) -> dict[str, Any]:
    """What an export of ours wrote beside Sloth's own."""
    annotations = {} if alerting is None else alerting.texts("annotations")
    text = annotations.pop(ANNOTATION, None)
    if annotations and alerting is not None:
        alerting.warn("annotations", f"{', '.join(annotations)}: alerts get annotations of their own")
    if text is None:
        return {}
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        assert alerting is not None
        alerting.blame("annotations", f"{ANNOTATION} is not what `reporter export sloth` writes")
        return {}
    return told


def _judged(found: Import, part: Part, name: str, choices: Choices, key: Any) -> dict[str, Any] | None:
    sli = part.part("sli")
    if sli is None:
        part.blame("sli", "is required")
        return None
    events = sli.part("events")
    if events is not None:
        bad, total = events.need(key("error_query")), events.need(key("total_query"))
        finish([events, sli])
        return judged_by(found, sli, name, choices, total=total, bad=bad) if bad and total else None
    if name in choices.mappings:
        return found.map(name, choices)
    for kind in ("raw", "plugin"):
        if sli.has(kind):
            query = json.dumps(sli.value[kind], default=str)
            why = "is one ratio, and not of events" if kind == "raw" else "is a plugin's"
            ask(found, sli, name, query, why)
            return None
    sli.blame(None, "must have events, raw or plugin")
    return None


def _alerts(told: dict[str, Any], alerting: Part | None, key: Any) -> dict[str, Any]:
    """Which of the SLO's alerts are switched off."""
    if alerting is None:
        return {}
    off = []
    alerting.ignore("name")
    if alerting.has("labels"):
        alerting.warn("labels", "alerts get the SLO's labels")
    for severity in _SEVERITIES:
        alert = alerting.part(key(f"{severity}_alert"))
        if alert is None:
            continue
        if alert.flag("disable"):
            off.append(severity)
        for extra in ("labels", "annotations"):
            if alert.has(extra):
                alert.warn(extra, f"alerts get {extra} of their own")
        alert.rest()
    if not off:
        return {}
    try:
        pairs = SLO.model_validate({**told, "sli": told["sli"] or "availability"}).pairs
    except ValueError:
        return {}  # what is wrong is told when the whole is validated
    if not any(pair.severity in off for pair in pairs):
        return {}
    kept = [
        {"severity": pair.severity, "long": pair.long, "short": pair.short, "factor": _factor(pair.factor)}
        for pair in pairs
        if pair.severity not in off
    ]
    return {"alerts": kept}


def _factor(factor: Any) -> Any:
    exact = Decimal(factor.numerator) / Decimal(factor.denominator)
    return int(exact) if exact == exact.to_integral_value() else float(f"{exact:.15g}")


# ── the other way ──


def write(slos: Sequence[SLO]) -> tuple[str, list[str]]:
    """`prometheus/v1` documents, one a service, over our counters; and sentences on what they can't say."""
    by_service: dict[str, list[SLO]] = {}
    for slo in slos:
        by_service.setdefault(slo.service, []).append(slo)
    documents = [
        {"version": "prometheus/v1", "service": service, "slos": [_written(slo) for slo in those]}
        for service, those in by_service.items()
    ]
    text = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=120)
    return text, [sentence for slo in slos for sentence in _untold(slo)]


def _written(slo: SLO) -> dict[str, Any]:
    told = written(slo)
    rest = {key: value for key, value in told.items() if key not in _OF_THE_FORMAT}
    matcher = f"slo={_quoted(slo.name)},service={_quoted(slo.service)}"
    severities = {pair.severity for pair in slo.pairs}
    result: dict[str, Any] = {"name": slo.name, "objective": told["objective"]}
    if isinstance(result["objective"], str):
        result["objective"] = float(slo.objective)
    if slo.description:
        result["description"] = slo.description
    if slo.labels:
        result["labels"] = dict(slo.labels)
    result["sli"] = {
        "events": {
            "error_query": f'sum(rate(slo_events_total{{{matcher},result="bad"}}[{{{{.window}}}}]))',
            "total_query": f"sum(rate(slo_events_total{{{matcher}}}[{{{{.window}}}}]))",
        }
    }
    result["alerting"] = {
        "name": "".join(word.capitalize() for word in re.split(r"\W+", slo.name)) or "SLO",
        "annotations": {ANNOTATION: _for_a_template(json.dumps(rest, sort_keys=True, ensure_ascii=False))},
        **{f"{severity}_alert": {"disable": True} for severity in _SEVERITIES if severity not in severities},
    }
    return result


def _for_a_template(told: str) -> str:
    """JSON in which nothing looks like the beginning of a template: Prometheus fills in those of annotations."""
    return told.replace("{{", "{\\u007b")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _untold(slo: SLO) -> Iterator[str]:
    """What Sloth will do otherwise than we do."""
    if not _NAME.fullmatch(slo.name) or not _NAME.fullmatch(slo.service):
        yield f"{slo.name}: Sloth takes names of letters, digits, -, _ and . only"
    if slo.calendar is not None:
        yield f"{slo.name}: Sloth has rolling periods only; it will count 30 days instead of the {slo.period}"
    elif slo.period != "30d":
        yield f"{slo.name}: tell Sloth its period, {slo.period}: --default-slo-period"
    if slo.slice_ns:
        yield f"{slo.name}: Sloth counts events, not time slices"
    if slo.missing != "exclude" or slo.min_bad_events:
        yield f"{slo.name}: Sloth knows neither missing nor min_bad_events"
    if slo.alerts is not None:
        yield f"{slo.name}: Sloth has alert windows of its own; those of reporter.yaml are kept in an annotation"
    if slo.sli.over == "minutes":
        yield f"{slo.name}: its counter counts minutes, so Sloth's rates are minutes per second"
