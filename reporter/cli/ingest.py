"""`reporter ingest`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from reporter.cli.root import Context
from reporter.cli.terminal import progress_bar
from reporter.errors import ConfigError
from reporter.ingest import batch_reader, ingest_file, ingest_spool
from reporter.lines import read_lines
from reporter.sinks.spool import directories_for


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--openai-batch",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Results of OpenAI's batch API.",
)
@click.option(
    "--anthropic-batch", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
    help="Results of Anthropic's batch API; they end when the file was written.",
)  # fmt: skip
@click.option("--spool", is_flag=True, help="Bring in what recorders on this host left in the spool.")
@click.pass_obj
def ingest(
    context: Context,
    files: tuple[Path, ...],
    openai_batch: tuple[Path, ...],
    anthropic_batch: tuple[Path, ...],
    spool: bool,
) -> None:
    """Bring JSON Lines FILES into the database; twice counts once.

    Bad lines go to FILE.bad with the reason, the others go in, and the exit code is 1.

    \b
    Examples:
      reporter ingest calls.jsonl
      reporter ingest --spool
      reporter ingest --openai-batch batch_67_output.jsonl

    \b
    A line:
      {"operation": "chat", "model": "gpt-4o", "provider": "openai",
       "ended_at": "2026-11-01T02:00:00Z", "duration_seconds": 1.2}
    """
    if not files and not spool and not openai_batch and not anthropic_batch:
        raise ConfigError("ingest: name files, --openai-batch or --anthropic-batch files, or --spool")
    bad = 0
    if spool:
        for directory in directories_for(context.config.database):
            with _bar("spool", _bytes_in(Path(directory))) as advance:
                done = ingest_spool(context.store, directory, advance)
            click.echo(f"{directory}: {done.lines} lines, {done.bad} bad")
            bad += done.bad
    kinds = [*((path, "") for path in files), *((path, "openai") for path in openai_batch)]
    kinds += [(path, "anthropic") for path in anthropic_batch]
    for path, provider in kinds:
        with _bar(path.name, path.stat().st_size if path.is_file() else None) as advance:
            reads = batch_reader(context.store, path, provider) if provider and path.is_file() else read_lines
            done = ingest_file(context.store, path, advance, reads)
        click.echo(f"{path}: {done.lines} lines, {done.bad} bad" + (f", see {path}.bad" if done.bad else ""))
        bad += done.bad
    if bad:
        sys.exit(1)


@contextmanager
def _bar(what: str, size: int | None) -> Iterator[Callable[[int], None]]:
    with progress_bar() as bar:
        task = bar.add_task(what, total=size)
        yield lambda advanced: bar.advance(task, advanced)


def _bytes_in(directory: Path) -> int | None:
    try:
        with os.scandir(directory) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.name.endswith(".jsonl"))
    except OSError:
        return None
