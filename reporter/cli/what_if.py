"""`reporter cost --on`: what the same calls would have cost on another model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection, text

from reporter.cli.price_class import known_class
from reporter.cli.root import Context
from reporter.cli.rows import write
from reporter.cli.terminal import LONG, console, progress_bar, shown
from reporter.errors import ConfigError
from reporter.pricing import DAY_NS, PriceList
from reporter.report.json_form import moment, usd
from reporter.report.windows import round_up
from reporter.report.words import NOTHING
from reporter.tally import MINUTE_NS
from reporter.what_if import WhatIf, what_if

_COLUMNS = ("calls", "unpriced_calls", "cost_usd", "on_cost_usd", "difference_usd")


def tell_what_if(
    context: Context,
    by: Sequence[str],
    on: tuple[str | None, str | None, str | None],
    as_of_ns: int,
    length_ns: int,
    form: str,
) -> None:
    """Print what calls cost and would have cost on (provider, model, price class)."""
    prices = context.config.price_list
    until_ns = round_up(as_of_ns) * MINUTE_NS
    on = (on[0], on[1], None if on[2] is None else known_class(prices, on[2], "--on-class"))
    _check(prices, on, until_ns)
    with context.looked_at.read() as connection, progress_bar() as bar:
        total = _count(connection)
        task = bar.add_task("Pricing calls", total=total, visible=total >= LONG)
        found, since_ns = what_if(
            connection, prices, by, on=on, since_ns=until_ns - length_ns, until_ns=until_ns,
            progress=lambda calls: bar.update(task, completed=calls),
        )  # fmt: skip
    if since_ns > until_ns - length_ns:
        click.echo(
            f"reporter: raw calls from before {moment(since_ns)} are gone (retention.calls), and not in this", err=True
        )
    if form == "json":
        click.echo(json.dumps(_as_json(found, on, since_ns, until_ns), indent=2, allow_nan=False))
    elif form == "csv":
        write("csv", (*by, *_COLUMNS), [(*one.values.values(), *_numbers(one)) for one in found])
    else:
        _show(found, by, on)


def _check(prices: PriceList, on: tuple[str | None, str | None, str | None], at_ns: int) -> None:
    """See that the other model has a price at all."""
    provider, model, price_class = on
    if model is None or prices.offer(provider, model, at_ns // DAY_NS, price_class or None) is not None:
        return
    kind = f" as {price_class}" if price_class else ""
    whose = f" of {provider}'s" if provider else ""
    close = prices.catalogue.similar(model)
    hint = f"; there are {', '.join(close)}" if close else ""
    raise ConfigError(
        f"--on {model}: nobody names a price of it{whose}{kind}{hint}; `reporter prices explain {model}` tells more"
    )


def _count(connection: Connection) -> int:
    return int(
        connection.execute(text("SELECT count(*) FROM calls WHERE folded = 1 AND model IS NOT NULL")).scalar_one()
    )


def _numbers(one: WhatIf) -> tuple[Any, ...]:
    if one.calls == one.unpriced_calls:
        return one.calls, one.unpriced_calls, None, None, None
    return one.calls, one.unpriced_calls, usd(one.nanousd), usd(one.on_nanousd), usd(one.difference_nanousd)


def _as_json(
    found: Sequence[WhatIf], on: tuple[str | None, str | None, str | None], since_ns: int, until_ns: int
) -> dict[str, Any]:
    provider, model, price_class = on
    rows = [
        {
            **{name: value or None for name, value in one.values.items()},
            **dict(zip(_COLUMNS, _numbers(one), strict=True)),
        }
        for one in found
    ]
    return {
        "since": moment(since_ns), "until": moment(until_ns),
        "on": {"provider": provider, "model": model, "price_class": "standard" if price_class == "" else price_class},
        "total": {**dict(zip(_COLUMNS, _numbers(_total(found)), strict=True))},
        "rows": rows,
    }  # fmt: skip


def _total(found: Sequence[WhatIf]) -> WhatIf:
    total = WhatIf(values={})
    for one in found:
        total.calls += one.calls
        total.unpriced_calls += one.unpriced_calls
        total.nanousd += one.nanousd
        total.on_nanousd += one.on_nanousd
    return total


def _show(found: Sequence[WhatIf], by: Sequence[str], on: tuple[str | None, str | None, str | None]) -> None:
    out = console()
    if not found:
        out.print("No calls of models in this time; --since looks further back.", soft_wrap=True)
        return
    other = " ".join(part for part in (on[1] or "as", "standard" if on[2] == "" else on[2]) if part)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in by:
        table.add_column(name, overflow="fold")
    for name in ("calls", "USD", f"USD {other}", "difference", ""):
        table.add_column(shown(name), justify="right", no_wrap=True)
    for one in found:
        table.add_row(*(shown(value or NOTHING) for value in one.values.values()), *_cells(one))
    out.print(table)
    for sentence in _sentences(_total(found), other):
        out.print(sentence, soft_wrap=True)


def _cells(one: WhatIf) -> tuple[Text, ...]:
    calls = f"{one.calls:,}"
    if one.calls == one.unpriced_calls:
        return Text(calls), Text("?"), Text("?"), Text(NOTHING), Text(NOTHING)
    mark = "+" * bool(one.unpriced_calls)
    style = "red" if one.difference_nanousd > 0 else "green"
    return (
        Text(calls), Text(_money(one.nanousd) + mark), Text(_money(one.on_nanousd) + mark),
        Text(_signed(one.difference_nanousd), style=style), Text(_percent(one), style=style),
    )  # fmt: skip


def _money(nanousd: int) -> str:
    return f"{usd(nanousd):,.{2 if abs(nanousd) >= 10**9 or not nanousd else 4}f}"


def _signed(nanousd: int) -> str:
    return ("+" if nanousd > 0 else "−" if nanousd < 0 else "") + _money(abs(nanousd))


def _percent(one: WhatIf) -> str:
    if not one.nanousd:
        return NOTHING
    return f"{100 * one.difference_nanousd / one.nanousd:+,.0f} %".replace("-", "−")


def _sentences(total: WhatIf, other: str) -> Iterator[Text]:
    if total.calls > total.unpriced_calls:
        more = "more" if total.difference_nanousd > 0 else "less"
        yield Text.assemble(
            f"Together {_money(total.nanousd)} USD; {shown(other)} would have cost {_money(total.on_nanousd)},"
            f" {_money(abs(total.difference_nanousd))} {more}."
        )
    if total.unpriced_calls:
        yield Text(f"{total.unpriced_calls:,} calls have no price, here or there, and are in neither sum (+, ?).")
