"""Pricing again what was priced before: after a price of one's own was set, or a later catalogue came.

Calls that have no price, or one from the catalogue or from `reporter.yaml`, are priced anew; what came with its cost keeps it.
Where the price differs, the call is taken back from the tallies as it was and counted as it is now, in one transaction with
its row.  A counter that would fall is held by the push, as ever.  Reaches as far back as both the row and its minutes do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from reporter import state
from reporter.fold.price_list import list_prices
from reporter.fold.rows import Rows, store
from reporter.fold.slos import Progress, register_slos, unheard
from reporter.lease import Lease
from reporter.pricing import OWN, SOURCE, UNKNOWN, PriceList, Usage
from reporter.slo.spec import SLO
from reporter.store import Store
from reporter.tally import FOLDED, MINUTE_NS, Row, asked_several, tally

_CHUNK = 5_000
_AT = {name: place for place, name in enumerate(FOLDED)}


@dataclass(slots=True, kw_only=True)
class Repriced:
    """What changes for one provider's model."""

    calls: int = 0
    before_nanousd: int = 0
    after_nanousd: int = 0
    priced: int = 0  # calls that had no price and have one now
    unpriced: int = 0  # the other way round


def reprice(
    opened: Store,
    lease: Lease,
    slos: Sequence[SLO],
    prices: PriceList,
    *,
    since_ns: int,
    now_ns: int,
    most_errors: int,
    apply: bool,
    progress: Progress = unheard,
) -> dict[tuple[str, str], Repriced]:
    """What changes, by provider and model, for calls that ended since `since_ns`; `apply` makes it so.

    Raises:
        LeaseHeld: the lease ran out meanwhile; what was committed before stays repriced.
    """
    changed: dict[tuple[str, str], Repriced] = defaultdict(Repriced)
    counted = register_slos(opened, lease, slos, now_ns, progress) if apply else []
    for rows in _priced_calls(opened, since_ns):
        pairs = [(old, new) for old in rows if (new := _anew(old, prices)) != old]
        for old, new in pairs:
            _add(changed[old[_AT["provider"]] or "", old[_AT["model"]]], old, new)
        if not pairs or not apply:
            continue
        with opened.write() as connection:
            lease.renew(connection)
            store(connection, tally([old for old, _ in pairs], counted, sign=-1), most_errors)
            store(connection, tally([new for _, new in pairs], counted), most_errors)
            _write(connection, [new for _, new in pairs])
    if apply:
        list_prices(opened, lease, prices)
    return dict(sorted(changed.items()))


def _priced_calls(opened: Store, since_ns: int) -> Iterator[list[Row]]:
    """Counted calls of models whose price is ours to set, in chunks."""
    after = ""
    mark = "?" if opened.dialect == "sqlite" else "%s"
    with opened.read() as connection:
        since_ns = max(since_ns, state.get_integer(connection, "minutes_pruned_before") * MINUTE_NS)
    while True:
        with opened.read() as connection:
            cursor = Rows(connection).cursor
            cursor.execute(
                f"SELECT {', '.join(FOLDED)} FROM calls WHERE folded = 1 AND call_id > {mark} AND ended_at_ns >= {mark}"
                f" AND model IS NOT NULL AND (cost_source IS NULL OR cost_source IN ('{SOURCE}', '{OWN}'))"
                f" ORDER BY call_id LIMIT {_CHUNK}",
                (after, since_ns),
            )
            rows = [tuple(row) for row in cursor.fetchall()]
        if rows:
            yield rows
        if len(rows) < _CHUNK:
            return
        after = rows[-1][_AT["call_id"]]


def _anew(row: Row, prices: PriceList) -> Row:
    """The call with the price it has now."""
    call = dict(zip(FOLDED, row, strict=True))
    price = UNKNOWN
    if not asked_several(call["flags"] or ""):
        usage = Usage(*(call[name] for name in Usage._fields))
        price = prices.price(call["provider"], call["model"], call["ended_at_ns"], usage, call["price_class"])
    return tuple({**call, "cost_nanousd": price.nanousd, "cost_source": price.source}.values())


def _add(found: Repriced, old: Row, new: Row) -> None:
    before, after = old[_AT["cost_nanousd"]], new[_AT["cost_nanousd"]]
    found.calls += 1
    found.before_nanousd += before or 0
    found.after_nanousd += after or 0
    found.priced += before is None and after is not None
    found.unpriced += before is not None and after is None


def _write(connection: Connection, rows: Sequence[Row]) -> None:
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    Rows(connection).cursor.executemany(
        f"UPDATE calls SET cost_nanousd = {mark}, cost_source = {mark} WHERE folded = 1 AND call_id = {mark}",
        [(row[_AT["cost_nanousd"]], row[_AT["cost_source"]], row[_AT["call_id"]]) for row in rows],
    )
