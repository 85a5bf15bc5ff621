"""All of Grafana's files, by the names they are written under.

They go to Grafana's provisioning directory as they are: `dashboards/`, `datasources/`, `alerting/`.
"""

from __future__ import annotations

from collections.abc import Sequence

from reporter.generate.grafana import calls, services, work
from reporter.generate.grafana.dashboard import Dashboard, Scope, as_text
from reporter.generate.prometheus import as_yaml
from reporter.slo.spec import SLO

PROVIDER, DATASOURCES, RULES = "dashboards/reporter.yaml", "datasources/reporter.yaml", "alerting/reporter.yaml"
DATASOURCE_UID = "reporter-prometheus"
FOLDER = "reporter"


def dashboards(scope: Scope, slos: Sequence[SLO]) -> tuple[Dashboard, ...]:
    """Every dashboard of a configuration."""
    return (
        services.overview(scope), services.detail(scope), calls.calls(scope, slos), calls.cost(scope), work.jobs(scope),
        work.itself(scope),
    )  # fmt: skip


def dashboard_files(scope: Scope, slos: Sequence[SLO]) -> dict[str, str]:
    """Every dashboard in a file of its own, named by its uid."""
    return {f"dashboards/reporter/{made.uid}.json": as_text(made) for made in dashboards(scope, slos)}


def provider_text(directory: str) -> str:
    """The file that tells Grafana where dashboards are; `directory` is where it finds them."""
    return as_yaml(
        {
            "apiVersion": 1,
            "providers": [
                {
                    "name": "reporter",
                    "orgId": 1,
                    "folder": FOLDER,
                    "folderUid": "reporter",
                    "type": "file",
                    "disableDeletion": False,
                    "allowUiUpdates": False,  # what is changed by hand would be lost with the next generation
                    "updateIntervalSeconds": 30,
                    "options": {"path": directory, "foldersFromFilesStructure": False},
                }
            ],
        }
    )


def datasource_text(prometheus_url: str, uid: str) -> str:
    """The file that tells Grafana of Prometheus; alerts need its uid, because they can't use variables."""
    return as_yaml(
        {
            "apiVersion": 1,
            "datasources": [
                {
                    "name": "Prometheus of reporter",
                    "uid": uid,
                    "orgId": 1,
                    "type": "prometheus",
                    "access": "proxy",
                    "url": prometheus_url,
                    "editable": False,
                    "jsonData": {"httpMethod": "POST", "timeInterval": "15s", "prometheusType": "Prometheus"},
                }
            ],
        }
    )
