"""Erasing what calls and runs tell of a person, and nothing of what they count.

Attributes are where people are named, so whole attributes go, with `trace_id` and the tail of a run's output, which lead to
them.  The rows stay: a call that was deleted could be brought in again and count twice, and an SLO that changes is counted
again from its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, bindparam, text

from reporter.lease import Lease
from reporter.store import Store

BATCH = 5_000
MARK = "purged"
"""The flag of a call whose attributes were erased."""

_ERASE_CALLS = text(
    f"UPDATE calls SET attributes = NULL, trace_id = NULL,"
    f" flags = CASE WHEN flags IS NULL THEN '{MARK}' ELSE flags || ',{MARK}' END WHERE call_id IN :ids"
).bindparams(bindparam("ids", expanding=True))
_ERASE_RUNS = text("UPDATE runs SET attributes = NULL, output_tail = NULL WHERE run_id IN :ids").bindparams(
    bindparam("ids", expanding=True)
)


@dataclass(frozen=True, slots=True)
class Named:
    """The calls and runs whose attributes name somebody, by id."""

    calls: tuple[str, ...]
    runs: tuple[str, ...]


def find(connection: Connection, where: Sequence[tuple[str, str]]) -> Named:
    """Runs with all of these attributes, as (name, value), and calls with them or within such a run."""
    values = {f"{kind}{number}": one for number, pair in enumerate(where) for kind, one in zip("nv", pair, strict=True)}
    runs = _ids(connection, f"SELECT run_id FROM runs WHERE {_has(connection, 'runs', len(where))}", values)
    query = f"SELECT call_id FROM calls WHERE attributes IS NOT NULL AND ({_has(connection, 'calls', len(where))})"
    calls = dict.fromkeys(_ids(connection, query, values))
    of_runs = text(
        "SELECT call_id FROM calls WHERE run_id IN :ids AND (attributes IS NOT NULL OR trace_id IS NOT NULL)"
    )
    for first in range(0, len(runs), BATCH):
        some = {"ids": list(runs[first : first + BATCH])}
        found = connection.execute(of_runs.bindparams(bindparam("ids", expanding=True)), some)
        calls.update(dict.fromkeys(str(row[0]) for row in found))
    return Named(tuple(calls), runs)


def _ids(connection: Connection, query: str, values: dict[str, str]) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in connection.execute(text(query), values))


def _has(connection: Connection, table: str, pairs: int) -> str:
    """Whether a row has so many attributes of given values; numbers and truth values as JSON writes them."""
    if connection.dialect.name == "sqlite":
        members = f"json_each({table}.attributes) AS member"
        value = "CASE member.type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(member.value AS TEXT) END"
    else:
        members, value = f"json_each_text({table}.attributes::json) AS member", "member.value"
    return " AND ".join(
        f"EXISTS (SELECT 1 FROM {members} WHERE member.key = :n{number} AND {value} = :v{number})"
        for number in range(pairs)
    )


def erase(store: Store, lease: Lease, named: Named, progress: Callable[[int], None] = lambda rows: None) -> None:
    """Erase what they tell, in small transactions, each under the lease."""
    for statement, ids in ((_ERASE_CALLS, named.calls), (_ERASE_RUNS, named.runs)):
        for first in range(0, len(ids), BATCH):
            some = list(ids[first : first + BATCH])
            with store.write() as connection:
                lease.renew(connection)
                connection.execute(statement, {"ids": some})
            progress(len(some))


def rewrite(store: Store) -> bool:
    """Write a SQLite file anew, so that nothing erased is left in its free space or its log; whether the log is empty.

    Raises:
        StoreError: there is no room for a second copy, or somebody held the file too long.
    """
    with store.unbound() as connection:
        connection.exec_driver_sql("VACUUM")
        busy, _, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    return not busy


def mentions(directory: Path, values: Sequence[str]) -> list[Path]:
    """Files of a spool that still have one of these texts: of jobs at work, or lines that could not be read."""
    wanted = [value.encode() for value in values]
    found = []
    for path in sorted(directory.glob("*.jsonl*")):
        try:
            content = path.read_bytes()
        except OSError:
            continue  # it has been brought in meanwhile
        if any(value in content for value in wanted):
            found.append(path)
    return found
