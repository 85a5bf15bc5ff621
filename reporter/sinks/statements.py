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
    """No row is changed when the call is known already: see `correction_statement`."""
    return f"{insert_statement('calls', columns, mark)} ON CONFLICT (call_id) DO NOTHING"


def correction_statement(mark: str, columns: Sequence[str]) -> str:
    """One more parameter: call_id.  The true end of a call that had been declared lost; nothing otherwise."""
    selected = ", ".join(_typed("calls", name, mark) for name in columns)
    return (
        f"INSERT INTO corrections ({', '.join(columns)}) SELECT {selected}"
        f" WHERE EXISTS (SELECT 1 FROM calls WHERE call_id = {mark} AND status = 'lost') ON CONFLICT DO NOTHING"
    )


def start_statement(mark: str, columns: Sequence[str]) -> str:
    """One more parameter: call_id.  Nothing when the call has ended already."""
    selected = ", ".join(_typed("starts", name, mark) for name in columns)
    return (
        f"INSERT INTO starts ({', '.join(columns)}) SELECT {selected}"
        f" WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = {mark}) ON CONFLICT DO NOTHING"
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
