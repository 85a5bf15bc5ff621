"""`reporter exec` among the other commands: listed, and reached behind global options."""

from __future__ import annotations

import sys

import click

from reporter.cli.exec import main
from reporter.cli.root import Context


@click.command(
    "exec", add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def exec_(context: Context, arguments: tuple[str, ...]) -> None:
    """Run any command as one run of a batch job."""
    given = (("--database", context.database_option), ("--config", context.config_path))
    told = [word for option, value in given if value is not None for word in (option, str(value))]
    sys.exit(main([*told, *arguments]))
