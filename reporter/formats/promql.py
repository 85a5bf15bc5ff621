"""PromQL over our own metrics, recognised: which SLI and which calls a ratio of two queries means.

    bad / total    llm_request_duration_seconds_count{status!="success"}  over  …_count                availability
    good / total   …_count{status="success"}                              over  …_count                availability
    good / total   …_bucket{status="success", le="2.5"}                   over  …_count                latency
    bad / total    batch_job_runs_total{status!="success"}                over  batch_job_runs_total   job_success
    either         slo_events_total{slo="…", result="bad"}                over  slo_events_total       that SLO's own

each as `sum(rate(…[window]))` or with `increase`; bad may also be written `total - good`.  Anything else is not recognised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import promql_parser

from reporter.expression import parse
from reporter.formats.native import JUDGING, written
from reporter.slo.fields import plain
from reporter.slo.spec import SLO

_WINDOW = re.compile(r"\[\s*\{\{\s*\.window\s*\}\}\s*\]")
_CALLS = re.compile(r"(llm|api)_request_duration_seconds_(count|bucket)")
_LABELS = ("batch_job", "operation", "provider", "model")
_GLOB = re.compile(r"[*?\[]")
_LITERAL = re.compile(r"[\w/:@ -]*")


@dataclass(frozen=True, slots=True)
class Selected:
    """One `sum(rate(metric{…}[…]))`: its metric, and what its labels must be, as (operator, value)."""

    metric: str
    matchers: Mapping[str, tuple[str, str]]
    over: tuple[str, str]  # rate or increase, and the range


class Unrecognised(Exception):
    """A query that is no PromQL, or none of ours; the message says why."""


def recognise(
    total: str, *, good: str | None = None, bad: str | None = None, known: Mapping[str, SLO] | None = None
) -> dict[str, Any]:
    """What a pair of queries means, as keys of an SLO: `sli`, and `where` or `exclude_error_types` if they say so.

    Raises:
        Unrecognised: they are not ours.
    """
    everything = _selected(_parse(total))
    part, is_good = _part(good, bad, everything)
    if part.over != everything.over:
        raise Unrecognised(f"is of {' over '.join(part.over)}, its total of {' over '.join(everything.over)}")
    if part.metric == "slo_events_total":
        return _of_known(part, everything, is_good, known or {})
    if part.metric == "batch_job_runs_total" == everything.metric:
        _expect_status(part, everything, is_good)
        return _told("job_success", _where(part, everything, ("batch_job",)))
    return _calls(part, everything, is_good)


def _parse(query: str) -> Any:
    try:
        return parse(_WINDOW.sub("[5m]", query))
    except ValueError as error:
        raise Unrecognised(f"is no PromQL: {str(error).splitlines()[0]}") from None


def _part(good: str | None, bad: str | None, total: Selected) -> tuple[Selected, bool]:
    """The query that is not the total, and whether it is of good events."""
    if good is not None:
        return _selected(_parse(good)), True
    assert bad is not None
    tree = _bare(_parse(bad))
    if isinstance(tree, promql_parser.BinaryExpr) and str(tree.op) == "-":
        if _selected(tree.lhs) != total:
            raise Unrecognised("subtracts from something else than the total")
        return _selected(tree.rhs), True
    return _selected(tree), False


def _bare(tree: Any) -> Any:
    while isinstance(tree, promql_parser.ParenExpr):
        tree = tree.expr
    return tree


def _selected(tree: Any) -> Selected:
    tree = _bare(tree)
    if not isinstance(tree, promql_parser.AggregateExpr) or str(tree.op) != "sum" or tree.modifier is not None:
        raise Unrecognised("is no plain sum(…)")
    tree = _bare(tree.expr)
    if not isinstance(tree, promql_parser.Call) or tree.func.name not in ("rate", "increase"):
        raise Unrecognised("is no sum of rate(…) or increase(…)")
    function = str(tree.func.name)
    matrix = _bare(tree.args[0])
    if not isinstance(matrix, promql_parser.MatrixSelector):
        raise Unrecognised("has no range like [5m]")
    selector = matrix.vector_selector
    if selector.offset is not None or selector.at is not None or selector.matchers.or_matchers:
        raise Unrecognised("has an offset, an @ or an or")
    matchers = {}
    for matcher in selector.matchers.matchers:
        if matcher.name in matchers:
            raise Unrecognised(f"matches {matcher.name} twice")
        matchers[matcher.name] = (_OPERATORS[str(matcher.op)], matcher.value)
    name = selector.name
    if "__name__" in matchers:
        operator, name = matchers.pop("__name__")
        if operator != "=":
            raise Unrecognised("selects several metrics")
    return Selected(name or "", matchers, (function, str(matrix.range)))


_OPERATORS = {
    str(promql_parser.MatchOp.Equal): "=",
    str(promql_parser.MatchOp.NotEqual): "!=",
    str(promql_parser.MatchOp.Re): "=~",
    str(promql_parser.MatchOp.NotRe): "!~",
}


def _of_known(part: Selected, total: Selected, is_good: bool, known: Mapping[str, SLO]) -> dict[str, Any]:
    matchers = dict(part.matchers)
    result = matchers.pop("result", None)
    if result != ("=", "good" if is_good else "bad") or total != Selected("slo_events_total", matchers, part.over):
        raise Unrecognised('is over slo_events_total, but not of one SLO\'s result="bad" or "good" over all its events')
    operator, name = matchers.get("slo", ("", ""))
    if operator != "=" or name not in known:
        raise Unrecognised(f"is over slo_events_total of {name or 'no SLO'}, which reporter.yaml does not have")
    return {key: value for key, value in written(known[name]).items() if key in JUDGING}


def _calls(part: Selected, total: Selected, is_good: bool) -> dict[str, Any]:
    found, all_ = _CALLS.fullmatch(part.metric), _CALLS.fullmatch(total.metric)
    if found is None or all_ is None or all_[2] != "count" or all_[1] != found[1]:
        raise Unrecognised("is not over metrics that reporter pushes")
    matchers = dict(part.matchers)
    sli: Any = "availability"
    if found[2] == "bucket":
        operator, bound = matchers.pop("le", ("", ""))
        if operator != "=" or not is_good:
            raise Unrecognised('needs le="…" and status="success": a bucket holds the good calls')
        sli = {"latency": {"threshold": f"{_seconds(bound)}s"}}
    chosen = Selected(part.metric, matchers, part.over)
    _expect_status(chosen, total, is_good)
    where = _where(chosen, total, _LABELS)
    if found[1] == "llm":
        where["model"] = _some_model(where.get("model", "*"))
    elif "model" in where:
        raise Unrecognised("chooses a model of calls that name none: those are llm_…")
    else:
        where["model"] = ""
    return _told(sli, where)


def _seconds(bound: str) -> str:
    """A bucket's bound as plain seconds."""
    try:
        seconds = Decimal(bound)
    except ArithmeticError:
        seconds = Decimal("NaN")
    if not seconds.is_finite() or seconds <= 0:
        raise Unrecognised(f'has le="{bound}": a threshold in seconds is expected')
    return plain(seconds)


def _some_model(globs: str | list[str]) -> str | list[str]:
    """Patterns of models without what matches none: every call of the family names one."""
    some = [glob if glob.strip("*") else "?*" for glob in ([globs] if isinstance(globs, str) else globs) if glob]
    if not some:
        raise Unrecognised("chooses calls without a model among those that name one")
    return some[0] if len(some) == 1 else some


def _expect_status(part: Selected, total: Selected, is_good: bool) -> None:
    if "status" in total.matchers:
        raise Unrecognised("has a total of some statuses only")
    if part.matchers.get("status") != ("=" if is_good else "!=", "success"):
        raise Unrecognised('needs status="success" for good ones, or status!="success" for bad ones')


def _where(part: Selected, total: Selected, labels: tuple[str, ...]) -> dict[str, Any]:
    mine = {name: matcher for name, matcher in part.matchers.items() if name != "status"}
    if mine != dict(total.matchers):
        raise Unrecognised("selects other calls than its total")
    where: dict[str, Any] = {}
    for name, (operator, value) in mine.items():
        if name == "job" and (operator, value) == ("=", "reporter"):
            continue  # the gateway's group
        if name not in labels:
            raise Unrecognised(f"matches {name}, by which SLOs can't choose")
        where[name] = _globs(operator, value)
    return where


def _globs(operator: str, value: str) -> str | list[str]:
    """What a matcher means as shell-style patterns."""
    if operator == "=":
        return _GLOB.sub(r"[\g<0>]", value)
    if operator != "=~":
        raise Unrecognised(f"matches by {operator}, which patterns can't say")
    globs = []
    for option in value.split("|"):
        pieces = re.split(r"(\.\*|\.\+)", option)
        if not all(piece in (".*", ".+") or _LITERAL.fullmatch(piece) for piece in pieces):
            raise Unrecognised(f"matches =~{value!r}, which patterns can't say")
        globs.append("".join({".*": "*", ".+": "?*"}.get(piece, piece) for piece in pieces))
    return globs[0] if len(globs) == 1 else globs


def _told(sli: Any, where: Mapping[str, Any]) -> dict[str, Any]:
    return {"sli": sli, **({"where": dict(where)} if where else {})}
