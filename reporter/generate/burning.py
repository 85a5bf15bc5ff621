"""Alerts of what burns too fast: the error budgets of SLOs, and money."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Protocol

from reporter.family import Metric
from reporter.generate.rules import AlertRule, Source, inert, shell_word, value_of
from reporter.metrics import (
    COST_BUDGET,
    COST_BUDGET_BURN_RATE,
    COST_BUDGET_PROJECTED,
    COST_BUDGET_REMAINING,
    COST_BUDGET_SPENT,
    SLO_BUDGET_REMAINING,
    SLO_BURN_RATE,
    SLO_WINDOW_EVENTS,
)
from reporter.slo.alerting import AlertPair
from reporter.slo.fields import plain
from reporter.slo.spec import SLO

SLO_BURN, BUDGET_BURN = "ErrorBudgetBurn", "CostBudgetBurn"
SEVERITIES = ("page", "ticket")


class Budget(Protocol):
    """What alerts need of a cost budget."""

    @property
    def name(self) -> str: ...
    @property
    def usd(self) -> Decimal: ...
    @property
    def period(self) -> str: ...
    @property
    def pairs(self) -> tuple[AlertPair, ...]: ...


def slo_alerts(source: Source, slo: SLO) -> Iterator[AlertRule]:
    """A page and a ticket, as far as the SLO has pairs of that severity: any pair of windows makes it."""
    identity = identity_of(slo)
    for severity in SEVERITIES:
        pairs = [pair for pair in slo.pairs if pair.severity == severity]
        if not pairs:
            continue
        burning = [_burns(source, SLO_BURN_RATE, identity, pair, _enough(source, slo, pair)) for pair in pairs]
        silent = "\nor\n".join(_is_silent(source, identity, pair) for pair in pairs)
        yield AlertRule(
            alert=SLO_BURN,
            expr=source.gated(SLO_BURN, "\nor\n".join(burning), no_news=silent, **identity, severity=severity),
            no_news=silent,
            labels={**inert_labels(identity), "severity": severity, "source": "slo", **labels_of(slo)},
            annotations=slo_annotations(source, slo, pairs, partial(_burn_rate, source)),
        )


def _burn_rate(source: Source, window: str) -> str:
    return value_of(source, SLO_BURN_RATE, "slo", window=window)


def identity_of(slo: SLO) -> dict[str, str]:
    """The labels by which an SLO's series are known."""
    return {"slo": slo.name, "service": slo.service}


def inert_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels as a rule writes them, whose templates they are; said although the series have them, to tell rules apart."""
    return {name: inert(value) for name, value in labels.items()}


def factor(pair: AlertPair) -> str:
    """The burn rate that a pair wants exceeded, as the float that the report compares with."""
    return repr(float(pair.factor))


def _burns(source: Source, metric: Metric, identity: Mapping[str, str], pair: AlertPair, enough: str = "") -> str:
    """The burn rate of the long window, where both windows' are above the factor."""
    long, short = (source.select(metric, **identity, window=window) for window in (pair.long, pair.short))
    above = f"{long} > {factor(pair)}\n  and ignoring (window) {short} > {factor(pair)}{enough}"
    return f"max by ({', '.join(identity)}) (\n  {above}\n)"


def _is_silent(source: Source, identity: Mapping[str, str], pair: AlertPair) -> str:
    """Something while nothing happened in the short window, and the long one burns: an hourly job has such half-hours."""
    long, short = (source.select(SLO_BURN_RATE, **identity, window=window) for window in (pair.long, pair.short))
    return f"{long} > {factor(pair)} unless ignoring (window) {short}"


def _enough(source: Source, slo: SLO, pair: AlertPair) -> str:
    if not slo.min_bad_events:
        return ""
    bad = source.select(SLO_WINDOW_EVENTS, **identity_of(slo), window=pair.long, result="bad")
    return f"\n  and ignoring (window, result) {bad} >= {slo.min_bad_events}"


def labels_of(slo: SLO) -> dict[str, str]:
    """The SLO's own labels, but for those that make an alert what it is."""
    taken = ("alertname", "severity", "source", "slo", "service")
    return {name: inert(value) for name, value in sorted(slo.labels.items()) if name not in taken}


def slo_annotations(
    source: Source, slo: SLO, pairs: Sequence[AlertPair], rate: Callable[[str], str], whose: str = ""
) -> dict[str, str]:
    """What a person is told; `rate` is a template of the burn rate in a window, `whose` says who counts it so."""
    rates = "; ".join(
        " and ".join(f"{rate(window)} over {window}" for window in (pair.long, pair.short))
        + f" where {float(pair.factor):.6g} is the limit"
        for pair in pairs
    )
    left = value_of(source, SLO_BUDGET_REMAINING, "slo", show="humanizePercentage")
    told = {
        "summary": f"{{{{ $labels.slo }}}} burns its error budget too fast{whose}",
        "description": (
            f"Burn rates{whose}: {rates}. Error budget left: {left}."
            f" The objective is {plain(slo.objective)} % over {slo.period}: good is {inert(slo.sli.describe())}."
        ),
        "what_to_type": f"reporter explain {shell_word(slo.name)}",
    }
    if slo.description:
        told["about"] = inert(slo.description)
    if slo.runbook:
        told["runbook_url"] = inert(slo.runbook)
    return told


def budget_alerts(source: Source, budget: Budget) -> Iterator[AlertRule]:
    """A page and a ticket by the pairs of windows that the budget has, and a ticket when it is or will be spent."""
    identity = {"budget": budget.name}
    for severity in SEVERITIES:
        burning = [
            _burns(source, COST_BUDGET_BURN_RATE, identity, pair) for pair in budget.pairs if pair.severity == severity
        ]
        if burning:
            yield _of_budget(
                source, budget, BUDGET_BURN, "\nor\n".join(burning), "is spent too fast", severity=severity
            )
    gone = f"max by (budget) ({source.select(COST_BUDGET_REMAINING, **identity)} <= 0)"
    yield _of_budget(source, budget, "CostBudgetSpent", gone, "is spent")
    projected = source.select(COST_BUDGET_PROJECTED, **identity)
    over = f"max by (budget) ({projected} > {source.select(COST_BUDGET, **identity)})"
    yield _of_budget(source, budget, "CostBudgetWillNotLast", over, "will not last its period", held_for="1h")


def _of_budget(
    source: Source,
    budget: Budget,
    alert: str,
    expr: str,
    says: str,
    *,
    severity: str = "ticket",
    held_for: str = "",
) -> AlertRule:
    spent, projected = (
        value_of(source, metric, "budget", show='printf "%.2f"')
        for metric in (COST_BUDGET_SPENT, COST_BUDGET_PROJECTED)
    )
    identity, limit = {"budget": budget.name}, plain(budget.usd)
    return AlertRule(
        alert=alert,
        expr=source.gated(alert, expr, **identity, severity=severity),
        labels={**inert_labels(identity), "severity": severity, "source": "budget"},
        annotations={
            "summary": f"{{{{ $labels.budget }}}} {says}",
            "description": (
                f"{spent} of {limit} USD are spent; {projected} at the end of its period at the present rate."
                f" The budget is {limit} USD within {budget.period}. Calls without a price are in no sum."
            ),
            "what_to_type": "reporter cost --by job,model --since 7d",
        },
        held_for=held_for,
    )
