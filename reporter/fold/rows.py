"""Sums into rows: what a chunk of calls adds is merged with what the tally tables have.

Rows are looked up and written by key, many at once: SQLite does that fastest a row at a time through one prepared statement,
Postgres in one statement over arrays.  Through the driver's own cursor: SQLAlchemy's statements cost more than SQLite's work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import add
from typing import Any

from sqlalchemy import Connection

from reporter import schema, state
from reporter.minutes import add_minutes, pack_minutes, pack_verdicts, take_minutes
from reporter.sketch import added, taken
from reporter.tally import SKETCHES, SUMS, TOTAL_COUNTS, TOTAL_SUMS, Mark, Series, Tallies, Tally, Total, Verdicts

_HOUR, _DAY = 60, 1440
Key = tuple[Any, ...]


class Rows:
    """Tables read and written by key, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self.sqlite = connection.dialect.name == "sqlite"
        self.cursor: Any = connection.connection.cursor()

    def find(self, table: str, key: Sequence[str], wanted: Sequence[str], keys: Sequence[Key]) -> dict[Key, Key]:
        """The `wanted` columns of the rows there are, by their `key` columns."""
        if not keys:
            return {}
        if self.sqlite:
            statement = f"SELECT {', '.join(wanted)} FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in key)}"
            rows = ((values, self.cursor.execute(statement, values).fetchone()) for values in keys)
            return {values: row for values, row in rows if row is not None}
        names = ", ".join([*(f"t.{name}" for name in key), *(f"t.{name}" for name in wanted)])
        matches = " AND ".join(f"t.{name} = k.{name}" for name in key)
        self.cursor.execute(
            f"SELECT {names} FROM {self._arrays(table, key)} AS k ({', '.join(key)}) JOIN {table} t ON {matches}",
            _columns(keys),
        )
        return {row[: len(key)]: row[len(key) :] for row in self.cursor}

    def put(
        self, table: str, key: Sequence[str], adds: Sequence[str], replaces: Sequence[str], rows: Sequence[Key]
    ) -> None:
        """Insert `rows` (key, then `adds`, then `replaces`); where one is there, its `adds` are added, the rest replaced."""
        if not rows:
            return
        names = (*key, *adds, *replaces)
        updates = [f"{name} = {table}.{name} + excluded.{name}" for name in adds]
        updates += [f"{name} = excluded.{name}" for name in replaces]
        conflict = f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(updates)}"
        insert = f"INSERT INTO {table} ({', '.join(names)})"
        if self.sqlite:
            self.cursor.executemany(f"{insert} VALUES ({', '.join('?' * len(names))}) {conflict}", rows)
        else:
            self.cursor.execute(f"{insert} SELECT * FROM {self._arrays(table, names)} {conflict}", _columns(rows))

    def _arrays(self, table: str, names: Sequence[str]) -> str:
        types = {name: schema.type_name("postgresql", kind) for name, kind, _ in schema.TABLES[table][0]}
        return f"unnest({', '.join(f'%s::{types[name]}[]' for name in names)})"

    def mark(self, marks: Sequence[Mark]) -> int:
        """Write cost and mark onto calls that have no mark yet; how many there were."""
        if self.sqlite:
            self.cursor.executemany(
                "UPDATE calls SET folded = 1, cost_nanousd = ?, cost_source = ? WHERE folded = 0 AND call_id = ?",
                marks,
            )
        else:
            self.cursor.execute(
                "UPDATE calls SET folded = 1, cost_nanousd = m.cost, cost_source = m.source"
                " FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS m (cost, source, call_id)"
                " WHERE folded = 0 AND calls.call_id = m.call_id",
                _columns(marks),
            )
        return int(self.cursor.rowcount)


def _columns(rows: Sequence[Key]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def store(connection: Connection, tallies: Tallies) -> None:
    """Add everything that `tallies` counted."""
    rows = Rows(connection)
    hours = list(tallies.tallies())
    totals = list(tallies.totals())
    ids = _series_ids(rows, sorted({total.series for total in totals}))
    _add_tallies(rows, hours, ids, tallies.sign)
    _add_minutes(rows, hours, ids, tallies.sign)
    _add_totals(rows, totals, ids, tallies.sign)
    store_verdicts(connection, tallies.verdicts, tallies.sign)
    if tallies.lost and tallies.sign > 0:
        state.add(connection, "lost_calls_total", tallies.lost)


def _series_ids(rows: Rows, wanted: Sequence[Series]) -> dict[Series, int]:
    keys = [tuple(series) for series in wanted]
    found = rows.find("series", Series._fields, ("series_id",), keys)
    fresh = [key for key in keys if key not in found]
    if fresh:
        marks = ", ".join(["?" if rows.sqlite else "%s"] * len(Series._fields))
        rows.cursor.executemany(
            f"INSERT INTO series ({', '.join(Series._fields)}) VALUES ({marks}) ON CONFLICT DO NOTHING", fresh
        )
        found |= rows.find("series", Series._fields, ("series_id",), fresh)
    return {Series(*key): int(row[0]) for key, row in found.items()}


def _add_tallies(rows: Rows, hours: Sequence[Tally], ids: Mapping[Series, int], sign: int) -> None:
    merged: dict[Key, tuple[list[int], tuple[list[int], ...]]] = {}
    for tally in hours:
        sums, bins = merged[_HOUR, tally.hour, ids[tally.series]] = tally.sums, tally.bins
        day = (_DAY, tally.hour // _DAY * _DAY, ids[tally.series])
        if day not in merged:
            merged[day] = list(sums), tuple(list(of_kind) for of_kind in bins)
            continue
        day_sums, day_bins = merged[day]
        day_sums[:] = map(add, day_sums, sums)
        for mine, theirs in zip(day_bins, bins, strict=True):
            mine += theirs
    key = ("resolution", "bucket", "series_id")
    stored = rows.find("tallies", key, SKETCHES, list(merged))
    combine = added if sign > 0 else taken
    none = (None,) * len(SKETCHES)
    rows.put(
        "tallies",
        key,
        SUMS,
        SKETCHES,
        [
            (
                *of,
                *(sums if sign > 0 else [-number for number in sums]),
                *(combine(before, more) for before, more in zip(stored.get(of, none), bins, strict=True)),
            )
            for of, (sums, bins) in merged.items()
        ],
    )


def _add_minutes(rows: Rows, hours: Sequence[Tally], ids: Mapping[Series, int], sign: int) -> None:
    new: dict[Key, Tally] = {(tally.hour, ids[tally.series]): tally for tally in hours}
    stored = rows.find("tally_minutes", ("bucket", "series_id"), ("minutes",), list(new))
    packed = []
    for key, tally in new.items():
        if key in stored:
            merge = add_minutes if sign > 0 else take_minutes
            packed.append((*key, merge(stored[key][0], tally.columns)))
        elif sign > 0:  # else those minutes were pruned
            packed.append((*key, pack_minutes(tally.columns)))
    rows.put("tally_minutes", ("bucket", "series_id"), (), ("minutes",), packed)


def _add_totals(rows: Rows, totals: Sequence[Total], ids: Mapping[Series, int], sign: int) -> None:
    key = ("series_id", "status")
    new = {(ids[total.series], total.status): total for total in totals}
    stored = rows.find("totals", key, TOTAL_COUNTS, list(new))
    merged = []
    for of, total in new.items():
        counts = [[sign * count for count in more] for more in total.counts]
        if of in stored:
            counts = [
                [a + b for a, b in zip(json.loads(before), more, strict=True)]
                for before, more in zip(stored[of], counts, strict=True)
            ]
        merged.append(
            (*of, *(sign * number for number in total.sums), *(json.dumps(c, separators=(",", ":")) for c in counts))
        )
    rows.put("totals", key, TOTAL_SUMS, TOTAL_COUNTS, merged)


def store_verdicts(connection: Connection, verdicts: Verdicts, sign: int = 1) -> None:
    """Add good and bad counts to the SLOs' tallies and counters."""
    rows = Rows(connection)
    hours = [(slo_id, hour, good, bad) for slo_id, hour, good, bad in verdicts.hours()]
    stored = rows.find("slo_minutes", ("bucket", "slo_id"), ("minutes",), [(hour, slo) for slo, hour, _, _ in hours])
    tallies: dict[Key, list[int]] = {}
    packed = []
    for slo_id, hour, good, bad in hours:
        (before,) = stored.get((hour, slo_id), (None,))
        if before is not None or sign > 0:  # else those minutes were pruned
            packed.append((hour, slo_id, pack_verdicts(good, bad, before, sign)))
        both = sign * sum(good.values()), sign * sum(bad.values())
        for key in ((_HOUR, hour, slo_id), (_DAY, hour // _DAY * _DAY, slo_id)):
            counts = tallies.setdefault(key, [0, 0])
            counts[0] += both[0]
            counts[1] += both[1]
    rows.put("slo_minutes", ("bucket", "slo_id"), (), ("minutes",), packed)
    rows.put(
        "slo_tallies",
        ("resolution", "bucket", "slo_id"),
        ("good", "bad"),
        (),
        [(*key, *counts) for key, counts in tallies.items()],
    )
    sums: dict[int, list[int]] = {}
    for (resolution, _, slo_id), counts in tallies.items():
        if resolution == _DAY:
            total = sums.setdefault(slo_id, [0, 0])
            total[0] += counts[0]
            total[1] += counts[1]
    if sums:
        mark = "?" if rows.sqlite else "%s"
        rows.cursor.executemany(
            f"UPDATE slos SET good = good + {mark}, bad = bad + {mark} WHERE slo_id = {mark}",
            [(good, bad, slo_id) for slo_id, (good, bad) in sums.items()],
        )
