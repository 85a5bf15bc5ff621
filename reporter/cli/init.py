"""`reporter init`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from reporter.errors import ConfigError
from reporter.filesystem import write_whole


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("reporter.yaml"))
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
def init(file: Path, force: bool) -> None:
    """Write a commented reporter.yaml to start from, with three tiers of SLOs."""
    text = files("reporter.config").joinpath("starter.yaml").read_text(encoding="utf-8")
    try:
        write_whole(file, text.encode(), replace=force)
    except FileExistsError:
        raise ConfigError(f"{file}: is there already; --force replaces it, or name another file") from None
    except OSError as error:
        raise ConfigError(f"{file}: can't be written: {error.strerror}") from error
    named = "" if file == Path("reporter.yaml") else f" --config {file}"
    click.echo(f"wrote {file}.  Next:")
    steps = (
        (f"reporter{named} check", "what it says, and whether anything is wrong"),
        ('@reporter.call("chat")', "above what calls a model; then run your job"),
        (f"reporter{named} report", "SLOs, calls and cost so far"),
        (f"reporter{named} push", "the same to the Pushgateway; cron runs it every minute"),
    )
    width = max(len(step) for step, _ in steps)
    for step, why in steps:
        click.echo(f"  {step:<{width}}  {why}")
