"""How the queries of an alert rule lead to one number for each series: a threshold of values over time is an error for ever.

Source: https://grafana.com/docs/grafana/latest/alerting/fundamentals/alert-rules/queries-conditions/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from reporter.check.place import Complaint, Place
from reporter.check.shape import anything, keys, list_of, number, one_of, record, text, words
from reporter.check.words import meant

_EXPRESSION = "__expr__"
_REFERENCE = re.compile(r"\$\{?(\w+)\}?")
_ONE, _TWO = ("gt", "lt", "eq", "ne", "gte", "lte"), (
    "within_range", "outside_range", "within_range_included", "outside_range_included",
)  # fmt: skip
_REDUCERS = ("last", "mean", "min", "max", "sum", "count", "median", "diff", "diff_abs", "percent_diff", "percent_diff_abs",
             "count_non_null", "avg")  # fmt: skip
_EVALUATOR = record({"type": one_of(*_ONE, *_TWO), "params": list_of(number, some=True)}, {"type", "params"})
_CONDITION = record(
    {
        "evaluator": _EVALUATOR,
        "unloadEvaluator": _EVALUATOR,
        **keys("operator query reducer type loadedDimensions"),
    },
    {"evaluator"},
)
_COMMON = {
    **keys("refId", words),
    "datasource": record(keys("type uid name", text)),
    "type": words,
    **keys("intervalMs maxDataPoints hide", anything),
    **keys(
        "name conditions reducer settings window downsampler upsampler", anything
    ),  # which Grafana's pages write anywhere
}
_EXPRESSIONS = {
    "reduce": record(
        {
            **_COMMON,
            "expression": words,
            "reducer": one_of(*_REDUCERS),
            "settings": record({"mode": one_of("", "dropNN", "replaceNN", "strict"), "replaceWithValue": number}),
        },
        {"expression", "reducer"},
        what="the reduction",
    ),
    "threshold": record(
        {**_COMMON, "expression": words, "conditions": list_of(_CONDITION, some=True)},
        {"expression", "conditions"},
        what="the threshold",
    ),
    "math": record({**_COMMON, "expression": words}, {"expression"}, what="the sum"),
    "resample": record(
        {**_COMMON, **keys("expression window downsampler upsampler", words)},
        {"expression", "window", "downsampler", "upsampler"},
        what="the resampling",
    ),
    "classic_conditions": record(
        {**_COMMON, "expression": anything, "conditions": list_of(anything, some=True)}, {"conditions"}
    ),
    "sql": record({**_COMMON, **keys("expression format", anything)}),
}


def kinds_of(queries: Mapping[str, Place]) -> dict[str, str]:
    """Whether each query gives one number now or a series of them; "" where it can't be told."""
    found: dict[str, str] = {}

    def kind(name: str, above: tuple[str, ...]) -> str:
        if name in above or name not in queries:
            return ""
        if name not in found:
            query = queries[name]
            found[name] = _own_kind(query) or _of_expression(
                query, [kind(ref, (*above, name)) for ref in references(query)]
            )
        return found[name]

    for name in queries:
        kind(name, ())
    return found


def _own_kind(query: Place) -> str:
    """Of a query to a data source, and of an expression that makes a kind whatever it is of."""
    model = query["model"]
    if query["datasourceUid"].text != _EXPRESSION:
        return "number" if model["instant"].value is True and model["range"].value is not True else "series"
    return {"reduce": "number", "threshold": "number", "resample": "series", "classic_conditions": "number"}.get(
        model["type"].text, ""
    )


def _of_expression(query: Place, of: list[str]) -> str:
    return "series" if "series" in of else "number" if of and all(kind == "number" for kind in of) else ""


def references(query: Place) -> list[str]:
    """The refIds that an expression is of."""
    if query["datasourceUid"].text != _EXPRESSION or query["model"]["type"].text in ("sql", "classic_conditions"):
        return []
    written = query["model"]["expression"].text
    if query["model"]["type"].text == "math":
        return list(dict.fromkeys(_REFERENCE.findall(written)))
    return [written.strip("${}")] if written else []


def outcome(query: Place, queries: Mapping[str, Place], kinds: Mapping[str, str]) -> Iterator[Complaint]:
    """What is wrong with one query of a rule."""
    model = query["model"]
    if query["datasourceUid"].text != _EXPRESSION:
        if model["instant"].value is True and model["range"].value is True:
            yield model["range"].wrong(
                "instant and range are both true: an alert compares numbers of now, so range: false"
            )
        return
    shape = _EXPRESSIONS.get(model["type"].text)
    if shape is None:
        yield model["type"].wrong(
            f"there is no expression {model['type'].text!r}{meant(model['type'].text, _EXPRESSIONS)}"
        )
        return
    yield from shape(model)
    name = query["refId"].text
    for reference in references(query):
        if reference == name:
            yield model["expression"].wrong("is of itself")
        elif reference not in queries:
            yield model["expression"].wrong(f"there is no query {reference} in the rule{meant(reference, queries)}")
        elif model["type"].text == "threshold" and kinds.get(reference) == "series":
            yield model["expression"].wrong(
                f"a threshold of {reference}, which gives values over time: set instant: true there, or reduce it first"
            )
        elif name in _behind(reference, queries):
            yield model["expression"].wrong(f"is of {reference}, which is of {name} again")
    for condition in model["conditions"].each():
        evaluator = condition["evaluator"]
        wanted = 2 if evaluator["type"].text in _TWO else 1
        given = evaluator["params"].value
        if isinstance(given, list) and given and len(given) < wanted:
            yield evaluator["params"].wrong(f"{evaluator['type'].text} needs {wanted} numbers")


def _behind(name: str, queries: Mapping[str, Place]) -> set[str]:
    """Everything that a query is of, at last."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for reference in references(queries[waiting.pop()]):
            if reference in queries and reference not in found:
                found.add(reference)
                waiting.append(reference)
    return found
