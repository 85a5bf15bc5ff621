"""`reporter demo`."""

from __future__ import annotations

from pathlib import Path

import click

from reporter.cli.root import Context
from reporter.cli.terminal import console
from reporter.demo.story import tell


@click.command()
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR", help="Leave everything in this new directory.")
@click.option("--database", metavar="URL", help="An empty database to use instead of a SQLite file.")
@click.pass_obj
def demo(context: Context, keep: Path | None, database: str | None) -> None:
    """See the whole way in a minute: jobs, a kill, a report, a push, SQL.

    Starts a language model on loopback, batch jobs that call it, and a Pushgateway if one is installed; works in a temporary
    directory and ends everything it started.  Your own database, reporter.yaml and environment are not touched.

    \b
    Examples:
      reporter demo
      reporter demo --keep /tmp/demo        to look around afterwards
      reporter demo --database postgresql://me@localhost/empty
    """
    tell(console(), database or context.database_option, keep)
