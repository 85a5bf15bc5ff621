"""`reporter html`."""

from __future__ import annotations

from pathlib import Path

import click

from reporter import cycle
from reporter.cli.output import write_text
from reporter.cli.root import Context, moment_option, since_option
from reporter.cli.terminal import fold_progress
from reporter.exclusions import in_force
from reporter.html.history import read_page
from reporter.html.page import render


@click.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to; stdout if left out."
)  # fmt: skip
@click.option(
    "--since", default="7d", show_default=True, metavar="LENGTH",
    help="How far back charts and lists go: a length, or a day like 2026-11-01.",
)  # fmt: skip
@click.option("--as-of", metavar="MOMENT", help="As of this past minute (RFC 3339); now if left out.")
@click.option("--title", default="SLOs and cost", show_default=True, help="What the page is called.")
@click.option("--no-fold", is_flag=True, help="Show what is folded already.")
@click.pass_obj
def html(context: Context, output: Path | None, since: str, as_of: str | None, title: str, no_fold: bool) -> None:
    """Draw SLOs, cost, latency, jobs and calls as one page that needs nothing else.  Folds new rows first.

    The file is whole at any time: it is replaced when the new one is written.

    \b
    Examples:
      reporter html -o report.html
      reporter html --since 30d --title 'Nightly jobs' -o /var/www/slo.html
      reporter html --as-of 2026-11-01T00:00:00Z -o october.html --since 31d
    """
    as_of_ns = moment_option(as_of)
    since_ns = since_option(since, as_of_ns)
    store, config = context.looked_at, context.config
    with fold_progress() as progress:
        made = cycle.report(store, config, as_of_ns, of_now=as_of is None, fold_first=not no_fold, progress=progress)
    if not made.self_status.folded and not no_fold:
        click.echo("reporter: another reporter is at work; this is what is folded so far", err=True)
    with store.read() as connection:
        page = read_page(connection, made, config.slos, in_force(connection, config), since_ns)
    write_text(render(page, title), output)
