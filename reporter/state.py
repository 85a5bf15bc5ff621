"""The reporter's own memory: small named values, kept with the facts so that they commit with them."""

from __future__ import annotations

from sqlalchemy import Connection, text

LATE_TICKS, MISSED_TICKS = "late_ticks_total", "missed_ticks_total"
"""Of `reporter serve`: turns that began late, and those that never did because one was still at work, or nobody."""


def get(connection: Connection, name: str) -> str | None:
    """The value under `name`, or None."""
    found = connection.execute(text("SELECT value FROM state WHERE name = :name"), {"name": name}).scalar()
    return None if found is None else str(found)


def get_integer(connection: Connection, name: str) -> int:
    """The integer under `name`; 0 when nothing is."""
    return int(get(connection, name) or 0)


def put(connection: Connection, name: str, value: str) -> None:
    """Keep `value` under `name`."""
    connection.execute(
        text(
            "INSERT INTO state (name, value) VALUES (:name, :value)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        ),
        {"name": name, "value": value},
    )


def add(connection: Connection, name: str, amount: int) -> None:
    """Add to the integer under `name`; others may at the same moment."""
    connection.execute(
        text(
            "INSERT INTO state (name, value) VALUES (:name, :value)"
            " ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(state.value AS BIGINT) + :amount AS TEXT)"
        ),
        {"name": name, "value": str(amount), "amount": amount},
    )
