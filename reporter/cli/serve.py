"""`reporter serve`."""

from __future__ import annotations

import os
import sys
import time

import click

from reporter import cycle
from reporter.catalogue import UPDATE_URL
from reporter.cli.root import Context
from reporter.config.model import Config
from reporter.errors import ConfigError
from reporter.serve.log import Format, log_to_stderr
from reporter.serve.pages import Pages, parse_address
from reporter.serve.service import Service
from reporter.serve.standing import Standing
from reporter.serve.turns import SECOND_NS, Turns
from reporter.slo.durations import parse_duration


@click.command()
@click.option("--listen", metavar="[HOST:]PORT", help="Show /metrics, /healthz and /readyz here; nowhere if left out.")
@click.option("--no-push", is_flag=True, help="Only be scraped; send nothing to a Pushgateway.")
@click.option("--every", default="1m", show_default=True, metavar="LENGTH", help="How often.")
@click.option(
    "--update-prices", is_flag=False, flag_value=UPDATE_URL, metavar="[URL]",
    help="Fetch genai-prices' catalogue into price_catalogue once a day; from a mirror, if one is named.",
)  # fmt: skip
@click.option(
    "--grace", default="25s", show_default=True, metavar="LENGTH", help="What a turn may take to end on SIGTERM."
)
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

    A second one on the same database stands by and takes over.  SIGTERM or Ctrl-C ends it after the turn at work; SIGHUP
    reads reporter.yaml again.

    \b
    Examples:
      reporter serve
      reporter serve --listen 9464 --no-push
      reporter serve --listen 0.0.0.0:9464 --log-format json
    """
    every_ns, grace_ns = _length("--every", every), _length("--grace", grace)
    if every_ns < SECOND_NS or every_ns % SECOND_NS:
        raise ConfigError(f"--every {every}: must be whole seconds, at least 1s")
    if no_push and listen is None:
        raise ConfigError("--no-push: then nobody hears of anything; say --listen PORT to be scraped")
    if update_prices and context.config.price_catalogue is None:
        raise ConfigError("--update-prices: write price_catalogue: FILE into reporter.yaml, which is where it goes")
    if not no_push:
        cycle.gateway_of(context.config)  # a secret that can't be read is told at once
    log_to_stderr(log_format)
    standing = Standing(every_seconds=every_ns / SECOND_NS, since=time.monotonic())
    pages = None if listen is None else Pages(parse_address(listen), standing)
    turns = Turns(
        store=context.looked_at, config=context.config, read_config=lambda: _read_again(context), standing=standing,
        every_ns=every_ns, pushes=not no_push, shows=listen is not None,
    )  # fmt: skip
    service = Service(turns=turns, pages=pages, prices_url=update_prices, grace_seconds=grace_ns / SECOND_NS)
    if not service.run():
        sys.stderr.flush()
        os._exit(1)  # its thread would keep the process


def _read_again(context: Context) -> Config:
    return Context(context.config_path, context.database_option).config


def _length(option: str, text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None
