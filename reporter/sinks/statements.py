"""The statements that write facts, the same for the recorder, for shipping and for ingest.

Each may be run twice: ids were made before the first attempt.  `mark` is the driver's placeholder, "?" or "%s".
"""

from __future__ import annotations

from reporter.schema import CALL_COLUMNS, RUN_COLUMNS, START_COLUMNS, TROUBLE_COLUMNS


def call_statement(mark: str) -> str:
    """Parameters: CALL_COLUMNS.  No row is changed when the call is known already: see `correction_statement`."""
    return f"INSERT INTO calls {_values(CALL_COLUMNS, mark)} ON CONFLICT (call_id) DO NOTHING"


def correction_statement(mark: str) -> str:
    """Parameters: CALL_COLUMNS and call_id.  The true end of a call that had been declared lost; nothing otherwise."""
    selected = ", ".join(_typed("calls", name, mark) for name in CALL_COLUMNS)
    return (
        f"INSERT INTO corrections ({', '.join(CALL_COLUMNS)}) SELECT {selected}"
        f" WHERE EXISTS (SELECT 1 FROM calls WHERE call_id = {mark} AND status = 'lost') ON CONFLICT DO NOTHING"
    )


def start_statement(mark: str) -> str:
    """Parameters: START_COLUMNS and call_id.  Nothing when the call has ended already."""
    selected = ", ".join(_typed("starts", name, mark) for name in START_COLUMNS)
    return (
        f"INSERT INTO starts ({', '.join(START_COLUMNS)}) SELECT {selected}"
        f" WHERE NOT EXISTS (SELECT 1 FROM calls WHERE call_id = {mark}) ON CONFLICT DO NOTHING"
    )


def run_statement(mark: str) -> str:
    """Parameters: RUN_COLUMNS.  An end replaces a start or a run declared lost; a start replaces nothing."""
    updates = ", ".join(f"{name} = excluded.{name}" for name in RUN_COLUMNS if name != "run_id")
    return (
        f"INSERT INTO runs {_values(RUN_COLUMNS, mark)} ON CONFLICT (run_id) DO UPDATE SET {updates}"
        " WHERE runs.status IN ('running', 'lost') AND excluded.status NOT IN ('running', 'lost')"
    )


def trouble_statement(mark: str) -> str:
    """Parameters: TROUBLE_COLUMNS."""
    return f"INSERT INTO troubles {_values(TROUBLE_COLUMNS, mark)} ON CONFLICT (trouble_id) DO NOTHING"


def _values(columns: tuple[str, ...], mark: str) -> str:
    return f"({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"


def _typed(table: str, column: str, mark: str) -> str:
    """Postgres can't tell a bare parameter's type in a SELECT list."""
    if mark == "?":
        return mark
    from reporter.schema import INTEGER, TABLES

    kind = next(kind for name, kind, _ in TABLES[table][0] if name == column)
    return f"{mark}::{'bigint' if kind == INTEGER else 'text'}"
