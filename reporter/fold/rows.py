"""Sums into rows: what a chunk of calls adds is merged with what the tally tables have.

`merge` reads and adds up, `write` writes, so that the second, for which the jobs wait on SQLite, is short.

Rows are looked up and written by key, many at once: SQLite does that fastest a row at a time through one prepared statement,
Postgres in one statement over arrays.  Through the driver's own cursor: SQLAlchemy's statements cost more than SQLite's work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import add, itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection

from reporter import schema, state
from reporter.minutes import add_minutes, pack_minutes, pack_verdicts, take_minutes
from reporter.sketch import added, taken
from reporter.tally import (
    OTHER_ERROR,
    SKETCHES,
    SUMS,
    TOTAL_COUNTS,
    TOTAL_SUMS,
    Mark,
    Series,
    Tallies,
    Tally,
    Total,
    Verdicts,
    is_error,
)

_HOUR, _DAY = 60, 1440
IS_NAMED_ERROR = f"substr(status, 1, 6) = 'error_' AND status <> '{OTHER_ERROR}'"
"""SQL: a row of `totals` is of one kind of error."""
Key = tuple[Any, ...]


class Change(NamedTuple):
    """Rows of one table to write: `key`, then what `adds` to a row that is there, then what `replaces` its values."""

    table: str
    key: Sequence[str]
    adds: Sequence[str]
    replaces: Sequence[str]
    rows: Sequence[Key]


@dataclass(frozen=True, slots=True)
class Changes:
    """All that a chunk of calls, or an SLO counted again, changes."""

    tables: Sequence[Change]
    slo_sums: Sequence[tuple[int, int, int]] = ()  # good, bad, slo_id
    lost: int = 0


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

    def count_errors(self, series_ids: Sequence[int]) -> dict[int, int]:
        """How many kinds of errors have a row in `totals`, by series; without `error_other`."""
        if not series_ids:
            return {}
        self.cursor.execute(
            "SELECT series_id, count(*) FROM totals"
            f" WHERE series_id IN ({', '.join(map(str, series_ids))}) AND {IS_NAMED_ERROR} GROUP BY series_id"
        )
        return dict(self.cursor.fetchall())

    def put(self, change: Change) -> None:
        """Insert rows; where one is there, its `adds` are added to, the rest replaced."""
        table, key, adds, replaces, rows = change
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
        marks = sorted(marks, key=_call_id)  # as the rows lie
        if self.sqlite:
            self.cursor.executemany(
                "UPDATE calls SET folded = 1, cost_nanousd = ?, cost_source = ?, priced_model = ?"
                " WHERE folded = 0 AND call_id = ?",
                marks,
            )
        else:
            self.cursor.execute(
                "UPDATE calls SET folded = 1, cost_nanousd = m.cost, cost_source = m.source, priced_model = m.model"
                " FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) AS m (cost, source, model, call_id)"
                " WHERE folded = 0 AND calls.call_id = m.call_id",
                _columns(marks),
            )
        return int(self.cursor.rowcount)


_call_id = itemgetter(-1)


def _columns(rows: Sequence[Key]) -> list[Any]:
    """Each column as what psycopg sends as an array; of integers as their text, in a fifth of the time it takes itself."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return [_literal(column) if set(map(type, column)) <= _INTEGERS else column for column in columns]


def _literal(column: list[int | None]) -> str:
    return "{" + str(column)[1:-1].replace("None", "NULL") + "}"


_INTEGERS = {int, type(None)}


def merge(rows: Rows, tallies: Tallies, ids: Mapping[Series, int], most_errors: int) -> Changes:
    """What `tallies` make of the rows there are; `ids` by `find_series` or `name_series`.

    A series' first `most_errors` kinds of errors have totals of their own, what comes later is `error_other`.
    """
    of_slos = merge_verdicts(rows, tallies.verdicts, tallies.sign)
    tables = (
        _tallies(rows, tallies.hours, ids, tallies.sign),
        _minutes(rows, tallies.hours, ids, tallies.sign),
        _totals(rows, tallies.totals, ids, tallies.sign, most_errors),
        *of_slos.tables,
    )
    return Changes(tables, of_slos.slo_sums, tallies.lost if tallies.sign > 0 else 0)


def write(connection: Connection, changes: Changes) -> None:
    """Write what was merged; nobody may have written those tables since."""
    rows = Rows(connection)
    for change in changes.tables:
        rows.put(change)
    if changes.slo_sums:
        mark = "?" if rows.sqlite else "%s"
        rows.cursor.executemany(
            f"UPDATE slos SET good = good + {mark}, bad = bad + {mark} WHERE slo_id = {mark}", changes.slo_sums
        )
    if changes.lost:
        state.add(connection, "lost_calls_total", changes.lost)


def store(connection: Connection, tallies: Tallies, most_errors: int) -> None:
    """Add everything that `tallies` counted, within one transaction."""
    rows = Rows(connection)
    write(connection, merge(rows, tallies, name_series(rows, tallies.series), most_errors))


def find_series(rows: Rows, wanted: Sequence[Series]) -> dict[Series, int]:
    """The ids of those series that have one."""
    found = rows.find("series", Series._fields, ("series_id",), wanted)
    return {Series(*key): int(row[0]) for key, row in found.items()}


def name_series(rows: Rows, wanted: Sequence[Series]) -> dict[Series, int]:
    """The ids of all these series; new ones are given one."""
    found = find_series(rows, wanted)
    fresh = [series for series in wanted if series not in found]
    if fresh:
        marks = ", ".join(["?" if rows.sqlite else "%s"] * len(Series._fields))
        rows.cursor.executemany(
            f"INSERT INTO series ({', '.join(Series._fields)}) VALUES ({marks}) ON CONFLICT DO NOTHING", fresh
        )
        found |= find_series(rows, fresh)
    return found


def _tallies(rows: Rows, hours: Sequence[Tally], ids: Mapping[Series, int], sign: int) -> Change:
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
    return Change(
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


def _minutes(rows: Rows, hours: Sequence[Tally], ids: Mapping[Series, int], sign: int) -> Change:
    new: dict[Key, Tally] = {(tally.hour, ids[tally.series]): tally for tally in hours}
    stored = rows.find("tally_minutes", ("bucket", "series_id"), ("minutes",), list(new))
    packed = []
    for key, tally in new.items():
        if key in stored:
            merge = add_minutes if sign > 0 else take_minutes
            packed.append((*key, merge(stored[key][0], tally.columns)))
        elif sign > 0:  # else those minutes were pruned
            packed.append((*key, pack_minutes(tally.columns)))
    return Change("tally_minutes", ("bucket", "series_id"), (), ("minutes",), packed)


def _totals(rows: Rows, totals: Sequence[Total], ids: Mapping[Series, int], sign: int, most_errors: int) -> Change:
    key = ("series_id", "status")
    new = {(ids[total.series], total.status): total for total in totals}
    stored = rows.find("totals", key, TOTAL_COUNTS, list(new))
    other = _others(rows, [of for of in new if of not in stored and is_error(of[1])], new, most_errors)
    if other:
        for of in other:
            gathered = (of[0], OTHER_ERROR)
            new[gathered] = new[gathered].plus(new[of]) if gathered in new else new[of]
            del new[of]
        stored |= rows.find("totals", key, TOTAL_COUNTS, sorted({(of[0], OTHER_ERROR) for of in other}))
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
    return Change("totals", key, TOTAL_SUMS, TOTAL_COUNTS, merged)


def _others(rows: Rows, fresh: Sequence[Key], totals: Mapping[Key, Total], most: int) -> list[Key]:
    """Which of a series' kinds of errors that have no row yet get none: the rarer ones, where it has `most`."""
    named = rows.count_errors(sorted({series_id for series_id, _ in fresh}))
    other = []
    for of in sorted(fresh, key=lambda of: (-totals[of].sums[0], of)):
        if named.get(of[0], 0) >= most:
            other.append(of)
        else:
            named[of[0]] = named.get(of[0], 0) + 1
    return other


def merge_verdicts(rows: Rows, verdicts: Verdicts, sign: int = 1) -> Changes:
    """What good and bad counts make of the SLOs' tallies and counters."""
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
    sums: dict[int, list[int]] = {}
    for (resolution, _, slo_id), counts in tallies.items():
        if resolution == _DAY:
            total = sums.setdefault(slo_id, [0, 0])
            total[0] += counts[0]
            total[1] += counts[1]
    return Changes(
        (
            Change("slo_minutes", ("bucket", "slo_id"), (), ("minutes",), packed),
            Change(
                "slo_tallies",
                ("resolution", "bucket", "slo_id"),
                ("good", "bad"),
                (),
                [(*key, *counts) for key, counts in tallies.items()],
            ),
        ),
        [(good, bad, slo_id) for slo_id, (good, bad) in sums.items()],
    )
