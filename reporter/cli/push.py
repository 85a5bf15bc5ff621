"""`reporter push`."""

from __future__ import annotations

import time

import click

from reporter import cycle
from reporter.cli.root import Context, moment_option
from reporter.cli.terminal import fold_progress
from reporter.errors import ConfigError
from reporter.slo.durations import MINUTE_NS


@click.command()
@click.option("--as-of", metavar="MOMENT", help="Push the report of this past minute (RFC 3339).")
@click.option("--dry-run", is_flag=True, help="Print what would be pushed; send nothing, remember nothing.")
@click.option("--no-fold", is_flag=True, help="Push what is folded already.")
@click.pass_obj
def push(context: Context, as_of: str | None, dry_run: bool, no_fold: bool) -> None:
    """Fold new rows, prune old ones, and PUT the whole truth to the Pushgateway.

    Exit 75 when the gateway does not answer or another reporter is at work: nothing is lost, the next push carries all.

    \b
    Examples:
      reporter push
      reporter push --dry-run | grep slo_burn_rate
    """
    as_of_ns = moment_option(as_of)
    minutes_ago = time.time_ns() // MINUTE_NS - (as_of_ns - 1) // MINUTE_NS
    if minutes_ago < 0:
        raise ConfigError(
            f"--as-of {as_of}: has not come yet, and numbers of the future would look fresh until then;"
            f" `reporter report --as-of {as_of}` looks ahead, and sends nothing"
        )
    with fold_progress() as progress:
        pushed = cycle.push(
            context.store,
            context.config,
            as_of_ns,
            of_now=as_of is None,
            fold_first=not no_fold,
            dry_run=dry_run,
            progress=progress,
        )
    if dry_run:
        click.echo(pushed.body.decode(), nl=False)
        return
    click.echo(f"pushed {pushed.series} series as number {pushed.sequence}, {len(pushed.body)} bytes")
    if minutes_ago > 1:
        click.echo(
            f"the gateway shows what was at {as_of}, {minutes_ago} minutes ago: where that is old to alerts, they are held and"
            " ReporterStale fires; `reporter push` puts it right",
            err=True,
        )
    for note in pushed.notes:
        click.echo(note, err=True)
    if pushed.new_series:
        delay = context.config.pushgateway.new_series_delay_ns / 1e9
        click.echo(f"{pushed.new_series} counters are new: shown as 0 now, truly from a push {delay:g} s on", err=True)
    if pushed.held:
        click.echo(f"{pushed.held} counters would have fallen and were held", err=True)
