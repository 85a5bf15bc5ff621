"""`reporter sql`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import click
from sqlalchemy import text

from reporter import query as asking
from reporter.cli.root import Context
from reporter.cli.rows import FORMATS, write
from reporter.errors import ConfigError, StoreError
from reporter.slo.durations import parse_duration
from reporter.store import Store, open_store
from reporter.views import VIEWS

MOST_ROWS = 10_000
MOST_BYTES = 64 << 20
_GRACE_SECONDS = 5.0  # that the database has to keep to the limit itself
_TABLES = ("calls", "runs", "starts", "troubles")  # facts; the rest are the reporter's sums


@click.command()
@click.argument("question", required=False)
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--schema", is_flag=True, help="List views and tables with their columns, and ask nothing.")
@click.option("--limit", type=click.IntRange(1), default=MOST_ROWS, show_default=True, help="At most so many rows.")
@click.option("--timeout", default="30s", show_default=True, help="How long the query may take.")
@click.option("--no-pager", is_flag=True, help="Print long tables instead of paging them.")
@click.pass_obj
def sql(
    context: Context, question: str | None, form: str, schema: bool, limit: int, timeout: str, no_pager: bool
) -> None:
    """Ask the database a QUESTION in SQL, or the one on stdin; one that would write is refused.

    The views, v_calls and so on, have the same columns on SQLite and Postgres: UTC times, seconds, USD.

    \b
    Examples:
      reporter sql --schema
      reporter sql 'SELECT * FROM v_cost_by_model ORDER BY cost_usd DESC'
      reporter sql --format csv < question.sql > answer.csv
    """
    try:
        seconds = parse_duration(timeout) / 1e9
    except ValueError as error:
        raise ConfigError(f"--timeout: {error}") from None
    watchdog = asking.Watchdog(seconds + _GRACE_SECONDS)
    with watchdog.watching():  # whoever asks need not own it
        store = open_store(context.config.database, must_exist=True, check_version=False)
    if schema:
        write(form, ("view or table", "columns"), _schema(store), paged=not no_pager)
        return
    if question is None:
        if sys.stdin.isatty():
            raise ConfigError("sql: no question; give one in quotes or on stdin, --schema lists what there is")
        question = sys.stdin.read()
    cut = ""

    def within_limits(rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        nonlocal cut
        size = 0
        for number, row in enumerate(rows):
            size += sum(len(value) for value in row if isinstance(value, str | bytes))
            if number == limit:
                cut = f"only the first {limit} rows; --limit allows more"
            elif size > MOST_BYTES:
                cut = f"only the first {number} rows, because more than {MOST_BYTES >> 20} MB came; ask for less"
            if cut:
                return
            yield row

    with ExitStack() as asked:
        with watchdog.watching():
            answer = asked.enter_context(asking.ask(store, question, seconds=seconds))
        write(form, answer.columns, within_limits(watchdog.over(answer.rows)), paged=not no_pager)
    if cut:
        click.echo(f"reporter: {cut}", err=True)
    with watchdog.watching():
        _tell_of_unfolded(store)


def _schema(store: Store) -> Iterator[tuple[str, str]]:
    for name in (*VIEWS, *_TABLES):
        try:
            with store.read() as connection:
                yield name, ", ".join(connection.execute(text(f"SELECT * FROM {name} LIMIT 0")).keys())
        except StoreError:  # a role that may not read it
            continue


def _tell_of_unfolded(store: Store) -> None:
    """Calls get their price when they are folded."""
    question = "SELECT count(*) FROM (SELECT 1 FROM calls WHERE folded = 0 AND model IS NOT NULL LIMIT 1000) AS waiting"
    try:
        with store.read() as connection:
            waiting = connection.execute(text(question)).scalar_one()
    except StoreError:  # a role that may read the views alone
        return
    if waiting:
        many = "1000 or more" if waiting == 1000 else str(waiting)
        click.echo(
            f"reporter: calls that have no price yet, because no report or push has folded them: {many}", err=True
        )
