"""`reporter report`."""

from __future__ import annotations

import json
import time

import click

from reporter.cli.folded import fold_first
from reporter.cli.period import tell
from reporter.cli.root import Context, moment_option
from reporter.cli.table import show
from reporter.cli.terminal import console, fold_progress
from reporter.cycle import openmetrics
from reporter.cycle import report as make
from reporter.errors import ConfigError
from reporter.exclusions import in_force
from reporter.report.csv_form import as_csv, budgets_as_csv
from reporter.report.json_form import as_json
from reporter.report.model import Report
from reporter.report.period import build_period
from reporter.slo.calendar import CalendarPeriod


@click.command()
@click.option("--as-of", metavar="MOMENT", help="Report this past minute (RFC 3339); now if left out.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv", "openmetrics"]), default="table", show_default=True
)
@click.option(
    "--window",
    metavar="LENGTH",
    help="The window whose calls are shown, like 1d; if left out, a table has the longest, csv has all.",
)
@click.option(
    "--section",
    type=click.Choice(["calls", "budgets"]),
    default="calls",
    show_default=True,
    help="What csv has; the other formats have everything.",
)
@click.option(
    "--period", metavar="PERIOD", help="One calendar period instead: 2026-10, 2026-Q4, 2026-W43 or 2026-10-25."
)
@click.option("--timezone", metavar="ZONE", help="Whose calendar --period is of; UTC if left out.")
@click.option("--no-fold", is_flag=True, help="Show what is folded already.")
@click.pass_obj
def report(
    context: Context,
    as_of: str | None,
    form: str,
    window: str | None,
    section: str,
    period: str | None,
    timezone: str | None,
    no_fold: bool,
) -> None:
    """Show SLOs, burn rates, calls and cost as of a minute.  Folds new rows first; sends nothing.

    \b
    Examples:
      reporter report
      reporter report --window 1d
      reporter report --as-of 2026-11-01T02:00:00Z
      reporter report --format json | jq '.slos[].error_budget'
      reporter report --format csv > calls.csv
      reporter report --format csv --section budgets > budgets.csv
      reporter report --period 2026-10 --timezone Europe/Berlin
    """
    if period is not None:
        if window is not None or as_of is not None:
            raise ConfigError("--period goes with neither --window nor --as-of: it is a span of its own")
        _tell_period(context, period, timezone or "UTC", form, no_fold)
        return
    if timezone is not None:
        raise ConfigError("--timezone goes with --period: moments are in UTC")
    began = time.monotonic()
    as_of_ns = moment_option(as_of)
    known = [label for label, length in context.config.windows if length in context.config.report.windows_ns]
    if window is not None and window not in known:
        raise ConfigError(f"--window {window!r}: the report has {', '.join(known)}; more under report.windows")
    with fold_progress() as progress:
        made: Report = make(
            context.looked_at,
            context.config,
            as_of_ns,
            of_now=as_of is None,
            fold_first=not no_fold,
            progress=progress,
        )
    if not made.self_status.folded and not no_fold:
        click.echo("reporter: another reporter is at work; this is what is folded so far", err=True)
    if form == "json":
        click.echo(json.dumps(as_json(made), indent=2, allow_nan=False))
    elif form == "csv":
        click.echo(budgets_as_csv(made) if section == "budgets" else as_csv(made, window), nl=False)
    elif form == "openmetrics":
        click.echo(openmetrics(made, time.monotonic() - began).decode(), nl=False)
    else:
        show(console(), made, window)


def _tell_period(context: Context, name: str, timezone: str, form: str, no_fold: bool) -> None:
    if form not in ("table", "json"):
        raise ConfigError(f"--format {form}: a period is told as table or json")
    try:
        calendar = CalendarPeriod.of(name, timezone)
        fold_first(context, no_fold)
        with context.looked_at.read() as connection:
            excluded = in_force(connection, context.config)
            made = build_period(connection, context.config.slos, excluded, calendar, name, time.time_ns())
    except ValueError as error:
        raise ConfigError(f"--period: {error}") from None
    tell(made, form)
