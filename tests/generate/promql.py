"""What a PromQL expression asks for, checked against what the reporter exposes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import promql_parser

from reporter.config.model import ReportSettings
from reporter.metrics import METRICS

GATEWAYS = {"push_time_seconds": set[str](), "push_failure_time_seconds": set[str]()}  # the Pushgateway's own
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$__interval_ms": "60000"}


def filled(expr: str, **chosen: str) -> str:
    """The expression as Grafana sends it, with a value for each variable."""
    for name, value in (*VARIABLES.items(), *((f"${name}", value) for name, value in chosen.items())):
        expr = expr.replace(name, value)
    assert "$" not in expr, expr
    return expr


def labels_of_metrics() -> dict[str, set[str]]:
    """Every name that can be queried, with the labels its series may have."""
    found = dict(GATEWAYS)
    by_series = set(ReportSettings().labels)
    for metric in METRICS:
        labels = {*metric.labels, *(by_series if metric.by_series else ())}
        if metric.type == "histogram":
            found |= {f"{metric.name}_{part}": labels for part in ("count", "sum")}
            found[f"{metric.name}_bucket"] = labels | {"le"}
        else:
            found[metric.name] = labels
    return found


def problems(expr: str, grouping: set[str] = frozenset({"job"})) -> list[str]:  # type: ignore[assignment]
    """Names and labels in the expression that nothing exposes.

    Raises:
        ValueError: it is not PromQL.
    """
    known = labels_of_metrics()
    tree = promql_parser.parse(expr)
    found = []
    for node in walk(tree):
        if isinstance(node, promql_parser.VectorSelector):
            if node.name not in known:
                found.append(f"no metric {node.name}")
            else:
                asked = {matcher.name for matcher in node.matchers.matchers}
                found += [f"{node.name} has no label {label}" for label in sorted(asked - known[node.name] - grouping)]
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            inside = {n.name for n in walk(node.expr) if isinstance(n, promql_parser.VectorSelector)}
            there = grouping.union(*(known.get(str(name), set()) for name in inside))
            found += [f"nothing inside has the label {label}" for label in node.modifier.labels if label not in there]
    return found


def walk(node: Any) -> Iterator[Any]:
    """Every node of the tree."""
    yield node
    children: list[Any] = []
    for name in ("lhs", "rhs", "expr", "param", "vector_selector", "selector"):
        child = getattr(node, name, None)
        if child is not None and not isinstance(child, str):
            children.append(child)
    children += getattr(node, "args", None) or []
    for child in children:
        yield from walk(child)
