"""The rates of what was called, kept beside the calls, so that questions in SQL can put prices to tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, text

from reporter import state
from reporter.fold.rows import Rows
from reporter.lease import Lease
from reporter.pricing import DAY_NS, Asked, PriceList
from reporter.schema import columns
from reporter.store import Store

_DIGEST = "price_list"
"""Under which name `state` has what the table was made from."""
_NAMES = columns("prices")


def list_prices(opened: Store, lease: Lease, prices: PriceList) -> None:
    """List the rates of what was priced since, also in the standard and the batch class; all anew after prices changed."""
    wanted = {
        Asked(asked.provider, asked.model, kind) for asked in prices.asked for kind in (asked.price_class, "", "batch")
    }
    with opened.read() as connection:
        known = _known(connection)
        is_current = state.get(connection, _DIGEST) == prices.digest
    rows = [tuple(row) for row in _rows(prices, wanted - known if is_current else wanted | known)]
    if is_current and not rows:  # nobody names rates of what is missing
        return
    with opened.write() as connection:
        lease.renew(connection)
        if not is_current:
            connection.execute(text("DELETE FROM prices"))
            state.put(connection, _DIGEST, prices.digest)
        _insert(connection, rows)


def _known(connection: Connection) -> set[Asked]:
    rows = connection.execute(text("SELECT DISTINCT provider, model, price_class FROM prices"))
    return {Asked(row.provider, row.model, row.price_class) for row in rows}


def _rows(prices: PriceList, missing: Iterable[Asked]) -> Iterator[list[Any]]:
    for asked in sorted(missing):
        for listed in prices.listed(asked):
            until_ns = None if listed.until_day is None else listed.until_day * DAY_NS
            yield [*asked, listed.since_day * DAY_NS, until_ns, *listed.tier, listed.source]


def _insert(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        marks = ", ".join(["?" if connection.dialect.name == "sqlite" else "%s"] * len(_NAMES))
        Rows(connection).cursor.executemany(
            f"INSERT INTO prices ({', '.join(_NAMES)}) VALUES ({marks}) ON CONFLICT DO NOTHING", rows
        )
