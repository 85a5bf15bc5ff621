"""Whether an expression is PromQL, and asks for what there is in a way that can be meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import promql_parser

from reporter.check.labels import labels_of, matchers_of, name_of
from reporter.check.names import ANY, Names
from reporter.check.place import Complaint, Place
from reporter.check.words import meant
from reporter.expression import children, parse, walk

_OF_COUNTERS = ("rate", "irate", "increase")
_OF_ANY_COUNTER = (
    *_OF_COUNTERS,
    "resets",
    "absent",
    "absent_over_time",
    "changes",
    "count_over_time",
    "present_over_time",
)
_COMPARISONS = (">", "<", ">=", "<=", "==", "!=")
_WORD = re.compile(r"[\w.]+")
_SAME = "MatchOp.Equal"


def tree_of(place: Place, expr: str) -> tuple[Any, list[Complaint]]:
    """(the tree, nothing) of an expression, or (None, a complaint)."""
    try:
        return parse(expr), []
    except ValueError as error:
        why = (str(error).splitlines() or [""])[0]
        shown = " ".join(expr.split())
        told = "" if why == "invalid promql query" else f": {why}"
        return None, [place.wrong(f"is no PromQL{told}: {shown[:80]}{'…' * (len(shown) > 80)}", _word_of(why))]


def _word_of(why: str) -> str:
    """The word that a parser's complaint is about, so far as it says one."""
    quoted = why.split("'")
    return quoted[1] if len(quoted) > 2 else ""


def wrong(place: Place, expr: str, names: Names, *, is_alert: bool = False) -> Iterator[Complaint]:
    """What is wrong with an expression that stands at `place`; one of an alert compares numbers of now."""
    tree, complaints = tree_of(place, expr)
    yield from complaints
    if tree is None:
        return
    try:
        yield from _in_tree(place, tree, names)
        if is_alert:
            yield from _bare_counters(place, tree, names)
    except RecursionError:
        yield place.wrong("is too deep to be read; make recording rules of its parts")


def _in_tree(place: Place, tree: Any, names: Names) -> Iterator[Complaint]:
    for node in walk(tree):
        if isinstance(node, promql_parser.VectorSelector):
            yield from _selector(place, node, names)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            there = labels_of(node.expr, names)
            told = "without" if node.modifier.type == promql_parser.AggModifierType.Without else "by"
            yield from _unknown_labels(place, node.modifier.labels, there, f"{told} (…)")
        elif isinstance(node, promql_parser.BinaryExpr) and node.modifier and node.modifier.matching:
            sides = [labels_of(side, names) for side in (node.lhs, node.rhs)]
            if None not in sides:
                both = frozenset[str]().union(*(side for side in sides if side is not None))
                told = "on" if node.modifier.matching.type == promql_parser.LabelModifierType.Include else "ignoring"
                yield from _unknown_labels(place, node.modifier.matching.labels, both, f"{told} (…)")
        elif isinstance(node, promql_parser.Call):
            yield from _call(place, node, names)


def _selector(place: Place, node: Any, names: Names) -> Iterator[Complaint]:
    name = name_of(node)
    if not name:
        yield place.wrong("selects series without saying a metric's name")
        return
    series = names.series.get(name)
    if ANY in name:
        return
    if series is None:
        histogram = [f"{name}_{part}" for part in ("bucket", "count", "sum") if f"{name}_{part}" in names.series]
        instead = f"; it is a histogram: {', '.join(histogram)}" if histogram else meant(name, names.series)
        yield place.wrong(f"there is no metric {name}{instead}", name)
        return
    for matcher in matchers_of(node):
        if matcher.name == "__name__":
            continue
        if series.labels is not None and matcher.name not in series.labels:
            yield place.wrong(f"{name} has no label {matcher.name}{meant(matcher.name, series.labels)}", matcher.name)
            continue
        known = series.values.get(matcher.name)
        if known and str(matcher.op) == _SAME and matcher.value not in {*known, ANY}:
            word = matcher.value if _WORD.fullmatch(matcher.value) else ""
            told = f'{name} has no {matcher.name}="{matcher.value}"{meant(matcher.value, known)}'
            yield place.wrong(told, word)


def _unknown_labels(place: Place, asked: list[str], there: frozenset[str] | None, told: str) -> Iterator[Complaint]:
    if there is not None:
        for label in asked:
            if label not in there and ANY not in label:
                yield place.wrong(f"{told}: nothing inside has the label {label}{meant(label, there)}", label)


def _call(place: Place, node: Any, names: Names) -> Iterator[Complaint]:
    function = str(node.func.name)
    if function in _OF_COUNTERS:
        for inside in walk(node.args[0]):
            if isinstance(inside, promql_parser.VectorSelector):
                name = name_of(inside)
                if name in names.series and names.series[name].kind == "gauge":
                    why = (
                        f"{function}() of {name}, which is a gauge: it is of counters; take its value, or delta() of it"
                    )
                    yield place.wrong(why, name)
    if function == "histogram_quantile":
        there = labels_of(node.args[1], names)
        if there is not None and "le" not in there:
            yield place.wrong(
                "histogram_quantile() of something without the label le: sum by (le, …) within it", function
            )
        for name in _raw_buckets(node.args[1], names):
            yield place.wrong(f"histogram_quantile() of {name} since ever: take rate({name}[5m]) of it", name)


def _raw_buckets(node: Any, names: Names) -> Iterator[str]:
    return (name for name in _counters_outside_of_functions(node, names) if names.series[name].kind == "bucket")


def _counters_outside_of_functions(node: Any, names: Names) -> Iterator[str]:
    if isinstance(node, promql_parser.Call) and str(node.func.name) in _OF_ANY_COUNTER:
        return
    if isinstance(node, promql_parser.AggregateExpr) and str(node.op) in ("count", "group"):
        return
    if isinstance(node, promql_parser.VectorSelector):
        name = name_of(node)
        if name in names.series and names.series[name].kind in ("counter", "bucket"):
            yield name
    for child in children(node):
        yield from _counters_outside_of_functions(child, names)


def _bare_counters(place: Place, tree: Any, names: Names) -> Iterator[Complaint]:
    """An alert that compares a counter as it is: it only grows, so what fires once fires for ever."""
    compared = [
        side
        for node in walk(tree)
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) in _COMPARISONS
        for side in (node.lhs, node.rhs)
    ]
    for name in dict.fromkeys(name for side in compared for name in _counters_outside_of_functions(side, names)):
        yield place.wrong(f"compares {name}, a counter that only grows: take increase({name}[1h]) of it", name)
