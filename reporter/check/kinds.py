"""Which kinds of files are read, and how each is told from its content; names of files say nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from reporter.check import alertmanager, rule_tests, rules, scrape
from reporter.check.grafana import alerting, dashboards, sources
from reporter.check.place import Complaint, Place
from reporter.check.whole import Whole, panels


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file: its name, what complains of it, and what it counts when there is nothing to complain of."""

    name: str
    wrong: Callable[[Place, Whole], Iterator[Complaint]]
    counts: Callable[[Place], dict[str, int]]


def _of_rules(root: Place) -> dict[str, int]:
    written = [rule for group in root["groups"].each() for rule in group["rules"].each()]
    alerts = sum(1 for rule in written if rule["alert"].text)
    return {"alert": alerts, "recording": len(written) - alerts}


def _length(*keys: str) -> Callable[[Place], dict[str, int]]:
    """How many entries a list has, which is found by keys and called by the last."""

    def counts(root: Place) -> dict[str, int]:
        for key in keys[:-1]:
            root = root[key]
        return {keys[-1].removesuffix("s").replace("_", " "): sum(1 for _ in root[keys[-1]].each())}

    return counts


RULES = Kind("Prometheus rules", rules.wrong, _of_rules)
TESTS = Kind("tests of Prometheus rules", rule_tests.wrong, _length("tests"))
SCRAPE = Kind("Prometheus configuration", scrape.wrong, _length("scrape_configs"))
ALERTMANAGER = Kind("Alertmanager configuration", alertmanager.wrong, _length("receivers"))
GRAFANA_ALERTS = Kind("Grafana alerts", alerting.wrong, lambda root: {"rule": sum(1 for _ in alerting.rules_of(root))})
DATASOURCES = Kind("Grafana data sources", sources.wrong_datasources, _length("datasources"))
PROVIDERS = Kind("Grafana dashboard providers", sources.wrong_providers, _length("providers"))
DASHBOARD = Kind("Grafana dashboard", dashboards.wrong, lambda root: {"panel": sum(1 for _ in panels(root))})

_ALERTING = {
    "deleteRules", "contactPoints", "deleteContactPoints", "policies", "resetPolicies", "muteTimes", "deleteMuteTimes",
    "deleteTemplates",
}  # fmt: skip
_OF_GRAFANA = {"folder", "orgId"}
_BOARD = {"panels", "templating", "schemaVersion", "dashboard", "fieldConfig", "gridPos"}


def kind_of(data: dict[str, Any]) -> Kind | None:
    """The kind of a document; None for one of another program, or ours with hardly anything right in it."""
    found = data.keys()
    if "tests" in found:
        return TESTS
    if "groups" in found:
        return GRAFANA_ALERTS if "apiVersion" in found or _is_grafanas(data["groups"]) else RULES
    if found & _ALERTING:
        return GRAFANA_ALERTS
    if "datasources" in found or "deleteDatasources" in found:
        return DATASOURCES
    if "providers" in found:
        return PROVIDERS
    if found & {"route", "receivers", "inhibit_rules"}:
        return ALERTMANAGER
    if found & {"scrape_configs", "rule_files", "alerting"} or found == {"global"}:
        return SCRAPE
    return DASHBOARD if found & _BOARD else None


def _is_grafanas(groups: Any) -> bool:
    entries = [group for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []
    return any(_OF_GRAFANA & group.keys() for group in entries)
