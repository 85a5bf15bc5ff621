"""OpenSLO documents → SLOs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from reporter.formats.model import Choices, Import, ask, judged_by, keep
from reporter.formats.native import JUDGING, number
from reporter.formats.openslo.words import ANNOTATION, API, CALENDAR, METHODS, SOURCE
from reporter.formats.part import Part, finish, read_parts
from reporter.slo.durations import UNITS_NS, format_duration, parse_duration
from reporter.slo.spec import label_problem

_KINDS = ("SLO", "SLI", "Service", "AlertPolicy", "AlertCondition", "DataSource", "AlertNotificationTarget")
_LENGTH = re.compile(r"([1-9][0-9]*)([smhdw])")


def read(files: Sequence[Path], choices: Choices) -> Import:
    """The SLOs of files, which may refer to one another.

    Raises:
        ConfigError: one can't be read, or something in it can't be meant.
    """
    found = Import()
    objects: dict[tuple[str, str], Part] = {}
    slos = []
    for document in [document for file in files for document in read_parts(file, found.findings)]:
        kind = document.text("kind")
        if document.text("apiVersion") != API:
            document.blame("apiVersion", f"must be {API}")
            continue
        if kind not in _KINDS:
            document.blame("kind", f"must be one of {', '.join(_KINDS)}")
            continue
        name = _metadata(document)[0]
        if (kind, name) in objects:
            document.blame("metadata", f"{kind} {name} is there twice; first at {objects[kind, name].place}")
        objects[kind, name] = document
        if kind == "SLO":
            slos.append(document)
        elif kind == "AlertNotificationTarget":
            document.warn("spec", "who is told of alerts is Alertmanager's affair")
    if not slos:
        found.findings.problems.append(f"{', '.join(map(str, files))}: there is no document of kind SLO")
    for document in slos:
        _Reading(found, objects, choices).slo(document)
    for (kind, _), document in objects.items():
        if kind == "Service" and (spec := document.part("spec")) is not None:
            spec.ignore("description")
            spec.rest()
        if kind == "DataSource":
            document.ignore("spec")  # where somebody else's queries go
        document.rest()
    found.findings.raise_problems()
    return found


def _metadata(document: Part) -> tuple[str, dict[str, str], dict[str, str]]:
    """Name, labels and annotations of an object."""
    metadata = document.part("metadata")
    if metadata is None:
        document.blame("metadata", "is required")
        return "", {}, {}
    metadata.ignore("displayName")
    told = metadata.need("name"), metadata.texts("labels"), metadata.texts("annotations")
    metadata.rest()
    return told


class _Reading:
    """One file's SLOs, among its other objects."""

    def __init__(self, found: Import, objects: dict[tuple[str, str], Part], choices: Choices) -> None:
        self._found, self._objects, self._choices = found, objects, choices

    def slo(self, document: Part) -> None:
        """Take over one SLO; one with several objectives becomes several."""
        name, labels, annotations = _metadata(document)
        if unfit := [label for label in labels if label_problem(label) is not None]:
            document.warn("metadata", f"labels that Prometheus' alerts can't have are left out: {', '.join(unfit)}")
            labels = {label: value for label, value in labels.items() if label not in unfit}
        carried = self._carried(document, annotations)
        spec = document.part("spec")
        if spec is None:
            document.blame("spec", "is required")
            return
        common: dict[str, Any] = {"name": name, "service": spec.text("service") or "default"}
        if spec.has("service") and ("Service", common["service"]) not in self._objects:
            spec.warn("service", f"there is no Service {common['service']!r} in what was given")
        indicator = self._referred(spec, "indicator", "indicatorRef", "SLI")
        objectives = spec.parts("objectives")
        if not objectives:
            spec.blame("objectives", "must have at least one")
        if indicator is None:
            spec.blame("indicator", "is required, or indicatorRef with the name of an SLI")
        judged = None if indicator is None else self._judged(indicator, name)
        rest = self._period(spec) | self._method(spec)
        alerts = self._alerts(spec, carried)
        if description := spec.text("description"):
            rest["description"] = description
        if labels:
            rest["labels"] = labels
        for index, objective in enumerate(objectives):
            own = {"name": name if len(objectives) == 1 else f"{name}-{objective.text('displayName') or index + 1}"}
            target = self._target(objective)
            rest_of = dict(rest) | self._slices(objective, rest)
            if judged is not None and target is not None:
                told = {**common, **own, **judged, "objective": target, **rest_of, **alerts, **carried}
                keep(self._found, document, told, origin=f"from OpenSLO, {document.place}", places=_places(objective))
        finish([spec, document])

    def _carried(self, document: Part, annotations: dict[str, str]) -> dict[str, Any]:
        text = annotations.pop(ANNOTATION, None)
        for key in annotations:
            document.warn("metadata", f"annotations.{key} is not taken over")
        if text is None:
            return {}
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            document.blame("metadata", f"annotations.{ANNOTATION} is not what `reporter export openslo` writes")
            return {}
        return told

    def _referred(self, spec: Part, inline: str, reference: str, kind: str) -> Part | None:
        """The spec of an object that stands inline, or is referred to by name."""
        if spec.has(inline):
            part = spec.part(inline)
            if part is None:
                return None
            part.ignore("metadata")
            inner = part.part("spec")
            if inner is None:
                part.blame("spec", "is required")
            return inner
        return self._named(spec, reference, kind)

    def _named(self, spec: Part, reference: str, kind: str) -> Part | None:
        name = spec.text(reference)
        if not name:
            return None
        document = self._objects.get((kind, name))
        if document is None:
            spec.blame(reference, f"there is no {kind} {name!r} in what was given")
            return None
        return document.part("spec")

    def _judged(self, indicator: Part, name: str) -> dict[str, Any] | None:
        indicator.ignore("description")
        ratio = indicator.part("ratioMetric")
        if ratio is None:
            if name in self._choices.mappings:
                return self._found.map(name, self._choices)
            if indicator.has("thresholdMetric"):
                query = json.dumps(indicator.value["thresholdMetric"], default=str)
                ask(self._found, indicator, name, query, "is a threshold on a measured value, not a ratio of events")
            else:
                indicator.blame("ratioMetric", "is required, or thresholdMetric")
            return None
        ratio.flag("counter")
        indicator.rest()
        sources = {key: self._source(ratio, key) for key in ("good", "bad", "total")}
        if ratio.has("raw"):
            ask(
                self._found, ratio, name, json.dumps(ratio.value["raw"], default=str), "is one ratio, and not of events"
            )
            return None
        ratio.rest()
        ours = next((told for told in sources.values() if isinstance(told, dict)), None)
        if ours is not None:
            return ours
        if name in self._choices.mappings:
            return self._found.map(name, self._choices)
        queries = {key: told for key, told in sources.items() if isinstance(told, str)}
        if "total" not in queries or not {"good", "bad"} & queries.keys():
            ratio.blame(None, "must have total, and good or bad, each with a query")
            return None
        return judged_by(
            self._found, ratio, name, self._choices, total=queries["total"], good=queries.get("good"),
            bad=None if "good" in queries else queries["bad"],
        )  # fmt: skip

    def _source(self, ratio: Part, key: str) -> dict[str, Any] | str | None:
        """The query of a metric source, or what one of ours says of an SLO."""
        metric = ratio.part(key)
        source = None if metric is None else metric.part("metricSource")
        if metric is None or source is None:
            return None
        kind = source.text("type")
        if source.has("metricSourceRef"):
            data = self._named(source, "metricSourceRef", "DataSource")
            kind = kind or ("" if data is None else data.text("type"))
        spec = source.part("spec")
        finish([metric, source])
        if spec is None:
            return None
        if kind == SOURCE:
            return {name: value for name, value in spec.value.items() if name in JUDGING} or None
        query = spec.text("query")
        spec.rest()
        return query or None

    def _period(self, spec: Part) -> dict[str, Any]:
        windows = spec.parts("timeWindow")
        if not windows:
            return {} if self._choices.period is None else {"period": self._choices.period}
        window, *others = windows
        for other in others:
            other.warn(None, "is left out: an OpenSLO SLO has one time window")
        duration, calendar = window.need("duration"), window.part("calendar")
        is_rolling = window.flag("isRolling") or (calendar is None and not window.has("isRolling"))
        window.rest()
        if is_rolling:
            length = _LENGTH.fullmatch(duration)
            if length is None:
                window.blame(
                    "duration", "must be like 30d or 4w when it is rolling: months and quarters have no length"
                )
                return {}
            return {"period": format_duration(parse_duration(duration))}
        if duration not in CALENDAR:
            window.blame("duration", f"must be one of {', '.join(CALENDAR)} for a calendar, not {duration!r}")
            return {}
        told: dict[str, Any] = {"calendar": CALENDAR[duration]}
        if calendar is not None:
            if zone := calendar.text("timeZone"):
                told["timezone"] = zone
            start = str(calendar.value.get("startTime", ""))
            if start and not _begins(told["calendar"], start):
                calendar.warn("startTime", f"{start}: here a {told['calendar']} begins with its first day, at midnight")
            calendar.rest()
        return told

    def _method(self, spec: Part) -> dict[str, Any]:
        method = spec.text("budgetingMethod", "Occurrences")
        if method not in METHODS:
            spec.blame("budgetingMethod", f"must be one of {', '.join(METHODS)}")
            return {}
        return {"method": METHODS[method]} if method != "Occurrences" else {}

    def _target(self, objective: Part) -> Any:
        objective.ignore("displayName")
        ratio, percent = objective.number("target"), objective.number("targetPercent")
        if (ratio is None) == (percent is None):
            objective.blame(None, "must have target, or targetPercent, and not both")
            return None
        for key in ("op", "value", "compositeWeight", "indicator", "indicatorRef"):
            if objective.has(key):
                objective.warn(key, "is not taken over")
        return percent if ratio is None else _percent(objective, "target", ratio)

    def _slices(self, objective: Part, rest: dict[str, Any]) -> dict[str, Any]:
        target, length = objective.number("timeSliceTarget"), objective.text("timeSliceWindow")
        objective.rest()
        if "method" not in rest:
            return {}
        told: dict[str, Any] = {}
        if length:
            told["timeslice"] = length
        if target is not None and rest["method"] == "timeslices":
            told["timeslice_target"] = _percent(objective, "timeSliceTarget", target)
        return told

    def _alerts(self, spec: Part, carried: dict[str, Any]) -> dict[str, Any]:
        policies = []
        for entry in spec.parts("alertPolicies"):
            policy = self._named(entry, "alertPolicyRef", "AlertPolicy")
            if policy is None and entry.has("spec"):
                policy = entry.part("spec")
            entry.ignore("kind", "metadata", "apiVersion")
            entry.rest()
            if policy is not None:
                policies.append(policy)
        if not policies or "alerts" in carried:
            return {}
        return {"alerts": [pair for policy in policies for pair in self._pairs(policy)]}

    def _pairs(self, policy: Part) -> Iterator[dict[str, Any]]:
        policy.ignore("description", "alertWhenBreaching", "alertWhenResolved", "alertWhenNoData")
        if policy.flag("alertWhenNoData"):
            policy.warn("alertWhenNoData", "is left out: `missing: bad` makes silence burn the budget")
        if policy.has("notificationTargets"):
            policy.warn("notificationTargets", "who is told of alerts is Alertmanager's affair")
        for entry in policy.parts("conditions"):
            condition = self._named(entry, "conditionRef", "AlertCondition") or entry.part("spec")
            entry.ignore("kind", "metadata", "apiVersion")
            entry.rest()
            if condition is not None:
                yield from self._pair(condition)
        policy.rest()

    def _pair(self, condition: Part) -> Iterator[dict[str, Any]]:
        severity = condition.text("severity", "ticket")
        condition.ignore("description")
        inner = condition.part("condition")
        condition.rest()
        if inner is None or inner.text("kind") != "burnrate":
            condition.warn("condition", "is left out: only burnrate conditions are known")
            return
        factor, long = inner.number("threshold"), inner.need("lookbackWindow")
        if inner.has("alertAfter"):
            inner.warn("alertAfter", "is left out: the short window is what keeps an alert from flapping")
        operator = inner.text("op", "gt")
        if operator not in ("gt", "gte"):
            inner.blame("op", "must be gt or gte")
        elif operator == "gte":
            inner.warn("op", "is taken as gt: an alert fires above its factor")
        inner.rest()
        try:
            long_ns = parse_duration(long)
        except ValueError as error:
            inner.blame("lookbackWindow", str(error))
            return
        short_ns = max(long_ns // 12 // UNITS_NS["m"], 1) * UNITS_NS["m"]
        inner.warn("lookbackWindow", f"gets a short window of {format_duration(short_ns)}, its twelfth, beside it")
        paging = severity.casefold() in ("page", "critical", "high")
        yield {
            "severity": "page" if paging else "ticket", "long": format_duration(long_ns),
            "short": format_duration(short_ns), "factor": factor,
        }  # fmt: skip


def _places(objective: Part) -> dict[str, tuple[Part, str]]:
    """Where OpenSLO says what an SLO's fields are."""
    return {"objective": (objective, "target" if objective.has("target") else "targetPercent")}


def _begins(calendar: str, start: str) -> bool:
    """Whether a day, week, month or quarter of ours begins with that moment; what is no moment, with none."""
    try:
        at = datetime.fromisoformat(start)
    except ValueError:
        return False
    if (at.hour, at.minute, at.second) != (0, 0, 0):
        return False
    if calendar == "week":
        return at.weekday() == 0
    return calendar == "day" or (at.day == 1 and (calendar == "month" or at.month in (1, 4, 7, 10)))


def _percent(part: Part, key: str, ratio: Any) -> Any:
    """A ratio as percent, exactly."""
    try:
        percent = Decimal(str(ratio)) * 100
    except ArithmeticError:
        part.blame(key, "must be a number")
        return None
    if not 0 < percent <= 100:
        part.blame(key, f"must be a ratio above 0 and at most 1, not {ratio}")
        return None
    return number(percent)
