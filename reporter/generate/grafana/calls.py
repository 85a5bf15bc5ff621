"""Dashboards of LLM calls: how fast, how well, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

from reporter.family import Metric
from reporter.generate.grafana.dashboard import TAG, Dashboard, Scope, Variable
from reporter.generate.grafana.panels import (
    BUDGET_LEFT,
    BURN,
    GREEN,
    NEW_COUNTER,
    ORANGE,
    RED,
    YELLOW,
    Column,
    Panel,
    Step,
    bars,
    heatmap,
    lines,
    stat,
    table,
)
from reporter.generate.grafana.services import age
from reporter.metrics import (
    COST_BUDGET,
    COST_BUDGET_BURN_RATE,
    COST_BUDGET_PROJECTED,
    COST_BUDGET_REMAINING,
    COST_BUDGET_SPENT,
    LLM_ACTIVE_REQUESTS,
    LLM_REQUEST_COST,
    LLM_REQUEST_DURATION,
    LLM_TIME_TO_FIRST_TOKEN,
    LLM_TOKENS,
    LLM_TOKENS_PER_SECOND,
    LLM_UNPRICED_REQUESTS,
    LLM_WINDOW_CALLS,
    LLM_WINDOW_COST,
    LLM_WINDOW_DURATION,
    LLM_WINDOW_TTFT,
    LLM_WINDOW_UNPRICED_CALLS,
)
from reporter.slo.indicators import Latency, Throughput, TimeToFirstToken
from reporter.slo.spec import SLO

CALLS, COST = "reporter-llm-calls", "reporter-cost"
_ENDED = f"{LLM_REQUEST_DURATION.name}_count"
_TITLES = {"batch_job": "Job", "operation": "Operation", "provider": "Provider", "model": "Model"}
_FEW: tuple[Step, ...] = ((GREEN, None), (YELLOW, 0.01), (RED, 0.05))


def _variables(scope: Scope) -> tuple[Variable, ...]:
    return tuple(Variable(name=label, label=_TITLES[label], of=_ENDED) for label in scope.labels)


def _objectives(values: Sequence[float]) -> tuple[Step, ...]:
    """A line at each objective's threshold, from the strictest on."""
    colors = (YELLOW, ORANGE, RED)
    marks = sorted(set(values))
    return ((GREEN, None), *((colors[min(index, 2)], value) for index, value in enumerate(marks))) if marks else ()


def calls(scope: Scope, slos: Sequence[SLO]) -> Dashboard:
    """LLM calls: latency, time to first token, throughput, errors, what is in flight."""
    variables = _variables(scope)
    durations = _objectives([slo.sli.threshold_ns / 1e9 for slo in slos if isinstance(slo.sli, Latency)])
    firsts = _objectives([slo.sli.threshold_ns / 1e9 for slo in slos if isinstance(slo.sli, TimeToFirstToken)])
    speeds = [float(slo.sli.min_tokens_per_second) for slo in slos if isinstance(slo.sli, Throughput)]
    return Dashboard(
        uid=scope.own(CALLS),
        tag=scope.own(TAG),
        title=f"{scope.called} / LLM calls",
        says="Latency, throughput and errors of LLM calls.",
        variables=variables,
        rows=(
            (4, _now(scope, variables)),
            (
                9,
                (
                    _heat(scope, variables, "Latency heatmap", "How many calls took how long.", LLM_REQUEST_DURATION),
                    _quantiles(scope, variables, "Latency quantiles", LLM_REQUEST_DURATION, durations),
                ),
            ),
            (
                9,
                (
                    _heat(scope, variables, "Time to first token heatmap", "How many streamed calls began to answer how soon.",
                          LLM_TIME_TO_FIRST_TOKEN),
                    _quantiles(scope, variables, "Time to first token quantiles", LLM_TIME_TO_FIRST_TOKEN, firsts),
                ),
            ),
            (9, _exact(scope, variables, durations, firsts)),
            (9, _throughput(scope, variables, speeds)),
            (9, _outcomes(scope, variables)),
        ),
    )  # fmt: skip


def _now(scope: Scope, variables: tuple[Variable, ...]) -> tuple[Panel, ...]:
    everything, good = scope.select(_ENDED, *variables), scope.select(_ENDED, *variables, status="success")
    hour = scope.window("1h")
    return (
        age(scope),
        stat(f"Calls, {hour}", f"LLM calls that ended in the last {hour}, exact.",
             f"sum({scope.select(LLM_WINDOW_CALLS, *variables, window=hour)})", unit="short", width=5, decimals=0),
        stat("Errors, 1h",
             f"Share of the last hour's calls that did not succeed; timeouts and lost ones too. {NEW_COUNTER}",
             f"1 - (sum(increase({good}[1h])) or vector(0)) / (sum(increase({everything}[1h])) > 0)",
             unit="percentunit", width=5, steps=_FEW),
        stat("In flight", "Calls that started, and neither ended nor were lost.",
             f"sum({scope.select(LLM_ACTIVE_REQUESTS, *variables)})", unit="short", width=5),
        stat(f"Unpriced, {hour}", f"Calls of the last {hour} whose cost is unknown.",
             f"sum({scope.select(LLM_WINDOW_UNPRICED_CALLS, *variables, window=hour)})", unit="short", width=5,
             steps=((GREEN, None), (ORANGE, 1.0)), decimals=0),
    )  # fmt: skip


def _heat(scope: Scope, variables: tuple[Variable, ...], title: str, says: str, metric: Metric) -> Panel:
    buckets = scope.select(f"{metric.name}_bucket", *variables)
    return heatmap(title, says, f"sum by (le) (rate({buckets}[$__rate_interval])) * $__interval_ms / 1000", unit="s")


def _quantiles(
    scope: Scope, variables: tuple[Variable, ...], title: str, metric: Metric, steps: tuple[Step, ...]
) -> Panel:
    buckets = f"sum by (le) (rate({scope.select(f'{metric.name}_bucket', *variables)}[$__rate_interval]))"
    return lines(
        title,
        "Of all the chosen calls together, read from the histogram's buckets. Lines are the thresholds of SLOs.",
        {f"p{share}": f"histogram_quantile(0.{share}, {buckets})" for share in (50, 95, 99)},
        unit="s",
        steps=steps,
    )


def _exact(
    scope: Scope, variables: tuple[Variable, ...], durations: tuple[Step, ...], firsts: tuple[Step, ...]
) -> tuple[Panel, ...]:
    short, by = scope.windows[0], scope.by("provider", "model")
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", ") if label) or "all"
    return tuple(
        lines(
            f"p95 {what} by model, {short}",
            "The worst series of each model, within 1 % of the truth: from the reporter's sketches, not from buckets.",
            {legend: f"max by ({by}) ({scope.select(metric, *variables, window=short, quantile='0.95')})"},
            unit="s",
            steps=steps,
        )
        for what, metric, steps in (
            ("latency", LLM_WINDOW_DURATION, durations),
            ("time to first token", LLM_WINDOW_TTFT, firsts),
        )
    )


def _throughput(scope: Scope, variables: tuple[Variable, ...], speeds: Sequence[float]) -> tuple[Panel, ...]:
    by = scope.by("le", "model")
    buckets = (
        f"sum by ({by}) (rate({scope.select(f'{LLM_TOKENS_PER_SECOND.name}_bucket', *variables)}[$__rate_interval]))"
    )
    return (
        lines(
            "Throughput by model, median",
            "Output speed of half of the calls or more, in tokens a second. Lines are the minima of SLOs.",
            {_legend(scope): f"histogram_quantile(0.5, {buckets})"},
            unit="short",
            steps=((RED, None), *((GREEN, value) for value in sorted(set(speeds)))) if speeds else (),
        ),
        lines(
            "Tokens by kind",
            "Tokens a second. Input includes what was read from and written to a cache, output includes reasoning.",
            {"{{type}}": f"sum by (type) (rate({scope.select(LLM_TOKENS, *variables)}[$__rate_interval]))"},
            unit="short",
        ),
    )


def _legend(scope: Scope) -> str:
    return "{{model}}" if "model" in scope.labels else "all"


def _outcomes(scope: Scope, variables: tuple[Variable, ...]) -> tuple[Panel, ...]:
    failed = scope.select(_ENDED, *variables, also='status!="success"')
    active = f"sum by ({scope.by('model')}) ({scope.select(LLM_ACTIVE_REQUESTS, *variables)})"
    return (
        lines("Calls by outcome", "Calls that ended, a second.",
              {"{{status}}": f"sum by (status) (rate({scope.select(_ENDED, *variables)}[$__rate_interval]))"},
              unit="reqps", width=8, stacked=True),
        lines("Errors by status", "Calls that did not succeed, a second: timeouts, HTTP errors, lost calls.",
              {"{{status}}": f"sum by (status) (rate({failed}[$__rate_interval]))"}, unit="reqps", width=8),
        lines("In flight by model", "Calls that started, and neither ended nor were lost, at each report.",
              {_legend(scope): active}, unit="short", width=8),
    )  # fmt: skip


def cost(scope: Scope) -> Dashboard:
    """Money: what was spent on what, what is left of budgets, and what nobody knows the price of."""
    variables = _variables(scope)
    spent = scope.select(LLM_REQUEST_COST, *variables)
    day, hour = scope.window("1d"), scope.window("1h")
    lately = scope.select(LLM_WINDOW_COST, *variables, window=hour)
    return Dashboard(
        uid=scope.own(COST),
        tag=scope.own(TAG),
        title=f"{scope.called} / Cost",
        says="What LLM calls cost.",
        variables=variables,
        since="now-7d",
        rows=(
            (
                4,
                (
                    age(scope),
                    stat(f"Cost, {day}", f"Cost of the last {day}'s calls that have a price, exact.",
                         f"sum({scope.select(LLM_WINDOW_COST, *variables, window=day)})", unit="currencyUSD", width=5),
                    stat("Cost of the range", f"Cost of the calls that came in during the time range above. {NEW_COUNTER}",
                         f"sum(increase({spent}[$__range]))", unit="currencyUSD", width=5),
                    stat("USD per 1,000 calls", f"Over the time range above, of all calls. {NEW_COUNTER}",
                         f"1000 * sum(increase({spent}[$__range]))"
                         f" / (sum(increase({scope.select(_ENDED, *variables)}[$__range])) > 0)",
                         unit="currencyUSD", width=5),
                    stat("Unpriced calls of the range",
                         f"Calls whose cost is unknown: the totals beside miss them. {NEW_COUNTER}",
                         f"sum(increase({scope.select(LLM_UNPRICED_REQUESTS, *variables)}[$__range]))", unit="short",
                         width=5, steps=((GREEN, None), (ORANGE, 1.0)), decimals=0),
                ),
            ),
            (8, (_budgets(scope),)),
            (
                8,
                (
                    lines("Budget left", "Share of each budget that is left in its period; below 0 it is overspent.",
                          {"{{budget}}": f"max by (budget) ({scope.select(COST_BUDGET_REMAINING)})"}, unit="percentunit",
                          steps=BUDGET_LEFT),
                    lines(f"Cost of {hour} by model", f"Cost of the {hour} before each point, exact.",
                          {_legend(scope): f"sum by ({scope.by('model')}) ({lately})"}, unit="currencyUSD", stacked=True),
                ),
            ),
            (8, _shares(scope, spent)),
            (9, (_by_model(scope, variables, spent),)),
        ),
    )  # fmt: skip


def _budgets(scope: Scope) -> Panel:
    def of(metric: Metric, **labels: str) -> str:
        return f"max by (budget) ({scope.select(metric, **labels)})"

    burns = f"max by (budget, window) ({scope.select(COST_BUDGET_BURN_RATE)})"
    return table(
        "Budgets",
        "Projected is the whole period's cost if calls go on costing what they did lately. Burn is the fastest window's.",
        {"budget": "Budget"},
        [
            Column(name="USD", expr=of(COST_BUDGET), unit="currencyUSD"),
            Column(name="Spent", expr=of(COST_BUDGET_SPENT), unit="currencyUSD"),
            Column(name="Left", expr=of(COST_BUDGET_REMAINING), unit="percentunit", steps=BUDGET_LEFT, cell="gauge",
                   range=(0.0, 1.0)),
            Column(name="Projected", expr=of(COST_BUDGET_PROJECTED), unit="currencyUSD"),
            Column(name="Burn", expr=f"max by (budget) ({burns})", steps=BURN),
        ],
    )  # fmt: skip


def _shares(scope: Scope, spent: str) -> tuple[Panel, ...]:
    shown: list[str] = [label for label in ("model", "batch_job") if label in scope.labels] or [*scope.labels[:1]]
    return tuple(
        bars(
            f"Cost by {_TITLES[label].lower()}",
            f"Cost of the time range above, the dearest first. {NEW_COUNTER}",
            f"{{{{{label}}}}}",
            f"sort_desc(sum by ({label}) (increase({spent}[$__range])))",
            unit="currencyUSD",
            width=24 // len(shown),
        )
        for label in shown
    )


def _by_model(scope: Scope, variables: tuple[Variable, ...], spent: str) -> Panel:
    keys: dict[str, str] = {label: _TITLES[label] for label in ("provider", "model") if label in scope.labels}
    keys = keys or {scope.labels[0]: _TITLES[scope.labels[0]]}
    by = ", ".join(keys)
    output = f"sum by ({by}) (increase({scope.select(LLM_TOKENS, *variables, type='output')}[$__range]))"
    dollars = f"sum by ({by}) (increase({spent}[$__range]))"
    return table(
        "Models",
        f"Over the time range above. A model whose calls have no price has no tokens per dollar. {NEW_COUNTER}",
        keys,
        [
            Column(name="Calls", expr=f"sum by ({by}) (increase({scope.select(_ENDED, *variables)}[$__range]))"),
            Column(name="Cost", expr=dollars, unit="currencyUSD"),
            Column(name="Output tokens", expr=output),
            Column(name="Output tokens per USD", expr=f"{output} / ({dollars} > 0)"),
            Column(name="Unpriced calls",
                   expr=f"sum by ({by}) (increase({scope.select(LLM_UNPRICED_REQUESTS, *variables)}[$__range]))",
                   steps=((GREEN, None), (ORANGE, 1.0))),
        ],
    )  # fmt: skip
