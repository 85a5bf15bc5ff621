"""Rows on their way to people and programs: a table, JSON, CSV; what a terminal or a spreadsheet would obey is data again."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.table import Table
from rich.text import Text

from reporter.cli.terminal import console, shown
from reporter.report.words import NOTHING

FORMATS = ("table", "json", "csv")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_json(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """A JSON array of objects, a row a line; of columns of one name the later ones get a number."""
    columns = _distinct(columns)
    separator = "["
    for row in rows:
        yield separator + json.dumps(
            dict(zip(columns, map(plain, row), strict=True)), ensure_ascii=False, allow_nan=False
        )
        separator = ",\n "
    yield "[]\n" if separator == "[" else "]\n"


def _distinct(columns: Sequence[str]) -> list[str]:
    names: list[str] = []
    for index, column in enumerate(columns):
        name, number = column, 2
        while name in names or (name != column and name in columns[index + 1 :]):
            name, number = f"{column}_{number}", number + 1
        names.append(name)
    return names


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """CSV with a header; a text that a spreadsheet would take for a formula gets a quote before it, numbers stay numbers."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_cell, columns))
    for row in rows:
        writer.writerow(map(_cell, row))
        if buffer.tell() > 64 * 1024:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> Any:
    value = plain(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return "" if value is None else value


def plain(value: Any) -> Any:
    """A value as a cell has it: numbers stay numbers, bytes, moments and structures become text, NaN nothing."""
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        return int(value) if value == value.to_integral_value() and abs(value) < 2**63 else float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, dict | list):  # Postgres' jsonb and arrays
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table for people: numbers to the right, absent values as a dash."""
    kept = [[plain(value) for value in row] for row in rows]
    made = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) or row[index] is None for row in kept)
        made.add_column(shown(column), justify="right" if numeric and kept else "left", overflow="fold")
    for row in kept:
        made.add_row(*(_shown(value) for value in row))
    return made


def _shown(value: Any) -> Text:
    if value is None:
        return Text(NOTHING, style="dim")
    if isinstance(value, float):
        return Text(f"{value:,.4f}".rstrip("0").rstrip(".") if abs(value) >= 0.001 or value == 0 else f"{value:.3g}")
    if isinstance(value, int) and not isinstance(value, bool):
        return Text(f"{value}")
    return shown(str(value))


def write(form: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, paged: bool = False) -> None:
    """Print rows to stdout as `form`, one of FORMATS; a table through the pager where it is `paged` and longer than the
    terminal."""
    if form == "json":
        sys.stdout.writelines(as_json(columns, rows))
    elif form == "csv":
        sys.stdout.writelines(as_csv(columns, rows))
    else:
        out = console()
        made = table(columns, rows)
        if not made.row_count:
            out.print(shown(f"No rows. Columns: {', '.join(columns)}"), soft_wrap=True)
            return
        if paged and sys.stdout.isatty() and made.row_count + 2 > out.height:
            with out.pager(styles=True):
                out.print(made)
        else:
            out.print(made)
