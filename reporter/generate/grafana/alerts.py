"""Grafana's alert rules: the alerts of `reporter.generate.alerts`, as Grafana evaluates them.

Prometheus' rule is an expression that has a series while it fires, of any value.  Grafana compares values with a threshold,
and tells "nothing" apart from "not firing".  So each expression becomes 1 where it fires, and a 0 without labels beside it
that is always there; and nothing at all while the numbers are old.  Nothing means "keep what was" (`KeepLast`): a dead
reporter neither begins nor ends an alert, which in Prometheus' rules takes a look at `ALERTS`, that Grafana's alerts have not.
Nothing is ever pending, because that would be kept, too, and ripen: what must hold for a while looks back.

Source: https://grafana.com/docs/grafana/latest/alerting/set-up/provision-alerting-resources/file-provisioning/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import yaml

from reporter.errors import ConfigError
from reporter.generate.alerts import STALE
from reporter.generate.grafana import calls, services, work
from reporter.generate.grafana.dashboard import Dashboard
from reporter.generate.grafana.identity import own
from reporter.generate.prometheus import as_yaml
from reporter.generate.rules import AlertRule, RuleGroup, Source, indented, rendered
from reporter.slo.durations import MINUTE_NS, parse_duration

MOST_TITLE = 190
INTERVAL = "1m"  # of evaluations: a report comes every minute; a multiple of 10 s, or Grafana does not start
_EXPRESSION = "__expr__"
_IDENTITY = ("slo", "service", "budget", "severity")
_PANELS = {  # what an alert is about, or its name → where its numbers can be seen
    "slo": (services.DETAIL, services.BURNING),
    "budget": (calls.COST, "Budgets"),
    "job": (work.JOBS, "Jobs"),
    "reporter": (work.ITSELF, "Age of the report over time"),
    "LLMLatencyHigh": (calls.CALLS, "Latency quantiles"),
    "LLMThroughputLow": (calls.CALLS, "Throughput by model, median"),
    "LLMCallsUnpriced": (calls.COST, "Unpriced calls of the range"),
}
_QUERY = re.compile(r'\{\{ with printf "(?:[^"\\]|\\.)*" \$labels\.\w+ \| query \}\}.*?\{\{ end \}\}')
_VALUE = re.compile(r"\{\{ \$value [^}]*\}\}")
_LABEL = re.compile(r"\{\{ \$labels\.(\w+)(?: \| [^}]*)? \}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ungated(Source):
    """The group at the gateway, for alerts whose freshness is said once around them: here, and not in each expression."""

    def gated(self, alert: str, expr: str, *, no_news: str = "", **labels: str) -> str:
        return expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """Where rules go, and what they ask."""

    source: Ungated
    datasource_uid: str  # rules can't use variables
    folder: str
    dashboards: Sequence[Dashboard]


def rules_text(where: Provisioned, groups: Sequence[RuleGroup], retired: Sequence[str]) -> str:
    """The file of alert rules; rules `retired` are deleted, because Grafana keeps what is merely left out."""
    rules = [(group.name, [rule for rule in group.rules if isinstance(rule, AlertRule)]) for group in groups]
    written = {name: [_rule(where, rule) for rule in found] for name, found in rules}
    uids = {rule["uid"] for found in written.values() for rule in found}
    gone = [uid for uid in retired if uid not in uids]
    document: dict[str, Any] = {"apiVersion": 1}
    if written:
        document["groups"] = [
            {"orgId": 1, "name": name, "folder": where.folder, "interval": INTERVAL, "rules": found}
            for name, found in written.items()
        ]
    if gone:
        document["deleteRules"] = [{"orgId": 1, "uid": uid} for uid in gone]
    return as_yaml(document)


def uids_in(text: str, place: str) -> tuple[str, ...]:
    """The uids of rules that a generated file has or deletes, sorted: candidates for deletion when it is written again.

    Raises:
        ConfigError: it is no such file.
    """
    try:
        document = yaml.safe_load(text) or {}
        rules = [rule for group in document.get("groups") or () for rule in group["rules"]]
        return tuple(sorted({str(rule["uid"]) for rule in (*rules, *(document.get("deleteRules") or ()))}))
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        raise ConfigError(
            f"{place}: can't be read as Grafana's alert rules, so which rules to delete can't be told; move it away"
        ) from None


def uid_of(source: Source, rule: AlertRule) -> str:
    """The rule's name to Grafana: the same as long as it is the same alert of the same reporter, whatever else changes."""
    identity = own("\0".join((rule.alert, *(rule.labels.get(label, "") for label in _IDENTITY))), source.grouping)
    return f"reporter-{sha256(identity.encode()).hexdigest()[:24]}"


def expression(source: Source, rule: AlertRule) -> str:
    """1 for each series of the alert that fires, and 0 without labels; nothing while what it looks at is old, or silent.

    What is about the reporter itself must speak up just then, and is never silent.
    """
    by = ", ".join(_dimensions(rule))
    if rule.labels["source"] == "reporter":
        return f"group by ({by}) (\n{indented(rule.expr)}\n)\nor vector(0)"
    if not _has_look_back(rule):
        zero_or_one = f"group by ({by}) (\n{indented(rule.expr)}\n)\nor vector(0)"
        news = source.is_fresh
        if rule.no_news:
            silent = f"(\n{indented(rule.no_news)}\n)\nunless on () (\n{indented(rule.expr)}\n)"
            news = f"({source.is_fresh} unless on () (\n{indented(silent)}\n))"
        return f"(\n{indented(zero_or_one)}\n)\nand on () {news}"
    return _held(source, rule, by)


def _held(source: Source, rule: AlertRule, by: str) -> str:
    """The same of an alert that must hold for a while: by a look back, because Grafana's `for` ripens on old numbers.

    "Keep what was" keeps a pending alert, too, and lets it begin when its time is up.  So nothing is ever pending: 1 is what
    was so at each minute of that time, the numbers being fresh in each.  After a time without news that can't be told at
    once, and so there is nothing (and what was, is kept), unless nothing at all is so.
    """
    minutes = parse_duration(rule.held_for) // MINUTE_NS + 1  # both ends count
    back = f"[{minutes}m:1m]"
    fresh_then = f"count_over_time({source.is_fresh}{back}) >= {minutes}"
    now = f"(\n{indented(rule.expr)}\n)\nand on () {source.is_fresh}"
    held = f"group by ({by}) (\n  count_over_time((\n{indented(indented(now))}\n  ){back}) >= {minutes}\n)"
    nothing_now = f"{source.is_fresh} unless on () (\n{indented(rule.expr)}\n)"
    return (
        f"(\n{indented(held)}\n  or vector(0)\n)\nand on () (\n  {fresh_then}\n  or on ()\n{indented(nothing_now)}\n)"
    )


def _has_look_back(rule: AlertRule) -> bool:
    return bool(rule.held_for) and rule.labels["source"] != "reporter"


def _dimensions(rule: AlertRule) -> tuple[str, ...]:
    """Labels that tell series of one rule apart: those that its texts use and the rule itself does not say."""
    used = [name for text in rule.annotations.values() for name in _LABEL.findall(text)]
    return tuple(dict.fromkeys(name for name in used if name not in rule.labels))


def _rule(where: Provisioned, rule: AlertRule) -> dict[str, Any]:
    board, panel = _PANELS.get(rule.alert) or _PANELS[rule.labels["source"]]
    uid = own(board, where.source.grouping)
    number = next(made for made in where.dashboards if made.uid == uid).number_of(panel)
    # A watchdog that can't look must bark. Others keep still: one alert says that Prometheus is away, not one for each SLO.
    is_watchdog = rule.alert == STALE
    return {
        "uid": uid_of(where.source, rule),
        "title": _literal(_title(where.source, rule)),
        "condition": "C",
        "data": _data(where, rule),
        "dashboardUid": uid,
        "panelId": number,
        "noDataState": "Alerting" if is_watchdog else "KeepLast",
        "execErrState": "Alerting" if is_watchdog else "KeepLast",
        "for": "0s" if _has_look_back(rule) else rule.held_for or "0s",
        "annotations": {
            **dict(_annotations(where.source, rule)),
            "__dashboardUid__": uid,
            "__panelId__": str(number),
        },
        "labels": {name: _literal(value) for name, value in rule.labels.items()},
        "isPaused": False,
    }


def _title(source: Source, rule: AlertRule) -> str:
    """Unique in its folder, as Grafana wants it."""
    named = [rendered(rule.labels[label]) for label in _IDENTITY if label in rule.labels]
    title = " / ".join((rule.alert, *named))
    return title if len(title) <= MOST_TITLE else f"{title[: MOST_TITLE - 9]} {uid_of(source, rule)[-8:]}"


def _data(where: Provisioned, rule: AlertRule) -> list[dict[str, Any]]:
    expr_source = {"type": _EXPRESSION, "uid": _EXPRESSION}
    query = {
        "refId": "A",
        "datasource": {"type": "prometheus", "uid": where.datasource_uid},
        "expr": expression(where.source, rule),
        "instant": True,  # a range would need a reducer that has an opinion on gaps
        "range": False,
        "intervalMs": 15_000,
        "maxDataPoints": 100,
    }
    reduce = {"refId": "B", "type": "reduce", "datasource": expr_source, "expression": "A", "reducer": "last"}
    threshold = {
        "refId": "C",
        "type": "threshold",
        "datasource": expr_source,
        "expression": "B",
        "conditions": [{"evaluator": {"type": "gt", "params": [0]}}],
    }
    return [
        {
            "refId": model["refId"],
            "relativeTimeRange": {"from": 600, "to": 0},
            "datasourceUid": where.datasource_uid if model is query else _EXPRESSION,
            "model": model,
        }
        for model in (query, reduce, threshold)
    ]


def _annotations(source: Source, rule: AlertRule) -> Iterator[tuple[str, str]]:
    for name, text in rule.annotations.items():
        kept = _without_queries(_LABEL.sub(lambda found: _known(rule.labels, found), text))
        if kept:
            yield name, _undollared(kept)
    if rule.labels["source"] == "slo":
        name = rendered(rule.labels["slo"])
        board = own(services.DETAIL, source.grouping)
        yield "dashboard", f'{{{{ reReplaceAll "/+\\\\z" "" externalURL }}}}/d/{board}?var-slo={quote(name, safe="")}'


def _known(labels: Mapping[str, str], found: re.Match[str]) -> str:
    """A label that the rule says itself as its value, because a series of the rule need not have it."""
    return labels.get(found[1], found[0])


def _without_queries(text: str) -> str:
    """The text without sentences that ask Prometheus or show the value: Grafana has no `query`, and the value is 1."""
    marked = _VALUE.sub("\0", _QUERY.sub("\0", text))
    return " ".join(sentence for sentence in re.split(r"(?<=\.) ", marked) if "\0" not in sentence)


def _literal(text: str) -> str:
    """Text in which Grafana's reader of files puts no environment variable."""
    return text.replace("$", "$$")


def _undollared(text: str) -> str:
    """The same of annotations, where the reader looks at braced ones and templates at the rest."""
    return re.sub(r"\$(?!labels\.)", '{{"\\\\x24"}}', text)
