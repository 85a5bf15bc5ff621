"""`reporter check`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from reporter.cli import terminal
from reporter.cli.check_files import check_files
from reporter.cli.root import Context
from reporter.config.model import Config
from reporter.config.money import CostBudget
from reporter.report.json_form import moment
from reporter.schedule.due import Cron
from reporter.schedule.expectation import Expectation
from reporter.slo.alerting import AlertPair, LeftOutPair
from reporter.slo.durations import format_duration
from reporter.slo.fields import plain
from reporter.slo.spec import SLO


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_obj
def check(context: Context, paths: tuple[Path, ...], form: str) -> None:
    """Read the configuration strictly and say what it means; or the files of PATHs, which `reporter generate` wrote.

    A PATH is a directory or a file: Prometheus' rules, tests of them and configuration; Alertmanager's; Grafana's alerts, data
    sources, providers and dashboards; SLOs in the format of reporter.yaml, Sloth or OpenSLO.  Files of a directory that are of
    no such kind are left out, and named.  It makes no difference whether they were edited since.

    Exit 2, and every mistake with its file, line and field, if there is one.  Nothing is written or sent,
    and no database is opened.

    \b
    Examples:
      reporter check
      reporter check slo.yaml
      reporter check /etc/prometheus/reporter /etc/grafana/provisioning
    """
    if paths:
        check_files(context, paths, form)
        return
    config = context.config
    config.pushgateway.check_files()
    config.price_list.catalogue.check()
    if form == "json":
        click.echo(json.dumps(_understood(config), indent=2, allow_nan=False))
    else:
        _show(config)


def _understood(config: Config) -> dict[str, Any]:
    return {
        "source": None if config.source is None else str(config.source),
        "database": config.masked_database,
        "pushgateway": {"url": config.pushgateway.url, "grouping": config.pushgateway.grouping},
        "windows": [label for label, _ in config.windows],
        "slos": [_understood_slo(slo) for slo in config.slos],
        "budgets": [_understood_budget(budget) for budget in config.budgets],
        "jobs": [_understood_job(name, expected) for name, expected in config.expected.items()],
        "unsupported": list(config.unsupported),
    }


def _understood_slo(slo: SLO) -> dict[str, Any]:
    return {
        "slo": slo.name,
        "service": slo.service,
        "sli": slo.sli.describe(),
        "where": slo.where.model_dump(exclude_none=True),
        "objective_ratio": float(slo.objective_ratio),
        "period": slo.period,
        "periods": [period.label for period in slo.all_periods],
        "method": slo.method,
        "missing": slo.missing,
        "windows": [label for label, _ in slo.windows],
        "min_bad_events": slo.min_bad_events,
        "exclude_error_types": list(slo.exclude_error_types),
        **_understood_pairs(slo.pairs, slo.left_out_pairs),
    }


def _understood_budget(budget: CostBudget) -> dict[str, Any]:
    return {
        "budget": budget.name,
        "usd": float(budget.usd),
        "where": budget.where.model_dump(exclude_none=True),
        "period": budget.period,
        **_understood_pairs(budget.pairs, budget.left_out_pairs),
    }


def _understood_job(name: str, expected: Expectation) -> dict[str, Any]:
    scheduled = expected.schedule is not None
    return {
        "batch_job": name,
        "schedule": expected.schedule.label if expected.schedule else None,
        "start_grace": format_duration(expected.start_grace_ns) if scheduled else None,
        "max_duration": _length(expected.max_duration_ns),
        "min_duration": _length(expected.min_duration_ns),
        "max_concurrent": expected.max_concurrent,
        "next_run_at": moment(_next_run_ns(expected)),
    }


def _length(length_ns: int | None) -> str | None:
    return None if length_ns is None else format_duration(length_ns)


def _next_run_ns(expected: Expectation) -> int | None:
    """When the clock on the wall says so; a rhythm has to know the last start."""
    if not isinstance(expected.schedule, Cron):
        return None
    due = next(expected.schedule.after(time.time_ns()), None)
    return None if due is None else due.at_ns


def _understood_pairs(pairs: Sequence[AlertPair], left_out: Sequence[LeftOutPair]) -> dict[str, Any]:
    return {
        "alerts": [
            {"severity": pair.severity, "long": pair.long, "short": pair.short, "factor": float(pair.factor)}
            for pair in pairs
        ],
        "alerts_left_out": [
            {"long": left.pair.long, "short": left.pair.short, "factor": float(left.pair.factor), "reason": left.reason}
            for left in left_out
        ],
    }


def _show(config: Config) -> None:
    console = terminal.console()
    source = "no reporter.yaml found; these are the defaults" if config.source is None else f"{config.source}: fine"
    console.print(source, soft_wrap=True)
    grouping = ", ".join(f'{label}="{value}"' for label, value in config.pushgateway.grouping.items())
    console.print(f"database     {config.masked_database}", soft_wrap=True)
    console.print(f"pushgateway  {config.pushgateway.url} ({grouping})", soft_wrap=True)
    console.print(f"windows      {' '.join(label for label, _ in config.windows)}", soft_wrap=True)
    if not config.slos:
        console.print("no SLOs; `reporter init` writes a reporter.yaml with three tiers to start from", soft_wrap=True)
    for slo in config.slos:
        console.print(Text.assemble("\n", (terminal.shown(slo.name, "bold")), "  ", terminal.shown(slo.service)))
        where = slo.where.describe()
        periods = " and ".join(period.label for period in slo.all_periods)
        judged = f"  {plain(slo.objective)} % within {periods}: {slo.sli.describe()}"
        console.print(terminal.shown(judged + f", where {where}" * bool(where)))
        if slo.slice_ns:
            console.print(f"  {_slices(slo)}")
        if slo.missing != "exclude":
            console.print(f"  where there are no events: {slo.missing}")
        if slo.exclude_error_types:
            console.print(terminal.shown(f"  without error types {', '.join(slo.exclude_error_types)}"))
        if slo.min_bad_events:
            console.print(f"  alerts need {slo.min_bad_events} bad events in their long window")
        _show_pairs(console, slo.pairs, slo.left_out_pairs)
    for budget in config.budgets:
        where = budget.where.describe()
        spends = f"  {plain(budget.usd)} USD within {budget.period}" + f", where {where}" * bool(where)
        console.print(Text.assemble("\n", (terminal.shown(budget.name, "bold")), "  cost budget"))
        console.print(terminal.shown(spends))
        _show_pairs(console, budget.pairs, budget.left_out_pairs)
    for name, expected in config.expected.items():
        console.print(Text.assemble("\n", (terminal.shown(name, "bold")), "  job"))
        for sentence in _expects(expected):
            console.print(f"  {sentence}", soft_wrap=True)
    if config.slos or config.budgets:
        console.print("\nAn alert long/short > factor fires when the burn rates of both windows are above the factor.")


def _expects(expected: Expectation) -> Iterator[str]:
    """What is expected of a job, a sentence each."""
    if expected.schedule is not None:
        next_run = moment(_next_run_ns(expected))
        told = f"due {expected.schedule.label}" + f", next {next_run}" * (next_run is not None)
        yield f"{told}; missed when not started {format_duration(expected.start_grace_ns)} later"
    if expected.max_duration_ns is not None:
        yield f"lost when it runs for {format_duration(expected.max_duration_ns)}, too slow when it ends after all"
    if expected.min_duration_ns is not None:
        yield f"too fast when it succeeds before {format_duration(expected.min_duration_ns)}"
    if expected.max_concurrent is not None:
        yield f"overlaps when it starts while {expected.max_concurrent} or more of it run"


def _slices(slo: SLO) -> str:
    """What counts instead of single events."""
    length = format_duration(slo.slice_ns)
    if slo.method == "ratio_timeslices":
        return f"each {length} counts once, with its own ratio"
    return f"each {length} counts once, good from {plain(slo.slice_target_ratio * 100)} % on"


def _show_pairs(console: Console, pairs: Sequence[AlertPair], left_out: Sequence[LeftOutPair]) -> None:
    for severity in ("page", "ticket"):
        told = [f"{pair.long}/{pair.short} > {float(pair.factor):.6g}" for pair in pairs if pair.severity == severity]
        if told:
            console.print(f"  {severity:<6} {', '.join(told)}")
    for reason, names in _by_reason(left_out).items():
        console.print(f"  left out {names}: {reason}", style="dim", soft_wrap=True)


def _by_reason(left_out: Sequence[LeftOutPair]) -> dict[str, str]:
    """The default pairs that are left out, by reason."""
    reasons: dict[str, list[str]] = {}
    for left in left_out:
        reasons.setdefault(left.reason, []).append(f"{left.pair.long}/{left.pair.short}")
    return {reason: ", ".join(pairs) for reason, pairs in reasons.items()}
