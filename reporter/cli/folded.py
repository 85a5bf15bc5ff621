"""Commands that show numbers fold new rows first, if nobody else is at it."""

from __future__ import annotations

import click

from reporter import cycle
from reporter.cli.root import Context
from reporter.cli.terminal import fold_progress
from reporter.errors import LeaseHeld


def fold_first(context: Context, no_fold: bool) -> None:
    """Fold what is new; with `no_fold`, or while another reporter does so, only what is folded already can be shown."""
    if no_fold:
        return
    try:
        with fold_progress() as progress, cycle.leased(context.looked_at, context.config) as lease:
            cycle.catch_up(context.looked_at, lease, context.config, progress)
    except LeaseHeld:
        click.echo("reporter: another reporter is at work; this is what is folded so far", err=True)
