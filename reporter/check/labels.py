"""Which labels the result of an expression has; None where that can't be told.

Source: https://prometheus.io/docs/prometheus/latest/querying/operators/
"""

from __future__ import annotations

from typing import Any

import promql_parser

from reporter.check.names import Names

Labels = frozenset[str] | None
_KEEP_ALL = ("topk", "bottomk", "limitk", "limit_ratio")
_SETS = ("and", "unless")


def name_of(selector: Any) -> str:
    """The metric that a selector names; "" where it names none, or several."""
    if selector.name:
        return str(selector.name)
    named = [m.value for m in matchers_of(selector) if m.name == "__name__" and str(m.op) == "MatchOp.Equal"]
    return str(named[0]) if named else ""


def matchers_of(selector: Any) -> list[Any]:
    """Every matcher of a selector."""
    return [*selector.matchers.matchers, *(matcher for some in selector.matchers.or_matchers for matcher in some)]


def labels_of(node: Any, names: Names) -> Labels:
    """The labels that series of this expression may have."""
    if isinstance(node, promql_parser.VectorSelector):
        series = names.series.get(name_of(node))
        return None if series is None else series.labels
    if isinstance(node, promql_parser.MatrixSelector):
        return labels_of(node.vector_selector, names)
    if isinstance(node, promql_parser.NumberLiteral | promql_parser.StringLiteral):
        return frozenset()
    if isinstance(node, promql_parser.AggregateExpr):
        return _aggregated(node, names)
    if isinstance(node, promql_parser.Call):
        return _called(node, names)
    if isinstance(node, promql_parser.BinaryExpr):
        return _joined(node, names)
    inside = getattr(node, "expr", None)  # parentheses, a minus, a subquery
    return None if inside is None else labels_of(inside, names)


def _aggregated(node: Any, names: Names) -> Labels:
    inside = labels_of(node.expr, names)
    if str(node.op) in _KEEP_ALL:
        return inside
    added = {node.param.val} if str(node.op) == "count_values" else set()
    if node.modifier is None:
        return frozenset(added)
    asked = frozenset(node.modifier.labels)
    if node.modifier.type == promql_parser.AggModifierType.By:
        return asked | added
    return None if inside is None else (inside - asked) | added


def _called(node: Any, names: Names) -> Labels:
    function = str(node.func.name)
    if function in ("absent", "absent_over_time"):
        selectors = [arg for arg in node.args if isinstance(arg, promql_parser.VectorSelector)]
        return frozenset(m.name for selector in selectors for m in matchers_of(selector))
    if function in ("label_replace", "label_join"):
        inside = labels_of(node.args[0], names)
        return None if inside is None else inside | {node.args[1].val}
    if str(node.func.return_type) not in ("ValueType.Vector",) or not node.args:
        return frozenset()
    if function == "info":
        return None
    vectors = [argument for argument in node.args if not isinstance(argument, promql_parser.NumberLiteral)]
    inside = labels_of(vectors[0], names) if vectors else frozenset()
    return inside - {"le"} if function == "histogram_quantile" and inside is not None else inside


def _joined(node: Any, names: Names) -> Labels:
    left, right = labels_of(node.lhs, names), labels_of(node.rhs, names)
    operator = str(node.op)
    if operator in _SETS:
        return left
    if operator == "or":
        return None if left is None or right is None else left | right
    if _is_scalar(node.rhs):
        return left
    if _is_scalar(node.lhs):
        return right
    modifier = node.modifier
    if modifier is None or modifier.matching is None:
        return left
    asked, more = frozenset(modifier.matching.labels), frozenset(modifier.group_labels or ())
    cardinality = str(modifier.card)
    if cardinality.endswith("ManyToOne"):
        return None if left is None else left | more
    if cardinality.endswith("OneToMany"):
        return None if right is None else right | more
    if modifier.matching.type == promql_parser.LabelModifierType.Include:
        return asked
    return None if left is None else left - asked


def _is_scalar(node: Any) -> bool:
    if isinstance(node, promql_parser.ParenExpr | promql_parser.UnaryExpr):
        return _is_scalar(node.expr)
    if isinstance(node, promql_parser.BinaryExpr):
        return _is_scalar(node.lhs) and _is_scalar(node.rhs)
    if isinstance(node, promql_parser.Call):
        return str(node.func.return_type).endswith("Scalar")
    return isinstance(node, promql_parser.NumberLiteral)
