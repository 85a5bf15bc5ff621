"""The SLOs' alerts as Prometheus computes them itself from `slo_events_total`: a cross-check of the pushed burn rates.

It counts an event when it was folded rather than when it ended, knows nothing of exclusions, and says nothing of a window
before the counters are older than it: where the two differ, the pushed ones are right.  It speaks only where the first alert
does not, so that one outage pages once: Alertmanager inhibits it while that one fires, and it keeps quiet for a while after
it ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reporter.generate.alerts import finished
from reporter.generate.burning import (
    SEVERITIES,
    SLO_BURN,
    factor,
    identity_of,
    inert_labels,
    labels_of,
    slo_annotations,
)
from reporter.generate.rules import AlertRule, RecordingRule, RuleGroup, Source, indented, value_of
from reporter.metrics import SLO_EVENTS
from reporter.slo.alerting import AlertPair
from reporter.slo.spec import SLO

RULES = "reporter-from-counters.rules.yml"
BY_COUNTERS = "ErrorBudgetBurnByCounters"
_FIRST = "2m"  # that the alert by pushed burn rates has a head start
_AFTER = "15m"  # as long after that one ended: counters are told later, and so burn longer


def counter_groups(source: Source, slos: Sequence[SLO], runbooks: str) -> tuple[RuleGroup, ...]:
    """Burn rates of counters and the alerts of them; SLOs of time slices have no counter."""
    counted = [slo for slo in slos if slo.method == "occurrences"]
    records = [record for slo in counted for record in _records(source, slo)]
    alerts = [finished(source, alert, runbooks) for slo in counted for alert in _alerts(source, slo)]
    rules: list[AlertRule | RecordingRule] = [*records, *alerts]
    return (RuleGroup(name="reporter-slos-from-counters", rules=tuple(rules)),) if rules else ()


def _records(source: Source, slo: SLO) -> Iterator[RecordingRule]:
    identity = identity_of(slo)
    labels = {**identity, **source.own_labels}
    for window in dict.fromkeys(window for pair in slo.pairs for window in (pair.long, pair.short)):
        everything = f"sum by (slo, service) (increase({source.select(SLO_EVENTS, **identity)}[{window}]))"
        bad = f"sum by (slo, service) (increase({source.select(SLO_EVENTS, **identity, result='bad')}[{window}]))"
        known = f"and\nsum by (slo, service) ({source.select(SLO_EVENTS, **identity)} {source.known_since(window)})"
        yield RecordingRule(
            record=_burn_rate(window),
            expr=f"{bad} / ({everything} > 0) / {float(slo.error_budget_ratio)!r}\n{known}",
            labels=labels,
        )
        if slo.min_bad_events and window in {pair.long for pair in slo.pairs}:
            yield RecordingRule(record=_bad_events(window), expr=f"{bad}\n{known}", labels=labels)


def _burn_rate(window: str) -> str:
    return f"slo:burn_rate:increase{window}"


def _bad_events(window: str) -> str:
    return f"slo:bad_events:increase{window}"


def _alerts(source: Source, slo: SLO) -> Iterator[AlertRule]:
    identity = identity_of(slo)
    recorded = Source(grouping=source.own_labels, stale_after_seconds=source.stale_after_seconds)

    def rate(window: str) -> str:
        return value_of(recorded, _burn_rate(window), "slo")

    for severity in SEVERITIES:
        pairs = [pair for pair in slo.pairs if pair.severity == severity]
        if not pairs:
            continue
        burning = "\nor\n".join(_pair(recorded, slo, pair) for pair in pairs)
        silent = "\nor\n".join(_is_silent(recorded, slo, pair) for pair in pairs)
        first = source.firing(SLO_BURN, **identity, severity=severity)
        expr = f"(\n{indented(burning)}\n)\nunless on ()\n(max_over_time({first}[{_AFTER}]) unless {first})"
        yield AlertRule(
            alert=BY_COUNTERS,
            expr=source.gated(BY_COUNTERS, expr, no_news=silent, **identity, severity=severity),
            labels={**inert_labels(identity), "severity": severity, "source": "counters", **labels_of(slo)},
            annotations=slo_annotations(source, slo, pairs, rate, ", as Prometheus counts"),
            held_for=_FIRST,
        )


def _pair(recorded: Source, slo: SLO, pair: AlertPair) -> str:
    identity = identity_of(slo)
    above = [
        f"{recorded.select(_burn_rate(window), **identity)} > {factor(pair)}" for window in (pair.long, pair.short)
    ]
    if slo.min_bad_events:
        above.append(f"{recorded.select(_bad_events(pair.long), **identity)} >= {slo.min_bad_events}")
    return f"({' and '.join(above)})"


def _is_silent(recorded: Source, slo: SLO, pair: AlertPair) -> str:
    long, short = (recorded.select(_burn_rate(window), **identity_of(slo)) for window in (pair.long, pair.short))
    return f"{long} > {factor(pair)} unless {short}"
