"""Dashboards: panels in rows, the variables that their queries use, and links from each to the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reporter.family import Metric
from reporter.generate.files import MARK
from reporter.generate.grafana.identity import called, own
from reporter.generate.grafana.panels import DATASOURCE, Panel
from reporter.generate.rules import Source
from reporter.slo.durations import nearest

WIDTH = 24  # of Grafana's grid
TAG = "reporter"
_SCHEMA_VERSION = 39


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A choice on top of a dashboard: the values that a label of a metric has.

    With `many` it may be several or all of them, and is matched with =~; else one, matched with =.
    """

    name: str
    label: str
    of: str
    many: bool = True

    @property
    def matcher(self) -> str:
        return f'{self.name}{"=~" if self.many else "="}"${self.name}"'

    def json(self) -> dict[str, Any]:
        query = f"label_values({self.of}, {self.name})"
        return {
            "type": "query",
            "name": self.name,
            "label": self.label,
            "datasource": DATASOURCE,
            "query": {"query": query, "refId": f"variable-{self.name}"},
            "definition": query,
            "refresh": 2,  # when the time range changes
            "sort": 1,
            "multi": self.many,
            "includeAll": self.many,
            **({"allValue": ".*", "current": {"text": "All", "value": "$__all"}} if self.many else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What there is to show: the group at the gateway, the labels of calls, the windows of reports."""

    source: Source
    labels: tuple[str, ...]
    windows: tuple[str, ...]  # shortest first

    def own(self, name: str) -> str:
        """A uid or tag that no other reporter's dashboards have."""
        return own(name, self.source.grouping)

    @property
    def called(self) -> str:
        """What the reporter is called in titles."""
        return called(self.source.grouping)

    def select(self, metric: Metric | str, *variables: Variable, also: str = "", **labels: str) -> str:
        """A selector of the series that the variables leave; `also` are further matchers."""
        matchers = [*(variable.matcher for variable in variables), *([also] if also else [])]
        return f"{self.source.select(metric, **labels)[:-1]}{''.join(f',{matcher}' for matcher in matchers)}}}"

    def by(self, *wanted: str) -> str:
        """Those of the labels that calls have here, for `by (…)`."""
        return ", ".join(label for label in wanted if label in self.labels or label in ("le", "status", "type"))

    def window(self, wanted: str) -> str:
        """This window if reports have it, else the one that is nearest to it."""
        return nearest(self.windows, wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard; `rows` are panels side by side, with how high they are."""

    uid: str
    tag: str  # of all that belong together
    title: str
    says: str
    rows: tuple[tuple[int, tuple[Panel, ...]], ...]
    variables: tuple[Variable, ...] = ()
    since: str = "now-24h"

    def number_of(self, title: str) -> int:
        """The id of the panel of this title, which is its place among all."""
        titles = [panel.title for _, panels in self.rows for panel in panels]
        return titles.index(title) + 1

    def json(self) -> dict[str, Any]:
        """The dashboard, its description first: that is where it says that it was generated."""
        return {
            "description": f"{self.says} {MARK} grafana`: change reporter.yaml and generate it again.",
            "id": None,
            "uid": self.uid,
            "title": self.title,
            "tags": [self.tag],
            "timezone": "browser",
            "editable": True,
            "graphTooltip": 1,
            "schemaVersion": _SCHEMA_VERSION,
            "version": 1,
            "refresh": "1m",
            "time": {"from": self.since, "to": "now"},
            "annotations": {"list": []},
            "links": [{**_LINKS, "tags": [self.tag]}],
            "templating": {"list": [_DATASOURCE_VARIABLE, *(variable.json() for variable in self.variables)]},
            "panels": self._placed(),
        }

    def _placed(self) -> list[dict[str, Any]]:
        placed: list[dict[str, Any]] = []
        y = 0
        for height, panels in self.rows:
            x = 0
            for panel in panels:
                place = {"x": x, "y": y, "w": panel.width, "h": height}
                placed.append(panel.json(len(placed) + 1, place))
                x += panel.width
            if x > WIDTH:
                raise ValueError(f"{self.title}: the row of {panels[0].title} is {x} wide, {WIDTH} at most")
            y += height
        return placed


_DATASOURCE_VARIABLE: Mapping[str, Any] = {
    "type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus", "regex": "",
    "refresh": 1, "multi": False, "includeAll": False,
}  # fmt: skip
_LINKS: Mapping[str, Any] = {
    "type": "dashboards", "title": "reporter", "icon": "external link", "tooltip": "", "tags": [TAG], "asDropdown": False,
    "includeVars": True, "keepTime": True, "targetBlank": False, "url": "",
}  # fmt: skip


def as_text(dashboard: Dashboard) -> str:
    """The file: on its first line, as in every generated file, that it was generated."""
    text = json.dumps(dashboard.json(), indent=1, ensure_ascii=False)
    return "{" + text.removeprefix("{").lstrip() + "\n"
