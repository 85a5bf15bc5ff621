"""The root command: global options, and subcommands by name."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from pathlib import Path

import click

from reporter import __version__
from reporter.config import default_database, load_config, parse_config
from reporter.config.model import Config, database_url
from reporter.errors import ConfigError, SchemaError, StoreError
from reporter.filesystem import warning
from reporter.sinks.spool import sqlite_path
from reporter.slo.durations import parse_duration
from reporter.store import Store, open_store

COMMANDS = {
    "check": (
        "reporter.cli.check",
        "check",
        "Read the configuration, or generated files, strictly; every mistake with its line.",
    ),
    "db": ("reporter.cli.db", "db", "Create, migrate and check the database."),
    "demo": ("reporter.cli.demo", "demo", "See it work on real parts, in under a minute."),
    "doctor": ("reporter.cli.doctor", "doctor", "Look at everything that makes a setup fail; only reads."),
    "exclude": ("reporter.cli.exclude", "exclude", "Leave spans of time, such as maintenance, out of SLOs."),
    "exec": ("reporter.cli.exec_command", "exec_", "Run any command as one run of a batch job."),
    "explain": ("reporter.cli.explain", "explain", "Say why an SLO stands where it stands, or replay its alerts."),
    "export": ("reporter.cli.formats", "export", "Write the SLOs in another format: sloth, openslo."),
    "generate": (
        "reporter.cli.generate",
        "generate",
        "Write rules, routes and dashboards: Prometheus, Alertmanager, Grafana.",
    ),
    "import": (
        "reporter.cli.formats",
        "import_",
        "Take over what others have: sloth, openslo, healthchecks, cronitor.",
    ),
    "ingest": ("reporter.cli.ingest", "ingest", "Bring JSON Lines, or the spool, into the database."),
    "jobs": ("reporter.cli.jobs", "jobs", "Say how each batch job stands: last and next run, streak, what was missed."),
    "init": ("reporter.cli.init", "init", "Write a commented reporter.yaml to start from."),
    "prune": ("reporter.cli.prune", "prune", "Delete what is older than the retention says."),
    "purge": ("reporter.cli.purge", "purge", "Erase what calls and runs tell of a person; what they count stays."),
    "push": ("reporter.cli.push", "push", "Fold, report, and PUT the whole truth to the Pushgateway."),
    "cost": ("reporter.cli.cost", "cost", "Say what calls cost, by job, model, provider, operation or day."),
    "prices": ("reporter.cli.prices", "prices", "Say where prices come from, and price calls again."),
    "serve": ("reporter.cli.serve", "serve", "Push every minute, and be scraped, without cron."),
    "sql": ("reporter.cli.sql", "sql", "Ask the database a question in SQL; only reads."),
    "runs": ("reporter.cli.runs", "runs", "List runs of batch jobs: how long, how they ended, what they cost."),
    "html": ("reporter.cli.html", "html", "Draw it all as one page that needs nothing else."),
    "status": ("reporter.cli.status", "status", "Show at a glance how things stand; --watch keeps at it."),
    "report": ("reporter.cli.report", "report", "Show SLOs, calls and cost; sends nothing."),
}


class Context:
    """What subcommands share, opened when first asked for."""

    def __init__(
        self, config_path: Path | None, database: str | None, say: Callable[[str], None] | None = None
    ) -> None:
        self.config_path, self.database_option = config_path, database
        self.say = say or _say  # what is to be known besides the result

    def read_config(self) -> Config:
        """The settings, with the options that win over them; nothing is said."""
        return self._with_database(load_config(self.config_path))

    def defaults(self) -> Config:
        """The settings as if there were no file."""
        return self._with_database(parse_config(""))

    def _with_database(self, config: Config) -> Config:
        if not self.database_option:
            return config
        try:
            return config.model_copy(update={"database": database_url(self.database_option)})
        except ValueError as error:
            raise ConfigError(f"--database: {error}") from None

    @cached_property
    def config(self) -> Config:
        config = self.read_config()
        warnings = list(config.unsupported)
        if config.database.startswith("sqlite"):
            warnings.append(warning(Path(sqlite_path(config.database))))
        for sentence in filter(None, warnings):
            self.say(f"warning: {sentence}")
        return config

    @cached_property
    def looked_at(self) -> Store:
        """The store, for commands that bring nothing in: a mistyped path must not become directories and a database."""
        url = self.config.database
        directory = Path(url.partition(":///")[2].partition("?")[0]).parent
        if url.startswith("sqlite") and url != default_database() and not directory.exists():
            raise StoreError(f"{directory}: there is no such directory, so no database in it; is the path right?")
        return self.store

    @cached_property
    def store(self) -> Store:
        url = self.config.database
        try:
            return open_store(url)
        except SchemaError:
            if not url.startswith("sqlite"):
                raise  # migrating is an act of its own there: whoever reports need not own the tables
            from reporter import migrate  # Alembic costs more than a report

            migrated_from = migrate.upgrade_older(url)
            if migrated_from is None:
                raise
            self.say(f"migrated the database from {migrated_from}; a backup stands beside it")
            return open_store(url)


def _say(sentence: str) -> None:
    click.echo(f"reporter: {sentence}", err=True)


class Commands(click.Group):
    """Subcommands that are imported when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        found = getattr(import_module(module), name)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            ctx.fail(f"no command {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in sorted(COMMANDS)])


EPILOG = """\b
Start with:  reporter demo     see it work
             reporter init     your own reporter.yaml
             reporter report   what your jobs did so far

Exit codes: 0 done, 1 failed, 2 misuse or bad configuration, 75 try again later."""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="The reporter.yaml to read.")
@click.option("--database", metavar="URL", help="Wins over reporter.yaml and REPORTER_DATABASE_URL.")
@click.version_option(__version__, prog_name="reporter")
@click.pass_context
def root(ctx: click.Context, config: Path | None, database: str | None) -> None:
    """Exact SLOs, burn rates and cost for batch jobs that are too short-lived to be scraped."""
    ctx.obj = Context(config, database)


def moment_option(value: str | None, option: str = "--as-of") -> int:
    """An option like `--as-of` as ns: RFC 3339 with a zone, or now.

    Raises:
        ConfigError: it is neither.
    """
    if value is None:
        return time.time_ns()
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise ConfigError(f"{option} {value!r}: write a moment like 2026-11-01T02:00:00Z") from None
    if at.tzinfo is None:
        raise ConfigError(f"{option} {value!r}: has no zone; write {value}Z for UTC")
    if not _FIRST_MOMENT <= at < _LAST_MOMENT:
        raise ConfigError(f"{option} {value!r}: must be a moment from 1970 to 2261")
    return round(at.timestamp() * 1_000_000) * 1000


def since_option(value: str, until_ns: int) -> int:
    """An option `--since` as ns: a length before `until_ns`, a day (UTC), or a moment.

    Raises:
        ConfigError: it is none of these, or not before `until_ns`.
    """
    try:
        since_ns = until_ns - parse_duration(value)
    except ValueError:
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            raise ConfigError(f"--since {value!r}: write a length like 7d, or a day like 2026-11-01") from None
        since_ns = int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()) * 10**9
    if since_ns >= until_ns:
        raise ConfigError(f"--since {value!r}: must be before the moment that is asked about")
    return max(0, since_ns)


_FIRST_MOMENT, _LAST_MOMENT = datetime(1970, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)  # 64 bits of ns
