"""`reporter prune`."""

from __future__ import annotations

import click

from reporter import cycle
from reporter.cli.root import Context


@click.command()
@click.pass_obj
def prune(context: Context) -> None:
    """Delete rows and tallies older than `retention`; counters are not dented."""
    with cycle.leased(context.store, context.config) as lease:
        cycle.catch_up(context.store, lease, context.config)
        gone = cycle.prune_now(context.store, lease, context.config)
    click.echo(f"deleted {gone.calls} calls, {gone.tallies} tally rows, {gone.runs} runs")
