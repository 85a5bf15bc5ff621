"""The statements that write facts, the same for the recorder, for shipping and for ingest.

Each may be run twice: ids were made before the first attempt.  `mark` is the driver's placeholder, "?" or "%s"; parameters
are the values of `columns`, in their order.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def insert_statement(table: str, columns: Sequence[str], mark: str) -> str:
    """A plain insert; a fact that is known already is an IntegrityError."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"


def call_statement(mark: str, columns: Sequence[str]) -> str:
    """One more parameter: call_id.  Nothing when the call is known already; but a lost one gets its true end: here if it is
    not counted yet, else by the fold, which finds both."""
    selected = ", ".join(_typed("calls", name, mark) for name in columns)
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "call_id")
    return (
        f"INSERT INTO calls ({', '.join(columns)}) SELECT {selected}"
        f" WHERE NOT EXISTS (SELECT 1 FROM calls WHERE folded = 1 AND call_id = {mark} AND status <> 'lost')"
        f" ON CONFLICT (folded, call_id) DO UPDATE SET {updates}"
        " WHERE calls.status = 'lost' AND excluded.status <> 'lost'"
    )


def start_statement(mark: str, columns: Sequence[str]) -> str:
    """One more parameter: call_id.  Nothing when the call has ended already."""
    selected = ", ".join(_typed("starts", name, mark) for name in columns)
    return (
        f"INSERT INTO starts ({', '.join(columns)}) SELECT {selected}"
        f" WHERE NOT EXISTS (SELECT 1 FROM calls WHERE folded IN (0, 1) AND call_id = {mark}) ON CONFLICT DO NOTHING"
    )


def run_statement(mark: str, columns: Sequence[str]) -> str:
    """An end replaces a start or a run declared lost; a start replaces nothing."""
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "run_id")
    return (
        f"{insert_statement('runs', columns, mark)} ON CONFLICT (run_id) DO UPDATE SET {updates}"
        " WHERE runs.status IN ('running', 'lost') AND excluded.status NOT IN ('running', 'lost')"
    )


def trouble_statement(mark: str, columns: Sequence[str]) -> str:
    """A trouble that is known already changes nothing."""
    return f"{insert_statement('troubles', columns, mark)} ON CONFLICT (trouble_id) DO NOTHING"


def _typed(table: str, column: str, mark: str) -> str:
    """Postgres can't tell a bare parameter's type in a SELECT list."""
    if mark == "?":
        return mark
    from reporter.schema import INTEGER, TABLES

    kind = next(kind for name, kind, _ in TABLES[table][0] if name == column)
    return f"{mark}::{'bigint' if kind == INTEGER else 'text'}"
