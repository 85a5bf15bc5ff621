"""`reporter cost`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from reporter.cli.folded import fold_first
from reporter.cli.root import Context, moment_option, since_option
from reporter.cli.rows import FORMATS, write
from reporter.cli.terminal import console, shown
from reporter.cli.what_if import tell_what_if
from reporter.cost import BY, CostRow, Costs, read_costs
from reporter.errors import ConfigError
from reporter.report.json_form import moment
from reporter.report.words import NOTHING

_WIDE = 110
_NARROW_BAR, _WIDE_BAR = 5, 12
_MOST_NAME = 26


@click.command()
@click.option(
    "--by", default="job,model", show_default=True, help=f"What to ask by: {', '.join(BY)}; with commas between."
)
@click.option(
    "--since", default="7d", show_default=True, help="How far back: a length like 30d, or a day like 2026-11-01."
)
@click.option("--as-of", metavar="MOMENT", help="Ask as of this past minute (RFC 3339); now if left out.")
@click.option("--on", metavar="MODEL", help="What the same calls would have cost on another model.")
@click.option("--on-provider", metavar="NAME", help="Who sells that model; the first that has it, if left out.")
@click.option(
    "--on-class",
    metavar="CLASS",
    help="In another price class, like batch or standard; each call's own, if left out. Without --on, of the same models.",
)
@click.option("--compare", is_flag=True, help="Latency, speed, errors and tokens per dollar beside the cost.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--no-fold", is_flag=True, help="Show what is folded already.")
@click.pass_obj
def cost(
    context: Context,
    by: str,
    since: str,
    as_of: str | None,
    on: str | None,
    on_provider: str | None,
    on_class: str | None,
    compare: bool,
    form: str,
    no_fold: bool,
) -> None:
    """Say what calls cost, and each one's share.  Folds new rows first.

    A total that misses calls without a price says so: + marks it, ? means that none of them has one.

    \b
    Examples:
      reporter cost
      reporter cost --by day --since 30d
      reporter cost --by provider,model --compare
      reporter cost --by job --since 2026-11-01 --format csv
      reporter cost --on gpt-4o-mini --since 7d
      reporter cost --on-class batch --by job
    """
    as_of_ns = moment_option(as_of)
    names = [name.strip() for name in by.split(",") if name.strip()]
    length_ns = as_of_ns - since_option(since, as_of_ns)
    fold_first(context, no_fold)
    if on_provider is not None and on is None:
        raise ConfigError(f"--on-provider {on_provider}: whose model? --on names it")
    if on is not None or on_class is not None:
        tell_what_if(context, names, (on_provider, on, on_class), as_of_ns, length_ns, form)
        return
    with context.looked_at.read() as connection:
        costs = read_costs(connection, names, as_of_ns=as_of_ns, length_ns=length_ns)
    if costs.is_cut:
        click.echo(
            f"reporter: only from {moment(costs.since_ns)} to {moment(costs.until_ns)}: for the rest tallies were pruned"
            " (retention), and it can't be told exactly",
            err=True,
        )
    if form == "json":
        click.echo(json.dumps(_as_json(costs), indent=2, allow_nan=False))
    elif form == "csv":
        write("csv", (*names, *_COLUMNS), _rows(costs))
    else:
        _show(costs, names, compare)


_COLUMNS = (
    "calls", "errors", "input_tokens", "output_tokens", "cost_usd", "share", "unpriced_calls", "duration_p50_seconds",
    "duration_p95_seconds", "ttft_p50_seconds", "tokens_per_second_p50", "output_tokens_per_usd",
)  # fmt: skip


def _rows(costs: Costs) -> Iterator[tuple[Any, ...]]:
    for row in costs.rows:
        window = row.window
        yield (
            *row.values.values(), window.calls, window.errors, window.input_tokens, window.output_tokens, row.cost_usd,
            _share(row, costs), window.unpriced_calls, window.duration_seconds.p50, window.duration_seconds.p95,
            window.ttft_seconds.p50, window.tokens_per_second.p50, _tokens_per_usd(row),
        )  # fmt: skip


def _as_json(costs: Costs) -> dict[str, Any]:
    rows = []
    for row, told in zip(costs.rows, _rows(costs), strict=True):
        asked_by = {name: value or None for name, value in row.values.items()}
        rows.append({**asked_by, **dict(zip(_COLUMNS, told[len(asked_by) :], strict=True))})
    total = {
        "calls": costs.calls, "cost_usd": costs.cost_usd, "unpriced_calls": costs.unpriced_calls,
        "partial": costs.unpriced_calls > 0 or costs.is_cut,
    }  # fmt: skip
    return {"since": moment(costs.since_ns), "until": moment(costs.until_ns), "total": total, "rows": rows}


def _share(row: CostRow, costs: Costs) -> float | None:
    return row.window.cost_nanousd / costs.nanousd if costs.nanousd and row.cost_usd is not None else None


def _tokens_per_usd(row: CostRow) -> float | None:
    """Undefined where a part of the cost is."""
    window = row.window
    return window.output_tokens / (window.cost_nanousd / 1e9) if window.cost_nanousd and not row.partial else None


def _show(costs: Costs, names: list[str], compare: bool) -> None:
    out = console()
    if not costs.rows:
        out.print("No calls that cost anything in this time; --since looks further back.", soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    wide = out.width >= _WIDE
    for name in names:
        longest = max(len(row.values[name]) for row in costs.rows)
        table.add_column(name, overflow="fold", min_width=min(longest, _MOST_NAME if wide or len(names) < 2 else 12))
    for name in _numbers(compare, wide):
        table.add_column(name, justify="right", no_wrap=True)
    shares = wide or not compare
    if shares:
        table.add_column("share", no_wrap=True)
    for row in costs.rows:
        numbers = _shown_numbers(row)
        table.add_row(
            *(shown(value or NOTHING) for value in row.values.values()),
            *(numbers[name] for name in _numbers(compare, wide)),
            *([_bar(_share(row, costs), wide)] if shares else []),
        )
    out.print(table)
    missing = f"; {costs.unpriced_calls:,} calls have no price (+, ?) and are not in it" if costs.unpriced_calls else ""
    out.print(f"Together {money(costs.cost_usd, False)} USD for {costs.calls:,} calls{missing}.", soft_wrap=True)


def _numbers(compare: bool, wide: bool) -> tuple[str, ...]:
    """Which columns a table has."""
    if not compare:
        return ("calls", "tokens in", "tokens out", "USD")
    return (*(("calls", "p50", "p95") if wide else ("p50",)), "TTFT", "tok/s", "bad", "tok/USD", "USD")


def _shown_numbers(row: CostRow) -> dict[str, str]:
    window = row.window
    per_usd = _tokens_per_usd(row)
    return {
        "calls": f"{window.calls:,}",
        "tokens in": f"{window.input_tokens:,}",
        "tokens out": f"{window.output_tokens:,}",
        "p50": _number(window.duration_seconds.p50, " s"),
        "p95": _number(window.duration_seconds.p95, " s"),
        "TTFT": _number(window.ttft_seconds.p50, " s"),
        "tok/s": _number(window.tokens_per_second.p50, ""),
        "bad": f"{100 * window.errors / window.calls:.1f} %",
        "tok/USD": NOTHING if per_usd is None else f"{per_usd:,.0f}",
        "USD": money(row.cost_usd, row.partial),
    }


def _number(value: float | None, unit: str) -> str:
    return NOTHING if value is None else f"{value:.3g}{unit}"


def money(usd: float | None, partial: bool) -> str:
    """Dollars: `+` misses calls without a price, `?` means that there is none."""
    if usd is None:
        return "?"
    return f"{usd:,.{2 if usd >= 1 or usd == 0 else 4}f}" + "+" * partial


def _bar(share: float | None, wide: bool) -> Text:
    if share is None:
        return Text(NOTHING)
    whole = _WIDE_BAR if wide else _NARROW_BAR
    cells = max(round(share * whole), 1 if share > 0 else 0)
    return Text.assemble(("█" * cells, "cyan"), ("░" * (whole - cells), "dim"), f" {100 * share:.1f} %")
