"""An example of Alertmanager's configuration: who is told what, and which alert makes which other one needless."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reporter.generate.alerts import STALE
from reporter.generate.prometheus import as_yaml

CONFIG = "alertmanager.yml"


def config_text(webhook: str, own_labels: Sequence[str]) -> str:
    """Pages and tickets to receivers of their own; a page silences its ticket, and a dead reporter what hangs on it.

    `own_labels` tell the alerts of several reporters apart: none silences those of another.
    """
    page, ticket = (
        {"name": f"reporter-{severity}", "webhook_configs": [_webhook(webhook)]} for severity in ("page", "ticket")
    )
    slo = ["slo", "service", *own_labels]
    return as_yaml(
        {
            "route": {
                "receiver": "reporter-ticket",
                "group_by": ["alertname", "source", "slo", "service", "budget", "batch_job", *own_labels],
                "group_wait": "30s",
                "group_interval": "5m",
                "repeat_interval": "1d",
                "routes": [
                    {
                        "matchers": ['severity="page"'],
                        "receiver": "reporter-page",
                        "group_wait": "10s",
                        "repeat_interval": "4h",
                    }
                ],
            },
            "inhibit_rules": [
                _inhibits('severity="page",source="slo"', 'severity="ticket",source="slo"', slo),
                _inhibits(
                    'severity="page",source="budget"', 'severity="ticket",source="budget"', ["budget", *own_labels]
                ),
                _inhibits('severity="page",source="counters"', 'severity="ticket",source="counters"', slo),
                # Counters are a cross-check: they speak where the pushed burn rates do not.
                _inhibits('severity="page",source="slo"', 'source="counters"', slo),
                _inhibits('severity="ticket",source="slo"', 'severity="ticket",source="counters"', slo),
                _inhibits(f'alertname="{STALE}"', 'source=~"slo|budget|job|calls|counters"', own_labels),
            ],
            "receivers": [page, ticket],
        }
    )


def _inhibits(source: str, target: str, equal: Sequence[str]) -> dict[str, Any]:
    """While an alert like `source` fires, those like `target` are not told, if these labels of both are equal."""
    rule: dict[str, Any] = {"source_matchers": source.split(","), "target_matchers": target.split(",")}
    return {**rule, "equal": [*equal]} if equal else rule


def _webhook(url: str) -> dict[str, Any]:
    return {"url": url, "send_resolved": True}
