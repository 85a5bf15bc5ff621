"""`reporter doctor`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reporter.cli.root import Context
from reporter.cli.terminal import console, shown
from reporter.doctor.examination import examine
from reporter.doctor.finding import Finding

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}
_WORST_FIRST = ("fail", "warn", "ok")
_ABOUT_CELLS = 11


@click.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_obj
def doctor(context: Context, form: str) -> None:
    """Look at everything that makes a setup fail, and say what to do; only reads.  Exit 1 if something fails.

    Versions, configuration, database, rights, disks, spool, who reports and when, gateway, clocks, prices; jobs and SLOs that
    nothing was heard of.

    \b
    Examples:
      reporter doctor
      reporter doctor --format json | jq '.findings[] | select(.state == "fail")'
    """
    found: list[Finding] = []
    out = console()
    for finding in examine(context.read_config, context.defaults):
        found.append(finding)
        if form == "table":  # at once: a gateway may take its time
            _show(out, finding)
    if form == "json":
        click.echo(json.dumps({"state": _worst(found), "findings": [asdict(one) for one in found]}, indent=2))
    else:
        out.print(_verdict(found))
    if _worst(found) == "fail":
        sys.exit(1)


def _worst(found: Sequence[Finding]) -> str:
    return min((finding.state for finding in found), key=_WORST_FIRST.index)


def _show(out: Console, finding: Finding) -> None:
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(width=4, no_wrap=True)
    line.add_column(width=_ABOUT_CELLS, no_wrap=True)
    line.add_column(overflow="fold")
    for number, told in enumerate(finding.told.splitlines()):
        first = (Text(finding.state, style=_STYLES[finding.state]), Text(finding.about)) if number == 0 else ("", "")
        line.add_row(*first, shown(told))
    if finding.remedy:
        line.add_row("", "", Text("→ ", style="dim") + shown(finding.remedy))
    out.print(line)


def _verdict(found: Sequence[Finding]) -> Text:
    counted = {state: sum(finding.state == state for finding in found) for state in _WORST_FIRST}
    told = [(f"{count} {state}", _STYLES[state]) for state, count in counted.items() if count]
    return Text("\n") + Text(", ").join(Text(*one) for one in told)
