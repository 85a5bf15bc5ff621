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
    return (
        f"INSERT INTO corrections ({', '.join(columns)}) SELECT {', '.join([mark] * len(columns))}"
        f" WHERE EXISTS (SELECT 1 FROM calls WHERE call_id = {mark} AND status = 'lost') ON CONFLICT DO NOTHING"
    )


def start_statement(mark: str, columns: Sequence[str]) -> str:
    """One more parameter: call_id.  Nothing when the call has ended already."""
    return (
        f"INSERT INTO starts ({', '.join(columns)}) SELECT {', '.join([mark] * len(columns))}"
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
    return f"{insert_statement('troubles', columns, mark)} ON CONFLICT DO NOTHING"


# ── Postgres: the first three again for many rows at once, with a list of values a column as parameters ──


def calls_statement(columns: Sequence[str]) -> str:
    """Returns the ids of those that were not known."""
    return f"{_insert_arrays('calls', columns)} ON CONFLICT (call_id) DO NOTHING RETURNING call_id"


def corrections_statement(columns: Sequence[str]) -> str:
    """Of those calls that had been declared lost."""
    known = "SELECT 1 FROM calls WHERE calls.call_id = fact.call_id AND calls.status = 'lost'"
    return f"{_insert_arrays('corrections', columns)} WHERE EXISTS ({known}) ON CONFLICT DO NOTHING"


def starts_statement(columns: Sequence[str]) -> str:
    """Of those calls that have not ended already."""
    ended = "SELECT 1 FROM calls WHERE calls.call_id = fact.call_id"
    return f"{_insert_arrays('starts', columns)} WHERE NOT EXISTS ({ended}) ON CONFLICT DO NOTHING"


def run_statement_by_name(columns: Sequence[str]) -> str:
    """`run_statement` on Postgres, where `excluded` may be read only by who may read the table; parameters are named."""
    marks = ", ".join(f"%({name})s" for name in columns)
    updates = ", ".join(f"{name} = %({name})s" for name in columns if name != "run_id")
    return (
        f"INSERT INTO runs ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT (run_id) DO UPDATE SET {updates}"
        " WHERE runs.status IN ('running', 'lost') AND %(status)s NOT IN ('running', 'lost')"
    )


def _insert_arrays(table: str, columns: Sequence[str]) -> str:
    from reporter.schema import TABLES, type_name

    types = {name: type_name("postgresql", kind) for name, kind, _ in TABLES[table][0]}
    arrays = ", ".join(f"%s::{types[name]}[]" for name in columns)
    names = ", ".join(columns)
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM unnest({arrays}) AS fact ({names})"
