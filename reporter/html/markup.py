"""Elements of HTML and SVG: text and attributes are escaped here and nowhere else, so that no value becomes markup."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from html import escape

_VOID = ("br", "hr", "link", "meta")
_UNSEEN = ("Cc", "Cf", "Cs")  # control and format characters, such as those that turn the direction of text; surrogates


class Markup(str):
    """Text that is markup already: only `tag` and `joined` make it."""

    __slots__ = ()


Child = str | Markup | None


def tag(element: str, *children: Child, **attributes: str | int | float | None) -> Markup:
    """An element; of attributes `_` becomes `-`, a trailing one is dropped (`class_`), None leaves one out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if element in _VOID:
        return Markup(f"<{element}{told}>")
    return Markup(f"<{element}{told}>{joined(children)}</{element}>")


def joined(parts: Iterable[Child], separator: str = "") -> Markup:
    """Parts one after another, escaped where they are not markup."""
    return Markup(_escaped(separator).join(_inner(part) for part in parts if part is not None))


def own(value: str) -> Markup:
    """A name that came from outside: set apart, so that its direction and its ends are its own."""
    return tag("bdi", value)


def seen(value: str) -> str:
    """A value with \N{REPLACEMENT CHARACTER} for every character that is not seen but does something."""
    return "".join("\ufffd" if unicodedata.category(one) in _UNSEEN else one for one in value)


def _inner(part: str) -> str:
    return part if isinstance(part, Markup) else _escaped(part)


def _escaped(value: str) -> str:
    return escape(seen(value), quote=True)
