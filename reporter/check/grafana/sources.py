"""Files that tell Grafana of data sources, and of directories with dashboards.

Source: https://grafana.com/docs/grafana/latest/administration/provisioning/
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reporter.check.grafana.names import title, uid
from reporter.check.place import Complaint, Place, twice
from reporter.check.shape import (
    Shape,
    anything,
    duration,
    exactly,
    flag,
    keys,
    list_of,
    map_of,
    one_of,
    record,
    text,
    whole,
    words,
)
from reporter.check.whole import Whole

_PROMETHEUS = record(
    {
        "httpMethod": one_of("POST", "GET"),
        **keys("timeInterval queryTimeout incrementalQueryOverlapWindow", duration),
        "prometheusType": one_of("Prometheus", "Mimir", "Cortex", "Thanos"),
        **keys("prometheusVersion customQueryParameters alertmanagerUid serverName sigV4AuthType sigV4Region", text),
        "cacheLevel": one_of("Low", "Medium", "High", "None"),
        "defaultEditor": one_of("code", "builder"),
        **keys(
            "incrementalQuerying disableRecordingRules disableMetricsLookup manageAlerts allowAsRecordingRulesTarget tlsAuth"
            " tlsAuthWithCACert tlsSkipVerify oauthPassThru sigV4Auth seriesEndpoint",
            flag,
        ),
        **keys("timeout seriesLimit codeModeMetricNamesSuggestionLimit maxSamplesProcessedWarningThreshold"
               " maxSamplesProcessedErrorThreshold", anything),
        "exemplarTraceIdDestinations": list_of(record(keys("name url urlDisplayLabel datasourceUid", text))),
        "keepCookies": list_of(text),
    },
    also=re.compile(r"httpHeaderName\d+|sigV4\w+|azure\w+"),
)  # fmt: skip
_DATASOURCE = {
    "name": words,
    "type": words,
    "uid": uid,
    **keys("orgId version", whole),
    "access": one_of("proxy", "direct"),
    **keys("url user database basicAuthUser", text),
    **keys("isDefault basicAuth withCredentials editable", flag),
    "jsonData": map_of(anything),
    "secureJsonData": map_of(anything),
    "correlations": anything,
}
_DATASOURCES = record(
    {
        "apiVersion": exactly(1),
        "prune": flag,
        "datasources": list_of(record(_DATASOURCE, {"name", "type", "uid"}, what="the data source")),
        "deleteDatasources": list_of(record({"name": words, "orgId": whole}, {"name"}, what="the entry")),
    },
    {"apiVersion"},
)
_OPTIONS = record({"path": words, "foldersFromFilesStructure": flag}, {"path"})
_PROVIDER: dict[str, Shape] = {
    "name": words,
    "orgId": whole,
    "type": one_of("file"),
    "folder": text,
    "folderUid": uid,
    **keys("disableDeletion allowUiUpdates editable", flag),
    "updateIntervalSeconds": whole,
    "options": _OPTIONS,
}
_PROVIDERS = record(
    {"apiVersion": exactly(1), "providers": list_of(record(_PROVIDER, {"name", "options"}, what="the provider"))},
    {"apiVersion", "providers"},
)


def wrong_datasources(root: Place, among: Whole) -> Iterator[Complaint]:
    """Everything that is wrong with a file of data sources."""
    yield from _DATASOURCES(root)
    sources = list(root["datasources"].each())
    orgs = [source["orgId"].number() or 1 for source in sources]
    for key in ("name", "uid"):
        named = (
            ((org, source[key].text), source[key])
            for org, source in zip(orgs, sources, strict=True)
            if source[key].text
        )
        yield from twice(named, f"a data source of this {key} is in the file already")
    usual = ((org, s["isDefault"]) for org, s in zip(orgs, sources, strict=True) if s["isDefault"].value is True)
    yield from twice(usual, "there can be one default only")
    for source in sources:
        if source["type"].text != "prometheus":
            continue
        url = source["url"]
        if url.value is None:
            yield source.wrong("the data source has no url, which Prometheus' needs")
        elif "$" not in url.text and not re.match(r"https?://[^/\s]+", url.text):
            yield url.wrong(f"{url.text[:60]!r} is no address; write one like http://prometheus:9090")
        if source["jsonData"].value is not None:
            yield from _PROMETHEUS(source["jsonData"])


def wrong_providers(root: Place, among: Whole) -> Iterator[Complaint]:
    """Everything that is wrong with a file that says where dashboards are."""
    yield from _PROVIDERS(root)
    providers = list(root["providers"].each())
    named = ((provider["name"].text, provider["name"]) for provider in providers if provider["name"].text)
    yield from twice(named, "a provider of this name is in the file already, and Grafana refuses both")
    paths = ((p["options"]["path"].text, p["options"]["path"]) for p in providers if p["options"]["path"].text)
    yield from twice(paths, "another provider has this path, and their dashboards would overwrite each other for ever")
    for provider in providers:
        every = provider["updateIntervalSeconds"]
        if every.number() is not None and (every.number() or 0) <= 0:
            yield every.wrong("must be more than 0")
        if provider["folder"].text:
            yield from title(provider["folder"])
        by_files = provider["options"]["foldersFromFilesStructure"]
        if by_files.value is True and (provider["folder"].text or provider["folderUid"].text):
            yield by_files.wrong("makes folders itself: leave folder and folderUid out, or write false")
