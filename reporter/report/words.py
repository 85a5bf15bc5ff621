"""Numbers as people read them, on a terminal and on a page."""

from __future__ import annotations

NOTHING = "–"
"""What is undefined."""


def seconds(value: float | None) -> str:
    """A length."""
    if value is None:
        return NOTHING
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 100:
        return f"{value:.3g} s"
    return f"{value / 60:.0f} min" if value < 6000 else f"{value / 3600:.1f} h"
