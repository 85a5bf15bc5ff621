"""A place in a file that is checked: what stands there, and how to complain of it with file, line and field."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from reporter.config.document import Document, Location, path


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Complaint:
    """One thing that is wrong: the file, the line, the field, and why, with the remedy."""

    file: str
    line: int  # 0: the file as a whole
    field: str
    why: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.field}{': ' * bool(self.field)}{self.why}"


@dataclass(slots=True)
class Sheet:
    """A file that was read: its text, and its document."""

    document: Document
    text: str
    _starts: list[int] = field(default_factory=list)  # lines on which values start, ascending
    _lines: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.document.name

    @property
    def root(self) -> Place:
        return Place(self, (), self.document.data)

    def line_of(self, location: Location, word: str) -> int:
        """The line of a value; of several lines that where `word` stands first, if it does."""
        line = self.document.line(location)
        if not word or location not in self.document.lines:
            return line
        if not self._lines:
            self._lines = self.text.splitlines()
            self._starts = sorted(set(self.document.lines.values()))
        place = bisect_right(self._starts, line)
        end = self._starts[place] - 1 if place < len(self._starts) else len(self._lines)
        whole = re.compile(rf"(?<![\w:]){re.escape(word)}(?![\w:])")
        lines = range(line, max(line, end) + 1)
        return next((number for number in lines if whole.search(self._lines[number - 1])), line)


@dataclass(frozen=True, slots=True)
class Place:
    """A value of a sheet, and where it stands; what is not there is None, and may be asked further."""

    sheet: Sheet
    location: Location
    value: Any

    def __getitem__(self, key: str) -> Place:
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return Place(self.sheet, (*self.location, key), value)

    def each(self) -> Iterator[Place]:
        """What a list has; nothing if it is none."""
        if isinstance(self.value, list):
            for index, value in enumerate(self.value):
                yield Place(self.sheet, (*self.location, index), value)

    def items(self) -> Iterator[tuple[str, Place]]:
        """What a mapping has; nothing if it is none."""
        if isinstance(self.value, dict):
            for key, value in self.value.items():
                yield key, Place(self.sheet, (*self.location, key), value)

    def texts(self) -> Iterator[Place]:
        """Every text in it."""
        if isinstance(self.value, str):
            yield self
        for _, inside in self.items():
            yield from inside.texts()
        for inside in self.each():
            yield from inside.texts()

    @property
    def text(self) -> str:
        """The text that stands here, or "" where none does."""
        return self.value if isinstance(self.value, str) else ""

    def number(self) -> float | None:
        """The number that stands here, or None where none does."""
        return None if isinstance(self.value, bool) or not isinstance(self.value, int | float) else self.value

    @property
    def at(self) -> str:
        """`reporter.rules.yml:12`."""
        return f"{self.sheet.name}:{self.sheet.document.line(self.location)}"

    def wrong(self, why: str, word: str = "") -> Complaint:
        """A complaint of what stands here; of several lines that where `word` is."""
        return Complaint(
            file=self.sheet.name,
            line=self.sheet.line_of(self.location, word),
            field=path(self.location).removesuffix(": "),
            why=why,
        )


def twice(places: Iterator[tuple[object, Place]], what: str) -> Iterator[Complaint]:
    """A complaint of each place whose key another had before."""
    seen: dict[object, Place] = {}
    for key, place in places:
        first = seen.setdefault(key, place)
        if first is not place:
            yield place.wrong(f"{what}; it is there already at {first.at}")
