"""Mappings of a foreign file, that know which of their keys were read: what is left is told, not silently ignored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reporter.config.document import Document, Location, Problem, path, read_documents
from reporter.errors import ConfigError


@dataclass(slots=True)
class Findings:
    """What is wrong with a file, and what of it is not taken over."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def raise_problems(self) -> None:
        """Raises:
        ConfigError: something is wrong; its message has every problem, with file, line and field.
        """
        if self.problems:
            raise ConfigError("\n".join(dict.fromkeys(self.problems)))


class Part:
    """One mapping of a document."""

    def __init__(self, document: Document, location: Location, value: dict[str, Any], findings: Findings) -> None:
        self._document, self._location, self._findings = document, location, findings
        self._value = value
        self._read: set[str] = set()

    @property
    def place(self) -> str:
        """`slo.yaml:12`."""
        return f"{self._document.name}:{self._document.line(self._location)}"

    @property
    def value(self) -> dict[str, Any]:
        """All of it, as plain data; then everything in it counts as read."""
        self._read.update(self._value)
        return self._value

    def has(self, key: str) -> bool:
        """Whether there is something under a key."""
        return self._value.get(key) is not None

    def blame(self, key: str | None, why: str) -> None:
        """Tell that something is wrong, under a key or with the whole."""
        self._findings.problems.append(self._told(key, why))

    def warn(self, key: str | None, why: str) -> None:
        """Tell that something is understood otherwise, or left out."""
        if key is not None:
            self._read.add(key)
        self._findings.warnings.append(self._told(key, why))

    def _told(self, key: str | None, why: str) -> str:
        location = self._location if key is None else (*self._location, key)
        return f"{self._document.name}:{self._document.line(location)}: {path(location)}{why}"

    def text(self, key: str, default: str = "") -> str:
        """The text under a key."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, str):
            self.blame(key, "must be text; quote it")
            return default
        return value

    def need(self, key: str) -> str:
        """The text under a key that must be there."""
        value = self.text(key)
        if not value.strip() and not (key in self._value and not isinstance(self._value[key], str)):
            self.blame(key, "is required")
        return value

    def number(self, key: str) -> Any:
        """The number under a key, as it was written; None when there is none."""
        value = self._take(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float | str)):
            self.blame(key, "must be a number")
            return None
        return value

    def flag(self, key: str) -> bool:
        """The truth under a key; False when there is none."""
        value = self._take(key)
        if value is not None and not isinstance(value, bool):
            self.blame(key, "must be true or false")
        return value is True

    def texts(self, key: str) -> dict[str, str]:
        """A mapping of texts under a key, such as labels."""
        part = self.part(key)
        found = {}
        for name, value in ({} if part is None else part.value).items():
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                found[name] = str(value)
            else:
                assert part is not None
                part.warn(name, "is no text, and is left out")
        return found

    def part(self, key: str) -> Part | None:
        """The mapping under a key; None when there is none."""
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.blame(key, "must be a mapping")
            return None
        return Part(self._document, (*self._location, key), value, self._findings)

    def parts(self, key: str) -> list[Part]:
        """The mappings in the list under a key."""
        value = self._take(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.blame(key, "must be a list")
            return []
        found = []
        for index, item in enumerate(value):
            location = (*self._location, key, index)
            if isinstance(item, dict):
                found.append(Part(self._document, location, item, self._findings))
            else:
                place = f"{self._document.name}:{self._document.line(location)}: {path(location)}"
                self._findings.problems.append(f"{place}must be a mapping")
        return found

    def ignore(self, *keys: str) -> None:
        """Take keys as read that say nothing about SLOs, such as a comment's."""
        self._read.update(keys)

    def rest(self) -> None:
        """Warn of each key that nobody read."""
        for key in self._value:
            if key not in self._read:
                self.warn(key, "is not taken over")

    def _take(self, key: str) -> Any:
        self._read.add(key)
        return self._value.get(key)


def read_parts(file: Path, findings: Findings) -> list[Part]:
    """Every document of a file.

    Raises:
        ConfigError: it can't be read, or is no YAML.
    """
    parts = []
    for document in read_documents(file):
        findings.problems += [_told(document, problem) for problem in document.problems]
        parts.append(Part(document, (), document.data, findings))
    if not parts and not findings.problems:
        findings.problems.append(f"{file}:1: there is nothing in it")
    return parts


def _told(document: Document, problem: Problem) -> str:
    line = problem.line or document.line(problem.location)
    return f"{document.name}:{line}: {path(problem.location)}{problem.why}"


def finish(parts: Sequence[Part | None]) -> None:
    """Warn of what nobody read in any of them."""
    for part in _there(parts):
        part.rest()


def _there(parts: Sequence[Part | None]) -> Iterator[Part]:
    return (part for part in parts if part is not None)
