"""Pricing again what was priced before: after a price of one's own was set, or a later catalogue came.

Calls that have no price, or one from the catalogue, from `reporter.yaml` or because they were refused, are priced anew; what
came with its cost keeps it.
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
from reporter.pricing import OWN, REFUSED, SOURCE, PriceList
from reporter.slo.spec import SLO
from reporter.store import Store
from reporter.tally import FOLDED, MINUTE_NS, Mark, Row, price, tally

_CHUNK = 5_000
_AT = {name: place for place, name in enumerate(FOLDED)}
_CALL_ID, _COST, _SOURCE = (_AT[name] for name in ("call_id", "cost_nanousd", "cost_source"))


@dataclass(slots=True, kw_only=True)
class Repriced:
    """What changes for one provider's model."""

    calls: int = 0
    before_nanousd: int = 0  # of those that had a price
    after_nanousd: int = 0
    known_before: int = 0  # how many had a price
    known_after: int = 0
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
        before = {row[_CALL_ID]: row for row in rows}
        marks = [
            mark
            for mark in price([_with_price(row, None, None) for row in rows], prices)
            if _with_price(before[mark[-1]], *mark[:2]) != before[mark[-1]]
        ]
        pairs = [(before[mark[-1]], _with_price(before[mark[-1]], *mark[:2])) for mark in marks]
        for old, new in pairs:
            _add(changed[old[_AT["provider"]] or "", old[_AT["model"]]], old, new)
        if not pairs or not apply:
            continue
        with opened.write() as connection:
            lease.renew(connection)
            store(connection, tally([old for old, _ in pairs], counted, sign=-1), most_errors)
            store(connection, tally([new for _, new in pairs], counted), most_errors)
            _write(connection, marks)
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
                f" AND model IS NOT NULL AND (cost_source IS NULL OR cost_source IN ('{SOURCE}', '{OWN}', '{REFUSED}'))"
                f" ORDER BY call_id LIMIT {_CHUNK}",
                (after, since_ns),
            )
            rows = [tuple(row) for row in cursor.fetchall()]
        if rows:
            yield rows
        if len(rows) < _CHUNK:
            return
        after = rows[-1][_CALL_ID]


def _with_price(row: Row, nanousd: int | None, source: str | None) -> Row:
    """The call with another price."""
    priced = list(row)
    priced[_COST], priced[_SOURCE] = nanousd, source
    return tuple(priced)


def _add(found: Repriced, old: Row, new: Row) -> None:
    before, after = old[_COST], new[_COST]
    found.calls += 1
    found.before_nanousd += before or 0
    found.after_nanousd += after or 0
    found.known_before += before is not None
    found.known_after += after is not None
    found.priced += before is None and after is not None
    found.unpriced += before is not None and after is None


def _write(connection: Connection, marks: Sequence[Mark]) -> None:
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    Rows(connection).cursor.executemany(
        f"UPDATE calls SET cost_nanousd = {mark}, cost_source = {mark}, priced_model = {mark}"
        f" WHERE folded = 1 AND call_id = {mark}",
        marks,
    )
