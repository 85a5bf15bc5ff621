"""`reporter import` and `reporter export`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from reporter.cli.output import write_text
from reporter.cli.root import Context
from reporter.errors import ConfigError
from reporter.formats import monitors, openslo, sloth
from reporter.formats.model import Choices, Import
from reporter.formats.native import as_yaml
from reporter.slo.kinds import KINDS
from reporter.slo.spec import SLO


@click.group("import")
def import_() -> None:
    """Take over specs of another format, as `slos:` or `jobs:` to paste into reporter.yaml."""


def _reading(command: Callable[..., None]) -> Callable[..., None]:
    """What every import takes."""
    for option in (
        click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to; stdout if left out."),
        click.option("--period", metavar="LENGTH", help="The period where the file names none; 30d if left out."),
        click.option(
            "--map", "mapped", multiple=True, metavar="NAME=SLI",
            help="What an SLO's queries mean, like chat='{latency: {threshold: 2.5s}}'.",
        ),
        click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path)),
    ):  # fmt: skip
        command = option(command)
    return command


@import_.command("sloth")
@_reading
@click.pass_obj
def import_sloth(
    context: Context, files: tuple[Path, ...], mapped: tuple[str, ...], period: str | None, output: Path | None
) -> None:
    """Sloth's FILES: `prometheus/v1`, or PrometheusServiceLevel of `sloth.slok.dev/v1`.

    Queries over reporter's own metrics are understood. What any other query means, --map says; without it the SLO is left out
    and the exit code is 1.

    \b
    Examples:
      reporter import sloth slo.yaml
      reporter import sloth slo.yaml --map chat-latency='{latency: {threshold: 2.5s}}' -o slos.yaml
    """
    _import(context, sloth.read, files, mapped, period, output)


@import_.command("openslo")
@_reading
@click.pass_obj
def import_openslo(
    context: Context, files: tuple[Path, ...], mapped: tuple[str, ...], period: str | None, output: Path | None
) -> None:
    """OpenSLO v1 FILES: SLO, SLI, Service, AlertPolicy, AlertCondition, DataSource; references are followed among all of them.

    \b
    Examples:
      reporter import openslo slo.yaml
      reporter import openslo slo.yaml --map checkout='{sli: availability, where: {operation: checkout}}'
    """
    _import(context, openslo.read, files, mapped, period, output)


_FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_OUTPUT = click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to; stdout if left out."
)


@import_.command("healthchecks")
@_FILE
@_OUTPUT
def import_healthchecks(file: Path, output: Path | None) -> None:
    """Checks of healthchecks.io in FILE, as its API answers them, as `jobs:`.

    What can't be taken over is told, and the exit code is 1.

    \b
    Example:
      curl -H "X-Api-Key: $KEY" https://healthchecks.io/api/v3/checks/ > checks.json
      reporter import healthchecks checks.json -o jobs.yaml
    """
    _import_jobs(file, monitors.healthchecks, output)


@import_.command("cronitor")
@_FILE
@_OUTPUT
def import_cronitor(file: Path, output: Path | None) -> None:
    """Monitors of Cronitor in FILE, as its API answers them or its YAML has them, as `jobs:`.

    What can't be taken over is told, and the exit code is 1.

    \b
    Example:
      curl -u "$KEY:" https://cronitor.io/api/monitors > monitors.json
      reporter import cronitor monitors.json
    """
    _import_jobs(file, monitors.cronitor, output)


def _import_jobs(file: Path, kind: monitors.Read, output: Path | None) -> None:
    try:
        found = monitors.read(file, kind)
    except ConfigError as error:
        raise ConfigError(str(error) if str(error).startswith(str(file)) else f"{file}: {error}") from None
    for sentence in found.left_out:
        click.echo(f"reporter: {sentence}", err=True)
    write_text(found.as_yaml(), output)
    if found.left_out:
        sys.exit(1)


def _import(
    context: Context,
    read: Callable[[Sequence[Path], Choices], Import],
    files: Sequence[Path],
    mapped: Sequence[str],
    period: str | None,
    output: Path | None,
) -> None:
    known = {slo.name: slo for slo in context.config.slos}
    choices = Choices(mappings=_mappings(mapped), known=known, period=period)
    found = read(files, choices)
    for sentence in dict.fromkeys((*found.findings.warnings, *found.unmapped)):
        click.echo(f"reporter: {sentence}", err=True)
    names = [slo["name"] for slo, _ in found.slos]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{', '.join(map(str, files))}: {', '.join(twice)}: each SLO needs a name of its own")
    unused = choices.mappings.keys() - found.mapped
    if unused:
        click.echo(f"reporter: warning: --map {', '.join(sorted(unused))}: no such SLO in the files", err=True)
    write_text(as_yaml(found.slos), output)
    if found.unmapped:
        sys.exit(1)


def _mappings(mapped: Sequence[str]) -> dict[str, dict[str, Any]]:
    mappings: dict[str, dict[str, Any]] = {}
    for text in mapped:
        name, separator, meaning = text.partition("=")
        try:
            told = yaml.safe_load(meaning)
        except yaml.YAMLError:
            told = None
        if not separator or not isinstance(told, str | dict):
            raise ConfigError(f"--map {text!r}: write NAME=SLI, like chat='{{latency: {{threshold: 2.5s}}}}'")
        if isinstance(told, dict) and not (len(told) == 1 and next(iter(told)) in KINDS):
            mappings[name.strip()] = told
        else:
            mappings[name.strip()] = {"sli": told}
    return mappings


@click.group()
def export() -> None:
    """Write the SLOs of reporter.yaml in another format."""


@export.command("sloth")
@_OUTPUT
@click.pass_obj
def export_sloth(context: Context, output: Path | None) -> None:
    """A `prometheus/v1` file whose queries use the counters that `reporter push` sends, for Sloth's own rules on top.

    \b
    Example:
      reporter export sloth -o slo.yaml && sloth generate -i slo.yaml
    """
    _export(context, sloth.write, output)


@export.command("openslo")
@_OUTPUT
@click.pass_obj
def export_openslo(context: Context, output: Path | None) -> None:
    """OpenSLO v1 documents that `reporter import openslo` makes the very same SLOs of."""
    _export(context, openslo.write, output)


def _export(context: Context, write: Callable[[Sequence[SLO]], tuple[str, list[str]]], output: Path | None) -> None:
    slos = context.config.slos
    if not slos:
        raise ConfigError(f"{context.config.source or 'reporter.yaml, of which there is none'}: has no slos to export")
    text, untold = write(slos)
    for sentence in untold:
        click.echo(f"reporter: {sentence}", err=True)
    write_text(text, output)
