"""A price class as people write it on the command line."""

from __future__ import annotations

from difflib import get_close_matches

from reporter import facts
from reporter.errors import ConfigError
from reporter.pricing import PriceList


def known_class(prices: PriceList, told: str, option: str) -> str:
    """The class that was told; "" is the list price.

    Raises:
        ConfigError: nothing is sold in it.
    """
    kind = facts.price_class(told) or ""
    known = sorted({*prices.classes, "standard"})
    if kind and kind not in known:
        close = get_close_matches(kind, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise ConfigError(f"{option} {told}: nothing is sold in that class; {hint}")
    return kind
