"""What Grafana's own types say of dashboards, as shapes; and the units that it knows.

The table beside this module is made from grafana-foundation-sdk by tests/generate/grafana_types.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from reporter.check.place import Complaint, Place
from reporter.check.shape import Shape, anything, flag, keys, list_of, map_of, number, one_of, record, text
from reporter.check.words import meant

_SIMPLE: Mapping[str, Shape] = {"text": text, "number": number, "flag": flag, "any": anything}
_ALSO: Mapping[str, dict[str, Shape]] = {  # what Grafana's pages write, though its types have no word of it
    "dashboard.Dashboard": {**keys("__inputs __requires __elements iteration style hideControls rows gnetId")},
    "dashboard.Panel": {**keys("collapsed panels error scopedVars repeatedByRow isNew")},
    "dashboard.RowPanel": {**keys("targets repeatDirection")},
    "dashboard.VariableModel": {
        **keys("options query tagValuesQuery tagsQuery useTags error id state filters baseFilters")
    },
    "dashboard.AnnotationQuery": {
        **keys("limit matchAny tags type step titleFormat textFormat tagKeys useValueForTime expr")
    },
    "prometheus.Dataquery": {
        **keys("disableTextWrap fullMetaSearch includeNullMetadata useBackend key step metric hinting"),
        **keys("requestId utcOffsetSec legacy"),
    },
    "common.DataSourceRef": {"name": text},
    "dashboard.FieldConfig": {**keys("nullValueMode")},
}
_ALERT_LIST = record(
    {
        **keys(
            "alertInstanceLabelFilter alertName dashboardTitle datasource sortOrder maxItems groupMode viewMode folder"
            " groupBy tags"
        ),
        **keys("dashboardAlerts showInstances showInactiveAlerts showOptions", anything),
        "stateFilter": record(keys("firing pending noData normal error recovering inactive ok paused", flag)),
    }
)
_OTHER_PANELS = (
    "row", "alertlist", "canvas", "datagrid", "debug", "flamegraph", "geomap", "graph", "live", "nodeGraph", "traces",
    "welcome", "gettingstarted", "table-old",
)  # fmt: skip
TRANSFORMATIONS = (
    "append", "calculateField", "concatenate", "configFromData", "convertFieldType", "convertFrameType",
    "extractFields", "fieldLookup", "filterByRefId", "filterByValue", "filterFields", "filterFieldsByName",
    "filterFrames", "formatString", "formatTime", "groupBy", "groupToMatrix", "groupToNestedTable", "heatmap",
    "histogram", "joinByField", "joinByLabels", "labelsToFields", "limit", "merge", "noop", "order", "organize",
    "partitionByValues", "prepareTimeSeries", "reduce", "regression", "rename", "renameByRegex", "rowsToFields",
    "seriesToColumns", "seriesToRows", "smoothing", "sortBy", "spatial", "timeSeriesTable", "transpose",
)  # fmt: skip
MATCHERS = (
    "byName", "byRegexp", "byType", "byTypes", "byFrameRefID", "byValue", "byNames", "byIndex", "byRegexpOrNames",
    "first", "firstTimeField", "numeric", "time", "anyMatch", "allMatch", "invertMatch", "alwaysMatch",
    "neverMatch",
)  # fmt: skip
_SUFFIXED = re.compile(r"(?:currency|prefix|suffix|time|si|count|bool|currency:financial):.+")
_UNITS_BESIDE = frozenset(
    ("none", "short", "locale", "bool", "bool_yes_no", "bool_on_off", "dateTimeAsIsoNoDateIfToday")
)
PROPERTIES = "dashboard.FieldConfig"


@cache
def _table() -> Any:
    return json.loads(files("reporter.check.grafana").joinpath("types.json").read_text(encoding="utf-8"))


@cache
def shape(name: str) -> Shape:
    """What a type of that name looks like."""
    inner = {key: _inner(kind) for key, kind in _table()["types"][name].items()}
    return record({**inner, **_ALSO.get(name, {})})


def keys_of(name: str) -> list[str]:
    """The keys of a type."""
    return list(_table()["types"][name])


def _inner(kind: Any) -> Shape:
    if isinstance(kind, dict):
        return one_of(*kind["one of"])
    if isinstance(kind, list):
        return (list_of if kind[0] == "list" else map_of)(_inner(kind[1]))
    if kind in _SIMPLE:
        return _SIMPLE[kind]

    def later(place: Place) -> Iterator[Complaint]:  # types may have each other
        yield from shape(kind)(place)

    return later


def panel_types() -> tuple[str, ...]:
    """The panels that Grafana brings along."""
    return (*_table()["panels"], *_OTHER_PANELS)


def options(panel_type: str) -> Shape:
    """What the options of a panel look like; anything where they are not known."""
    if panel_type == "alertlist":
        return _ALERT_LIST
    named = _table()["panels"].get(panel_type, {}).get("options")
    return shape(named) if named in _table()["types"] else anything


def custom(panel_type: str) -> str:
    """The name of the type of a panel's own field settings, or "" where that is not known."""
    named = _table()["panels"].get(panel_type, {}).get("custom", "")
    return named if named in _table()["types"] else ""


def unit(place: Place) -> Iterator[Complaint]:
    """A shape: a unit that Grafana knows, or one that is made up of a prefix or a suffix."""
    known = {*_table()["units"], *_UNITS_BESIDE}
    if place.text not in known and not _SUFFIXED.fullmatch(place.text) and place.value != "":
        told = str(place.value)[:40]
        yield place.wrong(f"Grafana knows no unit {told}{meant(told, known)}; write suffix:{told} for one of your own")
