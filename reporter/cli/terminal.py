"""How tables and sentences reach people: as wide as their terminal, 140 columns where there is none."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from reporter.fold.slos import Progress as HearsOf

WIDTH_OF_FILES = 140
LONG = 50_000
"""Fewer calls are counted in less time than it takes to look at a bar."""


def console() -> Console:
    """A console on stdout; markup in data stays text, colours only on a terminal and not with NO_COLOR."""
    columns = os.environ.get("COLUMNS", "")
    given = int(columns) if columns.isdecimal() and int(columns) > 0 else WIDTH_OF_FILES
    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else given)


def shown(value: str, style: str = "") -> Text:
    """Data as text: control characters, which a terminal would obey, are shown as \N{REPLACEMENT CHARACTER}."""
    return Text("".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cf") else c for c in value), style=style)


def progress_bar() -> Progress:
    """A bar on stderr, on a terminal only, gone when the work is done."""
    return Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)


@contextmanager
def fold_progress() -> Iterator[HearsOf]:
    """What shows a long fold as a bar on stderr, on a terminal only, gone when the work is done."""
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.completed:,} of {task.total:,}"),
        TimeRemainingColumn(), console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True,
    )  # fmt: skip
    tasks = {}

    def hear(what: str, counted: int, total: int) -> None:
        if total < LONG:
            return
        if what not in tasks:
            tasks[what] = bar.add_task(f"Counting {what}", total=total)
            bar.start()
        bar.update(tasks[what], completed=counted, total=total)

    try:
        yield hear
    finally:
        bar.stop()
