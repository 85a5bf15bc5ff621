"""`reporter prune`."""

from __future__ import annotations

import click

from reporter import cycle
from reporter.cli.root import Context
from reporter.cli.terminal import fold_progress


@click.command()
@click.pass_obj
def prune(context: Context) -> None:
    """Delete rows and tallies older than `retention`; counters are not dented."""
    with cycle.leased(context.looked_at, context.config) as lease:
        with fold_progress() as progress:
            cycle.catch_up(context.looked_at, lease, context.config, progress)
        gone = cycle.prune_now(context.looked_at, lease, context.config)
    click.echo(f"deleted {gone.calls} calls, {gone.tallies} tally rows, {gone.runs} runs")
