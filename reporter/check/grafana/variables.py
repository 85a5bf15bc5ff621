"""Variables of dashboards: which are used and not there, and texts with them filled in."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from reporter.check.names import ANY
from reporter.check.place import Complaint, Place
from reporter.check.words import meant
from reporter.expression import STRING

_USED = re.compile(r"\$(\w+)|\$\{(\w+)(?:[.:][^}]*)?\}|\[\[(\w+)(?:[.:][^\]]*)?\]\]")
_LENGTHS = re.compile(r"__(?:rate_interval|interval|range)")
_NUMBERS = re.compile(r"__(?:interval_ms|rate_interval_ms|range_ms|range_s|from|to)")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\Z")
_OWN = re.compile(r"__\w+|timeFilter|interval")


def undefined(place: Place, defined: Collection[str]) -> Iterator[Complaint]:
    """Complain of each variable in a text that the dashboard has not."""
    for name in dict.fromkeys(_names(place.text)):
        if name not in defined and not _OWN.fullmatch(name) and not name.isdigit():
            yield place.wrong(f"there is no variable {name} in the dashboard{meant(name, defined)}", name)


def _names(text: str) -> Iterator[str]:
    return (found[1] or found[2] or found[3] for found in _USED.finditer(text))


def filled(expr: str, lengths: Collection[str]) -> str:
    """PromQL with something in the place of each variable: a length of time, a number, or `ANY`, as it stands there."""
    strings = [(found.start(), found.end()) for found in STRING.finditer(expr)]

    def value(found: re.Match[str]) -> str:
        name, at = found[1] or found[2] or found[3], found.start()
        if name.isdigit():
            return found[0]  # of a regular expression in label_replace()
        if _LENGTHS.fullmatch(name) or name in lengths:
            return "5m"
        if _NUMBERS.fullmatch(name):
            return "300000"
        if any(start < at < end for start, end in strings):
            return ANY
        before, after = expr[:at], expr[found.end() : found.end() + 1]
        if before.count("[") > before.count("]") or before.rstrip().endswith("offset"):
            return "5m"
        if _GROUPING.search(before) or after in ("{", "[", "_") or before[-1:].isalnum() or before[-1:] == "_":
            return ANY
        return "5"

    return _USED.sub(value, expr)
