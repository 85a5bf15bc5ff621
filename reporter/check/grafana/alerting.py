"""Files of Grafana's alert rules.

Grafana ignores keys that it does not know, and does not start at all when it refuses a file.
Source: https://grafana.com/docs/grafana/latest/alerting/set-up/provision-alerting-resources/file-provisioning/
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reporter.check import promql, templates
from reporter.check.grafana import types
from reporter.check.grafana.names import OWN_SOURCES, expanded, title, uid
from reporter.check.grafana.pipeline import kinds_of, outcome
from reporter.check.labels import labels_of
from reporter.check.place import Complaint, Place, twice
from reporter.check.rules import severity
from reporter.check.shape import (
    anything,
    duration,
    exactly,
    flag,
    keys,
    list_of,
    map_of,
    one_of,
    record,
    seconds,
    text,
    whole,
    words,
)
from reporter.check.whole import Whole
from reporter.check.words import meant
from reporter.expression import STRING, parse

_SCHEDULER_SECONDS = 10
_VARIABLE = re.compile(r"\$\w+|\$\{\w+(?:[.:][^}]*)?\}|\[\[\w+\]\]")
_QUERY = record(
    {
        "refId": words,
        "queryType": text,
        "relativeTimeRange": record(keys("from to", whole), {"from"}),
        "datasourceUid": words,
        "model": map_of(anything),
    },
    {"refId", "datasourceUid", "model"},
    what="the query",
)
_SETTINGS = record(
    {
        "receiver": words,
        **keys("group_by mute_time_intervals active_time_intervals", list_of(words)),
        **keys("group_wait group_interval repeat_interval", duration),
    },
    {"receiver"},
)
_RULE = record(
    {
        "uid": uid,
        "title": title,
        "condition": words,
        "data": list_of(_QUERY, some=True),
        "dashboardUid": uid,
        "panelId": whole,
        "noDataState": one_of("NoData", "OK", "Alerting", "KeepLast"),
        "execErrState": one_of("Error", "OK", "Alerting", "KeepLast"),
        **keys("for keepFiringFor", duration),
        "missing_series_evals_to_resolve": whole,
        **keys("labels annotations", map_of(text)),
        "isPaused": flag,
        "notification_settings": _SETTINGS,
        "record": record(keys("metric from targetDatasourceUid", words), {"metric", "from"}),
    },
    {"uid", "title", "data"},
    what="the rule",
)
_GROUP = record(
    {"orgId": whole, "name": words, "folder": words, "interval": duration, "rules": list_of(_RULE)},
    {"name", "folder", "interval", "rules"},
    what="the group",
)
_RECEIVER = record(
    {"uid": uid, "type": words, "settings": map_of(anything), "disableResolveMessage": flag},
    {"uid", "type", "settings"},
)
_POINT = record({"orgId": whole, "name": words, "receivers": list_of(_RECEIVER, some=True)}, {"name", "receivers"})
_FILE = record(
    {
        "apiVersion": exactly(1),
        "groups": list_of(_GROUP),
        **keys(
            "deleteRules deleteContactPoints", list_of(record({"orgId": whole, "uid": uid}, {"uid"}, what="the entry"))
        ),
        **keys(
            "deleteTemplates deleteMuteTimes",
            list_of(record({"orgId": whole, "name": words}, {"name"}, what="the entry")),
        ),
        "resetPolicies": list_of(whole),
        "contactPoints": list_of(_POINT),
        "templates": list_of(record({"orgId": whole, **keys("name template", words)}, {"name", "template"})),
        "muteTimes": list_of(record({"orgId": whole, "name": words, "time_intervals": anything}, {"name"})),
        "policies": list_of(map_of(anything)),
    },
    {"apiVersion"},
)


def rules_of(root: Place) -> Iterator[Place]:
    """Every rule of a file."""
    for group in root["groups"].each():
        yield from group["rules"].each()


def wrong(root: Place, among: Whole) -> Iterator[Complaint]:
    """Everything that is wrong with a file of alert rules."""
    yield from _FILE(root)
    there = {rule["uid"].text for rule in rules_of(root)} - {""}
    for entry in root["deleteRules"].each():
        if entry["uid"].text in there:
            yield entry.wrong("deletes a rule that the file has: take it out here, or there")
    points = {r["uid"].text for point in root["contactPoints"].each() for r in point["receivers"].each()} - {""}
    for entry in root["deleteContactPoints"].each():
        if entry["uid"].text in points:
            yield entry.wrong("deletes a contact point that the file has: take it out here, or there")
    for group in root["groups"].each():
        yield from _group(group)
        for rule in group["rules"].each():
            yield from _rule(rule, among)


def _group(group: Place) -> Iterator[Complaint]:
    for key in ("name", "folder"):
        yield from expanded(group[key])
    if len(group["name"].text) > 190:
        yield group["name"].wrong("is longer than 190 characters")
    interval = seconds(group["interval"])
    if interval is None:
        return
    if interval <= 0 or interval % _SCHEDULER_SECONDS:
        yield group["interval"].wrong(
            f"{group['interval'].text} is no multiple of {_SCHEDULER_SECONDS}s, at which Grafana's scheduler ticks:"
            " Grafana would not start"
        )
        return
    for rule in group["rules"].each():
        for key in ("for", "keepFiringFor"):
            length = seconds(rule[key])
            if length and length % interval:
                yield rule[key].wrong(
                    f"{rule[key].text} is no multiple of the group's interval, {group['interval'].text}:"
                    " nobody looks in between"
                )


def _rule(rule: Place, among: Whole) -> Iterator[Complaint]:
    if not isinstance(rule.value, dict):
        return
    records = rule["record"].value is not None
    for key, why in (
        ("condition", "the rule has no condition: the refId of the query that decides"),
        ("noDataState", "the rule has no noDataState: say what it is when its query gives nothing, like KeepLast"),
        ("execErrState", "the rule has no execErrState: say what it is when its query can't be asked, like KeepLast"),
    ):
        if not records and rule[key].value is None:
            yield rule.wrong(why)
    yield from expanded(rule["title"])
    yield from expanded(rule["uid"])
    yield from _data(rule, among)
    yield from _texts(rule, among)
    yield from _panel(rule, among)


def _data(rule: Place, among: Whole) -> Iterator[Complaint]:
    queries = {query["refId"].text: query for query in rule["data"].each() if query["refId"].text}
    named = ((query["refId"].text, query["refId"]) for query in rule["data"].each() if query["refId"].text)
    yield from twice(named, "a query of this refId is in the rule already")
    found = kinds_of(queries)
    decides = rule["record"]["from"] if rule["record"].value is not None else rule["condition"]
    if decides.text and decides.text not in queries:
        yield decides.wrong(f"there is no query {decides.text} in the rule{meant(decides.text, queries)}")
    elif found.get(decides.text) == "series":
        yield decides.wrong(f"{decides.text} gives values over time: set instant: true, or reduce it first")
    for query in queries.values():
        yield from outcome(query, queries, found)
        yield from _source(query, among)
        expr = query["model"]["expr"]
        if query["datasourceUid"].text not in OWN_SOURCES and expr.text:
            yield from types.shape("prometheus.Dataquery")(query["model"])
            yield from _asked(expr, rule, among)
        time = query["relativeTimeRange"]
        start, end = time["from"].number(), time["to"].number() or 0
        if start is not None and start <= end:
            yield time["from"].wrong("must be more than to: both are seconds before now")


def _asked(expr: Place, rule: Place, among: Whole) -> Iterator[Complaint]:
    named = {label.text.replace("$$", "$") for _, label in rule["labels"].items()}  # an SLO may be called $HOME
    asked = re.sub(r"\$__(?:rate_interval|interval|range)\b|\$\{__(?:rate_interval|interval|range)\}", "5m", expr.text)
    bare = _VARIABLE.search(STRING.sub("", asked))
    in_strings = (
        _VARIABLE.fullmatch(found[0][1:-1]) for found in STRING.finditer(asked) if found[0][1:-1] not in named
    )
    used = bare or next(filter(None, in_strings), None)
    if used:
        yield expr.wrong("alert rules can't use a dashboard's variables: write the value", used[0])
        return
    yield from promql.wrong(expr, asked, among.names, is_alert=True)


def _source(query: Place, among: Whole) -> Iterator[Complaint]:
    named, inside = query["datasourceUid"], query["model"]["datasource"]["uid"]
    if "$" in named.text:
        yield named.wrong("alert rules can't use a dashboard's variables: write the data source's uid")
        return
    if inside.text and named.text and inside.text != named.text:
        yield inside.wrong(f"is not the query's datasourceUid, {named.text}")
    if among.datasources and named.text and named.text not in (*OWN_SOURCES, *among.datasources):
        yield named.wrong(f"there is no data source {named.text[:60]}{meant(named.text, among.datasources)}")
    ref = query["model"]["refId"]
    if ref.value is not None and ref.value != query["refId"].value:
        yield ref.wrong(f"is not the query's refId, {query['refId'].text}")


def _texts(rule: Place, among: Whole) -> Iterator[Complaint]:
    own = {label for label, _ in rule["labels"].items()}
    found = _labels(rule, among)
    there = None if found is None else found | own | {"alertname", "grafana_folder"}
    yield from severity(rule["labels"]["severity"])
    for name, label in rule["labels"].items():
        yield from expanded(label)
        if name in ("alertname", "grafana_folder", "__alert_rule_uid__"):
            yield label.wrong("is a label that Grafana sets itself; take it out")
    for name, annotation in rule["annotations"].items():
        if "${" in annotation.text:
            yield annotation.wrong(
                "Grafana puts an environment variable where ${…} is, and nothing where there is none:"
                ' write {{ "\\x24" }} for a $, and {{ $labels.name }} for a label',
            )
            continue
        if name not in ("__dashboardUid__", "__panelId__"):
            yield from templates.wrong(annotation, there, templates.GRAFANA)


def _labels(rule: Place, among: Whole) -> frozenset[str] | None:
    """The labels of what the rule's queries give; those of all of them."""
    found: frozenset[str] = frozenset()
    for query in rule["data"].each():
        expr = query["model"]["expr"].text
        if query["datasourceUid"].text in OWN_SOURCES or not expr:
            continue
        try:
            labels = labels_of(parse(expr), among.names)
        except (ValueError, RecursionError):
            return None
        if labels is None:
            return None
        found |= labels
    return found


def _panel(rule: Place, among: Whole) -> Iterator[Complaint]:
    annotations = rule["annotations"]
    pairs = ((rule["dashboardUid"], rule["panelId"]), (annotations["__dashboardUid__"], annotations["__panelId__"]))
    for board, panel in pairs:
        if panel.value is not None and board.value is None:
            yield panel.wrong("names a panel of no dashboard: say which with dashboardUid")
        if among.dashboards is None or not board.text:
            continue
        if board.text not in among.dashboards:
            yield board.wrong(f"there is no dashboard {board.text}{meant(board.text, among.dashboards)}")
        elif panel.value is not None and str(panel.value) not in map(str, among.dashboards[board.text]):
            yield panel.wrong(f"the dashboard {board.text} has no panel {panel.value}")
