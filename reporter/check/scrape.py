"""Prometheus' configuration: the keys it has, and what of it the pushed numbers need.

Parts that the reporter never writes (service discovery, remote storage, tracing) are taken as they are:
`promtool check config` reads them.
Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reporter.check.place import Complaint, Place, twice
from reporter.check.rule_tests import missing_files
from reporter.check.rules import LABEL
from reporter.check.shape import (
    Shape,
    anything,
    duration,
    flag,
    keys,
    list_of,
    map_of,
    one_of,
    record,
    seconds,
    text,
    whole,
    words,
)
from reporter.check.whole import Whole

_SERVICES = re.compile(r"\w+_sd_configs")
_LIMITS = keys(
    "sample_limit label_limit label_name_length_limit label_value_length_limit target_limit keep_dropped_targets", whole
)
_FORMS = keys(
    "scrape_protocols body_size_limit metric_name_validation_scheme metric_name_escaping_scheme scrape_failure_log_file"
    " scrape_native_histograms always_scrape_classic_histograms convert_classic_histograms_to_nhcb extra_scrape_metrics"
)
_HTTP: dict[str, Shape] = {
    **keys("basic_auth authorization oauth2 tls_config proxy_connect_header http_headers"),
    **keys("proxy_url no_proxy bearer_token bearer_token_file", text),
    **keys("follow_redirects enable_http2 proxy_from_environment", flag),
}
_STATIC = list_of(
    record({"targets": list_of(words, some=True), "labels": map_of(text, LABEL)}, {"targets"}, what="the entry")
)
_RELABEL = list_of(
    record(
        {
            **keys("source_labels", list_of(text)),
            **keys("separator target_label regex replacement"),
            "modulus": whole,
            "action": one_of(
                "replace", "lowercase", "uppercase", "keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap",
                "labeldrop", "labelkeep",
            ),
        }
    )
)  # fmt: skip
_JOB = record(
    {
        "job_name": words,
        **keys("scrape_interval scrape_timeout", duration),
        **keys("metrics_path fallback_scrape_protocol", text),
        "scheme": one_of("http", "https"),
        **keys("honor_labels honor_timestamps track_timestamps_staleness enable_compression", flag),
        "params": map_of(list_of(text)),
        "static_configs": _STATIC,
        **keys("relabel_configs metric_relabel_configs", _RELABEL),
        **keys("native_histogram_bucket_limit", whole),
        **keys("native_histogram_min_bucket_factor"),
        **_LIMITS,
        **_FORMS,
        **_HTTP,
    },
    {"job_name"},
    also=_SERVICES,
    what="the job",
)
_ALERTMANAGER = record(
    {
        "static_configs": _STATIC,
        "timeout": duration,
        "path_prefix": text,
        "scheme": one_of("http", "https"),
        "api_version": one_of("v2"),
        **keys("relabel_configs alert_relabel_configs", _RELABEL),
        **keys("sigv4"),
        **_HTTP,
    },
    also=_SERVICES,
)
_FILE = record(
    {
        "global": record(
            {
                **keys("scrape_interval scrape_timeout evaluation_interval rule_query_offset", duration),
                "external_labels": map_of(text, LABEL),
                **keys("query_log_file", text),
                **_LIMITS,
                **_FORMS,
            }
        ),
        **keys("rule_files scrape_config_files", list_of(words)),
        "alerting": record(
            {"alertmanagers": list_of(_ALERTMANAGER), "alert_relabel_configs": _RELABEL},
        ),
        "scrape_configs": list_of(_JOB),
        **keys("runtime remote_write remote_read storage tracing otlp", anything),
    }
)
_TARGET = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s/:@]+)(:\d{1,5})?")


def wrong(root: Place, among: Whole) -> Iterator[Complaint]:
    """Everything that is wrong with a configuration, so far as it is known."""
    yield from _FILE(root)
    yield from missing_files(root)
    jobs = list(root["scrape_configs"].each())
    named = ((job["job_name"].text, job["job_name"]) for job in jobs if job["job_name"].text)
    yield from twice(named, "a job of this name is in the file already, and Prometheus refuses the second")
    usual = seconds(root["global"]["scrape_interval"]) or 60.0
    for job in jobs:
        yield from _job(job, usual)
    for settings in (root["global"], *jobs):
        for key in ("scrape_interval", "evaluation_interval"):
            if seconds(settings[key]) == 0:
                yield settings[key].wrong("must be longer than nothing")
    for target in _targets(root):
        if target.text and not _TARGET.fullmatch(target.text):
            yield target.wrong(
                f"{target.text[:60]!r} is no target: write host:port, the scheme and path have keys of their own"
            )


def _targets(root: Place) -> Iterator[Place]:
    for owner in (*root["scrape_configs"].each(), *root["alerting"]["alertmanagers"].each()):
        for static in owner["static_configs"].each():
            yield from static["targets"].each()


def _job(job: Place, usual_seconds: float) -> Iterator[Complaint]:
    interval = seconds(job["scrape_interval"])
    interval = usual_seconds if interval is None else interval
    timeout = seconds(job["scrape_timeout"])
    if timeout is not None and timeout > interval:
        yield job["scrape_timeout"].wrong(
            f"is longer than the {interval:g} s between scrapes, which Prometheus refuses"
        )
    if not _is_gateways(job):
        return
    if job["honor_labels"].value is not True:
        place = job if job["honor_labels"].value is None else job["honor_labels"]
        yield place.wrong(
            "scrapes a Pushgateway without honor_labels: true, so the job of what is pushed becomes exported_job, and no alert"
            " or panel finds it"
        )
    if job["honor_timestamps"].value is False:
        yield job["honor_timestamps"].wrong("must be left out for a Pushgateway")


def _is_gateways(job: Place) -> bool:
    targets = [target.text for static in job["static_configs"].each() for target in static["targets"].each()]
    return "pushgateway" in job["job_name"].text.lower() or any(target.endswith(":9091") for target in targets)
