"""What the same calls would have cost on another model, or in another price class: each raw call priced there, exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from reporter import state
from reporter.cost import BY, check_names
from reporter.pricing import DAY_NS, PriceList, Usage, is_counted

_CHUNK = 5_000
_USAGE = ", ".join(Usage._fields)


@dataclass(slots=True, kw_only=True)
class WhatIf:
    """Calls that have the same values of what was asked by; money of those that have a price on both sides."""

    values: dict[str, str]
    calls: int = 0
    unpriced_calls: int = 0  # on either side
    nanousd: int = 0
    on_nanousd: int = 0

    @property
    def difference_nanousd(self) -> int:
        """What the other model would cost more; below 0, less."""
        return self.on_nanousd - self.nanousd


def what_if(
    connection: Connection,
    prices: PriceList,
    by: Sequence[str],
    *,
    on: tuple[str | None, str | None, str | None],
    since_ns: int,
    until_ns: int,
    progress: Callable[[int], None] = lambda calls: None,
) -> tuple[list[WhatIf], int]:
    """What counted calls of models, ended in [since, until), cost and would cost on (provider, model, price class).

    A model that is None is the call's own, and its provider too; a class that is None as well, and "" is the list price.  Also
    returns from when on there are raw calls, in ns.

    Raises:
        ConfigError: a name in `by` is none of BY, or there twice.
    """
    check_names(by)
    since_ns = max(since_ns, state.get_integer(connection, "calls_pruned_before_ns"))
    found: dict[tuple[str, ...], WhatIf] = {}
    for row in _calls(connection, since_ns, until_ns, progress):
        values = {name: _value(row, name) for name in by}
        one = found.setdefault(tuple(values.values()), WhatIf(values=values))
        one.calls += 1
        other = _price(row, prices, on)
        if row.cost_nanousd is None or other is None:
            one.unpriced_calls += 1
        else:
            one.nanousd += row.cost_nanousd
            one.on_nanousd += other
    return sorted(found.values(), key=lambda one: (-abs(one.difference_nanousd), *one.values.values())), since_ns


def _calls(connection: Connection, since_ns: int, until_ns: int, progress: Callable[[int], None]) -> Iterator[Row[Any]]:
    rows = connection.execution_options(yield_per=_CHUNK).execute(
        text(
            "SELECT batch_job, operation, provider, model, response_model, ended_at_ns, price_class, usage_status, flags,"
            f" cost_nanousd, {_USAGE} FROM calls"
            " WHERE folded = 1 AND model IS NOT NULL AND ended_at_ns >= :since AND ended_at_ns < :until"
        ),
        {"since": since_ns, "until": until_ns},
    )
    for number, row in enumerate(rows, 1):
        yield row
        if number % _CHUNK == 0:
            progress(number)


def _price(row: Row[Any], prices: PriceList, on: tuple[str | None, str | None, str | None]) -> int | None:
    provider, model, price_class = on
    usage = Usage(*(getattr(row, name) for name in Usage._fields))
    if usage.input_tokens is None and usage.output_tokens is None:
        return 0 if row.cost_nanousd == 0 else None  # refused here, refused there
    if not is_counted(row.usage_status, row.flags):
        return None
    kind = row.price_class if price_class is None else price_class or None
    day = row.ended_at_ns // DAY_NS
    if model is None:
        offer = prices.offer(row.provider, row.model, day, kind, row.response_model)
    else:
        offer = prices.offer(provider, model, day, kind)
    return None if offer is None else offer.cost(row.ended_at_ns, usage)


def _value(row: Row[Any], name: str) -> str:
    if name == "day":
        return datetime.fromtimestamp(row.ended_at_ns // 10**9, UTC).date().isoformat()
    return getattr(row, BY[name]) or ""
