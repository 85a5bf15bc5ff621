"""An example of Alertmanager's configuration: who is told what, and which alert makes which other one needless."""

from __future__ import annotations

from typing import Any

from reporter.generate.alerts import STALE
from reporter.generate.prometheus import as_yaml

CONFIG = "alertmanager.yml"


def config_text(webhook: str) -> str:
    """Pages and tickets to receivers of their own; a page silences its ticket, and a dead reporter what hangs on it."""
    page, ticket = (
        {"name": f"reporter-{severity}", "webhook_configs": [_webhook(webhook)]} for severity in ("page", "ticket")
    )
    return as_yaml(
        {
            "route": {
                "receiver": "reporter-ticket",
                "group_by": ["alertname", "source", "slo", "service", "budget", "batch_job"],
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
                {
                    "source_matchers": ['severity="page"', 'source="slo"'],
                    "target_matchers": ['severity="ticket"', 'source="slo"'],
                    "equal": ["slo", "service"],
                },
                {
                    "source_matchers": ['severity="page"', 'source="budget"'],
                    "target_matchers": ['severity="ticket"', 'source="budget"'],
                    "equal": ["budget"],
                },
                {
                    "source_matchers": [f'alertname="{STALE}"'],
                    "target_matchers": ['source=~"slo|budget|job|calls|counters"'],
                },
            ],
            "receivers": [page, ticket],
        }
    )


def _webhook(url: str) -> dict[str, Any]:
    return {"url": url, "send_resolved": True}
