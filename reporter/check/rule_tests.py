"""Files of unit tests for Prometheus' rules.

Source: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from reporter.check import promql
from reporter.check.place import Complaint, Place
from reporter.check.shape import anything, duration, flag, keys, list_of, map_of, number, record, text, words
from reporter.check.whole import Whole
from reporter.check.words import meant

_VALUES = re.compile(
    r"(?:(?:_|stale|-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|-?Inf|NaN)"
    r"(?:[-+](?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)?(?:x\d+)?|\{\{.*?\}\}(?:[-+]\{\{.*?\}\})?(?:x\d+)?)"
)
_TEST = record(
    {
        "name": text,
        "interval": duration,
        "input_series": list_of(record(keys("series values", words), {"series", "values"}, what="the series")),
        "alert_rule_test": list_of(
            record(
                {
                    "eval_time": duration,
                    "alertname": words,
                    "exp_alerts": list_of(record(keys("exp_labels exp_annotations", map_of(anything)))),
                },
                {"eval_time", "alertname"},
                what="the check",
            )
        ),
        "promql_expr_test": list_of(
            record(
                {
                    "expr": words,
                    "eval_time": duration,
                    "exp_samples": list_of(record({"labels": text, "value": number, "histogram": text})),
                },
                {"expr", "eval_time"},
                what="the check",
            )
        ),
        "external_labels": map_of(text),
        "external_url": text,
        "start_timestamp": anything,
    }
)
_FILE = record(
    {
        "rule_files": list_of(words),
        "evaluation_interval": duration,
        "group_eval_order": list_of(words),
        "fuzzy_compare": flag,
        "tests": list_of(_TEST),
    },
    {"rule_files", "tests"},
)


def wrong(root: Place, among: Whole) -> Iterator[Complaint]:
    """Everything that is wrong with a file of tests."""
    yield from _FILE(root)
    yield from missing_files(root)
    beside = Path(root.sheet.name).parent
    if any(os.path.realpath(beside / named.text) not in among.rule_files for named in root["rule_files"].each()):
        among = among.of_some()
    for test in root["tests"].each():
        for series in test["input_series"].each():
            selector, values = series["series"], series["values"]
            if selector.text:
                yield from promql.wrong(selector, selector.text, among.names)
            for value in values.text.split():
                if not _VALUES.fullmatch(value):
                    yield values.wrong(
                        f"{value[:40]!r} is no value of a series; write numbers like 1x10, 0+60x5, _ or stale"
                    )
        for check in test["alert_rule_test"].each():
            name = check["alertname"]
            if among.alerts and name.text and name.text not in among.alerts:
                yield name.wrong(f"there is no alert {name.text}{meant(name.text, among.alerts)}")
        for check in test["promql_expr_test"].each():
            if check["expr"].text:
                yield from promql.wrong(check["expr"], check["expr"].text, among.names)
            for sample in check["exp_samples"].each():
                if sample["labels"].text:
                    yield from promql.tree_of(sample["labels"], _selector(sample["labels"].text))[1]


def _selector(labels: str) -> str:
    return f"x{labels}" if labels.startswith("{") else labels


def missing_files(root: Place) -> Iterator[Complaint]:
    """Rule files that a file names, and that are not where it says, beside it."""
    for named in root["rule_files"].each():
        if not named.text:
            continue
        beside = Path(root.sheet.name).parent
        try:
            found = next(iter(beside.glob(named.text)), None) if not Path(named.text).is_absolute() else named
        except (ValueError, OSError, NotImplementedError):
            found = None
        if found is None:
            there = [path.name for path in beside.iterdir() if path.suffix in (".yml", ".yaml")]
            yield named.wrong(f"there is no file {named.text[:80]} beside this one{meant(named.text, there)}")
