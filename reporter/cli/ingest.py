"""`reporter ingest`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from reporter.cli.root import Context
from reporter.errors import ConfigError
from reporter.ingest import ingest_file, ingest_spool
from reporter.sinks.spool import directories_for


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--spool", is_flag=True, help="Bring in what recorders on this host left in the spool.")
@click.pass_obj
def ingest(context: Context, files: tuple[Path, ...], spool: bool) -> None:
    """Bring JSON Lines FILES into the database; twice counts once.  Bad lines go to FILE.bad, and the exit code is 1."""
    if not files and not spool:
        raise ConfigError("ingest: name files, or --spool")
    bad = 0
    if spool:
        for directory in directories_for(context.config.database):
            done = ingest_spool(context.store, directory)
            click.echo(f"{directory}: {done.lines} lines, {done.bad} bad")
            bad += done.bad
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        for path in files:
            task = bar.add_task(path.name, total=path.stat().st_size if path.exists() else None)
            done = ingest_file(context.store, path, lambda size, task=task: bar.advance(task, size))  # type: ignore[misc]  # a lambda's default has no annotation
            click.echo(f"{path}: {done.lines} lines, {done.bad} bad" + (f", see {path}.bad" if done.bad else ""))
            bad += done.bad
    if bad:
        sys.exit(1)
