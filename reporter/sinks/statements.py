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
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "call_id")
    return (
        f"INSERT INTO calls ({', '.join(columns)}) SELECT {', '.join([mark] * len(columns))}"
        f" WHERE NOT EXISTS (SELECT 1 FROM calls WHERE folded = 1 AND call_id = {mark} AND status <> 'lost')"
        f" ON CONFLICT (folded, call_id) DO UPDATE SET {updates}"
        " WHERE calls.status = 'lost' AND excluded.status <> 'lost'"
    )


def start_statement(mark: str, columns: Sequence[str]) -> str:
    """One more parameter: call_id.  Nothing when the call has ended already."""
    return (
        f"INSERT INTO starts ({', '.join(columns)}) SELECT {', '.join([mark] * len(columns))}"
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
    return f"{insert_statement('troubles', columns, mark)} ON CONFLICT DO NOTHING"


# ── Postgres: for many rows at once, with a list of values a column as parameters; and so that who only appends may run
# them: `excluded` may be read by none but those who may read the table ──


def calls_statement(columns: Sequence[str]) -> str:
    """Returns the ids of those that were not known, or counted as lost."""
    counted = "SELECT 1 FROM calls WHERE folded = 1 AND calls.call_id = fact.call_id AND calls.status <> 'lost'"
    return f"{_insert_arrays('calls', columns)} WHERE NOT EXISTS ({counted}) ON CONFLICT DO NOTHING RETURNING call_id"


ENDED_STATEMENT = "SELECT call_id FROM calls WHERE folded IN (0, 1) AND call_id = ANY(%s) AND status <> 'lost'"
"""Of some calls those whose true end is known."""


def ends_statement(columns: Sequence[str]) -> str:
    """The true ends of calls that were declared lost and are not counted yet: a second row has no room beside them."""
    updates = ", ".join(f"{name} = fact.{name}" for name in columns if name != "call_id")
    return (
        f"UPDATE calls SET {updates} FROM {_arrays('calls', columns)}"
        " WHERE calls.folded = 0 AND calls.call_id = fact.call_id AND calls.status = 'lost'"
    )


def starts_statement(columns: Sequence[str]) -> str:
    """Of those calls that have not ended already."""
    ended = "SELECT 1 FROM calls WHERE folded IN (0, 1) AND calls.call_id = fact.call_id"
    return f"{_insert_arrays('starts', columns)} WHERE NOT EXISTS ({ended}) ON CONFLICT DO NOTHING"


def run_statement_by_name(columns: Sequence[str]) -> str:
    """`run_statement`; its parameters are named, because each is there twice."""
    marks = ", ".join(f"%({name})s" for name in columns)
    updates = ", ".join(f"{name} = %({name})s" for name in columns if name != "run_id")
    return (
        f"INSERT INTO runs ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT (run_id) DO UPDATE SET {updates}"
        " WHERE runs.status IN ('running', 'lost') AND %(status)s NOT IN ('running', 'lost')"
    )


def _insert_arrays(table: str, columns: Sequence[str]) -> str:
    names = ", ".join(columns)
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM {_arrays(table, columns)}"


def _arrays(table: str, columns: Sequence[str]) -> str:
    from reporter.schema import TABLES, type_name

    types = {name: type_name("postgresql", kind) for name, kind, _ in TABLES[table][0]}
    return f"unnest({', '.join(f'%s::{types[name]}[]' for name in columns)}) AS fact ({', '.join(columns)})"
