"""Texts of alerts, which are Go templates: whether they can be filled in, and the labels and queries in them.

Source: https://prometheus.io/docs/prometheus/latest/configuration/template_reference/
Source: https://grafana.com/docs/grafana/latest/alerting/alerting-rules/templates/reference/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise

from reporter.check import promql
from reporter.check.names import Names
from reporter.check.place import Complaint, Place
from reporter.check.words import meant

_GO = (
    "and call html index slice js len not or print printf println urlquery eq ne lt le gt ge"
    " true false nil if else end range template block with define break continue"
)
_BOTH = (
    "args externalURL graphLink humanize humanize1024 humanizeDuration humanizePercentage humanizeTimestamp match"
    " parseDuration pathPrefix reReplaceAll stripDomain stripPort tableLink title toLower toUpper strvalue tmpl safeHtml"
    " toTime"
)
PROMETHEUS = frozenset(f"{_GO} {_BOTH} query first label value sortByLabel now toDuration urlQueryEscape".split())
GRAFANA = frozenset(
    f"{_GO} {_BOTH} deduplicate filterLabels filterLabelsRe mergeLabelValues removeLabels removeLabelsRe".split()
)
_VARIABLES = {
    PROMETHEUS: frozenset(("labels", "value", "externalLabels", "externalURL")),
    GRAFANA: frozenset(("labels", "value", "values")),
}
_ACTION = re.compile(r'\{\{((?:"(?:[^"\\]|\\.)*"|`[^`]*`|(?!\}\}).)*)\}\}', re.DOTALL)
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"|`[^`]*`|/\*.*?\*/|\$\w*(?:\.\w+)*|\.\w+(?:\.\w+)*|[A-Za-z_]\w*|\d[\w.]*|.', re.DOTALL
)
_QUERY = re.compile(r'printf\s+("(?:[^"\\]|\\.)*")[^|}]*\|\s*query|query\s+("(?:[^"\\]|\\.)*")')
_VERB = re.compile(r"%[-+# 0]*[\d.]*([a-zA-Z%])")


def wrong(place: Place, labels: frozenset[str] | None, functions: frozenset[str]) -> Iterator[Complaint]:
    """What is wrong with a template for an alert with such `labels`, None where any."""
    text = place.text
    depth, declared = 0, set(_VARIABLES[functions])
    rest = _ACTION.sub("", text)
    if "{{" in rest:
        yield place.wrong('a {{ has no }} that ends it; write {{ "{{" }} for two braces')
        return
    for action in _ACTION.finditer(text):
        tokens = [token for token in _TOKEN.findall(action[1]) if token.strip() and token != "-"]
        declared |= {token[1:] for token, after in pairwise(tokens) if token[0] == "$" and after in ":,"}
        depth += {"if": 1, "with": 1, "range": 1, "define": 1, "block": 1, "end": -1}.get(
            tokens[0] if tokens else "", 0
        )
        if depth < 0:
            yield place.wrong("an {{ end }} ends nothing")
            return
        for token in tokens:
            yield from _token(place, token, labels, functions, declared)
    if depth:
        yield place.wrong("an if, with or range has no {{ end }}")


def _token(
    place: Place, token: str, labels: frozenset[str] | None, functions: frozenset[str], declared: set[str]
) -> Iterator[Complaint]:
    if re.fullmatch(r"[A-Za-z_]\w*", token) and token not in functions:
        if functions is GRAFANA and token in PROMETHEUS:
            yield place.wrong(
                f"Grafana's templates have no {token}: they can't ask Prometheus; lead to a panel instead", token
            )
        else:
            yield place.wrong(f"templates have no function {token}{meant(token, functions)}", token)
    elif token.startswith("$") and len(token) > 1:
        name, *fields = token[1:].split(".")
        if name not in declared:
            yield place.wrong(f"templates have no ${name}{meant(name, declared)}", name)
        elif name == "labels" and fields and labels is not None and fields[0] not in labels:
            yield place.wrong(f"the alert has no label {fields[0]}{meant(fields[0], labels)}", fields[0])


def queries(place: Place, names: Names) -> Iterator[Complaint]:
    """What is wrong with the queries that a template asks Prometheus."""
    for action in _ACTION.finditer(place.text):
        for found in _QUERY.finditer(action[1]):
            try:
                asked = str(json.loads(found[1] or found[2]))
            except ValueError:
                continue  # Go knows more escapes
            if found[1]:
                asked = _VERB.sub(lambda verb: {"%": "%", "q": '"x"'}.get(verb[1], "x"), asked)
            yield from promql.wrong(place, asked, names)
