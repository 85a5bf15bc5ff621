"""What Grafana's own types say of dashboards, as the table that `reporter check` reads: reporter/check/grafana/types.json.

`python -m tests.generate.grafana_types` writes it again, after another version of grafana-foundation-sdk was pinned.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import json
import textwrap
import types
import typing
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import reporter.check.grafana

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the second format of dashboards, which files need not have
    from grafana_foundation_sdk.models import dashboard, prometheus, units

TABLE = Path(reporter.check.grafana.__file__).with_name("types.json")
PANELS = {
    "annolist": "annotationslist", "barchart": "barchart", "bargauge": "bargauge", "candlestick": "candlestick",
    "dashlist": "dashboardlist", "gauge": "gauge", "heatmap": "heatmap", "histogram": "histogram", "logs": "logs",
    "news": "news", "piechart": "piechart", "stat": "stat", "state-timeline": "statetimeline",
    "status-history": "statushistory", "table": "table", "text": "text", "timeseries": "timeseries", "trend": "trend",
    "xychart": "xychart",
}  # fmt: skip


def table() -> dict[str, Any]:
    """Types by name, each with its keys; the panels by type; the units."""
    found: dict[str, Any] = {}
    seen: dict[str, type] = {}
    for root in (dashboard.Dashboard, dashboard.Panel, dashboard.RowPanel, prometheus.Dataquery):
        kind(root, found, seen)
    panels = {name: _panel(module, found, seen) for name, module in PANELS.items()}
    known = sorted(
        {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("_")}
    )
    return {"types": dict(sorted(found.items())), "panels": panels, "units": known}


def _panel(module: str, found: dict[str, Any], seen: dict[str, type]) -> dict[str, Any]:
    of = importlib.import_module(f"grafana_foundation_sdk.models.{module}")
    return {
        key: kind(getattr(of, name), found, seen)
        for key, name in (("options", "Options"), ("custom", "FieldConfig"))
        if hasattr(of, name)
    }


def kind(hint: Any, found: dict[str, Any], seen: dict[str, type]) -> Any:
    """A type as the table says it: "text", ["list", …], ["map", …], {"one of": […]}, or a name of the table."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        options = [kind(option, found, seen) for option in arguments if option is not type(None)]
        return options[0] if len(options) == 1 else "any"
    if origin is typing.Literal:
        return {"one of": list(arguments)}
    if origin is list:
        return ["list", kind(arguments[0], found, seen)]
    if origin is dict:
        return ["map", kind(arguments[1], found, seen)]
    simple = {str: "text", int: "number", float: "number", bool: "flag"}
    if hint in simple:
        return simple[hint]
    if inspect.isclass(hint) and issubclass(hint, enum.Enum):
        return {"one of": [member.value for member in hint]}
    if not inspect.isclass(hint) or not hasattr(hint, "to_json") or not typing.get_type_hints(hint):
        return "any"  # what a plug-in puts there
    name = f"{hint.__module__.rpartition('.')[2]}.{hint.__name__}"
    if name not in seen:
        seen[name] = hint
        found[name] = {}
        module = importlib.import_module(hint.__module__)
        hints = typing.get_type_hints(hint, vars(module))
        found[name] = {key: kind(hints[attribute], found, seen) for key, attribute in keys(hint) if attribute in hints}
    return name


def keys(of: type) -> Iterator[tuple[str, str]]:
    """(key in JSON, attribute) of a class, as its `to_json` writes them."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(of.to_json)))  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            pairs = [(key, value) for key, value in zip(node.keys, node.values, strict=True)]
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            pairs = [(node.targets[0].slice, node.value)]
        else:
            continue
        for key, value in pairs:
            if isinstance(key, ast.Constant) and isinstance(value, ast.Attribute):
                yield str(key.value), value.attr


def text() -> str:
    return json.dumps(table(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    TABLE.write_text(text())
    print(TABLE)
