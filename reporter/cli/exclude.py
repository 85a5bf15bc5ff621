"""`reporter exclude`."""

from __future__ import annotations

import click

from reporter import exclusions
from reporter.cli.root import Context, moment_option
from reporter.cli.rows import FORMATS, write
from reporter.errors import ConfigError
from reporter.report.json_form import moment
from reporter.slo.exclusions import Exclusion
from reporter.slo.where import matches_any
from reporter.tally import MINUTE_NS

_COLUMNS = ("exclusion", "from", "to", "slos", "reason")


@click.group()
def exclude() -> None:
    """Leave spans of time, such as a provider's maintenance, out of SLOs.

    It counts for the past as well: windows, budgets and alerts are as if nothing had happened then, until the exclusion is
    removed, which restores every number. Counters at the gateway never fall, so they go on counting all.
    """


@exclude.command()
@click.option("--from", "first", required=True, metavar="MOMENT", help="RFC 3339, like 2026-11-01T02:00:00Z.")
@click.option("--to", "end", required=True, metavar="MOMENT", help="The first moment that counts again.")
@click.option(
    "--slo",
    "--slos",
    "slos",
    multiple=True,
    default=["*"],
    help="Whose: a name or a pattern; may be repeated. All, if left out.",
)
@click.option("--reason", required=True, help="Why; every report tells it.")
@click.pass_obj
def add(context: Context, first: str, end: str, slos: tuple[str, ...], reason: str) -> None:
    """Leave out whole minutes, from the one of --from up to that of --to.

    \b
    Example:
      reporter exclude add --from 2026-11-01T02:00:00Z --to 2026-11-01T04:00:00Z --slo 'chat-*' --reason maintenance
    """
    first_ns, end_ns = moment_option(first, "--from"), moment_option(end, "--to")
    if end_ns <= first_ns:
        raise ConfigError(f"--to {end!r}: must be later than --from {first}")
    if not reason.strip():
        raise ConfigError("--reason must say why; every report tells it")
    names = [slo.name for slo in context.config.slos]
    for pattern in slos:
        if not any(matches_any((pattern,), name) for name in names):
            click.echo(f"reporter: warning: --slo {pattern!r} is no SLO of now: {', '.join(names) or 'none'}", err=True)
    added = exclusions.add(
        context.looked_at, first_ns // MINUTE_NS, -(-end_ns // MINUTE_NS), slos, " ".join(reason.split())
    )
    click.echo(f"{added.name}: {_words(added)}; `reporter exclude remove {added.name}` counts it again")


@exclude.command("list")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.pass_obj
def list_(context: Context, form: str) -> None:
    """Show every exclusion, those of reporter.yaml too; these have no name to remove them by."""
    with context.looked_at.read() as connection:
        found = exclusions.in_force(connection, context.config)
    rows = [
        (x.name or None, moment(x.first * MINUTE_NS), moment(x.end * MINUTE_NS), ", ".join(x.slos), x.reason)
        for x in found
    ]
    write(form, _COLUMNS, rows)


@exclude.command()
@click.argument("name")
@click.pass_obj
def remove(context: Context, name: str) -> None:
    """Count again what the exclusion NAME left out."""
    if not exclusions.remove(context.looked_at, name):
        raise ConfigError(
            f"{name!r} is no exclusion in the database; `reporter exclude list` shows them, and those without a name"
            " stand in reporter.yaml"
        )
    click.echo(f"{name}: counted again")


def _words(exclusion: Exclusion) -> str:
    return (
        f"{moment(exclusion.first * MINUTE_NS)} to {moment(exclusion.end * MINUTE_NS)} left out of"
        f" {', '.join(exclusion.slos)}"
    )
