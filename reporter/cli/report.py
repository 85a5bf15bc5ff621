"""`reporter report`."""

from __future__ import annotations

import json
import sys
import time

import click
from rich.console import Console
from rich.table import Table

from reporter.cli.root import Context, moment_option
from reporter.cycle import openmetrics
from reporter.cycle import report as make
from reporter.report.json_form import as_json, moment, usd
from reporter.report.model import Report


@click.command()
@click.option("--as-of", metavar="MOMENT", help="Report this past minute (RFC 3339); now if left out.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "openmetrics"]), default="table", show_default=True
)
@click.option("--no-fold", is_flag=True, help="Show what is folded already.")
@click.pass_obj
def report(context: Context, as_of: str | None, form: str, no_fold: bool) -> None:
    """Show SLOs, calls and cost as of a minute.  Folds new rows first; sends nothing."""
    began = time.monotonic()
    made: Report = make(context.store, context.config, moment_option(as_of), fold_first=not no_fold)
    if not made.self_status.folded and not no_fold:
        click.echo("reporter: another reporter is at work; this is what is folded so far", err=True)
    if form == "json":
        click.echo(json.dumps(as_json(made), indent=2, allow_nan=False))
    elif form == "openmetrics":
        click.echo(openmetrics(made, time.monotonic() - began).decode(), nl=False)
    else:
        _show(made)


def _show(made: Report) -> None:
    console = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 140)
    console.print(f"as of {moment(made.as_of_ns)}")
    if not made.slos and not made.calls:
        console.print('No calls yet.  Decorate one with @reporter.call("chat"), run it, and look again.')
    if made.slos:
        table = Table(
            "SLO", "objective", "period", "good", "bad", "SLI", "budget left", "burn 1h", "state", title="SLOs"
        )
        for slo in made.slos:
            period, hour = slo.windows.get(slo.period), slo.windows.get("1h")
            table.add_row(
                slo.slo, f"{slo.objective_ratio * 100:g} %", slo.period,
                str(period.good if period else 0), str(period.bad if period else 0),
                _percent(period.sli_ratio if period else None), _percent(slo.remaining_ratio),
                "–" if hour is None or hour.burn_rate is None else f"{hour.burn_rate:.2f}", slo.state,
            )  # fmt: skip
        console.print(table)
    if made.calls:
        label = max(made.calls[0].windows, key=list(made.calls[0].windows).index)
        table = Table("calls", f"in {label}", "errors", "p50", "p95", "p99", "cost USD", "unpriced", title="Calls")
        for calls in made.calls:
            window = calls.windows[label]
            table.add_row(
                " ".join(value for _, value in calls.labels if value), str(window.calls), str(window.errors),
                *(_seconds(value) for value in (
                    window.duration_seconds.p50, window.duration_seconds.p95, window.duration_seconds.p99
                )),
                f"{usd(window.cost_nanousd):.4f}" if calls.llm else "–", str(window.unpriced_calls),
            )  # fmt: skip
        console.print(table)
    for job in made.jobs:
        console.print(f"job {job.batch_job}: {job.state}, last start {moment(job.last_start_at_ns)}")
    for note in made.notes:
        console.print(f"note: {note}")


def _percent(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2%}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g} s"
