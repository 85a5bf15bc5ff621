"""What PromQL may ask for: the series that are pushed, those of the gateway, and what rules make of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from reporter.config.model import ReportSettings
from reporter.facts import RUN_STATUSES
from reporter.family import Metric, decimal
from reporter.metrics import (
    JOB_RUNS,
    JOB_STATE,
    LLM_TOKENS,
    METRICS,
    SLO_EVENTS,
    SLO_WINDOW_EVENTS,
)

ANY = "__any__"
"""What stands in a query where a dashboard's variable may put anything."""

_GATEWAYS = ("push_time_seconds", "push_failure_time_seconds")  # the Pushgateway's own, one of each group
_SCRAPES = ("up", "scrape_duration_seconds", "scrape_samples_scraped")  # Prometheus' own, of each target
_STATES = ("ok", "running", "late", "missed", "failed", "lost", "overrun", "unknown")
_TOKENS = ("input", "cache_read", "cache_write", "output", "reasoning")
_QUANTILES = ("0.5", "0.95", "0.99")


@dataclass(frozen=True, slots=True)
class Series:
    """The series of one name: their labels, None where any; what kind of numbers; values that a label can have only."""

    labels: frozenset[str] | None
    kind: str = ""  # "counter", "gauge", "bucket", or "" where it can't be told
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Names:
    """Everything that can be asked for, by name; `grouping` are labels that all of what is pushed has."""

    series: Mapping[str, Series]
    grouping: frozenset[str]

    def and_also(self, name: str, series: Series) -> Names:
        return replace(self, series={**self.series, name: series})


def pushed(grouping: Collection[str]) -> Names:
    """What the reporter and its gateway show; `grouping` are the labels of its group there."""
    always = frozenset({*grouping, "job", "instance"})
    found = {name: Series(always, "gauge") for name in (*_GATEWAYS, *_SCRAPES)}
    for metric in METRICS:
        labels = always.union(metric.labels, ReportSettings().labels if metric.by_series else ())
        values = _values(metric)
        if metric.type == "histogram":
            bounds = frozenset({*(decimal(bound, metric.scale) for bound in metric.bounds), "+Inf"})
            found |= {f"{metric.name}_{part}": Series(labels, "counter", values) for part in ("count", "sum")}
            found[f"{metric.name}_bucket"] = Series(labels | {"le"}, "bucket", {**values, "le": bounds})
        else:
            found[metric.name] = Series(labels, metric.type, values)
    return Names(found, always)


def alerts_series(alerts: Collection[str]) -> dict[str, Series]:
    """Prometheus' own series of alerts; `alerts` are the names there are, or none where that is not known."""
    values = {"alertstate": frozenset(("firing", "pending"))}
    if alerts:
        values["alertname"] = frozenset(alerts)
    return {name: Series(None, "gauge", values) for name in ("ALERTS", "ALERTS_FOR_STATE")}


def _values(metric: Metric) -> dict[str, frozenset[str]]:
    values: dict[str, Collection[str]] = {}
    if metric in (SLO_EVENTS, SLO_WINDOW_EVENTS):
        values["result"] = ("good", "bad")
    if "quantile" in metric.labels:
        values["quantile"] = _QUANTILES
    if metric is LLM_TOKENS:
        values["type"] = _TOKENS
    if metric is JOB_STATE:
        values["state"] = _STATES
    if metric is JOB_RUNS:
        values["status"] = tuple(status for status in RUN_STATUSES if status != "running")
    return {label: frozenset(known) for label, known in values.items()}
