"""`reporter purge`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from reporter import cycle
from reporter.cli.root import Context
from reporter.cli.terminal import fold_progress, progress_bar
from reporter.errors import ConfigError, StoreError
from reporter.purge import Named, erase, find, mentions, rewrite
from reporter.sinks.spool import directories_for


@click.command()
@click.option(
    "--where", "wheres", multiple=True, required=True, metavar="NAME=VALUE",
    help="An attribute and its value; given twice, both must be there.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say how many calls and runs, and erase nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--no-rewrite", is_flag=True, help="Leave a SQLite file's free space as it is, with remains that nothing shows."
)
@click.pass_obj
def purge(context: Context, wheres: tuple[str, ...], dry_run: bool, yes: bool, no_rewrite: bool) -> None:
    """Erase what calls and runs tell of a person: their attributes, trace ids, and the tail of a run's output.

    Of runs with such an attribute, of all their calls, and of calls that have it themselves.  What they count stays: no SLO,
    cost or counter changes.  The spool of this host is brought in first; backups are not touched.

    \b
    Examples:
      reporter purge --where user_id=u-17 --dry-run
      reporter purge --where user_id=u-17 --yes
    """
    where = [_pair(told) for told in wheres]
    store, config = context.looked_at, context.config
    with cycle.leased(store, config) as lease:
        with fold_progress() as progress:
            cycle.catch_up(store, lease, config, progress)
        with store.read() as connection:
            named = find(connection, where)
    if dry_run or not (named.calls or named.runs):
        click.echo(f"{_counted(named)} {'would be erased' if dry_run else 'name that; nothing is erased'}")
    else:
        if not yes:
            _ask(named)
        with cycle.leased(store, config) as lease, progress_bar() as bar:
            task = bar.add_task("Erasing", total=len(named.calls) + len(named.runs))
            erase(store, lease, named, lambda rows: bar.advance(task, rows))
        click.echo(f"erased what {_counted(named)} told; what they count is as before")
    if not dry_run and store.dialect == "sqlite" and not no_rewrite:
        _rewrite(context)
    _tell_of_rest(config.database, [value for _, value in where])


def _pair(told: str) -> tuple[str, str]:
    name, separator, value = told.partition("=")
    if not separator or not name or not value:
        raise ConfigError(f"--where {told!r}: write NAME=VALUE, like user_id=u-17")
    return name, value


def _counted(named: Named) -> str:
    calls, runs = len(named.calls), len(named.runs)
    return f"{calls:,} {'call' if calls == 1 else 'calls'} and {runs:,} {'run' if runs == 1 else 'runs'}"


def _ask(named: Named) -> None:
    if not sys.stdin.isatty():
        raise ConfigError(
            f"purge: would erase what {_counted(named)} tell, for good; say --yes, or --dry-run to look first"
        )
    click.confirm(f"Erase what {_counted(named)} tell, for good?", abort=True, err=True)


def _rewrite(context: Context) -> None:
    """Also where nothing was found: an earlier purge may have got no further."""
    try:
        empty = rewrite(context.looked_at)
    except StoreError as error:
        raise StoreError(f"{error}; the rows tell no more, but remains are in the file: run this again") from None
    if not empty:
        click.echo("reporter: somebody reads the database: its log has remains until they are done", err=True)


def _tell_of_rest(database: str, values: list[str]) -> None:
    for directory in directories_for(database):
        for path in mentions(Path(directory), values):
            kind = "lines that could not be read" if path.suffix == ".bad" else "a job at work"
            remedy = (
                "look, and delete it" if path.suffix == ".bad" else "it is gone when the job is and its facts are in"
            )
            click.echo(f"reporter: {path}: still has that text, of {kind}: {remedy}", err=True)
