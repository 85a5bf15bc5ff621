"""One panel of a dashboard: its queries, its settings, and how its values are drawn."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

from reporter.check import promql
from reporter.check.grafana import types
from reporter.check.grafana.names import OWN_SOURCES
from reporter.check.grafana.variables import filled, undefined
from reporter.check.labels import labels_of
from reporter.check.place import Complaint, Place, twice
from reporter.check.shape import duration
from reporter.check.whole import Whole
from reporter.check.words import meant, near
from reporter.expression import parse

_LEGEND = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}", re.ASCII)
_PROPERTIES_BESIDE = ("displayName", "noValue", "links", "actions", "filterable", "fieldMinMax", "unit")
_PLUGIN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+")  # those of others have their maker's name before theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What the panels of a dashboard may use: what all files have, and its variables; `lengths` are lengths of time."""

    among: Whole
    variables: frozenset[str]
    lengths: frozenset[str]

    def source(self, named: Place) -> Iterator[Complaint]:
        """What is wrong with the uid of a data source."""
        if not named.text or named.text in OWN_SOURCES:
            return
        yield from undefined(named, self.variables)
        known = self.among.datasources
        if "$" not in named.text and known and named.text not in known:
            yield named.wrong(f"there is no data source {named.text[:60]}{meant(named.text, known)}")


def panel(one: Place, board: Board) -> Iterator[Complaint]:
    """Everything that is wrong with a panel."""
    kind = one["type"].text
    if not kind:
        yield one.wrong("the panel has no type, which it needs")
    elif kind not in types.panel_types() and not _PLUGIN.fullmatch(kind):
        yield one["type"].wrong(f"there is no panel {kind}{meant(kind, types.panel_types())}")
    if kind == "row":
        yield from types.shape("dashboard.RowPanel")(_without_panels(one))
        return
    yield from types.shape("dashboard.Panel")(one)
    yield from board.source(one["datasource"]["uid"])
    if one["options"].value is not None:
        yield from types.options(kind)(one["options"])
    if one["interval"].text and "$" not in one["interval"].text:
        yield from duration(one["interval"])
    repeat = one["repeat"]
    if repeat.text and repeat.text not in board.variables:
        yield repeat.wrong(f"there is no variable {repeat.text} in the dashboard{meant(repeat.text, board.variables)}")
    for text in (one["title"], one["description"], *(link["url"] for link in one["links"].each())):
        yield from undefined(text, board.variables)
    yield from _fields(one, kind)
    for step in one["transformations"].each():
        yield from _misspelt(step, types.TRANSFORMATIONS, "transformation")
    yield from _targets(one, board)


def _without_panels(row: Place) -> Place:
    value = (
        {key: value for key, value in row.value.items() if key != "panels"}
        if isinstance(row.value, dict)
        else row.value
    )
    return Place(row.sheet, row.location, value)


def _fields(one: Place, kind: str) -> Iterator[Complaint]:
    """What is wrong with the settings of fields, and those that only some have."""
    defaults, own = one["fieldConfig"]["defaults"], types.custom(kind)
    if own and defaults["custom"].value is not None:
        yield from types.shape(own)(defaults["custom"])
    yield from _units(defaults["unit"])
    yield from _units(one["options"]["yAxis"]["unit"])
    yield from _thresholds(defaults["thresholds"])
    for override in one["fieldConfig"]["overrides"].each():
        yield from _misspelt(override["matcher"], types.MATCHERS, "matcher")
        named = ((entry["id"].text, entry["id"]) for entry in override["properties"].each() if entry["id"].text)
        yield from twice(named, "is set here already")
        for entry in override["properties"].each():
            yield from _property(entry, own)


def _misspelt(entry: Place, known: Collection[str], what: str) -> Iterator[Complaint]:
    """Complain of an id that is hardly meant; there are more with each Grafana, so others are taken as they are."""
    name = entry["id"].text
    if not name:
        yield entry.wrong(f"the {what} has no id, which it needs")
    elif name not in known and near(name, known, likeness=0.75):
        yield entry["id"].wrong(f"there is no {what} {name}; did you mean {near(name, known)}?")


def _property(entry: Place, own: str) -> Iterator[Complaint]:
    name = entry["id"].text
    head, _, rest = name.partition(".")
    if head == "custom" and rest:
        if own and rest.partition(".")[0] not in types.keys_of(own):
            yield entry["id"].wrong(
                f"there is no setting {name}{meant(name, [f'custom.{key}' for key in types.keys_of(own)])}"
            )
        return
    known = {*types.keys_of(types.PROPERTIES), *_PROPERTIES_BESIDE} - {"custom"}
    if head not in known:
        yield entry["id"].wrong(f"there is no setting {name or 'without an id'}{meant(name, known)}")
    if name == "unit":
        yield from _units(entry["value"])
    if name == "thresholds":
        yield from _thresholds(entry["value"])


def _units(unit: Place) -> Iterator[Complaint]:
    if unit.value is not None and "$" not in unit.text:
        yield from types.unit(unit)


def _thresholds(thresholds: Place) -> Iterator[Complaint]:
    for before, step in pairwise(thresholds["steps"].each()):
        lower, upper = before["value"].number(), step["value"].number()
        if lower is not None and upper is not None and upper <= lower:
            yield step["value"].wrong(f"must be more than the step before it, {lower:g}")
        if step["value"].value is None:
            yield step["value"].wrong("must be a number: only the first step has none, and is from the lowest value on")


def _targets(one: Place, board: Board) -> Iterator[Complaint]:
    targets = list(one["targets"].each())
    named = ((target["refId"].text, target["refId"]) for target in targets if target["refId"].text)
    yield from twice(named, "a query of this refId is in the panel already")
    for target in targets:
        source = target["datasource"]
        yield from board.source(source["uid"])
        asks = target["expr"].value is not None or source["type"].text == "prometheus"
        if not asks or source["uid"].text in OWN_SOURCES:
            continue
        yield from types.shape("prometheus.Dataquery")(target)
        if not target["refId"].text:
            yield target.wrong("the query has no refId, which it needs")
        if target["instant"].value is False and target["range"].value is False:
            yield target["range"].wrong("instant and range are both false, so nothing is asked")
        if target["interval"].text and "$" not in target["interval"].text:
            yield from duration(target["interval"])
        yield from _asked(target, board)


def _asked(target: Place, board: Board) -> Iterator[Complaint]:
    expr = target["expr"]
    if not expr.text.strip():
        yield (target if expr.value is None else expr).wrong("the query asks nothing: it has no expr")
        return
    yield from undefined(expr, board.variables)
    yield from undefined(target["legendFormat"], board.variables)
    asked = filled(expr.text, board.lengths)
    yield from promql.wrong(expr, asked, board.among.names)
    try:
        there = labels_of(parse(asked), board.among.names)
    except (ValueError, RecursionError):
        return
    for label in _LEGEND.findall(target["legendFormat"].text):
        if there is not None and label not in there:
            yield target["legendFormat"].wrong(f"the query gives no label {label}{meant(label, there)}")
