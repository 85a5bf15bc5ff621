"""A JSON text as plain data that remembers its lines; as strict as JSON is, unlike a reader of YAML."""

from __future__ import annotations

import re
from bisect import bisect_right
from json.decoder import scanstring  # type: ignore[attr-defined]  # public, but not in the stubs
from typing import Any

from reporter.config.document import GENERATED, MAX_NUMBER, Caps, Document, Location, Problem
from reporter.errors import ConfigError

_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_WORDS = {"null": None, "true": True, "false": False}


def parse_json(text: str, name: str, caps: Caps = GENERATED) -> Document:
    """Read a JSON text; `name` is what messages call it.

    Raises:
        ConfigError: it is no JSON, no object, or breaks a cap.
    """
    document = Document(name)
    reader = _Reader(text, document, caps)
    data, end = reader.value(reader.blank(0), ())
    if reader.blank(end) != len(text):
        raise reader.error(reader.blank(end), "something stands behind its end")
    if not isinstance(data, dict):
        raise ConfigError(f"{name}:1: must be a JSON object")
    document.data = data
    return document


class _Reader:
    def __init__(self, text: str, document: Document, caps: Caps) -> None:
        self.text, self.document, self.caps = text, document, caps
        self.values = 0
        self.ends = [found.start() for found in re.finditer("\n", text)]

    def line(self, at: int) -> int:
        return bisect_right(self.ends, at - 1) + 1

    def error(self, at: int, why: str) -> ConfigError:
        return ConfigError(f"{self.document.name}:{self.line(at)}: is no valid JSON: {why}")

    def blank(self, at: int) -> int:
        found = _BLANK.match(self.text, at)
        return found.end() if found else at

    def value(self, at: int, location: Location) -> tuple[Any, int]:
        """(the value that starts at `at`, where it ends)."""
        self.values += 1
        if self.values > self.caps.values or len(location) > self.caps.depth:
            raise self.error(at, f"more than {self.caps.values} values or {self.caps.depth} levels")
        self.document.lines.setdefault(location, self.line(at))
        start = self.text[at : at + 1]
        if start == '"':
            return self.string(at)
        if start == "{":
            return self.object(at + 1, location)
        if start == "[":
            return self.array(at + 1, location)
        for word, value in _WORDS.items():
            if self.text.startswith(word, at):
                return value, at + len(word)
        found = _NUMBER.match(self.text, at)
        if found is None or len(found[0]) > MAX_NUMBER:
            raise self.error(at, "a value is expected" if start else "it ends in the middle")
        return (float(found[0]) if found[1] or found[2] else int(found[0])), found.end()

    def string(self, at: int) -> tuple[str, int]:
        try:
            text, end = scanstring(self.text, at + 1, True)
        except ValueError as error:
            raise self.error(getattr(error, "pos", at), str(getattr(error, "msg", error))) from None
        return str(text), int(end)

    def object(self, at: int, location: Location) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        at = self.blank(at)
        if self.text.startswith("}", at):
            return found, at + 1
        while True:
            if not self.text.startswith('"', at):
                raise self.error(at, "a key in quotes is expected")
            key, end = self.string(at)
            inside = (*location, key)
            if key in found:
                why = f"is there twice; first on line {self.document.line(inside)}"
                self.document.problems.append(Problem(inside, why, self.line(at)))
            end = self.blank(end)
            if not self.text.startswith(":", end):
                raise self.error(end, "a colon is expected behind a key")
            found[key], at = self.value(self.blank(end + 1), inside)
            at, ended = self.next(at, "}")
            if ended:
                return found, at

    def array(self, at: int, location: Location) -> tuple[list[Any], int]:
        found: list[Any] = []
        at = self.blank(at)
        if self.text.startswith("]", at):
            return found, at + 1
        while True:
            value, at = self.value(at, (*location, len(found)))
            found.append(value)
            at, ended = self.next(at, "]")
            if ended:
                return found, at

    def next(self, at: int, end: str) -> tuple[int, bool]:
        """(where it goes on, whether it has ended) behind a value."""
        at = self.blank(at)
        if self.text.startswith(end, at):
            return at + 1, True
        if not self.text.startswith(",", at):
            raise self.error(at, f"a comma or {end} is expected")
        return self.blank(at + 1), False
