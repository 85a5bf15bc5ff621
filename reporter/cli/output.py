"""Text on its way out: to stdout, or whole into the file of `--output`."""

from __future__ import annotations

from pathlib import Path

import click

from reporter.errors import ConfigError
from reporter.filesystem import write_whole


def write_text(text: str, output: Path | None) -> None:
    """Print it, or write it to `output` and say so.

    Raises:
        ConfigError: the file can't be written.
    """
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        write_whole(output, text.encode(), replace=True)
    except OSError as error:
        raise ConfigError(f"--output {output}: can't be written: {error.strerror}") from None
    click.echo(f"reporter: wrote {output}", err=True)
