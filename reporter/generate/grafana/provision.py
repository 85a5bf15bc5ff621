"""All of Grafana's files, by the names they are written under.

They go to Grafana's provisioning directory as they are: `dashboards/`, `datasources/`, `alerting/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reporter.generate.grafana import calls, services, work
from reporter.generate.grafana.dashboard import Dashboard, Scope, as_text
from reporter.generate.grafana.identity import called, own
from reporter.generate.prometheus import as_yaml
from reporter.slo.spec import SLO

DATASOURCE_UID = "reporter-prometheus"
DASHBOARDS = "/etc/grafana/provisioning/dashboards"
"""Where Grafana finds dashboards, unless it is told otherwise."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one reporter, beside which there may be those of others."""

    name: str

    @classmethod
    def of(cls, grouping: Mapping[str, str]) -> Places:
        return cls(own("reporter", grouping))

    @property
    def provider(self) -> str:
        return f"dashboards/{self.name}.yaml"

    @property
    def datasources(self) -> str:
        return f"datasources/{self.name}.yaml"

    @property
    def rules(self) -> str:
        return f"alerting/{self.name}.yaml"

    def dashboard(self, uid: str) -> str:
        return f"dashboards/{self.name}/{uid}.json"


def dashboards(scope: Scope, slos: Sequence[SLO]) -> tuple[Dashboard, ...]:
    """Every dashboard of a configuration."""
    return (
        services.overview(scope, slos), services.detail(scope, slos), calls.calls(scope, slos), calls.cost(scope),
        work.jobs(scope), work.itself(scope),
    )  # fmt: skip


def dashboard_files(scope: Scope, slos: Sequence[SLO]) -> dict[str, str]:
    """Every dashboard in a file of its own, named by its uid."""
    places = Places.of(scope.source.grouping)
    return {places.dashboard(made.uid): as_text(made) for made in dashboards(scope, slos)}


def provider_text(directory: str, grouping: Mapping[str, str]) -> str:
    """The file that tells Grafana where dashboards are; `directory` is where it finds them."""
    return as_yaml(
        {
            "apiVersion": 1,
            "providers": [
                {
                    "name": own("reporter", grouping),
                    "orgId": 1,
                    "folder": called(grouping),
                    "folderUid": own("reporter", grouping),
                    "type": "file",
                    "disableDeletion": False,
                    "allowUiUpdates": False,  # what is changed by hand would be lost with the next generation
                    "updateIntervalSeconds": 30,
                    "options": {"path": directory, "foldersFromFilesStructure": False},
                }
            ],
        }
    )


def datasource_text(prometheus_url: str, uid: str, grouping: Mapping[str, str]) -> str:
    """The file that tells Grafana of Prometheus; alerts need its uid, because they can't use variables."""
    return as_yaml(
        {
            "apiVersion": 1,
            "datasources": [
                {
                    "name": f"Prometheus of {called(grouping)}",
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
