"""Queries of dashboards as Grafana sends them."""

from __future__ import annotations

VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$__interval_ms": "60000"}


def filled(expr: str, **chosen: str) -> str:
    """The expression with a value for each variable."""
    for name, value in (*VARIABLES.items(), *((f"${name}", value) for name, value in chosen.items())):
        expr = expr.replace(name, value)
    assert "$" not in expr, expr
    return expr
