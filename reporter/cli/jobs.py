"""`reporter jobs`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from reporter.cli.folded import fold_first
from reporter.cli.job_name import check_job
from reporter.cli.root import Context, moment_option
from reporter.cli.rows import FORMATS, write
from reporter.cli.table import STATE_STYLES, when
from reporter.cli.terminal import console, shown
from reporter.report.jobs import read_jobs_as_of
from reporter.report.json_form import job_as_json, moment
from reporter.report.model import JobStatus
from reporter.report.runs import LatestRun, LatestRuns, read_latest_runs
from reporter.report.windows import round_up
from reporter.report.words import NOTHING, seconds
from reporter.schedule.expectation import Expectation
from reporter.tally import MINUTE_NS

_NO_RUNS = LatestRuns(runs=(), streak=0, recovered=False)
_BARS = "▁▂▃▄▅▆▇█"
_MARKS = {"running": ("▸", "cyan"), "failed": ("×", "red"), "timeout": ("×", "red"), "lost": ("?", "red")}
_WIDE, _ROOMY = 100, 72


@click.command()
@click.option("--job", metavar="NAME", help="This one alone.")
@click.option("--as-of", metavar="MOMENT", help="How they stood at this past minute (RFC 3339); now if left out.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--no-fold", is_flag=True, help="Show what is folded and judged already.")
@click.pass_obj
def jobs(context: Context, job: str | None, as_of: str | None, form: str, no_fold: bool) -> None:
    """Say how each batch job stands: its state, last and next run, streak, and its last runs as a line.

    A bar is a success, as high as it took long; × failed or was stopped, ? was lost, ▸ is under way.  Folds new rows first.

    \b
    Examples:
      reporter jobs
      reporter jobs --job nightly-export
      reporter jobs --format json | jq '.[] | select(.state != "ok")'
    """
    as_of_ns = moment_option(as_of)
    fold_first(context, no_fold)
    end_ns = round_up(as_of_ns) * MINUTE_NS
    with context.looked_at.read() as connection:
        check_job(context, connection, job)
        told = read_jobs_as_of(connection, as_of_ns, context.config.expected)
        told = tuple(one for one in told if job in (None, one.batch_job))
        latest = read_latest_runs(connection, [job.batch_job for job in told], end_ns)
    if form == "json":
        click.echo(json.dumps([_as_json(job, latest) for job in told], indent=2, allow_nan=False))
    elif form == "csv":
        write("csv", _COLUMNS, _rows(told, latest))
    else:
        _show(told, latest, end_ns, context.config.expected)


def _as_json(job: JobStatus, latest: Mapping[str, LatestRuns]) -> dict[str, Any]:
    last = latest.get(job.batch_job, _NO_RUNS)
    return {
        **job_as_json(job),
        "declared": job.is_declared,
        "running": job.running,
        "streak": last.streak,
        "recovered": last.recovered,
        "latest_runs": [
            {"started_at": moment(run.started_at_ns), "status": run.status, "duration_seconds": run.duration_seconds}
            for run in last.runs
        ],
    }


_COLUMNS = (
    "batch_job", "state", "last_start_at", "last_success_at", "next_run_at", "streak", "recovered", "running", "runs",
    "failed_runs", "lost_runs", "missed_runs", "late_runs", "overruns", "overlaps", "too_fast_runs",
    "skipped_runs", "declared",
)  # fmt: skip


def _rows(told: Sequence[JobStatus], latest: Mapping[str, LatestRuns]) -> Iterator[tuple[Any, ...]]:
    for job in told:
        last = latest.get(job.batch_job, _NO_RUNS)
        yield (
            job.batch_job, job.state, moment(job.last_start_at_ns), moment(job.last_success_at_ns),
            moment(job.next_run_at_ns), last.streak, int(last.recovered), job.running, job.runs, job.failed_runs,
            job.lost_runs, _missed(job), job.late_runs, job.overruns, job.overlaps, job.too_fast_runs,
            None if job.skipped_runs_at_ns is None else len(job.skipped_runs_at_ns), int(job.is_declared),
        )  # fmt: skip


def _missed(job: JobStatus) -> int | None:
    return None if job.missed_runs_at_ns is None else len(job.missed_runs_at_ns)


def _show(
    told: Sequence[JobStatus], latest: Mapping[str, LatestRuns], as_of_ns: int, expected: Mapping[str, Expectation]
) -> None:
    out = console()
    if not told:
        out.print(
            "No runs yet, and none expected.  Decorate a job with @reporter.job, run a command by `reporter exec`, or"
            " write when it is due under `jobs:`.",
            soft_wrap=True,
        )
        return
    wide = out.width >= _WIDE
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    roomy = out.width >= _ROOMY  # else it is the name that would be cut
    table.add_column("job", overflow="fold" if roomy else "ellipsis", no_wrap=not roomy)
    for name in ("state", "last runs"):
        table.add_column(name, no_wrap=True)
    table.add_column("streak", justify="right", no_wrap=True)
    for name in ("last start", "next (UTC)")[not roomy :]:
        table.add_column(name, no_wrap=True)
    for name in ("missed", "took")[: 1 + wide]:
        table.add_column(name, justify="right", no_wrap=True)
    for job in told:
        last = latest.get(job.batch_job, _NO_RUNS)
        missed = _missed(job)
        table.add_row(
            _name(job, marked=bool(expected)), Text(job.state, style=STATE_STYLES.get(job.state, "")),
            _line(last.runs if wide else last.runs[-8:]), _streak(last),
            *[when(moment_ns, as_of_ns) for moment_ns in (job.last_start_at_ns, job.next_run_at_ns)][not roomy :],
            NOTHING if missed is None else f"{missed:,}", *[seconds(job.last_duration_seconds)][:wide],
        )  # fmt: skip
    out.print(table)
    legend = "× failed or stopped, ? lost, ▸ under way; missed within 30 days"
    out.print(f"as of {moment(as_of_ns)}; {legend}", style="dim", soft_wrap=True)
    if expected and any(not job.is_declared for job in told):
        out.print("* not under `jobs:` in the configuration: nothing is expected of it", style="dim", soft_wrap=True)
    silent = [job.batch_job for job in told if job.last_start_at_ns is None and not job.runs]
    if silent:
        out.print(shown(f"never ran as far as is known: {', '.join(silent)}", "yellow"), soft_wrap=True)


def _name(job: JobStatus, *, marked: bool) -> Text:
    name = shown(job.batch_job)
    return name if job.is_declared or not marked else name.append(" *", "dim")


def _line(runs: Sequence[LatestRun]) -> Text:
    """A cell for each run."""
    took = [run.duration_seconds for run in runs if run.status == "success" and run.duration_seconds]
    longest = max(took, default=0.0)
    line = Text()
    for run in runs:
        if run.status in _MARKS:
            line.append(*_MARKS[run.status])
        else:
            height = (run.duration_seconds or 0) / longest if longest else 0
            line.append(_BARS[min(len(_BARS) - 1, int(height * len(_BARS)))], "green")
    return line if runs else Text(NOTHING, style="dim")


def _streak(last: LatestRuns) -> Text:
    if not last.streak:
        return Text(NOTHING, style="dim")
    return Text(f"{last.streak:+}".replace("-", "−"), style="" if last.streak > 0 else "red")
