"""Dashboards: one bare dashboard a file, its panels beside each other, and nothing in it that is not there.

Source: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from reporter.check import promql
from reporter.check.grafana import types
from reporter.check.grafana.names import title, uid
from reporter.check.grafana.panels import Board, panel
from reporter.check.grafana.variables import filled, undefined
from reporter.check.place import Complaint, Place, twice
from reporter.check.shape import duration
from reporter.check.whole import Whole, panels
from reporter.check.words import meant

WIDTH = 24  # of Grafana's grid
_LABEL_VALUES = re.compile(r"\s*label_values\(\s*(?:(.+?)\s*,\s*)?([A-Za-z_]\w*)\s*\)\s*", re.ASCII | re.DOTALL)
_QUERY_RESULT = re.compile(r"\s*query_result\((.+)\)\s*", re.DOTALL)
_OTHER_QUERIES = re.compile(r"\s*(?:label_names|metrics)\(.*\)\s*", re.DOTALL)
_MOMENT = re.compile(r"now(?:[-+]\d+[smhdwMQy])?(?:/(?:f?[smhdwMQy]))?|\d{4}-\d\d-\d\dT[\d:.]+Z|\d{10,}")
_LINK = re.compile(r"/d/([A-Za-z0-9_-]+)")
_OURS = "reporter-"


def wrong(root: Place, among: Whole) -> Iterator[Complaint]:
    """Everything that is wrong with a dashboard."""
    if isinstance(root["dashboard"].value, dict):
        yield root["dashboard"].wrong(
            "is wrapped in a dashboard key, as the HTTP API has it: a file has the dashboard itself, bare"
        )
        return
    yield from types.shape("dashboard.Dashboard")(root)
    for key, shape in (("uid", uid), ("title", title)):
        if root[key].value is None:
            yield root.wrong(f"the dashboard has no {key}, which it needs")
        else:
            yield from shape(root[key])
    if root["id"].value is not None:
        yield root["id"].wrong("is the number of another Grafana's database: write null, the uid is what counts")
    if root["panels"].value is None:
        yield root.wrong("the dashboard has no panels")
    for key in ("from", "to"):
        moment = root["time"][key]
        if moment.text and "$" not in moment.text and not _MOMENT.fullmatch(moment.text):
            yield moment.wrong(f"{moment.text[:40]!r} is no moment; write one like now-24h")
    if root["refresh"].text not in ("", "auto"):
        yield from duration(root["refresh"])
    board = _board(root, among)
    yield from _variables(root, board)
    yield from _layout(root)
    for one in panels(root):
        yield from panel(one, board)
    yield from _links(root, among)


def _board(root: Place, among: Whole) -> Board:
    """What the panels of a dashboard may use."""
    entries = [entry for entry in root["templating"]["list"].each() if entry["name"].text]
    return Board(
        among=among,
        variables=frozenset(entry["name"].text for entry in entries),
        lengths=frozenset(entry["name"].text for entry in entries if entry["type"].text == "interval"),
    )


def _variables(root: Place, board: Board) -> Iterator[Complaint]:
    entries = list(root["templating"]["list"].each())
    named = ((entry["name"].text, entry["name"]) for entry in entries if entry["name"].text)
    yield from twice(named, "a variable of this name is in the dashboard already")
    for entry in entries:
        yield from types.shape("dashboard.VariableModel")(entry)
        if not entry["name"].text:
            yield entry.wrong("the variable has no name, which it needs")
        source = entry["datasource"]["uid"]
        yield from board.source(source)
        query = entry["query"]["query"] if isinstance(entry["query"].value, dict) else entry["query"]
        if entry["type"].text == "query" and query.text:
            yield from _asked(query, board)


def _asked(query: Place, board: Board) -> Iterator[Complaint]:
    """What is wrong with the query whose answers a variable can have."""
    yield from undefined(query, board.variables)
    text = filled(query.text, board.lengths)
    values, result = _LABEL_VALUES.fullmatch(text), _QUERY_RESULT.fullmatch(text)
    if values and values[1]:
        yield from promql.wrong(query, values[1], board.among.names)
        name = values[1].partition("{")[0].strip()
        series = board.among.names.series.get(name)
        if series is not None and series.labels is not None and values[2] not in series.labels:
            yield query.wrong(f"{name} has no label {values[2]}{meant(values[2], series.labels)}", values[2])
    elif result:
        yield from promql.wrong(query, result[1], board.among.names)
    elif not values and not _OTHER_QUERIES.fullmatch(text):
        yield query.wrong(f"{query.text[:60]!r} is no query for a variable; write label_values(metric, label)")


def _layout(root: Place) -> Iterator[Complaint]:
    """Panels with the same number, beyond the grid, or on top of each other."""
    everything = list(panels(root))
    numbered = ((one["id"].number(), one["id"]) for one in everything if one["id"].number() is not None)
    yield from twice(numbered, "a panel of this id is in the dashboard already")
    for among in (list(root["panels"].each()), *(list(one["panels"].each()) for one in root["panels"].each())):
        placed = []
        for one in among:
            box = _box(one)
            if box is None:
                yield (one if one["gridPos"].value is None else one["gridPos"]).wrong(
                    "the panel needs its place, gridPos: whole numbers x, y from 0 and w, h from 1"
                )
                continue
            if box[0] + box[2] > WIDTH:
                yield one["gridPos"]["w"].wrong(f"reaches to column {box[0] + box[2]}, and the grid has {WIDTH}")
            placed.append((one, box))
        yield from _overlaps(placed)


Box = tuple[int, int, int, int]


def _box(one: Place) -> Box | None:
    x, y, w, h = (one["gridPos"][key].value for key in "xywh")
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in (x, y, w, h))
    return (x, y, w, h) if whole and x >= 0 and y >= 0 and w >= 1 and h >= 1 else None


def _overlaps(placed: Sequence[tuple[Place, Box]]) -> Iterator[Complaint]:
    """Panels on top of another; by height first, so that only neighbours are compared."""
    in_order = sorted(placed, key=lambda one: one[1][1])
    for index, (one, (x, y, w, h)) in enumerate(in_order):
        for other, (left, top, width, height) in in_order[index + 1 :]:
            if top >= y + h:
                break
            if left < x + w and x < left + width and y < top + height:
                later, first = (other, one) if other.location > one.location else (one, other)
                name = first["title"].text or f"panel {first['id'].value}"
                yield later["gridPos"]["x"].wrong(f"lies on top of {name!r}, which is at {first['gridPos'].at}")


def _links(root: Place, among: Whole) -> Iterator[Complaint]:
    """Links to dashboards of ours that are not there."""
    if among.dashboards is None:
        return
    for text in root.texts():
        for found in _LINK.finditer(text.text):
            if found[1].startswith(_OURS) and found[1] not in among.dashboards:
                yield text.wrong(f"there is no dashboard {found[1]}{meant(found[1], among.dashboards)}")
