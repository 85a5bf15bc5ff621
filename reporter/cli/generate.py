"""`reporter generate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from reporter.cli.root import Context
from reporter.config.model import Config
from reporter.errors import ConfigError
from reporter.generate import alertmanager, prometheus
from reporter.generate.alerts import alert_groups
from reporter.generate.files import header, write_files
from reporter.generate.rule_tests import tests_text
from reporter.generate.rules import Source
from reporter.slo.durations import format_duration, parse_duration


@click.group()
def generate() -> None:
    """Write what others need of the same SLOs: Prometheus' rules, Alertmanager's routes."""


_output = click.option(
    "-o",
    "--output",
    "directory",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to write.",
)


@dataclass(frozen=True, slots=True)
class _Limits:
    slow_seconds: float
    slow_tokens_per_second: float
    labels: tuple[str, ...]
    windows: tuple[str, ...]


@generate.command("prometheus")
@_output
@click.option(
    "--from-counters", is_flag=True, help="Also the SLOs' alerts as Prometheus counts them, as a cross-check."
)
@click.option("--stale-after", default="5m", show_default=True, help="When reports that don't come are an alert.")
@click.option("--slow-after", default="8s", show_default=True, help="Above which p99 of LLM calls is an alert.")
@click.option("--slow-speed", default=30.0, show_default=True, help="Below which median of tokens a second.")
@click.option("--runbooks", metavar="URL", default="", help="Where runbooks are; each alert's name is put after it.")
@click.pass_obj
def prometheus_(
    context: Context,
    directory: Path,
    from_counters: bool,
    stale_after: str,
    slow_after: str,
    slow_speed: float,
    runbooks: str,
) -> None:
    """Recording and alerting rules, unit tests of them, and a configuration that scrapes the gateway.

    \b
    Examples:
      reporter generate prometheus -o /etc/prometheus/reporter
      promtool check config /etc/prometheus/reporter/prometheus.yml
      promtool test rules /etc/prometheus/reporter/reporter.rules.test.yml
    """
    config = context.config
    source = Source(
        grouping=config.pushgateway.grouping,
        stale_after_seconds=int(_duration(stale_after, "--stale-after", least=60)),
    )
    limits = _Limits(
        _duration(slow_after, "--slow-after"), slow_speed, tuple(config.report.labels),
        tuple(format_duration(length) for length in config.report.windows_ns),
    )  # fmt: skip
    groups = (
        prometheus.recordings(source, limits.labels),
        *alert_groups(source, config.slos, config.budgets, limits, runbooks),
    )
    files = {
        prometheus.RULES: prometheus.rules_text(groups),
        prometheus.RULES.replace(".yml", ".test.yml"): tests_text(
            source, config.slos, config.budgets, prometheus.RULES
        ),
    }
    if from_counters:
        files[prometheus.COUNTER_RULES] = prometheus.rules_text(prometheus.counter_groups(source, config.slos))
    rule_files = [name for name in files if name.endswith(".rules.yml")]
    files[prometheus.CONFIG] = prometheus.config_text(str(config.pushgateway.url), source.grouping, rule_files)
    _write(directory, files, "prometheus", config)


@generate.command("alertmanager")
@_output
@click.option("--webhook", default="http://localhost:9095/", show_default=True, help="Where alerts are sent.")
@click.pass_obj
def alertmanager_(context: Context, directory: Path, webhook: str) -> None:
    """An example of routes and inhibitions: a page silences its ticket, a dead reporter what hangs on it.

    \b
    Example:
      reporter generate alertmanager -o /etc/alertmanager --webhook http://localhost:9095/
    """
    _write(directory, {alertmanager.CONFIG: alertmanager.config_text(webhook)}, "alertmanager", context.config)


def _write(directory: Path, files: Mapping[str, str], command: str, config: Config) -> None:
    changed = write_files(directory, {name: header(command) + text for name, text in files.items()})
    for name in files:
        click.echo(f"{directory / name}{'' if name in changed else ' (as it was)'}")
    if config.source is None:
        click.echo(
            "reporter: there is no reporter.yaml, so no SLO of yours is in it; reporter init writes one", err=True
        )


def _duration(text: str, option: str, least: int = 0) -> float:
    try:
        seconds = parse_duration(text) / 1e9
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None
    if seconds <= 0 or seconds < least:
        raise ConfigError(f"{option} {text}: must be {f'{least} s at least' if least else 'more than nothing'}")
    return seconds
