"""Panels: queries, and how Grafana draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
STEP = "1m"
"""A report comes every minute: a finer step shows nothing, and `$__rate_interval` is four of these at least."""

GREEN, YELLOW, ORANGE, RED, BLUE = "green", "yellow", "orange", "red", "blue"
Step = tuple[str, float | None]  # a colour, and from which value on; None: from the lowest
BUDGET_LEFT: tuple[Step, ...] = ((RED, None), (ORANGE, 0.0), (YELLOW, 0.25), (GREEN, 0.5))
BURN: tuple[Step, ...] = ((GREEN, None), (YELLOW, 1.0), (RED, 14.4))  # 14.4: 2 % of 30 days in an hour
NEW_COUNTER = "A counter that is new tells all that was before it once, in its first minutes."
NONE_WANTED: tuple[Step, ...] = ((GREEN, None), (RED, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One PromQL expression with its legend; `instant` where only now counts."""

    expr: str
    legend: str = "__auto"
    instant: bool = False
    format: str = "time_series"

    def json(self, ref_id: str) -> dict[str, Any]:
        return {
            "refId": ref_id,
            "datasource": DATASOURCE,
            "expr": self.expr,
            "legendFormat": self.legend,
            "instant": self.instant,
            "range": not self.instant,
            "format": self.format,
            "interval": STEP,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel, but for its place; `says` is what a person reads behind its title."""

    title: str
    says: str
    type: str
    width: int
    queries: tuple[Query, ...] = ()
    unit: str = ""
    steps: tuple[Step, ...] = ((GREEN, None),)
    options: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[Mapping[str, Any]] = ()
    transformations: Sequence[Mapping[str, Any]] = ()

    def json(self, number: int, place: Mapping[str, int]) -> dict[str, Any]:
        """The panel as Grafana reads it; `number` is its id, `place` its x, y, w and h."""
        steps = [{"color": color, "value": value} for color, value in self.steps]
        return {
            "id": number,
            "type": self.type,
            "title": self.title,
            "description": self.says,
            "datasource": DATASOURCE,
            "gridPos": {**place},
            "targets": [query.json(chr(ord("A") + index)) for index, query in enumerate(self.queries)],
            "fieldConfig": {
                "defaults": {
                    **({"unit": self.unit} if self.unit else {}),
                    "thresholds": {"mode": "absolute", "steps": steps},
                    **self.defaults,
                },
                "overrides": [{**override} for override in self.overrides],
            },
            "options": {**self.options},
            **({"transformations": [{**step} for step in self.transformations]} if self.transformations else {}),
        }


_LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
_TOOLTIP = {"mode": "multi", "sort": "desc"}


def stat(
    title: str,
    says: str,
    expr: str,
    *,
    unit: str,
    width: int = 4,
    steps: tuple[Step, ...] = ((BLUE, None),),
    **defaults: Any,
) -> Panel:
    """One number as it is now, coloured by its thresholds."""
    return Panel(
        title=title, says=says, type="stat", width=width, unit=unit, steps=steps,
        queries=(Query(expr=expr, instant=True),),
        options={
            "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto",
            "reduceOptions": _LAST, "textMode": "auto",
        },
        defaults={"color": {"mode": "thresholds"}, "noValue": "–", **defaults},
    )  # fmt: skip


def lines(
    title: str,
    says: str,
    queries: Mapping[str, str],
    *,
    unit: str,
    width: int = 12,
    steps: tuple[Step, ...] = (),
    stacked: bool = False,
    **defaults: Any,
) -> Panel:
    """Values over time; `queries` by legend.  `steps` are drawn as lines."""
    custom = {
        "drawStyle": "line", "lineWidth": 1, "fillOpacity": 20 if stacked else 0, "showPoints": "auto", "spanNulls": 300_000,
        "thresholdsStyle": {"mode": "line" if steps else "off"},
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }  # fmt: skip
    return Panel(
        title=title, says=says, type="timeseries", width=width, unit=unit, steps=steps or ((GREEN, None),),
        queries=tuple(Query(expr=expr, legend=legend) for legend, expr in queries.items()),
        options={"legend": _LEGEND, "tooltip": _TOOLTIP},
        defaults={"color": {"mode": "palette-classic"}, "custom": custom, **defaults},
    )  # fmt: skip


def heatmap(title: str, says: str, expr: str, *, unit: str, width: int = 12) -> Panel:
    """The buckets of a histogram over time; `expr` has them by `le`."""
    return Panel(
        title=title, says=says, type="heatmap", width=width,
        queries=(Query(expr=expr, legend="{{le}}", format="heatmap"),),
        options={
            "calculate": False,
            "cellGap": 1,
            "color": {
                "mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "steps": 64, "fill": "dark-orange", "reverse": False,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "showValue": "never",
            "tooltip": {"mode": "single", "yHistogram": False},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
        },
    )  # fmt: skip


def bars(title: str, says: str, legend: str, expr: str, *, unit: str, width: int = 12) -> Panel:
    """Values as they are now, side by side."""
    return Panel(
        title=title, says=says, type="bargauge", width=width, unit=unit, steps=((BLUE, None),),
        queries=(Query(expr=expr, legend=legend, instant=True),),
        options={
            "displayMode": "basic", "orientation": "horizontal", "reduceOptions": _LAST, "showUnfilled": True,
            "valueMode": "color", "namePlacement": "auto", "sizing": "auto", "minVizHeight": 16, "maxVizHeight": 40,
            "minVizWidth": 8, "legend": {**_LEGEND, "showLegend": False},
        },
        defaults={"min": 0},
    )  # fmt: skip


def states(
    title: str, says: str, legend: str, expr: str, meanings: Mapping[int, tuple[str, str]], width: int = 24
) -> Panel:
    """What state each thing was in; `meanings` has (word, colour) by the value that `expr` gives."""
    mappings = {
        str(value): {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(meanings.items())
    }
    return Panel(
        title=title, says=says, type="state-timeline", width=width,
        queries=(Query(expr=expr, legend=legend),),
        options={
            "alignValue": "left", "mergeValues": True, "rowHeight": 0.8, "showValue": "auto",
            "legend": _LEGEND, "tooltip": {"mode": "single", "sort": "none"},
        },
        defaults={
            "color": {"mode": "thresholds"},
            "custom": {"fillOpacity": 70, "lineWidth": 0, "spanNulls": 300_000},
            "mappings": [{"type": "value", "options": mappings}],
        },
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table that a query fills."""

    name: str
    expr: str
    unit: str = "short"
    decimals: int | None = None  # as many as Grafana finds right
    steps: tuple[Step, ...] = ()
    cell: str = ""
    range: tuple[float, float] | None = None  # of a gauge


def table(
    title: str, says: str, keys: Mapping[str, str], columns: Sequence[Column], *, width: int = 24,
    link: tuple[str, str] | None = None, words: Mapping[str, Mapping[str, str]] | None = None,
) -> Panel:  # fmt: skip
    """One line for each set of labels; `keys` are the labels, with their headings.

    `link` is a title and a URL for the first key; `words` are colours of what is in a key's column.  A column without a name
    is not shown: its query has labels that others have not.
    """
    values = {f"Value #{chr(ord('A') + index)}": column for index, column in enumerate(columns)}
    overrides = [_column(column) for column in columns if column.name]
    if link:
        heading = next(iter(keys.values()))
        overrides.append(_override(heading, links=[{"title": link[0], "url": link[1], "targetBlank": False}]))
    overrides += [_words(heading, colors) for heading, colors in (words or {}).items()]
    order = [*keys, *values]
    return Panel(
        title=title, says=says, type="table", width=width,
        queries=tuple(Query(expr=column.expr, instant=True, format="table", legend="") for column in columns),
        options={"cellHeight": "sm", "showHeader": True, "frameIndex": 0},
        defaults={"custom": {"align": "auto", "inspect": False, "cellOptions": {"type": "auto"}, "filterable": True}},
        overrides=overrides,
        transformations=(
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True, **{name: True for name, column in values.items() if not column.name}},
                    "indexByName": {name: index for index, name in enumerate(order)},
                    "renameByName": {**keys, **{name: column.name for name, column in values.items() if column.name}},
                },
            },
        ),
    )  # fmt: skip


def _column(column: Column) -> dict[str, Any]:
    properties: dict[str, Any] = {"unit": column.unit}
    if column.decimals is not None:
        properties["decimals"] = column.decimals
    if column.steps:
        steps = [{"color": color, "value": value} for color, value in column.steps]
        properties["thresholds"] = {"mode": "absolute", "steps": steps}
        cell: dict[str, Any] = {"type": column.cell or "color-text"}
        properties["custom.cellOptions"] = {**cell, "mode": "basic"} if column.cell == "gauge" else cell
        properties["color"] = {"mode": "thresholds"}
    if column.range:
        properties["min"], properties["max"] = column.range
    return _override(column.name, **properties)


def _words(heading: str, colors: Mapping[str, str]) -> dict[str, Any]:
    options = {word: {"color": color, "index": index} for index, (word, color) in enumerate(colors.items())}
    return _override(
        heading,
        **{"mappings": [{"type": "value", "options": options}], "custom.cellOptions": {"type": "color-text"}},
    )


def _override(name: str, **properties: Any) -> dict[str, Any]:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": known, "value": value} for known, value in properties.items()],
    }


def firing(title: str, says: str, *, width: int = 12) -> Panel:
    """Alerts that fire, of Grafana's own rules and of those that Prometheus evaluates; it queries nothing itself."""
    return Panel(
        title=title, says=says, type="alertlist", width=width,
        options={
            "alertInstanceLabelFilter": '{source=~"slo|budget|job|calls|reporter|counters"}',
            "alertName": "", "dashboardAlerts": False, "groupBy": [], "groupMode": "default", "maxItems": 20, "sortOrder": 3,
            "viewMode": "list",
            "stateFilter": {"firing": True, "pending": True, "noData": True, "normal": False, "error": True},
        },
    )  # fmt: skip
