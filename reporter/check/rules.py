"""Files of Prometheus' rules.

Source: https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import promql_parser

from reporter.check import promql, templates
from reporter.check.labels import labels_of, matchers_of, name_of
from reporter.check.names import Series
from reporter.check.place import Complaint, Place, twice
from reporter.check.shape import duration, keys, list_of, map_of, record, seconds, text, whole, words
from reporter.check.whole import Whole
from reporter.check.words import near
from reporter.expression import parse, walk
from reporter.generate.burning import SEVERITIES

LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*", re.ASCII)
_RULE = record(
    {
        **keys("alert record expr", words),
        **keys("for keep_firing_for", duration),
        **keys("labels annotations", map_of(text, LABEL)),
    },
    {"expr"},
    what="the rule",
)
_FILE = record(
    {
        "groups": list_of(
            record(
                {
                    "name": words,
                    "rules": list_of(_RULE),
                    "limit": whole,
                    "labels": map_of(text, LABEL),
                    **keys("interval query_offset", duration),
                },
                {"name", "rules"},
                what="the group",
            )
        )
    },
    {"groups"},
)


def wrong(root: Place, among: Whole) -> Iterator[Complaint]:
    """Everything that is wrong with a file of rules."""
    yield from _FILE(root)
    groups = list(root["groups"].each())
    named = ((group["name"].text, group["name"]) for group in groups if group["name"].text)
    yield from twice(named, "a group of this name is in the file already, and Prometheus refuses the second")
    rules = [rule for group in groups for rule in group["rules"].each()]
    yield from twice(((_identity(rule), rule) for rule in rules), "the same rule with the same labels stands twice")
    for group in groups:
        if seconds(group["interval"]) == 0:
            yield group["interval"].wrong("must be longer than nothing; leave it out for Prometheus' own")
    for rule in rules:
        yield from _rule(rule, among)


def _identity(rule: Place) -> object:
    labels = tuple(sorted((name, label.text) for name, label in rule["labels"].items()))
    name = rule["alert"].text or rule["record"].text
    return (name, labels, rule["expr"].text) if name else id(rule)


def _rule(rule: Place, among: Whole) -> Iterator[Complaint]:
    is_alert = bool(rule["alert"].text)
    if is_alert == bool(rule["record"].text):
        yield rule.wrong("must have either alert, the name of an alert, or record, the name of what is recorded")
    if not is_alert:
        for key in ("for", "keep_firing_for", "annotations"):
            if rule[key].value is not None:
                yield rule[key].wrong("belongs to alerts; this rule records")
        if rule["record"].text and not _METRIC.fullmatch(rule["record"].text):
            yield rule["record"].wrong(f"{rule['record'].text[:60]!r} is no name of a metric: letters, digits, _ and :")
        elif rule["record"].text in among.pushed:
            yield rule["record"].wrong("is a metric that is pushed; name it like level:metric:operation")
    expr = rule["expr"]
    if expr.text:
        yield from promql.wrong(expr, expr.text, among.names, is_alert=is_alert)
    if is_alert:
        yield from _texts(rule, among)


def _texts(rule: Place, among: Whole) -> Iterator[Complaint]:
    own = {label for label, _ in rule["labels"].items()}
    # What an alert asks of ALERTS is itself, so it has no label from there that it has not already.
    names = among.names.and_also("ALERTS", Series(frozenset(own | {"alertname", "alertstate"})))
    try:
        found = labels_of(parse(rule["expr"].text), names)
    except (ValueError, RecursionError):
        found = None
    there = None if found is None else found | own | {"alertname"}
    yield from severity(rule["labels"]["severity"])
    yield from _asks_for_itself(rule)
    for name, label in rule["labels"].items():
        yield from templates.wrong(label, found, templates.PROMETHEUS)
        if name == "alertname":
            yield label.wrong("is the alert's name, which Prometheus sets itself; take it out")
    for _, annotation in rule["annotations"].items():
        yield from templates.wrong(annotation, there, templates.PROMETHEUS)
        yield from templates.queries(annotation, among.names)


def severity(label: Place) -> Iterator[Complaint]:
    """Complain of a severity that is hardly meant: people are told by it; words of somebody's own are taken as they are."""
    meant = near(label.text, SEVERITIES)
    if meant and label.text not in SEVERITIES:
        yield label.wrong(f"routes know page and ticket; did you mean {meant}?")


def _asks_for_itself(rule: Place) -> Iterator[Complaint]:
    """Complain of an alert that asks whether it fires already, but not by the labels that it has."""
    try:
        tree = parse(rule["expr"].text)
    except ValueError:
        return
    own = {"alertname": rule["alert"].text, **{name: label.text for name, label in rule["labels"].items()}}
    for node in walk(tree):
        if not isinstance(node, promql_parser.VectorSelector) or name_of(node) != "ALERTS":
            continue
        asked = {matcher.name: matcher.value for matcher in matchers_of(node) if str(matcher.op) == "MatchOp.Equal"}
        if asked.get("alertname") != own["alertname"]:
            continue
        for name, value in asked.items():
            if name in own and own[name] != value and "{{" not in own[name]:
                told = f'asks whether it fires already with {name}="{value}", but has {name}="{own[name]}", so it never does'
                yield rule["expr"].wrong(told, "ALERTS")
