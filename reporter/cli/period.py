"""`reporter report --period`: one calendar period as a table or JSON."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from reporter.cli.rows import table
from reporter.cli.terminal import console, shown
from reporter.report.json_form import exclusion_as_json, moment
from reporter.report.period import PeriodReport, PeriodSLO
from reporter.report.words import NOTHING


def tell(made: PeriodReport, form: str) -> None:
    """Print it to stdout; `form` is table or json."""
    if form == "json":
        click.echo(json.dumps(_as_json(made), indent=2, allow_nan=False))
    else:
        _show(console(), made)


def _show(out: Console, made: PeriodReport) -> None:
    zone = "" if made.timezone == "UTC" else f", {made.timezone}"
    so_far = "" if made.is_over else ", so far"
    out.print(Text(f"{made.period}{zone}{so_far}", style="bold"))
    out.print(f"{moment(made.start_ns)} to {moment(made.until_ns)}", style="dim")
    if made.slos:
        out.print()
        rows = [(slo.slo, _percent(slo.objective_ratio, 4), _percent(slo.sli_ratio, 3), slo.good, slo.bad,
                 _percent(slo.consumed_ratio, 1), _verdict(slo)) for slo in made.slos]  # fmt: skip
        out.print(table(("SLO", "objective", "SLI", "good", "bad", "budget used", ""), rows))
    _show_costs(out, made)
    if made.jobs:
        out.print()
        jobs = [(job.batch_job, job.runs, job.succeeded, job.failed, job.timed_out, job.lost) for job in made.jobs]
        out.print(table(("job", "runs", "succeeded", "failed", "timed out", "lost"), jobs))
    for excluded in made.exclusions:
        told = exclusion_as_json(excluded)
        out.print(shown(f"left out: {told['from']} to {told['to']} of {', '.join(excluded.slos)}, {excluded.reason}"))


def _show_costs(out: Console, made: PeriodReport) -> None:
    if made.costs is None:
        out.print("\nWhat it cost can't be told any more: tallies were pruned.")
        return
    if made.costs.rows:
        out.print()
        rows = [
            (row.values["job"] or NOTHING, row.values["model"] or NOTHING, row.window.calls, row.cost_usd)
            for row in made.costs.rows
        ]
        out.print(table(("job", "model", "calls", "USD"), rows))
    known = made.costs.cost_usd
    if known is not None and made.costs.rows:
        missing = made.costs.unpriced_calls
        out.print(
            f"Together {known:,.2f} USD" + (f"; {missing:,} calls have no price and are not in it" if missing else "")
        )


def _verdict(slo: PeriodSLO) -> Text:
    if slo.good is None:
        return Text("pruned")
    if slo.met is None:
        return Text("no data")
    return Text("met", style="green") if slo.met else Text("missed", style="bold red")


def _percent(ratio: float | None, digits: int) -> str:
    """Cut, not rounded up: what misses an objective must not look as if it met it."""
    if ratio is None:
        return NOTHING
    scale = 10**digits
    text = f"{int(ratio * 100 * scale + 1e-6) / scale:,.{digits}f}"
    return f"{text.rstrip('0').rstrip('.')} %"


def _as_json(made: PeriodReport) -> dict[str, Any]:
    return {
        "period": made.period,
        "timezone": made.timezone,
        "start": moment(made.start_ns),
        "end": moment(made.end_ns),
        "until": moment(made.until_ns),
        "is_over": made.is_over,
        "slos": [
            {
                "slo": slo.slo,
                "service": slo.service,
                "objective_ratio": slo.objective_ratio,
                "good": slo.good,
                "bad": slo.bad,
                "sli_ratio": slo.sli_ratio,
                "error_budget": {"consumed_ratio": slo.consumed_ratio, "remaining_ratio": slo.remaining_ratio},
                "met": slo.met,
            }
            for slo in made.slos
        ],
        "costs": None
        if made.costs is None
        else [
            {
                "batch_job": row.values["job"] or None,
                "model": row.values["model"] or None,
                "calls": row.window.calls,
                "cost_usd": row.cost_usd,
                "unpriced_calls": row.window.unpriced_calls,
            }
            for row in made.costs.rows
        ],
        "cost_usd": None if made.costs is None else made.costs.cost_usd,
        "jobs": [
            {
                "batch_job": job.batch_job,
                "runs": job.runs,
                "succeeded": job.succeeded,
                "failed": job.failed,
                "timed_out": job.timed_out,
                "lost": job.lost,
            }
            for job in made.jobs
        ],
        "exclusions": [exclusion_as_json(excluded) for excluded in made.exclusions],
    }
