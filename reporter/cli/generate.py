"""`reporter generate`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

import click

from reporter.cli.root import Context
from reporter.config.model import Config
from reporter.errors import ConfigError
from reporter.generate import alertmanager, counters, prometheus
from reporter.generate.alerts import alert_groups
from reporter.generate.files import header, remove_generated, write_files
from reporter.generate.grafana import provision
from reporter.generate.grafana.alerts import Provisioned, Ungated, rules_text, uids_in
from reporter.generate.grafana.dashboard import Scope
from reporter.generate.grafana.identity import called, own
from reporter.generate.rule_tests import tests_text
from reporter.generate.rules import Source
from reporter.slo.durations import format_duration, parse_duration

_MOST_STALE_SECONDS = 7 * 86_400  # of a reporter that is dead for longer nobody would hear
_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")  # as Grafana takes them


@click.group()
def generate() -> None:
    """Write what others need of the same SLOs: Prometheus' rules, Alertmanager's routes, Grafana's dashboards and alerts."""


_output = click.option(
    "-o",
    "--output",
    "directory",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to write.",
)


def _about_alerts(command: Callable[..., None]) -> Callable[..., None]:
    """The options of alerts, whoever evaluates them."""
    for option in (
        click.option(
            "--runbooks", metavar="URL", default="", help="Where runbooks are; each alert's name is put after it."
        ),
        click.option("--slow-speed", default=30.0, show_default=True, help="Below which median of tokens a second."),
        click.option("--slow-after", default="8s", show_default=True, help="Above which p99 of LLM calls is an alert."),
        click.option(
            "--stale-after", default="5m", show_default=True, help="When reports that don't come are an alert."
        ),
    ):
        command = option(command)
    return command


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
@click.option(
    "--alertmanager-url",
    default="http://localhost:9093",
    show_default=True,
    help="Where Prometheus finds Alertmanager.",
)
@_about_alerts
@click.pass_obj
def prometheus_(
    context: Context,
    directory: Path,
    from_counters: bool,
    alertmanager_url: str,
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
    source = Source(**_seen(config, stale_after))
    limits = _limits(config, slow_after, slow_speed)
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
        files[counters.RULES] = prometheus.rules_text(counters.counter_groups(source, config.slos, runbooks))
    rule_files = [name for name in files if name.endswith(".rules.yml")]
    files[prometheus.CONFIG] = prometheus.config_text(
        config.pushgateway, Path.cwd(), _http_url("--alertmanager-url", alertmanager_url), rule_files
    )
    _write(directory, files, "prometheus", config)
    if not from_counters and remove_generated(directory / counters.RULES):
        click.echo(f"{directory / counters.RULES} (removed, because it is no longer asked for)")
    if config.pushgateway.password is not None:
        held = directory / prometheus.PASSWORD
        click.echo(
            f"reporter: the gateway's password stands in reporter.yaml itself, and is written nowhere: put it into {held},"
            " which only Prometheus may read; or give it as password_file",
            err=True,
        )


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
    config = context.config
    own_labels = sorted(Source(**_seen(config, "5m")).own_labels)
    text = alertmanager.config_text(_http_url("--webhook", webhook), own_labels)
    _write(directory, {alertmanager.CONFIG: text}, "alertmanager", config)


@generate.command("grafana")
@_output
@click.option(
    "--prometheus-url", default="http://localhost:9090", show_default=True, help="Where Grafana finds Prometheus."
)
@click.option(
    "--dashboards-path",
    metavar="PATH",
    default="",
    show_default=f"{provision.DASHBOARDS}/reporter",
    help="Where Grafana finds the generated dashboards.",
)
@click.option(
    "--datasource-uid",
    metavar="UID",
    default="",
    help="Of a data source that Grafana has already: none is written then.",
)
@click.option("--no-alerts", is_flag=True, help="No alert rules, because Prometheus evaluates them.")
@_about_alerts
@click.pass_obj
def grafana_(
    context: Context,
    directory: Path,
    prometheus_url: str,
    dashboards_path: str,
    datasource_uid: str,
    no_alerts: bool,
    stale_after: str,
    slow_after: str,
    slow_speed: float,
    runbooks: str,
) -> None:
    """Dashboards, alert rules and the data source, for Grafana's provisioning directory.

    A rule that the file there had and that is no more is deleted in Grafana.

    \b
    Examples:
      reporter generate grafana -o /etc/grafana/provisioning --prometheus-url http://prometheus:9090
      reporter generate grafana -o /etc/grafana/provisioning --datasource-uid P1809F7CD0C75ACF3 --no-alerts
    """
    config = context.config
    source = Ungated(**_seen(config, stale_after))
    limits = _limits(config, slow_after, slow_speed)
    scope = Scope(source=source, labels=limits.labels, windows=tuple(sorted(limits.windows, key=parse_duration)))
    groups = () if no_alerts else alert_groups(source, config.slos, config.budgets, limits, runbooks)
    grouping, places = source.grouping, provision.Places.of(source.grouping)
    uid = datasource_uid or own(provision.DATASOURCE_UID, grouping)
    if not _UID.fullmatch(uid):
        raise ConfigError(
            f"--datasource-uid {uid}: must be 1 to 40 letters, digits, - and _, as the data source has it"
        )
    found_at = dashboards_path or f"{provision.DASHBOARDS}/{places.name}"
    made = {places.provider: provision.provider_text(found_at, grouping)}
    if not datasource_uid:
        made[places.datasources] = provision.datasource_text(
            _http_url("--prometheus-url", prometheus_url), uid, grouping
        )
    retired = _rules_there(directory / places.rules)
    if groups or retired:
        where = Provisioned(
            source=source,
            datasource_uid=uid,
            folder=called(grouping),
            dashboards=provision.dashboards(scope, config.slos),
        )
        made[places.rules] = rules_text(where, groups, retired)
    files = {name: header("grafana") + text for name, text in made.items()}
    _write_as_is(directory, files | provision.dashboard_files(scope, config.slos), config)


def _rules_there(path: Path) -> tuple[str, ...]:
    try:
        return uids_in(path.read_text(), str(path))
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from None


class _Seen(TypedDict):
    grouping: Mapping[str, str]
    stale_after_seconds: int


def _seen(config: Config, stale_after: str) -> _Seen:
    """The group of the gateway that is looked at, and how old what is in it may be."""
    return {
        "grouping": config.pushgateway.grouping,
        "stale_after_seconds": int(_duration(stale_after, "--stale-after", least=60, most=_MOST_STALE_SECONDS)),
    }


def _limits(config: Config, slow_after: str, slow_speed: float) -> _Limits:
    if not 0 < slow_speed < math.inf:
        raise ConfigError(f"--slow-speed {slow_speed}: must be a number of tokens a second above 0")
    return _Limits(
        _duration(slow_after, "--slow-after"), slow_speed, tuple(config.report.labels),
        tuple(format_duration(length) for length in config.report.windows_ns),
    )  # fmt: skip


def _write(directory: Path, files: Mapping[str, str], command: str, config: Config) -> None:
    _write_as_is(directory, {name: header(command) + text for name, text in files.items()}, config)


def _write_as_is(directory: Path, files: Mapping[str, str], config: Config) -> None:
    changed = write_files(directory, files)
    for name in files:
        click.echo(f"{directory / name}{'' if name in changed else ' (as it was)'}")
    if config.source is None:
        click.echo(
            "reporter: there is no reporter.yaml, so no SLO of yours is in it; reporter init writes one", err=True
        )


def _http_url(option: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{option}: must be an http or https URL without credentials, like http://localhost:9093")
    return url


def _duration(text: str, option: str, least: int = 0, most: float = math.inf) -> float:
    try:
        seconds = parse_duration(text) / 1e9
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None
    if seconds <= 0 or seconds < least:
        raise ConfigError(f"{option} {text}: must be {f'{least} s at least' if least else 'more than nothing'}")
    if seconds > most:
        raise ConfigError(f"{option} {text}: must be at most {format_duration(int(most * 10**9))}")
    return seconds
