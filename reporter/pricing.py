"""What a call cost, in integer nano-dollars, or nothing: an unknown price is None, never 0.

Prices come from genai-prices' catalogue, by provider, model and the moment of the call.  Its own arithmetic takes 60–100 µs
a call, so a model's prices are resolved once for each day of calls and applied to token counts here; what is not a list of
prices per token, or changes within the day, is left to the library.  Each price is rounded once, half to even.

The catalogue is 28 MiB in memory and is imported only when a call needs a price.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider, TieredPrices

_DAY_NS = 86_400 * 10**9
_PROVIDERS = {
    "azure.ai.openai": "azure",
    "azure": "azure",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "gemini": "google",
    "vertex": "google",
}
_TOKEN_PRICES = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok", "output_mtok")
_LIBRARY_PRICES = {
    "requests_kcount",
    "output_reasoning_mtok",
}  # prices of what a call always has, in rare catalogues entries
_SCALE = 10**6  # of a nano-dollar: 0.0375 USD a million tokens is 37.5 nano-dollars a token, exactly


class Usage(NamedTuple):
    """The tokens a price is made of; `input_tokens` includes what was read from and written to a cache."""

    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None  # including those kept for an hour
    cache_write_1h_tokens: int | None
    output_tokens: int | None


class Price(NamedTuple):
    """Money, and where it came from; both None when the price is not known."""

    nanousd: int | None
    source: str | None


UNKNOWN = Price(None, None)

_Apply = Callable[[Usage], int]


class PriceList:
    """The price of a call by provider, model, moment and usage."""

    def __init__(self) -> None:
        self._lists: dict[tuple[str | None, str, int], _Apply | None] = {}

    def price(self, provider: str | None, model: str, at_ns: int, usage: Usage) -> Price:
        """The cost of one call at `at_ns`; UNKNOWN when model or tokens are."""
        if usage.input_tokens is None and usage.output_tokens is None:
            return UNKNOWN
        key = (provider, model, at_ns // _DAY_NS)
        try:
            apply = self._lists[key]
        except KeyError:
            apply = self._lists[key] = _resolve(provider, model, at_ns)
        if apply is None:
            return UNKNOWN
        cached = (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
        if cached > (usage.input_tokens or 0) or (usage.cache_write_1h_tokens or 0) > (usage.cache_write_tokens or 0):
            return UNKNOWN  # a usage that contradicts itself has no price
        return Price(apply(usage), "genai-prices")


def _resolve(provider_name: str | None, model: str, at_ns: int) -> _Apply | None:
    from genai_prices.data_snapshot import get_snapshot

    name = _PROVIDERS.get(provider_name, provider_name) if provider_name else None
    try:
        provider, info = get_snapshot().find_provider_model(model, None, name, None)
    except LookupError:
        return None
    midnight = at_ns // _DAY_NS * 86_400
    day = [info.get_prices(datetime.fromtimestamp(midnight + hour * 3600, UTC)) for hour in range(24)]
    prices = {key: value for key, value in vars(day[0]).items() if value is not None}
    if any(other != day[0] for other in day[1:]) or _LIBRARY_PRICES & prices.keys() or "input_mtok" not in prices:
        return _by_library(provider, info, at_ns)
    return _by_token(prices)


def _by_token(prices: dict[str, Decimal | TieredPrices]) -> _Apply:
    """Rates of a token in millionths of a nano-dollar, by the input size from which they hold for the whole call."""
    starts = sorted({tier.start for price in prices.values() for tier in getattr(price, "tiers", ())})
    rates = [_rates(prices, start) for start in (-1, *starts)]

    def apply(usage: Usage) -> int:
        tokens = usage.input_tokens or 0
        whole, read_rate, write_rate, hour_rate, output_rate = rates[bisect_left(starts, tokens)]
        read, write, hour = (
            usage.cache_read_tokens or 0,
            usage.cache_write_tokens or 0,
            usage.cache_write_1h_tokens or 0,
        )
        total = (
            (tokens - read - write) * whole
            + read * read_rate
            + (write - hour) * write_rate
            + hour * hour_rate
            + (usage.output_tokens or 0) * output_rate
        )
        quotient, remainder = divmod(total, _SCALE)
        return quotient + (remainder * 2 > _SCALE or (remainder * 2 == _SCALE and quotient & 1))

    return apply


def _rates(prices: dict[str, Decimal | TieredPrices], start: int) -> tuple[int, ...]:
    def rate(key: str, otherwise: int) -> int:
        price = prices.get(key)
        if price is None:
            return otherwise
        if not isinstance(price, Decimal):
            price = next((tier.price for tier in reversed(price.tiers) if tier.start <= start), price.base)
        return int(price * 1000 * _SCALE)

    whole = rate("input_mtok", 0)
    write = rate("cache_write_mtok", whole)
    return whole, rate("cache_read_mtok", whole), write, rate("cache_write_1h_mtok", write), rate("output_mtok", 0)


def _by_library(provider: Provider, info: ModelInfo, day_ns: int) -> _Apply:
    """The library's own arithmetic, for prices that change within the day or count more than tokens."""
    from genai_prices import Usage as LibraryUsage

    moment = datetime.fromtimestamp(day_ns // 10**9, UTC)

    def apply(usage: Usage) -> int:
        told = {name: value for name, value in usage._asdict().items() if value is not None}
        total = info.calc_price(LibraryUsage(**told), provider, genai_request_timestamp=moment).total_price
        return int((total * 10**9).to_integral_value(ROUND_HALF_EVEN))

    return apply
