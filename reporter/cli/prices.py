"""`reporter prices`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from reporter import cycle
from reporter.catalogue import UPDATE_URL, fetch, models_of, parse_catalogue
from reporter.cli.price_class import known_class
from reporter.cli.root import Context, since_option
from reporter.cli.terminal import console, fold_progress, shown
from reporter.errors import ConfigError
from reporter.filesystem import write_whole
from reporter.pricing import DAY_NS, OWN, PriceList, Usage
from reporter.report.words import NOTHING
from reporter.reprice import reprice as again

_SHORT, _LONG = 1_000, 1_000_000  # tokens: many models cost more beyond some length
_KINDS = {
    "input": lambda n: Usage(n, 0, 0, 0, 0),
    "read from a cache": lambda n: Usage(n, n, 0, 0, 0),
    "written to a cache": lambda n: Usage(n, 0, n, 0, 0),
    "written for an hour": lambda n: Usage(n, 0, n, n, 0),
    "output, reasoning too": lambda n: Usage(0, 0, 0, 0, n),
}


@click.group()
def prices() -> None:
    """Say where prices come from, and price calls again."""


@prices.command()
@click.argument("model")
@click.option("--provider", help="Whose model; the first that has it, if left out.")
@click.option("--price-class", help="batch, flex, priority …; standard if left out.")
@click.option("--on", "day", metavar="DAY", help="On this day, like 2026-11-01; today if left out.")
@click.pass_obj
def explain(context: Context, model: str, provider: str | None, price_class: str | None, day: str | None) -> None:
    """Say what calls to MODEL cost on a day, and who says so; exit 1 if nobody does.

    \b
    Examples:
      reporter prices explain gpt-4o
      reporter prices explain claude-sonnet-4-5 --provider anthropic --on 2026-06-01
      reporter prices explain gpt-5 --price-class flex
    """
    try:
        when = date.fromisoformat(day) if day else datetime.now(UTC).date()
    except ValueError:
        raise ConfigError(f"--on {day!r}: must be a day like 2026-11-01") from None
    at_ns = ((when - date(1970, 1, 1)).days * 86_400 + 43_200) * 10**9
    price_list = context.config.price_list
    price_class = known_class(price_list, price_class, "--price-class") or None if price_class else None

    def usd_per_mtok(usage: Callable[[int], Usage], tokens: int) -> float | None:
        price = price_list.price(provider, model, at_ns, usage(tokens), price_class).nanousd
        return None if price is None else price / tokens / 1000

    out = console()
    offer = price_list.offer(provider, model, at_ns // DAY_NS, price_class)
    if offer is None:
        _tell_of_no_price(out, price_list, model, provider, price_class, when)
        sys.exit(1)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"{model}, {price_class or 'standard'}, on {when}")
    table.add_column("USD a million tokens", justify="right")
    for kind, usage in _KINDS.items():
        price = usd_per_mtok(usage, _SHORT)
        if price is not None:
            table.add_row(kind, f"{price:,.4f}".rstrip("0").rstrip("."))
    out.print(table)
    long = usd_per_mtok(_KINDS["input"], _LONG)
    if long != usd_per_mtok(_KINDS["input"], _SHORT) and long is not None:
        out.print(f"Long requests cost more: {long:g} for input when there is a million of it.", soft_wrap=True)
    who = "reporter.yaml, under prices" if offer.source == OWN else "the catalogue of genai-prices"
    out.print(f"So says {who}.", soft_wrap=True)


def _tell_of_no_price(
    out: Console, prices: PriceList, model: str, provider: str | None, price_class: str | None, when: date
) -> None:
    known, close = prices.catalogue.sellers(model), prices.catalogue.similar(model)
    kind = f" as {price_class}" if price_class else ""
    whose = f" of {provider}'s" if provider else ""
    out.print(f"{model}: nobody names a price of it{whose}{kind} on {when}.", soft_wrap=True)
    if known and provider not in known:
        out.print(
            f"It is sold by {', '.join(known)}: say --provider, and provider= where calls are recorded.", soft_wrap=True
        )
    elif close and not known:
        out.print(f"There are {', '.join(close)}.", soft_wrap=True)
    out.print("Its calls are counted without a price; `prices:` in reporter.yaml gives it one.", soft_wrap=True)


@prices.command()
@click.option("--to", "file", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Where to write it.")
@click.option("--from", "url", default=UPDATE_URL, metavar="URL", help="A mirror; genai-prices' own if left out.")
@click.pass_obj
def update(context: Context, file: Path, url: str) -> None:
    """Fetch the latest catalogue of genai-prices, for `price_catalogue: FILE` in reporter.yaml.

    Nothing else ever fetches it: a job and a push use what is there. `reporter prices reprice` prices older calls by it.

    \b
    Example:
      reporter prices update --to prices.json
    """
    content = fetch(url)
    new = parse_catalogue(content, url)
    before, after = context.config.price_list.catalogue.models(), models_of(new)
    try:
        write_whole(file, content, replace=True)
    except OSError as error:
        raise ConfigError(f"--to {file}: can't be written: {error.strerror}") from None
    changed = sum(after[key] != before[key] for key in after.keys() & before.keys())
    click.echo(
        f"{file}: {len(after):,} models; {len(after.keys() - before.keys()):,} are new, {len(before.keys() - after.keys()):,}"
        f" gone, and {changed:,} cost something else than in what is in use"
    )
    in_use = context.config.price_catalogue
    if in_use is None or in_use.resolve() != file.resolve():
        click.echo(f"reporter: to use it, write into reporter.yaml: price_catalogue: {file}", err=True)


@prices.command()
@click.option(
    "--since", required=True, help="Calls that ended since a day like 2026-11-01, or within a length like 7d."
)
@click.option("--dry-run", is_flag=True, help="Show the difference and change nothing.")
@click.pass_obj
def reprice(context: Context, since: str, dry_run: bool) -> None:
    """Price calls again, with the prices there are now; --dry-run shows the difference first.

    What came with its cost keeps it. Counters at the gateway never fall: one that would is held until it is passed again.
    """
    now_ns = time.time_ns()
    since_ns = since_option(since, now_ns)
    config, store = context.config, context.looked_at
    with cycle.leased(store, config) as lease, fold_progress() as progress:
        cycle.catch_up(store, lease, config, progress)
        changed = again(
            store, lease, config.slos, config.price_list, since_ns=since_ns, now_ns=now_ns,
            most_errors=config.report.max_values_per_label, apply=not dry_run, progress=progress,
        )  # fmt: skip
    out = console()
    if not changed:
        out.print("Every call has the price it would get now.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("provider", "model"):
        table.add_column(name, overflow="fold")
    for name in ("calls", "USD before", "USD after", "newly priced", "no longer"):
        table.add_column(name, justify="right", no_wrap=True)
    for (provider, model), found in changed.items():
        table.add_row(
            shown(provider or NOTHING), shown(model), f"{found.calls:,}", _usd(found.before_nanousd, found.known_before),
            _usd(found.after_nanousd, found.known_after), f"{found.priced:,}", f"{found.unpriced:,}",
        )  # fmt: skip
    out.print(table)
    out.print("Nothing was changed; without --dry-run it is." if dry_run else "So it is now.")


def _usd(nanousd: int, priced_calls: int) -> str:
    """Dollars of calls of which so many have a price."""
    return f"{nanousd / 1e9:,.4f}" if priced_calls else "?"
