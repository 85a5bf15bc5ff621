"""What was probably meant by a word that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_TOLD = 12


def near(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """The known word that is most like this one, or "" where none is."""
    return next(iter(difflib.get_close_matches(word, list(known), 1, likeness)), "")


def meant(word: str, known: Iterable[str]) -> str:
    """How a complaint goes on: `; did you mean …?`, or what there is, if that is little."""
    words = sorted(known)
    found = near(word, words)
    if found:
        return f"; did you mean {found}?"
    return f"; there are {', '.join(words)}" if 0 < len(words) <= MOST_TOLD else ""
