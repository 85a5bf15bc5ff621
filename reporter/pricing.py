"""What a call cost, in integer nano-dollars, or nothing: an unknown price is None, never 0.

Prices come from genai-prices' catalogue, by provider, model, price class and the moment of the call.  A class (batch, flex, …)
that it has no price of is unknown, never priced as standard.  Its own arithmetic takes 60–100 µs a call, so a model's prices
are resolved once for each day of calls and applied to token counts here; what is not a list of prices per token, or changes
within the day, is left to the library.  Each price is rounded once, half to even.

The catalogue is 28 MiB in memory and is imported only when a call needs a price.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider, TieredPrices

_PROVIDERS = {
    "azure.ai.openai": "azure",
    "azure": "azure",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "gemini": "google",
    "vertex": "google",
}
_STANDARD = ("standard", "default")  # what Anthropic and OpenAI call it in their answers
_CLASS_KEYS = ("processing", "service_tier", "speed")  # what the catalogue's price variants say of a request
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
SOURCE = "genai-prices"
DAY_NS = 86_400 * 10**9

OWN = "reporter.yaml"
PER_MTOK = ("input", "output", "cache_read", "cache_write", "cache_write_1h")

Rate = Callable[[int, int, int, int, int, int], int | None]
"""Nano-dollars of a call at a moment (ns) with so many tokens: input, thereof read from a cache, written to it, written for an
hour, and output.

None when the numbers contradict each other: more tokens cached than there were.
"""


class Offer(NamedTuple):
    """How calls are priced, and by whom: SOURCE or OWN."""

    rate: Rate
    source: str


class OwnPrice(Protocol):
    """A price that people set themselves."""

    def sells(self, provider: str, model: str, day: int, price_class: str | None) -> bool:
        """Whether it is the price of such a call."""

    @property
    def since_day(self) -> int:
        """From when on, in days since 1970."""

    @property
    def usd_per_mtok(self) -> Mapping[str, Decimal]:
        """USD a million tokens, by the names of PER_MTOK; `input` at least."""


class PriceList:
    """The price of a call by provider, model, moment and usage; `own` prices come before the catalogue's."""

    def __init__(self, own: Sequence[OwnPrice] = ()) -> None:
        self._own = own
        self._offers: dict[tuple[str | None, str, int, str | None], Offer | None] = {}

    def price(
        self, provider: str | None, model: str, at_ns: int, usage: Usage, price_class: str | None = None
    ) -> Price:
        """The cost of one call at `at_ns`; UNKNOWN when model, class or tokens are."""
        if usage.input_tokens is None and usage.output_tokens is None:
            return UNKNOWN
        offer = self.offer(provider, model, at_ns // DAY_NS, price_class)
        nanousd = None if offer is None else offer.rate(at_ns, *(tokens or 0 for tokens in usage))
        return UNKNOWN if offer is None or nanousd is None else Price(nanousd, offer.source)

    def offer(self, provider: str | None, model: str, day: int, price_class: str | None = None) -> Offer | None:
        """What calls of one day (counted from 1970, UTC) cost; None when nobody sells that model there in that class."""
        key = (provider, model, day, price_class)
        try:
            return self._offers[key]
        except KeyError:
            offer = self._offers[key] = self._own_offer(*key) or _of_the_catalogue(*key)
            return offer

    def _own_offer(self, provider: str | None, model: str, day: int, price_class: str | None) -> Offer | None:
        """The latest of the own prices that fit; of two since the same day the first."""
        fit = [price for price in self._own if price.sells(provider or "", model, day, price_class)]
        if not fit:
            return None
        prices = max(fit, key=lambda price: price.since_day).usd_per_mtok
        rate = _by_token({f"{name}_mtok": usd for name, usd in prices.items()})
        return Offer(rate if "output" in prices else _without_output(rate), OWN)


def sellers(model: str) -> list[str]:
    """Providers that have a model of exactly that name in the catalogue."""
    from genai_prices.data_snapshot import get_snapshot

    return [provider.id for provider in get_snapshot().providers if any(found.id == model for found in provider.models)]


def similar(model: str) -> list[str]:
    """Models of the catalogue that are called much like `model`."""
    from difflib import get_close_matches

    from genai_prices.data_snapshot import get_snapshot

    known = sorted({found.id for provider in get_snapshot().providers for found in provider.models})
    return get_close_matches(model, known, 3, 0.75)


def _without_output(rate: Rate) -> Rate:
    """A price that says nothing of output, an embedding's, is none of a call that has some."""

    def input_only(at_ns: int, tokens: int, read: int, write: int, hour: int, output: int) -> int | None:
        return None if output else rate(at_ns, tokens, read, write, hour, 0)

    return input_only


def _of_the_catalogue(provider: str | None, model: str, day: int, price_class: str | None) -> Offer | None:
    rate = _resolve(provider, model, day, price_class)
    return None if rate is None else Offer(rate, SOURCE)


def _resolve(provider_name: str | None, model: str, day: int, price_class: str | None) -> Rate | None:
    from genai_prices.data_snapshot import get_snapshot

    name = _PROVIDERS.get(provider_name, provider_name) if provider_name else None
    try:
        provider, info = get_snapshot().find_provider_model(model, None, name, None)
    except LookupError:
        return None
    hours = _hours(day)
    context = _context(provider, info, hours, price_class)
    if price_class and context is None and price_class not in _STANDARD:
        return _resolve_later(provider, info, hours, price_class)
    hourly = [info.get_prices(hour, context) for hour in hours]
    prices = {key: value for key, value in vars(hourly[0]).items() if value is not None}
    if any(other != hourly[0] for other in hourly[1:]) or _LIBRARY_PRICES & prices.keys() or "input_mtok" not in prices:
        return _by_library(provider, info, context)
    return _by_token(prices)


def _context(
    provider: Provider, info: ModelInfo, hours: Sequence[datetime], price_class: str | None
) -> dict[str, str] | None:
    """What to tell the library of a call in `price_class`; None if this provider has no such price the whole day."""
    if not price_class or all(model is not info for model in provider.models):  # the library would price it as standard
        return None
    for variant in info.price_variants or ():
        constraint = variant.constraint
        if any(variant.when == {key: price_class} for key in _CLASS_KEYS) and (
            constraint is None or all(constraint.active(hour) for hour in hours)
        ):
            return variant.when
    return None


def _hours(day: int) -> list[datetime]:
    return [datetime.fromtimestamp(day * 86_400 + hour * 3600, UTC) for hour in range(24)]


def _resolve_later(provider: Provider, info: ModelInfo, hours: Sequence[datetime], price_class: str) -> Rate | None:
    """The price of a class that was sold before the day from which the catalogue has it: that day's, if the standard price has
    not changed in between."""
    for variant in info.price_variants or ():
        start = getattr(variant.constraint, "start_date", None)
        if (
            start is None
            or start <= hours[0].date()
            or not any(variant.when == {key: price_class} for key in _CLASS_KEYS)
        ):
            continue
        later = _hours((start - date(1970, 1, 1)).days)
        context = _context(provider, info, later, price_class)
        standard = {hour: info.get_prices(hour, None) for hour in (*hours, *later)}
        if context is None or any(price != standard[later[0]] for price in standard.values()):
            continue
        prices = {key: value for key, value in vars(info.get_prices(later[0], context)).items() if value is not None}
        if "input_mtok" in prices and not _LIBRARY_PRICES & prices.keys():
            return _by_token(prices)
    return None


def _by_token(prices: Mapping[str, Decimal | TieredPrices]) -> Rate:
    """Rates of a token in millionths of a nano-dollar, by the input size from which they hold for the whole call."""
    starts = sorted({tier.start for price in prices.values() for tier in getattr(price, "tiers", ())})
    rates = [_rates(prices, start) for start in (-1, *starts)]

    def rate(at_ns: int, tokens: int, read: int, write: int, hour: int, output: int) -> int | None:
        if read + write > tokens or hour > write:
            return None
        whole, read_rate, write_rate, hour_rate, output_rate = rates[bisect_left(starts, tokens)]
        total = tokens * whole + output * output_rate
        if read or write:
            total += read * (read_rate - whole) + write * (write_rate - whole) + hour * (hour_rate - write_rate)
        quotient, remainder = divmod(total, _SCALE)
        if remainder * 2 < _SCALE:
            return quotient
        return quotient + (remainder * 2 > _SCALE or quotient & 1)

    return rate


def _rates(prices: Mapping[str, Decimal | TieredPrices], start: int) -> tuple[int, ...]:
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


def _by_library(provider: Provider, info: ModelInfo, context: dict[str, str] | None) -> Rate:
    """The library's own arithmetic, for prices that change within the day or count more than tokens."""
    from genai_prices import Usage as LibraryUsage

    def rate(at_ns: int, tokens: int, read: int, write: int, hour: int, output: int) -> int | None:
        if read + write > tokens or hour > write:
            return None
        cached = {"cache_read_tokens": read, "cache_write_tokens": write, "cache_write_1h_tokens": hour}
        usage = LibraryUsage(
            input_tokens=tokens, output_tokens=output, **{name: count for name, count in cached.items() if count}
        )
        moment = datetime.fromtimestamp(at_ns // 10**9, UTC)
        total = info.calc_price(usage, provider, genai_request_timestamp=moment, price_context=context).total_price
        return int((total * 10**9).to_integral_value(ROUND_HALF_EVEN))

    return rate
