"""`reporter db`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from reporter import migrate
from reporter.cli.root import Context


@click.group()
def db() -> None:
    """Create, migrate and check the database."""


@db.command()
@click.pass_obj
def upgrade(context: Context) -> None:
    """Bring the database to this program's schema; creates it where there is none."""
    click.echo(f"at {migrate.upgrade(context.config.database)}")


@db.command()
@click.option("--to", "file", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The copy.")
@click.pass_obj
def backup(context: Context, file: Path) -> None:
    """Copy a SQLite database to a file, whole, while jobs write on; an older copy there is replaced.

    \b
    Example:
      reporter db backup --to /var/backups/reporter.db
    """
    click.echo(f"{file}: {migrate.backup(context.config.database, file):,} bytes")


@db.command()
@click.pass_obj
def current(context: Context) -> None:
    """Say which version the database's schema has."""
    click.echo(migrate.current(context.config.database) or "no schema yet; run: reporter db upgrade")


@db.command()
@click.pass_obj
def check(context: Context) -> None:
    """Compare the database with the schema this program expects; exit 1 and the differences if there are any."""
    differences = migrate.differences(context.config.database)
    for difference in differences:
        click.echo(difference)
    if differences:
        sys.exit(1)
    click.echo("the database is as it should be")
