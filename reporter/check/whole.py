"""What all the files say together: names that one file makes and another uses."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from reporter.check.labels import labels_of
from reporter.check.names import Names, Series, alerts_series, pushed
from reporter.check.place import Place
from reporter.expression import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What is there to be used; nothing of a kind where no file of it was read, and then everything may be."""

    names: Names
    pushed: frozenset[str]  # of the names those that no rule makes
    rule_files: frozenset[str] = frozenset()
    alerts: frozenset[str] = frozenset()
    alert_labels: frozenset[str] = frozenset()
    datasources: frozenset[str] = frozenset()  # their uids
    dashboards: Mapping[str, frozenset[int]] | None = None  # the ids of panels, by the dashboard's uid

    def of_some(self) -> Whole:
        """The same where there are more files than were read, so that what none of them has may be there all the same."""
        names = replace(self.names, series={**self.names.series, **alerts_series(())})
        return replace(self, names=names, alerts=frozenset(), datasources=frozenset(), dashboards=None)


def whole_of(
    rules: Sequence[Place], grafana_rules: Sequence[Place], sources: Sequence[Place], dashboards: Sequence[Place],
    grouping: Collection[str],
) -> Whole:  # fmt: skip
    """What files of rules, of Grafana's rules and data sources, and dashboards say; `grouping` are the gateway's labels."""
    written = [rule for root in rules for group in root["groups"].each() for rule in group["rules"].each()]
    alerts = frozenset(rule["alert"].text for rule in written if rule["alert"].text)
    provisioned = [rule for root in grafana_rules for group in root["groups"].each() for rule in group["rules"].each()]
    labels = frozenset(label for rule in (*written, *provisioned) for label, _ in rule["labels"].items())
    reporters = pushed(grouping)
    names = replace(reporters, series={**reporters.series, **alerts_series(alerts)})
    for rule in written:
        if rule["record"].text:
            names = names.and_also(rule["record"].text, Series(None))
    for rule in written:  # again, because one may use another that stands below it
        if rule["record"].text:
            names = names.and_also(rule["record"].text, Series(_labels_of_record(rule, names)))
    return Whole(
        names=names,
        pushed=frozenset(reporters.series),
        rule_files=frozenset(os.path.realpath(root.sheet.name) for root in rules),
        alerts=alerts,
        alert_labels=labels.union({"alertname"}, *(_result_labels(rule["expr"].text, names) for rule in written)),
        datasources=frozenset(entry["uid"].text for root in sources for entry in root["datasources"].each()) - {""},
        dashboards={root["uid"].text: frozenset(_ids(root)) for root in dashboards} or None,
    )


def _labels_of_record(rule: Place, names: Names) -> frozenset[str] | None:
    try:
        found = labels_of(parse(rule["expr"].text), names)
    except (ValueError, RecursionError):
        return None
    return None if found is None else found.union(label for label, _ in rule["labels"].items())


def _result_labels(expr: str, names: Names) -> frozenset[str]:
    try:
        return labels_of(parse(expr), names) or frozenset()
    except (ValueError, RecursionError):
        return frozenset()


def panels(root: Place) -> Iterator[Place]:
    """Every panel of a dashboard, those in folded rows too."""
    for panel in root["panels"].each():
        yield panel
        yield from panel["panels"].each()


def _ids(root: Place) -> Iterator[int]:
    return (panel["id"].value for panel in panels(root) if isinstance(panel["id"].value, int))
