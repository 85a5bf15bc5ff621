"""`reporter runs`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from reporter.cli.folded import fold_first
from reporter.cli.job_name import check_job
from reporter.cli.root import Context, moment_option, since_option
from reporter.cli.rows import FORMATS, write
from reporter.cli.table import STATE_STYLES
from reporter.cli.terminal import console, shown
from reporter.report.json_form import moment, usd
from reporter.report.runs import STATUSES, RunRecord, read_runs
from reporter.report.words import NOTHING, seconds

_TAILS, _TAIL_LINES = 5, 10
_ROOMY = 88


@click.command()
@click.option("--job", metavar="NAME", help="Of this job alone.")
@click.option(
    "--since", default="7d", show_default=True, help="How far back: a length like 30d, or a day like 2026-11-01."
)
@click.option("--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Those alone; may be repeated.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many, the last ones.")
@click.option("--as-of", metavar="MOMENT", help="Those that started before this moment (RFC 3339); now if left out.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--no-fold", is_flag=True, help="Show what is folded already.")
@click.pass_obj
def runs(
    context: Context,
    job: str | None,
    since: str,
    statuses: tuple[str, ...],
    limit: int,
    as_of: str | None,
    form: str,
    no_fold: bool,
) -> None:
    """List runs, the last one first: how long they took, how they ended, items, calls and cost.

    Of runs that failed, the end of what they printed is shown below (`reporter exec` keeps it).  Folds new rows first.

    \b
    Examples:
      reporter runs --job nightly-export
      reporter runs --status failed --status lost --since 30d
      reporter runs --format csv > runs.csv
    """
    as_of_ns = moment_option(as_of)
    since_ns = since_option(since, as_of_ns)
    fold_first(context, no_fold)
    with context.looked_at.read() as connection:
        check_job(context, connection, job)
        found = read_runs(connection, job=job, since_ns=since_ns, as_of_ns=as_of_ns, statuses=statuses, limit=limit + 1)
    kept = found[:limit]
    if form == "json":
        click.echo(json.dumps([_as_json(run) for run in kept], indent=2, allow_nan=False))
    elif form == "csv":
        columns = [name for name in _as_json(kept[0]) if name != "output_tail"] if kept else ["run_id"]
        write("csv", columns, ([_as_json(run)[name] for name in columns] for run in kept))
    else:
        _show(kept, job, since)
    if len(found) > limit:
        click.echo(f"reporter: only the last {limit} runs; --limit allows more", err=True)


def _as_json(run: RunRecord) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "batch_job": run.batch_job,
        "status": run.status,
        "started_at": moment(run.started_at_ns),
        "ended_at": moment(run.ended_at_ns),
        "scheduled_for": moment(run.scheduled_for_ns),
        "duration_seconds": run.duration_seconds,
        "exit_code": run.exit_code,
        "error_type": run.error_type,
        "items": run.items,
        "calls": run.calls,
        "errors": run.errors,
        "cost_usd": None if run.cost_nanousd is None else usd(run.cost_nanousd),
        "unpriced_calls": run.unpriced_calls,
        "host": run.host,
        "output_tail": run.output_tail,
    }


def _show(kept: Sequence[RunRecord], job: str | None, since: str) -> None:
    out = console()
    if not kept:
        out.print(shown(f"No runs{f' of {job}' if job else ''} since {since}."), soft_wrap=True)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("started (UTC)", no_wrap=True)
    if job is None:
        roomy = out.width >= _ROOMY  # else it is the name that would be cut
        table.add_column("job", overflow="fold" if roomy else "ellipsis", no_wrap=not roomy)
    table.add_column("status", no_wrap=True)
    for name in ("took", "exit", "items", "calls", "bad", "USD"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in kept:
        table.add_row(
            (moment(run.started_at_ns) or "")[:19].replace("T", " "),
            *([shown(run.batch_job)] if job is None else []),
            Text(run.status, style=_style(run.status)), seconds(run.duration_seconds),
            *(NOTHING if number is None else f"{number:,}" for number in (run.exit_code, run.items)),
            *(f"{number:,}" if run.calls else NOTHING for number in (run.calls, run.errors)), _money(run),
        )  # fmt: skip
    out.print(table)
    failed = [run for run in kept if run.status in ("failed", "timeout", "lost") and run.output_tail]
    for run in failed[:_TAILS]:
        began = (moment(run.started_at_ns) or "")[:19].replace("T", " ")
        how = run.error_type or ("" if run.exit_code is None else f"exit {run.exit_code}")
        out.print(Text("\n") + shown(f"{run.batch_job}, {began}: {run.status} {how}".rstrip(), "bold"), soft_wrap=True)
        for line in (run.output_tail or "").splitlines()[-_TAIL_LINES:]:
            out.print(Text("  ") + shown(line), soft_wrap=True)


def _style(status: str) -> str:
    states = {"success": "ok", "timeout": "overrun", "running": "running"}
    return STATE_STYLES.get(states.get(status, status), "")


def _money(run: RunRecord) -> str:
    """What its calls cost; + misses some that have no price, ? all."""
    if not run.calls:
        return NOTHING
    if run.cost_nanousd is None:
        return "?"
    return f"{usd(run.cost_nanousd):,.{2 if run.cost_nanousd >= 10**9 else 4}f}" + "+" * bool(run.unpriced_calls)
