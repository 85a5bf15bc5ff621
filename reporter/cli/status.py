"""`reporter status`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reporter import cycle
from reporter.cli.root import Context, moment_option
from reporter.cli.table import (
    STATE_STYLES,
    alert_line,
    alerts_of_budgets,
    budget_table,
    burn_cell,
    job_table,
    left_cell,
    narrowed,
    titled,
)
from reporter.cli.terminal import console, fold_progress, shown
from reporter.errors import ConfigError
from reporter.report.json_form import as_json, moment
from reporter.report.model import SLOStatus
from reporter.report.words import NOTHING
from reporter.status import Status, burn_now, read_status

_LEAST_SECONDS = 1.0
_WIDE, _ROOMY = 100, 60  # columns
_BUSY = "another reporter is at work; this is what is folded so far"


@click.command()
@click.option("--as-of", metavar="MOMENT", help="As of this past minute (RFC 3339); now if left out.")
@click.option(
    "--watch", is_flag=False, flag_value=5.0, type=float, metavar="[SECONDS]",
    help="Draw it again every so many seconds, 5 if left out, until Ctrl-C; on a terminal only.",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--no-fold", is_flag=True, help="Show what is folded already.")
@click.pass_obj
def status(context: Context, as_of: str | None, watch: float | None, form: str, no_fold: bool) -> None:
    """Show at a glance how things stand: SLOs, alerts, jobs, money.  Folds new rows first; sends nothing.

    \b
    Examples:
      reporter status
      reporter status --watch
      reporter status --watch 30
      reporter status --format json | jq '.slos[] | select(.state != "ok")'
    """
    if watch is not None:
        _check_watch(watch, as_of, form)
        _watch(context, watch, no_fold)
        return
    found = _read(context, as_of, no_fold)
    if not found.report.self_status.folded and not no_fold:
        click.echo(f"reporter: {_BUSY}", err=True)
    if form == "json":
        click.echo(json.dumps(_as_json(found), indent=2, allow_nan=False))
    else:
        out = console()
        out.print(_picture(found, out.width, time.time_ns() if as_of is None else None))


def _check_watch(seconds: float, as_of: str | None, form: str) -> None:
    if form != "table":
        raise ConfigError(f"--watch: goes with --format table, not {form}; call it again for more")
    if as_of is not None:
        raise ConfigError("--watch: goes without --as-of: a minute that is past stays as it is")
    if not _LEAST_SECONDS <= seconds <= 86_400:
        raise ConfigError(f"--watch {seconds:g}: write seconds from 1 to 86400")
    if not sys.stdout.isatty():
        raise ConfigError("--watch: stdout is no terminal; leave it out, and it prints once")


def _watch(context: Context, seconds: float, no_fold: bool) -> None:
    _read(context, None, no_fold)  # a long fold shows its bar before the screen is taken
    with Live(console=console(), screen=True, auto_refresh=False) as live:
        while True:
            found = _read(context, None, no_fold)
            drawn: list[RenderableType] = [_picture(found, live.console.width, time.time_ns())]
            if not found.report.self_status.folded and not no_fold:
                drawn.insert(0, Text(_BUSY, style="yellow"))
            live.update(_cut(Group(*drawn), live.console), refresh=True)
            time.sleep(seconds)


def _cut(picture: Group, screen: Console) -> RenderableType:
    """The picture, or as much of it as there is room for, and how much that leaves out."""
    lines = screen.render_lines(picture, pad=False)
    left_out = len(lines) - screen.height
    if left_out <= 0:
        return picture
    shown_ = [Text.assemble(*((part.text, part.style or "") for part in line)) for line in lines[: screen.height - 1]]
    return Group(
        *shown_, Text(f"… {left_out + 1} more lines: make the terminal taller, or leave --watch out", style="yellow")
    )


def _read(context: Context, as_of: str | None, no_fold: bool) -> Status:
    store, as_of_ns = context.looked_at, moment_option(as_of)
    with fold_progress() as progress:
        made = cycle.report(
            store, context.config, as_of_ns, of_now=as_of is None, fold_first=not no_fold, progress=progress
        )
    with store.read() as connection:
        return read_status(connection, made)


# ── for eyes ──


def _picture(found: Status, width: int, now_ns: int | None) -> Group:
    """All of it; with `now_ns`, the age of the latest push."""
    return Group(*_parts(found, width, now_ns))


def _parts(found: Status, width: int, now_ns: int | None) -> Iterator[RenderableType]:
    made = found.report
    yield Text.assemble((f"as of {moment(made.as_of_ns)}", "bold"), "  ", _pushed(found.pushed_at_ns, now_ns))
    yield _verdict(found)
    if made.slos:
        yield _slos(found.slos, width)
        for slo, alert in found.firing:
            yield alert_line(slo.slo, alert, slo.windows[alert.long].burn_rate, slo.windows[alert.short].burn_rate)
    if found.troubled_jobs:
        yield narrowed(
            job_table(found.troubled_jobs, made.as_of_ns, wide=width >= _WIDE), width,
            "runs", "failed", "lost", "next (UTC)", "last start",
        )  # fmt: skip
    if made.budgets:
        yield narrowed(budget_table(made.budgets, bar=width >= _ROOMY), width, "period", "state", "projected", "USD")
        yield from alerts_of_budgets(made.budgets, made.as_of_ns)
    yield Text()
    yield _today(found)
    yield from _not_right(found)


def _pushed(pushed_at_ns: int | None, now_ns: int | None) -> Text:
    """When the gateway last took a push; its age where it is now."""
    if pushed_at_ns is None:
        return Text("never pushed", style="dim")
    if now_ns is None:
        return Text(f"latest push {(moment(pushed_at_ns) or '')[:19]}Z", style="dim")
    age = max(0, now_ns - pushed_at_ns) // 10**9
    return Text(f"pushed {_age(age)} ago", style="yellow" if age > 600 else "dim")


def _age(seconds: int) -> str:
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds // length:,} {unit}"
    return f"{seconds} s"


def _verdict(found: Status) -> Text:
    """One line that says whether to read on."""
    made = found.report
    if not made.slos and not made.calls and not made.jobs:
        return Text('No calls yet.  Decorate one with @reporter.call("chat"), run it, and look again.')
    alarmed = [slo for slo in made.slos if slo.state in ("burning", "exhausted")]
    told = []
    if made.slos:
        told.append((f"{len(alarmed)} of {len(made.slos)} SLOs not ok", "yellow" if alarmed else "green"))
        if not alarmed:
            told = [("every SLO is ok", "green")]
        if any(slo.state == "no_data" for slo in made.slos):
            told.append((f"{sum(slo.state == 'no_data' for slo in made.slos)} without data", "yellow"))
    if found.alerts_firing:
        told.append(
            (f"{found.alerts_firing} {'alert fires' if found.alerts_firing == 1 else 'alerts fire'}", "bold red")
        )
    if made.jobs:
        bad = len(found.troubled_jobs)
        told.append((f"{bad} of {len(made.jobs)} jobs not ok" if bad else "every job is ok", "red" if bad else "green"))
    return Text(", ").join(Text(*one) for one in told)


def _slos(slos: tuple[SLOStatus, ...], width: int) -> Table:
    table = titled("SLOs")
    table.add_column("SLO", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("error budget left" if width >= _ROOMY else "left", no_wrap=True)
    table.add_column("of", no_wrap=True, justify="right")
    table.add_column("burn now", no_wrap=True, justify="right")
    for slo in slos:
        now, fires = burn_now(slo), any(alert.firing for alert in slo.alerts)
        table.add_row(
            shown(slo.slo), Text(slo.state.replace("_", " "), style=STATE_STYLES.get(slo.state, "dim")),
            left_cell(slo.remaining_ratio, bar=width >= _ROOMY), shown(slo.period),
            Text(NOTHING) if now is None else burn_cell(now[1], fires) + Text(f" in {now[0]}", style="dim"),
        )  # fmt: skip
    return narrowed(table, width, "of", "state")


def _today(found: Status) -> Text:
    today = found.today
    if not today.rows:
        return Text("Today (UTC): no calls that cost anything.", style="dim")
    known = "no known price" if today.cost_usd is None else f"{today.cost_usd:,.2f} USD"
    told = Text(f"Today (UTC): {known} for {today.calls:,} {'call' if today.calls == 1 else 'calls'}")
    if today.unpriced_calls:
        told.append(f"; {today.unpriced_calls:,} without a price are not in it", style="yellow")
    if today.is_cut:
        told.append("; tallies were pruned, so it is not all of the day", style="yellow")
    return told + Text(".")


def _not_right(found: Status) -> Iterator[Text]:
    own = found.report.self_status
    if own.lost_calls:
        yield Text(
            f"{own.lost_calls:,} {'call was' if own.lost_calls == 1 else 'calls were'} lost so far: started, never ended."
        )
    if own.bad_lines:
        yield Text(f"{own.bad_lines:,} bad {'line' if own.bad_lines == 1 else 'lines'} so far could not be brought in.")
    for trouble, occurrences in own.troubles.items():
        yield Text(f"recorders report {occurrences:,}× ") + shown(trouble)
    for note in found.report.notes:
        yield Text("note: ") + shown(note)


# ── for programs ──


def _as_json(found: Status) -> dict[str, Any]:
    whole, own = as_json(found.report), found.report.self_status
    by_name = {slo["slo"]: slo for slo in whole["slos"]}
    return {
        "as_of": whole["as_of"],
        "folded": whole["folded"],
        "pushed_at": moment(found.pushed_at_ns),
        "slos": [_slo_as_json(slo, by_name[slo.slo]) for slo in found.slos],
        "jobs": whole["jobs"],
        "budgets": whole["budgets"],
        "today": {
            "since": moment(found.today.since_ns),
            "calls": found.today.calls,
            "cost_usd": found.today.cost_usd,
            "unpriced_calls": found.today.unpriced_calls,
            "partial": found.today.unpriced_calls > 0 or found.today.is_cut,
        },
        "lost_calls": own.lost_calls,
        "bad_lines": own.bad_lines,
        "troubles": dict(own.troubles),
        "notes": whole["notes"],
    }


def _slo_as_json(slo: SLOStatus, whole: dict[str, Any]) -> dict[str, Any]:
    now = burn_now(slo)
    return {
        **{name: whole[name] for name in ("slo", "service", "state", "period", "objective_ratio", "error_budget")},
        "burn_now": None if now is None else {"window": now[0], "burn_rate": now[1]},
        "firing": [alert for alert in whole["alerts"] if alert["firing"]],
    }
