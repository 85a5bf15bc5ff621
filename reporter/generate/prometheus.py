"""Prometheus' files: rules, and a configuration with the scrape job of the gateway."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from yaml.representer import SafeRepresenter

from reporter.config.gateway import Pushgateway
from reporter.generate.rules import AlertRule, RecordingRule, RuleGroup, Source
from reporter.metrics import LLM_REQUEST_COST, LLM_REQUEST_DURATION, LLM_TIME_TO_FIRST_TOKEN

RULES, CONFIG = "reporter.rules.yml", "prometheus.yml"
PASSWORD = "pushgateway.password"
"""The file beside `CONFIG` in which a gateway's password is looked for that reporter.yaml does not name a file for."""
_MOST_SAMPLES, _MOST_LABEL = 200_000, 512


def rules_text(groups: Sequence[RuleGroup]) -> str:
    """A rules file."""
    return as_yaml(
        {"groups": [{"name": group.name, "rules": [_rule(rule) for rule in group.rules]} for group in groups]}
    )


def _rule(rule: AlertRule | RecordingRule) -> dict[str, Any]:
    if isinstance(rule, RecordingRule):
        return {"record": rule.record, "expr": rule.expr, **({"labels": {**rule.labels}} if rule.labels else {})}
    return {
        "alert": rule.alert,
        "expr": rule.expr,
        **({"for": rule.held_for} if rule.held_for else {}),
        "labels": {**rule.labels},
        "annotations": {**rule.annotations},
    }


def recordings(source: Source, labels: Sequence[str]) -> RuleGroup:
    """Quantiles, error ratio and cost of the last five minutes, by the labels of calls, for dashboards."""
    by = ", ".join(labels)
    rules = [
        RecordingRule(
            record=f"llm:{name}:quantile_rate5m",
            expr=f"histogram_quantile({quantile}, sum by (le, {by}) (rate({source.select(f'{metric.name}_bucket')}[5m])))",
            labels={"quantile": str(quantile)},
        )
        for name, metric in (
            ("request_duration_seconds", LLM_REQUEST_DURATION),
            ("time_to_first_token_seconds", LLM_TIME_TO_FIRST_TOKEN),
        )
        for quantile in (0.5, 0.95, 0.99)
    ]
    calls = f"{LLM_REQUEST_DURATION.name}_count"
    everything = f"sum by ({by}) (rate({source.select(calls)}[5m]))"
    good = f"sum by ({by}) (rate({source.select(calls, status='success')}[5m]))"
    rules += [
        RecordingRule(record="llm:requests:rate5m", expr=everything),
        RecordingRule(
            record="llm:request_errors:ratio_rate5m", expr=f"1 - ({good} or 0 * {everything}) / {everything}"
        ),
        RecordingRule(
            record="llm:request_cost_usd:increase1h",
            expr=f"sum by ({by}) (increase({source.select(LLM_REQUEST_COST)}[1h]))",
        ),
    ]
    own = source.own_labels
    told = (RecordingRule(record=rule.record, expr=rule.expr, labels={**rule.labels, **own}) for rule in rules)
    return RuleGroup(name="reporter-recordings", rules=tuple(told))


def config_text(gateway: Pushgateway, base: Path, alertmanager_url: str, rule_files: Sequence[str]) -> str:
    """A configuration that scrapes the gateway, evaluates the rules and tells an Alertmanager.

    It names the files that the gateway's secrets are in, never a secret; paths are completed by `base`.
    """
    job: dict[str, Any] = {
        "job_name": "reporter-pushgateway",
        "honor_labels": True,  # job="reporter" is the group's, not the gateway's
        **_found_at(gateway.url, "metrics_path", "/metrics"),
        **_proofs(gateway, base),
        "scrape_interval": "15s",
        "sample_limit": _MOST_SAMPLES,
        "label_value_length_limit": _MOST_LABEL,
        "static_configs": [_target(gateway.url)],
    }
    alertmanager = {**_found_at(alertmanager_url, "path_prefix", ""), "static_configs": [_target(alertmanager_url)]}
    return as_yaml(
        {
            "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
            "rule_files": list(rule_files),
            "alerting": {"alertmanagers": [alertmanager]},
            "scrape_configs": [job],
        }
    )


def _proofs(gateway: Pushgateway, base: Path) -> dict[str, Any]:
    """Who scrapes, and how the gateway shows that it is the one."""

    def at(path: Path) -> str:
        return str(base / path)

    told: dict[str, Any] = {}
    if gateway.username is not None:
        held = at(gateway.password_file) if gateway.password_file is not None else PASSWORD
        told["basic_auth"] = {"username": gateway.username, "password_file": held}
    elif gateway.bearer_token_file is not None:
        told["authorization"] = {"type": "Bearer", "credentials_file": at(gateway.bearer_token_file)}
    key = gateway.client_key or gateway.client_cert  # which may hold both
    files = {"ca_file": gateway.ca_file, "cert_file": gateway.client_cert, "key_file": key}
    tls = {name: at(path) for name, path in files.items() if path is not None}
    return {**told, **({"tls_config": tls} if tls else {})}


def _found_at(url: str, path_key: str, path: str) -> dict[str, Any]:
    """What of a URL is not its host and port, where it is not what Prometheus takes for granted."""
    parts = urlsplit(url)
    return {
        **({"scheme": "https"} if parts.scheme == "https" else {}),
        **({path_key: f"{parts.path.rstrip('/')}{path}"} if parts.path.strip("/") else {}),
    }


def _target(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return {"targets": [f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"]}


class _Plain(yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper):  # type: ignore[misc]  # whichever is there
    """Texts of several lines as blocks, nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: SafeRepresenter, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)


def as_yaml(document: Any) -> str:
    """A document in the order it was made in."""
    return str(yaml.dump(document, Dumper=_Plain, sort_keys=False, width=140, allow_unicode=True))
