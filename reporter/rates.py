"""The arithmetic of prices per token, in integers: rates of a token by the size of the request.

Rates are nano-dollars a million tokens, or parts of them where a price has more digits; a price is rounded once, half to even.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from genai_prices.types import TieredPrices

MTOK = 10**6
"""What rates are per: 0.0375 USD a million tokens is 37,500,000 nano-dollars, exactly."""

Rate = Callable[[int, int, int, int, int, int, int | None], int | None]
"""Nano-dollars of a call at a moment (ns) with so many tokens: input, thereof read from a cache, written to it, written for an
hour; output, thereof reasoning if that is known.

None when the numbers contradict each other, more tokens cached than there were, or the price wants one that is not known.
"""


class Tier(NamedTuple):
    """The rates, in whole nano-dollars a million tokens, of requests whose input is above a size, and not above another."""

    above_tokens: int  # -1: any
    up_to_tokens: int | None  # None: any
    input: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    output: int | None  # None: the price says nothing of output


class Rated(NamedTuple):
    """How calls are priced, and by which rates; none when these alone don't tell."""

    rate: Rate
    tiers: tuple[Tier, ...]


def by_token(prices: Mapping[str, Decimal | TieredPrices]) -> Rated:
    """Rates of USD a million tokens, by the catalogue's names: `input_mtok` …; a tier's hold for the whole call."""
    starts = sorted({tier.start for price in prices.values() for tier in getattr(price, "tiers", ())})
    scale: int = 10 ** max(0, *(_digits(price) - 9 for price in prices.values()))
    rates = [_rates(prices, start, scale) for start in (-1, *starts)]
    unit = MTOK * scale

    def rate(
        at_ns: int, tokens: int, read: int, write: int, hour: int, output: int, reasoning: int | None
    ) -> int | None:
        if read + write > tokens or hour > write:
            return None
        whole, read_rate, write_rate, hour_rate, output_rate = rates[bisect_left(starts, tokens)]
        total = tokens * whole + output * output_rate
        if read or write:
            total += read * (read_rate - whole) + write * (write_rate - whole) + hour * (hour_rate - write_rate)
        quotient, remainder = divmod(total, unit)
        if remainder * 2 < unit:
            return quotient
        return quotient + (remainder * 2 > unit or quotient & 1)

    edges = zip((-1, *starts), (*starts, None), rates, strict=True)
    tiers = (Tier(above, up_to, *(round(Fraction(one, scale)) for one in those)) for above, up_to, those in edges)
    return Rated(rate, tuple(tiers))


def without_output(rated: Rated) -> Rated:
    """A price that says nothing of output, an embedding's, is none of a call that has some."""

    def input_only(
        at_ns: int, tokens: int, read: int, write: int, hour: int, output: int, reasoning: int | None
    ) -> int | None:
        return None if output else rated.rate(at_ns, tokens, read, write, hour, 0, None)

    return Rated(input_only, tuple(tier._replace(output=None) for tier in rated.tiers))


def _digits(price: Decimal | TieredPrices) -> int:
    """How many digits a price has after the point, at most."""
    parts = [price] if isinstance(price, Decimal) else [price.base, *(tier.price for tier in price.tiers)]
    return max(-int(part.as_tuple().exponent) for part in parts)


def _rates(prices: Mapping[str, Decimal | TieredPrices], start: int, scale: int) -> tuple[int, int, int, int, int]:
    def rate(key: str, otherwise: int) -> int:
        price = prices.get(key)
        if price is None:
            return otherwise
        if not isinstance(price, Decimal):
            price = next((tier.price for tier in reversed(price.tiers) if tier.start <= start), price.base)
        return int(price * 10**9 * scale)

    whole = rate("input_mtok", 0)
    write = rate("cache_write_mtok", whole)
    return whole, rate("cache_read_mtok", whole), write, rate("cache_write_1h_mtok", write), rate("output_mtok", 0)
