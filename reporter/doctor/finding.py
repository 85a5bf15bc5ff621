"""What was found: about what, how bad it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination."""

    about: str
    state: State
    told: str
    remedy: str = ""  # nothing where all is well


def ok(about: str, told: str) -> Finding:
    return Finding(about, "ok", told)


def warn(about: str, told: str, remedy: str) -> Finding:
    return Finding(about, "warn", told, remedy)


def fail(about: str, told: str, remedy: str) -> Finding:
    return Finding(about, "fail", told, remedy)


def age(seconds: float) -> str:
    """A length in whole units, two of them at the least but of seconds."""
    for length, unit in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds // length:,.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def size(count: int) -> str:
    """Bytes for people."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << power:
            return f"{count / (1 << power):,.1f} {unit}"
    return f"{count} bytes"


def some(names: list[str], most: int = 3) -> str:
    """The first few of some names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
