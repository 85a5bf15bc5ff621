"""`reporter db`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from reporter import migrate
from reporter.cli.root import Context
from reporter.errors import ConfigError
from reporter.grants import DEFAULT, Roles, statements

_ROLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}", re.ASCII)


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
@click.option("--recorder", default=DEFAULT.recorder, show_default=True, metavar="ROLE", help="Of jobs: only appends.")
@click.option("--reporter", default=DEFAULT.reporter, show_default=True, metavar="ROLE", help="Reads, folds, pushes.")
@click.option("--asker", default=DEFAULT.asker, show_default=True, metavar="ROLE", help="Of people: reads the views.")
@click.option("--migrator", default=DEFAULT.migrator, show_default=True, metavar="ROLE", help="Owns the tables.")
@click.option("--schema", default=DEFAULT.schema, show_default=True, metavar="SCHEMA", help="Where the tables are.")
def grants(**named: str) -> None:
    """Print the SQL of four Postgres roles, each with the least it needs; it connects to nothing.

    Run it as a superuser after the first `reporter db upgrade`, and as the migrator after later ones.  Roles are made
    without passwords: \\password ROLE in psql sets one.

    \b
    Example:
      reporter db grants | psql --single-transaction --set ON_ERROR_STOP=1 DATABASE
    """
    unusable = next((name for name in named.values() if not _ROLE.fullmatch(name)), None)
    if unusable is not None:
        raise ConfigError(f"{unusable!r}: must be a name of letters, digits, _ and -, at most 63 long")
    roles = [name for option, name in named.items() if option != "schema"]
    if len(set(roles)) < len(roles):
        raise ConfigError("each role needs a name of its own: what one may do, another must not")
    for statement in statements(Roles(**named)):
        click.echo(f"{statement};")


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
