"""Dashboards of SLOs: all of them at a glance, and one in detail."""

from __future__ import annotations

from collections.abc import Sequence

from reporter.generate.grafana.dashboard import TAG, Dashboard, Scope, Variable
from reporter.generate.grafana.panels import (
    BUDGET_LEFT,
    BURN,
    GREEN,
    NEW_COUNTER,
    NONE_WANTED,
    ORANGE,
    RED,
    Column,
    Panel,
    firing,
    lines,
    stat,
    table,
)
from reporter.generate.grafana.work import IN_TROUBLE
from reporter.metrics import (
    JOB_STATE,
    LLM_WINDOW_COST,
    LLM_WINDOW_UNPRICED_CALLS,
    SLO_BUDGET_REMAINING,
    SLO_BURN_RATE,
    SLO_EVENTS,
    SLO_OBJECTIVE,
    SLO_SLI,
    SLO_WINDOW_EVENTS,
)
from reporter.slo.spec import SLO

OVERVIEW, DETAIL = "reporter-overview", "reporter-slo"
_SLO = Variable(name="slo", label="SLO", of=SLO_OBJECTIVE.name, many=False)
_SERVICE = Variable(name="service", label="Service", of=SLO_OBJECTIVE.name)
LEFT, BURNING = "Error budget left", "Burn rate by window"


def overview(scope: Scope, slos: Sequence[SLO]) -> Dashboard:
    """What a person looks at first: is anything wrong, and is what is shown of now."""
    day = scope.window("1d")
    return Dashboard(
        uid=scope.own(OVERVIEW),
        tag=scope.own(TAG),
        title=f"{scope.called} / Overview",
        says="SLOs, alerts, money and jobs at a glance.",
        variables=(_SERVICE,),
        rows=(
            (4, _numbers(scope, day)),
            (10, (_slos(scope, slos),)),
            (
                9,
                (
                    firing("Firing", "Alerts that fire or are about to, of Grafana's own rules and of Prometheus'."),
                    lines(
                        LEFT,
                        "Share of each SLO's error budget that is left in its period; below 0 it is overspent.",
                        {"{{slo}}": f"max by (slo, service) ({scope.select(SLO_BUDGET_REMAINING, _SERVICE)})"},
                        unit="percentunit",
                        steps=BUDGET_LEFT,
                    ),
                ),
            ),
        ),
    )


def _numbers(scope: Scope, day: str) -> tuple[Panel, ...]:
    hour = scope.window("1h")
    burning = scope.select(SLO_BURN_RATE, _SERVICE, window=hour)
    trouble = scope.select(JOB_STATE, also=f'state=~"{"|".join(IN_TROUBLE)}"')
    return (
        age(scope),
        stat(
            "Budgets overspent",
            "SLOs that have no error budget left.",
            f"count({scope.select(SLO_BUDGET_REMAINING, _SERVICE)} <= 0) or vector(0)",
            unit="short",
            steps=NONE_WANTED,
        ),
        stat(
            f"Burning over {hour}",
            "SLOs that spend their error budget faster than it lasts.",
            f"count({burning} > 1) or vector(0)",
            unit="short",
            steps=((GREEN, None), (ORANGE, 1.0)),
        ),
        stat(
            f"Cost, {day}",
            "Cost of the LLM calls that have a price, exact. Those without one are counted beside it.",
            f"sum({scope.select(LLM_WINDOW_COST, window=day)})",
            unit="currencyUSD",
        ),
        stat(
            f"Unpriced calls, {day}",
            "LLM calls whose cost is unknown, and so is in no total.",
            f"sum({scope.select(LLM_WINDOW_UNPRICED_CALLS, window=day)}) or vector(0)",
            unit="short",
            steps=((GREEN, None), (ORANGE, 1.0)),
            decimals=0,
        ),
        stat(
            "Jobs in trouble",
            "Batch jobs that are late, missed, failed, lost or overrunning.",
            f"count({trouble} == 1) or vector(0)",
            unit="short",
            steps=NONE_WANTED,
        ),
    )


def age(scope: Scope) -> Panel:
    """How old all these numbers are: the gateway shows the last ones for ever."""
    return stat(
        "Age of the report",
        "How long ago the numbers on this page were made. The gateway keeps the last ones for ever: look here first.",
        scope.source.age,
        unit="s",
        steps=((GREEN, None), (ORANGE, 150.0), (RED, float(scope.source.stale_after_seconds))),
    )


def _digits(slos: Sequence[SLO]) -> int:
    """Decimals of a percentage that tell each objective from 100 %, where Grafana would round 99.95 % to that."""
    return max([0, *(-int(slo.objective.normalize().as_tuple().exponent) for slo in slos)])


def _slos(scope: Scope, slos: Sequence[SLO]) -> Panel:
    short, hour, day = scope.windows[0], scope.window("1h"), scope.window("1d")

    def of(expr: str) -> str:
        return f"max by (slo, service) ({expr})"

    burns = [
        Column(
            name=f"Burn {window}",
            expr=of(scope.select(SLO_BURN_RATE, _SERVICE, window=window)),
            unit="short",
            steps=BURN,
        )
        for window in dict.fromkeys((short, hour, day))
    ]
    return table(
        "SLOs",
        "Budget left is of the SLO's period. A burn rate of 1 spends the budget exactly. Click a name for more.",
        {"slo": "SLO", "service": "Service"},
        [
            Column(name="Objective", expr=of(scope.select(SLO_OBJECTIVE, _SERVICE)), unit="percentunit",
                   decimals=_digits(slos)),
            Column(name=f"SLI {day}", expr=of(scope.select(SLO_SLI, _SERVICE, window=day)), unit="percentunit",
                   decimals=max(_digits(slos) + 1, 2)),
            Column(
                name="Budget left", expr=of(scope.select(SLO_BUDGET_REMAINING, _SERVICE)), unit="percentunit",
                steps=BUDGET_LEFT, cell="gauge", range=(0.0, 1.0),
            ),
            *burns,
            Column(name=f"Bad events {day}", expr=of(scope.select(SLO_WINDOW_EVENTS, _SERVICE, window=day, result="bad"))),
        ],
        link=("How it got there", f"/d/{scope.own(DETAIL)}?var-slo=${{__value.raw:percentencode}}&${{__url_time_range}}"),
    )  # fmt: skip


def detail(scope: Scope, slos: Sequence[SLO]) -> Dashboard:
    """One SLO: what is left, how fast it goes, and what of."""
    day, short = scope.window("1d"), scope.windows[0]
    events = f"sum by (result) (rate({scope.select(SLO_EVENTS, _SLO)}[$__rate_interval])) * $__interval_ms / 1000"
    return Dashboard(
        uid=scope.own(DETAIL),
        tag=scope.own(TAG),
        title=f"{scope.called} / SLO",
        says="One SLO in detail.",
        variables=(_SLO,),
        since="now-7d",
        rows=(
            (
                4,
                (
                    age(scope),
                    stat("Objective", "The share of events that must be good.", f"max({scope.select(SLO_OBJECTIVE, _SLO)})",
                         unit="percentunit", width=5, decimals=_digits(slos)),
                    stat(f"SLI, {day}", f"Good events over all events of the last {day}.",
                         f"max({scope.select(SLO_SLI, _SLO, window=day)})", unit="percentunit", width=5,
                         decimals=max(_digits(slos) + 1, 2)),
                    stat("Budget left", "Share of the period's error budget that is left; negative when overspent.",
                         f"max({scope.select(SLO_BUDGET_REMAINING, _SLO)})", unit="percentunit", width=5, steps=BUDGET_LEFT),
                    stat(f"Burn rate, {short}", "1 spends the budget exactly; 14.4 spends 2 % of 30 days in an hour.",
                         f"max({scope.select(SLO_BURN_RATE, _SLO, window=short)})", unit="short", width=5, steps=BURN),
                ),
            ),
            (
                9,
                (
                    lines(LEFT, "Share of the period's error budget that is left; below 0 it is overspent.",
                          {"left": f"max({scope.select(SLO_BUDGET_REMAINING, _SLO)})"}, unit="percentunit", steps=BUDGET_LEFT),
                    lines(BURNING, "An alert fires when a long and a short window are both above their factor.",
                          {"{{window}}": f"max by (window) ({scope.select(SLO_BURN_RATE, _SLO)})"}, unit="short", steps=BURN),
                ),
            ),
            (
                9,
                (
                    lines("SLI and objective", "The SLI of each window; it should be above the objective.",
                          {"{{window}}": f"max by (window) ({scope.select(SLO_SLI, _SLO)})",
                           "objective": f"max({scope.select(SLO_OBJECTIVE, _SLO)})"}, unit="percentunit"),
                    lines("Events",
                          f"Good and bad events as they came in: the points of a line add up to their number. {NEW_COUNTER}",
                          {"{{result}}": events}, unit="short", stacked=True),
                ),
            ),
            (
                4,
                tuple(
                    stat(f"{result.title()} events, {window}", f"{result.title()} events of the last {window}, exact.",
                         f"sum({scope.select(SLO_WINDOW_EVENTS, _SLO, window=window, result=result)})", unit="short", width=6)
                    for window in dict.fromkeys((short, day)) for result in ("good", "bad")
                ),
            ),
        ),
    )  # fmt: skip
