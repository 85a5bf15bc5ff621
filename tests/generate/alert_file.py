"""A strict reader of Grafana's alert files: what its own reader refuses, and what it forgets to.

Its own ignores keys that it does not know, and does not start at all when a file is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

GROUP = {"orgId", "name", "folder", "interval", "rules"}
RULE = {
    "uid", "title", "condition", "data", "dashboardUid", "panelId", "noDataState", "execErrState", "for", "keepFiringFor",
    "annotations", "labels", "isPaused", "missing_series_evals_to_resolve", "notification_settings",
}  # fmt: skip
NEEDED = {"uid", "title", "condition", "data", "noDataState", "execErrState", "for", "labels"}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def wrong(document: dict[str, Any]) -> Iterator[str]:
    """Everything that is wrong with a file."""
    yield from (f"unknown key {key}" for key in document.keys() - {"apiVersion", "groups", "deleteRules"})
    if document.get("apiVersion") != 1:
        yield "apiVersion must be 1"
    rules = [rule for group in document.get("groups", ()) for rule in group.get("rules", ())]
    for what in ("uid", "title"):
        values = [rule.get(what) for rule in rules]
        yield from (f"two rules have the {what} {value}" for value in set(values) if values.count(value) > 1)
    for entry in document.get("deleteRules", ()):
        if entry.keys() != {"orgId", "uid"} or entry["uid"] in [rule.get("uid") for rule in rules]:
            yield f"can't delete {entry}"
    for group in document.get("groups", ()):
        yield from (f"unknown key {key} of a group" for key in group.keys() - GROUP)
        yield from (f"a group has no {key}" for key in GROUP - group.keys())
        if "interval" in group and (not duration(group["interval"]) or duration(group["interval"]) % 10):
            yield f"interval {group['interval']} is no multiple of 10 s"
        for rule in group.get("rules", ()):
            yield from (f"{rule.get('title')}: {what}" for what in wrong_rule(rule))


def duration(text: str) -> int:
    return sum(int(number) * SECONDS[unit] for number, unit in re.findall(r"(\d+)([smhd])", text))


def wrong_rule(rule: dict[str, Any]) -> Iterator[str]:
    yield from (f"unknown key {key}" for key in rule.keys() - RULE)
    yield from (f"no {key}" for key in NEEDED - rule.keys())
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", str(rule.get("uid"))):
        yield f"uid {rule.get('uid')}"
    if not 0 < len(str(rule.get("title", ""))) <= 190:
        yield "title is too long, or empty"
    if rule.get("noDataState") not in ("NoData", "OK", "Alerting", "KeepLast"):
        yield f"noDataState {rule.get('noDataState')}"
    if rule.get("execErrState") not in ("Error", "OK", "Alerting", "KeepLast"):
        yield f"execErrState {rule.get('execErrState')}"
    for name, text in rule.get("annotations", {}).items():
        if "${" in text or "$__" in text or re.search(r"\$(?!labels\.)", text):
            yield f"annotation {name} has a $ that is replaced: {text}"
        if "| query" in text:
            yield f"annotation {name} asks Prometheus"
    for name, text in rule.get("labels", {}).items():
        if "$" in text.replace("$$", ""):
            yield f"label {name} has a $ that is replaced: {text}"
    yield from wrong_data(rule)


def wrong_data(rule: dict[str, Any]) -> Iterator[str]:
    data = {query.get("refId"): query for query in rule.get("data", ())}
    if rule.get("condition") not in data:
        yield f"condition {rule.get('condition')} is no query"
    for name, query in data.items():
        model = query.get("model", {})
        if query.keys() != {"refId", "relativeTimeRange", "datasourceUid", "model"} or model.get("refId") != name:
            yield f"query {name} has not what it needs"
            continue
        if query["datasourceUid"] != model["datasource"]["uid"] or "$" in query["datasourceUid"]:
            yield f"query {name}: datasourceUid {query['datasourceUid']}"
        if query["relativeTimeRange"]["from"] <= query["relativeTimeRange"]["to"]:
            yield f"query {name}: relativeTimeRange"
        if query["datasourceUid"] != "__expr__":
            continue
        asked = data.get(model.get("expression"))
        if asked is None:
            yield f"query {name} is of {model.get('expression')}, which is no query"
        elif model["type"] == "threshold" and asked["model"].get("range"):
            yield f"query {name}: a threshold of a range"
