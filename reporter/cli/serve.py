"""`reporter serve`."""

from __future__ import annotations

import logging
import os
import sys
import time

import click

from reporter import cycle
from reporter.catalogue import UPDATE_URL
from reporter.cli.root import Context
from reporter.config.model import Config
from reporter.errors import ConfigError, ReporterError
from reporter.serve.log import Format, log_to_stderr, tell
from reporter.serve.pages import Pages, parse_address
from reporter.serve.service import Service
from reporter.serve.standing import Standing
from reporter.serve.turns import SECOND_NS, Turns
from reporter.slo.durations import format_duration, parse_duration


@click.command()
@click.option("--listen", metavar="[HOST:]PORT", help="Show /metrics, /healthz and /readyz here; nowhere if left out.")
@click.option("--no-push", is_flag=True, help="Only be scraped; send nothing to a Pushgateway.")
@click.option("--every", default="1m", show_default=True, metavar="LENGTH", help="How often.")
@click.option(
    "--update-prices", is_flag=False, flag_value=UPDATE_URL, metavar="[URL]",
    help="Fetch genai-prices' catalogue into price_catalogue once a day; from a mirror, if one is named.",
)  # fmt: skip
@click.option("--grace", default="25s", show_default=True, metavar="LENGTH", help="What stopping takes at most.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def serve(
    context: Context,
    listen: str | None,
    no_push: bool,
    every: str,
    update_prices: str | None,
    grace: str,
    log_format: Format,
) -> None:
    """Fold, prune, report and push every minute until told to stop, instead of by cron.

    A second one on the same database stands by and takes over.  SIGTERM or Ctrl-C ends it after the turn at work, a
    second one at once; SIGHUP reads reporter.yaml again.

    \b
    Examples:
      reporter serve
      reporter serve --listen 9464 --no-push
      reporter serve --listen 0.0.0.0:9464 --log-format json
    """
    log_to_stderr(log_format)
    if log_format == "json":
        context.say = _log
    try:
        service = _service(context, listen, not no_push, every, update_prices, grace)
        ended_well = service.run()
    except ReporterError as error:
        if log_format == "text":
            raise
        tell(logging.CRITICAL, "failed", str(error))
        sys.exit(error.exit_code)
    sys.stderr.flush()
    os._exit(0 if ended_well else 1)  # threads that fetch, or are left behind, would keep the process


def _service(
    context: Context, listen: str | None, pushes: bool, every: str, update_prices: str | None, grace: str
) -> Service:
    every_ns, grace_ns = _length("--every", every), _length("--grace", grace)
    if every_ns < SECOND_NS or every_ns % SECOND_NS:
        raise ConfigError(f"--every {every}: must be whole seconds, at least 1s")
    if not pushes and listen is None:
        raise ConfigError("--no-push: then nobody hears of anything; say --listen PORT to be scraped")
    config = context.config
    if update_prices and config.price_catalogue is None:
        raise ConfigError("--update-prices: write price_catalogue: FILE into reporter.yaml, which is where it goes")
    address = None if listen is None else parse_address(listen)
    gateway = cycle.gateway_of(config) if pushes else None  # a secret that can't be read is told at once
    store = context.looked_at
    standing = Standing(every_seconds=every_ns / SECOND_NS, since=time.monotonic())
    turns = Turns(
        store=store, config=config, read_config=lambda: _read_again(context), standing=standing,
        every_ns=every_ns, pushes=pushes, shows=listen is not None, fetches_prices=update_prices is not None,
    )  # fmt: skip
    pages = None if address is None else Pages(address, standing)
    tell(logging.INFO, "serving", _plan(store.url, every_ns, gateway.group.address if gateway else None, update_prices))
    return Service(turns=turns, pages=pages, prices_url=update_prices, grace_seconds=grace_ns / SECOND_NS)


def _plan(database: str, every_ns: int, gateway: str | None, prices: str | None) -> str:
    """What will be done from here on, and what will not."""
    pushed = f"push to {gateway}" if gateway else "push nothing"
    priced = f"fetch prices from {prices} every day" if prices else "prices stay as they are"
    return (
        f"{database}: every {format_duration(every_ns)} bring in the spool, fold, look for missed and lost runs, prune,"
        f" report, {pushed}; {priced}"
    )


def _log(sentence: str) -> None:
    is_warning = sentence.startswith("warning: ")
    tell(logging.WARNING if is_warning else logging.INFO, "note", sentence.removeprefix("warning: "))


def _read_again(context: Context) -> Config:
    return Context(context.config_path, context.database_option, context.say).config


def _length(option: str, text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None
